//! "Rules that never break" (domain.md), as invariants over long random logs. Each is one named check below; what it is
//! compared with is [`naive`], written without the code it judges.

pub mod generate;
mod naive;
pub mod refused;
mod tamper;
pub mod world;

use std::collections::{BTreeMap, BTreeSet};

use domovoi::registry::body::{Body, ChatKind, ManagementForm};
use domovoi::registry::facts::{BuildingFacts, ChatFacts, ChatStatus, Delegation, Facts, Management};
use domovoi::registry::ids::{ChatNumber, MaxChatId, OrgId};
use domovoi::registry::record::Subject;
use domovoi::registry::replay::{Preparer, Replay, Trust};
use domovoi::registry::state::{Overlay, State, View};
use domovoi::registry::statemap::{StateMap, map_key};
use domovoi::registry::text::Day;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use generate::{Run, Step, days, ops};
use naive::Naive;
use world::{World, alias, building, jurisdiction, link, ring};

fn chats(state: &State) -> BTreeMap<ChatNumber, ChatFacts> {
    let chat = |(_, e): (&Subject, _)| -> Option<ChatFacts> {
        let e: &domovoi::registry::state::Entry = e;
        if let Facts::Chat(c) = &e.facts { Some((**c).clone()) } else { None }
    };
    state.subjects().filter_map(chat).map(|c| (c.chat, c)).collect()
}

/// Rule 1. A suspension moves no chat: its chats keep their owner, and are not official until it is lifted.
fn active_chats_have_one_owner_in_good_standing(state: &State, naive: &Naive<'_>) {
    for (number, chat) in chats(state) {
        let owner = naive.owner(number).expect("a chat without an owner");
        let holder = state.holder(&chat.owner().unwrap().authority);
        assert_eq!(holder, owner, "{number}: the owner");
        let (enrolled, suspended, succeeded) = naive.authority(&owner);
        assert!(enrolled && !succeeded, "{number}: {owner} is no authority of this region");
        assert_eq!(state.is_official(&chat), chat.status() == ChatStatus::Official && !suspended, "{number}");
    }
}

/// Rules 2 and 3: owners come from registration, declaration and transfer only, each in its record's place.
fn owners_come_only_from_registration_and_transfer(state: &State, naive: &Naive<'_>) {
    let chats = chats(state);
    assert_eq!(chats.keys().copied().collect::<BTreeSet<_>>(), naive.chats());
    for (number, chat) in chats {
        let owners: Vec<_> = chat.owners.iter().map(|o| (o.authority.clone(), o.record)).collect();
        assert_eq!(owners, naive.owners(number), "{number}");
    }
}

/// Rule 4.
fn one_active_house_chat_per_building(state: &State) {
    let mut seen = BTreeSet::new();
    for chat in chats(state).values().filter(|c| c.is_active() && c.kind != ChatKind::Complex) {
        assert_eq!(chat.entrance.is_some(), chat.kind == ChatKind::Entrance);
        for b in &chat.buildings {
            assert!(seen.insert((b.clone(), chat.entrance)), "{b} has two active chats of one kind");
            assert!(!state.building(b).unwrap().void, "{b} is void and has a chat");
        }
    }
}

/// A link or chat id leads to one chat that is in force or declared; an id to one building.
fn handles_and_aliases_are_unique(state: &State) {
    let (mut links, mut ids, mut aliases) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for c in chats(state).values().filter(|c| c.is_active() || c.status() == ChatStatus::Declared) {
        assert!(c.link.is_some() || c.max.is_some());
        assert!(c.rotated.iter().chain(&c.link).all(|l| links.insert(*l)), "{}: link shared", c.chat);
        assert!(c.max.is_none_or(|m| ids.insert(m)), "{}: chat id shared", c.chat);
    }
    for (_, e) in state.subjects() {
        if let Facts::Building(b) = &e.facts
            && !b.void
        {
            for id in b.also.iter().collect::<BTreeSet<_>>() {
                assert!(aliases.insert(id.clone()), "{id} names two buildings");
                assert_eq!(state.primary(id).as_ref(), Some(&b.building));
            }
        }
    }
    for id in (0..6).map(alias).filter(|id| !aliases.contains(id)) {
        assert_eq!(state.primary(&id), None, "{id} is no building's any more");
    }
}

