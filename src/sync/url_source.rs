//! A log behind a URL, for `domovoi fsck URL`: blocking reads over the hardened client.

use super::client::{Peer, limit};
use crate::error::Result;
use crate::storage::fsck::FsckSource;
use crate::tlog::tile::LogPath;

/// A log served over HTTP.
pub struct UrlSource {
    peer: Peer,
    runtime: tokio::runtime::Handle,
}

impl UrlSource {
    /// The log at the node `peer`. Must not be used on the runtime's own threads.
    pub fn new(peer: Peer, runtime: tokio::runtime::Handle) -> UrlSource {
        UrlSource { peer, runtime }
    }
}

impl FsckSource for UrlSource {
    fn read(&self, path: &LogPath, max: usize) -> Result<Option<Vec<u8>>> {
        self.runtime.block_on(self.peer.get(&self.peer.log_path(*path), max.min(limit::BUNDLE)))
    }
}
