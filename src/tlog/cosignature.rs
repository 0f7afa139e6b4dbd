//! Cosignatures: what others say about a checkpoint they saw (C2SP tlog-cosignature, Ed25519 `cosignature/v1`).
//!
//! A cosignature is a line of the checkpoint's note, with a time of its own: "as of that second, this is the largest head
//! of that log that I know, and it extends everything I had seen before". What else a cosigner says (that it keeps a copy,
//! that it replayed every record) follows from which of its keys signed; each has a name and key of its own.

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::note::{Kind, Note, NoteSignature, VerifierKey};
use crate::error::{Error, Result};

/// Largest time, Unix seconds.
pub const MAX_TIME: u64 = i64::MAX as u64;
/// Bytes before the Ed25519 signature: the time, big-endian.
const TIME_LEN: usize = 8;

/// Key that verifies a cosigner's lines: a vkey of type 0x04.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignerKey(VerifierKey);

impl CosignerKey {
    /// Names a public key as a cosigner's.
    ///
    /// # Errors
    /// Those of [`VerifierKey::new`].
    pub fn new(name: impl Into<String>, key: VerifyingKey) -> Result<CosignerKey> {
        VerifierKey::of_kind(Kind::Cosigner, name, key).map(CosignerKey)
    }
    /// Reads `<name>+<key id>+<base64 of 0x04 ‖ public key>`.
    ///
    /// # Errors
    /// Those of [`VerifierKey::parse`].
    pub fn parse(text: &str) -> Result<CosignerKey> {
        VerifierKey::parse_kind(Kind::Cosigner, text).map(CosignerKey)
    }
    /// Name of the cosigner.
    pub fn name(&self) -> &str {
        self.0.name()
    }
    /// The public key.
    pub fn verifying_key(&self) -> &VerifyingKey {
        self.0.verifying_key()
    }

    /// The time of the newest cosignature of this key, Unix seconds; none where it has not cosigned. Every line that
    /// bears the key's name and id has to verify.
    ///
    /// # Errors
    /// `cosignature.false`.
    pub fn time_of(&self, note: &Note) -> Result<Option<u64>> {
        let mut newest = None;
        for line in note.signatures().iter().filter(|line| self.0.made(line)) {
            newest = newest.max(Some(self.verify_line(note.text(), &line.signature).ok_or_else(|| {
                Error::refuse(
                    "cosignature.false",
                    format!("the cosignature by {self} does not verify"),
                    "do not count this cosigner; get the checkpoint again",
                )
            })?));
        }
        Ok(newest)
    }

    fn verify_line(&self, text: &str, bytes: &[u8]) -> Option<u64> {
        let (time, signature) = bytes.split_first_chunk::<TIME_LEN>()?;
        let time = Some(u64::from_be_bytes(*time)).filter(|t| *t <= MAX_TIME)?;
        let signature = Signature::from_slice(signature).ok()?;
        self.verifying_key().verify_strict(message(text, time).as_bytes(), &signature).ok()?;
        Some(time)
    }
}

impl fmt::Display for CosignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A cosigner's signing key.
pub struct Cosigner {
    key: SigningKey,
    verifier: CosignerKey,
}

impl Cosigner {
    /// Names a signing key. One key must not serve two cosigners: the message does not name its signer.
    ///
    /// # Errors
    /// Those of [`CosignerKey::new`].
    pub fn new(name: impl Into<String>, key: SigningKey) -> Result<Cosigner> {
        let verifier = CosignerKey::new(name, key.verifying_key())?;
        Ok(Cosigner { key, verifier })
    }
    /// The key that verifies its lines.
    pub fn verifier(&self) -> &CosignerKey {
        &self.verifier
    }
    /// The line for a checkpoint's text, as of `time`, Unix seconds.
    ///
    /// # Errors
    /// `cosignature.time`.
    pub fn cosign(&self, text: &str, time: u64) -> Result<NoteSignature> {
        if time > MAX_TIME {
            return Err(Error::refuse("cosignature.time", format!("time {time} is too large"), "correct the clock"));
        }
        let signature = self.key.sign(message(text, time).as_bytes());
        Ok(self.verifier.0.line([&time.to_be_bytes()[..], &signature.to_bytes()].concat()))
    }
}

impl fmt::Debug for Cosigner {
    // The secret half stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cosigner({})", self.verifier)
    }
}

fn message(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}
