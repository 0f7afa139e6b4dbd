//! Dossiers: everything a log has about one chat, as of a day, in one signed archive that verifies offline by the charter
//! alone (docs/protocol.md, "Dossiers").
//!
//! [`archive`] is the container, [`manifest`] says and signs what is in it. Inside stand exact entries of the log, each with
//! its inclusion proof under one checkpoint, and files of facts ([`facts_file`]) under two commits: the last one of the day the dossier is about, and today's. [`records`] says which
//! records belong to a chat.
//!
//! Order of data: bytes → [`Dossier::read`] (decoded, nothing believed) → [`Contents::chain`] (its charters, walked from the
//! one that is trusted) → [`Contents::verify`] → [`ProvedDossier`], which nothing else can make. Verification believes no
//! summary and no list: it folds the records again, checks who signed them as the log's followers do, holds the facts against
//! both state roots, and refuses what is missing and what is beside them.

pub mod archive;
pub mod facts_file;
pub mod manifest;
pub mod records;
mod verify;

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::federation::chain::CharterChain;
use crate::federation::charter::MAX_CHARTER;
use crate::registry::ids::{ChatNumber, KeyThumb, OrgId, RecordId, RegionCode};
use crate::registry::record::Subject;
use crate::registry::status_proof::{Name, ProvedStatus, StatusProof};
use crate::registry::text::Day;
use crate::tlog::decimal;
use crate::tlog::proof::TlogProof;
use archive::Files;
use facts_file::FactsFile;
use manifest::{MANIFEST, Manifest, SIGNATURE, Signed};
use records::Link;

/// Name of the readable summary.
pub const SUMMARY: &str = "summary.txt";
const STATUS: &str = "status.txt";
const NOW: &str = "facts.now.txt";
const THEN: &str = "facts.then.txt";

fn bad(code: &'static str, what: String) -> Error {
    Error::refuse(code, format!("dossier: {what}"), "do not rely on this dossier; get another from the region's node")
}

/// What a dossier consists of, its summary and manifest apart. Decoded, not verified.
#[derive(Debug, Clone)]
pub struct Contents {
    /// The chat.
    pub chat: ChatNumber,
    /// The day it is about.
    pub as_of: Day,
    /// Exact bytes of charters by version.
    pub charters: BTreeMap<u64, Vec<u8>>,
    /// The chat's status at the checkpoint.
    pub status: StatusProof,
    /// Facts at the checkpoint.
    pub now: FactsFile,
    /// Facts at the last commit of the day; none where the log began later.
    pub then: Option<FactsFile>,
    /// Entries of the log by index, each with its proof.
    pub entries: BTreeMap<u64, (Vec<u8>, TlogProof)>,
}

/// A dossier. Decoded, not verified.
#[derive(Debug, Clone)]
pub struct Dossier {
    /// What it consists of.
    pub contents: Contents,
    /// What it says it is.
    pub manifest: Manifest,
    /// The readable summary, which follows from the rest.
    pub summary: Vec<u8>,
    signed: Signed,
}

/// A commit of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Size of the log with it.
    pub size: u64,
    /// Its time, Unix milliseconds.
    pub time: u64,
}

/// A record of the log, in its place, by keys that might sign it then.
#[derive(Debug, Clone)]
pub struct ProvedRecord {
    /// Record and place.
    pub link: Link,
    /// Time of its commit, Unix milliseconds.
    pub recorded: u64,
    /// Who signed, in the order of key ids: the authority of a granted key, none for a root key of the region.
    pub signers: Vec<(KeyThumb, Option<OrgId>)>,
    /// A signer's key was reported compromised from this place on.
    pub suspect: bool,
}

