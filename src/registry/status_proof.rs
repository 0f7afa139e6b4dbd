//! Status proofs: what a region's log says about one thing at its newest commit, in one text that verifies offline
//! (docs/protocol.md, "Status proofs").
//!
//! ```text
//! domovoi/status-proof@v2
//! about chat:<number>
//! fact <facts, as committed>            none, or one a line, sorted by the names of whose they are
//! map <signs> <hashes>                  that these are in the committed state, and that what is missing is not
//! commit <payload of state.committed>
//! signed <base64url of the signature>   by the commit key of the charter that the commit names
//!
//! <C2SP tlog-proof of that entry at index size − 1, with the checkpoint and its cosignatures>
//! ```
//!
//! [`StatusProof`] is decoded, not verified; [`StatusProof::verify`] needs the charters and nothing else, also years later:
//! the keys are those of the charter version that was in force. It proves what the log had committed, not that nothing was
//! committed since: how current that is, the commit's time and the times of cosignatures say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use data_encoding::BASE64URL_NOPAD;

use super::envelope::{Envelope, MAX_ENTRY, TYP_NODE};
use super::facts::{AuthorityFacts, BuildingFacts, ChatFacts, Facts, LinkFacts, leaf_value};
use super::ids::{ChatNumber, LinkDigest, OrgId, RegionCode};
use super::jurisdiction::Charters;
use super::multi_proof::{MAX_KEYS, MultiProof};
use super::node_record::{Commit, DecodedNodeRecord, NodeRecord};
use super::record::Subject;
use super::state::{MAX_SUCCESSIONS, State, View};
use super::statemap::{Bytes32, StateMap, map_key};
use crate::error::{Error, Result};
use crate::tlog::cosignature::CosignerKey;
use crate::tlog::leaf_hash;
use crate::tlog::note::Note;
use crate::tlog::proof::{MAX_PROOF_LEN, TlogProof};

/// First line of every status proof.
const HEADER: &str = "domovoi/status-proof@v2";
/// Bytes of the longest status proof: a chat of very many houses and an owner of many successions.
pub const MAX_LEN: usize = 512 * 1024 + MAX_PROOF_LEN;
/// Most houses of a chat whose facts are put in; all are named by the chat's own facts.
const MAX_HOUSES: usize = 8;

/// What a status proof is about: the name of a leaf of the state map.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// Anything that has facts of its own.
    Subject(Subject),
    /// A join link, by its digest.
    Link(LinkDigest),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Subject(s) => s.fmt(f),
            Name::Link(l) => write!(f, "link:{l}"),
        }
    }
}

impl std::str::FromStr for Name {
    type Err = Error;
    fn from_str(text: &str) -> Result<Name> {
        match text.strip_prefix("link:") {
            Some(digest) => digest.parse().map(Name::Link),
            None => text.parse().map(Name::Subject),
        }
    }
}

/// Facts of a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leaf {
    /// Of a subject.
    Facts(Facts),
    /// The chats that have or had a link.
    Link(LinkFacts),
}

impl Leaf {
    /// Facts in their one spelling, and whose they are: they say it themselves.
    fn read(json: &str) -> Result<(Name, Leaf)> {
        let no = |e| bad(format!("facts: {e}"));
        let (name, leaf, again) = if json.starts_with("{\"link\":") {
            let leaf: LinkFacts = serde_json::from_str(json).map_err(no)?;
            let again = serde_json::to_vec(&leaf).unwrap_or_default();
            (Some(Name::Link(leaf.link)), Leaf::Link(leaf), again)
        } else {
            let facts: Facts = serde_json::from_str(json).map_err(no)?;
            let again = facts.encode();
            (subject_of(&facts).map(Name::Subject), Leaf::Facts(facts), again)
        };
        match name {
            Some(name) if again == json.as_bytes() => Ok((name, leaf)),
            Some(name) => Err(bad(format!("the facts of {name} are not in their one spelling"))),
            None => Err(bad("facts of a kind that no proof holds")),
        }
    }
    fn chat(&self) -> Option<&ChatFacts> {
        match self {
            Leaf::Facts(Facts::Chat(c)) => Some(c),
            _ => None,
        }
    }
    fn building(&self) -> Option<&BuildingFacts> {
        match self {
            Leaf::Facts(Facts::Building(b)) => Some(b),
            _ => None,
        }
    }
    fn authority(&self) -> Option<&AuthorityFacts> {
        match self {
            Leaf::Facts(Facts::Authority(a)) => Some(a),
            _ => None,
        }
    }
}

