//! The model of what logs may say: two regions, every record of the model by every set of signers, commits, crashes, time.

use std::sync::Arc;

use domovoi::registry::facts::{ChatFacts, ChatStatus};
use domovoi::registry::state::{Overlay, View};
use domovoi::registry::transfer::{Ending, OfferStanding};
use stateright::{Model, Property};

use super::blind::{Blind, Bug};
use super::region::{Phase, Place, Proof, Region, Signed, Who};
use super::scene::{SCENE, crossing, late_day, record, record_after, thumb};
use super::spec::{KINDS, KeyIs, Say, Spec, Standing};
use crate::rules::world::{authority, building, company, link};

/// What is explored.
#[derive(Debug, Clone)]
pub struct Registry {
    /// Most records a log takes beyond the scene, in A and in B.
    pub depth: [u8; 2],
    /// Most records in a batch.
    pub batch: usize,
    /// Chats may be offered to the other region.
    pub crossing: bool,
    /// What else is tried; everything where it is `None`.
    pub only: Option<&'static [Say]>,
    /// Most records of a kind.
    pub most: [u8; KINDS],
    /// The fault sown into the rules.
    pub bug: Bug,
}

/// A state: both regions and the time. `fault` says what a step broke.
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct Both {
    pub regions: [Region; 2],
    /// The clocks of the two nodes; neither knows the other's.
    pub phase: [Phase; 2],
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
    Wait(Place),
    /// Sown: the log loses its last batch and goes on.
    Rewind(Place),
}

const AGREES: &str = "the rules allow exactly what the specification allows";
const OWNER: &str = "ownership moves by two signatures, by succession, or by the root with a document";
const APART: &str = "managements and administrators change no owner, link or standing";
const REVOKED: &str = "what a revoked key signs is refused";
const STANDING: &str = "nobody acts for an authority that is suspended or succeeded";
const WINDOW: &str = "a key signs nothing outside its window";
const ONCE: &str = "a record joins its log once, and only against the state it was made for";
const REPLAY: &str = "whoever reads the log has the writer's state and root";
const ANSWERS: &str = "the facts and the answers are what the specification says";
const OWNED: &str = "an active chat has one owner, in good standing or not called official";
const LOCKED: &str = "an offered chat changes by the end of its offer only";
const UNION: &str = "in the union view exactly one region holds the chat";
const LAG: &str = "whoever follows one region late never takes two for the holder";
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
    } else {
        all.push(CorrectArrival);
    }
    all
}

