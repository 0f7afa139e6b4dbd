//! Rules with a fault sown into them, to see that the checker finds it.
//!
//! `rules::check` asks a [`View`] for facts. [`Blind`] is a view that hides one kind of fact from it, so the rules that rest
//! on it pass what they should refuse; everything else is the library's own. With [`Bug::None`] it only hands through.

use std::collections::{BTreeSet, HashMap};

use domovoi::registry::facts::Facts;
use domovoi::registry::ids::{BuildingId, ChatNumber, LinkDigest, MaxChatId, OrgId, RecordId};
use domovoi::registry::record::Subject;
use domovoi::registry::state::{Entry, Jurisdiction, Overlay, View};
use domovoi::registry::text::Millis;
use domovoi::registry::transfer::OfferStanding;

use super::region::Phase;
use super::scene::subjects;

/// What is hidden from the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    None,
    /// That a key is revoked.
    Revocation,
    /// From when a key is valid.
    Window,
    /// That an authority is suspended.
    Suspension,
    /// That an authority was succeeded, when it acts.
    Succession,
    /// Who owns today what a succeeded authority owned.
    Holder,
    /// That a management has ended.
    Ending,
    /// The last record of the chat's subject: an older one is shown.
    History,
    /// That a chat is offered to another region.
    Lock,
    /// That an offer was answered already.
    Answer,
    /// That a deadline has passed.
    Deadline,
    /// Nothing; but a region's log may lose its last batch and go on, as one whose backup was trusted.
    Rewind,
}

/// A view that hides a kind of fact.
pub struct Blind<'v> {
    base: &'v Overlay<'v>,
    bug: Bug,
    lies: HashMap<Subject, Entry>,
}

impl<'v> Blind<'v> {
    pub fn new(base: &'v Overlay<'v>, bug: Bug) -> Blind<'v> {
        let mut lies = HashMap::new();
        let known = if bug == Bug::None { Vec::new() } else { subjects() };
        for subject in known {
            let Some(entry) = base.entry(&subject) else { continue };
            let mut lie = entry.clone();
            match (bug, &mut lie.facts) {
                (Bug::Revocation, Facts::Key(k)) => k.revoked = None,
                (Bug::Window, Facts::Key(k)) => k.not_before = Millis::new(0).unwrap(),
                (Bug::Suspension, Facts::Authority(a)) => a.suspended = None,
                (Bug::Succession, Facts::Authority(a)) => a.succeeded = None,
                (Bug::Ending, Facts::Building(b)) => b.managements.iter_mut().for_each(|m| m.to = None),
                (Bug::Lock, Facts::Chat(c)) => c.offered = None,
                (Bug::History, Facts::Chat(_)) if lie.history.len() > 1 => drop(lie.history.pop()),
                _ => continue,
            }
            lies.insert(subject, lie);
        }
        Blind { base, bug, lies }
    }

    /// The time the rules are told.
    pub fn time(&self, time: u64) -> u64 {
        if self.bug == Bug::Deadline { time.min(Phase::Late.begins() - 1) } else { time }
    }
}

impl View for Blind<'_> {
    fn jurisdiction(&self) -> &Jurisdiction {
        self.base.jurisdiction()
    }
    fn entry(&self, subject: &Subject) -> Option<&Entry> {
        let entry = self.lies.get(subject).or_else(|| self.base.entry(subject));
        let answer = |e: &&Entry| match &e.facts {
            Facts::Transfer(t) => matches!(t.standing, OfferStanding::Accepted | OfferStanding::Declined),
            _ => false,
        };
        entry.filter(|e| self.bug != Bug::Answer || !answer(e))
    }
    fn index_of(&self, id: &RecordId) -> Option<u64> {
        self.base.index_of(id)
    }
    fn chats_by_link(&self, link: &LinkDigest) -> BTreeSet<ChatNumber> {
        self.base.chats_by_link(link)
    }
    fn chats_by_max(&self, id: &MaxChatId) -> BTreeSet<ChatNumber> {
        self.base.chats_by_max(id)
    }
    fn chats_by_building(&self, building: &BuildingId) -> BTreeSet<ChatNumber> {
        self.base.chats_by_building(building)
    }
    fn named_by(&self, subject: &Subject) -> BTreeSet<Subject> {
        self.base.named_by(subject)
    }
    fn primary(&self, id: &BuildingId) -> Option<BuildingId> {
        self.base.primary(id)
    }
    fn organisation(&self, id: &OrgId) -> OrgId {
        self.base.organisation(id)
    }
    fn holder(&self, authority: &OrgId) -> OrgId {
        match self.bug {
            Bug::Holder => authority.clone(),
            // Only whoever acts is seen wrongly, not what he holds.
            _ => self.base.holder(authority),
        }
    }
}