fn manages(b: &BuildingFacts, org: &OrgId, day: Day) -> bool {
    b.managements.iter().any(|m| {
        let ended = |m: &Management, day: Day| m.to.is_some_and(|t| t <= day);
        let begun = |m: &Management, day: Day| m.from.is_none_or(|f| f <= day);
        // From the day it had to go on, no other has begun or gone on.
        let relieved = || {
            let others =
                || b.managements.iter().filter(|o| !o.void && o.record != m.record && o.form != ManagementForm::None);
            let end = m.to.unwrap();
            others().any(|o| begun(o, end) && !ended(o, end))
                || others().any(|o| o.from.is_some_and(|f| end < f && f <= day))
        };
        let over = ended(m, day) && (m.goes_on != Some(true) || relieved());
        !m.void && m.organisation.as_ref() == Some(org) && begun(m, day) && !over
    })
}

/// What is noted beside the facts is what was said last; a flag never names what leads to a chat in force of this log
/// when it is made, and touches no chat (the leaf of a chat is the fold of its own records).
fn notes_are_those_that_were_made(state: &State, naive: &Naive<'_>) {
    for (subject, entry) in state.subjects() {
        let objections = match &entry.facts {
            Facts::Chat(c) => c.objections.as_deref(),
            Facts::Building(b) => b.objections.as_deref(),
            Facts::Imitation(i) => {
                let said = i.open().map(|f| (f.imitates, f.certainty));
                assert_eq!(said, naive.flag(&i.imitation), "{subject}");
                continue;
            }
            _ => continue,
        };
        let open = objections.into_iter().flatten().filter(|o| o.closed.is_none());
        let open: BTreeSet<_> = open.map(|o| (o.number.to_string(), o.date)).collect();
        assert_eq!(open, naive.open_objections(subject), "{subject}");
    }
}

/// Rule 7: a delegation holds while its organisation manages, day by day, and does not come back by itself.
fn delegations_end_with_management(state: &State) {
    let holds = |b: &BuildingFacts, d: &Delegation, day: Day| {
        let (from, to) = (d.from.unwrap(), d.to);
        let retired = b.retired.as_ref().is_some_and(|r| r.from.is_none_or(|f| f <= day));
        let whole = days().filter(|x| (from..=day).contains(x)).all(|x| manages(b, &d.organisation, x));
        !d.void && !b.void && !retired && from <= day && to.is_none_or(|t| day < t) && whole
    };
    for chat in chats(state).values() {
        for b in chat.buildings.iter().filter_map(|b| state.building(b)) {
            for d in &chat.admins {
                for day in days() {
                    assert_eq!(
                        b.delegation_holds(d, day, |id| state.organisation(id)),
                        holds(b, d, day),
                        "{} {} {day}",
                        chat.chat,
                        b.building
                    );
                }
            }
        }
    }
}

/// Rule 8: histories only grow, every record is in exactly one, ids are unique.
fn histories_only_grow(before: &State, now: &World) {
    let mut ids = BTreeSet::new();
    for (subject, entry) in now.state.subjects() {
        for item in &entry.history {
            assert!(ids.insert(item.id), "{} twice", item.id);
            assert_eq!(now.state.index_of(&item.id), Some(item.index));
        }
        let old = before.entry(subject).map(|e| e.history.as_slice()).unwrap_or_default();
        assert!(entry.history.starts_with(old), "{subject} lost history");
    }
    assert!(before.subjects().all(|(s, _)| now.state.entry(s).is_some()), "a subject vanished");
    let accepted: BTreeSet<_> = now.accepted.iter().map(|(.., v)| v.record().id).collect();
    assert_eq!(ids, accepted);
}

/// The state and its root are what the definition says.
fn root_is_that_of_the_definition(w: &World, naive: &Naive<'_>) {
    let leaves = naive.leaves();
    assert_eq!(World::leaves(&w.state), leaves);
    assert_eq!(w.roots.last().unwrap().1, naive::root(&leaves));
}

