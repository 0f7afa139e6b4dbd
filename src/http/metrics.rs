//! Counters and latencies in the Prometheus text format, at `/metrics`.
//!
//! Labels are route templates and known methods only: what clients send never becomes a label, so the number of series
//! is bounded.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::limits::Peer;
use super::live::Live;
use super::problem::Problem;
use crate::error::{Error, Result};

/// Upper bounds of the latency buckets, seconds.
const LATENCY_BUCKETS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// The process-wide recorder, installed on the first call. Fails with `metrics.installed` when another one is there.
pub fn handle() -> Result<PrometheusHandle> {
    static HANDLE: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();
    let install = || {
        PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), LATENCY_BUCKETS)
            .map_err(|error| error.to_string())?
            .install_recorder()
            .map_err(|error| error.to_string())
    };
    HANDLE
        .get_or_init(install)
        .clone()
        .map_err(|fault| Error::stop("metrics.installed", fault, "install the metrics recorder once per process"))
}

/// `/metrics`.
pub(super) fn router(handle: PrometheusHandle, live: Arc<Live>) -> Router {
    Router::new().route("/metrics", get(render)).with_state((handle, live))
}

type MetricsState = (PrometheusHandle, Arc<Live>);

async fn render(
    State((handle, live)): State<MetricsState>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Response {
    let allowed = match live.config().http.metrics.as_str() {
        "any" => true,
        "loopback" => peer.is_some_and(|Extension(Peer(peer))| direct_loopback(&peer, &headers)),
        _ => false,
    };
    if !allowed {
        let detail = "metrics are not shown to this address";
        return Problem::new(StatusCode::FORBIDDEN, "http.metrics", detail, "see http.metrics in the configuration")
            .into_response();
    }
    let text = tokio::task::spawn_blocking(move || handle.render()).await.unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// A request from this machine that no proxy has passed on from elsewhere.
fn direct_loopback(peer: &SocketAddr, headers: &HeaderMap) -> bool {
    let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    peer.ip().to_canonical().is_loopback() && !forwarded.iter().any(|name| headers.contains_key(*name))
}

/// Counts one finished request.
pub(super) fn record(method: &Method, route: &str, status: StatusCode, took: Duration) {
    let method = match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    };
    let route = route.to_owned();
    metrics::counter!("http_requests_total", "method" => method, "route" => route.clone(), "status" => status_label(status))
        .increment(1);
    metrics::histogram!("http_request_seconds", "method" => method, "route" => route).record(took.as_secs_f64());
}

fn status_label(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200..=299 => "2xx",
        300..=399 => "3xx",
        408 => "408",
        413 => "413",
        431 => "431",
        400..=499 => "4xx",
        503 => "503",
        _ => "5xx",
    }
}

/// Keeps the recorder's buffers small; ends with the server.
pub(super) async fn upkeep(handle: PrometheusHandle) {
    let mut tick = tokio::time::interval(Duration::from_secs(5));
    loop {
        tick.tick().await;
        let handle = handle.clone();
        // Joined, so that two never run at a time; a panic in it must not end the loop.
        let _ = tokio::task::spawn_blocking(move || handle.run_upkeep()).await;
    }
}
