//! Checking a link without saying which: buckets of the federation's link map, as bytes that any cache may keep.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Path, Query};
use super::log_api::charter_file;
use super::problem::Problem;
use super::reads::{blocking, query};
use crate::error::{Error, Result};
use crate::node::Node;
use crate::node::charters::{read_chain, read_version};
use crate::registry::absence::AbsenceProof;
use crate::registry::bucket_file::FederationHead;
use crate::registry::status_proof::Name;

fn none(what: &str) -> Error {
    Error::refuse("bucket.not-found", what, "read /api/v1/verify/bucket for the present head and its bits")
}

/// The signed head of the federation's log, the same for everybody: its size, and in its commit the number of bits of a
/// link's digest that name a bucket. A client verifies it before it asks for one.
#[utoipa::path(get, path = "/api/v1/verify/bucket",
    responses((status = 200, body = Object, content_type = "application/json"), Problem))]
async fn head(State(node): State<Arc<Node>>) -> Result<Json<FederationHead>> {
    let head = node.federation().and_then(|f| f.head());
    head.map(Json).ok_or_else(|| none("this node writes no federation log, or has not computed its maps yet"))
}

/// Every join link whose digest begins with these bits, with what each region says of it and the proof up to the signed
/// head: padded, and the same bytes for ever. A client that shows a badge does so only where the answer's state is `official`
/// and the commit is younger than the charter's limit; else it shows nothing, and never a warning.
#[utoipa::path(get, path = "/api/v1/verify/bucket/{size}/{bucket}",
    params(("size" = u64, Path, description = "Size of the federation's log, as the head has it."),
        ("bucket" = String, Path, description = "The first bits of the link's SHA-256 as 0 and 1; - where there are none.")),
    responses((status = 200, body = Object, content_type = "application/json"), Problem))]
async fn bucket(State(node): State<Arc<Node>>, Path((size, bucket)): Path<(u64, String)>) -> Result<Response> {
    let bytes = blocking(move || {
        let found = node.federation().and_then(|f| f.bucket(size, &bucket));
        found.ok_or_else(|| none("the federation's log has another size now, or there is no such bucket"))
    })
    .await?;
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    Ok((headers, bytes).into_response())
}

/// The charters that heads, buckets and status proofs of this node verify by, oldest first, each as it was signed: what the
/// page `/check` uses. Whoever wants to be independent of this node compares the digest of the first one with what the
/// federation has published, or takes the charter from there.
#[utoipa::path(get, path = "/api/v1/verify/charters",
    responses((status = 200, body = Vec<String>, content_type = "application/json"), Problem))]
async fn charters(State(node): State<Arc<Node>>) -> Result<Json<Vec<String>>> {
    charter_texts(node).await.map(Json)
}

/// The federation's charters where this node writes its log, else those of its own.
pub(super) async fn charter_texts(node: Arc<Node>) -> Result<Vec<String>> {
    let layout = if node.federation().is_some() { node.layout.federation() } else { node.layout.clone() };
    let none = || Error::refuse("charter.not-found", "this node has no charter", "ask a region's node");
    blocking(move || {
        if !layout.charter().exists() {
            return Err(none());
        }
        let chain = read_chain(&layout)?;
        let text = |version: u64| {
            let bytes = read_version(&layout, &chain, version)?.ok_or_else(none)?;
            String::from_utf8(bytes).map_err(|_| none())
        };
        chain.versions().iter().map(|v| text(v.charter().version)).collect()
    })
    .await
}

/// A version of the charter of the federation whose log this node writes, as it was signed: whoever has one from the
/// federation walks from there to the newest.
#[utoipa::path(get, path = "/api/v1/verify/charters/{version}", params(("version" = u64, Path, description = "Version of the charter.")),
    responses((status = 200, body = Object, content_type = "application/jose+json"), Problem))]
async fn charter_version(State(node): State<Arc<Node>>, Path(version): Path<u64>) -> Result<Response> {
    charter_file(&node, node.layout.federation(), Some(version)).await
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AbsenceQuery {
    /// A subject, for example `chat:77-ABCD-EFGH-JKMN`, or `link:` and a digest.
    #[param(max_length = 200)]
    name: String,
}

/// Proof that no region of the federation has anything under this name. Not private: it tells this node the name.
#[utoipa::path(get, path = "/api/v1/verify/absence", params(AbsenceQuery),
    responses((status = 200, body = Object, content_type = "application/json"), Problem))]
async fn absence(State(node): State<Arc<Node>>, Query(q): Query<AbsenceQuery>) -> Result<Json<AbsenceProof>> {
    if q.name.chars().count() > 200 {
        return Err(query("name", &q.name));
    }
    let proof = match node.federation() {
        Some(federation) => federation.absence(&q.name.parse::<Name>()?)?,
        None => None,
    };
    proof.map(Json).ok_or_else(|| none("this node writes no federation log, or has not computed its maps yet"))
}

/// The resources.
pub fn router() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new()
        .routes(routes!(head))
        .routes(routes!(bucket))
        .routes(routes!(absence))
        .routes(routes!(charters))
        .routes(routes!(charter_version))
}
