//! Verification of a dossier's contents, in one direction: status and checkpoint, entries, commits, records, facts.

use std::collections::{BTreeMap, BTreeSet};

use super::records::{Chains, Link, closure, concerns, fold, parties, root_keys};
use super::{Contents, Moment, ProvedDossier, ProvedRecord, bad, day_of};
use crate::error::Result;
use crate::federation::chain::CharterChain;
use crate::registry::body::{Body, RevokeReason};
use crate::registry::facts::{Facts, evolve};
use crate::registry::ids::{KeyThumb, OrgId, RecordId};
use crate::registry::jurisdiction::Charters;
use crate::registry::node_record::{Commit, DecodedNodeRecord, NodeRecord};
use crate::registry::record::{DecodedRecord, Subject};
use crate::registry::rules;
use crate::registry::state::{Entry, Head, HistoryItem, State, View};
use crate::registry::status_proof::ProvedStatus;
use crate::registry::verify::{KeyRing, VerifiedRecord, verify_records};
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::cosignature::CosignerKey;
use crate::tlog::leaf_hash;
use crate::tlog::note::Note;
use crate::tlog::tree::verify_inclusion;

/// Commits of the dossier, oldest first, each with its id.
type Commits = Vec<(Commit, RecordId)>;

fn moment(commit: &Commit) -> Moment {
    Moment { size: commit.size, time: commit.time.get() }
}

/// The two commits around the end of a day.
struct Around<'c> {
    /// The last one of the day or of an earlier one.
    then: Option<&'c Commit>,
    /// The first one of a later day.
    next: Option<&'c Commit>,
}

impl Contents {
    /// Verifies all of it under `chain`. Of `cosigners`, those that signed the checkpoint are named in the result.
    ///
    /// # Errors
    /// Those of the status proof; `dossier.checkpoint`, those of inclusion proofs; `dossier.commit`, `commit.signature`,
    /// `dossier.excepted`; `dossier.record`, `signature.invalid` and those of the rules; `dossier.facts`, `proof.map`;
    /// `dossier.incomplete`, `dossier.surplus`.
    pub fn verify(&self, chain: &CharterChain, cosigners: &[CosignerKey]) -> Result<ProvedDossier> {
        let charters = chain.of_log(self.status.origin())?;
        let status = self.status.verify(&charters, cosigners)?;
        if status.about != self.about() {
            return Err(bad("dossier.form", format!("its status proof is about {}", status.about)));
        }
        self.verify_entries(&charters)?;
        let (records, commits) = self.take_apart(&charters)?;
        let around = self.around(&commits, &status)?;
        if let Some(then) = around.then.filter(|c| charters.is_unattested(c.size.saturating_sub(1), c.charter)) {
            let what = format!(
                "a charter newer than version {} undoes an entry that the state of that day had counted",
                then.charter
            );
            return Err(bad("dossier.excepted", what));
        }
        let proved = verify_all(&records, &commits, &charters)?;
        let chains = self.chains(records, &charters)?;
        self.verify_facts(&chains, &commits, &around)?;
        self.nothing_beside(&chains, &commits, &around)?;
        let charter_digests = self.charters.keys().filter_map(|v| chain.version(*v).map(|c| (*v, c.sha256())));
        Ok(ProvedDossier {
            chat: self.chat,
            as_of: self.as_of,
            log: status.log.clone(),
            region: status.region,
            head: Moment { size: status.size, time: status.time },
            then: around.then.map(moment),
            next: around.next.map(moment),
            charters: charter_digests.collect(),
            charter: status.charter,
            records: with_signers(chains, &proved),
            status,
        })
    }

