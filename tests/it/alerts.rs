//! Alerts: a node tells a real receiver over TLS that a log is held, stale, and fine again; signed, and until it is taken.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use domovoi::federation::charter::Charter;
use domovoi::node::layout::Layout;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::follow::{member, ministry, synced, until};
use super::forge::{Change, Forge, Lie, Peers};
use super::node::runtime;

/// HMAC-SHA256 as RFC 2104 writes it, once more and apart from the node's.
fn signed(secret: &[u8], body: &[u8]) -> String {
    assert!(secret.len() <= 64);
    let key: Vec<u8> = secret.iter().copied().chain(std::iter::repeat(0)).take(64).collect();
    let pad = |with: u8, rest: &[u8]| {
        let mut all: Vec<u8> = key.iter().map(|b| b ^ with).collect();
        all.extend_from_slice(rest);
        Sha256::digest(&all).to_vec()
    };
    format!("sha256={}", data_encoding::HEXLOWER.encode(&pad(0x5c, &pad(0x36, body))))
}

/// Header `domovoi-signature` and body of a request.
type Message = (String, Vec<u8>);

/// Takes messages over TLS and answers with a status.
struct Receiver {
    url: String,
    ca: PathBuf,
    status: Arc<AtomicU16>,
    /// Each request, those that were not taken too.
    got: Arc<Mutex<Vec<Message>>>,
}

impl Receiver {
    fn start(folder: &std::path::Path) -> Receiver {
        runtime();
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let ca = folder.join("receiver.pem");
        std::fs::write(&ca, made.cert.pem()).unwrap();
        let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = runtime().block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("https://{}/hook?room=7", listener.local_addr().unwrap());
        let (status, got) = (Arc::new(AtomicU16::new(200)), Arc::<Mutex<Vec<_>>>::default());
        let (answer, kept) = (status.clone(), got.clone());
        runtime().spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, answer, kept) = (acceptor.clone(), answer.clone(), kept.clone());
                tokio::spawn(async move {
                    let mut tls = acceptor.accept(socket).await.ok()?;
                    let request = request(&mut tls).await?;
                    kept.lock().unwrap().push(request);
                    let status = answer.load(Ordering::SeqCst);
                    let text = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                    tls.write_all(text.as_bytes()).await.ok()?;
                    tls.shutdown().await.ok()
                });
            }
        });
        Receiver { url, ca, status, got }
    }

    fn events(&self) -> Vec<Value> {
        let got = self.got.lock().unwrap();
        got.iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
    }

    /// Waits for a message of this event about the log.
    fn told(&self, event: &str, log: &str) -> Value {
        until(&format!("«{event}» is told"), || {
            self.events().into_iter().rfind(|e| e["event"] == event && e["log"] == log)
        })
    }
}

async fn request(tls: &mut (impl AsyncReadExt + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let n = tls.read(&mut piece).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&piece[..n]);
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
        assert!(head.starts_with("POST /hook?room=7 HTTP/1.1"), "{head}");
        let header = |name: &str| {
            let line = head.lines().find(|l| l.to_ascii_lowercase().starts_with(&format!("{name}: ")))?;
            Some(line.split_once(": ")?.1.to_owned())
        };
        let length: usize = header("content-length")?.parse().ok()?;
        if bytes.len() >= end + 4 + length {
            return Some((header("domovoi-signature").unwrap_or_default(), bytes[end + 4..].to_vec()));
        }
    }
}

#[test]
fn what_becomes_of_a_log_is_told_to_a_receiver_over_tls_signed_and_until_it_is_taken() {
    let peers = Peers::start();
    let mut forge = Forge::new(1);
    let signer = forge.operator.clone();
    forge.batch((1..=300).map(|n| forge.building(&signer, n).1).collect(), Lie::None);
    peers.set("region", forge.served());
    let mut node = ministry();
    let receiver = Receiver::start(node.dir.path());
    let secret = node.dir.path().join("secret");
    std::fs::write(&secret, "шестнадцать байт\n").unwrap();
    let mut settings = std::fs::OpenOptions::new().append(true).open(node.data().join("domovoi.toml")).unwrap();
    writeln!(settings, "\n[alerts]\nwebhook = {:?}\nsecret_file = {secret:?}\nca = {:?}", receiver.url, receiver.ca)
        .unwrap();
    let pin = Charter::open(&forge.charter).unwrap().sha256().to_string();
    node.run(&["follow", &format!("{}/region", peers.url), "--name", "region", "--charter-sha256", &pin]).json();
    node.start();
    synced(&node, &forge.origin, forge.size());
    assert!(receiver.events().is_empty(), "what is fine from the beginning is no news");

    // Not taken at first: it comes again, and is the same news.
    receiver.status.store(503, Ordering::SeqCst);
    let mut bad = forge.clone();
    bad.batch(vec![forge.building(&signer, 1000).1], Lie::None);
    let mut served = bad.served();
    served.changed = Some(Change::Tile);
    peers.set("region", served);
    until("it is told again", || (receiver.events().len() >= 2).then_some(()));
    let told = receiver.events().len();
    receiver.status.store(200, Ordering::SeqCst);
    let held = receiver.told("held", &forge.origin);
    assert_eq!(
        (&held["code"], &held["name"], &held["size"]),
        (&json!("peer.tile"), &json!("region"), &json!(forge.size()))
    );
    let evidence = held["evidence"].as_str().unwrap().replace(&forge.origin, &forge.origin.replace('/', "%2F"));
    assert_eq!(node.get(&evidence).status, 200, "{evidence}");
    until("it is taken", || (receiver.events().len() > told).then_some(()));

    peers.set("region", bad.served());
    receiver.told("fine", &forge.origin);
    // Stale: its own node is silent, and has been for longer than the policy allows.
    node.stop();
    let status = Layout::new(&node.data()).mirror(&forge.origin).data().join("status.json");
    let mut saved: Value = serde_json::from_slice(&std::fs::read(&status).unwrap()).unwrap();
    saved["last_success"] = json!(domovoi::node::now_ms() - 25 * 3_600_000);
    std::fs::write(&status, saved.to_string()).unwrap();
    peers.remove("region");
    node.start();
    receiver.told("stale", &forge.origin);
    assert_eq!(member(&node, &forge.origin).unwrap()["standing"], "stale");

    for (signature, body) in receiver.got.lock().unwrap().iter() {
        assert_eq!(*signature, signed("шестнадцать байт".as_bytes(), body));
        let text = String::from_utf8(body.clone()).unwrap();
        assert!(!text.contains("шестнадцать") && !text.contains(&node.data().display().to_string()), "{text}");
    }
    let log = node.log();
    assert!(!log.contains("room=7") && !log.contains("шестнадцать"), "an address may hold a secret of its own");
}
