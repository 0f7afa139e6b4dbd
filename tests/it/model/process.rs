//! A node's process over a data directory: the real store, step by step, and what a stop in the middle can leave.
//!
//! Every step runs for real, on a directory that is filled from an [`Image`] and read back afterwards.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use domovoi::error::Result;
use domovoi::storage::backup;
use domovoi::storage::fence::Age;
use domovoi::storage::format;
use domovoi::storage::log_store::{LogStore, Pending, Staged};
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::note::NoteSigner;
use domovoi::tlog::tile::{BundleId, LogPath, decode_bundle};

use super::blind::{Blind, Bug};
use super::disk::{Image, cuts};
use super::region::{Phase, Place, Region, Who};
use super::scene::{SCENE, record};
use super::spec::Say;

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
pub struct Process {
    pub from: Image,
    pub steps: Vec<Step>,
}

/// What one run of a process came to.
pub struct Ran {
    pub after: Image,
    /// What a crash during the last step can leave.
    pub cuts: Vec<Image>,
    /// Code of the error that ended it.
    pub refused: Option<&'static str>,
    /// Entries under the published head, and under the head that is to be signed next: staged or rolled forward.
    pub published: Log,
    pub next: Option<Log>,
    /// The fence came out of a backup.
    pub restored: bool,
    /// The next thing to do after the last step.
    pub at: At,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    Idle,
    Staged,
    Written,
    Fenced,
}

/// Entries of a log.
pub type Log = Arc<Vec<Vec<u8>>>;

/// The regions whose logs the model writes, by their entries.
pub static REGIONS: LazyLock<Mutex<HashMap<Log, (Region, bool)>>> = LazyLock::new(|| {
    let scene = SCENE.regions[0].clone();
    Mutex::new(HashMap::from([(scene.log.clone(), (scene, false))]))
});

static LONGER: LazyLock<Mutex<HashMap<(Log, Say), Log>>> = LazyLock::new(Mutex::default);

pub fn signer() -> NoteSigner {
    Place::A.log_signer()
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
pub fn choices(log: &Log) -> Vec<Batch> {
    if log.is_empty() {
        return vec![Batch::Scene];
    }
    let region = REGIONS.lock().unwrap()[log].0.clone();
    let owner = region.spec.holder(region.spec.owner);
    let all = [Say::Transfer(owner, 1 - owner), Say::Succeed(0, 1), Say::Assign(1)];
    let lawful = |say: &Say| region.spec.lawful(*say, signers(*say), true, Phase::Now, &SCENE.regions[1].spec, &[]);
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
pub fn longer(log: &Log, batch: Batch) -> Log {
    let Batch::Say(say) = batch else { return SCENE.regions[0].log.clone() };
    if let Some(next) = LONGER.lock().unwrap().get(&(log.clone(), say)) {
        return next.clone();
    }
    let region = REGIONS.lock().unwrap()[log].0.clone();
    let overlay = region.overlay(Phase::Now, Bug::None);
    let signed = record(&region, &overlay, say, signers(say), true);
    region.judge(&Blind::new(&overlay, Bug::None), &signed, Phase::Now).unwrap();
    let next = region.with(signed, say, region.spec.apply(say, &SCENE.regions[1].spec)).commit(Phase::Now, Bug::None);
    LONGER.lock().unwrap().insert((log.clone(), say), next.log.clone());
    REGIONS.lock().unwrap().entry(next.log.clone()).or_insert_with(|| (next.clone(), false));
    next.log
}

/// Whoever replays the entries has the state of the writer, and with it the owner.
pub fn replays(log: &Log) -> bool {
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
pub fn run(process: &Process) -> Arc<Ran> {
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
pub fn backed_up(process: &Process) -> Image {
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
