//! The log a ministry's node writes about the regions it follows (docs/protocol.md, "Federation log").
//!
//! Each step reads the verified states of the followed regions, computes union map and link map, and closes with a
//! `federation.committed`. Store, journal, fence, tiles and checkpoint are those of a region's log; only the entries differ.
//! Nothing of the maps is kept on disk: after a start they are computed again and held against what was committed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use super::clock::Clock;
use super::layout::Layout;
use super::log_view::LogView;
use super::sequencer::SequencerKeys;
use super::{Node, charters, open_log};
use crate::error::{Error, Result};
use crate::federation::chain::CharterChain;
use crate::federation::charter::VerifiedCharter;
use crate::federation::dossier::archive::Files;
use crate::federation::dossier::manifest::Manifest;
use crate::registry::absence::AbsenceProof;
use crate::registry::bucket_file::{BucketFile, FederationHead};
use crate::registry::federation_step::{Gathering, Step, Terms, Together};
use crate::registry::ids::{RecordId, RegionCode};
use crate::registry::jurisdiction::FederationKeys;
use crate::registry::link_map::LinkMap;
use crate::registry::map_proof::MapProof;
use crate::registry::node_record::{DecodedNodeRecord, NodeRecord, RegionHead};
use crate::registry::signature::PublicKey;
use crate::registry::state::View;
use crate::registry::state_proof::Quoted;
use crate::registry::statemap::{StateMap, map_key};
use crate::registry::status_proof::Name;
use crate::registry::strict::List;
use crate::storage::checkpoint_lines::CheckpointLines;
use crate::storage::log_store::{LogReader, LogStore};
use crate::tlog::checkpoint::{Checkpoint, Head};
use crate::tlog::note::{Note, VerifierKey};
use crate::tlog::tree::inclusion_proof;

/// After a start, regions that were covered before are waited for this long, so that slow loading is not taken for absence.
const WAIT_FOR_REGIONS: Duration = Duration::from_secs(600);

/// What readers see: the log's files, and the last commit with the maps it covers.
pub struct FederationView {
    /// Origin of the log.
    pub origin: String,
    /// Published tiles, entries, checkpoint.
    pub reader: LogReader,
    current: RwLock<Option<Arc<Current>>>,
    /// Puts cosignatures on the checkpoint.
    lines: CheckpointLines,
}

struct Current {
    head: FederationHead,
    union: Arc<StateMap>,
    links: Arc<LinkMap>,
    /// Head and links of the commit before, since the last start: for whoever has read that head and comes for a bucket now.
    before: Option<(FederationHead, Arc<LinkMap>)>,
}

impl FederationView {
    /// The signed head; none before the maps have been computed.
    pub fn head(&self) -> Option<FederationHead> {
        self.current.read().as_ref().map(|c| c.head.clone())
    }

    /// Puts a note with more signatures in the place of the published one, and of that in the head; false where the log has
    /// moved on. Blocking.
    ///
    /// # Errors
    /// Those of [`CheckpointLines::replace`].
    pub(super) fn replace_checkpoint(&self, note: &str) -> Result<bool> {
        if !self.lines.replace(note)? {
            return Ok(false);
        }
        let size = Head::parse(Note::parse(note.as_bytes())?.text())?.size;
        let mut current = self.current.write();
        if let Some(now) = current.as_ref().filter(|now| now.head.size == size) {
            let head = FederationHead { checkpoint: Quoted::new(note.as_bytes())?, ..now.head.clone() };
            let (union, links, before) = (now.union.clone(), now.links.clone(), now.before.clone());
            *current = Some(Arc::new(Current { head, union, links, before }));
        }
        Ok(true)
    }

    /// The bytes of a bucket of the commit at `size`; none where that is neither the last one nor the one before, or there is
    /// no such bucket.
    pub fn bucket(&self, size: u64, name: &str) -> Option<Vec<u8>> {
        let current = self.current.read().clone()?;
        let kept = [Some((&current.head, &current.links)), current.before.as_ref().map(|(head, links)| (head, links))];
        let (head, links) = kept.into_iter().flatten().find(|(head, _)| head.size == size)?;
        BucketFile::encode(head, links, name)
    }

