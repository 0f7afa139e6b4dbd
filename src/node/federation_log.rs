//! The log a ministry's node writes about the regions it follows (docs/protocol.md, "Federation log").
//!
//! Each step reads the verified states of the followed regions, computes union map and link map, and closes with a
//! `federation.committed`. Store, journal, fence, tiles and checkpoint are those of a region's log; only the entries differ.
//! Nothing of the maps is kept on disk: after a start they are computed again and held against what was committed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use super::layout::Layout;
use super::log_view::LogView;
use super::sequencer::SequencerKeys;
use super::{Node, charters, now_ms, open_log};
use crate::error::{Error, Result};
use crate::federation::chain::CharterChain;
use crate::federation::charter::VerifiedCharter;
use crate::registry::absence::AbsenceProof;
use crate::registry::bucket_file::{BucketFile, FederationHead};
use crate::registry::ids::{RecordId, RegionCode};
use crate::registry::link_map::{LinkMap, Links};
use crate::registry::map_proof::MapProof;
use crate::registry::node_record::{DecodedNodeRecord, FederationCommit, FederationRegions, NodeRecord, RegionHead};
use crate::registry::record::RECORD_VERSION;
use crate::registry::signature::PublicKey;
use crate::registry::state::View;
use crate::registry::state_proof::Quoted;
use crate::registry::statemap::{StateMap, map_key};
use crate::registry::strict::List;
use crate::registry::text::Millis;
use crate::registry::union_map::Union;
use crate::storage::log_store::{LogReader, LogStore};
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::note::VerifierKey;
use crate::tlog::tree::inclusion_proof;

/// After a start, regions that were covered before are waited for this long, so that slow loading is not taken for absence.
const WAIT_FOR_REGIONS: Duration = Duration::from_secs(600);

/// What readers see: the log's files, and the last commit with the links it covers.
pub struct FederationView {
    /// Origin of the log.
    pub origin: String,
    /// Published tiles, entries, checkpoint.
    pub reader: LogReader,
    current: RwLock<Option<Arc<Current>>>,
}

struct Current {
    head: FederationHead,
    union: StateMap,
    links: LinkMap,
}

impl FederationView {
    /// The signed head; none before the maps have been computed.
    pub fn head(&self) -> Option<FederationHead> {
        self.current.read().as_ref().map(|c| c.head.clone())
    }

    /// The bytes of a bucket of the commit at `size`; none where that is not the last one, or there is no such bucket.
    pub fn bucket(&self, size: u64, name: &str) -> Option<Vec<u8>> {
        let current = self.current.read().clone().filter(|c| c.head.size == size)?;
        BucketFile::encode(&current.head, &current.links, name)
    }
}

impl FederationView {
    /// Proves that no covered region has anything under `name`; none before the maps have been computed.
    ///
    /// # Errors
    /// `union.present` where one has.
    pub fn absence(&self, name: &str) -> Result<Option<AbsenceProof>> {
        let Some(current) = self.current.read().clone() else { return Ok(None) };
        let key = map_key(name);
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
    store: LogStore,
    keys: SequencerKeys,
    last: Option<Last>,
    started: Instant,
    /// Regions whose logs have keys that the charter does not name; each is told of once.
    strange: HashSet<RegionCode>,
}

/// What the log ends with.
struct Last {
    regions: FederationRegions,
    commit: FederationCommit,
    id: RecordId,
}

/// A region's log as it stands here.
struct Covered {
    region: RegionCode,
    view: Arc<LogView>,
    /// When its node last answered and everything verified, Unix milliseconds.
    seen: u64,
}

/// What the regions say together at one moment.
struct Together {
    heads: Vec<RegionHead>,
    union: StateMap,
    root: RecordId,
    links: LinkMap,
}

impl FederationWriter {
    /// Opens the log in `layout`, which has charters, origin, keys and log like a region's data directory.
    ///
    /// # Errors
    /// Those of a region's log, and `federation.charter` where the charter names no such log.
    pub fn open(layout: &Layout, passphrase: Option<&secrecy::SecretString>) -> Result<FederationWriter> {
        let chain = charters::read_chain(layout)?;
        let origin = layout.origin()?;
        let none = || {
            Error::stop(
                "federation.charter",
                format!("{} names no federation log «{origin}»", layout.charter().display()),
                "put a charter with the section «federation» there, or remove the folder",
            )
        };
        let named = chain.latest().federation().filter(|f| *f.origin == *origin).ok_or_else(none)?;
        let known: Vec<_> = chain.versions().iter().rev().filter_map(|v| v.federation()).collect();
        let log_keys: Vec<&VerifierKey> = known.iter().filter(|k| *k.origin == *origin).map(|k| &k.log_key).collect();
        let (store, keys) = open_log(layout, &origin, passphrase, &log_keys, &named.commit_key, None)?;
        let reader = store.reader();
        let last = last_of(&reader)?;
        let view = Arc::new(FederationView { origin, reader, current: RwLock::default() });
        Ok(FederationWriter { view, chain, store, keys, last, started: Instant::now(), strange: HashSet::new() })
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
        let together = self.together(&covered)?;
        if let Some(last) = &self.last
            && !served
            && last.commit.charter == self.chain.latest().charter().version
            && (last.commit.root, last.commit.links) == (together.root, RecordId(together.links.root()))
            && same_heads(&last.regions.regions.0, &together.heads)
        {
            // After a start: the maps are those that were committed.
            self.show(together.union, together.links)?;
            return Ok(false);
        }
        self.write(together).map(|()| true)
    }

