//! The signing fence: the last head that was, or was about to be, signed. Made durable before the signature exists.
//!
//! A log key that signs two heads of which neither extends the other has forked its log for ever. Tiles, journal and
//! checkpoint may be lost or come back older than they were; the fence is what start-up compares them with.

use std::path::Path;

use super::durable::{read_optional, with_sum, without_sum, write_atomic};
use crate::error::{Error, Result};
use crate::tlog::Hash;

/// Whether the fence is known to be the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Written by this node in the course of its work.
    Known,
    /// Came out of a backup: a later head may have been signed since. Nothing is signed until that is cleared up.
    Restored,
}

/// The fenced head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// Number of entries.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
    /// Whether a later one may have been signed.
    pub age: Age,
}

const TITLE: &str = "domovoi fence 1";

impl Fence {
    /// The fence of a log in which nothing was signed.
    pub const EMPTY: Fence = Fence { size: 0, root: Hash::EMPTY_TREE, age: Age::Known };

    /// Five lines: title, size, base64 root, age, SHA-256 of the lines before in hex. A damaged fence must not pass for
    /// one of another head.
    pub fn to_text(&self) -> String {
        let age = match self.age {
            Age::Known => "known",
            Age::Restored => "restored",
        };
        with_sum(&format!("{TITLE}\n{}\n{}\n{age}\n", self.size, self.root.to_base64()))
    }

    /// Reads what [`Fence::to_text`] writes and nothing else.
    ///
    /// Errors: `fence.form`.
    pub fn parse(bytes: &[u8]) -> Result<Fence> {
        let read = || {
            let mut lines = without_sum(bytes)?.split('\n').skip(1);
            let (size, root) = (lines.next()?.parse().ok()?, Hash::from_base64(lines.next()?).ok()?);
            let age = if lines.next()? == "known" { Age::Known } else { Age::Restored };
            let fence = Fence { size, root, age };
            // One spelling: whatever differs from it was not written by this node.
            (fence.to_text().as_bytes() == bytes).then_some(fence)
        };
        read().ok_or_else(|| {
            Error::stop(
                "fence.form",
                "the signing fence is not in its form",
                "stop the node and run «domovoi fsck --repair»: it makes the fence anew from journal and log, and the next start asks for the last head",
            )
        })
    }

    /// Reads the fence file; `None` where there is none.
    ///
    /// Errors: `fence.form`, `disk.too-large`, `disk.read`.
    pub fn read(path: &Path) -> Result<Option<Fence>> {
        read_optional(path, 256)?.map(|bytes| Fence::parse(&bytes).map_err(|e| e.at(path.display()))).transpose()
    }

    /// Makes the fence durable.
    ///
    /// Errors: `disk.write`.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_atomic(path, self.to_text().as_bytes())
    }
}
