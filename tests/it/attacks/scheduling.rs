//! Eighty-eight peers that do their work, and one that does not.

use std::sync::Arc;
use std::time::Duration;

use domovoi::federation::charter::Charter;
use domovoi::node::clock::Clock;
use domovoi::node::sequencer::Bounds;
use domovoi::node::signing::Signing;
use domovoi::node::{Node, Opening};
use domovoi::sync::client::Network;
use domovoi::sync::follower::Source;
use domovoi::sync::schedule;
use reqwest::dns::{Name, Resolve, Resolving};
use secrecy::SecretString;
use tokio::sync::watch;

use super::hostile::{Hostile, Step, honest};
use crate::follow::until;
use crate::forge::{Forge, Lie, Peers};
use crate::node::runtime;

pub fn ministry(dir: &std::path::Path) -> Arc<Node> {
    domovoi::storage::format::create(dir).unwrap();
    Arc::new(open(dir, None, 16))
}

/// A node in this process, with so many places in its queue.
pub fn open(data: &std::path::Path, passphrase: Option<&SecretString>, waiting: usize) -> Node {
    let opening = Opening {
        data,
        passphrase,
        bounds: Bounds { records: 1000, bytes: 1 << 20, waiting },
        stale_after_hours: 24,
        confirm_restored_head: None,
        clock: Clock::system(),
        signing: Signing::allowed(),
    };
    Node::open(opening, &mut |_, _| {}).unwrap()
}

pub fn source(name: &str, url: String, forge: &Forge, network: Network) -> Source {
    let pin = Charter::open(&forge.charter).unwrap().sha256().to_string();
    Source { name: name.into(), url, charter_sha256: Some(pin), ca: None, network }
}

pub fn size(node: &Node, forge: &Forge) -> u64 {
    node.view(&forge.origin).and_then(|v| v.head()).map_or(0, |h| h.index + 1)
}

pub struct Run {
    stop: watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

pub fn start(node: &Arc<Node>, sources: Vec<Source>, interval: Duration) -> Run {
    let (stop, seen) = watch::channel(false);
    let _inside = runtime().enter();
    Run { stop, tasks: schedule::start(node, sources, interval, &seen) }
}

impl Run {
    pub fn end(self) {
        self.stop.send_replace(true);
        self.tasks.into_iter().for_each(|task| runtime().block_on(task).unwrap());
    }
}

#[test]
fn eighty_eight_peers_are_on_time_while_the_last_drips_a_byte_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let node = ministry(dir.path());
    let mut forges: Vec<Forge> = (0..89).map(Forge::new).collect();
    let peers = Peers::start();
    let mut sources: Vec<Source> = Vec::new();
    for (n, forge) in forges.iter().enumerate().take(88) {
        peers.set(&n.to_string(), forge.served());
        sources.push(source(&n.to_string(), format!("{}/{n}", peers.url), forge, Network::default()));
    }
    // The last one serves its charter and checkpoint; then its entries come a byte a second, in eight requests at once.
    let mut slow = forges.pop().unwrap();
    let signer = slow.operator.clone();
    slow.batch((1..=3000).map(|n| slow.building(&signer, n).1).collect(), Lie::None);
    let served = slow.served();
    let dripping = Hostile::start(move |path| match path.starts_with("/log/tile/entries") {
        true => {
            let body = served.answer(&path[1..]).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
            vec![Step::Send(head), Step::Drip(body, Duration::from_secs(1))]
        }
        false => honest(served.answer(&path[1..])),
    });
    sources.push(source("slow", dripping.url.clone(), &slow, Network::default()));
    let run = start(&node, sources, Duration::from_secs(1));
    for round in 0..4 {
        until("all but the slow one are on time", || forges.iter().all(|f| size(&node, f) == f.size()).then_some(()));
        until("the slow one is dripping", || (dripping.requests() > 2).then_some(()));
        assert_eq!(size(&node, &slow), 0);
        for (n, forge) in forges.iter_mut().enumerate() {
            let signer = forge.operator.clone();
            forge.batch(vec![forge.building(&signer, 100 + round).1], Lie::None);
            peers.set(&n.to_string(), forge.served());
        }
    }
    // It is late, and nothing worse: no evidence is held against it.
    let status = until("the slow one is cut", || {
        let followed = node.followed().into_iter().find(|f| f.view.origin == slow.origin)?;
        let status = followed.status.read().clone();
        status.last_error.is_some().then_some(status)
    });
    assert!(status.last_error.unwrap().contains("peer.slow") && status.held.is_none());
    run.end();
}

/// Panics as long as it is told to.
struct Panicking(std::sync::atomic::AtomicUsize);

impl Resolve for Panicking {
    fn resolve(&self, _: Name) -> Resolving {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        panic!("on purpose");
    }
}

#[test]
fn a_panic_in_one_follower_ends_that_round_only_and_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let node = ministry(dir.path());
    let (good, bad) = (Forge::new(1), Forge::new(2));
    let peers = Peers::start();
    peers.set("good", good.served());
    let names = Arc::new(Panicking(Default::default()));
    let sources = vec![
        source("bad", "https://panics.example".into(), &bad, Network::with_names(Vec::new(), names.clone())),
        source("good", format!("{}/good", peers.url), &good, Network::default()),
    ];
    let run = start(&node, sources, Duration::from_millis(200));
    until("the good one is there", || (size(&node, &good) == good.size()).then_some(()));
    until("the other is tried again", || (names.0.load(std::sync::atomic::Ordering::SeqCst) >= 3).then_some(()));
    run.end();
}

#[test]
fn contact_ends_the_pause_after_failures() {
    let dir = tempfile::tempdir().unwrap();
    let node = ministry(dir.path());
    let forge = Forge::new(5);
    let down = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (served, broken) = (forge.served(), down.clone());
    let server = Hostile::start(move |path| match broken.load(std::sync::atomic::Ordering::SeqCst) {
        true => vec![],
        false => honest(served.answer(&path[1..])),
    });
    let run =
        start(&node, vec![source("peer", server.url.clone(), &forge, Network::default())], Duration::from_secs(2));
    until("it is followed", || (size(&node, &forge) == forge.size()).then_some(()));
    down.store(true, std::sync::atomic::Ordering::SeqCst);
    let failed = || node.followed()[0].status.read().last_error.clone();
    until("it fails", failed);
    // Until the pauses are longer than what is waited for below: 4 s, 8 s, 16 s.
    let asked = server.requests();
    until("it fails three times", || (server.requests() >= asked + 2).then_some(()));
    down.store(false, std::sync::atomic::Ordering::SeqCst);
    let begun = std::time::Instant::now();
    // Another log's contact does nothing for this one.
    node.heard_from("log.example/none");
    std::thread::sleep(Duration::from_secs(2));
    assert!(failed().is_some(), "it did not wait");
    node.heard_from(&forge.origin);
    until("it is asked again", || failed().is_none().then_some(()));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    run.end();
}
