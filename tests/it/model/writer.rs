//! The model of how a log is written: the real store over a directory in memory, a crash at every cut of every step, an
//! older backup, lost files. What is written are the records of the other model: whose chat it is must survive as well.
//!
//! The order in which a node takes the steps is that of `node::open_own` and of the sequencer's `publish`; the store refuses
//! any other order of its own steps, and the one step that is not the store's, signing, is the model's to place.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use domovoi::storage::fence::{Age, Fence};
use domovoi::tlog::Hash as TreeHash;
use domovoi::tlog::checkpoint::Checkpoint;
use stateright::{Model, Property};

use super::disk::Image;
use super::process::{At, Log, Process, REGIONS, Ran, Step, backed_up, choices, longer, replays, run, signer};
use super::region::Place;

/// What the node does wrong. Each stands for one thing the real one takes care of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slip {
    None,
    /// It signs a head before the batch is journalled.
    SignsFirst,
    /// It answers before the batch is journalled.
    AnswersFirst,
    /// At the start it goes back to what was published, journal and fence with it.
    CutsBack,
    /// It takes the fence of a backup for its own.
    TrustsBackup,
    /// The operator says that nobody saw a later head without having asked.
    BlindWord,
    /// A missing fence is written anew from the log.
    RemakesFence,
}

/// What is explored.
#[derive(Debug, Clone)]
pub struct Writing {
    /// Most batches.
    pub batches: usize,
    /// Backups, restores and lost files beside crashes.
    pub losses: bool,
    pub slip: Slip,
}

#[derive(Clone)]
pub struct Node {
    disk: Image,
    process: Option<Process>,
    /// The process has signed the head that is to be published next.
    has_signed: bool,
    /// The log as of the last publication, and with the batch on its way.
    log: Log,
    work: Option<Log>,
    /// Every head that was ever signed: somebody may have seen any of them.
    signed: Vec<Log>,
    /// The longest log of which somebody was told that it is in the log.
    answered: Log,
    /// A restored backup, as it lies on the disk before the first start.
    backup: Option<Image>,
    /// An older log may lie on the disk than was signed: by a restore or a loss.
    older: bool,
    staged: usize,
    losses: u8,
    pub fault: Option<&'static str>,
    seen: u16,
}

/// A step of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Do(Step),
    /// The machine stops in the middle of the step; the number chooses what has reached the disk.
    Crash(Step, usize),
    /// The process ends between two steps.
    Kill,
    Backup,
    Restore,
    /// The log's directory comes back as it was in the backup; journal and fence stay.
    OldLog,
    /// The private directory is lost.
    NoPrivate,
    NoJournal,
}

const FORK: &str = "every signed head extends every head signed before";
const KEPT: &str = "what was acknowledged is in everything that is signed later";
const OPENS: &str = "after any crash the node opens, at the published head or at the journalled one";
const STATE: &str = "the log read back replays to the state that was written";

const ROLLED_FORWARD: u16 = 1;
const REFUSED_RESTORE: u16 = 2;
const CONFIRMED: u16 = 4;
const REFUSED_LOSS: u16 = 8;
const RECOVERED_LOSS: u16 = 16;
const SUCCESSION_SURVIVED: u16 = 32;

impl Node {
    fn with(&self, change: impl FnOnce(&mut Node)) -> Node {
        let mut next = self.clone();
        change(&mut next);
        next
    }
    /// What tells two states apart. `seen` does not: it is set by the step that leads to a state, for the properties.
    fn key(&self) -> impl PartialEq + Hash {
        (
            (self.disk.digest(), self.process.as_ref().map(|p| (p.from.digest(), p.steps.clone())), self.has_signed),
            (self.log.clone(), self.work.clone(), self.signed.clone(), self.answered.clone()),
            (self.backup.as_ref().map(|b| b.digest()), self.older, self.staged, self.losses, self.fault, self.seen),
        )
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?} fault {:?}", self.process.as_ref().map(|p| &p.steps), self.disk, self.fault)
    }
}

impl Hash for Node {
    fn hash<H: Hasher>(&self, h: &mut H) {
        self.key().hash(h);
    }
}

impl PartialEq for Node {
    fn eq(&self, o: &Node) -> bool {
        self.key() == o.key()
    }
}

impl Writing {
    /// What the process found wrong before it even opens the store.
    fn started(&self, disk: &Image) -> Process {
        let mut from = disk.clone();
        let fence = |note: Option<&Arc<Vec<u8>>>| {
            let head = note.map(|n| Checkpoint::open(n, signer().verifier(), Place::A.origin()).unwrap());
            let (size, root) = head.map_or((0, TreeHash::EMPTY_TREE), |h| (h.checkpoint().size, h.checkpoint().root));
            Fence { size, root, age: Age::Known }.to_text().into_bytes()
        };
        let note = disk.0.get("log/checkpoint");
        if self.slip == Slip::CutsBack && disk.0.contains_key("private/fence") {
            from = from.without("private/journal").with_file("private/fence", fence(note));
        }
        if self.slip == Slip::RemakesFence && !disk.0.contains_key("private/fence") && note.is_some() {
            from = from.with_file("private/fence", fence(note));
        }
        Process { from, steps: Vec::new() }
    }

