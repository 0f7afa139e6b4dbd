//! What lies where in a node's data directory.
//!
//! ```text
//! FORMAT            version of this layout
//! domovoi.toml      configuration (unless it is kept elsewhere)
//! charter.json      the pinned charter
//! charters/         every charter version after it: <version>.json
//! origin            origin of the node's own log; absent on a node that only follows
//! founding.jsonl    records that found the own log, until its first start
//! keys/             encrypted PKCS#8: federation-root, region-root, log, commit, operator; of cosigners also <role>.vkey
//! log/              the log, as C2SP files, for any static web server
//! log.vkey          its key as a vkey line
//! private/          journal, signing fence, lock; `ahead`: a longer head of this log that others showed
//! index/            the sled index, and the hot file of the last clean stop (can be rebuilt)
//! mirrors/<hash>/   followed logs: charter.json, charters/, source, log/, index/, evidence/
//! federation/       the federation's log, on the node that writes it: laid out like a data directory
//! witness/heads     what the node's witness has cosigned last, per log
//! tls/              the development certificate
//! ```

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::storage::durable::read_bounded;

/// Paths of a data directory.
#[derive(Debug, Clone)]
pub struct Layout(PathBuf);

impl Layout {
    /// The layout of `data`.
    pub fn new(data: &Path) -> Layout {
        Layout(data.to_owned())
    }
    /// The data directory itself.
    pub fn data(&self) -> &Path {
        &self.0
    }
    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.0.join("domovoi.toml")
    }
    /// The pinned charter.
    pub fn charter(&self) -> PathBuf {
        self.0.join("charter.json")
    }
    /// Folder of the charter versions after the pinned one.
    pub fn charters(&self) -> PathBuf {
        self.0.join("charters")
    }
    /// File that names the own log's origin.
    pub fn origin_file(&self) -> PathBuf {
        self.0.join("origin")
    }
    /// True where the node writes a log of its own.
    pub fn has_own_log(&self) -> bool {
        self.origin_file().exists()
    }
    /// Origin of the own log.
    pub fn origin(&self) -> Result<String> {
        let bytes = read_bounded(&self.origin_file(), 512)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }
    /// The records that found the own log, until they are in it.
    pub fn founding(&self) -> PathBuf {
        self.0.join("founding.jsonl")
    }
    /// A key file by its role.
    pub fn key(&self, role: &str) -> PathBuf {
        self.0.join("keys").join(format!("{role}.pem"))
    }
    /// Name and public half of a cosigner's key.
    pub fn cosigner(&self, role: &str) -> PathBuf {
        self.0.join("keys").join(format!("{role}.vkey"))
    }
    /// What the witness has cosigned last.
    pub fn witness(&self) -> PathBuf {
        self.0.join("witness").join("heads")
    }
    /// Folder of the witness: besides, evidence against logs that this node does not follow.
    pub fn witness_folder(&self) -> Layout {
        Layout(self.0.join("witness"))
    }
    /// The log's C2SP files.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }
    /// The log's key as a vkey line.
    pub fn vkey(&self) -> PathBuf {
        self.0.join("log.vkey")
    }
    /// Journal, fence, lock.
    pub fn private(&self) -> PathBuf {
        self.0.join("private")
    }
    /// The signing fence.
    pub fn fence(&self) -> PathBuf {
        self.private().join("fence")
    }
    /// The index.
    pub fn index(&self) -> PathBuf {
        self.0.join("index")
    }
    /// The rows of the state as of the last clean stop.
    pub fn hot(&self) -> PathBuf {
        self.index().join("hot")
    }
    /// Development certificate.
    pub fn tls(&self) -> PathBuf {
        self.0.join("tls")
    }
    /// Everything kept of the followed log with this origin, laid out like a data directory.
    pub fn mirror(&self, origin: &str) -> Layout {
        Layout(self.0.join("mirrors").join(origin_hash(origin)))
    }
    /// Everything of the federation's log, laid out like a data directory.
    pub fn federation(&self) -> Layout {
        Layout(self.0.join("federation"))
    }
    /// File of a mirror that names the source it is of, as the configuration does.
    pub fn source(&self) -> PathBuf {
        self.0.join("source")
    }
    /// Folder of evidence against a followed log.
    pub fn evidence(&self) -> PathBuf {
        self.0.join("evidence")
    }
}

/// Lower-case hex SHA-256 of an origin, as in `/mirror/<hash>/…`.
pub fn origin_hash(origin: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(origin.as_bytes()))
}
