//! Storage: the log on disk, and what can be rebuilt from it.
//!
//! **Truth is the log**: plain immutable files in C2SP tile layout, in a directory that any static web server can serve.
//! Everything a node keeps beside it is either small and fenced (what it is about to sign) or derived (the index).
//!
//! How a batch passes through, in this order, each step durable before the next:
//!
//! 1. [`journal`] – entries, sizes and intended root, one record, one fdatasync. From here on the batch will be in the log.
//! 2. `edge` – the right edge of the tree in memory, from which new tiles and bundles are computed without reading any.
//! 3. [`durable`] – all of them are written: temp → fdatasync → rename → fsync of the directory.
//! 4. [`fence`] – the head that is about to be signed.
//! 5. The node signs. [`log_store`] puts the checkpoint in place; only then do readers ([`log_store::LogReader`]) see it.
//! 6. [`index`] – the node writes its derived rows behind, on a thread of its own. At a clean stop they are written once
//!    more, into the [`hot`] file, which the next start reads.
//!
//! A start goes the same way: [`log_store::LogStore::open`] takes the lock, holds tiles against checkpoint, journal and
//! fence, rolls an interrupted batch forward, and refuses to go on where signing could fork the log.
//!
//! Beside that: [`mirror_store`] keeps a verified copy of somebody else's log; [`witness_store`] what this node's witness has cosigned; [`fsck`] checks any log completely;
//! [`repair`] restores of a log what is redundant in it; [`backup`] copies a running node and restores it; [`keys`] are encrypted PKCS#8 files; [`mod@format`] names the version of
//! the data directory.
//!
//! [`cut`] takes the own log to where the charter has cut it.
//!
//! What never happens here: cutting a log back by itself, showing what is not durable, signing, knowing what an entry means, HTTP.
//! A failed write closes the store until the next start, since after it nobody knows what the disk has.

pub mod backup;
pub mod checkpoint_lines;
pub mod cut;
pub mod durable;
mod edge;
pub mod evidence_store;
pub mod fence;
pub mod format;
pub mod fsck;
pub mod hot;
pub mod index;
pub mod journal;
pub mod keys;
pub mod lock;
pub mod log_store;
pub mod mirror_store;
mod reader;
pub mod repair;
pub mod witness_store;
