//! Who takes more than his share, or what is another's.

use std::sync::Arc;
use std::time::Duration;

use domovoi::node::sequencer::Outcome;
use domovoi::registry::envelope::{Envelope, MAX_ENTRY, TYP_RECORD};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::hostile::{Tls, connect, grant};
use super::scheduling::{ministry, open, size, source, start};
use crate::follow::until;
use crate::forge::{Forge, Lie};
use crate::node::{AUTHORITY, Node, PASSPHRASE, runtime};

#[test]
fn a_peer_changes_nothing_of_what_is_kept_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let node = ministry(dir.path());
    let mut honest_forge = Forge::new(11);
    let peers = crate::forge::Peers::start();
    peers.set("honest", honest_forge.served());
    // A region whose charter names the honest one's log, with keys of its own; and one that pins the same charter as the
    // honest one and serves its log, cut short.
    let thief = Forge::under(12, &honest_forge.origin);
    assert_eq!(thief.origin, honest_forge.origin);
    peers.set("thief", thief.served());
    let mut stale = honest_forge.served();
    stale.changed = Some(crate::forge::Change::Bundle);
    peers.set("double", stale);
    let honest_source = source("honest", format!("{}/honest", peers.url), &honest_forge, Default::default());
    let run = start(&node, vec![honest_source.clone()], Duration::from_millis(300));
    until("the honest one is followed", || (size(&node, &honest_forge) == honest_forge.size()).then_some(()));
    run.end();
    let mirror = node.layout.mirror(&honest_forge.origin);
    let kept = |names: &[&str]| -> Vec<Vec<u8>> {
        names
            .iter()
            .map(|name| std::fs::read(mirror.data().join(name)).unwrap_or_else(|e| panic!("{name}: {e}")))
            .collect()
    };
    let names = ["charter.jws", "source", "origin"].map(|n| n.to_owned());
    let names: Vec<&str> = names.iter().map(String::as_str).filter(|n| mirror.data().join(n).exists()).collect();
    assert!(
        names.len() >= 2,
        "{:?}",
        std::fs::read_dir(mirror.data()).unwrap().flatten().map(|e| e.file_name()).collect::<Vec<_>>()
    );
    let before = kept(&names);

    let sources = vec![
        source("thief", format!("{}/thief", peers.url), &thief, Default::default()),
        source("double", format!("{}/double", peers.url), &honest_forge, Default::default()),
        honest_source,
    ];
    // Each says why; and the honest one goes on.
    for source in &sources[..2] {
        let configured: Vec<String> = sources.iter().map(|s| s.name.clone()).collect();
        let refused = runtime().block_on(domovoi::sync::schedule::open(&node, source, &configured)).err().unwrap();
        assert_eq!(refused.code(), "peer.origin_taken", "{}", source.name);
    }
    let run = start(&node, sources, Duration::from_millis(300));
    for n in 0..3 {
        let signer = honest_forge.operator.clone();
        honest_forge.batch(vec![honest_forge.building(&signer, 100 + n).1], Lie::None);
        peers.set("honest", honest_forge.served());
        until("the honest one goes on", || (size(&node, &honest_forge) == honest_forge.size()).then_some(()));
    }
    let followed = node.followed();
    assert_eq!(followed.len(), 1);
    assert!(followed[0].status.read().held.is_none());
    assert!(!mirror.evidence().exists(), "evidence against the honest one");
    assert_eq!(kept(&names), before);
    run.end();
}

#[test]
fn a_node_out_of_descriptors_goes_on_when_they_are_free_again() {
    let mut node = Node::init(Some(("77", AUTHORITY, "Мосжилинспекция")));
    node.through = ["sh", "-c", "ulimit -n 96; exec \"$0\" \"$@\""].map(str::to_owned).to_vec();
    node.start();
    let address = format!("127.0.0.1:{}", node.port);
    // More connections than it has descriptors for; the kernel takes the rest into its queue.
    let held: Vec<std::net::TcpStream> = (0..150).filter_map(|_| std::net::TcpStream::connect(&address).ok()).collect();
    until("it runs out", || node.log().contains("cannot accept connections").then_some(()));
    assert!(node.ended().is_none());
    drop(held);
    until("it answers again", || node.try_get("/readyz").filter(|a| a.status == 200));
    // It can write, too: nothing of it was given up meanwhile.
    let signer = node.signer("operator");
    node.accept(&[signer.organisation(1).1]);
    assert!(node.ended().is_none() && !node.log().contains("panick"), "{}", node.log());
}

