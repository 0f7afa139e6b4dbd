//! One running node: the log it writes, the logs it follows, and the answers it gives from both.
//!
//! Read in this order: [`layout`] (what lies where in the data directory), [`load`] (disk to hot state), [`log_view`]
//! (one log as readers see it), [`sequencer`] (the single writer), [`signing`] (when it may sign), [`query`] and [`notes`] (what is on record), [`answer`], [`verdict`] and [`words`] (is this
//! chat official?), [`resemblance`] (what looks official),
//! [`search`] (which building is meant?), [`dossier`] (all of that about one chat, for an auditor), [`federation_log`] on a
//! ministry's node, [`cosigner_keys`], [`witness`] and [`cosign`] (what this node says of the logs of others, and they of its own). A record comes in through
//! [`Node::submit`], waits for the sequencer, and is answered when it is durable and under a signed checkpoint; reads go
//! to the state in memory and, for the past, to the log's files. This layer knows no transport: HTTP and the follower
//! are built on top of it.

mod absence;
pub mod alarms;
pub mod answer;
pub mod charters;
pub mod clock;
pub mod config;
pub mod cosign;
pub mod cosigner_keys;
pub mod coverage;
pub mod dossier;
mod dossier_summary;
mod evidence;
pub mod federation_check;
pub mod federation_log;
pub mod heads;
pub mod layout;
pub mod load;
pub mod log_view;
pub mod notes;
pub mod proved;
pub mod query;
pub mod resemblance;
pub mod search;
pub mod sequencer;
mod shares;
pub mod signing;
pub mod snapshot;
pub mod standing;
pub mod union;
pub mod verdict;
pub mod witness;
pub mod words;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ed25519_dalek::SigningKey;
use parking_lot::RwLock;
use secrecy::SecretString;

use crate::error::{Error, Result};
use crate::federation::charter::{Charter, VerifiedCharter};
use crate::federation::evidence::FORK;
use crate::registry::jurisdiction::LogCut;
use crate::registry::record::RECORD_VERSION;
use crate::registry::signature::PublicKey;
use crate::storage::cut::cut_log;
use crate::storage::durable::remove;
use crate::storage::fence::Fence;
use crate::storage::index::SledIndex;
use crate::storage::lock::KeyClaim;
use crate::storage::log_store::{LogStore, Pending};
use crate::storage::{format, keys};
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::note::{NoteSigner, VerifierKey};
use clock::Clock;
use federation_log::{FederationView, FederationWriter};
use layout::Layout;
use load::Progress;
use log_view::{LogView, Role};
use sequencer::{Bounds, Opened, Outcome, Sequencer, SequencerKeys, check_submission};
use signing::Signing;

/// A copy of a log that its own node did not serve.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Via {
    /// The node whose copy it is.
    pub url: String,
    /// Size it reached.
    pub size: u64,
    /// When it was read, Unix milliseconds.
    pub at: u64,
}

/// A newer head than the log's node shows here, signed by the log's key, that another node has.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Newer {
    /// The node that has it.
    pub url: String,
    /// Its size.
    pub size: u64,
    /// Since when this node knows of it, Unix milliseconds.
    pub since: u64,
}

/// Rounds with the log's node, after another showed a newer head, that may pass before it counts as frozen.
const BEHIND: u32 = 2;

/// How a followed log stands with this node.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct FollowStatus {
    /// Name from the configuration.
    pub name: String,
    /// Where it is fetched from.
    pub url: String,
    /// Last time the peer answered and everything verified, Unix milliseconds.
    pub last_success: Option<u64>,
    /// Last attempt, Unix milliseconds.
    pub last_attempt: Option<u64>,
    /// Size the peer's newest verified checkpoint names.
    pub peer_size: u64,
    /// Why the log is held at its last good commit, if it is.
    pub held: Option<Held>,
    /// Why the last attempt failed, if it did (a peer that is down is not held, only late).
    pub last_error: Option<String>,
    /// Rounds that succeeded since the start.
    pub rounds: u64,
    /// Rounds that failed since the last one that succeeded.
    pub failures: u32,
    /// Whose copy was read while the log's own node did not answer.
    pub via: Option<Via>,
    /// A newer head that another node has.
    pub newer: Option<Newer>,
    /// True where the log's node goes on showing an older head than others have.
    pub frozen: bool,
    /// [`FollowStatus::last_success`] by the clock that never jumps.
    #[serde(skip)]
    pub heard: Option<std::time::Duration>,
    /// Rounds that succeeded since [`FollowStatus::newer`] was heard of.
    #[serde(skip)]
    pub behind: u32,
}

