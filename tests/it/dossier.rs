//! Dossiers: what they prove on five days, that nothing else passes for one, and what a person reads.

mod bounds;
mod refused;
mod scene;

use std::process::Command;

use domovoi::federation::chain::CharterChain;
use domovoi::federation::dossier::archive;
use domovoi::node::dossier::{Opened, open};
use domovoi::node::log_view::When;
use domovoi::registry::facts::{ChatStatus, Facts};
use domovoi::registry::record::Subject;
use domovoi::registry::text::{Day, Millis};

use crate::node::{Node, free_port, run_in};
use crate::regions::{MOSCOW, OBLAST, building, first_charter, link, ms, pinned, text};
use scene::{Scene, company, date, moved, node};

/// The charter that a reader has: the first one alone.
fn trusted(charters: &[Vec<u8>]) -> CharterChain {
    CharterChain::pinned(&charters[0]).unwrap()
}

/// The last millisecond of a day in Moscow.
fn end_of(day: Day) -> Millis {
    let next = day.next().unwrap().date().to_zoned(jiff::tz::TimeZone::UTC).unwrap();
    ms(next.timestamp().as_millisecond() as u64 - 3 * 3_600_000 - 1)
}

fn chat_facts(opened: &Opened, until: u64, day: Day) -> Option<domovoi::registry::facts::ChatFacts> {
    match opened.proved.facts(&Subject::Chat(opened.proved.chat), until, Some(day))? {
        Facts::Chat(c) => Some(*c),
        _ => None,
    }
}

fn company_on(opened: &Opened, until: u64, day: Day) -> Option<u64> {
    let Facts::Building(b) = opened.proved.facts(&Subject::Building(building(1)), until, Some(day))? else { panic!() };
    let one = b.managements_on(day).next()?.organisation.clone()?;
    (1..=3).find(|n| company(*n) == one)
}

/// What is written here by hand is what the log says of five days, recorded by then and known today; and of every subject the
/// dossier says what the node itself says as of that day.
#[test]
fn a_dossier_says_of_a_day_what_was_recorded_and_what_was_true() {
    let (scene, _dir, node) = node();
    let view = node.own().unwrap();
    let moscow = |n| MOSCOW.authority(n);
    // Day; recorded by its end: company, link, standing; known today: company, standing; owners by then.
    let days = [
        ("2026-09-20", None, None, (Some(1), Some(ChatStatus::Official)), 1),
        ("2026-09-22", Some((1, 1, ChatStatus::Official)), Some(1), (Some(1), Some(ChatStatus::Official)), 1),
        ("2026-10-03", Some((2, 11, ChatStatus::Official)), Some(2), (Some(2), Some(ChatStatus::Official)), 1),
        ("2026-10-06", Some((2, 11, ChatStatus::Suspended)), Some(2), (Some(2), Some(ChatStatus::Suspended)), 1),
        ("2026-10-15", Some((2, 11, ChatStatus::Official)), Some(2), (Some(3), Some(ChatStatus::Official)), 2),
        ("2026-11-01", Some((3, 11, ChatStatus::Official)), Some(3), (Some(3), Some(ChatStatus::Official)), 2),
    ];
    for (day, recorded, then_company, (now_company, now_status), owners) in days {
        let day = date(day);
        let bytes = node.dossier(scene.chat, day, None).unwrap();
        let opened = open(&bytes, &trusted(&scene.charters), &[]).unwrap();
        let p = &opened.proved;
        assert_eq!((p.chat, p.as_of, p.head.size), (scene.chat, day, scene.region.log.len() as u64));
        let until = p.then.map_or(0, |c| c.size);
        assert_eq!(p.then.is_some(), recorded.is_some(), "{day}");
        let then = chat_facts(&opened, until, day);
        assert_eq!(then.is_some(), recorded.is_some());
        if let (Some(chat), Some((n, handle, status))) = (&then, recorded) {
            assert_eq!((chat.link, chat.status_on(day).unwrap().status), (Some(link(handle)), status), "{day}");
            assert_eq!(company_on(&opened, until, day), Some(n), "{day}");
            assert_eq!(then_company, Some(n));
        }
        let now = chat_facts(&opened, u64::MAX, day).unwrap();
        assert_eq!(now.status_on(day).map(|s| s.status), now_status, "{day}");
        assert_eq!(company_on(&opened, u64::MAX, day), now_company, "{day}");
        assert_eq!(now.owner().unwrap().authority, moscow(0));
        // As the node itself folds every subject, both ways.
        for subject in p.records.keys() {
            for (until, known_at) in [(until, Some(end_of(day))), (u64::MAX, None)] {
                let node_says = view.entry_when(subject, When { as_of: Some(day), known_at }).unwrap().map(|e| e.facts);
                assert_eq!(p.facts(subject, until, Some(day)), node_says, "{subject} on {day}");
            }
        }
        // What a person reads.
        let russian = opened.summary.split("====").next().unwrap();
        let part = |n: usize| {
            let from = russian.find(&format!("\n{n}. ")).unwrap();
            let to = russian[from + 1..].find(&format!("\n{}. ", n + 1)).unwrap();
            &russian[from..from + 1 + to]
        };
        assert_eq!(part(3).matches("Владелец").count(), 2, "{}", part(3));
        let seen = if part(2).contains("То же самое") { part(1) } else { part(2) };
        assert_eq!(seen.matches("Владелец").count(), owners, "{day}: {seen}");
        match recorded {
            None => assert!(part(1).contains("не записано ничего"), "{}", part(1)),
            Some((n, ..)) => {
                let name = ["Первая", "Вторая", "Третья"][n as usize - 1];
                assert!(part(1).contains(&format!("УК {name}")), "{}", part(1));
                assert_eq!(part(1).contains("приостановлен,"), day == date("2026-10-06"), "{}", part(1));
            }
        }
        // The services, the new title and link have no day: they count for every day once they are recorded. On the 15th the
        // register did not know yet, besides, that the company had changed.
        assert_eq!(part(2).contains("То же самое"), day == date("2026-11-01"), "{day}");
        for entry in p.in_order() {
            assert!(russian.contains(&format!("   {}. {}", entry.1.link.index, entry.1.link.record.body.type_name())));
        }
        assert!(russian.contains(&"05".repeat(32)) == russian.contains("5-р"));
    }
}

