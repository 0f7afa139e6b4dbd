//! Every answer of domain.md, brought about by records of real logs: the state, who stands behind it, since when, on what
//! document, which records prove it, how fresh it is, in both languages.

use std::collections::BTreeSet;

use domovoi::node::answer::Question;
use domovoi::node::log_view::When;
use domovoi::node::verdict::{Verdict, VerdictState};
use domovoi::registry::body::*;
use domovoi::registry::ids::{BuildingId, ChatNumber, RegionCode};
use domovoi::registry::link::NotChat;
use domovoi::registry::regions;
use domovoi::registry::state::{Jurisdiction, View};

use super::answers::*;
use super::rules::world::*;

const HOUR: u64 = 3_600_000;

/// What every answer has to have.
fn complete(v: &Verdict) {
    for said in [&v.text, &v.advice] {
        assert!(said.ru.chars().any(|c| ('а'..='я').contains(&c)) && said.ru.ends_with('.'), "{}", said.ru);
        assert!(said.en.is_ascii() || !said.en.chars().all(|c| ('а'..='я').contains(&c)), "{}", said.en);
    }
    assert!(v.advice.ru.ends_with("не просит код из СМС.") && v.advice.en.ends_with("asks for a code from an SMS."));
    assert!(!v.freshness.is_empty(), "{v:?}");
}

/// And what an answer about something on record has besides.
fn on_record(v: &Verdict) {
    complete(v);
    let behind = v.behind.as_ref().expect("somebody stands behind it");
    assert!(behind.authority.is_some() && behind.name.as_ref().is_some_and(|n| !n.is_empty()), "{behind:?}");
    assert!(behind.since.is_some() && v.recorded.is_some(), "{v:?}");
    assert!(!v.evidence.is_empty());
    for e in &v.evidence {
        assert!(v.freshness.iter().any(|f| f.log == e.log && e.index < f.size), "{e:?}");
    }
}

fn asked(m: &Ministry, question: Question, house: usize) -> Verdict {
    m.node.verdict(&question, Some(&building(house)), When::default()).unwrap()
}

fn number(w: &World, id: u8) -> ChatNumber {
    ChatNumber::derive(w.state.jurisdiction().region, &[id; 32])
}

/// A region of its own that knows nothing.
fn empty(code: RegionCode) -> World {
    let j =
        Jurisdiction { origin: format!("test.example/log/{code}").as_str().into(), region: code, ..jurisdiction(1) };
    let mut w = World::of(j, START);
    w.commit();
    w
}

#[test]
fn official_answers_name_owner_document_and_records() {
    let mut w = region();
    let mut body = chat_over(0, &[0], ChatKind::House, 1);
    body.title = text("Дом 0");
    let mut draft = w.draft(Body::ChatRegistered(body), Some(day(1)));
    draft.basis = Some(basis());
    w.offer(&World::sign(draft, &[&operator()])).unwrap();
    chat(&mut w, 0, ChatKind::Entrance, 2, 1);
    w.commit();
    let m = Ministry::of(&[(&w, 0)]);
    let v = m.ask(by_link(1));
    on_record(&v);
    assert_eq!((v.state, v.covers_yours), (VerdictState::Official, None));
    let behind = v.behind.clone().unwrap();
    assert_eq!((behind.authority, behind.since), (Some(authority(0)), Some(day(1))));
    assert_eq!(behind.basis.unwrap().number, Some(text("17-р")));
    assert_eq!(v.evidence.len(), 1, "one record began it, gave it its owner and is its last one");
    let (log, index) = (&w.log, v.evidence[0].index as usize);
    assert!(log[index].len() > 100 && v.evidence[0].subject == format!("chat:{}", v.chats[0].chat));
    assert!(v.recorded.unwrap().en.contains("17-р"));
    let entrance = m.ask(by_link(2));
    assert_eq!(entrance.state, VerdictState::Official);
    assert!(entrance.text.ru.contains("чат подъезда 1") && entrance.text.en.contains("entrance 1"));
    // The same by number, by house, and for whoever names his house.
    assert_eq!(m.state(Question::Chat(v.chats[0].chat)), VerdictState::Official);
    let by_house = m.ask(Question::Building(building(0)));
    assert_eq!((by_house.state, by_house.covers_yours), (VerdictState::Official, Some(true)));
    assert_eq!(asked(&m, by_link(1), 0).covers_yours, Some(true));
    // Another house, one that the register knows and one that it does not.
    let other = asked(&m, by_link(1), 3);
    on_record(&other);
    assert_eq!((other.state, other.covers_yours), (VerdictState::OfficialOtherHouse, Some(false)));
    assert!(other.notes.is_empty());
    let unknown = asked(&m, by_link(1), 99);
    assert_eq!(unknown.state, VerdictState::OfficialOtherHouse);
    assert!(unknown.notes.iter().any(|n| n.ru.contains(&building(99).to_string())));
}

