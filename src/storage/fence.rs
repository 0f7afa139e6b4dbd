//! The signing fence: the last head that was, or was about to be, signed. Made durable before the signature exists.
//!
//! A log key that signs two heads of which neither extends the other has forked its log for ever. Tiles, journal and
//! checkpoint may be lost or come back older than they were; the fence is what start-up compares them with.

use std::path::Path;

use super::durable::{read_optional, write_atomic};
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

const TITLE: &str = "domovoi fence 0";

impl Fence {
    /// The fence of a log in which nothing was signed.
    pub const EMPTY: Fence = Fence { size: 0, root: Hash::EMPTY_TREE, age: Age::Known };

    /// Four lines: title, size, base64 root, age.
    pub fn to_text(&self) -> String {
        let age = match self.age {
            Age::Known => "known",
            Age::Restored => "restored",
        };
        format!("{TITLE}\n{}\n{}\n{age}\n", self.size, self.root.to_base64())
    }

    /// Reads what [`Fence::to_text`] writes and nothing else.
    ///
    /// Errors: `fence.form`.
    pub fn parse(bytes: &[u8]) -> Result<Fence> {
        let read = || {
            let text = std::str::from_utf8(bytes).ok()?;
            let mut lines = text.split('\n').skip(1);
            let (size, root) = (lines.next()?.parse().ok()?, Hash::from_base64(lines.next()?).ok()?);
            let age = if lines.next()? == "known" { Age::Known } else { Age::Restored };
            let fence = Fence { size, root, age };
            // One spelling: whatever differs from it was not written by this node.
            (fence.to_text() == text).then_some(fence)
        };
        read().ok_or_else(|| {
            Error::stop(
                "fence.form",
                "the signing fence is not in its form",
                "the fence is damaged: restore the data directory from a backup, which asks for the last head anew",
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
