//! The charter over real nodes: made by several key holders with files only, taken by nodes that follow each other over TLS.

use std::path::PathBuf;

use domovoi::node::layout::Layout;
use domovoi::registry::signature::PublicKey;
use domovoi::storage::keys;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::api::chat;
use super::follow::{member, ministry, synced};
use super::node::{AUTHORITY, Around, Node, PASSPHRASE, run_in};
use super::regions::federation_keys;

/// Three key holders, two of whom must sign, each on a machine of his own.
struct Office {
    dir: TempDir,
    charters: Vec<PathBuf>,
}

fn base64(key: &PublicKey) -> String {
    data_encoding::BASE64URL_NOPAD.encode(&key.to_bytes())
}

impl Office {
    fn new() -> Office {
        let office = Office { dir: tempfile::tempdir().unwrap(), charters: Vec::new() };
        for (n, key) in federation_keys().iter().enumerate() {
            keys::write_encrypted(&office.key(n), key, &PASSPHRASE.into()).unwrap();
        }
        office
    }
    fn key(&self, holder: usize) -> PathBuf {
        self.dir.path().join(format!("holder-{holder}.pem"))
    }
    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }
    /// A command on a machine that has nothing but files.
    fn alone(&self, args: &[&str]) -> Value {
        run_in(&self.dir.path().join("none"), &[&["--json"], args].concat()).json()
    }
    /// Draft, signatures of these holders on separate copies, and all of it in one file.
    fn make(&mut self, node: Option<&Node>, args: &[&str], holders: &[usize]) -> (String, Value) {
        let n = self.charters.len() + 1;
        let draft = self.path(&format!("{n}.draft.json"));
        let all = [&["charter", "new", "--out", &draft], args].concat();
        let said = match node {
            Some(node) => node.run(&all).json(),
            None => self.alone(&all),
        };
        assert_eq!((&said["version"], &said["complete"]), (&json!(n), &json!(false)), "{said}");
        let copies: Vec<String> = holders.iter().map(|h| self.path(&format!("{n}.{h}.json"))).collect();
        for (copy, holder) in copies.iter().zip(holders) {
            std::fs::copy(&draft, copy).unwrap();
            let key = self.key(*holder);
            let signed = self.alone(&["charter", "sign", copy, "--key", key.to_str().unwrap(), "--yes"]);
            assert_eq!(signed["charter_sha256"], said["charter_sha256"], "all see one and the same charter");
            assert_eq!(signed["after"]["signed"], 1, "{signed}");
        }
        let joint = self.path(&format!("{n}.joint.json"));
        let copies: Vec<&str> = copies.iter().map(String::as_str).collect();
        let one = self.alone(&["charter", "combine", copies[0], copies[0], "--out", &joint]);
        assert_eq!(one["complete"], false, "one signer twice is one signer: {one}");
        let done = self.alone(&[&["charter", "combine"], &copies[..], &["--out", &joint]].concat());
        assert_eq!(done["complete"], true, "{done}");
        (joint, said)
    }
    /// The next version, published on a node.
    fn amend(&mut self, node: &Node, args: &[&str]) -> Value {
        let (joint, said) = self.make(Some(node), args, &[0, 1]);
        let file = self.dir.path().join(format!("charter-{}.json", said["version"]));
        let published = node.run(&["charter", "publish", &joint, "--out", file.to_str().unwrap()]).json();
        assert_eq!((&published["version"], &published["taken"]), (&said["version"], &json!(1)), "{published}");
        self.charters.push(file);
        said
    }
    /// A node of Moscow under a charter that was made for it before its log began: by its card.
    fn region(&mut self) -> Node {
        let mut node = Node::init(Some(("77", AUTHORITY, "Мосжилинспекция")));
        let card = self.path("77.card");
        node.run(&["charter", "card", "--out", &card]).json();
        let roots: Vec<String> =
            federation_keys().iter().map(|k| format!("federation-root={}", base64(&PublicKey::of(k)))).collect();
        let mut args = vec!["--first", "Федерация", "--admit", &card, "--threshold", "2"];
        roots.iter().for_each(|r| args.extend(["--add-key", r]));
        let (joint, said) = self.make(None, &args, &[0, 2]);
        let pin = said["charter_sha256"].as_str().unwrap().to_owned();
        let file = self.dir.path().join("charter-1.json");
        let publish = ["charter", "publish", &joint, "--out", file.to_str().unwrap(), "--pin"];
        let wrong = "0".repeat(64);
        assert_eq!(node.run(&[&publish[..], &[&wrong]].concat()).code(), "charter.pin");
        node.run(&[&publish[..], &[&pin]].concat()).json();
        node.charter = Some(pin);
        node.start();
        assert_eq!(node.run(&[&publish[..], &[&node.charter.clone().unwrap()]].concat()).code(), "charter.begun");
        self.charters.push(file);
        node
    }
    fn args(&self) -> Vec<String> {
        self.charters.iter().flat_map(|c| ["--charter".to_owned(), c.to_str().unwrap().to_owned()]).collect()
    }
}

