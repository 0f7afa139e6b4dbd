//! The newest heads a node has accepted, of its own log and of those it follows: what others compare with theirs.

use serde::{Deserialize, Serialize};

use super::Node;
use super::log_view::LogView;
use crate::federation::evidence::FORK;
use crate::registry::ids::RecordId;
use crate::registry::strict::List;

/// Most heads in an answer: more than a federation has logs.
pub const MAX_HEADS: usize = 256;

/// The heads a node knows: `GET /api/v1/federation/heads`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heads {
    /// One per log, the node's own first.
    pub heads: List<Head, MAX_HEADS>,
    /// How far the node has walked in the charter chain of its own log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charter: Option<CharterHead>,
}

/// A version of a charter chain.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CharterHead {
    /// Digest of the pinned version: which chain it is.
    pub pinned: RecordId,
    /// The newest version.
    pub version: u64,
    /// Its digest.
    pub sha256: RecordId,
}

/// The newest head a node has accepted of one log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Origin of the log.
    pub origin: String,
    /// The signed checkpoint.
    pub checkpoint: String,
    /// True for the log that the node writes: its files are under `/log/`, those of a copy under `/mirror/`.
    pub own: bool,
    /// Name of its evidence that the log has forked, if it holds the log for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// What the node knows, for others to compare.
pub fn heads(node: &Node) -> Heads {
    let own = node.own().and_then(|view| head(view, true, None));
    let federation = node.federation().and_then(|f| {
        let checkpoint = f.reader.checkpoint_text()?.to_string();
        Some(Head { origin: f.origin.clone(), checkpoint, own: false, evidence: None })
    });
    let followed = node.followed();
    let followed = followed.iter().filter_map(|f| {
        let held = f.status.read().held.clone();
        head(&f.view, false, held.filter(|h| h.code == FORK).map(|h| h.evidence))
    });
    let charter = node.own().map(|view| {
        let chain = view.chain();
        let (first, latest) = (chain.first(), chain.latest());
        CharterHead { pinned: first.sha256(), version: latest.charter().version, sha256: latest.sha256() }
    });
    Heads { charter, heads: List(own.into_iter().chain(federation).chain(followed).take(MAX_HEADS).collect()) }
}

fn head(view: &LogView, own: bool, evidence: Option<String>) -> Option<Head> {
    Some(Head { origin: view.origin.clone(), checkpoint: view.reader.checkpoint_text()?.to_string(), own, evidence })
}
