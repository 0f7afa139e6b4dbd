//! Measures of following, in the Prometheus recorder. The label is the name that the operator gave the peer, so the number of
//! series is bounded by the configuration.

use crate::node::alarms::Alarm;
use crate::node::layout::Layout;
use crate::node::{FollowStatus, Followed};
use crate::storage::evidence_store;

/// Takes in what became of a round.
pub fn round(followed: &Followed, succeeded: bool) {
    let status = followed.status.read().clone();
    let result = if succeeded { "ok" } else { "failed" };
    metrics::counter!("follow_rounds_total", "peer" => status.name.clone(), "result" => result).increment(1);
    standing(&status, followed.view.head().map_or(0, |h| h.index + 1));
}

/// Sets what is shown of a log.
pub fn standing(status: &FollowStatus, size: u64) {
    let name = || status.name.clone();
    let flag = |yes: bool| f64::from(u8::from(yes));
    metrics::gauge!("follow_held", "peer" => name()).set(flag(status.held.is_some()));
    metrics::gauge!("follow_frozen", "peer" => name()).set(flag(status.frozen));
    metrics::gauge!("follow_failures", "peer" => name()).set(f64::from(status.failures));
    metrics::gauge!("follow_entries", "peer" => name()).set(size as f64);
    if let Some(at) = status.last_success {
        metrics::gauge!("follow_last_success_timestamp_seconds", "peer" => name()).set(at as f64 / 1000.0);
    }
}

/// Says that an alarm was raised; the label is one of two words.
pub fn alarm(alarm: Alarm) {
    let name = match alarm {
        Alarm::Doubled => "doubled",
        Alarm::Charters => "charters",
    };
    metrics::gauge!("alarm", "alarm" => name).set(1.0);
}

/// Counts the evidence that is kept of a log: read from the disk, so only when there is more of it.
pub fn evidence(status: &FollowStatus, layout: &Layout) {
    let files = evidence_store::list(&layout.evidence()).len();
    metrics::gauge!("follow_evidence_files", "peer" => status.name.clone()).set(files as f64);
}
