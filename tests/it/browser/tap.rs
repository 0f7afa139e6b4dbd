//! A proxy on loopback that keeps the bytes of every request a browser sends to a node, and may spoil an answer.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::node::{Node, runtime};

/// Spoils the body of the answer to a path.
type Spoil = Box<dyn Fn(&str, &mut Vec<u8>) + Send>;

pub struct Tap {
    pub url: String,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    spoil: Arc<Mutex<Option<Spoil>>>,
}

/// Headers of answers that a page depends on.
const KEPT: [&str; 5] =
    ["content-type", "content-security-policy", "referrer-policy", "cache-control", "cross-origin-opener-policy"];

impl Tap {
    /// Before this node.
    pub fn on(node: &Node) -> Tap {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, spoil) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(None)));
        let tap = Tap { url, seen: seen.clone(), spoil: spoil.clone() };
        let pem = reqwest::Certificate::from_pem(&std::fs::read(node.certificate()).unwrap()).unwrap();
        let _inside = runtime().enter();
        let client = reqwest::Client::builder().tls_certs_only([pem]).no_proxy().build().unwrap();
        let upstream = node.url();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let (client, upstream, seen, spoil) = (client.clone(), upstream.clone(), seen.clone(), spoil.clone());
                std::thread::spawn(move || pass(stream, &client, &upstream, &seen, &spoil));
            }
        });
        tap
    }

    /// Every request since the last call, each with all its bytes, in one fixed order: files of one page come as they will.
    pub fn requests(&self) -> Vec<String> {
        let mut seen: Vec<String> = std::mem::take(&mut *self.seen.lock().unwrap())
            .into_iter()
            .map(|bytes| String::from_utf8(bytes).unwrap())
            .collect();
        seen.sort();
        seen
    }

    /// From now on answers are spoilt so.
    pub fn spoil(&self, how: impl Fn(&str, &mut Vec<u8>) + Send + 'static) {
        *self.spoil.lock().unwrap() = Some(Box::new(how));
    }
}

fn pass(
    mut stream: TcpStream,
    client: &reqwest::Client,
    upstream: &str,
    seen: &Mutex<Vec<Vec<u8>>>,
    spoil: &Mutex<Option<Spoil>>,
) {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) != 1 {
            // A connection that the browser opened in advance and did not need.
            return;
        }
        request.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    let long = head.lines().find_map(|l| l.to_lowercase().strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; long];
    stream.read_exact(&mut body).unwrap();
    request.extend(&body);
    seen.lock().unwrap().push(request);
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap().parse().unwrap(), words.next().unwrap().to_owned());
    let (status, mut headers, mut answer) = runtime().block_on(async {
        let got = client.request(method, format!("{upstream}{path}")).header("accept", "text/html").body(body);
        let got = got.send().await.unwrap();
        let kept = KEPT.iter().filter_map(|name| Some((*name, got.headers().get(*name)?.to_str().ok()?.to_owned())));
        let headers: String = kept.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        (got.status().as_u16(), headers, got.bytes().await.unwrap().to_vec())
    });
    if let Some(spoil) = &*spoil.lock().unwrap() {
        spoil(&path, &mut answer);
    }
    headers.push_str(&format!("content-length: {}\r\nconnection: close\r\n", answer.len()));
    let _ = stream.write_all(&[format!("HTTP/1.1 {status} X\r\n{headers}\r\n").into_bytes(), answer].concat());
}
