//! A region in memory: its keys, its log as bytes, its state; and short names for what records are made of.

use domovoi::error::Result;
use domovoi::registry::body::*;
use domovoi::registry::envelope::{Envelope, TYP_RECORD};
use domovoi::registry::ids::{BuildingId, ChatNumber, LinkDigest, OrgId, RecordId, RegionCode};
use domovoi::registry::node_record::{Adopted, Commit, NodeRecord};
use domovoi::registry::record::{Basis, BasisKind, DecodedRecord, Draft, RECORD_VERSION, Record, Subject};
use domovoi::registry::rules::check;
use domovoi::registry::signature::PublicKey;
use domovoi::registry::state::{Jurisdiction, Overlay, State, View};
use domovoi::registry::statemap::StateMap;
use domovoi::registry::text::{Day, Millis, Text};
use domovoi::registry::verify::{KeyRing, VerifiedRecord, verify_records};
use domovoi::tlog::note::NoteSigner;
use ed25519_dalek::SigningKey;

/// Origin of the log.
pub const ORIGIN: &str = "test.example/log/77";
/// Time of the first commit; one second passes from commit to commit.
pub const START: u64 = 1_750_000_000_000;
/// Number of the charter in force.
const CHARTER: u64 = 3;

pub fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}
pub fn root_key() -> SigningKey {
    key(200)
}
pub fn commit_key() -> SigningKey {
    key(210)
}
/// The `k`-th key of the `n`-th authority.
pub fn authority_key(n: usize, k: usize) -> SigningKey {
    key((10 * (n + 1) + k) as u8)
}
fn ogrn(n: u64) -> OrgId {
    let body = 107_770_000_000 + n;
    format!("ogrn:{body}{}", body % 11 % 10).parse().unwrap()
}
pub fn authority(n: usize) -> OrgId {
    ogrn(n as u64)
}
pub fn company(n: usize) -> OrgId {
    ogrn(1000 + n as u64)
}
pub fn building(n: usize) -> BuildingId {
    format!("gar:{n:08x}-0000-4000-8000-{n:012x}").parse().unwrap()
}
pub fn alias(n: usize) -> BuildingId {
    format!("reformagkh:{}", n + 1).parse().unwrap()
}
pub fn link(n: usize) -> LinkDigest {
    LinkDigest([n as u8; 32])
}
pub fn day(n: usize) -> Day {
    Day::new(2025 + (n / 336) as i16, (1 + n / 28 % 12) as i8, (1 + n % 28) as i8).unwrap()
}
pub fn text(s: &str) -> Text {
    Text::new(s).unwrap()
}
pub fn basis() -> Basis {
    Basis {
        kind: BasisKind::Order,
        number: Some(text("17-р")),
        date: Some(day(0)),
        issuer: None,
        document_sha256: None,
        signature_sha256: None,
    }
}

pub fn enrolled(n: usize) -> Body {
    let oktmo = List(vec!["45".parse().unwrap()]);
    Body::AuthorityEnrolled(AuthorityEnrolled {
        authority: authority(n), name: text("ГЖИ"), oktmo, short_name: None
    })
}
pub fn granted(key: &SigningKey, owner: usize, scope: &str, oktmo: &str, from: u64, to: u64) -> KeyGranted {
    KeyGranted {
        key: KeyBytes(PublicKey::of(key)),
        authority: authority(owner),
        scopes: List(vec![text(scope)]),
        oktmo: List(vec![oktmo.parse().unwrap()]),
        not_before: Millis::new(from).unwrap(),
        not_after: Millis::new(to).unwrap(),
    }
}
pub fn house(n: usize, oktmo: &str, also: Vec<BuildingId>) -> Building {
    Building {
        building: building(n),
        address: text("ул. Ленина, д. 5"),
        oktmo: oktmo.parse().unwrap(),
        kind: BuildingKind::Apartment,
        also: Some(List(also)),
        flats: Some(60),
        year: None,
        emergency: None,
        applicability: None,
    }
}
pub fn assigned(n: usize, organisation: Option<OrgId>) -> Body {
    let form = if organisation.is_some() { ManagementForm::Company } else { ManagementForm::Direct };
    Body::ManagementAssigned(ManagementAssigned {
        building: building(n),
        form,
        organisation,
        contract: None,
        licence: None,
    })
}
pub fn chat_over(owner: usize, buildings: &[usize], kind: ChatKind, handle: usize) -> ChatRegistered {
    ChatRegistered {
        kind,
        title: text("Дом"),
        buildings: List(buildings.iter().map(|b| building(*b)).collect()),
        owner: authority(owner),
        declared: None,
        entrance: (kind == ChatKind::Entrance).then_some(1),
        link: Some(link(handle)),
        max: None,
        service_account: None,
    }
}
pub fn declared_over(owner: usize, buildings: &[usize], kind: ChatKind, handle: usize) -> Body {
    let c = chat_over(owner, buildings, kind, handle);
    Body::ChatDeclared(ChatDeclared {
        kind,
        title: c.title,
        buildings: c.buildings,
        authority: c.owner,
        entrance: c.entrance,
        link: c.link,
        max: None,
    })
}
pub fn amended(chat: ChatNumber) -> ChatAmended {
    ChatAmended { chat, title: None, buildings: None, entrance: None, link: None, max: None, service_account: None }
}
pub fn standing(chat: ChatNumber) -> ChatStanding {
    ChatStanding { chat, reason: StandingReason::Decision }
}
pub fn transfer(chat: ChatNumber, from: usize, to: usize) -> Body {
    Body::OwnershipTransferred(OwnershipTransferred { chat, from: authority(from), to: authority(to) })
}

