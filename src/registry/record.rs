//! Records: what a signed payload may say (domain.md, "Records").
//!
//! A payload is JSON. It is read once, strictly: unknown or repeated fields, numbers beyond 2^53−1 and text that is not
//! NFC are refused by the field types themselves. What was signed is stored as it was signed and never written again.
//! **One record changes exactly one subject**, so one `prev` is enough to refuse a record made against an older state.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body::*;
use super::envelope::{Envelope, MAX_ENTRY, MAX_PROOF_ENTRY, TYP_RECORD, record_id, too_large};
use super::ids::{BuildingId, ChatNumber, KeyThumb, OrgId, RecordId, RegionCode};
use super::strict::{from_object, some_object};
use super::text::{Day, Millis, Text};
use crate::error::{Error, Result};

/// The only record version so far. Versions are switched on by the charter.
pub const RECORD_VERSION: u32 = 0;

/// What a record is about: the thing whose history it becomes part of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// A public body that may own chats.
    Authority(OrgId),
    /// A signing key.
    Key(KeyThumb),
    /// An organisation's name.
    Organisation(OrgId),
    /// A building, its managements and services.
    Building(BuildingId),
    /// A chat, its owner and administrators.
    Chat(ChatNumber),
    /// A bot.
    Bot(BotName),
    /// An offer of a chat to another region, by the id of the record that made it.
    Transfer(RecordId),
    /// What imitates an official chat. Its own subject: a flag never touches a chat.
    Imitation(Imitation),
    /// Of which buildings of the region a chat is required.
    Applicability(RegionCode),
    /// The log itself (charter.adopted, state.committed).
    Log,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Authority(id) => write!(f, "authority:{id}"),
            Subject::Key(id) => write!(f, "key:{id}"),
            Subject::Organisation(id) => write!(f, "organisation:{id}"),
            Subject::Building(id) => write!(f, "building:{id}"),
            Subject::Chat(id) => write!(f, "chat:{id}"),
            Subject::Bot(id) => write!(f, "bot:{}", id.as_str()),
            Subject::Transfer(id) => write!(f, "transfer:{id}"),
            Subject::Imitation(what) => write!(f, "imitation:{what}"),
            Subject::Applicability(region) => write!(f, "applicability:{region}"),
            Subject::Log => f.write_str("log"),
        }
    }
}

impl std::str::FromStr for Subject {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        let bad = || {
            Error::refuse("subject.unknown", format!("«{s}» names no subject"), "write kind:id, for example chat:77-…")
        };
        let (kind, id) = s.split_once(':').unwrap_or((s, ""));
        Ok(match kind {
            "authority" => Subject::Authority(id.parse()?),
            "key" => Subject::Key(id.parse().map_err(|_| bad())?),
            "organisation" => Subject::Organisation(id.parse()?),
            "building" => Subject::Building(id.parse()?),
            "chat" => Subject::Chat(id.parse()?),
            "bot" => Subject::Bot(BotName::new(id)?),
            "transfer" => Subject::Transfer(id.parse()?),
            "imitation" => Subject::Imitation(id.parse()?),
            "applicability" => Subject::Applicability(id.parse()?),
            "log" if s == kind => Subject::Log,
            _ => return Err(bad()),
        })
    }
}

impl Serialize for Subject {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The document a record rests on: structured fields only, since free text cannot be deleted from a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basis {
    /// What kind of document: order, decision, contract, licence register, a published data set, …
    pub kind: BasisKind,
    /// Its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<Text>,
    /// Its date; of a data set, the day it was taken (so "observed", apart from "effective").
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<Day>,
    /// Who issued it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Text>,
    /// SHA-256 of the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_sha256: Option<RecordId>,
    /// SHA-256 of its detached qualified electronic signature (УКЭП).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature_sha256: Option<RecordId>,
}

super::strict::words!(
/// Kinds of documents.
BasisKind {
    /// An order of the authority.
    Order,
    /// A decision of a meeting of owners, of a court, of a commission.
    Decision,
    /// A contract.
    Contract,
    /// A regulation.
    Regulation,
    /// The register of licences.
    LicenceRegister,
    /// A published data set (an import).
    Dataset,
    /// An application or notice that came in.
    Notice,
    /// Made-up data of a demonstration. Generated data says that it is generated.
    Generated,
}
);

/// A record as its payload says it: decoded, not verified, not checked against any state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Id of the payload.
    pub id: RecordId,
    /// Record version. The charter in force says which may appear.
    pub v: u32,
    /// Origin of the log it is meant for; no other log takes it.
    pub log: Box<str>,
    /// When the signer says it was made, Unix milliseconds. Informative.
    pub issued_at: Millis,
    /// After this commit time no log takes it any more, Unix milliseconds.
    pub submit_before: Millis,
    /// The day from which the statement is true, where one is known.
    pub effective_from: Option<Day>,
    /// Last record of the subject this one was made against; none for a new subject.
    pub prev: Option<RecordId>,
    /// The document it rests on.
    pub basis: Option<Basis>,
    /// Records entered together.
    pub batch: Option<Text>,
    /// What is said.
    pub body: Body,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload<'a> {
    v: u32,
    r#type: std::borrow::Cow<'a, str>,
    log: std::borrow::Cow<'a, str>,
    issued_at: Millis,
    submit_before: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    effective_from: Option<Day>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prev: Option<RecordId>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_object")]
    basis: Option<Basis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch: Option<Text>,
    #[serde(borrow)]
    body: &'a RawValue,
}

