//! The single writer of a region's log.
//!
//! One thread takes whatever submissions wait (group commit, up to a bound), verifies their signatures together, checks
//! and applies them on an overlay, closes the batch with a `state.committed`, makes entries and tiles durable, moves the
//! fence, signs, publishes, and only then answers. If a disk write fails the thread stops and the node with it: going on
//! could acknowledge what is lost. The index is written behind, on a thread of its own.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use rayon::prelude::*;
use tokio::sync::oneshot;

use super::clock::Clock;
use super::load::{CHUNK, index_batch, join_batches, ring_of};
use super::log_view::LogView;
use super::shares::KeyShares;
use super::signing::Signing;
use crate::error::{Error, Result};
use crate::federation::dossier::archive::Files;
use crate::federation::dossier::manifest::Manifest;
use crate::registry::body::Body;
use crate::registry::ids::RecordId;
use crate::registry::node_record::{Adopted, Commit, NodeRecord};
use crate::registry::record::{DecodedRecord, RECORD_VERSION};
use crate::registry::replay::{Preparer, Replay, Trust};
use crate::registry::rules;
use crate::registry::state::{State, View};
use crate::registry::text::Millis;
use crate::registry::verify::{KeyRing, VerifiedRecord, verify_records};
use crate::storage::index::{Index, IndexBatch, SledIndex};
use crate::storage::lock::KeyClaim;
use crate::storage::log_store::{LogStore, Pending};
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::note::NoteSigner;

/// What became of one submitted record.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It is in the log, durable and under a signed checkpoint.
    Accepted {
        /// Its index.
        index: u64,
        /// Its id.
        id: RecordId,
    },
    /// The log had it already.
    Known {
        /// Its index.
        index: u64,
        /// Its id.
        id: RecordId,
    },
    /// It would be accepted (a dry run).
    Fine {
        /// Its id.
        id: RecordId,
    },
    /// It was refused.
    Refused(Error),
}

/// Records submitted together, in order. Each gets its own outcome.
pub struct Submission {
    /// Exact bytes of the envelopes.
    pub entries: Vec<Vec<u8>>,
    /// Only say what would happen.
    pub dry_run: bool,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Vec<Outcome>>>,
}

/// Bounds of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Most records in one batch.
    pub records: usize,
    /// Most bytes of records in one batch.
    pub bytes: usize,
    /// Submissions that may wait; more are told to come again.
    pub waiting: usize,
}

/// A log node's keys.
pub struct SequencerKeys {
    /// Signs checkpoints.
    pub log: NoteSigner,
    /// Signs commits.
    pub commit: SigningKey,
    /// Nobody else on this machine signs with the log's key meanwhile.
    pub claim: KeyClaim,
}

/// A log that was opened to be written.
pub struct Opened {
    /// Its files.
    pub store: LogStore,
    /// What the last stop left half done: signed and published before anything else.
    pub pending: Option<Pending>,
    /// Its keys.
    pub keys: SequencerKeys,
    /// The operator's word on the highest head that anybody knows, after a restore.
    pub confirmed: Option<u64>,
}

/// Gives the index, as of the state the writer starts from. Called on the index's own thread, since it may take long.
pub type OpenIndex = Box<dyn FnOnce() -> Result<SledIndex> + Send>;

/// One key may hold an eighth of the places in the queue, ...
const SHARE_OF_A_KEY: usize = 8;
/// ... but so many at least.
const LEAST_SHARE: usize = 8;

/// The running writer: a queue into it and its thread.
pub struct Sequencer {
    queue: SyncSender<Submission>,
    view: Arc<LogView>,
    shares: Arc<KeyShares>,
    thread: parking_lot::Mutex<Option<JoinHandle<()>>>,
    failed: Arc<AtomicBool>,
    stopping: Arc<AtomicBool>,
    commit: SigningKey,
    signing: Signing,
}

