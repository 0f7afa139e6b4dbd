//! The frame around the resources, over real sockets and real TLS.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use domovoi::error::Error;
use domovoi::http::static_log::{self, LogFiles, Which};
use domovoi::http::{Live, Options, Server, openapi};
use domovoi::node::config::Config;
use domovoi::tlog::tile::LogPath;
use reqwest::{Certificate, Client, StatusCode, Version};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

struct Running {
    dir: TempDir,
    live: Arc<Live>,
    url: String,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<domovoi::error::Result<()>>,
}

fn resources() -> Router {
    Router::new()
        .route("/len", post(async |body: Bytes| body.len().to_string()))
        .route("/large", post(async |body: Bytes| body.len().to_string()))
        .route(
            "/slow",
            get(async || {
                tokio::time::sleep(Duration::from_millis(800)).await;
                "done"
            }),
        )
        .route("/hang", get(async || tokio::time::sleep(Duration::from_secs(60)).await))
        .route("/panic", get(async || -> &'static str { panic!("on purpose") }))
        .route("/refuse", get(async || Err::<(), _>(Error::refuse("rule.owner", "chat 7: not yours", "ask the owner"))))
        .merge(openapi::finish(openapi::api()).unwrap())
        .merge(static_log::router(Arc::new(OneTile)))
}

/// Starts a server; its configuration is in `DIR/domovoi.toml` and read again from there on reload.
async fn start_in(dir: TempDir, text: &str) -> Running {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = dir.path().join("domovoi.toml");
    std::fs::write(&file, format!("http.listen = [\"127.0.0.1:0\"]\n{text}")).unwrap();
    let load = move || Config::load(Some(&file), &[], &[]);
    let live = Live::open(load().unwrap(), Box::new(load), None).unwrap();
    let options = Options { ready: Arc::new(|| Err("no log yet".to_owned())), large_bodies: &["/large"] };
    let server = Server::bind(resources(), live.clone(), options).await.unwrap();
    let (url, address) = (server.local_url(), server.addresses()[0]);
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    Running { dir, live, url, address, stop, ended }
}

async fn start(text: &str) -> Running {
    start_in(tempfile::tempdir().unwrap(), text).await
}

impl Running {
    fn trust(&self, pem: &Path) -> reqwest::ClientBuilder {
        let certificate = Certificate::from_pem(&std::fs::read(pem).unwrap()).unwrap();
        Client::builder().tls_certs_only([certificate]).tls_info(true).no_proxy()
    }

    /// Trusts the development certificate.
    fn client(&self) -> reqwest::ClientBuilder {
        self.trust(&self.dir.path().join("tls/dev-cert.pem"))
    }

    fn both_versions(&self) -> [(Version, Client); 2] {
        let http1 = self.client().http1_only().build().unwrap();
        [(Version::HTTP_11, http1), (Version::HTTP_2, self.client().build().unwrap())]
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        timeout(Duration::from_secs(30), self.ended).await.unwrap().unwrap().unwrap();
    }
}

/// Checks that the answer is a complete problem document, and returns it.
async fn problem(response: reqwest::Response, status: u16, code: &str) -> Value {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert!(response.headers().contains_key("x-request-id"));
    let document: Value = response.json().await.unwrap();
    assert_eq!(document["code"], code);
    assert_eq!(document["type"], format!("urn:domovoi:error:{code}"));
    assert_eq!(document["status"], status);
    assert!(document["title"].is_string() && document["detail"].is_string());
    document
}

#[tokio::test]
async fn tls_serves_http1_and_http2_by_name_and_by_address() {
    let server = start("").await;
    for (version, client) in server.both_versions() {
        let response = client.post(server.at("/len")).body("four").send().await.unwrap();
        assert_eq!((response.version(), response.status()), (version, StatusCode::OK));
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(response.text().await.unwrap(), "4");
        let by_name = format!("https://localhost:{}/healthz", server.address.port());
        assert_eq!(client.get(by_name).send().await.unwrap().status(), 200);
    }
    // Another start in the same directory keeps the certificate that followers have pinned.
    let pinned = std::fs::read(server.dir.path().join("tls/dev-cert.pem")).unwrap();
    server.live.reload().unwrap();
    assert_eq!(std::fs::read(server.dir.path().join("tls/dev-cert.pem")).unwrap(), pinned);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let key = std::fs::metadata(server.dir.path().join("tls/dev-key.pem")).unwrap();
        assert_eq!(key.permissions().mode() & 0o077, 0);
    }
    server.end().await;
}

#[tokio::test]
async fn an_oversized_body_is_413_announced_or_not_and_submissions_may_be_larger() {
    let server = start("[limits]\nbody_bytes = 1024\nsubmit_body_bytes = 65536\n").await;
    for (_, client) in server.both_versions() {
        let send = |path, body: reqwest::Body| client.post(server.at(path)).body(body).send();
        problem(send("/len", vec![0; 1025].into()).await.unwrap(), 413, "http.body-too-large").await;
        problem(send("/len", vec![0; 300_000].into()).await.unwrap(), 413, "http.body-too-large").await;
        let chunks = (0..20).map(|_| Ok::<_, std::io::Error>(vec![0_u8; 100]));
        let stream = reqwest::Body::wrap_stream(Chunks(chunks.collect()));
        problem(send("/len", stream).await.unwrap(), 413, "http.body-too-large").await;
        assert_eq!(send("/len", vec![0; 1024].into()).await.unwrap().text().await.unwrap(), "1024");
        assert_eq!(send("/large", vec![0; 65536].into()).await.unwrap().text().await.unwrap(), "65536");
        problem(send("/large", vec![0; 65537].into()).await.unwrap(), 413, "http.body-too-large").await;
    }
    server.end().await;
}

/// A body without a known length.
struct Chunks(std::collections::VecDeque<std::io::Result<Vec<u8>>>);

impl futures_core::Stream for Chunks {
    type Item = std::io::Result<Vec<u8>>;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(self.0.pop_front())
    }
}