fn hold(before: &State, w: &World) {
    let naive = Naive(w.accepted.iter().map(|(.., v)| v.record()).collect());
    active_chats_have_one_owner_in_good_standing(&w.state, &naive);
    owners_come_only_from_registration_and_transfer(&w.state, &naive);
    one_active_house_chat_per_building(&w.state);
    handles_and_aliases_are_unique(&w.state);
    notes_are_those_that_were_made(&w.state, &naive);
    delegations_end_with_management(&w.state);
    histories_only_grow(before, w);
    root_is_that_of_the_definition(w, &naive);
}

/// (tree size, root of the state map) of commits.
pub type Roots = Vec<(u64, [u8; 32])>;

/// Replays a log in chunks; the roots at its commits.
pub fn replay(log: &[Vec<u8>], chunk: usize, trust: Trust) -> (State, Roots, domovoi::error::Result<()>) {
    let (mut state, mut ring, mut roots) = (State::new(jurisdiction(1)), ring(), Vec::new());
    let mut replay = Replay::resume(StateMap::new());
    let mut preparer = Preparer::after(&state, trust);
    let mut result = Ok(());
    for (i, entries) in log.chunks(chunk).enumerate() {
        let prepared = preparer.prepare((i * chunk) as u64, entries, &mut ring);
        result = replay.apply(&mut state, prepared, &mut |state, changes, commit, id, index| {
            state.absorb(changes, commit, id, index);
            roots.push((commit.size, commit.root.0));
        });
        if result.is_err() {
            break;
        }
    }
    // The map stands where the state stands, also after a failure.
    let mut anew = StateMap::new();
    for (name, value) in state.leaves() {
        anew.set(map_key(&name), value);
    }
    assert_eq!(anew.root(), replay.map.root());
    (state, roots, result)
}

/// Rule 6: same log, same state, however it is cut and whether it was verified before.
fn replays_alike(w: &World) {
    let whole = w.log.len();
    for (chunk, trust) in [(1, Trust::Verify), (7, Trust::Verify), (whole, Trust::Verify), (64, Trust::Reread)] {
        let (state, roots, result) = replay(&w.log, chunk, trust);
        result.unwrap();
        assert_eq!(roots, w.roots, "in chunks of {chunk}");
        assert_eq!(World::leaves(&state), World::leaves(&w.state));
        assert_eq!(state.commits(), w.state.commits());
        answers_alike(&state, &w.state);
    }
}

/// A state read back from rows, in any order, is the state: same leaves, same answers from every finder.
fn restores_alike(w: &World) {
    let mut rows: Vec<_> = w.state.subjects().map(|(s, e)| (s.clone(), e.clone())).collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    for rows in [rows.clone(), rows.into_iter().rev().collect()] {
        let mut state = State::new(jurisdiction(1));
        for (subject, entry) in rows {
            let facts = Facts::decode(&entry.facts.encode()).unwrap();
            assert_eq!(facts, entry.facts);
            state.restore_entry(subject, domovoi::registry::state::Entry { facts, history: entry.history });
        }
        state.restore_head(w.state.head().unwrap(), w.state.commits().to_vec(), w.state.charter());
        assert_eq!(World::leaves(&state), World::leaves(&w.state));
        answers_alike(&state, &w.state);
    }
}

fn answers_alike(a: &State, b: &State) {
    for n in 0..40 {
        assert_eq!(a.chats_by_link(&link(n)), b.chats_by_link(&link(n)));
        let max = MaxChatId(-1 - n as i64);
        assert_eq!(a.chats_by_max(&max), b.chats_by_max(&max), "{max}");
    }
    for id in (0..16).map(building).chain((0..6).map(alias)) {
        assert_eq!(a.chats_by_building(&id), b.chats_by_building(&id), "{id}");
        assert_eq!(a.primary(&id), b.primary(&id), "{id}");
    }
    for n in 0..3 {
        assert!(a.buildings_of(&world::company(n)).eq(b.buildings_of(&world::company(n))));
    }
}

