//! What this node's witness has cosigned last, per log: durable before an answer, and never an older head again.
//!
//! One file: a title line, then frames. A frame is the length of its payload (32 bits, big-endian), the first four bytes of
//! SHA-256 over the hash of the frame before and the length, SHA-256 over that hash and the payload, and the payload: the
//! version of the charter that last cut the log (64 bits, 0 for none), then the checkpoint's note with the log's own line.
//! Later frames win. Many requests that wait at the same time are written together and cost one fdatasync.
//!
//! What a power cut left of the last frames was never answered for: it is cut off. Any other damage is not repaired: a
//! witness that does not know what it said must not go on under its key. A file that is older than what was said cannot be
//! told by itself; whoever sees a later cosignature of this witness's own hands it in ([`WitnessStore::remember`]).

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use parking_lot::{Condvar, Mutex};
use sha2::{Digest, Sha256};

use super::durable::{create_dir, parent_of, read_optional, remove, temp_of, write_atomic, write_error};
use super::lock::Lock;
use crate::error::{Error, Result};
use crate::tlog::checkpoint::Head;
use crate::tlog::note::Note;
use crate::tlog::witness::{MAX_NOTE, Seen};

const TITLE: &[u8] = b"domovoi witness 1\n";
/// Bytes of a frame before its payload.
const FRAME: usize = 4 + 4 + 32;
/// Bytes of the longest payload.
const MAX_PAYLOAD: usize = 8 + MAX_NOTE;
/// The file is written anew, with the last frame of each log alone, once it has grown by as much again and this.
const SLACK: u64 = 4 << 20;
/// Bytes of the largest file: a thousand logs of the longest notes.
const MAX_FILE: u64 = 1000 * (MAX_PAYLOAD + FRAME) as u64 + 2 * SLACK;

/// The head of a log that was cosigned last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// Size and root.
    pub seen: Seen,
    /// Version of the charter that last cut the log before that; 0 where none did.
    pub cut: u64,
    /// The checkpoint with the line of the log's key that was verified.
    pub note: Note,
}

/// The file and what it says.
pub struct WitnessStore {
    path: PathBuf,
    state: Mutex<State>,
    written: Condvar,
    _lock: Lock,
}

struct State {
    heads: BTreeMap<String, (Cosigned, u64)>,
    waiting: Vec<u8>,
    /// Hash of the last frame in the file or waiting.
    chain: [u8; 32],
    /// Number of the group that `waiting` belongs to, and of the last one that is durable.
    group: u64,
    durable: u64,
    writing: bool,
    /// A write failed: what is on disk is known again only after the next start.
    broken: bool,
    file: Option<File>,
    len: u64,
    /// Length when it was written anew.
    base: u64,
}

fn damaged(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::stop(
        "witness.damaged",
        format!("{}: {what}", path.display()),
        "this witness no longer knows what it has cosigned and cosigns nothing; give it new keys («domovoi key cosigner --replace») and name them in the charter",
    )
}

/// A length, so that a changed one is not taken for a frame that was cut short.
fn sum_of_length(chain: &[u8; 32], len: [u8; 4]) -> [u8; 4] {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::new().chain_update(chain).chain_update(len).finalize());
    [a, b, c, d]
}

fn frame(chain: &mut [u8; 32], payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u32).to_be_bytes();
    let sum = sum_of_length(chain, len);
    *chain = Sha256::new().chain_update(*chain).chain_update(payload).finalize().into();
    [&len[..], &sum, chain, payload].concat()
}

fn payload(cosigned: &Cosigned) -> Vec<u8> {
    [&cosigned.cut.to_be_bytes()[..], cosigned.note.to_string().as_bytes()].concat()
}

fn read_payload(bytes: &[u8]) -> Option<(String, Cosigned)> {
    let (cut, note) = bytes.split_first_chunk::<8>()?;
    let note = Note::parse(note).ok()?;
    let head = Head::parse(note.text()).ok()?;
    let (origin, seen) = (head.origin.to_owned(), Seen { size: head.size, root: head.root });
    Some((origin, Cosigned { seen, cut: u64::from_be_bytes(*cut), note }))
}

