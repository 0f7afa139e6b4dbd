//! What commands print: sentences and tables for people, JSON for programs, errors with code and remedy.

use std::io::{IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::error::{Error, russian};

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
    english: bool,
}

impl Output {
    /// Output in JSON or for people, in Russian or English.
    pub fn new(json: bool, english: bool) -> Output {
        Output { json, english }
    }
    /// True where a program reads.
    pub fn is_json(&self) -> bool {
        self.json
    }
    /// True where people read English.
    pub fn is_english(&self) -> bool {
        self.english
    }
    /// The text in the chosen language.
    pub fn say<'t>(&self, ru: &'t str, en: &'t str) -> &'t str {
        if self.english { en } else { ru }
    }
    /// The same for texts that were put together.
    pub fn pick(&self, ru: String, en: String) -> String {
        if self.english { en } else { ru }
    }
    /// Prints a result: JSON as it is, or what `people` writes.
    pub fn result(&self, value: &impl Serialize, people: impl FnOnce(&Output)) {
        if self.json {
            // Views are plain data; what cannot be written is not there to be shown.
            let text = serde_json::to_string_pretty(value).unwrap_or_else(|e| format!("{{\"error\":\"{e}\"}}"));
            self.line(&text);
        } else {
            people(self);
        }
    }
    /// Prints a line.
    pub fn line(&self, text: &str) {
        // A closed pipe ends the reader's interest, not ours.
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }
    /// Prints what to do next; for people only.
    pub fn next(&self, ru: &[&str], en: &[&str]) {
        if self.json {
            return;
        }
        self.line(self.say("\nДальше:", "\nNext:"));
        for step in if self.english { en } else { ru } {
            self.line(&format!("  {step}"));
        }
    }
    /// Prints a table.
    pub fn table(&self, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(head.to_vec());
        for row in rows {
            table.add_row(row);
        }
        self.line(&table.to_string());
    }
    /// Prints an error to stderr.
    pub fn error(&self, e: &Error) {
        let mut err = std::io::stderr().lock();
        let _ = if self.json {
            let body = serde_json::json!({ "code": e.code(), "detail": e.detail(), "remedy": e.remedy() });
            writeln!(err, "{body}")
        } else {
            writeln!(err, "{} {}", self.say("Ошибка", "Error"), self.explain(e.code(), e.detail(), e.remedy()))
        };
    }
    /// An error in words, of this program or as a node reported it: code, what happened, the particulars and what to do,
    /// one a line. The particulars are English in either language: they are what an administrator searches for.
    pub fn explain(&self, code: &str, detail: &str, remedy: &str) -> String {
        match russian(code) {
            Some((what, remedy)) if !self.english => {
                format!("[{code}]: {what}\nПодробности: {detail}\nЧто делать: {remedy}")
            }
            _ => format!("[{code}]: {detail}\n{}: {remedy}", self.say("Что делать", "What to do")),
        }
    }
    /// A progress bar with rate and remaining time; hidden where nobody looks.
    pub fn progress(&self, total: u64, ru: &str, en: &str) -> ProgressBar {
        let template = self.say(
            "{msg} [{bar:30}] {human_pos}/{human_len}, {per_sec}, осталось {eta}",
            "{msg} [{bar:30}] {human_pos}/{human_len}, {per_sec}, {eta} left",
        );
        self.bar(total, template, ru, en)
    }
    /// The same over bytes.
    pub fn bytes(&self, total: u64, ru: &str, en: &str) -> ProgressBar {
        self.bar(total, "{msg} [{bar:30}] {bytes}/{total_bytes}, {bytes_per_sec}", ru, en)
    }
    fn bar(&self, total: u64, template: &str, ru: &str, en: &str) -> ProgressBar {
        let bar = ProgressBar::new(total);
        if self.json || !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        // The template is fixed; were it wrong, the default bar would be shown.
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(self.say(ru, en).to_owned());
        bar
    }
}

/// Unix milliseconds as a readable moment, UTC.
pub fn moment(ms: u64) -> String {
    i64::try_from(ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| ms.to_string(), |t| t.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_errors_in_their_language_and_unknown_codes_as_the_node_says_them() {
        let (ru, en) = (Output::new(false, false), Output::new(false, true));
        let text = ru.explain("rule.deadline", "the deadline was 5", "sign it anew");
        assert_eq!(
            text,
            "[rule.deadline]: срок подачи записи истёк\nПодробности: the deadline was 5\n\
             Что делать: подпишите её заново с более поздним сроком"
        );
        assert_eq!(en.explain("rule.deadline", "d", "sign it anew"), "[rule.deadline]: d\nWhat to do: sign it anew");
        assert_eq!(ru.explain("rule.of-tomorrow", "d", "update"), "[rule.of-tomorrow]: d\nЧто делать: update");
    }
}
