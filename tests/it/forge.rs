//! Logs made in the test itself, honest and dishonest, with the keys of their region; and a plain HTTP server that
//! serves them the way a node does, with any byte changed.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use axum::Router;
use axum::extract::{Path, State as AxumState};
use axum::http::StatusCode;
use axum::routing::get;
use domovoi::federation::chain::CharterChain;
use domovoi::federation::charter::{Charter, CharterBody, RegionOfOne};
use domovoi::registry::ids::RecordId;
use domovoi::registry::node_record::{Adopted, Commit, NodeRecord};
use domovoi::registry::record::DecodedRecord;
use domovoi::registry::regions;
use domovoi::registry::rules;
use domovoi::registry::signature::PublicKey;
use domovoi::registry::state::{State, View};
use domovoi::registry::statemap::StateMap;
use domovoi::registry::text::{Millis, Text};
use domovoi::registry::verify::{KeyRing, verify_records};
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::note::NoteSigner;
use domovoi::tlog::tile::{LogPath, TileId, encode_bundle, encode_tile};
use domovoi::tlog::tree::Frontier;
use domovoi::tlog::{Hash, leaf_hash};
use ed25519_dalek::SigningKey;
use serde_json::json;

use super::node::{AUTHORITY, Around, Signer, runtime};

/// How a batch is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    None,
    /// The committed root of the state map has one bit changed.
    Root,
    /// The commit is signed by somebody else's key.
    CommitKey,
}

/// A region that can do what no honest node does.
#[derive(Clone)]
pub struct Forge {
    pub origin: String,
    pub charter: Vec<u8>,
    pub operator: Signer,
    /// A key that may sign only `chat.*`.
    pub narrow: Signer,
    federation: SigningKey,
    keys: [SigningKey; 3],
    ring: KeyRing,
    state: State,
    entries: Vec<Vec<u8>>,
    /// Leaves of the state map, to rebuild it from.
    leaves: Vec<([u8; 32], [u8; 32])>,
    time: u64,
}

impl Forge {
    /// The `n`-th region of the country, with its authority and keys in the log.
    pub fn new(n: usize) -> Forge {
        Forge::under(n, &format!("log.example/{}", regions::all()[n].code))
    }

    /// The `n`-th region, whose charter gives its log this origin.
    pub fn under(n: usize, origin: &str) -> Forge {
        let (region, origin) = (&regions::all()[n], origin.to_owned());
        let key = |role: u8| SigningKey::from_bytes(&[role.wrapping_mul(16).wrapping_add(n as u8); 32]);
        let [federation, root, log, commit, operator, narrow] = [1, 2, 3, 4, 5, 6].map(key);
        let now = domovoi::node::now_ms();
        let one = RegionOfOne {
            code: region.code,
            name: Text::normalise(region.name_ru).unwrap(),
            oktmo: region.oktmo.clone(),
            authority: AUTHORITY.parse().unwrap(),
            root_key: PublicKey::of(&root),
            commit_key: PublicKey::of(&commit),
            origin: origin.clone(),
            log_vkey: NoteSigner::new(&origin, log.clone()).unwrap().verifier().to_string(),
            url: "http://127.0.0.1:1".into(),
        };
        let charter = Charter::of_one(one, now - 3_600_000, &federation).unwrap();
        let opened = Charter::open(&charter).unwrap();
        let jurisdiction = opened.jurisdiction(&origin).unwrap();
        let mut ring = KeyRing::default();
        [&root, &operator, &narrow].iter().for_each(|k| ring.add(&PublicKey::of(k)));
        let signer = |key: &SigningKey| Signer { key: key.clone(), origin: origin.clone() };
        let mut forge = Forge {
            charter,
            operator: signer(&operator),
            narrow: signer(&narrow),
            federation,
            keys: [root.clone(), log, commit],
            ring,
            state: State::new(jurisdiction),
            entries: Vec::new(),
            leaves: Vec::new(),
            time: now - 1_800_000,
            origin: origin.clone(),
        };
        let (version, sha256) = (opened.charter().version, opened.sha256());
        forge.adopt(Adopted { v: 0, log: origin.as_str().into(), version, sha256 });
        let oktmo: Vec<String> = region.oktmo.iter().map(ToString::to_string).collect();
        let grant = |key: &SigningKey, scopes: &[&str]| {
            let public = data_encoding::BASE64URL_NOPAD.encode(key.verifying_key().as_bytes());
            json!({ "key": public, "authority": AUTHORITY, "scopes": scopes, "oktmo": oktmo,
                "not_before": now - 7_200_000, "not_after": now + 7_200_000 })
        };
        let root = signer(&root);
        let around = Around::default();
        let enrolled = json!({ "authority": AUTHORITY, "name": "Орган", "oktmo": oktmo });
        forge.batch(
            vec![
                root.record("authority.enrolled", enrolled, around).1,
                root.record("key.granted", grant(&operator, &["*"]), around).1,
                root.record("key.granted", grant(&narrow, &["chat.*"]), around).1,
            ],
            Lie::None,
        );
        forge
    }

