//! The OpenAPI document, made from the handlers themselves, at `/api/v1/openapi.json`.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::health::Health;
use super::problem::Problem;
use crate::error::{Error, Result};

/// Where the document is.
pub const PATH: &str = "/api/v1/openapi.json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "domovoi",
        description = "Registry of official house chats. Errors are RFC 9457 problem documents with a stable code.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    paths(healthz, readyz, metrics, this, log, mirror),
    components(schemas(Problem, Health))
)]
struct Document;

// What the frame and the log's files answer, described here because no API handler of their own does.
macro_rules! described {
    ($($name:ident $path:literal $doc:literal ($($param:literal $says:literal),*) $content:tt;)+) => {$(
        #[doc = $doc]
        #[utoipa::path(get, path = $path, params($(($param = String, Path, description = $says)),*),
            responses((status = 200, content $content), Problem))]
        #[allow(dead_code)]
        fn $name() {}
    )+};
}

described! {
    healthz "/healthz" "The process answers." () ((Health = "application/json"));
    readyz "/readyz" "The node can do its work, or 503 says what is missing." () ((Health = "application/json"));
    metrics "/metrics" "Measurements in the Prometheus text format." () ((String = "text/plain"));
    this "/api/v1/openapi.json" "This document." () ((Object = "application/json"));
    log "/log/{path}" "The node's own log as C2SP tlog-tiles." ("path" "checkpoint, tile/… or tile/entries/…")
        ((String = "application/octet-stream"), (String = "text/plain"));
    mirror "/mirror/{origin}/{path}" "A followed log as C2SP tlog-tiles, verified."
        ("origin" "SHA-256 of the log's origin, hex", "path" "checkpoint, tile/… or tile/entries/…")
        ((String = "application/octet-stream"), (String = "text/plain"));
}

/// An empty router that already knows title, licence and the problem schema; resources add themselves with
/// `.routes(routes!(handler))`.
pub fn api() -> OpenApiRouter {
    OpenApiRouter::with_openapi(Document::openapi())
}

/// Ends the collection: a plain router with all its routes and the document, rendered once.
pub fn finish(api: OpenApiRouter) -> Result<Router> {
    let (router, document) = api.split_for_parts();
    let json =
        document.to_json().map_err(|error| Error::stop("http.openapi", error.to_string(), "report this as a bug"))?;
    let json = Bytes::from(json);
    let serve = async move || ([(header::CONTENT_TYPE, "application/json")], json.clone()).into_response();
    Ok(router.route(PATH, get(serve)))
}
