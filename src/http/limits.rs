//! What every request passes: headers, body, load, time. Each limit answers with a problem document of its own.
//!
//! The body is read here, whole and bounded, before the handler runs. So a slow or oversized sender is answered the
//! same way on every path, and no handler waits for the network.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use tokio::time::timeout;
use tracing::Instrument;

use super::live::Live;
use super::metrics;
use super::problem::Problem;
use super::shares::Shares;
use crate::node::config::LimitsSection;

/// The other end of the connection, in the extensions of every request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// The request's id, in the extensions of every request, in its log lines and in `x-request-id`.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// Answered even under overload: who looks after the node must see it then, too.
const ALWAYS: &[&str] = &["/healthz", "/readyz", "/metrics"];
/// How long, and how many times the limit, an oversized body is still read: a client that is cut off while it sends
/// often never sees the answer.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_FACTOR: usize = 4;

/// State of [`guard`].
pub(super) struct Guard {
    live: Arc<Live>,
    /// One place a request in work; half of them at most for one address.
    slots: Arc<Shares>,
    /// One place a KiB of buffered body; a quarter, and the largest body allowed, for one address.
    bodies: Arc<Shares>,
    bodies_kib: usize,
    large_bodies: &'static [&'static str],
}

impl Guard {
    /// `large_bodies`: route templates that take `limits.submit_body_bytes` instead of `limits.body_bytes`.
    pub(super) fn new(live: Arc<Live>, large_bodies: &'static [&'static str]) -> Guard {
        let config = live.config();
        let limits = &config.limits;
        let bodies_kib = kib(limits.buffered_body_bytes);
        let largest = kib(limits.submit_body_bytes.max(limits.body_bytes));
        let slots = Shares::new(&config, limits.requests, limits.requests / 2);
        let bodies = Shares::new(&config, bodies_kib, (bodies_kib / 4).max(largest));
        Guard { live, slots, bodies, bodies_kib, large_bodies }
    }
}

fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}

/// Outermost: id, span, log line and metrics of a request.
pub(super) async fn observe(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = format!("{:016x}", rand::random::<u64>());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    request.extensions_mut().insert(RequestId(id.clone()));
    let span = tracing::info_span!("request", id);
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, took) = (response.status(), started.elapsed());
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    metrics::record(&method, route, status, took);
    span.in_scope(|| {
        let ms = took.as_secs_f64() * 1e3;
        let status = status.as_u16();
        match (status, &method) {
            (500.., _) => tracing::warn!(%method, route, status, ms, "answered"),
            (_, &Method::GET | &Method::HEAD) => tracing::debug!(%method, route, status, ms, "answered"),
            _ => tracing::info!(%method, route, status, ms, "answered"),
        }
    });
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("x-request-id", id);
    }
    response
}

/// Headers, body, load and time, in this order: a request that is still arriving takes memory but no place among
/// those in work, so that slow senders cannot keep readers out.
pub(super) async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let config = guard.live.config();
    let limits = &config.limits;
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    if let Err(problem) = check_headers(request.headers(), limits) {
        return problem.into_response();
    }
    let max = if guard.large_bodies.contains(&route) { limits.submit_body_bytes } else { limits.body_bytes };
    let time = Duration::from_secs(limits.request_timeout_seconds);
    // Who has no connection is this process itself.
    let address = request.extensions().get::<Peer>().map_or(Ipv4Addr::LOCALHOST.into(), |peer| peer.0.ip());
    let (parts, body) = request.into_parts();
    let memory = match body.is_end_stream() {
        true => None,
        false => {
            let announced = body.size_hint().upper().and_then(|length| usize::try_from(length).ok());
            let need = kib(announced.unwrap_or(max).min(max)).min(guard.bodies_kib);
            match guard.bodies.take(address, need) {
                Some(share) => Some(share),
                None => return close(parts.version, overloaded()),
            }
        }
    };
    let body = match read_body(&parts.headers, body, max, time).await {
        Ok(body) => body,
        Err(problem) => return close(parts.version, problem.into_response()),
    };
    let slot = guard.slots.take(address, 1);
    if slot.is_none() && !ALWAYS.contains(&route) {
        return overloaded();
    }
    let answer = timeout(time, next.run(Request::from_parts(parts, Body::from(body)))).await;
    drop((memory, slot));
    answer.unwrap_or_else(|_| {
        let detail = format!("no answer within {} s; whether the request took effect is not known", time.as_secs());
        let remedy = "try again; a record that was already taken is answered with its place in the log";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "http.timeout", detail, remedy).retry_after(5).into_response()
    })
}

fn overloaded() -> Response {
    let detail = "as many requests as this node takes, or takes from one address, are in work";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "http.overloaded", detail, "try again after Retry-After")
        .retry_after(1)
        .into_response()
}

/// The answer to a request whose handler panicked; the panic itself is in the log.
pub(super) fn panicked(panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(panic = text, "a request handler panicked");
    let detail = "the node failed on this request; its log says why";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "http.panic", detail, "report this as a bug with x-request-id")
        .into_response()
}

fn check_headers(headers: &HeaderMap, limits: &LimitsSection) -> Result<(), Box<Problem>> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if headers.len() <= limits.header_count && bytes <= limits.header_bytes {
        return Ok(());
    }
    let detail = format!(
        "{} headers of {bytes} bytes; at most {} headers of {} bytes are allowed",
        headers.len(),
        limits.header_count,
        limits.header_bytes
    );
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    Err(Box::new(Problem::new(status, "http.headers", detail, "send fewer or shorter headers")))
}

async fn read_body(headers: &HeaderMap, mut body: Body, max: usize, time: Duration) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("the request body is larger than the {max} bytes allowed here");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "http.body-too-large", detail, "send it in smaller parts")
    };
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > max as u64) {
        // A client that asked first (Expect) has sent nothing yet, and reading would invite it to.
        if !headers.contains_key(header::EXPECT) {
            linger(&mut body, max).await;
        }
        return Err(too_large());
    }
    let mut limited = Limited::new(body, max);
    match timeout(time, BodyExt::collect(&mut limited)).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => {
            let detail = "the request body broke off";
            Err(Problem::new(StatusCode::BAD_REQUEST, "http.body", detail, "send it again"))
        }
        Err(_) => {
            let detail = format!("the request body did not arrive within {} s", time.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "http.body-timeout", detail, "send it faster or in parts"))
        }
    }
}

async fn linger(body: &mut Body, max: usize) {
    let discard = async {
        let mut left = max.saturating_mul(LINGER_FACTOR);
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    let _ = timeout(LINGER, discard).await;
}

/// The rest of such a request's body is not worth reading: in HTTP/1 that ends the connection, in HTTP/2 the stream.
fn close(version: Version, mut response: Response) -> Response {
    if version <= Version::HTTP_11 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
