//! The federation: which regions take part, and with which keys.
//!
//! A [`charter`] is one signed document. A node starts from one it has pinned (by its SHA-256, learnt other than from the
//! node that serves it) and walks forward version by version; each is signed by thresholds of the root keys before
//! and after. [`chain`] keeps the versions walked through. From the charter in force comes a region's [`Jurisdiction`](crate::registry::state::Jurisdiction): all that
//! the rules of `registry` ask about a log's origin, keys and ОКТМО prefixes.
//!
//! [`roles`] are the parts of a charter beside the regions, [`keys`] what may become of a key from version to version,
//! [`policy`] who must cosign which log, [`roster`] who may and how many have. [`draft`] is a charter that is not signed yet.
//!
//! [`dossier`] verifies an archive about one chat by nothing but such a chain, [`evidence`] a file about a log that broke its word.
//!
//! Order of data: bytes → envelope → decoded body, checked for contradictions → signatures counted →
//! [`VerifiedCharter`](charter::VerifiedCharter), which nothing else can make.
//!
//! What must never happen here: disk, network or a clock (time is passed in); a key with two roles; an expired charter
//! that invalidates what is in a log, for expiry only makes answers stale.

pub mod chain;
pub mod charter;
pub mod dossier;
pub mod draft;
pub mod evidence;
pub mod keys;
pub mod policy;
pub mod roles;
pub mod roster;
