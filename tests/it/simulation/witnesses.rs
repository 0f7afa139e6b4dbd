//! Witnesses: four honest nodes have the real one, asked by the real code of those who gather; a fifth, named in the charter
//! too, cosigns whatever it is asked for, and forges. Beside them stands a record of who cosigned what.

use std::collections::{BTreeMap, BTreeSet};

use domovoi::error::Result;
use domovoi::federation::roles::{CosignerVkey, Cosigners};
use domovoi::federation::roster::Roster;
use domovoi::node::cosign::{Gathering, OwnLog};
use domovoi::registry::body::List;
use domovoi::sync::client::{Answer, Network};
use domovoi::sync::cosign::{Came, ask_witness};
use domovoi::tlog::checkpoint::Head;
use domovoi::tlog::cosignature::Cosigner;
use domovoi::tlog::note::{Note, parse_signatures};
use domovoi::tlog::tile::TileId;
use domovoi::tlog::tree::{TileSource, consistency_proof, subtree_root};
use domovoi::tlog::witness::Request;
use domovoi::tlog::{Hash, leaf_hash};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use reqwest::StatusCode;
use std::sync::Arc;

use super::member::{FEDERATION, QUORUM, Region, witness_key};
use super::network::{Letter, Link, Name};
use super::world::{Party, World};

/// Conversations about cosignatures, apart from rounds of following: added to the name of the witness.
const COSIGNING: Name = 1000;

/// A question to a witness on its way.
pub struct Asking {
    pub to: Name,
    pub task: tokio::task::JoinHandle<Result<Came>>,
}

impl Asking {
    /// Which conversation it is.
    pub fn about(&self) -> Name {
        COSIGNING + self.to
    }
}

/// The cosigner of a region's node.
pub fn cosigner(seed: u64, code: &str) -> Cosigner {
    Cosigner::new(format!("{code}.example/witness"), witness_key(seed, code)).unwrap()
}

/// As a charter names it.
pub fn cosigners(seed: u64, code: &str) -> Cosigners {
    Cosigners {
        witness: List(vec![CosignerVkey::from(cosigner(seed, code).verifier().clone())]),
        mirror: None,
        verifier: None,
    }
}

/// Leaf hashes as tiles.
pub struct Leaves(pub Vec<Hash>);

impl Leaves {
    pub fn of(entries: &[Vec<u8>]) -> Leaves {
        Leaves(entries.iter().map(|e| leaf_hash(e)).collect())
    }
}

impl TileSource for Leaves {
    fn tile(&self, id: TileId) -> Result<Vec<Hash>> {
        let span = 256usize.pow(u32::from(id.level));
        let first = id.index as usize * 256;
        Ok((first..first + usize::from(id.width)).map(|i| subtree_root(&self.0[i * span..(i + 1) * span])).collect())
    }
}

/// A log, and whether a charter has decided about it: then it is another log, with another key.
type Of = (Name, bool);

/// Who has cosigned what.
#[derive(Default)]
pub struct Said {
    /// Every head that an honest witness has cosigned.
    heads: BTreeMap<(Name, Of), BTreeSet<(u64, Hash)>>,
    /// Who has truly signed a text.
    by: BTreeMap<String, BTreeSet<Name>>,
    /// The notes of liars, with all lines they got.
    notes: BTreeMap<String, Note>,
    /// Heads that have a quorum.
    enough: BTreeMap<Of, BTreeSet<(u64, Hash)>>,
    /// Logs of the ministry that are not its log: root at every size.
    pub false_heads: Vec<BTreeMap<u64, Hash>>,
}

impl World {
    /// The log with this origin.
    fn log_named(&self, origin: &str) -> Option<Of> {
        if origin == FEDERATION {
            return Some((self.ministry(), false));
        }
        let name = self.members.iter().position(|m| m.origin() == origin)?;
        Some((name, matches!(&self.parties[name], Party::Liar(liar) if liar.settled)))
    }

