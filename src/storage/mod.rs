//! Storage (page being written).
pub mod durable;
mod edge;
pub mod fence;
pub mod journal;
mod lock;
pub mod log_store;
mod reader;
