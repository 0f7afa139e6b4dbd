//! The model of how a log is written: the real store over a directory in memory, a crash at every cut of every step, an
//! older backup, lost files. What is written are the records of the other model: whose chat it is must survive as well.
//!
//! Every step of the store runs for real, on a directory that is filled from the state's image and read back afterwards.
//! The order in which a node takes the steps is that of `node::open_own` and of the sequencer's `publish`; the store refuses
//! any other order of its own steps, and the one step that is not the store's, signing, is the model's to place.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use domovoi::error::Result;
use domovoi::storage::backup;
use domovoi::storage::fence::{Age, Fence};
use domovoi::storage::format;
use domovoi::storage::log_store::{LogStore, Pending, Staged};
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::note::NoteSigner;
use domovoi::tlog::tile::{BundleId, LogPath, decode_bundle};
use stateright::{Model, Property};

use super::blind::Bug;
use super::disk::{Image, cuts};
use super::region::{Phase, Place, Region, Who};
use super::scene::{SCENE, record};
use super::spec::Say;
use crate::rules::world::key;

/// What the node does wrong. Each stands for one thing the real one takes care of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slip {
    None,
    /// It signs a head before the batch is journalled.
    SignsFirst,
    /// It answers before the batch is journalled.
    AnswersFirst,
    /// At the start it throws away a batch that was journalled but not published.
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

/// What is written in one batch: a record and its commit; at first all that the scene begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Batch {
    Scene,
    Say(Say),
}

/// A step of the process since it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Opens the store: recovery rolls forward.
    Open,
    /// The operator's word about the highest head that anybody knows; without it a restored log stays closed.
    Confirm(Option<u64>),
    /// Journals a batch.
    Stage(Batch),
    Tiles,
    Fence,
    Sign,
    Publish,
}

/// A running process: the image it was started on, what it did since.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    from: Image,
    steps: Vec<Step>,
}

/// What one run of a process came to.
struct Ran {
    after: Image,
    /// What a crash during the last step can leave.
    cuts: Vec<Image>,
    /// Code of the error that ended it.
    refused: Option<&'static str>,
    /// Entries under the published head, and under the head that is to be signed next: staged or rolled forward.
    published: Log,
    next: Option<Log>,
    /// The fence came out of a backup.
    restored: bool,
    /// The next thing to do after the last step.
    at: At,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Idle,
    Staged,
    Written,
    Fenced,
}

/// Entries of a log.
type Log = Arc<Vec<Vec<u8>>>;

/// The regions whose logs the model writes, by their entries.
static REGIONS: LazyLock<Mutex<HashMap<Log, (Region, bool)>>> = LazyLock::new(|| {
    let scene = SCENE.regions[0].clone();
    Mutex::new(HashMap::from([(scene.log.clone(), (scene, false))]))
});

static LONGER: LazyLock<Mutex<HashMap<(Log, Say), Log>>> = LazyLock::new(Mutex::default);

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

fn signer() -> NoteSigner {
    NoteSigner::new(Place::A.origin(), key(220)).unwrap()
}

/// A directory in memory, where there is one; the store takes the same steps as on a disk.
fn scratch() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

/// What may be written next: at first everything the scene begins with, then a transfer, a succession, or a management.
fn choices(log: &Log) -> Vec<Batch> {
    if log.is_empty() {
        return vec![Batch::Scene];
    }
    let region = REGIONS.lock().unwrap()[log].0.clone();
    let owner = region.spec.holder(region.spec.owner);
    let all = [Say::Transfer(owner, 1 - owner), Say::Succeed(0, 1), Say::Assign(1)];
    let lawful = |say: &Say| region.spec.lawful(*say, signers(*say), true, Phase::Now);
    all.into_iter().filter(lawful).take(2).map(Batch::Say).collect()
}

fn signers(say: Say) -> &'static [Who] {
    match say {
        Say::Transfer(..) => &[Who::Key(0), Who::Key(1)],
        Say::Succeed(..) => &[Who::Root(Place::A)],
        _ => &[Who::Key(1)],
    }
}

/// The log with one more record and its commit.
fn longer(log: &Log, batch: Batch) -> Log {
    let Batch::Say(say) = batch else { return SCENE.regions[0].log.clone() };
    if let Some(next) = LONGER.lock().unwrap().get(&(log.clone(), say)) {
        return next.clone();
    }
    let region = REGIONS.lock().unwrap()[log].0.clone();
    let overlay = region.overlay(Phase::Now, Bug::None);
    let signed = record(&region, &overlay, say, signers(say), true);
    region.judge(&overlay, &signed, Phase::Now).unwrap();
    let next = region.with(signed, say, region.spec.apply(say)).commit(Phase::Now, Bug::None);
    LONGER.lock().unwrap().insert((log.clone(), say), next.log.clone());
    REGIONS.lock().unwrap().entry(next.log.clone()).or_insert_with(|| (next.clone(), false));
    next.log
}

/// Whoever replays the entries has the state of the writer, and with it the owner.
fn replays(log: &Log) -> bool {
    let Some((region, done)) = REGIONS.lock().unwrap().get(log).cloned() else { return log.is_empty() };
    let good = done || region.replays();
    REGIONS.lock().unwrap().insert(log.clone(), (region, good));
    good
}