/// Whose facts these are, for the kinds a status proof may be about or may hold.
fn subject_of(facts: &Facts) -> Option<Subject> {
    match facts {
        Facts::Authority(a) => Some(Subject::Authority(a.authority.clone())),
        Facts::Key(k) => Some(Subject::Key(k.key.thumb())),
        Facts::Building(b) => Some(Subject::Building(b.building.clone())),
        Facts::Chat(c) => Some(Subject::Chat(c.chat)),
        _ => None,
    }
}

/// A status proof as its text says it. Decoded, not verified. `Display` writes it as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusProof {
    about: Name,
    facts: BTreeMap<String, (Name, String, Leaf)>,
    map: MultiProof,
    commit: Commit,
    payload: String,
    signature: [u8; 64],
    tlog: TlogProof,
}

/// What a log had committed about one thing. Made only by [`StatusProof::verify`].
#[derive(Debug, Clone)]
pub struct ProvedStatus {
    /// What was asked about.
    pub about: Name,
    /// Origin of the log.
    pub log: String,
    /// Its region.
    pub region: RegionCode,
    /// Size of the log.
    pub size: u64,
    /// Time of the commit, Unix milliseconds.
    pub time: u64,
    /// Version of the charter the log had adopted.
    pub charter: u64,
    /// Cosigners that were asked for and have signed this head, and when, Unix seconds.
    pub cosigned: Vec<(String, u64)>,
    facts: BTreeMap<String, (Name, String, Leaf)>,
}

fn bad(what: impl fmt::Display) -> Error {
    Error::refuse("status.form", format!("status proof: {what}"), "get the proof again, unchanged")
}

fn lacking(what: impl fmt::Display) -> Error {
    Error::refuse("status.facts", format!("status proof: {what}"), "get the proof again from a node of the federation")
}

/// The facts of a proof by name, with the rules of what must and what may be among them.
struct Reached<'p> {
    facts: &'p BTreeMap<String, (Name, String, Leaf)>,
    seen: BTreeSet<String>,
}

impl<'p> Reached<'p> {
    fn leaf(&mut self, name: &Name) -> Option<&'p Leaf> {
        let name = name.to_string();
        let (_, _, leaf) = self.facts.get(&name)?;
        self.seen.insert(name);
        Some(leaf)
    }
    fn need(&mut self, name: &Name) -> Result<&'p Leaf> {
        self.leaf(name).ok_or_else(|| lacking(format!("the facts of {name} are missing")))
    }
    /// An authority and everybody who succeeded it.
    fn authority(&mut self, id: &OrgId) -> Result<()> {
        let mut at = id.clone();
        for _ in 0..=MAX_SUCCESSIONS {
            let leaf = self.need(&Name::Subject(Subject::Authority(at.clone())))?;
            match leaf.authority().and_then(|a| a.succeeded.as_ref()) {
                Some(next) => at = next.successor.clone(),
                None => return Ok(()),
            }
        }
        Err(lacking("the chain of successions has no end"))
    }
    fn chat(&mut self, number: ChatNumber) -> Result<()> {
        let leaf = self.need(&Name::Subject(Subject::Chat(number)))?;
        let chat = leaf.chat().ok_or_else(|| lacking("not a chat"))?;
        if let Some(owner) = chat.owner() {
            self.authority(&owner.authority)?;
        }
        for building in &chat.buildings {
            self.leaf(&Name::Subject(Subject::Building(building.clone())));
        }
        Ok(())
    }
    /// Everything that belongs to the question, and nothing else.
    fn of(mut self, about: &Name) -> Result<()> {
        match (self.leaf(about), about) {
            (None, _) => {}
            (Some(Leaf::Link(l)), _) => l.chats.iter().try_for_each(|n| self.chat(*n))?,
            (Some(_), Name::Subject(Subject::Chat(number))) => self.chat(*number)?,
            (Some(Leaf::Facts(Facts::Authority(a))), _) => self.authority(&a.authority)?,
            (Some(Leaf::Facts(Facts::Key(k))), _) => self.authority(&k.authority)?,
            (Some(Leaf::Facts(Facts::Building(b))), _) => {
                let covers = |leaf: &Leaf| leaf.chat().filter(|c| c.buildings.contains(&b.building)).map(|c| c.chat);
                let chats: Vec<ChatNumber> = self.facts.values().filter_map(|(.., leaf)| covers(leaf)).collect();
                chats.into_iter().try_for_each(|n| self.chat(n))?;
            }
            (Some(_), _) => return Err(bad(format!("nothing is proved about {about}"))),
        }
        match self.facts.keys().find(|name| !self.seen.contains(*name)) {
            None => Ok(()),
            Some(surplus) => Err(lacking(format!("the facts of {surplus} do not belong to {about}"))),
        }
    }
}