/// A region, its log and its state. Records wait in `pending` until [`World::commit`].
#[derive(Clone)]
pub struct World {
    start: u64,
    pub state: State,
    pub map: StateMap,
    pub ring: KeyRing,
    /// Exact bytes of the log.
    pub log: Vec<Vec<u8>>,
    /// (tree size, root of the state map) of every commit.
    pub roots: Vec<(u64, [u8; 32])>,
    /// Every record of the log with its index and commit time.
    pub accepted: Vec<(u64, u64, VerifiedRecord)>,
    pub pending: Vec<(Vec<u8>, VerifiedRecord)>,
}

pub fn jurisdiction(threshold: usize) -> Jurisdiction {
    Jurisdiction {
        origin: ORIGIN.into(),
        region: RegionCode::new(77).unwrap(),
        oktmo: vec!["45".parse().unwrap()],
        root_keys: vec![PublicKey::of(&root_key()), PublicKey::of(&key(201))],
        root_threshold: threshold,
        commit_key: PublicKey::of(&commit_key()),
        log_key: NoteSigner::new(ORIGIN, key(220)).unwrap().verifier().clone(),
        charter_version: CHARTER,
        charter_sha256: RecordId([7; 32]),
        record_versions: vec![RECORD_VERSION],
        exceptions: Vec::new(),
        others: Vec::new().into(),
    }
}

pub fn ring() -> KeyRing {
    let mut ring = KeyRing::default();
    for key in jurisdiction(1).root_keys {
        ring.add(&key);
    }
    ring
}

/// The charter of this jurisdiction, adopted.
fn adopted_by(j: &Jurisdiction) -> Adopted {
    Adopted { log: j.origin.clone(), ..adopted() }
}

pub fn adopted() -> Adopted {
    Adopted { v: RECORD_VERSION, log: ORIGIN.into(), version: CHARTER, sha256: RecordId([7; 32]) }
}

