//! Runs every follower on its own: a round every interval, backoff with jitter after a failure, no one waits for another.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::follower::{Follower, Source, fetch_charter};
use crate::error::{Action, Error, Result};
use crate::node::Node;
use crate::storage::durable::read_bounded;
use crate::tlog::tile::LogPath;

/// Longest pause after failures.
const MAX_BACKOFF: Duration = Duration::from_secs(300);

/// Longest time a round may take; the next one goes on where it stopped.
const ROUND: Duration = Duration::from_secs(600);

/// Starts following `sources`; each ends when `shutdown` turns true.
pub fn start(
    node: &Arc<Node>,
    sources: Vec<Source>,
    interval: Duration,
    shutdown: &watch::Receiver<bool>,
) -> Vec<tokio::task::JoinHandle<()>> {
    let tasks = sources.into_iter().map(|source| {
        let (node, shutdown) = (node.clone(), shutdown.clone());
        tokio::spawn(follow(node, source, interval, shutdown))
    });
    tasks.collect()
}

async fn follow(node: Arc<Node>, source: Source, interval: Duration, mut shutdown: watch::Receiver<bool>) {
    let mut failures = 0u32;
    let mut followers: Vec<Follower> = Vec::new();
    while !*shutdown.borrow() {
        let round = async {
            if followers.is_empty() {
                followers = open(&node, &source).await?;
            }
            for follower in &followers {
                follower.round().await?;
            }
            Ok(())
        };
        let result = tokio::select! {
            done = tokio::time::timeout(ROUND, round) => match done {
                Ok(done) => done,
                Err(_) => Err(crate::error::Error::retry("sync.round", "the round took longer than ten minutes", "the next one goes on from there")),
            },
            _ = shutdown.changed() => break,
        };
        let pause = match result {
            Ok(()) => {
                failures = 0;
                interval
            }
            Err(e) => {
                failures = failures.saturating_add(1);
                tracing::warn!(peer = %source.name, error = %e, failures, "a round of following did not succeed");
                backoff(interval, failures)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = shutdown.changed() => break,
        }
    }
}

/// Doubles with every failure up to [`MAX_BACKOFF`], plus up to a quarter at random so that peers are not asked in step.
fn backoff(interval: Duration, failures: u32) -> Duration {
    let base = interval.saturating_mul(1 << failures.min(8)).min(MAX_BACKOFF.max(interval));
    base + base.mul_f64(0.25 * f64::from(rand::random::<u16>()) / f64::from(u16::MAX))
}

/// Opens the mirrors of a source. What is on disk is used even when the peer is down; the charter is fetched the first
/// time only.
///
/// # Errors
/// Those of the peer and of the disk.
pub async fn open(node: &Arc<Node>, source: &Source) -> Result<Vec<Follower>> {
    let known: Vec<String> = known_origins(node, source);
    let (origins, charter) = match known.is_empty() {
        false => (known, None),
        true => {
            let peer = source.peer()?;
            let (charter, bytes) = fetch_charter(&peer, source.charter_sha256.as_deref()).await?;
            // A charter names many regions; this node is asked for the one whose log it serves. Its word on that is only
            // where to look: the checkpoint is verified under that log's key before anything else.
            let served = peer.log_file(LogPath::Checkpoint).await.map_err(|e| e.with_action(Action::Retry))?;
            let served = std::str::from_utf8(&served).ok().and_then(|note| note.lines().next().map(str::to_owned));
            let origin = served.filter(|o| charter.region_by_origin(o).is_some()).ok_or_else(|| {
                Error::isolate(
                    "peer.charter",
                    format!("{} serves a log that its charter does not name", peer.url()),
                    "follow the region's own node",
                )
            })?;
            let own = node.own().is_some_and(|v| v.origin == origin);
            (Some(origin).filter(|_| !own).into_iter().collect(), Some(bytes))
        }
    };
    let mut followers = Vec::with_capacity(origins.len());
    for origin in origins {
        let (layout, source, charter, clock) =
            (node.layout.clone(), source.clone(), charter.clone(), node.clock.clone());
        let opened = tokio::task::spawn_blocking(move || {
            Follower::open(&layout, &origin, &source, charter.as_deref(), clock, &mut |_, _| {})
        });
        let follower =
            opened.await.map_err(|e| crate::error::Error::retry("sync.task", e.to_string(), "see the log"))??;
        node.follow(follower.followed.clone());
        followers.push(follower);
    }
    Ok(followers)
}

/// Origins of this source that are on disk already.
fn known_origins(node: &Node, source: &Source) -> Vec<String> {
    let folder = node.layout.data().join("mirrors");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mirrors = entries.map(|e| crate::node::layout::Layout::new(&e.path()));
    let of_source = mirrors.filter(|m| match crate::node::charters::read_chain(m) {
        Ok(chain) => {
            let pinned = source.charter_sha256.as_deref().is_none_or(|p| chain.first().sha256().to_string() == p);
            // Several regions may share one pinned charter: the mirror says which source it is of.
            pinned && read_bounded(&m.source(), 1024).is_ok_and(|name| name == source.name.as_bytes())
        }
        Err(_) => false,
    });
    // An origin that is not its folder's is damaged: the mirror is opened with what the peer's charter says.
    of_source.filter_map(|m| m.origin().ok().filter(|o| node.layout.mirror(o).data() == m.data())).collect()
}