    /// Proves that no covered region has anything under `name`; none before the maps have been computed.
    ///
    /// # Errors
    /// `union.present` where one has.
    pub fn absence(&self, name: &Name) -> Result<Option<AbsenceProof>> {
        let Some(current) = self.current.read().clone() else { return Ok(None) };
        let key = map_key(&name.to_string());
        match current.union.get(&key) {
            None => Ok(Some(AbsenceProof { head: current.head.clone(), map: MapProof::of(&current.union, &key) })),
            Some(_) => Err(Error::refuse(
                "union.present",
                "a region of the federation has this name",
                "ask for it: it is registered",
            )),
        }
    }
}

/// The one writer of the federation's log.
pub struct FederationWriter {
    view: Arc<FederationView>,
    chain: CharterChain,
    terms: Terms,
    store: LogStore,
    keys: SequencerKeys,
    last: Option<Step>,
    clock: Clock,
    /// What its clock counted at the start.
    started: Duration,
    /// Regions whose logs have keys that the charter does not name; each is told of once.
    strange: HashSet<RegionCode>,
}

/// A region's log as it stands here.
struct Covered {
    region: RegionCode,
    view: Arc<LogView>,
    /// When its node last answered and everything verified, Unix milliseconds.
    seen: u64,
}

impl FederationWriter {
    /// Opens the log in `layout`, which has charters, origin, keys and log like a region's data directory.
    ///
    /// # Errors
    /// Those of a region's log, and `federation.charter` where the charter names no such log.
    pub fn open(layout: &Layout, passphrase: Option<&secrecy::SecretString>, clock: Clock) -> Result<FederationWriter> {
        let chain = charters::read_chain(layout)?;
        let origin = layout.origin()?;
        let known = keys_of_log(&chain, &origin, layout)?;
        let log_keys: Vec<&VerifierKey> = known.iter().map(|k| &k.log_key).collect();
        let named = &known[0];
        let cut = chain.cuts_of(&origin).last().map(|cut| {
            let since = known.iter().filter(|k| k.version >= cut.version).map(|k| &k.log_key).collect();
            (*cut, since)
        });
        let (mut store, pending, keys) = open_log(layout, &origin, passphrase, &log_keys, &named.commit_key, cut)?;
        store.confirm_restored(None)?;
        if let Some(pending) = pending {
            let checkpoint = Checkpoint { origin: origin.clone(), size: pending.size, root: pending.root };
            store.publish_pending(pending, &checkpoint.sign(&keys.log)?)?;
        }
        let reader = store.reader();
        let last = last_of(&reader)?;
        let terms = terms_of(chain.latest());
        let view = Arc::new(FederationView { origin, reader, current: RwLock::default(), lines: store.lines() });
        let started = clock.count();
        Ok(FederationWriter { view, chain, terms, store, keys, last, clock, started, strange: HashSet::new() })
    }

    /// Signs a dossier of a followed log, with the key of this log's commits.
    pub(super) fn seal(&self, manifest: &Manifest, files: &mut Files) {
        manifest.seal(files, &self.keys.commit);
    }

    /// What readers see.
    pub fn view(&self) -> &Arc<FederationView> {
        &self.view
    }

    /// One step: writes a commit where a followed region has changed, or what was committed of their ages grows old.
    /// True where one was written.
    ///
    /// # Errors
    /// Those of the disk: the log must then not be written any further.
    pub fn step(&mut self, node: &Node) -> Result<bool> {
        let covered = self.covered(node);
        if covered.is_empty() || self.waits_for_regions(&covered) {
            return Ok(false);
        }
        let served = self.view.current.read().is_some();
        if served && !self.is_due(&covered) {
            return Ok(false);
        }
        let mut gathering = Gathering::default();
        for Covered { view, seen, .. } in &covered {
            view.read_both(|map, state| gathering.add(*seen, map, state))?;
        }
        let together = gathering.finish();
        if let Some(last) = self.last.as_ref().filter(|l| !served && l.commit.charter == self.terms.charter)
            && last.covers(&together.heads)
        {
            match last.compare(&together) {
                // After a start: the maps are those that were committed.
                Ok(()) => return self.show(together).map(|()| false),
                Err(e) => {
                    tracing::error!(error = %e, "the last commit of the federation's log was wrong; it is followed by a right one")
                }
            }
        }
        self.write(together).map(|()| true)
    }

