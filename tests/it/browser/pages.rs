//! The pages of a node with real sample data, as people see them: in a phone and on a desk, in both languages, with and without
//! JavaScript. Pictures are in `target/screenshots/`.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::LazyLock;

use super::*;
use crate::node::{AUTHORITY, Around, Node, sample};

/// Most bytes of a page with all it loads.
pub(super) const MAX_TRANSFER: u64 = 100_000;

/// A join link of the generated list, its chat and house.
struct Scene {
    node: Node,
    token: String,
    chat: String,
    building: String,
    address: String,
}

/// The address of the house of [`scene`] as somebody types it.
const SPOKEN: &str = "бульвар кронштадтский 35 корпус а";

/// Moscow of 2014 with 600 generated chats, then the managements of 2016. The chosen chat's house changed its УК, has services,
/// a bot, an imitation and an open objection beside it.
fn scene() -> Scene {
    let mut node =
        Node::init(Some(("77", AUTHORITY, "Государственная жилищная инспекция города Москвы (Мосжилинспекция)")));
    node.start();
    let import = |args: &[&str]| node.run(&[&["import"], args].concat()).json();
    import(&["buildings", &sample("77_moscow_20140323.csv.gz")]);
    let chats = sample("chats_moscow_GENERATED.csv");
    import(&["chats", &chats, "--generated", "--delegate-admin", "--observed", "2014-03-23"]);
    import(&["buildings", &sample("77_moscow_20160308.csv.gz")]);
    let list = std::fs::read_to_string(chats).unwrap();
    let chosen = list.lines().skip(1).find_map(|line| {
        let cells: Vec<&str> = line.split(';').collect();
        // Some rows of the list are to be refused.
        let house = node.get(&format!("/api/v1/buildings/{}", cells[1]));
        let house = (house.status == 200).then(|| house.json())?;
        let managers: BTreeMap<_, _> =
            house["managements"].as_array().unwrap().iter().map(|m| (m["organisation"].to_string(), ())).collect();
        (managers.len() > 1 && house["chats"].as_array().unwrap().len() == 1).then(|| {
            let text = |v: &Value| v.as_str().unwrap().to_owned();
            let token = cells[2].split("/join/").nth(1).unwrap().to_owned();
            (
                token,
                text(&house["chats"][0]),
                cells[1].to_owned(),
                text(&house["address"]),
                house["last_record"].to_string(),
            )
        })
    });
    let (token, chat, building, address, last) = chosen.expect("a house of the list that changed its management");
    let signer = node.signer("operator");
    let prev = Some(serde_json::from_str(&last).unwrap());
    let around = Around { from: Some("2016-04-01"), basis: true, ..Around::default() };
    let services = json!({ "building": building, "services": [
        { "kind": "dispatcher", "title": "Диспетчерская", "phone": "+74950000000" },
        { "kind": "meters", "title": "Передать показания", "bot": "@dom_bot" },
        { "kind": "requests", "title": "Заявки", "link": "https://example.ru/requests" },
    ] });
    let bot = json!({ "bot": "@dom_bot", "title": "Помощник дома", "authority": AUTHORITY });
    let fake = json!({ "imitation": "max:-79990001122", "imitates": chat, "certainty": "confirmed" });
    node.accept(&[
        signer.record("services.published", services, Around { prev, ..around }).1,
        signer.record("bot.attested", bot, around).1,
        signer.record("impersonation.flagged", fake, around).1,
    ]);
    Scene { node, token, chat, building, address }
}

/// The checker of accessibility, fetched by `scripts/axe`.
static AXE: LazyLock<String> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let done = Command::new(root.join("scripts/axe")).output().unwrap();
    assert!(done.status.success(), "scripts/axe: {}", String::from_utf8_lossy(&done.stderr));
    std::fs::read_to_string(root.join(String::from_utf8(done.stdout).unwrap().trim())).unwrap()
});

/// What WCAG 2.2 AA forbids on the page that is open, as axe-core sees it.
pub(super) fn violations(b: &mut Browser) -> Value {
    b.eval(&format!("{}; 0", *AXE));
    let tags = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']";
    b.eval(&format!(
        "axe.run(document, {{ runOnly: {{ type: 'tag', values: {tags} }} }}).then(r => \
         r.violations.map(v => [v.id, v.nodes.map(n => n.html + ' ' + n.failureSummary)]))"
    ))
}

/// Bytes that came over the network since the page was opened.
pub(super) fn transferred(b: &mut Browser) -> u64 {
    b.asked();
    let ends = b.events.iter().filter(|e| e["method"] == "Network.loadingFinished");
    ends.map(|e| e["params"]["encodedDataLength"].as_f64().unwrap_or(0.0) as u64).sum()
}

