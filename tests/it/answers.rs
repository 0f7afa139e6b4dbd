//! "Is this chat official?" over several regions' logs, in one process: every state of domain.md that a record can bring
//! about, and rules 9 and 10 as properties over random logs.

use std::sync::Arc;

use domovoi::federation::chain::CharterChain;
use domovoi::federation::charter::{Charter, RegionOfOne};
use domovoi::node::answer::Question;
use domovoi::node::clock::Clock;
use domovoi::node::log_view::{LogView, Role, When};
use domovoi::node::query::Reader;
use domovoi::node::sequencer::Bounds;
use domovoi::node::signing::Signing;
use domovoi::node::verdict::{Verdict, VerdictState};
use domovoi::node::{FollowStatus, Followed, Node, Opening, now_ms};
use domovoi::registry::body::*;
use domovoi::registry::facts::ChatStatus;
use domovoi::registry::ids::{ChatNumber, MaxChatId, RecordId, RegionCode};
use domovoi::registry::record::Subject;
use domovoi::registry::signature::PublicKey;
use domovoi::registry::state::{Jurisdiction, View};
use domovoi::registry::text::Day;
use domovoi::storage::log_store::LogStore;
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::note::NoteSigner;
use ed25519_dalek::SigningKey;
use parking_lot::RwLock;
use proptest::prelude::*;
use tempfile::TempDir;

use super::rules::generate::{Run, ops};
use super::rules::world::*;

/// A node without a log of its own that follows these.
pub struct Ministry {
    pub node: Node,
    _dir: TempDir,
}

impl Ministry {
    /// Follows each world; it was heard of `age` ms ago.
    pub fn of(worlds: &[(&World, u64)]) -> Ministry {
        Ministry::at(worlds, Clock::system())
    }
    /// The same, by another clock than the machine's.
    pub fn at(worlds: &[(&World, u64)], clock: Clock) -> Ministry {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("node");
        std::fs::create_dir(&data).unwrap();
        domovoi::storage::format::create(&data).unwrap();
        let bounds = Bounds { records: 1, bytes: 1 << 20, waiting: 1 };
        let opening = Opening {
            data: &data,
            passphrase: None,
            bounds,
            stale_after_hours: 24,
            confirm_restored_head: None,
            signing: Signing::allowed(),
            clock,
        };
        let node = Node::open(opening, &mut |_, _| {}).unwrap();
        for (i, (world, age)) in worlds.iter().enumerate() {
            let view = view(world, &dir.path().join(format!("{i}")));
            let heard = Some(now_ms() - age);
            let status = FollowStatus { last_success: heard, ..FollowStatus::default() };
            node.follow(Arc::new(Followed {
                view: Arc::new(view),
                status: RwLock::new(status),
                heard: Default::default(),
            }));
        }
        Ministry { node, _dir: dir }
    }
    pub fn ask(&self, question: Question) -> Verdict {
        self.node.verdict(&question, None, When::default()).unwrap()
    }
    pub fn state(&self, question: Question) -> VerdictState {
        self.ask(question).state
    }
    pub fn on(&self, question: Question, as_of: Day) -> VerdictState {
        let when = When { as_of: Some(as_of), known_at: None };
        self.node.verdict(&question, None, when).unwrap().state
    }
}

/// The log on disk, and its state.
fn view(w: &World, dir: &std::path::Path) -> LogView {
    let j = w.state.jurisdiction();
    let signer = NoteSigner::new(&*j.origin, key(220)).unwrap();
    let (mut store, _) = LogStore::open(&dir.join("log"), &dir.join("private"), &[signer.verifier()]).unwrap();
    let staged = store.stage(w.log.clone()).unwrap();
    store.write_tiles(&staged).unwrap();
    store.fence(&staged).unwrap();
    let checkpoint = Checkpoint { origin: j.origin.to_string(), size: staged.new_size, root: staged.root };
    let note = checkpoint.sign(&signer).unwrap();
    store.publish(staged, &note).unwrap();
    let one = RegionOfOne {
        code: j.region,
        name: text("Регион"),
        oktmo: j.oktmo.clone(),
        authority: authority(0),
        root_key: PublicKey::of(&root_key()),
        commit_key: PublicKey::of(&commit_key()),
        origin: j.origin.to_string(),
        log_vkey: signer.verifier().to_string(),
        url: "https://region.example".into(),
    };
    let chain = CharterChain::pinned(&Charter::of_one(one, now_ms(), &key(221)).unwrap()).unwrap();
    LogView::new(Role::Followed, chain, store.reader(), w.state.clone(), domovoi::registry::statemap::StateMap::new())
}

