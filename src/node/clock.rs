//! What a node takes the time to be. It is handed in at opening, so that a simulation can let each node's clock go its own way.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A node's two clocks: the one that tells the date, which may jump, and the one that only counts, which never does.
#[derive(Clone)]
pub struct Clock {
    date: Arc<dyn Fn() -> u64 + Send + Sync>,
    count: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl Clock {
    /// The clocks of this machine.
    pub fn system() -> Clock {
        let begun = Instant::now();
        Clock { date: Arc::new(super::now_ms), count: Arc::new(move || begun.elapsed()) }
    }

    /// Other clocks: `date` in Unix milliseconds, `count` since any moment.
    pub fn of(
        date: impl Fn() -> u64 + Send + Sync + 'static,
        count: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Clock {
        Clock { date: Arc::new(date), count: Arc::new(count) }
    }

    /// Unix milliseconds now.
    pub fn now_ms(&self) -> u64 {
        (self.date)()
    }

    /// Time that has passed since some moment; never goes back, and does not jump with the date.
    pub fn count(&self) -> Duration {
        (self.count)()
    }
}

/// The date of this machine, Unix milliseconds.
pub(super) fn system_date() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
