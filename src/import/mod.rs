//! Importing what others wrote: snapshots of houses, lists of chats, lists of managements.
//!
//! Data passes in this order. Bytes of a file ([`input`]) → [`table`] (what kind of file it is, told by its content; header; rows of
//! text, all of it within limits) → [`houses`] for a snapshot of houses, [`clerk`] for the clerk's own lists (columns told
//! by their names; [`cells`] knows the spellings of dates, numbers and "unknown") → [`rows`] (what a row says) with an
//! outcome and the problems found → [`plan`] (the difference from the register, as unsigned records, which the caller signs
//! and submits) → [`report`] (what became of every row, and the table of refused ones that goes back
//! to the clerk, is corrected and imported again).
//!
//! What must never happen here: a row dropped in silence, since every row read has one outcome; a guess, since what fits
//! several houses is refused with all of them named; a name of a private person or a join link passed on, since names of
//! sole proprietors are replaced and of a link only the digest leaves (but to [`posters`], as a secret); a file's claim about
//! its own size believed.
//! The readers touch no network and no disk.

mod archive;
pub mod cells;
pub mod clerk;
pub mod decide;
pub mod format;
pub mod gar;
pub mod gar_files;
mod gar_xml;
pub mod houses;
pub mod input;
pub mod link;
pub mod organisations;
pub mod plan;
pub mod posters;
mod premises;
pub mod report;
pub mod rows;
pub mod snapshot;
pub mod table;
mod tar;
mod text_source;
mod workbook;
pub mod worklist;