/// Another region's jurisdiction, with the keys of [`jurisdiction`].
pub fn elsewhere() -> Jurisdiction {
    let region = RegionCode::new(78).unwrap();
    Jurisdiction { origin: "test.example/log/78".into(), region, ..jurisdiction(1) }
}

pub fn operator() -> SigningKey {
    authority_key(0, 0)
}

pub fn say(w: &mut World, body: Body, from: usize) -> RecordId {
    w.say(body, Some(day(from)), &[&operator()])
}

/// Said by the root, with a basis.
pub fn decree(w: &mut World, body: Body, from: usize) -> RecordId {
    let mut draft = w.draft(body, Some(day(from)));
    draft.basis = Some(basis());
    w.offer(&World::sign(draft, &[&root_key()])).unwrap()
}

pub fn chat(w: &mut World, n: usize, kind: ChatKind, handle: usize, from: usize) -> ChatNumber {
    let id = say(w, Body::ChatRegistered(chat_over(0, &[n], kind, handle)), from);
    ChatNumber::derive(w.state.jurisdiction().region, &id.0)
}

pub fn region() -> World {
    let mut w = World::with_authorities(1);
    for n in 0..6 {
        let mut h = house(n, "45100000", vec![]);
        h.flats = Some(if n == 5 { 4 } else { 60 });
        w.say(Body::BuildingRegistered(h), None, &[&operator()]);
    }
    w
}

pub fn by_link(n: usize) -> Question {
    Question::Digest(link(n))
}

pub fn flagged(n: usize, imitates: ChatNumber, certainty: Certainty) -> Body {
    Body::ImpersonationFlagged(ImpersonationFlagged { imitation: Imitation::Link(link(n)), imitates, certainty })
}

#[test]
fn imitations_are_named_with_what_they_imitate_and_never_touch_a_chat() {
    let mut w = region();
    let official = chat(&mut w, 0, ChatKind::House, 1, 1);
    say(&mut w, flagged(50, official, Certainty::Reported), 5);
    say(&mut w, flagged(51, official, Certainty::Confirmed), 5);
    w.commit();
    say(&mut w, flagged(50, official, Certainty::Confirmed), 9);
    let title = Imitation::Title(text("Чат нашего дома"));
    say(
        &mut w,
        Body::ImpersonationFlagged(ImpersonationFlagged {
            imitation: title,
            imitates: official,
            certainty: Certainty::Reported,
        }),
        9,
    );
    say(&mut w, Body::ImpersonationCleared(ImpersonationCleared { imitation: Imitation::Link(link(51)) }), 20);
    w.commit();
    let m = Ministry::of(&[(&w, 0)]);
    let found = m.ask(by_link(50));
    assert_eq!(found.state, VerdictState::ImitationConfirmed);
    assert!(found.chats.is_empty() && found.flags[0].imitates == official && found.flags[0].authority.is_some());
    assert!(found.text.ru.contains(&official.to_string()) && found.recorded.is_some());
    assert_eq!(m.on(by_link(50), day(6)), VerdictState::ImitationReported);
    assert_eq!(m.on(by_link(50), day(4)), VerdictState::RegionNotConnected);
    assert_eq!(m.on(by_link(51), day(19)), VerdictState::ImitationConfirmed);
    assert_eq!(m.state(by_link(51)), VerdictState::RegionNotConnected, "it was cleared");
    let own = m.ask(by_link(1));
    assert_eq!(own.state, VerdictState::Official);
    assert_eq!(own.chats[0].imitations.len(), 2, "the title and the link that still imitate it");
}

