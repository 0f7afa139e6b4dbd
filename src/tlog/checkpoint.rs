//! Checkpoints: the signed head of a log (C2SP tlog-checkpoint).
//!
//! The text is three lines: origin, size, base64 root. Extension lines, which the specification permits and advises
//! against, are refused: nobody could audit them.

use super::hash::Hash;
use super::note::{Note, NoteSigner, VerifierKey};
use super::{MAX_SIZE, decimal};
use crate::error::{Error, Result};

/// Bytes of the longest checkpoint, signatures included: room for over 50 Ed25519 signatures.
pub const MAX_CHECKPOINT_LEN: usize = 8 * 1024;
/// Bytes of the longest origin.
pub const MAX_ORIGIN_LEN: usize = 1024;

/// The head of a log: who, how long, which root. Says nothing about who signed it, see [`VerifiedCheckpoint`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Identity of the log: one non-empty line.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The text to be signed.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }

    /// Reads the text of a checkpoint note. Nothing is verified.
    ///
    /// Errors: `checkpoint.too-long`, `checkpoint.form` (not three lines, or a control character),
    /// `checkpoint.extension`, `checkpoint.origin`, `checkpoint.size` (not a canonical number up to 2^63 − 1),
    /// `checkpoint.root` (not canonical base64 of 32 bytes, or a size of 0 with a root that is not the empty tree's).
    pub fn parse(text: &str) -> Result<Checkpoint> {
        check_length(text.len())?;
        let form = || bad("checkpoint.form", "checkpoint text is not three lines".into());
        if text.bytes().any(|b| b < b' ' && b != b'\n') {
            return Err(form());
        }
        let mut lines = text.strip_suffix('\n').ok_or_else(form)?.split('\n');
        let (origin, size, root) = match (lines.next(), lines.next(), lines.next()) {
            (Some(origin), Some(size), Some(root)) => (origin, size, root),
            _ => return Err(form()),
        };
        match lines.next() {
            None => {}
            Some("") => return Err(form()),
            Some(_) => return Err(bad("checkpoint.extension", "checkpoint has extension lines".into())),
        }
        let size = decimal(size)
            .ok_or_else(|| bad("checkpoint.size", "checkpoint size is not a canonical decimal number".into()))?;
        let root =
            Hash::from_base64(root).map_err(|e| bad("checkpoint.root", format!("checkpoint root: {}", e.detail())))?;
        let checkpoint = Checkpoint { origin: origin.to_owned(), size, root };
        checkpoint.check()?;
        Ok(checkpoint)
    }

    /// Signs this head; gives the note to publish.
    ///
    /// Errors: `checkpoint.origin`, `checkpoint.size`, `checkpoint.root` if the fields make no checkpoint.
    pub fn sign(&self, signer: &NoteSigner) -> Result<String> {
        self.check()?;
        Ok(Note::sign(self.to_text(), signer)?.to_string())
    }

    /// Reads a checkpoint note, verifies that `key` signed it, and that it is of the log `origin`.
    ///
    /// Errors: `checkpoint.too-long`, `checkpoint.origin`, and those of [`Note::open`] and [`Checkpoint::parse`].
    pub fn open(note: &[u8], key: &VerifierKey, origin: &str) -> Result<VerifiedCheckpoint> {
        check_length(note.len())?;
        // Signature first: the text of a note is not to be looked at before.
        let note = Note::open(note, key)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin != origin {
            return Err(bad(
                "checkpoint.origin",
                format!("checkpoint is of log {:?}, not of {origin:?}", checkpoint.origin),
            ));
        }
        Ok(VerifiedCheckpoint { checkpoint, text: note.to_string(), note })
    }

    /// What the types do not say: the origin is one line, the size has a bound, nothing has but one root.
    fn check(&self) -> Result<()> {
        let origin = &self.origin;
        if origin.is_empty() || origin.len() > MAX_ORIGIN_LEN || origin.bytes().any(|b| b < b' ') {
            return Err(bad("checkpoint.origin", "checkpoint origin is empty, too long, or not one line".into()));
        }
        if self.size > MAX_SIZE {
            return Err(bad("checkpoint.size", format!("checkpoint size {} is too large", self.size)));
        }
        if self.size == 0 && self.root != Hash::EMPTY_TREE {
            return Err(bad("checkpoint.root", "checkpoint of size 0 has not the root of the empty tree".into()));
        }
        Ok(())
    }
}

/// A checkpoint whose signature was verified. Made only by [`Checkpoint::open`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    checkpoint: Checkpoint,
    text: String,
    note: Note,
}

impl VerifiedCheckpoint {
    /// The head.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The whole signed note, with all its signature lines, byte for byte as it was read: what is kept and published.
    pub fn note_text(&self) -> &str {
        &self.text
    }

    /// The note, for its other signatures.
    pub fn note(&self) -> &Note {
        &self.note
    }
}

/// What a checkpoint of any log says: its first three lines. Extension lines may follow, whose meaning is not known here.
/// Decoded, not verified: a witness takes the heads of logs that nobody here wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'t> {
    /// Identity of the log.
    pub origin: &'t str,
    /// Number of entries, up to 2^63 − 1.
    pub size: u64,
    /// Root of the tree over them; of size 0, too, as it was written.
    pub root: Hash,
}

impl Head<'_> {
    /// Reads the text of a checkpoint note.
    ///
    /// Errors: `checkpoint.form`, `checkpoint.origin`, `checkpoint.size`, `checkpoint.root`.
    pub fn parse(text: &str) -> Result<Head<'_>> {
        let form = || bad("checkpoint.form", "checkpoint text is not three lines, or has an empty one".into());
        let mut lines = text.strip_suffix('\n').ok_or_else(form)?.split('\n');
        let (origin, size, root) = match (lines.next(), lines.next(), lines.next()) {
            (Some(origin), Some(size), Some(root)) => (origin, size, root),
            _ => return Err(form()),
        };
        if lines.any(str::is_empty) {
            return Err(form());
        }
        if origin.is_empty() || origin.len() > MAX_ORIGIN_LEN || origin.bytes().any(|b| b < b' ') {
            return Err(bad("checkpoint.origin", "checkpoint origin is empty, too long, or not one line".into()));
        }
        let size = decimal(size).filter(|size| *size <= MAX_SIZE);
        let size = size.ok_or_else(|| bad("checkpoint.size", "checkpoint size is not a canonical number".into()))?;
        let root =
            Hash::from_base64(root).map_err(|e| bad("checkpoint.root", format!("checkpoint root: {}", e.detail())))?;
        Ok(Head { origin, size, root })
    }
}

fn check_length(len: usize) -> Result<()> {
    if len <= MAX_CHECKPOINT_LEN {
        return Ok(());
    }
    Err(bad("checkpoint.too-long", format!("checkpoint of {len} bytes")))
}

fn bad(code: &'static str, detail: String) -> Error {
    Error::refuse(code, detail, "get the checkpoint again; if it stays so, ask the log's operator")
}
