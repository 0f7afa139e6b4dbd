//! The log on disk: every place a crash can stop it, every file that can be damaged, and what it refuses.

use std::fs;
use std::path::{Path, PathBuf};

use domovoi::error::{Action, Error};
use domovoi::storage::fence::{Age, Fence};
use domovoi::storage::fsck::{self, DirSource};
use domovoi::storage::journal::Record;
use domovoi::storage::log_store::{LogReader, LogStore, Pending};
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::hash::leaf_hashes;
use domovoi::tlog::note::NoteSigner;
use domovoi::tlog::tile::{LogPath, TileId};
use domovoi::tlog::{Hash, tree};
use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use tempfile::TempDir;

pub const ORIGIN: &str = "log.example/storage";

pub fn signer() -> NoteSigner {
    NoteSigner::new(ORIGIN, SigningKey::from_bytes(&[7; 32])).unwrap()
}

pub fn note(size: u64, root: Hash) -> String {
    Checkpoint { origin: ORIGIN.into(), size, root }.sign(&signer()).unwrap()
}

/// Entries `from..to` of the test log: of different lengths, one of them empty.
pub fn entries(from: u64, to: u64) -> Vec<Vec<u8>> {
    (from..to).map(|i| format!("entry {i} ").repeat((i % 5) as usize).into_bytes()).collect()
}

/// Root of the first `size` test entries, computed from all leaves at once.
pub fn root_of(size: u64) -> Hash {
    let mut frontier = tree::Frontier::new();
    leaf_hashes(&entries(0, size)).into_iter().for_each(|leaf| frontier.push(leaf));
    frontier.root()
}

pub struct Dirs {
    pub base: TempDir,
}

impl Dirs {
    pub fn new() -> Dirs {
        Dirs { base: tempfile::tempdir().unwrap() }
    }
    pub fn log(&self) -> PathBuf {
        self.base.path().join("log")
    }
    pub fn private(&self) -> PathBuf {
        self.base.path().join("private")
    }
    pub fn open(&self) -> Result<(LogStore, Option<Pending>), Error> {
        LogStore::open(&self.log(), &self.private(), &[signer().verifier()])
    }
    pub fn refusal(&self) -> Error {
        let error = self.open().map(drop).unwrap_err();
        assert_eq!(error.action(), Action::Stop, "{error}");
        error
    }
    /// A published log of test entries, grown in batches of `batch`.
    pub fn filled(size: u64, batch: u64) -> Dirs {
        let dirs = Dirs::new();
        let (mut store, _) = dirs.open().unwrap();
        let mut at = 0;
        while at < size {
            let to = size.min(at + batch);
            commit(&mut store, at, to);
            at = to;
        }
        dirs
    }
}

pub fn commit(store: &mut LogStore, from: u64, to: u64) {
    let staged = store.stage(entries(from, to)).unwrap();
    store.write_tiles(&staged).unwrap();
    store.fence(&staged).unwrap();
    let text = note(staged.new_size, staged.root);
    store.publish(staged, &text).unwrap();
}

/// The log is exactly the first `size` test entries, by every way to read it.
pub fn assert_log(reader: &LogReader, size: u64) {
    assert_eq!(reader.head(), (size, root_of(size)));
    assert_eq!(tree::root(reader, size).unwrap(), root_of(size));
    assert_eq!(reader.entries(0..size).unwrap().all(), entries(0, size));
    if size > 0 {
        assert_eq!(&*reader.checkpoint_text().unwrap(), note(size, root_of(size)));
        assert_eq!(reader.entry(size - 1).unwrap(), entries(size - 1, size)[0]);
    }
}

pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for item in fs::read_dir(dir).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() { todo.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn no_temps(dirs: &Dirs) {
    let temps: Vec<_> =
        files_below(dirs.base.path()).into_iter().filter(|p| p.to_string_lossy().ends_with(".tmp")).collect();
    assert!(temps.is_empty(), "{temps:?}");
}

pub fn is_whole(dirs: &Dirs, size: u64) {
    let key = signer().verifier().clone();
    let mut seen = Vec::new();
    let report = fsck::check(
        &DirSource::new(dirs.log()),
        Some(&key),
        &mut |first, entries| {
            assert_eq!(first, seen.len() as u64);
            seen.extend(entries.iter().map(|e| e.to_vec()));
            Ok(())
        },
        &mut |_, _| {},
    );
    let report = report.unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!((report.size, report.entries, report.root), (size, size, root_of(size)));
    assert_eq!(seen, entries(0, size));
}

#[test]
fn grows_and_reopens() {
    for (size, batch) in [(1, 1), (255, 2), (256, 3), (257, 100), (1000, 130), (70_000, 35_000)] {
        let dirs = Dirs::filled(size, batch);
        let (store, pending) = dirs.open().unwrap();
        assert!(pending.is_none());
        let reader = store.reader();
        if size <= 1000 {
            assert_log(&reader, size);
        } else {
            assert_eq!(reader.head(), (size, root_of(size)));
            assert_eq!(reader.entries(4000..9000).unwrap().all(), entries(4000, 9000));
            assert_eq!(reader.entries(0..size).map(drop).unwrap_err().code(), "entry.range");
        }
        is_whole(&dirs, size);
        no_temps(&dirs);
    }
}

#[test]
fn a_crash_after_each_step_rolls_forward() {
    // From an empty log, inside one tile, over a tile's end, over several tiles.
    for (old, new) in [(0, 2), (10, 13), (250, 256), (250, 700), (512, 514)] {
        for steps in 0..=4 {
            let dirs = Dirs::filled(old, 97);
            {
                let (mut store, _) = dirs.open().unwrap();
                if steps >= 1 {
                    let staged = store.stage(entries(old, new)).unwrap();
                    // Readers see nothing of it yet.
                    assert_eq!(store.reader().size(), old);
                    if steps >= 2 {
                        store.write_tiles(&staged).unwrap();
                    }
                    if steps >= 3 {
                        store.fence(&staged).unwrap();
                    }
                    if steps >= 4 {
                        let text = note(staged.new_size, staged.root);
                        store.publish(staged, &text).unwrap();
                    }
                }
            }
            // The next start may be interrupted too: twice gives the same.
            for _ in 0..2 {
                let (store, pending) = dirs.open().unwrap();
                assert_eq!(pending.map(|p| (p.size, p.root)), (1..=3).contains(&steps).then(|| (new, root_of(new))));
                assert_log(&store.reader(), if steps == 4 { new } else { old });
                no_temps(&dirs);
            }
            let (mut store, pending) = dirs.open().unwrap();
            if let Some(pending) = pending {
                assert_eq!(store.fence_state(), Fence { size: new, root: root_of(new), age: Age::Known });
                assert_eq!(store.stage(entries(0, 1)).unwrap_err().code(), "store.order");
                store.publish_pending(pending, &note(new, root_of(new))).unwrap();
            }
            let size = if steps == 0 { old } else { new };
            assert_log(&store.reader(), size);
            commit(&mut store, size, size + 3);
            drop(store);
            is_whole(&dirs, size + 3);
        }
    }
}

#[test]
fn a_crash_in_the_middle_of_writing_tiles_leaves_nothing_behind() {
    let dirs = Dirs::filled(250, 50);
    {
        let (mut store, _) = dirs.open().unwrap();
        store.stage(entries(250, 300)).unwrap();
    }
    // What the interrupted step may have left: temps, whole or cut short, and some of the files under their names.
    fs::write(dirs.log().join("tile/0/.000.tmp"), b"cut sh").unwrap();
    fs::write(dirs.log().join("tile/0/000"), b"").unwrap();
    fs::write(dirs.log().join("tile/entries/.000.tmp"), b"").unwrap();
    fs::write(dirs.log().join(".checkpoint.tmp"), b"half a note").unwrap();
    fs::write(dirs.private().join(".fence.tmp"), b"domov").unwrap();
    let (mut store, pending) = dirs.open().unwrap();
    store.publish_pending(pending.unwrap(), &note(300, root_of(300))).unwrap();
    drop(store);
    no_temps(&dirs);
    is_whole(&dirs, 300);
}

#[test]
fn partial_files_go_only_when_the_full_ones_are_published() {
    let dirs = Dirs::filled(250, 10);
    let partials = [dirs.log().join("tile/0/000.p/250"), dirs.log().join("tile/entries/000.p/250")];
    {
        let (mut store, _) = dirs.open().unwrap();
        let staged = store.stage(entries(250, 260)).unwrap();
        store.write_tiles(&staged).unwrap();
        store.fence(&staged).unwrap();
        assert!(partials.iter().all(|p| p.exists()));
        let text = note(staged.new_size, staged.root);
        store.publish(staged, &text).unwrap();
        assert!(partials.iter().all(|p| !p.exists()));
        // What was published once at a smaller width is still answered.
        let reader = store.reader();
        let tile = reader.read(LogPath::parse("tile/0/000.p/250").unwrap()).unwrap().unwrap();
        assert_eq!(tile.len(), 250 * 32);
        let bundle = reader.read(LogPath::parse("tile/entries/000.p/3").unwrap()).unwrap().unwrap();
        assert_eq!(bundle, [&[0, 0, 0, 8][..], b"entry 1 ", &[0, 16], b"entry 2 entry 2 "].concat());
        // Beyond the published size there is nothing.
        for path in ["tile/0/001.p/5", "tile/0/001", "tile/entries/001.p/5", "tile/1/000.p/2", "tile/2/000.p/1"] {
            assert_eq!(reader.read(LogPath::parse(path).unwrap()).unwrap(), None, "{path}");
        }
        for path in ["tile/0/001.p/4", "tile/1/000.p/1", "checkpoint"] {
            assert!(reader.read(LogPath::parse(path).unwrap()).unwrap().is_some(), "{path}");
        }
    }
    // A crash between publishing and removing.
    fs::create_dir(dirs.log().join("tile/0/000.p")).unwrap();
    fs::write(&partials[0], b"left").unwrap();
    drop(dirs.open().unwrap());
    assert!(!partials[0].exists());
}

#[test]
fn a_torn_journal_was_never_acknowledged() {
    let dirs = Dirs::filled(5, 5);
    let journal = dirs.private().join("journal");
    let before = fs::read(&journal).unwrap();
    {
        let (mut store, _) = dirs.open().unwrap();
        store.stage(entries(5, 9)).unwrap();
    }
    let written = fs::read(&journal).unwrap();
    let length = Record::encode(5, root_of(9), &entries(5, 9)).unwrap().len();
    for torn in 0..length {
        // The file was overwritten up to `torn`, what follows is of the record before; or it ends there.
        let mut over = written[..torn].to_vec();
        over.extend(before.iter().skip(torn));
        for bytes in [over, written[..torn].to_vec()] {
            if bytes.starts_with(&written[..length]) {
                continue; // the last bytes happen to be the same in both
            }
            fs::write(&journal, bytes).unwrap();
            let (store, pending) = dirs.open().unwrap();
            assert!(pending.is_none(), "torn at {torn}");
            assert_eq!(store.reader().size(), 5);
        }
    }
    fs::write(&journal, &written).unwrap();
    assert_eq!(dirs.open().unwrap().1.unwrap().size, 9);
}

#[test]
fn the_fence_survives_a_lost_journal_by_the_tiles() {
    let dirs = Dirs::filled(250, 50);
    {
        let (mut store, _) = dirs.open().unwrap();
        let staged = store.stage(entries(250, 600)).unwrap();
        store.write_tiles(&staged).unwrap();
        store.fence(&staged).unwrap();
    }
    let journal = dirs.private().join("journal");
    let mut bytes = fs::read(&journal).unwrap();
    bytes[100] ^= 1;
    fs::write(&journal, bytes).unwrap();
    let (mut store, pending) = dirs.open().unwrap();
    let pending = pending.unwrap();
    assert_eq!((pending.size, pending.root), (600, root_of(600)));
    store.publish_pending(pending, &note(600, root_of(600))).unwrap();
    drop(store);
    is_whole(&dirs, 600);
}

#[test]
fn a_fence_that_does_not_fit_stops_the_node() {
    let dirs = Dirs::filled(20, 10);
    let path = dirs.private().join("fence");
    let fence = fs::read(&path).unwrap();
    let set = |size, root| Fence { size, root, age: Age::Known }.write(&path).unwrap();
    set(25, root_of(25));
    assert_eq!(dirs.refusal().code(), "fence.ahead");
    set(20, root_of(19));
    assert_eq!(dirs.refusal().code(), "fence.fork");
    set(10, root_of(10));
    assert_eq!(dirs.refusal().code(), "fence.behind");
    fs::write(&path, b"").unwrap();
    assert_eq!(dirs.refusal().code(), "fence.form");
    fs::remove_file(&path).unwrap();
    let lost = dirs.refusal();
    assert_eq!(lost.code(), "fence.lost");
    assert!(!lost.remedy().is_empty());
    assert!(!path.exists(), "a refusal must not make a new fence");
    // Even if nothing but the journal is left.
    let emptied = Dirs::filled(0, 1);
    drop(emptied.open().unwrap());
    fs::remove_file(emptied.private().join("fence")).unwrap();
    assert_eq!(emptied.refusal().code(), "fence.lost");
    fs::write(&path, fence).unwrap();
    assert_log(&dirs.open().unwrap().0.reader(), 20);
}

#[test]
fn a_lost_checkpoint_is_signed_again_as_it_was() {
    let dirs = Dirs::filled(700, 300);
    fs::remove_file(dirs.log().join("checkpoint")).unwrap();
    let (mut store, pending) = dirs.open().unwrap();
    store.publish_pending(pending.unwrap(), &note(700, root_of(700))).unwrap();
    assert_log(&store.reader(), 700);
    drop(store);
    // An older checkpoint with an unfenced journal record that does not continue it is no way forward.
    fs::write(dirs.log().join("checkpoint"), note(100, root_of(100))).unwrap();
    Fence { size: 100, root: root_of(100), age: Age::Known }.write(&dirs.private().join("fence")).unwrap();
    assert_eq!(dirs.refusal().code(), "journal.gap");
}

#[test]
fn a_restored_fence_wants_a_word() {
    let dirs = Dirs::filled(20, 10);
    let path = dirs.private().join("fence");
    Fence { size: 20, root: root_of(20), age: Age::Restored }.write(&path).unwrap();
    let (mut store, _) = dirs.open().unwrap();
    assert_eq!(store.fence_state().age, Age::Restored);
    assert_eq!(store.stage(entries(20, 21)).unwrap_err().code(), "fence.restored");
    assert_eq!(store.confirm_restored(None).unwrap_err().code(), "fence.restored");
    assert_eq!(store.confirm_restored(Some(21)).unwrap_err().code(), "fence.restored");
    store.confirm_restored(Some(20)).unwrap();
    commit(&mut store, 20, 21);
    store.confirm_restored(None).unwrap();
    drop(store);
    assert_eq!(dirs.open().unwrap().0.fence_state().age, Age::Known);
}

#[test]
fn one_writer_at_a_time() {
    let dirs = Dirs::filled(3, 3);
    let first = dirs.open().unwrap();
    assert_eq!(dirs.refusal().code(), "storage.locked");
    drop(first);
    dirs.open().unwrap();
}

#[test]
fn steps_out_of_order_and_foreign_checkpoints_are_refused() {
    let dirs = Dirs::filled(3, 3);
    let (mut store, _) = dirs.open().unwrap();
    for (bad, code) in [(vec![], "stage.empty"), (vec![vec![0; 65_536]], "stage.entry-too-long")] {
        assert_eq!(store.stage(bad).unwrap_err().code(), code);
    }
    let staged = store.stage(entries(3, 5)).unwrap();
    assert_eq!(store.stage(entries(3, 5)).unwrap_err().code(), "store.order");
    assert_eq!(store.fence(&staged).unwrap_err().code(), "store.order");
    store.write_tiles(&staged).unwrap();
    assert_eq!(store.write_tiles(&staged).unwrap_err().code(), "store.order");
    store.fence(&staged).unwrap();
    assert_eq!(store.publish(staged, &note(5, root_of(4))).unwrap_err().code(), "publish.head");
    drop(store);
    let (mut store, pending) = dirs.open().unwrap();
    store.publish_pending(pending.unwrap(), &note(5, root_of(5))).unwrap();
    assert_log(&store.reader(), 5);
}

#[test]
fn a_failed_write_closes_the_store_until_the_next_start() {
    let dirs = Dirs::filled(3, 3);
    let (mut store, _) = dirs.open().unwrap();
    let staged = store.stage(entries(3, 5)).unwrap();
    // A directory where a file is to go fails for root too.
    let blocked = dirs.log().join("tile/entries/000.p/5");
    fs::create_dir_all(blocked.join("x")).unwrap();
    assert_eq!(store.write_tiles(&staged).unwrap_err().code(), "disk.write");
    fs::remove_dir_all(&blocked).unwrap();
    assert_eq!(store.write_tiles(&staged).unwrap_err().code(), "store.broken");
    drop(store);
    let (mut store, pending) = dirs.open().unwrap();
    store.publish_pending(pending.unwrap(), &note(5, root_of(5))).unwrap();
    assert_log(&store.reader(), 5);
}

#[test]
fn a_flipped_bit_in_any_file_is_named_and_repaired_or_harmless() {
    let dirs = Dirs::filled(600, 150);
    // Looked at by every start, which makes them anew: the head, and the right edge of the tree.
    let at_start = ["checkpoint", "tile/1/000.p/2", "tile/0/002.p/88", "tile/entries/002.p/88"];
    let inner = ["tile/0/000", "tile/0/001", "tile/entries/000", "tile/entries/001"];
    for path in files_below(dirs.base.path()) {
        let good = fs::read(&path).unwrap();
        let steps = if good.len() > 512 { 97 } else { 1 };
        let name = path.strip_prefix(dirs.base.path()).unwrap().display().to_string();
        let served = name.strip_prefix("log/").filter(|n| at_start.contains(n) || inner.contains(n));
        for at in (0..good.len()).step_by(steps) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(&path, &bad).unwrap();
            let key = signer().verifier().clone();
            let checked =
                fsck::check(&DirSource::new(dirs.log()), Some(&key), &mut |_, _| Ok(()), &mut |_, _| {}).unwrap();
            // The journal's last batch is published already; partial files of older sizes are not part of the log.
            match (served, checked.problems.first()) {
                (Some(below), Some(first)) => assert!(first.detail().contains(below), "{first}"),
                (Some(_), None) => panic!("{name}: bit at byte {at} went unseen"),
                (None, first) => assert!(first.is_none(), "{name}: {first:?}"),
            }
            match dirs.open() {
                Ok((mut store, pending)) => {
                    assert_eq!(pending.is_some(), name == "log/checkpoint", "{name}: byte {at}");
                    if let Some(pending) = pending {
                        store.publish_pending(pending, &note(600, root_of(600))).unwrap();
                    }
                    // Inner files are not looked at by a start, only by fsck; heads stay what they were.
                    assert_eq!(store.reader().head(), (600, root_of(600)));
                    let repaired = fs::read(&path).unwrap();
                    assert_eq!(repaired == good, served.is_some_and(|n| at_start.contains(&n)), "{name}: byte {at}");
                }
                Err(e) if name == "private/fence" => assert_eq!(e.code(), "fence.form", "byte {at}"),
                Err(e) => panic!("{name} byte {at}: {e}"),
            }
            fs::write(&path, &good).unwrap();
        }
    }
    is_whole(&dirs, 600);
}

