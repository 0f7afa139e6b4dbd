//! Dossiers: what they prove on five days, that nothing else passes for one, and what a person reads.

mod refused;
mod scene;

use domovoi::federation::chain::CharterChain;
use domovoi::node::dossier::{Opened, open};
use domovoi::node::log_view::When;
use domovoi::registry::facts::{ChatStatus, Facts};
use domovoi::registry::record::Subject;
use domovoi::registry::text::{Day, Millis};

use crate::regions::{MOSCOW, OBLAST, building, link, ms};
use scene::{company, date, moved, node};

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
        // On the 15th the register did not know yet what is known today.
        assert_eq!(part(2).contains("То же самое"), day > date("2026-09-20") && day != date("2026-10-15"), "{day}");
        for entry in p.in_order() {
            assert!(russian.contains(&format!("   {}. {}", entry.1.link.index, entry.1.link.record.body.type_name())));
        }
        assert!(russian.contains(&"05".repeat(32)) == russian.contains("5-р"));
    }
}
