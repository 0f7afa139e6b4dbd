//! The files pages are made of: in the program itself, each under a URL that changes with its bytes.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use data_encoding::HEXLOWER;
use flate2::Compression;
use flate2::write::GzEncoder;
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
    ("check.js", JS, include_bytes!("assets/check.js")),
    ("code.js", JS, include_bytes!("assets/code.js")),
    ("forms.js", JS, include_bytes!("assets/forms.js")),
    ("home.js", JS, include_bytes!("assets/home.js")),
    ("icon.svg", SVG, include_bytes!("assets/icon.svg")),
    ("keys.js", JS, include_bytes!("assets/keys.js")),
    ("link.js", JS, include_bytes!("assets/link.js")),
    ("log.js", JS, include_bytes!("assets/log.js")),
    ("places.js", JS, include_bytes!("assets/places.js")),
    ("status.js", JS, include_bytes!("assets/status.js")),
    ("style.css", CSS, include_bytes!("assets/style.css")),
    ("verify.js", JS, include_bytes!("assets/verify.js")),
];

struct Asset {
    kind: &'static str,
    bytes: &'static [u8],
    /// Compressed once, at the first request: nothing in it depends on who asks.
    gzip: Vec<u8>,
    /// The first 16 hex digits of the SHA-256 of the bytes.
    hash: String,
}

static ASSETS: LazyLock<BTreeMap<&str, Asset>> = LazyLock::new(|| {
    let asset = |bytes: &'static [u8], kind| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        // Writing to a Vec does not fail.
        let gzip = gzip.write_all(bytes).and_then(|()| gzip.finish()).unwrap_or_default();
        Asset { kind, bytes, gzip, hash: HEXLOWER.encode(&Sha256::digest(bytes)[..8]) }
    };
    FILES.iter().map(|(name, kind, bytes)| (*name, asset(bytes, *kind))).collect()
});

/// Where a browser finds the file: `/assets/name?v=…`. A name that is none is a defect of a template, which a test finds.
pub fn url(name: &str) -> String {
    ASSETS.get(name).map_or_else(|| format!("/assets/{name}"), |a| format!("/assets/{name}?v={}", a.hash))
}

/// The text of a file; empty where there is none of that name, which a test finds.
pub fn text(name: &str) -> &'static str {
    ASSETS.get(name).and_then(|a| std::str::from_utf8(a.bytes).ok()).unwrap_or_default()
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
    // Weak: one tag for the file, compressed or not.
    let tag = format!("W/\"{}\"", asset.hash);
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|seen| seen.as_bytes() == tag.as_bytes());
    let mut response = match known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false if takes_gzip(&headers) && !asset.gzip.is_empty() => {
            ([(header::CONTENT_TYPE, asset.kind), (header::CONTENT_ENCODING, "gzip")], asset.gzip.as_slice())
                .into_response()
        }
        false => ([(header::CONTENT_TYPE, asset.kind)], asset.bytes).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// True where the client names gzip without forbidding it.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let named = headers.get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or_default();
    named.split(',').any(|coding| coding.split(';').map(str::trim).eq(["gzip"]))
}
