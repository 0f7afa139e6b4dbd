//! Errors as RFC 9457 problem documents: what every refusal looks like to a client.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::{Content, Ref, RefOr, Response as Documented, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::error::{Action, Error, russian};

/// An RFC 9457 problem document. `code` is stable; `detail` and `remedy` are for people and may change.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// `urn:domovoi:error:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status in words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The stable code of the error.
    pub code: &'static str,
    /// Which thing is at fault and why.
    pub detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub remedy: &'static str,
    /// What happened and what to do, in Russian and without the particulars that `detail` gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ru: Option<String>,
    /// Seconds after which trying again makes sense; sent as `Retry-After`.
    #[serde(skip)]
    pub retry_after: Option<u32>,
}

impl Problem {
    /// A problem with the given HTTP status and stable code.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>, remedy: &'static str) -> Problem {
        Problem {
            kind: format!("urn:domovoi:error:{code}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            remedy,
            ru: russian(code).map(|(what, remedy)| format!("{}. {}.", sentence(what), sentence(remedy))),
            retry_after: None,
        }
    }

    /// The same problem with a `Retry-After` of that many seconds.
    pub fn retry_after(mut self, seconds: u32) -> Problem {
        self.retry_after = Some(seconds);
        self
    }
}

/// Media type of a problem document.
const MEDIA_TYPE: &str = "application/problem+json";

/// What every resource may answer instead of its own content, for the OpenAPI document.
const ANSWERS: &[(StatusCode, &str)] = &[
    (StatusCode::BAD_REQUEST, "The request is not in the form this document gives."),
    (StatusCode::NOT_FOUND, "There is no such thing."),
    (StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time."),
    (StatusCode::CONFLICT, "It does not fit the present state."),
    (StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than is taken."),
    (StatusCode::UNPROCESSABLE_ENTITY, "Understood and refused: a checksum, a day that is none, a combination."),
    (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "More or longer headers than are taken."),
    (StatusCode::INTERNAL_SERVER_ERROR, "The node failed; its log says why."),
    (StatusCode::SERVICE_UNAVAILABLE, "Not now; try again after Retry-After."),
];

impl IntoResponses for Problem {
    fn responses() -> BTreeMap<String, RefOr<Documented>> {
        let content = || Content::new(Some(Ref::from_schema_name(Problem::name())));
        let response = |says: &str| ResponseBuilder::new().description(says).content(MEDIA_TYPE, content()).build();
        ANSWERS.iter().map(|(status, says)| (status.as_str().to_owned(), response(says).into())).collect()
    }
}

/// The text with a capital at its beginning.
fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(char::to_uppercase).into_iter().flatten().chain(rest).collect()
}

/// Status of a refusal by the first matching prefix of its code; what is not listed is 422: understood, and refused.
const REFUSALS: &[(&str, StatusCode)] = &[
    // A rule speaks about the state: the same record may pass later, or have passed earlier.
    ("rule.", StatusCode::CONFLICT),
    ("conflict.", StatusCode::CONFLICT),
    // Not in the form the protocol gives.
    ("envelope.", StatusCode::BAD_REQUEST),
    ("http.", StatusCode::BAD_REQUEST),
    ("json.", StatusCode::BAD_REQUEST),
    ("query.", StatusCode::BAD_REQUEST),
    ("text.", StatusCode::BAD_REQUEST),
];

/// The HTTP status that stands for an error.
pub fn status_of(error: &Error) -> StatusCode {
    match error.action() {
        Action::Retry => StatusCode::SERVICE_UNAVAILABLE,
        Action::Stop => StatusCode::INTERNAL_SERVER_ERROR,
        Action::Isolate => StatusCode::BAD_GATEWAY,
        Action::Refuse => {
            let code = error.code();
            let listed = REFUSALS.iter().find(|(prefix, _)| code.starts_with(prefix)).map(|(_, status)| *status);
            let missing = code.ends_with(".not-found") || (code.ends_with(".unknown") && !code.starts_with("rule."));
            if missing { StatusCode::NOT_FOUND } else { listed.unwrap_or(StatusCode::UNPROCESSABLE_ENTITY) }
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let problem = Problem::new(status_of(&error), error.code(), error.detail(), error.remedy());
        match error.action() {
            Action::Retry => problem.retry_after(5),
            // What goes wrong inside (paths, system errors) is for the log, not for the network.
            Action::Stop => {
                tracing::error!(code = error.code(), %error, "request failed");
                Problem { detail: "the node cannot answer; its log says why".into(), ..problem }
            }
            Action::Refuse | Action::Isolate => problem,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let mut response = (status, Json(&self)).into_response();
        // Where a browser asks, the frame makes a page of it.
        response.extensions_mut().insert(self);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Handlers return `Result<_, Error>`.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}

/// The answer to a path that does not exist.
pub async fn not_found(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    let detail = format!("there is nothing at {path}");
    Problem::new(StatusCode::NOT_FOUND, "http.not-found", detail, "see /api/v1/openapi.json for what there is")
}

/// The answer to a method the path does not have.
pub async fn method_not_allowed() -> Problem {
    let detail = "this path does not take this method";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "http.method", detail, "see the Allow header")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_follows_the_action_and_the_code() {
        for (error, status) in [
            (Error::refuse("rule.key.unknown", "", ""), 409),
            (Error::refuse("envelope.malformed", "", ""), 400),
            (Error::refuse("query.not-found", "", ""), 404),
            (Error::refuse("chat.unknown", "", ""), 404),
            (Error::refuse("signature.invalid", "", ""), 422),
            (Error::retry("sequencer.busy", "", ""), 503),
            (Error::isolate("tile.truncated", "", ""), 502),
            (Error::stop("fence.fork", "", ""), 500),
        ] {
            assert_eq!(status_of(&error).as_u16(), status, "{error:?}");
        }
    }

    #[test]
    fn a_problem_speaks_russian_where_its_code_is_known() {
        let ru = |code| {
            let problem = serde_json::to_value(Problem::from(Error::refuse(code, "", ""))).unwrap();
            problem.get("ru").map(|ru| ru.as_str().unwrap().to_owned())
        };
        assert_eq!(ru("rule.known").unwrap(), "Эта запись уже есть в журнале. Ничего делать не нужно.");
        assert_eq!(ru("rule.of-tomorrow"), None);
    }

    #[test]
    fn an_internal_error_does_not_tell_its_detail() {
        let problem = Problem::from(Error::stop("storage.write", "/var/lib/secret: no space", ""));
        assert!(!problem.detail.contains("secret"));
    }
}
