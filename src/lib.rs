//! domovoi: a federated, self-hostable registry of official house chats.
//!
//! Layers, dependencies pointing one way (`scripts/layers` fails when an import points back):
//! `tlog <- registry <- { federation, search } <- storage <- node <- { sync, http, import, poster } <- cli <- main`.
//! `error` is below all of them.
#![forbid(unsafe_code)]

pub mod cli;
pub mod error;
pub mod federation;
pub mod http;
pub mod import;
pub mod node;
pub mod poster;
pub mod registry;
#[cfg(feature = "search")]
pub mod search;
pub mod storage;
pub mod sync;
pub mod tlog;