#[tokio::test]
async fn oversized_or_too_many_headers_are_431() {
    let server = start("[limits]\nheader_bytes = 4096\nheader_count = 20\n").await;
    for (_, client) in server.both_versions() {
        let long = client.get(server.at("/healthz")).header("x-long", "a".repeat(5000));
        problem(long.send().await.unwrap(), 431, "http.headers").await;
        let many = (0..25).fold(client.get(server.at("/healthz")), |get, n| get.header(format!("x-{n}"), "a"));
        problem(many.send().await.unwrap(), 431, "http.headers").await;
        // Far over the limit the transport refuses by itself, before a request exists.
        let huge = client.get(server.at("/healthz")).header("x-long", "a".repeat(12_000)).send().await;
        assert!(huge.is_err() || huge.unwrap().status() == 431);
        assert_eq!(client.get(server.at("/healthz")).send().await.unwrap().status(), 200);
    }
    server.end().await;
}

#[tokio::test]
async fn who_sends_headers_or_a_handshake_slowly_is_cut() {
    let plain = start("http.plain_http = true\nlimits.header_timeout_seconds = 1\n").await;
    let tls = start("limits.header_timeout_seconds = 1\n").await;
    for (address, sent) in
        [(plain.address, "GET / HTTP/1.1\r\nhost: x\r\nx-a: "), (plain.address, ""), (tls.address, "")]
    {
        let started = Instant::now();
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_secs(10), client.read_to_end(&mut answer)).await.expect("not cut");
        assert!(started.elapsed() >= Duration::from_millis(900), "cut too early");
    }
    plain.end().await;
    tls.end().await;
}

#[tokio::test]
async fn who_sends_a_body_slowly_is_told_so() {
    let server = start("http.plain_http = true\nlimits.request_timeout_seconds = 1\n").await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    client.write_all(b"POST /len HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc").await.unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(10), client.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("http.body-timeout"), "{answer}");
    server.end().await;
}

