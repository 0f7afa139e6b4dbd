//! A node that was lost or came back old, and those who would make it sign a second history or none at all. The cases without
//! ill will stand in `tests/it/restore.rs`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use domovoi::node::layout::origin_hash;
use serde_json::Value;

use super::hostile::{Hostile, Step, raw};
use crate::follow::{member, until};
use crate::node::{AUTHORITY, Node, run_in};
use crate::restore::{
    Fake, Scene, append_config, brought_up, mirror_section, reads_and_signs_nothing, restore_args, run,
    signed_by_region, size, without_mirrors, write,
};

#[test]
fn an_old_backup_that_signs_again_is_held_by_every_follower() {
    let mut scene = Scene::new();
    let copy = scene.snapshot();
    scene.write(5);
    scene.mirrored();
    let accepted = size(&scene.region);
    scene.region.kill();
    scene.put_back(&copy);
    // Its operator asks nobody: all that is left is that others notice.
    without_mirrors(&scene.region);
    scene.region.start();
    assert!(scene.region.log().contains("it is signed on this directory's word alone"));
    write(&scene.region, 700, 20);
    for follower in [&scene.mirror, &scene.other] {
        let held =
            until("the log is held", || member(follower, &scene.origin).filter(|m| !m["status"]["held"].is_null()));
        let code = held["status"]["held"]["code"].as_str().unwrap().to_owned();
        assert!(["peer.rollback", "peer.fork", "peer.root"].contains(&code.as_str()), "{held}");
        assert_eq!(held["freshness"]["size"], accepted, "{held}");
    }
}

#[test]
fn the_operators_word_does_not_outweigh_mirrors_that_are_silent_or_know_more() {
    let mut scene = Scene::new();
    let copy = scene.snapshot();
    scene.write(5);
    scene.mirrored();
    let length = size(&scene.region);
    scene.region.kill();
    scene.put_back(&copy);
    scene.mirror.stop();
    let old = length - 6;
    scene.start_confirmed(old);
    reads_and_signs_nothing(&scene.region, "recovery.waiting");
    assert_eq!(size(&scene.region), old);
    // As soon as one answers, the log is brought up to what was signed.
    scene.mirror.start();
    brought_up(&scene.region, length);
    reads_and_signs_nothing(&scene.region, "fence.restored");
}

#[test]
fn a_head_far_ahead_that_the_key_signed_stops_the_writer_and_nobody_else() {
    // Somebody has the log key and shows a head that no log will ever reach.
    let mut scene = Scene::new();
    let fake = Fake::start();
    scene.region.stop();
    fake.shows(&scene.origin, signed_by_region(&scene.region, &scene.origin, (1 << 62) - 1, [3; 32]));
    append_config(&scene.region, &mirror_section("thief", &fake.url, None));
    scene.region.start();
    reads_and_signs_nothing(&scene.region, "recovery.tail");
    // What was said before stays readable here, and the followers go on with it.
    assert_eq!(scene.region.get("/api/v1/node").status, 200);
    scene.followers_go_on();
    // A restore takes the longest log that is really there, and says that more was signed.
    scene.region.kill();
    let saved = scene.lose_all_but_keys();
    let (url, ca) = (scene.mirror.url(), scene.mirror.certificate());
    let args = restore_args(&scene, &[&url, &fake.url], Some(&ca), Some(&saved));
    let restored = run_in(&scene.region.data(), &args.iter().map(String::as_str).collect::<Vec<_>>()).json();
    assert_eq!(restored["ahead"], ((1u64 << 62) - 1), "{restored}");
    assert_eq!(restored["from"], "peer-1");
    scene.region.start();
    reads_and_signs_nothing(&scene.region, "recovery.tail");
}

