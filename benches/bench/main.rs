//! `scripts/bench`: how fast the node is, each figure beside the limit that this machine set in the same run.
//!
//! Not a criterion benchmark: a figure without its limit says more about the machine than about the code. Every log here
//! is generated, with keys made from fixed seeds; only `import_moscow` reads real data. A timed measure is taken
//! [`REPEATS`] times and the median is shown, since other work on the machine only ever makes it slower.
//!
//! `BENCH_RECORDS` (1000000) is the size of the generated log for follow_verify, follow_memory, restore, start_1m, fsck and
//! the proofs; `BENCH_CHATS` (200000) the number of chats behind status_get; `BENCH_LINKS` (1000000) that behind
//! bucket_bytes and federation_step; `BENCH_BUILDINGS` (1000000) that of buildings in search; `BENCH_DIR` where the logs are generated (a temporary directory); `BENCH_WORLDS` a directory in which generated logs stay, and where a later run finds them.

mod bucket;
mod idle;
mod import;
mod log;
mod proof;
mod restore;
mod search;
mod serve;
mod submit;
mod union;
mod witness;
mod world;

// Regions that do what they are told, as the tests have them.
#[allow(dead_code)]
#[path = "../../tests/it/forge.rs"]
mod forge;
#[allow(dead_code)]
#[path = "../../tests/it/node.rs"]
mod node;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a measure may fail with: the bench ends and says so.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Repetitions of a timed measure; odd, so that the median is one of them.
pub const REPEATS: usize = 3;

/// One line of the result.
pub struct Measure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    limit: f64,
    /// What the limit is.
    against: String,
}

impl Measure {
    /// A figure and the limit it is held against.
    pub fn new(name: &'static str, value: f64, unit: &'static str, limit: f64, against: impl Into<String>) -> Measure {
        Measure { name, value, unit, limit, against: against.into() }
    }
    fn ratio(&self) -> f64 {
        self.value / self.limit
    }
}

/// Middle of an odd number of values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Seconds that `work` takes, and what it gives.
pub fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let out = work();
    (start.elapsed().as_secs_f64(), out)
}

/// A count from the environment.
fn count(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// Where the generated logs lie: kept for the run, then removed.
struct Scratch {
    dir: tempfile::TempDir,
    worlds: PathBuf,
}

impl Scratch {
    fn new() -> Outcome<Scratch> {
        let dir = match std::env::var_os("BENCH_DIR") {
            Some(parent) => tempfile::tempdir_in(parent)?,
            None => tempfile::tempdir()?,
        };
        let worlds = std::env::var_os("BENCH_WORLDS").map_or_else(|| dir.path().to_owned(), PathBuf::from);
        Ok(Scratch { dir, worlds })
    }
    /// A directory that no other measure uses.
    fn empty(&self, name: &str) -> Outcome<PathBuf> {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }
    /// A node with `houses` houses, each with a manager and a chat. Made by another process, so that its memory is not
    /// counted with the measure's.
    fn node(&self, houses: usize) -> Outcome<PathBuf> {
        let path = self.worlds.join(format!("node-{houses}"));
        if !path.exists() {
            eprintln!("generating a log of {} records (test keys)", houses * 3);
            let unfinished = self.worlds.join(format!("unfinished-{houses}"));
            again(&["--generate", &unfinished.to_string_lossy(), &houses.to_string()])?;
            std::fs::rename(&unfinished, &path)?;
        }
        Ok(path)
    }
}

/// Runs this program with `args` in a process of its own; what it says on stdout.
pub fn again(args: &[&str]) -> Outcome<String> {
    let output = std::process::Command::new(std::env::current_exe()?)
        .args(args)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?),
        false => Err(format!("{} failed", args.join(" ")).into()),
    }
}

const NAMES: &[&str] = &[
    "follow_verify",
    "follow_memory",
    "submit_64",
    "submit_64_https",
    "submit_idle",
    "status_get",
    "import_moscow",
    "restore",
    "start_1m",
    "fsck",
    "proof_make",
    "proof_verify",
    "map_update",
    "bucket_bytes",
    "search_index",
    "search_bytes",
    "search_query",
    "federation_step",
    "idle_round",
    "map_memory",
    "witness_add",
];

fn run(name: &str, scratch: &Scratch) -> Outcome<Measure> {
    let records = count("BENCH_RECORDS", 1_000_000);
    match name {
        "follow_verify" => log::follow_verify(&scratch.node(records / 3)?),
        "follow_memory" => log::follow_memory(&scratch.node(records / 3)?),
        "restore" => restore::restored(&scratch.node(records / 3)?, &scratch.empty(name)?),
        "start_1m" => log::start(&scratch.node(records / 3)?),
        "fsck" => log::fsck(&scratch.node(records / 3)?),
        "proof_make" => proof::make(&scratch.node(records / 3)?),
        "proof_verify" => proof::verify(&scratch.node(records / 3)?),
        "map_update" => proof::map_update(&scratch.node(records / 3)?),
        "submit_64" => submit::concurrent(&scratch.empty(name)?),
        "submit_64_https" => submit::over_https(&scratch.empty(name)?),
        "submit_idle" => submit::idle(&scratch.empty(name)?),
        "status_get" => serve::status_get(&scratch.node(count("BENCH_CHATS", 200_000))?),
        "bucket_bytes" => bucket::bytes(count("BENCH_LINKS", 1_000_000) as u64),
        "federation_step" => union::step(count("BENCH_LINKS", 1_000_000)),
        "idle_round" => idle::round(&scratch.empty(name)?),
        "map_memory" => union::memory(4_000_000),
        "witness_add" => witness::add(&scratch.empty(name)?),
        "import_moscow" => import::moscow(&scratch.empty(name)?),
        "search_index" => search::indexed(),
        "search_bytes" => search::bytes(),
        "search_query" => search::slowest(),
        _ => Err(format!("no measure «{name}»; there are {}", NAMES.join(", ")).into()),
    }
}

fn main() -> Outcome<()> {
    let mut args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--generate", dir, houses] => return world::generate(Path::new(dir), houses.parse()?),
        ["--map", leaves] => return union::memory_alone(leaves.parse()?),
        ["--peers", dir] => return idle::serve(Path::new(dir)),
        ["--follow", dir] => return log::follow_alone(Path::new(dir)),
        _ => {}
    }
    let json = args.iter().any(|a| a == "--json");
    args.retain(|a| a != "--json");
    let names: Vec<&str> = if args.is_empty() { NAMES.to_vec() } else { args.iter().map(String::as_str).collect() };
    let scratch = Scratch::new()?;
    if !json {
        println!("{:<16} {:>12} {:<28} {:>12} {:>7}  limit", "name", "value", "unit", "limit", "ratio");
    }
    for name in names {
        let m = run(name, &scratch)?;
        if json {
            let line = serde_json::json!({ "name": m.name, "value": m.value, "unit": m.unit, "limit": m.limit,
                "ratio": m.ratio(), "against": m.against });
            println!("{line}");
        } else {
            println!(
                "{:<16} {:>12.3} {:<28} {:>12.3} {:>7.3}  {}",
                m.name,
                m.value,
                m.unit,
                m.limit,
                m.ratio(),
                m.against
            );
        }
    }
    Ok(())
}

/// Waits for a child that was asked to end, and ends it if it does not.
pub fn end(child: &mut std::process::Child) {
    let asked = std::process::Command::new("kill").arg("-TERM").arg(child.id().to_string()).status();
    for _ in 0..200 {
        if asked.is_ok() && matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = child.kill();
    let _ = child.wait();
}
