//! What this node knows of the heads of logs, and its evidence against those that broke their word.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::Query;
use super::log_api::which;
use super::problem::Problem;
use super::reads::blocking;
use crate::error::{Error, Result};
use crate::federation::evidence::Evidence;
use crate::node::Node;
use crate::node::heads::{Heads, heads as heads_of};
use crate::storage::evidence_store;

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EvidenceQuery {
    /// Origin of the log: a followed one, or the node's own.
    log: String,
    /// Name of the evidence file.
    name: String,
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Origin of the log; all by default.
    log: Option<String>,
}

/// A file of evidence.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EvidenceView {
    /// Origin of the log.
    pub log: String,
    /// Name of the file.
    pub name: String,
    /// Stable code of what was found.
    pub code: String,
    /// When, Unix milliseconds.
    pub seen_at: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// The evidence a node keeps.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EvidenceList {
    /// Oldest first.
    pub evidence: Vec<EvidenceView>,
}

/// Folder of a log's evidence.
fn folder(node: &Node, origin: &str) -> std::path::PathBuf {
    match node.own().is_some_and(|own| own.origin == origin) {
        true => node.layout.evidence(),
        false => node.layout.mirror(origin).evidence(),
    }
}

/// A file of evidence, as it was kept. `domovoi evidence verify` says what it proves.
#[utoipa::path(get, path = "/api/v1/federation/evidence", params(EvidenceQuery),
    responses((status = 200, body = Object), Problem))]
async fn evidence(State(node): State<Arc<Node>>, Query(q): Query<EvidenceQuery>) -> Result<Response> {
    which(&node, Some(&q.log))?;
    let folder = folder(&node, &q.log);
    let bytes = blocking(move || evidence_store::read(&folder, &q.name)).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

/// What evidence this node keeps.
#[utoipa::path(get, path = "/api/v1/federation/evidence/list", params(ListQuery),
    responses((status = 200, body = EvidenceList), Problem))]
async fn list(State(node): State<Arc<Node>>, Query(q): Query<ListQuery>) -> Result<Json<EvidenceList>> {
    let origins = match q.log {
        Some(origin) => vec![which(&node, Some(&origin))?.origin.clone()],
        None => node.views().iter().map(|v| v.origin.clone()).collect(),
    };
    blocking(move || {
        let mut all = Vec::new();
        for origin in origins {
            let folder = folder(&node, &origin);
            for kept in evidence_store::list(&folder) {
                let read = evidence_store::read(&folder, &kept.name).and_then(|b| Evidence::decode(&b));
                // One of an earlier version is listed by what its name says.
                let (code, seen_at) = read.map_or_else(
                    |_: Error| (kept.name.split('-').next().unwrap_or_default().to_owned(), 0),
                    |e| (e.code, e.seen_at),
                );
                all.push(EvidenceView { log: origin.clone(), name: kept.name, code, seen_at, bytes: kept.bytes });
            }
        }
        all.sort_by(|a, b| (a.seen_at, &a.name).cmp(&(b.seen_at, &b.name)));
        Ok(EvidenceList { evidence: all })
    })
    .await
    .map(Json)
}

/// The newest heads this node has accepted, for others to compare with theirs.
#[utoipa::path(get, path = "/api/v1/federation/heads", responses((status = 200, body = Object), Problem))]
async fn heads(State(node): State<Arc<Node>>) -> Json<Heads> {
    Json(heads_of(&node))
}

/// Everything of this file.
pub fn router() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(evidence)).routes(routes!(list)).routes(routes!(heads))
}
