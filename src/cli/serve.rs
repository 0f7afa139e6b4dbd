//! `domovoi serve`: the node as a process.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::watch;

use super::cosigning::Cosigning;
use super::{Context, passphrase};
use crate::error::{Error, Result};
use crate::http::log_api::NodeLogs;
use crate::http::{
    Live, Options, Server, changes, dossiers, evidence_api, log_api, logging, openapi, pages, private_check, proofs,
    reads, search, static_log, witness,
};
use crate::node::charters::read_chain;
use crate::node::clock::Clock;
use crate::node::config::{Config, SyncSection};
use crate::node::cosigner_keys::{CosignerKeys, Role};
use crate::node::federation_log::confirm_restored;
use crate::node::layout::Layout;
use crate::node::sequencer::Bounds;
use crate::node::signing::Signing;
use crate::node::{Node, Opening};
use crate::storage::durable::{read_bounded, sync_dir};
use crate::sync::client::Network;
use crate::sync::follower::Source;
use crate::sync::own_head::{Keeper, keepers};
use crate::sync::rebuild::roll_forward;
use crate::sync::recovery::{Attempts, Longer, Recovery};
use crate::sync::{alerts, schedule};

/// Submissions that may wait for the writer; more are told to come again.
const WAITING: usize = 1024;

/// Runs the node.
#[derive(Debug, Args)]
pub struct Serve {
    #[arg(
        long,
        value_name = "SIZE",
        help = "После восстановления из копии: подтвердить, что никто не видел журнал длиннее этого размера"
    )]
    confirm_restored_head: Option<u64>,
    #[arg(
        long,
        value_name = "SIZE",
        help = "То же о журнале федерации: подтвердить, что никто не видел его длиннее этого размера"
    )]
    confirm_restored_federation_head: Option<u64>,
}

impl Serve {
    /// Opens the data directory and serves until SIGTERM or SIGINT; SIGHUP reloads certificate and configuration.
    pub fn run(&self, context: &Context) -> Result<()> {
        let config = context.config()?;
        let log = logging::init(&config.log)?;
        let data = config.node.data_dir.clone();
        let layout = Layout::new(&data);
        let own = layout.has_own_log() || layout.federation().has_own_log();
        let cosigns = Role::ALL.iter().any(|role| layout.key(role.file()).exists());
        let passphrase = if own || cosigns { Some(passphrase(context, true)?) } else { None };
        let cosigners = CosignerKeys::open(&layout, passphrase.as_ref())?;
        if let Some(size) = self.confirm_restored_federation_head {
            confirm_restored(&layout.federation(), size)?;
        }
        let runtime = super::api::runtime()?;
        let cosigning = Cosigning::open(&layout, cosigners, &config);
        let (mut config, mut attempts) = (config, Attempts::default());
        loop {
            let keepers = keepers_of(&config, &layout)?;
            let signing = if keepers.is_empty() { Signing::allowed() } else { Signing::asking() };
            let bar = context.out.progress(0, "Загрузка журнала", "Loading the log");
            let node = Arc::new(Node::open(
                Opening {
                    data: &data,
                    passphrase: passphrase.as_ref(),
                    bounds: Bounds {
                        records: config.sequencer.max_batch_records,
                        bytes: config.sequencer.max_batch_bytes,
                        waiting: WAITING,
                    },
                    stale_after_hours: config.sync.stale_after_hours,
                    confirm_restored_head: self.confirm_restored_head,
                    clock: Clock::system(),
                    signing,
                },
                &mut |done, total| {
                    bar.set_length(total);
                    bar.set_position(done);
                },
            )?);
            bar.finish_and_clear();
            let recovery = Recovery {
                node: node.clone(),
                keepers,
                must: config.mirrors_must_answer(),
                confirmed: self.confirm_restored_head,
                interval: Duration::from_secs(config.sync.interval_seconds.saturating_mul(5)),
            };
            let reload = Context { common: context.common.clone(), out: context.out };
            let live = Live::open(config, Box::new(move || reload.config()), Some(log.clone()))?;
            let result = runtime.block_on(run(node.clone(), live, &cosigning, context, recovery, &attempts));
            node.close();
            drop(node);
            let Some(longer) = result? else { return Ok(()) };
            // Others have what this directory has not: the log is brought up to that, and opened again.
            let origin = layout.origin()?;
            if let Err(e) = runtime.block_on(roll_forward(&layout, &origin, &longer, &mut |_, _| {})) {
                tracing::error!(error = %e, "the log could not be brought up to what its key has signed");
                attempts.failed(&longer);
            }
            config = context.config()?;
        }
    }
}