#[test]
fn a_chat_of_several_houses_says_whether_yours_is_one() {
    let mut w = region();
    say(&mut w, Body::ChatRegistered(chat_over(0, &[0, 1, 2], ChatKind::House, 1)), 1);
    w.commit();
    let m = Ministry::of(&[(&w, 0)]);
    let open = m.ask(by_link(1));
    on_record(&open);
    assert_eq!((open.state, open.covers_yours), (VerdictState::OfficialCoversSeveral, None));
    assert!(open.text.ru.contains("всего 3") && open.text.ru.contains("назовите свой дом"), "{}", open.text.ru);
    let yours = asked(&m, by_link(1), 2);
    assert_eq!((yours.state, yours.covers_yours), (VerdictState::OfficialCoversSeveral, Some(true)));
    assert!(yours.text.ru.contains("ваш дом среди них") && yours.text.en.contains("your house is one of them"));
    assert!(yours.advice.ru.starts_with("Можно пользоваться"));
    let not = asked(&m, by_link(1), 3);
    assert_eq!((not.state, not.covers_yours), (VerdictState::OfficialOtherHouse, Some(false)));
    let house = m.ask(Question::Building(building(1)));
    assert_eq!((house.state, house.covers_yours), (VerdictState::OfficialCoversSeveral, Some(true)));
}

#[test]
fn a_recent_change_of_management_or_owner_is_said_and_the_chat_stays_official() {
    let mut w = region();
    for (house, handle) in [(0, 1), (1, 2)] {
        chat(&mut w, house, ChatKind::House, handle, 1);
    }
    let first = say(&mut w, assigned(0, Some(company(0))), 2);
    say(&mut w, Body::ManagementEnded(ManagementEnded { building: building(0), management: first, goes_on: None }), 40);
    say(&mut w, assigned(0, Some(company(1))), 40);
    let moved = w.state.jurisdiction().region;
    w.commit();
    let n = {
        let all = w.state.chats_by_link(&link(2));
        *all.iter().next().unwrap()
    };
    assert_eq!(n.region(), moved);
    let entry = w.entry(transfer(n, 0, 1), Some(day(50)), &[&operator(), &authority_key(1, 0)]);
    w.offer(&entry).unwrap();
    w.commit();
    let m = Ministry::of(&[(&w, 0)]);
    let on = |q: Question, d: usize| {
        let v = m.node.verdict(&q, None, When { as_of: Some(day(d)), known_at: None }).unwrap();
        on_record(&v);
        v
    };
    let changed = on(by_link(1), 45);
    assert_eq!(changed.state, VerdictState::ManagementChanged);
    assert_eq!(changed.behind.unwrap().authority, Some(authority(0)), "the owner did not change");
    assert_eq!(on(by_link(1), 39).state, VerdictState::Official);
    assert_eq!(on(by_link(1), 160).state, VerdictState::Official, "no longer recent");
    let transferred = on(by_link(2), 51);
    assert_eq!(transferred.state, VerdictState::Transferred);
    assert_eq!((transferred.chats[0].owners.len(), transferred.evidence.len()), (2, 2), "the chain is shown");
    assert_eq!(transferred.behind.unwrap().authority, Some(authority(1)));
    assert_eq!(on(by_link(2), 49).state, VerdictState::Official);
}

