//! Making records on the command line: from `field=value` words to a body, from a body to a signed envelope.

use std::path::PathBuf;

use ed25519_dalek::SigningKey;
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::api::Api;
use crate::error::{Error, Result};
use crate::registry::body::Body;
use crate::registry::envelope::{Envelope, TYP_RECORD};
use crate::registry::link::{LinkDigest, canonical_link};
use crate::registry::record::{Basis, Draft, Record};
use crate::registry::text::{Day, Millis, Text};
use crate::storage::keys;

/// Fields that hold lists; on the command line separated by commas.
const LISTS: &[&str] = &["oktmo", "scopes", "also", "into", "buildings", "chats"];
/// Fields that hold numbers.
const NUMBERS: &[&str] = &["flats", "year", "suspect_from", "entrance", "above_flats"];
/// Fields that hold moments; on the command line a day or Unix milliseconds.
const MOMENTS: &[&str] = &["not_before", "not_after"];
/// Fields that are true or false.
const FLAGS: &[&str] = &["reinstated", "goes_on", "former_administrator"];

/// Builds a body from `field=value` words. In buildings' records `oktmo` is one code, elsewhere a list of prefixes.
pub fn body(type_name: &str, words: &[String]) -> Result<Body> {
    let mut fields = Map::new();
    for word in words {
        let (key, value) = word.split_once('=').ok_or_else(|| {
            Error::refuse("cli.field", format!("«{word}» is not field=value"), "write for example title=\"Дом 5\"")
        })?;
        fields.insert(key.to_owned(), value_of(type_name, key, value)?);
    }
    Body::decode(type_name, &Value::Object(fields).to_string())
}

fn value_of(type_name: &str, key: &str, value: &str) -> Result<Value> {
    let bad = |what: &str| Error::refuse("cli.field", format!("{key}={value}: not {what}"), "correct the value");
    if LISTS.contains(&key) && !(key == "oktmo" && type_name.starts_with("building.")) {
        return Ok(value.split(',').map(|v| Value::from(v.trim())).collect());
    }
    Ok(match key {
        _ if NUMBERS.contains(&key) => value.parse::<u64>().map_err(|_| bad("a number"))?.into(),
        _ if FLAGS.contains(&key) => value.parse::<bool>().map_err(|_| bad("true or false"))?.into(),
        _ if MOMENTS.contains(&key) => moment(value).ok_or_else(|| bad("a day or Unix milliseconds"))?.into(),
        "applicability" => {
            let (state, reason) = value.split_once(',').ok_or_else(|| bad("state,reason, as in exempt,decision"))?;
            serde_json::json!({ "state": state.trim(), "reason": reason.trim() })
        }
        // As a pasted link of a chat: its token never leaves this machine.
        "imitation" if !["link:", "max:", "title:"].iter().any(|kind| value.starts_with(kind)) => {
            format!("link:{}", LinkDigest::of_link(&canonical_link(value)?)).into()
        }
        "services" => serde_json::from_str(value).map_err(|_| bad("a JSON list"))?,
        "link" if type_name.starts_with("chat.") && type_name != "chat.observed" => {
            let digest = match value.parse::<LinkDigest>() {
                Ok(digest) => digest,
                // A pasted link is turned into its digest here: the token never leaves this machine.
                Err(_) => LinkDigest::of_link(&canonical_link(value)?),
            };
            digest.to_string().into()
        }
        _ => Text::normalise(value).map(|t| t.to_string())?.into(),
    })
}

fn moment(value: &str) -> Option<u64> {
    match value.parse::<Day>() {
        Ok(day) => {
            let midnight = day.date().to_zoned(jiff::tz::TimeZone::UTC).ok()?;
            u64::try_from(midnight.timestamp().as_millisecond()).ok()
        }
        Err(_) => value.parse().ok(),
    }
}

/// What stands around a body.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// Effective from.
    pub effective_from: Option<Day>,
    /// Basis.
    pub basis: Option<Basis>,
    /// Batch.
    pub batch: Option<Text>,
    /// Days until the submission deadline; an offline signature needs more than the usual one.
    pub deadline_days: u64,
}

/// A draft for the node's log, naming the subject's last record.
pub fn draft(api: &Api, body: Body, frame: &Frame) -> Result<Draft> {
    let info = api.info()?;
    let origin = api.origin()?;
    let region = info.region.as_deref().unwrap_or_default().parse()?;
    // The subject of a record that begins a chat is derived from its own id; nothing precedes it.
    let placeholder = crate::registry::ids::RecordId([0; 32]);
    let begins_chat =
        matches!(&body, Body::ChatDeclared(_)) || matches!(&body, Body::ChatRegistered(b) if b.declared.is_none());
    let prev = if begins_chat { None } else { api.last_record(&body.subject(&placeholder, region))? };
    let now = crate::node::now_ms();
    Ok(Draft {
        log: origin.into(),
        issued_at: Millis::new(now)?,
        submit_before: Millis::new(now + frame.deadline_days.max(1) * 86_400_000)?,
        effective_from: frame.effective_from,
        prev,
        basis: frame.basis.clone(),
        batch: frame.batch.clone(),
        body,
    })
}

/// Signs a draft with the keys: the canonical bytes, and the record.
pub fn sign(draft: Draft, keys: &[SigningKey]) -> Result<(Record, Vec<u8>)> {
    let (record, payload) = Record::encode(draft)?;
    Ok((record, Envelope::sign(payload, TYP_RECORD, &keys.iter().collect::<Vec<_>>())))
}

/// Opens the keys in these files.
pub fn open_keys(paths: &[PathBuf], passphrase: &SecretString) -> Result<Vec<SigningKey>> {
    paths.iter().map(|p| keys::read(p, passphrase).map_err(|e| e.at(p.display()))).collect()
}
