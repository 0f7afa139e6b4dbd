//! Signed notes: text with signature lines by named keys (C2SP signed-note), Ed25519 only (type 0x01).
//!
//! The text of a note means nothing until [`Note::verify`] has found a good signature by a key one trusts.

use std::fmt;

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use super::base64;
use crate::error::{Error, Result};

/// Bytes of the longest note text.
pub const MAX_TEXT_LEN: usize = 64 * 1024;
/// Signature lines of one note; the specification asks for at least 16.
pub const MAX_SIGNATURES: usize = 64;
/// Bytes of the longest signature line: room for post-quantum signatures by others, which are kept, not read.
pub const MAX_SIGNATURE_LINE_LEN: usize = 8 * 1024;
/// Bytes of the longest note.
pub const MAX_NOTE_LEN: usize = MAX_TEXT_LEN + 1 + MAX_SIGNATURES * (MAX_SIGNATURE_LINE_LEN + 1);
/// Bytes of the longest key name that a key of ours, or one we trust, may have.
pub const MAX_NAME_LEN: usize = 255;

/// What a key's signatures say: their type identifier (C2SP signed-note; tlog-cosignature).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Ed25519 over the text of the note.
    Note = 0x01,
    /// Ed25519 over a time and the text of a checkpoint.
    Cosigner = 0x04,
}

/// What a signature line begins with: em dash and space.
const LINE_START: &str = "\u{2014} ";

/// First four bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key): with the name, what tells keys apart.
pub type KeyId = [u8; 4];

/// Key that verifies notes: a name and an Ed25519 public key. Written as
/// `<name>+<key id, 8 hex digits>+<base64 of 0x01 ‖ public key>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    kind: Kind,
    name: String,
    id: KeyId,
    key: VerifyingKey,
}

impl VerifierKey {
    /// Names a public key.
    ///
    /// A key outside the prime-order subgroup is refused: for such, verifiers of different make disagree on what is a
    /// good signature.
    ///
    /// Errors: `note.name`, `vkey.point`.
    pub fn new(name: impl Into<String>, key: VerifyingKey) -> Result<Self> {
        VerifierKey::of_kind(Kind::Note, name, key)
    }

    pub(super) fn of_kind(kind: Kind, name: impl Into<String>, key: VerifyingKey) -> Result<Self> {
        let name = name.into();
        check_name(&name)?;
        // Keys in a non-canonical encoding go with these: none of the 38 is of prime order (a test tries them all).
        if key.is_weak() || !key.to_edwards().is_torsion_free() {
            return Err(bad_point());
        }
        let id = key_id(kind, &name, &key);
        Ok(VerifierKey { kind, name, id, key })
    }

    /// Reads a verifier key in its text form.
    ///
    /// Errors: `vkey.form`, `vkey.type` (not Ed25519), `vkey.point`, `vkey.id` (the id is not of this name and key),
    /// `note.name`.
    pub fn parse(text: &str) -> Result<Self> {
        VerifierKey::parse_kind(Kind::Note, text)
    }

    pub(super) fn parse_kind(kind: Kind, text: &str) -> Result<Self> {
        let form = || {
            Error::refuse(
                "vkey.form",
                format!("{:?} is not a verifier key", excerpt(text)),
                "give <name>+<8 hex digits>+<base64 of type and key> as C2SP signed-note writes it",
            )
        };
        // Name, id and key together; the bound keeps a long input from being decoded.
        if text.len() > MAX_NAME_LEN + 64 {
            return Err(form());
        }
        // Neither name nor id can hold a plus sign, base64 can: so from the left.
        let (name, rest) = text.split_once('+').ok_or_else(form)?;
        let (id, key) = rest.split_once('+').ok_or_else(form)?;
        let id: KeyId = HEXLOWER.decode(id.as_bytes()).ok().and_then(|id| id.try_into().ok()).ok_or_else(form)?;
        let key = base64(key).ok_or_else(form)?;
        let (byte, key) = key.split_first().ok_or_else(form)?;
        if *byte != kind as u8 {
            return Err(Error::refuse(
                "vkey.type",
                format!("verifier key {:?} is of type 0x{byte:02x}, not 0x{:02x}", excerpt(name), kind as u8),
                "give a key of the right type: 0x01 for a log, 0x04 or 0x06 for a cosigner",
            ));
        }
        let key = VerifyingKey::from_bytes(key.try_into().map_err(|_| form())?).map_err(|_| bad_point())?;
        let key = VerifierKey::of_kind(kind, name, key)?;
        if key.id != id {
            return Err(Error::refuse(
                "vkey.id",
                format!("verifier key {name:?} says id {}, it is {}", HEXLOWER.encode(&id), HEXLOWER.encode(&key.id)),
                "the text was altered or mistyped: get it again from where it was published",
            ));
        }
        Ok(key)
    }

    /// Name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Id of the key.
    pub fn key_id(&self) -> KeyId {
        self.id
    }

