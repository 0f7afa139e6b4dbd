//! The federation charter (protocol.md, "Federation charter"): who takes part, with which keys, for which ОКТМО codes.
//!
//! A charter is a JWS in the canonical envelope of records, with a `typ` of its own. Decoded ([`CharterBody`]) and
//! verified ([`VerifiedCharter`]) are two types. Version N+1 is valid when thresholds of N and of N+1 signed it and it
//! names N by its digest; [`super::chain`] holds the versions a node has walked through. Expiry makes answers stale; it never invalidates what is in a log.

use std::collections::HashSet;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::roles::{AnnouncedKey, Cosigners, Cut, Quorums, RetiredKey, Standing, Witness};
use super::{keys, policy};
use crate::error::{Error, Result};
use crate::registry::body::{KeyBytes, List};
use crate::registry::envelope::{Envelope, MAX_SIGNATURES, TYP_CHARTER};
use crate::registry::ids::{KeyThumb, Oktmo, OktmoPrefix, OrgId, RecordId, RegionCode};
use crate::registry::jurisdiction::{Exception, FederationKeys, Jurisdiction, Neighbour};
use crate::registry::record::RECORD_VERSION;
use crate::registry::signature::{PublicKey, strict_ok};
use crate::registry::text::{Millis, Text};
use crate::tlog::Hash;
use crate::tlog::note::VerifierKey;

/// Largest charter, in bytes.
pub const MAX_CHARTER: usize = 1 << 20;
/// Largest version: beyond it JSON readers lose digits.
const MAX_VERSION: u64 = (1 << 53) - 1;
/// Format of the charter's body.
pub const FORMAT: u32 = 0;

/// One region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Two-digit code.
    pub code: RegionCode,
    /// Name.
    pub name: Text,
    /// ОКТМО prefixes; disjoint between regions.
    pub oktmo: List<OktmoPrefix, 64>,
    /// The authority that owns its chats.
    pub authority: OrgId,
    /// Root keys of the region.
    pub root_keys: List<KeyBytes, 16>,
    /// How many of them must sign.
    pub root_threshold: u32,
    /// Origin of its log.
    pub origin: Text,
    /// Key of its log, a vkey line.
    pub log_vkey: Text,
    /// Key that signs commits.
    pub commit_key: KeyBytes,
    /// Where its node is.
    pub url: Text,
    /// Keys with which its node cosigns the logs of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cosigners: Option<Cosigners>,
    /// Suspended or withdrawn; absent: it takes part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
}

/// What a charter says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CharterBody {
    /// Format of this document.
    pub format: u32,
    /// Counts up by one.
    pub version: u64,
    /// Name of the federation.
    pub name: Text,
    /// When it was issued, Unix milliseconds.
    pub issued: Millis,
    /// When it expires, Unix milliseconds.
    pub expires: Millis,
    /// Digest of the charter before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<RecordId>,
    /// Federation root keys.
    pub root_keys: List<KeyBytes, 32>,
    /// How many of them must sign.
    pub threshold: u32,
    /// Hours after which a region's data are stale.
    pub staleness_hours: u32,
    /// Record versions that are switched on.
    pub record_versions: List<u32, 16>,
    /// Regions.
    pub regions: List<Region, 100>,
    /// The log of the federation itself, which commits to what all regions say together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federation: Option<FederationLog>,
    /// Entries of logs that are a no-op for everyone, from this version on and looking back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exceptions: Option<List<ExceptedEntry, 256>>,
    /// Witnesses that are no nodes of the federation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnesses: Option<List<Witness, 32>>,
    /// How many cosignatures make a checkpoint good; absent: none are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorums: Option<Quorums>,
    /// Keys that are to take a place later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<List<AnnouncedKey, 256>>,
    /// Keys that have left their places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<List<RetiredKey, 4096>>,
    /// Logs whose history was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuts: Option<List<Cut, 256>>,
}

/// The log a ministry's node writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FederationLog {
    /// Origin of the log.
    pub origin: Text,
    /// Key of the log, a vkey line.
    pub log_vkey: Text,
    /// Key that signs its commits.
    pub commit_key: KeyBytes,
    /// Where its node is.
    pub url: Text,
    /// Keys with which its node cosigns the logs of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cosigners: Option<Cosigners>,
}

/// An entry that should never have been in its log, and does not end it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExceptedEntry {
    /// Origin of the log.
    pub origin: Text,
    /// Index of the entry.
    pub index: u64,
    /// Its leaf hash.
    pub leaf: RecordId,
}

/// A charter that has been verified; made only by [`Charter::open`] and [`VerifiedCharter::succeed`]. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCharter {
    body: Arc<CharterBody>,
    sha256: RecordId,
}

/// Making and opening charters.
pub struct Charter;

