//! One region in the model: the library's own state, map and log, and the records that wait for the commit.
//!
//! A step of the model is a call of the library: `rules::check`, `Overlay::apply`, `Overlay::finish`, `State::absorb`, and
//! for whoever reads the log `replay::Preparer` and `Replay::apply`. Nothing here decides what is allowed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex};

use domovoi::error::Result;
use domovoi::registry::body::List;
use domovoi::registry::envelope::{Envelope, TYP_RECORD};
use domovoi::registry::facts::Facts;
use domovoi::registry::ids::{RecordId, RegionCode};
use domovoi::registry::jurisdiction::Neighbour;
use domovoi::registry::map_proof::MapProof;
use domovoi::registry::node_record::{Adopted, Commit, NodeRecord};
use domovoi::registry::record::{DecodedRecord, Draft, RECORD_VERSION, Record, Subject};
use domovoi::registry::replay::{Preparer, Replay, Trust};
use domovoi::registry::rules::check;
use domovoi::registry::signature::PublicKey;
use domovoi::registry::state::{Jurisdiction, Overlay, State, View};
use domovoi::registry::state_proof::{Quoted, StateProof};
use domovoi::registry::statemap::{StateMap, map_key};
use domovoi::registry::text::Millis;
use domovoi::registry::transfer::{OfferStanding, TransferFacts};
use domovoi::registry::verify::{KeyRing, VerifiedRecord, verify_records};
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::note::NoteSigner;
use domovoi::tlog::tree::{Frontier, subtree_root};
use domovoi::tlog::{Hash, leaf_hash};
use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha256};

use super::blind::{Blind, Bug};
use super::spec::{Say, Spec};
use crate::rules::world::{START, authority_key, key};

/// Which of the two regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// 77: the chat begins here.
    A,
    /// 78.
    B,
}

impl Place {
    pub const ALL: [Place; 2] = [Place::A, Place::B];
    pub fn origin(self) -> &'static str {
        ["test.example/log/77", "test.example/log/78"][self as usize]
    }
    pub fn prefix(self) -> &'static str {
        ["45", "40"][self as usize]
    }
    pub fn code(self) -> RegionCode {
        RegionCode::new([77, 78][self as usize]).unwrap()
    }
    pub fn root_key(self) -> SigningKey {
        key(200 + self as u8)
    }
    fn commit_key(self) -> SigningKey {
        key(210 + self as u8)
    }
    pub fn jurisdiction(self) -> Jurisdiction {
        Jurisdiction {
            origin: self.origin().into(),
            region: self.code(),
            oktmo: vec![self.prefix().parse().unwrap()],
            root_keys: vec![PublicKey::of(&self.root_key())],
            root_threshold: 1,
            commit_key: PublicKey::of(&self.commit_key()),
            charter_version: 1,
            charter_sha256: RecordId([7; 32]),
            log_key: self.log_signer().verifier().clone(),
            record_versions: vec![RECORD_VERSION],
            exceptions: Vec::new(),
            others: [self.other().neighbour()].into(),
        }
    }
    pub fn other(self) -> Place {
        Place::ALL[1 - self as usize]
    }
    pub fn log_signer(self) -> NoteSigner {
        NoteSigner::new(self.origin(), key(220 + self as u8)).unwrap()
    }
    fn neighbour(self) -> Neighbour {
        Neighbour {
            origin: self.origin().into(),
            region: self.code(),
            log_key: self.log_signer().verifier().clone(),
            commit_key: PublicKey::of(&self.commit_key()),
        }
    }
}

/// Who signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    /// The root key of a region.
    Root(Place),
    /// The key an authority was given at the beginning.
    Key(u8),
    /// A second key of an authority, which the log may grant later and which is valid only after [`Phase::Later`].
    Late(u8),
}

impl Who {
    pub fn key(self) -> SigningKey {
        match self {
            Who::Root(place) => place.root_key(),
            Who::Key(n) => authority_key(n.into(), 0),
            Who::Late(n) => authority_key(n.into(), 1),
        }
    }
}

/// Every key of the model: a signature by any of them can be verified, whoever granted it. Whether it *may* sign is for
/// the rules to say.
static RING: LazyLock<KeyRing> = LazyLock::new(|| {
    let mut ring = KeyRing::default();
    let keys = (0..4).flat_map(|n| [Who::Key(n), Who::Late(n)]).chain(Place::ALL.map(Who::Root));
    keys.for_each(|who| ring.add(&PublicKey::of(&who.key())));
    ring
});

