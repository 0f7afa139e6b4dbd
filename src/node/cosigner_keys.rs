//! The keys with which this node cosigns the logs of others. Each kind of word has a key and a name of its own, so that
//! nobody is taken to have said more than he did: a witness saw a log grow, a mirror keeps and serves it, a verifier
//! replayed every record.
//!
//! A key is two files: `keys/<role>.pem`, and `keys/<role>.vkey` with its name and public half, for charters and for
//! whoever asks the witness.

use data_encoding::HEXLOWER;
use rayon::prelude::*;
use secrecy::SecretString;

use super::layout::Layout;
use crate::error::{Error, Result};
use crate::federation::roles::{CosignerVkey, Cosigners};
use crate::registry::body::List;
use crate::storage::durable::{create_dir, read_bounded, write_atomic};
use crate::storage::keys;
use crate::storage::lock::KeyClaim;
use crate::storage::witness_store::WitnessStore;
use crate::tlog::cosignature::{Cosigner, CosignerKey, MAX_VKEY_LEN};

/// What a cosigner's word means, and what a key of it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Saw an append-only log. Ed25519.
    Witness,
    /// The same, with a key of ML-DSA-44.
    WitnessPq,
    /// Holds a durable copy and serves it.
    Mirror,
    /// Replayed every record and got the committed root.
    Verifier,
}

impl Role {
    /// The keys that every node has; one of ML-DSA-44 only where it is asked for.
    pub const USUAL: [Role; 3] = [Role::Witness, Role::Mirror, Role::Verifier];
    /// All of them.
    pub const ALL: [Role; 4] = [Role::Witness, Role::WitnessPq, Role::Mirror, Role::Verifier];

    /// Name of its files in `keys/`.
    pub fn file(self) -> &'static str {
        match self {
            Role::Witness => "witness",
            Role::WitnessPq => "witness-pq",
            Role::Mirror => "mirror",
            Role::Verifier => "verifier",
        }
    }
}

/// The cosigners of a node.
#[derive(Debug, Default)]
pub struct CosignerKeys {
    /// Both keys of the witness, the Ed25519 one first.
    pub witness: Vec<Cosigner>,
    /// The mirror.
    pub mirror: Option<Cosigner>,
    /// The verifier.
    pub verifier: Option<Cosigner>,
    /// Nobody else on this machine signs as this witness meanwhile.
    pub claim: Option<KeyClaim>,
}

impl CosignerKeys {
    /// Opens the keys that are there. One that cannot be used is told of and left out: the node does its other work.
    ///
    /// # Errors
    /// `key.passphrase` where there are keys and no passphrase.
    pub fn open(layout: &Layout, passphrase: Option<&SecretString>) -> Result<CosignerKeys> {
        let roles: Vec<Role> = Role::ALL.into_iter().filter(|role| layout.key(role.file()).exists()).collect();
        if roles.is_empty() {
            return Ok(CosignerKeys::default());
        }
        let passphrase = passphrase.ok_or_else(|| {
            Error::stop(
                "key.passphrase",
                "the node's keys are encrypted and no passphrase was given",
                "set DOMOVOI_PASSPHRASE or passphrase_file",
            )
        })?;
        // Each takes a tenth of a second: that is what the passphrase is worth.
        let opened: Vec<Result<Opened>> = roles.par_iter().map(|role| open_one(layout, *role, passphrase)).collect();
        let mut found = CosignerKeys::default();
        for (role, opened) in roles.into_iter().zip(opened) {
            match (role, opened) {
                (Role::Witness, Ok((cosigner, claim))) => {
                    found.claim = claim;
                    found.witness.insert(0, cosigner);
                }
                (Role::WitnessPq, Ok((cosigner, _))) => found.witness.push(cosigner),
                (Role::Mirror, Ok((cosigner, _))) => found.mirror = Some(cosigner),
                (Role::Verifier, Ok((cosigner, _))) => found.verifier = Some(cosigner),
                (role, Err(e)) => tracing::error!(role = role.file(), error = %e, "a cosigner's key cannot be used"),
            }
        }
        Ok(found)
    }

    /// Public halves of all of them: whose lines say nothing about this node's own log.
    pub fn public(&self) -> Vec<CosignerKey> {
        let all = self.witness.iter().chain(&self.mirror).chain(&self.verifier);
        all.map(|cosigner| cosigner.verifier().clone()).collect()
    }
}

