//! The page `/check`: a link or a file is checked on the device, and nobody learns which.

use std::sync::Arc;

use super::pages::{MAX_TRANSFER, transferred, violations};
use super::tap::Tap;
use super::*;
use crate::federation::{Founded, chat, digest, follow, found, head, link};
use crate::follow::{ministry, synced, until};
use crate::node::Node;
use domovoi::registry::check_code::CheckCode;
use domovoi::registry::ids::ChatNumber;
use domovoi::registry::link_map::bucket_name;

const CHATS: u64 = 300;

/// A region with chats in two buckets, and a ministry that follows it and writes the federation's log.
struct Scene {
    region: Node,
    ministry: Arc<Node>,
    founded: Founded,
    chats: Vec<ChatNumber>,
}

fn scene() -> Scene {
    let region = Node::moscow();
    let signer = region.signer("operator");
    region.accept(&(1..=CHATS).map(|n| signer.building(n).1).collect::<Vec<_>>());
    let (chats, records): (Vec<_>, Vec<_>) = (1..=CHATS).map(|n| chat(&signer, n)).unzip();
    region.accept(&records);
    let mut ministry = ministry();
    follow(&ministry, &region, "moscow");
    let founded = found(&ministry, &[]);
    ministry.start();
    synced(&ministry, &signer.origin, region.api("node")["freshness"]["size"].as_u64().unwrap());
    let (_, commit) =
        until("the federation's log covers the region", || head(&ministry, &founded).filter(|(_, c)| c.count == CHATS));
    assert_eq!(commit.bits, 1);
    Scene { region, ministry: Arc::new(ministry), founded, chats }
}

/// Numbers of links in the bucket of that name.
fn of_bucket(name: &str, from: u64) -> impl Iterator<Item = u64> {
    (from..).filter(move |n| bucket_name(&digest(*n), 1) == name)
}

fn token(n: u64) -> String {
    link(n).rsplit('/').next().unwrap().to_owned()
}

impl Browser {
    /// Waits for an answer and gives its state.
    fn state(&mut self) -> String {
        self.until("!['', 'busy', undefined].includes(document.getElementById('answer')?.dataset.state)");
        self.eval("document.getElementById('answer').dataset.state").as_str().unwrap().to_owned()
    }
    /// Opens the page with this link's token, as a poster's code does.
    fn scan(&mut self, url: &str, n: u64) -> String {
        self.open(&format!("{url}/check#{}", token(n)));
        self.state()
    }
    /// Where the way into the chat leads, if it is offered.
    fn offered(&mut self) -> Value {
        self.eval("document.querySelector('#answer a.button')?.href ?? null")
    }
}

