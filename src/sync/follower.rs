//! One followed log: its mirror, its index, its state, and what became of the last rounds.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::client::{Peer, Transport};
use super::evidence::Evidence;
use super::round;
use crate::error::{Action, Error, Result};
use crate::federation::chain::CharterChain;
use crate::federation::charter::VerifiedCharter;
use crate::federation::roster::Roster;
use crate::node::charters::{keep_latest, read_chain};
use crate::node::clock::Clock;
use crate::node::layout::Layout;
use crate::node::load::{index_batch, join_batches, load, ring_of};
use crate::node::log_view::{LogView, Role};
use crate::node::{FollowStatus, Followed, Held};
use crate::registry::replay::{PreparedChunk, Preparer, Replay, Trust};
use crate::registry::verify::KeyRing;
use crate::storage::durable::{create_dir, read_bounded, write_atomic};
use crate::storage::index::{Index, IndexBatch, SledIndex};
use crate::storage::log_store::Entries;
use crate::storage::mirror_store::MirrorStore;
use crate::tlog::checkpoint::VerifiedCheckpoint;
use crate::tlog::note::VerifierKey;
use crate::tlog::tile::{BundleId, bundles_between};

/// Bundles fetched and not yet part of the mirror, as files, so that an interrupted round goes on where it stopped.
/// They prove nothing by themselves: all are hashed against the checkpoint in every round.
#[derive(Clone)]
pub struct Incoming(PathBuf);