impl WitnessStore {
    /// Makes the empty file of a new witness, whose key has never signed. Does nothing where there is a file.
    ///
    /// # Errors
    /// `disk.write`.
    pub fn create(path: &Path) -> Result<()> {
        create_dir(parent_of(path))?;
        if path.exists() { Ok(()) } else { write_atomic(path, TITLE) }
    }

    /// Makes the file anew and empty, for a witness that gets a new key.
    ///
    /// # Errors
    /// `disk.write`.
    pub fn replace(path: &Path) -> Result<()> {
        create_dir(parent_of(path))?;
        write_atomic(path, TITLE)
    }

    /// Opens the file, cuts off what a crash left half written, and writes it anew where it has grown.
    ///
    /// # Errors
    /// `witness.lost` where there is none; `witness.damaged`; `storage.locked`; those of the disk.
    pub fn open(path: &Path) -> Result<WitnessStore> {
        create_dir(parent_of(path))?;
        let lock = Lock::acquire(&path.with_extension("lock"))?;
        remove(&temp_of(path))?;
        let bytes = read_optional(path, MAX_FILE)?.ok_or_else(|| {
            Error::stop(
                "witness.lost",
                format!("{} is missing, but the witness has a key", path.display()),
                "what it has cosigned is not known and it cosigns nothing: give it new keys («domovoi key cosigner --replace») and name them in the charter",
            )
        })?;
        let (heads, whole, chain) = read(path, &bytes)?;
        let mut state = State {
            heads,
            waiting: Vec::new(),
            chain,
            group: 1,
            durable: 0,
            writing: false,
            broken: false,
            file: None,
            len: whole,
            base: 0,
        };
        if (bytes.len() as u64) > whole {
            let cut = OpenOptions::new().write(true).open(path);
            cut.and_then(|f| f.set_len(whole).and_then(|()| f.sync_all())).map_err(|e| write_error(path, &e))?;
        }
        if state.is_overgrown() {
            state.write_anew(path)?;
        }
        Ok(WitnessStore { path: path.to_owned(), state: Mutex::new(state), written: Condvar::new(), _lock: lock })
    }

    /// What was cosigned last of this log, durable or about to be.
    pub fn last(&self, origin: &str) -> Option<Cosigned> {
        self.state.lock().heads.get(origin).map(|(cosigned, _)| cosigned.clone())
    }

    /// Logs of which something was cosigned.
    pub fn origins(&self) -> Vec<String> {
        self.state.lock().heads.keys().cloned().collect()
    }

    /// Decides over the head that was cosigned last, records the next one, and returns when it is durable: decision and
    /// record are one step, whoever asks meanwhile. `decide` gives none where that head is to be cosigned again as it is.
    ///
    /// # Errors
    /// Those of `decide`: nothing happened. `witness.broken`, `disk.write`: nothing may be signed.
    pub fn advance(
        &self,
        origin: &str,
        decide: impl FnOnce(Option<&Cosigned>) -> Result<Option<Cosigned>>,
    ) -> Result<Cosigned> {
        let mut state = self.state.lock();
        state.usable(&self.path)?;
        let last = state.heads.get(origin).cloned();
        let (cosigned, group) = match (decide(last.as_ref().map(|(cosigned, _)| cosigned))?, last) {
            (Some(next), _) => {
                let payload = payload(&next);
                // Before anything is changed: what cannot be read back must not be written.
                if payload.len() > MAX_PAYLOAD || read_payload(&payload).is_none_or(|(of, _)| of != origin) {
                    return Err(Error::refuse(
                        "witness.note",
                        "a note that cannot be kept",
                        "send a shorter checkpoint",
                    ));
                }
                let frame = frame(&mut state.chain, &payload);
                state.waiting.extend_from_slice(&frame);
                let group = state.group;
                state.heads.insert(origin.to_owned(), (next.clone(), group));
                (next, group)
            }
            (None, Some(last)) => last,
            (None, None) => {
                return Err(Error::stop("witness.broken", "nothing was cosigned yet", "report this as a defect"));
            }
        };
        while state.durable < group {
            state.usable(&self.path)?;
            if state.writing {
                self.written.wait(&mut state);
                continue;
            }
            // Whoever finds nobody writing writes for all that wait; those that come meanwhile are the next group.
            let (bytes, group) = (std::mem::take(&mut state.waiting), state.group);
            (state.writing, state.group) = (true, group + 1);
            let file = state.file.take();
            let done = parking_lot::MutexGuard::unlocked(&mut state, || append(&self.path, file, &bytes));
            state.writing = false;
            let done = done.map(|file| {
                (state.file, state.durable) = (Some(file), group);
                state.len += bytes.len() as u64;
            });
            // In the same lock, so that no frame is written between the two files.
            let done = done.and_then(|()| if state.is_overgrown() { state.write_anew(&self.path) } else { Ok(()) });
            state.broken |= done.is_err();
            self.written.notify_all();
            done?;
        }
        Ok(cosigned)
    }

