//! Cosignatures: what others say about a checkpoint they saw (C2SP tlog-cosignature): Ed25519 `cosignature/v1`, and
//! ML-DSA-44 ([`super::mldsa`]).
//!
//! A cosignature is a line of the checkpoint's note, with a time of its own: "as of that second, this is the largest head
//! of that log that I know, and it extends everything I had seen before". What else a cosigner says (that it keeps a copy,
//! that it replayed every record) follows from which of its keys signed; each has a name and key of its own.

use std::fmt;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use super::base64;
use super::checkpoint::Head;
use super::mldsa;
use super::note::{KeyId, Kind, MAX_NAME_LEN, Note, NoteSignature, VerifierKey};
use crate::error::{Error, Result};

/// Largest time, Unix seconds.
pub const MAX_TIME: u64 = i64::MAX as u64;
/// Bytes of the longest vkey of a cosigner: name, id, and an ML-DSA-44 key in base64.
pub const MAX_VKEY_LEN: usize = MAX_NAME_LEN + 10 + (mldsa::PUBLIC_LEN + 1).div_ceil(3) * 4;
/// Bytes before the signature proper: the time, big-endian.
const TIME_LEN: usize = 8;

/// Key that verifies a cosigner's lines: a vkey of type 0x04 (Ed25519) or 0x06 (ML-DSA-44).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignerKey(Public);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Public {
    Ed25519(VerifierKey),
    MlDsa44(mldsa::Key),
}

impl CosignerKey {
    /// Names an Ed25519 public key as a cosigner's.
    ///
    /// # Errors
    /// Those of [`VerifierKey::new`].
    pub fn new(name: impl Into<String>, key: VerifyingKey) -> Result<CosignerKey> {
        VerifierKey::of_kind(Kind::Cosigner, name, key).map(|key| CosignerKey(Public::Ed25519(key)))
    }
    /// Reads `<name>+<key id>+<base64 of type ‖ public key>`.
    ///
    /// # Errors
    /// Those of [`VerifierKey::parse`].
    pub fn parse(text: &str) -> Result<CosignerKey> {
        // The name holds no plus sign, so the third part is the key; its first byte tells the type.
        let of_mldsa = || {
            let mut parts = text.splitn(3, '+');
            let (name, id, key) = (parts.next()?, parts.next()?, base64(parts.next()?)?);
            let public = key.strip_prefix(&[mldsa::TYPE])?;
            Some(mldsa::Key::new(name, public).and_then(|key| {
                match data_encoding::HEXLOWER.encode(&key.key_id()) == id {
                    true => Ok(CosignerKey(Public::MlDsa44(key))),
                    false => Err(Error::refuse(
                        "vkey.id",
                        format!(
                            "verifier key {name:?} does not have the id {:?}",
                            id.chars().take(20).collect::<String>()
                        ),
                        "the text was altered or mistyped: get it again from where it was published",
                    )),
                }
            }))
        };
        if text.len() <= MAX_VKEY_LEN
            && let Some(key) = of_mldsa()
        {
            return key;
        }
        VerifierKey::parse_kind(Kind::Cosigner, text).map(|key| CosignerKey(Public::Ed25519(key)))
    }
    /// Name of the cosigner.
    pub fn name(&self) -> &str {
        match &self.0 {
            Public::Ed25519(key) => key.name(),
            Public::MlDsa44(key) => key.name(),
        }
    }
    /// Id of the key.
    pub fn key_id(&self) -> KeyId {
        match &self.0 {
            Public::Ed25519(key) => key.key_id(),
            Public::MlDsa44(key) => key.key_id(),
        }
    }
    /// The public key's bytes: 32 of Ed25519, [`mldsa::PUBLIC_LEN`] of ML-DSA-44.
    pub fn public(&self) -> &[u8] {
        match &self.0 {
            Public::Ed25519(key) => key.verifying_key().as_bytes(),
            Public::MlDsa44(key) => key.public(),
        }
    }
    /// True where a line bears this key's name and id. It may still be false.
    pub fn made(&self, line: &NoteSignature) -> bool {
        match &self.0 {
            Public::Ed25519(key) => key.made(line),
            Public::MlDsa44(key) => line.name == key.name() && line.key_id == key.key_id(),
        }
    }

