//! Runs every follower on its own: a round every interval, backoff with jitter after a failure, no one waits for another. What
//! ends a round ends that round only: an error, the deadline, a panic.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

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

/// First rounds are spread over an interval, and over so long at most: a node that starts asks nobody in step with others, and
/// is up to date soon.
const SPREAD: Duration = Duration::from_secs(10);

/// Starts following `sources`; each ends when `shutdown` turns true.
pub fn start(
    node: &Arc<Node>,
    sources: Vec<Source>,
    interval: Duration,
    shutdown: &watch::Receiver<bool>,
) -> Vec<tokio::task::JoinHandle<()>> {
    let configured: Arc<[String]> = sources.iter().map(|source| source.name.clone()).collect();
    // Where each can look for a copy when its own node is down; one whose address is no address says so in its own rounds.
    let all: Arc<[Peer]> = sources.iter().filter_map(|s| s.peer().ok()).collect();
    let tasks = sources.into_iter().map(|source| {
        let (node, shutdown) = (node.clone(), shutdown.clone());
        let others = Others { configured: configured.clone(), all: all.clone() };
        tokio::spawn(follow(node, source, others, interval, shutdown))
    });
    tasks.collect()
}

/// What a source's task knows of the others.
struct Others {
    /// Names of all sources of the configuration.
    configured: Arc<[String]>,
    all: Arc<[Peer]>,
}

async fn follow(
    node: Arc<Node>,
    source: Source,
    others: Others,
    interval: Duration,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut followers: Vec<Follower> = Vec::new();
    // One connection for all that is compared with it.
    let mut talk: Option<Peer> = None;
    let mut rounds = 0u64;
    // What is on disk is answered from at once; only the network waits for its turn.
    let known = known_origins(&node, &source);
    let opened = caught(reopen(&node, &source, known));
    tokio::select! {
        opened = opened => match opened {
            Ok(opened) => followers = opened,
            Err(e) => failed(&source, &e, 0),
        },
        _ = shutdown.changed() => return,
    }
    let mut next = Instant::now() + interval.min(SPREAD).mul_f64(fraction());
    let mut failures = 0u32;
    while !*shutdown.borrow() {
        tokio::select! {
            () = sleep_until(next) => {}
            // Whoever is there again need not wait out the pause after its failures, only the usual one.
            () = heard(&followers), if failures > 0 => {
                failures = 0;
                next = next.min(Instant::now() + interval.mul_f64(fraction()));
                continue;
            }
            _ = shutdown.changed() => break,
        }
        let round = caught(async {
            let done = round(&node, &source, &others.configured, &mut followers).await;
            // What a node says of others is no matter of its own log: it is heard also where that is refused.
            let heard = match &done {
                Ok(()) => rounds.is_multiple_of(gossip::EVERY),
                Err(e) => e.action() != Action::Retry,
            };
            if heard && let Err(e) = gossip::compare(&node, talk.get_or_insert(source.peer()?)).await {
                tracing::warn!(peer = %source.name, error = %e, "its heads could not be compared");
            }
            rounds += 1;
            done
        });
        let result = tokio::select! {
            done = timeout(ROUND, round) => done.unwrap_or_else(|_| {
                Err(Error::retry("sync.round", "the round took longer than ten minutes", "the next one goes on from there"))
            }),
            _ = shutdown.changed() => break,
        };
        let pause = match result {
            Ok(()) => {
                failures = 0;
                interval
            }
            Err(e) => {
                failures = failures.saturating_add(1);
                failed(&source, &e, failures);
                if e.action() == Action::Retry && failures >= COPIES_AFTER {
                    from_copies(&followers, &others.all, &mut shutdown).await;
                }
                if matches!(e.code(), PANIC | "sync.task") {
                    // What is in memory may be half done; what is on disk is not.
                    followers.clear();
                }
                backoff(interval, failures)
            }
        };
        next = Instant::now() + pause;
    }
}

/// Goes on with what other nodes keep of the logs whose own node does not answer.
async fn from_copies(followers: &[Follower], all: &[Peer], shutdown: &mut watch::Receiver<bool>) {
    let looking = caught(async {
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
        Ok(())
    });
    tokio::select! {
        looked = timeout(ROUND, looking) => if let Ok(Err(e)) = looked {
            tracing::warn!(error = %e, "copies of a log could not be looked at");
        },
        _ = shutdown.changed() => {}
    }
}

fn failed(source: &Source, error: &Error, failures: u32) {
    tracing::warn!(peer = %source.name, %error, failures, "a round of following did not succeed");
}

