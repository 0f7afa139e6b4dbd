//! One flipped bit in any file of a data directory: the node starts with everything as it was, or refuses and names the
//! file. Never anything else. Then `fsck --repair` with a backup makes it whole.
//!
//! The test suite flips a few bits of every file; `scripts/faults Flips` every byte of the small ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use super::faults::{cheap_keys, copy, over_copy};
use super::ten::{Seen, Ten, often};
use super::witness::{Known, Witness};
use crate::node::{AUTHORITY, Node};
use crate::storage::files_below;

/// Every answer that is compared: what it was before the damage.
struct Before {
    answers: Vec<(String, Vec<u8>)>,
    known: Known,
}

const READS: [&str; 7] = [
    "/log/checkpoint",
    "/api/v1/records/3",
    "/api/v1/records/200",
    "/api/v1/records/295",
    "/api/v1/history?subject=building:reformagkh:FIRST",
    "/api/v1/coverage",
    "/api/v1/export/snapshot",
];

/// An answer without what changes from start to start.
fn bare(path: &str, body: &[u8]) -> Vec<u8> {
    fn strip(v: &mut Value) {
        match v {
            Value::Object(fields) => {
                for name in ["freshness", "age_seconds", "now", "made_at"] {
                    fields.remove(name);
                }
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    if !path.starts_with("/api/") || path.ends_with("snapshot") {
        return body.to_vec();
    }
    let mut v: Value = serde_json::from_slice(body).unwrap();
    strip(&mut v);
    v.to_string().into_bytes()
}

/// What is as it was; an error names an answer that is another one. A refusal to answer is none.
fn same(node: &Node, before: &Before, whole: bool) -> Result<(), String> {
    let state = node.api("node")["state_root"].to_string();
    if state.as_bytes() != before.answers[0].1 {
        return Err(format!("the state root is {state}"));
    }
    for (path, expected) in &before.answers[1..] {
        let answer = node.try_get(path).ok_or_else(|| format!("{path} is not answered: {}", node.log()))?;
        if answer.status >= 500 && !whole {
            answer.json()["code"].as_str().ok_or("a refusal without a code")?;
        } else if answer.status != 200 || bare(path, &answer.body) != *expected {
            return Err(format!("{path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body)));
        }
    }
    Ok(())
}

struct World {
    region: Node,
    before: Before,
    backup: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let mut region = Node::init(Some(("77", AUTHORITY, "Мосжилинспекция")));
        cheap_keys(&region.data());
        region.start();
        let (clients, signer) = (Witness::resume(Known::default()), region.signer("operator"));
        for n in [150, 80, 40, 20, 3, 2] {
            assert!(clients.submit(&region, &signer, n));
        }
        clients.look(&region);
        let mut answers = vec![(String::new(), region.api("node")["state_root"].to_string().into_bytes())];
        for path in READS {
            let path = &path.replace("FIRST", &clients.first.to_string());
            let answer = region.get(path);
            assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
            answers.push((path.clone(), bare(path, &answer.body)));
        }
        region.stop();
        let backup = tempfile::tempdir().unwrap();
        copy(&region.data(), &backup.path().join("node"));
        World { before: Before { answers, known: clients.known() }, region, backup }
    }
}

impl Flip for World {
    fn data(&self) -> PathBuf {
        self.region.data()
    }

    fn files(&self) -> Vec<PathBuf> {
        files_below(&self.data())
    }

    /// Flips one bit, starts, repairs, starts.
    fn flip(&self, file: &Path, at: usize, bit: u8) -> Result<(), String> {
        let mut node = over_copy(&self.region);
        let path = node.data().join(file);
        let name = file.display().to_string();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at] ^= 1 << bit;
        std::fs::write(&path, &bytes).unwrap();
        // What has no second copy but in a backup, and is put back by hand.
        let by_hand = name.starts_with("keys/") || name == "domovoi.toml" || name.starts_with("tls/");
        let mut good = false;
        let started = node.start_or_wait();
        if started.is_err() && name.starts_with("tls/") {
            // Clients refuse a changed certificate, as they must.
            node.kill();
        } else if started? {
            same(&node, &self.before, false)?;
            let ended = node.end_or_say()?;
            if !ended.success() {
                return Err(format!("it ended with {ended}: {}", node.log()));
            }
            good = true;
        } else {
            node.end_or_say()?;
            let said = node.log();
            let file = file.file_name().unwrap().to_string_lossy();
            let remedy = said.contains("Что делать: ");
            // A changed path in the configuration leads somewhere else; the marker is looked for there.
            let named =
                said.contains(&*file) || name == "domovoi.toml" || (name.starts_with("tls/") && said.contains("tls/"));
            if !named || !remedy || said.contains("panicked at") {
                return Err(format!("refused, but {file} or a remedy is not named: {said}"));
            }
            if name.starts_with("index/") {
                return Err(format!("damage to the index must not stop a node: {said}"));
            }
        }
        let backup = self.backup.path().join("node");
        let repair = node.run(&["fsck", "--repair", "--from", backup.to_str().unwrap()]);
        if name == "FORMAT" && !repair.ok {
            // Another version's marker is not damage.
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let number = text.strip_prefix("domovoi data ").and_then(|n| n.strip_suffix('\n')?.parse::<u32>().ok());
            return number.map(drop).ok_or_else(|| format!("{text:?} was not repaired: {}", repair.err));
        }
        if !repair.ok {
            return Err(format!("not repaired: {}{}", repair.out, repair.err));
        }
        if by_hand {
            if good {
                return Ok(());
            }
            std::fs::copy(backup.join(file), &path).unwrap();
        }
        let size = self.before.known.seen.keys().max().unwrap();
        if name == "private/fence" {
            node.args.extend(["--confirm-restored-head".into(), size.to_string()]);
        }
        node.start_or_say().map_err(|why| format!("after the repair, {why}: {}", node.log()))?;
        same(&node, &self.before, true).map_err(|why| format!("after the repair, {why}"))?;
        self.before.known.hold(&node)?;
        let clients = Witness::resume(self.before.known.clone());
        if !clients.submit(&node, &node.signer("operator"), 2) {
            return Err("after the repair it does not write".into());
        }
        clients.known().hold(&node)?;
        node.end_or_say()?;
        let checked = node.run(&["fsck"]);
        if checked.ok { Ok(()) } else { Err(checked.out) }
    }
}

/// A node that follows others, with a log of its own where they are ten, and has everything of them.
struct Followers {
    follower: Node,
    /// Heads of the mirrors with their logs' own signatures, by their folders.
    mirrors: Vec<(String, Vec<u8>)>,
    /// The peer that is followed, and another copy of its log.
    peer: Option<Node>,
    /// The peers are kept alive.
    _ten: Option<Ten>,
}

/// A checkpoint's text and the line of the log's own key, which is the first; others may come and go.
fn head(checkpoint: &[u8]) -> Vec<u8> {
    checkpoint.split_inclusive(|b| *b == b'\n').take(5).flatten().copied().collect()
}

impl Followers {
    fn one() -> Followers {
        let peer = Node::moscow();
        let (clients, signer) = (Witness::resume(Known::default()), peer.signer("operator"));
        assert!([150, 120, 30, 2].iter().all(|n| clients.submit(&peer, &signer, *n)));
        let mut follower = Node::init(None);
        let (url, ca, pin) = (peer.url(), peer.certificate().display().to_string(), peer.charter.clone().unwrap());
        follower.run(&["follow", &url, "--name", "peer", "--charter-sha256", &pin, "--peer-ca", &ca]).json();
        let folder = domovoi::node::layout::origin_hash(peer.api("node")["origin"].as_str().unwrap());
        let checkpoint = head(&peer.get("/log/checkpoint").body);
        follower.start();
        let mut world = Followers { mirrors: vec![(folder, checkpoint)], follower, peer: Some(peer), _ten: None };
        world.synced(&world.follower).unwrap();
        world.follower.stop();
        world
    }

    fn ten() -> Followers {
        let (ten, mut follower) = (Ten::new(), Node::init(Some(("77", AUTHORITY, "Мосжилинспекция"))));
        cheap_keys(&follower.data());
        ten.follow(&mut follower);
        // Full bundles and partial ones.
        ten.grow(270);
        follower.start();
        ten.hold(&follower, &mut Seen::default()).unwrap();
        let folders = ten.origins().into_iter().map(|o| domovoi::node::layout::origin_hash(&o));
        let checkpoint = |folder: &str| head(&follower.get(&format!("/mirror/{folder}/checkpoint")).body);
        let mirrors = folders.map(|folder| (folder.clone(), checkpoint(&folder))).collect();
        follower.stop();
        Followers { follower, mirrors, peer: None, _ten: Some(ten) }
    }

    fn synced(&self, node: &Node) -> Result<(), String> {
        let until = Instant::now() + Duration::from_secs(20);
        for (folder, checkpoint) in &self.mirrors {
            let path = format!("/mirror/{folder}/checkpoint");
            while node.try_get(&path).is_none_or(|a| head(&a.body) != *checkpoint) {
                if Instant::now() > until {
                    return Err(format!("the mirror is not what the peer has: {}", node.log()));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }
}

impl Flip for Followers {
    fn data(&self) -> PathBuf {
        self.follower.data()
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files = files_below(&self.data().join("mirrors"));
        if self.peer.is_none() {
            // Ten mirrors have the same classes of files: two of each class, out of any of them.
            files.shuffle(&mut rand::rng());
            let mut classes = BTreeMap::<String, Vec<PathBuf>>::new();
            for file in files {
                let below = file.strip_prefix(self.data().join("mirrors")).unwrap();
                let class = below.iter().skip(1).collect::<PathBuf>().display().to_string();
                classes.entry(class.replace(|c: char| c.is_ascii_digit(), "")).or_default().push(file);
            }
            files = classes.into_values().flat_map(|files| files.into_iter().take(2)).collect();
        }
        files
    }

    fn flip(&self, file: &Path, at: usize, bit: u8) -> Result<(), String> {
        let mut node = over_copy(&self.follower);
        often(&mut node);
        let path = node.data().join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at] ^= 1 << bit;
        std::fs::write(&path, &bytes).unwrap();
        // Whatever is wrong with a mirror, the node runs, and has the whole log after a round or two.
        node.start_or_say().map_err(|why| format!("{why}: {}", node.log()))?;
        self.synced(&node)?;
        if self.peer.is_none() && !Witness::resume(Known::default()).submit(&node, &node.signer("operator"), 1) {
            return Err(format!("it does not write in its own log: {}", node.log()));
        }
        node.end_or_say()?;
        let place: PathBuf = file.iter().take(2).collect();
        let mirror = node.data().join(&place);
        let checked = node.run(&["fsck", mirror.to_str().unwrap()]);
        if !checked.ok {
            // A start does not read every file; what it does not read, the check names.
            let name = file.strip_prefix(place.join("log")).map_err(|_| checked.out.clone())?;
            if !checked.out.contains(name.to_str().unwrap()) {
                return Err(format!("not named: {}", checked.out));
            }
        }
        let from = self.peer.as_ref().map_or_else(|| self.data().join(&place), Node::data);
        let repair = node.run(&["fsck", mirror.to_str().unwrap(), "--repair", "--from", from.to_str().unwrap()]);
        if !repair.ok {
            return Err(format!("not repaired: {}{}", repair.out, repair.err));
        }
        node.start_or_say()?;
        self.synced(&node)
    }
}

/// What is flipped: nodes of one key may not run beside one another, so that each thread has a world of its own.
trait Flip {
    /// Where the files are.
    fn data(&self) -> PathBuf;
    /// In which of them bits are flipped.
    fn files(&self) -> Vec<PathBuf>;
    fn flip(&self, file: &Path, at: usize, bit: u8) -> Result<(), String>;
}

/// Flips the chosen bits of every file on two threads, for so many seconds.
fn flip_all<W: Flip>(seconds: u64, new: fn() -> W) {
    let all = std::env::var("FAULTS").is_ok_and(|v| v == "all");
    let (done, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let until = (!all).then(|| Instant::now() + Duration::from_secs(seconds));
    std::thread::scope(|threads| {
        for thread in 0..2 {
            let (done, failures) = (&done, &failures);
            threads.spawn(move || {
                let world = new();
                let data = world.data();
                let mut rng = rand::rngs::StdRng::seed_from_u64(std::process::id().into());
                let mut points = Vec::new();
                for file in world.files() {
                    let length = std::fs::metadata(&file).unwrap().len() as usize;
                    let places: Vec<usize> = match (all, length) {
                        (_, 0) => Vec::new(),
                        (true, 1..=600) => (0..length).collect(),
                        (true, _) => (0..40).map(|_| rng.random_range(0..length)).collect(),
                        (false, _) => vec![rng.random_range(0..length)],
                    };
                    let name = file.strip_prefix(&data).unwrap().to_owned();
                    if name == Path::new("log/tile/entries/000") {
                        // The length of the first entry, always: among so many bytes chance seldom meets one.
                        points.push((name.clone(), 0, 3));
                    }
                    points.extend(places.into_iter().map(|at| (name.clone(), at, rng.random_range(0..8u8))));
                }
                for (file, at, bit) in points.into_iter().skip(thread).step_by(2) {
                    if until.is_some_and(|u| Instant::now() > u) {
                        break;
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                    if let Err(why) = world.flip(&file, at, bit) {
                        println!("FAILED {} byte {at} bit {bit}: {why}\n", file.display());
                        failures.lock().unwrap().push(format!("{} byte {at} bit {bit}", file.display()));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    println!("{} flips, {} failures", done.into_inner(), failures.len());
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn a_flipped_bit_is_repaired_or_named_and_never_answered_with() {
    flip_all(45, World::new);
}

#[test]
fn a_flipped_bit_in_a_mirror_is_healed_from_the_rest_or_from_the_peer() {
    flip_all(45, Followers::one);
}

#[test]
fn a_flipped_bit_in_one_of_ten_mirrors_is_healed_and_the_own_log_goes_on() {
    flip_all(30, Followers::ten);
}