#[test]
fn changes_come_as_events_and_a_reader_that_comes_back_misses_none() {
    let node = Node::moscow();
    let signer = node.signer("operator");
    node.accept(&[signer.organisation(1).1]);
    let request =
        |extra: &str| format!("GET /api/v1/changes HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n{extra}\r\n");
    let read_until = |stream: &mut Tls, what: &str| {
        runtime().block_on(async {
            let mut text = String::new();
            let read = async {
                while !text.contains(what) {
                    let mut piece = [0; 4096];
                    let n = stream.read(&mut piece).await.unwrap();
                    assert!(n > 0, "it ended: {text}");
                    text.push_str(&String::from_utf8_lossy(&piece[..n]));
                }
            };
            tokio::time::timeout(Duration::from_secs(20), read).await.unwrap_or_else(|_| panic!("no {what}"));
            text
        })
    };
    let open = |extra: &str| {
        runtime().block_on(async {
            let mut stream = connect(&node, None).await;
            stream.write_all(request(extra).as_bytes()).await.unwrap();
            stream
        })
    };
    let mut stream = open("");
    let text = read_until(&mut stream, "reformagkh:1\"");
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("content-type: text/event-stream"), "{text}");
    assert!(text.contains("event: record") && text.contains("retry: 5000"), "{text}");
    // What is recorded while it waits comes by itself.
    let index = node.accept(&[signer.organisation(2).1])[0];
    let text = read_until(&mut stream, "reformagkh:2\"");
    assert!(text.contains(&format!("id: {}\n", index + 1)), "{text}");
    drop(stream);
    // Who comes back gets what he missed, and not what he had.
    node.accept(&[signer.organisation(3).1]);
    let mut stream = open(&format!("last-event-id: {}\r\n", index + 1));
    let text = read_until(&mut stream, "reformagkh:3\"");
    assert!(!text.contains("reformagkh:2\"") && !text.contains("reformagkh:1\""), "{text}");
    drop(stream);
    let refused = read_until(&mut open("last-event-id: x\r\n"), "query.value");
    assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
    // Without the header it is the page it always was.
    assert!(node.api("changes")["items"].is_array());
}

#[test]
fn a_stalled_event_stream_reader_is_cut_and_harms_nobody() {
    let mut node = Node::init(Some(("77", AUTHORITY, "Мосжилинспекция")));
    node.args = ["limits.event_streams=4", "limits.request_timeout_seconds=2"]
        .iter()
        .flat_map(|s| ["--set".to_owned(), (*s).to_owned()])
        .collect();
    node.start();
    let signer = node.signer("operator");
    // More than all the buffers between the two hold.
    for part in 0..6 {
        let records: Vec<Vec<u8>> = (1..=2000).map(|n| signer.building(part * 2000 + n).1).collect();
        node.accept(&records);
    }
    let request = b"GET /api/v1/changes HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n";
    let stalled = runtime().block_on(async {
        let mut stream = connect(&node, Some(4096)).await;
        stream.write_all(request).await.unwrap();
        let mut first = [0; 100];
        stream.read_exact(&mut first).await.unwrap();
        stream
    });
    // A quarter of four is what one address gets: no second one meanwhile.
    let second = || raw_stream(&node, request);
    assert!(second().starts_with("HTTP/1.1 503"), "two streams at a time for one address");
    assert!(second().contains("http.streams"));
    // Others are answered and served while it stalls.
    node.accept(&[signer.organisation(1).1]);
    assert_eq!(node.api("changes?after=0&limit=5")["items"].as_array().unwrap().len(), 2);
    // It never reads another byte, and loses its place all the same.
    until("the stalled one is cut", || second().starts_with("HTTP/1.1 200").then_some(()));
    drop(stalled);
}

/// The beginning of an answer that may have no end.
fn raw_stream(node: &Node, request: &[u8]) -> String {
    runtime().block_on(async {
        let mut stream = connect(node, None).await;
        stream.write_all(request).await.unwrap();
        let mut head = vec![0; 8192];
        let n = stream.read(&mut head).await.unwrap();
        let more = tokio::time::timeout(Duration::from_millis(200), stream.read(&mut head[n..])).await;
        let n = n + more.map_or(0, |read| read.unwrap_or(0));
        String::from_utf8_lossy(&head[..n]).into_owned()
    })
}

