//! Which log a chat is in, when several know it (docs/protocol.md, 7.11, "Readers of both logs").
//!
//! A claim is one log's word on a chat, and stands only on what is proved: a log that took a chat over has embedded the
//! proof that it was offered, so its acceptance alone names the new owner, whichever of the two logs this node has read
//! further. What a log claims without such a chain never makes another log's chat less official; it is shown as disputed.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::Node;
use super::log_view::LogView;
use crate::error::{Error, Result};
use crate::registry::body::ChatKind;
use crate::registry::facts::{ChatFacts, ChatStatus};
use crate::registry::ids::ChatNumber;
use crate::registry::record::Subject;
use crate::registry::state::View;
use crate::registry::status_proof::{Name, StatusProof};
use crate::registry::transfer::OfferStanding;

/// How a log's word on a chat stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// The chat is this log's.
    Holds,
    /// It was this log's; another log took it over.
    Passed,
    /// Another log had it before, and did not give it to this one.
    Disputed,
}

/// One log's word on a chat.
struct Word {
    view: Arc<LogView>,
    size: u64,
    chat: ChatFacts,
}

impl Node {
    /// Every log that knows this chat, the one that holds it first.
    pub fn claims(&self, number: ChatNumber) -> Vec<(Arc<LogView>, Claim)> {
        let word = |view: Arc<LogView>| {
            let state = view.state();
            let found = state.chat(number).cloned().map(|chat| (state.size(), chat));
            drop(state);
            found.map(|(size, chat)| Word { view, size, chat })
        };
        let words: Vec<Word> = self.views().into_iter().filter_map(word).collect();
        let chained: Vec<bool> = words.iter().map(|w| self.is_chained(w)).collect();
        let passed = |from: &Word| {
            let took = |(to, good): (&Word, &bool)| *good && took_over(from, to);
            words.iter().zip(&chained).any(took)
        };
        let claim = |(word, good): (&Word, &bool)| match good {
            false => Claim::Disputed,
            true if passed(word) => Claim::Passed,
            true => Claim::Holds,
        };
        let mut claims: Vec<(Arc<LogView>, Claim)> =
            words.iter().zip(&chained).map(|w| (w.0.view.clone(), claim(w))).collect();
        claims.sort_by_key(|(_, claim)| *claim);
        claims
    }

    /// How the word of the log `origin` on a chat stands. What it claims of a link, a chat id or a house that another log's
    /// chat had first is disputed: no later claim makes an official chat less official, and none is hidden.
    pub fn claim_of(&self, origin: &str, chat: &ChatFacts) -> Claim {
        let views = self.views();
        if views.len() == 1 {
            return Claim::Holds;
        }
        let stands = |number, origin: &str| {
            let mut claims = self.claims(number).into_iter();
            claims.find(|(view, _)| view.origin == origin).map_or(Claim::Holds, |(_, claim)| claim)
        };
        let own = stands(chat.chat, origin);
        if own != Claim::Holds || !chat.is_active() {
            return own;
        }
        let since = (self.since(chat.chat), origin.to_owned());
        let earlier = |(number, log): &(ChatNumber, String)| {
            (self.since(*number), log.clone()) < since && stands(*number, log) == Claim::Holds
        };
        let others = views.iter().filter(|v| v.origin != origin);
        match others.flat_map(|v| rivals(v, chat)).any(|rival| earlier(&rival)) {
            true => Claim::Disputed,
            false => Claim::Holds,
        }
    }

    /// When a chat was first recorded, by the commit times of the logs that know it.
    fn since(&self, number: ChatNumber) -> u64 {
        let first = |view: &Arc<LogView>| {
            let state = view.state();
            let entry = state.entry(&Subject::Chat(number))?;
            entry.history.first().and_then(|h| state.time_of(h.index))
        };
        self.views().iter().filter_map(first).min().unwrap_or(u64::MAX)
    }

