//! The files pages are made of: in the program itself, each under a URL that changes with its bytes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::super::extract::Path;
use super::super::problem::Problem;

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Every file: name, kind, bytes.
const FILES: &[(&str, &str, &[u8])] = &[
    ("bucket.js", JS, include_bytes!("assets/bucket.js")),
    ("bytes.js", JS, include_bytes!("assets/bytes.js")),
    ("charter.js", JS, include_bytes!("assets/charter.js")),
    ("forms.js", JS, include_bytes!("assets/forms.js")),
    ("home.js", JS, include_bytes!("assets/home.js")),
    ("icon.svg", SVG, include_bytes!("assets/icon.svg")),
    ("keys.js", JS, include_bytes!("assets/keys.js")),
    ("link.js", JS, include_bytes!("assets/link.js")),
    ("log.js", JS, include_bytes!("assets/log.js")),
    ("status.js", JS, include_bytes!("assets/status.js")),
    ("style.css", CSS, include_bytes!("assets/style.css")),
    ("verify.js", JS, include_bytes!("assets/verify.js")),
];

struct Asset {
    kind: &'static str,
    bytes: &'static [u8],
    /// The first 16 hex digits of the SHA-256 of the bytes.
    hash: String,
}

static ASSETS: LazyLock<BTreeMap<&str, Asset>> = LazyLock::new(|| {
    let asset = |bytes: &'static [u8], kind| Asset { kind, bytes, hash: HEXLOWER.encode(&Sha256::digest(bytes)[..8]) };
    FILES.iter().map(|(name, kind, bytes)| (*name, asset(bytes, *kind))).collect()
});

/// Where a browser finds the file: `/assets/name?v=…`. A name that is none is a defect of a template, which a test finds.
pub fn url(name: &str) -> String {
    ASSETS.get(name).map_or_else(|| format!("/assets/{name}"), |a| format!("/assets/{name}?v={}", a.hash))
}

/// `/assets/{name}`.
pub fn router() -> Router {
    Router::new().route("/assets/{name}", get(asset))
}

/// By the URL that names the hash it is kept for ever. A module that another one imports has no hash in its URL, and is asked
/// for again each time, mostly to hear that it is the same.
async fn asset(Path(name): Path<String>, uri: axum::http::Uri, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.get(name.as_str()) else {
        let detail = "there is no such file";
        return Problem::new(StatusCode::NOT_FOUND, "http.not-found", detail, "reload the page").into_response();
    };
    let named = uri.query().and_then(|q| q.strip_prefix("v=")) == Some(asset.hash.as_str());
    let cache = if named { "public, max-age=31536000, immutable" } else { "no-cache" };
    let tag = format!("\"{}\"", asset.hash);
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|seen| seen.as_bytes() == tag.as_bytes());
    let mut response = match known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, asset.kind)], asset.bytes).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}
