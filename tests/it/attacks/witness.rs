//! Against the witness, and by lying witnesses against a log.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use domovoi::tlog::cosignature::Cosigner;
use domovoi::tlog::note::{MAX_SIGNATURES, Note, NoteSignature, parse_signatures};
use domovoi::tlog::witness::Request;
use ed25519_dalek::SigningKey;

use crate::cosign::{configure, entries, keys};
use crate::node::{AUTHORITY, Node};
use crate::witness::{Log, add, cosigned, witness_of};

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < end, "not within half a minute: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn now() -> u64 {
    domovoi::node::now_ms() / 1000
}

/// A witness that answers whatever `lie` makes of the request; counts how often it was asked.
fn lying(lie: impl Fn(&Request) -> (u16, Vec<u8>) + Send + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
            let body = loop {
                let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
                    match stream.read(&mut piece) {
                        Ok(n) if n > 0 => bytes.extend_from_slice(&piece[..n]),
                        _ => break None,
                    }
                    continue;
                };
                let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
                if head.starts_with("get ") {
                    // It remembers nothing.
                    let _ = stream.write_all(b"HTTP/1.1 404 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                    break None;
                }
                let len: usize =
                    head.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
                if bytes.len() >= end + 4 + len {
                    break Some(bytes[end + 4..].to_vec());
                }
                let n = stream.read(&mut piece).unwrap();
                bytes.extend_from_slice(&piece[..n]);
            };
            let Some(body) = body else { continue };
            count.fetch_add(1, Ordering::Relaxed);
            let (status, answer) = lie(&Request::parse(&body).unwrap());
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", answer.len());
            let _ = stream.write_all(&[head.into_bytes(), answer].concat());
        }
    });
    (url, asked)
}

fn line(line: &NoteSignature) -> Vec<u8> {
    format!("{line}\n").into_bytes()
}

/// What a lying witness answers.
type Lie = Box<dyn Fn(&Cosigner, &Request) -> (u16, Vec<u8>) + Send>;

