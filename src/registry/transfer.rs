//! A chat moves to another region's log: the records, the facts, and how the one moves the other (docs/protocol.md,
//! "Transfer to another region").
//!
//! The two logs share no state, so each says what it did under one name, `transfer:<id of the offer>`, and proves it to
//! the other by its state map. In the leaving log the leaf is born with the offer; in the receiving log it is born with
//! the acceptance or the refusal, and a log without it has not answered. An acceptance is good only before the deadline, by
//! commit time; absence at or after the deadline is therefore final. That is all that is needed for exactly one of the
//! two logs to hold the chat, whatever is lost, delayed or repeated.

use serde::{Deserialize, Serialize};

use super::body::{Body, ChatKind, MAX_BUILDINGS};
use super::evolve::boxed;
use super::facts::{ChatFacts, ChatStatus, Facts, Owner, leaf_value};
use super::ids::{BuildingId, ChatNumber, LinkDigest, MaxChatId, OrgId, RecordId};
use super::record::{Record, Subject};
use super::state_proof::{Quoted, StateProof};
use super::strict::{List, object, words};
use super::text::{Day, Millis, Text};

/// transfer.offered, in the log the chat leaves: its owner offers it, described as it is, and it is locked here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferOffered {
    /// The chat.
    pub chat: ChatNumber,
    /// Its kind.
    pub kind: ChatKind,
    /// Its title.
    pub title: Text,
    /// All buildings it covers.
    pub buildings: List<BuildingId, MAX_BUILDINGS>,
    /// The owner that gives it up.
    pub from: OrgId,
    /// The authority of the other region that is to take it.
    pub to: OrgId,
    /// Origin of the log it is to go to.
    pub receiving: Text,
    /// It can be accepted before this commit time of the receiving log, Unix milliseconds.
    pub accept_before: Millis,
    /// Digest of its join link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkDigest>,
    /// Its chat id in MAX.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<MaxChatId>,
    /// Number of the entrance, of a chat of that kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrance: Option<u16>,
}

/// transfer.accepted, in the log the chat goes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferAccepted {
    /// The chat. It keeps its number.
    pub chat: ChatNumber,
    /// The offer.
    pub offer: RecordId,
    /// Origin of the log it leaves.
    pub leaving: Text,
    /// As in the offer.
    pub from: OrgId,
    /// As in the offer.
    pub to: OrgId,
    /// As in the offer.
    pub accept_before: Millis,
    /// The authority that owns it from now on: `to`, or its successor.
    pub owner: OrgId,
    /// As in the offer.
    pub kind: ChatKind,
    /// As in the offer.
    pub title: Text,
    /// The offer's buildings, by their primary ids in this log.
    pub buildings: List<BuildingId, MAX_BUILDINGS>,
    /// The offer's entry.
    pub entry: Quoted,
    /// The offer stands in the leaving log.
    #[serde(deserialize_with = "object")]
    pub proof: StateProof,
    /// As in the offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkDigest>,
    /// As in the offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<MaxChatId>,
    /// The service account that holds ownership in MAX.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<Text>,
    /// As in the offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrance: Option<u16>,
}

/// transfer.declined, in the log the chat would have gone to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferDeclined {
    /// The chat.
    pub chat: ChatNumber,
    /// The offer.
    pub offer: RecordId,
    /// Origin of the log the offer is in.
    pub leaving: Text,
    /// As in the offer.
    pub from: OrgId,
    /// As in the offer.
    pub to: OrgId,
    /// As in the offer.
    pub accept_before: Millis,
    /// The offer's entry.
    pub entry: Quoted,
    /// The offer stands in the leaving log.
    #[serde(deserialize_with = "object")]
    pub proof: StateProof,
}

/// transfer.released, in the log of the offer: what became of it. The lock ends, with or without the chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferReleased {
    /// The chat.
    pub chat: ChatNumber,
    /// The offer.
    pub offer: RecordId,
    /// What the receiving log says of it.
    pub outcome: Ending,
    /// What the receiving log has committed.
    #[serde(deserialize_with = "object")]
    pub proof: StateProof,
    /// The record of the receiving log that accepted or declined it; none where it expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<RecordId>,
}

