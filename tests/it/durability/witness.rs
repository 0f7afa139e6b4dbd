//! What clients of a log know, and whether a node still agrees with it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domovoi::registry::envelope::{Envelope, TYP_RECORD};
use domovoi::tlog::leaf_hash;
use domovoi::tlog::tile::{LogPath, bundles_between, decode_bundle};
use domovoi::tlog::tree::Frontier;

use crate::node::{Node, Signer};

/// What was acknowledged and seen by some moment.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Id of every acknowledged record, by index.
    pub acknowledged: BTreeMap<u64, String>,
    /// Root of every checkpoint anybody saw, by size.
    pub seen: BTreeMap<u64, String>,
}

/// Clients of one log: they submit, remember what was acknowledged, and watch its checkpoint.
pub struct Witness {
    /// Number of the first subject they make, a building.
    pub first: u64,
    known: Mutex<Known>,
    next: AtomicU64,
}

/// Where a node serves its own log.
const OWN: &str = "/log";

/// Size and root that the node's checkpoint names; none when it does not answer or has none yet.
pub fn checkpoint(node: &Node) -> Option<(u64, String)> {
    checkpoint_at(node, OWN)
}

/// The same of the log that the node serves below `path`, which may be another's.
pub fn checkpoint_at(node: &Node, path: &str) -> Option<(u64, String)> {
    let answer = node.try_get(&format!("{path}/checkpoint")).filter(|a| a.status == 200)?;
    let text = String::from_utf8(answer.body).ok()?;
    let mut lines = text.lines().skip(1);
    Some((lines.next()?.parse().ok()?, lines.next()?.to_owned()))
}

impl Witness {
    /// Clients that know this already.
    pub fn resume(known: Known) -> Witness {
        // Subjects of their own: what an earlier client submitted may be in the log without an answer.
        static CLIENTS: AtomicU64 = AtomicU64::new(0);
        let next = CLIENTS.fetch_add(1, Ordering::SeqCst) * 1_000_000;
        Witness { first: next + 1, known: Mutex::new(known), next: AtomicU64::new(next) }
    }

    /// Everything known at this moment.
    pub fn known(&self) -> Known {
        self.known.lock().unwrap().clone()
    }

    /// Clients know no more than this: what they learnt later was not yet certain when the power went.
    pub fn forget_after(&self, known: Known) {
        *self.known.lock().unwrap() = known;
    }

    /// Fetches the checkpoint and remembers it.
    pub fn look(&self, node: &Node) {
        if let Some((size, root)) = checkpoint(node) {
            let before = self.known.lock().unwrap().seen.insert(size, root.clone());
            assert!(before.is_none_or(|b| b == root), "two checkpoints of size {size}");
        }
    }

    /// Submits `count` new records; false when the node gave no answer, or said that it cannot write any more. What it
    /// answers must be that every one is accepted, at an index that was never given before.
    pub fn submit(&self, node: &Node, signer: &Signer, count: u64) -> bool {
        let made: Vec<_> = (0..count)
            .map(|_| self.next.fetch_add(1, Ordering::SeqCst) + 1)
            .map(|n| if n % 2 == 0 { signer.organisation(n) } else { signer.building(n) })
            .collect();
        let body: Vec<Vec<u8>> = made.iter().map(|(_, bytes)| bytes.clone()).collect();
        let Some(answer) = node.try_post("/api/v1/submit", body.join(&b'\n')) else { return false };
        if answer.status >= 500 {
            return false;
        }
        for (outcome, (id, _)) in answer.json()["outcomes"].as_array().unwrap().iter().zip(made) {
            assert_eq!(outcome["outcome"], "accepted", "{outcome}");
            assert_eq!(outcome["id"], id.to_string());
            let index = outcome["index"].as_u64().unwrap();
            let before = self.known.lock().unwrap().acknowledged.insert(index, id.to_string());
            assert!(before.is_none(), "index {index} was acknowledged twice");
        }
        true
    }

    /// Three clients submit and one watches for `time`, then `end` is called while they still do; gives the number of
    /// submissions that got no answer. `end` must make the node go away.
    pub fn load(&self, node: &Node, signer: &Signer, time: Duration, end: impl FnOnce()) -> u64 {
        let (gone, lost) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|threads| {
            for thread in 0..3u64 {
                let (gone, lost) = (&gone, &lost);
                threads.spawn(move || {
                    while !gone.load(Ordering::SeqCst) {
                        if !self.submit(node, signer, 1 + thread * 7) {
                            lost.fetch_add(1, Ordering::SeqCst);
                            break;
                        }
                    }
                });
            }
            let until = Instant::now() + time;
            while Instant::now() < until {
                self.look(node);
            }
            end();
            gone.store(true, Ordering::SeqCst);
        });
        lost.into_inner()
    }
}

impl Known {
    /// Reads the whole log from what the node serves, and holds it against every checkpoint and every acknowledgement.
    /// Gives the number of entries; an error says what is lost or forked.
    pub fn hold(&self, node: &Node) -> Result<u64, String> {
        self.hold_at(node, OWN)
    }

    /// The same of the log that the node serves below `path`.
    pub fn hold_at(&self, node: &Node, path: &str) -> Result<u64, String> {
        let (size, _) = checkpoint_at(node, path).ok_or("the node serves no checkpoint")?;
        if let Some(newest) = self.seen.keys().max().filter(|newest| **newest > size) {
            return Err(format!("the log has {size} entries, a checkpoint of {newest} was served"));
        }
        let (mut tree, mut found, mut held) = (Frontier::new(), 0, 0);
        for id in bundles_between(0, size) {
            let answer = node.try_get(&format!("{path}/{}", LogPath::Bundle(id))).ok_or("the node does not answer")?;
            let bytes = answer.body;
            for range in decode_bundle(&bytes, id.width).map_err(|e| format!("{id}: {e}"))? {
                let (entry, index) = (&bytes[range], tree.size());
                if let Some(id) = self.acknowledged.get(&index) {
                    let there = Envelope::parse(entry, TYP_RECORD, 1 << 14).map(|e| e.id().to_string());
                    if there.as_ref().ok() != Some(id) {
                        return Err(format!("index {index} was acknowledged as {id}; {there:?} is there"));
                    }
                    found += 1;
                }
                tree.push(leaf_hash(entry));
                if let Some(root) = self.seen.get(&tree.size()) {
                    if tree.root().to_base64() != *root {
                        return Err(format!("fork: the log does not extend its checkpoint of {}", tree.size()));
                    }
                    held += 1;
                }
            }
        }
        if found != self.acknowledged.len() || held != self.seen.len() {
            let lost = self.acknowledged.keys().filter(|i| **i >= size).count();
            return Err(format!("{lost} acknowledged records are gone from a log of {size}"));
        }
        Ok(size)
    }
}
