//! Following other regions' logs (protocol.md, "Sync between nodes").
//!
//! [`client`] fetches and trusts nothing, from [`addresses`] that may be connected to; [`charters`] walks the charter chain forward; [`round`] takes one log one step further, in this order and never another:
//! checkpoint → its signature → bundles → hashes up to the checkpoint's root (which proves both that nothing fetched was
//! changed and that the log extends what was accepted before) → the peer's own tiles → every record's signature, rule and
//! jurisdiction → state root at every commit → durable → visible. [`follower`] keeps one log: its mirror, its index, its
//! status. [`take_in`] verifies, keeps and applies what was fetched. [`hold`] stops it at its last good commit and keeps the evidence; [`gossip`] compares its heads with those that other nodes know; [`alerts`] and [`meters`] tell the operator. [`cut`] holds a copy against what the charter decided of a forked log. [`schedule`] runs all followers, each on its own, with backoff; one that fails
//! never delays another. [`cosign`] asks others to cosign the logs that this node writes.
//!
//! A node with a log of its own asks others about it: [`own_head`] is what they know and what follows from it, [`recovery`] asks
//! at every start and while the node runs, [`rebuild`] fetches what is missing.

pub mod addresses;
pub mod alerts;
pub mod charters;
pub mod client;
pub mod cosign;
pub mod cut;
pub mod follower;
pub mod gossip;
pub mod hold;
pub mod meters;
pub mod own_head;
pub mod rebuild;
pub mod recovery;
pub mod restore;
pub mod round;
pub mod schedule;
pub mod snapshot;
pub mod take_in;
pub mod url_source;
