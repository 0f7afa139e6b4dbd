//! This node's witness over HTTP (C2SP tlog-witness): submission and monitoring prefix are both `/witness`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Problem, status_of};
use super::reads::blocking;
use crate::error::{Action, Error, Result};
use crate::node::Node;
use crate::node::witness::{Answer, Witness};
use crate::tlog::witness::SIZE_TYPE;

/// The node and its witness; none where the node has no witness key, or its file is lost.
#[derive(Clone)]
pub struct Witnessing {
    /// The node.
    pub node: Arc<Node>,
    /// The witness, or why there is none.
    pub witness: Result<Arc<Witness>>,
}

/// The statuses of the specification; what it does not speak of is answered as everywhere.
fn refused(error: Error) -> Response {
    let status = match error.code() {
        "witness.unknown-log" | "witness.not-found" | "witness.none" => StatusCode::NOT_FOUND,
        "witness.key" | "note.signature" => StatusCode::FORBIDDEN,
        "witness.proof" => StatusCode::UNPROCESSABLE_ENTITY,
        _ if error.action() == Action::Refuse => StatusCode::BAD_REQUEST,
        _ => status_of(&error),
    };
    let title = status.canonical_reason().unwrap_or("Error");
    Problem { status: status.as_u16(), title, ..Problem::from(error) }.into_response()
}

/// Asks the witness to cosign a checkpoint. The body is that of C2SP tlog-witness: `old` and the size cosigned last, the
/// consistency proof, an empty line, the signed checkpoint. Answered when the new head is durable.
#[utoipa::path(post, path = "/witness/add-checkpoint", request_body(content = String, content_type = "text/plain"),
    responses(
        Problem,
        (status = 200, body = String, content_type = "text/plain", description = "The cosignatures, one line each."),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "No known key of the log has signed, or a line by one is false."),
        (status = 409, body = String, content_type = "text/x.tlog.size", description = "The size that was cosigned last, and a newline.")))]
async fn add_checkpoint(State(at): State<Witnessing>, body: Bytes) -> Response {
    let answered = blocking(move || at.witness?.add_checkpoint(&at.node, &body, at.node.clock.now_ms())).await;
    match answered {
        Ok(Answer::Lines(lines)) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], lines).into_response(),
        Ok(Answer::Conflict(size)) => {
            (StatusCode::CONFLICT, [(header::CONTENT_TYPE, SIZE_TYPE)], format!("{size}\n")).into_response()
        }
        Err(e) => refused(e),
    }
}

/// The checkpoint that this witness has cosigned last of a log, with the log's signature and its own.
#[utoipa::path(get, path = "/witness/{origin}/checkpoint",
    params(("origin" = String, Path, description = "SHA-256 of the log's origin, hex")),
    responses((status = 200, body = String, content_type = "text/plain"), Problem))]
async fn checkpoint(State(at): State<Witnessing>, Path(origin): Path<String>) -> Response {
    let found = blocking(move || {
        at.witness?.checkpoint(&origin, at.node.clock.now_ms())?.ok_or_else(|| {
            Error::refuse(
                "witness.not-found",
                "this witness has cosigned no checkpoint of that log",
                "check the hash of its origin",
            )
        })
    });
    match found.await {
        Ok(note) => {
            let headers = [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                (header::CACHE_CONTROL, "no-cache"),
                (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            ];
            (headers, note).into_response()
        }
        Err(e) => refused(e),
    }
}

/// The resources.
pub fn router() -> OpenApiRouter<Witnessing> {
    OpenApiRouter::new().routes(routes!(add_checkpoint)).routes(routes!(checkpoint))
}
