//! The witness of a real node: C2SP tlog-witness over HTTP, against logs that are made here.

use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::cosignature::CosignerKey;
use domovoi::tlog::hash::leaf_hash;
use domovoi::tlog::note::{Note, NoteSigner, parse_signatures};
use domovoi::tlog::tree::{TileSource, consistency_proof, grow};
use domovoi::tlog::witness::Request;
use domovoi::tlog::{Hash, tile::TileId};
use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

use crate::node::{Answer, Node};

/// A log in memory, of as many entries as are asked for.
pub struct Log {
    pub signer: NoteSigner,
    pub origin: String,
    tiles: HashMap<TileId, Vec<Hash>>,
    size: u64,
    branch: u8,
}

impl TileSource for Log {
    fn tile(&self, id: TileId) -> domovoi::error::Result<Vec<Hash>> {
        let wide = self.tiles.iter().filter(|(t, _)| (t.level, t.index) == (id.level, id.index));
        let tile = wide.max_by_key(|(t, _)| t.width).map(|(_, hashes)| hashes[..id.width as usize].to_vec());
        Ok(tile.unwrap_or_else(|| panic!("no tile {id}")))
    }
}

impl Log {
    pub fn new(origin: &str, seed: u8) -> Log {
        let signer = NoteSigner::new(origin, SigningKey::from_bytes(&[seed; 32])).unwrap();
        Log { signer, origin: origin.into(), tiles: HashMap::new(), size: 0, branch: 0 }
    }
    /// The same log with other entries from here on.
    pub fn fork(&self) -> Log {
        let signer = NoteSigner::new(&self.origin, SigningKey::from_bytes(&[7; 32])).unwrap();
        Log { signer, origin: self.origin.clone(), tiles: self.tiles.clone(), size: self.size, branch: self.branch + 1 }
    }
    pub fn vkey(&self) -> String {
        self.signer.verifier().to_string()
    }
    pub fn grow_to(&mut self, size: u64) -> &mut Log {
        let leaves: Vec<Hash> =
            (self.size..size).map(|i| leaf_hash(format!("{}:{}", self.branch, i).as_bytes())).collect();
        let grown = grow(self, self.size, &leaves).unwrap();
        self.tiles.extend(grown.tiles);
        self.size = size;
        self
    }
    pub fn head(&self, size: u64) -> Checkpoint {
        let root = domovoi::tlog::tree::root(self, size).unwrap();
        Checkpoint { origin: self.origin.clone(), size, root }
    }
    pub fn note(&self, size: u64) -> String {
        self.head(size).sign(&self.signer).unwrap()
    }
    /// The request that takes a witness from `old` to `size`.
    pub fn request(&self, old: u64, size: u64) -> String {
        let proof = consistency_proof(self, old, size).unwrap();
        Request { old, proof, note: Note::parse(self.note(size).as_bytes()).unwrap() }.to_string()
    }
}

pub fn add(node: &Node, body: &str) -> Answer {
    node.post("/witness/add-checkpoint", body.as_bytes().to_vec())
}

/// A node that only cosigns, for the logs with these keys.
pub fn witness_of(logs: &[&Log], extra: &[&str]) -> (Node, Vec<CosignerKey>) {
    let mut node = Node::init(None);
    let args: Vec<&str> =
        ["--json", "key", "cosigner", "--name", "witness.example"].into_iter().chain(extra.iter().copied()).collect();
    let made = crate::node::run_in(&node.data(), &args).json();
    let keys = ["witness", "witness-pq"].iter().filter_map(|role| made[role].as_str());
    let keys = keys.map(|vkey| CosignerKey::parse(vkey).unwrap()).collect();
    let config = node.data().join("domovoi.toml");
    let mut text = std::fs::read_to_string(&config).unwrap();
    for log in logs {
        text.push_str(&format!("\n[[witness_log]]\nvkey = \"{}\"\n", log.vkey()));
    }
    std::fs::write(&config, text).unwrap();
    node.start();
    (node, keys)
}

fn hash_of(origin: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(origin.as_bytes()))
}

/// Checks that the lines are good cosignatures of all keys.
pub fn cosigned(note: &str, lines: &[u8], keys: &[CosignerKey]) {
    let mut note = Note::parse(note.as_bytes()).unwrap();
    let lines = parse_signatures(lines).unwrap();
    assert_eq!(lines.len(), keys.len());
    lines.into_iter().for_each(|line| note.add_line(line).unwrap());
    for key in keys {
        let time = key.time_of(&note).unwrap().expect("a line by this key");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert!(now.abs_diff(time) < 100, "{time}");
    }
}