impl World {
    pub fn new(threshold: usize) -> World {
        World::of(jurisdiction(threshold), START)
    }
    /// A log of its own, whose first commit has this time.
    pub fn of(jurisdiction: Jurisdiction, start: u64) -> World {
        World {
            start,
            state: State::new(jurisdiction),
            map: StateMap::new(),
            ring: ring(),
            log: Vec::new(),
            roots: Vec::new(),
            accepted: Vec::new(),
            pending: Vec::new(),
        }
    }
    /// Time of the next commit.
    pub fn time(&self) -> u64 {
        self.start + 1000 * self.roots.len() as u64
    }
    /// Index of the first entry of the open batch that is a record.
    fn first_record(&self) -> u64 {
        self.state.size() + u64::from(self.log.is_empty())
    }
    /// The state with everything pending on top of it.
    pub fn overlay(&self) -> Overlay<'_> {
        let mut overlay = self.state.overlay();
        if self.log.is_empty() {
            let adopted = adopted_by(self.state.jurisdiction());
            let (_, id) = NodeRecord::Adopted(adopted.clone()).sign(&commit_key()).unwrap();
            overlay.adopt(&adopted, id, 0);
        }
        for (i, (_, verified)) in self.pending.iter().enumerate() {
            let checked = check(&overlay, verified, self.time()).expect("it passed before");
            overlay.apply(checked, self.first_record() + i as u64);
        }
        overlay
    }
    /// A draft made against the present state.
    pub fn draft(&self, body: Body, from: Option<Day>) -> Draft {
        let subject = body.subject(&RecordId([0; 32]), self.state.jurisdiction().region);
        Draft {
            log: self.state.jurisdiction().origin.clone(),
            issued_at: Millis::new(self.time()).unwrap(),
            submit_before: Millis::new(self.time() + 600_000).unwrap(),
            effective_from: from,
            prev: self.overlay().entry(&subject).and_then(|e| e.last_record()),
            basis: None,
            batch: None,
            body,
        }
    }
    /// Signs a draft: the exact bytes of an entry.
    pub fn sign(draft: Draft, keys: &[&SigningKey]) -> Vec<u8> {
        Envelope::sign(Record::encode(draft).unwrap().1, TYP_RECORD, keys)
    }
    pub fn entry(&self, body: Body, from: Option<Day>, keys: &[&SigningKey]) -> Vec<u8> {
        World::sign(self.draft(body, from), keys)
    }
    /// Offers an entry, as the log's node does: it waits for the commit, or is refused.
    pub fn offer(&mut self, entry: &[u8]) -> Result<RecordId> {
        let decoded = DecodedRecord::decode(entry)?;
        let mut ring = self.ring.clone();
        ring.add_granted(&decoded.record);
        let verified = verify_records(vec![decoded], &self.ring).remove(0)?;
        check(&self.overlay(), &verified, self.time())?;
        let id = verified.record().id;
        self.ring = ring;
        self.pending.push((entry.to_vec(), verified));
        Ok(id)
    }
    /// Offers a record that must be accepted.
    pub fn say(&mut self, body: Body, from: Option<Day>, keys: &[&SigningKey]) -> RecordId {
        let entry = self.entry(body, from, keys);
        self.offer(&entry).unwrap()
    }

    /// Ends the batch.
    pub fn commit(&mut self) {
        let changes = self.overlay().finish();
        for (key, value) in &changes.leaves {
            self.map.set(*key, *value);
        }
        let first = self.log.len() as u64;
        if first == 0 {
            let adopted = adopted_by(self.state.jurisdiction());
            self.log.push(NodeRecord::Adopted(adopted).sign(&commit_key()).unwrap().0);
        }
        let time = self.time();
        for (bytes, verified) in self.pending.drain(..) {
            self.accepted.push((self.log.len() as u64, time, verified));
            self.log.push(bytes);
        }
        let commit = Commit {
            v: RECORD_VERSION,
            log: self.state.jurisdiction().origin.clone(),
            first,
            size: self.log.len() as u64 + 1,
            time: Millis::new(time).unwrap(),
            previous: self.state.head().map(|h| h.id),
            charter: CHARTER,
            root: RecordId(self.map.root()),
        };
        let (entry, id) = NodeRecord::Commit(commit.clone()).sign(&commit_key()).unwrap();
        self.state.absorb(changes, &commit, id, self.log.len() as u64);
        self.log.push(entry);
        self.roots.push((commit.size, commit.root.0));
    }
    /// Every leaf, sorted by name.
    pub fn leaves(state: &State) -> Vec<(String, [u8; 32])> {
        let mut leaves: Vec<_> = state.leaves().collect();
        leaves.sort();
        leaves
    }
    /// Enrols authorities 0 to 2 and grants each: key 0 for everything; key 1 for chats of 45100000; key 2 for everything,
    /// for ten commits.
    pub fn with_authorities(threshold: usize) -> World {
        World::new(threshold).founded(threshold)
    }
    pub fn founded(self, threshold: usize) -> World {
        let mut w = self;
        let roots = [root_key(), key(201)];
        let roots: Vec<&SigningKey> = roots.iter().take(threshold).collect();
        for n in 0..3 {
            w.say(enrolled(n), None, &roots);
            for (k, (scope, oktmo, to)) in
                [("*", "45", 1 << 50), ("chat.*", "45100000", 1 << 50), ("*", "45", w.start + 10_000)]
                    .into_iter()
                    .enumerate()
            {
                w.say(Body::KeyGranted(granted(&authority_key(n, k), n, scope, oktmo, START, to)), None, &roots);
            }
        }
        w.commit();
        w
    }
}

/// The subject of a record of this log.
pub fn subject_of(record: &Record) -> Subject {
    record.subject(RegionCode::new(77).unwrap())
}