/// What is tried about offers: every answer to every offer with everything the other region has proved.
fn crossings(place: Place, both: &Both) -> Vec<Say> {
    let (own, other) = (&both.regions[place as usize], &both.regions[place.other() as usize]);
    let (offered, proofs) = (other.committed.offers.len() as u8, other.proofs.len() as u8);
    let mut all: Vec<Say> = if place == Place::A { vec![Say::Offer(2), Say::Offer(3)] } else { vec![Say::Offer(0)] };
    for k in 0..proofs {
        all.extend((0..offered).flat_map(|n| [Say::Accept(n, k), Say::Decline(n, k)]));
        let ends = [Ending::Accepted, Ending::Declined, Ending::Expired];
        all.extend((0..own.spec.offers.len() as u8).flat_map(|n| ends.map(|end| Say::Release(n, end, k))));
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
                // A chat that comes back: the offer, proved, and whoever it was offered to.
                Say::Accept(..) => old.as_ref().is_some_and(|c| c.status() == ChatStatus::Moved),
                _ => false,
            };
            if !lawful {
                return Some(OWNER);
            }
        }
        let locked = old.as_ref().is_some_and(|c| c.offered.is_some()) && !matches!(say, Say::Release(..));
        if locked && core(&old) != core(&new) {
            return Some(LOCKED);
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

    /// Everything that may be said now in a region and that the rules pass, or pass wrongly, or refuse wrongly. What is
    /// refused and was to be refused is no step.
    fn said(&self, both: &Both, place: Place, actions: &mut Vec<Act>) {
        let (region, phase) = (&both.regions[place as usize], both.phase[place as usize]);
        let overlay = region.overlay(phase, self.bug);
        let seen = Blind::new(&overlay, self.bug);
        let (others, proofs) = self.others(both, place);
        let mut all: Vec<Say> = self.only.map_or_else(|| says(place), <[Say]>::to_vec);
        if self.crossing {
            all.extend(crossings(place, both));
        }
        for say in all {
            if region.spec.said[say.kind()] >= self.most[say.kind()] {
                continue;
            }
            let sets = if matches!(say, Say::Transfer(..)) { TRANSFER } else { OTHERS };
            let documents: &[bool] = match say {
                Say::Transfer(..) | Say::Succeed(..) => &[false, true],
                _ => &[false],
            };
            for by in sets[place as usize] {
                for basis in documents {
                    let Some(signed) = self.signed(both, place, &overlay, say, by, *basis) else { continue };
                    let passed = region.judge(&seen, &signed, phase).is_ok();
                    let lawful = || region.spec.lawful(say, by, *basis, phase, others, proofs);
                    if passed || !self.lives_with_it() && lawful() {
                        actions.push(Act::Submit(place, say, by, *basis));
                    }
                }
            }
        }
    }

    /// What the other region has published: what it says of itself, and its proofs.
    fn others<'b>(&self, both: &'b Both, place: Place) -> (&'b Spec, &'b [Proof]) {
        let other = &both.regions[place.other() as usize];
        (&other.committed, &other.proofs)
    }

    fn signed(
        &self,
        both: &Both,
        place: Place,
        overlay: &Overlay<'_>,
        say: Say,
        by: &[Who],
        basis: bool,
    ) -> Option<Arc<Signed>> {
        let [region, other] = [place, place.other()].map(|p| &both.regions[p as usize]);
        match say {
            Say::Offer(_) | Say::Accept(..) | Say::Decline(..) | Say::Release(..) => {
                crossing(region, overlay, other, say, by)
            }
            _ => Some(record(region, overlay, say, by, basis)),
        }
    }

    fn submit(&self, both: &Both, place: Place, say: Say, by: &[Who], basis: bool) -> Option<Both> {
        let (region, phase) = (&both.regions[place as usize], both.phase[place as usize]);
        let overlay = region.overlay(phase, self.bug);
        let signed = self.signed(both, place, &overlay, say, by, basis)?;
        let (others, proofs) = self.others(both, place);
        let lawful = region.spec.lawful(say, by, basis, phase, others, proofs);
        let mut next = both.clone();
        if region.judge(&Blind::new(&overlay, self.bug), &signed, phase).is_err() {
            next.fault = Some(AGREES);
            return Some(next);
        }
        let after = region.with(signed.clone(), say, region.spec.apply(say, others));
        let seen = after.overlay(phase, self.bug);
        next.fault = self
            .broken(&overlay, &seen, by, say, phase)
            .or_else(|| self.repeated(region, &overlay, &seen, &signed, say, by, basis, phase))
            .or_else(|| (!lawful && !self.lives_with_it()).then_some(AGREES))
            .or_else(|| (!owned(&seen)).then_some(OWNED))
            .or_else(|| (!self.lives_with_it() && !agrees(&after.spec, &seen)).then_some(ANSWERS));
        drop(seen);
        next.regions[place as usize] = after;
        Some(next)
    }

    /// These faults are let pass where they happen, to see what they lead to in the two regions together.
    fn lives_with_it(&self) -> bool {
        matches!(self.bug, Bug::Lock | Bug::Answer | Bug::Deadline | Bug::Rewind)
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
        let crosses = matches!(say, Say::Offer(_) | Say::Accept(..) | Say::Decline(..) | Say::Release(..));
        let stale = (!crosses).then(|| record_after(region, before, say, by, basis, older));
        let code = |overlay: &Overlay<'_>, record: &Signed| {
            let seen = Blind::new(overlay, self.bug);
            region.judge(&seen, record, phase).err().map_or("accepted", |e| e.code())
        };
        let other = &SCENE.regions[region.place.other() as usize];
        let there = other.overlay(phase, Bug::None);
        let elsewhere = other.judge(&Blind::new(&there, Bug::None), signed, phase).err().map(|e| e.code());
        let again = code(after, signed) == "rule.known";
        // A subject with one record has no older state but «none».
        let first = signed.verified.record().prev.is_none();
        let late = first || stale.is_none_or(|stale| code(before, &stale) == "rule.stale");
        (!(again && late && elsewhere == Some("rule.log"))).then_some(ONCE)
    }

    fn commit(&self, both: &Both, place: Place) -> Both {
        let region = &both.regions[place as usize];
        let phase = both.phase[place as usize];
        let after = region.commit(phase, self.bug);
        // Of the other region only what it has published is known.
        let published = |r: &Region| -> Vec<_> {
            let offers = r.offers.iter().enumerate().filter(|(_, id)| r.state.index_of(id).is_some());
            offers.map(|(n, id)| (r.place, n, *id)).collect()
        };
        let mut offers = published(&after);
        offers.extend(published(&both.regions[place.other() as usize]));
        let after = after.proving(&offers, phase);
        let mut next = both.clone();
        // A follower; and the writer that crashed behind the journal and rolls forward. The rules of both have no fault sown in.
        if self.bug == Bug::None && (!region.follows(&after) || after.is_sample() && !after.replays()) {
            next.fault = Some(REPLAY);
        }
        next.regions[place as usize] = after;
        if self.crossing && next.fault.is_none() {
            next.fault = union(&next.regions);
        }
        next
    }

    fn rewind(&self, both: &Both, place: Place) -> Option<Both> {
        let mut next = both.clone();
        next.regions[place as usize] = (**both.regions[place as usize].earlier.as_ref()?).clone();
        next.crashed = true;
        next.fault = union(&next.regions);
        Some(next)
    }

    fn crash(&self, both: &Both, place: Place) -> Both {
        let region = &both.regions[place as usize];
        let after = region.forget();
        let mut next = both.clone();
        let kept = after.state.head() == region.state.head() && after.pending.is_empty();
        let acknowledged = after.log.len() as u64 == after.state.size();
        if !kept || !acknowledged || self.bug == Bug::None && after.is_sample() && !after.replays() {
            next.fault = Some(CRASH);
        }
        next.regions[place as usize] = after;
        next.crashed = true;
        next
    }
}

