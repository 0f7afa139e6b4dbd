//! Cosignatures come after a checkpoint is published: they take its place in the file and before readers, while the writer of
//! the log goes on.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::durable::write_atomic;
use super::reader::{LogReader, Published, parse_checkpoint};
use crate::error::Result;

/// Puts the same head with more signatures in the place of a published checkpoint. From [`super::log_store::LogStore::lines`].
#[derive(Clone)]
pub struct CheckpointLines {
    pub(super) path: PathBuf,
    pub(super) reader: LogReader,
    /// Whoever writes the checkpoint file holds this.
    pub(super) turn: Arc<Mutex<()>>,
}

impl CheckpointLines {
    /// Reads the log.
    pub fn reader(&self) -> &LogReader {
        &self.reader
    }

    /// Puts `note` in the place of the published checkpoint, if that is still of the same head; false where the log has moved
    /// on. Durable, then visible. The note's signatures are the caller's to have verified, the log's own among them.
    ///
    /// # Errors
    /// Those of the note's form; `disk.write`: the checkpoint stands as it was.
    pub fn replace(&self, note: &str) -> Result<bool> {
        let head = parse_checkpoint(note)?;
        let _turn = self.turn.lock();
        let published = self.reader.published();
        let same = (published.served, published.size, published.root) == (head.size, head.size, head.root);
        if same && published.checkpoint.as_deref() != Some(note) {
            write_atomic(&self.path, note.as_bytes())?;
            self.reader.set(Published { checkpoint: Some(Arc::from(note)), ..(*published).clone() });
        }
        Ok(same)
    }
}
