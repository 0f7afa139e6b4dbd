//! Regions of one federation in memory: charters as a federation signs them, logs as their nodes write them, proofs as
//! they are fetched. What [`Region::say`] takes is checked by the rules alone, so a test can also write what they refuse.

use domovoi::error::Result;
use domovoi::federation::chain::CharterChain;
use domovoi::federation::charter::{Charter, CharterBody, Region as Member, RegionOfOne};
use domovoi::federation::keys::retire;
use domovoi::federation::roles::RetireReason;
use domovoi::registry::body::*;
use domovoi::registry::envelope::{Envelope, TYP_RECORD};
use domovoi::registry::ids::{BuildingId, ChatNumber, LinkDigest, MaxChatId, OrgId, RecordId, RegionCode};
use domovoi::registry::map_proof::MapProof;
use domovoi::registry::node_record::{Adopted, Commit, NodeRecord};
use domovoi::registry::record::{DecodedRecord, Draft, RECORD_VERSION, Record};
use domovoi::registry::replay::{Preparer, Replay, Trust};
use domovoi::registry::rules;
use domovoi::registry::signature::PublicKey;
use domovoi::registry::state::{State, View};
use domovoi::registry::state_proof::{Quoted, StateProof};
use domovoi::registry::statemap::{StateMap, map_key};
use domovoi::registry::text::{Day, Millis, Text};
use domovoi::registry::verify::{KeyRing, verify_records};
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::note::NoteSigner;
use domovoi::tlog::tree::{Frontier, subtree_root};
use domovoi::tlog::{Hash, leaf_hash};
use ed25519_dalek::SigningKey;

/// Time of the first commit of every log.
pub const START: u64 = 1_790_000_000_000;
/// Between two commits.
pub const STEP: u64 = 60_000;

pub fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}
pub fn text(s: &str) -> Text {
    Text::new(s).unwrap()
}
pub fn ms(t: u64) -> Millis {
    Millis::new(t).unwrap()
}
pub fn day(s: &str) -> Day {
    s.parse().unwrap()
}
/// The `n`-th authority, company or whatever else has an ОГРН.
pub fn ogrn(n: u64) -> OrgId {
    let body = 107_770_000_000 + n;
    format!("ogrn:{body}{}", body % 11 % 10).parse().unwrap()
}
pub fn building(n: usize) -> BuildingId {
    format!("gar:{n:08x}-0000-4000-8000-{n:012x}").parse().unwrap()
}
pub fn link(n: u8) -> LinkDigest {
    LinkDigest([n; 32])
}

/// Who a region is: its place among the federation's and the seeds of its keys.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub code: u8,
    pub oktmo: &'static str,
    pub seed: u8,
}

pub const MOSCOW: Place = Place { code: 77, oktmo: "45", seed: 10 };
pub const OBLAST: Place = Place { code: 50, oktmo: "46", seed: 40 };
pub const TVER: Place = Place { code: 69, oktmo: "28", seed: 70 };

impl Place {
    pub fn origin(self) -> String {
        format!("log.example/{}", self.code)
    }
    pub fn root(self) -> SigningKey {
        key(self.seed)
    }
    pub fn log(self) -> SigningKey {
        key(self.seed + 1)
    }
    pub fn commit(self) -> SigningKey {
        key(self.seed + 2)
    }
    /// The region's `n`-th authority and its key.
    pub fn authority(self, n: u8) -> OrgId {
        ogrn(u64::from(self.code) * 100 + u64::from(n))
    }
    pub fn operator(self, n: u8) -> SigningKey {
        key(self.seed + 10 + n)
    }
    pub fn oktmo8(self) -> String {
        format!("{:0<8}", format!("{}1", self.oktmo))
    }
    /// The charter of the region alone, as its node makes one.
    pub fn own_charter(self) -> Vec<u8> {
        let one = RegionOfOne {
            code: RegionCode::new(self.code).unwrap(),
            name: text("Регион"),
            oktmo: vec![self.oktmo.parse().unwrap()],
            authority: self.authority(0),
            root_key: PublicKey::of(&self.root()),
            commit_key: PublicKey::of(&self.commit()),
            origin: self.origin(),
            log_vkey: NoteSigner::new(self.origin(), self.log()).unwrap().verifier().to_string(),
            url: "http://127.0.0.1:1".into(),
        };
        Charter::of_one(one, START, &key(250)).unwrap()
    }
    /// The region as a charter names it.
    pub fn member(self) -> Member {
        Charter::open(&self.own_charter()).unwrap().regions()[0].clone()
    }
}