impl FollowStatus {
    /// Takes in what became of a round with the log's own node, which ended at `size` entries. `decided`: it was done though the
    /// log had forked, because the charter has cut it.
    pub fn round(&mut self, clock: &Clock, size: u64, decided: bool, error: Option<&Error>) {
        if let Some(e) = error {
            self.failures = self.failures.saturating_add(1);
            self.last_error = Some(e.to_string());
            return;
        }
        (self.last_success, self.heard) = (Some(clock.now_ms()), Some(clock.count()));
        (self.last_error, self.via, self.failures) = (None, None, 0);
        self.rounds += 1;
        // A fork that somebody else found meanwhile stays.
        self.held = self.held.take().filter(|h| h.code == FORK && !decided);
        match self.newer.as_ref().is_some_and(|n| n.size > size) {
            true => self.behind = self.behind.saturating_add(1),
            false => (self.newer, self.behind) = (None, 0),
        }
        self.frozen = self.behind >= BEHIND;
    }

    /// Takes in the head that the node at `url` has of the log; `size` is none where it is no newer than ours.
    pub fn heard_of(&mut self, url: &str, size: Option<u64>, now: u64) {
        match (size, &mut self.newer) {
            (Some(size), Some(known)) if known.url == url => known.size = size,
            (Some(size), None) => self.newer = Some(Newer { url: url.into(), size, since: now }),
            (None, Some(known)) if known.url == url => {
                (self.newer, self.behind, self.frozen) = (None, 0, false);
            }
            _ => {}
        }
    }
}

/// A log held at its last good commit.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Held {
    /// Stable code of the reason.
    pub code: String,
    /// The reason.
    pub detail: String,
    /// Since when, Unix milliseconds.
    pub since: u64,
    /// Size of the last good commit.
    pub size: u64,
    /// Name of the evidence file in the mirror's evidence folder.
    pub evidence: String,
}

/// A log this node follows.
pub struct Followed {
    /// State and tiles.
    pub view: Arc<LogView>,
    /// How it stands.
    pub status: RwLock<FollowStatus>,
    /// Told when its node shows by itself that it is there ([`Node::heard_from`]).
    pub heard: tokio::sync::Notify,
}

/// A running node.
pub struct Node {
    /// What lies where.
    pub layout: Layout,
    /// Hours after which an answer is called stale.
    pub stale_after_hours: u64,
    /// What the node takes the time to be.
    pub clock: Clock,
    own: Option<Own>,
    federation: Option<(Arc<FederationView>, parking_lot::Mutex<FederationWriter>, AtomicBool)>,
    followed: RwLock<BTreeMap<String, Arc<Followed>>>,
    search: search::Search,
    /// The records that found its own log are not in it yet.
    founding: AtomicBool,
    /// What concerns its own key, or the federation as a whole.
    pub alarms: alarms::Alarms,
    /// Whoever makes a dossier holds this: one at a time, since it may replay a log.
    dossiers: parking_lot::Mutex<()>,
    /// Charters that anybody may ask for.
    pub charter_files: charters::VerifiedFiles,
}

/// Unix milliseconds now, by this machine's clock: for what is not part of a node, which has a [`Clock`].
pub fn now_ms() -> u64 {
    clock::system_date()
}

/// What a node is opened with.
pub struct Opening<'o> {
    /// The data directory.
    pub data: &'o Path,
    /// Opens the log and commit keys.
    pub passphrase: Option<&'o SecretString>,
    /// Bounds of the sequencer.
    pub bounds: Bounds,
    /// Hours after which an answer is called stale.
    pub stale_after_hours: u64,
    /// The operator's word that nobody saw a later head than this size, after a restore from a backup.
    pub confirm_restored_head: Option<u64>,
    /// What the node takes the time to be.
    pub clock: Clock,
    /// Whether the own log's writer may sign at once, or has somebody to ask before.
    pub signing: Signing,
}

