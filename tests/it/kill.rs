//! SIGKILL at any moment loses nothing that was acknowledged.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domovoi::registry::envelope::{Envelope, TYP_RECORD};
use domovoi::tlog::leaf_hash;
use domovoi::tlog::tile::{LogPath, bundles_between, decode_bundle};
use domovoi::tlog::tree::Frontier;
use rand::RngExt;

use super::node::Node;

const ROUNDS: u32 = 18;

/// Size and root that a checkpoint names.
fn checkpoint(node: &Node) -> Option<(u64, String)> {
    let answer = node.try_get("/log/checkpoint").filter(|a| a.status == 200)?;
    let text = String::from_utf8(answer.body).unwrap();
    let mut lines = text.lines().skip(1);
    Some((lines.next()?.parse().unwrap(), lines.next()?.to_owned()))
}

#[test]
fn kill_9_loses_nothing_acknowledged_and_never_forks() {
    let mut node = Node::moscow();
    let signer = node.signer("operator");
    let next = AtomicU64::new(1);
    // Index and id of every acknowledged record; every checkpoint anybody saw, by size.
    let acknowledged: Mutex<BTreeMap<u64, String>> = Mutex::default();
    let seen: Mutex<HashMap<u64, String>> = Mutex::default();
    let look = |node: &Node| {
        if let Some((size, root)) = checkpoint(node) {
            let before = seen.lock().unwrap().insert(size, root.clone());
            assert!(before.is_none_or(|b| b == root), "two checkpoints of size {size}");
        }
    };
    let mut interrupted = 0;
    for round in 0..ROUNDS {
        if round % 6 == 5 {
            // Also while it starts, when it rolls forward what the last kill left.
            node.spawn();
            std::thread::sleep(Duration::from_millis(rand::rng().random_range(0..400)));
            node.kill();
        }
        if round > 0 {
            node.start();
        }
        look(&node);
        let newest = *seen.lock().unwrap().keys().max().unwrap();
        assert_eq!(checkpoint(&node).unwrap().0, newest, "the log is shorter than a checkpoint that was served");
        let dead = AtomicBool::new(false);
        let lost = AtomicU64::new(0);
        std::thread::scope(|threads| {
            for thread in 0..3u64 {
                let (node, signer, dead, lost) = (&node, &signer, &dead, &lost);
                let (acknowledged, next) = (&acknowledged, &next);
                threads.spawn(move || {
                    while !dead.load(Ordering::SeqCst) {
                        let numbers = (0..=thread * 7).map(|_| next.fetch_add(1, Ordering::SeqCst));
                        let made: Vec<_> = numbers
                            .map(|n| if n % 2 == 0 { signer.organisation(n) } else { signer.building(n) })
                            .collect();
                        let body: Vec<Vec<u8>> = made.iter().map(|(_, bytes)| bytes.clone()).collect();
                        let Some(answer) = node.try_post("/api/v1/submit", body.join(&b'\n')) else {
                            lost.fetch_add(1, Ordering::SeqCst);
                            break;
                        };
                        for (outcome, (id, _)) in answer.json()["outcomes"].as_array().unwrap().iter().zip(made) {
                            assert_eq!(outcome["outcome"], "accepted", "{outcome}");
                            assert_eq!(outcome["id"], id.to_string());
                            let index = outcome["index"].as_u64().unwrap();
                            let twice = acknowledged.lock().unwrap().insert(index, id.to_string());
                            assert!(twice.is_none(), "index {index} was acknowledged twice");
                        }
                    }
                });
            }
            let until = Instant::now() + Duration::from_millis(rand::rng().random_range(20..350));
            while Instant::now() < until {
                look(&node);
            }
            // The handle is shared with the threads; the process id is all that is needed here.
            node.kill_shared();
            dead.store(true, Ordering::SeqCst);
        });
        interrupted += lost.into_inner();
        node.kill();
    }
    node.start();
    look(&node);
    // Everything once more from the served files, against every checkpoint and every acknowledgement.
    let (size, _) = checkpoint(&node).unwrap();
    let acknowledged = acknowledged.into_inner().unwrap();
    let mut checkpoints = seen.into_inner().unwrap();
    let (mut tree, mut found) = (Frontier::new(), 0);
    for id in bundles_between(0, size) {
        let bytes = node.get(&format!("/log/{}", LogPath::Bundle(id))).body;
        for range in decode_bundle(&bytes, id.width).unwrap() {
            let entry = &bytes[range];
            if let Some(id) = acknowledged.get(&tree.size()) {
                let envelope = Envelope::parse(entry, TYP_RECORD, 1 << 14).unwrap();
                assert_eq!(envelope.id().to_string(), *id, "another record is at index {}", tree.size());
                found += 1;
            }
            tree.push(leaf_hash(entry));
            if let Some(root) = checkpoints.remove(&tree.size()) {
                assert_eq!(tree.root().to_base64(), root, "the log does not extend its checkpoint of {}", tree.size());
            }
        }
    }
    assert!(checkpoints.is_empty(), "checkpoints beyond the log: {checkpoints:?}");
    assert_eq!(found, acknowledged.len());
    assert!(found > 100, "only {found} records were acknowledged: this proves little");
    let info = node.api("node");
    node.stop();
    let fsck = node.run(&["fsck"]).json();
    assert_eq!((fsck["size"].as_u64(), &fsck["state_root"]), (Some(size), &info["state_root"]));
    let reindex = node.run(&["reindex"]).json();
    assert_eq!(reindex["state_root"], info["state_root"]);
    assert_eq!(reindex["same_as_before"], true);
    eprintln!("{found} acknowledged records in {ROUNDS} kills, {interrupted} submissions cut off");
}