/// What a check looks at while a sequence runs.
enum Event<'e> {
    /// A batch ended: the state before it, the world after.
    Committed(&'e State, &'e World),
    /// A record was taken into the batch, the last of those pending.
    Accepted(&'e World),
    /// A record was refused; so many were pending before.
    Refused(&'e World, usize),
    /// The sequence is over, its last batch committed.
    Ended(&'e World),
}

/// Runs a sequence and shows it to one check.
fn drive(steps: Vec<generate::Op>, check: &mut dyn FnMut(Event<'_>)) {
    let mut run = Run::new();
    let mut before = run.w.state.clone();
    for op in steps {
        let waiting = run.w.pending.len();
        match run.step(op) {
            Step::Committed => {
                check(Event::Committed(&before, &run.w));
                before = run.w.state.clone();
            }
            Step::Said(_, Ok(_)) => check(Event::Accepted(&run.w)),
            Step::Said(_, Err(_)) => check(Event::Refused(&run.w, waiting)),
        }
    }
    run.w.commit();
    check(Event::Committed(&before, &run.w));
    check(Event::Ended(&run.w));
}

fn naive(w: &World) -> Naive<'_> {
    Naive(w.accepted.iter().map(|(.., v)| v.record()).collect())
}

/// Rule 3, of the record accepted last: it changed no owner, or it is one of the three that may, signed as they must be.
fn rule_3(w: &World) {
    let last = &w.pending.last().unwrap().1;
    let mut earlier = w.clone();
    earlier.pending.pop();
    let (before, after) = (earlier.overlay(), w.overlay());
    for (subject, _) in w.state.subjects() {
        let Subject::Chat(n) = subject else { continue };
        let holder = |view: &Overlay<'_>| view.chat(*n).and_then(|c| c.owner()).map(|o| view.holder(&o.authority));
        if holder(&before) != holder(&after) {
            let names = last.record().body.type_name();
            let roots: Vec<_> = jurisdiction(1).root_keys.iter().map(|k| k.thumb()).collect();
            let rooted = last.signers().iter().any(|s| roots.contains(s)) && last.record().basis.is_some();
            match &last.record().body {
                Body::AuthoritySucceeded(_) => assert!(rooted, "{n}"),
                Body::OwnershipTransferred(_) => assert!(rooted || last.signers().len() >= 2, "{n}"),
                _ => panic!("{names} moved {n}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(config(24))]
    #[test]
    fn rule_01_an_active_chat_has_exactly_one_owner_in_good_standing(steps in ops(200..400)) {
        drive(steps, &mut |e| if let Event::Committed(_, w) = e {
            active_chats_have_one_owner_in_good_standing(&w.state, &naive(w));
        });
    }
    #[test]
    fn rule_02_no_management_or_admin_record_changes_an_owner_or_a_chat(steps in ops(200..400)) {
        drive(steps, &mut |e| match e {
            Event::Accepted(w) => lapse_is_not_stored(w),
            Event::Committed(_, w) => owners_come_only_from_registration_and_transfer(&w.state, &naive(w)),
            _ => {}
        });
    }
    #[test]
    fn rule_03_ownership_moves_only_by_two_signatures_succession_or_the_root(steps in ops(200..400)) {
        drive(steps, &mut |e| if let Event::Accepted(w) = e { rule_3(w) });
    }
    #[test]
    fn rule_04_one_active_house_chat_per_building(steps in ops(200..400)) {
        drive(steps, &mut |e| if let Event::Committed(_, w) = e {
            one_active_house_chat_per_building(&w.state);
            handles_and_aliases_are_unique(&w.state);
        });
    }
    #[test]
    fn rule_05_a_key_signs_only_within_authority_scope_territory_and_window(steps in ops(200..400)) {
        drive(steps, &mut |e| if let Event::Accepted(w) = e { rule_5(w) });
    }
    #[test]
    fn rule_06_the_same_log_gives_the_same_state_and_root(steps in ops(200..400)) {
        drive(steps, &mut |e| match e {
            Event::Committed(_, w) => root_is_that_of_the_definition(w, &naive(w)),
            Event::Ended(w) => {
                replays_alike(w);
                restores_alike(w);
            }
            _ => {}
        });
    }
    #[test]
    fn rule_07_a_delegation_ends_with_its_management_and_no_clock_is_needed(steps in ops(200..400)) {
        drive(steps, &mut |e| match e {
            Event::Accepted(w) => lapse_is_not_stored(w),
            Event::Committed(_, w) => delegations_end_with_management(&w.state),
            _ => {}
        });
    }
    #[test]
    fn rule_08_nothing_is_deleted_and_what_is_refused_leaves_nothing(steps in ops(200..400)) {
        drive(steps, &mut |e| match e {
            Event::Committed(before, w) => histories_only_grow(before, w),
            Event::Refused(w, waiting) => assert_eq!(w.pending.len(), waiting),
            _ => {}
        });
    }
}

/// Rule 6: a version that this node does not know stops the log there, with the state of the commit before.
#[test]
fn rule_06_an_unknown_version_stops_the_log_and_is_not_guessed_at() {
    use domovoi::registry::envelope::{Envelope, TYP_RECORD};
    let mut w = World::with_authorities(1);
    w.say(Body::BuildingRegistered(world::house(0, "45100000", vec![])), None, &[&world::authority_key(0, 0)]);
    w.commit();
    let mut log = w.log.clone();
    let at = log.len() - 2;
    let old = Envelope::parse(&log[at], TYP_RECORD, 1 << 14).unwrap();
    let payload = String::from_utf8(old.payload).unwrap().replacen("\"v\":0", "\"v\":7,\"x\":1", 1);
    log[at] = Envelope::sign(payload.into_bytes(), TYP_RECORD, &[&world::authority_key(0, 0)]);
    let (state, roots, result) = replay(&log, 3, Trust::Verify);
    assert_eq!(result.unwrap_err().code(), "record.version");
    assert_eq!(roots, w.roots[..1]);
    assert_eq!(state.size(), w.roots[0].0);
}

/// Runs a sequence, checking every commit; calls `seen` with what became of each record.
fn run(steps: Vec<generate::Op>, seen: &mut dyn FnMut(&'static str, &domovoi::error::Result<()>)) -> World {
    let mut run = Run::new();
    let mut before = run.w.state.clone();
    for op in steps {
        let waiting = run.w.pending.len();
        match run.step(op) {
            Step::Committed => {
                hold(&before, &run.w);
                before = run.w.state.clone();
            }
            Step::Said(kind, result) => {
                if result.is_ok() {
                    rule_5(&run.w);
                    lapse_is_not_stored(&run.w);
                } else {
                    assert_eq!(run.w.pending.len(), waiting, "a refused record left something behind");
                }
                seen(kind, &result.map(|_| ()));
            }
        }
    }
    // A batch that is dropped leaves nothing.
    let leaves = World::leaves(&run.w.state);
    drop(run.w.overlay().finish());
    assert_eq!(World::leaves(&run.w.state), leaves);
    run.w.commit();
    hold(&before, &run.w);
    replays_alike(&run.w);
    restores_alike(&run.w);
    run.w
}

/// Rule 5, of the record accepted last.
fn rule_5(w: &World) {
    let Some(((_, last), earlier)) = w.pending.split_last() else { return };
    let before = w.accepted.iter().map(|(.., v)| v.record()).chain(earlier.iter().map(|(_, v)| v.record()));
    assert!(Naive(before.collect()).may_sign(last, w.time()), "accepted, but nobody who may: {:?}", last.record());
}

/// Rule 2, rule 7: the record accepted last touched its own subject and nothing else; the end of a management is no
/// record about a chat.
fn lapse_is_not_stored(w: &World) {
    let last = w.pending.last().unwrap().1.record();
    let mut earlier = w.clone();
    earlier.pending.pop();
    let (before, mut after) = (earlier.overlay().finish(), w.overlay().finish());
    let before: BTreeMap<_, _> = before.leaves.into_iter().collect();
    let own = world::subject_of(last).to_string();
    let subjects: BTreeSet<_> = after.take_rows().iter().map(|(name, _)| map_key(name)).collect();
    for (key, value) in after.leaves {
        let committed = || w.state.leaves().find(|(name, _)| map_key(name) == key).map(|(_, value)| value);
        let old = before.get(&key).copied().or_else(committed);
        let link_of_chat = matches!(world::subject_of(last), Subject::Chat(_)) && !subjects.contains(&key);
        let may = key == map_key(&own) || link_of_chat || old == Some(value);
        assert!(may, "{} changed more than {own}", last.body.type_name());
    }
    if matches!(last.body, Body::ManagementEnded(_) | Body::ManagementAssigned(_)) {
        assert!(own.starts_with("building:"));
    }
}

fn config(cases: u32) -> Config {
    Config { cases, max_shrink_iters: 60, failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(config(16))]
    #[test]
    fn the_rules_hold_after_every_commit(steps in ops(100..400)) {
        run(steps, &mut |_, _| {});
    }
}

/// The property above would hold of an empty log too: this says what its sequences reach.
#[test]
fn random_logs_reach_every_type_and_most_rules() {
    let mut runner = TestRunner::new_with_rng(
        config(1),
        TestRng::from_seed(RngAlgorithm::ChaCha, b"domovoi rules that never break!!"),
    );
    let (mut accepted, mut refused) = (BTreeMap::<_, u32>::new(), BTreeMap::<_, u32>::new());
    for _ in 0..12 {
        let steps = ops(399..400).new_tree(&mut runner).unwrap().current();
        run(steps, &mut |kind, result| match result {
            Ok(()) => *accepted.entry(kind).or_default() += 1,
            Err(e) => *refused.entry(e.code()).or_default() += 1,
        });
    }
    println!("accepted {accepted:?}\nrefused {refused:?}");
    // Transfers take a second region: tests/it/transfer.rs.
    for kind in domovoi::registry::body::TYPES.iter().filter(|kind| !kind.starts_with("transfer.")) {
        assert!(accepted.contains_key(kind), "no {kind} was ever accepted");
    }
    assert!(refused.len() >= 35, "only {} kinds of refusal", refused.len());
}

/// Rule 7 by example: a gap ends a delegation for good, a renewal on the same day does not, and only then may the same
/// organisation be delegated to again; a delegation entered by mistake stands in nobody's way.
#[test]
fn a_delegation_does_not_come_back_after_a_gap() {
    use domovoi::registry::body::{Admin, ManagementEnded, RecordSuperseded};
    use world::{assigned, authority_key, chat_over, company, day, house};
    let (mut w, k) = (World::with_authorities(1), authority_key(0, 0));
    let keys = [&k];
    let ended =
        |management| Body::ManagementEnded(ManagementEnded { building: building(0), management, goes_on: None });
    w.say(Body::BuildingRegistered(house(0, "45100000", vec![])), None, &keys);
    let first = w.say(assigned(0, Some(company(0))), Some(day(1)), &keys);
    let id = w.say(Body::ChatRegistered(chat_over(0, &[0], ChatKind::House, 1)), Some(day(1)), &keys);
    let chat = ChatNumber::derive("77".parse().unwrap(), &id.0);
    let delegated = || Body::AdminDelegated(Admin { chat, organisation: company(0) });
    w.say(delegated(), Some(day(2)), &keys);
    w.say(ended(first), Some(day(10)), &keys);
    let second = w.say(assigned(0, Some(company(0))), Some(day(10)), &keys);
    w.say(ended(second), Some(day(20)), &keys);
    let renewed = w.entry(delegated(), Some(day(15)), &keys);
    assert_eq!(w.offer(&renewed).unwrap_err().code(), "rule.admin.open");
    w.say(assigned(0, Some(company(0))), Some(day(30)), &keys);
    let record = w.say(delegated(), Some(day(31)), &keys);
    w.say(Body::RecordSuperseded(RecordSuperseded { subject: Subject::Chat(chat), record }), None, &keys);
    w.say(delegated(), Some(day(35)), &keys);
    w.commit();
    let (house, chat) = (w.state.building(&building(0)).unwrap(), w.state.chat(chat).unwrap());
    let held = |n| chat.admins.iter().map(|d| house.delegation_holds(d, day(n), OrgId::clone)).collect::<Vec<_>>();
    assert_eq!(chat.admins.iter().map(|d| d.to).collect::<Vec<_>>(), [None; 3], "the end is computed, not stored");
    assert_eq!(held(1), [false; 3]);
    assert_eq!(held(15), [true, false, false]);
    assert_eq!(held(20), [false; 3]);
    assert_eq!(held(32), [false; 3]);
    assert_eq!(held(36), [false, false, true]);
    delegations_end_with_management(&w.state);
}
