//! Asking a witness (C2SP tlog-witness): the body of `add-checkpoint`, and what a witness decides over it.
//!
//! ```text
//! old 20852014
//! PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=     consistency proof, one hash a line
//!
//! <checkpoint, with the log's signature>
//! ```
//!
//! [`Request`] is decoded. [`Request::signed_by`] gives a [`Signed`] head, which a key of the log has signed; [`Signed::extends`] holds it
//! against the head that the witness has cosigned last. What is durable when, is not known here.

use std::fmt;

use super::checkpoint::Head;
use super::hash::Hash;
use super::note::{Note, NoteSignature, VerifierKey};
use super::tree::verify_consistency;
use super::{MAX_SIZE, decimal};
use crate::error::{Error, Result};

/// Lines of the longest consistency proof.
pub const MAX_PROOF: usize = 63;
/// Bytes of the longest note in a request: room for a dozen ML-DSA-44 signatures beside Ed25519 ones.
pub const MAX_NOTE: usize = 48 * 1024;
/// Bytes of the longest request.
pub const MAX_REQUEST: usize = 32 + MAX_PROOF * 45 + 1 + MAX_NOTE;
/// Content type of the size that is answered with status 409.
pub const SIZE_TYPE: &str = "text/x.tlog.size";

/// A head that a witness may be held to: size and root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Number of entries.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
}

impl Seen {
    /// What a witness has seen of a log that it never cosigned.
    pub const NOTHING: Seen = Seen { size: 0, root: Hash::EMPTY_TREE };
}

/// The body of `add-checkpoint`. Decoded, not verified. `Display` writes it as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Size of the head that the witness is said to have cosigned last.
    pub old: u64,
    /// Consistency proof from there.
    pub proof: Vec<Hash>,
    /// The checkpoint's note.
    pub note: Note,
}

impl Request {
    /// Reads a request in its only spelling.
    ///
    /// # Errors
    /// `witness.request`, with what is wrong; those of the note's and the checkpoint's form.
    pub fn parse(bytes: &[u8]) -> Result<Request> {
        let bad = |what: &str| {
            Error::refuse(
                "witness.request",
                format!("add-checkpoint: {what}"),
                "write «old N», the proof, an empty line and the checkpoint as C2SP tlog-witness has it",
            )
        };
        if bytes.len() > MAX_REQUEST {
            return Err(bad("it is longer than any request"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| bad("it is not UTF-8"))?;
        let (head, note) = text.split_once("\n\n").ok_or_else(|| bad("it has no empty line"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(decimal);
        let old = old.filter(|old| *old <= MAX_SIZE).ok_or_else(|| bad("its first line is not «old» and a size"))?;
        let proof: Vec<Hash> = lines
            .take(MAX_PROOF + 1)
            .map(|line| Hash::from_base64(line).map_err(|_| bad("a line of the proof is not a hash")))
            .collect::<Result<_>>()?;
        if proof.len() > MAX_PROOF {
            return Err(bad("its proof is longer than any"));
        }
        if note.len() > MAX_NOTE {
            return Err(bad("its checkpoint is too long"));
        }
        let request = Request { old, proof, note: Note::parse(note.as_bytes())? };
        request.head()?;
        Ok(request)
    }

    /// What the checkpoint says.
    ///
    /// # Errors
    /// Those of [`Head::parse`]; none of a request that was read.
    pub fn head(&self) -> Result<Head<'_>> {
        Head::parse(self.note.text())
    }

    /// Verifies that one of `keys`, which are the log's, has signed. A line that bears the name and id of one of them and is
    /// false spoils the note, whatever else it bears.
    ///
    /// # Errors
    /// `witness.key`, `note.signature`.
    pub fn signed_by(&self, keys: &[VerifierKey]) -> Result<Signed<'_>> {
        let head = self.head()?;
        let mut signed = None;
        for key in keys {
            match self.note.verify(key) {
                Ok(()) => signed = self.note.signatures().iter().find(|line| key.made(line)),
                Err(e) if e.code() == "note.unsigned" => {}
                Err(e) => return Err(e),
            }
        }
        let line = signed.ok_or_else(|| {
            Error::refuse(
                "witness.key",
                format!("no key known here has signed this checkpoint of «{}»", head.origin),
                "name the log's key in the charter or in the witness's configuration",
            )
        })?;
        Ok(Signed { request: self, head, line })
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.note)
    }
}

/// A request whose checkpoint a key of the log has signed. Made only by [`Request::signed_by`].
#[derive(Debug, Clone, Copy)]
pub struct Signed<'r> {
    request: &'r Request,
    /// What the checkpoint says.
    pub head: Head<'r>,
    /// The log's own line.
    pub line: &'r NoteSignature,
}

impl Signed<'_> {
    /// The head alone.
    pub fn seen(&self) -> Seen {
        Seen { size: self.head.size, root: self.head.root }
    }

    /// Decides whether this head may follow `last`, the one that the witness has cosigned last.
    ///
    /// # Errors
    /// `witness.old-size` (400): the old size is larger than the checkpoint's; `witness.conflict` (409): it is not that of
    /// `last`; `witness.proof` (422): the proof does not show that the head extends `last`, or the root is another at the same
    /// size.
    pub fn extends(&self, last: Seen) -> Result<()> {
        let (old, proof) = (self.request.old, &self.request.proof);
        if old > self.head.size {
            return Err(Error::refuse(
                "witness.old-size",
                format!("the old size {old} is larger than the checkpoint's, {}", self.head.size),
                "give the size of the head that the witness has cosigned last",
            ));
        }
        if old != last.size {
            return Err(Error::refuse(
                "witness.conflict",
                format!("the old size is {old}, cosigned last was {}", last.size),
                "prove consistency from the size that the answer names",
            ));
        }
        verify_consistency(last.size, last.root, self.head.size, self.head.root, proof).map_err(|e| {
            let detail = format!("«{}»: {}", self.head.origin, e.detail());
            Error::refuse("witness.proof", detail, "prove that the checkpoint extends the one cosigned last")
        })
    }
}
