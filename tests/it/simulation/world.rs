//! The federation, and the one loop that lets things happen in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domovoi::error::{Action, Error, Result};
use domovoi::federation::chain::CharterChain;
use domovoi::sync::client::{Answer, Network, Peer};
use domovoi::sync::follower::Source;
use domovoi::sync::{gossip, schedule};
use domovoi::tlog::tile::LogPath;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use reqwest::StatusCode;
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

use super::liar::Liar;
use super::machine::{Image, Machine, source};
use super::member::{FEDERATION, Region, charter, federation_key, lie_of, regions, witness_key, witnesses};
use super::network::{FATES, Fate, Letter, Link, Name, Post, unreachable};
use super::office::Office;
use super::truth::Truth;
use super::witnesses::{Asking, Said};
use crate::regions::START;

impl Drop for World {
    fn drop(&mut self) {
        // Whoever wants to know what happened wants the files, too.
        self.temp.disable_cleanup(self.loud && std::thread::panicking());
    }
}

/// One of those who take part.
pub enum Party {
    Honest { machine: Machine, office: Box<Office>, truth: Truth, queued: Vec<Vec<u8>> },
    Liar(Box<Liar>),
    Ministry { machine: Machine, truth: Truth },
}

impl Party {
    pub fn machine(&self) -> Option<&Machine> {
        match self {
            Party::Honest { machine, .. } | Party::Ministry { machine, .. } => Some(machine),
            Party::Liar(_) => None,
        }
    }
    pub fn machine_mut(&mut self) -> Option<&mut Machine> {
        match self {
            Party::Honest { machine, .. } | Party::Ministry { machine, .. } => Some(machine),
            Party::Liar(_) => None,
        }
    }
}

pub struct World {
    pub seed: u64,
    pub rng: StdRng,
    pub runtime: Runtime,
    pub post: Arc<Post>,
    /// True time, Unix milliseconds.
    pub time: Arc<AtomicU64>,
    pub members: Vec<Region>,
    pub parties: Vec<Party>,
    /// Which side of a partition each is on.
    pub side: Vec<u8>,
    /// Every charter version.
    pub charters: Vec<Vec<u8>>,
    pub chain: CharterChain,
    /// How far each machine's own charters are.
    pub given: Vec<usize>,
    /// Who cosigns: honest nodes, and the one that lies.
    pub witnesses: Vec<Name>,
    pub false_witness: Name,
    pub said: Said,
    /// No more misfortunes: what is sent arrives.
    pub calm: bool,
    /// What happened, hashed.
    trace: Sha256,
    pub steps: u64,
    pub counts: BTreeMap<&'static str, u64>,
    loud: bool,
    dir: PathBuf,
    temp: tempfile::TempDir,
}