/// A signed record: its exact bytes, and what the library made of them.
#[derive(Debug)]
pub struct Signed {
    pub bytes: Vec<u8>,
    pub verified: VerifiedRecord,
}

/// Signing takes longer than all rules together, so what was signed once is kept, by its payload and signers.
type Cache = HashMap<(Vec<u8>, Vec<Who>), Arc<Signed>>;
static CACHE: LazyLock<Mutex<Cache>> = LazyLock::new(Mutex::default);

pub fn sign(draft: Draft, by: &[Who]) -> Arc<Signed> {
    let (_, payload) = Record::encode(draft).unwrap();
    let slot = (payload, by.to_vec());
    if let Some(signed) = CACHE.lock().unwrap().get(&slot) {
        return signed.clone();
    }
    let keys: Vec<SigningKey> = by.iter().map(|who| who.key()).collect();
    let bytes = Envelope::sign(slot.0.clone(), TYP_RECORD, &keys.iter().collect::<Vec<_>>());
    let decoded = DecodedRecord::decode(&bytes).unwrap();
    let verified = verify_records(vec![decoded], &RING).remove(0).unwrap();
    let signed = Arc::new(Signed { bytes, verified });
    CACHE.lock().unwrap().insert(slot, signed.clone());
    signed
}

/// The three moments of the model. Rules look at the time of the commit only, and compare it with the windows of keys and
/// with deadlines; within a phase no such comparison changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Before late keys are valid.
    Now,
    /// Late keys are valid.
    Later,
    /// The deadlines of offers have passed.
    Late,
}

impl Phase {
    /// Length of a phase: longer than any run of the model has commits.
    const LENGTH: u64 = 1_000_000_000;
    pub fn begins(self) -> u64 {
        START + self as u64 * Phase::LENGTH
    }
    pub fn next(self) -> Option<Phase> {
        match self {
            Phase::Now => Some(Phase::Later),
            Phase::Later => Some(Phase::Late),
            Phase::Late => None,
        }
    }
}

/// A region. Values are shared between the states of the model; none is changed once it is made.
#[derive(Clone)]
pub struct Region {
    pub place: Place,
    pub state: Arc<State>,
    map: Arc<StateMap>,
    /// The entries of the log, as bytes.
    pub log: Arc<Vec<Vec<u8>>>,
    /// Accepted, not committed: a crash forgets them.
    pub pending: Vec<(Arc<Signed>, Say)>,
    /// What the specification says of the last commit, and of the records that wait.
    pub committed: Spec,
    pub spec: Spec,
    /// Records of the chat's offers made here.
    pub offers: Vec<RecordId>,
    /// What this log has committed about offers, proved: of equal statements the first, so the oldest that still serves.
    pub proofs: Arc<Vec<Proof>>,
    /// What was said about each subject, in order: the facts are a fold over that, but for the ids of records.
    histories: BTreeMap<Subject, Vec<Say>>,
    /// The region as of the commit before.
    pub earlier: Option<Arc<Region>>,
    digest: [u8; 32],
}

/// One statement of a log about an offer, as a node would fetch it.
#[derive(Debug)]
pub struct Proof {
    /// In which log the offer was made, and which it is there.
    pub offer: (Place, usize),
    pub standing: Option<OfferStanding>,
    /// The record that says so.
    pub answer: Option<RecordId>,
    /// Committed at or after the deadline.
    pub late: bool,
    pub proof: StateProof,
}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let waiting: Vec<_> = self.pending.iter().map(|(_, say)| say).collect();
        write!(f, "{:?}: {} entries, waiting {waiting:?}, {:?}", self.place, self.log.len(), self.spec)
    }
}

impl std::hash::Hash for Region {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.place, self.digest).hash(state);
    }
}

impl PartialEq for Region {
    fn eq(&self, other: &Region) -> bool {
        (self.place, self.digest) == (other.place, other.digest)
    }
}

impl Proof {
    fn copy(&self) -> Proof {
        Proof { proof: self.proof.clone(), ..*self }
    }
}

