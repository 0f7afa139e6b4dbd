//! `/`: one field for a link, a chat's number or id, a bot, a building's id or an address, and the answer.
//!
//! The form is sent as a body, so that a link gets into no URL, history or log; what is no key to a house may also stand in
//! `/?q=…`, to be passed on. With JavaScript a link does not leave the device at all (`home.js`).

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::super::extract::Query;
use super::super::problem::Problem;
use super::super::reads::{blocking, query};
use super::lang::{Page, encoded};
use super::look::Look;
use super::{render, words};
use crate::error::Result;
use crate::node::Node;
use crate::node::answer::Question;
use crate::node::log_view::When;
use crate::node::search::{Found, MAX_FOUND};
use crate::node::verdict::{Said, Verdict, VerdictState};
use crate::node::words::alone;
use crate::registry::body::BotName;
use crate::registry::ids::{BuildingId, ChatNumber, MaxChatId};
use crate::registry::link::{NotChat, read_link};

/// Most bytes of a question: as many as a join link in a sentence may have.
const MAX_QUESTION: usize = 4096;

#[derive(Template)]
#[template(path = "home.html", config = "src/http/pages/askama.toml")]
struct Home {
    page: Page,
    /// What was asked, to be corrected; empty where that is a link.
    asked: String,
    answer: Option<Answer>,
    /// What `home.js` says of a text that only looks like a chat's link, without asking the node.
    not_a_link: (Look, Said, Said),
    /// Buildings by the address that was asked about.
    houses: Houses,
}

/// What an address led to.
enum Houses {
    /// No address was asked about.
    NotAsked,
    /// Buildings, the best first; none is an answer, too.
    Found(Found),
    /// The index is still being made.
    NotYet,
    /// This node does not search.
    Never,
}

/// A verdict and how it is shown.
pub struct Answer {
    /// The verdict.
    pub verdict: Verdict,
    /// Its look.
    pub look: Look,
    /// The question was a link, which this node now knows.
    pub link: bool,
}

impl Answer {
    /// A verdict with its look in the page's language.
    pub fn of(verdict: Verdict, page: &Page, link: bool) -> Answer {
        Answer { look: Look::of(verdict.state, page), verdict, link }
    }
}

/// A page that is an answer and nothing else.
pub fn answered(status: StatusCode, page: Page, answer: Answer) -> Response {
    render(status, &Home::of(page, String::new(), Some(answer), Houses::NotAsked))
}

impl Home {
    fn of(page: Page, asked: String, answer: Option<Answer>, houses: Houses) -> Home {
        let state = VerdictState::NotAChatLink;
        let (text, advice) = alone(state);
        Home { not_a_link: (Look::of(state, &page), text, advice), page, asked, answer, houses }
    }
    fn moment(&self, ms: &u64) -> String {
        words::moment(*ms, self.page.lang)
    }
    fn day(&self, day: &crate::registry::text::Day) -> String {
        words::day(*day, self.page.lang)
    }
}

/// The question of a form or a URL. The language is [`Page`]'s.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Asked {
    #[serde(default)]
    q: String,
}

/// What was meant by it.
enum Meant {
    Nothing,
    /// A join link, or something like it: a key to a house, never repeated.
    Link(String),
    Id(Question),
    /// No id and no link: an address.
    Words,
}

/// `GET /`.
pub async fn home(State(node): State<Arc<Node>>, mut page: Page, Query(asked): Query<Asked>) -> Result<Response> {
    if !asked.q.trim().is_empty() && !matches!(meant(&asked.q), Meant::Link(_)) {
        page.here = format!("/?q={}", encoded(asked.q.trim()));
    }
    reply(node, page, asked).await
}

/// `POST /`: the same from a body.
pub async fn answer(
    State(node): State<Arc<Node>>,
    page: Page,
    form: std::result::Result<axum::Form<Asked>, axum::extract::rejection::FormRejection>,
) -> Result<Response, Problem> {
    let form =
        form.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "query.invalid", "not a form with q", "go to /"))?;
    Ok(reply(node, page, form.0).await?)
}

