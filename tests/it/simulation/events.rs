//! What happens: one event at a time, picked by the seed.

use std::sync::atomic::Ordering;

use domovoi::federation::charter::{Charter, ExceptedEntry};
use domovoi::federation::roles::Cut;
use domovoi::node::charters::{keep_latest, read_chain};
use domovoi::registry::body::List;
use domovoi::registry::ids::RecordId;
use domovoi::tlog::note::NoteSigner;
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::liar::{Decision, Lie};
use super::network::Name;
use super::world::{Party, World};
use crate::regions::{ms, next_charter, text};

impl World {
    /// The join link of some honest chat, for whoever wants to claim it.
    fn a_link(&mut self) -> String {
        let at = self.rng.random_range(0..self.parties.len());
        let from = (0..self.parties.len()).map(|n| &self.parties[(at + n) % self.parties.len()]);
        let mut links = from.filter_map(|p| match p {
            Party::Honest { office, .. } => office.links.values().next_back().cloned(),
            _ => None,
        });
        links.next().unwrap_or_else(|| super::office::link("none", 0))
    }

    /// A region's people hand something in; `crash` cuts the power before they are answered.
    fn submit(&mut self, name: Name, crash: bool) {
        let foreign = self.a_link();
        let label = self.label(name);
        let Party::Honest { machine, office, .. } = &mut self.parties[name] else { return };
        let Some(running) = &machine.running else { return };
        let view = running.node.own().unwrap().clone();
        let deed = office.deed(&view, machine.now(), &mut self.rng, &foreign);
        if crash && deed.refused.is_none() {
            let reached = self.rng.random_range(0..3);
            let what = deed.what;
            let Party::Honest { machine, office, queued, .. } = &mut self.parties[name] else { return };
            queued.push(deed.record.clone());
            machine.submit_and_crash(&self.runtime, vec![deed.record.clone()], reached);
            office.waits(deed);
            self.say("cut", format_args!("{label} {what} after step {reached}"));
            return;
        }
        let outcome = machine.submit(&self.runtime, vec![deed.record.clone()]).remove(0);
        let what = deed.what;
        let result = office.done(deed, &outcome);
        self.must(result, &label);
        self.note_own(name);
        let size = self.own_size(name);
        self.say("deed", format_args!("{label} {what}: {size}"));
    }

    /// A new version of the charter, signed by the federation's root keys.
    fn new_charter(&mut self) {
        let hours = self.rng.random_range(12..48);
        let bytes = next_charter(&self.chain, |body| {
            body.staleness_hours = hours;
            body.issued = ms(body.issued.get() + 1);
        });
        self.chain.advance(&bytes).unwrap();
        self.charters.push(bytes);
        let version = self.charters.len();
        self.say("charter", format_args!("{version}"));
    }

    /// The federation decides about a region that has lied.
    fn decide(&mut self, name: Name) {
        let Party::Liar(liar) = &self.parties[name] else { return };
        let Some(decision) = liar.decision() else { return };
        let (code, origin) = (self.members[name].code(), self.members[name].origin());
        let vkey = NoteSigner::new(&origin, liar.new_key()).unwrap().verifier().to_string();
        let bytes = next_charter(&self.chain, |body| match &decision {
            Decision::Cut(size, root) => {
                body.regions.0.iter_mut().find(|r| r.code == code).unwrap().log_vkey = text(&vkey);
                let (origin, root, reason) = (text(&origin), RecordId(root.0), text("два журнала"));
                body.cuts = Some(List(vec![Cut { origin, size: *size, root, reason }]));
            }
            Decision::Except(index, leaf) => {
                let (origin, leaf) = (text(&origin), RecordId(leaf.0));
                body.exceptions = Some(List(vec![ExceptedEntry { origin, index: *index, leaf }]));
            }
        });
        self.chain.advance(&bytes).unwrap();
        self.charters.push(bytes);
        let Party::Liar(liar) = &mut self.parties[name] else { return };
        liar.settle(&self.chain, &decision);
        let (label, version, lie) = (self.label(name), self.charters.len(), liar_of(&self.parties[name]));
        self.say("decided", format_args!("{label} {lie:?} in version {version}"));
    }

    /// The people of a node put the next charter in place; it counts from the next start on.
    pub fn give_charter(&mut self, name: Name) {
        let Some(bytes) = self.charters.get(self.given[name]).cloned() else { return };
        let ministry = name == self.ministry();
        let Some(machine) = self.parties[name].machine() else { return };
        let layout = if ministry { machine.layout().federation() } else { machine.layout() };
        let mut chain = read_chain(&layout).unwrap();
        assert!(chain.advance(&bytes).unwrap());
        keep_latest(&layout, &chain, &bytes).unwrap();
        self.given[name] += 1;
        let (label, version) = (self.label(name), Charter::open(&bytes).unwrap().charter().version);
        self.say("given", format_args!("{label} {version}"));
    }

