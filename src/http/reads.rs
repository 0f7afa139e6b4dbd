//! Reads: verdicts, chats, buildings, authorities, organisations, history, coverage. All take `as_of` and `known_at`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Path, Query};
use super::problem::Problem;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::node::answer::Question;
use crate::node::coverage::Coverage;
use crate::node::log_view::{LogView, When};
use crate::node::query::{AuthorityView, BuildingView, ChatView, HistoryView, OrganisationView, Reader};
use crate::node::verdict::Verdict;
use crate::registry::body::BotName;
use crate::registry::ids::{BuildingId, ChatNumber};
use crate::registry::link::MAX_LINK;
use crate::registry::record::Subject;
use crate::registry::state::View;
use crate::registry::text::{Day, Millis};

/// Reads a day. What only looks like one keeps the error that says so.
pub(super) fn day(name: &str, s: &str) -> Result<Day> {
    let form = s.len() == 10
        && s.bytes().enumerate().all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() });
    s.parse::<Day>().map_err(|e| if form { e } else { query(name, s) })
}

/// The moment a read is about.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WhenQuery {
    /// True on that day, YYYY-MM-DD.
    #[param(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    as_of: Option<String>,
    /// Recorded by the end of that day, YYYY-MM-DD, or by that moment, Unix milliseconds.
    #[param(pattern = "^([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,15})$")]
    known_at: Option<String>,
}

impl WhenQuery {
    fn when(&self) -> Result<When> {
        let known = |s: &str| match s.parse::<u64>() {
            Ok(number) => Millis::new(number),
            // The end of the day in UTC: whoever needs another hour gives milliseconds.
            Err(_) => {
                let day = day("known_at", s)?;
                let next = day.next().unwrap_or(day).date().to_zoned(jiff::tz::TimeZone::UTC);
                let ms = next.map(|z| z.timestamp().as_millisecond()).unwrap_or(i64::MAX);
                Millis::new(u64::try_from(ms - 1).unwrap_or(0))
            }
        };
        Ok(When {
            as_of: self.as_of.as_deref().map(|s| day("as_of", s)).transpose()?,
            known_at: self.known_at.as_deref().map(known).transpose()?,
        })
    }
}

/// A parameter that is 1 or 0; without it, 0.
pub(super) fn flag(name: &str, value: Option<u8>) -> Result<bool> {
    match value {
        None | Some(0) => Ok(false),
        Some(1) => Ok(true),
        Some(other) => Err(query(name, &other.to_string())),
    }
}

pub(super) fn query(name: &str, value: &str) -> Error {
    let shown: String = value.chars().take(60).collect();
    Error::refuse("query.value", format!("{name} = «{shown}» is not understood"), "see /api/v1/openapi.json")
}

/// Reads may touch the disk (the past is folded from the log's files): never on the reactor.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::stop("http.task", e.to_string(), "report this as a bug"))?
}

/// A read of the present comes from memory in microseconds, less than the hand-over to another thread takes. It is done
/// here unless a writer holds a state at the moment; the past always goes to another thread, since it is folded from the
/// disk.
async fn reading<T: Send + 'static>(
    node: Arc<Node>,
    when: When,
    work: impl FnOnce(&Node) -> Result<T> + Send + 'static,
) -> Result<T> {
    match when.is_now()
        && node.views().iter().all(|v| !v.is_being_written() && v.state().compromised_keys().next().is_none())
    {
        true => work(&node),
        false => blocking(move || work(&node)).await,
    }
}

/// The first log that knows the subject.
fn find<T>(node: &Node, when: When, ask: impl Fn(&Reader<'_>) -> Result<T>) -> Result<T> {
    find_among(node.views(), node, when, ask)
}

fn find_among<T>(
    views: Vec<Arc<LogView>>,
    node: &Node,
    when: When,
    ask: impl Fn(&Reader<'_>) -> Result<T>,
) -> Result<T> {
    let mut missing =
        Error::refuse("lookup.unknown", "no log this node has knows it", "check the id, or ask that region's node");
    for view in views {
        match ask(&Reader::new(node, view, when)) {
            Err(e) if e.code() == "lookup.unknown" => missing = e,
            other => return other,
        }
    }
    Err(missing)
}

// rustfmt indents the attribute further each time it runs.
#[rustfmt::skip]
macro_rules! read_one {
    ($name:ident, $path:literal, $view:ty, $doc:literal, |$reader:ident, $id:ident| $ask:expr) => {
        #[doc = $doc]
        #[utoipa::path(get, path = $path, params(("id" = String, Path, description = "Id"), WhenQuery),
            responses((status = 200, body = $view), Problem))]
        async fn $name(
            State(node): State<Arc<Node>>,
            Path($id): Path<String>,
            Query(when): Query<WhenQuery>,
        ) -> Result<Json<$view>> {
            let when = when.when()?;
            blocking(move || find(&node, when, |$reader| $ask)).await.map(Json)
        }
    };
}