/// A dossier, everything in which holds. Made only by [`Contents::verify`].
#[derive(Debug, Clone)]
pub struct ProvedDossier {
    /// The chat.
    pub chat: ChatNumber,
    /// The day it is about.
    pub as_of: Day,
    /// Origin of the log.
    pub log: String,
    /// Its region.
    pub region: RegionCode,
    /// The commit at the checkpoint.
    pub head: Moment,
    /// The last commit of the day, if the log had begun.
    pub then: Option<Moment>,
    /// The commit after that, if there is one: of a later day.
    pub next: Option<Moment>,
    /// What the log says of the chat at the checkpoint, with the cosigners that were asked for.
    pub status: ProvedStatus,
    /// Records by subject, oldest first.
    pub records: BTreeMap<Subject, Vec<ProvedRecord>>,
    /// Versions and digests of the charters in it.
    pub charters: Vec<(u64, RecordId)>,
    /// Version of the charter that the log had adopted at the checkpoint.
    pub charter: u64,
}

impl ProvedDossier {
    /// Facts of a subject by its records below index `until`, of those that were effective by `as_of`.
    pub fn facts(&self, subject: &Subject, until: u64, as_of: Option<Day>) -> Option<crate::registry::facts::Facts> {
        let chain: Vec<Link> = self.records.get(subject)?.iter().map(|r| r.link.clone()).collect();
        records::fold(subject, &chain, until, as_of)
    }
    /// The civil day of a moment in the region.
    pub fn day_of(&self, time: u64) -> Day {
        day_of(self.region, time)
    }
    /// Every record, in the order of the log, with its subject.
    pub fn in_order(&self) -> Vec<(&Subject, &ProvedRecord)> {
        let all = self.records.iter().flat_map(|(s, records)| records.iter().map(move |r| (s, r)));
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|(_, r)| r.link.index);
        all
    }
}

fn day_of(region: RegionCode, time: u64) -> Day {
    Day::of_ms(time, region.region().map_or(3, |r| r.utc_offset_hours))
}

fn entry_name(index: u64) -> String {
    format!("log/{index:012}.json")
}

fn proof_name(index: u64) -> String {
    format!("log/{index:012}.proof")
}

impl Contents {
    /// The files it consists of.
    pub fn files(&self) -> Files {
        let mut files = Files::new();
        files.insert(STATUS.into(), self.status.to_string().into_bytes());
        files.insert(NOW.into(), self.now.to_string().into_bytes());
        files.extend(self.then.iter().map(|then| (THEN.into(), then.to_string().into_bytes())));
        files.extend(self.charters.iter().map(|(version, bytes)| (format!("charters/{version}.json"), bytes.clone())));
        for (index, (entry, proof)) in &self.entries {
            files.insert(entry_name(*index), entry.clone());
            files.insert(proof_name(*index), proof.to_string().into_bytes());
        }
        files
    }

    /// What the files say, which are all files of a dossier but the summary, the manifest and its signature.
    fn read(mut files: Files, manifest: &Manifest) -> Result<Contents> {
        let mut take =
            |name: &str| files.remove(name).ok_or_else(|| bad("dossier.files", format!("the file {name} is missing")));
        let text = |bytes: Vec<u8>, name: &str| {
            String::from_utf8(bytes).map_err(|_| bad("dossier.form", format!("{name} is not text")))
        };
        let status = StatusProof::parse(&text(take(STATUS)?, STATUS)?)?;
        let now = FactsFile::parse(&take(NOW)?)?;
        let then = take(THEN).ok().map(|bytes| FactsFile::parse(&bytes)).transpose()?;
        let mut contents = Contents {
            chat: manifest.chat,
            as_of: manifest.as_of,
            charters: BTreeMap::new(),
            status,
            now,
            then,
            entries: BTreeMap::new(),
        };
        let surplus = |name: &str| bad("dossier.files", format!("{name} is no file of a dossier"));
        let number =
            |name: &str, folder: &str, ending: &str| name.strip_prefix(folder)?.strip_suffix(ending).map(str::to_owned);
        let mut proofs = BTreeMap::new();
        for (name, bytes) in files {
            if let Some(version) = number(&name, "charters/", ".json").as_deref().and_then(decimal) {
                if bytes.len() > MAX_CHARTER {
                    return Err(bad("dossier.files", format!("{name} is longer than any charter")));
                }
                contents.charters.insert(version, bytes);
                continue;
            }
            let index = |ending| number(&name, "log/", ending).and_then(|n| n.parse::<u64>().ok());
            match (index(".json"), index(".proof")) {
                (Some(i), _) if entry_name(i) == name => drop(proofs.entry(i).or_insert((None, None)).0.insert(bytes)),
                (_, Some(i)) if proof_name(i) == name => {
                    let proof = TlogProof::parse(&text(bytes, &name)?).map_err(|e| e.at(&name))?;
                    proofs.entry(i).or_insert((None, None)).1 = Some(proof);
                }
                _ => return Err(surplus(&name)),
            }
        }
        for (index, pair) in proofs {
            let (Some(entry), Some(proof)) = pair else {
                return Err(bad("dossier.files", format!("entry {index} has no proof, or a proof no entry")));
            };
            contents.entries.insert(index, (entry, proof));
        }
        Ok(contents)
    }