#[test]
fn forged_cosignature_lines_are_not_published_and_honest_witnesses_are_not_held_up() {
    let mut region = Node::init(Some(("77", AUTHORITY, "Мосжилинспекция")));
    let honest = Node::init(None);
    let by = keys(&honest, "honest.example");
    region.start();
    let ca = region.certificate();
    let pin = region.charter.clone().unwrap();
    honest.run(&["follow", &region.url(), "--charter-sha256", &pin, "--peer-ca", ca.to_str().unwrap()]).json();
    let mut honest = honest;
    honest.args = vec!["--set".into(), "sync.interval_seconds=1".into()];
    honest.start();
    region.stop();

    let liar = |n: u8| Cosigner::new(format!("liar.example/{n}"), SigningKey::from_bytes(&[n; 32])).unwrap();
    let mut configured = entries(&honest, &by);
    let mut asked = Vec::new();
    let mut tell = |n: u8, lie: Lie| {
        let known = liar(n).verifier().clone();
        let (url, count) = lying(move |request| lie(&liar(n), request));
        configured += &format!("[[cosigner]]\nurl = \"{url}\"\nvkey = \"{known}\"\n");
        asked.push((known, count));
    };
    // A known name under another key.
    tell(
        51,
        Box::new(|known, request| {
            let stranger = Cosigner::new(known.verifier().name(), SigningKey::from_bytes(&[99; 32])).unwrap();
            (200, line(&stranger.cosign(request.note.text(), now()).unwrap()))
        }),
    );
    // The known name and key id with a signature that is none.
    tell(
        52,
        Box::new(|known, request| {
            let mut forged = known.cosign(request.note.text(), now()).unwrap();
            forged.signature[30] ^= 1;
            (200, line(&forged))
        }),
    );
    // A good line of another head, of long ago, of a time to come.
    tell(
        53,
        Box::new(|known, request| {
            let other = request.note.text().replacen("\n", "x\n", 1);
            (200, line(&known.cosign(&other, now()).unwrap()))
        }),
    );
    tell(54, Box::new(|known, request| (200, line(&known.cosign(request.note.text(), now() - 4000).unwrap()))));
    tell(55, Box::new(|known, request| (200, line(&known.cosign(request.note.text(), now() + 4000).unwrap()))));
    // 409 without end, with a size that cannot be, without a size; too much; nothing; a good line and a false one.
    tell(56, Box::new(|_, request| (409, format!("{}\n", request.old + 1).into_bytes())));
    tell(57, Box::new(|_, _| (409, b"9223372036854775807\n".to_vec())));
    tell(58, Box::new(|_, _| (409, b"-1\n".to_vec())));
    tell(59, Box::new(|_, _| (200, vec![b'x'; 1 << 20])));
    tell(60, Box::new(|_, _| (200, Vec::new())));
    tell(
        61,
        Box::new(|known, request| {
            let good = known.cosign(request.note.text(), now()).unwrap();
            let mut bent = good.clone();
            bent.signature[9] ^= 1;
            (200, [line(&good), line(&bent)].concat())
        }),
    );
    tell(62, Box::new(|_, _| (302, Vec::new())));
    configure(&region, &configured);
    region.args = vec!["--set".into(), "cosign.interval_seconds=2".into()];
    region.start();
    until("all liars were asked", || asked.iter().all(|(_, count)| count.load(Ordering::Relaxed) >= 2));
    let note = || Note::parse(&region.get("/log/checkpoint").body).unwrap();
    until("the honest node's lines", || by.iter().all(|key| key.time_of(&note()).unwrap().is_some()));
    let names: Vec<String> = note().signatures().iter().map(|l| l.name.clone()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(!names.iter().any(|name| name.starts_with("liar")), "{names:?}");
    // Backoff: nobody who lies is asked all the time.
    let before: usize = asked.iter().map(|(_, count)| count.load(Ordering::Relaxed)).sum();
    std::thread::sleep(Duration::from_secs(3));
    let after: usize = asked.iter().map(|(_, count)| count.load(Ordering::Relaxed)).sum();
    assert!(after - before < 2 * asked.len() + 3, "{} requests in three seconds", after - before);
}

#[test]
fn an_old_size_of_zero_after_a_cosigned_one_starts_nothing_anew() {
    let mut log = Log::new("log.example", 7);
    log.grow_to(40);
    let (node, _) = witness_of(&[&log], &[]);
    assert_eq!(add(&node, &log.request(0, 30)).status, 200);
    for size in [1, 29, 30, 40] {
        let answer = add(&node, &format!("old 0\n\n{}", log.note(size)));
        assert_eq!((answer.status, &answer.body[..]), (409, &b"30\n"[..]), "size {size}");
    }
    let mut fork = Log::new("log.example", 7).fork();
    fork.grow_to(50);
    assert_eq!(add(&node, &fork.request(0, 50)).status, 409);
}

#[test]
fn a_proof_of_the_wrong_length_is_refused() {
    let mut log = Log::new("log.example", 7);
    log.grow_to(40);
    let (node, _) = witness_of(&[&log], &[]);
    assert_eq!(add(&node, &log.request(0, 13)).status, 200);
    let good = log.request(13, 40);
    let lines: Vec<&str> = good.split('\n').collect();
    let end = lines.iter().position(|l| l.is_empty()).unwrap();
    for take in 1..end {
        let short = [&lines[..take], &lines[end..]].concat().join("\n");
        add(&node, &short).problem(422, "witness.proof");
    }
    for more in [1, 63 - (end - 1)] {
        let long = [&lines[..end], &vec![lines[1]; more], &lines[end..]].concat().join("\n");
        add(&node, &long).problem(422, "witness.proof");
    }
    let longest = [&lines[..end], &vec![lines[1]; 64 - (end - 1)], &lines[end..]].concat().join("\n");
    add(&node, &longest).problem(400, "witness.request");
    assert_eq!(add(&node, &good).status, 200);
}

#[test]
fn surplus_signature_lines_are_neither_believed_nor_kept() {
    let mut log = Log::new("log.example", 7);
    log.grow_to(9);
    let (node, by) = witness_of(&[&log], &[]);
    let mut note = Note::parse(log.note(9).as_bytes()).unwrap();
    for n in 1..MAX_SIGNATURES as u8 {
        let stranger = Cosigner::new(format!("stranger.example/{n}"), SigningKey::from_bytes(&[n; 32])).unwrap();
        note.add_line(stranger.cosign(note.text(), 5).unwrap()).unwrap();
    }
    let answer = add(&node, &format!("old 0\n\n{note}"));
    assert_eq!(answer.status, 200);
    cosigned(&log.note(9), &answer.body, &by);
    // One more is no note any more.
    let extra = note.to_string().lines().last().unwrap().replace("63", "64");
    assert_eq!(add(&node, &format!("old 9\n\n{note}{extra}\n")).status, 400);
    // What the witness shows are the log's line and its own.
    let hash = domovoi::node::layout::origin_hash("log.example");
    let shown = node.get(&format!("/witness/{hash}/checkpoint")).body;
    assert_eq!(Note::parse(&shown).unwrap().signatures().len(), 2);
    // A false line under the witness's own name and key is no word of its.
    let forged = NoteSignature { name: by[0].name().into(), key_id: by[0].key_id(), signature: vec![1; 72] };
    let mut spoilt = Note::parse(log.note(9).as_bytes()).unwrap();
    spoilt.add_line(forged).unwrap();
    cosigned(&log.note(9), &add(&node, &format!("old 9\n\n{spoilt}")).body, &by);
}

#[test]
fn two_trees_of_one_size_are_refused_and_kept_as_evidence() {
    let mut log = Log::new("log.example", 7);
    log.grow_to(10);
    let mut fork = log.fork();
    log.grow_to(20);
    fork.grow_to(20);
    let (node, _) = witness_of(&[&log], &[]);
    assert_eq!(add(&node, &log.request(0, 20)).status, 200);
    add(&node, &fork.request(20, 20)).problem(422, "witness.proof");
    add(&node, &fork.request(20, 20)).problem(422, "witness.proof");
    let folder = node.data().join("witness/evidence");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&files[0]).unwrap()).unwrap();
    assert_eq!(kept["code"], "peer.fork");
    assert_eq!(kept["accepted_checkpoint"], log.note(20));
    assert_eq!(kept["served_checkpoint"], fork.note(20));
    // The witness stands by what it has cosigned.
    assert_eq!(add(&node, &log.request(20, 20)).status, 200);
}

