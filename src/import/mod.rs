//! Importers: from a table a region hands in to records, row by row, with a report on every one.
//!
//! Bytes → [`table`] (any of the forms, by content) → [`reformagkh`] or [`clerk`] (what the rows say: [`rows`]) → [`plan`]
//! (the difference from the register, as unsigned records) → the caller signs and submits → [`report`]. Nothing here
//! talks to a node; nothing is dropped in silence: each row ends as imported, unchanged or refused, with the reason.

pub mod clerk;
pub mod plan;
pub mod reformagkh;
pub mod report;
pub mod rows;
pub mod table;
