//! The transparency log as mathematics and bytes: what is hashed, what is signed, what is proved.
//!
//! A *log* is a list of entries that only grows. Its *tree* (RFC 6962) turns the list into one 32-byte *root*, such that
//! a short proof shows that an entry is in the list, or that one list begins with another. The log's operator signs
//! `origin, size, root`: the *checkpoint*. Whoever holds two checkpoints can see whether anything was removed or
//! rewritten between them; nobody has to believe the operator.
//!
//! In the order data passes when a log grows:
//!
//! 1. [`hash`] – an entry becomes a leaf hash, two hashes become a node.
//! 2. [`tree`] – leaf hashes become [`tree::grow`]'s new tiles and root; [`tree::Frontier`] keeps the root of a growing
//!    tree in at most 64 hashes; proofs are made from tiles and verified without them.
//! 3. [`tile`] – how hashes and entries are cut into files of 256, what these are called and what bytes they hold.
//! 4. [`note`] – text signed by named keys (C2SP signed-note).
//! 5. [`checkpoint`] – the note whose text is a signed head (C2SP tlog-checkpoint).
//! 6. [`cosignature`] – what others say about a head they saw (C2SP tlog-cosignature, [`mldsa`]); [`witness`] – how they
//!    are asked, and what they hold a head against (C2SP tlog-witness); [`proof`] – index, path and checkpoint in one text
//!    that verifies offline (C2SP tlog-proof).
//!
//! A reader goes the other way: [`checkpoint::Checkpoint::open`] is the only way to a
//! [`checkpoint::VerifiedCheckpoint`]; tiles and entries count once they lead to its root.
//!
//! What never happens here: disk, network, clock, randomness; knowledge of what an entry means. Any transparency log
//! could use this folder as it is. Everything read comes from strangers: each form has one spelling, each length a
//! bound, and what is not exactly right is refused with a stable code.

pub mod checkpoint;
pub mod cosignature;
pub mod hash;
pub mod mldsa;
pub mod note;
pub mod proof;
pub mod tile;
pub mod tree;
pub mod witness;

pub use hash::{Hash, leaf_hash, node_hash};

/// Entries of the largest tree: 2^63 − 1, since implementations in other languages count in signed 64-bit integers.
pub const MAX_SIZE: u64 = i64::MAX as u64;

/// Reads padded standard base64 in its only spelling. The decoder knows stray bits, but takes several padded pieces one after
/// another for one.
fn base64(text: &str) -> Option<Vec<u8>> {
    let whole = !text.trim_end_matches('=').contains('=');
    if whole { data_encoding::BASE64.decode(text.as_bytes()).ok() } else { None }
}

/// Reads an unsigned decimal number in its only spelling: ASCII digits, no sign, no leading zero.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    if canonical && text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}
