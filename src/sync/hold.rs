//! Holding a log at its last good commit: the evidence first, then what readers are told, then the status file.

use std::path::Path;

use crate::error::Error;
use crate::federation::evidence::{Evidence, FORK, FORMAT, Finding, Proof};
use crate::node::clock::Clock;
use crate::node::layout::Layout;
use crate::node::{FollowStatus, Followed, Held};
use crate::storage::durable::{read_bounded, write_atomic};
use crate::storage::evidence_store;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::note::Note;

/// What was seen that did not verify.
#[derive(Debug, Default)]
pub struct Seen {
    /// The checkpoint that was served, unless none could be read.
    pub served: Option<Vec<u8>>,
    /// What shows it.
    pub proof: Option<Proof>,
    /// Where it was served.
    pub source: String,
}

/// True where the log is held for a fork: nothing new is accepted until the charter decides.
pub fn is_forked(followed: &Followed) -> bool {
    followed.status.read().held.as_ref().is_some_and(|h| h.code == FORK)
}

/// The head that was accepted last, as it was signed.
pub fn accepted(followed: &Followed) -> Option<(Checkpoint, String)> {
    let note = followed.view.reader.checkpoint_text()?;
    // Verified when it was published.
    let checkpoint = Note::parse(note.as_bytes()).and_then(|n| Checkpoint::parse(n.text())).ok()?;
    Some((checkpoint, note.to_string()))
}

/// True where the charters, too, say that this is a fork: a cut may have made one of the two trees void.
pub fn proves_fork(followed: &Followed, served: &str, proof: &Proof) -> bool {
    let seen = Seen { served: Some(served.as_bytes().to_vec()), proof: Some(proof.clone()), source: String::new() };
    let evidence = file_of(followed, 0, FORK, "", &seen);
    matches!(evidence.verify(&followed.view.chain()), Ok(Finding::SplitView { .. }))
}

fn file_of(followed: &Followed, seen_at: u64, code: &str, detail: &str, seen: &Seen) -> Evidence {
    Evidence {
        format: FORMAT.into(),
        origin: followed.view.origin.clone(),
        code: code.into(),
        detail: detail.into(),
        seen_at,
        source: seen.source.clone(),
        accepted_checkpoint: accepted(followed).map(|(_, note)| note),
        served_checkpoint: seen.served.as_deref().map(|note| String::from_utf8_lossy(note).into_owned()),
        proof: seen.proof.clone(),
    }
}

/// Keeps the evidence and says why the log is held at its last good commit.
pub fn hold(layout: &Layout, followed: &Followed, clock: &Clock, e: &Error, seen: &Seen) {
    let evidence = file_of(followed, clock.now_ms(), e.code(), e.detail(), seen);
    hold_with(layout, followed, clock, e, &evidence);
}

/// [`hold`], with evidence that was made elsewhere and verified.
pub fn hold_with(layout: &Layout, followed: &Followed, clock: &Clock, e: &Error, evidence: &Evidence) {
    let view = &followed.view;
    let name = match e.code() {
        // A decision is no misdeed.
        "region.suspended" => String::new(),
        _ => evidence_store::keep(&layout.evidence(), evidence).unwrap_or_else(|e| format!("(not written: {e})")),
    };
    tracing::error!(origin = %view.origin, code = e.code(), detail = e.detail(), "a followed log is held at its last good commit");
    super::meters::evidence(&followed.status.read().clone(), layout);
    let mut status = followed.status.write();
    // A fork stays what the log is held for, whatever is found later.
    if status.held.as_ref().is_some_and(|h| h.code == FORK) && e.code() != FORK {
        return;
    }
    let since = status.held.as_ref().map_or_else(|| clock.now_ms(), |h| h.since);
    let size = view.head().map_or(0, |h| h.index + 1);
    status.held = Some(Held { code: e.code().into(), detail: e.to_string(), since, size, evidence: name });
    super::meters::standing(&status, size);
}

/// Keeps what a restart must not forget.
pub fn save(layout: &Layout, followed: &Followed) {
    let status = followed.status.read().clone();
    let json =
        serde_json::json!({ "last_success": status.last_success, "peer_size": status.peer_size, "held": status.held });
    // Only freshness is lost with it.
    if let Err(e) = write_atomic(&file(layout), json.to_string().as_bytes()) {
        tracing::warn!(error = %e, "the sync status could not be written");
    }
}

/// What [`save`] kept.
pub fn restore(layout: &Layout) -> Option<FollowStatus> {
    let v: serde_json::Value = serde_json::from_slice(&read_bounded(&file(layout), 1 << 16).ok()?).ok()?;
    Some(FollowStatus {
        last_success: v["last_success"].as_u64(),
        peer_size: v["peer_size"].as_u64().unwrap_or(0),
        held: serde_json::from_value(v["held"].clone()).ok(),
        ..FollowStatus::default()
    })
}

fn file(layout: &Layout) -> std::path::PathBuf {
    Path::new(layout.data()).join("status.json")
}

/// The error for a log that signed two trees.
pub fn fork(detail: impl Into<String>) -> Error {
    Error::isolate(
        FORK,
        detail,
        "nothing new is accepted from this log until a version of the charter decides with a cut; show the evidence to the \
         federation's office: «domovoi evidence verify» says what it proves",
    )
}
