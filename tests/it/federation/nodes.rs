//! A real ministry's node: the private check, and what it says of what nobody has.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use domovoi::node::layout::origin_hash;
use domovoi::registry::absence::AbsenceProof;
use domovoi::registry::bucket_file::{BucketFile, SIZE_CLASS};
use domovoi::registry::link_map::bucket_name;
use serde_json::{Value, json};

use super::{ORIGIN, chat, digest, follow, found, head, link};
use crate::follow::{ministry, synced, until};
use crate::node::{AUTHORITY, Node};
use crate::regions::TVER;

/// A proxy on loopback that keeps the bytes of every request.
struct Recorder {
    url: String,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// The node is the test's: it ends with it, whatever the proxy still waits for.
fn recorder(upstream: Weak<Node>) -> Recorder {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (mut request, mut byte) = (Vec::new(), [0]);
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                request.push(byte[0]);
            }
            if request.is_empty() {
                continue;
            }
            let path = String::from_utf8_lossy(&request).split(' ').nth(1).unwrap().to_owned();
            kept.lock().unwrap().push(request);
            let Some(node) = upstream.upgrade() else { return };
            let answer = node.get(&path);
            let head = format!(
                "HTTP/1.1 {} X\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                answer.status,
                answer.kind,
                answer.body.len()
            );
            let _ = stream.write_all(&[head.into_bytes(), answer.body].concat());
        }
    });
    Recorder { url, seen }
}

impl Recorder {
    /// What the command answers, and the bytes of all its requests.
    fn check(&self, node: &Node, charter: &std::path::Path, link: &str) -> (Value, Vec<u8>) {
        self.seen.lock().unwrap().clear();
        let charter = charter.to_str().unwrap();
        let ran = node.run(&["--node", &self.url, "verify", link, "--private", "--charter", charter]);
        (ran.json(), self.seen.lock().unwrap().concat())
    }
}

