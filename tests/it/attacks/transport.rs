//! Answers that are no answers: redirects, statuses, pace, sizes, encodings, addresses.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use domovoi::federation::charter::Charter;
use domovoi::sync::client::{Network, Peer, limit};
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::hostile::{Following, Hostile, Script, Step, honest, raw, tls_for};
use crate::forge::Forge;
use crate::node::runtime;

/// What the client says of an answer to a request for a checkpoint, and how long it took.
fn told(answer: impl Fn(&str) -> Script + Send + Sync + 'static) -> (Result<Option<usize>, String>, Duration) {
    let server = Hostile::start(answer);
    let peer = Network::default().configured(&server.url, None).unwrap();
    let begun = Instant::now();
    let got = runtime().block_on(peer.get("log/checkpoint", limit::CHECKPOINT));
    (got.map(|body| body.map(|b| b.len())).map_err(|e| e.code().to_owned()), begun.elapsed())
}

fn code_of(script: Script) -> String {
    told(move |_| script.clone()).0.expect_err("it was taken")
}

#[test]
fn a_redirect_is_not_followed_wherever_it_leads() {
    let elsewhere = Hostile::start(|_| honest(Some(b"stolen".to_vec())));
    let targets = [
        format!("{}/log/checkpoint", elsewhere.url),
        "http://169.254.169.254/latest/meta-data/".into(),
        "http://example.com/".into(),
        "https://example.com/".into(),
        // Itself: for ever.
        "/log/checkpoint".into(),
        "//127.0.0.1:1/x".into(),
        "file:///etc/passwd".into(),
    ];
    for target in targets {
        for status in [
            "301 Moved Permanently",
            "302 Found",
            "303 See Other",
            "307 Temporary Redirect",
            "308 Permanent Redirect",
            "300 Multiple Choices",
        ] {
            let head = format!("HTTP/1.1 {status}\r\nlocation: {target}\r\nconnection: close\r\ncontent-length: 0");
            assert_eq!(code_of(raw(&head, b"")), "peer.redirect", "{status} to {target}");
        }
    }
    assert_eq!(elsewhere.connections(), 0, "the redirect was followed");
}