/// The page is of this node alone, small, closed, accessible, and shows no key to a house.
fn sound(b: &mut Browser, s: &Scene, name: &str) {
    let own = format!("{}/", s.node.url());
    for asked in b.asked() {
        assert!(asked.url.starts_with(&own) || asked.url.starts_with("data:image/"), "{name}: {asked:?}");
    }
    let bytes = transferred(b);
    assert!(bytes > 1000 && bytes <= MAX_TRANSFER, "{name}: {bytes} bytes");
    assert_eq!(b.said(), Vec::<String>::new(), "{name}");
    let html = b.eval("document.documentElement.outerHTML + document.title + location.pathname + location.search");
    assert!(!html.as_str().unwrap().contains(&s.token), "{name} shows a token");
    // Nothing wider than a small phone.
    for size in [PHONE, DESK] {
        b.viewport(size);
        let overflow = b.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assert!(overflow.as_i64().unwrap() <= 0, "{name}: {overflow} pixels too wide at {size:?}");
        for scheme in ["light", "dark"] {
            b.call(
                "Emulation.setEmulatedMedia",
                json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] }),
            );
            let found = violations(b);
            assert_eq!(found, json!([]), "{name} at {size:?}, {scheme}");
            if size == PHONE || scheme == "light" {
                b.screenshot(&format!("{name}-{}-{scheme}", size.0));
            }
        }
    }
    b.viewport(PHONE);
    println!("{name}: {bytes} bytes");
}

/// Sends the form of `/` and waits for what comes.
fn send(b: &mut Browser, s: &Scene, path: &str, q: &str) {
    b.open(&format!("{}{path}", s.node.url()));
    b.eval(&format!("document.querySelector('#q').value = {}", json!(q)));
    b.events.clear();
    b.eval("document.querySelector('form.ask').requestSubmit(), 0");
    b.wait_for("Page.loadEventFired", 0);
}

#[test]
fn every_page_is_small_closed_and_accessible_in_both_languages() {
    let s = scene();
    let url = s.node.url();
    let mut b = Browser::start();
    // Each page as somebody sees it who was never here.
    b.call("Network.setCacheDisabled", json!({ "cacheDisabled": true }));
    for (lang, suffix) in [("ru", ""), ("en", "?lang=en")] {
        for (name, path) in [
            ("home", "/".to_owned()),
            ("chat", format!("/chat/{}", s.chat)),
            ("building", format!("/building/{}", s.building)),
        ] {
            b.open(&format!("{url}{path}{suffix}"));
            sound(&mut b, &s, &format!("{name}-{lang}"));
        }
        for (name, q) in [
            ("answer-official", s.chat.as_str()),
            ("answer-imitation", "-79990001122"),
            ("answer-unknown", "-71112223344"),
            ("answer-bot", "@dom_bot"),
            ("answer-building", &s.building),
            ("answer-words", "непонятно что"),
        ] {
            send(&mut b, &s, &format!("/{suffix}"), q);
            sound(&mut b, &s, &format!("{name}-{lang}"));
        }
        // A link is asked for with scripts off: with them it goes to no server.
        b.scripts(false);
        for (name, q) in [
            ("answer-link", format!("https://max.ru/join/{}", s.token)),
            ("answer-not-a-link", "https://evil.example/join".into()),
        ] {
            send(&mut b, &s, &format!("/{suffix}"), &q);
            b.scripts(true);
            sound(&mut b, &s, &format!("{name}-{lang}"));
            b.scripts(false);
        }
        b.scripts(true);
    }
    assert!(!s.node.log().contains(&s.token));
}

