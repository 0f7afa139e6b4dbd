//! One followed log: its mirror, its index, its state, and what became of the last rounds.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::client::{Network, Peer, limit};
use super::cut::{Standing, check_cuts, is_contradicted, standing};
use super::hold::{self, Seen};
use super::round;
use super::take_in::{Incoming, Readers, Work, published, take_in};
use crate::error::{Action, Error, Result};
use crate::federation::chain::CharterChain;
use crate::federation::charter::VerifiedCharter;
use crate::federation::evidence::{FORK, Proof, keys_of};
use crate::node::charters::{keep_latest, read_chain};
use crate::node::clock::Clock;
use crate::node::layout::Layout;
use crate::node::load::{load, ring_of};
use crate::node::log_view::{LogView, Role};
use crate::node::{Followed, Via};
use crate::registry::jurisdiction::{Charters, LogCut};
use crate::registry::state::State;
use crate::registry::strict::List;
use crate::registry::verify::KeyRing;
use crate::storage::durable::{create_dir, read_bounded, write_atomic};
use crate::storage::index::{Index, SledIndex};
use crate::storage::log_store::{Entries, LogReader};
use crate::storage::mirror_store::MirrorStore;
use crate::tlog::Hash;
use crate::tlog::checkpoint::VerifiedCheckpoint;
use crate::tlog::note::VerifierKey;
use crate::tlog::tile::{LogPath, TileId};
use crate::tlog::tree::{Grown, TileSource, inclusion_proof};

/// One followed log.
pub struct Follower {
    /// What readers see.
    pub followed: Arc<Followed>,
    peer: Peer,
    clock: Clock,
    /// The node's data directory.
    data: Layout,
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
    /// How it is reached.
    pub network: Network,
}

