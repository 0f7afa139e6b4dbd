//! The log through the API: submitting records, single records, the signed snapshot, what the node
//! follows.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Path, Query};
use super::problem::Problem;
use super::reads::{blocking, flag, own};
use super::static_log::{LogFiles, Which};
use crate::error::{Error, Result};
use crate::node::cosign::{CosignedView, OwnWords};
use crate::node::layout::{Layout, origin_hash};
use crate::node::log_view::{LogView, Role};
use crate::node::sequencer::{MAX_SUBMISSION, Outcome};
use crate::node::signing::Signing;
use crate::node::standing::Standing;
use crate::node::verdict::Freshness;
use crate::node::{FollowStatus, Node};
use crate::tlog::tile::LogPath;

/// Which log this node writes, and what it is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NodeView {
    /// Version of the program.
    pub version: &'static str,
    /// Origin of the node's own log; absent on a node that only follows.
    pub origin: Option<String>,
    /// Two-digit region code.
    pub region: Option<String>,
    /// SHA-256 of its charter.
    pub charter_sha256: Option<String>,
    /// How far the own log is.
    pub freshness: Option<Freshness>,
    /// Root of the state map at the last commit, hex.
    pub state_root: Option<String>,
    /// Who of those whom the charter names has cosigned its checkpoint.
    pub cosigned: Option<CosignedView>,
    /// Whether the node signs; absent on a node that only follows.
    pub signing: Option<SigningView>,
}

/// Whether the node may sign, which after a start it finds out by asking who keeps copies of its log.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SigningView {
    /// True where it signs.
    pub allowed: bool,
    /// Code of the reason why not, as far as it is known.
    pub code: Option<String>,
    /// The reason, and what it waits for.
    pub detail: Option<String>,
    /// What to do.
    pub remedy: Option<String>,
}

impl From<&Signing> for SigningView {
    fn from(signing: &Signing) -> SigningView {
        let why = signing.refusal();
        SigningView {
            allowed: signing.is_allowed(),
            code: why.as_ref().map(|e| e.code().into()),
            detail: why.as_ref().map(|e| e.detail().into()),
            remedy: why.as_ref().map(|e| e.remedy().into()),
        }
    }
}

/// What this node is.
#[utoipa::path(get, path = "/api/v1/node", responses((status = 200, body = NodeView), Problem))]
async fn node_info(State(node): State<Arc<Node>>) -> Json<NodeView> {
    let own = node.own();
    Json(NodeView {
        version: env!("CARGO_PKG_VERSION"),
        origin: own.map(|v| v.origin.clone()),
        region: own.map(|v| v.region.to_string()),
        charter_sha256: own.map(|v| v.charter().sha256().to_string()),
        freshness: own.map(|v| node.freshness(v)),
        state_root: own.and_then(|v| v.head()).map(|h| data_encoding::HEXLOWER.encode(&h.root)),
        cosigned: own.and_then(|v| CosignedView::of_view(v)),
        signing: node.signing().map(Into::into),
    })
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SubmitQuery {
    /// 1 = only say what would happen; 0 = do it.
    #[param(maximum = 1)]
    dry_run: Option<u8>,
}

/// What became of one record.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum OutcomeView {
    /// In the log, durable, under a signed checkpoint.
    Accepted {
        /// Index.
        index: u64,
        /// Record id.
        id: String,
    },
    /// The log had it already.
    Known {
        /// Index.
        index: u64,
        /// Record id.
        id: String,
    },
    /// A dry run: it would be accepted.
    Fine {
        /// Record id.
        id: String,
    },
    /// Refused.
    Refused {
        /// Stable code.
        code: String,
        /// Reason.
        detail: String,
        /// Remedy.
        remedy: String,
    },
}

impl From<Outcome> for OutcomeView {
    fn from(o: Outcome) -> Self {
        match o {
            Outcome::Accepted { index, id } => OutcomeView::Accepted { index, id: id.to_string() },
            Outcome::Known { index, id } => OutcomeView::Known { index, id: id.to_string() },
            Outcome::Fine { id } => OutcomeView::Fine { id: id.to_string() },
            Outcome::Refused(e) => {
                OutcomeView::Refused { code: e.code().into(), detail: e.detail().into(), remedy: e.remedy().into() }
            }
        }
    }
}

/// What became of a submission, record by record, in order.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SubmitView {
    /// One per record.
    pub outcomes: Vec<OutcomeView>,
    /// Size of the log after it.
    pub size: u64,
}

