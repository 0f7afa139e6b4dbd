//! Repair of a log from what is redundant in it, and mirrors, which heal themselves or begin anew without forgetting.

use std::fs;
use std::path::Path;

use domovoi::storage::mirror_store::MirrorStore;
use domovoi::storage::repair::repair;
use domovoi::tlog::tile::{BundleId, LogPath, TileId};

use crate::storage::{Dirs, assert_log, entries, is_whole, note, root_of, signer};

#[test]
fn a_damaged_log_is_repaired_from_itself_or_from_another_copy() {
    let dirs = Dirs::filled(70_000, 30_000);
    let other = tempfile::tempdir().unwrap();
    let backup = other.path().join("log");
    assert!(std::process::Command::new("cp").arg("-a").args([dirs.log(), backup.clone()]).status().unwrap().success());
    let of = |from: Option<&Path>| repair(&dirs.log(), 70_000, root_of(70_000), &[], from);
    assert!(of(None).unwrap().written.is_empty());
    let damage = |name: &str, how: &dyn Fn(&mut Vec<u8>)| {
        let path = dirs.log().join(name);
        let mut bytes = fs::read(&path).unwrap();
        how(&mut bytes);
        fs::write(&path, bytes).unwrap();
    };
    // Every tile follows from the entries, at every level, cut, emptied or gone.
    damage("tile/0/007", &|b| b[300] ^= 4);
    damage("tile/0/273.p/112", &|b| b.truncate(9));
    damage("tile/1/000", &|b| b.fill(0));
    damage("tile/2/000.p/1", &|b| b.clear());
    fs::remove_file(dirs.log().join("tile/1/001.p/17")).unwrap();
    fs::remove_file(dirs.log().join("tile/0/100")).unwrap();
    let done = of(None).unwrap();
    assert_eq!((done.written.len(), done.lost.len()), (6, 0), "{done:?}");
    is_whole(&dirs, 70_000);
    // Entries of which there is no second copy are not made up; what is left of the bundle is not written over.
    let path = dirs.log().join("tile/entries/009");
    damage("tile/entries/009", &|b| b[1000] ^= 1);
    let damaged = fs::read(&path).unwrap();
    let done = of(None).unwrap();
    assert_eq!((done.written.len(), done.lost.len(), done.lost[0].1), (0, 1, 1));
    assert_eq!(fs::read(&path).unwrap(), damaged);
    // Another copy has it, and where that is damaged too, in another place, both together are enough.
    let mut theirs = fs::read(backup.join("tile/entries/009")).unwrap();
    theirs[30] ^= 1;
    fs::write(backup.join("tile/entries/009"), theirs).unwrap();
    assert_eq!(of(Some(&backup)).unwrap().written.len(), 1);
    is_whole(&dirs, 70_000);
    // A bundle that cannot be read at all, and a tile that is wrong elsewhere.
    damage("tile/entries/001", &|b| b.clear());
    damage("tile/0/002", &|b| b[0] ^= 1);
    assert_eq!(of(Some(&backup)).unwrap().written.len(), 2);
    is_whole(&dirs, 70_000);
    // Both gone: said, and nothing written.
    damage("tile/entries/001", &|b| b.clear());
    damage("tile/0/001", &|b| b.clear());
    assert_eq!(of(Some(&backup)).unwrap_err().code(), "repair.unreadable");
    // A head that nothing leads to.
    let (dirs, wrong) = (Dirs::filled(300, 300), root_of(299));
    assert_eq!(repair(&dirs.log(), 300, wrong, &[], None).unwrap_err().code(), "repair.root");
    is_whole(&dirs, 300);
}

