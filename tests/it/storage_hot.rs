//! The hot file: what it keeps, and that no damage to it is more than a slower start.

use std::fs;
use std::path::Path;

use domovoi::storage::hot::{self, Block, Head, Reading};
use domovoi::storage::index::Applied;

use super::node::Node;

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn write(path: &Path, blocks: &[Rows]) -> Head {
    let applied = Applied { size: 70, time_ms: 700, root: [7; 32] };
    let rows = blocks.iter().map(|b| b.len() as u64).sum();
    let head = Head { applied, rows, records: 99, commits: vec![(3, 30), (70, 700)] };
    let block = |rows: &Rows| {
        let mut payload = Vec::new();
        rows.iter().for_each(|(key, row)| hot::push_row(&mut payload, |out| out.extend(key), |out| out.extend(row)));
        Block::of(payload)
    };
    hot::write(path, &head, blocks.len() as u64, blocks.iter().map(block)).unwrap();
    head
}

/// Everything in the file; `None` where something in it is not as it was written.
fn read(path: &Path) -> Option<(Head, Vec<Rows>)> {
    let mut reading = Reading::open(path)?;
    let mut all = Vec::new();
    loop {
        let blocks = reading.next(2)?;
        if blocks.is_empty() {
            return Some((reading.head, all));
        }
        for block in blocks {
            all.push(block.rows()?.into_iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect());
        }
    }
}

/// The head of a file with these bytes.
fn read_head(bytes: &[u8]) -> Head {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    Reading::open(file.path()).unwrap().head
}

#[test]
fn rows_come_back_as_they_were_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hot");
    assert!(read(&path).is_none());
    let row = |n: u8| (format!("chat:{n}").into_bytes(), vec![n; usize::from(n) * 3]);
    let blocks: Vec<Rows> =
        vec![(0..9).map(row).collect(), vec![], vec![(vec![], vec![])], (9..40).map(row).collect(), vec![row(255)]];
    let head = write(&path, &blocks);
    assert_eq!(read(&path), Some((head, blocks)));
    let bytes = fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(read(&path).is_none(), "cut to {length} bytes");
    }
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x41;
        fs::write(&path, &flipped).unwrap();
        assert!(read(&path).is_none(), "byte {at} changed");
    }
}

#[test]
fn a_start_from_the_hot_file_is_a_start_from_the_log() {
    let mut node = Node::moscow();
    let (signer, hot) = (node.signer("operator"), node.data().join("index/hot"));
    let hot_of = |node: &mut Node, first: u64| {
        node.accept(&(first..first + 20).map(|n| signer.building(n).1).collect::<Vec<_>>());
        let info = node.api("node");
        node.stop();
        (fs::read(&hot).unwrap(), info)
    };
    let (old, _) = hot_of(&mut node, 1);
    node.start();
    let (good, info) = hot_of(&mut node, 21);
    assert!(old != good);
    // A file of an earlier commit whose head says that it is of the last one: only its root tells.
    let mut swapped = good.clone();
    let (head, rest) = (
        36 + u32::from_be_bytes(*good.first_chunk().unwrap()) as usize,
        36 + u32::from_be_bytes(*old.first_chunk().unwrap()) as usize,
    );
    swapped.splice(head.., old[rest..].iter().copied());
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let cases = [&good[..], &good[..good.len() - 1], &good[..50], &old, &flipped, &swapped, b""];
    for (case, bytes) in cases.into_iter().enumerate() {
        fs::write(&hot, bytes).unwrap();
        node.start();
        let now = node.api("node");
        assert_eq!((&now["size"], &now["state_root"]), (&info["size"], &info["state_root"]), "case {case}");
        let history = node.api("history?subject=building:reformagkh:7");
        assert_eq!(history["items"].as_array().unwrap().len(), 1, "case {case}");
        node.stop();
        assert!(read(&hot).is_some_and(|(h, _)| h == read_head(&good)), "case {case}: written anew");
    }
    // The index is gone, and the state came from the hot file: it is filled anew behind, and complete after the stop.
    fs::write(&hot, &good).unwrap();
    fs::remove_dir_all(node.data().join("index/0")).unwrap();
    node.start();
    node.accept(&[signer.building(500).1]);
    let info = node.api("node");
    node.stop();
    fs::remove_file(&hot).unwrap();
    node.start();
    let log = node.log();
    assert!(log.contains("filling it anew") && !log.contains("rebuilding it"), "{log}");
    assert_eq!(node.api("node")["state_root"], info["state_root"]);
    node.stop();
    assert_eq!(node.run(&["reindex"]).json()["same_as_before"], true);
    assert!(!hot.exists(), "reindex makes everything anew");
}