    /// The time of the newest cosignature of this key, Unix seconds; none where it has not cosigned. Every line that
    /// bears the key's name and id has to verify.
    ///
    /// # Errors
    /// `cosignature.false`.
    pub fn time_of(&self, note: &Note) -> Result<Option<u64>> {
        let mut newest = None;
        for line in note.signatures().iter().filter(|line| self.made(line)) {
            newest = newest.max(Some(self.time_of_line(note.text(), line)?));
        }
        Ok(newest)
    }

    /// The time of one line by this key on a checkpoint's text, Unix seconds.
    ///
    /// # Errors
    /// `cosignature.false`.
    pub fn time_of_line(&self, text: &str, line: &NoteSignature) -> Result<u64> {
        self.verify_line(text, &line.signature).filter(|_| self.made(line)).ok_or_else(|| {
            Error::refuse(
                "cosignature.false",
                format!("the cosignature by {} does not verify", self.name()),
                "do not count this cosigner; get the checkpoint again",
            )
        })
    }

    fn verify_line(&self, text: &str, bytes: &[u8]) -> Option<u64> {
        let (time, signature) = bytes.split_first_chunk::<TIME_LEN>()?;
        let time = Some(u64::from_be_bytes(*time)).filter(|t| *t <= MAX_TIME)?;
        let good = match &self.0 {
            Public::Ed25519(key) => {
                let signature = Signature::from_slice(signature).ok()?;
                key.verifying_key().verify_strict(message(text, time).as_bytes(), &signature).is_ok()
            }
            // Without a time the line says nothing of the newest head.
            Public::MlDsa44(key) => time > 0 && key.verifies(&Head::parse(text).ok()?, time, signature),
        };
        good.then_some(time)
    }
}

impl fmt::Display for CosignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Public::Ed25519(key) => key.fmt(f),
            Public::MlDsa44(key) => key.fmt(f),
        }
    }
}

/// A cosigner's signing key.
pub struct Cosigner {
    secret: Secret,
    verifier: CosignerKey,
}

enum Secret {
    Ed25519(SigningKey, KeyId),
    MlDsa44(mldsa::Signer),
}

impl Cosigner {
    /// Names an Ed25519 signing key. One key must not serve two cosigners: the message does not name its signer.
    ///
    /// # Errors
    /// Those of [`CosignerKey::new`].
    pub fn new(name: impl Into<String>, key: SigningKey) -> Result<Cosigner> {
        let verifier = VerifierKey::of_kind(Kind::Cosigner, name, key.verifying_key())?;
        let secret = Secret::Ed25519(key, verifier.key_id());
        Ok(Cosigner { secret, verifier: CosignerKey(Public::Ed25519(verifier)) })
    }
    /// Names the ML-DSA-44 key of a seed.
    ///
    /// # Errors
    /// `note.name`.
    pub fn of_seed(name: impl Into<String>, seed: &[u8; mldsa::SEED_LEN]) -> Result<Cosigner> {
        let signer = mldsa::Signer::new(name, seed)?;
        let verifier = CosignerKey(Public::MlDsa44(signer.key().clone()));
        Ok(Cosigner { secret: Secret::MlDsa44(signer), verifier })
    }
    /// The key that verifies its lines.
    pub fn verifier(&self) -> &CosignerKey {
        &self.verifier
    }
    /// The line for a checkpoint's text, as of `time`, Unix seconds.
    ///
    /// # Errors
    /// `cosignature.time`, `cosignature.origin`; those of the text's form.
    pub fn cosign(&self, text: &str, time: u64) -> Result<NoteSignature> {
        if time == 0 || time > MAX_TIME {
            return Err(Error::refuse("cosignature.time", format!("time {time} is none"), "correct the clock"));
        }
        let (key_id, signature) = match &self.secret {
            Secret::Ed25519(key, id) => (*id, key.sign(message(text, time).as_bytes()).to_bytes().to_vec()),
            Secret::MlDsa44(signer) => (signer.key().key_id(), signer.sign(&Head::parse(text)?, time)?),
        };
        let signature = [&time.to_be_bytes()[..], &signature].concat();
        Ok(NoteSignature { name: self.verifier.name().to_owned(), key_id, signature })
    }
}

impl fmt::Debug for Cosigner {
    // The secret half stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cosigner({})", self.verifier.name())
    }
}

fn message(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}
