//! Real nodes for end-to-end tests: the binary itself, its own TLS on loopback, a data directory of its own. A node is
//! killed when its handle is dropped.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use domovoi::registry::body::Body;
use domovoi::registry::envelope::{Envelope, TYP_RECORD};
use domovoi::registry::ids::RecordId;
use domovoi::registry::record::{Basis, BasisKind, Draft, Record};
use domovoi::registry::text::{Day, Millis, Text};
use ed25519_dalek::SigningKey;
use serde_json::Value;
use tempfile::TempDir;

pub const PASSPHRASE: &str = "проверка";

/// The sample data of the repository.
pub fn sample(name: &str) -> String {
    format!("{}/tests/data/sample/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A port nobody listens on, below those the system gives to outgoing connections, so that it is still free when a
/// killed node comes back.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let folder = std::env::temp_dir().join("domovoi-test-ports");
    std::fs::create_dir_all(&folder).unwrap();
    let start = (std::process::id() % 6_000) as u16 * 2;
    loop {
        // Beside this range the system gives out ports of its own.
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_700;
        // A port that was just free may be taken by another test before its node listens: whose lock it is has it.
        let lock = File::create(folder.join(port.to_string())).unwrap();
        if lock.try_lock().is_ok() && std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            HELD.lock().unwrap().push(lock);
            return port;
        }
    }
}

/// The runtime all blocking test calls share.
pub fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    })
}

/// What a command printed.
pub struct Ran {
    pub ok: bool,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The standard output as JSON; the command must have succeeded.
    pub fn json(&self) -> Value {
        assert!(self.ok, "the command failed: {}{}", self.out, self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("not JSON: {e}: {}", self.out))
    }
    /// The code of the error, which stands as JSON on standard error.
    pub fn code(&self) -> String {
        assert!(!self.ok, "the command succeeded: {}", self.out);
        let last = self.err.lines().last().unwrap_or_default();
        let v: Value = serde_json::from_str(last).unwrap_or_else(|e| panic!("not JSON: {e}: {}", self.err));
        assert!(v["detail"].is_string() && v["remedy"].is_string(), "{v}");
        v["code"].as_str().unwrap().to_owned()
    }
}

/// The program with nothing of this process's own `DOMOVOI_…` environment.
pub fn program(data: &Path) -> Command {
    program_through(&[], data)
}

/// [`program`] as an argument of another one.
fn program_through(other: &[String], data: &Path) -> Command {
    let words: Vec<&str> = other.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_domovoi")]).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("DOMOVOI_")) {
        command.env_remove(name);
    }
    // Reports are written where the command runs: not into this repository.
    command.current_dir(data.parent().unwrap());
    command.env("DOMOVOI_PASSPHRASE", PASSPHRASE).arg("--data").arg(data).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn run_in(data: &Path, args: &[&str]) -> Ran {
    let done = program(data).args(args).output().unwrap();
    let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
    Ran { ok: done.status.success(), out: text(done.stdout), err: text(done.stderr) }
}

/// An HTTP answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub kind: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }
    /// Checks that it is a whole problem document with this status and code.
    pub fn problem(&self, status: u16, code: &str) {
        assert_eq!(self.kind, "application/problem+json", "{}", String::from_utf8_lossy(&self.body));
        let v = self.json();
        assert_eq!((self.status, v["code"].as_str()), (status, Some(code)), "{v}");
        assert_eq!(v["type"], format!("urn:domovoi:error:{code}"));
        assert_eq!(v["status"], status);
        let title = axum::http::StatusCode::from_u16(status).unwrap().canonical_reason();
        assert_eq!(v["title"].as_str(), title, "{v}");
        assert!(v["detail"].is_string(), "{v}");
    }
}