/// Entries of the log of `size` entries, read from its bundle.
fn entries(image: &Image, size: u64) -> Log {
    let id = BundleId { index: 0, width: size as u16 };
    let Some(bytes) = image.0.get(&format!("log/{}", LogPath::from(id))) else { return Log::default() };
    let places = decode_bundle(bytes, id.width).unwrap();
    Arc::new(places.into_iter().map(|place| bytes[place].to_vec()).collect())
}

struct Live {
    store: LogStore,
    pending: Option<Pending>,
    staged: Option<Staged>,
    log: Log,
    at: At,
}

fn take(live: &mut Option<Live>, dir: &Path, step: Step) -> Result<()> {
    if step == Step::Open {
        let (store, pending) = LogStore::open(&dir.join("log"), &dir.join("private"), &[signer().verifier()])?;
        let at = if pending.is_some() { At::Fenced } else { At::Idle };
        let log = Log::default();
        *live = Some(Live { store, pending, staged: None, log, at });
        return Ok(());
    }
    let live = live.as_mut().unwrap();
    match step {
        Step::Open | Step::Sign => {}
        Step::Confirm(word) => live.store.confirm_restored(word)?,
        Step::Stage(batch) => {
            let reader = live.store.reader();
            let log: Log = Arc::new(reader.entries(0..reader.size())?.iter().map(<[u8]>::to_vec).collect());
            live.log = longer(&log, batch);
            live.staged = Some(live.store.stage(live.log[log.len()..].to_vec())?);
            live.at = At::Staged;
        }
        Step::Tiles => {
            live.store.write_tiles(live.staged.as_ref().unwrap())?;
            live.at = At::Written;
        }
        Step::Fence => {
            live.store.fence(live.staged.as_ref().unwrap())?;
            live.at = At::Fenced;
        }
        Step::Publish => {
            let note = |size, root| Checkpoint { origin: Place::A.origin().into(), size, root }.sign(&signer());
            match (live.pending.take(), live.staged.take()) {
                (Some(p), _) => {
                    let text = note(p.size, p.root)?;
                    live.store.publish_pending(p, &text)?;
                }
                (None, Some(s)) => {
                    let text = note(s.new_size, s.root)?;
                    live.store.publish(s, &text)?;
                }
                (None, None) => panic!("nothing to publish"),
            }
            live.at = At::Idle;
        }
    }
    Ok(())
}

type Runs = HashMap<([u8; 32], Vec<Step>), Arc<Ran>>;

static RUNS: LazyLock<Mutex<Runs>> = LazyLock::new(Mutex::default);

/// Runs a process for real, from its start.
fn run(process: &Process) -> Arc<Ran> {
    let slot = (process.from.digest(), process.steps.clone());
    if let Some(ran) = RUNS.lock().unwrap().get(&slot) {
        return ran.clone();
    }
    let dir = scratch();
    process.from.write(dir.path());
    let (mut live, mut refused, mut before) = (None, None, process.from.clone());
    for (i, step) in process.steps.iter().enumerate() {
        if i + 1 == process.steps.len() {
            before = Image::read(dir.path());
        }
        refused = take(&mut live, dir.path(), *step).err().map(|e| e.code());
    }
    let after = Image::read(dir.path());
    let live = live.as_ref();
    let next = live.and_then(|l| match (&l.pending, &l.staged) {
        (Some(p), _) => Some(entries(&after, p.size)),
        (None, Some(_)) => Some(l.log.clone()),
        (None, None) => None,
    });
    let ran = Arc::new(Ran {
        cuts: cuts(&before, &after),
        refused,
        published: live.map_or(Log::default(), |l| entries(&after, l.store.reader().size())),
        next,
        restored: live.is_some_and(|l| l.store.fence_state().age == Age::Restored),
        at: live.map_or(At::Idle, |l| l.at),
        after,
    });
    RUNS.lock().unwrap().insert(slot, ran.clone());
    ran
}

/// A backup of the running node, as a restore of it puts it on the disk.
fn backed_up(process: &Process) -> Image {
    let (from, to) = (scratch(), scratch());
    process.from.write(from.path());
    let mut live = None;
    for step in &process.steps {
        take(&mut live, from.path(), *step).unwrap();
    }
    let (out, data) = (to.path().join("backup"), to.path().join("data"));
    backup::backup(&live.unwrap().store.reader(), &[], &out).unwrap();
    backup::restore(&out, &data).unwrap();
    Image::read(&data).without(format::FILE)
}

impl Writing {
    /// What the process found wrong before it even opens the store.
    fn started(&self, disk: &Image) -> Process {
        let mut from = disk.clone();
        if self.slip == Slip::CutsBack {
            from = from.without("private/journal");
        }
        if self.slip == Slip::RemakesFence
            && let Some(note) = disk.0.get("log/checkpoint").filter(|_| !disk.0.contains_key("private/fence"))
        {
            let opened = Checkpoint::open(note, signer().verifier(), Place::A.origin()).unwrap();
            let head = opened.checkpoint();
            let fence = Fence { size: head.size, root: head.root, age: Age::Known };
            from = from.with_file("private/fence", fence.to_text().into_bytes());
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
                    let fence = String::from_utf8(disk.0["private/fence"].to_vec()).unwrap();
                    disk = disk.with_file("private/fence", fence.replace("restored", "known").into_bytes());
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
