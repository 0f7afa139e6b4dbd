//! Days, moments and names as people write them.

use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};

use super::lang::Lang;
use crate::registry::text::Day;

const MONTHS: [(&str, &str); 12] = [
    ("января", "January"),
    ("февраля", "February"),
    ("марта", "March"),
    ("апреля", "April"),
    ("мая", "May"),
    ("июня", "June"),
    ("июля", "July"),
    ("августа", "August"),
    ("сентября", "September"),
    ("октября", "October"),
    ("ноября", "November"),
    ("декабря", "December"),
];

fn date(date: Date, lang: Lang) -> String {
    let month = usize::try_from(date.month() - 1).ok().and_then(|m| MONTHS.get(m)).copied().unwrap_or_default();
    format!("{} {} {}", date.day(), lang.pick(month.0, month.1), date.year())
}

/// «24 ноября 2026».
pub fn day(day: Day, lang: Lang) -> String {
    date(day.date(), lang)
}

/// Moscow's day and time of Unix milliseconds.
pub fn moment(ms: u64, lang: Lang) -> String {
    let stamp = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let Some(stamp) = stamp.filter(|_| ms > 0) else { return lang.pick("никогда", "never").to_owned() };
    let at = stamp.to_zoned(TimeZone::fixed(Offset::constant(3)));
    let zone = lang.pick("МСК", "Moscow time");
    format!("{}, {:02}:{:02} ({zone})", date(at.date(), lang), at.hour(), at.minute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_moments_are_written_out() {
        assert_eq!(day("2026-11-04".parse().unwrap(), Lang::Ru), "4 ноября 2026");
        assert_eq!(moment(1_767_214_799_000, Lang::En), "31 December 2025, 23:59 (Moscow time)");
        assert_eq!(moment(0, Lang::Ru), "никогда");
    }
}
