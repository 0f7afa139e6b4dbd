//! The sled index: what it keeps, and that no damage to it is more than a rebuild.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use domovoi::storage::index::{Applied, Index, IndexBatch, SledIndex};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn batch(size: u64, rows: Vec<(Vec<u8>, Vec<u8>)>) -> IndexBatch {
    IndexBatch {
        applied: Applied { size, time_ms: size * 10, root: [size as u8; 32] },
        rows,
        commits: vec![(size, size * 10)],
    }
}

fn rows(index: &SledIndex) -> Rows {
    let mut rows = Rows::new();
    index.load(&mut |key, value| assert!(rows.insert(key.to_vec(), value.to_vec()).is_none())).unwrap();
    rows
}

#[test]
fn keeps_rows_commits_and_applied() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    let mut expected = Rows::new();
    {
        let mut index = SledIndex::open(&path).unwrap();
        assert!(index.set_aside().is_none());
        assert_eq!((index.applied().unwrap(), index.commits().unwrap()), (None, vec![]));
        index.wipe().unwrap();
        // Keys that are beginnings of one another and of pieces' numbers; values around the length of a piece.
        let keys = [&b"a"[..], b"a\0", b"a\0\0", b"a\0\x01", b"", b"chat:1"];
        let lengths = [0, 1, 4091, 4092, 4093, 200_000, 8188, 3, 8189, 0, 500_000, 10];
        for (n, (length, key)) in lengths.iter().zip(keys.iter().cycle()).enumerate() {
            let value = vec![n as u8; *length];
            expected.insert(key.to_vec(), value.clone());
            index.write(batch(n as u64 + 1, vec![(key.to_vec(), vec![99]), (key.to_vec(), value)])).unwrap();
            assert_eq!(rows(&index), expected);
        }
        assert_eq!(SledIndex::open(&path).map(drop).unwrap_err().code(), "storage.locked");
    }
    let mut index = SledIndex::open(&path).unwrap();
    assert_eq!(rows(&index), expected);
    assert_eq!(index.applied().unwrap(), Some(Applied { size: 12, time_ms: 120, root: [12; 32] }));
    assert_eq!(index.commits().unwrap(), (1..=12).map(|n| (n, n * 10)).collect::<Vec<_>>());
    // Nothing may end up in the files that sled never syncs.
    assert_eq!(fs::read_dir(path.join("0/blobs")).unwrap().count(), 0);
    index.wipe().unwrap();
    assert!(rows(&index).is_empty() && index.applied().unwrap().is_none());
    index.write(batch(1, vec![(b"k".to_vec(), b"v".to_vec())])).unwrap();
    drop(index);
    let index = SledIndex::open(&path).unwrap();
    assert_eq!(rows(&index), Rows::from([(b"k".to_vec(), b"v".to_vec())]));
    assert!(!path.join("0").exists(), "the wiped generation goes at the next start");
}

fn sample(path: &Path) -> Rows {
    let mut index = SledIndex::open(path).unwrap();
    let mut expected = Rows::new();
    for n in 0..40u64 {
        let items: Vec<_> = (0..50)
            .map(|i| (format!("chat:{}", (n * 31 + i) % 700).into_bytes(), vec![n as u8; 20 + i as usize]))
            .collect();
        expected.extend(items.clone());
        index.write(batch(n + 1, items)).unwrap();
    }
    expected
}

/// Opens a damaged index the way a node does: what it gives is either right or named as broken, and after a wipe it works.
fn use_damaged(path: &Path, expected: &Rows) {
    let mut index = SledIndex::open(path).unwrap();
    let mut found = Rows::new();
    let loaded = index.load(&mut |k, v| drop(found.insert(k.to_vec(), v.to_vec())));
    match loaded.and(index.applied()).and_then(|a| index.commits().map(|_| a)) {
        // An older state, or none, is fine: the root of the state map tells, and the log is replayed.
        Ok(_) => assert!(found.keys().all(|k| expected.contains_key(k))),
        Err(e) => assert_eq!(e.code(), "index.broken", "{e}"),
    }
    index.wipe().unwrap();
    assert!(rows(&index).is_empty());
    index.write(batch(7, vec![(b"k".to_vec(), b"v".to_vec())])).unwrap();
    drop(index);
    assert_eq!(SledIndex::open(path).unwrap().applied().unwrap().unwrap().size, 7);
}

#[test]
fn damage_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let good = dir.path().join("good/index");
    fs::create_dir_all(good.parent().unwrap()).unwrap();
    let expected = sample(&good);
    let files: Vec<PathBuf> =
        fs::read_dir(good.join("0")).unwrap().map(|f| f.unwrap().path()).filter(|f| f.is_file()).collect();
    assert!(files.iter().any(|f| f.ends_with("db")) && files.iter().any(|f| f.ends_with("conf")));
    let mut set_aside = 0;
    let mut cases = 0;
    for file in &files {
        let name = file.file_name().unwrap();
        let bytes = fs::read(file).unwrap();
        let length = bytes.len();
        let mut variants: Vec<Vec<u8>> =
            vec![vec![], vec![0; length], vec![0xff; length], b"garbage".to_vec(), bytes[..length / 2].to_vec()];
        for n in 0..12 {
            let mut flipped = bytes.clone();
            flipped[length * n / 12] ^= 0x41;
            variants.push(flipped);
        }
        for bad in variants {
            let path = dir.path().join(format!("case{cases}/index"));
            cases += 1;
            fs::create_dir_all(path.join("0/blobs")).unwrap();
            for file in &files {
                fs::copy(file, path.join("0").join(file.file_name().unwrap())).unwrap();
            }
            fs::write(path.join("0").join(name), bad).unwrap();
            use_damaged(&path, &expected);
            set_aside += usize::from(path.with_extension("broken-1").exists());
        }
    }
    assert!(set_aside > 0 && cases > 20, "{set_aside} of {cases}");
}

#[test]
fn what_two_starts_did_not_survive_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    let expected = sample(&path);
    let marker = path.join("opening");
    assert!(!marker.exists());
    // Once may be a power cut; a mark of another generation means nothing.
    for said in ["0 1", "1 2", "", "0", "x y"] {
        fs::write(&marker, said).unwrap();
        let index = SledIndex::open(&path).unwrap();
        assert!(index.set_aside().is_none(), "{said}");
        if said == "0 1" {
            // While rows are read, the mark says what it would be the second time.
            index.load(&mut |_, _| assert_eq!(fs::read_to_string(&marker).unwrap(), "0 2")).unwrap();
        }
        assert_eq!(rows(&index), expected);
        assert!(!marker.exists());
    }
    fs::write(&marker, "0 2").unwrap();
    let index = SledIndex::open(&path).unwrap();
    assert!(index.set_aside().is_some() && rows(&index).is_empty() && !marker.exists());
}

#[test]
fn the_last_three_broken_ones_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    drop(SledIndex::open(&path).unwrap());
    for n in 0..6 {
        let newest = fs::read_dir(&path)
            .unwrap()
            .filter_map(|f| f.unwrap().file_name().to_str()?.parse::<u64>().ok())
            .max()
            .unwrap();
        fs::write(path.join(format!("{newest}/conf")), format!("garbage {n}")).unwrap();
        let index = SledIndex::open(&path).unwrap();
        assert!(index.set_aside().is_some());
    }
    let broken = fs::read_dir(dir.path()).unwrap().filter(|f| f.as_ref().unwrap().file_name() != "index").count();
    assert_eq!(broken, 3);
    let last = fs::read_to_string(dir.path().join("index.broken-3/conf")).unwrap();
    assert_eq!(last, "garbage 5");
}