/// The value of the line that begins with `word`.
fn line<'t>(lines: &mut std::str::Split<'t, char>, word: &str) -> Result<&'t str> {
    let line = lines.next().and_then(|line| line.strip_prefix(word)?.strip_prefix(' '));
    line.ok_or_else(|| bad(format!("the line «{word}» is not where it stands in every proof")))
}

impl StatusProof {
    /// Puts a proof together, from the state and the map of one commit, its entry, and the proof of that entry. With
    /// `addresses`, the facts of a chat's houses are in it too, as many as have room; without, the chat's facts only name them.
    ///
    /// # Errors
    /// `status.form` where `about` is nothing that a proof can be about, or the pieces are not of one commit.
    pub fn of(
        state: &State,
        map: &StateMap,
        about: &Name,
        addresses: bool,
        commit: &[u8],
        tlog: TlogProof,
    ) -> Result<StatusProof> {
        let (mut facts, mut houses) = (BTreeMap::new(), Vec::new());
        let mut wanted = vec![about.clone()];
        while let Some(name) = wanted.pop() {
            if facts.contains_key(&name.to_string()) {
                continue;
            }
            if facts.len() >= MAX_KEYS - 1 {
                return Err(lacking(format!(
                    "more belongs to {about} than one proof holds; ask about one of its chats"
                )));
            }
            let Some((json, leaf)) = leaf_of(state, &name)? else { continue };
            match &leaf {
                Leaf::Link(l) => wanted.extend(l.chats.iter().map(|n| Name::Subject(Subject::Chat(*n)))),
                Leaf::Facts(Facts::Chat(c)) => {
                    houses.extend(c.buildings.iter().take(MAX_HOUSES).filter(|_| addresses).cloned());
                    wanted.extend(c.owner().map(|o| Name::Subject(Subject::Authority(o.authority.clone()))));
                }
                Leaf::Facts(Facts::Authority(a)) => {
                    wanted.extend(a.succeeded.iter().map(|s| Name::Subject(Subject::Authority(s.successor.clone()))));
                }
                Leaf::Facts(Facts::Key(k)) => wanted.push(Name::Subject(Subject::Authority(k.authority.clone()))),
                Leaf::Facts(Facts::Building(b)) => {
                    let chats = state.chats_by_building(&b.building).into_iter();
                    let covers = |n: &ChatNumber| state.chat(*n).is_some_and(|c| c.buildings.contains(&b.building));
                    wanted.extend(chats.filter(covers).map(|n| Name::Subject(Subject::Chat(n))));
                }
                Leaf::Facts(_) => {}
            }
            facts.insert(name.to_string(), (name, json, leaf));
        }
        // Addresses are for the reader's convenience: the chats name their houses. So they come last, while there is room.
        for name in houses.into_iter().map(|house| Name::Subject(Subject::Building(house))) {
            if facts.len() < MAX_KEYS - 1
                && let Some((json, leaf)) = leaf_of(state, &name)?
            {
                facts.insert(name.to_string(), (name, json, leaf));
            }
        }
        let keys: Vec<Bytes32> = keys(about, &facts).into_iter().map(|(key, _)| key).collect();
        let envelope = Envelope::parse(commit, TYP_NODE, MAX_ENTRY)?;
        let payload = String::from_utf8(envelope.payload.clone()).map_err(|_| bad("the commit is not text"))?;
        let (_, signature) = *envelope.signatures.first().ok_or_else(|| bad("the commit is not signed"))?;
        let proof = StatusProof::whole(about.clone(), facts, MultiProof::of(map, &keys), payload, signature, tlog)?;
        // Nobody is handed what he would have to refuse.
        proof.is_complete()?;
        Ok(proof)
    }

