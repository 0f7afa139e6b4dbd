//! Power cuts: whatever was not flushed to the disk may be gone, at any moment, also while the node starts.
//!
//! One log goes through many cuts; after each the disk is mounted again, the log is checked, held against everything any
//! client knows, and written on. `scripts/powercut` sets the number of rounds; without it the test suite runs a few.

use std::time::Duration;

use rand::RngExt;

use super::disk::{Machine, file_systems, possible};
use super::shim;
use super::ten::{Seen, Ten};
use super::witness::{Known, Witness};
use crate::node::{AUTHORITY, Node};

/// Rounds of one log before a new one is begun: young logs and indexes are cut, too.
const CHAIN: u32 = 8;

/// What the rounds came to.
#[derive(Debug, Default)]
struct Tally {
    rounds: u32,
    starts: u32,
    acknowledged: usize,
    unanswered: u64,
    rebuilt: usize,
    rolled: usize,
    lost_blocks: usize,
}

/// A fresh node on a fresh disk through `rounds` cuts; it may follow `ten`.
fn chain(
    fs: &'static str,
    rounds: u32,
    env: &[(String, String)],
    ten: Option<&Ten>,
    tally: &mut Tally,
) -> Result<(), String> {
    let mut machine = Machine::new(fs).expect("it was possible a moment ago");
    let dir = tempfile::tempdir().unwrap();
    domovoi::storage::durable::create_dir(&machine.at().join("node")).unwrap();
    std::os::unix::fs::symlink(machine.at().join("node"), dir.path().join("node")).unwrap();
    let mut node = Node::init_at(dir, Some(("77", AUTHORITY, "Мосжилинспекция")));
    let signer = node.signer("operator");
    node.env = env.to_vec();
    ten.iter().for_each(|t| t.follow(&mut node));
    let (clients, mut seen) = (Witness::resume(Known::default()), Seen::default());
    // What `init` has reported as done is there after a cut, too.
    machine.cut();
    machine.power_on()?;
    for round in 0..rounds {
        if rand::rng().random_bool(0.25) {
            // Also while it starts, and rolls forward what the last cut left.
            node.spawn();
            std::thread::sleep(Duration::from_millis(rand::rng().random_range(0..500)));
            machine.cut();
            node.kill();
            machine.power_on()?;
            tally.starts += 1;
        }
        ten.iter().for_each(|t| t.grow(20));
        node.start_or_say().map_err(|why| format!("round {round}: {why}\n{}", node.log()))?;
        clients.look(&node);
        clients.known().hold(&node).map_err(|why| format!("round {round}: {why}"))?;
        let time = Duration::from_millis(rand::rng().random_range(30..900));
        let (mut known, mut followed) = (None, Ok(()));
        let unanswered = clients.load(&node, &signer, time, || {
            // What is known now must survive; what clients learn in this moment may, too.
            followed = ten.map_or(Ok(()), |t| seen.look(&node, t));
            known = Some(clients.known());
            machine.cut();
            node.kill_shared();
        });
        node.kill();
        followed.map_err(|why| format!("round {round}: {why}"))?;
        tally.unanswered += unanswered;
        tally.rounds += 1;
        machine.power_on()?;
        clients.forget_after(known.unwrap());
        let checked = node.run(&["fsck"]);
        if !checked.ok && !clients.known().seen.is_empty() {
            return Err(format!("round {round}: {}{}", checked.out, checked.err));
        }
    }
    node.start_or_say().map_err(|why| format!("{why}\n{}", node.log()))?;
    clients.look(&node);
    let known = clients.known();
    known.hold(&node)?;
    ten.map_or(Ok(()), |t| t.hold(&node, &mut seen))?;
    if !clients.submit(&node, &signer, 3) {
        return Err("after the last cut the node does not write".into());
    }
    let root = node.api("node")["state_root"].clone();
    node.stop();
    let reindex = node.run(&["reindex"]).json();
    if reindex["same_as_before"] != true || reindex["state_root"] != root {
        return Err(format!("the index was not that of the log: {reindex}"));
    }
    tally.acknowledged += known.acknowledged.len();
    tally.rebuilt += node.log().matches("rebuilding it").count();
    tally.rolled += node.log().matches("rolling forward").count();
    tally.lost_blocks += machine.lost;
    Ok(())
}

fn rounds(fs: &'static str, wanted: u32, ten: Option<&Ten>) -> Tally {
    let mut tally = Tally::default();
    while tally.rounds < wanted {
        let left = wanted - tally.rounds;
        if let Err(why) = chain(fs, left.min(CHAIN), &[], ten, &mut tally) {
            panic!("{fs}: after {tally:?}: {why}");
        }
    }
    println!("{fs}: {tally:?}");
    tally
}

/// Says that it does nothing where no disk can be made. A script that must not pass then looks for this word.
fn skipped() -> bool {
    match possible() {
        Ok(()) => false,
        Err(why) => {
            println!("SKIPPED: no power can be cut here (root, loop devices and /dev/fuse are needed): {why}");
            true
        }
    }
}

#[test]
fn a_power_cut_loses_nothing_acknowledged_and_never_forks() {
    if !skipped() {
        cuts(None);
    }
}

#[test]
fn a_power_cut_while_ten_are_followed_loses_nothing_and_never_forks() {
    if !skipped() {
        cuts(Some(&Ten::new()));
    }
}

fn cuts(ten: Option<&Ten>) {
    let wanted = std::env::var("POWERCUT_ROUNDS").map_or(3, |n| n.parse().expect("POWERCUT_ROUNDS is a number"));
    let systems = if wanted < 10 { vec!["ext4"] } else { file_systems() };
    for fs in systems {
        // A few cuts may all fall while nothing waits to be flushed: then more are made.
        let mut tally = rounds(fs, wanted, ten);
        for _ in 0..4 {
            if tally.lost_blocks == 0 {
                tally = rounds(fs, wanted, ten);
            }
        }
        assert!(tally.lost_blocks > 0, "nothing was lost that was not flushed: this proves nothing");
        assert!(tally.acknowledged > 0);
    }
}

/// A node that synchronises nothing must be found out, or the test above proves nothing.
#[test]
fn a_node_that_does_not_synchronise_is_found_out() {
    if skipped() {
        return;
    }
    let mut tally = Tally::default();
    for _ in 0..5 {
        if let Err(why) = chain("ext4", CHAIN, &shim::nosync(), None, &mut tally) {
            println!("found out after {} rounds: {why}", tally.rounds);
            return;
        }
    }
    panic!("{tally:?}: a node whose fsync and fdatasync do nothing has lost nothing");
}
