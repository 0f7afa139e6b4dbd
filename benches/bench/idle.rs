//! What a round over 89 peers that have nothing new costs: CPU time of the follower's process alone. The peers are another
//! process, each a server of its own over TLS on loopback, as a node's.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use axum::Router;
use axum::extract::Path as UrlPath;
use axum::http::StatusCode;
use axum::routing::get;
use domovoi::federation::charter::Charter;
use domovoi::http::{Live, Options, Server};
use domovoi::node::clock::Clock;
use domovoi::node::config::Config;
use domovoi::node::sequencer::Bounds;
use domovoi::node::signing::Signing;
use domovoi::node::{Node, Opening};
use domovoi::sync::client::Network;
use domovoi::sync::follower::{Follower, Source};
use domovoi::sync::schedule;
use serde_json::{Value, json};

use crate::forge::{Forge, Lie};
use crate::{Measure, Outcome, end};

/// Regions of the country.
const PEERS: usize = 89;
/// Records of each, so that there are tiles of more than one level's worth.
const RECORDS: u64 = 300;
/// Rounds that are measured together: the system counts CPU time in hundredths of a second.
const ROUNDS: u32 = 20;

/// Serves all of them until it is ended; one line a peer on stdout.
pub fn serve(dir: &Path) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut running = tokio::task::JoinSet::new();
        for n in 0..PEERS {
            let mut forge = Forge::new(n);
            let signer = forge.operator.clone();
            forge.batch((1..=RECORDS).map(|i| forge.building(&signer, i).1).collect(), Lie::None);
            let served = Arc::new(forge.served());
            let answer = async move |UrlPath(path): UrlPath<String>| match served.answer(&path) {
                Some(body) => (StatusCode::OK, body),
                None => (StatusCode::NOT_FOUND, Vec::new()),
            };
            let own = dir.join(n.to_string());
            std::fs::create_dir_all(&own)?;
            let config = Config::from_layers("http.listen = [\"127.0.0.1:0\"]", &own.join("domovoi.toml"), &[], &[])?;
            let live = Live::open(config, Box::new(|| Ok(Config::default())), None)?;
            let app = Router::new().route("/{*path}", get(answer));
            let server = Server::bind(app, live, Options { ready: Arc::new(|| Ok(())), large_bodies: &[] }).await?;
            let pin = Charter::open(&forge.charter)?.sha256().to_string();
            let ca = own.join("tls/dev-cert.pem");
            println!("{}", json!({ "url": server.local_url(), "pin": pin, "ca": ca }));
            running.spawn(server.run(std::future::pending()));
        }
        while running.join_next().await.is_some() {}
        Ok(())
    })
}

/// CPU time of this process so far, seconds.
fn cpu() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name of the program stands in brackets and may hold anything.
    let rest = stat.rsplit_once(')').ok_or("no such line")?.1;
    let ticks: Vec<f64> = rest.split_whitespace().skip(11).take(2).filter_map(|n| n.parse().ok()).collect();
    // USER_HZ is 100 on every Linux that this runs on.
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// CPU seconds of one round over all of them, with the connections of the round before.
pub fn round(dir: &Path) -> Outcome<Measure> {
    let peers = dir.join("peers");
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--peers", &peers.to_string_lossy()])
        .stdout(Stdio::piped())
        .spawn()?;
    let measured = follow(dir, child.stdout.take().map(BufReader::new).ok_or("no stdout")?);
    end(&mut child);
    measured
}

fn follow(dir: &Path, lines: impl BufRead) -> Outcome<Measure> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let data = dir.join("ministry");
    std::fs::create_dir_all(&data)?;
    domovoi::storage::format::create(&data)?;
    let opening = Opening {
        data: &data,
        passphrase: None,
        bounds: Bounds { records: 1000, bytes: 1 << 20, waiting: 16 },
        stale_after_hours: 24,
        confirm_restored_head: None,
        clock: Clock::system(),
        signing: Signing::allowed(),
    };
    let node = Arc::new(Node::open(opening, &mut |_, _| {})?);
    let mut sources = Vec::with_capacity(PEERS);
    for line in lines.lines().take(PEERS) {
        let peer: Value = serde_json::from_str(&line?)?;
        let text = |key: &str| peer[key].as_str().unwrap_or_default().to_owned();
        sources.push(Source {
            name: format!("peer-{}", sources.len()),
            url: text("url"),
            charter_sha256: Some(text("pin")),
            ca: Some(std::fs::read(text("ca"))?),
            network: Network::default(),
        });
    }
    if sources.len() != PEERS {
        return Err(format!("{} peers serve", sources.len()).into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut followers: Vec<Arc<Follower>> = Vec::with_capacity(PEERS);
        for source in &sources {
            followers.extend(schedule::open(&node, source, &[]).await?.into_iter().map(Arc::new));
        }
        one(&followers).await?;
        let whole = node.followed().iter().filter(|f| f.view.head().is_some_and(|h| h.index > RECORDS)).count();
        if whole != PEERS {
            return Err(format!("{whole} of {PEERS} are followed").into());
        }
        // Anew from the disk: nothing is connected, and nothing new will be found.
        drop(followers);
        let mut followers: Vec<Arc<Follower>> = Vec::with_capacity(PEERS);
        for source in &sources {
            followers.extend(schedule::open(&node, source, &[]).await?.into_iter().map(Arc::new));
        }
        let before = cpu()?;
        one(&followers).await?;
        let cold = cpu()? - before;
        let before = cpu()?;
        for _ in 0..ROUNDS {
            one(&followers).await?;
        }
        let warm = (cpu()? - before) / f64::from(ROUNDS);
        eprintln!("idle_round: {cold:.2} s of CPU where each peer is connected to anew");
        let against = format!(
            "1 s of CPU; {PEERS} peers over TLS with nothing new, mean of {ROUNDS} rounds over kept connections"
        );
        Ok(Measure::new("idle_round", warm, "s of CPU (lower is better)", 1.0, against))
    })
}

/// A round of all, side by side as the scheduler runs them.
async fn one(followers: &[Arc<Follower>]) -> Outcome<()> {
    let mut running = tokio::task::JoinSet::new();
    for follower in followers {
        let follower = follower.clone();
        running.spawn(async move { follower.round().await });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}