type Opened = (Cosigner, Option<KeyClaim>);

/// Errors: `key.cosigner` where name and key do not belong together; `storage.key-in-use`; those of the files.
fn open_one(layout: &Layout, role: Role, passphrase: &SecretString) -> Result<Opened> {
    let named = read_vkey(layout, role)?;
    let secret = keys::read(&layout.key(role.file()), passphrase)?;
    let claim = if role == Role::Witness { Some(KeyClaim::acquire(&secret)?) } else { None };
    let cosigner = match role {
        Role::WitnessPq => Cosigner::of_seed(named.name(), &secret.to_bytes())?,
        _ => Cosigner::new(named.name(), secret)?,
    };
    match *cosigner.verifier() == named {
        true => Ok((cosigner, claim)),
        false => Err(Error::stop(
            "key.cosigner",
            format!(
                "{} does not name the key in {}",
                layout.cosigner(role.file()).display(),
                layout.key(role.file()).display()
            ),
            "restore the two files from one backup",
        )),
    }
}

/// Makes the key of a role, named `<base>/<role>`; a key that is there stays.
///
/// # Errors
/// `note.name`; those of the disk.
pub fn make(layout: &Layout, role: Role, base: &str, passphrase: &SecretString) -> Result<CosignerKey> {
    if layout.key(role.file()).exists() {
        return read_vkey(layout, role);
    }
    let secret = keys::generate();
    let name = format!("{base}/{}", role.file());
    let cosigner = match role {
        Role::WitnessPq => Cosigner::of_seed(name, &secret.to_bytes())?,
        _ => Cosigner::new(name, secret.clone())?,
    };
    create_dir(&layout.data().join("keys"))?;
    write_atomic(&layout.cosigner(role.file()), format!("{}\n", cosigner.verifier()).as_bytes())?;
    if role == Role::Witness {
        // Before the key: a key without the file has lost it.
        WitnessStore::create(&layout.witness())?;
    }
    keys::write_encrypted(&layout.key(role.file()), &secret, passphrase)?;
    Ok(cosigner.verifier().clone())
}

/// Puts the keys of the witness aside, under names that nothing reads, and begins its record anew: whoever named the old
/// keys must name the new ones.
///
/// # Errors
/// Those of the files and of the disk.
pub fn set_aside(layout: &Layout) -> Result<()> {
    for role in [Role::Witness, Role::WitnessPq].into_iter().filter(|role| layout.key(role.file()).exists()) {
        let vkey = read_vkey(layout, role)?;
        for path in [layout.key(role.file()), layout.cosigner(role.file())] {
            let old = path.with_extension(format!("{}.old", HEXLOWER.encode(&vkey.key_id())));
            std::fs::rename(&path, &old).map_err(|e| {
                Error::stop(
                    "disk.write",
                    format!("{}: {e}", path.display()),
                    "check permissions and the health of the disk",
                )
            })?;
        }
    }
    WitnessStore::replace(&layout.witness())
}

/// Reads the public half of a role's key.
///
/// # Errors
/// Those of the file and of [`CosignerKey::parse`].
pub fn read_vkey(layout: &Layout, role: Role) -> Result<CosignerKey> {
    let path = layout.cosigner(role.file());
    let bytes = read_bounded(&path, MAX_VKEY_LEN as u64 + 2)?;
    let text = String::from_utf8_lossy(&bytes);
    CosignerKey::parse(text.trim_end()).map_err(|e| e.at(path.display()))
}

/// The public halves as a charter names them; none where the node has no witness key.
///
/// # Errors
/// Those of [`read_vkey`].
pub fn for_charter(layout: &Layout) -> Result<Option<Cosigners>> {
    let read = |role: Role| match layout.key(role.file()).exists() {
        true => read_vkey(layout, role).map(|key| Some(CosignerVkey::from(key))),
        false => Ok(None),
    };
    let witness: Vec<CosignerVkey> = [read(Role::Witness)?, read(Role::WitnessPq)?].into_iter().flatten().collect();
    if witness.is_empty() {
        return Ok(None);
    }
    Ok(Some(Cosigners { witness: List(witness), mirror: read(Role::Mirror)?, verifier: read(Role::Verifier)? }))
}