    /// The logs that the charter names, by region: those this node follows, and its own. A log is only believed to be the
    /// region's where it has adopted the keys that a version of the federation's charter names.
    fn covered(&mut self, node: &Node) -> Vec<Covered> {
        let now = self.clock.now_ms();
        let own = node.own().map(|view| (view.clone(), now));
        let followed = node.followed();
        let followed = followed.iter().map(|f| {
            // Asked first: what is read afterwards is at least as new.
            let status = f.status.read();
            // A date that was ahead and went back makes nothing younger than it is.
            let silent = status.heard.map_or(Duration::ZERO, |heard| self.clock.count().saturating_sub(heard));
            let latest = now.saturating_sub(silent.as_millis() as u64);
            (f.view.clone(), status.last_success.unwrap_or(0).min(latest))
        });
        let mut covered = Vec::new();
        for (view, seen) in own.into_iter().chain(followed) {
            let Some(named) = self.chain.latest().region_by_origin(&view.origin) else { continue };
            let (region, signs) = (named.code, keys_of(&view));
            let of = |v: &VerifiedCharter| {
                v.region_by_origin(&view.origin).map(|r| (r.log_vkey.to_string(), r.commit_key.0.clone()))
            };
            if !self.chain.versions().iter().filter_map(of).any(|keys| keys == signs) {
                if self.strange.insert(region) {
                    tracing::warn!(%region, log = %view.origin, "the federation's charter does not name the keys of this log: it is not covered; see «domovoi federation amend»");
                }
            } else if view.head().is_some() {
                covered.push(Covered { region, view, seen });
            }
        }
        covered.sort_by_key(|c| c.region);
        covered
    }

    /// True while a region that the charter still names was covered before and is not there again yet.
    fn waits_for_regions(&self, covered: &[Covered]) -> bool {
        let before = self.last.iter().flat_map(|l| &l.regions.regions.0);
        let named = |r: &&RegionHead| self.terms.regions.contains(&r.region);
        let behind = |r: &RegionHead| {
            let now = covered.iter().find(|c| c.region == r.region);
            now.is_none_or(|c| c.view.state().size() < r.size)
        };
        self.clock.count().saturating_sub(self.started) < WAIT_FOR_REGIONS && before.filter(named).any(behind)
    }

    fn is_due(&self, covered: &[Covered]) -> bool {
        let heads: Vec<_> = covered.iter().map(|c| (c.region, c.view.state().size(), c.seen)).collect();
        self.last.as_ref().is_none_or(|last| last.is_overtaken(&heads, &self.terms, self.clock.now_ms()))
    }

    fn write(&mut self, together: Together) -> Result<()> {
        let log = &self.view.origin;
        let regions = together.regions(log);
        let (first, regions_id) = NodeRecord::Regions(regions.clone()).sign(&self.keys.commit)?;
        let size = self.view.reader.size() + 2;
        let commit = together.commit(log, &self.terms, self.last.as_ref(), (size, regions_id, self.clock.now_ms()))?;
        let (second, id) = NodeRecord::Federation(commit.clone()).sign(&self.keys.commit)?;
        let staged = self.store.stage(vec![first, second])?;
        self.store.write_tiles(&staged)?;
        self.store.fence(&staged)?;
        let checkpoint = Checkpoint { origin: self.view.origin.clone(), size: staged.new_size, root: staged.root };
        self.store.publish(staged, &checkpoint.sign(&self.keys.log)?)?;
        self.last = Some(Step { regions, regions_id, commit, id });
        self.show(together)
    }