    /// All of these heads are of one log that its owner has.
    fn are_one_log(&self, of: Name, heads: &BTreeSet<(u64, Hash)>) -> bool {
        match &self.parties[of] {
            Party::Liar(liar) => liar.faces.iter().any(|face| heads.iter().all(|(size, root)| face.has(*size, *root))),
            Party::Honest { truth, .. } => heads.iter().all(|(s, r)| truth.heads.get(s).is_some_and(|h| h.root == *r)),
            Party::Ministry { truth, .. } => {
                heads.iter().all(|(s, r)| truth.heads.get(s).is_some_and(|h| h.root == *r))
                    || self.said.false_heads.iter().any(|log| heads.iter().all(|(s, r)| log.get(s) == Some(r)))
            }
        }
    }

    /// Asks the witness of a node, and writes down what it says.
    pub fn witness_says(&mut self, to: Name, letter: &Letter) -> Option<Answer> {
        let request = letter.body.as_deref().and_then(|body| Request::parse(body).ok());
        let now = self.time_s();
        let (answer, true_word) = match &self.parties[to] {
            Party::Liar(_) => lies(self.seed, &self.members[to], &mut self.rng, now, request.as_ref()?),
            Party::Honest { machine, .. } | Party::Ministry { machine, .. } => {
                let answer = machine.answer(&self.runtime, letter)?;
                let signed = answer.0 == StatusCode::OK;
                (answer, signed)
            }
        };
        if let (true, Some(request)) = (true_word, request) {
            self.has_cosigned(to, &request);
        }
        Some(answer)
    }

    fn time_s(&self) -> u64 {
        self.time.load(std::sync::atomic::Ordering::SeqCst) / 1000
    }

    fn has_cosigned(&mut self, witness: Name, request: &Request) {
        let text = request.note.text().to_owned();
        let head = Head::parse(&text).unwrap();
        let of = self.log_named(head.origin).unwrap();
        let head = (head.size, head.root);
        self.said.by.entry(text).or_default().insert(witness);
        if witness == self.false_witness {
            return;
        }
        let heads = self.said.heads.entry((witness, of)).or_default();
        heads.insert(head);
        let heads = heads.clone();
        self.holds(self.are_one_log(of.0, &heads), || {
            format!("the witness of {} has cosigned two logs of {}: {heads:?}", self.label(witness), self.label(of.0))
        });
    }

    /// Lines on a checkpoint that count are by those who have signed it, and no other line bears their names.
    pub fn check_lines(&self, of: Name, note: &[u8]) {
        let note = Note::parse(note).unwrap();
        let origin = Head::parse(note.text()).unwrap().origin;
        let roster = Roster::of(self.chain.latest(), origin);
        let (count, signed) = (roster.count(&note).witness, self.said.by.get(note.text()).map_or(0, BTreeSet::len));
        self.holds(count as usize <= signed, || {
            format!("{} serves a checkpoint that counts {count} witnesses, {signed} have signed it", self.label(of))
        });
        let sound = roster.without_false(&note).unwrap();
        self.holds(sound == note, || format!("{} serves a checkpoint with a forged line", self.label(of)));
    }

    /// A node asks one witness for its word on its own log.
    pub fn begin_cosigning(&mut self, from: Name, to: Name) {
        let label = self.label(from);
        let (post, stirred) = (self.post.clone(), self.post.clone());
        let Some(machine) = self.parties[from].machine_mut() else { return };
        let due = machine.now() / 1000;
        let Some(running) = machine.running.as_mut().filter(|r| from != to && r.asking.iter().all(|a| a.to != to))
        else {
            return;
        };
        let Some(log) = OwnLog::all(&running.node).into_iter().next() else { return };
        let roster = Roster::of(&log.charter(&running.node).unwrap(), log.origin());
        let url = format!("https://{}.example/witness", self.members[to].code());
        let Some(member) = roster.members.into_iter().find(|m| m.witness_url == url) else { return };
        let Some(published) = log.reader().checkpoint_text() else { return };
        let note = Note::parse(published.as_bytes()).unwrap();
        let size = Head::parse(note.text()).unwrap().size;
        let link = Link { post, from, to, about: COSIGNING + to };
        let task = self.runtime.spawn(async move {
            let peer = Network::simulated(Arc::new(link)).configured(&url, None)?;
            let came = ask_witness(&peer, log.reader(), note.text(), size, 0, &member.witness, due).await;
            stirred.stirred.notify_one();
            came
        });
        running.asking.push(Asking { to, task });
        let other = self.label(to);
        self.say("asks", format_args!("{label} the witness of {other} at {size}"));
        self.settle();
    }

