//! The complete check of a federation's log from its files: every entry, that each step continues the one before and says of the
//! regions what its charter says, and, where copies of the regions' logs are at hand, that the newest step commits to what
//! these say. The regions' logs are replayed for that up to the committed sizes, with every rule and root.

use std::collections::BTreeMap;

use super::charters::read_chain;
use super::federation_log::{keys_of_log, terms_of};
use super::layout::Layout;
use super::load::ring_of;
use crate::error::{Error, Result};
use crate::federation::chain::CharterChain;
use crate::registry::federation_step::{Gathering, Step, Terms};
use crate::registry::ids::RecordId;
use crate::registry::ids::RegionCode;
use crate::registry::jurisdiction::LogCut;
use crate::registry::node_record::{DecodedNodeRecord, FederationRegions, NodeRecord, RegionHead};
use crate::registry::replay::{Preparer, Replay, Trust};
use crate::registry::signature::PublicKey;
use crate::registry::state::State;
use crate::storage::durable::read_optional;
use crate::storage::fsck::{self, DirSource, Report};
use crate::storage::log_store::{LogReader, open_by_any};

/// Entries read from a region's log at a time.
const CHUNK: u64 = 4096;

/// What was found.
pub struct Checked {
    /// The log's files; what is wrong with steps or roots is among its problems.
    pub report: Report,
    /// Steps that verified.
    pub steps: u64,
    /// Regions of the newest step whose logs are not here up to the committed size: with any of them, its roots are not
    /// compared.
    pub without_copy: Vec<RegionCode>,
}

/// Checks the log in `federation`, a data directory of its own; `node` is that of the node, with the regions' logs.
///
/// # Errors
/// `federation.charter`; those of the charters and of the disk. What is wrong with the log is a problem in the report.
pub fn check(federation: &Layout, node: Option<&Layout>, progress: &mut dyn FnMut(u64, u64)) -> Result<Checked> {
    let chain = read_chain(federation)?;
    let origin = federation.origin()?;
    let known = keys_of_log(&chain, &origin, federation)?;
    let note = read_optional(&federation.log().join("checkpoint"), 1 << 16)?.unwrap_or_default();
    let signer = known.iter().find(|k| open_by_any(&note, &[&k.log_key]).is_ok()).unwrap_or(&known[0]);
    let signed_by = &signer.log_key;
    let mut steps = Steps { chain: &chain, origin: &origin, terms: BTreeMap::new(), half: None, last: None, count: 0 };
    let mut wrong = None;
    let mut report = fsck::check(
        &DirSource::new(federation.log()),
        Some(signed_by),
        &mut |_, entries| {
            for entry in entries {
                if wrong.is_none() {
                    wrong = steps.take(entry).err();
                }
            }
            Ok(())
        },
        progress,
    )?;
    let (last, count, half) = (steps.last.take(), steps.count, steps.half.is_some());
    report.problems.extend(wrong);
    report.problems.extend(LogCut::check(&chain.cuts_of(&origin), signer.version, report.size).err());
    if report.problems.is_empty() && (half || last.as_ref().map_or(0, |l| l.commit.size) != report.size) {
        report.problems.push(Error::refuse(
            "log.commit",
            "the log does not end at a federation.committed",
            "restore it from a backup",
        ));
    }
    let mut without_copy = Vec::new();
    if let (Some(node), Some(last), true) = (node, last, report.problems.is_empty()) {
        match recompute(node, &chain, &last, &mut without_copy) {
            Ok(()) => {}
            Err(e) => report.problems.push(e),
        }
    }
    Ok(Checked { report, steps: count, without_copy })
}

/// Steps, taken in entry by entry.
struct Steps<'c> {
    chain: &'c CharterChain,
    origin: &'c str,
    terms: BTreeMap<u64, (Terms, PublicKey)>,
    half: Option<(FederationRegions, RecordId, DecodedNodeRecord)>,
    last: Option<Step>,
    count: u64,
}

impl Steps<'_> {
    fn take(&mut self, entry: &[u8]) -> Result<()> {
        let decoded = DecodedNodeRecord::decode(entry)?;
        let Some((regions, regions_id, first)) = self.half.take() else {
            let NodeRecord::Regions(regions) = decoded.record().clone() else { return Err(out_of_order(self.count)) };
            self.half = Some((regions, decoded.id(), decoded));
            return Ok(());
        };
        let NodeRecord::Federation(commit) = decoded.record().clone() else { return Err(out_of_order(self.count)) };
        let (terms, key) = self.terms(commit.charter)?;
        let id = decoded.id();
        first.verify(&key)?;
        decoded.verify(&key)?;
        let step = Step { regions, regions_id, commit, id };
        step.check(self.last.as_ref(), self.origin, &terms)?;
        self.last = Some(step);
        self.count += 1;
        Ok(())
    }

    fn terms(&mut self, version: u64) -> Result<(Terms, PublicKey)> {
        if let Some(known) = self.terms.get(&version) {
            return Ok(known.clone());
        }
        let charter = self.chain.version(version);
        let key = charter.and_then(|c| c.federation()).filter(|f| *f.origin == *self.origin).map(|f| f.commit_key);
        let (Some(charter), Some(key)) = (charter, key) else {
            return Err(Error::refuse(
                "union.commit",
                format!("a step names charter version {version}, which is not here or does not name this log"),
                "put all versions of the charter there",
            ));
        };
        Ok(self.terms.entry(version).or_insert((terms_of(charter), key)).clone())
    }
}

fn out_of_order(steps: u64) -> Error {
    Error::refuse(
        "union.commit",
        format!("after {steps} steps, an entry stands where another belongs"),
        "do not rely on the log; restore it from a backup",
    )
}

fn recompute(node: &Layout, chain: &CharterChain, last: &Step, without_copy: &mut Vec<RegionCode>) -> Result<()> {
    let Some(charter) = chain.version(last.commit.charter) else { return Ok(()) };
    let mut gathering = Gathering::default();
    for head in &last.regions.regions.0 {
        let named = charter.regions().iter().find(|r| r.code == head.region);
        match named.map(|r| state_at(node, r.origin.as_str(), head)).transpose()?.flatten() {
            Some((state, replay)) => gathering.add(head.seen.get(), &replay.map, &state)?,
            None => without_copy.push(head.region),
        }
    }
    match without_copy.is_empty() {
        true => last.compare(&gathering.finish()),
        false => Ok(()),
    }
}

/// The state of a region's log at the committed size, from this node's copy. None where there is none that long.
fn state_at(node: &Layout, origin: &str, head: &RegionHead) -> Result<Option<(State, Replay)>> {
    let own = node.has_own_log() && node.origin()? == origin;
    let layout = if own { node.clone() } else { node.mirror(origin) };
    if !layout.charter().exists() {
        return Ok(None);
    }
    let (charters, reader) = (read_chain(&layout)?.of_log(origin)?, LogReader::open(&layout.log())?);
    if reader.size() < head.size {
        return Ok(None);
    }
    let mut state = State::new(charters);
    let (mut ring, mut replay) = (ring_of(&state), Replay::default());
    let mut preparer = Preparer::after(&state, Trust::Verify);
    while replay.size(&state) < head.size {
        let first = replay.size(&state);
        let entries = reader.entries(first..head.size.min(first + CHUNK))?;
        let chunk = preparer.prepare(first, &entries.all(), &mut ring);
        replay.apply(&mut state, chunk, &mut |s, changes, commit, id, at| s.absorb(changes, commit, id, at))?;
    }
    // A size at which no commit ends leaves the state at the commit before it.
    Ok((state.size() == head.size).then_some((state, replay)))
}