    fn whole(
        about: Name,
        facts: BTreeMap<String, (Name, String, Leaf)>,
        map: MultiProof,
        payload: String,
        signature: [u8; 64],
        tlog: TlogProof,
    ) -> Result<StatusProof> {
        let NodeRecord::Commit(commit) = NodeRecord::read(payload.as_bytes())? else {
            return Err(bad("the entry is not a state.committed"));
        };
        if tlog.extra.is_some() {
            return Err(bad("the tlog-proof has extra data, which nothing signs"));
        }
        Ok(StatusProof { about, facts, map, commit, payload, signature, tlog })
    }

    /// Reads a proof in its only spelling. Nothing is verified.
    ///
    /// # Errors
    /// `status.too-long`, `status.form`, and those of names, the commit and the tlog-proof.
    pub fn parse(text: &str) -> Result<StatusProof> {
        if text.len() > MAX_LEN {
            let why = format!("a status proof of {} bytes", text.len());
            return Err(Error::refuse("status.too-long", why, "a proof has a few kilobytes; get it again"));
        }
        let (head, tlog) = text.split_once("\n\n").ok_or_else(|| bad("it has no empty line"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(bad(format!("its first line is not {HEADER}")));
        }
        let about: Name = line(&mut lines, "about")?.parse()?;
        let mut facts = BTreeMap::new();
        let mut last = String::new();
        let map = loop {
            let next = lines.clone();
            let Ok(json) = line(&mut lines, "fact") else {
                lines = next;
                break line(&mut lines, "map")?;
            };
            let (named, leaf) = Leaf::read(json)?;
            let name = named.to_string();
            if name <= last || facts.len() >= MAX_KEYS {
                return Err(bad("the facts are not sorted and distinct, or too many"));
            }
            last.clone_from(&name);
            facts.insert(name, (named, json.to_owned(), leaf));
        };
        let map = MultiProof::parse(map)?;
        let payload = line(&mut lines, "commit")?.to_owned();
        let signature = BASE64URL_NOPAD.decode(line(&mut lines, "signed")?.as_bytes()).ok();
        let signature = signature.and_then(|s| <[u8; 64]>::try_from(s).ok());
        let signature = signature.ok_or_else(|| bad("a signature is 64 bytes in canonical base64url"))?;
        if lines.next().is_some() {
            return Err(bad("something stands after the signature"));
        }
        let proof = StatusProof::whole(about, facts, map, payload, signature, TlogProof::parse(tlog)?)?;
        let note = Note::parse(proof.tlog.checkpoint.as_bytes())?;
        match proof.to_string() == text && note.to_string() == proof.tlog.checkpoint {
            true => Ok(proof),
            false => Err(bad("it is not in its one spelling")),
        }
    }

    /// The facts are in the state that the commit names, and they are those that belong to the question.
    fn is_complete(&self) -> Result<()> {
        self.map.verify(&self.commit.root.0, &keys(&self.about, &self.facts))?;
        Reached { facts: &self.facts, seen: BTreeSet::new() }.of(&self.about)
    }

    /// What it is about.
    pub fn about(&self) -> &Name {
        &self.about
    }
    /// The signed checkpoint with its cosignatures, exactly as it stands in the proof.
    pub fn checkpoint(&self) -> &str {
        &self.tlog.checkpoint
    }
    /// Size of the log, as the unverified commit says it.
    pub fn size(&self) -> u64 {
        self.commit.size
    }
    /// Origin of the log, as the unverified commit says it: tells which charters are needed.
    pub fn origin(&self) -> &str {
        &self.commit.log
    }

    /// Verifies everything, by the charters of the log `self.origin()`. Of `cosigners`, those that signed are named in the
    /// result, with the time; how many one asks for is up to whoever relies on it.
    ///
    /// # Errors
    /// `status.charter` where the charters do not reach the version the log had adopted, or name another log;
    /// `commit.signature`, those of the tlog-proof, `status.commit` where the commit does not end the log it is proved in,
    /// `status.excepted` where a newer charter undoes what the commit counted, `log.cut` where it cut the log below, `proof.map`, `status.facts` where facts are
    /// missing or surplus, `cosignature.false`. Lines of cosigners that are not among `cosigners` are not looked at.
    pub fn verify(&self, charters: &Charters, cosigners: &[CosignerKey]) -> Result<ProvedStatus> {
        let commit = &self.commit;
        let by = charters.versions().iter().find(|j| j.charter_version == commit.charter);
        let by = by.filter(|j| *j.origin == *commit.log).ok_or_else(|| {
            Error::refuse(
                "status.charter",
                format!("the log {} had adopted charter version {}, which is not at hand", commit.log, commit.charter),
                "get the federation's charters up to that version",
            )
        })?;
        // Only that key may have signed it, so its id need not stand in the proof.
        let mut envelope = Envelope::unsigned(self.payload.clone().into_bytes(), TYP_NODE);
        envelope.signatures.push((by.commit_key.thumb(), self.signature));
        let entry = envelope.to_bytes();
        DecodedNodeRecord::decode(&entry)?.verify(&by.commit_key)?;
        // A later version may have replaced the log key before the log adopted it; an earlier key signs nothing any more.
        let leaf = leaf_hash(&entry);
        let mut verified = Err(lacking("no charter names a log key"));
        for j in charters.signers(commit.charter) {
            match self.tlog.verify(leaf, &j.log_key) {
                Err(e) if e.code() == "note.unsigned" => {
                    if !matches!(&verified, Err(e) if e.code() == "log.cut") {
                        verified = Err(e);
                    }
                    continue;
                }
                // What a key signed beyond a later cut is void; the key that came with the cut may have signed it too.
                Ok(head) => match charters.stands(j.charter_version, commit.size) {
                    Ok(()) => verified = Ok(head),
                    Err(e) => {
                        verified = Err(e);
                        continue;
                    }
                },
                Err(e) => verified = Err(e),
            }
            break;
        }
        let verified = verified?;
        let head = verified.checkpoint();
        if self.tlog.index.checked_add(1) != Some(head.size) || commit.size != head.size {
            return Err(Error::refuse(
                "status.commit",
                format!("the commit of size {} does not end the log of size {}", commit.size, head.size),
                "get a proof whose commit is the last entry",
            ));
        }
        if charters.is_unattested(commit.size.saturating_sub(1), commit.charter) {
            return Err(Error::refuse(
                "status.excepted",
                format!("charters newer than version {} undo an entry this commit had counted", commit.charter),
                "get a newer proof, of a state after the log has adopted the newer charter",
            ));
        }
        self.is_complete()?;
        let mut cosigned = Vec::new();
        for cosigner in cosigners {
            if let Some(time) = cosigner.time_of(verified.note())? {
                cosigned.push((cosigner.name().to_owned(), time));
            }
        }
        Ok(ProvedStatus {
            about: self.about.clone(),
            log: commit.log.to_string(),
            region: by.region,
            size: head.size,
            time: commit.time.get(),
            charter: commit.charter,
            cosigned,
            facts: self.facts.clone(),
        })
    }
}

/// The keys of a proof with their values, sorted by key.
fn keys(about: &Name, facts: &BTreeMap<String, (Name, String, Leaf)>) -> Vec<(Bytes32, Option<Bytes32>)> {
    let held = facts.iter().map(|(name, (_, json, _))| (map_key(name), Some(leaf_value(json.as_bytes()))));
    let mut keys: Vec<_> = held.collect();
    let about = about.to_string();
    if !facts.contains_key(&about) {
        keys.push((map_key(&about), None));
    }
    keys.sort_unstable_by_key(|(key, _)| *key);
    keys
}

/// What the state map has under a name: the exact encoding and what it says.
fn leaf_of(state: &State, name: &Name) -> Result<Option<(String, Leaf)>> {
    let text = |bytes| String::from_utf8(bytes).map_err(|_| bad("facts are not text"));
    match name {
        Name::Link(link) => {
            let chats: Vec<ChatNumber> = state.chats_by_link(link).into_iter().collect();
            if chats.is_empty() {
                return Ok(None);
            }
            let leaf = LinkFacts { link: *link, chats };
            Ok(Some((text(serde_json::to_vec(&leaf).unwrap_or_default())?, Leaf::Link(leaf))))
        }
        Name::Subject(subject) => match state.facts(subject) {
            None => Ok(None),
            Some(facts) if subject_of(facts).is_none() => Err(bad(format!("nothing is proved about {subject}"))),
            Some(facts) => Ok(Some((text(facts.encode())?, Leaf::Facts(facts.clone())))),
        },
    }
}

impl fmt::Display for StatusProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}\nabout {}", self.about)?;
        for (_, json, _) in self.facts.values() {
            writeln!(f, "fact {json}")?;
        }
        writeln!(f, "map {}\ncommit {}", self.map, self.payload)?;
        write!(f, "signed {}\n\n{}", BASE64URL_NOPAD.encode(&self.signature), self.tlog)
    }
}