fn payload_error(e: impl fmt::Display) -> Error {
    Error::refuse("record.payload", format!("record payload: {e}"), "see the field list in docs/protocol.md")
}

/// The error for a payload of a version this node does not know, whatever other fields that version may have: such a
/// record is not malformed, and is never guessed at.
pub(super) fn unknown_version(payload: &[u8]) -> Option<Error> {
    #[derive(Deserialize)]
    struct Version {
        v: u64,
    }
    let version = from_object::<Version>(payload).ok().filter(|p| p.v != u64::from(RECORD_VERSION))?;
    Some(Error::refuse(
        "record.version",
        format!("record version {} is not known to this node", version.v),
        "update this node; until then it stops applying that log here",
    ))
}

impl Record {
    /// Reads a payload.
    pub fn decode(payload: &[u8]) -> Result<Record> {
        let p: Payload<'_> = from_object(payload).map_err(|e| unknown_version(payload).unwrap_or(payload_error(e)))?;
        if p.v != RECORD_VERSION {
            return Err(unknown_version(payload).unwrap_or_else(|| payload_error("v")));
        }
        if p.log.len() > 200 {
            return Err(payload_error("the log's origin is longer than 200 bytes"));
        }
        let body = Body::decode(&p.r#type, p.body.get())?;
        Ok(Record {
            id: record_id(payload),
            v: p.v,
            log: p.log.into(),
            issued_at: p.issued_at,
            submit_before: p.submit_before,
            effective_from: p.effective_from,
            prev: p.prev,
            basis: p.basis,
            batch: p.batch,
            body,
        })
    }

    /// Writes a payload and its record, for signing.
    pub fn encode(draft: Draft) -> Result<(Record, Vec<u8>)> {
        let body = draft.body.encode()?;
        let payload = Payload {
            v: RECORD_VERSION,
            r#type: draft.body.type_name().into(),
            log: draft.log.as_ref().into(),
            issued_at: draft.issued_at,
            submit_before: draft.submit_before,
            effective_from: draft.effective_from,
            prev: draft.prev,
            basis: draft.basis,
            batch: draft.batch,
            body: &body,
        };
        let bytes = serde_json::to_vec(&payload).map_err(payload_error)?;
        Ok((Record::decode(&bytes)?, bytes))
    }

    /// The one subject this record changes in the log of `region`. A record that brings a chat into being names it by
    /// its own id.
    pub fn subject(&self, region: RegionCode) -> Subject {
        self.body.subject(&self.id, region)
    }
}

/// A record about to be written: what [`Record`] holds, before it has an id.
#[derive(Debug, Clone)]
pub struct Draft {
    /// See [`Record::log`].
    pub log: Box<str>,
    /// See [`Record::issued_at`].
    pub issued_at: Millis,
    /// See [`Record::submit_before`].
    pub submit_before: Millis,
    /// See [`Record::effective_from`].
    pub effective_from: Option<Day>,
    /// See [`Record::prev`].
    pub prev: Option<RecordId>,
    /// See [`Record::basis`].
    pub basis: Option<Basis>,
    /// See [`Record::batch`].
    pub batch: Option<Text>,
    /// See [`Record::body`].
    pub body: Body,
}

/// An entry of a log taken apart: envelope and record, **not** verified.
#[derive(Debug, Clone)]
pub struct DecodedRecord {
    /// The signed envelope.
    pub envelope: Envelope,
    /// What it says. In a box, since it is large and handed on.
    pub record: Box<Record>,
}

impl DecodedRecord {
    /// Takes the exact bytes of an entry apart. Only a record that carries proofs may be longer than [`MAX_ENTRY`].
    pub fn decode(entry: &[u8]) -> Result<DecodedRecord> {
        let envelope = Envelope::parse(entry, TYP_RECORD, MAX_PROOF_ENTRY)?;
        let record = Box::new(Record::decode(&envelope.payload)?);
        if entry.len() > MAX_ENTRY && !record.body.carries_proof() {
            return Err(too_large(entry.len(), MAX_ENTRY));
        }
        Ok(DecodedRecord { envelope, record })
    }
}
