//! The integration tests, in one binary so that the crate is linked once.

mod address_real;
mod answers;
mod api;
mod cli;
mod config;
mod data;
mod docs;
mod durability;
mod follow;
mod forge;
mod fuzz;
mod http;
mod import_exports;
mod import_gar;
mod import_readers;
mod kill;
mod model;
mod negative;
mod node;
mod registry_decode;
mod rules;
mod storage;
mod storage_copies;
mod storage_index;
mod tlog;
mod tlog_decode;