#[test]
fn a_link_stays_on_the_device_and_addresses_are_proposed_while_typing() {
    let s = scene();
    let url = s.node.url();
    let mut b = Browser::start();

    // With scripts the token goes into a fragment, and no request has it.
    let pasted = format!("Наш чат: https://max.ru/join/{}, заходите", s.token);
    send(&mut b, &s, "/?lang=en", &pasted);
    // The page of the check takes it out of the address at once.
    assert_eq!(b.eval("location.pathname + location.search"), "/check?lang=en");
    assert_eq!(b.eval("document.querySelector('#link').value"), format!("https://max.ru/join/{}", s.token));
    let asked = b.asked();
    assert!(asked.iter().any(|a| a.url.contains("/check")), "{asked:?}");
    for a in &asked {
        let sent = a.url.split('#').next().unwrap();
        assert!(!sent.contains(&s.token) && a.body.as_ref().is_none_or(|b| !b.contains(&s.token)), "{a:?}");
    }
    // What is no chat's link is told here, and nothing is asked.
    for (lang, says) in [("", "Это не ссылка на чат MAX"), ("?lang=en", "Not a link to a MAX chat")] {
        b.open(&format!("{url}/{lang}"));
        let before = b.asked().len();
        let fake = format!("https://max.ru.evil.example/join/{}", s.token);
        b.eval(&format!("document.querySelector('#q').value = {}", json!(fake)));
        b.eval("document.querySelector('form.ask').requestSubmit(), 0");
        b.until("document.querySelector('#local h2')");
        assert!(b.text().contains(says), "{}", b.text());
        assert_eq!(b.asked().len(), before);
        assert_eq!(violations(&mut b), json!([]));
    }
    b.screenshot("home-local-not-a-link");

    // An address: proposals, by keyboard alone, and then the building's page.
    b.open(&format!("{url}/"));
    b.eval("document.querySelector('#q').focus(), 0");
    b.call("Input.insertText", json!({ "text": SPOKEN }));
    b.until("document.querySelector('#q').ariaExpanded === 'true'");
    assert_eq!(violations(&mut b), json!([]));
    b.screenshot("home-proposals");
    assert_eq!(b.eval("document.querySelector('#proposals li').textContent"), s.address.as_str());
    for (key, code) in [("ArrowDown", 40), ("Enter", 13)] {
        b.events.clear();
        for kind in ["rawKeyDown", "keyUp"] {
            let pressed = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            b.call("Input.dispatchKeyEvent", pressed);
        }
        if key == "ArrowDown" {
            assert_eq!(b.eval("document.querySelector('#q').getAttribute('aria-activedescendant')"), "proposal-0");
        }
    }
    b.wait_for("Page.loadEventFired", 0);
    assert_eq!(b.eval("decodeURIComponent(location.pathname)"), format!("/building/{}", s.building));
    // Nobody is asked about a link while it is typed, nor about what is too short.
    b.open(&format!("{url}/"));
    for text in [format!("max.ru/join/{}", s.token), s.token.clone(), "ле".into()] {
        let before = b.asked().len();
        b.eval(&format!("document.querySelector('#q').value = {}", json!(text)));
        b.eval("document.querySelector('#q').dispatchEvent(new Event('input')), new Promise(r => setTimeout(r, 400))");
        assert_eq!(b.asked().len(), before, "{text}");
    }

    // Without scripts the same address is a list of links.
    for (lang, suffix) in [("ru", ""), ("en", "?lang=en")] {
        b.scripts(false);
        send(&mut b, &s, &format!("/{suffix}"), SPOKEN);
        b.scripts(true);
        sound(&mut b, &s, &format!("answer-houses-{lang}"));
        assert_eq!(b.eval("document.querySelector('.houses a').textContent"), s.address.as_str());
    }
}

/// Chromium on Linux has no reader of codes of its own, so that one stands in for it here, which says what it is told; the page,
/// the photo and the way to the check are real.
#[test]
fn a_posters_code_is_read_where_the_browser_can_read_codes() {
    let s = scene();
    let url = s.node.url();
    let mut b = Browser::start();
    b.open(&format!("{url}/"));
    assert_eq!(b.eval("document.querySelector('#qr').hidden"), true, "no reader, no offer");
    let photo = b.screenshot("home-without-reader");

    let reader =
        "window.BarcodeDetector = class { async detect() { return window.code ? [{ rawValue: window.code }] : []; } };";
    b.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": reader }));
    for code in [format!("{url}/check#{}", s.token), format!("https://max.ru/join/{}", s.token)] {
        b.open(&format!("{url}/"));
        b.until("!document.querySelector('#qr').hidden");
        assert_eq!(violations(&mut b), json!([]));
        b.choose_file("#photo", &photo);
        b.until(
            "document.querySelector('#qr [role=status]').textContent === document.querySelector('#qr').dataset.none",
        );
        // The same file again would be no change.
        let other = b.screenshot("home-reader");
        b.eval(&format!("window.code = {}, 0", json!(code)));
        b.choose_file("#photo", &other);
        b.until("location.pathname === '/check' && document.querySelector('#link')?.value");
        assert_eq!(b.eval("document.querySelector('#link').value"), format!("https://max.ru/join/{}", s.token));
        assert!(b.asked().iter().all(|a| !a.url.split('#').next().unwrap().contains(&s.token)));
    }
    // Somebody else's page is no chat's link, whatever token it carries; and without a camera that is said.
    b.open(&format!("{url}/"));
    b.eval(&format!("window.code = {}, 0", json!(format!("https://fake.example/check#{}", s.token))));
    b.choose_file("#photo", &photo);
    b.until("document.querySelector('#local h2')");
    b.eval("document.querySelector('#qr button').click(), 0");
    b.until("document.querySelector('#qr [role=status]').textContent === document.querySelector('#qr').dataset.camera");
    assert!(b.asked().iter().all(|a| a.url.starts_with(&url)));
}
