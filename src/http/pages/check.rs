//! `/check`: a link or a saved proof is checked on the resident's own device (`assets/check.js` over `assets/verify.js`).
//!
//! The page is the same for everybody: what is checked stands in the URL's fragment, in the field or in a file, none of which
//! comes here. The words of every answer are in the page, so that the script writes none of its own.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use super::lang::Page;
use super::look::Look;
use super::render;
use crate::node::verdict::{VerdictState, words_for};

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

#[derive(Template)]
#[template(path = "check.html", config = "src/http/pages/askama.toml")]
struct Check {
    page: Page,
    answers: Vec<Answer>,
}

/// The words of one state; the script puts the owner's name in the place of `{owner}`.
struct Answer {
    state: String,
    look: Look,
    text: String,
    advice: String,
}

/// `GET /check`.
pub async fn check(page: Page) -> Response {
    let answer = |state: VerdictState| {
        let (text, advice) = words_for(state, "{owner}", "");
        let (text, advice) = (page.say(&text).to_owned(), page.say(&advice).to_owned());
        Answer { state: name(state), look: Look::of(state, &page), text, advice }
    };
    let answers = STATES.map(answer).into();
    render(StatusCode::OK, &Check { page, answers })
}

/// The state as the API and the scripts write it.
fn name(state: VerdictState) -> String {
    // A word of a fixed list: there is no other way.
    serde_json::to_value(state).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}