#[test]
fn what_was_official_says_since_when_and_why_not_any_more() {
    let mut w = region();
    let chats: Vec<ChatNumber> = (0..5).map(|n| chat(&mut w, n, ChatKind::House, n + 1, 1)).collect();
    let successor = chat(&mut w, 2, ChatKind::Complex, 30, 1);
    w.commit();
    let compromised = ChatStanding { chat: chats[0], reason: StandingReason::Compromised };
    say(&mut w, Body::ChatSuspended(compromised), 5);
    say(&mut w, Body::ChatClosed(ChatStanding { chat: chats[1], reason: StandingReason::Decision }), 6);
    say(&mut w, Body::ChatReplaced(ChatReplaced { chat: chats[2], successor }), 7);
    let rotated = ChatAmended { link: Some(link(40)), ..amended(chats[4]) };
    say(&mut w, Body::ChatAmended(rotated), 8);
    w.commit();
    let m = Ministry::of(&[(&w, 0)]);
    let ask = |n: usize| {
        let v = m.ask(by_link(n));
        on_record(&v);
        assert!(v.evidence.len() >= 2, "what began it and what ended it: {:?}", v.evidence);
        v
    };
    let suspended = ask(1);
    assert_eq!(suspended.state, VerdictState::Suspended);
    let recorded = suspended.recorded.unwrap().ru;
    assert!(recorded.contains("захвачен") && recorded.contains(&day(5).to_string()), "{recorded}");
    let closed = ask(2);
    assert_eq!(closed.state, VerdictState::Closed);
    assert!(closed.recorded.unwrap().en.contains("by decision"));
    let replaced = ask(3);
    assert_eq!((replaced.state, replaced.chats[0].latest), (VerdictState::Superseded, Some(successor)));
    let old = ask(5);
    assert_eq!((old.state, old.chats[0].chat), (VerdictState::LinkRotated, chats[4]));
    assert_eq!((m.state(by_link(40)), m.on(by_link(5), day(7))), (VerdictState::Official, VerdictState::Official));
    // Whoever asks for a house's chat learns that it has none, and sees the closed one.
    let house = m.ask(Question::Building(building(1)));
    complete(&house);
    assert_eq!((house.state, house.chats[0].chat), (VerdictState::HouseWithoutChat, chats[1]));
    assert!(!house.evidence.is_empty() && house.evidence[0].subject.starts_with("building:"));
    // While the owner is suspended, nothing of his is called official.
    decree(
        &mut w,
        Body::AuthoritySuspended(AuthoritySuspended { authority: authority(0), reason: StandingReason::Decision }),
        20,
    );
    w.commit();
    let m = Ministry::of(&[(&w, 0)]);
    let owner = m.ask(by_link(4));
    assert_eq!(owner.state, VerdictState::Suspended);
    assert!(owner.recorded.unwrap().ru.contains("Полномочия владельца приостановлены"));
}

#[test]
fn declared_chats_and_houses_without_one() {
    let mut w = region();
    say(&mut w, declared_over(0, &[2], ChatKind::House, 3), 3);
    let threshold = ApplicabilitySet { region: RegionCode::new(77).unwrap(), above_flats: 12 };
    decree(&mut w, Body::ApplicabilitySet(threshold), 10);
    w.commit();
    let m = Ministry::of(&[(&w, 0)]);
    for question in [by_link(3), Question::Building(building(2))] {
        let pending = m.ask(question);
        on_record(&pending);
        assert_eq!(pending.state, VerdictState::PendingHandover);
    }
    for (n, state) in [(0, VerdictState::HouseWithoutChat), (5, VerdictState::ChatNotRequired)] {
        let v = m.ask(Question::Building(building(n)));
        complete(&v);
        assert_eq!(v.state, state);
        let behind = v.behind.unwrap();
        assert_eq!((behind.since, behind.basis.is_some()), (Some(day(10)), true), "the rule and its document");
        let subjects: Vec<&str> = v.evidence.iter().map(|e| e.subject.as_str()).collect();
        assert_eq!(subjects.len(), 2, "{subjects:?}");
        assert_eq!(subjects[1], "applicability:77");
    }
}