impl ProvedStatus {
    fn leaf(&self, name: &Name) -> Option<&Leaf> {
        self.facts.get(&name.to_string()).map(|(.., leaf)| leaf)
    }
    /// False: the log has nothing under the name that was asked about.
    pub fn is_known(&self) -> bool {
        self.leaf(&self.about).is_some()
    }
    /// Facts of every subject in the proof, by name; those of a link are not of a subject.
    pub fn all(&self) -> impl Iterator<Item = &Facts> {
        self.facts.values().filter_map(|(.., leaf)| match leaf {
            Leaf::Facts(facts) => Some(facts),
            Leaf::Link(_) => None,
        })
    }
    /// The chats the answer is about: the one asked about, those of the link, those over the building.
    pub fn chats(&self) -> impl Iterator<Item = &ChatFacts> {
        self.facts.values().filter_map(|(.., leaf)| leaf.chat())
    }
    /// Buildings whose facts are in the proof.
    pub fn buildings(&self) -> impl Iterator<Item = &BuildingFacts> {
        self.facts.values().filter_map(|(.., leaf)| leaf.building())
    }
    /// Facts of an authority, if they are in the proof.
    pub fn authority(&self, id: &OrgId) -> Option<&AuthorityFacts> {
        self.leaf(&Name::Subject(Subject::Authority(id.clone())))?.authority()
    }
    /// Who holds today what `authority` was given: the end of its successions, all of which are in the proof.
    pub fn holder<'p>(&'p self, authority: &OrgId) -> Option<&'p AuthorityFacts> {
        let mut at = self.authority(authority)?;
        for _ in 0..MAX_SUCCESSIONS {
            match &at.succeeded {
                Some(next) => at = self.authority(&next.successor)?,
                None => break,
            }
        }
        Some(at)
    }
}