    /// A building of this region.
    pub fn building(&self, signer: &Signer, number: u64) -> (RecordId, Vec<u8>) {
        let prefix = self.state.jurisdiction().oktmo[0].to_string();
        let fields = json!({ "building": format!("reformagkh:{number}"), "address": format!("ул. Пробная, д. {number}"),
            "oktmo": format!("{prefix:0<8}"), "kind": "apartment" });
        signer.record("building.registered", fields, Around::default())
    }

    fn adopt(&mut self, adopted: Adopted) {
        let (entry, id) = NodeRecord::Adopted(adopted.clone()).sign(&self.keys[2]).unwrap();
        let mut overlay = self.state.overlay();
        overlay.adopt(&adopted, id, 0);
        let changes = overlay.finish();
        self.close(vec![entry], changes, Lie::None);
    }

    /// Writes a batch. What the rules refuse, or is badly signed, is written all the same and left out of the state.
    pub fn batch(&mut self, records: Vec<Vec<u8>>, lie: Lie) {
        let decoded = records.iter().map(|r| DecodedRecord::decode(r).unwrap()).collect();
        let verified = verify_records(decoded, &self.ring);
        let mut overlay = self.state.overlay();
        for (i, v) in verified.iter().enumerate() {
            if let Ok(v) = v
                && let Ok(checked) = rules::check(&overlay, v, self.time + 1000)
            {
                overlay.apply(checked, self.entries.len() as u64 + i as u64);
            }
        }
        let changes = overlay.finish();
        self.close(records, changes, lie);
    }

    /// Writes entries of any bytes, none of which counts.
    pub fn write(&mut self, entries: Vec<Vec<u8>>) {
        let changes = self.state.overlay().finish();
        self.close(entries, changes, Lie::None);
    }

    fn close(&mut self, records: Vec<Vec<u8>>, changes: domovoi::registry::state::Changes, lie: Lie) {
        self.leaves.extend(changes.leaves.iter().cloned());
        let mut map = StateMap::new();
        map.set_all(&self.leaves);
        let mut root = map.root();
        root[0] ^= u8::from(lie == Lie::Root);
        self.time += 1000;
        let first = self.entries.len() as u64;
        self.entries.extend(records);
        let commit = Commit {
            v: 0,
            log: self.origin.as_str().into(),
            first,
            size: self.entries.len() as u64 + 1,
            time: Millis::new(self.time).unwrap(),
            previous: self.state.head().map(|h| h.id),
            charter: changes.charter,
            root: RecordId(root),
        };
        let key = if lie == Lie::CommitKey { &self.keys[0] } else { &self.keys[2] };
        let (entry, id) = NodeRecord::Commit(commit.clone()).sign(key).unwrap();
        self.entries.push(entry);
        self.state.absorb(changes, &commit, id, commit.size - 1);
    }

    /// A charter signed by the federation's root key.
    pub fn sign_charter(&self, body: &CharterBody) -> Vec<u8> {
        Charter::sign(body, &[&self.federation]).unwrap()
    }

