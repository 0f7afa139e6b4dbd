//! What a witness has cosigned survives whatever can befall its file, or the witness says that it does not know.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domovoi::error::Result;
use domovoi::storage::witness_store::{Cosigned, WitnessStore};
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::leaf_hash;
use domovoi::tlog::note::{Note, NoteSigner};
use domovoi::tlog::witness::Seen;
use ed25519_dalek::SigningKey;

fn cosigned(origin: &str, size: u64) -> Cosigned {
    let signer = NoteSigner::new(origin, SigningKey::from_bytes(&[1; 32])).unwrap();
    let head = Checkpoint { origin: origin.into(), size, root: leaf_hash(&size.to_be_bytes()) };
    let note = Note::parse(head.sign(&signer).unwrap().as_bytes()).unwrap();
    Cosigned { seen: Seen { size, root: head.root }, cut: 0, note }
}

fn advance(store: &WitnessStore, origin: &str, size: u64) -> Result<Cosigned> {
    store.advance(origin, |_| Ok(Some(cosigned(origin, size))))
}

fn fresh() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("witness/heads");
    WitnessStore::create(&path).unwrap();
    (dir, path)
}

fn code(path: &Path) -> &'static str {
    WitnessStore::open(path).map(|_| ()).unwrap_err().code()
}

#[test]
fn what_was_cosigned_is_there_after_a_start_and_the_newest_counts() {
    let (_dir, path) = fresh();
    {
        let store = WitnessStore::open(&path).unwrap();
        assert_eq!((store.last("a"), store.origins().len()), (None, 0));
        for (origin, size) in [("a", 1), ("b", 7), ("a", 5), ("журнал", 3)] {
            assert_eq!(advance(&store, origin, size).unwrap(), cosigned(origin, size));
        }
        // One at a time; a second one would cosign behind the first one's back.
        assert_eq!(code(&path), "storage.locked");
    }
    // Making it again takes nothing away.
    WitnessStore::create(&path).unwrap();
    let store = WitnessStore::open(&path).unwrap();
    assert_eq!(store.origins(), ["a", "b", "журнал"]);
    assert_eq!(store.last("a"), Some(cosigned("a", 5)));
    // The same again costs nothing and says the same.
    let before = fs::metadata(&path).unwrap().len();
    assert_eq!(store.advance("a", |last| Ok(last.is_none().then(|| cosigned("a", 9)))).unwrap(), cosigned("a", 5));
    assert_eq!(fs::metadata(&path).unwrap().len(), before);
    assert!(store.advance("new", |_| Ok(None)).is_err());
    drop(store);
    WitnessStore::replace(&path).unwrap();
    assert_eq!(WitnessStore::open(&path).unwrap().origins().len(), 0);
}

#[test]
fn a_refusal_changes_nothing_and_a_note_of_another_log_is_not_kept() {
    let (_dir, path) = fresh();
    let store = WitnessStore::open(&path).unwrap();
    advance(&store, "a", 1).unwrap();
    let refused = store.advance("a", |_| Err(domovoi::error::Error::refuse("witness.proof", "", "")));
    assert_eq!(refused.unwrap_err().code(), "witness.proof");
    assert_eq!(store.advance("a", |_| Ok(Some(cosigned("b", 2)))).unwrap_err().code(), "witness.note");
    assert_eq!(store.last("a"), Some(cosigned("a", 1)));
    drop(store);
    assert_eq!(WitnessStore::open(&path).unwrap().last("a"), Some(cosigned("a", 1)));
}

