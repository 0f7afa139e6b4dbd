//! Durability: what survives a power cut, a failing disk, a killed process and a flipped bit.
//!
//! [`witness`] knows what clients know (every acknowledgement, every checkpoint anybody saw) and holds a node against it.
//! [`ten`] are regions that a node follows beside its own log, so that all of this can be done to such a node, too.
//! [`disk`] is a block device with a volatile write cache, whose power can be cut; [`shim`] makes system calls fail.
//! [`powercut`], [`faults`] and [`flips`] use them; `scripts/powercut` and `scripts/faults` run them at full length.

pub mod disk;
pub mod faults;
pub mod flips;
pub mod powercut;
pub mod shim;
pub mod ten;
pub mod twice;
pub mod witness;
