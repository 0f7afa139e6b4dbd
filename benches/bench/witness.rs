//! The witness: durable answers to `add-checkpoint`, against the signatures alone.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use domovoi::http::witness::{Witnessing, router};
use domovoi::http::{Live, Options, Server, openapi};
use domovoi::node::config::Config;
use domovoi::node::witness::Witness;
use domovoi::storage::durable::write_atomic;
use domovoi::storage::lock::KeyClaim;
use domovoi::storage::witness_store::WitnessStore;
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::cosignature::Cosigner;
use domovoi::tlog::note::{Note, NoteSigner};
use domovoi::tlog::tile::TileId;
use domovoi::tlog::tree::{TileSource, consistency_proof, grow, root};
use domovoi::tlog::witness::Request;
use domovoi::tlog::{Hash, leaf_hash};
use ed25519_dalek::{Signer, SigningKey};
use rayon::prelude::*;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::world::World;
use crate::{Measure, Outcome, REPEATS, median, serve, timed};

/// Logs, each asked for by one client over a connection that stays open.
const LOGS: usize = 64;
/// Checkpoints of each log in one repetition, each one entry longer than the one before.
const STEPS: u64 = 400;

struct Tiles(HashMap<TileId, Vec<Hash>>);

impl TileSource for Tiles {
    fn tile(&self, id: TileId) -> domovoi::error::Result<Vec<Hash>> {
        // Wider tiles begin with the narrower ones.
        let found = (id.width..=256).find_map(|width| self.0.get(&TileId { width, ..id }));
        found
            .map(|hashes| hashes[..usize::from(id.width)].to_vec())
            .ok_or_else(|| domovoi::error::Error::stop("tile.missing", id.to_string(), "report this as a defect"))
    }
}

fn signer(log: usize) -> domovoi::error::Result<NoteSigner> {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&log.to_be_bytes());
    NoteSigner::new(format!("log.example/{log}"), SigningKey::from_bytes(&seed))
}

/// Every request of one log, in order.
fn requests(log: usize) -> domovoi::error::Result<Vec<Vec<u8>>> {
    let signer = signer(log)?;
    let leaves: Vec<Hash> = (0..STEPS * REPEATS as u64).map(|n| leaf_hash(&n.to_be_bytes())).collect();
    let tiles = Tiles(grow(&Tiles(HashMap::new()), 0, &leaves)?.tiles.into_iter().collect());
    let request = |size: u64| {
        let head = Checkpoint { origin: format!("log.example/{log}"), size, root: root(&tiles, size)? };
        let note = Note::parse(head.sign(&signer)?.as_bytes())?;
        let proof = consistency_proof(&tiles, size - 1, size)?;
        Ok(Request { old: size - 1, proof, note }.to_string().into_bytes())
    };
    (1..=leaves.len() as u64).map(request).collect()
}

/// Ed25519 over a checkpoint, verified and cosigned, on all cores: so many a second.
fn signatures() -> Outcome<f64> {
    let key = SigningKey::from_bytes(&[9; 32]);
    let text = format!("log.example/1\n12345678\n{}\n", Hash::EMPTY_TREE.to_base64());
    let signature = key.sign(text.as_bytes());
    let count = 20_000;
    let (took, good) = timed(|| {
        (0..count).into_par_iter().all(|n| {
            let good = key.verifying_key().verify_strict(text.as_bytes(), &signature).is_ok();
            good && key.sign(format!("cosignature/v1\ntime {n}\n{text}").as_bytes()) != signature
        })
    });
    if good { Ok(f64::from(count) / took) } else { Err("a signature does not verify".into()) }
}

async fn client(address: std::net::SocketAddr, bodies: Vec<Vec<u8>>, done: Arc<AtomicUsize>) -> Result<(), String> {
    let mut stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    let mut buffer = Vec::with_capacity(1 << 12);
    for body in bodies {
        let head = format!(
            "POST /witness/add-checkpoint HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.into_bytes(), body].concat()).await.map_err(|e| e.to_string())?;
        // Anything but 200 ends the measure.
        serve::answer(&mut stream, &mut buffer).await.map_err(|e| e.to_string())?;
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// 64 logs ask at the same time, over HTTP on the same cores; each answer is durable before it is given.
pub fn add(dir: &Path) -> Outcome<Measure> {
    let (_, node) = World::create(dir)?;
    let node = Arc::new(node);
    let all: Vec<Vec<Vec<u8>>> = (0..LOGS).into_par_iter().map(requests).collect::<domovoi::error::Result<_>>()?;
    let path = dir.join("witness/heads");
    WitnessStore::create(&path)?;
    let key = SigningKey::from_bytes(&[8; 32]);
    let claim = KeyClaim::acquire(&key)?;
    let logs = (0..LOGS).map(|n| signer(n).map(|s| (format!("log.example/{n}"), s.verifier().clone())));
    let logs = logs.collect::<domovoi::error::Result<_>>()?;
    let witness = Arc::new(Witness::open(&path, vec![Cosigner::new("witness.example", key)?], logs, claim)?);
    let runtime = tokio::runtime::Runtime::new()?;
    let value = runtime.block_on(async {
        let file = dir.join("domovoi.toml");
        let text = format!("[node]\ndata_dir = {dir:?}\n[http]\nlisten = [\"127.0.0.1:0\"]\nplain_http = true\n");
        std::fs::write(&file, text)?;
        let read = move || Config::load(Some(&file), &[], &[]);
        let live = Live::open(read()?, Box::new(read), None)?;
        let at = Witnessing { node: node.clone(), witness: Ok(witness) };
        let app = openapi::finish(openapi::api().merge(router().with_state(at)))?;
        let server = Server::bind(app, live, Options { ready: Arc::new(|| Ok(())), large_bodies: &[] }).await?;
        let address = server.addresses()[0];
        let serving = tokio::spawn(server.run(std::future::pending()));
        let mut values = Vec::new();
        for round in 0..REPEATS {
            let done = Arc::new(AtomicUsize::new(0));
            let steps = round * STEPS as usize..(round + 1) * STEPS as usize;
            let start = Instant::now();
            let clients: Vec<_> = all
                .iter()
                .map(|bodies| tokio::spawn(client(address, bodies[steps.clone()].to_vec(), done.clone())))
                .collect();
            for client in clients {
                client.await??;
            }
            values.push(done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        serving.abort();
        Outcome::Ok(median(values))
    })?;
    node.close();
    let limit = median((0..REPEATS).map(|_| signatures()).collect::<Outcome<_>>()?);
    let replace = median(
        (0..201)
            .map(|_| {
                let (took, done) = timed(|| write_atomic(&dir.join("replaced"), &[7; 4096]));
                done.map(|()| took).map_err(Into::into)
            })
            .collect::<Outcome<_>>()?,
    );
    let against =
        format!("Ed25519 verify and sign alone, all cores; a durable file replace here: {:.0}/s", 1.0 / replace);
    Ok(Measure::new("witness_add", value, "durable answers/s, 64 clients", limit, against))
}