#[test]
fn a_mirror_with_changed_entries_restores_nothing_and_a_whole_one_is_taken() {
    let mut scene = Scene::new();
    scene.write(300);
    scene.mirrored();
    let before = scene.region.api("node");
    // The last byte of every bundle: a bracket, so that only the hash can tell; and of the tiles that prove the bundles.
    let changed = ["tile/entries/", "tile/1/", "tile/0/001"].map(|what| {
        let fake = Fake::start();
        fake.copies(&scene.region, &scene.origin);
        let mut files = fake.files.write().unwrap();
        let mut found = files.iter_mut().filter(|(path, _)| path.contains(what)).peekable();
        assert!(found.peek().is_some(), "{what}");
        found.for_each(|(_, bytes)| *bytes.last_mut().unwrap() ^= 1);
        drop(files);
        fake
    });
    scene.region.kill();
    let saved = scene.lose_all_but_keys();
    let run = |peers: &[&str]| {
        let ca = scene.mirror.certificate();
        let args = restore_args(&scene, peers, Some(&ca), Some(&saved));
        run_in(&scene.region.data(), &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    for fake in &changed {
        assert_eq!(run(&[&fake.url]).code(), "restore.entries");
        assert!(!scene.region.data().join("FORMAT").exists());
    }
    let urls: Vec<&str> = changed.iter().map(|fake| fake.url.as_str()).collect();
    let restored = run(&[&urls[..], &[&scene.mirror.url()]].concat()).json();
    assert_eq!((&restored["from"], &restored["state_root"]), (&Value::from("peer-4"), &before["state_root"]));
}

#[test]
fn mirrors_that_stall_drip_or_answer_nonsense_keep_no_node_from_signing() {
    let mut scene = Scene::new();
    scene.region.stop();
    // Before the honest one, so that whoever asks in order comes to it last: five that would each take the longest wait there
    // is for an answer. One after the other they would take longer than anything here is waited for.
    let config = scene.region.data().join("domovoi.toml");
    let written = std::fs::read_to_string(&config).unwrap();
    let (rest, honest) = written.split_once("\n[[mirror]]").unwrap();
    std::fs::write(&config, rest).unwrap();
    let stall = Hostile::start(|_| vec![Step::Stall]);
    let after_headers =
        Hostile::start(|_| vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 300\r\n\r\n".to_vec()), Step::Stall]);
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 300\r\n\r\n".to_vec();
    let drip = move |_: &str| vec![Step::Send(head.clone()), Step::Drip(vec![b'x'; 300], Duration::from_millis(500))];
    let drips = [Hostile::start(drip.clone()), Hostile::start(drip.clone()), Hostile::start(drip)];
    let slow = [&stall, &after_headers].into_iter().chain(&drips);
    for (n, server) in slow.clone().enumerate() {
        append_config(&scene.region, &mirror_section(&format!("slow-{n}"), &server.url, None));
    }
    let nonsense = [Vec::new(), vec![0; 100], vec![b'x'; 100_000], b"another log\n50\n\n".to_vec()];
    for (n, body) in nonsense.into_iter().enumerate() {
        let fake = Fake::start();
        fake.shows(&scene.origin, body);
        append_config(&scene.region, &mirror_section(&format!("rubbish-{n}"), &fake.url, None));
    }
    append_config(&scene.region, &mirror_section("none", &Fake::start().url, None));
    append_config(&scene.region, &format!("\n[[mirror]]{honest}"));
    scene.region.start();
    // It asks all of them, and signs on the word of the one that has a copy.
    scene.write(2);
    assert!(slow.clone().all(|server| server.requests() > 0));
    scene.followers_go_on();
    // Without that one nobody has shown a copy: nothing is signed.
    scene.region.stop();
    let all = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, all.rsplit_once("\n[[mirror]]").unwrap().0).unwrap();
    scene.region.start();
    reads_and_signs_nothing(&scene.region, "recovery.waiting");
}

#[test]
fn nodes_that_stall_hold_up_no_restore_from_the_others() {
    let mut scene = Scene::new();
    let before = scene.region.api("node");
    scene.region.kill();
    let saved = scene.lose_all_but_keys();
    let slow: Vec<Hostile> = (0..10).map(|_| Hostile::start(|_| vec![Step::Stall])).collect();
    let honest = scene.mirror.url();
    let peers: Vec<&str> = slow.iter().map(|s| s.url.as_str()).chain([honest.as_str()]).collect();
    let ca = scene.mirror.certificate();
    let args = restore_args(&scene, &peers, Some(&ca), Some(&saved));
    let begun = Instant::now();
    let restored = run_in(&scene.region.data(), &args.iter().map(String::as_str).collect::<Vec<_>>()).json();
    // The longest wait for an answer is ten seconds, for charters and for heads: one after the other it would be longer.
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert_eq!((&restored["from"], &restored["state_root"]), (&Value::from("peer-11"), &before["state_root"]));
}

/// A witness keeps no entries, but it remembers the newest head: who forgot it signs nothing, at a start and after a restore.
#[test]
fn a_witness_remembers_what_no_copy_has() {
    let mut scene = Scene::new();
    scene.region.stop();
    let mut witness = Node::init(None);
    let keys = crate::cosign::keys(&witness, "witness.example");
    let vkey = std::fs::read_to_string(scene.region.data().join("log.vkey")).unwrap();
    append_config(&witness, &format!("\n[[witness_log]]\nvkey = \"{}\"\n", vkey.trim()));
    witness.start();
    let (url, ca) = (witness.url(), witness.certificate());
    let section = format!(
        "\n[[cosigner]]\nkind = \"witness\"\nurl = \"{url}/witness\"\nvkey = \"{}\"\nca = \"{}\"\n",
        keys[0],
        ca.display()
    );
    append_config(&scene.region, &section);
    scene.region.start();
    scene.write(1);
    scene.mirrored();
    let copy = scene.snapshot();
    scene.write(1);
    scene.mirrored();
    let copied = size(&scene.region);
    // From now on nobody copies; the witness goes on.
    scene.mirror.stop();
    scene.other.stop();
    scene.write(3);
    let signed = size(&scene.region);
    let seen = format!("/witness/{}/checkpoint", origin_hash(&scene.origin));
    let remembers = |witness: &Node| {
        let note = String::from_utf8(witness.get(&seen).body).ok()?;
        note.lines().nth(1)?.parse::<u64>().ok().filter(|n| *n == signed)
    };
    until("the witness has cosigned the last head", || remembers(&witness));
    scene.region.kill();
    scene.put_back(&copy);
    scene.mirror.start();
    scene.region.start();
    brought_up(&scene.region, copied);
    let why = reads_and_signs_nothing(&scene.region, "recovery.tail");
    assert!(why.to_string().contains("(witness)") || why.to_string().contains("/witness"), "{why}");
    assert_eq!(size(&scene.region), copied);

    // From nothing: the entries come from the copy, and that more was signed from the witness.
    scene.region.kill();
    let saved = scene.lose_all_but_keys();
    let mirror = scene.mirror.url();
    let both = scene.region.dir.path().join("both.pem");
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    std::fs::write(&both, text(&scene.mirror.certificate()) + &text(&ca)).unwrap();
    let args = restore_args(&scene, &[&mirror, &url], Some(&both), Some(&saved));
    let restored = run(&scene, &args).json();
    assert_eq!((restored["size"].as_u64(), restored["ahead"].as_u64()), (Some(copied), Some(signed)), "{restored}");
    let head = restored["heads"].as_array().unwrap().iter().find(|h| h["keeps"] == "head").unwrap();
    assert_eq!((head["peer"].as_str(), head["size"].as_u64()), (Some(format!("{url}/").as_str()), Some(signed)));
}

/// Whoever submitted before the records that found the log would be refused by rules that he cannot know.
#[test]
fn a_node_is_not_ready_before_its_log_is_founded_however_slow_its_mirrors() {
    // Silent for as long as is looked at the node, and no longer.
    let answers = Arc::new(AtomicBool::new(false));
    let now = answers.clone();
    let slow = Hostile::start(move |_| match now.load(Ordering::SeqCst) {
        true => raw("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close", b""),
        false => vec![Step::Stall],
    });
    let mut region = Node::init(Some(("77", AUTHORITY, "Мосжилинспекция")));
    append_config(&region, &mirror_section("slow", &slow.url, None));
    let building = region.signer("operator").building(1).1;
    region.spawn();
    until("its certificate", || region.certificate().exists().then_some(()));
    until("it answers", || region.try_get("/healthz").filter(|answer| answer.status == 200));
    assert_eq!(region.get("/readyz").status, 503, "{}", region.log());
    region.post("/api/v1/submit", building.clone()).problem(503, "recovery.waiting");
    answers.store(true, Ordering::SeqCst);
    region.wait();
    region.accept(&[building]);
}
