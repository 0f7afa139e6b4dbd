//! A node that was lost, or came back older than it was: the real program over TLS, mirrors that are real nodes, and some
//! that lie.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, RwLock};

use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::routing::get;
use domovoi::node::layout::origin_hash;
use domovoi::storage::keys;
use domovoi::tlog::Hash;
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::note::NoteSigner;
use serde_json::Value;

use super::follow::{ministry, synced, until};
use super::node::{AUTHORITY, Node, PASSPHRASE, program, run_in, runtime};
use super::transfer_nodes::follow;

/// A region and two nodes that keep copies of its log, all running; the region asks the first before it signs.
pub struct Scene {
    pub region: Node,
    pub mirror: Node,
    pub other: Node,
    pub origin: String,
    pub pin: String,
    next: u64,
}

impl Scene {
    pub fn new() -> Scene {
        let mut region = Node::init(Some(("77", AUTHORITY, "Мосжилинспекция")));
        quick(&mut region);
        region.start();
        let origin = region.signer("operator").origin;
        let pin = region.charter.clone().unwrap();
        let [mut mirror, mut other] = [ministry(), ministry()];
        for node in [&mut mirror, &mut other] {
            follow(node, &region, "moscow");
            node.start();
        }
        let mut scene = Scene { region, mirror, other, origin, pin, next: 1 };
        scene.write(5);
        scene.mirrored();
        scene.region.stop();
        let named = mirror_section("ministry", &scene.mirror.url(), Some(&scene.mirror.certificate()));
        append_config(&scene.region, &named);
        scene.region.start();
        scene.write(1);
        scene.mirrored();
        scene
    }

    /// Writes so many records; the node must take them.
    pub fn write(&mut self, count: u64) {
        write(&self.region, self.next, count);
        self.next += count;
    }

    /// Waits until both copies are whole.
    pub fn mirrored(&self) {
        synced(&self.mirror, &self.origin, size(&self.region));
        synced(&self.other, &self.origin, size(&self.region));
    }

    /// A copy of the region's directory as it is now, without stopping anything but the region.
    pub fn snapshot(&mut self) -> tempfile::TempDir {
        self.region.stop();
        let copy = tempfile::tempdir().unwrap();
        copy_dir(&self.region.data(), &copy.path().join("node"));
        self.region.start();
        copy
    }

    /// Puts a copy in the place of the region's directory, which must not be running.
    pub fn put_back(&self, copy: &tempfile::TempDir) {
        std::fs::remove_dir_all(self.region.data()).unwrap();
        copy_dir(&copy.path().join("node"), &self.region.data());
    }

    /// What is left of the region: its keys, and its certificate so that others know it again.
    pub fn lose_all_but_keys(&self) -> std::path::PathBuf {
        let saved = self.region.dir.path().join("saved");
        copy_dir(&self.region.data().join("keys"), &saved);
        let tls = self.region.dir.path().join("tls");
        copy_dir(&self.region.data().join("tls"), &tls);
        std::fs::remove_dir_all(self.region.data()).unwrap();
        copy_dir(&tls, &self.region.data().join("tls"));
        saved
    }

    /// Starts the region with the operator's word on the restored head.
    pub fn start_confirmed(&mut self, size: u64) {
        let before = self.region.args.clone();
        self.region.args.extend(["--confirm-restored-head".into(), size.to_string()]);
        self.region.start();
        self.region.args = before;
    }

    /// Both followers have taken what the region wrote, and hold nothing against it.
    pub fn followers_go_on(&self) {
        self.mirrored();
        for node in [&self.mirror, &self.other] {
            let held = super::follow::member(node, &self.origin).unwrap()["status"]["held"].clone();
            assert!(held.is_null(), "{held}");
        }
    }
}

/// Asks every five seconds while it runs.
pub fn quick(node: &mut Node) {
    node.args = vec!["--set".into(), "sync.interval_seconds=1".into()];
}

