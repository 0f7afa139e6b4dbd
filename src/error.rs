//! One error type for the whole crate, sorted by what the caller can do about it.
//!
//! Every error names the thing at fault and the reason (`detail`), says what to do (`remedy`) and carries a stable
//! machine-readable `code`. Codes are kebab-case words joined by dots, first word = the layer or thing
//! (`note.signature`, `rule.owner`, `import.date`); they are listed in `docs/errors.md` (a test compares the list with
//! the source) and never change their meaning. `detail` and `remedy` are English; what people read in Russian stands in
//! `src/error_ru.toml`, by code ([`russian`]).

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

/// What the caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The input is wrong: refuse it, change nothing, go on.
    Refuse,
    /// The peer is wrong: keep its last good state, stop listening to it, keep the evidence.
    Isolate,
    /// Nobody is wrong (network, load, a missing file that may come): try again later.
    Retry,
    /// Going on could lose or fork something: stop the process.
    Stop,
}

/// An error: action, stable code, what happened to which thing, and the remedy.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    action: Action,
    code: &'static str,
    detail: String,
    remedy: &'static str,
}

/// Result with the crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    fn new(action: Action, code: &'static str, detail: impl Into<String>, remedy: &'static str) -> Self {
        Error(Box::new(Inner { action, code, detail: detail.into(), remedy }))
    }
    /// The input is to be refused.
    pub fn refuse(code: &'static str, detail: impl Into<String>, remedy: &'static str) -> Self {
        Self::new(Action::Refuse, code, detail, remedy)
    }
    /// The peer is to be isolated.
    pub fn isolate(code: &'static str, detail: impl Into<String>, remedy: &'static str) -> Self {
        Self::new(Action::Isolate, code, detail, remedy)
    }
    /// The operation may be tried again later.
    pub fn retry(code: &'static str, detail: impl Into<String>, remedy: &'static str) -> Self {
        Self::new(Action::Retry, code, detail, remedy)
    }
    /// The process must stop.
    pub fn stop(code: &'static str, detail: impl Into<String>, remedy: &'static str) -> Self {
        Self::new(Action::Stop, code, detail, remedy)
    }
    /// The same error with another action: what is a refusal from a client is grounds to isolate a peer.
    pub fn with_action(mut self, action: Action) -> Self {
        self.0.action = action;
        self
    }
    /// The same error with the place it happened put in front of the detail.
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.0.detail = format!("{place}: {}", self.0.detail);
        self
    }
    /// What the caller can do.
    pub fn action(&self) -> Action {
        self.0.action
    }
    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.0.code
    }
    /// Thing and reason, in English.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }
    /// What to do about it, in English.
    pub fn remedy(&self) -> &'static str {
        self.0.remedy
    }
    /// What happened (without the thing, which `detail` names) and what to do about it, in Russian.
    pub fn russian(&self) -> Option<(&'static str, &'static str)> {
        russian(self.code())
    }
}

/// What happened and what to do, by code.
static RUSSIAN: LazyLock<HashMap<String, (String, String)>> = LazyLock::new(|| {
    // The text is fixed at build time, and a test reads it; were it broken, people would get the English texts.
    toml::from_str(include_str!("error_ru.toml")).unwrap_or_default()
});

/// The Russian of a code: what happened (without the thing, which `detail` names) and what to do about it; sentences without
/// a full stop, beginning in lower case. None for a code this program does not know, as a newer node may send.
pub fn russian(code: &str) -> Option<(&'static str, &'static str)> {
    RUSSIAN.get(code).map(|(what, remedy)| (what.as_str(), remedy.as_str()))
}

/// All codes that have a Russian text, in no order.
pub fn russian_codes() -> impl Iterator<Item = &'static str> {
    RUSSIAN.keys().map(String::as_str)
}

/// The code as this program spells it, if it is one of its own: lets an error that another node reported keep its code.
pub fn known_code(code: &str) -> Option<&'static str> {
    RUSSIAN.get_key_value(code).map(|(code, _)| code.as_str())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.0.detail, self.0.code)?;
        if !self.0.remedy.is_empty() {
            write!(f, " — {}", self.0.remedy)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {self}", self.0.action)
    }
}

impl std::error::Error for Error {}