    fn process(&self, node: &Node, step: Step) -> Process {
        let mut process = match (&node.process, step) {
            (Some(p), _) => p.clone(),
            (None, _) => self.started(&node.disk),
        };
        process.steps.push(step);
        process
    }

    /// The next steps of a running process, in the order a node takes them.
    fn next(&self, node: &Node, ran: &Ran) -> Vec<Step> {
        let last = node.process.as_ref().and_then(|p| p.steps.last());
        if ran.restored && last == Some(&Step::Open) {
            let highest = node.signed.iter().map(|log| log.len() as u64).max().unwrap_or(0);
            let blind = (self.slip == Slip::BlindWord).then_some(Step::Confirm(Some(ran.published.len() as u64)));
            return [Step::Confirm(None), Step::Confirm(Some(highest))].into_iter().chain(blind).collect();
        }
        match ran.at {
            At::Idle if node.staged >= self.batches => vec![],
            At::Idle => choices(&ran.published).into_iter().map(Step::Stage).collect(),
            At::Staged => vec![Step::Tiles],
            At::Written => vec![Step::Fence],
            At::Fenced if node.has_signed => vec![Step::Publish],
            At::Fenced => vec![Step::Sign],
        }
    }

    /// A head is signed.
    fn sign(&self, node: &mut Node, log: Log) {
        let extends = |old: &Log| log.starts_with(old);
        if !node.signed.iter().all(extends) {
            node.fault = Some(FORK);
        } else if !extends(&node.answered) {
            node.fault = Some(KEPT);
        }
        if !node.signed.contains(&log) {
            node.signed.push(log);
        }
    }

    /// A batch begins: what the slips do too early.
    fn begin(&self, node: &mut Node, step: Step) {
        if let Step::Stage(batch) = step {
            let log = longer(&node.log, batch);
            node.work = Some(log.clone());
            node.staged += 1;
            match self.slip {
                Slip::SignsFirst => self.sign(node, log),
                Slip::AnswersFirst if log.starts_with(&node.answered) => node.answered = log,
                _ => {}
            }
        }
    }

    fn take(&self, node: &Node, step: Step) -> Node {
        let process = self.process(node, step);
        let ran = run(&process);
        let mut next = node.with(|n| self.begin(n, step));
        next.seen = 0;
        if step == Step::Sign {
            next.has_signed = true;
            self.sign(&mut next, ran.next.clone().unwrap());
        }
        (next.disk, next.process) = (ran.after.clone(), Some(process));
        if let Some(code) = ran.refused {
            // The process ends. That is right where the operator has not said what he must, or the disk is not the log's.
            next.process = None;
            next.seen = if code == "fence.restored" { REFUSED_RESTORE } else { REFUSED_LOSS };
            if !node.older {
                next.fault = Some(OPENS);
            }
            return next;
        }
        match step {
            Step::Open => self.opened(&mut next, &ran),
            Step::Confirm(Some(_)) => next.seen = CONFIRMED,
            Step::Publish => {
                let log = next.work.take().unwrap();
                (next.log, next.has_signed) = (log.clone(), false);
                if log.len() > next.answered.len() {
                    next.answered = log;
                }
                if ran.published != next.log || !replays(&next.log) {
                    next.fault = Some(STATE);
                }
                // From the second batch on, a store that has published is taken for one that has just opened.
                if next.staged > 1 {
                    next.process = Some(Process { from: next.disk.clone(), steps: vec![Step::Open] });
                }
            }
            _ => {}
        }
        next
    }

    /// The store is open: what it found must be what was published, or what was on its way.
    fn opened(&self, node: &mut Node, ran: &Ran) {
        let work = node.work.take();
        let known = |log: &Log| *log == node.log || work.as_ref() == Some(log);
        let expected = known(&ran.published) && ran.next.as_ref().is_none_or(|n| work.as_ref() == Some(n));
        if !node.older && !expected {
            node.fault = Some(OPENS);
        }
        if !replays(&ran.published) || ran.next.as_ref().is_some_and(|n| !replays(n)) {
            node.fault = Some(STATE);
        }
        (node.log, node.work, node.has_signed) = (ran.published.clone(), ran.next.clone(), false);
        if ran.next.is_some() {
            node.seen = if node.older { RECOVERED_LOSS } else { ROLLED_FORWARD };
        }
        let succeeded =
            |log: &Log| REGIONS.lock().unwrap().get(log).is_some_and(|(r, _)| r.spec.successor[0].is_some());
        if succeeded(&node.log) {
            node.seen |= SUCCESSION_SURVIVED;
        }
    }
}

