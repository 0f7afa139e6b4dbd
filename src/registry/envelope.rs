//! The signed envelope: JWS in General JSON serialization (RFC 7515 §7.2.1) with Ed25519 (RFC 8037), in one canonical form.
//!
//! Exactly `{"payload":"…","signatures":[{"protected":"…","signature":"…"},…]}`: this member order, no white space,
//! unpadded canonical base64url, signatures sorted by key id and distinct. The protected header is exactly
//! `{"alg":"EdDSA","kid":"<thumbprint>","typ":"<typ>"}`. An entry of the log is these bytes and no others, so parsing
//! is comparing: the envelope is taken apart, written again, and must be equal to the byte.

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha256};

use super::ids::{KeyThumb, RecordId};
use super::signature::{PublicKey, sign_strict};
use crate::error::{Error, Result};

/// `typ` of a record signed by an authority or a region root.
pub const TYP_RECORD: &str = "domovoi-record+jws";
/// `typ` of an entry the node writes itself: `charter.adopted`, `state.committed`.
pub const TYP_NODE: &str = "domovoi-node+jws";
/// `typ` of a federation charter.
pub const TYP_CHARTER: &str = "domovoi-charter+jws";
/// `typ` of a region's card.
pub const TYP_CARD: &str = "domovoi-card+jws";
/// `typ` of a dossier's manifest.
pub const TYP_DOSSIER: &str = "domovoi-dossier+jws";
/// `typ` of a signed export snapshot's closing line.
pub const TYP_SNAPSHOT: &str = "domovoi-snapshot+jws";

/// Largest entry of a log, in bytes (protocol.md, "Log").
pub const MAX_ENTRY: usize = 16 * 1024;
/// Largest entry that carries proofs of another log (transfer.accepted, declined, released): what a bundle can hold.
pub const MAX_PROOF_ENTRY: usize = crate::tlog::tile::MAX_ENTRY_LEN;
/// Most signatures one envelope may carry.
pub const MAX_SIGNATURES: usize = 8;

const RECORD_ID_TAG: &[u8] = b"domovoi record v0\n";

/// An envelope taken apart: decoded, canonical, **not** verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    typ: &'static str,
    /// The payload exactly as it was signed.
    pub payload: Vec<u8>,
    /// Key id and signature, sorted by key id, distinct.
    pub signatures: Vec<(KeyThumb, [u8; 64])>,
}

fn malformed(reason: &str) -> Error {
    Error::refuse("envelope.malformed", format!("envelope: {reason}"), "send the canonical JWS General JSON form")
}

pub(super) fn too_large(len: usize, max: usize) -> Error {
    Error::refuse(
        "envelope.too_large",
        format!("envelope of {len} bytes, at most {max} are accepted"),
        "split the statement into several records",
    )
}

fn protected(typ: &str, kid: &KeyThumb) -> String {
    BASE64URL_NOPAD.encode(format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"{typ}"}}"#).as_bytes())
}

/// Removes `prefix` from the front of `rest`.
fn expect<'a>(rest: &'a [u8], prefix: &[u8], what: &str) -> Result<&'a [u8]> {
    rest.strip_prefix(prefix).ok_or_else(|| malformed(&format!("expected {what}")))
}

/// Splits `rest` at the closing quote of a base64url string.
fn quoted(rest: &[u8]) -> Result<(&[u8], &[u8])> {
    let end = rest.iter().position(|&b| b == b'"').ok_or_else(|| malformed("unterminated string"))?;
    Ok((&rest[..end], &rest[end + 1..]))
}