/// A chat by the registry's number: the word of the log that holds it, where several know it.
#[utoipa::path(get, path = "/api/v1/chats/{id}", params(("id" = String, Path, description = "Id"), WhenQuery),
    responses((status = 200, body = ChatView), Problem))]
async fn chat(
    State(node): State<Arc<Node>>,
    Path(id): Path<String>,
    Query(when): Query<WhenQuery>,
) -> Result<Json<ChatView>> {
    let (when, number) = (when.when()?, id.parse::<ChatNumber>()?);
    let views = move |node: &Node| node.views_for(&Subject::Chat(number));
    blocking(move || find_among(views(&node), &node, when, |r| r.chat(number))).await.map(Json)
}

read_one!(building, "/api/v1/buildings/{id}", BuildingView, "A building by any of its ids.", |r, id| r
    .building(&id.parse()?));
read_one!(authority, "/api/v1/authorities/{id}", AuthorityView, "An authority.", |r, id| r.authority(&id.parse()?));
read_one!(
    organisation,
    "/api/v1/organisations/{id}",
    OrganisationView,
    "An organisation and what it manages.",
    |r, id| r.organisation(&id.parse()?)
);

/// Most characters of a title or name that is held against others: as many as a title on record may have.
const MAX_NAME: usize = 500;

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct VerifyQuery {
    /// A join link as it was pasted. Tells this server which chat is meant; prefer `digest`.
    link: Option<String>,
    /// SHA-256 of the canonical join link, hex.
    #[param(pattern = "^[0-9a-f]{64}$")]
    digest: Option<String>,
    /// The registry's number of a chat.
    chat: Option<String>,
    /// A chat id in MAX, `max:-1`.
    max: Option<String>,
    /// A building id.
    building: Option<String>,
    /// A bot's name, `@name`.
    bot: Option<String>,
    /// The building the asker says the chat is for.
    for_building: Option<String>,
    /// What the chat of the link, digest or chat id calls itself, to be held against official titles.
    title: Option<String>,
    /// See the other reads.
    #[param(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    as_of: Option<String>,
    /// See the other reads.
    #[param(pattern = "^([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,15})$")]
    known_at: Option<String>,
}

/// Is this chat official? Exactly one of link, digest, chat, max, building, bot.
#[utoipa::path(get, path = "/api/v1/verify", params(VerifyQuery),
    responses((status = 200, body = Verdict), Problem))]
async fn verify(State(node): State<Arc<Node>>, Query(q): Query<VerifyQuery>) -> Result<Json<Verdict>> {
    let when = WhenQuery { as_of: q.as_of, known_at: q.known_at }.when()?;
    let question = match (q.link, q.digest, q.chat, q.max, q.building, q.bot) {
        (Some(link), None, None, None, None, None) if link.len() > MAX_LINK => {
            return Err(Error::refuse(
                "query.link",
                format!("link has {} bytes, more than {MAX_LINK}", link.len()),
                "paste the chat's link alone",
            ));
        }
        (Some(link), None, None, None, None, None) => Question::Link(link),
        (None, Some(d), None, None, None, None) => Question::Digest(d.parse().map_err(|_| query("digest", &d))?),
        (None, None, Some(c), None, None, None) => Question::Chat(c.parse::<ChatNumber>()?),
        (None, None, None, Some(m), None, None) => Question::Max(m.parse()?),
        (None, None, None, None, Some(b), None) => Question::Building(b.parse()?),
        (None, None, None, None, None, Some(b)) => match BotName::new(&b) {
            Ok(name) => Question::Bot(name),
            Err(e) if b.is_ascii() || b.chars().count() > MAX_NAME => return Err(e),
            Err(_) => Question::BotText(b),
        },
        _ => {
            return Err(Error::refuse(
                "query.count",
                "exactly one of link, digest, chat, max, building, bot is needed",
                "name one",
            ));
        }
    };
    let building = q.for_building.map(|b| b.parse::<BuildingId>()).transpose()?;
    let title = q.title;
    match (&title, &question) {
        (Some(t), _) if t.chars().count() > MAX_NAME => return Err(query("title", t)),
        (Some(t), Question::Chat(_) | Question::Building(_) | Question::Bot(_) | Question::BotText(_)) => {
            return Err(query("title", t));
        }
        // Looks are found in an index that may have to be made first.
        (Some(_), _) | (None, Question::Bot(_) | Question::BotText(_)) => {
            let work = move || node.verdict_of_titled(&question, title.as_deref(), building.as_ref(), when);
            return blocking(work).await.map(Json);
        }
        _ => {}
    }
    reading(node, when, move |node| node.verdict(&question, building.as_ref(), when)).await.map(Json)
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SubjectQuery {
    /// kind:id, for example `chat:77-ABCD-EFGH-JKMN`.
    subject: String,
    /// Position to begin at.
    #[param(format = Int64, maximum = 4294967295u64)]
    from: Option<u32>,
    /// Most items; more than 1000 are never given.
    #[param(maximum = 65535)]
    limit: Option<u16>,
    /// See the other reads.
    #[param(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    as_of: Option<String>,
    /// See the other reads.
    #[param(pattern = "^([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,15})$")]
    known_at: Option<String>,
}

/// Records, oldest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Page {
    /// Records.
    pub items: Vec<HistoryView>,
    /// Where the next page begins; absent on the last.
    pub next: Option<u64>,
}