impl Region {
    /// An empty log that has adopted its charter.
    pub fn empty(place: Place, spec: Spec) -> Region {
        let region = Region {
            place,
            state: Arc::new(State::new(place.jurisdiction())),
            map: Arc::default(),
            log: Arc::default(),
            pending: Vec::new(),
            committed: spec.clone(),
            spec,
            offers: Vec::new(),
            proofs: Arc::default(),
            histories: BTreeMap::new(),
            earlier: None,
            digest: [0; 32],
        };
        let adopted = Adopted { v: RECORD_VERSION, log: place.origin().into(), version: 1, sha256: RecordId([7; 32]) };
        let (entry, id) = NodeRecord::Adopted(adopted.clone()).sign(&place.commit_key()).unwrap();
        let state = region.state.clone();
        let mut overlay = state.overlay();
        overlay.adopt(&adopted, id, 0);
        region.seal(overlay, vec![entry], Phase::Now).digested()
    }

    /// What makes two states of a region behave alike from here on: what was said about each subject in which order (the
    /// facts are a fold over it; the ids in them, which depend on the order of everything, decide nothing), how much of it
    /// waits, what can be proved to the other region, and what the specification thinks.
    fn digested(mut self) -> Region {
        let mut waiting: Vec<String> = self.pending.iter().map(|(_, say)| format!("{say:?}")).collect();
        waiting.sort_unstable();
        let proved: Vec<_> = self.proofs.iter().map(|p| (p.offer, p.standing, p.late)).collect();
        let text = format!("{:?} {waiting:?} {proved:?} {:?}", self.histories, self.spec);
        self.digest = Sha256::digest(text).into();
        self
    }

    /// Time of the commit that would come next.
    pub fn time(&self, phase: Phase) -> u64 {
        self.state.head().map_or(0, |h| h.time + 1).max(phase.begins())
    }