/// Each log has its part of the story, and says where the other part is.
#[test]
fn a_chat_that_moved_has_a_dossier_in_both_logs() {
    let (trusted, nodes, chat) = moved();
    let today = date("2026-11-01");
    for ((_dir, node), place) in nodes.iter().zip([MOSCOW, OBLAST]) {
        let bytes = node.dossier(chat, today, None).unwrap();
        let opened = open(&bytes, &trusted, &[]).unwrap();
        assert_eq!(opened.proved.log, place.origin());
        let facts = chat_facts(&opened, u64::MAX, today).unwrap();
        let (status, said) = match place.code {
            77 => (ChatStatus::Moved, format!("Передан в журнал {}", OBLAST.origin())),
            _ => (ChatStatus::Official, format!("Получен из журнала {}", MOSCOW.origin())),
        };
        assert_eq!(facts.status(), status);
        assert_eq!(facts.owner().unwrap().authority, place.authority(0));
        assert!(opened.summary.contains(&said), "{}", opened.summary);
        // Neither of the two passes for the other's.
        let other = CharterChain::pinned(&first_charter(&[TVER_ALONE], |_| {})).unwrap();
        assert!(open(&bytes, &other, &[]).is_err());
    }
}

const TVER_ALONE: crate::regions::Place = crate::regions::TVER;

#[test]
fn what_cannot_be_made_is_said() {
    let (scene, _dir, node) = node();
    let code = |chat, day: &str, log| node.dossier(chat, date(day), log).unwrap_err().code();
    assert_eq!(code(scene.chat, "2199-01-01", None), "dossier.date");
    assert_eq!(code("77-0000-0000-0000".parse().unwrap(), "2026-10-01", None), "lookup.unknown");
    assert_eq!(code(scene.chat, "2026-10-01", Some("log.example/99")), "lookup.log");
}

/// A record that came in by a key which was reported compromised afterwards is there, verifies, and is marked.
#[test]
fn what_a_compromised_key_signed_is_marked() {
    use domovoi::registry::body::{Body, KeyRevoked, RevokeReason};
    use domovoi::registry::signature::PublicKey;
    let mut scene = Scene::new();
    let key = PublicKey::of(&MOSCOW.operator(1)).thumb();
    let revoked = KeyRevoked { key, reason: RevokeReason::Compromised, suspect_from: Some(40) };
    scene.region.say(Body::KeyRevoked(revoked), None, &[&crate::regions::key(110)]);
    let dir = tempfile::tempdir().unwrap();
    scene.write(dir.path());
    let node = scene::open(dir.path());
    let bytes = node.dossier(scene.chat, date("2026-11-01"), None).unwrap();
    let opened = open(&bytes, &trusted(&scene.charters), &[]).unwrap();
    let marked: Vec<u64> =
        opened.proved.in_order().iter().filter(|(_, r)| r.suspect).map(|(_, r)| r.link.index).collect();
    assert!(!marked.is_empty() && marked.iter().all(|i| *i >= 40), "{marked:?}");
    assert_eq!(opened.summary.matches("ПОД СОМНЕНИЕМ").count(), marked.len());
}

