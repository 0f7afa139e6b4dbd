//! `/check`: a link or a saved proof is checked on the resident's own device (`assets/check.js` over `assets/verify.js`).
//!
//! The page is the same for everybody: what is checked stands in the URL's fragment, in the field or in a file, none of which
//! comes here. The words of every answer are in the page, so that the script writes none of its own.

use std::sync::{Arc, LazyLock};

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use super::super::private_check::charter_texts;
use super::assets;
use super::lang::Page;
use super::look::Look;
use super::render;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::node::verdict::VerdictState;
use crate::node::words::words_for;
use crate::registry::link::NotChat;

/// Every state that the scripts can come to.
const STATES: [VerdictState; 13] = [
    VerdictState::Official,
    VerdictState::OfficialCoversSeveral,
    VerdictState::Suspended,
    VerdictState::PendingHandover,
    VerdictState::LinkRotated,
    VerdictState::Transferred,
    VerdictState::Superseded,
    VerdictState::Closed,
    VerdictState::NotRegistered,
    VerdictState::RegionNotConnected,
    VerdictState::Stale,
    VerdictState::HouseWithoutChat,
    VerdictState::NotAChatLink,
];

/// Every reason of a link that is none.
const REASONS: [NotChat; 11] = [
    NotChat::TooLong,
    NotChat::Empty,
    NotChat::NoLink,
    NotChat::Scheme,
    NotChat::Lookalike,
    NotChat::UserInfo,
    NotChat::Shortener,
    NotChat::Foreign,
    NotChat::NoInvitation,
    NotChat::Token,
    NotChat::TwoLinks,
];

#[derive(Template)]
#[template(path = "check.html", config = "src/http/pages/askama.toml")]
struct Check {
    page: Page,
    words: Words,
    saved: bool,
}

/// The same in one file, which needs nothing of anybody.
#[derive(Template)]
#[template(path = "saved.html", config = "src/http/pages/askama.toml")]
struct Saved {
    page: Page,
    words: Words,
    saved: bool,
    policy: String,
    style: &'static str,
    script: &'static str,
    /// The charters as a JSON array; they are base64url and a few signs, so nothing in them ends a script.
    charters: String,
}

/// All words that the script shows.
struct Words {
    answers: Vec<Answer>,
    /// Why a text leads to no chat: the script's word for it, and what people read.
    reasons: Vec<(String, &'static str)>,
}

/// The words of one state; the script puts the owner's name in the place of `{owner}`.
struct Answer {
    state: String,
    look: Look,
    text: String,
    advice: String,
}

fn words(page: &Page) -> Words {
    let answer = |state: VerdictState| {
        let (text, advice) = words_for(state, "{owner}", "");
        let (text, advice) = (page.say(&text).to_owned(), page.say(&advice).to_owned());
        Answer { state: name(state), look: Look::of(state, page), text, advice }
    };
    let answers = STATES.map(answer).into();
    let reasons = REASONS.map(|why| (name(why), page.lang.pick(why.ru(), why.en()))).into();
    Words { answers, reasons }
}

/// `GET /check`.
pub async fn check(page: Page) -> Response {
    render(StatusCode::OK, &Check { words: words(&page), saved: false, page })
}

/// `GET /check/saved.html`: the page with its scripts and this node's charters in one file, to be kept.
pub async fn saved(State(node): State<Arc<Node>>, page: Page) -> Result<Response> {
    let charters = charter_texts(node).await?;
    let charters = serde_json::to_string(&charters)
        .map_err(|e| Error::stop("http.page", e.to_string(), "report this as a bug"))?;
    let (style, script) = (assets::text("style.css"), SCRIPT.as_str());
    let hash = |text: &str| BASE64.encode(&Sha256::digest(text));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; form-action 'none'; base-uri 'none'",
        hash(style),
        hash(script)
    );
    let words = words(&page);
    let mut response = render(StatusCode::OK, &Saved { page, words, saved: true, policy, style, script, charters });
    let name = HeaderValue::from_static("attachment; filename=\"domovoi-check.html\"");
    response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

/// The modules behind one another as one: what each imports stands before it, under the same name.
static SCRIPT: LazyLock<String> = LazyLock::new(|| {
    const MODULES: [&str; 11] = [
        "bytes.js",
        "keys.js",
        "forms.js",
        "log.js",
        "places.js",
        "charter.js",
        "status.js",
        "bucket.js",
        "link.js",
        "code.js",
        "check.js",
    ];
    let lines = MODULES.into_iter().flat_map(|name| assets::text(name).lines());
    let own = lines.filter(|line| !line.starts_with("import "));
    own.map(|line| format!("{}\n", line.strip_prefix("export ").unwrap_or(line))).collect()
});

/// The word as the API and the scripts write it.
fn name(word: impl serde::Serialize) -> String {
    // Of a fixed list: there is no other way.
    serde_json::to_value(word).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}
