//! `/chat/<number>` and `/building/<id>`: all that is on record, for whoever wants to know more than the answer.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::extract::Path;
use super::super::reads::blocking;
use super::home::Answer;
use super::lang::Page;
use super::timeline::{self, Timeline};
use super::{render, words};
use crate::error::{Error, Result};
use crate::node::Node;
use crate::node::answer::Question;
use crate::node::log_view::{LogView, When};
use crate::node::notes::BotView;
use crate::node::query::{AdminView, BuildingView, ChatView, ManagementView, Reader};
use crate::node::verdict::{Verdict, basis_words, found};
use crate::registry::body::{Service, ServiceKind};
use crate::registry::ids::{BuildingId, ChatNumber};
use crate::registry::link::canonical_link;
use crate::registry::record::Subject;
use crate::registry::text::Day;

/// The story of a chat of at most as many houses tells who managed them, too.
const MANAGED_HOUSES: usize = 3;

#[derive(Template)]
#[template(path = "chat.html", config = "src/http/pages/askama.toml")]
struct ChatPage {
    page: Page,
    answer: Answer,
    chat: ChatView,
    bots: Vec<BotView>,
    story: Timeline,
}

#[derive(Template)]
#[template(path = "building.html", config = "src/http/pages/askama.toml")]
struct BuildingPage {
    page: Page,
    answer: Answer,
    house: BuildingView,
    story: Timeline,
}

/// What both templates say in the same words.
macro_rules! shared_words {
    ($($name:ident),+) => {$(
        impl $name {
            fn day(&self, day: &Day) -> String {
                words::day(*day, self.page.lang)
            }
            fn since(&self, day: &Option<Day>) -> String {
                day.map_or_else(|| self.page.t("день не указан", "day not recorded").to_owned(), |d| self.day(&d))
            }
            fn moment(&self, ms: &u64) -> String {
                words::moment(*ms, self.page.lang)
            }
            fn manager(&self, m: &ManagementView) -> String {
                let form = timeline::form(m.form);
                let form = self.page.say(&form);
                let who = m.name.clone().or_else(|| m.organisation.as_ref().map(ToString::to_string));
                who.map_or_else(|| form.to_owned(), |who| format!("{who} ({form})"))
            }
            fn service(&self, kind: ServiceKind) -> &'static str {
                let (ru, en) = match kind {
                    ServiceKind::Dispatcher => ("Диспетчер", "Dispatcher"),
                    ServiceKind::Emergency => ("Аварийная служба", "Emergency service"),
                    ServiceKind::Meters => ("Показания счётчиков", "Meter readings"),
                    ServiceKind::Payments => ("Оплата", "Payments"),
                    ServiceKind::Requests => ("Заявки и жалобы", "Requests and complaints"),
                    ServiceKind::Other => ("Другое", "Other"),
                };
                self.page.lang.pick(ru, en)
            }
            /// A link that may be followed: no scheme but https, and no key to a chat.
            fn open_link<'s>(&self, service: &'s Service) -> Option<&'s str> {
                let link = service.link.as_ref()?.as_str();
                (link.starts_with("https://") && canonical_link(link).is_err()).then_some(link)
            }
        }
    )+};
}

shared_words!(ChatPage, BuildingPage);

impl ChatPage {
    fn basis(&self) -> String {
        self.page.say(&basis_words(self.chat.basis.as_deref())).to_owned()
    }
    fn is_administered(&self) -> bool {
        self.chat.administrators.iter().any(|a| a.active)
    }
    fn administrator(&self, a: &AdminView) -> String {
        a.name.clone().unwrap_or_else(|| a.organisation.to_string())
    }
}

impl BuildingPage {
    /// Whether a chat is required, with the reason.
    fn required(&self) -> String {
        self.page.say(&found::house(&self.house)).to_owned()
    }
    fn is_managed(&self) -> bool {
        self.house.managements.iter().any(|m| m.holds)
    }
}

/// The log an answer comes from.
fn view_of(node: &Node, origin: &str) -> Result<Arc<LogView>> {
    node.view(origin)
        .ok_or_else(|| Error::retry("proof.moved", "the log was just replaced", "ask again in a few seconds"))
}

/// `GET /chat/<number>`.
pub async fn chat(State(node): State<Arc<Node>>, page: Page, Path(number): Path<String>) -> Result<Response> {
    let number = number.to_uppercase().parse::<ChatNumber>()?;
    blocking(move || {
        let verdict = node.verdict(&Question::Chat(number), None, When::default())?;
        let Some(chat) = verdict.chats.first().cloned() else { return Ok(unknown(page, verdict)) };
        let view = view_of(&node, &chat.freshness.log)?;
        let bots = Reader::new(&node, view.clone(), When::default()).bots_of(&chat)?;
        let houses: Vec<BuildingId> = match chat.buildings.len() <= MANAGED_HOUSES {
            true => chat.buildings.iter().map(|b| b.building.clone()).collect(),
            false => Vec::new(),
        };
        let story = timeline::of(&view, &page, &Subject::Chat(number), &houses)?;
        let answer = Answer::of(verdict, &page, false);
        Ok(render(StatusCode::OK, &ChatPage { page, answer, chat, bots, story }))
    })
    .await
}

/// `GET /building/<id>`.
pub async fn building(State(node): State<Arc<Node>>, page: Page, Path(id): Path<String>) -> Result<Response> {
    let id = id.parse::<BuildingId>()?;
    blocking(move || {
        let mut verdict = node.verdict(&Question::Building(id), None, When::default())?;
        let Some(house) = verdict.house.take() else { return Ok(unknown(page, verdict)) };
        let view = view_of(&node, &house.freshness.log)?;
        let story = timeline::of(&view, &page, &Subject::Building(house.building.clone()), &[])?;
        let answer = Answer::of(verdict, &page, false);
        Ok(render(StatusCode::OK, &BuildingPage { page, answer, house, story }))
    })
    .await
}

/// No log has it: the answer that says so, which is no page of a thing.
fn unknown(page: Page, verdict: Verdict) -> Response {
    let answer = Answer::of(verdict, &page, false);
    super::home::answered(StatusCode::NOT_FOUND, page, answer)
}
