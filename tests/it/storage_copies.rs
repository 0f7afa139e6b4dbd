//! Backup of a log that is being written, restore, format version, key files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use domovoi::error::Action;
use domovoi::storage::fence::Age;
use domovoi::storage::log_store::{LogReader, LogStore};
use domovoi::storage::{backup, durable, format, keys};
use ed25519_dalek::Signer;
use secrecy::SecretString;

use crate::storage::{Dirs, assert_log, commit, entries, files_below, root_of, signer};

#[test]
fn a_backup_of_a_running_log_restores_to_a_prefix() {
    let dirs = Dirs::new();
    let (mut store, _) = dirs.open().unwrap();
    commit(&mut store, 0, 700);
    let reader = store.reader();
    let secret = dirs.base.path().join("log.pem");
    durable::write_private(&secret, b"sealed").unwrap();
    let extra = [("keys/log.pem".to_owned(), secret)];
    let stop = AtomicBool::new(false);
    let reports = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut at = 700;
            while !stop.load(Ordering::SeqCst) {
                commit(&mut store, at, at + 37);
                at += 37;
            }
        });
        let reports: Vec<_> = (0..4)
            .map(|n| {
                let out = dirs.base.path().join(format!("backup{n}"));
                // Half of them as another process would, which knows of the log only what is on disk.
                let reader = if n % 2 == 0 { reader.clone() } else { LogReader::open(&dirs.log()).unwrap() };
                (out.clone(), backup::backup(&reader, &extra, &out))
            })
            .collect();
        stop.store(true, Ordering::SeqCst);
        reports
    });
    let mut sizes = Vec::new();
    for (n, (out, report)) in reports.into_iter().enumerate() {
        let report = report.unwrap();
        assert_eq!(report.root, root_of(report.size));
        sizes.push(report.size);
        let data = dirs.base.path().join(format!("data{n}"));
        assert_eq!(backup::restore(&out, &data).unwrap(), report);
        format::check(&data).unwrap();
        assert_eq!(fs::metadata(data.join("keys/log.pem")).unwrap().permissions().mode() & 0o777, 0o600);
        let (mut restored, pending) =
            LogStore::open(&data.join("log"), &data.join("private"), &[signer().verifier()]).unwrap();
        assert!(pending.is_none());
        assert_eq!((restored.fence_state().size, restored.fence_state().age), (report.size, Age::Restored));
        assert_log(&restored.reader(), report.size);
        restored.confirm_restored(Some(report.size)).unwrap();
        commit(&mut restored, report.size, report.size + 300);
        assert_log(&restored.reader(), report.size + 300);
        assert_eq!(backup::restore(&out, &data).unwrap_err().code(), "restore.not-empty");
    }
    assert!(sizes.windows(2).all(|w| w[0] <= w[1]) && sizes[3] > sizes[0], "{sizes:?}");
    assert_eq!(backup::backup(&reader, &[], &dirs.base.path().join("backup0")).unwrap_err().code(), "backup.not-empty");
    let mut sums = Command::new("sha256sum");
    if let Ok(status) = sums.args(["-c", "--quiet", "MANIFEST"]).current_dir(dirs.base.path().join("backup0")).status()
    {
        assert!(status.success());
    }
}

#[test]
fn a_damaged_backup_is_refused_and_installs_nothing() {
    let dirs = Dirs::filled(300, 100);
    let reader = dirs.open().unwrap().0.reader();
    let (out, data) = (dirs.base.path().join("backup"), dirs.base.path().join("data"));
    backup::backup(&reader, &[], &out).unwrap();
    for path in files_below(&out) {
        let good = fs::read(&path).unwrap();
        for bad in [
            None,
            Some(vec![]),
            Some(good.iter().enumerate().map(|(i, b)| if i == good.len() / 2 { b ^ 1 } else { *b }).collect()),
        ] {
            match bad {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let error = backup::restore(&out, &data).unwrap_err();
            let codes = ["backup.changed", "backup.manifest", "disk.missing", "tile.truncated", "disk.too-large"];
            assert!(codes.contains(&error.code()), "{}: {error}", path.display());
            assert!(!data.exists());
            fs::write(&path, &good).unwrap();
        }
    }
    // A manifest that leads elsewhere, and one that agrees with a changed log.
    let manifest = out.join("MANIFEST");
    let good = fs::read_to_string(&manifest).unwrap();
    for name in ["../x", "/etc/x", "private/fence", "a/../../x", "."] {
        fs::write(&manifest, good.replace("  log/checkpoint", &format!("  {name}"))).unwrap();
        assert_eq!(backup::restore(&out, &data).unwrap_err().code(), "backup.manifest", "{name}");
    }
    let bundle = out.join("log/tile/entries/000");
    let before = fs::read(&bundle).unwrap();
    let mut changed = before.clone();
    changed[40] ^= 1;
    fs::write(&bundle, &changed).unwrap();
    let digest = |bytes: &[u8]| data_encoding::HEXLOWER.encode(&<sha2::Sha256 as sha2::Digest>::digest(bytes));
    fs::write(&manifest, good.replace(&digest(&before), &digest(&changed))).unwrap();
    assert_eq!(backup::restore(&out, &data).unwrap_err().code(), "backup.log");
    assert!(!data.exists());
    for name in ["log/x", "../x", "/x", "FORMAT", "MANIFEST", "a\nb", ""] {
        let extra = [(name.to_owned(), manifest.clone())];
        let error = backup::backup(&reader, &extra, &dirs.base.path().join("other")).unwrap_err();
        assert_eq!(error.code(), "backup.name", "{name:?}");
        fs::remove_dir_all(dirs.base.path().join("other")).unwrap();
    }
}

#[test]
fn a_backup_of_an_empty_log_restores() {
    let dirs = Dirs::new();
    let reader = dirs.open().unwrap().0.reader();
    let (out, data) = (dirs.base.path().join("backup"), dirs.base.path().join("data"));
    assert_eq!(backup::backup(&reader, &[], &out).unwrap().size, 0);
    backup::restore(&out, &data).unwrap();
    let (mut store, _) = LogStore::open(&data.join("log"), &data.join("private"), &[signer().verifier()]).unwrap();
    assert_eq!(store.stage(entries(0, 1)).unwrap_err().code(), "fence.restored");
}

#[test]
fn only_this_format_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let missing = format::check(dir.path()).unwrap_err();
    assert_eq!((missing.code(), missing.action()), ("format.missing", Action::Refuse));
    format::create(dir.path()).unwrap();
    format::check(dir.path()).unwrap();
    for text in ["domovoi data 1\n", "domovoi data 0", "", &"x".repeat(10_000)] {
        fs::write(dir.path().join("FORMAT"), text).unwrap();
        let error = format::check(dir.path()).unwrap_err();
        assert_eq!((error.code(), error.action()), ("format.unknown", Action::Stop));
        assert!(!error.remedy().is_empty());
    }
}