    /// The trusted charters `own`, and after them those of the dossier.
    ///
    /// # Errors
    /// `dossier.charter` where the dossier's begin before the trusted ones; `charter.conflict` for another federation's,
    /// and whatever else [`CharterChain::advance`] refuses.
    pub fn chain(&self, own: &CharterChain) -> Result<CharterChain> {
        let mut chain = own.clone();
        for (version, bytes) in &self.charters {
            if *version < own.first().charter().version {
                let what = format!("its charter version {version} is older than the oldest one you trust");
                return Err(bad("dossier.charter", what));
            }
            chain.advance(bytes).map_err(|e| e.at(format!("charters/{version}.json")))?;
            if chain.version(*version).is_none() {
                let what = format!("charters/{version}.json holds another version than its name says");
                return Err(bad("dossier.charter", what));
            }
        }
        Ok(chain)
    }

    fn about(&self) -> Name {
        Name::Subject(Subject::Chat(self.chat))
    }
}

impl Dossier {
    /// Takes a dossier apart. Nothing is believed yet but that it is what its manifest says.
    ///
    /// # Errors
    /// Those of [`archive::read`] and [`Manifest::open`]; `dossier.files`, `dossier.form`, and those of the parts.
    pub fn read(bytes: &[u8]) -> Result<Dossier> {
        let mut files = archive::read(bytes)?;
        let (manifest, signed) = Manifest::open(&files)?;
        files.remove(MANIFEST);
        files.remove(SIGNATURE);
        let summary = files.remove(SUMMARY);
        let summary = summary.ok_or_else(|| bad("dossier.files", format!("the file {SUMMARY} is missing")))?;
        Ok(Dossier { contents: Contents::read(files, &manifest)?, manifest, summary, signed })
    }

    /// Verifies that a node that may has signed the manifest, under the same charters as everything else: with the commit
    /// key of the log's region or of the federation, of the version the log had adopted or of a later one.
    ///
    /// # Errors
    /// `dossier.signature`; `dossier.manifest` where the manifest is of another log, or made before its own checkpoint.
    pub fn verify_manifest(&self, proved: &ProvedDossier, chain: &CharterChain) -> Result<()> {
        let m = &self.manifest;
        if *m.log != *proved.log || m.size != proved.head.size || m.made.get() < proved.head.time {
            return Err(bad("dossier.manifest", "the manifest is of another log, size or time than its files".into()));
        }
        let versions = || chain.versions().iter().filter(|v| v.charter().version >= proved.charter);
        let region = versions().filter_map(|v| v.jurisdiction(&proved.log)).map(|j| j.commit_key);
        let federation = versions().filter_map(|v| v.federation()).map(|f| f.commit_key);
        match region.chain(federation).any(|key| self.signed.is_by(&key)) {
            true => Ok(()),
            false => Err(bad(
                "dossier.signature",
                "no commit key of the region or of the federation has signed its manifest".into(),
            )),
        }
    }

    /// Id of the key that signed the manifest.
    pub fn signer(&self) -> KeyThumb {
        self.signed.kid
    }
}
