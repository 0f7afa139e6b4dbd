//! Storage (page being written).
pub mod durable;
mod edge;
pub mod fence;
pub mod format;
pub mod index;
pub mod journal;
pub mod keys;
mod lock;
pub mod log_store;
pub mod mirror_store;
mod reader;
