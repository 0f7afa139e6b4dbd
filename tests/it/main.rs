//! The integration tests, in one binary so that the crate is linked once.

mod config;
mod http;
mod tlog;
mod tlog_decode;