pub fn mirror_section(name: &str, url: &str, ca: Option<&Path>) -> String {
    let ca = ca.map_or(String::new(), |ca| format!("ca = \"{}\"\n", ca.display()));
    format!("\n[[mirror]]\nname = \"{name}\"\nurl = \"{url}\"\n{ca}")
}

pub fn append_config(node: &Node, text: &str) {
    let path = node.data().join("domovoi.toml");
    let before = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, before + text).unwrap();
}

/// The region's configuration as `init` made it: without mirrors.
pub fn without_mirrors(node: &Node) {
    let path = node.data().join("domovoi.toml");
    let before = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, before.split("\n[[mirror]]").next().unwrap()).unwrap();
}

pub fn write(region: &Node, first: u64, count: u64) {
    let signer = region.signer("operator");
    let records: Vec<Vec<u8>> = (first..first + count).map(|n| signer.organisation(n).1).collect();
    let accepted = until("the records are accepted", || {
        let answer = region.try_post("/api/v1/submit", records.join(&b'\n'))?;
        (answer.status == 200).then(|| answer.json()["outcomes"].clone())
    });
    assert!(accepted.as_array().unwrap().iter().all(|o| o["outcome"] == "accepted"), "{accepted}");
}

pub fn size(node: &Node) -> u64 {
    node.api("node")["freshness"]["size"].as_u64().unwrap()
}

/// Waits until the node, which opens its log anew meanwhile, has so many entries.
pub fn brought_up(node: &Node, length: u64) {
    until("the log is brought up", || {
        let answer = node.try_get("/api/v1/node")?;
        (answer.json()["freshness"]["size"] == length).then_some(())
    });
}

/// Why the node signs nothing, as soon as it says so.
pub fn refusal(node: &Node) -> Value {
    until("the node says why it signs nothing", || {
        let signing = node.api("node")["signing"].clone();
        assert_ne!(signing["allowed"], true, "{}", node.log());
        signing["code"].is_string().then_some(signing)
    })
}

/// It answers readers, and takes no record: with the reason of [`refusal`], which must be `code`.
pub fn reads_and_signs_nothing(node: &Node, code: &str) -> Value {
    let signing = refusal(node);
    assert_eq!(signing["code"], code, "{signing}");
    node.post("/api/v1/submit", node.signer("operator").organisation(99_999).1).problem(503, code);
    assert_eq!(node.get("/log/checkpoint").status, 200);
    signing
}

pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let done =
        std::process::Command::new("cp").args(["-a", "--"]).arg(format!("{}/.", from.display())).arg(to).status();
    assert!(done.unwrap().success());
}

/// A node that shows and serves whatever a test wants, below `/mirror/<hash>/` and elsewhere; it counts what is asked for.
#[derive(Clone, Default)]
pub struct Fake {
    pub url: String,
    pub files: Arc<RwLock<HashMap<String, Vec<u8>>>>,
    pub asked: Arc<RwLock<Vec<String>>>,
    /// Requests for a path that contains this are never answered.
    pub stalls: Arc<RwLock<Option<String>>>,
}

impl Fake {
    pub fn start() -> Fake {
        let fake = Fake::default();
        let app = Router::new().route("/{*path}", get(fake_answer)).with_state(fake.clone());
        let listener = runtime().block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime().spawn(async { axum::serve(listener, app).await.unwrap() });
        Fake { url, ..fake }
    }

    pub fn put(&self, path: &str, bytes: Vec<u8>) {
        self.files.write().unwrap().insert(path.to_owned(), bytes);
    }

    /// Shows this checkpoint of the log, and nothing of its entries.
    pub fn shows(&self, origin: &str, checkpoint: Vec<u8>) {
        self.put(&format!("mirror/{}/checkpoint", origin_hash(origin)), checkpoint);
    }