/// What another log's key signed is not damage, and is not set aside.
#[test]
fn a_checkpoint_of_another_log_is_not_taken_for_damage() {
    let dirs = Dirs::filled(600, 150);
    let key = ed25519_dalek::SigningKey::from_bytes(&[77; 32]);
    let other = domovoi::tlog::note::NoteSigner::new("other.example/1", key).unwrap();
    let head = Checkpoint { origin: "other.example/1".into(), size: 600, root: root_of(600) };
    let text = head.sign(&other).unwrap();
    fs::write(dirs.log().join("checkpoint"), &text).unwrap();
    assert_eq!(dirs.open().err().unwrap().code(), "log.origin");
    assert_eq!(fs::read_to_string(dirs.log().join("checkpoint")).unwrap(), text);
}

#[test]
fn a_missing_or_cut_file_is_an_error_for_its_reader_only() {
    let dirs = Dirs::filled(600, 150);
    let (store, _) = dirs.open().unwrap();
    let reader = store.reader();
    fs::write(dirs.log().join("tile/entries/000"), b"\0\x01").unwrap();
    fs::remove_file(dirs.log().join("tile/0/001")).unwrap();
    assert_eq!(reader.entry(3).unwrap_err().code(), "bundle.truncated");
    assert_eq!(reader.read(TileId { level: 0, index: 1, width: 256 }.into()).unwrap_err().code(), "tile.missing");
    // An entry is given with its hash only.
    assert_eq!(reader.entry(300).unwrap_err().code(), "tile.missing");
    assert_eq!(reader.entry(599).unwrap(), entries(599, 600)[0]);
    let found = fsck::check(&DirSource::new(dirs.log()), None, &mut |_, _| Ok(()), &mut |_, _| {}).unwrap();
    let codes: Vec<_> = found.problems.iter().map(|p| p.code()).collect();
    assert_eq!(codes, ["bundle.truncated", "fsck.missing"]);
}

proptest! {
    #[test]
    fn the_journal_reads_back_what_it_wrote(
        old in 0..u64::MAX / 2,
        entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..20),
        tail in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut bytes = Record::encode(old, Hash([9; 32]), &entries).unwrap();
        bytes.extend(tail);
        let new_size = old + entries.len() as u64;
        prop_assert_eq!(Record::decode(&bytes), Some(Record { old_size: old, new_size, root: Hash([9; 32]), entries }));
    }

    #[test]
    fn the_journal_takes_no_changed_record(
        entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..20),
        at in any::<prop::sample::Index>(),
        flip in 1..=255u8,
    ) {
        let mut bytes = Record::encode(3, Hash([9; 32]), &entries).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert_eq!(Record::decode(&bytes), None);
    }

    #[test]
    fn the_journal_and_the_fence_survive_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(Record::decode(&bytes), None);
        let mut framed = b"DMJ0".to_vec();
        framed.extend(&bytes);
        prop_assert_eq!(Record::decode(&framed), None);
        prop_assert_eq!(Fence::parse(&bytes).unwrap_err().code(), "fence.form");
    }
}