#[test]
fn a_file_cut_at_any_byte_gives_the_whole_frames_before_it() {
    let (_dir, path) = fresh();
    let mut ends = Vec::new();
    {
        let store = WitnessStore::open(&path).unwrap();
        for size in 1..=4 {
            ends.push((fs::metadata(&path).unwrap().len() as usize, size - 1));
            advance(&store, "a", size).unwrap();
        }
        ends.push((fs::metadata(&path).unwrap().len() as usize, 4));
    }
    let whole = fs::read(&path).unwrap();
    let title = ends[0].0;
    for len in title..=whole.len() {
        let size = ends.iter().rev().find(|(end, _)| *end <= len).unwrap().1;
        // As it is cut, and with the zeros that a file system may leave.
        for zeros in [0, 1, 500] {
            fs::write(&path, [&whole[..len], &vec![0; zeros]].concat()).unwrap();
            match WitnessStore::open(&path) {
                Ok(store) => {
                    assert_eq!(store.last("a").map_or(0, |c| c.seen.size), size, "cut at {len}, {zeros} zeros");
                    // It goes on from there.
                    advance(&store, "a", 9).unwrap();
                    drop(store);
                    assert_eq!(WitnessStore::open(&path).unwrap().last("a").unwrap().seen.size, 9);
                }
                // A half-written frame with zeros behind it cannot be told from a damaged one.
                Err(e) => {
                    assert_eq!(e.code(), "witness.damaged");
                    assert!(zeros > 0 && !ends.iter().any(|(end, _)| *end == len), "cut at {len}, {zeros} zeros");
                }
            }
        }
    }
    for len in 0..title {
        fs::write(&path, &whole[..len]).unwrap();
        assert_eq!(code(&path), "witness.damaged", "cut at {len}");
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(code(&path), "witness.lost");
}

#[test]
fn a_changed_byte_anywhere_is_noticed_and_nothing_is_cosigned_any_more() {
    let (_dir, path) = fresh();
    {
        let store = WitnessStore::open(&path).unwrap();
        (1..=3).for_each(|size| drop(advance(&store, "a", size).unwrap()));
    }
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        for bit in [0, 3, 7] {
            let mut bent = whole.clone();
            bent[at] ^= 1 << bit;
            fs::write(&path, bent).unwrap();
            assert_eq!(code(&path), "witness.damaged", "byte {at}, bit {bit}");
        }
    }
    // A frame taken out, or two exchanged: each hangs on the one before.
    let frames = |bytes: &[u8]| {
        let (mut at, mut frames) = (18, Vec::new());
        while at < bytes.len() {
            let len = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize + 40;
            frames.push(bytes[at..at + len].to_vec());
            at += len;
        }
        frames
    };
    let of = frames(&whole);
    assert_eq!(of.len(), 3);
    for order in [vec![1, 2], vec![0, 2], vec![1, 0, 2], vec![0, 2, 1], vec![0, 0, 1]] {
        let bytes = [whole[..18].to_vec(), order.iter().flat_map(|i| of[*i].clone()).collect()].concat();
        fs::write(&path, bytes).unwrap();
        assert_eq!(code(&path), "witness.damaged", "{order:?}");
    }
}

#[test]
fn a_file_that_has_grown_is_written_anew_while_it_is_in_use() {
    let (_dir, path) = fresh();
    {
        let store = WitnessStore::open(&path).unwrap();
        for size in 1..=20_000u64 {
            advance(&store, &format!("log.example/{}", size % 3), size).unwrap();
        }
        let len = fs::metadata(&path).unwrap().len();
        assert!(len < 5 << 20, "{len} bytes");
    }
    let store = WitnessStore::open(&path).unwrap();
    for n in 0..3u64 {
        let newest = (19_998..=20_000).find(|size| size % 3 == n).unwrap();
        assert_eq!(store.last(&format!("log.example/{n}")).unwrap().seen.size, newest);
    }
}

#[test]
fn many_at_once_each_see_the_one_before_and_share_their_writes() {
    let (_dir, path) = fresh();
    let store = Arc::new(WitnessStore::open(&path).unwrap());
    let granted = Arc::new(AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..200 {
                    // Each takes the size that it finds to the next; whoever comes second is refused by what it finds.
                    let seen = store.last("a").map_or(0, |c| c.seen.size);
                    let done = store.advance("a", |last| {
                        let now = last.map_or(0, |c| c.seen.size);
                        match now == seen {
                            true => Ok(Some(cosigned("a", now + 1))),
                            false => Err(domovoi::error::Error::refuse("witness.conflict", "", "")),
                        }
                    });
                    granted.fetch_add(u64::from(done.is_ok()), Ordering::Relaxed);
                }
            });
        }
    });
    let reached = store.last("a").unwrap().seen.size;
    assert_eq!(reached, granted.load(Ordering::Relaxed), "nobody's step was lost or taken twice");
    drop(store);
    assert_eq!(WitnessStore::open(&path).unwrap().last("a").unwrap().seen.size, reached);
}

#[test]
fn a_failed_write_ends_the_witness_until_the_next_start() {
    let (dir, path) = fresh();
    let store = WitnessStore::open(&path).unwrap();
    // The first write opens the file: it finds a directory.
    let kept = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(advance(&store, "a", 1).unwrap_err().code(), "disk.write");
    assert_eq!(advance(&store, "a", 1).unwrap_err().code(), "witness.broken");
    assert_eq!(store.advance("a", |_| Ok(None)).unwrap_err().code(), "witness.broken");
    drop(store);
    fs::remove_dir(&path).unwrap();
    fs::write(&path, kept).unwrap();
    assert_eq!(WitnessStore::open(&path).unwrap().last("a"), None);
    drop(dir);
}

#[test]
fn a_later_head_that_was_cosigned_all_the_same_is_remembered_and_an_earlier_one_is_not() {
    let (_dir, path) = fresh();
    let store = WitnessStore::open(&path).unwrap();
    advance(&store, "a", 5).unwrap();
    assert!(!store.remember("a", cosigned("a", 4)).unwrap());
    assert!(!store.remember("a", cosigned("a", 5)).unwrap());
    assert_eq!(store.last("a").unwrap().seen.size, 5);
    assert!(store.remember("a", cosigned("a", 6)).unwrap());
    assert!(store.remember("b", cosigned("b", 1)).unwrap());
    drop(store);
    let store = WitnessStore::open(&path).unwrap();
    assert_eq!((store.last("a").unwrap().seen.size, store.last("b").unwrap().seen.size), (6, 1));
}