fn follow(ministry: &Node, region: &Node) {
    let (ca, pin) = (region.certificate(), region.charter.clone().unwrap());
    let args =
        ["follow", &region.url(), "--name", "moscow", "--charter-sha256", &pin, "--peer-ca", ca.to_str().unwrap()];
    ministry.run(&args).json();
}

fn size(node: &Node) -> u64 {
    node.api("node")["freshness"]["size"].as_u64().unwrap()
}

/// A new key beside the old one; gives both, as the charter names them.
fn next_key(node: &Node, role: &str) -> (String, String) {
    let file = |name: &str| node.data().join(format!("keys/{name}.pem")).to_str().unwrap().to_owned();
    let old = node.run(&["key", "show", &file(role)]).json()["key"].as_str().unwrap().to_owned();
    let new = node.run(&["key", "new", &file(&format!("{role}-next"))]).json()["key"].as_str().unwrap().to_owned();
    (old, new)
}

#[test]
fn keys_are_announced_switched_and_retired_while_others_follow_and_history_verifies() {
    let mut office = Office::new();
    let mut region = office.region();
    let signer = region.signer("operator");
    let (_, number, bytes) = chat(&signer, 1, "2025-02-01");
    region.accept(&[signer.building(1).1, bytes]);
    let (mut follower, origin) = (ministry(), signer.origin.clone());
    follow(&follower, &region);
    follower.start();
    synced(&follower, &origin, size(&region));
    let old_proof = office.path("old.txt");
    assert!(region.run(&["prove", &number.to_string(), "--out", &old_proof]).ok);

    // Announced: everybody has the keys before they sign.
    let (log, commit, root) = (next_key(&region, "log"), next_key(&region, "commit"), next_key(&region, "region-root"));
    let announced = [
        format!("log:77={}@2020-01-01", log.1),
        format!("commit:77={}@2020-01-01", commit.1),
        format!("region-root:77={}@2020-01-01", root.1),
    ];
    let args: Vec<&str> = announced.iter().flat_map(|a| ["--announce", a]).collect();
    office.amend(&region, &args);
    region.stop();
    region.start();
    synced(&follower, &origin, size(&region));
    assert!(Layout::new(&follower.data()).mirror(&origin).charters().join("2.json").exists());

    // Switched: the node takes the keys that lie ready, when the charter names them. The third holder's key goes as well.
    let fourth = keys::generate();
    keys::write_encrypted(&office.key(2), &fourth, &PASSPHRASE.into()).unwrap();
    let pairs = [
        format!("{}={}", log.0, log.1),
        format!("{}={}", commit.0, commit.1),
        format!("{}={}", root.0, root.1),
        format!("{}={}", base64(&PublicKey::of(&federation_keys()[2])), base64(&PublicKey::of(&fourth))),
    ];
    let args: Vec<&str> = pairs.iter().flat_map(|p| ["--replace-key", p]).collect();
    let said = office.amend(&region, &args);
    let words = said["says"].to_string();
    for key in [&log.0, &log.1, &commit.0, &commit.1, &root.0, &root.1] {
        assert!(words.contains(key.as_str()), "what is signed is told: {words}");
    }
    region.stop();
    region.start();
    let more: Vec<Vec<u8>> = (2..=40).map(|n| signer.building(n).1).collect();
    region.accept(&more);
    synced(&follower, &origin, size(&region));
    let m = member(&follower, &origin).unwrap();
    assert!(m["status"]["held"].is_null() && m["status"]["last_error"].is_null(), "{m}");

    // Retired: the new key takes the old one's file.
    region.stop();
    for role in ["log", "commit"] {
        let file = |name: &str| region.data().join(format!("keys/{name}.pem"));
        std::fs::rename(file(role), file(&format!("{role}-old"))).unwrap();
        std::fs::rename(file(&format!("{role}-next")), file(role)).unwrap();
    }
    region.start();
    let last = signer.building(41).1;
    region.accept(&[last]);
    synced(&follower, &origin, size(&region));

    // History verifies from nothing: by a node that begins now, by its files, by a proof from before.
    let mut fresh = ministry();
    follow(&fresh, &region);
    fresh.start();
    synced(&fresh, &origin, size(&region));
    let root_of =
        |node: &Node, log: &std::path::Path| node.run(&["fsck", log.to_str().unwrap()]).json()["state_root"].clone();
    let mirror = Layout::new(&fresh.data()).mirror(&origin);
    assert_eq!(root_of(&region, &region.data()), root_of(&fresh, mirror.data()));
    let charters = office.args();
    let charters: Vec<&str> = charters.iter().map(String::as_str).collect();
    let new_proof = office.path("new.txt");
    assert!(region.run(&["prove", &number.to_string(), "--out", &new_proof]).ok);
    for proof in [&old_proof, &new_proof] {
        let said = office.alone(&[&["verify", proof], &charters[..]].concat());
        assert_eq!(said["state"], "official", "{said}");
    }
    // With the first charter alone the later proof says what is missing.
    let first = ["--json", "verify", &new_proof, "--charter", charters[1]];
    assert_eq!(run_in(&office.dir.path().join("none"), &first).code(), "status.charter");
    // The chain verifies offline by its pin.
    let files: Vec<&str> = charters.iter().copied().filter(|a| *a != "--charter").collect();
    let pin = region.charter.clone().unwrap();
    let verified = office.alone(&[&["charter", "verify", "--pin", &pin], &files[..]].concat());
    assert_eq!(verified["versions"].as_array().unwrap().len(), 3);
    assert_eq!(
        run_in(&office.dir.path().join("none"), &["--json", "charter", "verify", "--pin", &pin, files[0], files[2]])
            .code(),
        "charter.sequence"
    );
    // The new holder signs, the old one's key is nobody's.
    let (_, said) = office.make(Some(&region), &["--staleness-hours", "12"], &[0, 2]);
    let draft = office.path(&format!("{}.draft.json", said["version"]));
    let gone = office.path("gone.pem");
    keys::write_encrypted(gone.as_ref(), &federation_keys()[2], &PASSPHRASE.into()).unwrap();
    let refused =
        run_in(&office.dir.path().join("none"), &["--json", "charter", "sign", &draft, "--key", &gone, "--yes"]);
    assert_eq!(refused.code(), "charter.signer");
}