    /// The logs that the charter names, by region: those this node follows, and its own. A log is only believed to be the
    /// region's where it has adopted the keys that a version of the federation's charter names.
    fn covered(&mut self, node: &Node) -> Vec<Covered> {
        let own = node.own().map(|view| (view.clone(), now_ms()));
        let followed = node.followed();
        let followed = followed.iter().map(|f| {
            // Asked first: what is read afterwards is at least as new.
            let seen = f.status.read().last_success.unwrap_or(0);
            (f.view.clone(), seen)
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
        let named = |r: &&RegionHead| self.chain.latest().regions().iter().any(|n| n.code == r.region);
        let behind = |r: &RegionHead| {
            let now = covered.iter().find(|c| c.region == r.region);
            now.is_none_or(|c| c.view.state().size() < r.size)
        };
        self.started.elapsed() < WAIT_FOR_REGIONS && before.filter(named).any(behind)
    }

    fn is_due(&self, covered: &[Covered]) -> bool {
        let Some(last) = &self.last else { return true };
        let charter = self.chain.latest().charter();
        let heads = covered.iter().map(|c| (c.region, c.view.state().size()));
        if last.commit.charter != charter.version
            || !heads.eq(last.regions.regions.0.iter().map(|r| (r.region, r.size)))
        {
            return true;
        }
        // Ages are renewed in time, but only where a later one can be given.
        let half = u64::from(charter.staleness_hours) * 3_600_000 / 2;
        let oldest = last.commit.oldest.map_or(0, Millis::get);
        let now_oldest = covered.iter().map(|c| c.seen).min().unwrap_or(0);
        now_ms().saturating_sub(oldest) > half && now_oldest > oldest
    }

    fn together(&self, covered: &[Covered]) -> Result<Together> {
        let (mut union, mut links, mut heads) = (Union::default(), Links::default(), Vec::new());
        for Covered { region, view, seen } in covered {
            let head = view.read_whole(|state| {
                union.add(state);
                links.add(state);
                state.head().map(|head| (state.size(), head))
            });
            if let Some((size, head)) = head {
                let (time, seen) = (Millis::new(head.time)?, Millis::new((*seen).max(head.time))?);
                heads.push(RegionHead { region: *region, size, root: RecordId(head.root), time, seen });
            }
        }
        let mut union = union.into_map();
        Ok(Together { heads, root: RecordId(union.root()), union, links: links.into_map() })
    }

    fn write(&mut self, together: Together) -> Result<()> {
        let Together { heads, union, root, links } = together;
        let charter = self.chain.latest().charter();
        let log: Box<str> = self.view.origin.as_str().into();
        let mut missing: Vec<RegionCode> = charter.regions.0.iter().map(|r| r.code).collect();
        missing.retain(|code| heads.iter().all(|h| h.region != *code));
        missing.sort();
        // Strictly increasing, also when the clock goes back.
        let time = self.last.as_ref().map_or(0, |l| l.commit.time.get() + 1).max(now_ms());
        let oldest = heads.iter().map(|h| h.seen).min_by_key(|s| s.get());
        let regions = FederationRegions { v: RECORD_VERSION, log: log.clone(), regions: List(heads) };
        let (first, regions_id) = NodeRecord::Regions(regions.clone()).sign(&self.keys.commit)?;
        let commit = FederationCommit {
            v: RECORD_VERSION,
            log,
            size: self.view.reader.size() + 2,
            time: Millis::new(time)?,
            previous: self.last.as_ref().map(|l| l.id),
            charter: charter.version,
            regions: regions_id,
            oldest,
            missing: List(missing),
            root,
            links: RecordId(links.root()),
            count: links.len() as u64,
            bits: links.bits(),
        };
        let (second, id) = NodeRecord::Federation(commit.clone()).sign(&self.keys.commit)?;
        let staged = self.store.stage(vec![first, second])?;
        self.store.write_tiles(&staged)?;
        self.store.fence(&staged)?;
        let checkpoint = Checkpoint { origin: self.view.origin.clone(), size: staged.new_size, root: staged.root };
        self.store.publish(staged, &checkpoint.sign(&self.keys.log)?)?;
        self.last = Some(Last { regions, commit, id });
        self.show(union, links)
    }

    /// Puts the maps of the last commit where readers find them.
    fn show(&self, union: StateMap, links: LinkMap) -> Result<()> {
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
        *self.view.current.write() = Some(Arc::new(Current { head, union, links }));
        Ok(())
    }
}

/// The keys of a log by the charter version it has adopted.
fn keys_of(view: &LogView) -> (String, PublicKey) {
    let state = view.state();
    (state.jurisdiction().log_key.to_string(), state.jurisdiction().commit_key.clone())
}

fn same_heads(one: &[RegionHead], other: &[RegionHead]) -> bool {
    one.iter().map(|h| (h.region, h.size, h.root)).eq(other.iter().map(|h| (h.region, h.size, h.root)))
}

/// What the log ends with: every signed head is two entries of one step.
fn last_of(reader: &LogReader) -> Result<Option<Last>> {
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
            Ok(Some(Last { regions: r.clone(), commit: c.clone(), id: commit.id() }))
        }
        _ => Err(wrong()),
    }
}