/// The facts are what the specification says, and readers are told the same.
fn agrees(spec: &Spec, view: &impl View) -> bool {
    let Some(chat) = view.chat(SCENE.chat) else { return spec.chat == Standing::Absent };
    let status = match chat.status() {
        ChatStatus::Official => Standing::Official,
        ChatStatus::Suspended => Standing::Suspended,
        ChatStatus::Closed => Standing::Closed,
        ChatStatus::Void => Standing::Void,
        ChatStatus::Moved => Standing::Moved,
        _ => return false,
    };
    let owner = chat.owner().map(|o| view.holder(&o.authority));
    let Some(house) = view.building(&building(0)) else { return false };
    let holds = |c: u8| {
        let mut of = chat.admins.iter().filter(|d| d.organisation == company(c.into()));
        of.any(|d| house.delegation_holds(d, late_day(), |id| id.clone()))
    };
    status == spec.chat
        && owner == Some(authority(spec.holder(spec.owner).into()))
        && chat.owners.len() == usize::from(spec.owners)
        && chat.link == Some(link(spec.link.into()))
        && view.is_official(chat) == spec.official()
        && (0..2).all(|c| holds(c) == spec.administers(c))
}

/// Rule 1, of the facts alone.
fn owned(view: &impl View) -> bool {
    let Some(chat) = view.chat(SCENE.chat) else { return true };
    let Some(owner) = chat.owner().map(|o| view.holder(&o.authority)) else { return false };
    let Some(facts) = view.authority(&owner) else { return false };
    let good = facts.suspended.is_none() && facts.succeeded.is_none();
    facts.succeeded.is_none() && (!view.is_official(chat) || good && chat.status() == ChatStatus::Official)
}

/// What a reader of a region's log knows of the chat: its facts, and how far he has read.
struct Seen<'s> {
    chat: Option<&'s ChatFacts>,
    size: u64,
}

impl<'s> Seen<'s> {
    fn of(region: &'s Region) -> Seen<'s> {
        Seen { chat: region.state.chat(SCENE.chat), size: region.state.size() }
    }
    /// This log claims the chat, and what the other one says does not show that it has gone there since.
    fn holds(&self, other: &Seen<'_>) -> bool {
        let Some(chat) = self.chat.filter(|c| c.status() != ChatStatus::Moved) else { return false };
        let taken = other.chat.and_then(|c| c.arrived.as_ref()).is_some_and(|arrived| {
            chat.offered.as_ref().is_some_and(|o| o.offer == arrived.offer) || self.size < arrived.size
        });
        !taken
    }
}

/// Both logs together: exactly one holds the chat. With one of them as it was at any commit before: no two do.
fn union(regions: &[Region; 2]) -> Option<&'static str> {
    let [a, b] = [Seen::of(&regions[0]), Seen::of(&regions[1])];
    if a.holds(&b) == b.holds(&a) {
        return Some(UNION);
    }
    for (late, now) in [(&regions[0], &b), (&regions[1], &a)] {
        let mut at = late.earlier.as_ref();
        while let Some(earlier) = at {
            let then = Seen::of(earlier);
            if then.holds(now) && now.holds(&then) {
                return Some(LAG);
            }
            at = earlier.earlier.as_ref();
        }
    }
    None
}

impl Model for Registry {
    type State = Both;
    type Action = Act;