#[test]
fn a_node_goes_on_from_where_the_charter_cut_its_log_and_its_followers_with_it() {
    let mut office = Office::new();
    let mut region = office.region();
    let signer = region.signer("operator");
    region.accept(&[signer.building(1).1]);
    let (mut follower, origin) = (ministry(), signer.origin.clone());
    follow(&follower, &region);
    follower.start();
    let checkpoint = String::from_utf8(region.get("/log/checkpoint").body).unwrap();
    let head: Vec<&str> = checkpoint.lines().take(3).collect();
    let (at, root) = (head[1].parse::<u64>().unwrap(), head[2]);
    // More than a tile, so that full files have to give way to partial ones.
    let more: Vec<Vec<u8>> = (2..=300).map(|n| signer.building(n).1).collect();
    region.accept(&more);
    synced(&follower, &origin, size(&region));

    let (old, new) = next_key(&region, "log");
    let (cut, pair) = (format!("{origin}@{at}@{root}"), format!("{old}={new}"));
    let without =
        region.run(&["charter", "new", "--out", &office.path("bad.json"), "--cut", &cut, "--reason", "кража"]);
    assert_eq!(without.code(), "charter.cut", "a cut needs a new key");
    let reason =
        ["--cut", &cut, "--replace-key", &pair, "--because", "compromised", "--reason", "ключ журнала украден"];
    let said = office.amend(&region, &reason);
    assert!(said["says"].to_string().contains("ОБРЕЗАН"), "{said}");
    region.stop();
    region.start();
    assert_eq!(size(&region), at + 2, "the charter is adopted right after the cut");
    synced(&follower, &origin, at + 2);
    region.accept(&[signer.building(500).1]);
    synced(&follower, &origin, at + 4);
    for node in [&region, &follower] {
        assert_eq!(node.get("/api/v1/buildings/reformagkh:1").status, 200);
        assert_eq!(node.get("/api/v1/buildings/reformagkh:250").status, 404);
        assert_eq!(node.get("/api/v1/buildings/reformagkh:500").status, 200);
    }
    // A second start changes nothing; files are whole; what was there is kept.
    region.stop();
    assert!(region.data().join("private/damaged/log.1/checkpoint").exists());
    region.start();
    assert_eq!(size(&region), at + 4);
    let checked = region.run(&["fsck", region.data().to_str().unwrap()]);
    assert!(checked.ok, "{}{}", checked.out, checked.err);
    let mirror = Layout::new(&follower.data()).mirror(&origin);
    assert!(follower.run(&["fsck", mirror.data().to_str().unwrap()]).ok);
    assert!(mirror.private().join("damaged/log.1/checkpoint").exists());
}

