//! This node as a witness: which logs it knows, and what it answers to `add-checkpoint` (C2SP tlog-witness).
//!
//! It knows the logs that a charter in force here names, those it follows, and those its configuration names; of each the keys
//! that may sign it. Where a charter has cut a log, the cut is the last head that counts, and only keys named since then do.

use std::collections::BTreeMap;
use std::path::Path;

use parking_lot::{Mutex, RwLock};

use super::Node;
use super::charters::read_chain;
use super::layout::origin_hash;
use crate::error::{Error, Result};
use crate::federation::chain::CharterChain;
use crate::federation::evidence::{Evidence, FORK, FORMAT, Proof};
use crate::federation::roles::KeyRole;
use crate::registry::strict::List;
use crate::storage::evidence_store;
use crate::storage::lock::KeyClaim;
use crate::storage::witness_store::{Cosigned, WitnessStore};
use crate::tlog::cosignature::Cosigner;
use crate::tlog::note::{Note, NoteSignature, VerifierKey};
use crate::tlog::witness::{Request, Seen, Signed};

/// Known logs are looked up anew this often at most, milliseconds: somebody may ask for one that a charter has just named.
const REFRESH: u64 = 5_000;
/// And this often at least while the witness is asked: a charter may have cut a log, or retired a key.
const STALE: u64 = 60_000;

/// What is known of a log that may be cosigned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownLog {
    /// Keys that may sign its checkpoints.
    pub keys: Vec<VerifierKey>,
    /// Version of the charter that cut it last, and the head that stands.
    pub cut: Option<(u64, Seen)>,
}

/// The answer to `add-checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Cosigned: the lines, each ended by a newline.
    Lines(String),
    /// The witness has cosigned another size last: this one.
    Conflict(u64),
}

/// The witness.
pub struct Witness {
    signers: Vec<Cosigner>,
    store: WitnessStore,
    foreign: Vec<(String, VerifierKey)>,
    known: RwLock<BTreeMap<String, KnownLog>>,
    refreshed: Mutex<u64>,
    /// The lines that were answered last, as they are shown to whoever reads.
    answered: Mutex<BTreeMap<String, (Seen, Vec<NoteSignature>)>>,
    _claim: KeyClaim,
}

impl Witness {
    /// Opens what was cosigned so far. `foreign` are logs that no charter names: origin and key.
    ///
    /// # Errors
    /// Those of [`WitnessStore::open`].
    pub fn open(
        path: &Path,
        signers: Vec<Cosigner>,
        foreign: Vec<(String, VerifierKey)>,
        claim: KeyClaim,
    ) -> Result<Witness> {
        Ok(Witness {
            signers,
            store: WitnessStore::open(path)?,
            foreign,
            known: RwLock::default(),
            refreshed: Mutex::new(0),
            answered: Mutex::default(),
            _claim: claim,
        })
    }

    /// The logs this witness knows are those of `node` now.
    pub fn refresh(&self, node: &Node) {
        let known = known_logs(node, &self.foreign);
        *self.known.write() = known;
    }

    /// What is known of the log, looked up anew where nothing is, at most every [`REFRESH`].
    fn known(&self, node: &Node, origin: &str, now_ms: u64, anew: bool) -> Option<KnownLog> {
        let find = || self.known.read().get(origin).cloned();
        let since = now_ms.saturating_sub(*self.refreshed.lock());
        if let Some(known) = find().filter(|_| !anew && since < STALE) {
            return Some(known);
        }
        {
            let mut refreshed = self.refreshed.lock();
            if *refreshed != 0 && now_ms < refreshed.saturating_add(REFRESH) {
                return find();
            }
            *refreshed = now_ms;
            self.refresh(node);
        }
        find()
    }

    /// Answers `add-checkpoint`: blocking, for the disk. What is answered is durable. `now_ms`: Unix milliseconds.
    ///
    /// # Errors
    /// `witness.request` and those of the note's form (400); `witness.unknown-log` (404); `witness.key`, `note.signature`
    /// (403); `witness.old-size` (400); `witness.proof` (422); those of the store.
    pub fn add_checkpoint(&self, node: &Node, body: &[u8], now_ms: u64) -> Result<Answer> {
        let request = Request::parse(body)?;
        let origin = request.head()?.origin;
        let unknown = || {
            Error::refuse(
                "witness.unknown-log",
                format!("this witness does not know the log «{origin}»"),
                "name the log in the charter, or in the witness's configuration ([[witness_log]])",
            )
        };
        let mut known = self.known(node, origin, now_ms, false).ok_or_else(unknown)?;
        let signed = match request.signed_by(&known.keys) {
            // A charter may have named another key just now.
            Err(e) if e.code() == "witness.key" => {
                known = self.known(node, origin, now_ms, true).ok_or_else(unknown)?;
                request.signed_by(&known.keys)?
            }
            signed => signed?,
        };
        // Whoever asks with the log's signature is there.
        node.heard_from(origin);
        let answer = self.add_signed(&request, signed, &known, now_ms);
        if answer.as_ref().is_err_and(|e| e.code() == "witness.proof") {
            self.keep_fork(node, &signed, &request.note, now_ms);
        }
        answer
    }