    pub fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    pub fn entries(&self) -> &[Vec<u8>] {
        &self.entries
    }

    /// The log as it would be served.
    pub fn served(&self) -> Served {
        let leaves: Vec<Hash> = self.entries.iter().map(|e| leaf_hash(e)).collect();
        let checkpoint = Checkpoint { origin: self.origin.clone(), size: self.size(), root: root(&leaves) };
        let signer = NoteSigner::new(&self.origin, self.keys[1].clone()).unwrap();
        let checkpoint = checkpoint.sign(&signer).unwrap().into_bytes();
        let charters = HashMap::new();
        Served {
            charter: self.charter.clone(),
            charters,
            checkpoint,
            entries: self.entries.clone(),
            leaves,
            changed: None,
            extra: HashMap::new(),
        }
    }

    /// Signs any text with the log's key, as no honest node would.
    pub fn sign_text(&self, text: &str) -> Vec<u8> {
        let signer = NoteSigner::new(&self.origin, self.keys[1].clone()).unwrap();
        domovoi::tlog::note::Note::sign(text, &signer).unwrap().to_string().into_bytes()
    }

    /// Lets the clock of this region go to another time, Unix milliseconds.
    pub fn set_time(&mut self, time: u64) {
        self.time = time;
    }
}

fn root(leaves: &[Hash]) -> Hash {
    let mut tree = Frontier::new();
    leaves.iter().for_each(|l| tree.push(*l));
    tree.root()
}

/// What a peer serves.
#[derive(Clone)]
pub struct Served {
    charter: Vec<u8>,
    /// Later versions.
    pub charters: HashMap<u64, Vec<u8>>,
    pub checkpoint: Vec<u8>,
    entries: Vec<Vec<u8>>,
    leaves: Vec<Hash>,
    /// The kind of file in which one byte is changed.
    pub changed: Option<Change>,
    /// What else is answered, by its path.
    pub extra: HashMap<String, Vec<u8>>,
}

/// Where one byte is changed on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Bundle,
    Tile,
    Signature,
    /// No bundle but the first is there.
    Gap,
    /// No tile is there.
    NoTiles,
    /// In the place of a full bundle its first half is given.
    HalfBundle,
}

impl Served {
    /// Serves beside its own log a copy of another one.
    pub fn with_copy(mut self, origin: &str, copy: &Served) -> Served {
        let hash = domovoi::node::layout::origin_hash(origin);
        let size = copy.entries.len() as u64;
        let files = domovoi::tlog::tile::tiles_of(size).map(LogPath::Tile);
        let bundles = domovoi::tlog::tile::bundles_between(0, size).map(LogPath::Bundle);
        for path in files.chain(bundles).chain([LogPath::Checkpoint]) {
            if let Some(bytes) = copy.file(path) {
                self.extra.insert(format!("mirror/{hash}/{path}"), bytes);
            }
        }
        self
    }

    /// Says these heads when it is asked for what it knows.
    pub fn with_heads(mut self, heads: &serde_json::Value) -> Served {
        let heads = json!({ "heads": heads }).to_string().into_bytes();
        self.extra.insert("api/v1/federation/heads".into(), heads);
        self
    }

    /// Says that it has walked so far in a chain of charters.
    pub fn with_charter_head(mut self, chain: &CharterChain) -> Served {
        let (first, latest) = (chain.first(), chain.latest());
        let head = json!({ "pinned": first.sha256(), "version": latest.charter().version, "sha256": latest.sha256() });
        let heads = json!({ "heads": [], "charter": head }).to_string().into_bytes();
        self.extra.insert("api/v1/federation/heads".into(), heads);
        self
    }

    /// A log that was made elsewhere.
    pub fn of(charter: Vec<u8>, checkpoint: Vec<u8>, entries: Vec<Vec<u8>>) -> Served {
        let leaves = entries.iter().map(|e| leaf_hash(e)).collect();
        Served { charter, charters: HashMap::new(), checkpoint, entries, leaves, changed: None, extra: HashMap::new() }
    }