#[test]
fn whether_a_chat_is_required_depends_on_flats_day_and_exceptions() {
    let mut w = region();
    decree(
        &mut w,
        Body::ApplicabilitySet(ApplicabilitySet { region: RegionCode::new(77).unwrap(), above_flats: 12 }),
        10,
    );
    decree(
        &mut w,
        Body::ApplicabilitySet(ApplicabilitySet { region: RegionCode::new(77).unwrap(), above_flats: 3 }),
        30,
    );
    let mut exempt = house(1, "45100000", vec![]);
    exempt.applicability = Some(Applicability { state: Applies::Exempt, reason: ApplicabilityReason::Emergency });
    w.say(Body::BuildingAmended(exempt), None, &[&operator()]);
    w.commit();
    let m = Ministry::of(&[(&w, 0)]);
    let house = |n: usize| Question::Building(building(n));
    assert_eq!(m.on(house(5), day(5)), VerdictState::HouseWithoutChat, "no threshold yet: not known");
    let small = m.node.verdict(&house(5), None, When { as_of: Some(day(12)), known_at: None }).unwrap();
    assert_eq!(small.state, VerdictState::ChatNotRequired);
    let why = small.house.unwrap().chat_required;
    assert_eq!((why.required, why.above_flats, why.since), (Some(false), Some(12), Some(day(10))));
    assert!(why.basis.is_some() && small.recorded.unwrap().ru.contains("17-р"));
    assert_eq!(m.state(house(5)), VerdictState::HouseWithoutChat, "4 flats are more than 3");
    assert_eq!(m.state(house(1)), VerdictState::ChatNotRequired, "an exception of its own");
    assert_eq!(m.state(house(0)), VerdictState::HouseWithoutChat);
}

#[test]
fn objections_and_overlapping_managements_are_shown_as_contested_until_they_end() {
    let mut w = region();
    let number = chat(&mut w, 0, ChatKind::House, 1, 1);
    let other = chat(&mut w, 1, ChatKind::House, 2, 1);
    let noted = |outcome, resolved_by| {
        let (number_, date) = (text("вх-7"), day(5));
        Body::ObjectionNoted(ObjectionNoted {
            subject: Subject::Chat(number),
            number: number_,
            date,
            outcome,
            resolved_by,
        })
    };
    say(&mut w, noted(None, None), 5);
    say(&mut w, assigned(1, Some(company(0))), 2);
    let second = say(&mut w, assigned(1, Some(company(1))), 4);
    w.commit();
    let mut m = Ministry::of(&[(&w, 0)]);
    let open = m.ask(by_link(1));
    assert_eq!(open.state, VerdictState::Contested);
    assert!(open.notes.iter().any(|n| n.ru.contains("вх-7")));
    assert_eq!(m.on(by_link(1), day(4)), VerdictState::Official, "it had not come in yet");
    assert_eq!(m.state(Question::Chat(other)), VerdictState::Contested, "two companies");
    let fixed = say(&mut w, Body::ChatAmended(ChatAmended { title: Some(text("Дом 0")), ..amended(number) }), 9);
    say(&mut w, noted(Some(Outcome::Upheld), Some(fixed)), 10);
    let void = Body::RecordSuperseded(RecordSuperseded { subject: Subject::Building(building(1)), record: second });
    say(&mut w, void, 9);
    w.commit();
    m = Ministry::of(&[(&w, 0)]);
    assert_eq!(m.state(by_link(1)), VerdictState::Official);
    assert_eq!(m.on(by_link(1), day(9)), VerdictState::Contested);
    assert_eq!(m.state(Question::Chat(other)), VerdictState::Official);
}

fn contested(w: &World, n: usize) -> bool {
    w.state.building(&building(0)).unwrap().contested_on(day(n), |id| w.state.organisation(id))
}

