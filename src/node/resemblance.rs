//! What resembles an official chat's title or an official bot's name: found by what they look like (UTS #39).
//!
//! Each log has an index of the looks of its titles and bots, built when somebody first asks and continued from the log's
//! records. It only ever grows, so what it finds is held against the state before it is believed: a title that was changed
//! or a chat that was closed resembles nothing any more.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::Node;
use super::log_view::LogView;
use super::verdict::Resembled;
use crate::error::Result;
use crate::registry::body::BotName;
use crate::registry::facts::{Facts, within};
use crate::registry::ids::ChatNumber;
use crate::registry::lookalike::look;
use crate::registry::record::Subject;
use crate::registry::state::{Entry, State, View};
use crate::registry::text::Day;

/// Most official things that one answer names.
pub const MAX_RESEMBLED: usize = 5;
/// Most chats of one look that are examined: some thousand houses may have a chat of the same title.
const MAX_EXAMINED: usize = 1000;
/// From as many new entries on, the state is read anew rather than the log.
const READ_ANEW: u64 = 20_000;
/// Records read from the log at once.
const CHUNK: u64 = 1000;

/// Looks of the titles and bots of one log.
#[derive(Default)]
pub(super) struct Looks {
    /// Size of the log up to which they are known.
    size: u64,
    /// Hash of a look and the chat, sorted: 24 bytes a chat.
    chats: Vec<(u64, ChatNumber)>,
    bots: BTreeMap<String, BTreeSet<BotName>>,
}

fn hash(look: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    look.hash(&mut hasher);
    hasher.finish()
}

impl Looks {
    fn add(&mut self, entry: &Entry) {
        match &entry.facts {
            Facts::Chat(c) => self.chats.push((hash(&look(c.title.as_str())), c.chat)),
            Facts::Bot(b) => drop(self.bots.entry(look(b.bot.as_str())).or_default().insert(b.bot.clone())),
            _ => {}
        }
    }

    fn read_anew(&mut self, state: &State) {
        self.chats.clear();
        self.bots.clear();
        state.subjects().for_each(|(_, entry)| self.add(entry));
        self.size = state.size();
    }

    /// Brings the looks up to what the view says now. May read the disk.
    fn follow(&mut self, view: &LogView) {
        let size = view.state().size();
        if size == self.size {
            return;
        }
        let new = size.checked_sub(self.size).filter(|new| *new < READ_ANEW && self.size > 0);
        let continued = new.map(|_| (self.size..size).step_by(CHUNK as usize)).into_iter().flatten();
        let continued: Result<()> = continued.into_iter().try_for_each(|from| {
            let region = view.region;
            let records = view.records(from..(from + CHUNK).min(size))?;
            let subjects: BTreeSet<Subject> = records.iter().map(|r| r.record.subject(region)).collect();
            let state = view.state();
            subjects.iter().filter_map(|s| state.entry(s)).for_each(|entry| self.add(entry));
            Ok(())
        });
        match (new, continued) {
            (Some(_), Ok(())) => self.size = size,
            _ => view.read_whole(|state| self.read_anew(state)),
        }
        self.chats.sort();
        self.chats.dedup();
    }

    fn chats(&self, look: &str) -> impl Iterator<Item = ChatNumber> + '_ {
        let hash = hash(look);
        let from = self.chats.partition_point(|(h, _)| *h < hash);
        self.chats[from..].iter().take_while(move |(h, _)| *h == hash).map(|(_, n)| *n)
    }
}

/// Official chats of this log whose title looks like `title`, and how many there are, as far as they were examined.
fn chats_like(view: &LogView, title: &str) -> (Vec<Resembled>, usize) {
    let like = look(title);
    let mut looks = view.looks();
    looks.follow(view);
    let state = view.state();
    let official = looks.chats(&like).take(MAX_EXAMINED).filter_map(|n| state.chat(n));
    let official = official.filter(|c| state.is_official(c) && look(c.title.as_str()) == like);
    let mut named: Vec<Resembled> = official
        .map(|c| Resembled { official: c.chat.to_string(), title: c.title.to_string(), log: Some(view.origin.clone()) })
        .collect();
    let count = named.len();
    named.truncate(MAX_RESEMBLED);
    (named, count)
}

impl Node {
    /// Official chats whose title looks like this one, and how many there are. May take seconds on a large log that is asked for
    /// the first time.
    pub(super) fn like_title(&self, title: &str) -> (Vec<Resembled>, usize) {
        if look(title).is_empty() {
            return (Vec::new(), 0);
        }
        let (mut named, mut count) = (Vec::new(), 0);
        for view in self.views() {
            let (more, n) = chats_like(&view, title);
            named.extend(more);
            count += n;
        }
        named.truncate(MAX_RESEMBLED);
        (named, count)
    }

    /// Bots attested on that day whose name looks like this one.
    pub(super) fn like_bot(&self, name: &str, day: Day) -> Vec<Resembled> {
        let like = look(name);
        let mut out = Vec::new();
        for view in self.views() {
            let mut looks = view.looks();
            looks.follow(&view);
            let state = view.state();
            for bot in looks.bots.get(&like).into_iter().flatten() {
                if let Some(Facts::Bot(b)) = state.facts(&Subject::Bot(bot.clone()))
                    && within(b.from, b.to, day)
                {
                    let (official, title) = (b.bot.as_str().to_owned(), b.title.to_string());
                    out.push(Resembled { official, title, log: Some(view.origin.clone()) });
                }
            }
        }
        out.truncate(MAX_RESEMBLED);
        out
    }
}