/// Whom a node with a log of its own asks about it. Where its files do not say which log that is, opening it says why.
fn keepers_of(config: &Config, layout: &Layout) -> Result<Vec<Keeper>> {
    match (layout.has_own_log(), read_chain(layout), layout.origin()) {
        (true, Ok(chain), Ok(origin)) => {
            let keepers = keepers(config, &chain, &origin)?;
            if keepers.is_empty() {
                tracing::warn!(
                    "no node is named that keeps a copy of this log: it is signed on this directory's word alone"
                );
            }
            Ok(keepers)
        }
        _ => Ok(Vec::new()),
    }
}

/// Serves; gives longer heads of the own log where somebody has their entries.
async fn run(
    node: Arc<Node>,
    live: Arc<Live>,
    cosigning: &Cosigning,
    context: &Context,
    recovery: Recovery,
    attempts: &Attempts,
) -> Result<Option<Longer>> {
    let alone = recovery.keepers.is_empty();
    if alone {
        founding(&node).await?;
    }
    node.start_search()?;
    let (api, document) = openapi::api().split_for_parts();
    let api = utoipa_axum::router::OpenApiRouter::with_openapi(document)
        .merge(utoipa_axum::router::OpenApiRouter::from(api))
        .merge(reads::router().with_state(node.clone()))
        .merge(search::router().with_state(node.clone()))
        .merge(proofs::router().with_state(node.clone()))
        .merge(dossiers::router().with_state(node.clone()))
        .merge(log_api::router().with_state(node.clone()))
        .merge(evidence_api::router().with_state(node.clone()))
        .merge(changes::router(node.clone(), live.clone()))
        .merge(private_check::router().with_state(node.clone()))
        .merge(
            witness::router()
                .with_state(witness::Witnessing { node: node.clone(), witness: cosigning.witness.clone() }),
        );
    let app = openapi::finish(api)?
        .merge(static_log::router(Arc::new(NodeLogs(node.clone(), cosigning.words.clone()))))
        .merge(pages::router(node.clone()));
    let watched = node.clone();
    let ready = move || match (watched.healthy(), watched.is_founding()) {
        (true, false) => Ok(()),
        (true, true) => Err("the records that found the log are not in it yet".to_owned()),
        (false, _) => Err("the log cannot be written".to_owned()),
    };
    let server =
        Server::bind(app, live.clone(), Options { ready: Arc::new(ready), large_bodies: &["/api/v1/submit"] }).await?;
    let (stop, stopping) = watch::channel(false);
    let joining = tokio::spawn(joining(node.clone(), live.clone(), stopping.clone()));
    let gathering = cosigning.start(&node, &live.config(), &stopping);
    let of_now = live.clone();
    let alerting = tokio::spawn(alerts::watch(node.clone(), move || of_now.config(), stopping.clone()));
    let following = tokio::spawn(following(node.clone(), live.clone(), stopping));
    context.out.line(&context.out.pick(
        format!("Узел работает: {}", server.local_url()),
        format!("The node is running: {}", server.local_url()),
    ));
    let (tell, mut told) = watch::channel(false);
    let mut stopped = stop.subscribe();
    let asking = async {
        let longer = if alone { None } else { recovery.watch(attempts, &mut stopped).await };
        tell.send_replace(longer.is_some());
        longer
    };
    let serving = async {
        let served = crate::http::serve::run_until(server, live, async {
            // The sender lives as long as this.
            let _ = told.wait_for(|longer| *longer).await;
        });
        let served = served.await;
        stop.send_replace(true);
        served
    };
    let result = tokio::select! {
        (served, longer) = async { tokio::join!(serving, asking) } => served.map(|()| longer),
        () = failed(&node) => Err(Error::stop("log.write", "the log could not be written; nothing that was acknowledged is lost", "look at the disk, then start the node again")),
        Err(e) = founded(&node, alone) => Err(e),
    };
    stop.send_replace(true);
    let _ = following.await;
    let _ = joining.await;
    for task in gathering {
        let _ = task.await;
    }
    let _ = alerting.await;
    result
}