impl Envelope {
    /// Takes an envelope of `typ` apart. Nothing but the canonical form of at most `max_len` bytes is accepted.
    pub fn parse(bytes: &[u8], typ: &'static str, max_len: usize) -> Result<Envelope> {
        if bytes.len() > max_len {
            return Err(too_large(bytes.len(), max_len));
        }
        let rest = expect(bytes, br#"{"payload":""#, "the member payload")?;
        let (payload, rest) = quoted(rest)?;
        let payload = BASE64URL_NOPAD.decode(payload).map_err(|_| malformed("payload is not canonical base64url"))?;
        let mut rest = expect(rest, br#","signatures":["#, "the member signatures")?;
        let mut signatures: Vec<(KeyThumb, [u8; 64])> = Vec::new();
        loop {
            rest = expect(rest, br#"{"protected":""#, "the member protected")?;
            let (head, after) = quoted(rest)?;
            let kid = Self::read_header(head, typ)?;
            rest = expect(after, br#","signature":""#, "the member signature")?;
            let (signature, after) = quoted(rest)?;
            let signature = BASE64URL_NOPAD
                .decode(signature)
                .ok()
                .and_then(|s| <[u8; 64]>::try_from(s).ok())
                .ok_or_else(|| malformed("a signature is 64 bytes in canonical base64url"))?;
            if signatures.last().is_some_and(|(last, _)| last.0 >= kid.0) {
                return Err(Error::refuse(
                    "envelope.signature_order",
                    "envelope: signatures are not sorted by key id and distinct",
                    "sort the signatures by kid and sign once with each key",
                ));
            }
            signatures.push((kid, signature));
            if signatures.len() > MAX_SIGNATURES {
                return Err(malformed("more than 8 signatures"));
            }
            rest = expect(after, b"}", "the end of a signature")?;
            match rest.first() {
                Some(b',') => rest = &rest[1..],
                Some(b']') => break,
                _ => return Err(malformed("expected , or ] after a signature")),
            }
        }
        if rest != b"]}" {
            return Err(malformed("bytes after the end"));
        }
        Ok(Envelope { typ, payload, signatures })
    }

    /// Reads the key id of a protected header that must be exactly ours.
    fn read_header(encoded: &[u8], typ: &str) -> Result<KeyThumb> {
        let bytes = BASE64URL_NOPAD.decode(encoded).map_err(|_| malformed("protected is not canonical base64url"))?;
        let header = || {
            Error::refuse(
                "envelope.header",
                format!("protected header is not exactly alg EdDSA, kid, typ {typ}"),
                "sign with the three header members in this order and no other",
            )
        };
        let rest = bytes.strip_prefix(br#"{"alg":"EdDSA","kid":""#).ok_or_else(header)?;
        let (kid, rest) = quoted(rest).map_err(|_| header())?;
        if rest.strip_prefix(br#","typ":""#).and_then(|r| r.strip_suffix(br#""}"#)) != Some(typ.as_bytes()) {
            return Err(header());
        }
        std::str::from_utf8(kid).ok().and_then(|k| k.parse().ok()).ok_or_else(header)
    }

    /// The canonical bytes: what a log stores.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.payload.len() * 4 / 3 + 64 + self.signatures.len() * 320);
        out.extend_from_slice(br#"{"payload":""#);
        out.extend_from_slice(BASE64URL_NOPAD.encode(&self.payload).as_bytes());
        out.extend_from_slice(br#"","signatures":["#);
        for (i, (kid, signature)) in self.signatures.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(br#"{"protected":""#);
            out.extend_from_slice(protected(self.typ, kid).as_bytes());
            out.extend_from_slice(br#"","signature":""#);
            out.extend_from_slice(BASE64URL_NOPAD.encode(signature).as_bytes());
            out.extend_from_slice(br#""}"#);
        }
        out.extend_from_slice(b"]}");
        out
    }

    /// An envelope without signatures yet; [`Envelope::add_signature`] adds them.
    pub fn unsigned(payload: Vec<u8>, typ: &'static str) -> Envelope {
        Envelope { typ, payload, signatures: Vec::new() }
    }

    /// Signs with one more key; signing twice with one key replaces nothing and changes nothing.
    pub fn add_signature(&mut self, key: &SigningKey) {
        let kid = PublicKey::of(key).thumb();
        if let Err(place) = self.signatures.binary_search_by(|(k, _)| k.0.cmp(&kid.0)) {
            let signature = sign_strict(key, &self.signing_input(&kid));
            self.signatures.insert(place, (kid, signature));
        }
    }

    /// Signs `payload` with every key and returns the canonical bytes.
    pub fn sign(payload: Vec<u8>, typ: &'static str, keys: &[&SigningKey]) -> Vec<u8> {
        let mut envelope = Envelope::unsigned(payload, typ);
        for key in keys {
            envelope.add_signature(key);
        }
        envelope.to_bytes()
    }

    /// What the key `kid` signed: `protected "." payload`, both in base64url (RFC 7515 §5.1).
    pub fn signing_input(&self, kid: &KeyThumb) -> Vec<u8> {
        let mut input = protected(self.typ, kid);
        input.reserve_exact(1 + BASE64URL_NOPAD.encode_len(self.payload.len()));
        input.push('.');
        BASE64URL_NOPAD.encode_append(&self.payload, &mut input);
        input.into_bytes()
    }

    /// The `typ` this envelope was read or made with.
    pub fn typ(&self) -> &'static str {
        self.typ
    }

    /// Record id: SHA-256 of a tag and the payload. Signatures are not part of it, so that a second signature, or a
    /// malleated one, makes no second record.
    pub fn id(&self) -> RecordId {
        record_id(&self.payload)
    }
}

/// The id of the record with this payload.
pub fn record_id(payload: &[u8]) -> RecordId {
    let mut hash = Sha256::new();
    hash.update(RECORD_ID_TAG);
    hash.update(payload);
    RecordId(hash.finalize().into())
}