/// A node: its data directory, its process while it runs, and a client that trusts its certificate.
pub struct Node {
    pub dir: TempDir,
    pub port: u16,
    pub charter: Option<String>,
    pub args: Vec<String>,
    /// Environment of its process.
    pub env: Vec<(String, String)>,
    /// A program and its arguments that the node is run by.
    pub through: Vec<String>,
    child: Option<Child>,
    client: OnceLock<Option<reqwest::Client>>,
}

impl Node {
    /// `init`; `region` = code, authority and name.
    pub fn init(region: Option<(&str, &str, &str)>) -> Node {
        Node::init_at(tempfile::tempdir().unwrap(), region)
    }

    /// `init` in `node` below `dir`, which may be a link to another file system.
    pub fn init_at(dir: TempDir, region: Option<(&str, &str, &str)>) -> Node {
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let mut args = vec!["--json", "init", "--listen", &listen];
        if let Some((code, authority, name)) = region {
            args.extend(["--region", code, "--authority", authority, "--name", name]);
        }
        let made = run_in(&dir.path().join("node"), &args).json();
        let charter = made["charter_sha256"].as_str().map(str::to_owned);
        let mut node = Node::over(dir, port);
        node.charter = charter;
        node
    }

    /// A node whose data directory somebody else makes.
    pub fn over(dir: TempDir, port: u16) -> Node {
        Node {
            dir,
            port,
            charter: None,
            args: Vec::new(),
            env: Vec::new(),
            through: Vec::new(),
            child: None,
            client: OnceLock::new(),
        }
    }

    /// The inspectorate of Moscow, as an example of a region, and its node running.
    pub fn moscow() -> Node {
        let mut node = Node::init(Some(("77", AUTHORITY, "Мосжилинспекция")));
        node.start();
        node
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("node")
    }

    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    pub fn certificate(&self) -> PathBuf {
        self.data().join("tls/dev-cert.pem")
    }

