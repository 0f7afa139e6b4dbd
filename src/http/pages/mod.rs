//! Web pages: what a resident sees. Russian unless the query says `lang=en`; every page works without JavaScript, except that
//! only a script can check a link on the resident's own device.
//!
//! A request passes [`Page`] (language, where the page is), its handler asks the node the same questions as the API does, and a
//! template of `templates/` says the answer in words; days are written by [`words`], records told by [`timeline`], the look of a verdict is in [`look`].
//! Files of `assets/` are served by [`assets`] from memory. [`errors`] turns problem documents into pages for browsers.
//!
//! Pages must never: load anything from another origin, hold a script or a style of their own (the policy in [`secured`]
//! refuses them), set a cookie, or show a join link: a link is a key to a house.

pub mod assets;
mod check;
mod errors;
mod facts;
mod home;
mod lang;
mod look;
mod status;
mod timeline;
mod words;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

pub use errors::as_pages;
pub use lang::{Lang, Page};

use crate::error::Error;
use crate::node::Node;

/// Nothing from elsewhere, nothing inline, nobody frames a page, forms stay here.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// All pages and their assets.
pub fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/", get(home::home).post(home::answer))
        .route("/check", get(check::check))
        .route("/check/saved.html", get(check::saved))
        .route("/chat/{number}", get(facts::chat))
        .route("/building/{id}", get(facts::building))
        .route("/status", get(status::status))
        .with_state(node)
        .layer(map_response(secured))
        .merge(assets::router())
}

/// The headers of a page. What is asked here is nobody else's matter: no referrer leaves, no cache keeps an answer.
async fn secured(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 5] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("permissions-policy"), "camera=(self), geolocation=(), microphone=()"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    let headers = response.headers_mut();
    headers.extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A template as an answer.
fn render(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(e) => Error::stop("http.page", e.to_string(), "report this as a bug").into_response(),
    }
}
