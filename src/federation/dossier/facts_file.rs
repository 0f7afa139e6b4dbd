//! Facts of many subjects under one commit, with the proof that they are in its state map and that what is said to be absent
//! is (docs/protocol.md, "Dossiers").
//!
//! ```text
//! domovoi/facts@v2
//! commit <index of the state.committed>
//! fact <name> TAB <facts>           one a subject that has any, or
//! none <name>                       where it has none; sorted by name
//! map <signs> <hashes>              one for every 64 keys, in the order of keys
//! ```
//!
//! A name may have blanks in it (the title of an imitation), and neither it nor facts have a tab.

use std::collections::BTreeMap;
use std::fmt;

use super::bad;
use super::records::MAX_SUBJECTS;
use crate::error::{Error, Result};
use crate::registry::facts::leaf_value;
use crate::registry::multi_proof::{MAX_KEYS, MultiProof};
use crate::registry::statemap::{Bytes32, StateMap, map_key};
use crate::tlog::decimal;

/// First line.
const HEADER: &str = "domovoi/facts@v2";

/// Facts by the names of their subjects; none where there are none. Exact encodings.
pub type Lines = BTreeMap<String, Option<String>>;

/// A file of facts as its text says it. Decoded, not verified. `Display` writes it as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactsFile {
    /// Index of the commit they are proved under.
    pub commit: u64,
    /// What it says.
    pub lines: Lines,
    maps: Vec<MultiProof>,
}

fn wrong(what: &str) -> Error {
    bad("dossier.form", format!("a file of facts: {what}"))
}

/// Keys of the map with their values, sorted.
fn keys(lines: &Lines) -> Vec<(Bytes32, Option<Bytes32>)> {
    let value = |json: &Option<String>| json.as_ref().map(|json| leaf_value(json.as_bytes()));
    let mut keys: Vec<_> = lines.iter().map(|(name, json)| (map_key(name), value(json))).collect();
    keys.sort_unstable_by_key(|(key, _)| *key);
    keys
}

impl FactsFile {
    /// The proofs that `map` holds at the keys of these names, whatever it holds there.
    pub fn prove<'n>(map: &StateMap, names: impl Iterator<Item = &'n str>) -> Vec<MultiProof> {
        let mut keys: Vec<Bytes32> = names.map(map_key).collect();
        keys.sort_unstable();
        keys.chunks(MAX_KEYS).map(|keys| MultiProof::of(map, keys)).collect()
    }
    /// A file of these facts, with the proofs that [`FactsFile::prove`] gave for their names.
    pub fn of(commit: u64, lines: Lines, maps: Vec<MultiProof>) -> FactsFile {
        FactsFile { commit, lines, maps }
    }

    /// Reads a file in its only spelling. Nothing is verified.
    ///
    /// # Errors
    /// `dossier.form`, `proof.map`.
    pub fn parse(bytes: &[u8]) -> Result<FactsFile> {
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("it is not text"))?;
        let mut lines = text.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(wrong("its first line is not domovoi/facts@v2"));
        }
        let commit = lines.next().and_then(|l| l.strip_prefix("commit ")).and_then(decimal);
        let mut file = FactsFile {
            commit: commit.ok_or_else(|| wrong("it names no commit"))?,
            lines: Lines::new(),
            maps: Vec::new(),
        };
        for line in lines {
            match line.split_once(' ') {
                Some(("fact", said)) => {
                    let (name, json) = said.split_once('\t').ok_or_else(|| wrong("a fact without facts"))?;
                    file.lines.insert(name.to_owned(), Some(json.to_owned()));
                }
                Some(("none", name)) => drop(file.lines.insert(name.to_owned(), None)),
                Some(("map", proof)) => {
                    file.maps.push(MultiProof::parse(proof)?);
                }
                _ if line.is_empty() => {}
                _ => return Err(wrong("a line nobody knows")),
            }
            if file.lines.len() > MAX_SUBJECTS || file.maps.len() > MAX_SUBJECTS.div_ceil(MAX_KEYS) {
                return Err(wrong("more subjects than a dossier has"));
            }
        }
        match file.to_string() == text {
            true => Ok(file),
            false => Err(wrong("it is not in its one spelling")),
        }
    }

    /// Verifies that the map with this root holds these facts, and nothing where none are said.
    ///
    /// # Errors
    /// `proof.map`.
    pub fn verify(&self, root: &Bytes32) -> Result<()> {
        let keys = keys(&self.lines);
        if self.maps.len() != keys.len().div_ceil(MAX_KEYS) {
            return Err(wrong("it has not one map proof for every 64 subjects"));
        }
        keys.chunks(MAX_KEYS).zip(&self.maps).try_for_each(|(keys, map)| map.verify(root, keys))
    }
}

impl fmt::Display for FactsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}\ncommit {}", self.commit)?;
        for (name, json) in &self.lines {
            match json {
                Some(json) => writeln!(f, "fact {name}\t{json}")?,
                None => writeln!(f, "none {name}")?,
            }
        }
        for map in &self.maps {
            writeln!(f, "map {map}")?;
        }
        Ok(())
    }
}