/// The node's own log.
struct Own {
    view: Arc<LogView>,
    sequencer: Sequencer,
    signing: Signing,
    fence: Fence,
}

impl Node {
    /// Opens the data directory: loads the own log, if the node has one, and starts its writer.
    pub fn open(opening: Opening<'_>, progress: &mut Progress<'_>) -> Result<Node> {
        let layout = Layout::new(opening.data);
        format::check(opening.data)?;
        if !layout.has_own_log() && (layout.key("log").exists() || layout.private().join("fence").exists()) {
            return Err(Error::stop(
                "origin.missing",
                format!("{} does not exist, but the node has a log of its own", layout.origin_file().display()),
                "run «domovoi fsck --repair», or restore the file from a backup; after an init that was interrupted, begin anew",
            ));
        }
        let own = match layout.has_own_log() {
            true => Some(open_own(&layout, &opening, progress)?),
            false => None,
        };
        let federation = match layout.federation().has_own_log() {
            true => {
                let writer = FederationWriter::open(&layout.federation(), opening.passphrase, opening.clock.clone())?;
                Some((writer.view().clone(), parking_lot::Mutex::new(writer), AtomicBool::new(false)))
            }
            false => None,
        };
        let stale_after_hours = opening.stale_after_hours;
        let founding = own.is_some() && layout.founding().exists();
        Ok(Node {
            layout,
            stale_after_hours,
            clock: opening.clock,
            own,
            federation,
            followed: RwLock::default(),
            search: search::Search::default(),
            alarms: Default::default(),
            founding: AtomicBool::new(founding),
            dossiers: Default::default(),
            charter_files: Default::default(),
        })
    }
    /// The node's own log.
    pub fn own(&self) -> Option<&Arc<LogView>> {
        self.own.as_ref().map(|own| &own.view)
    }
    /// Whether the own log's writer may sign.
    pub fn signing(&self) -> Option<&Signing> {
        self.own.as_ref().map(|own| &own.signing)
    }
    /// The fence of the own log as it was when the log was opened: a head that was signed, or was about to be.
    pub fn opening_fence(&self) -> Option<Fence> {
        self.own.as_ref().map(|own| own.fence)
    }
    /// The federation's log, if this node writes it.
    pub fn federation(&self) -> Option<&Arc<FederationView>> {
        self.federation.as_ref().map(|(view, _, _)| view)
    }
    /// Brings the federation's log up to what the followed regions say now; takes seconds where they say much. Nothing
    /// happens on a node without one, or after its disk has failed.
    pub fn federation_step(&self) {
        let Some((_, writer, failed)) = &self.federation else { return };
        if failed.load(Ordering::SeqCst) {
            return;
        }
        if let Err(e) = writer.lock().step(self) {
            tracing::error!(error = %e, "the federation's log cannot be written: this node stops");
            failed.store(true, Ordering::SeqCst);
        }
    }
    /// Every log, the own one first.
    pub fn views(&self) -> Vec<Arc<LogView>> {
        let followed = self.followed.read();
        self.own().cloned().into_iter().chain(followed.values().map(|f| f.view.clone())).collect()
    }
    /// The log with this origin.
    pub fn view(&self, origin: &str) -> Option<Arc<LogView>> {
        self.views().into_iter().find(|v| v.origin == origin)
    }
    /// Followed logs.
    pub fn followed(&self) -> Vec<Arc<Followed>> {
        self.followed.read().values().cloned().collect()
    }
    /// Takes a followed log in; what it replaces is dropped.
    pub fn follow(&self, followed: Arc<Followed>) {
        self.followed.write().insert(followed.view.origin.clone(), followed);
    }
    /// The node that writes the log `origin` has been in touch: after failures it is asked again without waiting out the pause.
    pub fn heard_from(&self, origin: &str) {
        if let Some(followed) = self.followed.read().get(origin) {
            followed.heard.notify_one();
        }
    }
    /// Hands records to the own log.
    pub async fn submit(&self, entries: Vec<Vec<u8>>, dry_run: bool) -> Result<Vec<Outcome>> {
        check_submission(&entries)?;
        if self.is_founding() {
            let what = "this log's founding records are not in it yet: nobody else's can be judged";
            return Err(Error::retry("recovery.waiting", what, "submit again in a moment"));
        }
        self.hand_in(entries, dry_run).await
    }
    /// True until the records that found its own log are in it.
    pub fn is_founding(&self) -> bool {
        self.founding.load(Ordering::SeqCst)
    }
    /// Hands in the records that found the log, before anybody else's.
    ///
    /// # Errors
    /// As [`Node::submit`]; of a record that was refused.
    pub async fn found(&self, entries: Vec<Vec<u8>>) -> Result<()> {
        for outcome in self.hand_in(entries, false).await? {
            if let Outcome::Refused(e) = outcome {
                return Err(e);
            }
        }
        self.founding.store(false, Ordering::SeqCst);
        Ok(())
    }
    async fn hand_in(&self, entries: Vec<Vec<u8>>, dry_run: bool) -> Result<Vec<Outcome>> {
        match &self.own {
            Some(own) => own.sequencer.submit(entries, dry_run).await,
            None => Err(Error::refuse(
                "submit.no_log",
                "this node has no log of its own",
                "submit to the region's own node",
            )),
        }
    }
    /// False after the log could not be written.
    pub fn healthy(&self) -> bool {
        let own = self.own.as_ref().is_none_or(|own| !own.sequencer.failed());
        own && self.federation.as_ref().is_none_or(|(_, _, failed)| !failed.load(Ordering::SeqCst))
    }
    /// Finishes what waits and closes the log. The state is kept in the hot file, for a fast start.
    pub fn close(&self) {
        self.search.stop();
        let Some(own) = &self.own else { return };
        own.sequencer.stop();
        if let Err(e) = load::write_hot(&self.layout.hot(), &own.view.state()) {
            tracing::warn!(error = %e, "the hot file could not be written; the next start will take longer");
        }
    }
}

