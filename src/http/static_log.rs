//! The logs as C2SP tlog-tiles: this node's own under `/log/`, its verified mirrors under `/mirror/<sha256 of origin>/`.
//!
//! Sent plain, whatever the client accepts: tiles are hashes and do not compress, and an immutable byte string has one
//! form for every cache. Only canonical paths exist, and only what the published checkpoint covers.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::problem::Problem;
use crate::error::{Error, Result};
use crate::tlog::tile::LogPath;

/// Which log is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The node's own.
    Own,
    /// The mirror of the log whose origin has this SHA-256, 64 lowercase hex digits.
    Mirror(String),
}

/// Where the bytes come from.
pub trait LogFiles: Send + Sync + 'static {
    /// The resource's bytes; none when there is no such log, or its published checkpoint does not cover the resource.
    /// May block on the disk.
    fn read(&self, log: &Which, path: LogPath) -> Result<Option<Vec<u8>>>;
}

/// `/log/…` and `/mirror/…`.
pub fn router(files: Arc<dyn LogFiles>) -> Router {
    Router::new().route("/log/{*path}", get(own)).route("/mirror/{origin}/{*path}", get(mirror)).with_state(files)
}

async fn own(State(files): State<Arc<dyn LogFiles>>, path: Result<Path<String>, PathRejection>) -> Response {
    match path {
        Ok(Path(path)) => answer(files, Which::Own, &path).await,
        Err(_) => not_found(None).into_response(),
    }
}

async fn mirror(
    State(files): State<Arc<dyn LogFiles>>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Response {
    let hex = |text: &str| text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    match path {
        Ok(Path((origin, path))) if hex(&origin) => answer(files, Which::Mirror(origin), &path).await,
        _ => not_found(None).into_response(),
    }
}

async fn answer(files: Arc<dyn LogFiles>, log: Which, path: &str) -> Response {
    // Parsed from the decoded path: what does not spell a resource canonically never comes near the disk.
    let Ok(path) = LogPath::parse(path) else { return not_found(None).into_response() };
    let read = tokio::task::spawn_blocking(move || files.read(&log, path)).await;
    match read {
        Ok(Ok(Some(bytes))) => resource(path, bytes),
        Ok(Ok(None)) => not_found(Some(path)).into_response(),
        Ok(Err(error)) => error.into_response(),
        Err(error) => Error::stop("log.read", error.to_string(), "report this as a bug").into_response(),
    }
}

fn resource(path: LogPath, bytes: Vec<u8>) -> Response {
    let full = match path {
        LogPath::Checkpoint => None,
        LogPath::Tile(tile) => Some(tile.is_full()),
        LogPath::Bundle(bundle) => Some(bundle.is_full()),
    };
    let (kind, cache) = match full {
        None => ("text/plain; charset=utf-8", "no-cache"),
        Some(true) => ("application/octet-stream", "public, max-age=31536000, immutable"),
        // Its bytes do not change either, but a full one takes its place.
        Some(false) => ("application/octet-stream", "public, max-age=3600"),
    };
    const ANY_ORIGIN: (HeaderName, HeaderValue) = (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache)], [ANY_ORIGIN], bytes).into_response()
}

fn not_found(path: Option<LogPath>) -> Problem {
    let detail = match path {
        Some(path) => format!("the published log does not have {path}"),
        None => "no log has a resource with this path".into(),
    };
    Problem::new(StatusCode::NOT_FOUND, "log.not-found", detail, "read checkpoint for the log's size")
}