#[test]
fn an_organisation_that_floods_the_log_leaves_room_for_the_others() {
    let mut made = Node::moscow();
    let (flooding, quiet) = (made.signer("operator"), made.signer("region-root"));
    made.stop();
    // The node itself, with a queue of 64: eight places for a key.
    let passphrase = PASSPHRASE.into();
    let node = Arc::new(open(&made.data(), Some(&passphrase), 64));
    let submit = |records: Vec<Vec<u8>>, dry_run| {
        let node = node.clone();
        async move { node.submit(records, dry_run).await }
    };
    // Each takes the writer longer than the next takes to come.
    let flood: Vec<Vec<u8>> = (1..=400).map(|n| flooding.organisation(n).1).collect();
    let waiting: Vec<_> = (0..40).map(|_| runtime().spawn(submit(flood.clone(), true))).collect();
    let accepted =
        |outcome: domovoi::error::Result<Vec<Outcome>>| matches!(outcome.unwrap()[0], Outcome::Accepted { .. });
    assert!(accepted(runtime().block_on(submit(vec![grant(&quiet).1], false))), "another key is kept out");
    let told: Vec<_> = waiting.into_iter().map(|task| runtime().block_on(task).unwrap()).collect();
    let held_back = told.iter().filter(|outcome| outcome.as_ref().is_err_and(|e| e.code() == "submit.share")).count();
    let answered = told.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(answered + held_back, 40, "{told:?}");
    assert!(answered >= 8 && held_back >= 8, "{answered} answered, {held_back} held back");
    // When it is over, nothing is held against the key.
    assert!(accepted(runtime().block_on(submit(vec![flooding.organisation(1).1], false))));

    // Whoever only names another's key uses up half of its share at most: its owner is not kept out.
    let forged: Vec<Vec<u8>> = flood
        .iter()
        .map(|record| {
            let mut envelope = Envelope::parse(record, TYP_RECORD, MAX_ENTRY).unwrap();
            envelope.signatures[0].1[0] ^= 1;
            envelope.to_bytes()
        })
        .collect();
    let waiting: Vec<_> = (0..40).map(|_| runtime().spawn(submit(forged.clone(), true))).collect();
    assert!(accepted(runtime().block_on(submit(vec![flooding.organisation(2).1], false))), "its owner is kept out");
    let told: Vec<_> = waiting.into_iter().map(|task| runtime().block_on(task).unwrap()).collect();
    assert!(told.iter().any(|outcome| outcome.as_ref().is_err_and(|e| e.code() == "submit.share")));
    node.close();
}

#[test]
fn one_address_leaves_the_others_their_requests() {
    let mut node = Node::init(Some(("77", AUTHORITY, "Мосжилинспекция")));
    node.args = ["--set", "limits.requests=4"].map(str::to_owned).to_vec();
    node.start();
    let signer = node.signer("operator");
    let records: Vec<Vec<u8>> = (1..=300).map(|n| signer.organisation(n).1).collect();
    let body = records.join(&b'\n');
    let pem = std::fs::read(node.certificate()).unwrap();
    let from = |last: u8| {
        let trusted = reqwest::Certificate::from_pem(&pem).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([trusted]).no_proxy();
        client.local_address(Some([127, 0, 0, last].into())).build().unwrap()
    };
    let (greedy, other) = (from(8), from(9));
    let shed = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                for _ in 0..10 {
                    let request = greedy.post(format!("{}/api/v1/submit?dry_run=1", node.url())).body(body.clone());
                    let status = runtime().block_on(request.send()).unwrap().status();
                    shed.fetch_add(usize::from(status == 503), std::sync::atomic::Ordering::SeqCst);
                }
            });
        }
        for _ in 0..30 {
            let answer = runtime().block_on(other.get(format!("{}/api/v1/node", node.url())).send()).unwrap();
            assert_eq!(answer.status(), 200, "another address is kept out");
        }
    });
    assert!(shed.load(std::sync::atomic::Ordering::SeqCst) > 0, "the greedy one was never told to wait");
}