impl Incoming {
    fn path(&self, id: BundleId) -> PathBuf {
        self.0.join(format!("{}-{}", id.index, id.width))
    }
    /// True where the bundle is there.
    pub fn has(&self, id: BundleId) -> bool {
        self.path(id).exists()
    }
    /// Keeps a bundle. Not durable: losing it costs a request.
    pub fn put(&self, id: BundleId, bytes: &[u8]) -> Result<()> {
        let io = |e: std::io::Error| {
            Error::retry("mirror.incoming", format!("{}: {e}", self.0.display()), "make room on the disk")
        };
        std::fs::create_dir_all(&self.0).map_err(io)?;
        let temp = self.0.join(format!(".{}", id.index));
        std::fs::write(&temp, bytes).map_err(io)?;
        std::fs::rename(&temp, self.path(id)).map_err(io)
    }
    /// Reads a bundle back.
    pub fn read(&self, id: BundleId) -> Result<Vec<u8>> {
        read_bounded(&self.path(id), super::client::limit::BUNDLE as u64)
    }
    fn clear(&self) {
        // Leftovers are fetched again or overwritten; failing to remove them harms nothing.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Entries verified and applied at a time: few enough that readers wait some tens of milliseconds at most.
const STEP: u64 = 4096;

/// What only the round in progress may touch.
struct Work {
    mirror: MirrorStore,
    index: SledIndex,
    ring: KeyRing,
}

/// One followed log.
pub struct Follower {
    /// What readers see.
    pub followed: Arc<Followed>,
    peer: Peer,
    clock: Clock,
    layout: Layout,
    incoming: Incoming,
    work: Arc<Mutex<Work>>,
}

/// Where a follower comes from: one entry of the configuration.
#[derive(Clone)]
pub struct Source {
    /// Name, for people.
    pub name: String,
    /// The node's root.
    pub url: String,
    /// SHA-256 of the charter to pin, lower-case hex.
    pub charter_sha256: Option<String>,
    /// PEM of a development certificate.
    pub ca: Option<Vec<u8>>,
    /// Stands in for the network; none where there is a real one.
    pub network: Option<Arc<dyn Transport>>,
}

impl Source {
    /// The peer, not asked yet.
    ///
    /// # Errors
    /// `peer.url`.
    pub fn peer(&self) -> Result<Peer> {
        let peer = Peer::new(&self.url, self.ca.as_deref())?;
        Ok(match &self.network {
            Some(network) => peer.over(network.clone()),
            None => peer,
        })
    }
}

/// Fetches a peer's charter and holds it against the pin.
pub async fn fetch_charter(peer: &Peer, pin: Option<&str>) -> Result<(VerifiedCharter, Vec<u8>)> {
    let bytes = super::charters::fetch_pinned(peer).await?;
    let charter = CharterChain::pinned(&bytes)?.first().clone();
    if let Some(pin) = pin
        && charter.sha256().to_string() != pin
    {
        return Err(Error::isolate(
            "peer.charter_pin",
            format!("the charter of {} is {}, pinned is {pin}", peer.url(), charter.sha256()),
            "ask the region for its charter's SHA-256 over another way",
        ));
    }
    Ok((charter, bytes))
}

impl Follower {
    /// Opens what is kept of the log `origin`; the first time its charter must have been fetched and is written here.
    pub fn open(
        data: &Layout,
        origin: &str,
        source: &Source,
        charter: Option<&[u8]>,
        clock: Clock,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Follower> {
        let layout = data.mirror(origin);
        if let Some(bytes) = charter {
            create_dir(layout.data())
                .map_err(|e| Error::stop("mirror.create", e.detail(), "fix permissions or make room"))?;
            write_atomic(&layout.charter(), bytes)?;
            write_atomic(&layout.source(), source.name.as_bytes())?;
            write_atomic(&layout.origin_file(), origin.as_bytes())?;
        }
        let chain = read_chain(&layout)?;
        let charters = chain.of_log(origin)?;
        let keys: Vec<&VerifierKey> = charters.versions().iter().rev().map(|j| &j.log_key).collect();
        let mirror = MirrorStore::open(&layout.log(), &keys)?;
        let mut index = SledIndex::open(&layout.index())?;
        let (state, replay) = load(&mirror.reader(), &mut index, &charters, progress)?;
        let ring = ring_of(&state);
        let saved = read_bounded(&layout.data().join("status.json"), 1 << 16).ok();
        let mut status: FollowStatus = saved.and_then(|s| restore_status(&s)).unwrap_or_default();
        (status.name, status.url) = (source.name.clone(), source.url.clone());
        let view = Arc::new(LogView::new(Role::Followed, chain, mirror.reader(), state, replay.map));
        Ok(Follower {
            followed: Arc::new(Followed { view, status: RwLock::new(status) }),
            peer: source.peer()?,
            clock,
            incoming: Incoming(layout.data().join("incoming")),
            layout,
            work: Arc::new(Mutex::new(Work { mirror, index, ring })),
        })
    }

    /// One round. The status says afterwards what became of it; an error is also returned, for the scheduler's backoff.
    ///
    /// After a fork there are no more rounds: whoever signed two trees is not believed again because one of them is served
    /// later. The answers grow stale, and say so.
    pub async fn round(&self) -> Result<()> {
        if self.followed.status.read().held.as_ref().is_some_and(|h| h.code == FORK) {
            return Ok(());
        }
        self.followed.status.write().last_attempt = Some(self.clock.now_ms());
        let mut served = None;
        let result = self.try_round(&mut served).await;
        let held = match &result {
            Err(e) if e.action() != Action::Retry => Some(self.hold(e, served.as_deref())),
            _ => None,
        };
        {
            let mut status = self.followed.status.write();
            match &result {
                Ok(()) => {
                    status.last_success = Some(self.clock.now_ms());
                    (status.held, status.last_error) = (None, None);
                }
                Err(e) => status.last_error = Some(e.to_string()),
            }
            if held.is_some() {
                status.held = held;
            }
        }
        self.save_status();
        result
    }

    async fn try_round(&self, served: &mut Option<Vec<u8>>) -> Result<()> {
        let view = &self.followed.view;
        self.walk_charters().await?;
        let (checkpoint, note) = round::checkpoint(&self.peer, &self.log_keys(), &view.origin).await?;
        *served = Some(note);
        let (size, root) = (checkpoint.checkpoint().size, checkpoint.checkpoint().root);
        self.followed.status.write().peer_size = size;
        let stored = view.reader.size();
        if size < stored {
            return Err(Error::isolate(
                "peer.rollback",
                format!("the peer serves a checkpoint of size {size}; {stored} was accepted before"),
                "the peer lost or hides a part of its log; both checkpoints are kept",
            ));
        }
        if size == stored {
            let accepted = crate::tlog::tree::root(&view.reader, stored)?;
            if accepted != root {
                return Err(fork(size));
            }
            // More has been said of the same head, or the mirror's own checkpoint was damaged.
            let note = published(view, &checkpoint)?;
            if size > 0 && view.reader.checkpoint_text().as_deref() != Some(&note) {
                self.work.lock().mirror.publish(&note)?;
            }
            return Ok(());
        }
        let size = size.min(stored + round::MAX_ROUND);
        if size != checkpoint.checkpoint().size {
            return Err(Error::retry(
                "peer.too_far",
                "the peer is more than 4 M entries ahead",
                "restore from a copy first",
            ));
        }
        let leaves = round::bundles(&self.peer, stored, size, &self.incoming).await?;
        let grown = match round::prove(&view.reader, stored, &leaves, &checkpoint) {
            Ok(grown) => grown,
            Err(e) => {
                // Whatever was fetched is not what the checkpoint covers; the next round fetches it anew.
                self.incoming.clear();
                return Err(e);
            }
        };
        round::tiles(&self.peer, &grown.tiles).await?;
        let (followed, work, incoming) = (self.followed.clone(), self.work.clone(), self.incoming.clone());
        tokio::task::spawn_blocking(move || {
            take_in(&followed.view, &mut work.lock(), &incoming, stored, size, &checkpoint)
        })
        .await
        .map_err(|e| Error::retry("sync.task", e.to_string(), "see the log; the next round tries again"))?
    }

    /// Keys that may sign the log's next checkpoint.
    fn log_keys(&self) -> Vec<VerifierKey> {
        let state = self.followed.view.state();
        state.charters().log_keys(state.charter()).cloned().collect()
    }

    /// Takes the charters that followed, if the peer has any: the next entries may be governed by them, and an entry that
    /// holds this log may be excepted by one. An exception of what was already taken in is a replay of the mirror; only
    /// where that succeeds is the charter kept.
    async fn walk_charters(&self) -> Result<()> {
        let mut chain = self.followed.view.chain();
        let taken = super::charters::walk(&self.peer, &mut chain).await?;
        if taken.is_empty() {
            return Ok(());
        }
        let (followed, work, layout) = (self.followed.clone(), self.work.clone(), self.layout.clone());
        tokio::task::spawn_blocking(move || take_charters(&followed.view, &mut work.lock(), &layout, chain, &taken))
            .await
            .map_err(|e| Error::retry("sync.task", e.to_string(), "see the log; the next round tries again"))?
    }

    /// Keeps the evidence and says why the log is held at its last good commit.
    fn hold(&self, e: &Error, served: Option<&[u8]>) -> Held {
        let view = &self.followed.view;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let evidence = Evidence {
            kind: "domovoi evidence v0: a log that did not verify".into(),
            origin: view.origin.clone(),
            code: e.code().into(),
            detail: e.detail().into(),
            seen_at: self.clock.now_ms(),
            accepted_checkpoint: view.reader.checkpoint_text().map(|t| text(t.as_bytes())),
            served_checkpoint: served.map(text),
            vkey: self.log_keys().last().map_or_else(String::new, ToString::to_string),
        };
        let name = evidence.keep(&self.layout.evidence()).unwrap_or_else(|e| format!("(not written: {e})"));
        tracing::error!(origin = %view.origin, code = e.code(), detail = e.detail(), "a followed log is held at its last good commit");
        Held {
            code: e.code().into(),
            detail: e.to_string(),
            since: self.followed.status.read().held.as_ref().map_or_else(|| self.clock.now_ms(), |h| h.since),
            size: view.head().map_or(0, |h| h.index + 1),
            evidence: name,
        }
    }

    fn save_status(&self) {
        let status = self.followed.status.read().clone();
        let json = serde_json::json!({ "last_success": status.last_success, "peer_size": status.peer_size, "held": status.held });
        // Only freshness is lost with it.
        if let Err(e) = write_atomic(&self.layout.data().join("status.json"), json.to_string().as_bytes()) {
            tracing::warn!(error = %e, "the sync status could not be written");
        }
    }
}

fn restore_status(json: &[u8]) -> Option<FollowStatus> {
    let v: serde_json::Value = serde_json::from_slice(json).ok()?;
    Some(FollowStatus {
        last_success: v["last_success"].as_u64(),
        peer_size: v["peer_size"].as_u64().unwrap_or(0),
        held: serde_json::from_value(v["held"].clone()).ok(),
        ..FollowStatus::default()
    })
}

/// Code of a fork.
const FORK: &str = "peer.fork";

fn fork(size: u64) -> Error {
    Error::isolate(
        "peer.fork",
        format!("the peer signed two different trees of size {size}"),
        "both signed checkpoints are kept as evidence; nothing new is accepted from this log until a person has decided: \
         to go on, stop this node and remove status.json of the mirror",
    )
}

/// Puts a longer chain in place, on disk first.
fn take_charters(
    view: &LogView,
    work: &mut Work,
    layout: &Layout,
    chain: CharterChain,
    taken: &[Vec<u8>],
) -> Result<()> {
    let charters = chain.of_log(&view.origin)?;
    let replayed = {
        let state = view.state();
        let looks_back = charters.is_unattested(state.size(), state.charter());
        drop(state);
        match looks_back {
            true => Some(load(&work.mirror.reader(), &mut work.index, &charters, &mut |_, _| {})?),
            false => None,
        }
    };
    // The files count in order, so a version that is not there yet hides those after it: oldest first.
    let mut kept = CharterChain::clone(&view.chain());
    for bytes in taken {
        kept.advance(bytes)?;
        keep_latest(layout, &kept, bytes)?;
    }
    let (mut map, mut state) = (view.map_mut(), view.state_mut());
    if let Some((replayed, replay)) = replayed {
        work.ring = ring_of(&replayed);
        *map = replay.map;
        *state = replayed;
    }
    charters.versions().iter().flat_map(|j| &j.root_keys).for_each(|key| work.ring.add(key));
    state.extend_charters(Arc::new(charters));
    drop((state, map));
    view.set_chain(chain);
    Ok(())
}

/// Verifies the proved entries record by record, chunk by chunk: signatures of the next chunk while the rules of the last
/// one are applied. Each chunk's good commits become durable in the mirror while the state is locked, so nothing is
/// visible that is not durable; at the first bad entry the log stays at the commit before it.
fn take_in(
    view: &LogView,
    work: &mut Work,
    incoming: &Incoming,
    stored: u64,
    size: u64,
    checkpoint: &VerifiedCheckpoint,
) -> Result<()> {
    let mut preparer = Preparer::after(&view.state(), Trust::Verify);
    let Work { mirror, index, ring } = work;
    let mut replay = Replay::default();
    let mut ready: Option<PreparedChunk> = None;
    let mut at = stored;
    loop {
        let upto = size.min(at + STEP);
        let current = ready.take();
        let prepared = || -> Result<Option<PreparedChunk>> {
            let entries = read_entries(incoming, at, upto, stored, size)?;
            Ok((!entries.is_empty()).then(|| preparer.prepare(at, &entries.all(), ring)))
        };
        // A thread of its own, and not `rayon::join`: what holds or takes the view's locks must never be a job of the pool.
        // A worker that waits for parts of one job takes up another; were that to wait for the locks of whoever waits for
        // the first, both would wait for ever.
        let (next, applied) = std::thread::scope(|scope| {
            let next = scope.spawn(prepared);
            let applied =
                current.map_or(Ok(()), |chunk| apply(view, mirror, index, &mut replay, chunk, incoming, stored, size));
            (next.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), applied)
        });
        applied?;
        ready = next?;
        if ready.is_none() {
            break;
        }
        at = upto;
    }
    if view.state().size() != size {
        return Err(Error::isolate(
            "commit.missing",
            "the checkpoint does not end at a state.committed",
            "the log's node is broken",
        ));
    }
    // Which charter is in force at its end is known only now: a key that an earlier one named signs nothing any more.
    let (charters, charter) = {
        let state = view.state();
        (state.charters().clone(), state.charter())
    };
    if !charters.log_keys(charter).any(|key| checkpoint.note().verify(key).is_ok()) {
        return Err(Error::isolate(
            "peer.log_key",
            "the checkpoint is signed by a key of an earlier charter than the log has adopted",
            "the log's node is broken, or somebody has its old key",
        ));
    }
    mirror.publish(&published(view, checkpoint)?)?;
    incoming.clear();
    Ok(())
}

/// The peer's note as it is served on: without false lines under the names of those who may cosign.
fn published(view: &LogView, checkpoint: &VerifiedCheckpoint) -> Result<String> {
    Roster::of(&view.charter(), &view.origin).without_false(checkpoint.note()).map(|note| note.to_string())
}

#[allow(clippy::too_many_arguments)]
fn apply(
    view: &LogView,
    mirror: &mut MirrorStore,
    index: &mut SledIndex,
    replay: &mut Replay,
    chunk: PreparedChunk,
    incoming: &Incoming,
    stored: u64,
    size: u64,
) -> Result<()> {
    let mut batch: Option<IndexBatch> = None;
    let result = {
        // The view has the map while nothing is applied. It is given back before anybody sees it.
        let (mut map, mut state) = (view.map_mut(), view.state_mut());
        std::mem::swap(&mut *map, &mut replay.map);
        let before = state.size();
        let result = replay.apply(&mut state, chunk, &mut |state, changes, commit, id, at| {
            let next = index_batch(&changes, commit, at + 1);
            match &mut batch {
                Some(b) => join_batches(b, next),
                None => batch = Some(next),
            }
            state.absorb(changes, commit, id, at);
        });
        std::mem::swap(&mut *map, &mut replay.map);
        if state.size() > before {
            let entries = read_entries(incoming, before, state.size(), stored, size)?;
            mirror.append(entries.iter().map(<[u8]>::to_vec).collect())?;
        }
        result
    };
    if let Some(batch) = batch {
        index.write(batch)?;
    }
    result.map_err(|e| e.with_action(Action::Isolate))
}

/// Entries `from..to` out of the incoming bundles of the round `stored..size`.
fn read_entries(incoming: &Incoming, from: u64, to: u64, stored: u64, size: u64) -> Result<Entries> {
    let mut out = Entries::default();
    for id in bundles_between(stored, size).filter(|b| b.index * 256 < to && (b.index + 1) * 256 > from) {
        out.push(incoming.read(id)?, id, &(from..to))?;
    }
    Ok(out)
}
