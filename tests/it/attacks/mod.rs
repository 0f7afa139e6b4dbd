//! Attacks, one named test each, against the real follower, client and server. docs/threat-model.md names them.

mod answers;
mod hostile;
mod scheduling;
mod statements;
mod transport;
mod views;
