//! Dossiers: everything the log has about one chat, as of a day, as one signed archive (docs/protocol.md, "Dossiers").

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
use super::reads::{blocking, day};
use crate::error::Result;
use crate::node::Node;
use crate::registry::ids::ChatNumber;

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DossierQuery {
    /// The day it is about, YYYY-MM-DD: today in the region or before.
    #[param(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    as_of: String,
    /// Origin of the log, if not the one that holds the chat.
    log: Option<String>,
}

/// Everything a log has about a chat, as of a day: a signed archive that verifies offline by the charter. One is made at a
/// time; where another is being made, come again.
#[utoipa::path(get, path = "/api/v1/dossiers/{chat}",
    params(("chat" = String, Path, description = "Number of the chat"), DossierQuery),
    responses((status = 200, body = Vec<u8>, content_type = "application/zip"), Problem))]
async fn dossier(
    State(node): State<Arc<Node>>,
    Path(chat): Path<String>,
    Query(q): Query<DossierQuery>,
) -> Result<Response> {
    let (chat, as_of): (ChatNumber, _) = (chat.parse()?, day("as_of", &q.as_of)?);
    let bytes = blocking(move || node.dossier(chat, as_of, q.log.as_deref())).await?;
    let name = format!("attachment; filename=\"dossier-{chat}-{as_of}.zip\"");
    Ok(([(header::CONTENT_TYPE, "application/zip".to_owned()), (header::CONTENT_DISPOSITION, name)], bytes)
        .into_response())
}

/// All of it.
pub fn router() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(dossier))
}
