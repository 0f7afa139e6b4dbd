//! (being written)
pub mod ids;
pub mod link;
pub mod regions;
pub mod text;