#[tokio::test]
async fn a_connection_without_a_byte_is_closed_and_its_slot_is_free_again() {
    let text = "http.plain_http = true\n[limits]\nconnections = 1\nheader_timeout_seconds = 60\n\
                request_timeout_seconds = 1\nidle_timeout_seconds = 2\n";
    let server = start(text).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    // The only slot is taken: this one waits in the kernel's queue until the silent one is closed.
    let client = Client::builder().no_proxy().build().unwrap();
    let waiting = timeout(Duration::from_secs(20), client.get(server.at("/healthz")).send()).await;
    assert_eq!(waiting.unwrap().unwrap().status(), 200);
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0);
    server.end().await;
}

#[tokio::test]
async fn a_handler_that_hangs_or_panics_or_refuses_gives_a_problem() {
    let server = start("[limits]\nrequest_timeout_seconds = 1\n").await;
    let client = server.client().build().unwrap();
    let hang = client.get(server.at("/hang")).send().await.unwrap();
    assert!(hang.headers().contains_key("retry-after"));
    problem(hang, 503, "http.timeout").await;
    problem(client.get(server.at("/panic")).send().await.unwrap(), 500, "http.panic").await;
    let refused = problem(client.get(server.at("/refuse")).send().await.unwrap(), 409, "rule.owner").await;
    assert_eq!((&refused["detail"], &refused["remedy"]), (&"chat 7: not yours".into(), &"ask the owner".into()));
    server.end().await;
}

#[tokio::test]
async fn overload_is_shed_with_retry_after_and_health_still_answers() {
    let server = start("[limits]\nrequests = 1\n").await;
    let client = server.client().build().unwrap();
    let slow = tokio::spawn(client.get(server.at("/slow")).send());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let shed = client.get(server.at("/refuse")).send().await.unwrap();
    assert_eq!(shed.headers()["retry-after"], "1");
    problem(shed, 503, "http.overloaded").await;
    assert_eq!(client.get(server.at("/healthz")).send().await.unwrap().status(), 200);
    assert_eq!(slow.await.unwrap().unwrap().text().await.unwrap(), "done");
    server.end().await;
}

#[tokio::test]
async fn slow_senders_take_bounded_memory_and_keep_no_reader_out() {
    let text = "http.plain_http = true\n[limits]\nrequests = 1\nsubmit_body_bytes = 65536\nbody_bytes = 1024\n\
                buffered_body_bytes = 65536\n";
    let server = start(text).await;
    let client = Client::builder().no_proxy().build().unwrap();
    let send = |bytes: usize| client.post(server.at("/large")).body(vec![0; bytes]).send();
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"POST /large HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\nabc").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    problem(send(20_000).await.unwrap(), 503, "http.overloaded").await;
    assert_eq!(send(4_000).await.unwrap().text().await.unwrap(), "4000");
    problem(client.get(server.at("/refuse")).send().await.unwrap(), 409, "rule.owner").await;
    drop(slow);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(send(20_000).await.unwrap().text().await.unwrap(), "20000");
    server.end().await;
}

#[tokio::test]
async fn sighup_reloads_and_sigterm_ends_the_process_in_order() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("domovoi.toml");
    let base = "http.listen = [\"127.0.0.1:0\"]\nhttp.plain_http = true\n";
    std::fs::write(&file, base).unwrap();
    let load = {
        let file = file.clone();
        move || Config::load(Some(&file), &[], &[])
    };
    let live = Live::open(load().unwrap(), Box::new(load), None).unwrap();
    let options = Options { ready: Arc::new(|| Ok(())), large_bodies: &[] };
    let server = Server::bind(resources(), live.clone(), options).await.unwrap();
    let url = server.local_url();
    let running = tokio::spawn(domovoi::http::serve::run_until_signal(server, live.clone()));
    // Answers only after the signal handlers are in place: from here on a signal cannot end this test process.
    let client = Client::builder().no_proxy().build().unwrap();
    assert_eq!(client.get(format!("{url}/readyz")).send().await.unwrap().status(), 200);
    let kill = |signal: &str| {
        let pid = std::process::id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
    };
    std::fs::write(&file, format!("{base}limits.body_bytes = 5000\n")).unwrap();
    let mut changed = live.subscribe();
    kill("-HUP");
    let seen = timeout(Duration::from_secs(10), changed.wait_for(|config| config.limits.body_bytes == 5000)).await;
    assert!(seen.is_ok());
    kill("-TERM");
    timeout(Duration::from_secs(10), running).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let server = start("").await;
    let client = server.client().build().unwrap();
    let missing = problem(client.get(server.at("/nowhere")).send().await.unwrap(), 404, "http.not-found").await;
    assert!(missing["detail"].as_str().unwrap().contains("/nowhere"));
    let wrong = client.delete(server.at("/len")).send().await.unwrap();
    assert_eq!(wrong.headers()["allow"], "POST");
    problem(wrong, 405, "http.method").await;
    server.end().await;
}

