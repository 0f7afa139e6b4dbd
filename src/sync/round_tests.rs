use axum::http::StatusCode;
use ed25519_dalek::SigningKey;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tempfile::TempDir;
use tokio::sync::mpsc::channel;

use super::*;
use crate::storage::mirror_store::MirrorStore;
use crate::sync::client::{Answer, Network, Transport};
use crate::tlog::note::NoteSigner;

/// A log that its own node serves, but for one resource, of which the last byte is another.
struct Served {
    reader: LogReader,
    changed: Option<String>,
}

impl Transport for Served {
    fn ask<'a>(&'a self, _: &'a str, path: &'a str, _: Option<Vec<u8>>) -> BoxFuture<'a, Result<Answer>> {
        let found = LogPath::parse(path.strip_prefix("log/").unwrap()).and_then(|id| self.reader.read(id));
        let answer = found.map(|bytes| match bytes {
            Some(mut bytes) => {
                if self.changed.as_deref() == Some(path) {
                    *bytes.last_mut().unwrap() ^= 1;
                }
                (StatusCode::OK, bytes)
            }
            None => (StatusCode::NOT_FOUND, Vec::new()),
        });
        async { answer }.boxed()
    }
}

fn entry(index: u64) -> Vec<u8> {
    index.to_be_bytes().to_vec()
}

/// A log of so many entries and its checkpoint.
fn log(size: u64) -> (TempDir, MirrorStore, VerifiedCheckpoint) {
    log_of(size, entry)
}

fn log_of(size: u64, entry: impl Fn(u64) -> Vec<u8>) -> (TempDir, MirrorStore, VerifiedCheckpoint) {
    let (dir, signer) =
        (tempfile::tempdir().unwrap(), NoteSigner::new("log.example", SigningKey::from_bytes(&[7; 32])).unwrap());
    let mut store = MirrorStore::open(&dir.path().join("log"), &[]).unwrap();
    if size > 0 {
        store.append(&(0..size).map(entry).collect::<Vec<_>>()).unwrap();
    }
    let root = store.reader().head().1;
    let note = Checkpoint { origin: "log.example".into(), size, root }.sign(&signer).unwrap();
    store.publish(&note).unwrap();
    let verified = open_checkpoint(note.as_bytes(), &[signer.verifier().clone()], "log.example").unwrap();
    (dir, store, verified)
}

/// What comes of `stored` entries here and a peer that serves all: the entries, or the code of the error.
async fn taken(
    (here, stored): (&LogReader, u64),
    (reader, head): (&LogReader, &VerifiedCheckpoint),
    changed: Option<&str>,
) -> std::result::Result<Vec<Vec<u8>>, &'static str> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let served = Served { reader: reader.clone(), changed: changed.map(str::to_owned) };
    let peer = Network::simulated(Arc::new(served)).configured("https://peer.example", None).unwrap();
    let found = proved(&peer, (here, stored), head).await.map_err(|e| e.code())?;
    let (send, mut arriving) = channel(4);
    tokio::spawn(proved_bundles(peer, (stored, head.checkpoint().size), Arc::new(found), send));
    let mut entries = Vec::new();
    while let Some(bundle) = arriving.recv().await {
        let (bundle, _share) = bundle.map_err(|e| e.code())?;
        assert_eq!(bundle.leaves, bundle.entries.iter().map(leaf_hash).collect::<Vec<_>>());
        entries.extend(bundle.entries.iter().map(<[u8]>::to_vec));
    }
    Ok(entries)
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_are_proved_wherever_the_log_here_ends_and_nothing_changed_is_taken() {
    let (_dir, whole, head) = log(70_000);
    for stored in [0, 1, 255, 256, 300, 65_536, 65_700, 69_888, 69_900, 70_000] {
        let (_dir, here, _) = log(stored);
        let (own, peer) = (here.reader(), (&whole.reader(), &head));
        assert_eq!(taken((&own, stored), peer, None).await, Ok((stored..70_000).map(entry).collect()), "{stored}");
        let (first, last) = (stored / 256, 70_000 / 256);
        let mut needed = vec![format!("log/tile/0/{last}.p/112")];
        if first < last {
            needed.push(format!("log/tile/1/001.p/{}", last - 256));
        }
        if first < 256 {
            needed.push("log/tile/1/000".into());
        }
        if stored % 256 != 0 && first < last {
            needed.push(format!("log/{}", LogPath::Tile(TileId::in_tree(0, first, 70_000).unwrap())));
        }
        if stored < 70_000 {
            needed.push(format!("log/{}", LogPath::Bundle(BundleId::in_tree(first, 70_000).unwrap())));
            needed.push(format!("log/tile/entries/{last}.p/112"));
        }
        for path in needed {
            let found = taken((&own, stored), peer, Some(&path)).await.map(|entries| entries.len());
            assert_eq!(found, Err("peer.root"), "{stored}: {path}");
        }
    }
    assert_eq!(taken((&whole.reader(), 70_001), (&whole.reader(), &head), None).await, Err("peer.root"));
    // Logs here that are no beginning of it: from the first entry on, and in the bundle that is not full alone.
    for differs in [0, 256] {
        let dir = tempfile::tempdir().unwrap();
        let mut forked = MirrorStore::open(&dir.path().join("log"), &[]).unwrap();
        let other = |index| if index < differs { entry(index) } else { entry(index * 2) };
        forked.append(&(0..300).map(other).collect::<Vec<_>>()).unwrap();
        let found = taken((&forked.reader(), 300), (&whole.reader(), &head), None).await.map(|entries| entries.len());
        assert_eq!(found, Err("peer.root"), "{differs}");
    }
}

#[tokio::test]
async fn large_bundles_wait_by_their_bytes_and_not_by_their_number() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (_dir, whole, head) = log_of(4 * 256, |_| vec![7; 60_000]);
    let served = Served { reader: whole.reader(), changed: None };
    let peer = Network::simulated(Arc::new(served)).configured("https://peer.example", None).unwrap();
    let (_here, none, _) = log(0);
    let found = proved(&peer, (&none.reader(), 0), &head).await.unwrap();
    let (send, mut arriving) = channel(8);
    let sending = tokio::spawn(proved_bundles(peer, (0, 4 * 256), Arc::new(found), send));
    // Two of 15 MB are all that may wait; each that is taken makes room for one.
    for left in [2, 2, 2, 1] {
        let full = async {
            while arriving.len() < left {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), full).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert_eq!(arriving.len(), left);
        drop(arriving.recv().await.unwrap().unwrap());
    }
    sending.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn small_logs_are_proved_from_their_ends() {
    for (stored, size) in [(0, 0), (0, 1), (1, 1), (5, 200), (0, 256), (5, 256), (256, 256), (200, 257), (256, 512)] {
        let ((_one, here, _), (_other, whole, head)) = (log(stored), log(size));
        let entries = taken((&here.reader(), stored), (&whole.reader(), &head), None).await;
        assert_eq!(entries, Ok((stored..size).map(entry).collect()), "{stored} of {size}");
    }
}
