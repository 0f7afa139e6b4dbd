//! ML-DSA-44 cosignatures (C2SP tlog-cosignature, FIPS 204): the message that is signed, the key that verifies it and the
//! one that makes it. Of whole checkpoints only: subtrees that begin after 0 have no place in a note.
//!
//! Unlike the Ed25519 form the message names its signer, and says nothing of extension lines.

use std::fmt;
use std::sync::Arc;

use data_encoding::{BASE64, HEXLOWER};
use ml_dsa::{EncodedVerifyingKey, Keypair, MlDsa44, Signature, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use super::checkpoint::Head;
use super::note::{KeyId, MAX_NAME_LEN, check_name};
use crate::error::{Error, Result};

/// Signature type of C2SP signed-note.
pub(super) const TYPE: u8 = 0x06;
/// Bytes of a public key.
pub const PUBLIC_LEN: usize = 1312;
/// Bytes of a signature.
pub const SIGNATURE_LEN: usize = 2420;
/// Bytes of the seed that a key pair is made from.
pub const SEED_LEN: usize = 32;

const LABEL: &[u8; 12] = b"subtree/v1\n\0";

/// The public half of an ML-DSA-44 cosigner, with its name.
#[derive(Clone)]
pub struct Key {
    name: String,
    id: KeyId,
    /// The matrix that verification needs is expanded once; it takes some 20 KB.
    key: Arc<VerifyingKey<MlDsa44>>,
    bytes: Arc<[u8]>,
}

impl Key {
    /// Names a public key of [`PUBLIC_LEN`] bytes. Every such string is a key (FIPS 204, algorithm 23).
    ///
    /// # Errors
    /// `note.name`, `vkey.form` for another length.
    pub fn new(name: impl Into<String>, public: &[u8]) -> Result<Key> {
        let name = name.into();
        check_name(&name)?;
        let encoded = EncodedVerifyingKey::<MlDsa44>::try_from(public).map_err(|_| {
            let detail = format!("a public key of {} bytes; one of ML-DSA-44 has {PUBLIC_LEN}", public.len());
            Error::refuse("vkey.form", detail, "give the whole key")
        })?;
        let digest = Sha256::new().chain_update(&name).chain_update([b'\n', TYPE]).chain_update(public).finalize();
        let [a, b, c, d, ..] = <[u8; 32]>::from(digest);
        let key = Arc::new(VerifyingKey::decode(&encoded));
        Ok(Key { name, id: [a, b, c, d], key, bytes: public.into() })
    }
    /// Name of the cosigner.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// Id of the key.
    pub fn key_id(&self) -> KeyId {
        self.id
    }
    /// The public key, [`PUBLIC_LEN`] bytes.
    pub fn public(&self) -> &[u8] {
        &self.bytes
    }
    /// True where `signature` is this key's on `head` as of `time`, Unix seconds.
    pub fn verifies(&self, head: &Head<'_>, time: u64, signature: &[u8]) -> bool {
        let (Some(message), Ok(signature)) = (message(&self.name, head, time), Signature::try_from(signature)) else {
            return false;
        };
        self.key.verify_with_context(&message, &[], &signature)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.name == other.name && self.bytes == other.bytes
    }
}

impl Eq for Key {}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![TYPE];
        key.extend_from_slice(&self.bytes);
        write!(f, "{}+{}+{}", self.name, HEXLOWER.encode(&self.id), BASE64.encode(&key))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mldsa::Key({}+{})", self.name, HEXLOWER.encode(&self.id))
    }
}

/// The secret half. Signatures are deterministic: no randomness is needed here, and the same head and time give the same
/// bytes.
pub struct Signer {
    secret: Box<SigningKey<MlDsa44>>,
    key: Key,
}

impl Signer {
    /// Makes the key pair of a seed and names it.
    ///
    /// # Errors
    /// `note.name`.
    pub fn new(name: impl Into<String>, seed: &[u8; SEED_LEN]) -> Result<Signer> {
        let secret = Box::new(SigningKey::from_seed(&(*seed).into()));
        let key = Key::new(name, &secret.verifying_key().encode())?;
        Ok(Signer { secret, key })
    }
    /// The public half.
    pub fn key(&self) -> &Key {
        &self.key
    }
    /// The signature on `head` as of `time`, Unix seconds.
    ///
    /// # Errors
    /// `cosignature.origin` where the origin is longer than the message allows.
    pub fn sign(&self, head: &Head<'_>, time: u64) -> Result<Vec<u8>> {
        let message = message(&self.key.name, head, time).ok_or_else(|| {
            let detail = format!("an origin of {} bytes", head.origin.len());
            Error::refuse("cosignature.origin", detail, "ML-DSA-44 cosigners take origins of up to 255 bytes")
        })?;
        let signature = self.secret.expanded_key().sign_deterministic(&message, &[]).map_err(|_| {
            Error::retry("cosignature.failed", "no ML-DSA-44 signature was found", "try again with another time")
        })?;
        Ok(signature.encode().to_vec())
    }
}

/// `cosigned_message` of the specification, in the encoding of RFC 8446; none where a name or an origin is longer than 255
/// bytes or empty.
fn message(name: &str, head: &Head<'_>, time: u64) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(LABEL.len() + 2 * (1 + MAX_NAME_LEN) + 24 + 32);
    let short = |text: &str| u8::try_from(text.len()).ok().filter(|len| *len > 0);
    out.extend_from_slice(LABEL);
    out.push(short(name)?);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&time.to_be_bytes());
    out.push(short(head.origin)?);
    out.extend_from_slice(head.origin.as_bytes());
    out.extend_from_slice(&0u64.to_be_bytes());
    out.extend_from_slice(&head.size.to_be_bytes());
    out.extend_from_slice(&head.root.0);
    Some(out)
}
