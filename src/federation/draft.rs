//! A charter before it is one: a file that people read and edit, and key holders sign one after another, each on a machine of
//! his own (docs/protocol.md, "Drafts").
//!
//! What is signed is the charter as this program writes it, not the file's own bytes: white space does not matter, and
//! whatever is edited after a signature makes that signature false. A draft proves nothing; [`Draft::envelope`] is proved by
//! whoever takes it as a charter.

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

use super::charter::{self, Charter, CharterBody, MAX_CHARTER, Region, VerifiedCharter};
use super::keys::cosigner_key;
use super::roles::{CosignerVkey, Cosigners, KeyRole};
use crate::error::{Error, Result};
use crate::registry::body::{KeyBytes, List};
use crate::registry::envelope::{Envelope, MAX_SIGNATURES, TYP_CARD, TYP_CHARTER};
use crate::registry::ids::{KeyThumb, RegionCode};
use crate::registry::signature::{PublicKey, strict_ok};
use crate::registry::text::{Millis, Text};
use crate::tlog::note::VerifierKey;

/// First member of a draft's file.
pub const KIND: &str = "domovoi charter draft v0";
/// Largest draft, in bytes: a charter laid out for people, and the one before it.
pub const MAX_DRAFT: usize = 4 * MAX_CHARTER;
/// Most signatures of a draft: each root key of two versions once.
const MAX_SIGNED: usize = 64;

/// One signature of a draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// Thumbprint of the key.
    pub kid: KeyThumb,
    /// Its signature, base64url.
    pub signature: String,
}

/// A draft. Decoded, not verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// [`KIND`].
    pub kind: String,
    /// What is to be signed.
    pub charter: CharterBody,
    /// The charter before it, exact bytes, so that key holders without a network see what changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Who has signed.
    pub signatures: Vec<Signed>,
}

/// How many of those who must sign have signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Good signatures.
    pub signed: usize,
    /// How many are needed.
    pub needed: usize,
    /// How many root keys there are.
    pub keys: usize,
}

impl Tally {
    /// True where enough have signed.
    pub fn is_enough(&self) -> bool {
        self.signed >= self.needed
    }
}

fn form(what: impl Into<String>) -> Error {
    Error::refuse(
        "charter.draft",
        format!("draft of a charter: {}", what.into()),
        "begin anew with «domovoi charter new»",
    )
}