/// Every record of a subject, oldest first.
#[utoipa::path(get, path = "/api/v1/history", params(SubjectQuery),
    responses((status = 200, body = Page), Problem))]
async fn history(State(node): State<Arc<Node>>, Query(q): Query<SubjectQuery>) -> Result<Json<Page>> {
    let subject: Subject = q.subject.parse()?;
    let when = WhenQuery { as_of: q.as_of, known_at: q.known_at }.when()?;
    let (from, limit) = (q.from.unwrap_or(0) as usize, q.limit.unwrap_or(200).clamp(1, 1000) as usize);
    let items =
        blocking(move || find_among(node.views_for(&subject), &node, when, |r| r.history(&subject, from, limit)))
            .await?;
    let next = (items.len() == limit).then_some((from + limit) as u64);
    Ok(Json(Page { items, next }))
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LastQuery {
    /// kind:id, for example `chat:77-ABCD-EFGH-JKMN`.
    subject: String,
}

/// The last record of a subject.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Last {
    /// The subject.
    pub subject: String,
    /// Its last record in the node's own log; absent for a new subject.
    pub last_record: Option<String>,
}

/// What the next record of a subject must name as `prev` in the node's own log.
#[utoipa::path(get, path = "/api/v1/subjects/last", params(LastQuery),
    responses((status = 200, body = Last), Problem))]
async fn last(State(node): State<Arc<Node>>, Query(q): Query<LastQuery>) -> Result<Json<Last>> {
    let subject: Subject = q.subject.parse()?;
    let entry = own(&node)?.state().entry(&subject).and_then(|e| e.last_record());
    Ok(Json(Last { subject: q.subject, last_record: entry.map(|id| id.to_string()) }))
}

pub(super) fn own(node: &Node) -> Result<Arc<LogView>> {
    let none = || Error::refuse("submit.no_log", "this node has no log of its own", "ask the region's own node");
    node.own().cloned().ok_or_else(none)
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CoverageQuery {
    /// YYYY-MM-DD; today by default.
    #[param(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    as_of: Option<String>,
}

/// Coverage by region and municipality. A region without data has no counts.
#[utoipa::path(get, path = "/api/v1/coverage", params(CoverageQuery),
    responses((status = 200, body = Coverage), Problem))]
async fn coverage(State(node): State<Arc<Node>>, Query(q): Query<CoverageQuery>) -> Result<Json<Coverage>> {
    let day = match q.as_of {
        Some(s) => day("as_of", &s)?,
        None => Day::of_ms(node.clock.now_ms(), 3),
    };
    blocking(move || Ok(node.coverage(day))).await.map(Json)
}

/// All reads.
pub fn router() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new()
        .routes(routes!(verify))
        .routes(routes!(chat))
        .routes(routes!(building))
        .routes(routes!(authority))
        .routes(routes!(organisation))
        .routes(routes!(history))
        .routes(routes!(last))
        .routes(routes!(coverage))
}
