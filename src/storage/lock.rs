//! One process at a time: an advisory lock on a file, given back by the kernel however the process ends; and one process
//! of a machine for a key, whatever directory it has it from.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use data_encoding::HEXLOWER;
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};

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

/// The right to sign with a key on this machine, held as long as the value lives: two copies of a data directory have two
/// lock files, and would sign two logs. It is a socket in the abstract namespace, which needs no place in a file system and
/// ends with the process. Processes in different network namespaces (containers) do not see each other.
#[derive(Debug)]
pub struct KeyClaim(#[allow(dead_code, reason = "closing the socket is what gives the claim back")] UnixListener);

impl KeyClaim {
    /// Claims `key`. The name of the claim follows from a signature, so that nobody without the key can take it first.
    ///
    /// Errors: `storage.key-in-use` if another process has it.
    pub fn acquire(key: &SigningKey) -> Result<KeyClaim> {
        let signature = key.sign(b"domovoi: one process of a machine signs with this key");
        let name = format!("domovoi-{}", HEXLOWER.encode(&Sha256::digest(signature.to_bytes())));
        let bound = SocketAddr::from_abstract_name(name.as_bytes()).and_then(|a| UnixListener::bind_addr(&a));
        bound.map(KeyClaim).map_err(|e| {
            Error::stop(
                "storage.key-in-use",
                format!("another process on this machine works with the same log key, in this or another directory: {e}"),
                "stop the other domovoi first; if this directory is a copy of its data, do not start it at all: two copies fork the log",
            )
        })
    }
}
