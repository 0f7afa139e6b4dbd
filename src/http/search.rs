//! Buildings by an address as somebody types it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::Query;
use super::problem::Problem;
use super::reads::{blocking, query};
use crate::error::Result;
use crate::node::Node;
use crate::node::search::{FOUND, Found, MAX_FOUND};

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SearchQuery {
    /// An address or a part of it, as a person types it; at most 512 bytes. No sign in it has a meaning of its own.
    #[param(max_length = 512)]
    q: String,
    /// Most buildings; 10 where none is named, never more than 20.
    #[param(minimum = 1, maximum = 20)]
    limit: Option<u8>,
}

/// Buildings by an address as somebody types it: the best first, made for suggestions while typing. Not private: it tells
/// this node what is typed.
#[utoipa::path(get, path = "/api/v1/search", params(SearchQuery),
    responses((status = 200, body = Found), Problem))]
async fn search(State(node): State<Arc<Node>>, Query(q): Query<SearchQuery>) -> Result<Response> {
    let limit = q.limit.map_or(FOUND, usize::from);
    if !(1..=MAX_FOUND).contains(&limit) {
        return Err(query("limit", &limit.to_string()));
    }
    let found = blocking(move || node.search(&q.q, limit)).await?;
    // What somebody looked for is kept nowhere on the way.
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(found)).into_response())
}

/// The resource.
pub fn router() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(search))
}
