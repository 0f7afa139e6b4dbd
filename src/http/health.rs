//! `/healthz`: the process answers. `/readyz`: it can do its work, or says what is missing.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use utoipa::ToSchema;

use super::live::Live;
use super::problem::Problem;

/// Whether the node can do its work. Asked often: must answer at once, from memory.
pub trait Ready: Send + Sync + 'static {
    /// Nothing when ready, else what is missing, in a few words for the operator.
    fn ready(&self) -> Result<(), String>;
}

impl<F: Fn() -> Result<(), String> + Send + Sync + 'static> Ready for F {
    fn ready(&self) -> Result<(), String> {
        self()
    }
}

/// That the process answers, or that the node is ready.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// `ok` or `ready`.
    pub status: &'static str,
}

type HealthState = (Arc<dyn Ready>, Arc<Live>);

/// `/healthz` and `/readyz`.
pub(super) fn router(ready: Arc<dyn Ready>, live: Arc<Live>) -> Router {
    let alive = get(async || Json(Health { status: "ok" }));
    Router::new().route("/healthz", alive).route("/readyz", get(readyz)).with_state((ready, live))
}

async fn readyz(State((ready, live)): State<HealthState>) -> Response {
    let fault = if live.draining() { Err("the node is stopping".to_owned()) } else { ready.ready() };
    match fault {
        Ok(()) => Json(Health { status: "ready" }).into_response(),
        Err(missing) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "http.not-ready", missing, "wait, or see the log")
                .retry_after(5)
                .into_response()
        }
    }
}