#[test]
fn a_link_is_checked_without_saying_which() {
    const CHATS: u64 = 340;
    let region = Node::moscow();
    let signer = region.signer("operator");
    region.accept(&(1..=CHATS + 1).map(|n| signer.building(n).1).collect::<Vec<_>>());
    let chats: Vec<_> = (1..=CHATS).map(|n| chat(&signer, n)).collect();
    region.accept(&chats.iter().map(|c| c.1.clone()).collect::<Vec<_>>());
    let mut node = ministry();
    follow(&node, &region, "moscow");
    let founded = found(&node, &[]);
    node.start();
    let size = |node: &Node| node.api("node")["freshness"]["size"].as_u64().unwrap();
    synced(&node, &signer.origin, size(&region));
    let whole = |node: &Node, count: u64| {
        until("the federation's log covers the region", || head(node, &founded).filter(|(_, c)| c.count == count))
    };
    let (_, commit) = whole(&node, CHATS);
    assert_eq!((commit.bits, commit.missing.0.len()), (1, 0), "340 links in two buckets");
    let node = Arc::new(node);
    let recorder = recorder(Arc::downgrade(&node));

    // The same bytes for every chat of a bucket, for links that nobody registered, too; other bytes for the other bucket.
    let of_bucket =
        |name: &str, from: u64| (from..).filter(|n| bucket_name(&digest(*n), 1) == name).take(4).collect::<Vec<_>>();
    let mut asked = BTreeMap::new();
    for name in ["0", "1"] {
        for n in of_bucket(name, 1).into_iter().chain(of_bucket(name, CHATS + 100)) {
            let (answer, bytes) = recorder.check(&node, &founded.charter, &link(n));
            assert!(!bytes.is_empty());
            match n <= CHATS {
                true => {
                    assert_eq!(answer["state"], "official", "{answer}");
                    assert_eq!(answer["claim"]["chat"], chats[n as usize - 1].0.to_string());
                    assert_eq!((&answer["claim"]["owner"], &answer["badge"]), (&json!(AUTHORITY), &json!(true)));
                }
                false => assert_eq!((&answer["state"], &answer["badge"]), (&json!("not_registered"), &json!(false))),
            }
            assert_eq!(asked.entry(name).or_insert_with(|| bytes.clone()), &bytes, "link {n}");
        }
    }
    assert_ne!(asked["0"], asked["1"]);

    // The node that writes this log says so of its own accord; whoever follows some regions and writes none does not.
    let plain = |node: &Node, n: u64| node.api(&format!("verify?digest={}", digest(n)))["state"].clone();
    assert_eq!((plain(&node, 9999), plain(&region, 9999)), (json!("not_registered"), json!("region_not_connected")));

    // Registered nowhere, whatever it is: one proof, for that name alone and while it is young.
    let charter = founded.charter.to_str().unwrap();
    let absent_chat = "77-0000-0000-0000";
    for what in [absent_chat, "reformagkh:404", "@nobody", &link(9999)] {
        let proved = node.run(&["verify", what, "--nowhere", "--charter", charter]).json();
        assert_eq!((&proved["state"], &proved["missing"]), (&json!("not_registered"), &json!([])), "{what}");
    }
    for what in [&chats[4].0.to_string(), "reformagkh:7", &link(3)] {
        assert_eq!(node.run(&["verify", what, "--nowhere", "--charter", charter]).code(), "union.present", "{what}");
    }
    let proof = node.get(&format!("/api/v1/verify/absence?name=chat:{absent_chat}")).body;
    let proof = AbsenceProof::decode(&proof).unwrap();
    let keys = founded.verified.federation().unwrap();
    let state = |name: &str, at: u64| proof.verify(&keys, &name.parse().unwrap(), at).map(|u| u.state);
    let time = domovoi::node::now_ms();
    assert_eq!(state(&format!("chat:{absent_chat}"), time).unwrap(), "not_registered");
    assert_eq!(state(&format!("chat:{absent_chat}"), time + 25 * 3_600_000).unwrap(), "stale");
    for other in ["reformagkh:7", "reformagkh:8"].map(|b| format!("building:{b}")) {
        assert_eq!(state(&other, time).unwrap_err().code(), "proof.map");
    }

    // Nothing stands at another spelling of a name: nobody may have that for a proof.
    for (name, code) in
        [("chat:77-0000-0000-000U", "chat.number"), ("chat:..", "chat.number"), ("reformagkh:7", "subject.unknown")]
    {
        let refused = node.get(&format!("/api/v1/verify/absence?name={name}"));
        assert_eq!(refused.json()["code"], json!(code), "{name}");
    }
    let registered = format!("chat:{}", chats[4].0).to_lowercase();
    assert_ne!(node.get(&format!("/api/v1/verify/absence?name={registered}")).status, 200);

    // A bucket is padded, says the same again, and is refused when a byte of it is changed.
    let (signed, _) = head(&node, &founded).unwrap();
    let path = format!("/api/v1/verify/bucket/{}/0", signed.size);
    let bytes = node.get(&path).body;
    assert_eq!(bytes.len() % SIZE_CLASS, 0);
    assert!(node.get(&path).body == bytes);
    let (log, now) = (founded.verified.federation().unwrap(), domovoi::node::now_ms());
    let n = of_bucket("0", 1)[0];
    let answer = |bytes: &[u8], at: u64| BucketFile::decode(bytes).and_then(|b| b.answer(&log, &digest(n), at));
    assert_eq!(answer(&bytes, now).unwrap().state, "official");
    for at in (0..bytes.len()).step_by(23) {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        assert!(answer(&bad, now).is_err(), "byte {at}: {}", String::from_utf8_lossy(&bad[at.saturating_sub(40)..=at]));
    }
    // An old answer says so: no badge, and nothing is called unregistered.
    let late = now + 25 * 3_600_000;
    let old = answer(&bytes, late).unwrap();
    assert_eq!((old.state, old.badge, old.stale), ("official", false, true));
    let absent = of_bucket("0", CHATS + 100)[0];
    let decoded = BucketFile::decode(&bytes).unwrap();
    assert_eq!(decoded.answer(&log, &digest(absent), now).unwrap().state, "not_registered");
    assert_eq!(decoded.answer(&log, &digest(absent), late).unwrap().state, "stale");
    for wrong in
        [format!("/api/v1/verify/bucket/{}/0", signed.size + 2), format!("/api/v1/verify/bucket/{}/00", signed.size)]
    {
        node.get(&wrong).problem(404, "bucket.not-found");
    }

    // An idle federation writes nothing; a change makes one commit, which continues the log.
    let mirror = format!("/mirror/{}/checkpoint", origin_hash(ORIGIN));
    let checkpoint = node.get(&mirror).body;
    std::thread::sleep(Duration::from_secs(3));
    assert!(node.get(&mirror).body == checkpoint, "nothing has changed");
    region.accept(&[chat(&signer, CHATS + 1).1]);
    let (next, after) = whole(&node, CHATS + 1);
    assert_eq!(next.size, signed.size + 2);
    assert!(after.time.get() > commit.time.get() && after.root != commit.root && after.links != commit.links);
}

