//! One process at a time: an advisory lock on a file, given back by the kernel however the process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::durable::write_error;
use crate::error::{Error, Result};

/// Held as long as the value lives.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "closing the file is what gives the lock back")] File);

impl Lock {
    /// Takes the lock on the file `path`, which is created if needed and never removed.
    ///
    /// Errors: `storage.locked` if someone else has it, `disk.write`.
    pub fn acquire(path: &Path) -> Result<Lock> {
        let open = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = open.map_err(|e| write_error(path, &e))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(Error::stop(
                "storage.locked",
                format!("{} is held by another process", path.display()),
                "stop the other domovoi that works on this directory first",
            )),
            Err(TryLockError::Error(e)) => Err(write_error(path, &e)),
        }
    }
}
