//! Every key of a charter with its place, and what may become of it from one version to the next (docs/protocol.md, "Keys
//! come and go").
//!
//! A key has one place in one version. One that leaves its place is listed as retired from the version on that no longer
//! names it, for ever: what it signed stays verifiable, and it takes no place again.

use std::collections::{HashMap, HashSet};

use super::charter::{CharterBody, invalid};
use super::roles::{Cosigners, KeyRole, RetireReason, RetiredKey};
use crate::error::{Error, Result};
use crate::registry::body::{KeyBytes, List};
use crate::registry::ids::RegionCode;
use crate::registry::signature::PublicKey;
use crate::tlog::cosignature::CosignerKey;
use crate::tlog::note::VerifierKey;

/// A key in its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Placed {
    /// What it is for.
    pub role: KeyRole,
    /// The region; none: of the federation itself, or of a witness that is no node of it.
    pub region: Option<RegionCode>,
    /// The public key's bytes, of whatever kind it is.
    pub public: Box<[u8]>,
    /// Its name, where it signs notes.
    pub name: Option<Box<str>>,
}

impl Placed {
    /// The key as records and lists name it; none where it is not of Ed25519.
    pub fn key(&self) -> Option<PublicKey> {
        PublicKey::from_bytes((*self.public).try_into().ok()?).ok()
    }
    fn place(&self) -> (KeyRole, Option<RegionCode>) {
        (self.role, self.region)
    }
}

/// Name and public key of a cosigner's vkey line.
///
/// # Errors
/// Those of [`CosignerKey::parse`].
pub fn cosigner_key(vkey: &str) -> Result<(Box<str>, Box<[u8]>)> {
    let key = CosignerKey::parse(vkey).map_err(|e| e.at("charter"))?;
    Ok((key.name().into(), key.public().into()))
}

/// The keys a node cosigns with.
fn cosigners(of: &Cosigners, region: Option<RegionCode>) -> Result<Vec<Placed>> {
    let witness = of.witness.0.iter().map(|v| (KeyRole::Witness, v));
    let mirror = of.mirror.iter().map(|v| (KeyRole::Mirror, v));
    let verifier = of.verifier.iter().map(|v| (KeyRole::Verifier, v));
    let all = witness.chain(mirror).chain(verifier);
    all.map(|(role, vkey)| {
        let (name, public) = cosigner_key(vkey.as_str())?;
        Ok(Placed { role, region, public, name: Some(name) })
    })
    .collect()
}

fn log_key(vkey: &str, region: Option<RegionCode>) -> Result<Placed> {
    let key = VerifierKey::parse(vkey).map_err(|e| e.at("charter"))?;
    let public = key.verifying_key().as_bytes().as_slice().into();
    Ok(Placed { role: KeyRole::Log, region, public, name: Some(key.name().into()) })
}

/// Every key that a charter names in a place.
///
/// # Errors
/// Those of vkey lines.
pub fn placed(b: &CharterBody) -> Result<Vec<Placed>> {
    let plain = |role, region, key: &KeyBytes| Placed { role, region, public: key.0.to_bytes().into(), name: None };
    let mut all: Vec<Placed> = b.root_keys.0.iter().map(|k| plain(KeyRole::FederationRoot, None, k)).collect();
    for r in &b.regions.0 {
        let of = Some(r.code);
        all.extend(r.root_keys.0.iter().map(|k| plain(KeyRole::RegionRoot, of, k)));
        all.push(log_key(r.log_vkey.as_str(), of)?);
        all.push(plain(KeyRole::Commit, of, &r.commit_key));
        all.extend(r.cosigners.iter().map(|c| cosigners(c, of)).collect::<Result<Vec<_>>>()?.into_iter().flatten());
    }
    if let Some(f) = &b.federation {
        all.push(log_key(f.log_vkey.as_str(), None)?);
        all.push(plain(KeyRole::Commit, None, &f.commit_key));
        all.extend(f.cosigners.iter().map(|c| cosigners(c, None)).collect::<Result<Vec<_>>>()?.into_iter().flatten());
    }
    for w in b.witnesses.iter().flat_map(|w| &w.0) {
        let (name, public) = cosigner_key(w.vkey.as_str())?;
        all.push(Placed { role: KeyRole::Witness, region: None, public, name: Some(name) });
    }
    Ok(all)
}

/// A place that exists: roots have or have no region by their kind, and whatever is of the federation's log needs one.
fn is_place(b: &CharterBody, role: KeyRole, region: Option<RegionCode>) -> bool {
    match (role, region) {
        (KeyRole::FederationRoot, region) => region.is_none(),
        (KeyRole::RegionRoot, None) => false,
        (_, Some(code)) => b.regions.0.iter().any(|r| r.code == code),
        (KeyRole::Witness, None) => true,
        (_, None) => b.federation.is_some(),
    }
}