#[test]
fn imitations_and_bots_name_who_says_so() {
    let mut w = region();
    let official = chat(&mut w, 0, ChatKind::House, 1, 1);
    say(&mut w, flagged(50, official, Certainty::Reported), 5);
    say(&mut w, flagged(51, official, Certainty::Confirmed), 5);
    let name = BotName::new("@dom_bot").unwrap();
    let attested = BotAttested { bot: name.clone(), title: text("Бот"), authority: authority(0), chats: None };
    say(&mut w, Body::BotAttested(attested), 3);
    w.commit();
    let (m, late) = (Ministry::of(&[(&w, 0)]), Ministry::of(&[(&w, 49 * HOUR)]));
    for (question, state) in [
        (by_link(50), VerdictState::ImitationReported),
        (by_link(51), VerdictState::ImitationConfirmed),
        (Question::Bot(name), VerdictState::BotOfficial),
    ] {
        let v = m.ask(question.clone());
        on_record(&v);
        assert_eq!(v.state, state);
        assert!(v.text.ru.contains("ГЖИ"), "{}", v.text.ru);
        let v = late.ask(question);
        on_record(&v);
        assert_eq!((v.state, v.last_known), (VerdictState::Stale, Some(state)));
        assert!(v.text.ru.contains("2 дня") && v.text.ru.contains("ГЖИ"), "{}", v.text.ru);
    }
    let unknown = m.ask(Question::Bot(BotName::new("@other").unwrap()));
    complete(&unknown);
    assert_eq!(unknown.state, VerdictState::BotUnknown);
    assert!(unknown.text.ru.contains("1 из 89") && unknown.missing.len() == 88);
    assert_eq!(late.state(Question::Bot(BotName::new("@other").unwrap())), VerdictState::BotUnknown);
}

#[test]
fn what_is_stale_says_its_age_and_what_it_was() {
    let mut w = region();
    chat(&mut w, 0, ChatKind::House, 1, 1);
    w.commit();
    for (age, said) in [(30 * HOUR, ("30 часов", "30 hours")), (21 * 24 * HOUR, ("21 день", "21 days"))] {
        let m = Ministry::of(&[(&w, age)]);
        let v = m.ask(by_link(1));
        on_record(&v);
        assert_eq!((v.state, v.last_known), (VerdictState::Stale, Some(VerdictState::Official)));
        assert!(v.text.ru.contains(said.0) && v.text.en.contains(said.1), "{}", v.text.ru);
        assert!(v.text.ru.contains("Последнее, что известно: Официальный чат"), "{}", v.text.ru);
        let house = m.ask(Question::Building(building(3)));
        assert_eq!((house.state, house.last_known), (VerdictState::Stale, Some(VerdictState::HouseWithoutChat)));
        assert!(house.text.ru.contains(said.0), "{}", house.text.ru);
        // What that region alone could have is not known; it is never "not registered".
        let v = m.ask(Question::Chat(number(&w, 9)));
        complete(&v);
        assert_eq!((v.state, v.missing.len()), (VerdictState::Stale, 1));
        assert!(v.text.ru.contains(said.0) && v.text.ru.contains("такого чата"), "{}", v.text.ru);
    }
    let fresh = Ministry::of(&[(&w, 23 * HOUR)]);
    assert_eq!((fresh.state(by_link(1)), fresh.ask(by_link(1)).last_known), (VerdictState::Official, None));
}

