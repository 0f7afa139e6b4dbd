//! Evidence about a log, in one file that a charter chain alone verifies (docs/protocol.md, "Evidence").
//!
//! A file has two parts. What the node that wrote it *says* (code, detail, when, from where) is signed by nobody, and is there
//! for people. What it *shows* are things that others signed: checkpoints, an entry with its path, charters.
//! [`Evidence::verify`] gives the [`Finding`] that these lead to, and nothing of what was only said.

use serde::{Deserialize, Serialize};

use super::chain::CharterChain;
use super::charter::{Charter, MAX_CHARTER, VerifiedCharter};
use crate::error::{Error, Result};
use crate::registry::envelope::{Envelope, TYP_CHARTER};
use crate::registry::ids::KeyThumb;
use crate::registry::node_record::{DecodedNodeRecord, NodeRecord};
use crate::registry::record::DecodedRecord;
use crate::registry::signature::{PublicKey, strict_ok, verify_one};
use crate::registry::strict::List;
use crate::registry::verify::KeyRing;
use crate::tlog::checkpoint::{Checkpoint, MAX_CHECKPOINT_LEN, VerifiedCheckpoint};
use crate::tlog::cosignature::CosignerKey;
use crate::tlog::note::VerifierKey;
use crate::tlog::proof::MAX_PATH;
use crate::tlog::tile::MAX_ENTRY_LEN;
use crate::tlog::tree::{verify_consistency, verify_inclusion};
use crate::tlog::{Hash, leaf_hash};

/// First member of every file.
pub const FORMAT: &str = "domovoi evidence v1";
/// Bytes of the longest file: two charters, each escaped in a JSON string.
pub const MAX_EVIDENCE: usize = 5 << 20;
/// Code of a log that signed two trees. Whoever did that once is not believed again by itself.
pub const FORK: &str = "peer.fork";
/// Hashes of the longest path.
const MAX_HASHES: usize = MAX_PATH + 1;

/// A file of evidence, read and not verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// [`FORMAT`].
    pub format: String,
    /// Origin of the log it is about.
    pub origin: String,
    /// Said: the stable code of what the node found.
    pub code: String,
    /// Said: in words.
    pub detail: String,
    /// Said: when, Unix milliseconds.
    pub seen_at: u64,
    /// Said: the address it was served from.
    pub source: String,
    /// The signed checkpoint the node had accepted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_checkpoint: Option<String>,
    /// The signed checkpoint that was served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_checkpoint: Option<String>,
    /// What the checkpoints do not show by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// What is shown beside the checkpoints. Hashes are padded base64, as in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Proof {
    /// The larger of the two trees begins with another tree than the smaller one.
    SplitView {
        /// Root of the larger tree's first entries, as many as the smaller one has.
        root: String,
        /// Consistency proof from that root to the larger checkpoint's (RFC 6962 §2.1.2); empty for equal sizes.
        path: List<String, MAX_HASHES>,
    },
    /// An entry of the served log that must not be there.
    Entry {
        /// Its index.
        index: u64,
        /// Its bytes, padded base64.
        entry: String,
        /// Inclusion proof to the served checkpoint (RFC 6962 §2.1.1).
        path: List<String, MAX_HASHES>,
        /// Keys its signatures name, padded base64: what is signed names a key by its hash only.
        keys: List<String, 8>,
    },
    /// Two charters of one version.
    Charters {
        /// One, exactly as it was signed.
        first: String,
        /// The other.
        second: String,
    },
}