/// The federation's root keys.
pub fn federation_keys() -> [SigningKey; 3] {
    [key(241), key(242), key(243)]
}

/// Version 1 of a federation of these regions, 2 of 3 root keys; `change` has the last word.
pub fn first_charter(places: &[Place], change: impl FnOnce(&mut CharterBody)) -> Vec<u8> {
    let mut body = CharterBody {
        format: 0,
        version: 1,
        name: text("Федерация"),
        issued: ms(START - 1_000_000),
        expires: ms(START + 100_000_000_000),
        previous: None,
        root_keys: List(federation_keys().iter().map(|k| KeyBytes(PublicKey::of(k))).collect()),
        threshold: 2,
        staleness_hours: 24,
        record_versions: List(vec![RECORD_VERSION]),
        regions: List(places.iter().map(|p| p.member()).collect()),
        federation: None,
        exceptions: None,
        witnesses: None,
        quorums: None,
        announced: None,
        retired: None,
        cuts: None,
    };
    change(&mut body);
    sign_charter(&body, &[0, 1])
}

pub fn sign_charter(body: &CharterBody, by: &[usize]) -> Vec<u8> {
    let keys = federation_keys();
    Charter::sign(body, &by.iter().map(|n| &keys[*n]).collect::<Vec<_>>()).unwrap()
}

pub fn pinned(places: &[Place]) -> CharterChain {
    CharterChain::pinned(&first_charter(places, |_| {})).unwrap()
}

/// The version after the newest of `chain`: its bytes.
pub fn next_charter(chain: &CharterChain, change: impl FnOnce(&mut CharterBody)) -> Vec<u8> {
    let mut body = chain.latest().charter().clone();
    body.version += 1;
    body.previous = Some(chain.latest().sha256());
    (body.exceptions, body.cuts) = (None, None);
    change(&mut body);
    retire(chain.latest().charter(), &mut body, |_| RetireReason::Replaced).unwrap();
    sign_charter(&body, &[1, 2])
}

pub fn advanced(chain: &CharterChain, change: impl FnOnce(&mut CharterBody)) -> CharterChain {
    let mut longer = chain.clone();
    assert!(longer.advance(&next_charter(chain, change)).unwrap());
    longer
}

/// One region's log, as its node has it.
#[derive(Clone)]
pub struct Region {
    pub place: Place,
    pub state: State,
    pub map: StateMap,
    pub ring: KeyRing,
    pub log: Vec<Vec<u8>>,
    /// Time of the next commit.
    pub time: u64,
    /// Keys the node signs with; a new charter may bring others.
    pub log_key: SigningKey,
    pub commit_key: SigningKey,
}