#[test]
fn a_restart_goes_on_with_the_same_log_and_a_missing_region_is_named() {
    let region = Node::moscow();
    let signer = region.signer("operator");
    region.accept(&[signer.building(1).1, chat(&signer, 1).1]);
    let mut node = ministry();
    follow(&node, &region, "moscow");
    // A second region that nobody follows.
    let tver = node.dir.path().join("tver.json");
    std::fs::write(&tver, TVER.own_charter()).unwrap();
    let founded = found(&node, &[tver.to_str().unwrap()]);
    assert_eq!(node.run(&["federation", "found", "--origin", ORIGIN, "--name", "Ещё"]).code(), "federation.exists");
    node.start();
    let (before, commit) = until("a first commit", || head(&node, &founded).filter(|(_, c)| c.count == 1));
    assert_eq!(commit.missing.0.iter().map(ToString::to_string).collect::<Vec<_>>(), ["69"]);
    let charter = founded.charter.to_str().unwrap();
    let verify = |node: &Node, n: u64| node.run(&["verify", &link(n), "--private", "--charter", charter]);
    assert_eq!(verify(&node, 1).json()["state"], "official");
    let unknown = verify(&node, 2).json();
    assert_eq!((&unknown["state"], &unknown["missing"]), (&json!("region_not_connected"), &json!(["69"])));
    let plain = node.api(&format!("verify?digest={}", digest(2)));
    assert_eq!(plain["state"], "region_not_connected", "the charter's other region is missing");
    assert_eq!(node.run(&["verify", &link(1), "--private"]).code(), "cli.charter");
    let nowhere = |node: &Node, what: &str| node.run(&["verify", what, "--nowhere", "--charter", charter]);
    assert_eq!(nowhere(&node, "reformagkh:404").json()["state"], "region_not_connected");
    assert_eq!(nowhere(&node, "reformagkh:1").code(), "union.present");
    let alone = region.data().join("charter.json");
    let refused = node.run(&["verify", &link(1), "--private", "--charter", alone.to_str().unwrap()]);
    assert_eq!(refused.code(), "cli.federation");

    // Killed, not stopped: what was signed is what is served again, and the maps are computed again.
    node.kill();
    node.start();
    let again = until("the maps are there again", || head(&node, &founded));
    assert_eq!((&again.0, &again.1), (&before, &commit));
    assert_eq!(verify(&node, 1).json()["state"], "official");

    // Without its fence it does not sign again.
    node.kill();
    std::fs::remove_file(node.data().join("federation/private/fence")).unwrap();
    assert!(node.start_or_say().is_err());
    assert!(node.log().contains("fence.lost"), "{}", node.log());
}