/// Hands in records, one canonical envelope per line. Answered when they are durable and under a signed checkpoint.
#[utoipa::path(post, path = "/api/v1/submit", params(SubmitQuery),
    request_body(content = String, content_type = "application/jsonl"),
    responses((status = 200, body = SubmitView), Problem))]
async fn submit(State(node): State<Arc<Node>>, Query(q): Query<SubmitQuery>, body: Bytes) -> Result<Json<SubmitView>> {
    // Whoever asked for less than he would get must not get it.
    let dry_run = flag("dry_run", q.dry_run)?;
    // One more than is taken is enough to refuse: millions of one-byte lines must not become millions of allocations.
    let lines = body.split(|b| *b == b'\n').filter(|l| !l.is_empty()).take(MAX_SUBMISSION + 1);
    let entries = lines.map(<[u8]>::to_vec).collect();
    let outcomes = node.submit(entries, dry_run).await?;
    let size = node.own().and_then(|v| v.head()).map_or(0, |h| h.index + 1);
    Ok(Json(SubmitView { outcomes: outcomes.into_iter().map(Into::into).collect(), size }))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LogQuery {
    /// Origin of the log; the node's own by default.
    log: Option<String>,
}

/// The log of this origin, or the node's own.
pub(super) fn which(node: &Node, origin: Option<&str>) -> Result<Arc<LogView>> {
    match origin {
        None => own(node),
        Some(origin) => node.view(origin).ok_or_else(|| {
            Error::refuse(
                "log.unknown",
                "this node has no log of that origin",
                "see /api/v1/federation for the logs it has",
            )
        }),
    }
}

/// One entry, as it stands in the log.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EntryView {
    /// Index.
    pub index: u64,
    /// Its exact bytes: the signed envelope.
    pub envelope: String,
}

/// An entry of the log by its index.
#[utoipa::path(get, path = "/api/v1/records/{index}", params(("index" = u64, Path, description = "Index"), LogQuery),
    responses((status = 200, body = EntryView), Problem))]
async fn record(
    State(node): State<Arc<Node>>,
    Path(index): Path<u64>,
    Query(q): Query<LogQuery>,
) -> Result<Json<EntryView>> {
    let view = which(&node, q.log.as_deref())?;
    let size = view.head().map_or(0, |h| h.index + 1);
    if index >= size {
        return Err(Error::refuse(
            "record.not-found",
            format!("the log has {size} entries"),
            "ask for a smaller index",
        ));
    }
    let bytes = blocking(move || view.reader.entry(index)).await?;
    Ok(Json(EntryView { index, envelope: String::from_utf8_lossy(&bytes).into_owned() }))
}

/// One followed log.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MemberView {
    /// How following stands.
    #[schema(value_type = Object)]
    pub status: FollowStatus,
    /// The same in one word.
    pub standing: Standing,
    /// How far this node's copy is.
    pub freshness: Freshness,
    /// Where its mirror is served.
    pub mirror: String,
    /// Who of those whom its charter names has cosigned its checkpoint.
    pub cosigned: Option<CosignedView>,
}

/// What this node follows.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FederationView {
    /// One per followed log.
    pub members: Vec<MemberView>,
}

/// What this node follows, and how that stands.
#[utoipa::path(get, path = "/api/v1/federation", responses((status = 200, body = FederationView), Problem))]
async fn federation(State(node): State<Arc<Node>>) -> Json<FederationView> {
    let members = node.followed().into_iter().map(|f| {
        // Let go before `freshness` reads it again: a follower that waits to write in between would stop both for ever.
        let status = f.status.read().clone();
        let mirror = format!("/mirror/{}/", origin_hash(&f.view.origin));
        let cosigned = CosignedView::of_view(&f.view);
        MemberView { status, standing: node.standing(&f), freshness: node.freshness(&f.view), mirror, cosigned }
    });
    Json(FederationView { members: members.collect() })
}

/// The charter this node pins, as it was signed; with `log`, the one under which it follows that log.
#[utoipa::path(get, path = "/api/v1/federation/charter", params(LogQuery),
    responses((status = 200, body = Object, content_type = "application/jose+json"), Problem))]
async fn charter(State(node): State<Arc<Node>>, Query(q): Query<LogQuery>) -> Result<Response> {
    charter_file(&node, charters_of(&node, q.log.as_deref())?, None).await
}

/// A version of this node's charter chain, as it was signed; with `log`, of the one under which it follows that log.
#[utoipa::path(get, path = "/api/v1/federation/charters/{version}", params(("version" = u64, Path, description = "Version of the charter."), LogQuery),
    responses((status = 200, body = Object, content_type = "application/jose+json"), Problem))]