impl Region {
    /// A log that has adopted the newest charter and enrolled two authorities, each with a key for everything.
    pub fn new(place: Place, chain: &CharterChain) -> Region {
        let mut r = Region::empty(place, chain);
        r.adopt();
        for n in 0..2 {
            let oktmo = List(vec![place.oktmo.parse().unwrap()]);
            let (authority, root) = (place.authority(n), place.root());
            r.say(
                Body::AuthorityEnrolled(AuthorityEnrolled {
                    authority: authority.clone(),
                    name: text("ГЖИ"),
                    oktmo: oktmo.clone(),
                    short_name: None,
                }),
                None,
                &[&root],
            );
            let granted = KeyGranted {
                key: KeyBytes(PublicKey::of(&place.operator(n))),
                authority,
                scopes: List(vec![text("*")]),
                oktmo,
                not_before: ms(0),
                not_after: ms(1 << 50),
            };
            r.say(Body::KeyGranted(granted), None, &[&root]);
        }
        r
    }
    pub fn empty(place: Place, chain: &CharterChain) -> Region {
        let state = State::new(chain.of_log(&place.origin()).unwrap());
        let ring = domovoi::node::load::ring_of(&state);
        Region {
            place,
            state,
            map: StateMap::new(),
            ring,
            log: Vec::new(),
            time: START,
            log_key: place.log(),
            commit_key: place.commit(),
        }
    }
    pub fn origin(&self) -> String {
        self.place.origin()
    }
    /// Takes a longer chain; the log adopts nothing yet.
    pub fn given(&mut self, chain: &CharterChain) {
        self.state.extend_charters(std::sync::Arc::new(chain.of_log(&self.origin()).unwrap()));
        let charters = self.state.charters().clone();
        charters.versions().iter().flat_map(|j| &j.root_keys).for_each(|k| self.ring.add(k));
    }
    /// Adopts the newest charter it was given.
    pub fn adopt(&mut self) {
        let (version, sha256) = {
            let j = self.state.charters().latest();
            (j.charter_version, j.charter_sha256)
        };
        let adopted = Adopted { v: RECORD_VERSION, log: self.origin().into(), version, sha256 };
        let (entry, id) = NodeRecord::Adopted(adopted.clone()).sign(&self.commit_key).unwrap();
        let mut overlay = self.state.overlay();
        overlay.adopt(&adopted, id, self.state.size());
        let changes = overlay.finish();
        self.close(vec![entry], changes);
    }
    /// A draft against the present state.
    pub fn draft(&self, body: Body, from: Option<Day>) -> Draft {
        let subject = body.subject(&RecordId([0; 32]), self.state.jurisdiction().region);
        Draft {
            log: self.origin().into(),
            issued_at: ms(self.time),
            submit_before: ms(self.time + 1_000_000_000),
            effective_from: from,
            prev: self.state.entry(&subject).and_then(|e| e.last_record()),
            basis: None,
            batch: None,
            body,
        }
    }
    pub fn sign(draft: Draft, keys: &[&SigningKey]) -> Vec<u8> {
        Envelope::sign(Record::encode(draft).unwrap().1, TYP_RECORD, keys)
    }
    /// Hands an entry in: a batch of one, or a refusal.
    pub fn submit(&mut self, entry: &[u8]) -> Result<RecordId> {
        let decoded = DecodedRecord::decode(entry)?;
        let granted = decoded.record.clone();
        let verified = verify_records(vec![decoded], &self.ring).remove(0)?;
        let changes = {
            let mut overlay = self.state.overlay();
            let checked = rules::check(&overlay, &verified, self.time)?;
            overlay.apply(checked, self.state.size());
            overlay.finish()
        };
        self.ring.add_granted(&granted);
        self.close(vec![entry.to_vec()], changes);
        Ok(verified.record().id)
    }
    pub fn try_say(&mut self, body: Body, from: Option<Day>, keys: &[&SigningKey]) -> Result<RecordId> {
        let entry = Region::sign(self.draft(body, from), keys);
        self.submit(&entry)
    }
    pub fn say(&mut self, body: Body, from: Option<Day>, keys: &[&SigningKey]) -> RecordId {
        self.try_say(body, from, keys).unwrap()
    }
    /// Writes a batch: its entries, whatever they are, and the commit over these changes.
    pub fn close(&mut self, entries: Vec<Vec<u8>>, changes: domovoi::registry::state::Changes) {
        for (key, value) in &changes.leaves {
            self.map.set(*key, *value);
        }
        let (first, root) = (self.log.len() as u64, self.map.root());
        self.log.extend(entries);
        let commit = Commit {
            v: RECORD_VERSION,
            log: self.origin().into(),
            first,
            size: self.log.len() as u64 + 1,
            time: ms(self.time),
            previous: self.state.head().map(|h| h.id),
            charter: changes.charter,
            root: RecordId(root),
        };
        let (entry, id) = NodeRecord::Commit(commit.clone()).sign(&self.commit_key).unwrap();
        self.state.absorb(changes, &commit, id, self.log.len() as u64);
        self.log.push(entry);
        self.time += STEP;
    }
    /// An empty batch: only the clock goes on. (A real node writes none; a test needs a late commit without an answer.)
    pub fn tick(&mut self, until: u64) {
        self.time = until;
        let name = OrganisationNamed { organisation: ogrn(until % 1_000_000), name: text("Организация") };
        let operator = self.place.operator(0);
        self.say(Body::OrganisationNamed(name), None, &[&operator]);
    }

