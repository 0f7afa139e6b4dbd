//! One verdict for a signature: the same from a single check and from a batch, on every node.
//!
//! Ed25519 leaves room: implementations differ on encodings that are not canonical, on points of small order, and on
//! whether the equation is multiplied by the cofactor ("Taming the many EdDSAs", ZIP 215). Two nodes that decide
//! differently about one signature have two states, so one rule is fixed (docs/protocol.md, "Signatures"):
//!
//! 1. A, R and s are in their canonical encodings; s < L.
//! 2. A, the public key, has no torsion component and is not the neutral element: checked once, when a [`PublicKey`]
//!    is made.
//! 3. \[8\](\[s\]B − R − \[k\]A) = 0 with k = SHA-512(R ‖ A ‖ M) over the bytes as they came.
//!
//! A batch sums the third line over its signatures, each multiplied by a 128-bit coefficient; multiplying by the
//! cofactor makes the sum blind to torsion in every R, just as the single equation is. Cofactorless checks (Go,
//! WebCrypto, `verify_strict`) accept a subset. What a node itself signs and admits must pass the strict check as well
//! ([`strict_ok`]), so that everybody accepts it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity, VartimeMultiscalarMul};
use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use rayon::prelude::*;
use sha2::{Digest, Sha256, Sha512};

use super::ids::KeyThumb;
use crate::error::{Error, Result};

/// Signatures summed into one equation. More gains little; a culprit in a larger sum costs more to find.
const BATCH: usize = 256;
/// Below this number of signatures a failing sum is not split further but checked one by one.
const SINGLY: usize = 4;

/// A public key that passed the rule: canonical encoding, no torsion component, not the neutral element.
///
/// It holds the decompressed point and the thumbprint, so that a key used a million times is decoded once.
#[derive(Clone)]
pub struct PublicKey {
    key: VerifyingKey,
    thumb: KeyThumb,
}

impl PublicKey {
    /// Checks the 32 bytes of RFC 8032 §5.1.2.
    ///
    /// # Errors
    /// `key.encoding` when they are no canonical encoding of a point, `key.torsion` when the point is not of prime
    /// order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<PublicKey> {
        let key = canonical(bytes).then(|| VerifyingKey::from_bytes(bytes).ok()).flatten().ok_or_else(|| {
            Error::refuse(
                "key.encoding",
                "public key: not the canonical encoding of a point of the curve",
                "give the 32 bytes of an Ed25519 public key as a key generator wrote them",
            )
        })?;
        let point = key.to_edwards();
        if point.is_small_order() || !point.is_torsion_free() {
            return Err(Error::refuse(
                "key.torsion",
                "public key: the point is of small order or has a torsion component",
                "generate a new key; no honest generator makes such a one",
            ));
        }
        Ok(PublicKey { thumb: thumbprint(bytes), key })
    }

    /// The public key of a signing key. A generated key always passes the rule.
    pub fn of(key: &SigningKey) -> PublicKey {
        let key = key.verifying_key();
        PublicKey { thumb: thumbprint(key.as_bytes()), key }
    }

    /// The 32 bytes of RFC 8032.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// The key's id: its JWK thumbprint, RFC 7638 with RFC 8037 §2, SHA-256.
    pub fn thumb(&self) -> KeyThumb {
        self.thumb
    }

    /// The thumbprint as bytes.
    pub fn thumbprint(&self) -> [u8; 32] {
        self.thumb.0
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.key.as_bytes() == other.key.as_bytes()
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", BASE64URL_NOPAD.encode(self.key.as_bytes()))
    }
}

fn thumbprint(key: &[u8; 32]) -> KeyThumb {
    let x = BASE64URL_NOPAD.encode(key);
    KeyThumb(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)).into())
}

/// Whether 32 bytes that decode to a point are the encoding this point is written with.
///
/// Compressing the point again would tell as well, at the price of a field inversion. Two things can be wrong: the
/// y coordinate is not reduced modulo p = 2^255 − 19, or the sign bit is set where x is 0, which is where y is 1 or p − 1.
fn canonical(bytes: &[u8; 32]) -> bool {
    let sign = bytes[31] & 0x80 != 0;
    let top = bytes[31] & 0x7f;
    let middle = &bytes[1..31];
    if top == 0x7f && middle.iter().all(|&b| b == 0xff) {
        // y ≥ 2^255 − 256: unreduced from 0xed on; 0xec is p − 1.
        bytes[0] < 0xec || (bytes[0] == 0xec && !sign)
    } else {
        let y_is_one = top == 0 && bytes[0] == 1 && middle.iter().all(|&b| b == 0);
        !(y_is_one && sign)
    }
}

/// A signature taken apart, with the two scalars of its equation.
struct Prepared {
    r: EdwardsPoint,
    s: Scalar,
    k: Scalar,
    /// SHA-512(R ‖ A ‖ M), of which `k` is the residue: stands for all three in the coefficients' seed.
    challenge: [u8; 64],
}