/// What is proved, and about whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// The log's key signed two trees of which neither begins with the other.
    SplitView {
        /// Size of the smaller one.
        smaller: u64,
        /// Size of the larger one.
        larger: u64,
        /// The keys that signed, vkey lines; one, or two where the charter changed between.
        keys: Vec<String>,
        /// Cosigners of the charter, vkey lines, who cosigned both: they broke their word too.
        cosigners: Vec<String>,
    },
    /// The log's key signed both checkpoints, and nothing here shows that one contradicts the other. That the smaller one
    /// was served after the larger is only said.
    Rollback {
        /// Size of what was accepted.
        accepted: u64,
        /// Size of what was served later.
        served: u64,
    },
    /// The entry is in the log that the key signed.
    Entry {
        /// Its index.
        index: u64,
        /// The code it is refused with.
        code: String,
        /// True where the entry and the charters alone show that it must be refused. False where that depends on the state
        /// before it: whoever has the log's first entries can replay them and see.
        confirmed: bool,
    },
    /// Thresholds of the federation's root keys signed two charters of one version.
    Charters {
        /// The version.
        version: u64,
        /// Key ids of those who signed both.
        signers: Vec<String>,
    },
    /// Nothing is proved: what is wrong was signed by nobody (changed bytes, a missing file). The checkpoints that are there
    /// are signed by the log's key.
    Nothing,
}

impl Finding {
    /// True where somebody is shown to have signed what he must not.
    pub fn is_proof(&self) -> bool {
        match self {
            Finding::SplitView { .. } | Finding::Charters { .. } => true,
            Finding::Entry { confirmed, .. } => *confirmed,
            Finding::Rollback { .. } | Finding::Nothing => false,
        }
    }
}

fn form(what: impl Into<String>) -> Error {
    Error::refuse("evidence.form", format!("evidence: {}", what.into()), "get the file again, unchanged")
}

fn unshown(what: impl Into<String>) -> Error {
    Error::refuse(
        "evidence.proof",
        format!("evidence: {}", what.into()),
        "the file proves nothing against anybody: do not pass it on",
    )
}

/// A key of the log, with the first and the last version of the charter that name it.
struct LogKey {
    key: VerifierKey,
    first: u64,
    last: u64,
}

/// A checkpoint that a key of the log signed.
struct Signed<'c> {
    checkpoint: VerifiedCheckpoint,
    by: &'c LogKey,
}

impl Evidence {
    /// Reads a file. Nothing is verified.
    ///
    /// # Errors
    /// `evidence.form`.
    pub fn decode(bytes: &[u8]) -> Result<Evidence> {
        if bytes.len() > MAX_EVIDENCE {
            return Err(form(format!("{} bytes", bytes.len())));
        }
        let evidence: Evidence = crate::registry::strict::from_object(bytes).map_err(|e| form(e.to_string()))?;
        if evidence.format != FORMAT {
            return Err(form("it does not begin as evidence of version 1"));
        }
        Ok(evidence)
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// `evidence.form`.
    pub fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self).map_err(|e| form(e.to_string()))
    }

    /// What the file proves to whoever trusts the chain.
    ///
    /// # Errors
    /// `evidence.form`; `evidence.origin` where no charter names the log; `evidence.unsigned` where a checkpoint is not signed
    /// by a key of the log; `evidence.proof` where what is shown does not lead to what is claimed; `evidence.cut` where a
    /// charter made the older of two trees void.
    pub fn verify(&self, chain: &CharterChain) -> Result<Finding> {
        if let Some(Proof::Charters { first, second }) = &self.proof {
            return charters(chain, first.as_bytes(), second.as_bytes());
        }
        let keys = log_keys(chain, &self.origin);
        if keys.is_empty() {
            return Err(Error::refuse(
                "evidence.origin",
                format!("no charter names the log «{}»", self.origin.chars().take(200).collect::<String>()),
                "verify it with the charter of the federation that the log belongs to",
            ));
        }
        let open = |note: &Option<String>| note.as_deref().map(|n| signed(n, &keys, &self.origin)).transpose();
        match &self.proof {
            Some(Proof::SplitView { root, path }) => {
                let (Some(a), Some(b)) = (open(&self.accepted_checkpoint)?, open(&self.served_checkpoint)?) else {
                    return Err(form("a split view takes two checkpoints"));
                };
                split_view(chain, &self.origin, a, b, hash(root)?, &hashes(path)?)
            }
            Some(Proof::Entry { index, entry, path, keys: given }) => {
                let served = open(&self.served_checkpoint)?.ok_or_else(|| form("an entry takes a checkpoint"))?;
                let head = served.checkpoint.checkpoint();
                let bytes = bytes(entry, MAX_ENTRY_LEN)?;
                verify_inclusion(leaf_hash(&bytes), *index, head.size, &hashes(path)?, head.root)
                    .map_err(|e| unshown(e.detail()))?;
                let confirmed = confirmed(chain, &self.origin, &bytes, given, &self.code)?;
                Ok(Finding::Entry { index: *index, code: self.code.clone(), confirmed })
            }
            _ => {
                // Something signed by somebody else may stand where the node could read nothing: it shows nothing then.
                let (accepted, served) =
                    (open(&self.accepted_checkpoint)?, open(&self.served_checkpoint).unwrap_or(None));
                let size = |s: &Option<Signed<'_>>| s.as_ref().map(|s| s.checkpoint.checkpoint().size);
                match (size(&accepted), size(&served)) {
                    (Some(accepted), Some(served)) if served < accepted => Ok(Finding::Rollback { accepted, served }),
                    _ => Ok(Finding::Nothing),
                }
            }
        }
    }
}

