//! From decoded to verified: the signatures of many records at once.
//!
//! A key id is the hash of its key, so it does not matter where a key was found: a signature that verifies under the key
//! with that id was made by it. Whether that key *may* sign is a question of state ([`super::rules`]). Keys are looked up
//! in a [`KeyRing`] gathered from the charter, the state and the `key.granted` records of the batch itself.

use std::collections::HashMap;

use rayon::prelude::*;

use super::body::Body;
use super::ids::KeyThumb;
use super::record::{DecodedRecord, Record};
use super::signature::{PublicKey, verify_batch};
use crate::error::{Error, Result};

/// Keys by their thumbprint.
#[derive(Debug, Default, Clone)]
pub struct KeyRing(HashMap<KeyThumb, PublicKey>);

impl KeyRing {
    /// Adds a key.
    pub fn add(&mut self, key: &PublicKey) {
        self.0.insert(key.thumb(), key.clone());
    }
    /// Adds the key that this record grants, if it is such a record.
    pub fn add_granted(&mut self, record: &Record) {
        if let Body::KeyGranted(b) = &record.body {
            self.add(&b.key.0);
        }
    }
    /// The key with this thumbprint.
    pub fn key(&self, kid: &KeyThumb) -> Option<&PublicKey> {
        self.0.get(kid)
    }
}

/// A record every signature of which verifies. Made only here. The envelope is not kept: many of these wait at a time.
#[derive(Debug, Clone)]
pub struct VerifiedRecord {
    record: Box<Record>,
    signers: Vec<KeyThumb>,
}

impl VerifiedRecord {
    /// A record of this node's own verified copy, read back from disk; and the last step where its signatures were verified.
    pub(super) fn reread(decoded: DecodedRecord) -> VerifiedRecord {
        let signers = decoded.envelope.signatures.iter().map(|(kid, _)| *kid).collect();
        VerifiedRecord { record: decoded.record, signers }
    }
    /// What it says.
    pub fn record(&self) -> &Record {
        &self.record
    }
    /// Key ids of the signatures, sorted, distinct.
    pub fn signers(&self) -> &[KeyThumb] {
        &self.signers
    }
}

/// A signature with the key it claims, if that is known, and what it signs.
type Signed<'r> = (Option<&'r PublicKey>, Vec<u8>, [u8; 64]);

/// Records whose signatures are verified in one job: what they sign is written down for it, and stays in the cache until it is
/// hashed.
pub(super) const TOGETHER: usize = 256;

/// Verifies all signatures of all records, batched. Each record gets its own answer.
pub fn verify_records(records: Vec<DecodedRecord>, ring: &KeyRing) -> Vec<Result<VerifiedRecord>> {
    let answers = records.par_chunks(TOGETHER).flat_map_iter(|some| answers(&some.iter().collect::<Vec<_>>(), ring));
    let answers: Vec<Result<()>> = answers.collect();
    let verified = |(decoded, answer): (_, Result<()>)| answer.map(|()| VerifiedRecord::reread(decoded));
    records.into_iter().zip(answers).map(verified).collect()
}

/// The answers of [`verify_records`], for those of one job.
pub(super) fn answers(records: &[&DecodedRecord], ring: &KeyRing) -> Vec<Result<()>> {
    let signed = |r: &&DecodedRecord| -> Vec<Signed<'_>> {
        let signatures = r.envelope.signatures.iter();
        signatures.map(|(kid, sig)| (ring.key(kid), r.envelope.signing_input(kid), *sig)).collect()
    };
    let inputs: Vec<Vec<Signed<'_>>> = records.iter().map(signed).collect();
    let items: Vec<(&PublicKey, &[u8], [u8; 64])> =
        inputs.iter().flatten().filter_map(|(key, input, sig)| key.map(|k| (k, input.as_slice(), *sig))).collect();
    let mut verdicts = verify_batch(&items).into_iter();
    // One verdict per signature whose key is known, in order.
    let answer = |signatures: &Vec<Signed<'_>>| {
        let mut answer = Ok(());
        for (key, _, _) in signatures {
            let good = key.is_some() && verdicts.next().unwrap_or(false);
            if !good && answer.is_ok() {
                answer = Err(if key.is_none() { unknown_key() } else { bad_signature() });
            }
        }
        answer
    };
    inputs.iter().map(answer).collect()
}

fn unknown_key() -> Error {
    Error::refuse(
        "rule.key.unknown",
        "a signature is by a key that was never granted in this log",
        "sign with a granted key",
    )
}

fn bad_signature() -> Error {
    Error::refuse("signature.invalid", "a signature does not verify", "sign the payload again")
}
