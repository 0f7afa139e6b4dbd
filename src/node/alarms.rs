//! What concerns the node's own key or the federation as a whole, and not how one followed log stands: found since the start,
//! told on the page, in the measures and to the receiver of alerts. The evidence on disk outlasts it.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// Somebody else signs with the key of the node's own log, as far as another node shows.
    Doubled,
    /// The federation's root keys signed two charters of one version.
    Charters,
}

/// About what, and what shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    /// Origin of the log that the evidence is kept with.
    pub origin: String,
    /// Its name there; none where the disk took none.
    pub evidence: Option<String>,
}

/// The alarms of a node.
#[derive(Default)]
pub struct Alarms(Mutex<BTreeMap<Alarm, Raised>>);

impl Alarms {
    /// Every one there is.
    pub const ALL: [Alarm; 2] = [Alarm::Doubled, Alarm::Charters];

    /// Raises one. The first finding stands.
    pub fn set(&self, alarm: Alarm, origin: String, evidence: Option<String>) {
        self.0.lock().entry(alarm).or_insert(Raised { origin, evidence });
    }

    /// What is known of one; none while it is not raised.
    pub fn get(&self, alarm: Alarm) -> Option<Raised> {
        self.0.lock().get(&alarm).cloned()
    }
}
