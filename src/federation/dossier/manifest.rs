//! What a dossier is about and what it consists of, signed as a whole.

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::archive::{Files, MAX_FILES};
use super::bad;
use crate::error::{Error, Result};
use crate::registry::envelope::{Envelope, TYP_DOSSIER};
use crate::registry::ids::{ChatNumber, KeyThumb, RecordId};
use crate::registry::signature::{PublicKey, strict_ok};
use crate::registry::strict::List;
use crate::registry::text::{Day, Millis};

/// Name of the manifest's file.
pub const MANIFEST: &str = "manifest.json";
/// Name of the file with its signature.
pub const SIGNATURE: &str = "manifest.jws";
/// What a manifest calls itself.
const FORMAT: &str = "domovoi dossier v0";
/// Bytes of the longest manifest: 17 000 files of at most 180 bytes each, in base64 for its signature.
const MAX_MANIFEST: usize = 4 << 20;

/// What a dossier is about and its files. The order of fields is the format's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: Box<str>,
    /// The chat.
    pub chat: ChatNumber,
    /// The day it is about.
    pub as_of: Day,
    /// Origin of the log.
    pub log: Box<str>,
    /// Size of the log at the checkpoint.
    pub size: u64,
    /// When the node made the dossier, by its own clock, Unix milliseconds.
    pub made: Millis,
    files: List<Listed, MAX_FILES>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    name: Box<str>,
    bytes: u64,
    sha256: RecordId,
}

fn listed(files: &Files) -> Vec<Listed> {
    let files = files.iter().filter(|(name, _)| !matches!(name.as_str(), MANIFEST | SIGNATURE));
    let list = |(name, bytes): (&String, &Vec<u8>)| Listed {
        name: name.as_str().into(),
        bytes: bytes.len() as u64,
        sha256: RecordId(Sha256::digest(bytes).into()),
    };
    files.map(list).collect()
}

impl Manifest {
    /// The manifest over these files.
    pub fn over(files: &Files, chat: ChatNumber, as_of: Day, log: &str, size: u64, made: Millis) -> Manifest {
        Manifest { format: FORMAT.into(), chat, as_of, log: log.into(), size, made, files: List(listed(files)) }
    }

    fn encode(&self) -> Vec<u8> {
        // Plain data: writing it to memory has no way to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Signs it and puts both files in their place.
    pub fn seal(&self, files: &mut Files, key: &SigningKey) {
        let payload = self.encode();
        files.insert(SIGNATURE.into(), Envelope::sign(payload.clone(), TYP_DOSSIER, &[key]));
        files.insert(MANIFEST.into(), payload);
    }

    /// Takes the manifest out of the files and holds every other file to it.
    ///
    /// # Errors
    /// `dossier.manifest`, those of the envelope; `dossier.files` where a file is missing, surplus or changed.
    pub fn open(files: &Files) -> Result<(Manifest, Signed)> {
        let wrong = |what: &str| {
            Error::refuse("dossier.manifest", format!("dossier: {what}"), "get the dossier again, as the node made it")
        };
        let bytes = files.get(MANIFEST).ok_or_else(|| wrong("it has no manifest.json"))?;
        let envelope = files.get(SIGNATURE).ok_or_else(|| wrong("it has no manifest.jws"))?;
        let envelope = Envelope::parse(envelope, TYP_DOSSIER, MAX_MANIFEST)?;
        if envelope.payload != *bytes {
            return Err(wrong("manifest.jws signs another manifest than manifest.json"));
        }
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(|e| wrong(&format!("manifest.json: {e}")))?;
        if *manifest.format != *FORMAT || manifest.encode() != *bytes {
            return Err(wrong("manifest.json is not of this format, or not in its one spelling"));
        }
        let found = listed(files);
        let differs = manifest.files.0.iter().zip(&found).find(|(said, is)| said != is);
        if differs.is_some() || manifest.files.0.len() != found.len() {
            let name = differs.map_or("a file", |(said, is)| if said.name <= is.name { &said.name } else { &is.name });
            return Err(bad("dossier.files", format!("{name} is missing, surplus or not the one that was signed")));
        }
        let [signed] = envelope.signatures.as_slice() else { return Err(wrong("it has not exactly one signature")) };
        Ok((manifest, Signed { kid: signed.0, signature: signed.1, input: envelope.signing_input(&signed.0) }))
    }
}

/// The signature of a manifest, not verified.
#[derive(Debug, Clone)]
pub struct Signed {
    /// Id of the key that is said to have made it.
    pub kid: KeyThumb,
    signature: [u8; 64],
    input: Vec<u8>,
}

impl Signed {
    /// True where `key` made it; strictly, since this one alone decides.
    pub fn is_by(&self, key: &PublicKey) -> bool {
        self.kid == key.thumb() && strict_ok(key, &self.input, &self.signature)
    }
}
