//! Dossiers: making one from a log, and opening one from anybody (docs/protocol.md, "Dossiers").
//!
//! [`Node::dossier`] finds the records that belong to a chat, proves them and the facts under today's checkpoint and under
//! the commit of the day asked about (whose state map is built again by replaying the log up to there), verifies the result as
//! its reader will, and signs. [`open`] verifies, and writes the summary again from what was verified.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Node;
use super::charters::read_version;
use super::dossier_summary::summary;
use super::layout::Layout;
use super::log_view::{LogView, Role, unknown};
use crate::error::{Error, Result};
use crate::federation::chain::CharterChain;
use crate::federation::dossier::archive::{self, Files};
use crate::federation::dossier::facts_file::{FactsFile, Lines};
use crate::federation::dossier::manifest::Manifest;
use crate::federation::dossier::records::{Chains, Link, closure, concerns, fold, parties, root_keys};
use crate::federation::dossier::{Contents, Dossier, ProvedDossier, SUMMARY};
use crate::registry::facts::Facts;
use crate::registry::ids::{ChatNumber, OrgId};
use crate::registry::jurisdiction::Charters;
use crate::registry::record::Subject;
use crate::registry::replay::{Preparer, Replay, Trust};
use crate::registry::state::{State, View};
use crate::registry::statemap::StateMap;
use crate::registry::status_proof::Name;
use crate::registry::text::{Day, Millis};
use crate::registry::verify::KeyRing;
use crate::storage::log_store::LogReader;
use crate::tlog::cosignature::CosignerKey;
use crate::tlog::proof::TlogProof;
use crate::tlog::tree::inclusion_proof;

/// How often a dossier is begun anew because the log has got records of the same subjects meanwhile.
const ATTEMPTS: usize = 8;
/// Entries that are replayed at a time.
const CHUNK: u64 = 4096;

/// A dossier that was opened: all of it has been verified.
#[derive(Debug)]
pub struct Opened {
    /// What it proves.
    pub proved: ProvedDossier,
    /// The summary, as it follows from that.
    pub summary: String,
    /// When the node that made it says it did, Unix milliseconds.
    pub made: u64,
    /// Id of the key that signed it.
    pub signer: String,
}

/// Opens a dossier under the charters that the reader trusts, and those that follow from them in the dossier itself.
///
/// # Errors
/// Those of [`Dossier::read`], [`Contents::verify`] and [`Dossier::verify_manifest`]; `dossier.summary` where the readable
/// part does not say what the records do.
pub fn open(bytes: &[u8], trusted: &CharterChain, cosigners: &[CosignerKey]) -> Result<Opened> {
    let dossier = Dossier::read(bytes)?;
    let chain = dossier.contents.chain(trusted)?;
    let proved = dossier.contents.verify(&chain, cosigners)?;
    dossier.verify_manifest(&proved, &chain)?;
    let summary = summary(&proved);
    if summary.as_bytes() != dossier.summary {
        return Err(Error::refuse(
            "dossier.summary",
            "the summary is not the one that follows from the records",
            "do not rely on it; the records themselves are intact",
        ));
    }
    let (made, signer) = (dossier.manifest.made.get(), dossier.signer().to_string());
    Ok(Opened { proved, summary, made, signer })
}