#[tokio::test]
async fn health_readiness_metrics_and_the_openapi_document() {
    let server = start("").await;
    let client = server.client().build().unwrap();
    let not_ready = problem(client.get(server.at("/readyz")).send().await.unwrap(), 503, "http.not-ready").await;
    assert_eq!(not_ready["detail"], "no log yet");
    let document: Value = client.get(server.at(openapi::PATH)).send().await.unwrap().json().await.unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    assert!(document["components"]["schemas"]["Problem"].is_object());
    client.get(server.at("/secret-path-123")).send().await.unwrap();
    let metrics = client.get(server.at("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("http_requests_total{method=\"GET\",route=\"/readyz\",status=\"503\"}"), "{metrics}");
    assert!(metrics.contains("http_request_seconds_bucket"));
    assert!(metrics.contains("route=\"unmatched\"") && !metrics.contains("secret-path"));
    let proxied = client.get(server.at("/metrics")).header("x-forwarded-for", "10.1.1.1").send().await.unwrap();
    problem(proxied, 403, "http.metrics").await;
    server.end().await;
}

/// Writes a certificate for 127.0.0.1 and its key; returns the certificate's DER.
fn write_certificate(dir: &Path) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().to_vec()
}

#[tokio::test]
async fn a_reload_serves_the_new_certificate_to_new_connections_and_a_bad_one_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let first = write_certificate(dir.path());
    let server = start_in(dir, "tls.certificate = \"cert.pem\"\ntls.private_key = \"key.pem\"\n").await;
    let served = async |server: &Running| {
        let client = server.trust(&server.dir.path().join("cert.pem")).build().unwrap();
        let response = client.get(server.at("/healthz")).send().await.unwrap();
        response.extensions().get::<reqwest::tls::TlsInfo>().unwrap().peer_certificate().unwrap().to_vec()
    };
    assert_eq!(served(&server).await, first);
    let second = write_certificate(server.dir.path());
    let fingerprint = server.live.certificate().unwrap().fingerprint();
    assert_eq!(server.live.reload().unwrap(), Vec::<String>::new());
    assert_ne!(server.live.certificate().unwrap().fingerprint(), fingerprint);
    assert_eq!(served(&server).await, second);
    // A key that is not this certificate's, a broken file, a broken configuration: all as before.
    let good_key = std::fs::read(server.dir.path().join("key.pem")).unwrap();
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    std::fs::write(server.dir.path().join("key.pem"), other).unwrap();
    assert_eq!(server.live.reload().unwrap_err().code(), "tls.key");
    std::fs::write(server.dir.path().join("key.pem"), "nonsense").unwrap();
    assert_eq!(server.live.reload().unwrap_err().code(), "tls.pem");
    std::fs::write(server.dir.path().join("key.pem"), good_key).unwrap();
    std::fs::write(server.dir.path().join("domovoi.toml"), "[x]").unwrap();
    assert_eq!(server.live.reload().unwrap_err().code(), "config.key");
    assert_eq!(served(&server).await, second);
    server.end().await;
}