    /// Every entry is in the tree of the status proof's checkpoint, and no charter has made it a no-op.
    fn verify_entries(&self, charters: &Charters) -> Result<()> {
        let note = Note::parse(self.status.checkpoint().as_bytes())?;
        let head = Checkpoint::parse(note.text())?;
        for (index, (entry, proof)) in &self.entries {
            let place = |e: crate::error::Error| e.at(format!("entry {index}"));
            if proof.checkpoint != self.status.checkpoint() || proof.index != *index || proof.extra.is_some() {
                let what = format!("entry {index} is not proved under the one checkpoint of its status proof");
                return Err(bad("dossier.checkpoint", what));
            }
            verify_inclusion(leaf_hash(entry), *index, head.size, &proof.path, head.root).map_err(place)?;
            if !charters.excepted(*index).is_empty() {
                return Err(bad("dossier.record", format!("entry {index} is one that a charter makes a no-op")));
            }
        }
        Ok(())
    }

    /// Records and commits; of commits also the signature.
    fn take_apart(&self, charters: &Charters) -> Result<(BTreeMap<u64, DecodedRecord>, Commits)> {
        let (mut records, mut commits) = (BTreeMap::new(), Commits::new());
        for (index, (entry, _)) in &self.entries {
            let place = |e: crate::error::Error| e.at(format!("entry {index}"));
            match DecodedRecord::decode(entry) {
                Ok(record) => drop(records.insert(*index, record)),
                Err(e) if e.code() == "envelope.header" => {
                    let node = DecodedNodeRecord::decode(entry).map_err(place)?;
                    let NodeRecord::Commit(commit) = node.record().clone() else {
                        return Err(bad("dossier.surplus", format!("entry {index} is neither record nor commit")));
                    };
                    let by = charters.versions().iter().find(|j| j.charter_version == commit.charter);
                    let by = by.filter(|j| j.origin == commit.log && commit.size == index + 1).ok_or_else(|| {
                        bad("dossier.commit", format!("the commit at {index} is of another log, place or charter"))
                    })?;
                    commits.push((commit, node.verify(&by.commit_key).map_err(place)?.id));
                }
                Err(e) => return Err(place(e)),
            }
        }
        Ok((records, commits))
    }