impl Node {
    /// Everything the log has about a chat, as of a day. Reads the log, and replays it where the day is past: seconds to
    /// minutes. One at a time.
    ///
    /// # Errors
    /// `dossier.busy` while another one is made; `dossier.date` for a day to come; `dossier.key` where this node has no
    /// key to sign with; `lookup.log`, `lookup.unknown`; `dossier.too-large`; `proof.moved`; those of [`Contents::verify`].
    pub fn dossier(&self, chat: ChatNumber, as_of: Day, origin: Option<&str>) -> Result<Vec<u8>> {
        let Some(_turn) = self.dossiers.try_lock() else {
            let why = "another dossier is being made";
            return Err(Error::retry("dossier.busy", why, "ask again in a minute"));
        };
        let subject = Subject::Chat(chat);
        let view = match origin {
            Some(origin) => self.view(origin),
            None => self.views_for(&subject).into_iter().next(),
        };
        let view = match (view, origin) {
            (Some(view), _) => view,
            (None, None) => return Err(unknown(&subject)),
            (None, Some(_)) => {
                return Err(Error::refuse("lookup.log", "this node has no such log", "see GET /api/v1/federation"));
            }
        };
        let now = self.clock.now_ms();
        if as_of > view.day_of(now) {
            let why = format!("{as_of} has not begun yet in region {}", view.region);
            return Err(Error::refuse("dossier.date", why, "name today or a day before"));
        }
        let layout = match view.role {
            Role::Own => self.layout.clone(),
            Role::Followed => self.layout.mirror(&view.origin),
        };
        let proved = contents(&view, &layout, chat, as_of)?;
        let (contents, proved) = (proved.0, proved.1);
        let mut files = contents.files();
        files.insert(SUMMARY.into(), summary(&proved).into_bytes());
        // A log's clock may be ahead of this one's by a moment; nothing is made before what is in it.
        let made = Millis::new(now.max(proved.head.time))?;
        let manifest = Manifest::over(&files, chat, as_of, &view.origin, proved.head.size, made);
        self.seal(&view, &manifest, &mut files)?;
        archive::write(&files)
    }

    fn seal(&self, view: &Arc<LogView>, manifest: &Manifest, files: &mut Files) -> Result<()> {
        match (&self.own, &self.federation) {
            (Some(own), _) if own.view.origin == view.origin => own.sequencer.seal(manifest, files),
            (_, Some((_, writer, _))) => writer.lock().seal(manifest, files),
            _ => {
                let why = format!("this node has no key that may sign a dossier of the log {}", view.origin);
                return Err(Error::refuse("dossier.key", why, "ask the region's own node, or the federation's"));
            }
        }
        Ok(())
    }
}

/// The records of every subject that belongs to the chat, below index `until`.
fn chains(view: &LogView, charters: &Charters, chat: ChatNumber, until: u64) -> Result<Chains> {
    let roots = root_keys(charters);
    let records_of = |subject: &Subject| {
        let history = view.state().entry(subject).map(|e| e.history.clone()).unwrap_or_default();
        let below = history.into_iter().filter(|h| h.index < until);
        let link = |h| view.record(h, 0).map(|r| Link { index: r.index, record: r.record, signers: r.signers });
        below.map(link).collect::<Result<Vec<Link>>>()
    };
    let core = closure([Subject::Chat(chat)], &roots, records_of)?;
    let (owners, organisations) = parties(chat, &core);
    // Those too that the chat does not name. In the present state, since it only grows; what came later has no records.
    let mut beside: BTreeSet<Subject> = BTreeSet::new();
    view.read_whole(|state| {
        let found = state.subjects().filter(|(s, _)| matches!(s, Subject::Bot(_) | Subject::Imitation(_)));
        let found = found.filter(|(_, e)| concerns(chat, &owners, &organisations, &e.facts));
        beside.extend(found.map(|(s, _)| s.clone()));
        let primary = |id: &OrgId| Subject::Organisation(state.organisation(id));
        beside.extend(organisations.iter().map(primary).filter(|s| !core.contains_key(s)));
    });
    let mut seeds = vec![Subject::Chat(chat)];
    for subject in beside {
        let chain = records_of(&subject)?;
        let facts: Option<Facts> = fold(&subject, &chain, until, None);
        if facts.is_some_and(|f| concerns(chat, &owners, &organisations, &f)) {
            seeds.push(subject);
        }
    }
    closure(seeds, &roots, records_of)
}