#[test]
fn absence_proves_something_only_where_every_region_is_there_and_fresh() {
    let w = region();
    let m = Ministry::of(&[(&w, 0)]);
    let unknown = m.ask(by_link(77));
    complete(&unknown);
    assert_eq!((unknown.state, unknown.missing.len()), (VerdictState::RegionNotConnected, 88));
    assert!(
        unknown.text.ru.contains("Подключено регионов: 1 из 89; нет данных регионов: 01, 02"),
        "{}",
        unknown.text.ru
    );
    assert!(unknown.text.en.contains("and 80 more"), "{}", unknown.text.en);
    let house = m.ask(Question::Building(building(99)));
    complete(&house);
    assert_eq!(house.state, VerdictState::RegionNotConnected);
    assert!(house.text.ru.contains("такого дома") && house.text.en.contains("no such building"), "{}", house.text.ru);
    // A number says which region it is of: its own log answers for it, and no other.
    let own = m.ask(Question::Chat(number(&w, 9)));
    complete(&own);
    assert_eq!((own.state, own.missing.len()), (VerdictState::NotRegistered, 0));
    let tver = RegionCode::new(69).unwrap();
    let other = m.ask(Question::Chat(ChatNumber::derive(tver, &[9; 32])));
    complete(&other);
    assert_eq!((other.state, other.missing.as_slice()), (VerdictState::RegionNotConnected, [tver].as_slice()));
    assert!(other.text.ru.contains("69") && other.text.ru.contains("Тверская"), "{}", other.text.ru);

    let worlds: Vec<World> = regions::all().iter().map(|r| empty(r.code)).collect();
    let all: Vec<(&World, u64)> = worlds.iter().map(|w| (w, 0)).collect();
    let m = Ministry::of(&all);
    for (question, what) in [(by_link(77), "такого чата"), (Question::Building(building(99)), "такого дома")]
    {
        let v = m.ask(question);
        complete(&v);
        assert_eq!((v.state, v.missing.len()), (VerdictState::NotRegistered, 0));
        assert!(v.text.ru.contains(what) && v.text.ru.contains("89 из 89"), "{}", v.text.ru);
    }
    let m = Ministry::of(&all[1..]);
    let v = m.ask(by_link(77));
    assert_eq!(
        (v.state, v.missing.as_slice()),
        (VerdictState::RegionNotConnected, [regions::all()[0].code].as_slice())
    );
    let mut late = all.clone();
    late[3].1 = 26 * HOUR;
    let m = Ministry::of(&late);
    let v = m.ask(by_link(77));
    complete(&v);
    assert_eq!((v.state, v.missing.as_slice()), (VerdictState::Stale, [regions::all()[3].code].as_slice()));
    assert!(v.text.ru.starts_with("Неизвестно") && v.text.ru.contains("26 часов"), "{}", v.text.ru);
}

#[test]
fn what_is_no_chat_link_says_why() {
    let m = Ministry::of(&[(&region(), 0)]);
    let token = "A".repeat(43);
    for (pasted, why, state) in [
        ("https://clck.ru/3ABCD".to_owned(), NotChat::Shortener, VerdictState::NotAChatLink),
        (format!("https://evil.example/?max.ru/join/{token}"), NotChat::Foreign, VerdictState::NotAChatLink),
        ("наш чат".to_owned(), NotChat::NoLink, VerdictState::NotAChatLink),
        (format!("https://mаx.ru/join/{token}"), NotChat::Lookalike, VerdictState::Lookalike),
        (format!("https://max.ru.evil.example/join/{token}"), NotChat::Lookalike, VerdictState::Lookalike),
    ] {
        let v = m.ask(Question::Link(pasted));
        complete(&v);
        assert_eq!((v.state, v.not_chat), (state, Some(why)));
        assert!(v.text.ru.contains(why.ru()) && v.text.en.contains(why.en()), "{}", v.text.ru);
    }
    let real = m.ask(Question::Link(format!("Наш чат: max.ru/join/{token}.")));
    assert_eq!((real.state, real.not_chat), (VerdictState::RegionNotConnected, None));
}

#[test]
fn a_house_that_left_the_register_says_so() {
    let mut w = region();
    let retired = BuildingRetired { building: building(4), reason: RetireReason::Demolished, into: None };
    say(&mut w, Body::BuildingRetired(retired), 10);
    w.commit();
    let m = Ministry::of(&[(&w, 0)]);
    let v = m.ask(Question::Building(building(4)));
    complete(&v);
    assert!(v.notes.iter().any(|n| n.ru.contains("снят с учёта")), "{v:?}");
    let _: BuildingId = v.house.unwrap().building;
}