impl Sequencer {
    /// Starts the writer over an opened log whose state is in `view`. It signs nothing before `signing` allows it.
    pub fn start(
        view: Arc<LogView>,
        opened: Opened,
        open_index: OpenIndex,
        signing: Signing,
        bounds: Bounds,
        clock: Clock,
    ) -> Result<Sequencer> {
        let Opened { store, mut pending, keys, confirmed } = opened;
        let (queue, waiting) = sync_channel(bounds.waiting);
        let (failed, stopping) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (indexer, batches) = sync_channel::<IndexBatch>(256);
        let indexing = spawn("index", move || match open_index() {
            Ok(index) => write_index(index, batches),
            Err(e) => tracing::error!(error = %e, "the index cannot be used; the log is not affected"),
        })?;
        let ring = ring_of(&view.state());
        let commit = keys.commit.clone();
        let mut writer = Writer { ring, view: view.clone(), store, keys, indexer, signing: signing.clone(), clock };
        let begun = signing.is_allowed();
        if begun {
            writer.begin(pending.take(), confirmed)?;
        }
        let (flag, stop, gate) = (failed.clone(), stopping.clone(), signing.clone());
        let thread = spawn("sequencer", move || {
            let mut work = || -> Result<()> {
                if !begun {
                    let Some(early) = await_permission(&waiting, &gate, bounds.waiting, &stop) else { return Ok(()) };
                    writer.begin(pending.take(), confirmed)?;
                    early.into_iter().try_for_each(|submission| writer.run(vec![submission]))?;
                }
                let mut last = 1;
                while let Some(batch) = next_batch(&waiting, bounds, last, &stop) {
                    last = batch.len();
                    writer.run(batch)?;
                }
                Ok(())
            };
            if let Err(e) = work() {
                tracing::error!(error = %e, "the log cannot be written: this node stops");
                flag.store(true, Ordering::SeqCst);
            }
            drop(writer);
            // What the index has not got yet is replayed from the log at the next start.
            let _ = indexing.join();
        })?;
        let shares = KeyShares::new((bounds.waiting / SHARE_OF_A_KEY).max(LEAST_SHARE));
        let thread = parking_lot::Mutex::new(Some(thread));
        Ok(Sequencer { queue, view, shares, thread, failed, stopping, commit, signing })
    }

    /// Signs a dossier of this log, with the key of its commits: of the node's two keys the one that signs JWS, each kind
    /// of thing under a `typ` of its own. The log key signs notes and nothing else.
    pub(super) fn seal(&self, manifest: &Manifest, files: &mut Files) {
        manifest.seal(files, &self.commit);
    }

    /// Hands records in and waits for their outcome.
    pub async fn submit(&self, entries: Vec<Vec<u8>>, dry_run: bool) -> Result<Vec<Outcome>> {
        let busy = || Error::retry("submit.busy", "too many submissions wait", "try again in a few seconds");
        let gone = || Error::retry("submit.stopped", "the writer of this log has stopped", "look into the node's log");
        if self.stopping.load(Ordering::SeqCst) {
            return Err(gone());
        }
        if let Some(why) = self.signing.refusal() {
            return Err(why);
        }
        let (view, shares) = (self.view.clone(), self.shares.clone());
        let taken = tokio::task::spawn_blocking(move || shares.take(&view, &entries).map(|share| (share, entries)));
        // Held until the answer is there.
        let (_share, entries) =
            taken.await.map_err(|e| Error::retry("submit.stopped", e.to_string(), "look into the node's log"))??;
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Submission { entries, dry_run, reply }).map_err(|e| match e {
            std::sync::mpsc::TrySendError::Full(_) => busy(),
            std::sync::mpsc::TrySendError::Disconnected(_) => gone(),
        })?;
        answer.await.map_err(|_| gone())?
    }

    /// True after a write failed.
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Finishes what waits and ends the thread. The index is complete afterwards.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        let (reply, _) = oneshot::channel();
        // Wakes the thread; if the queue is full it is awake anyway.
        let _ = self.queue.try_send(Submission { entries: Vec::new(), dry_run: true, reply });
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(f)
        .map_err(|e| Error::stop("thread.spawn", format!("no thread for {name}: {e}"), "raise the limit of threads"))
}