    /// Starts the process without waiting.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none());
        // It may have got another certificate since.
        self.client = OnceLock::new();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("stderr")).unwrap();
        let mut command = program_through(&self.through, &self.data());
        command.envs(self.env.iter().cloned()).arg("serve").args(&self.args).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// Starts the process and waits until it is ready.
    pub fn start(&mut self) {
        self.spawn();
        self.wait();
    }

    /// Starts the process and waits until it is ready; an error says why it is not.
    pub fn start_or_say(&mut self) -> Result<(), String> {
        self.spawn();
        let ready = self.ready();
        if ready.is_err() {
            self.kill();
        }
        ready
    }

    /// Waits until the node is ready; panics with its log when it is not within half a minute.
    pub fn wait(&mut self) {
        if let Err(why) = self.ready() {
            panic!("{why}:\n{}", self.log());
        }
    }

    /// Waits until the node is ready; an error says that it ended, or is not ready within half a minute.
    pub fn ready(&mut self) -> Result<(), String> {
        let until = Instant::now() + Duration::from_secs(30);
        while self.certificate().metadata().map_or(0, |m| m.len()) == 0
            || self.try_get("/readyz").is_none_or(|a| a.status != 200)
        {
            if let Some(ended) = self.ended() {
                return Err(format!("the node ended ({ended})"));
            }
            if Instant::now() > until {
                return Err("the node is not ready".into());
            }
            std::thread::sleep(Duration::from_millis(15));
            // The certificate that was there may have been replaced.
            self.client = OnceLock::new();
        }
        // A node that asks others before it signs hands in its founding records after that.
        while !self.has_decided() && self.ended().is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(15));
        }
        Ok(())
    }

    /// True where the node has no log of its own, signs it, or says why it does not.
    fn has_decided(&self) -> bool {
        let Some(node) = self.try_get("/api/v1/node").filter(|a| a.status == 200).map(|a| a.json()) else {
            return false;
        };
        let signing = &node["signing"];
        let begun = signing["allowed"] == true && node["freshness"]["size"] != 0;
        signing.is_null() || begun || !signing["code"].is_null()
    }

    /// How the process ended, if it did.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.as_mut().and_then(|c| c.try_wait().unwrap())
    }

    /// What the node wrote to its standard error.
    pub fn log(&self) -> String {
        let mut text = String::new();
        let _ = std::fs::File::open(self.dir.path().join("stderr")).map(|mut f| f.read_to_string(&mut text));
        text
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGKILL through a shared handle; [`Node::kill`] is still due.
    pub fn kill_shared(&self) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-KILL", &id]).status().unwrap().success());
    }

    /// SIGTERM, and waits for an orderly end.
    pub fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
        assert!(child.wait().unwrap().success(), "{}", self.log());
    }

    /// Waits until the node is ready, or has ended: then false. An error says that it is neither within half a minute.
    pub fn start_or_wait(&mut self) -> Result<bool, String> {
        self.spawn();
        match self.ready() {
            Ok(()) => Ok(true),
            Err(_) if self.ended().is_some() => Ok(false),
            Err(why) => Err(format!("{why}: {}", self.log())),
        }
    }

    /// SIGTERM to the child of the process (a tracer), and waits for both.
    pub fn stop_traced(&mut self) {
        let parent = self.child.as_ref().unwrap().id();
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
        assert!(Command::new("kill").arg(children.trim()).status().unwrap().success());
        assert!(self.child.take().unwrap().wait().unwrap().success(), "{}", self.log());
    }

    /// SIGTERM, and waits for the end; an error when that takes more than half a minute.
    pub fn end_or_say(&mut self) -> Result<std::process::ExitStatus, String> {
        let mut child = self.child.take().ok_or("it was not started")?;
        if child.try_wait().unwrap().is_none() {
            let _ = Command::new("kill").arg(child.id().to_string()).stderr(Stdio::null()).status();
        }
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until {
            if let Some(ended) = child.try_wait().unwrap() {
                return Ok(ended);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        Err(format!("it does not end: {}", self.log()))
    }

    /// Runs a command on this node's data directory with `--json`.
    pub fn run(&self, args: &[&str]) -> Ran {
        run_in(&self.data(), &[&["--json"], args].concat())
    }

    /// A client that trusts the node's certificate; none where that is damaged.
    fn client(&self) -> Option<&reqwest::Client> {
        let client = || {
            runtime();
            let pem = std::fs::read(self.certificate()).unwrap();
            let trusted = reqwest::Certificate::from_pem(&pem).ok()?;
            let client = reqwest::Client::builder().tls_certs_only([trusted]).no_proxy();
            client.timeout(Duration::from_secs(30)).build().ok()
        };
        self.client.get_or_init(client).as_ref()
    }

    fn send(&self, request: reqwest::RequestBuilder) -> Option<Answer> {
        runtime().block_on(async {
            let answer = request.send().await.ok()?;
            let kind = answer.headers().get("content-type").map_or("", |k| k.to_str().unwrap()).to_owned();
            let status = answer.status().as_u16();
            Some(Answer { status, kind, body: answer.bytes().await.ok()?.to_vec() })
        })
    }

    /// GET; none when the node could not be reached.
    pub fn try_get(&self, path: &str) -> Option<Answer> {
        self.send(self.client()?.get(format!("{}{path}", self.url())))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.try_get(path).unwrap_or_else(|| panic!("GET {path} failed:\n{}", self.log()))
    }

    /// GET of JSON under `/api/v1/` that must succeed.
    pub fn api(&self, path: &str) -> Value {
        let answer = self.get(&format!("/api/v1/{path}"));
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// POST; none when the node could not be reached.
    pub fn try_post(&self, path: &str, body: Vec<u8>) -> Option<Answer> {
        self.send(self.client()?.post(format!("{}{path}", self.url())).body(body))
    }

    pub fn post(&self, path: &str, body: Vec<u8>) -> Answer {
        self.try_post(path, body).unwrap_or_else(|| panic!("POST {path} failed:\n{}", self.log()))
    }

    /// Submits records; gives the outcomes.
    pub fn submit(&self, records: &[Vec<u8>]) -> Vec<Value> {
        let answer = self.post("/api/v1/submit", records.join(&b'\n'));
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()["outcomes"].as_array().unwrap().clone()
    }

    /// Submits records that must all be accepted.
    pub fn accept(&self, records: &[Vec<u8>]) -> Vec<u64> {
        let outcomes = self.submit(records);
        assert_eq!(outcomes.len(), records.len());
        outcomes
            .iter()
            .map(|o| o["index"].as_u64().filter(|_| o["outcome"] == "accepted").unwrap_or_else(|| panic!("{o}")))
            .collect()
    }

    /// A signer with one of the node's keys.
    pub fn signer(&self, role: &str) -> Signer {
        let path = self.data().join(format!("keys/{role}.pem"));
        let origin = std::fs::read_to_string(self.data().join("origin")).unwrap();
        let key = domovoi::storage::keys::read(&path, &PASSPHRASE.into()).unwrap();
        Signer { key, origin: origin.trim().to_owned() }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of the node in {}:\n{}", self.dir.path().display(), self.log());
        }
        self.kill();
    }
}

/// The authority [`Node::moscow`] is made with; its checksum is right, the body is real.
pub const AUTHORITY: &str = "ogrn:1027739218154";

/// Makes records of one log with one key.
#[derive(Clone)]
pub struct Signer {
    pub key: SigningKey,
    pub origin: String,
}

/// What stands around a body.
#[derive(Debug, Clone, Copy, Default)]
pub struct Around<'a> {
    pub prev: Option<RecordId>,
    pub from: Option<&'a str>,
    pub batch: Option<&'a str>,
    pub basis: bool,
}