#[test]
fn two_ids_of_one_company_do_not_contest_each_other_once_they_are_linked() {
    let mut w = region();
    let number = chat(&mut w, 0, ChatKind::House, 1, 1);
    say(&mut w, assigned(0, Some(company(0))), 2);
    let second = say(&mut w, assigned(0, Some(company(1))), 2);
    say(&mut w, Body::AdminDelegated(Admin { chat: number, organisation: company(1) }), 3);
    let end = ManagementEnded { building: building(0), management: second, goes_on: None };
    say(&mut w, Body::ManagementEnded(end), 8);
    w.commit();
    let administered = |w: &World| {
        let (house, chat) = (w.state.building(&building(0)).unwrap(), w.state.chat(number).unwrap());
        house.delegation_holds(&chat.admins[0], day(9), |id| w.state.organisation(id))
    };
    assert!(contested(&w, 5) && !administered(&w));
    let linked = OrganisationLinked { organisation: company(0), also: Some(List(vec![company(1)])), distinct: None };
    say(&mut w, Body::OrganisationLinked(linked), 9);
    w.commit();
    assert!(!contested(&w, 5) && administered(&w), "the company was there all the time, under its other id");
}

#[test]
fn a_company_that_was_struck_off_goes_on_until_its_successor_starts() {
    let mut w = region();
    let first = say(&mut w, assigned(0, Some(company(0))), 1);
    let end = ManagementEnded { building: building(0), management: first, goes_on: Some(true) };
    say(&mut w, Body::ManagementEnded(end), 10);
    let holding = |w: &World, n: usize| {
        let b = w.state.building(&building(0)).unwrap().clone();
        b.managements_on(day(n)).map(|m| m.organisation.clone().unwrap()).collect::<Vec<_>>()
    };
    w.commit();
    assert_eq!(holding(&w, 300), [company(0)]);
    say(&mut w, assigned(0, Some(company(1))), 20);
    w.commit();
    assert_eq!((holding(&w, 19), holding(&w, 20)), (vec![company(0)], vec![company(1)]));
    assert!(!contested(&w, 20));
}

#[test]
fn bots_pending_chats_successors_and_merged_houses() {
    let mut w = region();
    let name = BotName::new("@dom_bot").unwrap();
    let attested = BotAttested { bot: name.clone(), title: text("Бот"), authority: authority(0), chats: None };
    say(&mut w, Body::BotAttested(attested), 3);
    say(&mut w, declared_over(0, &[2], ChatKind::House, 3), 3);
    let old = chat(&mut w, 0, ChatKind::House, 1, 1);
    let new = chat(&mut w, 1, ChatKind::House, 2, 1);
    let seen = ChatObserved {
        chat: new,
        on: day(8),
        by: ObservedBy::Bot,
        owner: Finding::Mismatch,
        administrator: Finding::Match,
        link: Finding::Match,
        former_administrator: true,
    };
    say(&mut w, Body::ChatObserved(seen), 8);
    // House 0 becomes a part of house 1: its chat ends first, and gets the other as its successor after.
    say(&mut w, Body::ChatClosed(ChatStanding { chat: old, reason: StandingReason::HouseRetired }), 9);
    let merged =
        BuildingRetired { building: building(0), reason: RetireReason::Merged, into: Some(List(vec![building(1)])) };
    say(&mut w, Body::BuildingRetired(merged), 10);
    say(&mut w, Body::ChatReplaced(ChatReplaced { chat: old, successor: new }), 10);
    w.commit();
    let m = Ministry::of(&[(&w, 0)]);
    let bot = m.ask(Question::Bot(name.clone()));
    assert_eq!(bot.state, VerdictState::BotOfficial);
    assert_eq!(bot.bots[0].authority, authority(0));
    assert_eq!(m.on(Question::Bot(name), day(2)), VerdictState::BotUnknown);
    assert_eq!(m.state(Question::Bot(BotName::new("@no_bot").unwrap())), VerdictState::BotUnknown);
    assert_eq!(m.state(by_link(3)), VerdictState::PendingHandover);
    let replaced = m.ask(by_link(1));
    assert_eq!(replaced.state, VerdictState::Superseded);
    assert_eq!(replaced.chats[0].latest, Some(new));
    let house = m.ask(Question::Building(building(0)));
    assert_eq!((house.state, house.chats[0].chat), (VerdictState::Official, new));
    assert!(house.notes.iter().any(|n| n.ru.contains(&building(1).to_string())), "what it became is said");
    let checked = house.checked_in_max.unwrap();
    assert!(checked.ru.contains("владелец НЕ совпадает") && checked.ru.contains("прежняя организация"));
    assert!(!house.recorded.unwrap().ru.contains("MAX"), "what is on record is apart");
}