#[tokio::test]
async fn a_reload_applies_new_limits_at_once() {
    let server = start("limits.body_bytes = 1024\n").await;
    let client = server.client().build().unwrap();
    let send = || client.post(server.at("/len")).body(vec![0; 2000]).send();
    assert_eq!(send().await.unwrap().status(), 413);
    let file = server.dir.path().join("domovoi.toml");
    let text = "http.listen = [\"127.0.0.1:0\"]\nlimits.body_bytes = 4096\nlimits.requests = 3\n";
    std::fs::write(file, text).unwrap();
    assert_eq!(server.live.reload().unwrap(), ["limits.requests"]);
    assert_eq!(send().await.unwrap().status(), 200);
    server.end().await;
}

#[tokio::test]
async fn a_graceful_end_finishes_the_request_in_flight_and_takes_no_new_ones() {
    for http1 in [true, false] {
        let server = start("").await;
        let client = if http1 { server.client().http1_only() } else { server.client() }.build().unwrap();
        // An idle connection must not hold up the end.
        assert_eq!(server.client().build().unwrap().get(server.at("/healthz")).send().await.unwrap().status(), 200);
        let slow = tokio::spawn(client.get(server.at("/slow")).send());
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (address, started) = (server.address, Instant::now());
        let finished = async {
            let response = slow.await.unwrap().unwrap();
            assert_eq!(response.text().await.unwrap(), "done");
        };
        tokio::join!(server.end(), finished);
        assert!(started.elapsed() < Duration::from_secs(5), "waited for the deadline");
        assert!(TcpStream::connect(address).await.is_err());
    }
}