    /// Takes in what a witness answered, as `gather` does.
    pub fn end_cosigning(&mut self, from: Name, to: Name) {
        let running = self.parties[from].machine_mut().unwrap().running.as_mut().unwrap();
        let at = running.asking.iter().position(|a| a.to == to).unwrap();
        let asking = running.asking.remove(at);
        let came = self.runtime.block_on(asking.task).unwrap();
        let log = OwnLog::all(&running.node).into_iter().next().unwrap();
        let published = log.reader().checkpoint_text().unwrap();
        let outcome = match came {
            Ok(Came::Lines(lines, size)) => {
                let roster = Roster::of(&log.charter(&running.node).unwrap(), log.origin());
                let mut gathering = Gathering::of(&published, &roster).unwrap();
                if gathering.size == size {
                    lines.into_iter().for_each(|line| gathering.add(line));
                    log.replace(&gathering.note(&roster).unwrap()).unwrap();
                }
                "cosigned".to_owned()
            }
            Ok(Came::NotYet) => "not yet".to_owned(),
            Err(e) => e.code().to_owned(),
        };
        let note = log.reader().checkpoint_text().unwrap();
        self.check_lines(from, note.as_bytes());
        let (label, other) = (self.label(from), self.label(to));
        self.say("asked", format_args!("{label} the witness of {other}: {outcome}"));
    }

    /// A liar asks a witness for its word on a head, first as if it had cosigned nothing, then from where it says it is.
    fn press(&mut self, of: Name, to: Name, leaves: &Leaves, note: &[u8]) {
        let note = Note::parse(note).unwrap();
        let head = Head::parse(note.text()).unwrap();
        let (size, root, origin) = (head.size, head.root, head.origin.to_owned());
        let mut old = 0;
        let mut status = None;
        for _ in 0..2 {
            let proof = consistency_proof(leaves, old, size).unwrap();
            let body = Request { old, proof, note: note.clone() }.to_string().into_bytes();
            let Some(answer) = self.witness_says(to, &Letter::direct(of, to, "witness/add-checkpoint", body)) else {
                break;
            };
            status = Some(answer.0.as_u16());
            match answer.0 {
                StatusCode::CONFLICT => {
                    let named = std::str::from_utf8(&answer.1).ok().and_then(|t| t.trim_end().parse().ok());
                    // Where it has seen more already, or lies, there is no more to ask.
                    let Some(named) = named.filter(|n| *n <= size) else { break };
                    old = named;
                }
                StatusCode::OK => {
                    self.gets(&origin, (size, root), &note, &answer.1);
                    break;
                }
                _ => break,
            }
        }
        if let Some(status) = status.filter(|_| to != self.false_witness) {
            let known = [200, 403, 404, 409, 422].contains(&status);
            self.holds(known, || format!("the witness of {} answers {status}", self.label(to)));
            let kind = match status {
                200 => "liar cosigned",
                409 => "liar told the size",
                422 => "liar refused",
                _ => "liar unknown",
            };
            let (label, other) = (self.label(of), self.label(to));
            self.say(kind, format_args!("{label} by {other} at {size}"));
        }
    }

    /// A liar keeps what lines he got. Two logs never have a quorum.
    fn gets(&mut self, origin: &str, head: (u64, Hash), note: &Note, lines: &[u8]) {
        let Some(of) = self.log_named(origin) else { return };
        let kept = self.said.notes.entry(note.text().to_owned()).or_insert_with(|| note.clone());
        for line in parse_signatures(lines).into_iter().flatten() {
            if !kept.signatures().contains(&line) {
                let _ = kept.add_line(line);
            }
        }
        let (roster, kept) = (Roster::of(self.chain.latest(), origin), kept.clone());
        let count = roster.count(&kept).witness;
        let signed = self.said.by.get(note.text()).map_or(0, BTreeSet::len);
        self.holds(count as usize <= signed, || {
            format!("{} counts {count} witnesses where {signed} have signed", self.label(of.0))
        });
        if count >= QUORUM {
            let enough = self.said.enough.entry(of).or_default();
            enough.insert(head);
            let enough = enough.clone();
            self.holds(self.are_one_log(of.0, &enough), || {
                format!("two logs of {} have a quorum: {enough:?}", self.label(of.0))
            });
        }
    }

