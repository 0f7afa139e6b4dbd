//! Parameters of a request. The same as axum's own extractors, but what does not fit is answered with a problem document
//! like every other refusal.

use axum::extract::FromRequestParts;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::StatusCode;

use super::problem::Problem;

/// The query string as `T`.
#[derive(Debug, Clone, Copy, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub struct Query<T>(pub T);

/// The variable parts of the path as `T`.
#[derive(Debug, Clone, Copy, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub struct Path<T>(pub T);

fn invalid(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "query.invalid", detail, "see /api/v1/openapi.json for the parameters")
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Problem {
        invalid(rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Problem {
        invalid(rejection.body_text())
    }
}