async fn charter_version(
    State(node): State<Arc<Node>>,
    Path(version): Path<u64>,
    Query(q): Query<LogQuery>,
) -> Result<Response> {
    charter_file(&node, charters_of(&node, q.log.as_deref())?, Some(version)).await
}

/// Where the charters lie that a log is verified under here.
fn charters_of(node: &Node, log: Option<&str>) -> Result<Layout> {
    let Some(log) = log else { return Ok(node.layout.clone()) };
    let view = which(node, Some(log))?;
    Ok(match view.role {
        Role::Own => node.layout.clone(),
        Role::Followed => node.layout.mirror(log),
    })
}

/// A version of the charter chain in a data directory: the pinned one where none is named.
pub(super) async fn charter_file(node: &Arc<Node>, layout: Layout, version: Option<u64>) -> Result<Response> {
    let none = || Error::refuse("charter.not-found", "this node has no such charter", "ask a region's node");
    let node = node.clone();
    let bytes = blocking(move || node.charter_files.read(&layout, version)?.ok_or_else(none)).await?;
    Ok(([(header::CONTENT_TYPE, "application/jose+json")], bytes).into_response())
}

/// A signed snapshot of the facts of the node's own log: JSON Lines, one subject a line, sorted; the last line is the
/// checkpoint and commit they belong to.
#[utoipa::path(get, path = "/api/v1/export/snapshot", params(LogQuery),
    responses((status = 200, body = String, content_type = "application/jsonl"), Problem))]
async fn snapshot(State(node): State<Arc<Node>>, Query(q): Query<LogQuery>) -> Result<Response> {
    let view = which(&node, q.log.as_deref())?;
    let (send, receive) = tokio::sync::mpsc::channel::<std::result::Result<Bytes, std::io::Error>>(8);
    // Written by a thread of its own in pieces; a reader that stalls stalls only that thread, until its time is up.
    tokio::task::spawn_blocking(move || {
        let mut piece = Vec::with_capacity(1 << 16);
        let write = |line: &[u8]| {
            piece.extend_from_slice(line);
            piece.push(b'\n');
            if piece.len() < 1 << 16 {
                return Ok(());
            }
            let full = Bytes::from(std::mem::take(&mut piece));
            send.blocking_send(Ok(full)).map_err(|_| Error::retry("http.gone", "the client went away", ""))
        };
        match crate::node::snapshot::write(&view, write) {
            // The rest; a client that went away does not mind.
            Ok(()) => drop(send.blocking_send(Ok(Bytes::from(piece)))),
            // A broken-off answer is the only way left to say that the snapshot is not whole.
            Err(e) => drop(send.blocking_send(Err(std::io::Error::other(e.to_string())))),
        }
    });
    let stream = futures_util::stream::unfold(receive, |mut r| async move { r.recv().await.map(|piece| (piece, r)) });
    Ok(([(header::CONTENT_TYPE, "application/jsonl")], Body::from_stream(stream)).into_response())
}

/// Everything of this file.
pub fn router() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new()
        .routes(routes!(node_info))
        .routes(routes!(submit))
        .routes(routes!(record))
        .routes(routes!(federation))
        .routes(routes!(charter))
        .routes(routes!(charter_version))
        .routes(routes!(snapshot))
}

/// The node's logs as files; its mirrors' checkpoints bear its own lines.
pub struct NodeLogs(pub Arc<Node>, pub Arc<OwnWords>);

impl LogFiles for NodeLogs {
    fn read(&self, log: &Which, path: LogPath) -> Result<Option<Vec<u8>>> {
        let followed = match log {
            Which::Own => None,
            Which::Mirror(hash) => self.0.followed().into_iter().find(|f| origin_hash(&f.view.origin) == *hash),
        };
        if let (Some(followed), LogPath::Checkpoint) = (&followed, path) {
            let served = self.1.checkpoint(followed, self.0.clock.now_ms())?;
            return Ok(served.map(|note| note.as_bytes().to_vec()));
        }
        let view = match log {
            Which::Own => self.0.own().cloned(),
            Which::Mirror(_) => followed.map(|f| f.view.clone()),
        };
        let federation =
            self.0.federation().filter(|f| matches!(log, Which::Mirror(h) if *h == origin_hash(&f.origin)));
        match (view, federation) {
            (Some(view), _) => view.reader.read(path),
            (None, Some(federation)) => federation.reader.read(path),
            (None, None) => Ok(None),
        }
    }
}
