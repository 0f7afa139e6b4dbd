//! Tree hashes: SHA-256 with the prefixes of RFC 6962, section 2.1.

use std::fmt;

use data_encoding::{BASE64, HEXLOWER};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::base64;
use crate::error::{Error, Result};

/// A hash of a log entry, of an inner node, or of a whole tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Root of the tree without entries: SHA-256 of the empty string (RFC 6962, section 2.1).
    pub const EMPTY_TREE: Hash = Hash([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae,
        0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ]);

    /// Standard padded base64 (RFC 4648, section 4), 44 characters.
    pub fn to_base64(&self) -> String {
        BASE64.encode(&self.0)
    }

    /// Reads what [`Hash::to_base64`] writes and nothing else: no white space, no stray bits under the padding.
    ///
    /// Errors: `hash.base64`.
    pub fn from_base64(text: &str) -> Result<Self> {
        // The length goes first, so that a long input is not decoded.
        let bytes = if text.len() == 44 { base64(text) } else { None };
        bytes.and_then(|b| b.try_into().ok()).map(Hash).ok_or_else(|| {
            Error::refuse(
                "hash.base64",
                "hash is not 32 bytes in canonical base64",
                "give 44 characters of padded standard base64",
            )
        })
    }

    /// Reads 64 lowercase hexadecimal digits, the form that `Display` writes.
    ///
    /// Errors: `hash.hex`.
    pub fn from_hex(text: &str) -> Result<Self> {
        let bytes = if text.len() == 64 { HEXLOWER.decode(text.as_bytes()).ok() } else { None };
        bytes.and_then(|b| b.try_into().ok()).map(Hash).ok_or_else(|| {
            Error::refuse("hash.hex", "hash is not 64 lowercase hexadecimal digits", "give 64 digits 0-9, a-f")
        })
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Hash of a log entry: SHA-256(0x00 ‖ entry) (RFC 6962, section 2.1).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([0]).chain_update(entry).finalize().into())
}

/// Hash of an inner node: SHA-256(0x01 ‖ left ‖ right) (RFC 6962, section 2.1).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    // One contiguous buffer: a single digest call is measurably faster than three updates.
    let mut block = [1; 65];
    block[1..33].copy_from_slice(&left.0);
    block[33..].copy_from_slice(&right.0);
    Hash(Sha256::digest(block).into())
}

/// [`leaf_hash`] of every entry, on all cores. CPU work: not to be called on an async reactor.
pub fn leaf_hashes<T: AsRef<[u8]> + Sync>(entries: &[T]) -> Vec<Hash> {
    // Small batches are not worth waking other threads for each entry.
    entries.par_iter().with_min_len(64).map(|entry| leaf_hash(entry.as_ref())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_tree_is_the_digest_of_nothing() {
        assert_eq!(Hash::EMPTY_TREE.0, <[u8; 32]>::from(Sha256::digest(b"")));
    }
}
