//! What others say of this node's logs, and what this node says as a mirror and a verifier of theirs.
//!
//! Lines of others are gathered by `sync` and put on the published checkpoint here. This node's own lines stand on the
//! checkpoints of its mirrors as they are served: there the log's node finds them. They are made when they are asked for,
//! since only then their time matters.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use super::charters::read_chain;
use super::federation_log::FederationView;
use super::log_view::LogView;
use super::{Followed, Node};
use crate::error::{Error, Result};
use crate::federation::charter::VerifiedCharter;
use crate::federation::roster::{Line, Member, Roster};
use crate::storage::log_store::LogReader;
use crate::tlog::checkpoint::{Head, MAX_CHECKPOINT_LEN};
use crate::tlog::cosignature::{Cosigner, CosignerKey};
use crate::tlog::note::Note;

/// A line of this node's own is made anew after this time, milliseconds.
const RENEW: u64 = 60_000;
/// How far the time of a commit may be from this node's clock for the verifier, milliseconds.
pub const TIME_TOLERANCE: u64 = 5 * 60_000;

/// A log that this node writes.
#[derive(Clone)]
pub enum OwnLog {
    /// A region's.
    Region(Arc<LogView>),
    /// The federation's.
    Federation(Arc<FederationView>),
}

impl OwnLog {
    /// The logs of a node.
    pub fn all(node: &Node) -> Vec<OwnLog> {
        let region = node.own().cloned().map(OwnLog::Region);
        region.into_iter().chain(node.federation().cloned().map(OwnLog::Federation)).collect()
    }
    /// Origin of the log.
    pub fn origin(&self) -> &str {
        match self {
            OwnLog::Region(view) => &view.origin,
            OwnLog::Federation(view) => &view.origin,
        }
    }
    /// Its files.
    pub fn reader(&self) -> &LogReader {
        match self {
            OwnLog::Region(view) => &view.reader,
            OwnLog::Federation(view) => &view.reader,
        }
    }
    /// Puts a note with more signatures in the place of the published one; false where the log has moved on. Blocking.
    ///
    /// # Errors
    /// Those of the disk and of the note's form.
    pub fn replace(&self, note: &str) -> Result<bool> {
        match self {
            OwnLog::Region(view) => view.replace_checkpoint(note),
            OwnLog::Federation(view) => view.replace_checkpoint(note),
        }
    }
    /// The charter that names its cosigners. Blocking.
    ///
    /// # Errors
    /// Those of the charter.
    pub fn charter(&self, node: &Node) -> Result<VerifiedCharter> {
        match self {
            OwnLog::Region(view) => Ok(view.charter()),
            OwnLog::Federation(_) => Ok(read_chain(&node.layout.federation())?.latest().clone()),
        }
    }
}

/// How many have cosigned a checkpoint, of those whom the charter names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Signed {
    /// Whose lines are on the checkpoint.
    pub signed: u32,
    /// How many the charter asks for.
    pub needed: u32,
    /// How many there are.
    pub known: u32,
}

/// Cosignatures of a published checkpoint, by what they say. The node that writes the log is never counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct CosignedView {
    /// Saw an append-only log.
    pub witness: Signed,
    /// Hold a durable copy and serve it.
    pub mirror: Signed,
    /// Replayed every record.
    pub verifier: Signed,
}

impl CosignedView {
    /// Counts the lines of a checkpoint.
    ///
    /// # Errors
    /// Those of the note's form.
    pub fn of(roster: &Roster, checkpoint: &str) -> Result<CosignedView> {
        Ok(CosignedView::of_notes(roster, &[&Note::parse(checkpoint.as_bytes())?]))
    }
    /// Counts the lines of several notes of one head.
    pub fn of_notes(roster: &Roster, notes: &[&Note]) -> CosignedView {
        let (signed, known, needed) = (roster.count_in(notes), roster.known(), roster.quorums);
        CosignedView {
            witness: Signed { signed: signed.witness, needed: needed.witness, known: known.witness },
            mirror: Signed { signed: signed.mirror, needed: needed.mirror, known: known.mirror },
            verifier: Signed { signed: signed.verifier, needed: needed.verifier, known: known.verifier },
        }
    }
    /// Counts the lines on a log's published checkpoint, by its own charter; none before the first checkpoint.
    pub fn of_view(view: &LogView) -> Option<CosignedView> {
        let checkpoint = view.reader.checkpoint_text()?;
        CosignedView::of(&Roster::of(&view.charter(), &view.origin), &checkpoint).ok()
    }
    /// True where every quorum is reached.
    pub fn is_enough(&self) -> bool {
        [self.witness, self.mirror, self.verifier].iter().all(|kind| kind.signed >= kind.needed)
    }
}

/// Gathers the lines of one head of one log.
#[derive(Debug)]
pub struct Gathering {
    /// The checkpoint's text.
    pub text: String,
    /// Its origin, size and root, as the text says them.
    pub size: u64,
    log: crate::tlog::note::NoteSignature,
    lines: Vec<Line>,
}