/// What a real node gives over the network, and its own command verifies with nothing but the first charter: the same as
/// `show` says of that day. Then as far as standard tools go, by the very commands of the manual.
#[test]
fn a_node_gives_a_dossier_and_it_verifies_by_the_charter_alone() {
    let scene = Scene::new();
    let mut node = Node::over(tempfile::tempdir().unwrap(), free_port());
    let data = node.data();
    scene.write(&data);
    let config = format!("[node]\ndata_dir = \".\"\n[http]\nlisten = [\"127.0.0.1:{}\"]\n", node.port);
    std::fs::write(data.join("domovoi.toml"), config).unwrap();
    node.start();
    let (chat, day) = (scene.chat.to_string(), "2026-10-06");
    let made = node.run(&["dossier", &chat, "--as-of", day, "--out", "d.zip"]).json();
    assert_eq!(made["log"], "log.example/77");
    let answer = node.get(&format!("/api/v1/dossiers/{chat}?as_of={day}"));
    assert_eq!((answer.status, answer.kind.as_str()), (200, "application/zip"));
    node.get(&format!("/api/v1/dossiers/{chat}")).problem(400, "query.invalid");
    node.get(&format!("/api/v1/dossiers/{chat}?as_of=2026-13-01")).problem(422, "day.invalid");
    node.get("/api/v1/dossiers/77-0000-0000-0000?as_of=2026-10-06").problem(404, "lookup.unknown");
    // Of that day, as was recorded by its end in the region: `show` takes days of UTC, so the moment is given.
    let known = end_of(date(day)).get();
    let shown = node.get(&format!("/api/v1/chats/{chat}?as_of={day}&known_at={known}")).json();
    node.stop();

    let folder = data.parent().unwrap();
    std::fs::write(folder.join("charter.json"), &scene.charters[0]).unwrap();
    let elsewhere = folder.join("elsewhere");
    let verified = run_in(&elsewhere, &["--json", "verify", "d.zip", "--charter", "charter.json"]).json();
    assert_eq!((&verified["chat"], &verified["as_of"]), (&chat.clone().into(), &day.into()));
    let summary = verified["summary"].as_str().unwrap();
    let part = &summary[..summary.find("\n2. ").unwrap()];
    assert_eq!(shown["status"], "suspended");
    assert!(part.contains("приостановлен, с: 2026-10-05"), "{part}");
    assert!(part.contains(shown["owner_name"].as_str().unwrap()) && part.contains(shown["owner"].as_str().unwrap()));
    assert!(part.contains(shown["title"].as_str().unwrap()));
    assert!(part.contains(shown["link_digest"].as_str().unwrap()));
    let house = &shown["buildings"][0];
    let holds = |m: &&serde_json::Value| m["holds"] == true;
    let managers: Vec<_> = house["managements"].as_array().unwrap().iter().filter(holds).collect();
    assert_eq!(managers.len(), 1);
    assert!(
        part.contains(managers[0]["name"].as_str().unwrap()) && part.contains(managers[0]["from"].as_str().unwrap())
    );
    for administrator in shown["administrators"].as_array().unwrap() {
        let name = administrator["name"].as_str().unwrap();
        let said = part.lines().any(|l| l.contains("Администратор") && l.contains(name));
        assert_eq!(said, administrator["active"] == true || administrator["lapsed"] == true, "{name}: {part}");
    }
    let english = run_in(&elsewhere, &["--lang", "en", "verify", "d.zip", "--charter", "charter.json"]);
    assert!(
        english.ok && english.out.contains("The dossier is good.") && !english.out.contains("Владелец"),
        "{}",
        english.out
    );
    let foreign = first_charter(&[MOSCOW, OBLAST], |b| b.name = text("Другая"));
    std::fs::write(folder.join("foreign.json"), foreign).unwrap();
    let refused = run_in(&elsewhere, &["--json", "verify", "d.zip", "--charter", "foreign.json"]);
    assert_eq!(refused.code(), "charter.conflict");
    assert!(pinned(&[MOSCOW]).of_log("log.example/77").is_ok());

    // The commands of the manual.
    let manual = include_str!("../../docs/manual.ru.md");
    let from = manual.find("unzip -q dossier.zip").unwrap();
    let script = &manual[from..from + manual[from..].find("```").unwrap()];
    let commit_key = scene.chain.latest().region_by_origin("log.example/77").unwrap().commit_key.clone();
    let commit_key = serde_json::to_value(commit_key).unwrap().as_str().unwrap().to_owned();
    let script = script.replace("dossier.zip", "d.zip").replace("КЛЮЧ", &commit_key);
    let ran = Command::new("bash").args(["-euo", "pipefail", "-c", &script]).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    let files = archive::read(&std::fs::read(folder.join("d.zip")).unwrap()).unwrap();
    assert_eq!(said.matches(": OK").count(), files.len() - 2, "{said}");
    assert!(said.contains("Signature Verified Successfully"), "{said}");
    let summary_file = std::fs::read_to_string(folder.join("dossier/summary.txt")).unwrap();
    assert_eq!(summary_file, summary);
}
