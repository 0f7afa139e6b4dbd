//! Problem documents as pages, for whoever asks with a browser.

use askama::Template;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::super::problem::Problem;
use super::lang::{Page, of_query};
use super::{render, secured};

#[derive(Template)]
#[template(path = "error.html", config = "src/http/pages/askama.toml")]
struct ErrorPage {
    page: Page,
    heading: &'static str,
    /// What happened and what to do. Never the problem's detail, which may repeat what was asked.
    says: String,
    code: &'static str,
    status: u16,
}

/// Answers a browser with a page where others get a problem document. Below `/api/` everybody gets the document.
pub async fn as_pages(request: Request, next: Next) -> Response {
    let wanted = asks_for_html(request.headers()) && !request.uri().path().starts_with("/api/");
    // Where the page is may be what was asked about (a link pasted behind the host), so the switch leads home.
    let page = Page { lang: of_query(request.uri().query()), here: "/".into() };
    let response = next.run(request).await;
    match response.extensions().get::<Problem>() {
        Some(problem) if wanted => {
            let retry = response.headers().get(header::RETRY_AFTER).cloned();
            let mut answer = secured(of_problem(page, problem)).await;
            answer.headers_mut().extend(retry.map(|seconds| (header::RETRY_AFTER, seconds)));
            answer
        }
        _ => response,
    }
}

fn asks_for_html(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|a| a.to_str().ok()).is_some_and(|a| a.contains("text/html"))
}

fn of_problem(page: Page, problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let heading = match status.as_u16() {
        404 => page.t("Такой страницы или записи нет", "There is no such page or record"),
        503 => page.t("Узел сейчас занят", "The node is busy"),
        500.. => page.t("Узел не смог ответить", "The node could not answer"),
        _ => page.t("Запрос не понят", "The request was not understood"),
    };
    let says = match &problem.ru {
        Some(ru) if page.lang == super::Lang::Ru => ru.clone(),
        _ => format!("{} ({}): {}.", problem.title, problem.code, problem.remedy),
    };
    render(status, &ErrorPage { heading, says, code: problem.code, status: problem.status, page })
}