/// What a dossier consists of, verified as its reader will.
fn contents(view: &LogView, layout: &Layout, chat: ChatNumber, as_of: Day) -> Result<(Contents, ProvedDossier)> {
    let chain = view.chain();
    let charters = chain.of_log(&view.origin)?;
    let about = Name::Subject(Subject::Chat(chat));
    if view.state().chat(chat).is_none() {
        return Err(unknown(&Subject::Chat(chat)));
    }
    for _ in 0..ATTEMPTS {
        let names: Vec<String> = chains(view, &charters, chat, u64::MAX)?.keys().map(ToString::to_string).collect();
        let names = || names.iter().map(String::as_str);
        let (status, proofs) = view.prove_with(&about, false, |map| FactsFile::prove(map, names()))?;
        let size = status.size();
        let chains = chains(view, &charters, chat, size)?;
        if !chains.keys().map(ToString::to_string).eq(names().map(str::to_owned)) {
            // Records that bring other subjects in have come between the two looks.
            continue;
        }
        let facts = |size: u64, maps| {
            let made = |(s, chain): (&Subject, &Vec<Link>)| {
                let json = fold(s, chain, size, None).and_then(|f| String::from_utf8(f.encode()).ok());
                (s.to_string(), json)
            };
            FactsFile::of(size.saturating_sub(1), chains.iter().map(made).collect::<Lines>(), maps)
        };
        let commits: Vec<(u64, u64)> =
            view.state().commits().iter().copied().take_while(|(end, _)| *end <= size).collect();
        let by_then = commits.partition_point(|(_, time)| view.day_of(*time) <= as_of);
        let then = by_then.checked_sub(1).and_then(|at| commits.get(at)).map(|(end, _)| *end);
        let next = commits.get(by_then).map(|(end, _)| *end);
        let then_file = match then {
            None => None,
            Some(then) if then == size => Some(facts(size, proofs.clone())),
            Some(then) => Some(facts(then, FactsFile::prove(&map_at(&view.reader, &charters, then)?, names()))),
        };
        let mut indices = BTreeSet::new();
        for link in chains.values().flatten() {
            let closed = commits.get(commits.partition_point(|(end, _)| *end <= link.index));
            indices.extend([link.index]);
            indices.extend(closed.map(|(end, _)| end - 1));
        }
        indices.extend([Some(size), then, next].into_iter().flatten().map(|end| end - 1));
        let mut entries = std::collections::BTreeMap::new();
        for index in indices {
            let path = inclusion_proof(&view.reader, index, size)?;
            let proof = TlogProof { extra: None, index, path, checkpoint: status.checkpoint().to_owned() };
            entries.insert(index, (view.reader.entry(index)?, proof));
        }
        let mut charters = std::collections::BTreeMap::new();
        for version in chain.versions().iter().map(|c| c.charter().version) {
            charters.extend(read_version(layout, &chain, version)?.map(|bytes| (version, bytes)));
        }
        let now = facts(size, proofs);
        let contents = Contents { chat, as_of, charters, status, now, then: then_file, entries };
        // Nobody is handed what he would have to refuse.
        let proved = contents.verify(&chain, &[])?;
        return Ok((contents, proved));
    }
    Err(Error::retry(
        "proof.moved",
        format!("the log {} gets records about this chat faster than they are read", view.origin),
        "ask again in a few seconds",
    ))
}

/// The state map as it was at the commit that ends at `size`. What this node verified when it took it is not verified again,
/// but every root on the way is.
fn map_at(reader: &LogReader, charters: &Charters, size: u64) -> Result<StateMap> {
    let mut state = State::new(charters.clone());
    let mut ring = match charters.has_exceptions() {
        true => super::load::ring_of(&state),
        false => KeyRing::default(),
    };
    let mut preparer = Preparer::after(&state, Trust::Reread);
    let mut replay = Replay::default();
    while replay.size(&state) < size {
        let first = replay.size(&state);
        let entries = reader.entries(first..size.min(first + CHUNK))?;
        let chunk = preparer.prepare(first, &entries.all(), &mut ring);
        replay.apply(&mut state, chunk, &mut |state, changes, commit, id, at| state.absorb(changes, commit, id, at))?;
    }
    let mut map = replay.map;
    // Once computed, proofs are cheap.
    map.root();
    Ok(map)
}