/// What a charter of one region needs.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct RegionOfOne {
    pub code: RegionCode,
    pub name: Text,
    pub oktmo: Vec<OktmoPrefix>,
    pub authority: OrgId,
    pub root_key: PublicKey,
    pub commit_key: PublicKey,
    pub origin: String,
    pub log_vkey: String,
    pub url: String,
}

/// How long a charter is valid that is made here: ten years, in milliseconds.
pub const LIFE: u64 = 3653 * 86_400_000;

pub(super) fn invalid(what: impl Into<String>) -> Error {
    Error::refuse("charter.invalid", format!("charter: {}", what.into()), "ask the federation for its charter again")
}

impl Charter {
    /// A charter of one region, signed by its own federation root key, valid for ten years.
    pub fn of_one(one: RegionOfOne, now: u64, root: &SigningKey) -> Result<Vec<u8>> {
        Charter::of_one_cosigning(one, None, now, root)
    }

    /// [`Charter::of_one`] of a region whose node cosigns the logs of others.
    pub fn of_one_cosigning(
        one: RegionOfOne,
        cosigners: Option<Cosigners>,
        now: u64,
        root: &SigningKey,
    ) -> Result<Vec<u8>> {
        let body = CharterBody {
            format: FORMAT,
            version: 1,
            name: one.name.clone(),
            issued: Millis::new(now)?,
            expires: Millis::new(now + LIFE)?,
            previous: None,
            root_keys: List(vec![KeyBytes(PublicKey::of(root))]),
            threshold: 1,
            staleness_hours: 24,
            record_versions: List(vec![RECORD_VERSION]),
            regions: List(vec![Region {
                code: one.code,
                name: one.name,
                oktmo: List(one.oktmo),
                authority: one.authority,
                root_keys: List(vec![KeyBytes(one.root_key)]),
                root_threshold: 1,
                origin: Text::new(&one.origin)?,
                log_vkey: Text::new(&one.log_vkey)?,
                commit_key: KeyBytes(one.commit_key),
                url: Text::new(&one.url)?,
                cosigners,
                standing: None,
            }]),
            federation: None,
            exceptions: None,
            witnesses: None,
            quorums: None,
            announced: None,
            retired: None,
            cuts: None,
        };
        Charter::sign(&body, &[root])
    }

    /// Signs a charter with these root keys.
    pub fn sign(body: &CharterBody, keys: &[&SigningKey]) -> Result<Vec<u8>> {
        let payload = serde_json::to_vec(body).map_err(|e| invalid(e.to_string()))?;
        Ok(Envelope::sign(payload, TYP_CHARTER, keys))
    }

    /// Opens a charter that is trusted because it is pinned (by its digest, or by standing in the data directory): it must
    /// be well-formed and signed by a threshold of its own root keys.
    pub fn open(bytes: &[u8]) -> Result<VerifiedCharter> {
        let (body, envelope) = decode(bytes)?;
        signed_by(&envelope, &body)?;
        Ok(VerifiedCharter { body: Arc::new(body), sha256: digest(&envelope) })
    }
}

const DIGEST_TAG: &[u8] = b"domovoi charter v0\n";

/// The digest of a charter: of what was signed, not of who signed it. Key holders who sign later, or another threshold of
/// them, make no second charter (docs/decisions).
pub(super) fn digest(envelope: &Envelope) -> RecordId {
    RecordId(Sha256::new().chain_update(DIGEST_TAG).chain_update(&envelope.payload).finalize().into())
}

fn decode(bytes: &[u8]) -> Result<(CharterBody, Envelope)> {
    let envelope = Envelope::parse(bytes, TYP_CHARTER, MAX_CHARTER)?;
    let body: CharterBody = serde_json::from_slice(&envelope.payload).map_err(|e| invalid(e.to_string()))?;
    check(&body)?;
    Ok((body, envelope))
}

fn distinct<T: std::hash::Hash + Eq>(items: impl Iterator<Item = T>) -> bool {
    let mut seen = HashSet::new();
    items.into_iter().all(|i| seen.insert(i))
}