/// Checks the keys of one version: each in one place, with names that nobody else has; announced and retired ones in none.
pub(super) fn check(b: &CharterBody) -> Result<()> {
    let placed = placed(b)?;
    let mut taken: HashSet<&[u8]> = HashSet::new();
    if !placed.iter().all(|p| taken.insert(&p.public)) {
        return Err(invalid("a region, a log or a key is named twice"));
    }
    // A node's two witness keys, of two kinds, are one witness.
    let mut names: HashMap<&str, &Placed> = HashMap::new();
    for p in &placed {
        let Some(name) = p.name.as_deref() else { continue };
        let before = names.insert(name, p);
        let pair =
            |q: &Placed| q.role == KeyRole::Witness && q.place() == p.place() && q.public.len() != p.public.len();
        if before.is_some_and(|q| !pair(q)) {
            return Err(invalid(format!("the key name «{name}» is used twice")));
        }
    }
    let announced = || b.announced.iter().flat_map(|a| &a.0);
    let coming: Vec<[u8; 32]> = announced().map(|a| a.key.0.to_bytes()).collect();
    if !coming.iter().all(|k| taken.insert(k)) || announced().any(|a| !is_place(b, a.role, a.region)) {
        return Err(invalid("an announced key is in a place already, or is for a place that does not exist"));
    }
    let retired = || b.retired.iter().flat_map(|r| &r.0);
    let gone: Vec<[u8; 32]> = retired().map(|r| r.key.0.to_bytes()).collect();
    if !gone.iter().all(|k| taken.insert(k)) {
        return Err(invalid("a retired key is listed twice, announced or in a place"));
    }
    let of_region = |r: &RetiredKey| match r.role {
        KeyRole::FederationRoot => r.region.is_none(),
        KeyRole::RegionRoot => r.region.is_some(),
        _ => true,
    };
    if retired().any(|r| !(2..=b.version).contains(&r.version) || !of_region(r)) {
        return Err(invalid("a retired key has a version or a region that it cannot have"));
    }
    Ok(())
}

/// Worse reasons are larger.
fn weight(reason: RetireReason) -> u8 {
    match reason {
        RetireReason::Replaced => 0,
        RetireReason::Lost => 1,
        RetireReason::Compromised => 2,
    }
}

fn left<'p>(before: &'p [Placed], after: &[Placed]) -> Vec<&'p Placed> {
    let there: HashSet<_> = after.iter().map(|p| (p.place(), &*p.public)).collect();
    before.iter().filter(|p| !there.contains(&(p.place(), &*p.public))).collect()
}

fn wrong(what: String) -> Error {
    Error::refuse("charter.keys", what, "list the key as retired, or take a new one; «domovoi charter new» does both")
}

/// Checks what became of the keys from one version to the next.
///
/// # Errors
/// `charter.keys`.
pub(super) fn check_next(before: &CharterBody, after: &CharterBody) -> Result<()> {
    let (was, is) = (placed(before)?, placed(after)?);
    let listed: HashMap<[u8; 32], &RetiredKey> =
        after.retired.iter().flat_map(|r| &r.0).map(|r| (r.key.0.to_bytes(), r)).collect();
    let mut accounted = HashSet::new();
    for old in before.retired.iter().flat_map(|r| &r.0) {
        let kept = listed.get(&old.key.0.to_bytes()).is_some_and(|new| {
            (new.role, new.region, new.version) == (old.role, old.region, old.version)
                && weight(new.reason) >= weight(old.reason)
        });
        if !kept {
            return Err(wrong(format!("the retired key {} is listed no longer, or otherwise", old.key.thumb())));
        }
        accounted.insert(old.key.0.to_bytes());
    }
    for p in left(&was, &is) {
        // Keys of other kinds than Ed25519 go with the Ed25519 key beside them.
        let Some(key) = p.key() else { continue };
        let said = listed
            .get(&key.to_bytes())
            .is_some_and(|r| (r.role, r.region, r.version) == (p.role, p.region, after.version));
        if !said {
            return Err(wrong(format!("the key {} leaves its place and is not listed as retired", key.thumb())));
        }
        accounted.insert(key.to_bytes());
    }
    let announced = before.announced.iter().flat_map(|a| &a.0);
    for a in announced.clone() {
        let key = a.key.0.to_bytes();
        let Some(p) = is.iter().find(|p| *p.public == key) else {
            // Given up before it signed anything; whoever says so may say why.
            if listed.get(&key).is_some_and(|r| r.version == after.version) {
                accounted.insert(key);
            }
            continue;
        };
        if p.place() != (a.role, a.region) || after.issued.get() < a.from.get() {
            return Err(wrong(format!("the key {} was announced for another place or a later time", a.key.thumb())));
        }
    }
    match listed.iter().find(|(key, _)| !accounted.contains(*key)) {
        Some((_, r)) => Err(wrong(format!("the key {} is retired from a place that it did not have", r.key.thumb()))),
        None => Ok(()),
    }
}

/// Lists in `after` every key that leaves its place between `before` and it, with those that `before` lists.
///
/// # Errors
/// Those of vkey lines.
pub fn retire(before: &CharterBody, after: &mut CharterBody, why: impl Fn(&Placed) -> RetireReason) -> Result<()> {
    let (was, is) = (placed(before)?, placed(after)?);
    let mut list = before.retired.clone().unwrap_or_default().0;
    for p in left(&was, &is) {
        if let Some(key) = p.key() {
            let (role, region, version) = (p.role, p.region, after.version);
            list.push(RetiredKey { role, region, key: KeyBytes(key), reason: why(p), version });
        }
    }
    after.retired = (!list.is_empty()).then_some(List(list));
    // What has come into its place is announced no longer.
    let placed: HashSet<&[u8]> = is.iter().map(|p| &*p.public).collect();
    let gone: HashSet<[u8; 32]> = after.retired.iter().flat_map(|r| &r.0).map(|r| r.key.0.to_bytes()).collect();
    if let Some(announced) = &mut after.announced {
        announced.0.retain(|a| {
            let key = a.key.0.to_bytes();
            !placed.contains(key.as_slice()) && !gone.contains(&key)
        });
    }
    after.announced = after.announced.take().filter(|a| !a.0.is_empty());
    Ok(())
}