#[test]
fn a_succession_is_in_the_chain_of_owners_from_its_day() {
    let mut w = region();
    let number = chat(&mut w, 0, ChatKind::House, 1, 1);
    let body = AuthoritySucceeded { authority: authority(0), successor: authority(1) };
    decree(&mut w, Body::AuthoritySucceeded(body), 50);
    w.commit();
    let m = Ministry::of(&[(&w, 0)]);
    let v = m.node.views().remove(0);
    let owner = |n| {
        let when = When { as_of: Some(day(n)), known_at: None };
        let c = Reader::new(&m.node, v.clone(), when).chat(number).unwrap();
        (c.owner.clone(), c.owners.len(), c.basis.is_some())
    };
    assert_eq!(owner(49), (authority(0), 1, false));
    assert_eq!(owner(50), (authority(1), 2, true));
    assert_eq!(m.on(by_link(1), day(60)), VerdictState::Transferred);
    assert_eq!(m.on(by_link(1), day(40)), VerdictState::Official);
}

#[test]
fn what_a_compromised_key_signed_is_marked_suspect_and_stays() {
    let mut w = region();
    chat(&mut w, 0, ChatKind::House, 1, 1);
    w.commit();
    let from = w.log.len() as u64;
    let second = chat(&mut w, 1, ChatKind::House, 2, 1);
    let key = PublicKey::of(&operator()).thumb();
    let revoked = KeyRevoked { key, reason: RevokeReason::Compromised, suspect_from: Some(from) };
    w.say(Body::KeyRevoked(revoked), None, &[&root_key()]);
    w.commit();
    let m = Ministry::of(&[(&w, 0)]);
    let (first, later) = (m.ask(by_link(1)), m.ask(by_link(2)));
    assert_eq!((first.state, later.state), (VerdictState::Official, VerdictState::Official));
    assert!(first.chats[0].suspect.is_empty() && later.chats[0].suspect.len() == 1);
    assert!(later.notes.iter().any(|n| n.en.contains("compromised")) && first.notes.is_empty());
    let v = m.node.views().remove(0);
    let history = Reader::new(&m.node, v, When::default()).history(&Subject::Chat(second), 0, 10).unwrap();
    assert!(history[0].suspect);
}

#[test]
fn two_regions_claim_one_chat_and_the_first_stays_official() {
    let mut w = region();
    let first = chat(&mut w, 0, ChatKind::House, 1, 1);
    w.commit();
    let mut other = World::of(elsewhere(), START + 3_600_000).founded(1);
    other.say(Body::BuildingRegistered(house(9, "45100000", vec![])), None, &[&operator()]);
    let second = chat(&mut other, 9, ChatKind::House, 1, 1);
    other.commit();
    for order in [[(&w, 0), (&other, 0)], [(&other, 0), (&w, 0)]] {
        let m = Ministry::of(&order);
        let v = m.ask(by_link(1));
        assert_eq!((v.state, v.chats[0].chat), (VerdictState::Official, first));
        assert!(v.chats.iter().any(|c| c.chat == second), "both claims are shown");
        assert!(v.notes.iter().any(|n| n.en.contains("claims the same chat")));
        let late = m.ask(Question::Chat(second));
        assert_eq!((late.state, late.chats[0].chat), (VerdictState::Disputed, second));
        assert!(late.chats.iter().any(|c| c.chat == first));
    }
}