    /// Lets one thing happen.
    pub fn step(&mut self) {
        self.steps += 1;
        let passes = match self.rng.random_bool(0.002) {
            true => self.rng.random_range(3_600_000..30 * 3_600_000),
            false => self.rng.random_range(50..4_000),
        };
        self.time.fetch_add(passes, Ordering::SeqCst);
        let waiting = self.post.waiting();
        if waiting > 0 && self.rng.random_bool(if waiting > 60 { 0.95 } else { 0.6 }) {
            return self.deliver();
        }
        let (ministry, all) = (self.ministry(), self.parties.len());
        let any = self.rng.random_range(0..all);
        match self.rng.random_range(0..1000) {
            0..420 => {
                // The ministry follows everybody, a region two.
                let from = if self.rng.random_bool(0.4) { ministry } else { any };
                let many =
                    self.parties[from].machine().and_then(|m| m.running.as_ref()).map_or(0, |r| r.following.len());
                if many > 0 {
                    let which = self.rng.random_range(0..many);
                    self.begin_round(from, which);
                }
            }
            420..480 => {
                // Whoever has just said something wants it cosigned; liars do, too.
                let all = self.all_witnesses();
                let to = *all.choose(&mut self.rng).unwrap();
                let from = if self.rng.random_bool(0.1) { ministry } else { any };
                self.begin_cosigning(from, to);
            }
            480..500 => {
                let liars: Vec<Name> = (0..all).filter(|n| matches!(self.parties[*n], Party::Liar(_))).collect();
                let name = *liars.choose(&mut self.rng).unwrap();
                self.liar_asks(name, None);
            }
            500..503 => self.false_head(),
            503..740 => self.submit(any, false),
            740..760 => self.submit(any, true),
            760..800 => self.federation_step(),
            800..850 => {
                let link = self.a_link();
                let liars: Vec<Name> = (0..all).filter(|n| matches!(self.parties[*n], Party::Liar(_))).collect();
                let name = *liars.choose(&mut self.rng).unwrap();
                let Party::Liar(liar) = &mut self.parties[name] else { return };
                let (what, lie) = (liar.speak(&mut self.rng, &link), liar.lie);
                let label = self.label(name);
                self.say("lie", format_args!("{label} {lie:?} {what}"));
            }
            850..870 => {
                let name = if self.rng.random_bool(0.15) { ministry } else { any };
                let crash = self.rng.random_bool(0.7);
                self.stop(name, crash);
            }
            870..920 => {
                let down: Vec<Name> =
                    (0..all).filter(|n| self.parties[*n].machine().is_some_and(|m| m.running.is_none())).collect();
                if let Some(name) = down.choose(&mut self.rng) {
                    self.start(*name);
                }
            }
            920..935 => self.jump(any),
            935..942 => {
                for side in &mut self.side {
                    *side = u8::from(self.rng.random_bool(0.3));
                }
                let cut = self.side.iter().filter(|s| **s == 1).count();
                self.say("partition", format_args!("{cut}"));
            }
            942..958 => {
                self.side.fill(0);
                self.say("heal", format_args!(""));
            }
            958..960 if self.charters.len() < 3 => self.new_charter(),
            960..963 => {
                let liars: Vec<Name> = (0..all).filter(|n| matches!(self.parties[*n], Party::Liar(_))).collect();
                let name = *liars.choose(&mut self.rng).unwrap();
                self.decide(name);
            }
            963..970 => self.give_charter(any),
            _ => self.check_answers(any),
        }
    }

    /// The date of one machine jumps.
    fn jump(&mut self, name: Name) {
        let label = self.label(name);
        let far = match self.rng.random_range(0..4) {
            0 => 0,
            1 => self.rng.random_range(-3_600_000..3_600_000),
            2 => self.rng.random_range(0..5 * 86_400_000),
            _ => self.rng.random_range(-5 * 86_400_000..0),
        };
        if let Some(machine) = self.parties[name].machine() {
            machine.offset.store(far, Ordering::SeqCst);
            self.say("clock", format_args!("{label} {far}"));
        }
    }
}

fn liar_of(party: &Party) -> Option<Lie> {
    match party {
        Party::Liar(liar) => Some(liar.lie),
        _ => None,
    }
}