/// One round of every log of the source; `configured` are the names of all sources. The first opens what is kept of them.
///
/// # Errors
/// Those of the peer and of the disk.
pub async fn round(
    node: &Arc<Node>,
    source: &Source,
    configured: &[String],
    followers: &mut Vec<Follower>,
) -> Result<()> {
    if followers.is_empty() {
        *followers = open(node, source, configured).await?;
    }
    for follower in followers.iter() {
        follower.round().await?;
    }
    Ok(())
}

/// Until one of these peers has been in touch by itself.
async fn heard(followers: &[Follower]) {
    if followers.is_empty() {
        return std::future::pending().await;
    }
    let waiting = followers.iter().map(|f| Box::pin(f.followed.heard.notified()));
    futures_util::future::select_all(waiting).await;
}

/// Code of a panic inside a round.
const PANIC: &str = "sync.panic";

/// What comes of `work`; a panic in it is an error.
async fn caught<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut work = pin!(work);
    std::future::poll_fn(|cx| {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
        polled.unwrap_or_else(|_| {
            Poll::Ready(Err(Error::retry(
                "sync.panic",
                "this program failed in a round of following",
                "report this as a defect; it is tried again",
            )))
        })
    })
    .await
}

/// At random, 0 to 1.
fn fraction() -> f64 {
    f64::from(rand::random::<u16>()) / f64::from(u16::MAX)
}

/// Doubles with every failure up to [`MAX_BACKOFF`], plus up to a quarter at random so that peers are not asked in step.
fn backoff(interval: Duration, failures: u32) -> Duration {
    let base = interval.saturating_mul(1 << failures.min(8)).min(MAX_BACKOFF.max(interval));
    base + base.mul_f64(0.25 * fraction())
}

/// Opens the mirrors of a source, one of those `configured`. What is on disk is used even when the peer is down; the charter is
/// fetched the first time only.
///
/// # Errors
/// Those of the peer and of the disk.
pub async fn open(node: &Arc<Node>, source: &Source, configured: &[String]) -> Result<Vec<Follower>> {
    let known: Vec<String> = known_origins(node, source);
    if !known.is_empty() {
        return reopen(node, source, known).await;
    }
    let peer = source.peer()?;
    let (charter, bytes) = fetch_charter(&peer, source.charter_sha256.as_deref()).await?;
    // A charter names many regions; this node is asked for the one whose log it serves. Its word on that is only where to
    // look: the checkpoint is verified under that log's key before anything else.
    let served = peer.log_file(LogPath::Checkpoint).await.map_err(|e| e.with_action(Action::Retry))?;
    let served = std::str::from_utf8(&served).ok().and_then(|note| note.lines().next().map(str::to_owned));
    let origin = served.filter(|o| charter.region_by_origin(o).is_some()).ok_or_else(|| {
        Error::isolate(
            "peer.charter",
            format!("{} serves a log that its charter does not name", peer.url()),
            "follow the region's own node",
        )
    })?;
    if node.own().is_some_and(|v| v.origin == origin) {
        return Ok(Vec::new());
    }
    Follower::begin(&node.layout, &origin, source, &bytes, configured)?;
    reopen(node, source, vec![origin]).await
}

/// Opens the mirrors of these origins.
async fn reopen(node: &Arc<Node>, source: &Source, origins: Vec<String>) -> Result<Vec<Follower>> {
    let mut opened = Vec::with_capacity(origins.len());
    for origin in origins {
        let (layout, source, clock) = (node.layout.clone(), source.clone(), node.clock.clone());
        let opening =
            tokio::task::spawn_blocking(move || Follower::open(&layout, &origin, &source, clock, &mut |_, _| {}));
        let follower = opening.await.map_err(|e| Error::retry("sync.task", e.to_string(), "see the log"))??;
        node.follow(follower.followed.clone());
        opened.push(follower);
    }
    Ok(opened)
}

/// Origins of this source that are on disk already.
fn known_origins(node: &Node, source: &Source) -> Vec<String> {
    let folder = node.layout.data().join("mirrors");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mirrors = entries.map(|e| crate::node::layout::Layout::new(&e.path()));
    // Several regions may share one pinned charter: the mirror says which source it is of. That is read first: of a federation's
    // mirrors all but one are of others.
    let named = mirrors.filter(|m| read_bounded(&m.source(), 1024).is_ok_and(|name| name == source.name.as_bytes()));
    let of_source = named.filter(|m| {
        let chain = crate::node::charters::read_chain(m);
        let pin = source.charter_sha256.as_deref();
        chain.is_ok_and(|c| pin.is_none_or(|pin| c.versions().iter().any(|v| v.sha256().to_string() == pin)))
    });
    // An origin that is not its folder's is damaged: the mirror is opened with what the peer's charter says.
    of_source.filter_map(|m| m.origin().ok().filter(|o| node.layout.mirror(o).data() == m.data())).collect()
}