/// A region that registers every link and chat id of the other as its own, and flags each as an imitation of its chat.
fn cheat(w: &World) -> World {
    let mut bad = World::of(elsewhere(), w.time() + 3_600_000).founded(1);
    bad.say(Body::BuildingRegistered(house(20, "45100000", vec![])), None, &[&operator()]);
    let own = chat(&mut bad, 20, ChatKind::House, 99, 1);
    for n in 0..40 {
        say(&mut bad, flagged(n, own, Certainty::Confirmed), 1);
    }
    for n in 1..13 {
        let imitation = Imitation::Max(MaxChatId(-n));
        say(
            &mut bad,
            Body::ImpersonationFlagged(ImpersonationFlagged {
                imitation,
                imitates: own,
                certainty: Certainty::Confirmed,
            }),
            1,
        );
    }
    bad.commit();
    for n in 0..40 {
        chat(&mut bad, 20, ChatKind::Complex, n, 1);
    }
    bad.commit();
    bad
}

fn questions(w: &World) -> Vec<(Question, ChatNumber)> {
    let mut all = Vec::new();
    for (subject, entry) in w.state.subjects() {
        let domovoi::registry::facts::Facts::Chat(c) = &entry.facts else { continue };
        if matches!(c.status(), ChatStatus::Official | ChatStatus::Suspended) {
            let Subject::Chat(n) = subject else { continue };
            all.push((Question::Chat(*n), *n));
            all.extend(c.link.map(|l| (Question::Digest(l), *n)));
            all.extend(c.max.map(|m| (Question::Max(m), *n)));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 50, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn rule_09_another_region_s_claims_and_flags_downgrade_nothing(steps in ops(150..300)) {
        let mut run = Run::new();
        steps.into_iter().for_each(|op| drop(run.step(op)));
        run.w.commit();
        let bad = cheat(&run.w);
        let (alone, both) = (Ministry::of(&[(&run.w, 0)]), Ministry::of(&[(&bad, 0), (&run.w, 0)]));
        for (question, number) in questions(&run.w) {
            let (before, after) = (alone.ask(question.clone()), both.ask(question.clone()));
            let official = before.chats[0].status == ChatStatus::Official;
            if official {
                assert_eq!((after.state, after.chats[0].chat), (before.state, number), "{question:?}");
                assert_eq!(&after.chats[0].owner, &before.chats[0].owner);
            } else {
                let misled = after.state == VerdictState::Official && after.chats[0].chat != number;
                assert!(!misled, "{question:?}");
            }
        }
    }
    #[test]
    fn rule_10_what_is_stale_says_so_and_becomes_nobody_elses(steps in ops(150..300)) {
        let mut run = Run::new();
        steps.into_iter().for_each(|op| drop(run.step(op)));
        run.w.commit();
        let (bad, day) = (cheat(&run.w), 25 * 3_600_000);
        let (fresh, late) = (Ministry::of(&[(&run.w, 0)]), Ministry::of(&[(&run.w, day), (&bad, 0)]));
        for (question, number) in questions(&run.w) {
            let (before, after) = (fresh.ask(question.clone()), late.ask(question.clone()));
            if before.chats[0].status == ChatStatus::Official {
                assert_eq!((after.state, after.chats[0].chat), (VerdictState::Stale, number), "{question:?}");
                assert_eq!(&after.chats[0].owner, &before.chats[0].owner, "stale never turns into another owner");
            } else {
                assert_ne!(after.state, VerdictState::Official, "{question:?}");
            }
        }
        // What is in no log is never called unregistered where regions are missing, and not where one is late.
        let unknown = Question::Chat(ChatNumber::derive(run.w.state.jurisdiction().region, &[9; 32]));
        assert_eq!(late.state(by_link(77)), VerdictState::RegionNotConnected);
        assert_eq!((late.state(unknown.clone()), fresh.state(unknown)), (VerdictState::Stale, VerdictState::NotRegistered));
    }
}
