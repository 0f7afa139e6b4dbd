//! One machine: a real node over a directory, its clocks, and what it follows. It can crash, and start again from what its
//! disk held at that moment.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use domovoi::error::Result;
use domovoi::http::log_api::{self, NodeLogs};
use domovoi::http::static_log;
use domovoi::http::witness::{self as http_witness, Witnessing};
use domovoi::node::clock::Clock;
use domovoi::node::layout::Layout;
use domovoi::node::sequencer::{Bounds, Outcome};
use domovoi::node::signing::Signing;
use domovoi::node::witness::Witness;
use domovoi::node::{Node, Opening};
use domovoi::storage::lock::KeyClaim;
use domovoi::storage::witness_store::WitnessStore;
use domovoi::sync::client::Answer;
use domovoi::sync::client::Network;
use domovoi::sync::follower::{Follower, Source};
use domovoi::tlog::cosignature::Cosigner;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{EncodePrivateKey, KeypairBytes};
use pkcs8::pkcs5::pbes2;
use pkcs8::{LineEnding, PrivateKeyInfoRef};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tower::ServiceExt;

use super::network::{Letter, Link, Name, Post};
use super::witnesses::Asking;
use crate::node::PASSPHRASE;

/// Hours after which an answer is stale.
pub const STALE: u64 = 24;

/// A follower of one log, as the scheduler has it: opened at first contact, then asked for rounds.
pub struct Following {
    pub to: Name,
    pub source: Source,
    pub followers: Arc<tokio::sync::Mutex<Vec<Follower>>>,
    /// Rounds that failed since the last that did not.
    pub failures: u32,
    /// The round in progress.
    pub round: Option<JoinHandle<Result<()>>>,
    /// Rounds that succeeded, as the node counts them.
    pub rounds: u64,
    /// What the clocks of this process said when one last had: true time, and the date.
    pub heard: Option<(u64, u64)>,
}

/// What the process has while it runs.
pub struct Running {
    pub node: Arc<Node>,
    app: Router,
    pub following: Vec<Following>,
    /// Questions to witnesses about its own log.
    pub asking: Vec<Asking>,
}

/// A machine.
pub struct Machine {
    root: PathBuf,
    generation: u32,
    /// How far its date is from the true one, ms.
    pub offset: Arc<AtomicI64>,
    clock: Clock,
    follows: Vec<(Name, Source)>,
    /// Name and key of its witness.
    witness: Option<(String, SigningKey)>,
    pub running: Option<Running>,
}

/// Writes a key as `openssl pkcs8` would with the lowest cost: a simulation opens hundreds.
fn write_key(path: &Path, key: &SigningKey) {
    let plain = KeypairBytes { secret_key: key.to_bytes(), public_key: None }.to_pkcs8_der().unwrap();
    let plain = PrivateKeyInfoRef::try_from(plain.as_bytes()).unwrap();
    let params = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(1, &[7; 16], [9; 16]).unwrap();
    let sealed = plain.encrypt_with_params(params, PASSPHRASE).unwrap();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, sealed.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).unwrap().as_bytes()).unwrap();
}

/// Makes a data directory that writes the log `origin`.
fn write_log_of(layout: &Layout, charter: &[u8], origin: &str, keys: [(&str, SigningKey); 2]) {
    std::fs::create_dir_all(layout.data()).unwrap();
    std::fs::write(layout.charter(), charter).unwrap();
    std::fs::write(layout.origin_file(), origin).unwrap();
    keys.iter().for_each(|(role, key)| write_key(&layout.key(role), key));
}

fn copy(from: &Path, to: &Path, with_index: bool) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        match kind.is_dir() {
            true if !with_index && entry.file_name() == "index" => {}
            true => copy(&path, &to.join(entry.file_name()), with_index),
            // What is being renamed just now is gone: as good as not there yet.
            false => drop(std::fs::copy(&path, to.join(entry.file_name()))),
        }
    }
}