    fn init_states(&self) -> Vec<Both> {
        vec![Both { regions: SCENE.regions.clone(), phase: [Phase::Now; 2], fault: None, crashed: false }]
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
            self.said(both, place, actions);
        }
        // Nothing else of the model looks at the time.
        for place in Place::ALL {
            let (spec, other) = (&both.regions[place as usize].spec, &both.regions[place.other() as usize].spec);
            let until = match () {
                _ if self.crossing && !(spec.offers.is_empty() && other.offers.is_empty()) => Phase::Late,
                _ if spec.late.contains(&KeyIs::Granted) => Phase::Later,
                _ => Phase::Now,
            };
            // A batch has one time: that of its check is that of its commit.
            if both.phase[place as usize] < until && both.regions[place as usize].pending.is_empty() {
                actions.push(Act::Wait(place));
            }
            if self.bug == Bug::Rewind && !both.crashed && both.regions[place as usize].earlier.is_some() {
                actions.push(Act::Rewind(place));
            }
        }
    }

    fn next_state(&self, both: &Both, act: Act) -> Option<Both> {
        match act {
            Act::Submit(place, say, by, basis) => self.submit(both, place, say, by, basis),
            Act::Commit(place) => Some(self.commit(both, place)),
            Act::Crash(place) => Some(self.crash(both, place)),
            Act::Wait(place) => {
                let mut next = both.clone();
                // Without late keys nothing happens in between.
                next.phase[place as usize] = match self.only {
                    Some(_) => Phase::Late,
                    None => both.phase[place as usize].next()?,
                };
                Some(next)
            }
            Act::Rewind(place) => self.rewind(both, place),
        }
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = always();
        all.extend(if self.crossing { across() } else { within() });
        all
    }
}

fn always() -> Vec<Property<Registry>> {
    macro_rules! holds {
        ($($fault:ident),+) => { vec![$(Property::always($fault, |_, b: &Both| b.fault != Some($fault))),+] };
    }
    holds!(AGREES, OWNER, APART, REVOKED, STANDING, WINDOW, ONCE, REPLAY, ANSWERS, OWNED, CRASH, LOCKED, UNION, LAG)
}

/// What must be seen in one region.
fn within() -> Vec<Property<Registry>> {
    vec![
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
        Property::sometimes("a chat entered by mistake", |_, b: &Both| b.regions[0].committed.chat == Standing::Void),
        Property::sometimes("a crash", |_, b: &Both| b.crashed),
    ]
}

/// What must be seen between two regions.
fn across() -> Vec<Property<Registry>> {
    let sometimes = |name, condition: fn(&Registry, &Both) -> bool| Property::sometimes(name, condition);
    vec![
        sometimes("a chat moves to the other region", |_, b| {
            b.regions[0].committed.chat == Standing::Moved && b.regions[1].committed.official()
        }),
        sometimes("an offer is declined and the chat stays", |_, b| {
            b.regions[1].committed.answers[0] == Some(false)
                && b.regions[0].committed.offers.first().is_some_and(|o| o.is == OfferStanding::Returned)
        }),
        sometimes("an offer expires and the chat stays", |_, b| {
            b.regions[1].committed.answers[0].is_none()
                && b.regions[0].committed.offers.first().is_some_and(|o| o.is == OfferStanding::Returned)
        }),
        sometimes("an offer is accepted in one region and locked in the other", |_, b| {
            b.regions[0].committed.locked() && b.regions[1].committed.chat == Standing::Official
        }),
        sometimes("the owner is succeeded while its chat is offered, and the successor ends the offer", |_, b| {
            let s = &b.regions[0].committed;
            s.successor[0] == Some(1) && s.chat == Standing::Moved
        }),
        sometimes("the receiver is succeeded before it accepts, and its successor takes the chat", |_, b| {
            let s = &b.regions[1].committed;
            s.successor[2] == Some(3) && s.chat == Standing::Official && s.owner == 3
        }),
        sometimes("the owner's key is revoked while its chat is offered, and the root ends the offer", |_, b| {
            let s = &b.regions[0].committed;
            s.keys[0] == KeyIs::Revoked && s.chat == Standing::Moved
        }),
        sometimes("a company changes while the chat is offered", |_, b| {
            let s = &b.regions[0].committed;
            s.locked() && !s.manages[0]
        }),
        sometimes("the clocks of the regions differ by the deadline", |_, b| {
            b.phase[0] != b.phase[1] && b.phase.contains(&Phase::Late)
        }),
        sometimes("a crash forgets an acceptance", |_, b| b.crashed && b.regions[0].committed.locked()),
    ]
}
