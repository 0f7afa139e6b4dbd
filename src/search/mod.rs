//! Finding buildings by an address as people type it: half a word, in any case and order, with a letter wrong.
//!
//! [`index`] makes an empty index in memory: an [`AddressWriter`] for the one thread that keeps it up to the logs, and an
//! [`AddressFinder`] for everybody who asks. What an address and a query say is [`crate::registry::address_words`]' matter;
//! here words become terms ([`terms`]: stems, types, keys) and readings become a query ([`query`]). The index is derived
//! from the states and worth nothing by itself: it is never on disk, and whoever answers holds what it finds against the
//! state.
//!
//! It must never: read a query as a language (every sign is plain text), do more work than [`query::MAX_WORDS`] words
//! cost, or say what only the state may say (address, standing, chats). It knows no disk, no log and no node.

mod engine;
pub mod query;
mod terms;

pub use engine::{AddressFinder, AddressWriter, Hit, LogNumber, index};
