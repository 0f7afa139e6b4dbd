//! Status proofs, to be verified offline (docs/protocol.md, "Status proofs").

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Path, Query};
use super::problem::Problem;
use super::reads::{blocking, flag};
use crate::error::Result;
use crate::node::Node;
use crate::registry::status_proof::Name;

/// A text that a browser saves and any program reads.
const TEXT: &str = "text/plain; charset=utf-8";

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ProofQuery {
    /// Origin of the log to prove from; by default the one that knows it, the node's own first.
    log: Option<String>,
    /// 1: with the facts of a chat's houses, and so their addresses: about a kilobyte more for each. Without, the proof names
    /// the houses by their ids alone.
    #[param(maximum = 1)]
    with_address: Option<u8>,
}

/// What a log says about one thing at its newest commit, as one text that verifies offline: also that it has no such thing.
/// This server learns what is asked about.
#[utoipa::path(get, path = "/api/v1/proofs/{name}",
    params(("name" = String, Path, description = "chat:…, link:<digest>, building:…, authority:…, key:…"), ProofQuery),
    responses((status = 200, body = String, content_type = "text/plain"), Problem))]
async fn proof(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Query(q): Query<ProofQuery>,
) -> Result<Response> {
    let name: Name = name.parse()?;
    let addresses = flag("with_address", q.with_address)?;
    let text = blocking(move || node.prove(&name, q.log.as_deref(), addresses).map(|proof| proof.to_string())).await?;
    Ok(([(header::CONTENT_TYPE, TEXT)], text).into_response())
}

/// All of it.
pub fn router() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(proof))
}