    /// The public key.
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.key
    }

    /// True where a line bears this key's name and id.
    pub(super) fn made(&self, signature: &NoteSignature) -> bool {
        signature.name == self.name && signature.key_id == self.id
    }

    /// A line of this key.
    pub(super) fn line(&self, signature: Vec<u8>) -> NoteSignature {
        NoteSignature { name: self.name.clone(), key_id: self.id, signature }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.kind as u8];
        key.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, HEXLOWER.encode(&self.id), BASE64.encode(&key))
    }
}

fn key_id(kind: Kind, name: &str, key: &VerifyingKey) -> KeyId {
    let digest = Sha256::new().chain_update(name).chain_update([b'\n', kind as u8]).chain_update(key.as_bytes());
    let [a, b, c, d, ..] = <[u8; 32]>::from(digest.finalize());
    [a, b, c, d]
}

/// Refuses what is no name for a key that is trusted here.
pub(super) fn check_name(name: &str) -> Result<()> {
    if is_name(name) && name.len() <= MAX_NAME_LEN {
        return Ok(());
    }
    Err(Error::refuse(
        "note.name",
        format!("{:?} is not a key name", excerpt(name)),
        "use 1 to 255 bytes without spaces, control characters and plus signs",
    ))
}

/// Key names are not empty and have no Unicode space, plus sign or control character.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c == '+' || c < ' ')
}

fn bad_point() -> Error {
    Error::refuse(
        "vkey.point",
        "the public key is not a canonical point of the prime-order subgroup",
        "give the key of an ordinary Ed25519 key pair",
    )
}

fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Key that signs notes. Signatures are deterministic (RFC 8032): the same text gives the same bytes.
pub struct NoteSigner {
    key: SigningKey,
    verifier: VerifierKey,
}

impl NoteSigner {
    /// Names a signing key.
    ///
    /// Errors: `note.name`.
    pub fn new(name: impl Into<String>, key: SigningKey) -> Result<Self> {
        let verifier = VerifierKey::new(name, key.verifying_key())?;
        Ok(NoteSigner { key, verifier })
    }

    /// The key that verifies what this one signs.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }
}

impl fmt::Debug for NoteSigner {
    // The secret half stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteSigner({})", self.verifier)
    }
}

/// One signature line of a note, not verified. `Display` writes it without the newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// Name of the key that is said to have signed.
    pub name: String,
    /// Id of that key.
    pub key_id: KeyId,
    /// The signature, of at least one byte; its form is up to the kind of key.
    pub signature: Vec<u8>,
}

/// A well-formed note. `Display` writes it as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Signs a text, which has to end in a newline.
    ///
    /// Errors: `note.text-too-long`, `note.control`, `note.newline`.
    pub fn sign(text: impl Into<String>, signer: &NoteSigner) -> Result<Note> {
        let text = text.into();
        check_text(&text)?;
        let mut note = Note { text, signatures: Vec::new() };
        note.add_signature(signer)?;
        Ok(note)
    }

    /// A note of a text and lines that were made elsewhere. Nothing is verified.
    ///
    /// Errors: `note.text-too-long`, `note.control`, `note.newline`, `note.signatures` (none, or over 64).
    pub fn of(text: impl Into<String>, signatures: Vec<NoteSignature>) -> Result<Note> {
        let text = text.into();
        check_text(&text)?;
        match signatures.len() {
            1..=MAX_SIGNATURES => Ok(Note { text, signatures }),
            count => Err(bad_count(count)),
        }
    }

    /// Adds a signature after those of others; an earlier line by the same key goes.
    ///
    /// Errors: `note.signatures` if there are 64 by others already.
    pub fn add_signature(&mut self, signer: &NoteSigner) -> Result<()> {
        self.add_line(signer.verifier.line(signer.key.sign(self.text.as_bytes()).to_vec()))
    }

    /// Adds a line, made elsewhere, after the others; an earlier line by the same key goes. Nothing is verified.
    ///
    /// Errors: `note.signatures` if there are 64 by others already.
    pub fn add_line(&mut self, line: NoteSignature) -> Result<()> {
        self.signatures.retain(|l| (&l.name, l.key_id) != (&line.name, line.key_id));
        if self.signatures.len() >= MAX_SIGNATURES {
            return Err(bad_count(self.signatures.len() + 1));
        }
        self.signatures.push(line);
        Ok(())
    }

    /// Reads a note. Nothing is verified.
    ///
    /// Errors: `note.too-long`, `note.utf8`, `note.control`, `note.newline` (does not end in one), `note.separator` (no
    /// empty line before the signatures), `note.text-too-long`, `note.signatures` (none, or over 64),
    /// `note.signature-line`.
    pub fn parse(bytes: &[u8]) -> Result<Note> {
        if bytes.len() > MAX_NOTE_LEN {
            return Err(Error::refuse(
                "note.too-long",
                format!("note of {} bytes", bytes.len()),
                "keep notes within the limits of the protocol",
            ));
        }
        let note = std::str::from_utf8(bytes).map_err(|e| {
            Error::refuse(
                "note.utf8",
                format!("note is not UTF-8 at byte {}", e.valid_up_to()),
                "get the note again, unchanged",
            )
        })?;
        check_characters(note)?;
        // The last empty line separates, so a text may hold empty lines.
        let blank = note.rfind("\n\n").ok_or_else(|| {
            Error::refuse("note.separator", "note has no empty line before its signatures", "get the note again, whole")
        })?;
        let (text, lines) = (&note[..=blank], &note[blank + 2..]);
        if text.len() > MAX_TEXT_LEN {
            return Err(text_too_long(text.len()));
        }
        let count = lines.split_terminator('\n').count();
        if count == 0 || count > MAX_SIGNATURES {
            return Err(bad_count(count));
        }
        let signatures = lines.split_terminator('\n').enumerate().map(|(i, line)| parse_line(i, line));
        Ok(Note { text: text.to_owned(), signatures: signatures.collect::<Result<_>>()? })
    }

    /// Reads a note and verifies it with one key: see [`Note::parse`] and [`Note::verify`].
    pub fn open(bytes: &[u8], key: &VerifierKey) -> Result<Note> {
        let note = Note::parse(bytes)?;
        note.verify(key)?;
        Ok(note)
    }

    /// Verifies that `key` signed the text. Every line that bears the key's name and id has to verify (`verify_strict`);
    /// lines of other keys are ignored.
    ///
    /// Errors: `note.unsigned` (no line by this key), `note.signature` (a line by this key is false).
    pub fn verify(&self, key: &VerifierKey) -> Result<()> {
        let mut signed = false;
        for line in self.signatures.iter().filter(|line| key.made(line)) {
            let signature = Signature::from_slice(&line.signature).ok();
            let good = signature.is_some_and(|s| key.key.verify_strict(self.text.as_bytes(), &s).is_ok());
            if !good {
                return Err(Error::refuse(
                    "note.signature",
                    format!("the signature by {key} does not verify"),
                    "do not use the note: it was altered, or not signed by this key",
                ));
            }
            signed = true;
        }
        if signed {
            return Ok(());
        }
        Err(Error::refuse(
            "note.unsigned",
            format!("the note has no signature by {key}"),
            "check that this is the right key for whoever published the note",
        ))
    }

    /// The text, final newline included.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, unverified, in their order.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.key_id[..], &self.signature].concat();
        write!(f, "{LINE_START}{} {}", self.name, BASE64.encode(&bytes))
    }
}