#[test]
fn a_mirror_is_durable_verified_and_all_or_none() {
    let dirs = Dirs::new();
    let open = || MirrorStore::open(&dirs.log(), &[signer().verifier()]);
    {
        let mut mirror = open().unwrap();
        assert_eq!(open().map(drop).unwrap_err().code(), "storage.locked");
        mirror.append(&entries(0, 300)).unwrap();
        assert_eq!(mirror.publish(&note(301, root_of(301))).unwrap_err().code(), "mirror.size");
        assert_eq!(mirror.publish(&note(300, root_of(299))).unwrap_err().code(), "mirror.root");
        mirror.publish(&note(300, root_of(300))).unwrap();
        assert_log(&mirror.reader(), 300);
        // Appended and not yet under a checkpoint: there for the node, not served.
        mirror.append(&entries(300, 600)).unwrap();
        let reader = mirror.reader();
        assert_eq!(reader.head(), (600, root_of(600)));
        assert_eq!(reader.entries(290..600).unwrap().all(), entries(290, 600));
        assert_eq!(reader.read(LogPath::parse("tile/0/001").unwrap()).unwrap(), None);
        assert!(reader.read(LogPath::parse("tile/0/001.p/44").unwrap()).unwrap().is_some());
        assert!(dirs.log().join("tile/0/001.p/44").exists());
    }
    let mut mirror = open().unwrap();
    assert_eq!(mirror.reader().head(), (600, root_of(600)));
    assert_eq!(&*mirror.reader().checkpoint_text().unwrap(), note(300, root_of(300)));
    mirror.publish(&note(600, root_of(600))).unwrap();
    assert_eq!(mirror.publish(&note(300, root_of(300))).unwrap_err().code(), "mirror.rollback");
    assert!(!dirs.log().join("tile/0/001.p").exists());
    drop(mirror);
    is_whole(&dirs, 600);

    // An append that was cut off: the head says where it went, its files go.
    let head = dirs.private().join("head");
    let (text, sum) = ("domovoi mirror 1\n600\n", |t: &str| {
        data_encoding::HEXLOWER.encode(&<sha2::Sha256 as sha2::Digest>::digest(t))
    });
    let written = format!("{text}{}\n600\n", root_of(600).to_base64());
    assert_eq!(fs::read_to_string(&head).unwrap(), format!("{written}{}\n", sum(&written)));
    let intent = format!("{text}{}\n800\n", root_of(600).to_base64());
    fs::write(&head, format!("{intent}{}\n", sum(&intent))).unwrap();
    let left = [TileId { level: 0, index: 2, width: 256 }.to_string(), BundleId { index: 3, width: 32 }.to_string()];
    for path in &left {
        let path = dirs.log().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"of another log").unwrap();
    }
    let mut mirror = open().unwrap();
    assert!(left.iter().all(|path| !dirs.log().join(path).exists()));
    mirror.append(&entries(600, 900)).unwrap();
    mirror.publish(&note(900, root_of(900))).unwrap();
    drop(mirror);
    is_whole(&dirs, 900);

    // Head, checkpoint and tiles follow from one another.
    for damaged in ["log/tile/0/003.p/132", "private/head", "log/checkpoint", "log/tile/1/000.p/3"] {
        let path = dirs.base.path().join(damaged);
        let good = fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(7) {
            let mut bad = good.clone();
            bad[at] ^= 4;
            fs::write(&path, bad).unwrap();
            let mut mirror = open().unwrap();
            assert_eq!(mirror.reader().head(), (900, root_of(900)), "{damaged}: byte {at}");
            mirror.publish(&note(900, root_of(900))).unwrap();
            fs::write(&path, &good).unwrap();
        }
    }
    // Entries are nowhere else: the mirror begins anew, and does not forget.
    for (fork, at) in [(true, 0), (false, 77)] {
        let path = dirs.log().join("tile/entries/003.p/132");
        let mut bad = fs::read(&path).unwrap();
        let last = bad.len() - 3;
        bad[last] ^= 4;
        fs::write(&path, bad).unwrap();
        let mut mirror = open().unwrap();
        assert_eq!((mirror.reader().head().0, mirror.reader().checkpoint_text()), (0, None));
        if fork {
            mirror.append(&entries(10_000, 11_000)).unwrap();
            let (size, root) = mirror.reader().head();
            assert_eq!(mirror.publish(&note(size, root)).unwrap_err().code(), "mirror.root");
            drop(mirror);
            fs::remove_dir_all(dirs.log()).unwrap();
            fs::remove_file(dirs.private().join("head")).unwrap();
            mirror = open().unwrap();
        }
        mirror.append(&entries(0, 800)).unwrap();
        assert_eq!(mirror.publish(&note(800, root_of(800))).unwrap_err().code(), "mirror.rollback");
        drop(mirror);
        let mut mirror = open().unwrap();
        mirror.append(&entries(800, 900 + at)).unwrap();
        mirror.publish(&note(900 + at, root_of(900 + at))).unwrap();
        drop(mirror);
        is_whole(&dirs, 900 + at);
        if fork {
            continue;
        }
        assert!(!dirs.private().join("floor").exists());
    }
}
