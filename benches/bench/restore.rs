//! A lost node: its log made anew from a copy that another node serves over TLS, client and server on the same cores.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::Path as UrlPath;
use axum::http::StatusCode;
use axum::routing::get;
use domovoi::error::Result;
use domovoi::http::static_log::{LogFiles, Which};
use domovoi::http::{Live, Options, Server, static_log};
use domovoi::node::clock::Clock;
use domovoi::node::config::Config;
use domovoi::node::layout::Layout;
use domovoi::storage::log_store::LogReader;
use domovoi::sync::client::{Network, Peer};
use domovoi::sync::follower::{Follower, Source};
use domovoi::sync::own_head::Keeper;
use domovoi::sync::restore::{restore, survey};
use domovoi::sync::round::PARALLEL;
use domovoi::tlog::tile::{LogPath, bundles_between};
use tokio::task::JoinSet;

use crate::{Measure, Outcome, REPEATS, log, median, timed};

/// The copy, whatever its name.
struct Copy(LogReader);

impl LogFiles for Copy {
    fn read(&self, _: &Which, path: LogPath) -> Result<Option<Vec<u8>>> {
        self.0.read(path)
    }
}

/// Entries a second from the first question to a directory that a node can be started in; beside it what
/// cannot be left out: the same bytes from the same server, and the limit of follow_verify.
pub fn restored(dir: &Path, scratch: &Path) -> Outcome<Measure> {
    let layout = Layout::new(dir);
    let (reader, origin) = (LogReader::open(&layout.log())?, layout.origin()?);
    let charter = std::fs::read(layout.charter())?;
    let pin = domovoi::federation::charter::Charter::open(&charter)?.sha256().to_string();
    let size = reader.size();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new()?;
    let served = scratch.join("served");
    std::fs::create_dir_all(&served)?;
    let (keeper, source) = runtime.block_on(async {
        let file = served.join("domovoi.toml");
        std::fs::write(&file, format!("[node]\ndata_dir = {served:?}\n[http]\nlisten = [\"127.0.0.1:0\"]\n"))?;
        let read = move || Config::load(Some(&file), &[], &[]);
        let live = Live::open(read()?, Box::new(read), None)?;
        let versions = get(|UrlPath(_): UrlPath<u64>| async { StatusCode::NOT_FOUND });
        let pinned = charter.clone();
        let app = Router::new()
            .route("/api/v1/federation/charter", get(move || async move { pinned }))
            .route("/api/v1/federation/charters/{version}", versions)
            .merge(static_log::router(Arc::new(Copy(reader.clone()))));
        let server = Server::bind(app, live, Options { ready: Arc::new(|| Ok(())), large_bodies: &[] }).await?;
        let url = server.local_url();
        tokio::spawn(server.run(std::future::pending()));
        let ca = std::fs::read(served.join("tls").join(domovoi::http::tls::DEVELOPMENT_CERT))?;
        let [copy, _] = Keeper::of_node("copy", &Peer::new(&url, Some(&ca))?, &origin, true);
        let source = Source {
            name: "copy".into(),
            url,
            charter_sha256: Some(pin.clone()),
            ca: Some(ca),
            network: Network::default(),
        };
        Outcome::Ok((copy, source))
    })?;
    let (mut values, mut limits, mut alone, mut followed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let ring = log::granted(&reader, &log::charters(&layout)?)?;
    // What is made stays until the end: before it gives out an inode, ext4 looks at each that was freed in the last minutes.
    for n in 0..REPEATS {
        let into = Layout::new(&scratch.join(format!("restored-{n}")));
        let keepers = [keeper.clone()];
        let (took, done) = timed(|| {
            runtime.block_on(async {
                let found = survey(&keepers, &origin, &pin).await?;
                restore(&into, &origin, &found, |_| {}).await
            })
        });
        let done = done?;
        if done.size != size || done.root != reader.head().1 {
            return Err("another log was restored".into());
        }
        values.push(size as f64 / took);
        let (fetching, fetched) = timed(|| runtime.block_on(fetch(&keeper.peer, size)));
        fetched?;
        let verifying = log::unavoidable(&reader, &ring)?;
        limits.push(size as f64 / (fetching + verifying));
        alone.push(size as f64 / verifying);
        let data = Layout::new(&scratch.join(format!("follows-{n}")));
        Follower::begin(&data, &origin, &source, &charter, &[])?;
        let follower = Follower::open(&data, &origin, &source, Clock::system(), &mut |_, _| {})?;
        let (took, round) = timed(|| runtime.block_on(follower.round()));
        round?;
        if follower.followed.view.reader.size() != size {
            return Err("another log was followed".into());
        }
        followed.push(size as f64 / took);
    }
    let restored = median(values);
    eprintln!(
        "restore: {:.3} of parse + leaf hash + batch verify without a network; {:.2} times a follower's first round",
        restored / median(alone),
        restored / median(followed)
    );
    let against =
        "fetching the same from the same server over TLS, and parse + leaf hash + batch verify, on the same cores";
    Ok(Measure::new("restore", restored, "entries/s", median(limits), against))
}

/// Fetches all entries and throws them away.
async fn fetch(peer: &Peer, size: u64) -> Outcome<()> {
    let (mut wanted, mut running) = (bundles_between(0, size), JoinSet::new());
    loop {
        for id in wanted.by_ref().take(PARALLEL - running.len()) {
            let peer = peer.clone();
            running.spawn(async move { peer.log_file(LogPath::Bundle(id)).await });
        }
        let Some(done) = running.join_next().await else { return Ok(()) };
        std::hint::black_box(done??);
    }
}