/// What the program in docs/private-check.md says of a link.
fn documented(s: &Scene, link: &str) -> String {
    let manual = include_str!("../../../docs/private-check.md");
    let program = manual.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let mut command = std::process::Command::new("python3");
    command.args(["-c", program, &s.ministry.url(), link]).arg(&s.founded.charter).env("CA", s.ministry.certificate());
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn a_link_is_checked_on_the_device_and_every_chat_of_a_bucket_makes_the_same_requests() {
    let s = scene();
    let tap = Tap::on(&s.ministry);
    let mut b = Browser::start();
    // What the browser keeps is no part of it.
    b.call("Network.setCacheDisabled", json!({ "cacheDisabled": true }));
    b.scan(&tap.url, 1);
    let mut asked = std::collections::BTreeMap::new();
    for name in ["0", "1"] {
        tap.requests();
        for n in of_bucket(name, 1).take(2).chain(of_bucket(name, CHATS + 50).take(1)) {
            let state = b.scan(&tap.url, n);
            let requests = tap.requests();
            let (text, all) = (b.text(), requests.concat());
            for part in [token(n), digest(n).to_string(), data_encoding::BASE64URL_NOPAD.encode(&digest(n).0)] {
                assert!(!all.contains(&part) && !all.contains("/join/"), "{all}");
            }
            match n <= CHATS {
                true => {
                    assert_eq!((state.as_str(), b.offered()), ("official", json!(link(n))), "{text}");
                    let chat = s.chats[n as usize - 1];
                    let code = CheckCode::of(chat, digest(n));
                    assert!(text.contains(&chat.to_string()) && text.contains(&code.to_string()), "{code}: {text}");
                    assert!(text.contains("Проверено на вашем устройстве"), "{text}");
                }
                false => assert_eq!((state.as_str(), b.offered()), ("not_registered", Value::Null), "{text}"),
            }
            assert_eq!(asked.entry(name).or_insert_with(|| requests.clone()), &requests, "link {n}");
            // The token does not stay in the address either.
            assert_eq!(b.eval("location.href"), format!("{}/check", tap.url));
        }
    }
    let paths = |name: &str| -> Vec<String> {
        asked[name].iter().map(|r| r.split(' ').nth(1).unwrap().split('?').next().unwrap().to_owned()).collect()
    };
    let (left, right) = (paths("0"), paths("1"));
    assert_eq!(
        left.iter().filter(|p| !right.contains(p)).count(),
        1,
        "only the bucket's name differs: {left:?} {right:?}"
    );
    assert!(
        left.iter().any(|p| p == "/check") && left.iter().filter(|p| p.starts_with("/api/")).count() == 3,
        "{left:?}"
    );
    assert!(b.said().is_empty(), "{:?}", b.said());
    let shown = b.eval("document.getElementById('digest').textContent");
    assert_eq!(shown, s.founded.verified.sha256().to_string());

    // A client written from the manual alone says the same.
    for (n, says) in [
        (1, vec!["official: chat", &s.chats[0].to_string(), "\nbadge"]),
        (CHATS + 50, vec!["not_registered\nno badge"]),
    ] {
        let said = documented(&s, &link(n));
        assert!(says.iter().all(|w| said.contains(w)), "{said}");
    }

    // A pasted link is the same; what is none says so without asking anybody.
    b.open(&format!("{}/check?lang=en", tap.url));
    b.eval(&format!("document.getElementById('link').value = '  «{}?utm_source=x»'", link(2)));
    b.eval("document.querySelector('#form button').click()");
    assert_eq!(b.state(), "official");
    assert!(b.text().contains("Checked on your own device"), "{}", b.text());
    tap.requests();
    b.eval("document.getElementById('link').value = 'https://mаx.ru/join/x'; document.querySelector('#form button').click()");
    b.until("document.getElementById('answer').dataset.state === 'not_a_chat_link'");
    assert_eq!(tap.requests(), Vec::<String>::new());

    // A bucket that was changed, and a head that asks for more of the link than hides it, are refused.
    tap.spoil(|path, body| {
        if path.starts_with("/api/v1/verify/bucket/") {
            let at = body.windows(8).position(|w| w == b"official").unwrap();
            body[at..at + 8].copy_from_slice(b"declared");
        }
    });
    assert_eq!(b.scan(&tap.url, 1), "refused");
    assert!(b.text().contains("bucket.root"), "{}", b.text());
    tap.spoil(|path, body| {
        if path == "/api/v1/verify/bucket" {
            let at = body.windows(6).position(|w| w == b"commit").unwrap();
            body[at + 40] ^= 1;
        }
    });
    tap.requests();
    assert_eq!(b.scan(&tap.url, 1), "refused");
    assert!(
        tap.requests().iter().all(|r| !r.contains("/api/v1/verify/bucket/")),
        "nothing is asked after a false head"
    );
}

#[test]
fn the_page_says_what_it_knows_and_how_old_that_is() {
    let s = scene();
    let url = s.ministry.url();
    let mut b = Browser::start();
    assert_eq!(b.scan(&url, 1), "official");
    assert_eq!((b.offered(), b.said()), (json!(link(1)), vec![]));
    b.screenshot("check-official-360");
    b.call("Network.setCacheDisabled", json!({ "cacheDisabled": true }));
    for (n, lang) in [(1, ""), (1, "?lang=en"), (CHATS + 9, "")] {
        b.open(&format!("{url}/check{lang}#{}", token(n)));
        b.state();
        b.eval("document.getElementById('trust').open = true");
        for scheme in ["light", "dark"] {
            let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
            b.call("Emulation.setEmulatedMedia", json!({ "features": features }));
            assert_eq!(violations(&mut b), json!([]), "link {n} {lang} {scheme}");
        }
        let bytes = transferred(&mut b);
        assert!(bytes > 10_000 && bytes <= MAX_TRANSFER, "{bytes} bytes");
        println!("check{lang}: {bytes} bytes");
    }
    b.call("Emulation.setEmulatedMedia", json!({ "features": [] }));
    // Words that people need, in both languages.
    for (lang, words) in [
        ("", ["не покидают ваше устройство", "поиск по адресу", "сохранённая страница", "никогда — предупреждение"]),
        ("?lang=en", ["do not leave your device", "searching by address", "that you have saved", "never a warning"]),
    ] {
        b.open(&format!("{url}/check{lang}#{}", token(1)));
        assert_eq!(b.state(), "official");
        b.eval("document.getElementById('trust').open = true");
        let text = b.text();
        assert!(words.iter().all(|w| text.contains(w)), "{text}");
        assert_eq!(b.eval("document.querySelector('a.switch').hash"), format!("#{}", token(1)));
        // Nothing is wider than the phone.
        assert_eq!(b.eval("document.documentElement.scrollWidth <= innerWidth"), true);
    }
    b.viewport(DESK);
    b.screenshot("check-official-en-1280");
    b.viewport(PHONE);
    assert_eq!(b.scan(&url, CHATS + 9), "not_registered");
    b.screenshot("check-not-registered-360");

    // A bucket and a proof saved before are verified without a network, also by a charter of one's own.
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (proof, bucket, false_proof) = (path("chat.txt"), path("bucket.json"), path("false.txt"));
    let (number, short) = (s.chats[0].to_string(), path("short.txt"));
    assert!(s.region.run(&["prove", &number, "--with-address", "--out", proof.to_str().unwrap()]).ok);
    assert!(s.region.run(&["prove", &number, "--out", short.to_str().unwrap()]).ok);
    let text = std::fs::read_to_string(&proof).unwrap();
    std::fs::write(&false_proof, text.replacen("Дом 1", "Дом 2", 1)).unwrap();
    let (signed, _) = head(&s.ministry, &s.founded).unwrap();
    let saved = s.ministry.get(&format!("/api/v1/verify/bucket/{}/{}", signed.size, bucket_name(&digest(1), 1)));
    std::fs::write(&bucket, saved.body).unwrap();
    b.open(&format!("{url}/check"));
    b.until("document.getElementById('digest').textContent.length === 64");
    b.offline(true);
    let mut choose = |field: &str, file: &Path| {
        b.eval("document.getElementById('answer').dataset.state = ''");
        b.choose_file(field, file);
        (b.state(), b.text())
    };
    let (state, text) = choose("#file", &proof);
    assert_eq!(state, "official", "{text}");
    assert!(text.contains("Пробная, д. 1") && text.contains("Мосжилинспекция"), "{text}");
    let (state, text) = choose("#file", &short);
    assert!(state == "official" && text.contains("(адреса в этом доказательстве нет)"), "{text}");
    assert!(!text.contains("Пробная, д. 1") && text.contains("Мосжилинспекция"), "{text}");
    let (state, text) = choose("#file", &false_proof);
    assert!(state == "refused" && text.contains("proof.map"), "{text}");
    assert_eq!(choose("#charters", &s.founded.charter).0, "charter");
    assert_eq!(choose("#file", &proof).0, "official");
    assert!(choose("#file", &bucket).1.contains("Сначала вставьте ссылку"));
    b.eval(&format!("document.getElementById('link').value = '{}'", link(1)));
    let mut choose = |field: &str, file: &Path| {
        b.eval("document.getElementById('answer').dataset.state = ''");
        b.choose_file(field, file);
        (b.state(), b.text())
    };
    assert_eq!(choose("#file", &bucket).0, "official");
    // The charter of a federation that does not have this log.
    assert_eq!(choose("#charters", &s.region.data().join("charter.json")).0, "charter");
    assert_eq!(choose("#file", &bucket).0, "failed");
    b.offline(false);

    // Kept as one file the page verifies the same without any node.
    let kept = path("domovoi-check.html");
    std::fs::write(&kept, s.ministry.get("/check/saved.html").body).unwrap();
    b.offline(true);
    b.open(&format!("file://{}", kept.display()));
    b.until("document.getElementById('digest').textContent.length === 64 || document.getElementById('ask')?.hidden === false");
    let mut choose = |field: &str, file: &Path| {
        b.eval("document.getElementById('answer').dataset.state = ''");
        b.choose_file(field, file);
        (b.state(), b.text())
    };
    let (state, text) = choose("#file", &proof);
    assert!(state == "official" && text.contains("Пробная, д. 1"), "{text}");
    assert!(choose("#file", &false_proof).1.contains("proof.map"));
    b.screenshot("check-saved-360");
    b.eval(&format!("document.getElementById('link').value = '{}'", link(1)));
    b.eval("document.getElementById('answer').dataset.state = ''; document.querySelector('#form button').click()");
    assert_eq!(b.state(), "failed");
    assert!(b.text().contains("проверяет только файлы"), "{}", b.text());
    assert!(b.asked().iter().all(|a| a.url.starts_with("file://")), "{:?}", b.asked());
    assert_eq!(b.said(), Vec::<String>::new());
    b.offline(false);

    // A day later the same data are old: no way into the chat, and an absence is no absence.
    b.later(25 * 3_600_000);
    assert_eq!((b.scan(&url, 1).as_str(), b.offered()), ("official", Value::Null));
    assert!(b.text().contains("старше, чем позволяет устав"), "{}", b.text());
    assert_eq!(b.scan(&url, CHATS + 9), "stale");
    b.screenshot("check-stale-360");

    // A region's own node has no map of all links, and says so.
    assert_eq!(b.scan(&s.region.url(), 1), "failed");
    assert!(b.text().contains("не ведёт общей карты ссылок"), "{}", b.text());

    // Without JavaScript the page says so and offers the way that is not private.
    b.scripts(false);
    b.open(&format!("{url}/check#{}", token(1)));
    let text = b.text();
    assert!(text.contains("он выключен") && text.contains("узел её узнает"), "{text}");
    assert!(!text.contains("не покидают"), "{text}");
    assert_eq!(b.eval("document.querySelector('noscript form').method"), "post");
    b.screenshot("check-without-javascript-360");
}