/// Shows that two signed checkpoints cannot be of one log, from the hashes that lead there; none where they can.
///
/// # Errors
/// Those of [`verify_consistency`]: the path does not lead from `root` to the larger tree.
pub fn split(smaller: &Checkpoint, larger: &Checkpoint, root: Hash, path: &[Hash]) -> Result<Option<Proof>> {
    verify_consistency(smaller.size, root, larger.size, larger.root, path)?;
    let path = List(path.iter().map(Hash::to_base64).collect());
    Ok((root != smaller.root).then(|| Proof::SplitView { root: root.to_base64(), path }))
}

fn log_keys(chain: &CharterChain, origin: &str) -> Vec<LogKey> {
    let mut keys: Vec<LogKey> = Vec::new();
    for charter in chain.versions() {
        let version = charter.charter().version;
        let region = charter.region_by_origin(origin).and_then(|r| VerifierKey::parse(r.log_vkey.as_str()).ok());
        let federation = charter.federation().filter(|f| *f.origin == *origin).map(|f| f.log_key);
        let Some(key) = region.or(federation) else { continue };
        match keys.iter_mut().find(|k| k.key == key) {
            Some(known) => known.last = version,
            None => keys.push(LogKey { key, first: version, last: version }),
        }
    }
    keys
}

fn signed<'c>(note: &str, keys: &'c [LogKey], origin: &str) -> Result<Signed<'c>> {
    let open = |by: &'c LogKey| {
        let checkpoint = Checkpoint::open(note.as_bytes(), &by.key, origin).ok()?;
        Some(Signed { checkpoint, by })
    };
    keys.iter().find_map(open).filter(|_| note.len() <= MAX_CHECKPOINT_LEN).ok_or_else(|| {
        Error::refuse(
            "evidence.unsigned",
            "a checkpoint of the evidence is not signed by a key of the log",
            "the file proves nothing against anybody: do not pass it on",
        )
    })
}

fn split_view(
    chain: &CharterChain,
    origin: &str,
    a: Signed<'_>,
    b: Signed<'_>,
    root: Hash,
    path: &[Hash],
) -> Result<Finding> {
    let (small, large) = match a.checkpoint.checkpoint().size <= b.checkpoint.checkpoint().size {
        true => (a, b),
        false => (b, a),
    };
    let (smaller, larger) = (small.checkpoint.checkpoint(), large.checkpoint.checkpoint());
    let shown = split(smaller, larger, root, path).map_err(|e| unshown(e.detail()))?;
    if shown.is_none() {
        return Err(unshown("the larger tree begins with the smaller one"));
    }
    for (one, other) in [(&small, &large), (&large, &small)] {
        if is_void(chain, origin, one, other) {
            return Err(Error::refuse(
                "evidence.cut",
                "a charter has cut the log before what one of the two keys signed: that tree is void",
                "the matter is decided already: see the charter's cuts",
            ));
        }
    }
    let mut keys = vec![small.by.key.to_string(), large.by.key.to_string()];
    keys.dedup();
    let both =
        |key: &CosignerKey| [&small, &large].iter().all(|s| matches!(key.time_of(s.checkpoint.note()), Ok(Some(_))));
    let cosigners = cosigners(chain).into_iter().filter(both).map(|k| k.to_string()).collect();
    Ok(Finding::SplitView { smaller: smaller.size, larger: larger.size, keys, cosigners })
}