    /// The state with what waits on top of it.
    pub fn overlay(&self, phase: Phase, bug: Bug) -> Overlay<'_> {
        let mut overlay = self.state.overlay();
        for (i, (signed, _)) in self.pending.iter().enumerate() {
            let index = self.state.size() + i as u64;
            let seeing = Blind::new(&overlay, bug);
            let checked = check(&seeing, &signed.verified, seeing.time(self.time(phase))).expect("it passed before");
            drop(seeing);
            overlay.apply(checked, index);
        }
        overlay
    }

    /// What the rules say to a record now.
    pub fn judge(&self, view: &Blind<'_>, signed: &Signed, phase: Phase) -> Result<()> {
        check(view, &signed.verified, view.time(self.time(phase))).map(|_| ())
    }

    /// The region with one more record waiting. The rules have passed it.
    pub fn with(&self, signed: Arc<Signed>, say: Say, spec: Spec) -> Region {
        let mut next = self.clone();
        let record = signed.verified.record();
        next.histories.entry(record.subject(self.place.code())).or_default().push(say);
        if let Say::Offer(_) = say {
            next.offers.push(record.id);
        }
        next.pending.push((signed, say));
        next.spec = spec;
        next.digested()
    }

    /// The id a record about `subject` must name as `prev`.
    pub fn last(&self, overlay: &Overlay<'_>, subject: &Subject) -> Option<RecordId> {
        overlay.entry(subject).and_then(|e| e.last_record())
    }

    fn seal(&self, overlay: Overlay<'_>, mut entries: Vec<Vec<u8>>, phase: Phase) -> Region {
        let changes = overlay.finish();
        let mut map = (*self.map).clone();
        for (key, value) in &changes.leaves {
            map.set(*key, *value);
        }
        let size = self.state.size() + entries.len() as u64 + 1;
        let commit = Commit {
            v: RECORD_VERSION,
            log: self.place.origin().into(),
            first: self.state.size(),
            size,
            time: Millis::new(self.time(phase)).unwrap(),
            previous: self.state.head().map(|h| h.id),
            charter: changes.charter,
            root: RecordId(map.root()),
        };
        let (entry, id) = NodeRecord::Commit(commit.clone()).sign(&self.place.commit_key()).unwrap();
        entries.push(entry);
        let mut state = (*self.state).clone();
        state.absorb(changes, &commit, id, size - 1);
        let mut log = (*self.log).clone();
        log.extend(entries);
        let earlier = match self.pending.is_empty() {
            true => self.earlier.clone(),
            false => Some(Arc::new(self.forget())),
        };
        Region {
            earlier,
            state: Arc::new(state),
            map: Arc::new(map),
            log: Arc::new(log),
            pending: Vec::new(),
            committed: self.spec.clone(),
            ..self.clone()
        }
    }

    /// Ends the batch: what the sequencer does.
    pub fn commit(&self, phase: Phase, bug: Bug) -> Region {
        let entries = self.pending.iter().map(|(s, _)| s.bytes.clone()).collect();
        self.seal(self.overlay(phase, bug), entries, phase).digested()
    }

    /// With what the last commit proves about these offers and no earlier one did. `phase` is that of the commit.
    pub fn proving(mut self, offers: &[(Place, usize, RecordId)], phase: Phase) -> Region {
        let mut proofs: Vec<Proof> = Vec::new();
        for (place, n, id) in offers {
            let (standing, answer) = match self.state.facts(&Subject::Transfer(*id)) {
                Some(Facts::Transfer(t)) => (Some(t.standing), Some(t.record)),
                _ => (None, None),
            };
            let (offer, late) = ((*place, *n), phase == Phase::Late);
            let known = |p: &Proof| (p.offer, p.standing, p.late) == (offer, standing, late);
            if !self.proofs.iter().any(known) {
                let proof = self.prove(&TransferFacts::name(id));
                proofs.push(Proof { offer, standing, answer, late, proof });
            }
        }
        if !proofs.is_empty() {
            let old = std::mem::take(&mut self.proofs);
            let all = old.iter().map(Proof::copy).chain(proofs).collect();
            self.proofs = Arc::new(all);
        }
        self.digested()
    }

    /// What this log's last commit says under `name`: checkpoint, commit, the path between them, the map's part.
    fn prove(&self, name: &str) -> StateProof {
        let leaves: Vec<Hash> = self.log.iter().map(|e| leaf_hash(e)).collect();
        let (mut path, mut end) = (Vec::new(), leaves.len() - 1);
        while end > 0 {
            let width = 1 << end.trailing_zeros();
            path.push(RecordId(subtree_root(&leaves[end - width..end]).0));
            end -= width;
        }
        let mut tree = Frontier::new();
        tree.extend(leaves);
        let head = Checkpoint { origin: self.place.origin().into(), size: tree.size(), root: tree.root() };
        StateProof {
            size: head.size,
            checkpoint: Quoted::new(head.sign(&self.place.log_signer()).unwrap().as_bytes()).unwrap(),
            commit: Quoted::new(self.log.last().unwrap()).unwrap(),
            path: List(path),
            map: MapProof::of(&self.map, &map_key(name)),
        }
    }

    /// The bytes of a record of this log.
    pub fn entry(&self, id: &RecordId) -> Option<&Vec<u8>> {
        self.state.index_of(id).and_then(|at| self.log.get(at as usize))
    }

    /// The writer stops before the batch is journalled: nobody was told that its records are in the log.
    pub fn forget(&self) -> Region {
        let mut next = self.clone();
        for (signed, say) in next.pending.drain(..).rev() {
            let subject = signed.verified.record().subject(self.place.code());
            next.histories.get_mut(&subject).map(Vec::pop);
            if let Say::Offer(_) = say {
                next.offers.pop();
            }
        }
        next.histories.retain(|_, said| !said.is_empty());
        next.spec = next.committed.clone();
        next.digested()
    }

    /// What somebody gets who reads the last batch of `after` and verified everything before it: a follower, or the
    /// writer itself after a crash behind the journal. True where that is the writer's state.
    pub fn follows(&self, after: &Region) -> bool {
        let (mut state, mut replay) = ((*self.state).clone(), Replay::resume((*self.map).clone()));
        // The signatures are those of records that were verified when they were made.
        self.read(&mut state, &mut replay, after, self.log.len(), Trust::Reread)
    }

    /// True for one state in sixteen, always the same ones: what takes long is done there.
    pub fn is_sample(&self) -> bool {
        self.digest[0] & 15 == 0
    }

    /// The same from the first entry on.
    pub fn replays(&self) -> bool {
        let mut state = State::new(self.place.jurisdiction());
        self.read(&mut state, &mut Replay::default(), self, 0, Trust::Verify)
    }

    fn read(&self, state: &mut State, replay: &mut Replay, after: &Region, from: usize, trust: Trust) -> bool {
        let chunk = Preparer::after(state, trust).prepare(from as u64, &after.log[from..], &mut RING.clone());
        let result = replay.apply(state, chunk, &mut |state, changes, commit, id, at| {
            state.absorb(changes, commit, id, at);
        });
        result.is_ok()
            && Some(replay.map.root()) == after.state.head().map(|h| h.root)
            && state.head() == after.state.head()
            && state.commits() == after.state.commits()
            && state.subjects().all(|(s, e)| after.state.entry(s) == Some(e))
            && state.len() == after.state.len()
    }
}
