//! The integration tests, in one binary so that the crate is linked once.

mod address_real;
mod config;
mod data;
mod http;
mod import_readers;
mod tlog;
mod tlog_decode;