    /// Takes a head that this witness's own cosignature shows it has cosigned, if it is a later one than the file has: then
    /// the file is older than it ought to be. True where it was.
    ///
    /// # Errors
    /// Those of [`WitnessStore::advance`].
    pub fn remember(&self, origin: &str, cosigned: Cosigned) -> Result<bool> {
        let mut older = false;
        let next = cosigned;
        self.advance(origin, |last| {
            older = last.is_none_or(|l| (l.cut, l.seen.size) < (next.cut, next.seen.size));
            Ok(if older { Some(next) } else { None })
        })?;
        Ok(older)
    }
}

impl State {
    fn usable(&self, path: &Path) -> Result<()> {
        if !self.broken {
            return Ok(());
        }
        let detail = format!("an earlier write to {} failed", path.display());
        Err(Error::stop("witness.broken", detail, "look at the disk, then start the node again"))
    }

    fn is_overgrown(&self) -> bool {
        self.len > 2 * self.base + SLACK
    }

    /// Writes the last frame of each log, those that wait too.
    fn write_anew(&mut self, path: &Path) -> Result<()> {
        let (mut chain, mut bytes) = ([0; 32], TITLE.to_vec());
        for (cosigned, _) in self.heads.values() {
            bytes.extend_from_slice(&frame(&mut chain, &payload(cosigned)));
        }
        write_atomic(path, &bytes)?;
        self.waiting.clear();
        (self.chain, self.file) = (chain, None);
        (self.len, self.base) = (bytes.len() as u64, bytes.len() as u64);
        (self.durable, self.group) = (self.group, self.group + 1);
        Ok(())
    }
}

fn append(path: &Path, file: Option<File>, bytes: &[u8]) -> Result<File> {
    let write = || {
        let mut file = match file {
            Some(file) => file,
            None => OpenOptions::new().append(true).open(path)?,
        };
        file.write_all(bytes)?;
        file.sync_data()?;
        Ok(file)
    };
    write().map_err(|e| write_error(path, &e))
}

type Read = (BTreeMap<String, (Cosigned, u64)>, u64, [u8; 32]);

/// The heads, how many bytes are whole, and the hash of the last whole frame.
fn read(path: &Path, bytes: &[u8]) -> Result<Read> {
    let mut rest = bytes.strip_prefix(TITLE).ok_or_else(|| damaged(path, "it does not begin as it ought to"))?;
    let (mut heads, mut chain) = (BTreeMap::new(), [0; 32]);
    // What a cut left is shorter than it says, or nothing but zeros.
    while !rest.iter().all(|b| *b == 0) {
        let at = bytes.len() - rest.len();
        let Some((head, after)) = rest.split_first_chunk::<8>() else { break };
        let [a, b, c, d, sum @ ..] = *head;
        if sum_of_length(&chain, [a, b, c, d]) != sum {
            return Err(damaged(path, format!("the frame at byte {at} does not follow the one before")));
        }
        let len = u32::from_be_bytes([a, b, c, d]) as usize;
        let Some((body, after)) = len.checked_add(32).and_then(|len| after.split_at_checked(len)) else { break };
        let mut expected = chain;
        frame(&mut expected, &body[32..]);
        if expected[..] != body[..32] {
            return Err(damaged(path, format!("the frame at byte {at} does not have its hash")));
        }
        let (origin, cosigned) =
            read_payload(&body[32..]).ok_or_else(|| damaged(path, format!("the frame at byte {at} cannot be read")))?;
        heads.insert(origin, (cosigned, 0));
        (chain, rest) = (expected, after);
    }
    Ok((heads, (bytes.len() - rest.len()) as u64, chain))
}
