//! Attacks, one named test each (issue of part D): what a hostile peer, region or network tries, against the real parts.

mod views;
mod witness;