#[test]
fn a_witness_answers_with_the_statuses_of_the_specification() {
    let mut log = Log::new("log.example/one", 7);
    log.grow_to(300);
    let (node, keys) = witness_of(&[&log], &["--pq"]);
    assert_eq!(keys.len(), 2);

    // Nothing was cosigned: any other old size than 0 conflicts, and says so.
    let conflict = add(&node, &log.request(5, 10));
    assert_eq!((conflict.status, conflict.kind.as_str(), &conflict.body[..]), (409, "text/x.tlog.size", &b"0\n"[..]));
    let path = format!("/witness/{}/checkpoint", hash_of(&log.origin));
    node.get(&path).problem(404, "witness.not-found");

    let first = add(&node, &log.request(0, 10));
    assert_eq!(first.status, 200, "{}", String::from_utf8_lossy(&first.body));
    cosigned(&log.note(10), &first.body, &keys);
    let next = add(&node, &log.request(10, 299));
    cosigned(&log.note(299), &next.body, &keys);
    // The same head again is cosigned anew.
    cosigned(&log.note(299), &add(&node, &log.request(299, 299)).body, &keys);
    let shown = node.get(&path);
    assert_eq!(shown.status, 200);
    let text = String::from_utf8(shown.body).unwrap();
    assert!(text.starts_with(log.note(299).trim_end()), "{text}");
    let own = &text[log.note(299).len()..];
    cosigned(&log.note(299), own.as_bytes(), &keys);

    let conflict = add(&node, &log.request(10, 300));
    assert_eq!((conflict.status, conflict.kind.as_str(), &conflict.body[..]), (409, "text/x.tlog.size", &b"299\n"[..]));

    // 404: a log that nobody named.
    let mut other = Log::new("log.example/other", 8);
    other.grow_to(3);
    add(&node, &other.request(0, 3)).problem(404, "witness.unknown-log");
    // 403: the right origin under another's key; a false line of the right key.
    let mut stranger = Log::new("log.example/one", 8);
    stranger.grow_to(300);
    add(&node, &stranger.request(299, 300)).problem(403, "witness.key");
    let bent = log.request(299, 300);
    let at = bent.trim_end().rfind('=').unwrap() - 9;
    let letter = if &bent[at..=at] == "A" { "B" } else { "A" };
    let bent = format!("{}{letter}{}", &bent[..at], &bent[at + 1..]);
    add(&node, &bent).problem(403, "note.signature");
    // 400: not of the form, and an old size beyond the new one.
    for bad in ["", "old\n\n", "old 01\n\nx", "old 1\nxyz\n\nx", &format!("old -1\n\n{}", log.note(300))] {
        assert_eq!(add(&node, bad).status, 400, "{bad:?}");
    }
    add(&node, &format!("old 301\n\n{}", log.note(300))).problem(400, "witness.old-size");
    // 422: no proof, another proof, a proof from 0, another root at the same size.
    add(&node, &format!("old 299\n\n{}", log.note(300))).problem(422, "witness.proof");
    let mut fork = Log::new("log.example/one", 7).grow_to(100).fork();
    fork.grow_to(300);
    add(&node, &fork.request(299, 300)).problem(422, "witness.proof");
    add(&node, &fork.request(299, 299)).problem(422, "witness.proof");

    // A restart forgets nothing.
    let mut node = node;
    node.stop();
    node.start();
    let conflict = add(&node, &log.request(0, 300));
    assert_eq!((conflict.status, &conflict.body[..]), (409, &b"299\n"[..]));
    let again = node.get(&path);
    assert_eq!(again.status, 200);
    cosigned(&log.note(299), &again.body[log.note(299).len()..], &keys);
    assert_eq!(add(&node, &log.request(299, 300)).status, 200);
}

#[test]
fn an_empty_log_is_cosigned_with_the_root_of_nothing_alone() {
    let log = Log::new("log.example/empty", 7);
    let (node, keys) = witness_of(&[&log], &[]);
    let note = format!("{}\n0\n{}\n", log.origin, Hash::EMPTY_TREE.to_base64());
    let empty = Note::sign(note, &log.signer).unwrap();
    cosigned(&empty.to_string(), &add(&node, &format!("old 0\n\n{empty}")).body, &keys);
    let other = Note::sign(format!("{}\n0\n{}\n", log.origin, Hash([1; 32]).to_base64()), &log.signer).unwrap();
    add(&node, &format!("old 0\n\n{other}")).problem(422, "witness.proof");
    let proof = format!("old 0\n{}\n\n{empty}", Hash([1; 32]).to_base64());
    add(&node, &proof).problem(422, "witness.proof");
}

#[test]
fn a_checkpoint_with_extension_lines_of_a_foreign_log_is_cosigned_as_it_is() {
    let mut log = Log::new("log.example/extended", 7);
    log.grow_to(9);
    let (node, keys) = witness_of(&[&log], &[]);
    let note = Note::sign(format!("{}extension 1\nand another\n", log.head(9).to_text()), &log.signer).unwrap();
    cosigned(&note.to_string(), &add(&node, &format!("old 0\n\n{note}")).body, &keys);
}
