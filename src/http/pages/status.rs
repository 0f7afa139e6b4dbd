//! `/status`: how this node and every log it follows stand, for whoever wants to know before relying on an answer.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::reads::blocking;
use super::lang::{Page, encoded};
use super::{render, words};
use crate::error::Result;
use crate::federation::evidence::cosigners;
use crate::node::alarms::{Alarm, Raised};
use crate::node::layout::origin_hash;
use crate::node::log_view::LogView;
use crate::node::standing::{Standing, why_held};
use crate::node::verdict::Said;
use crate::node::{Followed, Node};
use crate::storage::evidence_store;
use crate::tlog::cosignature::CosignerKey;
use crate::tlog::note::Note;

#[derive(Template)]
#[template(path = "status.html", config = "src/http/pages/askama.toml")]
struct Status {
    page: Page,
    own: Option<Log>,
    doubled: bool,
    conflict: Option<Raised>,
    followed: Vec<Row>,
    charter: Option<Charter>,
}

/// One log, own or followed.
struct Log {
    /// Name of the region, as its charter has it.
    region: String,
    origin: String,
    size: u64,
    /// Time of the last commit, Unix milliseconds.
    committed: u64,
    /// Its last commit is dated later than this node's clock.
    ahead: bool,
    /// Who cosigned the newest checkpoint, and when, Unix milliseconds.
    cosigned: Vec<(String, u64)>,
    /// Where its files are, with the slash.
    files: String,
    /// Names of its evidence.
    evidence: Vec<String>,
}

/// A followed log.
struct Row {
    log: Log,
    standing: Standing,
    url: String,
    heard: Option<u64>,
    age: u64,
    held: Option<(Said, String, u64)>,
    newer: Option<(String, u64)>,
    via: Option<(String, u64)>,
}

struct Charter {
    version: u64,
    name: String,
    expires: u64,
    expired: bool,
}

impl Status {
    fn moment(&self, ms: &u64) -> String {
        words::moment(*ms, self.page.lang)
    }
    /// «5 минут назад».
    fn ago(&self, seconds: &u64) -> String {
        let (minutes, hours) = (seconds / 60, seconds / 3600);
        let lang = self.page.lang;
        match (minutes, hours) {
            (0, _) => lang.pick("меньше минуты назад".into(), "less than a minute ago".into()),
            (n, 0) => lang.pick(format!("{n} мин назад"), format!("{n} min ago")),
            (_, n) if n < 48 => lang.pick(format!("{n} ч назад"), format!("{n} h ago")),
            (_, n) => lang.pick(format!("{} дн. назад", n / 24), format!("{} days ago", n / 24)),
        }
    }
    fn title(&self, standing: &Standing) -> String {
        self.page.say(&standing.title()).to_owned()
    }
    fn meaning(&self, standing: &Standing) -> String {
        self.page.say(&standing.meaning()).to_owned()
    }
    fn tone(&self, standing: &Standing) -> &'static str {
        match standing {
            Standing::Held => "bad",
            Standing::Frozen | Standing::Stale => "warn",
            Standing::Unreachable => "note",
            Standing::Awaited => "unknown",
            Standing::Fine => "good",
        }
    }
    fn download(&self, log: &Log, name: &str) -> String {
        self.download_of(&log.origin, name)
    }
    fn download_of(&self, origin: &str, name: &str) -> String {
        format!("/api/v1/federation/evidence?log={}&name={}", encoded(origin), encoded(name))
    }
    /// How many logs are not fine, and of how many.
    fn troubled(&self) -> usize {
        self.followed.iter().filter(|r| r.standing != Standing::Fine).count()
    }
}

fn log_of(node: &Node, view: &LogView, files: String, folder: &std::path::Path) -> Log {
    let head = view.head();
    let chain = view.chain();
    let note = view.reader.checkpoint_text().and_then(|text| Note::parse(text.as_bytes()).ok());
    let signed = |key: CosignerKey| {
        let time = key.time_of(note.as_ref()?).ok().flatten()?;
        Some((key.name().to_owned(), time.saturating_mul(1000)))
    };
    let region = chain.latest().region_by_origin(&view.origin).map(|r| r.name.to_string());
    let committed = head.map_or(0, |h| h.time);
    Log {
        region: region.unwrap_or_else(|| view.region.to_string()),
        origin: view.origin.clone(),
        size: head.map_or(0, |h| h.index + 1),
        committed,
        ahead: committed > node.clock.now_ms().saturating_add(60_000),
        cosigned: cosigners(&chain).into_iter().filter_map(signed).collect(),
        files,
        evidence: evidence_store::list(folder).into_iter().map(|k| k.name).collect(),
    }
}

fn row(node: &Node, followed: &Followed) -> Row {
    let view = &followed.view;
    let files = format!("/mirror/{}/", origin_hash(&view.origin));
    let (standing, freshness) = (node.standing(followed), node.freshness(view));
    let status = followed.status.read().clone();
    Row {
        log: log_of(node, view, files, &node.layout.mirror(&view.origin).evidence()),
        standing,
        url: status.url,
        heard: status.last_success,
        age: freshness.age_seconds,
        held: status.held.map(|h| (why_held(&h.code, &h.detail), h.code, h.since)),
        newer: status.newer.filter(|_| standing == Standing::Frozen).map(|n| (n.url, n.size)),
        via: status.via.map(|v| (v.url, v.at)),
    }
}

/// `GET /status`.
pub async fn status(State(node): State<Arc<Node>>, page: Page) -> Result<Response> {
    blocking(move || {
        let own = node.own().map(|view| log_of(&node, view, "/log/".into(), &node.layout.evidence()));
        let mut followed: Vec<Row> = node.followed().iter().map(|f| row(&node, f)).collect();
        followed.sort_by_key(|r| r.standing as u8);
        let newest = node.views().into_iter().map(|v| v.charter()).max_by_key(|c| c.charter().version);
        let charter = newest.map(|c| Charter {
            version: c.charter().version,
            name: c.charter().name.to_string(),
            expires: c.charter().expires.get(),
            expired: c.is_expired(node.clock.now_ms()),
        });
        let doubled = node.alarms.get(Alarm::Doubled).is_some();
        let conflict = node.alarms.get(Alarm::Charters);
        Ok(render(StatusCode::OK, &Status { page, own, doubled, conflict, followed, charter }))
    })
    .await
}