#[tokio::test]
async fn the_shutdown_deadline_cuts_what_does_not_end() {
    let server = start("limits.shutdown_seconds = 1\n").await;
    let hang = tokio::spawn(server.client().build().unwrap().get(server.at("/hang")).send());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let started = Instant::now();
    server.end().await;
    assert!(started.elapsed() >= Duration::from_millis(900) && started.elapsed() < Duration::from_secs(10));
    assert!(timeout(Duration::from_secs(5), hang).await.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn plain_http_on_other_than_loopback_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("domovoi.toml");
    std::fs::write(&file, "[http]\nplain_http = true\nlisten = [\"0.0.0.0:0\"]\n").unwrap();
    let error = Config::load(Some(&file), &[], &[]).unwrap_err();
    assert_eq!(error.code(), "config.plain_http");
}

#[tokio::test]
async fn an_address_in_use_is_a_named_error() {
    let server = start("").await;
    let dir = tempfile::tempdir().unwrap();
    let text = format!("http.plain_http = true\nhttp.listen = [\"{}\"]\n", server.address);
    let config = Config::from_layers(&text, &dir.path().join("c.toml"), &[], &[]).unwrap();
    let live = Live::open(config, Box::new(|| Ok(Config::default())), None).unwrap();
    let options = Options { ready: Arc::new(|| Ok(())), large_bodies: &[] };
    let error = Server::bind(Router::new(), live, options).await.err().unwrap();
    assert_eq!(error.code(), "http.listen");
    assert!(error.detail().contains(&server.address.to_string()));
    server.end().await;
}

/// A log of one full tile, and a mirror of the same.
struct OneTile;

const MIRROR: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

impl LogFiles for OneTile {
    fn read(&self, log: &Which, path: LogPath) -> domovoi::error::Result<Option<Vec<u8>>> {
        if *log != Which::Own && *log != Which::Mirror(MIRROR.to_owned()) {
            return Ok(None);
        }
        Ok(match path.to_string().as_str() {
            "checkpoint" => Some(b"origin\n300\n".to_vec()),
            "tile/0/000" => Some(vec![1; 8192]),
            "tile/entries/001.p/44" => Some(vec![2; 100]),
            _ => None,
        })
    }
}

#[tokio::test]
async fn the_log_is_served_as_tiles_and_nothing_else_is() {
    let server = start("http.plain_http = true\n").await;
    let client = Client::builder().no_proxy().gzip(true).build().unwrap();
    let get = |path: &str| client.get(server.at(path)).send();
    for prefix in ["/log".to_owned(), format!("/mirror/{MIRROR}")] {
        for (path, kind, cache, length) in [
            ("checkpoint", "text/plain; charset=utf-8", "no-cache", 11),
            ("tile/0/000", "application/octet-stream", "public, max-age=31536000, immutable", 8192),
            ("tile/entries/001.p/44", "application/octet-stream", "public, max-age=3600", 100),
        ] {
            let response = get(&format!("{prefix}/{path}")).await.unwrap();
            assert_eq!(response.status(), 200, "{prefix}/{path}");
            let headers = response.headers();
            assert_eq!(
                (&headers["content-type"], &headers["cache-control"]),
                (&kind.parse().unwrap(), &cache.parse().unwrap())
            );
            assert!(!headers.contains_key("content-encoding"));
            assert_eq!(headers["access-control-allow-origin"], "*");
            assert_eq!(response.bytes().await.unwrap().len(), length);
        }
        problem(get(&format!("{prefix}/tile/0/001")).await.unwrap(), 404, "log.not-found").await;
    }
    server.end().await;
}

#[tokio::test]
async fn paths_that_are_not_canonical_are_404_even_when_sent_raw() {
    let server = start("http.plain_http = true\n").await;
    let other = MIRROR.replace("00", "aa");
    let (upper, up) = (MIRROR.to_uppercase(), format!("/mirror/{MIRROR}/../checkpoint"));
    let other = format!("/mirror/{other}/checkpoint");
    for path in [
        "/log/../private/fence",
        "/log/tile/../../private/fence",
        "/log/..%2fprivate%2ffence",
        "/log/%2e%2e/private/fence",
        "/log/%2e%2e%2fetc%2fpasswd",
        "/log//etc/passwd",
        "/log/%2fetc/passwd",
        "/log/tile/0/000%00",
        "/log/tile/0/%ff",
        "/log/tile/0/000/",
        "/log/tile/00/000",
        "/log/tile/0/x000/000",
        "/log/tile/0/000.p/256",
        "/log/tile/0/000.p/0",
        "/log/tile/-1/000",
        "/log/TILE/0/000",
        "/log/checkpoint/",
        "/log/",
        "/log",
        &up,
        &other,
        &format!("/mirror/{upper}/checkpoint"),
        "/mirror/../checkpoint",
        "/mirror/%2e%2e/checkpoint",
    ] {
        // Raw, because clients tidy such paths up before they send them.
        let mut client = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
        assert!(answer.contains("application/problem+json"), "{path}: {answer}");
    }
    server.end().await;
}

#[derive(Clone, Default)]
struct Captured(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn logs_are_json_lines_by_request_id_and_hold_no_path_header_or_body() {
    use tracing_subscriber::util::SubscriberInitExt;
    let lines = Captured::default();
    let writer = lines.clone();
    let mut config = Config::default().log;
    (config.format, config.level) = ("json".into(), "trace".into());
    let (subscriber, handle) = domovoi::http::logging::subscriber(&config, move || writer.clone());
    let guard = subscriber.set_default();
    let server = start("").await;
    let client = server.client().build().unwrap();
    let send =
        || client.post(server.at("/len?q=hidden-query")).header("x-a", "hidden-header").body("hidden-body").send();
    let id = send().await.unwrap().headers()["x-request-id"].to_str().unwrap().to_owned();
    client.get(server.at("/hidden-path")).send().await.unwrap();
    handle.set_level("error");
    send().await.unwrap();
    server.end().await;
    drop(guard);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains("hidden"), "{text}");
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answered: Vec<_> = records.iter().filter(|record| record["message"] == "answered").collect();
    assert_eq!(answered.len(), 2, "{text}");
    assert_eq!((&answered[0]["route"], &answered[0]["span"]["id"]), (&"/len".into(), &id.into()));
    assert_eq!((&answered[0]["status"], &answered[1]["route"]), (&200.into(), &"unmatched".into()));
}
