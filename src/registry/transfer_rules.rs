//! Rules of moving a chat to another region's log (docs/protocol.md, "Transfer to another region"): offered, accepted or
//! declined, released. The third part of [`super::rules`].

use std::collections::BTreeSet;

use super::body::Body;
use super::chat_rules::{Place, by_owner, covered, handle};
use super::facts::{ChatFacts, ChatStatus, Facts, MAX_SPANS};
use super::ids::{BuildingId, Oktmo};
use super::jurisdiction::Neighbour;
use super::record::{DecodedRecord, Record, Subject};
use super::rules::*;
use super::state::View;
use super::state_proof::{ProvedState, Quoted, StateProof};
use super::transfer::*;
use crate::error::{Error, Result};

/// Longest time an offer may stand, and with it the lock: 92 days, in milliseconds.
pub const MAX_OFFER_MS: u64 = 92 * 86_400_000;

/// True for the types whose rules are here.
pub(super) fn concerns(body: &Body) -> bool {
    matches!(
        body,
        Body::TransferOffered(_) | Body::TransferAccepted(_) | Body::TransferDeclined(_) | Body::TransferReleased(_)
    )
}

/// An offered chat is locked: whatever the other region accepts must be what was offered. Only the end of the offer
/// changes it. (A succession of its owner changes the owner's facts, not the chat's.) And an arrival is not taken back by
/// superseding it: that would leave a chat without an owner in either log.
pub(super) fn not_locked(view: &impl View, record: &Record, subject: &Subject) -> Result<()> {
    match view.facts(subject) {
        Some(Facts::Chat(c)) => match &c.offered {
            None if matches!(&record.body, Body::RecordSuperseded(b) if c.arrived.as_ref().is_some_and(|a| a.record == b.record)) => {
                refuse(
                    "rule.transfer.undo",
                    "an acceptance cannot be superseded",
                    "offer the chat back to the region it came from",
                )
            }
            Some(o) => refuse(
                "rule.transfer.locked",
                format!("{} is offered to {} ({}) and locked until that ends", c.chat, o.receiving, o.offer),
                "wait for the answer of the other region, then record it with transfer.released",
            ),
            None if c.status() == ChatStatus::Moved => refuse(
                "rule.transfer.moved",
                format!("{} has moved to another region's log", c.chat),
                "hand the record in there",
            ),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The rules of the types of this file. `time` is the commit's.
pub(super) fn check(view: &impl View, record: &Record, signers: &Signers<'_>, time: u64) -> Result<()> {
    match &record.body {
        Body::TransferOffered(b) => offered(view, b, record, signers, time),
        Body::TransferAccepted(b) => accepted(view, b, signers, time),
        Body::TransferDeclined(b) => declined(view, b, signers, time),
        Body::TransferReleased(b) => released(view, b, signers),
        _ => refuse("rule.type", "this type has no rule", "report this as a defect"),
    }
}

fn offered(view: &impl View, b: &TransferOffered, record: &Record, signers: &Signers<'_>, time: u64) -> Result<()> {
    let chat = known_chat(view, b.chat)?;
    not_locked(view, record, &Subject::Chat(b.chat))?;
    if chat.status() != ChatStatus::Official {
        return refuse(
            "rule.transfer.standing",
            format!("{} is {:?}; only an official chat can be offered", b.chat, chat.status()),
            "register, restore or close it first",
        );
    }
    by_owner(view, signers, chat)?;
    if chat.owner().map(|o| view.holder(&o.authority)).as_ref() != Some(&b.from) {
        return refuse("rule.transfer.owner", format!("{} does not own {}", b.from, b.chat), "name the present owner");
    }
    let described = chat.kind == b.kind
        && chat.title == b.title
        && chat.buildings == b.buildings.0
        && (chat.link, chat.max, chat.entrance) == (b.link, b.max, b.entrance);
    if !described {
        return refuse(
            "rule.transfer.description",
            format!("the offer does not describe {} as it is recorded", b.chat),
            "repeat kind, title, buildings, link and max as they are; amend the chat before offering it",
        );
    }
    neighbour(view, b.receiving.as_str())?;
    if chat.statuses.len() + 1 >= MAX_SPANS || chat.owners.len() >= MAX_SPANS {
        return too_many(&Subject::Chat(b.chat));
    }
    let deadline = b.accept_before.get();
    if deadline <= time || deadline - time > MAX_OFFER_MS {
        return refuse(
            "rule.transfer.deadline",
            "the deadline of the offer has passed or is more than 92 days away",
            "name a deadline within 92 days",
        );
    }
    Ok(())
}

fn accepted(view: &impl View, b: &TransferAccepted, signers: &Signers<'_>, time: u64) -> Result<()> {
    let offer = standing_offer(view, b, time)?;
    let described = offer.kind == b.kind
        && offer.title == b.title
        && (offer.link, offer.max, offer.entrance) == (b.link, b.max, b.entrance);
    if !described {
        return refuse(
            "rule.transfer.description",
            format!("the acceptance does not describe {} as it was offered", b.chat),
            "repeat kind, title, link and max as in the offer",
        );
    }
    let here = view.chat(b.chat);
    if here.is_some_and(|c| c.status() != ChatStatus::Moved) {
        return refuse(
            "rule.transfer.here",
            format!("{} is in this log already", b.chat),
            "if it was offered away from here, record the end of that offer first",
        );
    }
    if here.is_some_and(spans_full) {
        return too_many(&Subject::Chat(b.chat));
    }
    if b.owner != view.holder(&b.to) {
        return refuse(
            "rule.transfer.owner",
            format!("the offer is to {}; {} is not who holds its rights", b.to, b.owner),
            "name the authority of the offer, or its successor",
        );
    }
    in_good_standing(view, &b.owner)?;
    let codes = covered(view, &b.buildings.0)?;
    in_own_region(view, &codes)?;
    by_authority(signers, &b.owner, &codes)?;
    let offered: BTreeSet<Option<BuildingId>> = offer.buildings.0.iter().map(|id| view.primary(id)).collect();
    let taken: BTreeSet<Option<BuildingId>> = b.buildings.0.iter().cloned().map(Some).collect();
    if offered != taken {
        return refuse(
            "rule.transfer.buildings",
            "the buildings are not those of the offer, each under its primary id in this log",
            "register the buildings of the offer in this log first, with the ids they have there, and name them all",
        );
    }
    Place { kind: b.kind, entrance: b.entrance, buildings: &b.buildings.0 }.free(view, Some(b.chat))?;
    handle(view, Some(b.chat), b.link, b.max)
}

fn declined(view: &impl View, b: &TransferDeclined, signers: &Signers<'_>, time: u64) -> Result<()> {
    standing_offer(view, b, time)?;
    let holder = view.holder(&b.to);
    in_good_standing(view, &holder)?;
    by_authority(signers, &holder, &[])
}

fn released(view: &impl View, b: &TransferReleased, signers: &Signers<'_>) -> Result<()> {
    let chat = known_chat(view, b.chat)?;
    let facts = match view.transfer(&b.offer) {
        Some(t) if chat.offered.as_ref().is_some_and(|o| o.offer == b.offer) => t,
        _ => {
            return refuse(
                "rule.transfer.unknown",
                format!("{} is not offered by {}", b.chat, b.offer),
                "name the chat's open offer",
            );
        }
    };
    by_owner(view, signers, chat).or_else(|e| by_root(view, signers).map_err(|_| e))?;
    let state = proved(&b.proof, neighbour(view, &facts.receiving)?)?;
    let name = TransferFacts::name(&b.offer);
    let holds = |standing, answer| state.holds(&name, &facts.seen_as(standing, answer).value());
    match (b.outcome, b.answer) {
        (Ending::Accepted, Some(answer)) => holds(OfferStanding::Accepted, answer).map_err(unproved),
        (Ending::Declined, Some(answer)) => holds(OfferStanding::Declined, answer).map_err(unproved),
        // Who may not accept any more has not accepted: from the deadline on, absence is final.
        (Ending::Expired, None) if state.time() >= facts.accept_before.get() => state.lacks(&name).map_err(unproved),
        (Ending::Expired, None) => refuse(
            "rule.transfer.early",
            "the proof is of a commit before the deadline: the offer can still be accepted",
            "wait for a commit of the receiving log at or after the deadline",
        ),
        _ => refuse(
            "rule.transfer.answer",
            "an answer names its record, an expiry has none",
            "name the record of the receiving log that accepted or declined, or leave it out",
        ),
    }
}

/// What an acceptance and a refusal have in common: they answer one offer and prove it.
trait Answer {
    /// The chat and the parties as the answer repeats them, and what it embeds.
    fn parts(&self) -> (TransferFacts, &Quoted, &StateProof);
}

macro_rules! answers {
    ($($name:ident),+) => {$(
        impl Answer for $name {
            fn parts(&self) -> (TransferFacts, &Quoted, &StateProof) {
                let facts = TransferFacts {
                    offer: self.offer,
                    chat: self.chat,
                    leaving: self.leaving.as_str().into(),
                    receiving: Box::default(),
                    from: self.from.clone(),
                    to: self.to.clone(),
                    accept_before: self.accept_before,
                    standing: OfferStanding::Offered,
                    record: self.offer,
                };
                (facts, &self.entry, &self.proof)
            }
        }
    )+};
}
answers!(TransferAccepted, TransferDeclined);

/// The offer that an answer embeds: it is what the answer says it is, in force, not answered yet, and the leaving log has
/// committed it as standing. The leaving log's own rules have seen to its signature; its key and its commit key vouch.
fn standing_offer(view: &impl View, answer: &impl Answer, time: u64) -> Result<TransferOffered> {
    let (mut facts, entry, proof) = answer.parts();
    facts.receiving = view.jurisdiction().origin.clone();
    let unlike = || {
        Error::refuse(
            "rule.transfer.offer",
            "the embedded entry is not the offer that is answered",
            "embed the offer's entry and repeat its fields",
        )
    };
    let decoded = DecodedRecord::decode(entry.as_bytes()).map_err(|_| unlike())?.record;
    let Body::TransferOffered(offer) = decoded.body else { return Err(unlike()) };
    let same = decoded.id == facts.offer
        && *decoded.log == *facts.leaving
        && offer.chat == facts.chat
        && *offer.receiving.as_str() == *facts.receiving
        && (&offer.from, &offer.to, offer.accept_before) == (&facts.from, &facts.to, facts.accept_before);
    if !same {
        return Err(unlike());
    }
    if time >= offer.accept_before.get() {
        return refuse(
            "rule.transfer.deadline",
            "the deadline of the offer has passed: it can no longer be answered",
            "have the chat offered anew",
        );
    }
    if view.entry(&Subject::Transfer(facts.offer)).is_some() {
        return refuse("rule.transfer.settled", "this offer was answered already", "nothing needs to be done");
    }
    let state = proved(proof, neighbour(view, &facts.leaving)?)?;
    state.holds(&TransferFacts::name(&facts.offer), &facts.value()).map_err(unproved)?;
    Ok(offer)
}

fn neighbour<'v>(view: &'v impl View, origin: &str) -> Result<&'v Neighbour> {
    let j = view.jurisdiction();
    j.other(origin).map_or_else(
        || {
            refuse(
                "rule.transfer.log",
                format!("charter {} names no log «{origin}» of another region", j.charter_version),
                "check the origin; a region must be in the charter to give or take chats",
            )
        },
        Ok,
    )
}

fn proved<'p>(proof: &'p StateProof, log: &Neighbour) -> Result<ProvedState<'p>> {
    proof.verify(log).map_err(unproved)
}

fn unproved(e: Error) -> Error {
    Error::refuse(
        "rule.transfer.proof",
        format!("the other log's statement is not proved: {e}"),
        "fetch a fresh proof from that region's node",
    )
}

/// Boundaries change: a building that was admitted stays, but a chat is not taken over for one that lies elsewhere now.
fn in_own_region(view: &impl View, codes: &[&Oktmo]) -> Result<()> {
    let own = &view.jurisdiction().oktmo;
    match codes.iter().find(|c| !own.iter().any(|p| c.starts_with(p))) {
        None => Ok(()),
        Some(c) => refuse(
            "rule.oktmo.region",
            format!("ОКТМО {c} lies outside this region"),
            "the chat stays where the building is",
        ),
    }
}

fn spans_full(c: &ChatFacts) -> bool {
    [c.owners.len(), c.statuses.len() + 1, c.rotated.len()].into_iter().any(|n| n >= MAX_SPANS)
}
