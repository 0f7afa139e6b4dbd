//! Measures of the writer: many clients at once, and one alone.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use domovoi::error::Result;
use domovoi::http::{Live, Options, Server, log_api, openapi};
use domovoi::node::Node;
use domovoi::node::config::Config;
use domovoi::node::sequencer::Outcome as Verdict;
use domovoi::storage::durable::write_atomic;
use rayon::prelude::*;

use crate::world::World;
use crate::{Measure, Outcome, REPEATS, median, timed};

const CLIENTS: usize = 64;
/// Records each measure submits, one at a time.
const RECORDS: usize = 6_400;
/// Entries a second that Tessera's POSIX log reached on this class of machine (architecture.md).
const TESSERA: f64 = 6400.0;

/// Seconds that a durable replace of a 4 KiB file takes here.
fn durable_replace(dir: &Path) -> Outcome<f64> {
    let (took, done) = timed(|| write_atomic(&dir.join("replaced"), &[7; 4096]));
    done?;
    Ok(took)
}

fn records(world: &World, first: usize, count: usize) -> Outcome<Arc<Vec<Vec<u8>>>> {
    let made = (first..first + count).into_par_iter().map(|n| Ok(world.building(n)?.2));
    Ok(Arc::new(made.collect::<Result<_>>()?))
}

/// Submits every record on its own from `CLIENTS` tasks; entries a second.
async fn flood<F>(count: usize, send: impl Fn(usize) -> F) -> Outcome<f64>
where
    F: Future<Output = bool> + Send + 'static,
{
    let start = Instant::now();
    let tasks: Vec<_> = (0..CLIENTS).map(|client| tokio::spawn(send(client))).collect();
    for task in tasks {
        if !task.await? {
            return Err("a generated record was not accepted".into());
        }
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

async fn client(node: Arc<Node>, records: Arc<Vec<Vec<u8>>>, next: Arc<AtomicUsize>) -> bool {
    while let Some(record) = records.get(next.fetch_add(1, Ordering::Relaxed)) {
        match node.submit(vec![record.clone()], false).await.as_deref() {
            Ok([Verdict::Accepted { .. }]) => {}
            _ => return false,
        }
    }
    true
}

/// 64 clients, one record a submission, into `Node::submit`: the writer without the network.
pub fn concurrent(dir: &Path) -> Outcome<Measure> {
    let (world, node) = World::create(dir)?;
    let node = Arc::new(node);
    let runtime = tokio::runtime::Runtime::new()?;
    let mut values = Vec::new();
    for round in 0..REPEATS {
        let records = records(&world, round * RECORDS, RECORDS)?;
        let next = Arc::new(AtomicUsize::new(0));
        let send = |_| client(node.clone(), records.clone(), next.clone());
        values.push(runtime.block_on(flood(RECORDS, send))?);
    }
    node.close();
    let replace = median((0..201).map(|_| durable_replace(dir)).collect::<Outcome<_>>()?);
    let against = format!("Tessera's POSIX log; a durable file replace here: {:.0}/s", 1.0 / replace);
    Ok(Measure::new("submit_64", median(values), "entries/s, in process", TESSERA, against))
}

/// The same through the whole server: HTTPS, HTTP/1.1, one connection a client, clients on the same cores.
pub fn over_https(dir: &Path) -> Outcome<Measure> {
    let (world, node) = World::create(dir)?;
    let node = Arc::new(node);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new()?;
    let value = runtime.block_on(async {
        let (server, ca) = server(dir, &node).await?;
        let url = format!("{}/api/v1/submit", server.local_url());
        let serving = tokio::spawn(server.run(std::future::pending()));
        let client = || {
            let ca = reqwest::Certificate::from_pem(&ca)?;
            reqwest::Client::builder().tls_certs_only([ca]).no_proxy().http1_only().build()
        };
        let mut values = Vec::new();
        for round in 0..REPEATS {
            let records = records(&world, round * RECORDS, RECORDS)?;
            let next = Arc::new(AtomicUsize::new(0));
            let clients = (0..CLIENTS).map(|_| client()).collect::<std::result::Result<Vec<_>, _>>()?;
            let send = |n: usize| post(clients[n].clone(), url.clone(), records.clone(), next.clone());
            values.push(flood(RECORDS, send).await?);
        }
        serving.abort();
        Outcome::Ok(median(values))
    })?;
    node.close();
    Ok(Measure::new("submit_64_https", value, "entries/s, clients on the same cores", TESSERA, "Tessera's POSIX log"))
}

async fn post(client: reqwest::Client, url: String, records: Arc<Vec<Vec<u8>>>, next: Arc<AtomicUsize>) -> bool {
    while let Some(record) = records.get(next.fetch_add(1, Ordering::Relaxed)) {
        let Ok(response) = client.post(&url).body(record.clone()).send().await else { return false };
        if !response.text().await.is_ok_and(|t| t.contains("\"accepted\"")) {
            return false;
        }
    }
    true
}

async fn server(dir: &Path, node: &Arc<Node>) -> Outcome<(Server, Vec<u8>)> {
    let file = dir.join("domovoi.toml");
    std::fs::write(&file, format!("[node]\ndata_dir = {dir:?}\n[http]\nlisten = [\"127.0.0.1:0\"]\n"))?;
    let load = move || Config::load(Some(&file), &[], &[]);
    let live = Live::open(load()?, Box::new(load), None)?;
    let api = openapi::api().merge(log_api::router().with_state(node.clone()));
    let options = Options { ready: Arc::new(|| Ok(())), large_bodies: &["/api/v1/submit"] };
    let server = Server::bind(openapi::finish(api)?, live, options).await?;
    Ok((server, std::fs::read(dir.join("tls/dev-cert.pem"))?))
}

/// One client, one record at a time, each sent when the last one is answered.
pub fn idle(dir: &Path) -> Outcome<Measure> {
    let (world, node) = World::create(dir)?;
    let records = records(&world, 0, 500)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let (mut values, mut limits) = (Vec::new(), Vec::new());
    for record in records.iter() {
        let (took, answer) = timed(|| runtime.block_on(node.submit(vec![record.clone()], false)));
        answer?;
        values.push(took);
        // In turn, so that whatever else the disk does at the moment is in both.
        limits.push(durable_replace(dir)?);
    }
    node.close();
    let (unit, against) = ("ms, p50 (lower is better)", "p50 of a durable file replace");
    Ok(Measure::new("submit_idle", median(values) * 1e3, unit, median(limits) * 1e3, against))
}
