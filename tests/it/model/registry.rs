//! The model of what logs may say: two regions, every record of the model by every set of signers, commits, crashes, time.

use std::sync::Arc;

use domovoi::registry::facts::{ChatFacts, ChatStatus};
use domovoi::registry::state::{Overlay, View};
use stateright::{Model, Property};

use super::blind::Bug;
use super::region::{Phase, Place, Region, Signed, Who};
use super::scene::{SCENE, late_day, record, record_after, thumb};
use super::spec::{KINDS, KeyIs, Say, Standing};
use crate::rules::world::{authority, building, company, link};

/// What is explored.
#[derive(Debug, Clone)]
pub struct Registry {
    /// Most records a log takes beyond the scene, in A and in B.
    pub depth: [u8; 2],
    /// Most records in a batch.
    pub batch: usize,
    /// Most records of a kind.
    pub most: [u8; KINDS],
    /// The fault sown into the rules.
    pub bug: Bug,
}

/// A state: both regions and the time. `fault` says what a step broke.
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct Both {
    pub regions: [Region; 2],
    pub phase: Phase,
    pub fault: Option<&'static str>,
    /// A crash has thrown records away. They were not acknowledged.
    pub crashed: bool,
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Somebody submits a record.
    Submit(Place, Say, &'static [Who], bool),
    /// The writer ends the batch, makes it durable, signs, publishes, answers.
    Commit(Place),
    /// The writer stops at any moment before the batch is journalled.
    Crash(Place),
    /// Time passes.
    Wait,
}

const AGREES: &str = "the rules allow exactly what the specification allows";
const OWNER: &str = "ownership moves by two signatures, by succession, or by the root with a document";
const APART: &str = "managements and administrators change no owner, link or standing";
const REVOKED: &str = "what a revoked key signs is refused";
const STANDING: &str = "nobody acts for an authority that is suspended or succeeded";
const WINDOW: &str = "a key signs nothing outside its window";
const ONCE: &str = "a record joins its log once, and only against the state it was made for";
const REPLAY: &str = "whoever reads the log has the writer's state and root";
const CRASH: &str = "a crash leaves the last commit, and nothing of what waited";

/// Signers of a transfer. One list for each region, since each has its own people.
const TRANSFER: [&[&[Who]]; 2] = {
    use Who::{Key, Late, Root};
    const A: Who = Root(Place::A);
    const B: Who = Root(Place::B);
    [
        &[
            &[Key(0), Key(1)],
            &[Late(0), Key(1)],
            &[Key(0)],
            &[Key(1)],
            &[A],
            &[Key(0), A],
            &[Key(0), Key(1), A],
            &[Key(0), Key(2)],
            &[Key(0), Key(1), Key(2)],
            &[Key(2), Key(3)],
            &[B],
        ],
        &[&[Key(2), Key(3)], &[Key(2)], &[Key(3)], &[B], &[Key(0), Key(1)], &[A], &[Key(2), B]],
    ]
};

/// Signers of everything else.
const OTHERS: [&[&[Who]]; 2] = {
    use Who::{Key, Late, Root};
    [
        &[&[Key(0)], &[Key(1)], &[Late(0)], &[Root(Place::A)], &[Root(Place::B)], &[Key(2)], &[Key(0), Key(1)]],
        &[&[Key(2)], &[Key(3)], &[Root(Place::B)], &[Root(Place::A)], &[Key(0)]],
    ]
};

/// What is tried in a region.
fn says(place: Place) -> Vec<Say> {
    use Say::*;
    let (x, y) = if place == Place::A { (0, 1) } else { (2, 3) };
    let mut all = vec![
        Transfer(x, y),
        Transfer(y, x),
        Succeed(x, y),
        Succeed(y, x),
        Suspend(x),
        Suspend(y),
        Reinstate(x),
        Reinstate(y),
        Revoke(Who::Key(x)),
        Revoke(Who::Key(y)),
        Assign(1),
        End(0),
        End(1),
        Delegate(0),
        Delegate(1),
        Withdraw(0),
        Withdraw(1),
        SuspendChat,
        RestoreChat,
        CloseChat,
        Relink,
    ];
    if place == Place::A {
        all.extend([Assign(0), GrantLate(0), Revoke(Who::Late(0)), CorrectChat, CorrectDelegation]);
    }
    all
}

fn chat(view: &impl View) -> Option<ChatFacts> {
    view.chat(SCENE.chat).cloned()
}

/// Everything about the chat that only its owner's records may change.
fn core(c: &Option<ChatFacts>) -> Option<impl PartialEq> {
    c.as_ref().map(|c| (c.owners.clone(), c.statuses.clone(), c.link, c.rotated.clone(), c.buildings.clone()))
}

impl Registry {
    /// What a record that the rules passed must not have done, read from the facts before and after.
    fn broken(
        &self,
        before: &impl View,
        after: &impl View,
        by: &[Who],
        say: Say,
        phase: Phase,
    ) -> Option<&'static str> {
        for who in by.iter().filter(|w| !matches!(w, Who::Root(_))) {
            let Some(key) = before.key(&thumb(*who)) else { return Some(AGREES) };
            if key.revoked.is_some() {
                return Some(REVOKED);
            }
            if before.authority(&key.authority).is_none_or(|a| a.suspended.is_some() || a.succeeded.is_some()) {
                return Some(STANDING);
            }
            if key.not_before.get() > phase.begins() {
                return Some(WINDOW);
            }
        }
        let (old, new) = (chat(before), chat(after));
        let recorded = |c: &Option<ChatFacts>| c.as_ref().and_then(|c| c.owner()).map(|o| o.authority.clone());
        let (was, is) = (recorded(&old).map(|o| before.holder(&o)), recorded(&new).map(|o| after.holder(&o)));
        if was != is && was.is_some() {
            let root = by.iter().any(|w| matches!(w, Who::Root(_)));
            let signed = |n: u8| by.iter().any(|w| matches!(w, Who::Key(k) | Who::Late(k) if *k == n));
            let lawful = match say {
                Say::Transfer(from, to) => signed(from) && signed(to) || root && by.len() == 1,
                Say::Succeed(..) => root,
                _ => false,
            };
            if !lawful {
                return Some(OWNER);
            }
        }
        let apart = matches!(
            say,
            Say::Assign(_)
                | Say::End(_)
                | Say::Delegate(_)
                | Say::Withdraw(_)
                | Say::CorrectDelegation
                | Say::GrantLate(_)
        );
        (apart && core(&old) != core(&new)).then_some(APART)
    }

    fn submit(&self, both: &Both, place: Place, say: Say, by: &[Who], basis: bool) -> Option<Both> {
        let region = &both.regions[place as usize];
        let overlay = region.overlay(both.phase, self.bug);
        let signed = record(region, &overlay, say, by, basis);
        let lawful = region.spec.lawful(say, by, basis, both.phase);
        let result = region.judge(&overlay, &signed, both.phase, self.bug);
        let mut next = both.clone();
        if result.is_err() {
            // Refused: nothing happens, which is right if it was to be refused.
            next.fault = Some(AGREES);
            return lawful.then_some(next);
        }
        let spec = region.spec.apply(say);
        let after = region.with(signed.clone(), say, spec);
        let fault = {
            let seen = after.overlay(both.phase, self.bug);
            self.broken(&overlay, &seen, by, say, both.phase)
                .or_else(|| self.repeated(region, &overlay, &seen, &signed, say, by, basis, both.phase))
                .or_else(|| (!lawful).then_some(AGREES))
        };
        next.fault = fault;
        next.regions[place as usize] = after;
        Some(next)
    }

    /// The record once more, the record made against an older state, the record in the other region's log.
    #[allow(clippy::too_many_arguments)]
    fn repeated(
        &self,
        region: &Region,
        before: &Overlay<'_>,
        after: &Overlay<'_>,
        signed: &Arc<Signed>,
        say: Say,
        by: &[Who],
        basis: bool,
        phase: Phase,
    ) -> Option<&'static str> {
        let history = before.entry(&signed.verified.record().subject(region.place.code())).map(|e| e.history.clone());
        let older = history.and_then(|h| h.len().checked_sub(2).and_then(|n| h.get(n)).map(|h| h.id));
        let stale = record_after(region, before, say, by, basis, older);
        let code = |overlay: &Overlay<'_>, record: &Signed| {
            region.judge(overlay, record, phase, self.bug).err().map_or("accepted", |e| e.code())
        };
        let other = &SCENE.regions[1 - region.place as usize];
        let elsewhere = other.judge(&other.overlay(phase, Bug::None), signed, phase, Bug::None).err().map(|e| e.code());
        let again = code(after, signed) == "rule.known";
        // A subject with one record has no older state but «none».
        let late = signed.verified.record().prev.is_none() || code(before, &stale) == "rule.stale";
        (!(again && late && elsewhere == Some("rule.log"))).then_some(ONCE)
    }

    fn commit(&self, both: &Both, place: Place) -> Both {
        let region = &both.regions[place as usize];
        let after = region.commit(both.phase, self.bug);
        let mut next = both.clone();
        // A follower; and the writer that crashed behind the journal and rolls forward. The rules of both have no fault sown in.
        let whole = || after.spec.said.iter().sum::<u8>() % 3 == 0;
        if self.bug == Bug::None && (!region.follows(&after) || whole() && !after.replays()) {
            next.fault = Some(REPLAY);
        }
        next.regions[place as usize] = after;
        next
    }

    fn crash(&self, both: &Both, place: Place) -> Both {
        let region = &both.regions[place as usize];
        let after = region.forget();
        let mut next = both.clone();
        let kept = after.state.head() == region.state.head() && after.pending.is_empty();
        let acknowledged = after.log.len() as u64 == after.state.size();
        if !kept || !acknowledged || self.bug == Bug::None && !after.replays() {
            next.fault = Some(CRASH);
        }
        next.regions[place as usize] = after;
        next.crashed = true;
        next
    }
}