/// Reads lines of signatures alone, each ended by a newline, as a witness answers.
///
/// Errors: `note.signatures` (none, or over 64), `note.signature-line`, `note.utf8`, `note.newline`.
pub fn parse_signatures(bytes: &[u8]) -> Result<Vec<NoteSignature>> {
    // As the signatures of a note, so that one reader says what a line is.
    let note = Note::parse(&[b"\n\n", bytes].concat())?;
    match note.text == "\n" {
        true => Ok(note.signatures),
        false => Err(Error::refuse(
            "note.signature-line",
            "there is an empty line among the signatures",
            "send signature lines alone",
        )),
    }
}

fn parse_line(number: usize, line: &str) -> Result<NoteSignature> {
    let parse = || {
        let (name, signature) = line.strip_prefix(LINE_START)?.split_once(' ')?;
        let bytes = base64(signature)?;
        let (key_id, signature) = bytes.split_first_chunk::<4>()?;
        let ok = line.len() <= MAX_SIGNATURE_LINE_LEN && is_name(name) && !signature.is_empty();
        ok.then(|| NoteSignature { name: name.to_owned(), key_id: *key_id, signature: signature.to_vec() })
    };
    parse().ok_or_else(|| {
        Error::refuse(
            "note.signature-line",
            format!("signature line {} of the note is malformed", number + 1),
            "a line is: em dash, space, key name, space, base64 of key id and signature",
        )
    })
}

fn check_text(text: &str) -> Result<()> {
    if text.len() > MAX_TEXT_LEN {
        return Err(text_too_long(text.len()));
    }
    check_characters(text)
}

/// A text and a whole note alike: no ASCII control character but newline, and a newline at the end.
fn check_characters(text: &str) -> Result<()> {
    if let Some(at) = text.bytes().position(|b| b < b' ' && b != b'\n') {
        return Err(Error::refuse(
            "note.control",
            format!("note has a control character at byte {at}"),
            "use no control characters but newline; lines end in LF, not CR LF",
        ));
    }
    if !text.ends_with('\n') {
        return Err(Error::refuse("note.newline", "note does not end in a newline", "get the note again, whole"));
    }
    Ok(())
}

fn text_too_long(len: usize) -> Error {
    Error::refuse("note.text-too-long", format!("note text of {len} bytes"), "keep note texts within 64 KiB")
}

fn bad_count(count: usize) -> Error {
    Error::refuse("note.signatures", format!("note with {count} signature lines"), "a note has 1 to 64 signatures")
}
