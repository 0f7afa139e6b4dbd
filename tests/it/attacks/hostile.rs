//! A server that answers with any bytes at any pace, and a follower in front of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use domovoi::node::clock::Clock;
use domovoi::node::layout::Layout;
use domovoi::sync::client::Network;
use domovoi::sync::follower::{Follower, Source};
use ed25519_dalek::SigningKey;
use rustls_pki_types::pem::PemObject;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::forge::Forge;
use crate::node::{AUTHORITY, Around, Node, Signer, runtime};

/// What goes over the wire, in order.
#[derive(Clone)]
pub enum Step {
    Send(Vec<u8>),
    /// The same bytes again and again, until the client has enough.
    Endless(Vec<u8>),
    /// One byte a pause.
    Drip(Vec<u8>, Duration),
    Stall,
}

/// What is sent for one request; the connection is closed after it.
pub type Script = Vec<Step>;

/// An answer as text: status line and headers without the last empty line, and a body.
pub fn raw(head: &str, body: &[u8]) -> Script {
    vec![Step::Send([head.as_bytes(), b"\r\n\r\n", body].concat())]
}

/// An honest answer: 200 with what there is, or 404.
pub fn honest(body: Option<Vec<u8>>) -> Script {
    match body {
        Some(body) => raw(&format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}", body.len()), &body),
        None => raw("HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0", b""),
    }
}

/// A running server.
pub struct Hostile {
    pub url: String,
    pub port: u16,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Hostile {
    /// Plain HTTP on 127.0.0.1; `answer` gets the path with its slash.
    pub fn start(answer: impl Fn(&str) -> Script + Send + Sync + 'static) -> Hostile {
        let (server, address) = Hostile::listen("127.0.0.1:0", None, answer);
        Hostile { url: format!("http://{address}"), ..server }
    }

    /// The same over TLS, where `tls` is given, at any address.
    pub fn listen(
        at: &str,
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&str) -> Script + Send + Sync + 'static,
    ) -> (Hostile, std::net::SocketAddr) {
        let listener = runtime().block_on(TcpListener::bind(at)).unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let (seen, asked, answer) = (connections.clone(), requests.clone(), Arc::new(answer));
        runtime().spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                seen.fetch_add(1, Ordering::SeqCst);
                let (asked, answer, tls) = (asked.clone(), answer.clone(), tls.clone());
                tokio::spawn(async move {
                    // A client that hangs up is what many of these answers are for.
                    let _ = match tls {
                        None => talk(stream, &asked, &*answer).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => talk(stream, &asked, &*answer).await,
                            Err(e) => Err(e),
                        },
                    };
                });
            }
        });
        (Hostile { url: String::new(), port: address.port(), connections, requests }, address)
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    asked: &AtomicUsize,
    answer: &(dyn Fn(&str) -> Script + Send + Sync),
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await? {
            0 => return Ok(()),
            n => request.extend_from_slice(&piece[..n]),
        }
    }
    asked.fetch_add(1, Ordering::SeqCst);
    let request = String::from_utf8_lossy(&request);
    let path = request.split(' ').nth(1).unwrap_or_default();
    for step in answer(path) {
        match step {
            Step::Send(bytes) => stream.write_all(&bytes).await?,
            Step::Endless(bytes) => loop {
                stream.write_all(&bytes).await?;
            },
            Step::Drip(bytes, pause) => {
                for byte in bytes {
                    stream.write_all(&[byte]).await?;
                    stream.flush().await?;
                    tokio::time::sleep(pause).await;
                }
            }
            Step::Stall => std::future::pending().await,
        }
        stream.flush().await?;
    }
    stream.shutdown().await
}

/// A certificate for `name` that is its own authority: its PEM, and a server that shows it.
pub fn tls_for(name: &str) -> (Vec<u8>, TlsAcceptor) {
    runtime();
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (made.cert.pem().into_bytes(), TlsAcceptor::from(Arc::new(config)))
}

/// A follower of a forged log, with a data directory of its own.
pub struct Following {
    _dir: TempDir,
    pub follower: Follower,
}

impl Following {
    /// Follows `forge` at `url`; what it has of it lies in a new directory.
    pub fn of(forge: &Forge, url: &str) -> Following {
        let dir = tempfile::tempdir().unwrap();
        let follower = open(&dir, forge, url);
        Following { _dir: dir, follower }
    }

    /// One round: the code of the error, or nothing.
    pub fn round(&self) -> Result<(), String> {
        runtime().block_on(self.follower.round()).map_err(|e| e.code().to_owned())
    }

    /// Entries that are accepted and visible.
    pub fn size(&self) -> u64 {
        self.follower.followed.view.head().map_or(0, |h| h.index + 1)
    }

    /// Why it is held, if it is.
    pub fn held(&self) -> Option<String> {
        self.follower.followed.status.read().held.as_ref().map(|h| h.code.clone())
    }
}

fn open(dir: &TempDir, forge: &Forge, url: &str) -> Follower {
    let source =
        Source { name: "peer".into(), url: url.into(), charter_sha256: None, ca: None, network: Network::default() };
    let layout = Layout::new(dir.path());
    Follower::begin(&layout, &forge.origin, &source, &forge.charter, &[]).unwrap();
    Follower::open(&layout, &forge.origin, &source, Clock::system(), &mut |_, _| {}).unwrap()
}

/// A connection to a node.
pub type Tls = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;

/// A connection to a node; `window` is the receive buffer, bytes.
pub async fn connect(node: &Node, window: Option<u32>) -> Tls {
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(node.certificate()).unwrap();
    roots.add(rustls_pki_types::CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let socket = TcpSocket::new_v4().unwrap();
    if let Some(bytes) = window {
        socket.set_recv_buffer_size(bytes).unwrap();
    }
    let stream = socket.connect(([127, 0, 0, 1], node.port).into()).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// A grant of a key to the node's own authority, as its root would make it.
pub fn grant(root: &Signer) -> (domovoi::registry::ids::RecordId, Vec<u8>) {
    let now = domovoi::node::now_ms();
    let key = BASE64URL_NOPAD.encode(SigningKey::from_bytes(&[77; 32]).verifying_key().as_bytes());
    let fields = serde_json::json!({ "key": key, "authority": AUTHORITY, "scopes": ["*"], "oktmo": ["45"],
        "not_before": now, "not_after": now + 3_600_000 });
    root.record("key.granted", fields, Around::default())
}