#[test]
fn what_a_stolen_operator_key_signed_is_listed_revoked_from_there_on_and_taken_back() {
    let region = Node::moscow();
    let operator = region.signer("operator");
    region.accept(&[operator.building(1).1, operator.building(2).1]);
    // Here it was stolen.
    let since = size(&region);
    region.accept(&[operator.building(10).1, operator.building(11).1]);
    let kid = PublicKey::of(&operator.key).thumb().to_string();
    let signed = |from: u64| {
        region.run(&["key", "signed", &kid, "--since", &from.to_string()]).json()["records"].as_array().unwrap().clone()
    };
    assert_eq!((signed(0).len(), signed(since).len()), (4, 2));
    let root = region.data().join("keys/region-root.pem");
    let root = root.to_str().unwrap();
    let from = format!("suspect_from={since}");
    let revoke = ["record", "key.revoked", &format!("key={kid}"), "reason=compromised", &from, "--key", root];
    let revoked = region.run(&revoke);
    assert!(revoked.ok, "{}{}", revoked.out, revoked.err);
    let suspect = |r: &Value| r["suspect"] == true;
    assert!(signed(since).iter().all(suspect) && !signed(0)[..2].iter().any(suspect));
    let refused = region.submit(&[operator.building(12).1]);
    assert_eq!(refused[0]["outcome"], "refused", "{refused:?}");

    // A new operator takes back what the old key signed since.
    let next = region.data().join("keys/operator-2.pem");
    let next = next.to_str().unwrap();
    let public = region.run(&["key", "new", next]).json()["key"].as_str().unwrap().to_owned();
    let key = format!("key={public}");
    let authority = format!("authority={AUTHORITY}");
    let grant = [
        "record",
        "key.granted",
        &key,
        &authority,
        "scopes=*",
        "oktmo=45",
        "not_before=2020-01-01",
        "not_after=2036-01-01",
        "--key",
        root,
    ];
    let granted = region.run(&grant);
    assert!(granted.ok, "{}{}", granted.out, granted.err);
    let number = since.to_string();
    let undo = ["undo", "--signed-by", &kid, "--since", &number, "--key", next];
    let planned = region.run(&[&undo[..], &["--dry-run"]].concat()).json();
    assert_eq!(planned["undone"], 2, "{planned}");
    let undone = region.run(&undo);
    assert!(undone.ok, "{}{}", undone.out, undone.err);
    assert!(signed(since).iter().all(|r| r["superseded"] == true));
    assert!(signed(0)[..2].iter().all(|r| r["superseded"] == false));
    let coverage = region.api("buildings/reformagkh:1");
    assert_eq!(coverage["building"], "reformagkh:1");
    // The new key goes on.
    let mut signer = operator.clone();
    signer.key = keys::read(next.as_ref(), &PASSPHRASE.into()).unwrap();
    region.accept(&[signer
        .record("organisation.named", json!({ "organisation": "reformagkh:5", "name": "ООО «5»" }), Around::default())
        .1]);
}
