//! What was recorded, in the order of the log: by cursor, or as server-sent events for whoever stays.
//!
//! A stream is fed by a task of its own, through a channel of a few events. A reader that takes none of them for
//! `limits.request_timeout_seconds` is cut;
//! until then it holds one of `limits.event_streams` places and those few events, and nothing else.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::{Instant, sleep};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::Query;
use super::limits::Peer;
use super::live::Live;
use super::log_api::which;
use super::problem::Problem;
use super::reads::{Page, blocking, query};
use super::shares::{Share, Shares};
use crate::error::Result;
use crate::node::Node;
use crate::node::log_view::LogView;
use crate::node::query::history_view;
use crate::registry::text::Millis;

/// How often the log is looked at for a stream.
const LOOK: Duration = Duration::from_millis(500);
/// A stream without news says so as often, so that neither side takes the other for gone.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events made ahead of the reader.
const AHEAD: usize = 16;
/// Records read at a time.
const STEP: u64 = 256;
/// What a client is told to wait before it comes back.
const COME_BACK: Duration = Duration::from_secs(5);

/// What the handlers of this file share.
pub struct Changes {
    node: Arc<Node>,
    live: Arc<Live>,
    streams: Arc<Shares>,
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ChangesQuery {
    /// Origin of the log; the node's own by default.
    log: Option<String>,
    /// Cursor: the `next` of the last answer; 0 for the beginning.
    #[param(maximum = 9007199254740991u64)]
    after: Option<u64>,
    /// Most entries; more than 1000 are never given. Has no meaning for a stream.
    #[param(maximum = 65535)]
    limit: Option<u16>,
}

/// Every record in the order of the log, from a cursor on. `next` is the cursor to go on from; it is always there.
///
/// With `Accept: text/event-stream` the answer does not end: an event `record` for each record, whose `id` is the cursor after
/// it and whose data are an item of the page; comments as a heartbeat every 15 s. A client that comes back with `Last-Event-ID`
/// goes on from there, whatever `after` says. A reader that takes nothing for
/// `limits.request_timeout_seconds` (30) is cut.
#[utoipa::path(get, path = "/api/v1/changes", params(ChangesQuery),
    responses((status = 200, content((Page = "application/json"), (String = "text/event-stream"))), Problem))]
async fn changes(
    State(shared): State<Arc<Changes>>,
    peer: Option<axum::Extension<Peer>>,
    headers: HeaderMap,
    Query(q): Query<ChangesQuery>,
) -> Result<Response> {
    let view = which(&shared.node, q.log.as_deref())?;
    let cursor = |name: &str, after: u64| match after <= Millis::MAX.get() {
        true => Ok(after),
        false => Err(query(name, &after.to_string())),
    };
    let after = cursor("after", q.after.unwrap_or(0))?;
    if wants_events(&headers) {
        let after = match headers.get("last-event-id").map(|id| id.to_str().unwrap_or("?")) {
            None => after,
            Some(id) => cursor("Last-Event-ID", id.parse().map_err(|_| query("Last-Event-ID", id))?)?,
        };
        // A request without a connection is one of a test; it counts as one address.
        let address = peer.map_or(std::net::Ipv4Addr::LOCALHOST.into(), |axum::Extension(Peer(from))| from.ip());
        return Ok(match shared.streams.take(address, 1) {
            Some(place) => events(shared.live.clone(), view, after, place),
            None => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "http.streams",
                "as many event streams as this node gives, or gives to one address, are open",
                "try again after Retry-After, or ask by cursor",
            )
            .retry_after(30)
            .into_response(),
        });
    }
    let limit = u64::from(q.limit.unwrap_or(200).clamp(1, 1000));
    blocking(move || {
        let size = view.head().map_or(0, |h| h.index + 1);
        let end = size.min(after.saturating_add(limit));
        let items = if after < end { view.records(after..end)? } else { Vec::new() };
        let items = items.into_iter().map(history_view).collect::<Result<_>>()?;
        Ok(Page { items, next: Some(end.max(after.min(size))) })
    })
    .await
    .map(|page| Json(page).into_response())
}

fn wants_events(headers: &HeaderMap) -> bool {
    let kinds = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    kinds
        .flat_map(|value| value.split(','))
        .any(|kind| kind.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("text/event-stream")))
}

fn events(live: Arc<Live>, view: Arc<LogView>, after: u64, place: Share) -> Response {
    let (send, receive) = channel(AHEAD);
    tokio::spawn(async move {
        // Given back at the end of this task, which a reader that has gone or stalled cannot put off.
        let _place = place;
        feed(&live, view, after, &send).await;
    });
    let stream = futures_util::stream::unfold(receive, |mut events| async move {
        events.recv().await.map(|event| (Ok::<Event, Infallible>(event), events))
    });
    let mut answer = Sse::new(stream).into_response();
    // Nothing in front of the node may gather events.
    answer.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    answer
}

/// Sends what is recorded from `at` on until the reader is gone or stalls, the node stops, or the log cannot be read.
async fn feed(live: &Live, view: Arc<LogView>, mut at: u64, send: &Sender<Event>) {
    let mut said = Instant::now();
    if !give(live, send, Event::default().retry(COME_BACK).comment("")).await {
        return;
    }
    while !live.draining() && !send.is_closed() {
        let log = view.clone();
        let step = blocking(move || {
            let size = log.head().map_or(0, |h| h.index + 1);
            // A cursor beyond the end waits for the log to come there.
            let end = size.min(at.saturating_add(STEP)).max(at);
            let records = if at < end { log.records(at..end)? } else { Vec::new() };
            let items = records.into_iter().map(history_view).collect::<Result<Vec<_>>>()?;
            Ok((items, end, end < size))
        });
        let (items, end, more) = match step.await {
            Ok(step) => step,
            Err(error) => return tracing::warn!(%error, "an event stream ends: the log cannot be read"),
        };
        at = end;
        for item in items {
            let event = Event::default().event("record").id((item.index + 1).to_string());
            let Ok(event) = event.json_data(&item) else { return };
            if !give(live, send, event).await {
                return;
            }
            said = Instant::now();
        }
        if said.elapsed() >= HEARTBEAT {
            if !give(live, send, Event::default().comment("")).await {
                return;
            }
            said = Instant::now();
        }
        if !more {
            sleep(LOOK).await;
        }
    }
}

/// False where the reader is gone or does not take it in time.
async fn give(live: &Live, send: &Sender<Event>, event: Event) -> bool {
    let patience = Duration::from_secs(live.config().limits.request_timeout_seconds);
    matches!(tokio::time::timeout(patience, send.send(event)).await, Ok(Ok(())))
}

/// Everything of this file.
pub fn router(node: Arc<Node>, live: Arc<Live>) -> OpenApiRouter {
    let config = live.config();
    let total = config.limits.event_streams;
    let streams = Shares::new(&config, total, total / 4);
    OpenApiRouter::new().routes(routes!(changes)).with_state(Arc::new(Changes { node, live, streams }))
}
