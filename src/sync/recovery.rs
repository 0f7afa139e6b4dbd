//! When a node with a log of its own may sign: it asks at every start, and goes on asking while it runs
//! (docs/protocol.md, "The log never forks").

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::gossip::split;
use super::own_head::{Finding, Keeper, Own, Remembered, ask, fork, has_entries, judge, remembered};
use super::rebuild::Ahead;
use crate::error::{Error, Result};
use crate::federation::evidence::{Evidence, FORK, FORMAT, Proof};
use crate::node::Node;
use crate::node::log_view::LogView;
use crate::node::signing::Signing;
use crate::storage::evidence_store;
use crate::storage::fence::{Age, Fence};
use crate::tlog::checkpoint::{Checkpoint, VerifiedCheckpoint};
use crate::tlog::note::{Note, VerifierKey};

/// Longest pause between questions while nothing is signed.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// How long a copy that could not give what it showed is not asked for it again.
const AFTER_FAILURE: Duration = Duration::from_secs(120);

/// Heads beyond this node's own, with who showed them, the longest first.
pub type Longer = Vec<(Keeper, VerifiedCheckpoint)>;

/// Copies from which the log could not be brought up lately: kept from one opening of the node to the next, so that a copy
/// which shows more than it gives does not keep the node busy.
#[derive(Default)]
pub struct Attempts(HashMap<String, Instant>);

impl Attempts {
    /// Nothing could be had from these.
    pub fn failed(&mut self, longer: &Longer) {
        self.0.extend(longer.iter().map(|(keeper, _)| (keeper.name.clone(), Instant::now())));
    }
    fn may_try(&self, keeper: &Keeper) -> bool {
        self.0.get(&keeper.name).is_none_or(|at| at.elapsed() > AFTER_FAILURE)
    }
}

/// Whom the node asks, and what it needs to hear.
pub struct Recovery {
    /// The node.
    pub node: Arc<Node>,
    /// Whom it asks.
    pub keepers: Vec<Keeper>,
    /// How many of the named mirrors must show a head.
    pub must: usize,
    /// The operator's word on the highest head that anybody knows, after a restore.
    pub confirmed: Option<u64>,
    /// How often it asks once it signs.
    pub interval: Duration,
}

impl Recovery {
    /// Asks until the node stops, and opens or closes the gate accordingly. Gives heads that are longer than the node's own as
    /// soon as somebody has their entries: the log is then to be brought up to them, which needs the node to be closed.
    pub async fn watch(&self, attempts: &Attempts, stopping: &mut watch::Receiver<bool>) -> Option<Longer> {
        let (Some(view), Some(signing), Some(fence)) =
            (self.node.own(), self.node.signing(), self.node.opening_fence())
        else {
            return None;
        };
        let mut rounds = 0u32;
        let mut told = String::new();
        while !*stopping.borrow() {
            let round = tokio::select! {
                round = self.round(view, signing, fence, attempts) => round,
                _ = stopping.changed() => break,
            };
            match round {
                Ok(Some(longer)) => return Some(longer),
                Ok(None) => {}
                Err(e) => signing.wait_for(e),
            }
            // A reason is told once.
            let forked = signing.refusal().is_some_and(|e| e.code() == "recovery.fork");
            let why = signing.refusal().map_or_else(String::new, |e| e.to_string());
            if why != told {
                match why.is_empty() {
                    true => tracing::info!("the log may be written"),
                    false => tracing::error!(why, "nothing is signed"),
                }
                told = why;
            }
            metrics::gauge!("domovoi_signing").set(f64::from(u8::from(signing.is_allowed())));
            if forked {
                // Nobody's answer changes that: a version of the charter does, at the next start.
                let _ = stopping.changed().await;
                break;
            }
            rounds = rounds.saturating_add(1);
            let pause = match signing.is_allowed() {
                true => self.interval,
                false => Duration::from_millis(250).saturating_mul(1 << rounds.min(10)).min(MAX_PAUSE),
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stopping.changed() => break,
            }
        }
        None
    }

