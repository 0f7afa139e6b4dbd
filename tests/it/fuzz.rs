//! The fuzz targets' entry functions (`tests/fuzz/entries.rs`) over their corpus, over what was once found, and over
//! mutations of both: the smoke run that needs no fuzzer. It is the same from run to run.
//!
//! A finding is written to `target/fuzz-findings/`; put it into `tests/fuzz/corpus/<target>/` with the fix. A longer search,
//! guided by coverage, is `scripts/fuzz`.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

// What the entry functions share with the property tests.
use crate::rules::{generate, world};

#[path = "../fuzz/entries.rs"]
mod entries;

/// Mutations of each target, and the time after which a slow machine leaves the rest out.
const ROUNDS: u32 = 3000;
const ENOUGH: Duration = Duration::from_secs(6);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// Files of a target's corpus, by name.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = folder().join("corpus").join(target);
    let files = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let paths: BTreeSet<PathBuf> = files.map(|f| f.unwrap().path()).collect();
    paths.iter().map(|p| std::fs::read(p).unwrap()).collect()
}

/// xorshift64*: a stream of numbers that is the same everywhere.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// What formats give a meaning to.
const TOKENS: &[&[u8]] = &[
    b"\0",
    b"\xff",
    b"\n",
    b"\r\n",
    b"\"",
    b"'",
    b";",
    b",",
    b"|",
    b"=",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\\u0000",
    b"\\ud800",
    b"0",
    b"-1",
    b"9007199254740992",
    b"18446744073709551616",
    b"1e999",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"\xef\xbb\xbf",
    "\u{202e}".as_bytes(),
    "и\u{306}".as_bytes(),
    b"2025-02-30",
    b"9999-12-31",
    b"\xf0\x9f\x8f\xa0",
    b"/",
    b".p/",
    b"x001",
];

fn mutate(numbers: &mut Numbers, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut data = seeds[numbers.below(seeds.len())].clone();
    for _ in 0..1 + numbers.below(4) {
        let at = numbers.below(data.len() + 1);
        let to = (at + numbers.below(24)).min(data.len());
        match numbers.below(8) {
            0 if at < data.len() => data[at] ^= 1 << numbers.below(8),
            1 if at < data.len() => data[at] = numbers.next() as u8,
            2 => drop(data.drain(at..to)),
            3 => {
                let piece = data[at..to].to_vec();
                let place = numbers.below(data.len() + 1);
                data.splice(place..place, piece);
            }
            4 => data.truncate(at),
            5 => {
                let other = &seeds[numbers.below(seeds.len())];
                let (from, until) = (numbers.below(other.len() + 1), numbers.below(other.len() + 1));
                let piece = other[from.min(until)..from.max(until)].to_vec();
                data.splice(at..to, piece);
            }
            _ => drop(data.splice(at..to, TOKENS[numbers.below(TOKENS.len())].to_vec()).count()),
        }
    }
    data.truncate(8 << 10);
    data
}

fn search(name: &str) {
    let (_, run) = entries::TARGETS.iter().find(|(n, _)| *n == name).expect("a target");
    let seeds = corpus(name);
    assert!(!seeds.is_empty(), "no corpus for {name}");
    let holds = |data: &[u8]| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(data))) {
            let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz-findings");
            std::fs::create_dir_all(&dir).unwrap();
            let path = dir.join(format!("{name}-{}", &domovoi::tlog::leaf_hash(data).to_string()[..16]));
            std::fs::write(&path, data).unwrap();
            eprintln!("{name}: the input is {}\n{}", path.display(), data.escape_ascii());
            std::panic::resume_unwind(panic);
        }
    };
    holds(b"");
    seeds.iter().for_each(|seed| holds(seed));
    let (mut numbers, began) =
        (Numbers(name.bytes().fold(0x9e37, |n, b| n * 257 % 1_000_003 + u64::from(b))), Instant::now());
    let mut done = 0;
    while done < ROUNDS && began.elapsed() < ENOUGH {
        holds(&mutate(&mut numbers, &seeds));
        done += 1;
    }
    println!("{name}: {} seeds, {done} mutations in {:?}", seeds.len(), began.elapsed());
    assert!(done > 20, "{name} is far too slow: {done} in {:?}", began.elapsed());
}

macro_rules! smoke {
    ($($name:ident),+ $(,)?) => {
        $(#[test] fn $name() { search(stringify!($name)); })+

        /// No target is forgotten: here, in `fuzz_targets/`, in the manifest, in the corpus.
        #[test]
        fn every_target_is_run() {
            let names: Vec<&str> = entries::TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, [$(stringify!($name)),+]);
            let manifest = std::fs::read_to_string(folder().join("Cargo.toml")).unwrap();
            for name in &names {
                assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}: Cargo.toml");
                let file = std::fs::read_to_string(folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
                assert!(file.contains(&format!("entries::{name}(data)")), "{name}: its file runs another target");
            }
            for dir in ["corpus", "fuzz_targets"] {
                assert_eq!(std::fs::read_dir(folder().join(dir)).unwrap().count(), names.len(), "{dir}");
            }
        }
    };
}

smoke!(
    address,
    address_search,
    charter,
    clerk,
    config,
    dossier,
    gar,
    houses,
    ids,
    link,
    note,
    organisations,
    proof,
    record,
    replay,
    stored,
    submit_ops,
    submit_payloads,
    tile,
);
