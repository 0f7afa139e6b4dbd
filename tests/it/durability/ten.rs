//! Ten small regions, made and served by this process, which a node with a log of its own follows: whatever happens to that
//! node, none of the ten logs goes back, forks, gets mixed up with another one or is held.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use domovoi::federation::charter::Charter;
use domovoi::node::layout::origin_hash;

use super::witness::{Known, checkpoint_at};
use crate::forge::{Forge, Lie, Peers};
use crate::node::Node;

const REGIONS: usize = 10;

/// The regions.
pub struct Ten {
    peers: Peers,
    regions: Mutex<Vec<Forge>>,
}

/// What was seen of the ten on one node: sizes and roots by where it serves them.
#[derive(Debug, Clone, Default)]
pub struct Seen(BTreeMap<String, Known>);

/// Where a node serves what it keeps of the log `origin`.
fn mirror(origin: &str) -> String {
    format!("/mirror/{}", origin_hash(origin))
}

impl Ten {
    pub fn new() -> Ten {
        let regions: Vec<Forge> = (0..REGIONS).map(Forge::new).collect();
        let ten = Ten { peers: Peers::start(), regions: Mutex::new(regions) };
        ten.grow(1);
        ten
    }

    /// The node, which does not run, will follow the ten, every second.
    pub fn follow(&self, node: &mut Node) {
        for (n, region) in self.regions.lock().unwrap().iter().enumerate() {
            let (url, pin) = (format!("{}/{n}", self.peers.url), Charter::open(&region.charter).unwrap().sha256());
            node.run(&["follow", &url, "--name", &format!("r{n}"), "--charter-sha256", &pin.to_string()]).json();
        }
        often(node);
    }

    /// Each region registers so many houses.
    pub fn grow(&self, houses: u64) {
        for (n, region) in self.regions.lock().unwrap().iter_mut().enumerate() {
            let (signer, first) = (region.operator.clone(), 500_000_000 + n as u64 * 1_000_000 + region.size());
            region.batch((first..first + houses).map(|i| region.building(&signer, i).1).collect(), Lie::None);
            self.peers.set(&n.to_string(), region.served());
        }
    }

    /// Origins of the ten.
    pub fn origins(&self) -> Vec<String> {
        self.regions.lock().unwrap().iter().map(|r| r.origin.clone()).collect()
    }

    /// Number of logs that the node has whole.
    pub fn whole(&self, node: &Node) -> usize {
        let regions = self.regions.lock().unwrap();
        let size = |r: &&Forge| checkpoint_at(node, &mirror(&r.origin)).is_some_and(|(size, _)| size == r.size());
        regions.iter().filter(size).count()
    }

    /// Waits until the node has everything of the ten, reads it, and holds it against what was seen.
    pub fn hold(&self, node: &Node, seen: &mut Seen) -> Result<(), String> {
        let until = Instant::now() + Duration::from_secs(30);
        while self.whole(node) < REGIONS {
            if Instant::now() > until {
                let (whole, said) = (self.whole(node), node.api("federation"));
                return Err(format!("only {whole} of {REGIONS} logs are followed: {said}\n{}", node.log()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        seen.look(node, self)?;
        for region in self.regions.lock().unwrap().iter() {
            let path = mirror(&region.origin);
            let size = seen.0[&path].hold_at(node, &path).map_err(|why| format!("{}: {why}", region.origin))?;
            let served = String::from_utf8(region.served().checkpoint).unwrap();
            let head = checkpoint_at(node, &path).map(|(size, root)| format!("{}\n{size}\n{root}\n", region.origin));
            if size != region.size() || head.is_none_or(|h| !served.starts_with(&h)) {
                return Err(format!("{} is another log than its region's", region.origin));
            }
        }
        let known = node.api("federation");
        let held = known["members"].as_array().unwrap().iter().find(|m| !m["status"]["held"].is_null());
        held.map_or(Ok(()), |m| Err(format!("a log is held: {m}")))
    }
}

/// The node looks for news every second, as a copy of one that follows must be told again.
pub fn often(node: &mut Node) {
    node.args.extend(["--set".into(), "sync.interval_seconds=1".into()]);
}

impl Seen {
    /// Remembers what the node serves of the ten now. An error says that a log has gone back or is another one; a node that
    /// does not answer says nothing.
    pub fn look(&mut self, node: &Node, ten: &Ten) -> Result<(), String> {
        for path in ten.origins().iter().map(|o| mirror(o)) {
            let Some((size, root)) = checkpoint_at(node, &path) else { continue };
            let seen = &mut self.0.entry(path.clone()).or_default().seen;
            if let Some(newest) = seen.keys().max().filter(|newest| **newest > size) {
                return Err(format!("{path} was seen with {newest} entries and has {size}"));
            }
            let before = seen.insert(size, root.clone());
            if before.is_some_and(|before| before != root) {
                return Err(format!("{path} has two heads of {size} entries"));
            }
        }
        Ok(())
    }

    /// Size of the smallest and number of all logs that were seen.
    pub fn least(&self) -> (u64, usize) {
        let sizes = self.0.values().filter_map(|k| k.seen.keys().max().copied());
        (sizes.clone().min().unwrap_or_default(), sizes.count())
    }
}