#[test]
fn concurrent_requests_for_one_log_never_cosign_two_branches() {
    let mut trunk = Log::new("log.example", 7);
    trunk.grow_to(8);
    let mut branches = [trunk.fork(), trunk.fork().fork()];
    for branch in &mut branches {
        branch.grow_to(64);
    }
    let (node, by) = witness_of(&[&trunk], &[]);
    assert_eq!(add(&node, &trunk.request(0, 8)).status, 200);
    let granted: Mutex<Vec<(u64, usize)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for which in [0, 1, 0, 1, 0, 1] {
            let (node, branches, granted, by) = (&node, &branches, &granted, &by);
            scope.spawn(move || {
                let mut old = 8;
                for size in 9..=40 {
                    let request = branches[which].request(old, size);
                    let answer = add(node, &request);
                    match answer.status {
                        200 => {
                            cosigned(&branches[which].note(size), &answer.body, by);
                            granted.lock().unwrap().push((size, which));
                            old = size;
                        }
                        409 => {
                            let named: u64 = String::from_utf8(answer.body).unwrap().trim().parse().unwrap();
                            if named <= size {
                                old = named;
                            }
                        }
                        status => assert_eq!(status, 422),
                    }
                }
            });
        }
    });
    let granted = granted.into_inner().unwrap();
    assert!(!granted.is_empty());
    assert!(granted.iter().all(|(_, which)| *which == granted[0].1), "{granted:?}");
}