    /// A whole copy of what a region serves, and its charter.
    pub fn copies(&self, region: &Node, origin: &str) {
        let log = region.data().join("log");
        let mut folders = vec![log.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => {
                        let name = entry.path().strip_prefix(&log).unwrap().to_str().unwrap().to_owned();
                        let bytes = std::fs::read(entry.path()).unwrap();
                        self.put(&format!("mirror/{}/{name}", origin_hash(origin)), bytes);
                    }
                }
            }
        }
        self.put("api/v1/federation/charter", std::fs::read(region.data().join("charter.json")).unwrap());
    }
}

async fn fake_answer(State(fake): State<Fake>, UrlPath(path): UrlPath<String>) -> (StatusCode, Vec<u8>) {
    fake.asked.write().unwrap().push(path.clone());
    if fake.stalls.read().unwrap().as_ref().is_some_and(|s| path.contains(s.as_str())) {
        std::future::pending::<()>().await;
    }
    let found = fake.files.read().unwrap().get(&path).cloned();
    found.map_or((StatusCode::NOT_FOUND, Vec::new()), |bytes| (StatusCode::OK, bytes))
}

/// A checkpoint with the region's own log key, as only the holder of the key can make it.
pub fn signed_by_region(region: &Node, origin: &str, size: u64, root: [u8; 32]) -> Vec<u8> {
    let key = keys::read(&region.data().join("keys/log.pem"), &PASSPHRASE.into()).unwrap();
    let signer = NoteSigner::new(origin, key).unwrap();
    let checkpoint = Checkpoint { origin: origin.to_owned(), size, root: Hash(root) };
    checkpoint.sign(&signer).unwrap().into_bytes()
}

/// The options of a restore of the region's log from these nodes.
pub fn restore_args(scene: &Scene, peers: &[&str], ca: Option<&Path>, saved: Option<&Path>) -> Vec<String> {
    let mut args: Vec<String> =
        ["--json", "restore", "--from-peers", "--origin", &scene.origin, "--charter-sha256", &scene.pin]
            .map(str::to_owned)
            .to_vec();
    args.extend(["--listen".to_owned(), format!("127.0.0.1:{}", scene.region.port)]);
    peers.iter().for_each(|url| args.extend(["--peer".to_owned(), (*url).to_owned()]));
    if let Some(ca) = ca {
        args.extend(["--peer-ca".to_owned(), ca.display().to_string()]);
    }
    if let Some(saved) = saved {
        args.extend(["--keys".to_owned(), saved.display().to_string()]);
    }
    args
}