/// The facts are what the specification says, and readers are told the same.
fn agrees(region: &Region, phase: Phase) -> bool {
    let view = region.overlay(phase, Bug::None);
    let spec = &region.spec;
    let Some(chat) = chat(&view) else { return spec.chat == Standing::Absent };
    let status = match chat.status() {
        ChatStatus::Official => Standing::Official,
        ChatStatus::Suspended => Standing::Suspended,
        ChatStatus::Closed => Standing::Closed,
        ChatStatus::Void => Standing::Void,
        _ => return false,
    };
    let owner = chat.owner().map(|o| view.holder(&o.authority));
    let Some(house) = view.building(&building(0)) else { return false };
    let holds = |c: u8| {
        let mut of = chat.admins.iter().filter(|d| d.organisation == company(c.into()));
        of.any(|d| house.delegation_holds(d, late_day()))
    };
    status == spec.chat
        && owner == Some(authority(spec.holder(spec.owner).into()))
        && chat.owners.len() == usize::from(spec.owners)
        && chat.link == Some(link(spec.link.into()))
        && view.is_official(&chat) == spec.official()
        && (0..2).all(|c| holds(c) == spec.administers(c))
}

/// Rule 1, of the facts alone.
fn owned(region: &Region, phase: Phase) -> bool {
    let view = region.overlay(phase, Bug::None);
    let Some(chat) = chat(&view) else { return true };
    let Some(owner) = chat.owner().map(|o| view.holder(&o.authority)) else { return false };
    let Some(facts) = view.authority(&owner) else { return false };
    let good = facts.suspended.is_none() && facts.succeeded.is_none();
    facts.succeeded.is_none() && (!view.is_official(&chat) || good && chat.status() == ChatStatus::Official)
}