fn secret(text: &str) -> SecretString {
    text.to_owned().into()
}

/// Runs openssl; `None`, with a message, where it is not installed.
fn openssl(dir: &Path, args: &[&str]) -> Option<String> {
    match Command::new("openssl").args(args).current_dir(dir).output() {
        Ok(out) => {
            assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
            Some(String::from_utf8(out.stdout).unwrap())
        }
        Err(e) => {
            eprintln!("skipped: openssl does not run here ({e})");
            None
        }
    }
}

#[test]
fn keys_go_to_openssl_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("log.pem");
    let key = keys::generate();
    assert_ne!(key.to_bytes(), keys::generate().to_bytes());
    keys::write_encrypted(&path, &key, &secret("pass пароль")).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(keys::read(&path, &secret("pass пароль")).unwrap().to_bytes(), key.to_bytes());
    for wrong in ["", "pass", "pass пароль "] {
        assert_eq!(keys::read(&path, &secret(wrong)).unwrap_err().code(), "key.passphrase");
    }
    assert_eq!(keys::write_encrypted(&path, &key, &secret("")).unwrap_err().code(), "key.passphrase");
    let public = keys::public_pem(&key.verifying_key()).unwrap();
    assert_eq!(keys::read_public(&public).unwrap(), key.verifying_key());
    assert_eq!(keys::read_public(&public[1..]).unwrap_err().code(), "key.form");

    let Some(theirs) = openssl(dir.path(), &["pkey", "-in", "log.pem", "-passin", "pass:pass пароль", "-pubout"])
    else {
        return;
    };
    assert_eq!(theirs, public);
    for (name, extra) in [("a", &["-v2", "aes-256-cbc"][..]), ("b", &["-scrypt"])] {
        openssl(dir.path(), &["genpkey", "-algorithm", "ed25519", "-out", "plain.pem"]).unwrap();
        let args = ["pkcs8", "-topk8", "-in", "plain.pem", "-passout", "pass:x", "-out", name];
        openssl(dir.path(), &[&args[..], extra].concat()).unwrap();
        let read = keys::read(&dir.path().join(name), &secret("x")).unwrap();
        let public = openssl(dir.path(), &["pkey", "-in", "plain.pem", "-pubout"]).unwrap();
        assert_eq!(keys::read_public(&public).unwrap(), read.verifying_key());
        read.verifying_key().verify_strict(b"m", &read.sign(b"m")).unwrap();
        // Not encrypted: refused, so that nobody keeps such a key by mistake.
        assert_eq!(keys::read(&dir.path().join("plain.pem"), &secret("x")).unwrap_err().code(), "key.form");
    }
    let args = [
        "pkcs8",
        "-topk8",
        "-in",
        "plain.pem",
        "-passout",
        "pass:x",
        "-out",
        "c",
        "-v2",
        "aes-256-cbc",
        "-iter",
        "20000000",
    ];
    openssl(dir.path(), &args).unwrap();
    assert_eq!(keys::read(&dir.path().join("c"), &secret("x")).unwrap_err().code(), "key.kdf");
}

#[test]
fn damaged_key_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("k.pem");
    keys::write_encrypted(&path, &keys::generate(), &secret("x")).unwrap();
    let good = fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        let code = keys::read(&path, &secret("x")).map_err(|e| e.code());
        assert!(matches!(code, Err("key.form" | "key.passphrase" | "key.kdf" | "key.changed")), "byte {at}: {code:?}");
        fs::write(&path, &good[..at]).unwrap();
        assert!(keys::read(&path, &secret("x")).is_err(), "cut at {at}");
    }
    fs::write(&path, vec![b'-'; 20_000]).unwrap();
    assert_eq!(keys::read(&path, &secret("x")).unwrap_err().code(), "disk.too-large");
    assert_eq!(keys::read(&dir.path().join("none"), &secret("x")).unwrap_err().code(), "disk.missing");
}