words!(
    /// How an offer ended.
    Ending {
        /// The receiving log has taken the chat.
        Accepted,
        /// The receiving log has refused it.
        Declined,
        /// The deadline has passed in the receiving log without an answer.
        Expired,
    }
);
words!(
    /// How a log stands to an offer.
    OfferStanding {
        /// Leaving log: the chat is offered and locked.
        Offered,
        /// Leaving log: the chat has left.
        Released,
        /// Leaving log: the offer was declined or expired, the chat stays.
        Returned,
        /// Receiving log: the chat was taken.
        Accepted,
        /// Receiving log: the offer was declined.
        Declined,
    }
);

/// Facts of an offer in one of its two logs. Everything but the last two members is the offer's own, so that either log
/// can tell what the other's facts must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferFacts {
    /// The offer.
    pub offer: RecordId,
    /// The chat.
    pub chat: ChatNumber,
    /// Origin of the log it leaves.
    pub leaving: Box<str>,
    /// Origin of the log it is to go to.
    pub receiving: Box<str>,
    /// The owner that gives it up.
    pub from: OrgId,
    /// The authority that is to take it.
    pub to: OrgId,
    /// It can be accepted before this commit time of the receiving log.
    pub accept_before: Millis,
    /// How this log stands to it.
    pub standing: OfferStanding,
    /// The record of this log that says so.
    pub record: RecordId,
}

impl TransferFacts {
    /// The name of an offer's leaf.
    pub fn name(offer: &RecordId) -> String {
        Subject::Transfer(*offer).to_string()
    }
    /// The value these facts have in the state map of a log that holds them.
    pub fn value(&self) -> [u8; 32] {
        leaf_value(&Facts::Transfer(Box::new(self.clone())).encode())
    }
    /// The same offer as another log must hold it: with that standing, since that record.
    pub fn seen_as(&self, standing: OfferStanding, record: RecordId) -> TransferFacts {
        TransferFacts { standing, record, ..self.clone() }
    }
}

/// In a chat's facts: it is offered to another region, and locked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offered {
    /// The offer.
    pub offer: RecordId,
    /// Origin of the log it is to go to.
    pub receiving: Text,
    /// The authority that is to take it.
    pub to: OrgId,
    /// It can be accepted before this commit time of the receiving log.
    pub accept_before: Millis,
}

/// In a chat's facts: it has left this log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Left {
    /// The offer.
    pub offer: RecordId,
    /// Origin of the log it is in now.
    pub receiving: Text,
    /// The authority it was offered to.
    pub to: OrgId,
    /// The record there that took it.
    pub accepted: RecordId,
}

/// In a chat's facts: it came from another region's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arrived {
    /// The offer.
    pub offer: RecordId,
    /// Origin of the log it left.
    pub leaving: Text,
    /// Who owned it there.
    pub from: OrgId,
    /// Size of that log at which the offer was proved to stand.
    pub size: u64,
    /// The record of this log that took it.
    pub record: RecordId,
}

/// The offer whose facts this record moves beside its own subject: the one leaf that two logs hold against each other.
pub fn beside(record: &Record) -> Option<RecordId> {
    match &record.body {
        Body::TransferOffered(_) => Some(record.id),
        Body::TransferAccepted(b) => Some(b.offer),
        Body::TransferReleased(b) => Some(b.offer),
        _ => None,
    }
}