pub fn run(scene: &Scene, args: &[String]) -> super::node::Ran {
    run_in(&scene.region.data(), &args.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_lost_node_comes_back_from_its_mirrors_and_goes_on() {
    let mut scene = Scene::new();
    scene.write(300);
    scene.mirrored();
    let (before, length) = (scene.region.api("node"), size(&scene.region));
    scene.region.kill();
    let saved = scene.lose_all_but_keys();

    // Asked only: nothing is written, and a wrong pin finds nobody.
    let ca = scene.mirror.certificate();
    let peers = [scene.mirror.url()];
    let peers: Vec<&str> = peers.iter().map(String::as_str).collect();
    let args = restore_args(&scene, &peers, Some(&ca), Some(&saved));
    let dry: Vec<String> = args.iter().cloned().chain(["--dry-run".into()]).collect();
    let shown = run(&scene, &dry).json();
    assert_eq!(shown["heads"][0]["size"], length, "{shown}");
    assert!(!scene.region.data().join("log").exists());
    let wrong: Vec<String> = dry.iter().map(|a| if *a == scene.pin { "0".repeat(64) } else { a.clone() }).collect();
    assert_eq!(run(&scene, &wrong).code(), "restore.charter");

    let restored = run(&scene, &args).json();
    assert_eq!((&restored["size"], &restored["state_root"]), (&before["freshness"]["size"], &before["state_root"]));
    assert_eq!(restored["ahead"], Value::Null);
    let fsck = scene.region.run(&["fsck"]).json();
    assert_eq!(fsck["state_root"], before["state_root"]);
    // A second restore does not go over what is there.
    assert_eq!(run(&scene, &args).code(), "restore.not-empty");

    // It answers at once. It signs nothing before somebody has taken the risk that an answer was lost.
    scene.region.start();
    reads_and_signs_nothing(&scene.region, "fence.restored");
    assert_eq!(scene.region.api("node")["state_root"], before["state_root"]);
    scene.region.stop();
    scene.start_confirmed(length + 1);
    reads_and_signs_nothing(&scene.region, "fence.restored");
    scene.region.stop();
    scene.start_confirmed(length);
    scene.write(3);
    scene.followers_go_on();
    // From then on it needs nobody's word.
    scene.region.stop();
    scene.region.start();
    scene.write(1);
    scene.followers_go_on();
    scene.region.stop();
    assert_eq!(scene.region.run(&["reindex"]).json()["same_as_before"], true);
}

#[test]
fn last_weeks_backup_is_brought_up_to_what_was_signed_since() {
    let mut scene = Scene::new();
    let backup = scene.region.dir.path().join("backup");
    scene.region.run(&["backup", backup.to_str().unwrap()]).json();
    scene.write(40);
    scene.mirrored();
    let (before, length) = (scene.region.api("node"), size(&scene.region));
    scene.region.kill();
    scene.lose_all_but_keys();
    std::fs::remove_dir_all(scene.region.data()).unwrap();
    scene.region.run(&["restore", backup.to_str().unwrap()]).json();
    copy_dir(&scene.region.dir.path().join("tls"), &scene.region.data().join("tls"));
    // The word on the backup's own size is an error now: others have seen more.
    let old = length - 41;
    scene.start_confirmed(old);
    brought_up(&scene.region, length);
    reads_and_signs_nothing(&scene.region, "fence.restored");
    assert_eq!(scene.region.api("node")["state_root"], before["state_root"]);
    scene.region.stop();
    assert_eq!(scene.region.run(&["fsck"]).json()["state_root"], before["state_root"]);
    scene.start_confirmed(length);
    scene.write(2);
    scene.followers_go_on();
}

#[test]
fn a_disk_that_was_rolled_back_does_not_know_it_and_signs_nothing_until_it_has_caught_up() {
    let mut scene = Scene::new();
    let copy = scene.snapshot();
    scene.write(20);
    scene.mirrored();
    let length = size(&scene.region);
    scene.region.kill();
    scene.put_back(&copy);
    // Its fence says that it is the newest: only others know better.
    scene.region.start();
    brought_up(&scene.region, length);
    reads_and_signs_nothing(&scene.region, "fence.restored");
    scene.region.stop();
    scene.start_confirmed(length);
    scene.write(2);
    scene.followers_go_on();
}

#[test]
fn mirrors_out_of_reach_are_waited_for_while_readers_are_answered() {
    let mut scene = Scene::new();
    scene.region.stop();
    scene.mirror.stop();
    scene.region.start();
    let why = reads_and_signs_nothing(&scene.region, "recovery.waiting");
    assert!(why["detail"].as_str().unwrap().contains("ministry: "), "{why}");
    scene.mirror.start();
    scene.write(2);
    scene.followers_go_on();
    assert!(scene.region.log().contains("the log may be written"));
}

#[test]
fn a_first_node_alone_says_so() {
    let region = Node::moscow();
    assert!(region.log().contains("no node is named that keeps a copy of this log"), "{}", region.log());
    assert_eq!(region.api("node")["signing"]["allowed"], true);
}

#[test]
fn a_signed_tail_that_nobody_has_is_not_signed_over() {
    let mut scene = Scene::new();
    let copy = scene.snapshot();
    // What is written now reaches a reader, and no mirror.
    scene.mirror.stop();
    scene.other.stop();
    scene.write(4);
    let seen = scene.region.get("/log/checkpoint").body;
    let length = size(&scene.region);
    scene.region.kill();
    let lost = tempfile::tempdir().unwrap();
    copy_dir(&scene.region.data(), &lost.path().join("node"));
    scene.put_back(&copy);
    scene.mirror.start();
    scene.other.start();
    let fake = Fake::start();
    fake.shows(&scene.origin, seen);
    append_config(&scene.region, &mirror_section("reader", &fake.url, None));
    let short = size_of_copy(&copy);
    for word in [None, Some(short), Some(length)] {
        match word {
            None => scene.region.start(),
            Some(size) => scene.start_confirmed(size),
        }
        let why = reads_and_signs_nothing(&scene.region, "recovery.tail");
        assert!(why["detail"].as_str().unwrap().contains(&length.to_string()), "{why}");
        assert!(why["remedy"].as_str().unwrap().contains("charter new --cut"), "{why}");
        scene.region.stop();
    }
    // Whoever showed it may be away: it is not forgotten.
    fake.files.write().unwrap().clear();
    scene.region.start();
    reads_and_signs_nothing(&scene.region, "recovery.tail");
    assert_eq!(size(&scene.region), short);
    // The entries turn up after all: the log is brought up to them.
    let old = Node::over(lost, 1);
    fake.copies(&old, &scene.origin);
    brought_up(&scene.region, length);
    reads_and_signs_nothing(&scene.region, "fence.restored");
    scene.region.stop();
    scene.start_confirmed(length);
    scene.write(1);
    scene.followers_go_on();
}

#[test]
fn a_cut_under_a_new_key_lets_a_node_go_on_whose_tail_is_lost() {
    let mut scene = Scene::new();
    let copy = scene.snapshot();
    scene.mirror.stop();
    scene.other.stop();
    scene.write(4);
    let seen = scene.region.get("/log/checkpoint").body;
    scene.region.kill();
    scene.put_back(&copy);
    scene.mirror.start();
    scene.other.start();
    let fake = Fake::start();
    fake.shows(&scene.origin, seen);
    append_config(&scene.region, &mirror_section("reader", &fake.url, None));
    scene.region.start();
    reads_and_signs_nothing(&scene.region, "recovery.tail");

    // A new log key, and a charter version that lets the log go on from what is there under it.
    let base64 =
        |key: &ed25519_dalek::SigningKey| data_encoding::BASE64URL_NOPAD.encode(key.verifying_key().as_bytes());
    let old = keys::read(&scene.region.data().join("keys/log.pem"), &PASSPHRASE.into()).unwrap();
    let new = keys::generate();
    let next = scene.region.data().join("keys/log-next.pem");
    keys::write_encrypted(&next, &new, &PASSPHRASE.into()).unwrap();
    let note = String::from_utf8(scene.region.get("/log/checkpoint").body).unwrap();
    let head: Vec<&str> = note.lines().take(3).collect();
    let cut = format!("{}@{}@{}", scene.origin, head[1], head[2]);
    let (pair, draft) = (format!("{}={}", base64(&old), base64(&new)), scene.region.dir.path().join("draft.json"));
    let draft = draft.to_str().unwrap();
    let said = [
        "charter",
        "new",
        "--out",
        draft,
        "--cut",
        &cut,
        "--replace-key",
        &pair,
        "--because",
        "lost",
        "--reason",
        "сервер сгорел",
    ];
    scene.region.run(&said).json();
    let root = scene.region.data().join("keys/federation-root.pem");
    scene.region.run(&["charter", "sign", draft, "--key", root.to_str().unwrap(), "--yes"]).json();
    scene.region.run(&["charter", "publish", draft]).json();
    scene.region.stop();
    // Nobody's word is needed: the new key has signed nothing yet, and what the old one signed beyond the cut is void.
    scene.region.start();
    scene.write(2);
    scene.followers_go_on();
}

fn size_of_copy(copy: &tempfile::TempDir) -> u64 {
    let note = std::fs::read_to_string(copy.path().join("node/log/checkpoint")).unwrap();
    note.lines().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_mirror_that_claims_what_the_key_has_not_signed_is_ignored_and_named() {
    let mut scene = Scene::new();
    scene.region.stop();
    let fake = Fake::start();
    let mut stranger = signed_by_region(&scene.region, &scene.origin, 1_000_000, [7; 32]);
    let at = stranger.len() - 10;
    stranger[at] = if stranger[at] == b'A' { b'B' } else { b'A' };
    fake.shows(&scene.origin, stranger);
    append_config(&scene.region, &mirror_section("liar", &fake.url, None));
    scene.region.start();
    scene.write(2);
    scene.followers_go_on();
    let log = scene.region.log();
    assert!(log.contains("claims a head of this log that its key did not sign") && log.contains("liar"), "{log}");
    // Alone it is nobody's answer.
    scene.region.stop();
    without_mirrors(&scene.region);
    append_config(&scene.region, &mirror_section("liar", &fake.url, None));
    scene.region.start();
    reads_and_signs_nothing(&scene.region, "recovery.waiting");
}

#[test]
fn another_copy_that_signs_is_noticed_and_stops_the_writer() {
    let mut scene = Scene::new();
    let fake = Fake::start();
    scene.region.stop();
    append_config(&scene.region, &mirror_section("second", &fake.url, None));
    scene.region.start();
    scene.write(1);
    // A copy of this directory runs elsewhere, and goes another way from here.
    let other = signed_by_region(&scene.region, &scene.origin, size(&scene.region), [9; 32]);
    fake.shows(&scene.origin, other.clone());
    let why = until("the node notices", || {
        let signing = scene.region.api("node")["signing"].clone();
        (signing["allowed"] == false).then_some(signing)
    });
    assert_eq!(why["code"], "recovery.fork", "{why}");
    reads_and_signs_nothing(&scene.region, "recovery.fork");
    let kept = std::fs::read_dir(scene.region.data().join("evidence")).unwrap().count();
    assert_eq!(kept, 1);
    // Neither the operator's word nor a new start helps, nor that the one who showed it is away.
    let length = size(&scene.region);
    scene.region.stop();
    fake.files.write().unwrap().clear();
    scene.start_confirmed(length);
    reads_and_signs_nothing(&scene.region, "recovery.fork");
}

#[test]
fn a_second_copy_started_later_is_refused_by_what_its_mirrors_know() {
    let mut scene = Scene::new();
    let copy = scene.snapshot();
    scene.write(3);
    scene.mirrored();
    let length = size(&scene.region);
    scene.region.stop();
    // The first one goes on elsewhere; the copy is started on another machine.
    let mut second = Node::over(copy, super::node::free_port());
    quick(&mut second);
    second.args.extend(["--set".into(), format!("http.listen=[\"127.0.0.1:{}\"]", second.port)]);
    second.start();
    brought_up(&second, length);
    reads_and_signs_nothing(&second, "fence.restored");
    second.stop();
    scene.region.start();
    scene.write(1);
    scene.followers_go_on();
}

#[test]
fn a_restore_from_copies_that_contradict_each_other_installs_nothing() {
    let mut scene = Scene::new();
    let fake = Fake::start();
    fake.copies(&scene.region, &scene.origin);
    let liar = Fake::start();
    liar.shows(&scene.origin, signed_by_region(&scene.region, &scene.origin, 3, [5; 32]));
    scene.region.kill();
    let saved = scene.lose_all_but_keys();
    let args = restore_args(&scene, &[&fake.url, &liar.url], None, Some(&saved));
    assert_eq!(run(&scene, &args).code(), "recovery.fork");
    assert!(!scene.region.data().join("FORMAT").exists());
    assert!(scene.region.start_or_say().is_err());
}

#[test]
fn a_restore_that_was_killed_goes_on_where_it_stopped() {
    let mut scene = Scene::new();
    (0..6).for_each(|_| scene.write(1500));
    let before = scene.region.api("node");
    let fake = Fake::start();
    fake.copies(&scene.region, &scene.origin);
    scene.region.kill();
    *fake.stalls.write().unwrap() = Some("tile/entries/034".into());
    let args = restore_args(&scene, &[&fake.url], None, Some(&scene.lose_all_but_keys()));
    let mut child = program(&scene.region.data()).args(&args).spawn().unwrap();
    let head = || std::fs::read_to_string(scene.region.data().join("private/head")).ok();
    until("some entries are kept", || (head()?.lines().nth(1)? != "0").then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    // Half a node is none.
    assert!(scene.region.start_or_say().is_err());
    *fake.stalls.write().unwrap() = None;
    fake.asked.write().unwrap().clear();
    let restored = run(&scene, &args).json();
    assert_eq!(restored["state_root"], before["state_root"]);
    let again = fake.asked.read().unwrap().iter().filter(|p| p.contains("tile/entries/00")).count();
    assert_eq!(again, 0, "{:?}", fake.asked.read().unwrap());
}

#[test]
fn a_restore_goes_back_to_a_shorter_head_where_nobody_has_the_rest_of_a_longer_one() {
    let mut scene = Scene::new();
    scene.write(1500);
    let (older, before) = (Fake::start(), scene.region.api("node"));
    older.copies(&scene.region, &scene.origin);
    (0..3).for_each(|_| scene.write(1500));
    let (longer, length) = (Fake::start(), size(&scene.region));
    longer.copies(&scene.region, &scene.origin);
    longer.files.write().unwrap().retain(|path, _| !path.contains("tile/entries/020"));
    scene.region.kill();
    let saved = scene.lose_all_but_keys();
    let restored = run(&scene, &restore_args(&scene, &[&longer.url, &older.url], None, Some(&saved))).json();
    assert_eq!((&restored["state_root"], &restored["ahead"]), (&before["state_root"], &Value::from(length)));
    assert_eq!(scene.region.run(&["fsck"]).json()["state_root"], before["state_root"]);
}

#[test]
fn a_lost_fence_signs_nothing_and_the_log_is_restored_from_its_mirrors() {
    let mut scene = Scene::new();
    scene.mirrored();
    let (before, length) = (scene.region.api("node"), size(&scene.region));
    scene.region.kill();
    for file in ["fence", "journal"] {
        std::fs::remove_file(scene.region.data().join("private").join(file)).unwrap();
    }
    assert!(scene.region.start_or_say().is_err());
    assert!(scene.region.log().contains("fence.lost"));
    let saved = scene.lose_all_but_keys();
    let (url, ca) = (scene.mirror.url(), scene.mirror.certificate());
    let args = restore_args(&scene, &[&url], Some(&ca), Some(&saved));
    assert_eq!(run(&scene, &args).json()["state_root"], before["state_root"]);
    scene.start_confirmed(length);
    scene.write(1);
    scene.followers_go_on();
}

#[test]
fn without_keys_a_restored_log_is_whole_and_is_not_written() {
    let mut scene = Scene::new();
    let before = scene.region.api("node");
    scene.region.kill();
    scene.lose_all_but_keys();
    let (url, ca) = (scene.mirror.url(), scene.mirror.certificate());
    let restored = run(&scene, &restore_args(&scene, &[&url], Some(&ca), None)).json();
    assert_eq!((&restored["keys"], &restored["state_root"]), (&Value::Bool(false), &before["state_root"]));
    assert!(scene.region.start_or_say().is_err());
    assert_eq!(scene.region.run(&["fsck"]).json()["state_root"], before["state_root"]);
}