impl Draft {
    /// A draft nobody has signed; `before` are the exact bytes of the version before.
    ///
    /// # Errors
    /// Those of [`Draft::check`].
    pub fn new(charter: CharterBody, before: Option<&[u8]>) -> Result<Draft> {
        let text =
            |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| form("the charter before it is not text"));
        let before = before.map(text).transpose()?;
        let draft = Draft { kind: KIND.into(), charter, before, signatures: Vec::new() };
        draft.check()?;
        Ok(draft)
    }

    /// Reads a draft's file.
    ///
    /// # Errors
    /// `charter.draft`; those of [`Draft::check`].
    pub fn parse(bytes: &[u8]) -> Result<Draft> {
        if bytes.len() > MAX_DRAFT {
            return Err(form("it is too large"));
        }
        let draft: Draft = serde_json::from_slice(bytes).map_err(|e| form(e.to_string()))?;
        if draft.kind != KIND || draft.signatures.len() > MAX_SIGNED {
            return Err(form("it is of another kind, or has too many signatures"));
        }
        draft.check()?;
        Ok(draft)
    }

    /// The file's text.
    ///
    /// # Errors
    /// `charter.draft`.
    pub fn to_text(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map(|t| t + "\n").map_err(|e| form(e.to_string()))
    }

    /// Checks the charter for contradictions, and against the one before it.
    ///
    /// # Errors
    /// `charter.invalid`, `charter.sequence`, `charter.keys`, `charter.cut`; those of the charter before.
    pub fn check(&self) -> Result<()> {
        charter::check(&self.charter)?;
        match self.before()? {
            Some(before) => before.check_next(&self.charter),
            None if self.charter.version == 1 => Ok(()),
            None => Err(form("a later version needs the one before it")),
        }
    }

    /// The charter before.
    ///
    /// # Errors
    /// Those of [`Charter::open`].
    pub fn before(&self) -> Result<Option<VerifiedCharter>> {
        self.before.as_ref().map(|b| Charter::open(b.as_bytes())).transpose()
    }

    fn unsigned(&self) -> Result<Envelope> {
        let payload = serde_json::to_vec(&self.charter).map_err(|e| form(e.to_string()))?;
        Ok(Envelope::unsigned(payload, TYP_CHARTER))
    }

    /// The root keys that may sign, old ones first.
    fn signers(&self) -> Result<Vec<PublicKey>> {
        let mut keys: Vec<PublicKey> = Vec::new();
        let before = self.before()?;
        let old = before.iter().flat_map(|b| &b.charter().root_keys.0);
        for key in old.chain(&self.charter.root_keys.0) {
            if !keys.iter().any(|k| k.thumb() == key.thumb()) {
                keys.push(key.0.clone());
            }
        }
        Ok(keys)
    }

    /// Signatures that verify, by key; each key counts once.
    fn good(&self) -> Result<Vec<(KeyThumb, [u8; 64])>> {
        let envelope = self.unsigned()?;
        let mut good: Vec<(KeyThumb, [u8; 64])> = Vec::new();
        for key in self.signers()? {
            let kid = key.thumb();
            let of_key = self.signatures.iter().filter(|s| s.kid == kid);
            let mut bytes = of_key.filter_map(|s| BASE64URL_NOPAD.decode(s.signature.as_bytes()).ok()?.try_into().ok());
            good.extend(bytes.find(|s| strict_ok(&key, &envelope.signing_input(&kid), s)).map(|s| (kid, s)));
        }
        Ok(good)
    }

    /// Adds the signature of one root key, of this version or of the one before; once is enough.
    ///
    /// # Errors
    /// `charter.signer` where the key is none of them.
    pub fn sign(&mut self, key: &SigningKey) -> Result<()> {
        let kid = PublicKey::of(key).thumb();
        if !self.signers()?.iter().any(|k| k.thumb() == kid) {
            return Err(Error::refuse(
                "charter.signer",
                format!("{kid} is no root key of the federation, neither before nor after"),
                "take the key that «domovoi charter show» lists",
            ));
        }
        let mut envelope = self.unsigned()?;
        envelope.add_signature(key);
        self.signatures.retain(|s| s.kid != kid);
        let added = envelope.signatures.iter();
        self.signatures.extend(added.map(|(kid, s)| Signed { kid: *kid, signature: BASE64URL_NOPAD.encode(s) }));
        Ok(())
    }

    /// Takes over the signatures of another signer's file of the same charter.
    ///
    /// # Errors
    /// `charter.drafts` where that is another charter.
    pub fn join(&mut self, other: &Draft) -> Result<()> {
        if self.charter != other.charter || self.before != other.before {
            return Err(Error::refuse(
                "charter.drafts",
                "the files are not drafts of one charter",
                "let everybody sign the same file; compare the SHA-256 that is said aloud",
            ));
        }
        for s in other.good()? {
            let signed = Signed { kid: s.0, signature: BASE64URL_NOPAD.encode(&s.1) };
            self.signatures.retain(|held| held.kid != signed.kid);
            self.signatures.push(signed);
        }
        Ok(())
    }

    /// Who has signed for the version before, where there is one, and for this one.
    ///
    /// # Errors
    /// Those of [`Draft::before`].
    pub fn tally(&self) -> Result<(Option<Tally>, Tally)> {
        let good = self.good()?;
        let count = |b: &CharterBody| Tally {
            signed: b.root_keys.0.iter().filter(|k| good.iter().any(|(kid, _)| *kid == k.thumb())).count(),
            needed: b.threshold as usize,
            keys: b.root_keys.0.len(),
        };
        Ok((self.before()?.map(|b| count(b.charter())), count(&self.charter)))
    }

    /// Thumbprints of those who have signed.
    ///
    /// # Errors
    /// Those of [`Draft::before`].
    pub fn signed_by(&self) -> Result<Vec<KeyThumb>> {
        Ok(self.good()?.into_iter().map(|(kid, _)| kid).collect())
    }

    /// The digest the charter will have: what signers compare aloud.
    ///
    /// # Errors
    /// `charter.draft`.
    pub fn sha256(&self) -> Result<crate::registry::ids::RecordId> {
        Ok(charter::digest(&self.unsigned()?))
    }

    /// The charter: no more signatures than an envelope holds, first those of keys that count for both versions.
    ///
    /// # Errors
    /// `charter.threshold` where not enough have signed.
    pub fn envelope(&self) -> Result<Vec<u8>> {
        let mut envelope = self.unsigned()?;
        let mut good = self.good()?;
        let before = self.before()?;
        let counts = |kid: &KeyThumb| {
            let of = |b: &CharterBody| usize::from(b.root_keys.0.iter().any(|k| k.thumb() == *kid));
            before.as_ref().map_or(0, |b| of(b.charter())) + of(&self.charter)
        };
        good.sort_by_key(|(kid, _)| std::cmp::Reverse(counts(kid)));
        good.truncate(MAX_SIGNATURES);
        good.sort_by_key(|(kid, _)| kid.0);
        envelope.signatures = good;
        let bytes = envelope.to_bytes();
        match &before {
            Some(before) => before.succeed(&bytes)?,
            None => Charter::open(&bytes)?,
        };
        Ok(bytes)
    }
}