#[test]
fn what_looks_official_and_is_not_is_named_with_what_it_resembles() {
    let mut w = region();
    let titled = |n: usize, handle: usize, title: &str| {
        let mut body = chat_over(0, &[n], ChatKind::House, handle);
        body.title = text(title);
        Body::ChatRegistered(body)
    };
    say(&mut w, titled(0, 1, "Чат дома Ленина, 5"), 1);
    let bot = BotName::new("@dom_bot").unwrap();
    let attested = BotAttested { bot: bot.clone(), title: text("Бот"), authority: authority(0), chats: None };
    say(&mut w, Body::BotAttested(attested), 3);
    w.commit();
    let m = Ministry::of(&[(&w, 0)]);
    let ask =
        |n: usize, title: &str| m.node.verdict_of_titled(&by_link(n), Some(title), None, When::default()).unwrap();
    // Latin letters, another case, other punctuation, the very same title.
    for title in ["Чaт дoма Лeнинa, 5", "ЧАТ ДОМА ЛЕНИНА 5", "Чат дома Ленина, 5"] {
        let v = ask(77, title);
        complete(&v);
        assert_eq!(v.state, VerdictState::Lookalike, "{title}");
        assert_eq!(v.resembles[0].title, "Чат дома Ленина, 5");
        assert!(v.text.ru.contains(&v.resembles[0].official) && v.behind.is_none());
    }
    assert_eq!(ask(77, "Чат дома Ленина, 6").state, VerdictState::RegionNotConnected);
    assert_eq!(ask(77, "…").state, VerdictState::RegionNotConnected);
    assert_eq!(
        ask(1, "Чaт дoма Лeнинa, 5").state,
        VerdictState::Official,
        "the link says what it is, whatever it is called"
    );

    for name in ["@d0m_bot", "@dom_b0t", "@dorn_bot"] {
        let v = m.ask(Question::Bot(BotName::new(name).unwrap()));
        complete(&v);
        assert_eq!((v.state, v.resembles[0].official.as_str()), (VerdictState::Lookalike, "@dom_bot"), "{name}");
    }
    assert_eq!(m.state(Question::BotText("@dоm_bot".into())), VerdictState::Lookalike);
    assert_eq!(m.state(Question::BotText("@дом_бот".into())), VerdictState::BotUnknown);
    assert_eq!(m.state(Question::Bot(BotName::new("@cat_bot").unwrap())), VerdictState::BotUnknown);
    assert_eq!(m.state(Question::Bot(bot.clone())), VerdictState::BotOfficial, "itself is no lookalike");

    // A title that was flagged is named as what it is.
    let n = *w.state.chats_by_link(&link(1)).iter().next().unwrap();
    let imitation = Imitation::Title(text("Чат жильцов"));
    let flagged = ImpersonationFlagged { imitation, imitates: n, certainty: Certainty::Reported };
    say(&mut w, Body::ImpersonationFlagged(flagged), 8);
    w.commit();
    let m = Ministry::of(&[(&w, 0)]);
    let ask =
        |n: usize, title: &str| m.node.verdict_of_titled(&by_link(n), Some(title), None, When::default()).unwrap();
    assert_eq!(ask(77, "Чат жильцов").state, VerdictState::ImitationReported);
    let own = ask(1, "Чат жильцов");
    assert!(own.state == VerdictState::Official && own.flags.is_empty(), "a title changes nothing about a known link");

    // A host.
    let host = m.ask(Question::Link(format!("https://rnax.ru/join/{}", "A".repeat(43))));
    assert_eq!((host.state, host.resembles[0].official.as_str()), (VerdictState::Lookalike, "max.ru"));

    // What has ended resembles nothing any more.
    say(&mut w, Body::ChatClosed(standing(n)), 9);
    say(&mut w, Body::BotWithdrawn(BotWithdrawn { bot }), 9);
    w.commit();
    let m = Ministry::of(&[(&w, 0)]);
    let gone = m.node.verdict_of_titled(&by_link(77), Some("Чaт дoма Лeнинa, 5"), None, When::default()).unwrap();
    assert_eq!(gone.state, VerdictState::RegionNotConnected);
    assert_eq!(m.state(Question::Bot(BotName::new("@d0m_bot").unwrap())), VerdictState::BotUnknown);
}

#[test]
fn every_answer_stands_in_the_tables_of_both_manuals() {
    let schema = serde_json::to_value(<VerdictState as utoipa::PartialSchema>::schema()).unwrap();
    let states: BTreeSet<String> =
        schema["enum"].as_array().unwrap().iter().map(|s| s.as_str().unwrap().to_owned()).collect();
    assert!(states.len() > 20);
    for manual in ["manual.ru.md", "manual.en.md"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(manual);
        let text = std::fs::read_to_string(path).unwrap();
        let table = text.lines().skip_while(|l| !l.starts_with("| ответ |") && !l.starts_with("| answer |")).skip(2);
        let rows = table.take_while(|l| l.starts_with('|')).map(|l| l.split('`').nth(1).unwrap().to_owned());
        let rows: Vec<String> = rows.collect();
        assert_eq!(rows.iter().cloned().collect::<BTreeSet<_>>(), states, "docs/{manual}");
        assert_eq!(rows.len(), states.len(), "docs/{manual} has a state twice");
    }
}
