//! Two processes on one node's data: the second refuses, however it comes to it.

use std::path::Path;
use std::process::Command;

use super::disk::Machine;
use super::ten::{Seen, Ten};
use super::witness::{Known, Witness};
use crate::node::{AUTHORITY, Node, free_port, program};

/// The code with which `serve` refuses on `data`.
fn refusal(data: &Path) -> String {
    let listen = format!("http.listen=127.0.0.1:{}", free_port());
    let done = program(data).args(["--json", "serve", "--set", &listen]).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let last = said.lines().last().unwrap_or_default();
    serde_json::from_str::<serde_json::Value>(last).unwrap_or_else(|e| panic!("{e}: {said}"))["code"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_second_node_on_the_same_data_refuses_and_the_first_goes_on() {
    twice(Node::moscow(), None);
}

#[test]
fn a_second_node_on_the_same_data_refuses_and_the_first_goes_on_following_ten() {
    let (ten, mut node) = (Ten::new(), Node::init(Some(("77", AUTHORITY, "Мосжилинспекция"))));
    ten.follow(&mut node);
    node.start();
    twice(node, Some(&ten));
}

fn twice(mut node: Node, ten: Option<&Ten>) {
    let (clients, signer, mut seen) = (Witness::resume(Known::default()), node.signer("operator"), Seen::default());
    let mut followed = |node: &Node| {
        ten.iter().for_each(|t| {
            t.hold(node, &mut seen).unwrap();
            t.grow(3);
        });
    };
    assert!(clients.submit(&node, &signer, 3));
    followed(&node);
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(node.data(), &link).unwrap();
    assert_eq!(refusal(&node.data()), "storage.key-in-use");
    assert_eq!(refusal(&link), "storage.key-in-use");
    // Another copy of the directory has its own lock files, and the same key.
    let copy = elsewhere.path().join("copy");
    assert!(Command::new("cp").arg("-a").args([node.data(), copy.clone()]).status().unwrap().success());
    assert_eq!(refusal(&copy), "storage.key-in-use");
    // Commands that write in the directory refuse, too.
    assert_eq!(node.run(&["reindex"]).code(), "storage.locked");
    assert_eq!(node.run(&["fsck", "--repair"]).code(), "storage.locked");
    assert!(clients.submit(&node, &signer, 3));
    clients.known().hold(&node).unwrap();
    followed(&node);
    // What a killed process held is nobody's.
    node.kill();
    node.start();
    assert!(clients.submit(&node, &signer, 3));
    followed(&node);
    node.stop();
    assert!(Command::new("rm").arg("-r").arg(copy).status().unwrap().success());
    let log = node.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn a_second_node_over_a_bind_mount_refuses() {
    let place = match Machine::new("ext4") {
        Ok(machine) => machine,
        Err(why) => return println!("SKIPPED: nothing can be mounted here: {why}"),
    };
    let node = Node::moscow();
    let bound = place.at().join("node");
    std::fs::create_dir(&bound).unwrap();
    assert!(Command::new("mount").arg("--bind").args([node.data(), bound.clone()]).status().unwrap().success());
    let (again, repair) = (refusal(&bound), crate::node::run_in(&bound, &["--json", "fsck", "--repair"]).code());
    assert!(Command::new("umount").arg(&bound).status().unwrap().success());
    assert_eq!((again.as_str(), repair.as_str()), ("storage.key-in-use", "storage.locked"));
}