#[test]
fn a_status_out_of_place_is_no_answer() {
    let body = b"log.example/01\n5\nAAAA\n".to_vec();
    for status in [
        "201 Created",
        "202 Accepted",
        "203 Non-Authoritative Information",
        "206 Partial Content",
        "226 IM Used",
        "400 Bad Request",
        "401 Unauthorized",
        "418 I'm a teapot",
        "500 Internal Server Error",
        "599 Odd",
    ] {
        let range = "\r\ncontent-range: bytes 0-21/9999";
        let head = format!("HTTP/1.1 {status}{range}\r\nconnection: close\r\ncontent-length: {}", body.len());
        assert_eq!(code_of(raw(&head, &body)), "peer.status", "{status}");
    }
    for status in ["204 No Content", "205 Reset Content", "304 Not Modified"] {
        assert_eq!(code_of(raw(&format!("HTTP/1.1 {status}\r\nconnection: close"), b"")), "peer.status", "{status}");
    }
    // Interim answers without end: the deadline ends them.
    let interim = vec![Step::Endless(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".to_vec())];
    let (told, took) = told(move |_| interim.clone());
    assert_eq!(told.unwrap_err(), "peer.unreachable");
    assert!(took < Duration::from_secs(30), "{took:?}");
    // No HTTP at all.
    assert_eq!(code_of(vec![Step::Send(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec())]), "peer.unreachable");
    assert_eq!(code_of(vec![]), "peer.unreachable");
}

#[test]
fn who_asks_for_patience_is_left_alone_and_not_for_ever() {
    let cases = [
        ("429 Too Many Requests", "\r\nretry-after: 120", "for 120 s"),
        ("429 Too Many Requests", "\r\nretry-after: 18446744073709551615", "for 600 s"),
        ("429 Too Many Requests", "\r\nretry-after: 99999999999999999999999999", "for 30 s"),
        ("429 Too Many Requests", "\r\nretry-after: Fri, 31 Dec 9999 23:59:59 GMT", "for 30 s"),
        ("429 Too Many Requests", "", "for 30 s"),
        ("503 Service Unavailable", "\r\nretry-after: 7", "for 7 s"),
    ];
    for (status, header, says) in cases {
        let head = format!("HTTP/1.1 {status}{header}\r\nconnection: close\r\ncontent-length: 0");
        let server = Hostile::start(move |_| raw(&head, b""));
        let peer = Network::default().configured(&server.url, None).unwrap();
        let ask = |path: &str| runtime().block_on(peer.get(path, 100)).unwrap_err();
        let first = ask("log/checkpoint");
        assert_eq!(first.code(), "peer.busy", "{status}{header}");
        assert!(first.detail().contains(says), "{first}");
        assert_eq!(ask("log/tile/0/000").code(), "peer.busy");
        assert_eq!(server.requests(), 1, "it was asked again at once");
    }
    // Asked to wait no time, it is asked again.
    let server = Hostile::start(|_| {
        raw("HTTP/1.1 429 Slow Down\r\nretry-after: 0\r\nconnection: close\r\ncontent-length: 0", b"")
    });
    let peer = Network::default().configured(&server.url, None).unwrap();
    for n in 1..=2 {
        assert_eq!(runtime().block_on(peer.get("x", 100)).unwrap_err().code(), "peer.busy");
        assert_eq!(server.requests(), n);
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nconnection: close";

#[test]
fn a_slow_drip_is_cut() {
    let head = format!("{OK}\r\ncontent-length: 8000\r\n\r\n").into_bytes();
    let (told, took) =
        told(move |_| vec![Step::Send(head.clone()), Step::Drip(vec![b'x'; 8000], Duration::from_millis(200))]);
    assert_eq!(told.unwrap_err(), "peer.slow");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn dripping_headers_are_cut() {
    let head = format!("{OK}\r\nx-a: {}", "a".repeat(5000)).into_bytes();
    let (told, took) = told(move |_| vec![Step::Drip(head.clone(), Duration::from_millis(200))]);
    assert_eq!(told.unwrap_err(), "peer.unreachable");
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn a_stall_after_the_headers_is_cut() {
    let head = format!("{OK}\r\ncontent-length: 100\r\n\r\nfew").into_bytes();
    let (told, took) = told(move |_| vec![Step::Send(head.clone()), Step::Stall]);
    assert_eq!(told.unwrap_err(), "peer.unreachable");
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn a_stalled_handshake_is_cut() {
    // It accepts, and never says a word of TLS.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    runtime();
    let peer = Network::default().configured(&url, None).unwrap();
    let begun = Instant::now();
    assert_eq!(runtime().block_on(peer.get("log/checkpoint", 100)).unwrap_err().code(), "peer.unreachable");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn compressed_answers_are_refused_unread() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), 100 << 20), &mut gzip).unwrap();
    let gzip = gzip.finish().unwrap();
    assert!(gzip.len() < 200_000);
    // Brotli: a stream of one byte repeated, about which the client must not care either.
    let brotli = vec![0x5b, 0xff, 0xff, 0x3f, 0x00, 0x24, 0x00, 0x8e];
    for (encoding, body) in [
        ("gzip", &gzip[..8000]),
        ("x-gzip", &gzip[..50]),
        ("br", &brotli),
        ("deflate", &brotli),
        ("zstd", &brotli),
        ("gzip, br", &brotli),
        ("identity, gzip", &brotli),
    ] {
        let head = format!("{OK}\r\ncontent-encoding: {encoding}\r\ncontent-length: {}", body.len());
        assert_eq!(code_of(raw(&head, body)), "peer.encoding", "{encoding}");
    }
    // Without the header it is bytes, as many as were sent: nothing swells.
    let head = format!("{OK}\r\ncontent-length: 8000");
    let body = gzip[..8000].to_vec();
    assert_eq!(told(move |_| raw(&head, &body)).0, Ok(Some(8000)));
    let identity = format!("{OK}\r\ncontent-encoding: identity\r\ncontent-length: 2");
    assert_eq!(told(move |_| raw(&identity, b"ok")).0, Ok(Some(2)));
}

#[test]
fn lying_lengths_and_endless_bodies_are_refused() {
    let sized = |length: &str, body: &[u8]| raw(&format!("{OK}\r\ncontent-length: {length}"), body);
    // Announced too large: not a byte of it is read.
    assert_eq!(code_of(sized("8193", b"")), "peer.too_large");
    assert_eq!(code_of(sized("18446744073709551613", b"")), "peer.too_large");
    // Fewer than announced, no number, two numbers.
    for (length, body) in
        [("100", "few"), ("-1", "x"), ("99999999999999999999999", "x"), ("5\r\ncontent-length: 6", "abcdef")]
    {
        assert_eq!(code_of(sized(length, body.as_bytes())), "peer.unreachable", "{length}");
    }
    // No length and no end; in chunks without end; one chunk of 2^60 bytes; a chunk that is no number.
    let endless =
        |head: &str, more: Vec<u8>| vec![Step::Send(format!("{OK}\r\n{head}\r\n").into_bytes()), Step::Endless(more)];
    assert_eq!(code_of(endless("", vec![b'x'; 1000])), "peer.too_large");
    let chunk = [b"3e8\r\n".to_vec(), vec![b'x'; 1000], b"\r\n".to_vec()].concat();
    assert_eq!(code_of(endless("transfer-encoding: chunked\r\n", chunk)), "peer.too_large");
    let chunked = |body: &[u8]| raw(&format!("{OK}\r\ntransfer-encoding: chunked"), body);
    assert_eq!(code_of(chunked(&[b"1000000000000000\r\n".to_vec(), vec![b'x'; 20_000]].concat())), "peer.too_large");
    assert_eq!(code_of(chunked(b"zz\r\n")), "peer.unreachable");
    // Endless headers, one endless header.
    assert_eq!(
        code_of(vec![Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()), Step::Endless(b"x-a: b\r\n".to_vec())]),
        "peer.unreachable"
    );
    assert_eq!(
        code_of(vec![Step::Send(b"HTTP/1.1 200 OK\r\nx-a: ".to_vec()), Step::Endless(vec![b'a'; 1000])]),
        "peer.unreachable"
    );
}

#[test]
fn bytes_beyond_the_announced_length_answer_no_later_request() {
    // The connection is kept; a second answer lies in it before anybody has asked.
    let smuggled =
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled".to_vec();
    let asked = Mutex::new(0);
    let server = Hostile::start(move |_| {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        match *asked {
            1 => vec![Step::Send(smuggled.clone()), Step::Stall],
            _ => honest(Some(b"honest".to_vec())),
        }
    });
    let peer = Network::default().configured(&server.url, None).unwrap();
    let get = || runtime().block_on(peer.get("log/checkpoint", 100)).unwrap().unwrap();
    assert_eq!(get(), b"ok");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(get(), b"honest");
}

#[test]
fn urls_from_a_charter_lead_to_no_inner_address() {
    runtime();
    let inside = Hostile::start(|_| honest(Some(b"inside".to_vec())));
    let literal = [
        format!("https://127.0.0.1:{}", inside.port),
        format!("https://127.1:{}", inside.port),
        format!("https://0x7f.1:{}", inside.port),
        format!("https://2130706433:{}", inside.port),
        format!("https://0177.0.0.1:{}", inside.port),
        format!("https://[::1]:{}", inside.port),
        format!("https://[::ffff:127.0.0.1]:{}", inside.port),
        format!("https://[::ffff:7f00:1]:{}", inside.port),
        format!("https://[64:ff9b::127.0.0.1]:{}", inside.port),
        format!("https://[2002:7f00:1::]:{}", inside.port),
        "https://169.254.169.254/".into(),
        "https://0.0.0.0/".into(),
        "https://10.0.0.1".into(),
        "https://192.168.1.1".into(),
        "https://100.64.0.1".into(),
        "https://224.0.0.1".into(),
        "https://[fe80::1]".into(),
        "https://[fd00::1]".into(),
        format!("http://127.0.0.1:{}", inside.port),
    ];
    for url in literal {
        assert_eq!(Network::default().named(&url, None).err().unwrap().code(), "peer.address", "{url}");
    }
    // Not https, or with a user in it.
    for url in [
        "http://example.com",
        "ftp://example.com",
        "file:///etc/passwd",
        "https://user@example.com",
        "https://a:b@example.com",
        "gopher://127.0.0.1",
        "https://example.com/?q",
        "//example.com",
        "",
        "https://",
    ] {
        assert_eq!(Network::default().named(url, None).err().unwrap().code(), "peer.url", "{url}");
    }
    let localhost = Network::default().named(&format!("https://localhost:{}", inside.port), None).unwrap();
    assert_eq!(runtime().block_on(localhost.get("x", 10)).unwrap_err().code(), "peer.address");
    assert_eq!(inside.connections(), 0);
    // What the operator allows is reached.
    let network = Network::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let peer = network.named(&inside.url, None).unwrap();
    assert_eq!(runtime().block_on(peer.get("x", 10)).unwrap().unwrap(), b"inside");
    // And a path does not lead away from the peer.
    for path in ["//169.254.169.254/x", "http://169.254.169.254/", "https://example.com/", "/../../x/..//"] {
        let peer = Network::default().configured(&format!("{}/below", inside.url), None).unwrap();
        assert_eq!(peer.address(path).unwrap_err().code(), "peer.url", "{path}");
    }
}

/// Answers with one address, then with another.
struct Rebinding(AtomicU8);

impl Resolve for Rebinding {
    fn resolve(&self, _: Name) -> Resolving {
        let last = self.0.load(Ordering::SeqCst);
        let found: Vec<SocketAddr> = vec![([127, 0, 0, last], 0).into()];
        Box::pin(async move { Ok(Box::new(found.into_iter()) as Addrs) })
    }
}

#[test]
fn a_name_that_changes_its_address_leads_nowhere_new() {
    let (ca, tls) = tls_for("peer.example");
    let (outside, address) = Hostile::listen("127.0.0.1:0", Some(tls.clone()), |_| honest(Some(b"outside".to_vec())));
    // The inner service even shows the certificate of the name.
    let (inside, _) =
        Hostile::listen(&format!("127.0.0.2:{}", address.port()), Some(tls), |_| honest(Some(b"inside".to_vec())));
    let names = Arc::new(Rebinding(AtomicU8::new(1)));
    // 127.0.0.1 stands for an address of the internet.
    let network = Network::with_names(vec!["127.0.0.1".parse().unwrap()], names.clone());
    let url = format!("https://peer.example:{}", address.port());
    for make in [Network::named, Network::configured] {
        let peer: Peer = make(&network, &url, Some(&ca)).unwrap();
        let get = || runtime().block_on(peer.get("log/checkpoint", 100));
        names.0.store(1, Ordering::SeqCst);
        assert_eq!(get().unwrap().unwrap(), b"outside");
        // The server has closed the connection: the name is asked again, and lies now.
        names.0.store(2, Ordering::SeqCst);
        let refused = get().unwrap_err();
        assert_eq!(refused.code(), "peer.address");
        assert!(refused.detail().contains("127.0.0.2"), "{refused}");
        names.0.store(1, Ordering::SeqCst);
        assert_eq!(get().unwrap().unwrap(), b"outside");
    }
    assert_eq!((inside.connections(), outside.requests()), (0, 4));
}

#[test]
fn charters_without_end_or_in_a_circle_end_the_round_in_time_and_their_urls_are_not_asked() {
    let canary = Hostile::start(|_| honest(Some(b"{}".to_vec())));
    let forge = Forge::new(3);
    let first = Charter::open(&forge.charter).unwrap();
    let mut previous = first.sha256();
    let mut body = first.charter().clone();
    let mut served = forge.served();
    // A hundred versions, each of which names the next place to look at.
    for version in body.version + 1..=body.version + 100 {
        body.version = version;
        body.previous = Some(previous);
        body.regions.0[0].url = domovoi::registry::text::Text::new(&canary.url).unwrap();
        let signed = forge.sign_charter(&body);
        previous = Charter::open(&signed).unwrap().sha256();
        served.charters.insert(version, signed);
    }
    let asked = Arc::new(Mutex::new(0));
    let (count, endless) = (asked.clone(), served.clone());
    let server = Hostile::start(move |path| {
        *count.lock().unwrap() += usize::from(path.contains("/charters/"));
        honest(endless.answer(&path[1..]))
    });
    let following = Following::of(&forge, &server.url);
    assert_eq!(following.round(), Ok(()));
    assert_eq!((following.size(), *asked.lock().unwrap()), (forge.size(), 64));
    assert_eq!(following.round(), Ok(()));
    assert_eq!(*asked.lock().unwrap(), 101, "it goes on where it stopped, to the end");
    assert_eq!(canary.connections(), 0, "an address out of a charter was asked");

    // In a circle: every version is the first one again.
    let circle = forge.served();
    let pinned = forge.charter.clone();
    let server = Hostile::start(move |path| match path.contains("/charters/") {
        true => honest(Some(pinned.clone())),
        false => honest(circle.answer(&path[1..])),
    });
    let following = Following::of(&forge, &server.url);
    let told = following.round();
    assert!(told.is_ok() || following.held().is_some(), "{told:?}");
    assert!(server.requests() < 10);
}

#[test]
fn a_follower_keeps_what_it_has_through_every_bad_answer_and_goes_on_after_it() {
    let mut forge = Forge::new(4);
    let signer = forge.operator.clone();
    forge.batch(vec![forge.building(&signer, 1).1], crate::forge::Lie::None);
    let before = forge.size();
    let bad: Option<(&str, Script)> = None;
    let now = Arc::new(Mutex::new((bad, forge.served())));
    let serve = now.clone();
    let server = Hostile::start(move |path| {
        let now = serve.lock().unwrap();
        match &now.0 {
            Some((part, script)) if path.contains(part) => script.clone(),
            _ => honest(now.1.answer(&path[1..])),
        }
    });
    let following = Following::of(&forge, &server.url);
    assert_eq!((following.round(), following.size()), (Ok(()), before));
    forge.batch(vec![forge.building(&signer, 2).1], crate::forge::Lie::None);
    now.lock().unwrap().1 = forge.served();
    let bad: [(Script, &str); 5] = [
        (raw("HTTP/1.1 204 No Content\r\nconnection: close", b""), "peer.status"),
        (
            raw(
                "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\nconnection: close\r\ncontent-length: 0",
                b"",
            ),
            "peer.redirect",
        ),
        (raw("HTTP/1.1 206 Partial Content\r\ncontent-length: 2\r\nconnection: close", b"xx"), "peer.status"),
        (raw(&format!("{OK}\r\ncontent-encoding: br\r\ncontent-length: 2"), b"xx"), "peer.encoding"),
        (raw(&format!("{OK}\r\ncontent-length: 20"), b"xx"), "peer.unreachable"),
    ];
    for part in ["/charters/", "/log/checkpoint", "/log/tile/entries/", "/log/tile/0/"] {
        for (script, code) in &bad {
            now.lock().unwrap().0 = Some((part, script.clone()));
            assert_eq!(following.round(), Err((*code).to_owned()), "{part}");
            assert_eq!((following.size(), following.held()), (before, None), "{part}: {code}");
        }
    }
    now.lock().unwrap().0 = None;
    assert_eq!((following.round(), following.size()), (Ok(()), forge.size()));
}