/// The version after `before`, with nothing changed but what must: exceptions and cuts are of the version that declares them.
///
/// # Errors
/// `time.millis`.
pub fn next(before: &VerifiedCharter, issued: u64, expires: u64) -> Result<CharterBody> {
    let mut body = before.charter().clone();
    (body.version, body.previous) = (body.version + 1, Some(before.sha256()));
    (body.issued, body.expires) = (Millis::new(issued)?, Millis::new(expires)?);
    (body.exceptions, body.cuts) = (None, None);
    Ok(body)
}

fn no_key(key: &str) -> Error {
    Error::refuse("charter.no_key", format!("the charter has no key {key}"), "see «domovoi charter show»")
}

fn no_region(code: RegionCode) -> Error {
    Error::refuse("federation.region", format!("the charter has no region {code}"), "see «domovoi charter show»")
}

impl CharterBody {
    /// The region with this code, to be changed.
    ///
    /// # Errors
    /// `federation.region`.
    pub fn region_mut(&mut self, code: RegionCode) -> Result<&mut Region> {
        self.regions.0.iter_mut().find(|r| r.code == code).ok_or_else(|| no_region(code))
    }

    /// Puts one key in the place of another, wherever that is; a log's or cosigner's key keeps its name.
    ///
    /// # Errors
    /// `charter.no_key`.
    pub fn replace_key(&mut self, old: &PublicKey, new: &PublicKey) -> Result<()> {
        let of = |k: &KeyBytes| k.thumb() == old.thumb();
        let mut plain: Vec<&mut KeyBytes> = self.root_keys.0.iter_mut().collect();
        let (mut logs, mut lines): (Vec<&mut Text>, Vec<&mut CosignerVkey>) = Default::default();
        let mut nodes: Vec<&mut Cosigners> = Vec::new();
        for r in &mut self.regions.0 {
            plain.extend(r.root_keys.0.iter_mut().chain([&mut r.commit_key]));
            logs.push(&mut r.log_vkey);
            nodes.extend(&mut r.cosigners);
        }
        if let Some(f) = &mut self.federation {
            plain.push(&mut f.commit_key);
            logs.push(&mut f.log_vkey);
            nodes.extend(&mut f.cosigners);
        }
        for node in nodes {
            lines.extend(node.witness.0.iter_mut().chain(&mut node.mirror).chain(&mut node.verifier));
        }
        lines.extend(self.witnesses.iter_mut().flat_map(|w| &mut w.0).map(|w| &mut w.vkey));
        if let Some(place) = plain.into_iter().find(|k| of(k)) {
            *place = KeyBytes(new.clone());
            return Ok(());
        }
        for line in logs {
            if let Some(replaced) = replaced(line.as_str(), true, old, new)? {
                *line = Text::new(&replaced)?;
                return Ok(());
            }
        }
        for line in lines {
            if let Some(replaced) = replaced(line.as_str(), false, old, new)? {
                *line = replaced.parse()?;
                return Ok(());
            }
        }
        Err(no_key(&old.thumb().to_string()))
    }

