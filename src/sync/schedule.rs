//! Runs every follower on its own: a round every interval, backoff with jitter after a failure, no one waits for another.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::client::Peer;
use super::follower::{Follower, Source, fetch_charter};
use super::gossip;
use crate::error::{Action, Error, Result};
use crate::node::Node;
use crate::storage::durable::read_bounded;
use crate::tlog::tile::LogPath;

/// Longest pause after failures.
const MAX_BACKOFF: Duration = Duration::from_secs(300);

/// Longest time a round may take; the next one goes on where it stopped.
const ROUND: Duration = Duration::from_secs(600);

/// Failures to reach a log's own node after which the copies of others are looked at.
const COPIES_AFTER: u32 = 2;

/// Starts following `sources`; each ends when `shutdown` turns true.
pub fn start(
    node: &Arc<Node>,
    sources: Vec<Source>,
    interval: Duration,
    shutdown: &watch::Receiver<bool>,
) -> Vec<tokio::task::JoinHandle<()>> {
    // Where each can look for a copy when its own node is down; one whose address is no address says so in its own rounds.
    let all: Arc<[Peer]> = sources.iter().filter_map(|s| s.peer().ok()).collect();
    let tasks = sources.into_iter().map(|source| {
        let (node, all, shutdown) = (node.clone(), all.clone(), shutdown.clone());
        tokio::spawn(follow(node, source, all, interval, shutdown))
    });
    tasks.collect()
}

async fn follow(
    node: Arc<Node>,
    source: Source,
    all: Arc<[Peer]>,
    interval: Duration,
    mut shutdown: watch::Receiver<bool>,
) {
    let (mut failures, mut rounds) = (0u32, 0u64);
    let mut followers: Vec<Follower> = Vec::new();
    // One connection for all that is compared with it.
    let mut talk: Option<Peer> = None;
    while !*shutdown.borrow() {
        let round = async {
            if followers.is_empty() {
                followers = open(&node, &source).await?;
            }
            for follower in &followers {
                follower.round().await?;
            }
            if rounds.is_multiple_of(gossip::EVERY) {
                // What a node says of others is no matter of its own log.
                if let Err(e) = gossip::compare(&node, talk.get_or_insert(source.peer()?)).await {
                    tracing::warn!(peer = %source.name, error = %e, "its heads could not be compared");
                }
            }
            rounds += 1;
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
                if e.action() == Action::Retry && failures >= COPIES_AFTER {
                    from_copies(&followers, &all, &mut shutdown).await;
                }
                backoff(interval, failures)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = shutdown.changed() => break,
        }
    }
}

/// Goes on with what other nodes keep of the logs whose own node does not answer.
async fn from_copies(followers: &[Follower], all: &[Peer], shutdown: &mut watch::Receiver<bool>) {
    let looking = async {
        for follower in followers {
            for other in all.iter().filter(|p| !follower.is_at(p)) {
                match follower.round_from(other).await {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(e) => {
                        tracing::warn!(origin = %follower.followed.view.origin, copy = other.url(), error = %e, "a copy of a log is of no use")
                    }
                }
            }
        }
    };
    tokio::select! {
        _ = tokio::time::timeout(ROUND, looking) => {}
        _ = shutdown.changed() => {}
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
    // Several regions may share one pinned charter: the mirror says which source it is of. Asked first, since a node that
    // follows everybody would otherwise verify everybody's charters for everybody.
    let named = mirrors.filter(|m| read_bounded(&m.source(), 1024).is_ok_and(|name| name == source.name.as_bytes()));
    let of_source = named.filter(|m| match crate::node::charters::read_chain(m) {
        Ok(chain) => source.charter_sha256.as_deref().is_none_or(|p| chain.first().sha256().to_string() == p),
        Err(_) => false,
    });
    // An origin that is not its folder's is damaged: the mirror is opened with what the peer's charter says.
    of_source.filter_map(|m| m.origin().ok().filter(|o| node.layout.mirror(o).data() == m.data())).collect()
}
