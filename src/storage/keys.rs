//! Key files: Ed25519 in encrypted PKCS#8 (RFC 5958, RFC 8410, PBES2 with scrypt and AES-256-CBC), readable by
//! `openssl pkey`. Unencrypted private keys are neither written nor read.
//!
//! AES-CBC protects the secret, not its integrity: a changed byte can decrypt to another key. So a line before the PEM,
//! which OpenSSL passes over, names the public key, and what is decrypted must match it.

use std::path::Path;

use data_encoding::BASE64;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};
use ed25519_dalek::{SigningKey, VerifyingKey};
use pkcs8::pkcs5::{pbes2, scrypt};
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, SecretDocument};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::durable::{read_bounded, write_private};
use crate::error::{Error, Result};

/// scrypt N = 2^14, r = 8, p = 5: OWASP's setting for the most memory (16 MiB) that OpenSSL reads by default.
const SCRYPT: (u8, u32, u32) = (14, 8, 5);
const PUBLIC_LINE: &str = "Ed25519 public key: ";
const LABEL: &str = "ENCRYPTED PRIVATE KEY";
const MAX_FILE: u64 = 16 * 1024;

/// Makes a key from the system's random generator.
pub fn generate() -> SigningKey {
    SigningKey::from_bytes(&Zeroizing::new(rand::random()))
}

/// Writes `key` encrypted with `passphrase` to `path`, durably, mode 0600.
///
/// Errors: `key.passphrase` for an empty one, `key.encrypt`, `disk.write`.
pub fn write_encrypted(path: &Path, key: &SigningKey, passphrase: &SecretString) -> Result<()> {
    write_private(path, encrypt(key, passphrase)?.as_bytes())
}

/// PEM text of `key` encrypted with `passphrase`.
///
/// Errors: `key.passphrase` for an empty one, `key.encrypt`.
pub fn encrypt(key: &SigningKey, passphrase: &SecretString) -> Result<String> {
    if passphrase.expose_secret().is_empty() {
        return Err(Error::refuse("key.passphrase", "an empty passphrase protects nothing", "choose a passphrase"));
    }
    let failed = |e: &dyn std::fmt::Display| {
        Error::stop("key.encrypt", format!("the key was not encrypted: {e}"), "report this as a defect")
    };
    // Version 1, without the public key: older OpenSSL refuses version 2.
    let plain = KeypairBytes { secret_key: key.to_bytes(), public_key: None }.to_pkcs8_der().map_err(|e| failed(&e))?;
    let plain = PrivateKeyInfoRef::try_from(plain.as_bytes()).map_err(|e| failed(&e))?;
    let (log_n, r, p) = SCRYPT;
    let params = scrypt::Params::new(log_n, r, p).map_err(|e| failed(&e))?;
    let (salt, iv): ([u8; 16], [u8; 16]) = (rand::random(), rand::random());
    let params = pbes2::Parameters::generate_scrypt_aes256cbc(params, &salt, iv).map_err(|e| failed(&e))?;
    let sealed = plain.encrypt_with_params(params, passphrase.expose_secret()).map_err(|e| failed(&e))?;
    let pem = sealed.to_pem(LABEL, LineEnding::LF).map_err(|e| failed(&e))?;
    Ok(format!("{PUBLIC_LINE}{}\n{}", BASE64.encode(key.verifying_key().as_bytes()), *pem))
}

/// Reads an encrypted key file.
///
/// Errors: `key.passphrase`, `key.form`, `key.changed`, `key.kdf`, `disk.missing`, `disk.read`, `disk.too-large`.
pub fn read(path: &Path, passphrase: &SecretString) -> Result<SigningKey> {
    let bytes = Zeroizing::new(read_bounded(path, MAX_FILE)?);
    decrypt(&bytes, passphrase).map_err(|e| e.at(path.display()))
}

