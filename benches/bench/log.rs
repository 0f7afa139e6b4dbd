//! Measures over a whole log: verifying it as a follower does, starting a node from it, checking its files.

use std::path::Path;

use domovoi::node::charters::read_chain;
use domovoi::node::layout::Layout;
use domovoi::node::load::{index_batch, join_batches, load, ring_of};
use domovoi::registry::jurisdiction::Charters;
use domovoi::registry::record::DecodedRecord;
use domovoi::registry::replay::{PreparedChunk, Preparer, Replay, Trust};
use domovoi::registry::signature::{PublicKey, verify_batch};
use domovoi::registry::state::State;
use domovoi::registry::verify::KeyRing;
use domovoi::storage::fsck::{DirSource, check};
use domovoi::storage::index::{IndexBatch, SledIndex};
use domovoi::storage::log_store::LogReader;
use domovoi::tlog::hash::leaf_hash;
use domovoi::tlog::tree::Frontier;
use rayon::prelude::*;

use crate::{Measure, Outcome, REPEATS, median, timed, world};

/// Entries at a time, as in the follower.
const STEP: u64 = 4096;

fn charters(layout: &Layout) -> Outcome<Charters> {
    Ok(read_chain(layout)?.of_log(&layout.origin()?)?)
}

/// Everything a follower does with entries it has fetched, but for the disk: leaf hashes and root, records taken apart,
/// signatures, rules, state roots, index rows. The next chunk is prepared while the last one is applied.
fn follow(reader: &LogReader, charters: &Charters) -> Outcome<u64> {
    let size = reader.size();
    let mut state = State::new(charters.clone());
    let (mut ring, mut preparer) = (ring_of(&state), Preparer::after(&state, Trust::Verify));
    let (mut replay, mut tree) = (Replay::default(), Frontier::new());
    let (mut ready, mut at): (Option<PreparedChunk>, u64) = (None, 0);
    loop {
        let entries = reader.entries(at..size.min(at + STEP))?;
        let current = ready.take();
        let (next, applied) = rayon::join(
            || {
                let hashes: Vec<_> = entries.par_iter().map(|e| leaf_hash(e)).collect();
                hashes.into_iter().for_each(|h| tree.push(h));
                let prepared = || preparer.prepare(at, &entries, &mut ring);
                (!entries.is_empty()).then(prepared)
            },
            || current.map_or(Ok(()), |chunk| apply(&mut state, &mut replay, chunk)),
        );
        applied?;
        if next.is_none() {
            break;
        }
        (ready, at) = (next, at + entries.len() as u64);
    }
    if tree.root() != reader.head().1 || state.size() != size {
        return Err("the generated log did not verify".into());
    }
    Ok(size)
}

fn apply(state: &mut State, replay: &mut Replay, chunk: PreparedChunk) -> domovoi::error::Result<()> {
    let mut batch: Option<IndexBatch> = None;
    replay.apply(state, chunk, &mut |state, changes, commit, id, at| {
        let next = index_batch(&changes, commit, at + 1);
        match &mut batch {
            Some(b) => join_batches(b, next),
            None => batch = Some(next),
        }
        state.absorb(changes, commit, id, at);
    })
}

/// Seconds for what cannot be left out: every entry taken apart and hashed, every signature verified in batches.
fn unavoidable(reader: &LogReader, ring: &KeyRing) -> Outcome<f64> {
    let (mut seconds, mut at, size) = (0.0, 0, reader.size());
    while at < size {
        let entries = reader.entries(at..size.min(at + STEP))?;
        at += entries.len() as u64;
        let (took, good) = timed(|| {
            let parsed: Vec<_> = entries
                .par_iter()
                .filter_map(|e| {
                    let record = DecodedRecord::decode(e);
                    (std::hint::black_box(leaf_hash(e)), record).1.ok()
                })
                .map(|d| {
                    let (kid, signature) = d.envelope.signatures[0];
                    (d.envelope.signing_input(&kid), kid, signature, d.record)
                })
                .collect();
            let items: Vec<(&PublicKey, &[u8], [u8; 64])> = parsed
                .iter()
                .filter_map(|(input, kid, signature, _)| Some((ring.key(kid)?, input.as_slice(), *signature)))
                .collect();
            verify_batch(&items).into_iter().all(|good| good)
        });
        if !good {
            return Err("a generated signature does not verify".into());
        }
        seconds += took;
    }
    Ok(seconds)
}

/// A figure of `/proc/self/status`, in MB.
fn memory(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(field)).unwrap_or("0");
    line.trim_matches([':', '\t', ' ', 'k', 'B']).parse::<f64>().unwrap_or(0.0) / 1024.0
}

pub fn follow_verify(dir: &Path) -> Outcome<Measure> {
    let layout = Layout::new(dir);
    let (charters, reader) = (charters(&layout)?, LogReader::open(&layout.log())?);
    // The keys are known to the limit beforehand; the follower has to find them in the log.
    let mut index = SledIndex::open(&layout.index())?;
    let ring = ring_of(&load(&reader, &mut index, &charters, &mut |_, _| {})?.0);
    drop(index);
    let size = reader.size() as f64;
    // Linux: from here on the peak is this measure's.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = memory("VmRSS");
    let (mut values, mut limits) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let (took, followed) = timed(|| follow(&reader, &charters));
        followed?;
        values.push(size / took);
        limits.push(size / unavoidable(&reader, &ring)?);
    }
    eprintln!("follow_verify: {size} entries, peak RSS {:.0} MB ({before:.0} MB before)", memory("VmHWM"));
    Ok(Measure::new(
        "follow_verify",
        median(values),
        "entries/s",
        median(limits),
        "parse + leaf hash + batch verify alone, on the same cores",
    ))
}

/// From a clean stop to a node that answers.
pub fn start(dir: &Path) -> Outcome<Measure> {
    let mut values = Vec::new();
    for _ in 0..REPEATS {
        let (took, node) = timed(|| world::open(dir));
        node?.close();
        values.push(took);
    }
    let size = LogReader::open(&Layout::new(dir).log())?.size();
    let limit = 5.0 * size as f64 / 1e6;
    Ok(Measure::new(
        "start",
        median(values),
        "s (lower is better)",
        limit,
        format!("5 s a million records; {size} here"),
    ))
}

pub fn fsck(dir: &Path) -> Outcome<Measure> {
    let log = Layout::new(dir).log();
    let reader = LogReader::open(&log)?;
    let size = reader.size();
    let (mut values, mut limits) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let (took, report) = timed(|| check(&DirSource::new(&log), None, &mut |_, _| Ok(()), &mut |_, _| {}));
        if !report?.problems.is_empty() {
            return Err("the generated log is damaged".into());
        }
        values.push(size as f64 / took);
        let (mut seconds, mut at) = (0.0, 0);
        while at < size {
            let entries = reader.entries(at..size.min(at + STEP))?;
            at += entries.len() as u64;
            seconds += timed(|| std::hint::black_box(entries.par_iter().map(|e| leaf_hash(e)).collect::<Vec<_>>())).0;
        }
        limits.push(size as f64 / seconds);
    }
    Ok(Measure::new("fsck", median(values), "entries/s", median(limits), "leaf hashes of entries in memory, all cores"))
}