impl World {
    /// A federation of this many regions, started.
    pub fn new(seed: u64, count: usize) -> World {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let place = if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm".into() } else { std::env::temp_dir() };
        let temp = tempfile::Builder::new().prefix("simulation-").tempdir_in(place).unwrap();
        let mut rng = StdRng::seed_from_u64(seed);
        let members = regions(seed, count);
        let (honest_witnesses, false_witness) = witnesses(seed, &members);
        let first = charter(seed, &members);
        let chain = CharterChain::pinned(&first).unwrap();
        let pin = chain.first().sha256().to_string();
        let (post, time) = (Arc::<Post>::default(), Arc::new(AtomicU64::new(START)));
        let mut parties = Vec::new();
        for (name, member) in members.iter().enumerate() {
            parties.push(match member {
                Region::Liar(place) => Party::Liar(Box::new(Liar::new(*place, lie_of(seed, place), &chain))),
                Region::Honest(honest) => {
                    let mut machine = Machine::new(temp.path(), &honest.code.to_string(), time.clone());
                    machine.writes(&first, &honest.origin(), honest.key("log"), honest.key("commit"));
                    if honest_witnesses.contains(&name) {
                        let code = honest.code.to_string();
                        machine.witnesses(format!("{code}.example/witness"), witness_key(seed, &code));
                    }
                    let mut others: BTreeSet<Name> = [(name + 1) % count].into();
                    while others.len() < 2 {
                        others.extend(Some(rng.random_range(0..count)).filter(|o| *o != name));
                    }
                    for other in others {
                        let code = members[other].code().to_string();
                        machine.follows(other, source(&post, name, other, &code, &pin));
                    }
                    let office = Box::new(Office::new(honest.clone()));
                    Party::Honest { machine, office, truth: Truth::new(), queued: Vec::new() }
                }
            });
        }
        let mut machine = Machine::new(temp.path(), "ministry", time.clone());
        let key = |role| federation_key(seed, role);
        machine.writes_federation(&first, FEDERATION, key("log"), key("commit"));
        for (other, member) in members.iter().enumerate() {
            machine.follows(other, source(&post, count, other, &member.code().to_string(), &pin));
        }
        parties.push(Party::Ministry { machine, truth: Truth::new() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut world = World {
            seed,
            rng,
            runtime,
            post,
            time,
            side: vec![0; parties.len()],
            given: vec![1; parties.len()],
            members,
            parties,
            charters: vec![first],
            chain,
            witnesses: honest_witnesses,
            false_witness,
            said: Said::default(),
            calm: false,
            trace: Sha256::new(),
            steps: 0,
            counts: BTreeMap::new(),
            loud: std::env::var_os("DOMOVOI_SIMULATION_TRACE").is_some(),
            dir: temp.path().to_owned(),
            temp,
        };
        for name in 0..world.parties.len() {
            world.start(name);
            if let Party::Honest { machine, office, .. } = &world.parties[name] {
                let view = machine.running.as_ref().unwrap().node.own().unwrap().clone();
                let outcomes = machine.submit(&world.runtime, office.founding(&view, machine.now()));
                world.holds(
                    outcomes.iter().all(|o| matches!(o, domovoi::node::sequencer::Outcome::Accepted { .. })),
                    || format!("{outcomes:?}"),
                );
                world.note_own(name);
            }
        }
        world
    }

    pub fn ministry(&self) -> Name {
        self.parties.len() - 1
    }

    /// Writes down what happened.
    pub fn say(&mut self, kind: &'static str, line: std::fmt::Arguments<'_>) {
        let text = format!("{} {} {kind} {line}\n", self.steps, self.time.load(Ordering::SeqCst) - START);
        if self.loud {
            eprint!("{text}");
        }
        self.trace.update(&text);
        *self.counts.entry(kind).or_default() += 1;
    }
    /// The hash of everything that happened.
    pub fn trace(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.trace.clone().finalize())
    }
    /// Something that must hold.
    #[track_caller]
    pub fn holds(&self, it: bool, what: impl FnOnce() -> String) {
        if !it {
            let kept = self.dir.display().to_string();
            panic!("seed {}, step {}: {} ({kept})", self.seed, self.steps, what());
        }
    }
    #[track_caller]
    pub fn must(&self, result: std::result::Result<(), String>, who: &str) {
        self.holds(result.is_ok(), || format!("{who}: {}", result.unwrap_err()));
    }

    /// Takes down what a node's own log says now, and holds it against what it said before.
    pub fn note_own(&mut self, name: Name) {
        let result = match &mut self.parties[name] {
            Party::Honest { machine, office, truth, .. } => {
                let view = machine.running.as_ref().unwrap().node.own().unwrap().clone();
                truth.extend(&view.reader, &office.owners).and_then(|()| truth.check(&view))
            }
            Party::Ministry { machine, truth } => {
                let view = machine.running.as_ref().unwrap().node.federation().unwrap().clone();
                truth.extend(&view.reader, &Arc::default())
            }
            Party::Liar(_) => Ok(()),
        };
        self.must(result, &format!("the own log of {}", self.label(name)));
    }

    pub fn label(&self, name: Name) -> String {
        self.members.get(name).map_or("ministry".into(), |m| m.code().to_string())
    }

    /// Starts a machine that is down.
    pub fn start(&mut self, name: Name) {
        let Some(machine) = self.parties[name].machine_mut() else { return };
        if machine.running.is_some() {
            return;
        }
        let started = machine.start();
        self.holds(started.is_ok(), || format!("{} does not start: {:?}", self.label(name), started));
        // A batch whose submitter was never answered is in the log all the same, once it is journalled.
        if let Party::Honest { machine, office, queued, .. } = &mut self.parties[name] {
            let view = machine.running.as_ref().unwrap().node.own().unwrap().clone();
            let missing: Vec<_> = queued
                .drain(..)
                .filter(|r| {
                    use domovoi::registry::state::View;
                    let id = domovoi::registry::record::DecodedRecord::decode(r).unwrap().record.id;
                    view.state().index_of(&id).is_none()
                })
                .collect();
            office.settle(missing.is_empty());
            self.holds(missing.is_empty(), || format!("{} forgot a batch that was journalled", self.label(name)));
        }
        self.note_own(name);
        let size = self.own_size(name);
        let label = self.label(name);
        self.say("start", format_args!("{label} at {size}"));
    }

    pub fn own_size(&self, name: Name) -> u64 {
        match &self.parties[name] {
            Party::Honest { truth, .. } | Party::Ministry { truth, .. } => truth.size(),
            Party::Liar(_) => 0,
        }
    }

    /// Begins a round, if none is in progress.
    pub fn begin_round(&mut self, from: Name, which: usize) {
        let label = self.label(from);
        let stirred = self.post.clone();
        let Some(running) = self.parties[from].machine_mut().and_then(|m| m.running.as_mut()) else { return };
        let node = running.node.clone();
        let configured: Vec<String> = running.following.iter().map(|f| f.source.name.clone()).collect();
        let Some(following) = running.following.get_mut(which).filter(|f| f.round.is_none()) else { return };
        let to = following.to;
        let (source, followers, failures) = (following.source.clone(), following.followers.clone(), following.failures);
        // Whose copy is looked at while the log's own node does not answer.
        let others: Vec<Peer> = match failures >= 2 {
            false => Vec::new(),
            true => running
                .following
                .iter()
                .filter(|f| f.to != to)
                .take(3)
                .map(|f| Link { post: self.post.clone(), from, to: f.to, about: to })
                .map(|link| Source {
                    network: Network::simulated(Arc::new(link)),
                    url: "https://other.example".into(),
                    ..source.clone()
                })
                .map(|source| source.peer().unwrap())
                .collect(),
        };
        let Some(following) = running.following.get_mut(which) else { return };
        following.round = Some(self.runtime.spawn(async move {
            // As sync::schedule does it, without its pauses.
            let mut followers = followers.lock().await;
            let round = async {
                schedule::round(&node, &source, &configured, &mut followers).await?;
                let _ = gossip::compare(&node, &source.peer()?).await;
                Ok(())
            };
            let result: Result<()> = round.await;
            if result.as_ref().is_err_and(|e| e.action() == Action::Retry) {
                for follower in followers.iter() {
                    for other in &others {
                        if follower.round_from(other).await.unwrap_or(false) {
                            break;
                        }
                    }
                }
            }
            stirred.stirred.notify_one();
            result
        }));
        let other = self.label(to);
        self.say("round", format_args!("{label} of {other}"));
        self.settle();
    }

    /// Waits until every round is over or waits for the network, and takes in what has ended.
    pub fn settle(&mut self) {
        let (runtime, post) = (&self.runtime, &self.post);
        let mut rounds: Vec<(Name, Name, &tokio::task::JoinHandle<Result<()>>)> = Vec::new();
        let mut asking: Vec<(Name, &Asking)> = Vec::new();
        for (from, party) in self.parties.iter().enumerate() {
            let following = party.machine().and_then(|m| m.running.as_ref()).map_or(&[][..], |r| &r.following);
            rounds.extend(following.iter().filter_map(|f| Some((from, f.to, f.round.as_ref()?))));
            let running = party.machine().and_then(|m| m.running.as_ref());
            asking.extend(running.into_iter().flat_map(|r| r.asking.iter().map(move |a| (from, a))));
        }
        runtime.block_on(async {
            loop {
                for _ in 0..8 {
                    tokio::task::yield_now().await;
                }
                let answered = |(from, a): &(Name, &Asking)| a.task.is_finished() || post.waits(*from, a.about());
                if rounds.iter().all(|(from, to, round)| round.is_finished() || post.waits(*from, *to))
                    && asking.iter().all(answered)
                {
                    break;
                }
                post.stirred.notified().await;
            }
        });
        let ended: Vec<(Name, Name)> =
            rounds.iter().filter(|(_, _, round)| round.is_finished()).map(|(from, to, _)| (*from, *to)).collect();
        let asked: Vec<(Name, Name)> =
            asking.iter().filter(|(_, a)| a.task.is_finished()).map(|(from, a)| (*from, a.to)).collect();
        for (from, to) in ended {
            self.end_round(from, to);
        }
        for (from, to) in asked {
            self.end_cosigning(from, to);
        }
    }

    fn end_round(&mut self, from: Name, to: Name) {
        let now = self.time.load(Ordering::SeqCst);
        let machine = self.parties[from].machine_mut().unwrap();
        let date = machine.now();
        let running = machine.running.as_mut().unwrap();
        let followed = running.node.followed().into_iter().find(|f| f.view.origin == self.members[to].origin());
        let following = running.following.iter_mut().find(|f| f.to == to).unwrap();
        let result = self.runtime.block_on(following.round.take().unwrap()).unwrap();
        following.failures = if result.is_ok() { 0 } else { following.failures + 1 };
        // After a fork only charters are asked for: such a round hears nothing of the log.
        let rounds = followed.map_or(0, |f| f.status.read().rounds);
        if rounds != following.rounds {
            (following.rounds, following.heard) = (rounds, Some((now, date)));
        }
        let outcome = result.as_ref().map_or_else(|e| e.code().to_owned(), |()| "ok".into());
        let (label, other) = (self.label(from), self.label(to));
        let size = self.view_size(from, to);
        self.say("ended", format_args!("{label} of {other}: {outcome} at {size:?}"));
        self.check_view(from, to, result.as_ref().err().map(Error::code));
    }

    fn view_size(&self, from: Name, to: Name) -> Option<u64> {
        let node = &self.parties[from].machine()?.running.as_ref()?.node;
        Some(node.view(&self.members[to].origin())?.reader.size())
    }

    /// Delivers one of the requests that wait longest.
    pub fn deliver(&mut self) {
        let waiting = self.post.waiting();
        if waiting == 0 {
            return;
        }
        let at = self.rng.random_range(0..waiting.min(16));
        let Some(letter) = self.post.take(at) else { return };
        let fate = match !self.calm && self.rng.random_bool(0.08) {
            true => *FATES.choose(&mut self.rng).unwrap(),
            false => Fate::Delivered,
        };
        let answer = self.carry(&letter, fate);
        if fate != Fate::Delivered {
            let line = format!("{} of {}: {} {fate:?}", self.label(letter.from), self.label(letter.to), letter.path);
            self.say("fate", format_args!("{line}"));
        }
        letter.answer(answer);
        self.settle();
    }

    fn carry(&mut self, letter: &Letter, fate: Fate) -> Result<Answer> {
        if self.side[letter.from] != self.side[letter.to] || fate == Fate::Lost {
            return Err(unreachable());
        }
        let key = (letter.to, letter.path.clone());
        if fate == Fate::Cached
            && let Some(old) = self.post.caches.lock().get(&key)
        {
            return Ok(old.clone());
        }
        let mut answer = self.ask(letter).ok_or_else(unreachable)?;
        if fate == Fate::Twice {
            answer = self.ask(letter).ok_or_else(unreachable)?;
        }
        self.post.caches.lock().insert(key, answer.clone());
        match fate {
            Fate::Unanswered => return Err(unreachable()),
            Fate::Cut if !answer.1.is_empty() => {
                let rest = self.rng.random_range(0..answer.1.len());
                answer.1.truncate(rest);
            }
            Fate::Flipped if !answer.1.is_empty() => {
                let at = self.rng.random_range(0..answer.1.len());
                answer.1[at] ^= 1 << self.rng.random_range(0..8);
            }
            _ => {}
        }
        Ok(answer)
    }

    /// What whoever is asked says.
    fn ask(&mut self, letter: &Letter) -> Option<Answer> {
        if letter.path == "witness/add-checkpoint" {
            return self.witness_says(letter.to, letter);
        }
        let missing = Some((StatusCode::NOT_FOUND, Vec::new()));
        match &mut self.parties[letter.to] {
            Party::Liar(liar) => {
                let found = |bytes: Option<Vec<u8>>| bytes.map_or(missing.clone(), |b| Some((StatusCode::OK, b)));
                if let Some(file) = letter.path.strip_prefix("log/") {
                    let path = LogPath::parse(file).ok();
                    return found(path.and_then(|p| liar.file(&mut self.rng, letter.from, p)));
                }
                match letter.path.strip_prefix("api/v1/federation/charter") {
                    Some("") => found(Some(self.charters[0].clone())),
                    Some(rest) => {
                        let version: Option<usize> = rest.strip_prefix("s/").and_then(|v| v.parse().ok());
                        found(version.and_then(|v| self.charters.get(v.checked_sub(1)?).cloned()))
                    }
                    None => missing,
                }
            }
            Party::Honest { machine, .. } | Party::Ministry { machine, .. } => {
                let answer = machine.answer(&self.runtime, letter)?;
                if letter.path == "log/checkpoint" && answer.0 == StatusCode::OK {
                    self.check_served(letter.to, &answer.1);
                }
                Some(answer)
            }
        }
    }

    pub fn stop(&mut self, name: Name, crash: bool) {
        let image = crash.then(|| Image { with_index: self.rng.random_bool(0.7) });
        let label = self.label(name);
        let Some(machine) = self.parties[name].machine_mut().filter(|m| m.running.is_some()) else { return };
        machine.stop(&self.runtime, image);
        self.say(if crash { "crash" } else { "stop" }, format_args!("{label}"));
    }

    /// The ministry writes down what it knows.
    pub fn federation_step(&mut self) {
        let name = self.ministry();
        let Some(running) = &self.parties[name].machine().unwrap().running else { return };
        let node = running.node.clone();
        node.federation_step();
        self.holds(node.healthy(), || "the ministry cannot write its log".into());
        self.note_own(name);
        let size = self.own_size(name);
        self.say("federation", format_args!("{size}"));
        self.check_federation();
    }

    /// An end to all misfortune: everybody is up and has every charter, and what is sent arrives.
    pub fn calm_down(&mut self) {
        self.calm = true;
        self.side.fill(0);
        for name in 0..self.parties.len() {
            while self.given[name] < self.charters.len() && self.parties[name].machine().is_some() {
                self.give_charter(name);
            }
            self.stop(name, false);
            self.start(name);
        }
        while !self.post.is_empty() {
            self.deliver();
        }
    }

    /// A round would bring something: the copy is behind, or held, or of a liar.
    fn is_due(&self, from: Name, which: usize) -> bool {
        let Some(running) = self.parties[from].machine().and_then(|m| m.running.as_ref()) else { return false };
        let to = running.following[which].to;
        let Party::Honest { truth, .. } = &self.parties[to] else { return true };
        let followed = running.node.followed().into_iter().find(|f| f.view.origin == self.members[to].origin());
        followed.is_none_or(|f| f.view.reader.size() != truth.size() || f.status.read().held.is_some())
    }

    /// Whoever is not at the end of a log he follows asks for it, and all of it arrives.
    pub fn round_of_all(&mut self) {
        for from in 0..self.parties.len() {
            let many = self.parties[from].machine().and_then(|m| m.running.as_ref()).map_or(0, |r| r.following.len());
            for which in 0..many {
                if self.is_due(from, which) {
                    self.begin_round(from, which);
                }
            }
            while self.post.waiting() > 0 {
                self.time.fetch_add(20, Ordering::SeqCst);
                self.deliver();
            }
        }
    }
}