    async fn round(
        &self,
        view: &Arc<LogView>,
        signing: &Signing,
        fence: Fence,
        attempts: &Attempts,
    ) -> Result<Option<Longer>> {
        let (charters, charter) = {
            let state = view.state();
            (state.charters().clone(), state.charter())
        };
        let answers = ask(&self.keepers, &charters).await;
        let own = Own { reader: &view.reader, fence: (fence.size, fence.root), charter, charters: &charters };
        let keys: Vec<&VerifierKey> = charters.versions().iter().map(|j| &j.log_key).collect();
        let ahead = Ahead(&self.node.layout);
        match judge(&own, &self.keepers, answers, self.must)? {
            Finding::Fork(e, at, head) => {
                self.fork(view, signing, e, &self.keepers[at], &head).await;
            }
            Finding::Behind(found) => {
                let longer: Longer = found.into_iter().map(|(at, head)| (self.keepers[at].clone(), head)).collect();
                let (_, highest) = &longer[0];
                let kept = ahead.read(&keys)?.map_or(0, |h| h.checkpoint().size);
                if highest.checkpoint().size > kept {
                    ahead.keep(highest)?;
                }
                // Whatever becomes of it: this directory has not what its own key signed.
                let who: Vec<&str> = longer.iter().map(|(keeper, _)| keeper.name.as_str()).collect();
                signing.forbid(tail(highest, view.reader.size(), &who.join(", ")));
                for (keeper, head) in &longer {
                    if self.contradicts(view, keeper, head).await {
                        let size = head.checkpoint().size;
                        let detail = format!(
                            "{} shows a checkpoint of {size} entries that this log's key signed, and that does not go on from what is here",
                            keeper.name
                        );
                        self.fork(view, signing, fork(detail), keeper, head).await;
                        return Ok(None);
                    }
                    if attempts.may_try(keeper) && has_entries(&keeper.peer, view.reader.size(), head).await {
                        return Ok(Some(longer));
                    }
                }
            }
            Finding::Waiting(e) => signing.wait_for(e),
            Finding::Clear => match ahead.read(&keys)?.map(|head| remembered(&own, head)).transpose()?.flatten() {
                Some(Remembered::Longer(head)) => {
                    signing.forbid(tail(&head, view.reader.size(), "an earlier answer"));
                }
                Some(Remembered::Fork(head)) => {
                    let size = head.checkpoint().size;
                    signing.forbid(fork(format!("a checkpoint of {size} entries that was shown earlier contradicts this log; its key signed both")));
                }
                None if fence.age == Age::Restored && self.confirmed != Some(fence.size) => {
                    signing.wait_for(unconfirmed(fence.size, self.confirmed));
                }
                None => {
                    signing.allow();
                }
            },
        }
        Ok(None)
    }

    /// True where the copy's own tiles prove that the longer head does not go on from this node's.
    async fn contradicts(&self, view: &Arc<LogView>, keeper: &Keeper, head: &VerifiedCheckpoint) -> bool {
        self.proof(view, keeper, head).await.is_some()
    }

    async fn proof(&self, view: &Arc<LogView>, keeper: &Keeper, head: &VerifiedCheckpoint) -> Option<Proof> {
        let note = view.reader.checkpoint_text()?;
        let ours = Note::parse(note.as_bytes()).and_then(|n| Checkpoint::parse(n.text())).ok()?;
        split(view, &ours, head.checkpoint(), &keeper.peer).await.ok().flatten()
    }

    /// Nothing is signed any more; both checkpoints are kept.
    async fn fork(&self, view: &Arc<LogView>, signing: &Signing, e: Error, keeper: &Keeper, head: &VerifiedCheckpoint) {
        // Whoever showed it may be away at the next start.
        if let Err(e) = Ahead(&self.node.layout).keep(head) {
            tracing::error!(error = %e, "the head that contradicts this log could not be kept");
        }
        let evidence = Evidence {
            format: FORMAT.into(),
            origin: view.origin.clone(),
            code: FORK.into(),
            detail: e.detail().into(),
            seen_at: self.node.clock.now_ms(),
            source: keeper.peer.url().to_owned(),
            accepted_checkpoint: view.reader.checkpoint_text().map(|note| note.to_string()),
            served_checkpoint: Some(head.note_text().to_owned()),
            proof: self.proof(view, keeper, head).await,
        };
        if let Err(e) = evidence_store::keep(&self.node.layout.evidence(), &evidence) {
            tracing::error!(error = %e, "the evidence of a fork could not be kept");
        }
        signing.forbid(e);
    }
}

/// The error of a log whose own key has signed more than is here.
fn tail(head: &VerifiedCheckpoint, size: u64, who: &str) -> Error {
    let head = head.checkpoint();
    Error::retry(
        "recovery.tail",
        format!(
            "a head of {} entries, root {}, was signed by this log's key ({who}); here are {size}, and nobody has given the rest yet",
            head.size, head.root
        ),
        "nothing is signed with this key any more unless the missing entries turn up: start every node that follows this one; if they are lost, new keys and a charter version with a cut: «domovoi charter new --cut»",
    )
}

/// The error of a log of unknown age that nobody's word vouches for.
fn unconfirmed(size: u64, said: Option<u64>) -> Error {
    let said = said.map_or("nothing was said".to_owned(), |n| format!("{n} was said"));
    Error::retry(
        "fence.restored",
        format!(
            "the log was restored, up to {size} entries; whoever was asked knows of no more; about what others may have seen, {said}"
        ),
        "entries that were answered for and mirrored by nobody would be contradicted: if you take that risk, start with --confirm-restored-head and this size; if not, new keys and a charter version with a cut at this size",
    )
}