impl Machine {
    /// A machine with an empty data directory.
    pub fn new(root: &Path, name: &str, time: Arc<AtomicU64>) -> Machine {
        let offset: Arc<AtomicI64> = Arc::default();
        let (date, far) = (time.clone(), offset.clone());
        let date = move || date.load(Ordering::SeqCst).saturating_add_signed(far.load(Ordering::SeqCst));
        let clock = Clock::of(date, move || Duration::from_millis(time.load(Ordering::SeqCst)));
        let root = root.join(name);
        let machine = Machine { root, generation: 0, offset, clock, follows: Vec::new(), witness: None, running: None };
        std::fs::create_dir_all(machine.layout().data()).unwrap();
        domovoi::storage::format::create(machine.layout().data()).unwrap();
        machine
    }
    pub fn layout(&self) -> Layout {
        Layout::new(&self.root.join(self.generation.to_string()))
    }
    /// It writes a region's log.
    pub fn writes(&self, charter: &[u8], origin: &str, log: SigningKey, commit: SigningKey) {
        write_log_of(&self.layout(), charter, origin, [("log", log), ("commit", commit)]);
    }
    /// It writes the federation's log.
    pub fn writes_federation(&self, charter: &[u8], origin: &str, log: SigningKey, commit: SigningKey) {
        write_log_of(&self.layout().federation(), charter, origin, [("log", log), ("commit", commit)]);
    }
    /// It cosigns the logs of others.
    pub fn witnesses(&mut self, name: String, key: SigningKey) {
        std::fs::create_dir_all(self.layout().witness().parent().unwrap()).unwrap();
        WitnessStore::create(&self.layout().witness()).unwrap();
        self.witness = Some((name, key));
    }
    pub fn follows(&mut self, to: Name, source: Source) {
        self.follows.push((to, source));
    }
    pub fn now(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Starts the process.
    pub fn start(&mut self) -> Result<()> {
        let passphrase = PASSPHRASE.to_owned().into();
        let layout = self.layout();
        let opening = Opening {
            data: layout.data(),
            passphrase: Some(&passphrase),
            bounds: Bounds { records: 1000, bytes: 1 << 20, waiting: 8 },
            stale_after_hours: STALE,
            confirm_restored_head: None,
            clock: self.clock.clone(),
            signing: Signing::allowed(),
        };
        let node = Arc::new(Node::open(opening, &mut |_, _| {})?);
        let (app, _) = log_api::router().with_state(node.clone()).split_for_parts();
        let mut app = app.merge(static_log::router(Arc::new(NodeLogs(node.clone(), Arc::default()))));
        if let Some((name, key)) = &self.witness {
            let signers = vec![Cosigner::new(name.clone(), key.clone())?];
            let witness = Witness::open(&layout.witness(), signers, Vec::new(), KeyClaim::acquire(key)?)?;
            let state = Witnessing { node: node.clone(), witness: Ok(Arc::new(witness)) };
            app = app.merge(http_witness::router().with_state(state).split_for_parts().0);
        }
        let following = self.follows.iter().map(|(to, source)| Following {
            to: *to,
            source: source.clone(),
            followers: Arc::default(),
            failures: 0,
            rounds: 0,
            round: None,
            heard: None,
        });
        self.running = Some(Running { node, app, following: following.collect(), asking: Vec::new() });
        Ok(())
    }

    /// Ends the process. With `image`, what it starts from next is what `image` says the disk held, before it could tidy up.
    pub fn stop(&mut self, runtime: &Runtime, image: Option<Image>) {
        let Some(running) = self.running.take() else { return };
        let next = self.root.join((self.generation + 1).to_string());
        let before = self.layout();
        runtime.block_on(async {
            for asking in running.asking {
                asking.task.abort();
                let _ = asking.task.await;
            }
            for mut following in running.following {
                if let Some(round) = following.round.take() {
                    round.abort();
                    let _ = round.await;
                }
            }
        });
        if let Some(image) = &image {
            copy(before.data(), &next, image.with_index);
        }
        drop(running.app);
        running.node.close();
        drop(running.node);
        if image.is_some() {
            let _ = std::fs::remove_dir_all(before.data());
            self.generation += 1;
        }
    }

    /// Hands records in and loses power before anybody is answered: when the batch is journalled, or its tiles are written too,
    /// or it is fenced as well (`reached` 0, 1, 2).
    pub fn submit_and_crash(&mut self, runtime: &Runtime, records: Vec<Vec<u8>>, reached: u8) {
        let (layout, kept) = (self.layout(), self.root.join("before"));
        copy(&layout.log(), &kept.join("log"), true);
        copy(&layout.private(), &kept.join("private"), true);
        self.submit(runtime, records);
        self.stop(runtime, Some(Image { with_index: true }));
        let next = self.layout();
        std::fs::copy(next.private().join("journal"), kept.join("private/journal")).unwrap();
        if reached >= 1 {
            // Everything but the checkpoint; the files of the old edge are removed later.
            let old = std::fs::read(kept.join("log/checkpoint"));
            copy(&next.log(), &kept.join("log"), true);
            match old {
                Ok(old) => std::fs::write(kept.join("log/checkpoint"), old).unwrap(),
                Err(_) => std::fs::remove_file(kept.join("log/checkpoint")).unwrap(),
            }
        }
        if reached >= 2 {
            std::fs::copy(next.private().join("fence"), kept.join("private/fence")).unwrap();
        }
        for part in ["log", "private"] {
            std::fs::remove_dir_all(next.data().join(part)).unwrap();
            std::fs::rename(kept.join(part), next.data().join(part)).unwrap();
        }
    }

    /// Hands records to the node's own log and waits for the outcome.
    pub fn submit(&self, runtime: &Runtime, records: Vec<Vec<u8>>) -> Vec<Outcome> {
        let running = self.running.as_ref().unwrap();
        runtime.block_on(running.node.submit(records, false)).unwrap()
    }

    /// What the node's own HTTP handlers answer.
    pub fn answer(&self, runtime: &Runtime, letter: &Letter) -> Option<Answer> {
        let app = self.running.as_ref()?.app.clone();
        let method = if letter.body.is_some() { "POST" } else { "GET" };
        let body = letter.body.clone().map_or_else(Body::empty, Body::from);
        let request = Request::builder().method(method).uri(format!("/{}", letter.path)).body(body).unwrap();
        Some(runtime.block_on(async {
            let answer = app.oneshot(request).await.unwrap();
            let status = answer.status();
            (status, axum::body::to_bytes(answer.into_body(), 16 << 20).await.unwrap().to_vec())
        }))
    }
}

/// What is left of a disk.
pub struct Image {
    /// The derived index is there; without, it is made anew.
    pub with_index: bool,
}

/// The source a node is configured with to follow another.
pub fn source(post: &Arc<Post>, from: Name, to: Name, name: &str, pin: &str) -> Source {
    let link = Link { post: post.clone(), from, to, about: to };
    Source {
        name: name.to_owned(),
        url: format!("https://{name}.example"),
        charter_sha256: Some(pin.to_owned()),
        ca: None,
        network: Network::simulated(Arc::new(link)),
    }
}