pub(super) fn check(b: &CharterBody) -> Result<()> {
    if b.format != FORMAT {
        return Err(Error::refuse(
            "charter.format",
            format!("charter format {} is not known", b.format),
            "update this node",
        ));
    }
    // More signatures than an envelope holds could never be given.
    let threshold = |n: u32, keys: usize| n >= 1 && n as usize <= keys.min(MAX_SIGNATURES);
    if !(1..=MAX_VERSION).contains(&b.version) || (b.version == 1) != b.previous.is_none() || b.issued >= b.expires {
        return Err(invalid("version, previous and dates do not fit together"));
    }
    if !threshold(b.threshold, b.root_keys.0.len()) || !distinct(b.root_keys.0.iter().map(KeyBytes::thumb)) {
        return Err(invalid("the threshold is not within 1 and the number of distinct root keys"));
    }
    if b.staleness_hours == 0 || b.record_versions.0.is_empty() {
        return Err(invalid("no staleness limit, or no record version"));
    }
    for r in &b.regions.0 {
        let vkey = VerifierKey::parse(r.log_vkey.as_str()).map_err(|e| e.at("charter"))?;
        if vkey.name() != r.origin.as_str() {
            return Err(invalid(format!("the log key of region {} is not named like its log", r.code)));
        }
        if !threshold(r.root_threshold, r.root_keys.0.len()) || !distinct(r.root_keys.0.iter().map(KeyBytes::thumb)) {
            return Err(invalid(format!("the root threshold of region {} is not within its keys", r.code)));
        }
        if r.oktmo.0.is_empty() {
            return Err(invalid(format!("region {} has no ОКТМО prefix", r.code)));
        }
    }
    let regions = &b.regions.0;
    if let Some(f) = &b.federation
        && VerifierKey::parse(f.log_vkey.as_str()).map_err(|e| e.at("charter"))?.name() != f.origin.as_str()
    {
        return Err(invalid("the log key of the federation is not named like its log"));
    }
    let origins = || regions.iter().map(|r| r.origin.as_str()).chain(b.federation.iter().map(|f| f.origin.as_str()));
    if !distinct(regions.iter().map(|r| r.code)) || !distinct(origins()) {
        return Err(invalid("a region, a log or a key is named twice"));
    }
    // A key has one role in one region: nobody's signature can be taken for another's.
    keys::check(b)?;
    policy::check(b)?;
    let cuts = b.cuts.iter().flat_map(|c| &c.0);
    if !distinct(cuts.clone().map(|c| c.origin.as_str()))
        || cuts.clone().any(|c| c.size > MAX_VERSION || !origins().any(|o| o == c.origin.as_str()))
    {
        return Err(invalid("a log is cut twice, cut beyond its greatest size, or named nowhere"));
    }
    let exceptions = b.exceptions.iter().flat_map(|e| &e.0);
    if !distinct(exceptions.clone().map(|e| (e.origin.as_str(), e.index)))
        || exceptions.clone().any(|e| e.index > MAX_VERSION || !regions.iter().any(|r| r.origin == e.origin))
    {
        return Err(invalid("an exception is named twice, or is of a log that no region has"));
    }
    let mut prefixes: Vec<(OktmoPrefix, RegionCode)> =
        regions.iter().flat_map(|r| r.oktmo.0.iter().map(|p| (*p, r.code))).collect();
    // In order, what lies under a prefix follows it at once; `above` holds those the current one lies under.
    prefixes.sort();
    let mut above: Vec<(OktmoPrefix, RegionCode)> = Vec::new();
    for (prefix, region) in prefixes {
        while above.last().is_some_and(|(p, _)| !prefix.starts_with(p)) {
            above.pop();
        }
        if above.iter().any(|(_, other)| *other != region) {
            return Err(invalid(format!("the ОКТМО prefix {prefix} of region {region} overlaps another region's")));
        }
        above.push((prefix, region));
    }
    Ok(())
}

/// How many of `keys` signed; each counts once. Signatures of others, and bad ones, are not counted.
pub(super) fn count(envelope: &Envelope, keys: &[KeyBytes]) -> usize {
    let good = |(kid, signature): &&(KeyThumb, [u8; 64])| {
        keys.iter()
            .find(|k| k.thumb() == *kid)
            .is_some_and(|k| strict_ok(&k.0, &envelope.signing_input(kid), signature))
    };
    // The envelope's signatures are distinct by key id, so nobody is counted twice.
    envelope.signatures.iter().filter(good).count()
}

fn signed_by(envelope: &Envelope, by: &CharterBody) -> Result<()> {
    let n = count(envelope, &by.root_keys.0);
    if n >= by.threshold as usize {
        return Ok(());
    }
    Err(Error::refuse(
        "charter.threshold",
        format!("{n} root keys of charter version {} signed, {} are needed", by.version, by.threshold),
        "have more key holders sign it",
    ))
}

/// A cut log goes on under a key that is new: of a key that was there, nobody could tell what it signed before and after.
/// That no earlier version named it follows from the list of retired keys.
fn check_cuts(before: &CharterBody, after: &CharterBody) -> Result<()> {
    for cut in after.cuts.iter().flat_map(|c| &c.0) {
        if before.log_vkey(cut.origin.as_str()).is_some_and(|key| Some(key) == after.log_vkey(cut.origin.as_str())) {
            return Err(Error::refuse(
                "charter.cut",
                format!("the log «{}» is cut, and its key stays the same", cut.origin),
                "name a new log key in the same version",
            ));
        }
    }
    Ok(())
}