    /// A building of this region, under this code.
    pub fn build(&mut self, n: usize, also: Vec<BuildingId>) {
        let b = Building {
            building: building(n),
            address: text("ул. Пограничная, д. 1"),
            oktmo: self.place.oktmo8().parse().unwrap(),
            kind: BuildingKind::Apartment,
            also: Some(List(also)),
            flats: Some(60),
            year: None,
            emergency: None,
            applicability: None,
        };
        let operator = self.place.operator(0);
        self.say(Body::BuildingRegistered(b), None, &[&operator]);
    }
    /// A house chat over these buildings.
    pub fn chat(&mut self, buildings: &[usize], handle: u8) -> ChatNumber {
        let body = ChatRegistered {
            kind: ChatKind::House,
            title: text("Дом 1"),
            buildings: List(buildings.iter().map(|n| building(*n)).collect()),
            owner: self.place.authority(0),
            declared: None,
            link: Some(link(handle)),
            max: Some(MaxChatId(-i64::from(handle))),
            service_account: None,
            entrance: None,
        };
        let operator = self.place.operator(0);
        let id = self.say(Body::ChatRegistered(body), Some(day("2026-09-01")), &[&operator]);
        ChatNumber::derive(self.state.jurisdiction().region, &id.0)
    }

    /// Leaf hashes of the log.
    fn leaves(&self) -> Vec<Hash> {
        self.log.iter().map(|e| leaf_hash(e)).collect()
    }
    /// The signed checkpoint over the whole log.
    pub fn checkpoint(&self) -> Vec<u8> {
        let mut tree = Frontier::new();
        tree.extend(self.leaves());
        let head = Checkpoint { origin: self.origin(), size: tree.size(), root: tree.root() };
        head.sign(&NoteSigner::new(self.origin(), self.log_key.clone()).unwrap()).unwrap().into_bytes()
    }
    /// What this log's state says under `name`, proved.
    pub fn prove(&self, name: &str) -> StateProof {
        let leaves = self.leaves();
        StateProof {
            size: leaves.len() as u64,
            checkpoint: Quoted::new(&self.checkpoint()).unwrap(),
            commit: Quoted::new(self.log.last().unwrap()).unwrap(),
            path: List(path_of_the_last(&leaves)),
            map: MapProof::of(&self.map, &map_key(name)),
        }
    }
    /// Replays the log from nothing under `chain`, as whoever follows it does.
    pub fn replay(&self, chain: &CharterChain, trust: Trust) -> (State, Result<()>) {
        let mut state = State::new(chain.of_log(&self.origin()).unwrap());
        let mut ring = domovoi::node::load::ring_of(&state);
        let mut preparer = Preparer::after(&state, trust);
        let mut replay = Replay::default();
        let mut result = Ok(());
        for (i, chunk) in self.log.chunks(5).enumerate() {
            let prepared = preparer.prepare(5 * i as u64, chunk, &mut ring);
            result =
                replay.apply(&mut state, prepared, &mut |s, changes, commit, id, at| s.absorb(changes, commit, id, at));
            if result.is_err() {
                break;
            }
        }
        (state, result)
    }
    /// The log replays under `chain` to the state the node has.
    pub fn replays(&self, chain: &CharterChain) {
        for trust in [Trust::Verify, Trust::Reread] {
            let (state, result) = self.replay(chain, trust);
            result.unwrap();
            assert_eq!(leaves_of(&state), leaves_of(&self.state));
            assert_eq!(state.charter(), self.state.charter());
        }
    }
}

/// The inclusion path of the last leaf: the maximal complete subtrees before it, smallest first.
pub fn path_of_the_last(leaves: &[Hash]) -> Vec<RecordId> {
    let (mut path, mut end) = (Vec::new(), leaves.len() - 1);
    while end > 0 {
        let width = 1 << end.trailing_zeros();
        path.push(RecordId(subtree_root(&leaves[end - width..end]).0));
        end -= width;
    }
    path
}

/// Every leaf, sorted by name.
pub fn leaves_of(state: &State) -> Vec<(String, [u8; 32])> {
    let mut leaves: Vec<_> = state.leaves().collect();
    leaves.sort();
    leaves
}