impl Model for Writing {
    type State = Node;
    type Action = Act;

    fn init_states(&self) -> Vec<Node> {
        vec![Node {
            disk: Image::default(),
            process: None,
            has_signed: false,
            log: Log::default(),
            work: None,
            signed: Vec::new(),
            answered: Log::default(),
            backup: None,
            older: false,
            staged: 0,
            losses: 0,
            fault: None,
            seen: 0,
        }]
    }

    fn actions(&self, node: &Node, actions: &mut Vec<Act>) {
        if node.fault.is_some() {
            return;
        }
        let steps = match &node.process {
            None => vec![Step::Open],
            Some(process) => self.next(node, &run(process)),
        };
        for step in steps {
            actions.push(Act::Do(step));
            actions.extend((0..run(&self.process(node, step)).cuts.len()).map(|n| Act::Crash(step, n)));
        }
        let may_lose = self.losses && node.losses == 0;
        match &node.process {
            Some(process) => {
                actions.push(Act::Kill);
                if may_lose && node.backup.is_none() && run(process).at == At::Idle && !run(process).restored {
                    actions.push(Act::Backup);
                }
            }
            None if may_lose => {
                actions.extend([Act::NoPrivate, Act::NoJournal]);
                if node.backup.is_some() {
                    actions.extend([Act::Restore, Act::OldLog]);
                }
            }
            None => {}
        }
    }

    fn next_state(&self, node: &Node, act: Act) -> Option<Node> {
        let lost = |disk: Image| {
            node.with(|n| {
                (n.disk, n.losses, n.older, n.seen) = (disk, 1, true, 0);
            })
        };
        let stopped = |disk: &Image| {
            node.with(|n| {
                (n.disk, n.process, n.has_signed, n.seen) = (disk.clone(), None, false, 0);
            })
        };
        Some(match act {
            Act::Do(step) => self.take(node, step),
            Act::Crash(step, n) => {
                let mut next = stopped(&run(&self.process(node, step)).cuts[n]);
                self.begin(&mut next, step);
                next
            }
            Act::Kill => stopped(&node.disk),
            Act::Backup => {
                let image = backed_up(node.process.as_ref()?);
                node.with(|n| (n.backup, n.seen) = (Some(image), 0))
            }
            Act::Restore => {
                let mut disk = node.backup.clone()?;
                if self.slip == Slip::TrustsBackup {
                    let fence = Fence::parse(&disk.0["private/fence"]).unwrap();
                    let own = Fence { age: Age::Known, ..fence };
                    disk = disk.with_file("private/fence", own.to_text().into_bytes());
                }
                lost(disk)
            }
            Act::OldLog => lost(node.disk.with_log_of(node.backup.as_ref()?)),
            Act::NoPrivate => lost(node.disk.without("private/")),
            Act::NoJournal => lost(node.disk.without("private/journal")),
        })
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always(FORK, |_, n: &Node| n.fault != Some(FORK)),
            Property::always(KEPT, |_, n: &Node| n.fault != Some(KEPT)),
            Property::always(OPENS, |_, n: &Node| n.fault != Some(OPENS)),
            Property::always(STATE, |_, n: &Node| n.fault != Some(STATE)),
            Property::sometimes("a batch is rolled forward", |_, n: &Node| n.seen & ROLLED_FORWARD != 0),
            Property::sometimes("a batch is signed twice", |_, n: &Node| {
                n.has_signed
                    && n.signed.last() == n.work.as_ref()
                    && n.process.as_ref().is_some_and(|p| p.steps.len() == 2)
            }),
            Property::sometimes("all is written", |m: &Writing, n: &Node| {
                n.staged == m.batches && n.work.is_none() && n.process.is_some()
            }),
            Property::sometimes("a succession survives a crash", |_, n: &Node| n.seen & SUCCESSION_SURVIVED != 0),
        ];
        if self.losses {
            all.extend([
                Property::sometimes("a restored node refuses to sign", |_, n: &Node| n.seen & REFUSED_RESTORE != 0),
                Property::sometimes("a restored node goes on after the operator's word", |_, n: &Node| {
                    n.seen & CONFIRMED != 0
                }),
                Property::sometimes("a damaged directory is refused", |_, n: &Node| n.seen & REFUSED_LOSS != 0),
                Property::sometimes("an older log is rolled forward to what was signed", |_, n: &Node| {
                    n.seen & RECOVERED_LOSS != 0
                }),
            ]);
        }
        all
    }
}