impl CharterBody {
    /// The log key of the log with this origin, a vkey line.
    pub fn log_vkey(&self, origin: &str) -> Option<&Text> {
        let region = self.regions.0.iter().find(|r| r.origin.as_str() == origin).map(|r| &r.log_vkey);
        region.or_else(|| self.federation.as_ref().filter(|f| f.origin.as_str() == origin).map(|f| &f.log_vkey))
    }
    /// The cut of the log with this origin that this version declares.
    pub fn cut(&self, origin: &str) -> Option<&Cut> {
        self.cuts.iter().flat_map(|c| &c.0).find(|c| c.origin.as_str() == origin)
    }
}

impl VerifiedCharter {
    /// What it says.
    pub fn charter(&self) -> &CharterBody {
        &self.body
    }
    /// Its digest: SHA-256 of a tag and the payload as it was signed.
    pub fn sha256(&self) -> RecordId {
        self.sha256
    }
    /// Regions.
    pub fn regions(&self) -> &[Region] {
        &self.body.regions.0
    }
    /// The region whose log has this origin.
    pub fn region_by_origin(&self, origin: &str) -> Option<&Region> {
        self.regions().iter().find(|r| r.origin.as_str() == origin)
    }
    /// The region a municipality lies in; prefixes are disjoint between regions, so at most one has it.
    pub fn region_of_oktmo(&self, oktmo: &Oktmo) -> Option<&Region> {
        self.regions().iter().find(|r| r.oktmo.0.iter().any(|p| oktmo.starts_with(p)))
    }
    /// True after its expiry: answers are then called stale.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        now_ms >= self.body.expires.get()
    }
    /// Takes the next version: signed by thresholds of this one and of its own, version one up, naming this one.
    pub fn succeed(&self, bytes: &[u8]) -> Result<VerifiedCharter> {
        let (body, envelope) = decode(bytes)?;
        self.is_followed_by(&body)?;
        signed_by(&envelope, &self.body)?;
        signed_by(&envelope, &body)?;
        self.check_next(&body)?;
        Ok(VerifiedCharter { body: Arc::new(body), sha256: digest(&envelope) })
    }
    fn is_followed_by(&self, body: &CharterBody) -> Result<()> {
        if body.version.checked_sub(1) != Some(self.body.version) || body.previous != Some(self.sha256) {
            return Err(Error::refuse(
                "charter.sequence",
                format!("charter version {} does not follow version {}", body.version, self.body.version),
                "fetch the versions in between",
            ));
        }
        Ok(())
    }
    /// Checks all of the next version but who signed it.
    pub(super) fn check_next(&self, body: &CharterBody) -> Result<()> {
        self.is_followed_by(body)?;
        keys::check_next(&self.body, body)?;
        check_cuts(&self.body, body)
    }
    /// The federation's log. `None` where this version names none.
    pub fn federation(&self) -> Option<FederationKeys> {
        let log = self.body.federation.as_ref()?;
        Some(FederationKeys {
            origin: log.origin.as_str().into(),
            // Parsed once already when the charter was checked.
            log_key: VerifierKey::parse(log.log_vkey.as_str()).ok()?,
            commit_key: log.commit_key.0.clone(),
            staleness_hours: self.body.staleness_hours,
            version: self.body.version,
        })
    }
    /// What the rules need to know of one region's log. `None` where this version names no such log.
    pub fn jurisdiction(&self, origin: &str) -> Option<Jurisdiction> {
        let region = self.region_by_origin(origin)?;
        let others = self.regions().iter().filter(|r| r.origin != region.origin);
        let neighbours: Option<Vec<Neighbour>> = others.map(neighbour).collect();
        let excepted = self.body.exceptions.iter().flat_map(|e| &e.0).filter(|e| e.origin == region.origin);
        Some(Jurisdiction {
            origin: region.origin.as_str().into(),
            region: region.code,
            oktmo: region.oktmo.0.clone(),
            root_keys: region.root_keys.0.iter().map(|k| k.0.clone()).collect(),
            root_threshold: region.root_threshold as usize,
            commit_key: region.commit_key.0.clone(),
            log_key: VerifierKey::parse(region.log_vkey.as_str()).ok()?,
            charter_version: self.body.version,
            charter_sha256: self.sha256,
            record_versions: self.body.record_versions.0.clone(),
            exceptions: excepted.map(|e| Exception { index: e.index, leaf: Hash(e.leaf.0) }).collect(),
            others: neighbours?.into(),
        })
    }
}

fn neighbour(region: &Region) -> Option<Neighbour> {
    Some(Neighbour {
        origin: region.origin.as_str().into(),
        region: region.code,
        // Parsed once already when the charter was checked.
        log_key: VerifierKey::parse(region.log_vkey.as_str()).ok()?,
        commit_key: region.commit_key.0.clone(),
    })
}

#[cfg(test)]
#[path = "charter_tests.rs"]
mod tests;