    /// True where a log has a chat by right as far as this node can tell: it was registered there, or the log it came from
    /// did offer it. A log this node does not follow, or has not read that far, cannot contradict the proof that was given.
    fn is_chained(&self, word: &Word) -> bool {
        let Some(arrived) = &word.chat.arrived else { return true };
        let Some(leaving) = self.view(arrived.leaving.as_str()) else { return true };
        let state = leaving.state();
        match state.transfer(&arrived.offer) {
            None => state.size() < arrived.size,
            Some(t) => t.standing != OfferStanding::Returned && *t.receiving == *word.view.origin,
        }
    }

    /// Proves what a log says about one thing: the log `origin`, or the one that knows it, the node's own first.
    ///
    /// # Errors
    /// `lookup.log` where there is no such log here; those of [`LogView::prove`].
    pub fn prove(&self, about: &Name, origin: Option<&str>, addresses: bool) -> Result<StatusProof> {
        let none = || Error::refuse("lookup.log", "this node has no such log", "see GET /api/v1/federation");
        let knows = |view: &&Arc<LogView>| match about {
            Name::Link(link) => !view.state().chats_by_link(link).is_empty(),
            Name::Subject(subject) => view.state().entry(subject).is_some(),
        };
        // A building is known under any of its ids; its facts stand under the primary one.
        let primary = |view: &LogView| match about {
            Name::Subject(Subject::Building(id)) => {
                view.state().primary(id).map(|id| Name::Subject(Subject::Building(id)))
            }
            _ => None,
        };
        let views = match about {
            Name::Subject(subject @ Subject::Chat(_)) => {
                let holders = self.views_for(subject);
                if holders.is_empty() { self.views() } else { holders }
            }
            _ => self.views(),
        };
        let view = match origin {
            Some(origin) => self.view(origin).ok_or_else(none)?,
            None => views.iter().find(knows).or(views.first()).cloned().ok_or_else(none)?,
        };
        let about = primary(&view).unwrap_or_else(|| about.clone());
        view.prove(&about, addresses)
    }

    /// Every log, in the order in which they are asked about a subject: for a chat, the one that holds it first.
    pub fn views_for(&self, subject: &Subject) -> Vec<Arc<LogView>> {
        match subject {
            Subject::Chat(number) => self.claims(*number).into_iter().map(|(view, _)| view).collect(),
            _ => self.views(),
        }
    }
}

/// Chats in force in another log that have this chat's link or id, or are the house's own where this one is.
fn rivals(view: &LogView, chat: &ChatFacts) -> Vec<(ChatNumber, String)> {
    let state = view.state();
    let mut numbers = chat.link.map(|l| state.chats_by_link(&l)).unwrap_or_default();
    numbers.extend(chat.max.iter().flat_map(|m| state.chats_by_max(m)));
    if chat.kind == ChatKind::House {
        let here = chat.buildings.iter().filter_map(|id| state.primary(id)).flat_map(|id| state.chats_by_building(&id));
        numbers.extend(here.filter(|n| state.chat(*n).is_some_and(|c| c.kind == ChatKind::House)));
    }
    let rival = |n: &ChatNumber| *n != chat.chat && state.chat(*n).is_some_and(ChatFacts::is_active);
    numbers.into_iter().filter(rival).map(|n| (n, view.origin.clone())).collect()
}

/// True where `to` took the chat over from `from` by an offer that `from` has made since it had the chat itself, or that
/// lies beyond what is known of `from`.
fn took_over(from: &Word, to: &Word) -> bool {
    let Some(arrived) = to.chat.arrived.as_ref().filter(|a| *a.leaving.as_str() == *from.view.origin) else {
        return false;
    };
    let open = from.chat.offered.as_ref().is_some_and(|o| o.offer == arrived.offer);
    let left = from.chat.left.as_ref().is_some_and(|l| l.offer == arrived.offer);
    to.chat.status() != ChatStatus::Moved && (open || left || from.size < arrived.size)
}