/// How often a writer that waits looks whether it may sign.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until the gate opens, and gives what was handed in meanwhile; `None` when it is time to end.
fn await_permission(
    queue: &Receiver<Submission>,
    gate: &Signing,
    most: usize,
    stop: &AtomicBool,
) -> Option<Vec<Submission>> {
    let mut early: Vec<Submission> = Vec::new();
    loop {
        if stop.load(Ordering::SeqCst) {
            return None;
        }
        if gate.is_allowed() {
            return Some(early);
        }
        if let Some(why) = gate.refusal() {
            early.drain(..).for_each(|s| drop(s.reply.send(Err(why.clone()))));
        }
        match queue.recv_timeout(LOOK) {
            Ok(s) if early.len() >= most => {
                drop(s.reply.send(Err(Error::retry(
                    "submit.busy",
                    "too many submissions wait",
                    "try again in a few seconds",
                ))));
            }
            Ok(s) => early.push(s),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// How long a batch waits for as many submissions as the last one had. Clients that were answered together come back
/// within this time; the first of them alone would pay for a whole batch while the others wait for it.
const GATHER: Duration = Duration::from_micros(500);

/// Waits for one submission, then takes all that wait until the bounds are reached; a submission is never divided. After a
/// batch of `last` submissions it waits for so many at most [`GATHER`]: a client alone waits for nobody.
/// `None` when it is time to end.
fn next_batch(queue: &Receiver<Submission>, bounds: Bounds, last: usize, stop: &AtomicBool) -> Option<Vec<Submission>> {
    let first = match queue.try_recv() {
        Ok(s) => s,
        Err(TryRecvError::Disconnected) => return None,
        Err(TryRecvError::Empty) if stop.load(Ordering::SeqCst) => return None,
        Err(TryRecvError::Empty) => queue.recv().ok()?,
    };
    let weigh = |s: &Submission| (s.entries.len(), s.entries.iter().map(Vec::len).sum::<usize>());
    let (mut records, mut bytes) = weigh(&first);
    let mut batch = vec![first];
    let until = Instant::now() + GATHER;
    while records < bounds.records && bytes < bounds.bytes {
        let next = match batch.len() < last {
            true => queue.recv_timeout(until.saturating_duration_since(Instant::now())).ok(),
            false => queue.try_recv().ok(),
        };
        match next {
            Some(s) => {
                let (more_records, more_bytes) = weigh(&s);
                (records, bytes) = (records + more_records, bytes + more_bytes);
                batch.push(s);
            }
            None => break,
        }
    }
    Some(batch)
}

/// The index is written this often at most: its synced writes would compete with those of the log, which somebody waits
/// for. What it has not got yet is replayed from the log after a crash.
const INDEX_EVERY: Duration = Duration::from_millis(500);
/// Rows that are written without waiting longer; bounds the memory.
const INDEX_ROWS: usize = 1 << 16;

fn write_index(mut index: SledIndex, batches: Receiver<IndexBatch>) {
    while let Ok(mut batch) = batches.recv() {
        let until = Instant::now() + INDEX_EVERY;
        // The end of the writer ends the wait, so that a clean stop leaves the index complete.
        while batch.rows.len() < INDEX_ROWS
            && let Ok(next) = batches.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            join_batches(&mut batch, next);
        }
        if let Err(e) = index.write(batch) {
            // The log is the truth; the next start finds the index behind and replays.
            tracing::error!(error = %e, "the index could not be written; it will be brought up to date at the next start");
            return;
        }
    }
}

struct Writer {
    view: Arc<LogView>,
    store: LogStore,
    ring: KeyRing,
    keys: SequencerKeys,
    indexer: SyncSender<IndexBatch>,
    signing: Signing,
    clock: Clock,
}

/// One record of a batch on its way: which submission and place it came from, and what is known of it.
struct Item {
    submission: usize,
    bytes: Vec<u8>,
    verified: Result<VerifiedRecord>,
}

impl Writer {
    /// What comes before the first batch, now that the node may sign: the operator's word on a restored head, what the last
    /// stop left half done, and the charter in force.
    fn begin(&mut self, pending: Option<Pending>, confirmed: Option<u64>) -> Result<()> {
        self.store.confirm_restored(confirmed)?;
        if let Some(pending) = pending {
            tracing::info!(
                size = pending.size,
                "a batch was journalled but not published before the last stop: rolling forward"
            );
            let checkpoint = Checkpoint { origin: self.view.origin.clone(), size: pending.size, root: pending.root };
            self.store.publish_pending(pending, &checkpoint.sign(&self.keys.log)?)?;
            self.catch_up()?;
        }
        self.adopt_charter()
    }

    /// Applies what the log has and the state has not.
    fn catch_up(&mut self) -> Result<()> {
        let view = self.view.clone();
        let total = view.reader.size();
        let mut preparer = Preparer::after(&view.state(), Trust::Reread);
        let mut replay = Replay::default().with_rows();
        loop {
            let first = view.state().size();
            if first >= total {
                return Ok(());
            }
            let entries = view.reader.entries(first..total.min(first + CHUNK))?;
            let chunk = preparer.prepare(first, &entries.all(), &mut self.ring);
            let mut batches: Vec<IndexBatch> = Vec::new();
            {
                // The view has the map while nothing is applied. It is given back before anybody sees it.
                let (mut map, mut state) = (view.map_mut(), view.state_mut());
                std::mem::swap(&mut *map, &mut replay.map);
                let applied = replay.apply(&mut state, chunk, &mut |state, mut changes, commit, id, at| {
                    batches.push(index_batch(&mut changes, commit, at + 1));
                    state.absorb(changes, commit, id, at);
                });
                std::mem::swap(&mut *map, &mut replay.map);
                applied?;
            }
            if batches.is_empty() {
                return Err(Error::stop(
                    "log.commit",
                    "the log does not end at a state.committed",
                    "run «domovoi fsck»",
                ));
            }
            batches.into_iter().for_each(|batch| drop(self.indexer.send(batch)));
        }
    }

    /// Writes `charter.adopted` where the charter in force is newer than the one the log adopted last.
    fn adopt_charter(&mut self) -> Result<()> {
        let (origin, version, sha256, adopted) = {
            let state = self.view.state();
            let j = state.charters().latest();
            (j.origin.clone(), j.charter_version, j.charter_sha256, state.charter())
        };
        if version <= adopted {
            return Ok(());
        }
        let adopted = Adopted { v: RECORD_VERSION, log: origin, version, sha256 };
        let (entry, id) = NodeRecord::Adopted(adopted.clone()).sign(&self.keys.commit)?;
        let view = self.view.clone();
        let state = view.state();
        let mut overlay = state.overlay();
        overlay.adopt(&adopted, id, state.size());
        let changes = overlay.finish_with_rows();
        drop(state);
        self.publish(vec![entry], changes, self.now())
    }

    fn now(&self) -> u64 {
        let clock = self.clock.now_ms();
        // Commit time is strictly increasing, also when the clock goes back.
        self.view.state().head().map_or(clock, |h| clock.max(h.time + 1))
    }

    fn run(&mut self, submissions: Vec<Submission>) -> Result<()> {
        if let Some(why) = self.signing.refusal() {
            submissions.into_iter().for_each(|s| drop(s.reply.send(Err(why.clone()))));
            return Ok(());
        }
        let (dry, wet): (Vec<_>, Vec<_>) = submissions.into_iter().partition(|s| s.dry_run);
        if !wet.is_empty() {
            self.write(wet)?;
        }
        for submission in dry {
            let items = self.verify(vec![submission.entries]);
            let view = self.view.clone();
            let state = view.state();
            let mut overlay = state.overlay();
            let time = self.now();
            let mut index = state.size();
            let outcomes = items.into_iter().map(|item| match try_item(&mut overlay, &item, time, &mut index) {
                Outcome::Accepted { id, .. } => Outcome::Fine { id },
                other => other,
            });
            let _ = submission.reply.send(Ok(outcomes.collect()));
        }
        Ok(())
    }

    /// Decodes and verifies everything at once; signatures are the expensive part.
    fn verify(&self, submissions: Vec<Vec<Vec<u8>>>) -> Vec<Item> {
        let flat: Vec<(usize, Vec<u8>)> =
            submissions.into_iter().enumerate().flat_map(|(i, s)| s.into_iter().map(move |e| (i, e))).collect();
        let decoded: Vec<Result<DecodedRecord>> =
            flat.par_iter().map(|(_, bytes)| DecodedRecord::decode(bytes)).collect();
        // Keys that are offered but not granted must not pile up in the writer's own ring.
        let mut ring = std::borrow::Cow::Borrowed(&self.ring);
        let mut good = Vec::with_capacity(decoded.len());
        let mut slots = Vec::with_capacity(decoded.len());
        for d in decoded {
            match d {
                Ok(d) => {
                    if matches!(d.record.body, Body::KeyGranted(_)) {
                        ring.to_mut().add_granted(&d.record);
                    }
                    slots.push(Ok(()));
                    good.push(d);
                }
                Err(e) => slots.push(Err(e)),
            }
        }
        let mut verified = verify_records(good, &ring).into_iter();
        let lost = || Err(Error::stop("submit.verify", "a verdict is missing", "report this as a defect"));
        flat.into_iter()
            .zip(slots)
            .map(|((submission, bytes), slot)| Item {
                submission,
                bytes,
                verified: slot.and_then(|()| verified.next().unwrap_or_else(lost)),
            })
            .collect()
    }

    fn write(&mut self, mut submissions: Vec<Submission>) -> Result<()> {
        let items = self.verify(submissions.iter_mut().map(|s| std::mem::take(&mut s.entries)).collect());
        let time = self.now();
        let mut outcomes: Vec<Vec<Outcome>> = submissions.iter().map(|_| Vec::new()).collect();
        let mut entries = Vec::new();
        let mut granted = Vec::new();
        let view = self.view.clone();
        let changes = {
            let state = view.state();
            let mut overlay = state.overlay();
            let mut index = state.size();
            for item in items {
                let outcome = try_item(&mut overlay, &item, time, &mut index);
                if matches!(outcome, Outcome::Accepted { .. }) {
                    if let Ok(v) = &item.verified
                        && matches!(v.record().body, Body::KeyGranted(_))
                    {
                        granted.push(v.record().clone());
                    }
                    entries.push(item.bytes);
                }
                outcomes[item.submission].push(outcome);
            }
            overlay.finish_with_rows()
        };
        if !entries.is_empty() {
            self.publish(entries, changes, time)?;
            granted.iter().for_each(|record| self.ring.add_granted(record));
        }
        for (submission, outcome) in submissions.into_iter().zip(outcomes) {
            // A client that went away does not matter: its records are in the log.
            let _ = submission.reply.send(Ok(outcome));
        }
        Ok(())
    }

    /// Closes the batch and makes it durable, signed and visible, in this order.
    fn publish(
        &mut self,
        mut entries: Vec<Vec<u8>>,
        mut changes: crate::registry::state::Changes,
        time: u64,
    ) -> Result<()> {
        // Held until the state has caught up, so that a proof is never made from one commit's facts and another's map.
        let view = self.view.clone();
        let mut map = view.map_mut();
        map.set_all(&changes.leaves);
        let commit = {
            let state: parking_lot::RwLockReadGuard<'_, State> = self.view.state();
            let size = state.size() + entries.len() as u64 + 1;
            Commit {
                v: RECORD_VERSION,
                log: state.jurisdiction().origin.clone(),
                first: state.size(),
                size,
                time: Millis::new(time)?,
                previous: state.head().map(|h| h.id),
                charter: changes.charter,
                root: RecordId(map.root()),
            }
        };
        let (entry, id) = NodeRecord::Commit(commit.clone()).sign(&self.keys.commit)?;
        entries.push(entry);
        let staged = self.store.stage(entries)?;
        self.store.write_tiles(&staged)?;
        self.store.fence(&staged)?;
        let checkpoint = Checkpoint { origin: commit.log.to_string(), size: staged.new_size, root: staged.root };
        self.store.publish(staged, &checkpoint.sign(&self.keys.log)?)?;
        let batch = index_batch(&mut changes, &commit, commit.size);
        self.view.state_mut().absorb(changes, &commit, id, commit.size - 1);
        metrics::counter!("domovoi_log_entries_total").absolute(commit.size);
        // A full queue slows the writer down to the index; a closed one means the index failed, which the log survives.
        let _ = self.indexer.send(batch);
        Ok(())
    }
}

/// Checks one record against the overlay and applies it there.
fn try_item(overlay: &mut crate::registry::state::Overlay<'_>, item: &Item, time: u64, index: &mut u64) -> Outcome {
    let verified = match &item.verified {
        Ok(v) => v,
        Err(e) => return Outcome::Refused(e.clone()),
    };
    let id = verified.record().id;
    if let Some(index) = overlay.index_of(&id) {
        return Outcome::Known { index, id };
    }
    match rules::check(overlay, verified, time) {
        Ok(checked) => {
            let at = *index;
            overlay.apply(checked, at);
            *index += 1;
            Outcome::Accepted { index: at, id }
        }
        Err(e) => Outcome::Refused(e),
    }
}

/// Largest body of a submission in records, so that one client cannot fill a batch by itself for ever.
pub const MAX_SUBMISSION: usize = 4096;

/// Refuses a submission that no batch may hold, before it waits. A record that is too large is its own matter: it is refused
/// with its place like any other bad record, and stops nothing beside it.
pub fn check_submission(entries: &[Vec<u8>]) -> Result<()> {
    if entries.is_empty() || entries.len() > MAX_SUBMISSION {
        return Err(Error::refuse(
            "submit.count",
            format!("{} records; 1 to {MAX_SUBMISSION} are accepted", entries.len()),
            "send fewer at a time",
        ));
    }
    Ok(())
}