    /// Two trees of one size, both signed by the log: kept as evidence. A proof that leads nowhere shows nothing by itself.
    fn keep_fork(&self, node: &Node, signed: &Signed<'_>, note: &Note, now_ms: u64) {
        let origin = signed.head.origin;
        let Some(last) = self.store.last(origin).filter(|last| last.seen.size == signed.head.size) else { return };
        if last.seen.root == signed.head.root {
            return;
        }
        let evidence = Evidence {
            format: FORMAT.into(),
            origin: origin.to_owned(),
            code: FORK.into(),
            detail: format!(
                "the log's key signed two trees of size {}; the witness was asked for both",
                last.seen.size
            ),
            seen_at: now_ms,
            source: "add-checkpoint".into(),
            accepted_checkpoint: Some(last.note.to_string()),
            served_checkpoint: Some(note.to_string()),
            proof: Some(Proof::SplitView { root: signed.head.root.to_base64(), path: List(Vec::new()) }),
        };
        let followed = node.followed().iter().any(|f| f.view.origin == origin);
        let of = if followed { node.layout.mirror(origin) } else { node.layout.witness_folder() };
        match evidence_store::keep(&of.evidence(), &evidence) {
            Ok(name) => tracing::error!(origin, evidence = name, "a log has signed two trees of one size"),
            Err(e) => tracing::error!(origin, error = %e, "evidence of a fork could not be kept"),
        }
    }

    fn add_signed(&self, request: &Request, signed: Signed<'_>, known: &KnownLog, now_ms: u64) -> Result<Answer> {
        let origin = signed.head.origin;
        let next = cosigned(&signed, &request.note, known)?;
        self.recall(request, &next, known)?;
        let mut last = Seen::NOTHING;
        let decided = self.store.advance(origin, |cosigned| {
            last = last_of(cosigned, known.cut);
            signed.extends(last)?;
            // The same head again: what is durable already is cosigned as of now.
            Ok(Some(next).filter(|n| cosigned.is_none_or(|c| (c.seen, c.cut) != (n.seen, n.cut))))
        });
        match decided {
            Err(e) if e.code() == "witness.conflict" => return Ok(Answer::Conflict(last.size)),
            decided => decided?,
        };
        let lines = self.sign(request.note.text(), now_ms)?;
        let text = lines.iter().map(|line| format!("{line}\n")).collect();
        self.answered.lock().insert(origin.to_owned(), (signed.seen(), lines));
        Ok(Answer::Lines(text))
    }

    /// Takes in a head that bears a cosignature of this witness's own: it has cosigned that head, whatever its file says.
    fn recall(&self, request: &Request, next: &Cosigned, known: &KnownLog) -> Result<()> {
        let signed = self.signers.iter().any(|s| s.verifier().time_of(&request.note).is_ok_and(|time| time.is_some()));
        // What ends before a cut, or at it, is no later head than the cut.
        if !signed || known.cut.is_some_and(|(_, cut)| next.seen.size <= cut.size) {
            return Ok(());
        }
        let origin = request.head()?.origin;
        if self.store.remember(origin, next.clone())? {
            tracing::error!(
                origin,
                size = next.seen.size,
                "the record of what this witness has cosigned was older than its own cosignature; it is put right for this log: was it restored from a backup?"
            );
        }
        Ok(())
    }

    /// Takes a published checkpoint, to see whether this witness has cosigned a later head than it knows.
    ///
    /// # Errors
    /// Those of the store.
    pub fn notice(&self, node: &Node, note: &Note, now_ms: u64) -> Result<()> {
        let request = Request { old: 0, proof: Vec::new(), note: note.clone() };
        let Some(known) = request.head().ok().and_then(|head| self.known(node, head.origin, now_ms, false)) else {
            return Ok(());
        };
        match request.signed_by(&known.keys) {
            Ok(signed) => self.recall(&request, &cosigned(&signed, note, &known)?, &known),
            Err(_) => Ok(()),
        }
    }