/// Reads the pinned charter of a data directory.
pub fn read_charter(path: &Path) -> Result<VerifiedCharter> {
    let bytes = crate::storage::durable::read_bounded(path, 1 << 20)?;
    Charter::open(&bytes).map_err(|e| e.at(path.display()))
}

/// The state of a log and its index, loaded from a data directory without a running node.
pub fn open_index(layout: &Layout) -> Result<SledIndex> {
    SledIndex::open(&layout.index())
}

fn open_own(layout: &Layout, opening: &Opening<'_>, progress: &mut Progress<'_>) -> Result<Own> {
    let chain = charters::read_chain(layout)?;
    let origin = layout.origin()?;
    chain.latest().region_by_origin(&origin).ok_or_else(|| {
        Error::stop(
            "charter.origin",
            format!(
                "{} names no log «{origin}», as {} says",
                layout.charter().display(),
                layout.origin_file().display()
            ),
            "restore the one of the two that is not this node's; «domovoi fsck --repair» restores the origin",
        )
    })?;
    let charters = chain.of_log(&origin)?;
    if !charters.latest().record_versions.contains(&RECORD_VERSION) {
        return Err(Error::stop(
            "charter.record_version",
            format!("the charter does not switch on version {RECORD_VERSION}, which this node writes"),
            "update this node",
        ));
    }
    let log_keys: Vec<&VerifierKey> = charters.versions().iter().rev().map(|j| &j.log_key).collect();
    let commit_key = &charters.latest().commit_key;
    let confirmed = opening.confirm_restored_head;
    let cut = chain.cuts_of(&origin).last().map(|cut| {
        let since: Vec<&VerifierKey> = charters.signers(cut.version).map(|j| &j.log_key).collect();
        (*cut, since)
    });
    let (mut store, pending, keys) = open_log(layout, &origin, opening.passphrase, &log_keys, commit_key, cut)?;
    if opening.signing.is_allowed() {
        store.confirm_restored(confirmed)?;
    }
    let (reader, fence, signing) = (store.reader(), store.fence_state(), opening.signing.clone());
    let start = |state, map, open_index: sequencer::OpenIndex| {
        let view = LogView::new(Role::Own, chain, reader.clone(), state, map).with_lines(store.lines());
        let view = Arc::new(view);
        let opened = Opened { store, pending, keys, confirmed };
        let clock = opening.clock.clone();
        let sequencer = Sequencer::start(view.clone(), opened, open_index, signing.clone(), opening.bounds, clock)?;
        Ok(Own { view, sequencer, signing, fence })
    };
    if let Some((state, replay)) = load::from_hot(&layout.hot(), &reader, &charters)? {
        // Nothing asks the index: opening it, the longest part of a start, goes on behind.
        let layout = layout.clone();
        let open_index = move || {
            let mut index = open_index(&layout)?;
            load::follow_hot(&layout.hot(), &mut index).map(|()| index)
        };
        return start(state, replay.map, Box::new(open_index));
    }
    // Whatever is there is of no use, and is written anew at the next stop.
    if let Err(e) = remove(&layout.hot()) {
        tracing::warn!(error = %e, "the hot file cannot be removed; its root keeps it from being believed");
    }
    let mut index = open_index(layout)?;
    let (state, replay) = load::load(&reader, &mut index, &charters, progress)?;
    start(state, replay.map, Box::new(|| Ok(index)))
}