/// Takes a signature apart; None when an encoding in it is not canonical.
fn prepare(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> Option<Prepared> {
    let (r, s) = signature.split_at(32);
    let (r, s): ([u8; 32], [u8; 32]) = (r.try_into().ok()?, s.try_into().ok()?);
    let s = Option::<Scalar>::from(Scalar::from_canonical_bytes(s))?;
    let point = canonical(&r).then(|| CompressedEdwardsY(r).decompress()).flatten()?;
    let mut hash = Sha512::new();
    hash.update(r);
    hash.update(key.as_bytes());
    hash.update(message);
    let challenge: [u8; 64] = hash.finalize().into();
    Some(Prepared { r: point, s, k: Scalar::from_bytes_mod_order_wide(&challenge), challenge })
}

/// The third line of the rule.
fn equation_holds(key: &VerifyingKey, p: &Prepared) -> bool {
    let difference = EdwardsPoint::vartime_double_scalar_mul_basepoint(&p.k, &-key.to_edwards(), &p.s) - p.r;
    difference.mul_by_cofactor().is_identity()
}

/// Whether `signature` is `key`'s signature of `message`, by the rule of this page.
pub fn verify_one(key: &PublicKey, message: &[u8], signature: &[u8; 64]) -> bool {
    prepare(&key.key, message, signature).is_some_and(|p| equation_holds(&key.key, &p))
}

/// The verdict of [`verify_one`] for each of many signatures, in order, on all cores.
pub fn verify_batch(items: &[(&PublicKey, &[u8], [u8; 64])]) -> Vec<bool> {
    items.par_chunks(BATCH).flat_map_iter(verify_chunk).collect()
}

/// One signature of a batch whose encodings are in order.
struct Term<'a> {
    /// Its place in the chunk.
    place: usize,
    key: &'a PublicKey,
    prepared: Prepared,
    /// Its coefficient.
    z: Scalar,
}

fn verify_chunk(items: &[(&PublicKey, &[u8], [u8; 64])]) -> Vec<bool> {
    let mut verdicts = vec![false; items.len()];
    let mut terms: Vec<Term<'_>> = Vec::with_capacity(items.len());
    // The coefficients depend on every byte of the batch, so that nobody can choose signatures to fit them. They need
    // not be secret, and a pure layer has no randomness to draw them from.
    let mut seed = Sha512::new();
    seed.update(b"domovoi signature batch v0\n");
    for (place, (key, message, signature)) in items.iter().enumerate() {
        if let Some(prepared) = prepare(&key.key, message, signature) {
            seed.update(prepared.challenge);
            seed.update(prepared.s.as_bytes());
            terms.push(Term { place, key, prepared, z: Scalar::ONE });
        }
    }
    let seed = seed.finalize();
    for (block, group) in (0u32..).zip(terms.chunks_mut(4)) {
        let coefficients: [u8; 64] =
            Sha512::new().chain_update(seed).chain_update(block.to_le_bytes()).finalize().into();
        for (term, bytes) in group.iter_mut().zip(coefficients.as_chunks::<16>().0) {
            term.z = Scalar::from(u128::from_le_bytes(*bytes));
        }
    }
    judge(&terms, sum_holds(&terms), &mut verdicts);
    verdicts
}

/// Writes the verdicts of `terms`, of whose sum it is known whether it holds; splits a sum that does not.
fn judge(terms: &[Term<'_>], holds: bool, verdicts: &mut [bool]) {
    if holds {
        terms.iter().for_each(|t| verdicts[t.place] = true);
    } else if terms.len() <= SINGLY {
        terms.iter().for_each(|t| verdicts[t.place] = equation_holds(&t.key.key, &t.prepared));
    } else {
        let (left, right) = terms.split_at(terms.len() / 2);
        let left_holds = sum_holds(left);
        judge(left, left_holds, verdicts);
        // When the left half holds, the right one is where the sum fails.
        judge(right, !left_holds && sum_holds(right), verdicts);
    }
}

/// \[8\] Σ zᵢ(\[sᵢ\]B − Rᵢ − \[kᵢ\]Aᵢ) = 0. The part of a repeated key is summed before it is multiplied.
fn sum_holds(terms: &[Term<'_>]) -> bool {
    let mut base = Scalar::ZERO;
    let mut scalars = Vec::with_capacity(2 * terms.len() + 1);
    let mut points = Vec::with_capacity(2 * terms.len() + 1);
    for term in terms {
        base += term.z * term.prepared.s;
        scalars.push(term.z);
        points.push(term.prepared.r);
    }
    let mut place_of: HashMap<KeyThumb, usize> = HashMap::new();
    for term in terms {
        let part = term.z * term.prepared.k;
        match place_of.entry(term.key.thumb) {
            Entry::Occupied(place) => scalars[*place.get()] += part,
            Entry::Vacant(place) => {
                place.insert(scalars.len());
                scalars.push(part);
                points.push(term.key.key.to_edwards());
            }
        }
    }
    scalars.push(-base);
    points.push(ED25519_BASEPOINT_POINT);
    EdwardsPoint::vartime_multiscalar_mul(&scalars, &points).mul_by_cofactor().is_identity()
}

/// Signs as RFC 8032 says; what it makes passes [`strict_ok`].
pub fn sign_strict(key: &SigningKey, message: &[u8]) -> [u8; 64] {
    key.sign(message).to_bytes()
}

/// The strict check (cofactorless, R not of small order): what a node itself signs and admits. Whatever it accepts,
/// [`verify_one`] accepts.
pub fn strict_ok(key: &PublicKey, message: &[u8], signature: &[u8; 64]) -> bool {
    key.key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