    /// A liar asks the witnesses for their word on one of its faces.
    pub fn liar_asks(&mut self, name: Name, only: Option<Name>) {
        let Party::Liar(liar) = &self.parties[name] else { return };
        let many = if liar.settled { 1 } else { liar.faces.len() };
        let face = self.rng.random_range(0..many);
        let Party::Liar(liar) = &self.parties[name] else { return };
        let (leaves, note) = liar.faces[face].asks();
        for to in self.all_witnesses().into_iter().filter(|to| *to != name && only.is_none_or(|o| o == *to)) {
            self.press(name, to, &leaves, &note);
        }
    }

    /// The ministry asks every witness for its word on a log that is not its log.
    pub fn press_false(&mut self, leaves: &Leaves, note: &[u8]) {
        let ministry = self.ministry();
        for to in self.all_witnesses() {
            self.press(ministry, to, leaves, note);
        }
    }

    pub fn all_witnesses(&self) -> Vec<Name> {
        self.witnesses.iter().copied().chain([self.false_witness]).collect()
    }

    /// After the calm, everybody asks every witness; where clocks agree, every honest one has signed.
    pub fn cosign_all(&mut self) {
        for from in 0..self.parties.len() {
            if self.parties[from].machine().is_none() {
                let (Party::Liar(_), witnesses) = (&self.parties[from], self.all_witnesses()) else { continue };
                for to in witnesses.into_iter().flat_map(|to| [to; 2]) {
                    self.liar_asks(from, Some(to));
                }
                continue;
            }
            for to in self.all_witnesses() {
                self.begin_cosigning(from, to);
            }
            while self.post.waiting() > 0 {
                self.deliver();
            }
            self.check_cosigned(from);
        }
    }

    fn check_cosigned(&self, of: Name) {
        let Party::Honest { machine, .. } = &self.parties[of] else { return };
        let date = |name: Name| self.parties[name].machine().unwrap().now() / 1000;
        let near = |w: &&Name| **w != of && date(**w).abs_diff(date(of)) < 290;
        let expected = self.witnesses.iter().filter(near).count();
        let log = OwnLog::all(&machine.running.as_ref().unwrap().node).into_iter().next().unwrap();
        let note = Note::parse(log.reader().checkpoint_text().unwrap().as_bytes()).unwrap();
        let count = Roster::of(self.chain.latest(), log.origin()).count(&note).witness;
        self.holds(count as usize >= expected.min(QUORUM as usize), || {
            format!("{} has {count} cosignatures, {expected} witnesses could be asked", self.label(of))
        });
    }

    /// How many heads of liars have a quorum.
    pub fn quorums_of_liars(&self) -> usize {
        self.said.enough.values().map(BTreeSet::len).sum()
    }
}

/// What the lying witness says; true where its word is good for the text.
fn lies(seed: u64, liar: &Region, rng: &mut StdRng, now: u64, request: &Request) -> (Answer, bool) {
    let own = cosigner(seed, &liar.code().to_string());
    let text = request.note.text();
    let line = |time| own.cosign(text, time).unwrap();
    let ok = |bytes: String| (StatusCode::OK, bytes.into_bytes());
    match *[0, 0, 0, 0, 1, 2, 3, 4].choose(rng).unwrap() {
        0 => (ok(format!("{}\n", line(now))), true),
        1 => {
            let mut forged = line(now);
            let at = rng.random_range(0..forged.signature.len());
            forged.signature[at] ^= 1;
            (ok(format!("{forged}\n")), false)
        }
        // A good line over another text.
        2 => {
            let other = own.cosign(&text.replacen('\n', "x\n", 1), now).unwrap();
            (ok(format!("{other}\n")), false)
        }
        3 => ((StatusCode::CONFLICT, format!("{}\n", rng.random_range(0..1u64 << 40)).into_bytes()), false),
        // Good, and of another day.
        _ => (ok(format!("{}\n", line(now - 86_400))), true),
    }
}