    /// The answer to `GET path` under the node's root.
    pub fn answer(&self, path: &str) -> Option<Vec<u8>> {
        match path.strip_prefix("log/") {
            Some(file) => LogPath::parse(file).ok().and_then(|p| self.file(p)),
            None if path == "api/v1/federation/charter" => Some(self.charter.clone()),
            None => path
                .strip_prefix("api/v1/federation/charters/")
                .and_then(|version| self.charters.get(&version.parse().ok()?).cloned()),
        }
    }

    /// A file of the log. What the checkpoint does not cover can be had, too: a follower must not need the server's word.
    pub fn file(&self, path: LogPath) -> Option<Vec<u8>> {
        match (self.changed, path) {
            (Some(Change::Gap), LogPath::Bundle(id)) if id.index > 0 => return None,
            (Some(Change::NoTiles), LogPath::Tile(_)) => return None,
            (Some(Change::HalfBundle), LogPath::Bundle(id)) if id.is_full() => {
                return encode_bundle(&self.entries[id.index as usize * 256..][..128]).ok();
            }
            _ => {}
        }
        let mut bytes = match path {
            LogPath::Checkpoint => self.checkpoint.clone(),
            LogPath::Tile(id) => self.tile(id)?,
            LogPath::Bundle(id) => {
                let first = id.index as usize * 256;
                encode_bundle(self.entries.get(first..first + id.width as usize)?).unwrap()
            }
        };
        match (self.changed, path) {
            // The last byte of the last entry: a bracket, so that only the hash can tell.
            (Some(Change::Bundle), LogPath::Bundle(_)) | (Some(Change::Tile), LogPath::Tile(_)) => {
                *bytes.last_mut()? ^= 1
            }
            (Some(Change::Signature), LogPath::Checkpoint) => {
                let at = bytes.len() - 20;
                bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            }
            _ => {}
        }
        Some(bytes)
    }

    fn tile(&self, id: TileId) -> Option<Vec<u8>> {
        let span = 256usize.pow(u32::from(id.level));
        let first = id.index as usize * 256;
        let hash = |i: usize| self.leaves.get(i * span..(i + 1) * span).map(root);
        let hashes: Option<Vec<Hash>> = (first..first + id.width as usize).map(hash).collect();
        hashes.map(|h| encode_tile(&h))
    }
}

/// Serves logs by name over plain HTTP on loopback.
#[derive(Clone)]
pub struct Peers {
    pub url: String,
    served: Arc<RwLock<HashMap<String, Served>>>,
}

impl Peers {
    pub fn start() -> Peers {
        let served: Arc<RwLock<HashMap<String, Served>>> = Arc::default();
        let app = Router::new().route("/{peer}/{*path}", get(answer)).with_state(served.clone());
        let listener = runtime().block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime().spawn(async { axum::serve(listener, app).await.unwrap() });
        Peers { url, served }
    }

    /// Serves a later version of the charter.
    pub fn set_charter(&self, name: &str, version: u64, charter: Vec<u8>) {
        self.served.write().unwrap().get_mut(name).unwrap().charters.insert(version, charter);
    }

    /// Serves nothing under this name any more.
    pub fn remove(&self, name: &str) {
        self.served.write().unwrap().remove(name);
    }

    pub fn set(&self, name: &str, served: Served) {
        self.served.write().unwrap().insert(name.to_owned(), served);
    }
}

async fn answer(
    AxumState(served): AxumState<Arc<RwLock<HashMap<String, Served>>>>,
    Path((peer, path)): Path<(String, String)>,
) -> (StatusCode, Vec<u8>) {
    let served = served.read().unwrap();
    let Some(peer) = served.get(&peer) else { return (StatusCode::NOT_FOUND, Vec::new()) };
    let bytes = peer.extra.get(&path).cloned().or_else(|| peer.answer(&path));
    bytes.map_or((StatusCode::NOT_FOUND, Vec::new()), |b| (StatusCode::OK, b))
}
