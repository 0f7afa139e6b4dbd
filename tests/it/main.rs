//! The integration tests, in one binary so that the crate is linked once.

mod address_real;
mod api;
mod cli;
mod config;
mod data;
mod docs;
mod follow;
mod forge;
mod http;
mod import_readers;
mod kill;
mod node;
mod registry_decode;
mod rules;
mod storage;
mod storage_copies;
mod storage_index;
mod tlog;
mod tlog_decode;
mod tlog_proof;