impl Model for Registry {
    type State = Both;
    type Action = Act;

    fn init_states(&self) -> Vec<Both> {
        vec![Both { regions: SCENE.regions.clone(), phase: Phase::Now, fault: None, crashed: false }]
    }

    fn actions(&self, both: &Both, actions: &mut Vec<Act>) {
        if both.fault.is_some() {
            return;
        }
        for place in Place::ALL {
            let region = &both.regions[place as usize];
            if !region.pending.is_empty() {
                actions.extend([Act::Commit(place), Act::Crash(place)]);
            }
            let room = region.spec.said.iter().sum::<u8>() < self.depth[place as usize];
            if !room || region.pending.len() >= self.batch {
                continue;
            }
            for say in says(place) {
                if region.spec.said[say.kind()] >= self.most[say.kind()] {
                    continue;
                }
                let sets = if matches!(say, Say::Transfer(..)) { TRANSFER } else { OTHERS };
                for by in sets[place as usize] {
                    actions.push(Act::Submit(place, say, by, false));
                    if matches!(say, Say::Transfer(..) | Say::Succeed(..)) {
                        actions.push(Act::Submit(place, say, by, true));
                    }
                }
            }
        }
        if both.phase == Phase::Now {
            actions.push(Act::Wait);
        }
    }