#[test]
fn killed_between_persist_and_answer_a_witness_remembers_what_it_may_have_said() {
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        println!("SKIPPED: strace is not installed");
        return;
    }
    let mut log = Log::new("log.example", 7);
    log.grow_to(60);
    let (mut node, by) = witness_of(&[&log], &[]);
    assert_eq!(add(&node, &log.request(0, 1)).status, 200);
    node.stop();
    let (mut answered, mut cut) = (1, 0);
    for kill in 1..8 {
        // The process dies as its n-th fdatasync returns: what it wrote is durable, and nobody was told.
        let set = format!("--inject=fdatasync:signal=SIGKILL:when={kill}");
        node.through =
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", &set].map(str::to_owned).to_vec();
        let mut sent = answered;
        if node.start_or_say().is_ok() {
            while sent < 50 {
                sent += 1;
                match node.try_post("/witness/add-checkpoint", log.request(sent - 1, sent).into_bytes()) {
                    Some(answer) if answer.status == 200 => answered = sent,
                    Some(answer) => assert_eq!(answer.status, 409, "{}", String::from_utf8_lossy(&answer.body)),
                    None => break,
                }
            }
        }
        node.kill();
        node.through = Vec::new();
        node.start();
        let answer = add(&node, &log.request(0, 60));
        let named: u64 = String::from_utf8(answer.body).unwrap().trim().parse().unwrap();
        assert_eq!(answer.status, 409);
        assert!((answered..=sent).contains(&named), "answered {answered}, sent {sent}, remembered {named}");
        cut += u64::from(named > answered);
        // It stands by that, and another branch has no way in.
        let mut fork = log.fork();
        fork.grow_to(61);
        assert_ne!(add(&node, &format!("old {named}\n\n{}", fork.note(61))).status, 200);
        cosigned(&log.note(named), &add(&node, &log.request(named, named)).body, &by);
        answered = named;
        node.stop();
    }
    assert!(cut > 0, "no kill fell between persist and answer: this proves nothing");
}

#[test]
fn an_old_copy_of_the_witness_file_is_noticed_by_the_witnesss_own_line() {
    let mut log = Log::new("log.example", 7);
    log.grow_to(60);
    let (mut node, _) = witness_of(&[&log], &[]);
    assert_eq!(add(&node, &log.request(0, 10)).status, 200);
    node.stop();
    let file = node.data().join("witness/heads");
    let old = std::fs::read(&file).unwrap();
    node.start();
    let answer = add(&node, &log.request(10, 50));
    assert_eq!(answer.status, 200);
    node.stop();
    // Somebody restores last week's file.
    std::fs::write(&file, old).unwrap();
    node.start();
    let mut published = Note::parse(log.note(50).as_bytes()).unwrap();
    parse_signatures(&answer.body).unwrap().into_iter().for_each(|line| published.add_line(line).unwrap());
    // Whoever shows the witness its own line finds it where it was.
    let again = add(&node, &format!("old 10\n\n{published}"));
    assert_eq!((again.status, &again.body[..]), (409, &b"50\n"[..]));
    assert_eq!(add(&node, &log.request(50, 60)).status, 200);
    // And without the file it says nothing at all under that key.
    node.stop();
    std::fs::remove_file(&file).unwrap();
    node.start();
    assert_eq!(add(&node, &log.request(0, 60)).status, 500);
}

#[test]
fn an_old_status_proof_does_not_stand_under_a_fresh_checkpoint() {
    let region = Node::moscow();
    let signer = region.signer("operator");
    region.accept(&[signer.building(1).1]);
    let prove = || String::from_utf8(region.get("/api/v1/proofs/building:reformagkh:1").body).unwrap();
    let old = prove();
    region.accept(&[signer.building(2).1]);
    let fresh = prove();
    // The checkpoint is the last part of the proof: two empty lines from the end.
    let at = |proof: &str| proof.rfind("\n\n").and_then(|end| proof[..end].rfind("\n\n")).unwrap() + 2;
    let spliced = format!("{}{}", &old[..at(&old)], &fresh[at(&fresh)..]);
    let charter = region.data().join("charter.json");
    let verify = |text: &str| {
        let path = region.dir.path().join("spliced.txt");
        std::fs::write(&path, text).unwrap();
        region.run(&["verify", path.to_str().unwrap(), "--charter", charter.to_str().unwrap()])
    };
    assert!(verify(&old).ok && verify(&fresh).ok);
    let code = verify(&spliced).code();
    assert!(["proof.inclusion", "proof.length", "status.commit"].contains(&code.as_str()), "{code}");
}