impl Source {
    /// The peer at its URL.
    ///
    /// # Errors
    /// As [`Network::configured`].
    pub fn peer(&self) -> Result<Peer> {
        self.network.configured(&self.url, self.ca.as_deref())
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
    /// Begins a mirror of the log `origin` under this charter, or takes over the one that is there.
    ///
    /// Whoever is followed names its log by itself, and so could name another's: a mirror that was begun under another
    /// charter, or by another of the sources `configured`, is left as it is.
    ///
    /// # Errors
    /// `peer.origin_taken`, those of the disk.
    pub fn begin(data: &Layout, origin: &str, source: &Source, charter: &[u8], configured: &[String]) -> Result<()> {
        // Two sources that name one log at the same time.
        static BEGINNING: Mutex<()> = Mutex::new(());
        let _turn = BEGINNING.lock();
        let layout = data.mirror(origin);
        let taken = |by: &str| {
            Err(Error::isolate(
                "peer.origin_taken",
                format!("«{}» names the log {origin}, which {by}", source.name),
                "follow each log from one address; if the address has changed, change it where the log is followed now",
            ))
        };
        let begun_by = read_bounded(&layout.source(), 1024).ok().and_then(|name| String::from_utf8(name).ok());
        if let Some(name) = begun_by.filter(|name| *name != source.name && configured.contains(name)) {
            return taken(&format!("«{name}» is followed for"));
        }
        let sha256 = CharterChain::pinned(charter)?.first().sha256();
        match read_chain(&layout) {
            Ok(chain) if chain.versions().iter().all(|version| version.sha256() != sha256) => {
                return taken("was begun under another charter");
            }
            Ok(_) => {}
            // None yet, or it cannot be read.
            Err(_) => {
                create_dir(layout.data())
                    .map_err(|e| Error::stop("mirror.create", e.detail(), "fix permissions or make room"))?;
                write_atomic(&layout.charter(), charter)?;
            }
        }
        write_atomic(&layout.source(), source.name.as_bytes())?;
        write_atomic(&layout.origin_file(), origin.as_bytes())
    }

    /// Opens what is kept of the log `origin`, which was begun before.
    pub fn open(
        data: &Layout,
        origin: &str,
        source: &Source,
        clock: Clock,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Follower> {
        let layout = data.mirror(origin);
        let chain = read_chain(&layout)?;
        let charters = chain.of_log(origin)?;
        let keys: Vec<&VerifierKey> = charters.versions().iter().rev().map(|j| &j.log_key).collect();
        let mirror = MirrorStore::open(&layout.log(), &keys)?;
        let mut index = SledIndex::open(&layout.index())?;
        let (state, replay) = load(&mirror.reader(), &mut index, &charters, progress)?;
        let ring = ring_of(&state);
        let mut status = hold::restore(&layout).unwrap_or_default();
        (status.name, status.url) = (source.name.clone(), source.url.clone());
        let view = Arc::new(LogView::new(Role::Followed, chain, mirror.reader(), state, replay.map));
        Ok(Follower {
            followed: Arc::new(Followed { view, status: RwLock::new(status), heard: Default::default() }),
            peer: source.peer()?,
            clock,
            incoming: Incoming::new(layout.data().join("incoming")),
            data: data.clone(),
            layout,
            work: Arc::new(Mutex::new(Work { mirror, index, ring })),
        })
    }

    /// True where the peer is the log's own node.
    pub fn is_at(&self, peer: &Peer) -> bool {
        self.peer.url() == peer.url()
    }

    /// One round. The status says afterwards what became of it; an error is also returned, for the scheduler's backoff.
    ///
    /// After a fork there are no more rounds: whoever signed two trees is not believed again because one of them is served
    /// later. The answers grow stale, and say so. Only the charter is asked for: a version that cuts the log decides it.
    pub async fn round(&self) -> Result<()> {
        self.followed.status.write().last_attempt = Some(self.clock.now_ms());
        let forked = hold::is_forked(&self.followed);
        if forked {
            let walked = self.walk_charters(&self.peer).await;
            if self.pending_cut().is_none() {
                super::meters::standing(&self.followed.status.read().clone(), self.followed.view.reader.size());
                return walked;
            }
        }
        let mut seen = Seen { source: self.peer.url().to_owned(), ..Seen::default() };
        let result = match self.walk_charters(&self.peer).await {
            Ok(()) => self.try_round(&self.peer, &self.incoming, &mut seen).await,
            Err(e) => Err(e),
        };
        match &result {
            Err(e) if e.action() != Action::Retry => hold::hold(&self.layout, &self.followed, &self.clock, e, &seen),
            _ => {}
        }
        let size = self.followed.view.head().map_or(0, |h| h.index + 1);
        self.followed.status.write().round(&self.clock, size, forked, result.as_ref().err());
        super::meters::round(&self.followed, result.is_ok());
        hold::save(&self.layout, &self.followed);
        result
    }

    /// The log's node does not answer: goes on with the copy that another node keeps, where that is further. What such a copy
    /// says wrongly harms nothing but itself, except that two trees signed by the log's own key are a fork wherever they
    /// are found. True where something new was taken in.
    ///
    /// The log is not said to have been heard by this: how old the answers are goes on from its own node's last word.
    pub async fn round_from(&self, other: &Peer) -> Result<bool> {
        if hold::is_forked(&self.followed) {
            return Ok(false);
        }
        let view = &self.followed.view;
        let copy = other.copy_of(&view.origin);
        let Some(note) = copy.get(&copy.log_path(LogPath::Checkpoint), limit::CHECKPOINT).await? else {
            return Ok(false);
        };
        let (before, head) = (view.reader.size(), round::open_checkpoint(&note, &self.log_keys(), &view.origin)?);
        if head.checkpoint().size <= before {
            return Ok(false);
        }
        // The chain of another node may be another one; what does not verify is not this log's matter.
        let _ = self.walk_charters(other).await;
        let mut seen = Seen { source: copy.url().to_owned(), ..Seen::default() };
        // Bundles of its own: what a lying copy sent must not be taken for what the log's node did.
        let incoming = Incoming::new(self.layout.data().join("incoming-copy"));
        incoming.clear();
        let result = self.try_round(&copy, &incoming, &mut seen).await;
        incoming.clear();
        if let Err(e) = &result {
            if e.code() == FORK && seen.proof.is_some() {
                hold::hold(&self.layout, &self.followed, &self.clock, e, &seen);
            }
            hold::save(&self.layout, &self.followed);
        }
        let size = view.head().map_or(0, |h| h.index + 1);
        if size > before {
            let via = Via { url: other.url().to_owned(), size, at: self.clock.now_ms() };
            self.followed.status.write().via = Some(via);
        }
        result.map(|()| size > before)
    }

    async fn try_round(&self, peer: &Peer, incoming: &Incoming, seen: &mut Seen) -> Result<()> {
        let view = &self.followed.view;
        view.chain().takes_part(&view.origin)?;
        let (checkpoint, note) = round::checkpoint(peer, &self.log_keys(), &view.origin).await?;
        seen.served = Some(note);
        let (size, root) = (checkpoint.checkpoint().size, checkpoint.checkpoint().root);
        self.check_signer(&checkpoint)?;
        self.followed.status.write().peer_size = size;
        self.settle_cut(size, peer, incoming).await?;
        let stored = view.reader.size();
        if size < stored {
            if let Some(proof) = self.split(&checkpoint, peer).await {
                seen.proof = Some(proof);
                return Err(hold::fork(format!(
                    "the log's key signed two trees; the one of size {size} is no part of the other"
                )));
            }
            return Err(Error::isolate(
                "peer.rollback",
                format!("the peer serves a checkpoint of size {size}; {stored} was accepted before"),
                "the peer lost or hides a part of its log; both checkpoints are kept",
            ));
        }
        if size == stored {
            let accepted = crate::tlog::tree::root(&view.reader, stored)?;
            if accepted != root {
                seen.proof = self.split(&checkpoint, peer).await;
                return Err(hold::fork(format!("the log's key signed two different trees of size {size}")));
            }
            // More has been said of the same head, or the mirror's own checkpoint was damaged.
            let note = published(view, &checkpoint)?;
            if size > 0 && view.reader.checkpoint_text().as_deref() != Some(&note) {
                self.work.lock().mirror.publish(&note)?;
            }
            return Ok(());
        }
        if size > stored.saturating_add(round::MAX_ROUND) {
            return Err(Error::retry(
                "peer.too_far",
                "the peer is more than 4 M entries ahead",
                "restore from a copy first",
            ));
        }
        let left_over = incoming.exists();
        let mut leaves = round::bundles(peer, stored, size, incoming).await?;
        let mut grown = round::prove(&view.reader, stored, &leaves, &checkpoint);
        if grown.is_err() && left_over {
            // What an earlier round left may be of a tree that is not served any more: no fault of this checkpoint.
            incoming.clear();
            leaves = round::bundles(peer, stored, size, incoming).await?;
            grown = round::prove(&view.reader, stored, &leaves, &checkpoint);
        }
        let grown = match grown {
            Ok(grown) => grown,
            Err(e) => {
                // Whatever was fetched is not what the checkpoint covers; the next round fetches it anew.
                incoming.clear();
                seen.proof = self.split(&checkpoint, peer).await;
                return Err(match seen.proof {
                    Some(_) => hold::fork(format!(
                        "the log's key signed two trees; that of size {size} does not begin with what was accepted"
                    )),
                    None => e,
                });
            }
        };
        let charters = view.state().charters().clone();
        check_cuts(&charters, &view.reader, stored, &leaves)?;
        round::tiles(peer, &grown.tiles).await?;
        let (followed, work, incoming) = (self.followed.clone(), self.work.clone(), incoming.clone());
        let taken = tokio::task::spawn_blocking(move || {
            let mut work = work.lock();
            let chunks = incoming.chunks(stored, size);
            let taken = take_in(&followed.view, &mut work, chunks, &checkpoint, Readers::Present);
            let taken = taken.map_err(|e| {
                let fetched = |index| incoming.entries((stored, size), index..index + 1).ok();
                let proof = entry_proof(&e, &followed.view, &grown, (stored, size), fetched, &work.ring);
                (e, proof)
            });
            if taken.is_ok() {
                incoming.clear();
            }
            taken
        })
        .await
        .map_err(|e| Error::retry("sync.task", e.to_string(), "see the log; the next round tries again"))?;
        taken.map_err(|(e, proof)| {
            seen.proof = proof;
            e
        })
    }

    /// Shows that a served checkpoint and the accepted one cannot be of one log, if that is so: from the tiles here where the
    /// served one is smaller, from the peer's own where it is larger.
    async fn split(&self, served: &VerifiedCheckpoint, peer: &Peer) -> Option<Proof> {
        let (accepted, _) = hold::accepted(&self.followed)?;
        let proof =
            super::gossip::split(&self.followed.view, &accepted, served.checkpoint(), peer).await.ok().flatten()?;
        hold::proves_fork(&self.followed, served.note_text(), &proof).then_some(proof)
    }

    /// Keys that may sign the log's next checkpoint.
    fn log_keys(&self) -> Vec<VerifierKey> {
        let state = self.followed.view.state();
        state.charters().log_keys(state.charter()).cloned().collect()
    }

    fn check_signer(&self, checkpoint: &VerifiedCheckpoint) -> Result<()> {
        let (charters, charter) = {
            let state = self.followed.view.state();
            (state.charters().clone(), state.charter())
        };
        let size = checkpoint.checkpoint().size;
        charters.check_signer(charter, size, |key| checkpoint.note().verify(key).is_ok())
    }

    /// A cut of the log that what is kept here does not know of.
    fn pending_cut(&self) -> Option<LogCut> {
        let state = self.followed.view.state();
        state.charters().pending_cut(state.charter()).copied()
    }

    /// Sets the copy aside where a cut has decided against a part of it, as soon as the log's node serves what goes on from
    /// the cut: until then it is better than nothing.
    async fn settle_cut(&self, served: u64, peer: &Peer, incoming: &Incoming) -> Result<()> {
        let Some(cut) = self.pending_cut() else { return Ok(()) };
        if served < cut.size {
            return Ok(());
        }
        let reader = &self.followed.view.reader;
        let (stored, root) = reader.head();
        let void = match standing(reader, stored, &cut)? {
            Standing::Void => true,
            Standing::Stands if stored == 0 || stored == cut.size => false,
            Standing::Stands => is_contradicted(peer, stored, root, cut).await?,
        };
        if !void {
            return Ok(());
        }
        incoming.clear();
        let (followed, work) = (self.followed.clone(), self.work.clone());
        tokio::task::spawn_blocking(move || begin_anew(&followed.view, &mut work.lock(), &cut))
            .await
            .map_err(|e| Error::retry("sync.task", e.to_string(), "see the log; the next round tries again"))?
    }

    /// Takes the charters that followed, if the peer has any: the next entries may be governed by them, and an entry that
    /// holds this log may be excepted by one. An exception of what was already taken in is a replay of the mirror; only
    /// where that succeeds is the charter kept.
    async fn walk_charters(&self, peer: &Peer) -> Result<()> {
        let mut chain = self.followed.view.chain();
        // Versions that other nodes served are as good: the root keys have signed them.
        let mut taken = super::charters::walk_kept(&self.data, &mut chain)?;
        let walked = super::charters::walk(peer, &mut chain).await;
        taken.extend(walked.as_deref().unwrap_or_default().iter().cloned());
        self.take(chain, taken).await?;
        walked.map(|_| ())
    }

    async fn take(&self, chain: CharterChain, taken: Vec<Vec<u8>>) -> Result<()> {
        if taken.is_empty() {
            return Ok(());
        }
        let (followed, work, layout) = (self.followed.clone(), self.work.clone(), self.layout.clone());
        tokio::task::spawn_blocking(move || take_charters(&followed.view, &mut work.lock(), &layout, chain, &taken))
            .await
            .map_err(|e| Error::retry("sync.task", e.to_string(), "see the log; the next round tries again"))?
    }
}

/// Sets the copy aside, as files that stay readable, and begins with nothing; the log must contain the cut's head.
fn begin_anew(view: &LogView, work: &mut Work, cut: &LogCut) -> Result<()> {
    let charters = view.state().charters().clone();
    let (mut map, mut state) = (view.map_mut(), view.state_mut());
    let place = work.mirror.begin_anew(cut.size, cut.root)?;
    tracing::error!(origin = %view.origin, version = cut.version, size = cut.size, set_aside = %place.display(),
        "the charter has cut this log; the copy that was decided against is set aside, the log is fetched anew");
    work.index.wipe()?;
    *map = Default::default();
    *state = State::new(Charters::clone(&charters));
    work.ring = ring_of(&state);
    Ok(())
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

/// The entry that was refused, with its path to the served checkpoint; the error names it where one entry is at fault.
fn entry_proof(
    e: &Error,
    view: &LogView,
    grown: &Grown,
    (stored, size): (u64, u64),
    fetched: impl Fn(u64) -> Option<Entries>,
    ring: &KeyRing,
) -> Option<Proof> {
    let index =
        e.detail().strip_prefix("entry ")?.split(':').next()?.parse().ok().filter(|i| (stored..size).contains(i))?;
    let entry = fetched(index)?.iter().next()?.to_vec();
    let new: HashMap<TileId, &Vec<Hash>> = grown.tiles.iter().map(|(id, hashes)| (*id, hashes)).collect();
    let path = inclusion_proof(&GrownTiles { new, old: &view.reader }, index, size).ok()?;
    Some(Proof::Entry {
        index,
        keys: keys_of(&entry, ring),
        entry: data_encoding::BASE64.encode(&entry),
        path: List(path.iter().map(Hash::to_base64).collect()),
    })
}

/// Tiles of a tree that was proved and is not part of the mirror.
struct GrownTiles<'g> {
    new: HashMap<TileId, &'g Vec<Hash>>,
    old: &'g LogReader,
}

impl TileSource for GrownTiles<'_> {
    fn tile(&self, id: TileId) -> Result<Vec<Hash>> {
        self.new.get(&id).map_or_else(|| self.old.tile(id), |hashes| Ok((*hashes).clone()))
    }
}
