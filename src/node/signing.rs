//! Whether this node may sign: the gate in front of its log's writer.
//!
//! A data directory cannot tell by itself whether it is the newest one: it may be a backup, a copy, or a disk that was
//! rolled back. So the writer of a node that has somebody to ask waits here until the answers are in, and nothing is
//! signed before. What contradicts the log closes the gate for good (docs/protocol.md, "The log never forks").

use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Action, Error};

enum State {
    /// The first answers are not in yet. Submissions wait.
    Asking,
    /// Not yet, and this is why. Submissions are told so.
    Waiting(Error),
    Allowed,
    /// Never again with what is in this directory.
    Forbidden(Error),
}

/// The gate. Cheap to clone; all clones are one gate.
#[derive(Clone)]
pub struct Signing(Arc<Mutex<State>>);

impl Signing {
    /// The gate of a node that asks nobody: open.
    pub fn allowed() -> Signing {
        Signing(Arc::new(Mutex::new(State::Allowed)))
    }
    /// Closed until [`Signing::allow`].
    pub fn asking() -> Signing {
        Signing(Arc::new(Mutex::new(State::Asking)))
    }
    /// Opens the gate, unless it was closed for good. True where it is open now.
    pub fn allow(&self) -> bool {
        let mut state = self.0.lock();
        if !matches!(*state, State::Forbidden(_)) {
            *state = State::Allowed;
        }
        matches!(*state, State::Allowed)
    }
    /// Says why the gate is not open yet. Whoever hands something in is told to come again.
    pub fn wait_for(&self, why: Error) {
        let mut state = self.0.lock();
        if matches!(*state, State::Asking | State::Waiting(_)) {
            *state = State::Waiting(why.with_action(Action::Retry));
        }
    }
    /// Closes the gate for good: the batch in progress is the last one.
    pub fn forbid(&self, why: Error) {
        *self.0.lock() = State::Forbidden(why.with_action(Action::Retry));
    }
    /// True where the writer may sign.
    pub fn is_allowed(&self) -> bool {
        matches!(*self.0.lock(), State::Allowed)
    }
    /// True after [`Signing::forbid`].
    pub fn is_forbidden(&self) -> bool {
        matches!(*self.0.lock(), State::Forbidden(_))
    }
    /// Why nothing is signed, where that is known and told.
    pub fn refusal(&self) -> Option<Error> {
        match &*self.0.lock() {
            State::Asking | State::Allowed => None,
            State::Waiting(why) | State::Forbidden(why) => Some(why.clone()),
        }
    }
}