    /// Adds a root key, or sets a cosigner's key line; of a region, or of the federation itself.
    ///
    /// # Errors
    /// `charter.no_key` for a role that has one key always; those of vkey lines.
    pub fn add_key(&mut self, role: KeyRole, region: Option<RegionCode>, key: &str) -> Result<()> {
        match (role, region) {
            (KeyRole::FederationRoot, None) => self.root_keys.0.push(KeyBytes(read_key(key)?)),
            (KeyRole::RegionRoot, Some(code)) => self.region_mut(code)?.root_keys.0.push(KeyBytes(read_key(key)?)),
            (KeyRole::Witness | KeyRole::Mirror | KeyRole::Verifier, region) => {
                cosigner_key(key)?;
                let place = match region {
                    Some(code) => &mut self.region_mut(code)?.cosigners,
                    None => &mut self.federation.as_mut().ok_or_else(|| no_key("of the federation's log"))?.cosigners,
                };
                let all = place.get_or_insert(Cosigners { witness: List(Vec::new()), mirror: None, verifier: None });
                match role {
                    KeyRole::Witness => all.witness.0.push(key.parse()?),
                    KeyRole::Mirror => all.mirror = Some(key.parse()?),
                    _ => all.verifier = Some(key.parse()?),
                }
            }
            _ => return Err(no_key("to be added there: replace the one that is in the place")),
        }
        Ok(())
    }

    /// Takes a root key away.
    ///
    /// # Errors
    /// `charter.no_key`.
    pub fn remove_key(&mut self, key: &PublicKey) -> Result<()> {
        let count =
            |b: &CharterBody| b.root_keys.0.len() + b.regions.0.iter().map(|r| r.root_keys.0.len()).sum::<usize>();
        let before = count(self);
        self.root_keys.0.retain(|k| k.thumb() != key.thumb());
        self.regions.0.iter_mut().for_each(|r| r.root_keys.0.retain(|k| k.thumb() != key.thumb()));
        if count(self) == before {
            return Err(no_key(&key.thumb().to_string()));
        }
        Ok(())
    }
}

/// A vkey line with the new key, where it has the old one.
fn replaced(line: &str, is_log: bool, old: &PublicKey, new: &PublicKey) -> Result<Option<String>> {
    let key = |k: &PublicKey| ed25519_dalek::VerifyingKey::from_bytes(&k.to_bytes()).map_err(|e| form(e.to_string()));
    if is_log {
        let held = VerifierKey::parse(line)?;
        return (held.verifying_key().as_bytes() == &old.to_bytes())
            .then(|| VerifierKey::new(held.name(), key(new)?).map(|k| k.to_string()))
            .transpose();
    }
    let (name, public) = cosigner_key(line)?;
    (*public == old.to_bytes())
        .then(|| crate::tlog::cosignature::CosignerKey::new(&*name, key(new)?).map(|k| k.to_string()))
        .transpose()
}

/// A public key of 43 characters of base64url, as `domovoi key show` prints it.
///
/// # Errors
/// `key.encoding`, `key.torsion`.
pub fn read_key(text: &str) -> Result<PublicKey> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok().and_then(|b| <[u8; 32]>::try_from(b).ok());
    let bytes = bytes.ok_or_else(|| {
        Error::refuse(
            "key.encoding",
            format!("«{text}» is no public key"),
            "give the 43 characters that «domovoi key show» prints",
        )
    })?;
    PublicKey::from_bytes(&bytes)
}

/// A region's card: how it asks to be named in a charter, signed by a threshold of the root keys it names.
pub struct Card;

impl Card {
    /// Signs a card.
    ///
    /// # Errors
    /// `charter.card`.
    pub fn sign(region: &Region, keys: &[&SigningKey]) -> Result<Vec<u8>> {
        let payload = serde_json::to_vec(region).map_err(|e| card(e.to_string()))?;
        Ok(Envelope::sign(payload, TYP_CARD, keys))
    }

    /// Opens a card. That the region is who it says it is, people find out; that it holds its root keys is proved.
    ///
    /// # Errors
    /// `charter.card`, `charter.threshold`; those of the envelope.
    pub fn open(bytes: &[u8]) -> Result<Region> {
        let envelope = Envelope::parse(bytes, TYP_CARD, MAX_CHARTER)?;
        let region: Region = serde_json::from_slice(&envelope.payload).map_err(|e| card(e.to_string()))?;
        let signed = charter::count(&envelope, &region.root_keys.0);
        if region.root_threshold == 0 || signed < region.root_threshold as usize {
            return Err(Error::refuse(
                "charter.threshold",
                format!(
                    "{signed} root keys of region {} signed its card, {} are needed",
                    region.code, region.root_threshold
                ),
                "have more key holders sign it",
            ));
        }
        if region.standing.is_some() {
            return Err(card("it gives itself a standing"));
        }
        Ok(region)
    }
}

fn card(what: impl Into<String>) -> Error {
    Error::refuse(
        "charter.card",
        format!("card of a region: {}", what.into()),
        "have the region make it: «domovoi charter card»",
    )
}

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;
