//! Rules of what is noted beside the facts: of which buildings a chat is required, what imitates a chat, who objects.

use super::body::{ApplicabilitySet, Imitation, ImpersonationCleared, ImpersonationFlagged, ObjectionNoted, Outcome};
use super::chat_rules::by_owner;
use super::facts::{ChatStatus, Facts, ImitationFacts, MAX_SPANS, Objection};
use super::record::{Record, Subject};
use super::rules::*;
use super::state::View;
use crate::error::Result;

/// The threshold is the region's own word, with a document and a day.
pub(super) fn applicability(
    view: &impl View,
    b: &ApplicabilitySet,
    record: &Record,
    signers: &Signers<'_>,
) -> Result<()> {
    by_root(view, signers)?;
    needs_basis(record)?;
    if b.region != view.jurisdiction().region {
        return refuse(
            "rule.applicability.region",
            format!("this is not the log of region {}", b.region),
            "name the region of this log",
        );
    }
    let subject = Subject::Applicability(b.region);
    match view.facts(&subject) {
        Some(Facts::Applicability(a)) if a.thresholds.len() >= MAX_SPANS => too_many(&subject),
        _ => Ok(()),
    }
}

fn flags<'v>(view: &'v impl View, imitation: &Imitation) -> Option<&'v ImitationFacts> {
    match view.facts(&Subject::Imitation(imitation.clone()))? {
        Facts::Imitation(i) => Some(i),
        _ => None,
    }
}

/// The owner of the imitated chat says what imitates it. Rule 9: nothing that leads to a chat of this register which is in
/// force or declared can be flagged.
pub(super) fn flagged(view: &impl View, b: &ImpersonationFlagged, signers: &Signers<'_>) -> Result<()> {
    by_owner(view, signers, active_chat(view, b.imitates)?)?;
    let chats = match &b.imitation {
        Imitation::Link(digest) => view.chats_by_link(digest),
        Imitation::Max(id) => view.chats_by_max(id),
        // Titles are no handles: two chats may well have the same.
        Imitation::Title(_) => Default::default(),
    };
    let in_force = |n: &_| view.chat(*n).is_some_and(|c| c.is_active() || c.status() == ChatStatus::Declared);
    if let Some(chat) = chats.into_iter().find(in_force) {
        return refuse(
            "rule.imitation.official",
            format!("{} leads to the chat {chat} of this register", b.imitation),
            "suspend or close that chat, or note an objection to it",
        );
    }
    let known = flags(view, &b.imitation);
    if known.is_some_and(|i| i.flags.len() >= MAX_SPANS) {
        return too_many(&Subject::Imitation(b.imitation.clone()));
    }
    match known.and_then(ImitationFacts::open) {
        Some(f) if f.imitates == b.imitates && f.certainty == b.certainty => refuse(
            "rule.imitation.flagged",
            format!("{} is flagged already (record {})", b.imitation, f.record),
            "nothing needs to be done",
        ),
        // Whoever flagged it has the word until he clears it.
        Some(f) if f.imitates != b.imitates => by_owner(view, signers, known_chat(view, f.imitates)?),
        _ => Ok(()),
    }
}

/// Cleared by the owner of the chat that it was said to imitate.
pub(super) fn cleared(view: &impl View, b: &ImpersonationCleared, signers: &Signers<'_>) -> Result<()> {
    match flags(view, &b.imitation).and_then(ImitationFacts::open) {
        Some(flag) => by_owner(view, signers, known_chat(view, flag.imitates)?),
        None => refuse("rule.imitation.unknown", format!("{} is not flagged", b.imitation), "nothing needs to be done"),
    }
}

/// Whoever may write about the subject notes what came in about it, and how it ended.
pub(super) fn objection(view: &impl View, b: &ObjectionNoted, record: &Record, signers: &Signers<'_>) -> Result<()> {
    let objections: &[Objection] = match view.facts(&b.subject) {
        Some(Facts::Building(f)) => {
            by_any_authority(signers, &f.oktmo)?;
            f.objections.as_deref().unwrap_or_default()
        }
        Some(Facts::Chat(c)) => {
            by_owner(view, signers, c)?;
            c.objections.as_deref().unwrap_or_default()
        }
        _ => {
            return refuse(
                "rule.objection.subject",
                format!("{} is no chat and no building of this log", b.subject),
                "name the chat or building whose fact is disputed",
            );
        }
    };
    let open = objections.iter().find(|o| o.closed.is_none() && o.number == b.number && o.date == b.date);
    let Some(outcome) = b.outcome else {
        return match open {
            _ if b.resolved_by.is_some() => no_outcome("an objection that is settled names its outcome"),
            Some(o) => refuse(
                "rule.objection.open",
                format!("the objection {} of {} is open already (record {})", b.number, b.date, o.record),
                "name its outcome to end it",
            ),
            None if objections.len() >= MAX_SPANS => too_many(&b.subject),
            None => Ok(()),
        };
    };
    let Some(open) = open else {
        return refuse(
            "rule.objection.unknown",
            format!("no objection {} of {} is open about {}", b.number, b.date, b.subject),
            "check number and date",
        );
    };
    if record.effective_from.is_some_and(|day| day < b.date) {
        return no_outcome("it would end before it came in");
    }
    let later = |id| view.index_of(id) > view.index_of(&open.record);
    match (outcome, &b.resolved_by) {
        (Outcome::Upheld, Some(id)) if later(id) => Ok(()),
        (Outcome::Rejected, None) if record.basis.is_some() => Ok(()),
        _ => no_outcome("upheld needs the later record that settles it, rejected a basis and no such record"),
    }
}

fn no_outcome(why: &'static str) -> Result<()> {
    refuse("rule.objection.outcome", why, "correct outcome, resolved_by, effective_from or basis")
}