/// Facts of an offer after `record`.
pub(super) fn evolve_offer(facts: Option<Facts>, record: &Record) -> Option<Facts> {
    let own = &record.log;
    let facts = match (&record.body, facts) {
        (Body::TransferOffered(b), None) => TransferFacts {
            offer: record.id,
            chat: b.chat,
            leaving: own.clone(),
            receiving: b.receiving.as_str().into(),
            from: b.from.clone(),
            to: b.to.clone(),
            accept_before: b.accept_before,
            standing: OfferStanding::Offered,
            record: record.id,
        },
        (Body::TransferAccepted(b), None) => TransferFacts {
            offer: b.offer,
            chat: b.chat,
            leaving: b.leaving.as_str().into(),
            receiving: own.clone(),
            from: b.from.clone(),
            to: b.to.clone(),
            accept_before: b.accept_before,
            standing: OfferStanding::Accepted,
            record: record.id,
        },
        (Body::TransferDeclined(b), None) => TransferFacts {
            offer: b.offer,
            chat: b.chat,
            leaving: b.leaving.as_str().into(),
            receiving: own.clone(),
            from: b.from.clone(),
            to: b.to.clone(),
            accept_before: b.accept_before,
            standing: OfferStanding::Declined,
            record: record.id,
        },
        (Body::TransferReleased(b), Some(Facts::Transfer(t))) => {
            let standing = match b.outcome {
                Ending::Accepted => OfferStanding::Released,
                Ending::Declined | Ending::Expired => OfferStanding::Returned,
            };
            TransferFacts { standing, record: record.id, ..*t }
        }
        (_, facts) => return facts,
    };
    Some(Facts::Transfer(Box::new(facts)))
}

/// The facts of a chat that arrives, over what this log knew of it from an earlier stay.
pub(super) fn arrive(before: Option<Facts>, b: &TransferAccepted, record: &Record) -> Facts {
    let before = match before {
        Some(Facts::Chat(c)) => Some(c),
        _ => None,
    };
    let (id, from) = (record.id, record.effective_from);
    let mut chat = ChatFacts {
        chat: b.chat,
        kind: b.kind,
        title: b.title.clone(),
        buildings: b.buildings.0.clone(),
        rotated: before.as_ref().map(|c| c.rotated.clone()).unwrap_or_default(),
        owners: before.as_ref().map(|c| c.owners.clone()).unwrap_or_default(),
        statuses: before.as_ref().map(|c| c.statuses.clone()).unwrap_or_default(),
        admins: before.as_ref().map(|c| c.admins.clone()).unwrap_or_default(),
        link: b.link,
        max: b.max,
        service_account: b.service_account.clone(),
        successor: None,
        observed: None,
        entrance: b.entrance,
        objections: before.as_ref().and_then(|c| c.objections.clone()),
        offered: None,
        left: None,
        arrived: Some(Box::new(Arrived {
            offer: b.offer,
            leaving: b.leaving.clone(),
            from: b.from.clone(),
            size: b.proof.size,
            record: id,
        })),
    };
    // A link it had here in an earlier stay stays known as an earlier one.
    chat.rotated.extend(before.as_ref().and_then(|c| c.link));
    chat.rotated.retain(|l| Some(*l) != b.link);
    chat.rotated.sort_unstable_by_key(|l| l.0);
    chat.rotated.dedup();
    chat.owners.push(Owner { authority: b.owner.clone(), record: id, from, basis: boxed(record.basis.as_ref()) });
    chat.stand(ChatStatus::Official, id, from, None);
    Facts::Chat(Box::new(chat))
}

/// The chat's side of an offer and of its end, in the log the chat leaves.
pub(super) fn evolve_chat(c: &mut ChatFacts, body: &Body, record: RecordId, from: Option<Day>) {
    match body {
        Body::TransferOffered(b) => {
            let (receiving, to) = (b.receiving.clone(), b.to.clone());
            c.offered = Some(Box::new(Offered { offer: record, receiving, to, accept_before: b.accept_before }));
        }
        Body::TransferReleased(b) => {
            let offered = c.offered.take();
            if let (Ending::Accepted, Some(offered), Some(accepted)) = (b.outcome, offered, b.answer) {
                c.left =
                    Some(Box::new(Left { offer: b.offer, receiving: offered.receiving, to: offered.to, accepted }));
                c.stand(ChatStatus::Moved, record, from, None);
                // Whoever administered it here does so no longer, also if the chat comes back.
                for a in c.admins.iter_mut().filter(|a| !a.void && a.withdrawn.is_none()) {
                    (a.to, a.withdrawn) = (from, Some(record));
                }
            }
        }
        _ => {}
    }
}