/// Hands in the founding records as soon as the node may sign.
async fn founded(node: &Arc<Node>, done: bool) -> Result<()> {
    let waits = || !done && node.signing().is_some_and(|signing| !signing.is_allowed());
    while waits() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    if !done {
        founding(node).await?;
    }
    std::future::pending().await
}

/// Resolves when the writer has failed.
async fn failed(node: &Node) {
    while node.healthy() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Keeps the federation's log up to what is followed. A step is looked for twice an interval, so that a change in a region is
/// committed within two: one until the follower has it, half of one until the next step, and the step itself. Never more than
/// a fifth of the time goes into steps.
async fn joining(node: Arc<Node>, live: Arc<Live>, mut stopping: watch::Receiver<bool>) {
    while node.federation().is_some() && !*stopping.borrow() {
        let (at_work, begun) = (node.clone(), std::time::Instant::now());
        // A step that panicked leaves the log where it was; the next one begins anew.
        let _ = tokio::task::spawn_blocking(move || at_work.federation_step()).await;
        let interval = Duration::from_secs(live.config().sync.interval_seconds);
        tokio::select! {
            () = tokio::time::sleep((interval / 2).max(4 * begun.elapsed())) => {}
            _ = stopping.changed() => break,
        }
    }
}

/// What is followed and how, the way to end it, and its tasks.
type Running = ((Vec<crate::node::config::Follow>, SyncSection), watch::Sender<bool>, Vec<tokio::task::JoinHandle<()>>);

/// Follows what the configuration names, and follows anew when it changes.
async fn following(node: Arc<Node>, live: Arc<Live>, mut stopping: watch::Receiver<bool>) {
    let mut changed = live.subscribe();
    let mut running: Option<Running> = None;
    loop {
        let config = changed.borrow_and_update().clone();
        let wanted = (config.follow.clone(), config.sync.clone());
        if running.as_ref().is_none_or(|(now, _, _)| *now != wanted) {
            if let Some((_, stop, tasks)) = running.take() {
                stop.send_replace(true);
                for task in tasks {
                    let _ = task.await;
                }
            }
            let (stop, seen) = watch::channel(false);
            let interval = Duration::from_secs(config.sync.interval_seconds);
            running = Some((wanted, stop, schedule::start(&node, sources(&config), interval, &seen)));
        }
        tokio::select! {
            changed = changed.changed() => if changed.is_err() { break },
            _ = stopping.changed() => break,
        }
    }
    if let Some((_, stop, tasks)) = running {
        stop.send_replace(true);
        for task in tasks {
            let _ = task.await;
        }
    }
}

fn sources(config: &Config) -> Vec<Source> {
    let network = Network::new(config.sync.allow_addresses.clone());
    let source = |f: &crate::node::config::Follow| Source {
        network: network.clone(),
        name: f.name.clone(),
        url: f.url.clone(),
        charter_sha256: Some(f.charter_sha256.clone()),
        ca: f.ca.as_ref().and_then(|path| match read_bounded(path, 1 << 20) {
            Ok(pem) => Some(pem),
            Err(e) => {
                tracing::error!(peer = %f.name, error = %e, "its certificate file cannot be read");
                None
            }
        }),
    };
    config.follow.iter().map(source).collect()
}

/// Hands in the records `init` left for the first start.
async fn founding(node: &Arc<Node>) -> Result<()> {
    let path = node.layout.founding();
    if node.own().is_none() || !path.exists() {
        return Ok(());
    }
    let bytes = read_bounded(&path, 1 << 20)?;
    let entries: Vec<_> = bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(<[u8]>::to_vec).collect();
    node.found(entries).await.map_err(|e| e.at("founding.jsonl"))?;
    std::fs::remove_file(&path)
        .map_err(|e| Error::stop("init.founding", format!("{}: {e}", path.display()), "remove the file"))?;
    sync_dir(node.layout.data())
}