async fn reply(node: Arc<Node>, page: Page, asked: Asked) -> Result<Response> {
    let text = asked.q.trim();
    if text.len() > MAX_QUESTION {
        return Err(query("q", ""));
    }
    let (question, link) = match meant(text) {
        Meant::Nothing => return Ok(render(StatusCode::OK, &Home::of(page, String::new(), None, Houses::NotAsked))),
        Meant::Words => {
            let (words, sought) = (text.to_owned(), text.to_owned());
            let houses = match blocking(move || node.search(&sought, MAX_FOUND)).await {
                Ok(found) => Houses::Found(found),
                Err(e) if e.code() == "search.building" => Houses::NotYet,
                Err(e) if e.code() == "search.absent" => Houses::Never,
                Err(e) => return Err(e),
            };
            return Ok(render(StatusCode::OK, &Home::of(page, words, None, houses)));
        }
        Meant::Link(link) => (Question::Link(link), true),
        Meant::Id(question) => (question, false),
    };
    let verdict = blocking(move || node.verdict(&question, None, When::default())).await?;
    let asked = if link { String::new() } else { text.to_owned() };
    let answer = Some(Answer::of(verdict, &page, link));
    Ok(render(StatusCode::OK, &Home::of(page, asked, answer, Houses::NotAsked)))
}

fn meant(text: &str) -> Meant {
    let text = text.trim();
    if text.is_empty() {
        return Meant::Nothing;
    }
    if let Ok(number) = text.to_uppercase().parse::<ChatNumber>() {
        return Meant::Id(Question::Chat(number));
    }
    if text.starts_with('@')
        && let Ok(bot) = BotName::new(text)
    {
        return Meant::Id(Question::Bot(bot));
    }
    let max = if text.starts_with('-') { format!("max:{text}") } else { text.to_owned() };
    if let Ok(max) = max.parse::<MaxChatId>() {
        return Meant::Id(Question::Max(max));
    }
    if is_like_a_link(text) {
        return Meant::Link(text.to_owned());
    }
    match text.parse::<BuildingId>() {
        Ok(building) => Meant::Id(Question::Building(building)),
        Err(_) => Meant::Words,
    }
}

/// A link, and whatever could be a token without one. Rather one too many: what is like a link is not shown again. `home.js`
/// has the like.
fn is_like_a_link(text: &str) -> bool {
    let token = |word: &str| word.len() >= 40 && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let link = match read_link(text) {
        Err(NotChat::NoLink | NotChat::Empty) => false,
        // «ул.Ленина» has the form of a host as well.
        Err(NotChat::Foreign) => text.is_ascii() || text.contains("://"),
        _ => true,
    };
    link || text.contains("/join/") || text.split_whitespace().any(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_told_by_its_form() {
        let kind = |text: &str| match meant(text) {
            Meant::Nothing => "nothing",
            Meant::Link(_) => "link",
            Meant::Id(Question::Chat(_)) => "chat",
            Meant::Id(Question::Max(_)) => "max",
            Meant::Id(Question::Bot(_)) => "bot",
            Meant::Id(Question::Building(_)) => "building",
            Meant::Id(_) => "another id",
            Meant::Words => "words",
        };
        let token = "A".repeat(43);
        for (text, is) in [
            (" \n", "nothing"),
            (" https://max.ru/join/x ", "link"),
            (&format!("max.ru/join/{token}"), "link"),
            (&format!("mаx.рф/join/{token}"), "link"),
            ("Заходите: max.ru, там наш чат", "link"),
            ("clck.ru/3abc", "link"),
            (&token, "link"),
            ("-70123456789", "max"),
            ("max:-70123456789", "max"),
            ("@domovoi_bot", "bot"),
            ("reformagkh:7654321", "building"),
            ("kad:77:01:0001001:1001", "building"),
            ("ул. Ленина, д. 5/2", "words"),
            ("ул.Ленина д.5/2 стр.1", "words"),
            ("пр-т Ленина, д. 5, корп. 2", "words"),
        ] {
            assert_eq!(kind(text), is, "{text}");
        }
    }
}