    fn next_state(&self, both: &Both, act: Act) -> Option<Both> {
        match act {
            Act::Submit(place, say, by, basis) => self.submit(both, place, say, by, basis),
            Act::Commit(place) => Some(self.commit(both, place)),
            Act::Crash(place) => Some(self.crash(both, place)),
            Act::Wait => both.phase.next().map(|phase| Both { phase, ..both.clone() }),
        }
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(AGREES, |_, b: &Both| b.fault != Some(AGREES)),
            Property::always(OWNER, |_, b: &Both| b.fault != Some(OWNER)),
            Property::always(APART, |_, b: &Both| b.fault != Some(APART)),
            Property::always(REVOKED, |_, b: &Both| b.fault != Some(REVOKED)),
            Property::always(STANDING, |_, b: &Both| b.fault != Some(STANDING)),
            Property::always(WINDOW, |_, b: &Both| b.fault != Some(WINDOW)),
            Property::always(ONCE, |_, b: &Both| b.fault != Some(ONCE)),
            Property::always(REPLAY, |_, b: &Both| b.fault != Some(REPLAY)),
            Property::always(CRASH, |_, b: &Both| b.fault != Some(CRASH)),
            Property::always("the facts and the answers are what the specification says", |m: &Registry, b: &Both| {
                m.bug != Bug::None || b.regions.iter().all(|r| agrees(r, b.phase))
            }),
            Property::always(
                "an active chat has one owner, in good standing or not called official",
                |m: &Registry, b: &Both| m.bug != Bug::None || b.regions.iter().all(|r| owned(r, b.phase)),
            ),
            Property::sometimes("a transfer, and back", |_, b: &Both| b.regions[0].committed.owners == 3),
            Property::sometimes("a successor acts on what it took over", |_, b: &Both| {
                let s = &b.regions[0].committed;
                s.holder(0) == 1 && s.owner == 0 && s.link == 2
            }),
            Property::sometimes("a suspended owner's chat is not official", |_, b: &Both| {
                let s = &b.regions[0].committed;
                s.chat == Standing::Official && !s.official()
            }),
            Property::sometimes("the region's root moves the chat of a suspended owner", |_, b: &Both| {
                let s = &b.regions[0].committed;
                s.suspended[0] && s.owner == 1
            }),
            Property::sometimes("an authority whose key was revoked goes on with a later one", |_, b: &Both| {
                let s = &b.regions[0].committed;
                s.keys[0] == KeyIs::Revoked && s.late[0] == KeyIs::Granted && s.owner == 0 && s.link == 2
            }),
            Property::sometimes(
                "an administrator lost the house; its delegation lapsed and nobody withdrew it",
                |_, b: &Both| {
                    let s = &b.regions[0].committed;
                    s.first_open && !s.administers(0) && s.official()
                },
            ),
            Property::sometimes("the successor of the old company administers the same chat", |_, b: &Both| {
                let s = &b.regions[0].committed;
                s.administers(1) && !s.administers(0) && s.owners == 1 && s.official()
            }),
            Property::sometimes("a chat entered by mistake", |_, b: &Both| {
                b.regions[0].committed.chat == Standing::Void
            }),
            Property::sometimes("a crash", |_, b: &Both| b.crashed),
        ]
    }
}