    /// Puts the maps of the last commit where readers find them.
    fn show(&self, together: Together) -> Result<()> {
        let reader = &self.view.reader;
        let size = reader.size();
        let none = || Error::stop("log.checkpoint", "the federation's log has no checkpoint", "run «domovoi fsck»");
        let checkpoint = reader.checkpoint_text().ok_or_else(none)?;
        let path = inclusion_proof(reader, size.saturating_sub(1), size)?;
        let head = FederationHead {
            size,
            checkpoint: Quoted::new(checkpoint.as_bytes())?,
            commit: Quoted::new(&reader.entry(size.saturating_sub(1))?)?,
            path: List(path.into_iter().map(|h| RecordId(h.0)).collect()),
        };
        let mut current = self.view.current.write();
        let before = current.take().map(|c| (c.head.clone(), c.links.clone()));
        *current =
            Some(Arc::new(Current { head, union: Arc::new(together.union), links: Arc::new(together.links), before }));
        Ok(())
    }
}

/// What a charter says of the federation's log.
pub fn terms_of(charter: &VerifiedCharter) -> Terms {
    let mut regions: Vec<RegionCode> = charter.regions().iter().map(|r| r.code).collect();
    regions.sort();
    Terms { charter: charter.charter().version, regions, staleness_hours: charter.charter().staleness_hours }
}

/// The operator's word, after a restore from a backup, that nobody saw the federation's log longer than this.
///
/// # Errors
/// `fence.restored` where the log has another size; those of [`FederationWriter::open`].
pub fn confirm_restored(layout: &Layout, size: u64) -> Result<()> {
    let (chain, origin) = (charters::read_chain(layout)?, layout.origin()?);
    let known = keys_of_log(&chain, &origin, layout)?;
    let log_keys: Vec<&VerifierKey> = known.iter().map(|k| &k.log_key).collect();
    let (mut store, _) = LogStore::open(&layout.log(), &layout.private(), &log_keys)?;
    store.confirm_restored(Some(size))
}

/// What each charter version says of the log, the newest first: never empty.
pub(super) fn keys_of_log(chain: &CharterChain, origin: &str, layout: &Layout) -> Result<Vec<FederationKeys>> {
    let named = chain.versions().iter().rev().filter_map(|v| v.federation());
    let known: Vec<FederationKeys> = named.filter(|f| *f.origin == *origin).collect();
    let newest = chain.latest().federation().is_some_and(|f| *f.origin == *origin);
    match newest {
        true => Ok(known),
        false => Err(Error::stop(
            "federation.charter",
            format!("{} names no federation log «{origin}»", layout.charter().display()),
            "put a charter with the section «federation» there, or remove the folder",
        )),
    }
}

/// The keys of a log by the charter version it has adopted.
fn keys_of(view: &LogView) -> (String, PublicKey) {
    let state = view.state();
    (state.jurisdiction().log_key.to_string(), state.jurisdiction().commit_key.clone())
}

/// What the log ends with: every signed head is two entries of one step.
fn last_of(reader: &LogReader) -> Result<Option<Step>> {
    let size = reader.size();
    if size == 0 {
        return Ok(None);
    }
    let wrong =
        || Error::stop("log.commit", format!("no federation.committed ends at size {size}"), "run «domovoi fsck»");
    let before = size.checked_sub(2).ok_or_else(wrong)?;
    let regions = DecodedNodeRecord::decode(&reader.entry(before)?)?;
    let commit = DecodedNodeRecord::decode(&reader.entry(size - 1)?)?;
    match (regions.record(), commit.record()) {
        (NodeRecord::Regions(r), NodeRecord::Federation(c)) if c.size == size && c.regions == regions.id() => {
            let (regions_id, id) = (regions.id(), commit.id());
            Ok(Some(Step { regions: r.clone(), regions_id, commit: c.clone(), id }))
        }
        _ => Err(wrong()),
    }
}