/// Reads an encrypted key from PEM.
///
/// Errors: `key.passphrase`, `key.form`, `key.changed`, `key.kdf`.
pub fn decrypt(pem: &[u8], passphrase: &SecretString) -> Result<SigningKey> {
    let form = |what: &str| {
        Error::refuse(
            "key.form",
            format!("not an encrypted Ed25519 key: {what}"),
            "give a PEM file «ENCRYPTED PRIVATE KEY» (PKCS#8); openssl pkcs8 -topk8 -v2 aes-256-cbc makes one",
        )
    };
    let text = std::str::from_utf8(pem).map_err(|_| form("not text"))?;
    let begin = text.find("-----BEGIN").ok_or_else(|| form("no PEM"))?;
    let (before, pem) = text.split_at(begin);
    let public = match before.lines().next() {
        None => None, // made by openssl
        Some(line) => {
            let key = line.strip_prefix(PUBLIC_LINE).and_then(|b| BASE64.decode(b.as_bytes()).ok());
            Some(key.ok_or_else(|| form("the line before the PEM does not name a public key"))?)
        }
    };
    let (label, sealed) = SecretDocument::from_pem(pem).map_err(|e| form(&e.to_string()))?;
    if label != LABEL {
        return Err(form(&format!("its PEM label is «{label}»")));
    }
    let sealed = EncryptedPrivateKeyInfoRef::try_from(sealed.as_bytes()).map_err(|e| form(&e.to_string()))?;
    check_cost(sealed.encryption_algorithm.pbes2().ok_or_else(|| form("not encrypted with PBES2"))?)?;
    let wrong = || {
        Error::refuse("key.passphrase", "the passphrase does not open the key", "check the passphrase and the key file")
    };
    let plain = sealed.decrypt(passphrase.expose_secret()).map_err(|_| wrong())?;
    // A wrong passphrase leaves valid padding once in 256 times; then what comes out is not a key.
    if PrivateKeyInfoRef::try_from(plain.as_bytes()).is_err() {
        return Err(wrong());
    }
    let key = SigningKey::from_pkcs8_der(plain.as_bytes()).map_err(|e| form(&e.to_string()))?;
    if public.is_some_and(|public| public != key.verifying_key().as_bytes()) {
        return Err(Error::refuse(
            "key.changed",
            "the decrypted key is not the one named in the file's first line",
            "the file is damaged: restore it from a backup",
        ));
    }
    Ok(key)
}

/// A key file must not be able to take all memory or hours of time.
fn check_cost(params: &pbes2::Parameters) -> Result<()> {
    let fine = match &params.kdf {
        pbes2::Kdf::Pbkdf2(p) => p.iteration_count <= 10_000_000,
        pbes2::Kdf::Scrypt(p) => {
            let (r, p_cost) = (u64::from(p.block_size), u64::from(p.parallelization));
            let memory = p.cost_parameter.checked_mul(128).and_then(|m| m.checked_mul(r));
            memory.is_some_and(|m| m <= 256 << 20) && p_cost <= 64
        }
        _ => false,
    };
    if fine {
        return Ok(());
    }
    Err(Error::refuse(
        "key.kdf",
        "the key's encryption asks for unreasonable memory or time",
        "encrypt the key anew with openssl",
    ))
}

/// PEM of a public key (SPKI, RFC 8410).
///
/// Errors: `key.encode`.
pub fn public_pem(key: &VerifyingKey) -> Result<String> {
    key.to_public_key_pem(LineEnding::LF).map_err(|e| {
        Error::stop("key.encode", format!("the public key was not encoded: {e}"), "report this as a defect")
    })
}

/// Reads a public key from PEM (SPKI).
///
/// Errors: `key.form`.
pub fn read_public(pem: &str) -> Result<VerifyingKey> {
    let within = if pem.len() as u64 <= MAX_FILE { VerifyingKey::from_public_key_pem(pem).ok() } else { None };
    within.ok_or_else(|| {
        Error::refuse(
            "key.form",
            "not an Ed25519 public key",
            "give a PEM file «PUBLIC KEY» as openssl pkey -pubout writes it",
        )
    })
}