impl Gathering {
    /// Begins with a published note: what it bears by keys of the roster is taken as gathered.
    ///
    /// # Errors
    /// Those of the note's form.
    pub fn of(checkpoint: &str, roster: &Roster) -> Result<Gathering> {
        let note = Note::parse(checkpoint.as_bytes())?;
        let size = Head::parse(note.text())?.size;
        let none = || Error::stop("log.checkpoint", "the published checkpoint has no signature", "run «domovoi fsck»");
        // The log's own line stands first on every note that is published here.
        let log = note.signatures().first().cloned().ok_or_else(none)?;
        let mut gathering = Gathering { text: note.text().to_owned(), size, log, lines: Vec::new() };
        for key in roster.members.iter().flat_map(Member::keys) {
            if let Some(line) = note.signatures().iter().find(|line| key.made(line))
                && let Ok(time) = key.time_of_line(note.text(), line)
            {
                gathering.lines.push(Line { key: key.clone(), line: line.clone(), time });
            }
        }
        Ok(gathering)
    }
    /// Takes a verified line; one by the same key goes.
    pub fn add(&mut self, line: Line) {
        self.lines.retain(|known| known.key != line.key);
        self.lines.push(line);
    }
    /// Time of the line by this key, Unix seconds.
    pub fn time_of(&self, key: &CosignerKey) -> Option<u64> {
        self.lines.iter().find(|line| line.key == *key).map(|line| line.time)
    }
    /// The note to publish.
    ///
    /// # Errors
    /// Those of the note's form.
    pub fn note(&self, roster: &Roster) -> Result<String> {
        roster.note(&self.text, self.log.clone(), &self.lines).map(|note| note.to_string())
    }
}

/// What was seen of a followed log: its head, and the start of the last round that found it so, Unix milliseconds.
#[derive(Debug, Clone, Copy)]
struct Observed {
    head: u64,
    seen: u64,
    /// The head's commit bears a time that it cannot have.
    untimely: bool,
}

/// A checkpoint as it was published, as it is served, and when that was made.
type Served = (Arc<str>, Arc<str>, u64);

/// This node's words about the logs it mirrors.
#[derive(Default)]
pub struct OwnWords {
    mirror: Option<Cosigner>,
    verifier: Option<Cosigner>,
    served: Mutex<BTreeMap<String, Served>>,
    observed: Mutex<BTreeMap<String, Observed>>,
}

impl OwnWords {
    /// With these keys.
    pub fn new(mirror: Option<Cosigner>, verifier: Option<Cosigner>) -> OwnWords {
        OwnWords { mirror, verifier, ..OwnWords::default() }
    }

    /// Looks at the followed logs, to know later whether a new commit's time can be true: one that was not there when the
    /// log was last asked was not made before. Cheap; to be called a few times an interval.
    pub fn observe(&self, node: &Node) {
        let mut observed = self.observed.lock();
        for followed in node.followed() {
            let Some(head) = followed.view.head() else { continue };
            let (attempt, success) = {
                let status = followed.status.read();
                (status.last_attempt.unwrap_or(0), status.last_success.unwrap_or(0))
            };
            let now = observed.entry(followed.view.origin.clone()).or_insert(Observed {
                head: head.index,
                seen: 0,
                untimely: false,
            });
            if now.head != head.index {
                let untimely = head.time.saturating_add(TIME_TOLERANCE) < now.seen;
                *now = Observed { head: head.index, untimely, ..*now };
                if untimely {
                    tracing::warn!(log = %followed.view.origin, commit = head.time, seen = now.seen, "a commit bears a time before this node last asked: it is not cosigned as verified");
                }
            }
            if success >= attempt {
                now.seen = attempt;
            }
        }
    }

    /// The checkpoint of a followed log as this node serves it, with its own lines: only where it is of the very commit that
    /// the records were replayed to, and the log is not held. `now_ms`: Unix milliseconds.
    ///
    /// # Errors
    /// Those of the note's form.
    pub fn checkpoint(&self, followed: &Followed, now_ms: u64) -> Result<Option<Arc<str>>> {
        let view = &followed.view;
        let Some(published) = view.reader.checkpoint_text() else { return Ok(None) };
        if self.mirror.is_none() && self.verifier.is_none() || followed.status.read().held.is_some() {
            return Ok(Some(published));
        }
        if let Some((of, served, made)) = self.served.lock().get(&view.origin)
            && Arc::ptr_eq(of, &published)
            && (*made..made.saturating_add(RENEW)).contains(&now_ms)
        {
            return Ok(Some(served.clone()));
        }
        let mut note = Note::parse(published.as_bytes())?;
        let Some(head) = view.head().filter(|h| Head::parse(note.text()).is_ok_and(|c| c.size == h.index + 1)) else {
            return Ok(Some(published));
        };
        let verifier = self.verifier.as_ref().filter(|_| self.is_timely(&view.origin, head.index, head.time, now_ms));
        let own = self.mirror.iter().chain(verifier).map(|cosigner| cosigner.cosign(note.text(), now_ms / 1000));
        let own = own.collect::<Result<Vec<_>>>()?;
        let room: usize = own.iter().map(|line| line.to_string().len() + 1).sum();
        if published.len() + room > MAX_CHECKPOINT_LEN {
            // The log's own line is the first; what others said of it, its own node serves.
            note = Note::of(note.text(), note.signatures().iter().take(1).cloned().collect())?;
        }
        own.into_iter().try_for_each(|line| note.add_line(line))?;
        let served: Arc<str> = note.to_string().into();
        self.served.lock().insert(view.origin.clone(), (published, served.clone(), now_ms));
        Ok(Some(served))
    }

    fn is_timely(&self, origin: &str, head: u64, time: u64, now_ms: u64) -> bool {
        let observed = self.observed.lock().get(origin).is_none_or(|o| o.head != head || !o.untimely);
        observed && time <= now_ms.saturating_add(TIME_TOLERANCE)
    }
}