impl Signer {
    /// A record whose body is `fields`, not signed yet.
    pub fn draft(&self, kind: &str, fields: Value, around: Around<'_>) -> (RecordId, Vec<u8>) {
        let now = domovoi::node::now_ms();
        let basis = Basis {
            kind: BasisKind::Generated,
            number: Some(Text::new("1").unwrap()),
            date: Some("2020-01-01".parse::<Day>().unwrap()),
            issuer: None,
            document_sha256: None,
            signature_sha256: None,
        };
        let draft = Draft {
            log: self.origin.as_str().into(),
            issued_at: Millis::new(now).unwrap(),
            submit_before: Millis::new(now + 3_600_000).unwrap(),
            effective_from: around.from.map(|d| d.parse().unwrap()),
            prev: around.prev,
            basis: around.basis.then_some(basis),
            batch: around.batch.map(|b| Text::new(b).unwrap()),
            body: Body::decode(kind, &fields.to_string()).unwrap(),
        };
        let (record, payload) = Record::encode(draft).unwrap();
        (record.id, payload)
    }

    /// A signed record.
    pub fn record(&self, kind: &str, fields: Value, around: Around<'_>) -> (RecordId, Vec<u8>) {
        let (id, payload) = self.draft(kind, fields, around);
        (id, Envelope::sign(payload, TYP_RECORD, &[&self.key]))
    }

    /// `organisation.named` for an organisation that has no name yet.
    pub fn organisation(&self, number: u64) -> (RecordId, Vec<u8>) {
        let fields =
            serde_json::json!({ "organisation": format!("reformagkh:{number}"), "name": format!("ООО «{number}»") });
        self.record("organisation.named", fields, Around::default())
    }

    /// `building.registered` for a building that is not there yet.
    pub fn building(&self, number: u64) -> (RecordId, Vec<u8>) {
        let fields = serde_json::json!({
            "building": format!("reformagkh:{number}"), "address": format!("г. Москва, ул. Пробная, д. {number}"),
            "oktmo": "45000000", "kind": "apartment",
        });
        self.record("building.registered", fields, Around::default())
    }
}