/// The key of this role that the charter names: the one in place, or the one that lies ready to follow it, `<role>-next.pem`.
/// So a rollover needs no moment at which a file must be exchanged.
fn named_key(
    layout: &Layout,
    role: &str,
    passphrase: &SecretString,
    named: impl Fn(&SigningKey) -> bool,
) -> Result<Option<SigningKey>> {
    let key = keys::read(&layout.key(role), passphrase)?;
    if named(&key) {
        return Ok(Some(key));
    }
    let next = layout.key(&format!("{role}-next"));
    if !next.exists() {
        return Ok(None);
    }
    let next = keys::read(&next, passphrase)?;
    Ok(named(&next).then_some(next))
}

/// Opens a log this node writes: its keys, which must be those that the charter names (of `log_keys` the one in force stands
/// first), and its files, rolled forward where the last stop left a batch half done: its head is still to be signed. Where the charter has
/// cut the log, it begins at the cut, under a key that came with it: `cut` names those.
#[allow(clippy::too_many_arguments)]
fn open_log(
    layout: &Layout,
    origin: &str,
    passphrase: Option<&SecretString>,
    log_keys: &[&VerifierKey],
    commit_key: &PublicKey,
    cut: Option<(LogCut, Vec<&VerifierKey>)>,
) -> Result<(LogStore, Option<Pending>, SequencerKeys)> {
    let passphrase = passphrase.ok_or_else(|| {
        Error::stop(
            "key.passphrase",
            "the log's keys are encrypted and no passphrase was given",
            "set DOMOVOI_PASSPHRASE or passphrase_file",
        )
    })?;
    let named = |key: &SigningKey| log_keys.first().is_some_and(|k| *k.verifying_key() == key.verifying_key());
    let log_key = named_key(layout, "log", passphrase, named)?.ok_or_else(|| {
        Error::stop(
            "key.log",
            format!("{} is not the log key the charter names", layout.key("log").display()),
            "restore the key or the charter",
        )
    })?;
    let claim = KeyClaim::acquire(&log_key)?;
    let log_key = NoteSigner::new(origin, log_key)?;
    let named = |key: &SigningKey| PublicKey::of(key) == *commit_key;
    let commit = named_key(layout, "commit", passphrase, named)?.ok_or_else(|| {
        Error::stop(
            "key.commit",
            format!("{} is not the commit key the charter names", layout.key("commit").display()),
            "restore the key or the charter",
        )
    })?;
    if let Some((cut, since)) = cut {
        let head = Checkpoint { origin: origin.to_owned(), size: cut.size, root: cut.root };
        cut_log(&layout.log(), &layout.private(), (cut.size, cut.root), &since, &head.sign(&log_key)?)?;
    }
    let (store, pending) = LogStore::open(&layout.log(), &layout.private(), log_keys)?;
    Ok((store, pending, SequencerKeys { log: log_key, commit, claim }))
}
