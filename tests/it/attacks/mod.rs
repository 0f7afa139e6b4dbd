//! Attacks, one named test each, against the real follower, client and server. docs/threat-model.md names them.

mod answers;
mod charters;
mod crowding;
mod hostile;
mod restores;
mod scheduling;
mod statements;
mod transfers;
mod transport;
mod views;
mod witness;