    /// The commits around the end of the day, which follow each other without another in between.
    fn around<'c>(&self, commits: &'c Commits, status: &ProvedStatus) -> Result<Around<'c>> {
        let (region, size) = (status.region, status.size);
        if commits.last().is_none_or(|(head, _)| head.size != size) {
            return Err(bad("dossier.commit", "the commit of its checkpoint is missing".into()));
        }
        if commits.windows(2).any(|w| w[0].0.time >= w[1].0.time) {
            return Err(bad("dossier.commit", "the times of its commits do not rise".into()));
        }
        let count = commits.partition_point(|(c, _)| day_of(region, c.time.get()) <= self.as_of);
        let then = count.checked_sub(1).and_then(|at| commits.get(at));
        let next = commits.get(count);
        let follows = match (then, next) {
            // The log's last commit is of that day or an earlier one.
            (Some((then, _)), None) => then.size == size,
            (Some((then, id)), Some((next, _))) => next.previous == Some(*id) && next.first == then.size,
            (None, Some((first, _))) => first.previous.is_none() && first.first == 0,
            (None, None) => false,
        };
        match follows {
            true => Ok(Around { then: then.map(|(c, _)| c), next: next.map(|(c, _)| c) }),
            false => Err(bad(
                "dossier.commit",
                format!("the last commit of {} and the one after it are not both there", self.as_of),
            )),
        }
    }

    /// The chain of each subject.
    fn chains(&self, records: BTreeMap<u64, DecodedRecord>, charters: &Charters) -> Result<Chains> {
        let region = charters.latest().region;
        let mut found = Chains::new();
        for (index, decoded) in records {
            let signers = decoded.envelope.signatures.iter().map(|(kid, _)| *kid).collect();
            let subject = decoded.record.subject(region);
            found.entry(subject).or_default().push(Link { index, record: *decoded.record, signers });
        }
        let roots = root_keys(charters);
        let chain_of = |s: &Subject| Ok(found.get(s).cloned().unwrap_or_default());
        let chat = Subject::Chat(self.chat);
        let core = closure([chat.clone()], &roots, chain_of)?;
        let (owners, organisations) = parties(self.chat, &core);
        let beside = found.iter().filter(|(s, _)| !core.contains_key(*s));
        let beside = beside.filter(|(s, chain)| {
            fold(s, chain, u64::MAX, None).is_some_and(|f| concerns(self.chat, &owners, &organisations, &f))
        });
        let seeds: Vec<Subject> = beside.map(|(s, _)| s.clone()).chain([chat]).collect();
        let all = closure(seeds, &roots, chain_of)?;
        match found.keys().find(|s| !all.contains_key(*s)) {
            None => Ok(all),
            Some(other) => Err(bad("dossier.surplus", format!("the records of {other} do not belong to the chat"))),
        }
    }

    /// Both files of facts say of every subject what its records make of it, and both committed states hold that.
    fn verify_facts(&self, chains: &Chains, commits: &Commits, around: &Around<'_>) -> Result<()> {
        let Some((head, _)) = commits.last() else { return Ok(()) };
        let files = [(Some(&self.now), Some(head)), (self.then.as_ref(), around.then)];
        for (file, commit) in files {
            let (file, commit) = match (file, commit) {
                (Some(file), Some(commit)) if file.commit == commit.size.saturating_sub(1) => (file, commit),
                (None, None) => continue,
                _ => {
                    let what = "a file of facts is missing, surplus or under another commit than its own";
                    return Err(bad("dossier.commit", what.into()));
                }
            };
            if let Some(subject) = chains.keys().find(|s| !file.lines.contains_key(&s.to_string())) {
                return Err(bad("dossier.incomplete", format!("nothing is said about {subject}")));
            }
            if file.lines.len() != chains.len() {
                return Err(bad("dossier.surplus", "there are facts that do not belong to the chat".into()));
            }
            for (subject, chain) in chains {
                let made = fold(subject, chain, commit.size, None).map(|facts| facts.encode());
                let said = file.lines.get(&subject.to_string()).and_then(Option::as_ref);
                if made.as_deref() != said.map(|s| s.as_bytes()) {
                    let what = format!("the records of {subject} do not make the facts that are said of it");
                    return Err(bad("dossier.facts", what));
                }
            }
            file.verify(&commit.root.0)?;
        }
        Ok(())
    }

    /// No commit is there for nothing.
    fn nothing_beside(&self, chains: &Chains, commits: &Commits, around: &Around<'_>) -> Result<()> {
        let indices = chains.values().flatten().map(|l| l.index);
        let mut needed: BTreeSet<u64> = indices.filter_map(|i| commit_of(commits, i).map(|c| c.size)).collect();
        needed.extend(around.then.iter().chain(&around.next).map(|c| c.size));
        needed.extend(commits.last().map(|(c, _)| c.size));
        match commits.iter().find(|(c, _)| !needed.contains(&c.size)) {
            None => Ok(()),
            Some((c, _)) => Err(bad("dossier.surplus", format!("nothing needs the commit of size {}", c.size))),
        }
    }
}

/// The commit that closed the batch of an entry.
fn commit_of(commits: &Commits, index: u64) -> Option<&Commit> {
    let at = commits.partition_point(|(c, _)| c.size <= index);
    commits.get(at).map(|(c, _)| c).filter(|c| c.first <= index)
}

/// What was found out about a record beside what it says.
struct Found {
    recorded: u64,
    signers: Vec<(KeyThumb, Option<OrgId>)>,
}

/// True for records that are held to every rule of their type: what these rules look up is in the dossier, or could only
/// speak against the record. Of the others it is checked who signed, and that none is left out between them.
fn stands_alone(body: &Body) -> bool {
    matches!(
        body,
        Body::AuthorityEnrolled(_)
            | Body::AuthorityAmended(_)
            | Body::AuthoritySuspended(_)
            | Body::AuthoritySucceeded(_)
            | Body::KeyGranted(_)
            | Body::KeyRevoked(_)
            | Body::BuildingRegistered(_)
            | Body::BuildingAmended(_)
            | Body::BuildingLinked(_)
            | Body::ManagementAssigned(_)
            | Body::ManagementEnded(_)
            | Body::ServicesPublished(_)
            | Body::ChatDeclared(_)
            | Body::ChatRegistered(_)
            | Body::ChatAmended(_)
            | Body::ChatSuspended(_)
            | Body::ChatRestored(_)
            | Body::ChatClosed(_)
            | Body::ChatObserved(_)
            | Body::OwnershipTransferred(_)
            | Body::AdminWithdrawn(_)
            | Body::TransferOffered(_)
            | Body::TransferAccepted(_)
    )
}