/// True where a cut lies between the keys of `one` and `other`, and `one` goes on beyond it under the old key.
fn is_void(chain: &CharterChain, origin: &str, one: &Signed<'_>, other: &Signed<'_>) -> bool {
    let between = |version: u64| version > one.by.last && version <= other.by.first;
    chain.cuts_of(origin).iter().any(|cut| between(cut.version) && one.checkpoint.checkpoint().size > cut.size)
}

/// Every cosigner that a version of the charter names.
pub fn cosigners(chain: &CharterChain) -> Vec<CosignerKey> {
    let mut found: Vec<CosignerKey> = Vec::new();
    for body in chain.versions().iter().map(VerifiedCharter::charter) {
        let nodes = body.regions.0.iter().filter_map(|r| r.cosigners.as_ref());
        let nodes = nodes.chain(body.federation.iter().filter_map(|f| f.cosigners.as_ref()));
        let of_nodes = nodes.flat_map(|c| c.witness.0.iter().chain(&c.mirror).chain(&c.verifier));
        let others = body.witnesses.iter().flat_map(|w| &w.0).map(|w| &w.vkey);
        for key in of_nodes.chain(others).filter_map(|vkey| CosignerKey::parse(vkey.as_str()).ok()) {
            if !found.contains(&key) {
                found.push(key);
            }
        }
    }
    found
}

/// Whether the entry must be refused with `code` whatever stands before it. An error where it plainly must not.
fn confirmed(chain: &CharterChain, origin: &str, entry: &[u8], given: &List<String, 8>, code: &str) -> Result<bool> {
    let mut ring = KeyRing::default();
    for key in &given.0 {
        let key = <[u8; 32]>::try_from(bytes(key, 32)?).map_err(|_| form("a key has 32 bytes"))?;
        ring.add(&PublicKey::from_bytes(&key).map_err(|e| form(e.detail()))?);
    }
    match refusal(chain, origin, entry, &ring) {
        Some(found) if found == code => Ok(true),
        // What can be decided here was decided otherwise.
        _ if decided_by_itself(code) => Err(unshown(format!("the entry is not one that is refused with {code}"))),
        _ => Ok(false),
    }
}

/// Codes that the entry and the charters decide.
fn decided_by_itself(code: &str) -> bool {
    code.starts_with("envelope.")
        || matches!(code, "signature.invalid" | "rule.log" | "record.payload" | "record.body" | "record.type")
}

/// The code of what is wrong with an entry in itself: its form, its log, a signature that its key did not make.
fn refusal(chain: &CharterChain, origin: &str, entry: &[u8], ring: &KeyRing) -> Option<&'static str> {
    if let Ok(decoded) = DecodedNodeRecord::decode(entry) {
        let log = match decoded.record() {
            NodeRecord::Adopted(r) => &r.log,
            NodeRecord::Commit(r) => &r.log,
            NodeRecord::Regions(r) => &r.log,
            NodeRecord::Federation(r) => &r.log,
        };
        let of_region =
            chain.versions().iter().filter_map(|c| c.region_by_origin(origin)).map(|r| r.commit_key.0.clone());
        let of_federation = chain.versions().iter().filter_map(VerifiedCharter::federation);
        let of_federation = of_federation.filter(|f| *f.origin == *origin).map(|f| f.commit_key);
        let good = of_region.chain(of_federation).any(|key| decoded.clone().verify(&key).is_ok());
        return match (good, **log == *origin) {
            (false, _) => Some("commit.signature"),
            (true, false) => Some("commit.field"),
            (true, true) => None,
        };
    }
    let decoded = match DecodedRecord::decode(entry) {
        Ok(decoded) => decoded,
        // A version that this program does not know may be good.
        Err(e) => return Some(e.code()).filter(|c| *c != "record.version"),
    };
    if *decoded.record.log != *origin {
        return Some("rule.log");
    }
    let mut ring = ring.clone();
    for region in chain.versions().iter().filter_map(|c| c.region_by_origin(origin)) {
        region.root_keys.0.iter().for_each(|k| ring.add(&k.0));
    }
    let envelope = &decoded.envelope;
    let false_one = |(kid, signature): &(KeyThumb, [u8; 64])| {
        ring.key(kid).is_some_and(|key| !verify_one(key, &envelope.signing_input(kid), signature))
    };
    envelope.signatures.iter().any(false_one).then_some("signature.invalid")
}

