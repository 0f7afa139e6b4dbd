//! Measures over a whole log: verifying it as a follower does, starting a node from it, checking its files.

use std::path::Path;

use domovoi::node::charters::read_chain;
use domovoi::node::layout::Layout;
use domovoi::node::load::{index_batch, join_batches, ring_of};
use domovoi::registry::jurisdiction::Charters;
use domovoi::registry::record::DecodedRecord;
use domovoi::registry::replay::{PreparedChunk, Preparer, Replay, Trust};
use domovoi::registry::signature::{PublicKey, verify_batch};
use domovoi::registry::state::State;
use domovoi::registry::verify::KeyRing;
use domovoi::storage::fsck::{DirSource, check};
use domovoi::storage::index::IndexBatch;
use domovoi::storage::log_store::{Entries, LogReader};
use domovoi::tlog::hash::leaf_hash;
use domovoi::tlog::tree::Frontier;
use rayon::prelude::*;

use crate::{Measure, Outcome, REPEATS, median, timed, world};

/// Entries at a time, as in the follower.
const STEP: u64 = 4096;

pub fn charters(layout: &Layout) -> Outcome<Charters> {
    Ok(read_chain(layout)?.of_log(&layout.origin()?)?)
}

/// Everything a follower does with entries it has fetched, but for the disk: leaf hashes and root, records taken apart,
/// signatures, rules, state roots, index rows. The next chunk is prepared while the last one is applied.
fn follow(reader: &LogReader, charters: &Charters) -> Outcome<u64> {
    let size = reader.size();
    let mut state = State::new(charters.clone());
    let (mut ring, mut preparer) = (ring_of(&state), Preparer::after(&state, Trust::Verify));
    let (mut replay, mut tree) = (Replay::default().with_rows().beside_verifying(), Frontier::new());
    let read = |from: u64| reader.entries(from.min(size)..size.min(from + STEP));
    let (mut ready, mut entries, mut at): (Option<PreparedChunk>, Entries, u64) = (None, read(0)?, 0);
    loop {
        let current = ready.take();
        let all = entries.all();
        let ((next, following), applied) = rayon::join(
            || {
                let prepared = || {
                    let hashes: Vec<_> = all.par_iter().map(|e| leaf_hash(e)).collect();
                    tree.extend(hashes);
                    let prepared = || preparer.prepare(at, &all, &mut ring);
                    (!all.is_empty()).then(prepared)
                };
                rayon::join(prepared, || read(at + STEP))
            },
            || current.map_or(Ok(()), |chunk| apply(&mut state, &mut replay, chunk)),
        );
        applied?;
        if next.is_none() {
            break;
        }
        at += all.len() as u64;
        (ready, entries) = (next, following?);
    }
    if tree.root() != reader.head().1 || state.size() != size {
        return Err("the generated log did not verify".into());
    }
    Ok(size)
}

fn apply(state: &mut State, replay: &mut Replay, chunk: PreparedChunk) -> domovoi::error::Result<()> {
    let mut batch: Option<IndexBatch> = None;
    replay.apply(state, chunk, &mut |state, mut changes, commit, id, at| {
        let next = index_batch(&mut changes, commit, at + 1);
        match &mut batch {
            Some(b) => join_batches(b, next),
            None => batch = Some(next),
        }
        state.absorb(changes, commit, id, at);
    })
}

/// Seconds for what cannot be left out: every entry taken apart and hashed, every signature verified in batches.
pub fn unavoidable(reader: &LogReader, ring: &KeyRing) -> Outcome<f64> {
    let (mut seconds, mut at, size) = (0.0, 0, reader.size());
    while at < size {
        let read = reader.entries(at..size.min(at + STEP))?;
        let entries = read.all();
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

/// The keys that the first entries of the generated log grant. The limit knows them beforehand; the follower has to find
/// them in the log.
pub fn granted(reader: &LogReader, charters: &Charters) -> Outcome<KeyRing> {
    let mut ring = ring_of(&State::new(charters.clone()));
    for entry in reader.entries(0..reader.size().min(STEP))?.iter() {
        if let Ok(decoded) = DecodedRecord::decode(entry) {
            ring.add_granted(&decoded.record);
        }
    }
    Ok(ring)
}

pub fn follow_verify(dir: &Path) -> Outcome<Measure> {
    let layout = Layout::new(dir);
    let (charters, reader) = (charters(&layout)?, LogReader::open(&layout.log())?);
    let ring = granted(&reader, &charters)?;
    let size = reader.size() as f64;
    let (mut values, mut limits) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let (took, followed) = timed(|| follow(&reader, &charters));
        followed?;
        values.push(size / took);
        limits.push(size / unavoidable(&reader, &ring)?);
    }
    Ok(Measure::new(
        "follow_verify",
        median(values),
        "entries/s",
        median(limits),
        "parse + leaf hash + batch verify alone, on the same cores",
    ))
}

/// What a process that follows the log once needs at most.
pub fn follow_memory(dir: &Path) -> Outcome<Measure> {
    let peak = crate::again(&["--follow", &dir.to_string_lossy()])?.trim().parse()?;
    let size = LogReader::open(&Layout::new(dir).log())?.size();
    let against = format!("1 GB; peak resident memory of a process that follows {size} entries");
    Ok(Measure::new("follow_memory", peak, "MB (lower is better)", 1000.0, against))
}

/// The process of [`follow_memory`]: says its own peak, in MB.
pub fn follow_alone(dir: &Path) -> Outcome<()> {
    let layout = Layout::new(dir);
    follow(&LogReader::open(&layout.log())?, &charters(&layout)?)?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).ok_or("this system does not say the peak")?;
    println!("{:.0}", peak.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0 / 1e6);
    Ok(())
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
        "start_1m",
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
            let read = reader.entries(at..size.min(at + STEP))?;
            let entries = read.all();
            at += entries.len() as u64;
            seconds += timed(|| std::hint::black_box(entries.par_iter().map(|e| leaf_hash(e)).collect::<Vec<_>>())).0;
        }
        limits.push(size as f64 / seconds);
    }
    Ok(Measure::new("fsck", median(values), "entries/s", median(limits), "leaf hashes of entries in memory, all cores"))
}