/// Verifies every signature, and replays the records in the order of the log over what they themselves make of the state:
/// each was signed by keys that might sign it there and then.
fn verify_all(
    records: &BTreeMap<u64, DecodedRecord>,
    commits: &Commits,
    charters: &Charters,
) -> Result<BTreeMap<u64, Found>> {
    let mut ring = KeyRing::default();
    charters.versions().iter().flat_map(|j| &j.root_keys).for_each(|key| ring.add(key));
    records.values().for_each(|d| ring.add_granted(&d.record));
    let verified: Vec<Result<VerifiedRecord>> = verify_records(records.values().cloned().collect(), &ring);
    let roots = root_keys(charters);
    let mut state = State::new(charters.clone());
    let mut found = BTreeMap::new();
    for (index, verified) in records.keys().zip(verified) {
        let place = |e: crate::error::Error| e.at(format!("entry {index}"));
        let verified = verified.map_err(place)?;
        let commit = commit_of(commits, *index).ok_or_else(|| {
            bad("dossier.commit", format!("the commit that closed the batch of entry {index} is missing"))
        })?;
        let (record, time) = (verified.record(), commit.time.get());
        let subject = record.subject(state.jurisdiction().region);
        let before = state.entry(&subject).cloned();
        if record.prev != before.as_ref().and_then(Entry::last_record) {
            let what = format!("{subject}: a record is missing before entry {index}, or stands out of place");
            return Err(bad("dossier.record", what));
        }
        let head = Head { index: index.saturating_sub(1), id: record.id, time, root: [0; 32] };
        state.restore_head(head, Vec::new(), commit.charter);
        match stands_alone(&record.body) {
            true => rules::check(&state, &verified, time).map(|_| ()),
            false => rules::check_signers(&state, &verified, time),
        }
        .map_err(place)?;
        let authority = |kid: &KeyThumb| match roots.contains(kid) {
            true => None,
            false => state.key(kid).map(|k| k.authority.clone()),
        };
        let signers = verified.signers().iter().map(|kid| (*kid, authority(kid))).collect();
        found.insert(*index, Found { recorded: time, signers });
        let (facts, mut history) = before.map_or((None, Vec::new()), |e| (Some(e.facts), e.history));
        history.push(HistoryItem { index: *index, id: record.id });
        let number = if let Subject::Chat(c) = &subject { Some(*c) } else { None };
        let facts = evolve(facts, number, record)
            .ok_or_else(|| bad("dossier.record", format!("entry {index} changes {subject} before it begins")))?;
        state.restore_entry(subject, Entry { facts, history });
    }
    Ok(found)
}

/// Marks what a compromised key signed.
fn with_signers(chains: Chains, found: &BTreeMap<u64, Found>) -> BTreeMap<Subject, Vec<ProvedRecord>> {
    let mut suspect_from: BTreeMap<KeyThumb, u64> = BTreeMap::new();
    for (subject, chain) in &chains {
        if let Some(Facts::Key(k)) = fold(subject, chain, u64::MAX, None)
            && let Some(r) = k.revoked.filter(|r| r.reason == RevokeReason::Compromised)
        {
            suspect_from.insert(k.key.thumb(), r.suspect_from.unwrap_or(0));
        }
    }
    let proved = |link: Link| {
        let found = found.get(&link.index)?;
        let suspect = link.signers.iter().any(|kid| suspect_from.get(kid).is_some_and(|from| link.index >= *from));
        Some(ProvedRecord { recorded: found.recorded, signers: found.signers.clone(), suspect, link })
    };
    let chains = chains.into_iter();
    chains.map(|(subject, chain)| (subject, chain.into_iter().filter_map(proved).collect())).collect()
}