/// Keys out of `ring` that an entry's signatures name, as [`Proof::Entry`] has them.
pub fn keys_of(entry: &[u8], ring: &KeyRing) -> List<String, 8> {
    let signatures = DecodedRecord::decode(entry).map(|d| d.envelope.signatures).unwrap_or_default();
    let keys = signatures.iter().filter_map(|(kid, _)| ring.key(kid));
    List(keys.map(|k| data_encoding::BASE64.encode(&k.to_bytes())).collect())
}

fn charters(chain: &CharterChain, first: &[u8], second: &[u8]) -> Result<Finding> {
    let open = |bytes: &[u8]| Charter::open(bytes).map_err(|e| unshown(e.detail()));
    let (a, b) = (open(first)?, open(second)?);
    let version = a.charter().version;
    if version != b.charter().version || a.sha256() == b.sha256() {
        return Err(unshown("the two are not different charters of one version"));
    }
    // Both must be signed by those whom the trusted chain names: of the version before, or of this one where it is pinned.
    let judge = chain
        .version(version.saturating_sub(1))
        .or_else(|| chain.version(version))
        .ok_or_else(|| unshown(format!("the chain reaches neither version {version} nor the one before")))?;
    let signers = |bytes: &[u8]| signers(judge, bytes);
    let (one, other) = (signers(first)?, signers(second)?);
    let needed = judge.charter().threshold as usize;
    if one.len() < needed || other.len() < needed {
        return Err(unshown("a threshold of the federation's root keys did not sign both"));
    }
    let signers = one.into_iter().filter(|k| other.contains(k)).map(|k| k.to_string()).collect();
    Ok(Finding::Charters { version, signers })
}

/// Root keys of `judge` that signed a charter.
fn signers(judge: &VerifiedCharter, bytes: &[u8]) -> Result<Vec<KeyThumb>> {
    let envelope = Envelope::parse(bytes, TYP_CHARTER, MAX_CHARTER).map_err(|e| unshown(e.detail()))?;
    let good = |(kid, signature): &&(KeyThumb, [u8; 64])| {
        let root = judge.charter().root_keys.0.iter().find(|k| k.thumb() == *kid);
        root.is_some_and(|k| strict_ok(&k.0, &envelope.signing_input(kid), signature))
    };
    Ok(envelope.signatures.iter().filter(good).map(|(kid, _)| *kid).collect())
}

fn bytes(base64: &str, max: usize) -> Result<Vec<u8>> {
    let bytes = data_encoding::BASE64.decode(base64.as_bytes()).map_err(|_| form("base64 that is not canonical"))?;
    if bytes.len() > max { Err(form(format!("{} bytes where {max} may be", bytes.len()))) } else { Ok(bytes) }
}

fn hash(text: &str) -> Result<Hash> {
    Hash::from_base64(text).map_err(|e| form(e.detail()))
}

fn hashes(path: &List<String, MAX_HASHES>) -> Result<Vec<Hash>> {
    path.0.iter().map(|h| hash(h)).collect()
}
