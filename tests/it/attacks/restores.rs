//! A node that was lost or came back old, and those who would make it sign a second history or none at all. The cases without
//! ill will stand in `tests/it/restore.rs`.

use serde_json::Value;

use crate::follow::{member, until};
use crate::node::run_in;
use crate::restore::{
    Fake, Scene, append_config, brought_up, mirror_section, reads_and_signs_nothing, restore_args, signed_by_region,
    size, without_mirrors, write,
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
    let fake = Fake::start();
    fake.copies(&scene.region, &scene.origin);
    {
        // The last byte of every bundle: a bracket, so that only the hash can tell.
        let mut files = fake.files.write().unwrap();
        for (path, bytes) in files.iter_mut().filter(|(path, _)| path.contains("tile/entries/")) {
            assert!(!bytes.is_empty(), "{path}");
            *bytes.last_mut().unwrap() ^= 1;
        }
    }
    scene.region.kill();
    let saved = scene.lose_all_but_keys();
    let run = |peers: &[&str]| {
        let ca = scene.mirror.certificate();
        let args = restore_args(&scene, peers, Some(&ca), Some(&saved));
        run_in(&scene.region.data(), &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert_eq!(run(&[&fake.url]).code(), "restore.entries");
    assert!(!scene.region.data().join("FORMAT").exists());
    let restored = run(&[&fake.url, &scene.mirror.url()]).json();
    assert_eq!((&restored["from"], &restored["state_root"]), (&Value::from("peer-2"), &before["state_root"]));
}