    /// The checkpoint that was cosigned last of the log with this hash, with the lines of its key and of this witness.
    ///
    /// # Errors
    /// Those of the store.
    pub fn checkpoint(&self, hash: &str, now_ms: u64) -> Result<Option<String>> {
        let Some(origin) = self.store.origins().into_iter().find(|origin| origin_hash(origin) == hash) else {
            return Ok(None);
        };
        // Waits until it is durable.
        let last = self.store.advance(&origin, |_| Ok(None))?;
        let answered = self.answered.lock().get(&origin).filter(|(seen, _)| *seen == last.seen).cloned();
        let lines = match answered {
            Some((_, lines)) => lines,
            // After a start: still the newest head that this witness knows.
            None => {
                let lines = self.sign(last.note.text(), now_ms)?;
                self.answered.lock().insert(origin, (last.seen, lines.clone()));
                lines
            }
        };
        let mut note = last.note;
        lines.into_iter().try_for_each(|line| note.add_line(line))?;
        Ok(Some(note.to_string()))
    }

    fn sign(&self, text: &str, now_ms: u64) -> Result<Vec<NoteSignature>> {
        self.signers.iter().map(|signer| signer.cosign(text, now_ms / 1000)).collect()
    }
}

/// What is kept of a signed head: of the lines only the log's own.
fn cosigned(signed: &Signed<'_>, note: &Note, known: &KnownLog) -> Result<Cosigned> {
    let note = Note::of(note.text(), vec![signed.line.clone()])?;
    Ok(Cosigned { seen: signed.seen(), cut: known.cut.map_or(0, |(version, _)| version), note })
}

/// The head that the next one must extend: a cut takes the place of whatever was cosigned before it.
fn last_of(cosigned: Option<&Cosigned>, cut: Option<(u64, Seen)>) -> Seen {
    match (cosigned, cut) {
        (Some(c), Some((version, _))) if c.cut >= version => c.seen,
        (_, Some((_, seen))) => seen,
        (Some(c), None) => c.seen,
        (None, None) => Seen::NOTHING,
    }
}

/// The logs that the charters of `node` name. A charter that a peer has serves for the peer's own log alone: what it says of
/// others is not its matter.
fn known_logs(node: &Node, foreign: &[(String, VerifierKey)]) -> BTreeMap<String, KnownLog> {
    let mut known: BTreeMap<String, KnownLog> = BTreeMap::new();
    let mut add = |chain: &CharterChain, only: Option<&str>| {
        let body = chain.latest().charter();
        let origins = body.regions.0.iter().map(|r| r.origin.as_str());
        for origin in origins.chain(body.federation.iter().map(|f| f.origin.as_str())) {
            if only.is_none_or(|only| only == origin) {
                let named = log_of(chain, origin);
                let log = known.entry(origin.to_owned()).or_default();
                log.cut = log.cut.or(named.cut);
                for key in named.keys {
                    if !log.keys.contains(&key) {
                        log.keys.push(key);
                    }
                }
            }
        }
    };
    let federation = node.layout.federation();
    if federation.charter().exists() {
        match read_chain(&federation) {
            Ok(chain) => add(&chain, None),
            Err(e) => tracing::error!(error = %e, "the witness cannot read the federation's charter"),
        }
    }
    if let Some(view) = node.own() {
        add(&view.chain(), None);
    }
    for followed in node.followed() {
        add(&followed.view.chain(), Some(&followed.view.origin));
    }
    for (origin, key) in foreign {
        known.entry(origin.clone()).or_default().keys.push(key.clone());
    }
    known
}

/// What a chain says of one log.
fn log_of(chain: &CharterChain, origin: &str) -> KnownLog {
    let cut = chain.cuts_of(origin).last().map(|cut| (cut.version, Seen { size: cut.size, root: cut.root }));
    let latest = chain.latest().charter();
    let retired = |key: &VerifierKey| {
        let keys = latest.retired.iter().flat_map(|list| &list.0).filter(|r| r.role == KeyRole::Log);
        keys.clone().any(|r| r.key.0.to_bytes() == key.verifying_key().to_bytes())
    };
    let since = chain.versions().iter().rev().filter(|v| cut.is_none_or(|(version, _)| v.charter().version >= version));
    let mut keys: Vec<VerifierKey> = Vec::new();
    for version in since {
        let named = version.charter().log_vkey(origin).and_then(|vkey| VerifierKey::parse(vkey.as_str()).ok());
        if let Some(key) = named.filter(|key| !keys.contains(key) && !retired(key)) {
            keys.push(key);
        }
    }
    KnownLog { keys, cut }
}
