//! SIGKILL at any moment loses nothing that was acknowledged.

use std::time::Duration;

use rand::RngExt;

use super::durability::ten::{Seen, Ten};
use super::durability::witness::{Known, Witness, checkpoint};
use super::node::{AUTHORITY, Node};

const ROUNDS: u32 = 18;
/// With ten others it takes longer to be at work.
const ROUNDS_OF_TEN: u32 = 12;

#[test]
fn kill_9_loses_nothing_acknowledged_and_never_forks() {
    kills(Node::init(Some(("77", AUTHORITY, "Мосжилинспекция"))), None);
}

#[test]
fn kill_9_while_ten_are_followed_loses_nothing_and_never_forks() {
    let (ten, mut node) = (Ten::new(), Node::init(Some(("77", AUTHORITY, "Мосжилинспекция"))));
    ten.follow(&mut node);
    kills(node, Some(&ten));
}

fn kills(mut node: Node, ten: Option<&Ten>) {
    let (mut seen, rounds) = (Seen::default(), if ten.is_some() { ROUNDS_OF_TEN } else { ROUNDS });
    let signer = node.signer("operator");
    let clients = Witness::resume(Known::default());
    let mut interrupted = 0;
    for round in 0..rounds {
        if round % 6 == 5 {
            // Also while it starts, when it rolls forward what the last kill left.
            node.spawn();
            std::thread::sleep(Duration::from_millis(rand::rng().random_range(0..400)));
            node.kill();
        }
        // The kill may fall into the copying of this.
        ten.iter().for_each(|t| t.grow(20));
        node.start();
        clients.look(&node);
        let newest = *clients.known().seen.keys().max().unwrap();
        // A batch that the kill left in the journal may be rolled forward after the first look.
        assert!(checkpoint(&node).unwrap().0 >= newest, "the log is shorter than a checkpoint that was served");
        // The first look for news is within a second of the start.
        let most = if ten.is_some() { 1500 } else { 350 };
        let time = Duration::from_millis(rand::rng().random_range(20..most));
        // The handle is shared with the clients; the process id is all that is needed here.
        interrupted += clients.load(&node, &signer, time, || {
            ten.iter().for_each(|t| seen.look(&node, t).unwrap());
            node.kill_shared();
        });
        node.kill();
    }
    node.start();
    clients.look(&node);
    if let Some(ten) = ten {
        let (least, logs) = seen.least();
        assert!(logs > 0 && least > 0, "no log was followed before it was killed: this proves little");
        ten.hold(&node, &mut seen).unwrap();
    }
    // Everything once more from the served files, against every checkpoint and every acknowledgement.
    let known = clients.known();
    let size = known.hold(&node).unwrap();
    let found = known.acknowledged.len();
    assert!(found > 100, "only {found} records were acknowledged: this proves little");
    let info = node.api("node");
    node.stop();
    let fsck = node.run(&["fsck"]).json();
    assert_eq!((fsck["size"].as_u64(), &fsck["state_root"]), (Some(size), &info["state_root"]));
    let reindex = node.run(&["reindex"]).json();
    assert_eq!(reindex["state_root"], info["state_root"]);
    assert_eq!(reindex["same_as_before"], true);
    eprintln!("{found} acknowledged records in {rounds} kills, {interrupted} submissions cut off");
}
