//! "Is this chat official?", asked of every log the node has: which chats are meant, whose claim was first, what is flagged.
//! The state of one chat, and the words, are [`super::verdict`]'s.
//!
//! Rules 9 and 10 live here. What is in force in one log is never downgraded by what another log says: a second claim is
//! shown beside the first, a flag from elsewhere too. A log that is late answers with what it said last and says that it
//! is late; another log's word does not take its place.

use std::collections::HashSet;
use std::sync::Arc;

use super::log_view::{LogView, When};
use super::notes::{BotView, FlagView};
use super::query::{BuildingView, ChatView, Reader};
use super::union::Claim;
use super::verdict::{Asked, Freshness, Verdict, VerdictState, checked, found, notes, recorded, said, state_of, words};
use super::{Node, now_ms};
use crate::error::Result;
use crate::registry::body::{BotName, Certainty, ChatKind, Imitation};
use crate::registry::facts::ChatStatus;
use crate::registry::ids::{BuildingId, ChatNumber, LinkDigest, MaxChatId};
use crate::registry::link::canonical_link;
use crate::registry::regions;
use crate::registry::state::View;
use crate::registry::text::Day;

/// What a verdict is asked about.
#[derive(Debug, Clone)]
pub enum Question {
    /// A join link as somebody pasted it.
    Link(String),
    /// The digest of a join link.
    Digest(LinkDigest),
    /// The registry's number.
    Chat(ChatNumber),
    /// A chat id in MAX.
    Max(MaxChatId),
    /// A building.
    Building(BuildingId),
    /// A bot.
    Bot(BotName),
}

/// Most buildings that a retired building is followed into.
const MAX_FOLLOWED: usize = 64;

impl Node {
    /// Answers `question`, optionally for somebody who asks about one building.
    pub fn verdict(&self, question: &Question, building: Option<&BuildingId>, when: When) -> Result<Verdict> {
        let views = self.views();
        let today = || views.first().map_or_else(|| Day::of_ms(now_ms(), 3), |v| v.day_of(now_ms()));
        let day = when.as_of.unwrap_or_else(today);
        let (digest, max) = match question {
            Question::Link(pasted) => match canonical_link(pasted) {
                Ok(link) => (Some(LinkDigest::of_link(&link)), None),
                Err(e) => {
                    let mut verdict = self.nothing(VerdictState::NotAChatLink, day, &views);
                    verdict.text.en = format!("{} ({})", verdict.text.en, e.detail());
                    return Ok(verdict);
                }
            },
            Question::Digest(d) => (Some(*d), None),
            Question::Max(m) => (None, Some(*m)),
            Question::Bot(name) => return self.bot_verdict(name, day, when, &views),
            Question::Chat(_) | Question::Building(_) => (None, None),
        };
        let (mut chats, mut flags, mut house) = (Vec::new(), Vec::new(), None);
        for view in &views {
            let reader = Reader::new(self, view.clone(), when);
            let numbers = match question {
                Question::Chat(n) => vec![*n],
                Question::Building(id) => {
                    let (facts, numbers) = self.chats_of(&reader, id)?;
                    house = house.or(facts);
                    numbers
                }
                _ => by_handle(view, digest, max),
            };
            for number in numbers {
                chats.extend(known(reader.chat(number))?);
            }
            for imitation in digest.map(Imitation::Link).into_iter().chain(max.map(Imitation::Max)) {
                flags.extend(reader.flag(&imitation)?);
            }
        }
        let own = self.own().map(|v| v.origin.clone());
        // The log that holds a chat comes before those that passed it on or merely claim it, what is in force before what
        // has ended, the house's own chat before an entrance's, the earlier claim before the later; what the node's own
        // log says before what others do.
        let rank = |c: &ChatView| {
            let standing = match c.status {
                ChatStatus::Official => 0,
                ChatStatus::Suspended => 1,
                ChatStatus::Declared => 2,
                _ => 3,
            };
            let kind = if c.kind == ChatKind::House { 0 } else { 1 };
            (c.claim, standing, kind, claim(c, own.as_deref()))
        };
        chats.sort_by_key(rank);
        let Some(chat) = chats.first() else {
            return Ok(self.without_chat(question, day, &views, flags, house));
        };
        // Flags decide only where nothing leads to a chat that is in force or awaited, and the log that flags is its own.
        let ended = chats.iter().all(|c| !in_force(c) && c.status != ChatStatus::Declared);
        let own_flag = flags.iter().any(|f| chats.iter().all(|c| c.freshness.log == f.freshness.log));
        if ended && own_flag {
            return Ok(self.without_chat(question, day, &views, flags, house));
        }
        let rivals = self.rivals(chat, when)?;
        let asked = building.map(ToString::to_string);
        // A claim that is itself disputed beats nobody.
        let first = |r: &ChatView| r.claim == Claim::Holds && claim(r, own.as_deref()) <= claim(chat, own.as_deref());
        let beaten = in_force(chat) && rivals.iter().any(first);
        let rotated = digest.is_some_and(|d| chat.link_digest != Some(d));
        let state = state_of(chat, Asked { building: asked.as_deref(), rotated, disputed: beaten }, day);
        let (text, advice) = words(state, Some(chat));
        let covers = |b: &str| chat.buildings.iter().any(|x| x.ids.iter().any(|id| id == b));
        let mut said_beside = notes(chat, &rivals, &flags, asked.as_deref());
        if let Some(retired) = house.as_ref().and_then(|h| h.retired.as_ref()) {
            let into = retired.into.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            said_beside.push(said(
                format!("Этот дом снят с учёта; им стал: {into}."),
                format!("This building left the register; it became: {into}."),
            ));
        }
        Ok(Verdict {
            state,
            text,
            advice,
            as_of: day,
            recorded: Some(recorded(chat)),
            checked_in_max: Some(checked(chat)),
            covers_yours: asked.as_deref().map(covers),
            notes: said_beside,
            flags,
            bots: Vec::new(),
            house,
            freshness: chats.iter().chain(&rivals).map(|c| c.freshness.clone()).collect(),
            chats: {
                let others = rivals.into_iter().filter(|r| !chats.iter().any(|c| c.chat == r.chat)).collect::<Vec<_>>();
                chats.extend(others);
                chats
            },
        })
    }

    /// Chats in other logs that are in force and lead to the same place in MAX.
    fn rivals(&self, chat: &ChatView, when: When) -> Result<Vec<ChatView>> {
        let mut out = Vec::new();
        for view in self.views().into_iter().filter(|v| v.origin != chat.freshness.log) {
            let reader = Reader::new(self, view.clone(), when);
            for number in by_handle(&view, chat.link_digest, chat.max) {
                let same = |c: &ChatView| {
                    in_force(c)
                        && c.claim != Claim::Passed
                        && (c.link_digest.is_some() && c.link_digest == chat.link_digest
                            || c.max.is_some() && c.max == chat.max)
                };
                out.extend(known(reader.chat(number))?.filter(same));
            }
        }
        Ok(out)
    }

    /// A building and the chats that cover it, or what it became.
    fn chats_of(&self, reader: &Reader<'_>, id: &BuildingId) -> Result<(Option<BuildingView>, Vec<ChatNumber>)> {
        let Some(house) = known(reader.building(id))? else { return Ok((None, Vec::new())) };
        let (mut chats, mut next) = (house.chats.clone(), vec![house.retired.clone()]);
        let mut seen = 0;
        while let Some(retired) = next.pop() {
            for id in retired.into_iter().flat_map(|r| r.into) {
                seen += 1;
                if seen <= MAX_FOLLOWED
                    && let Some(became) = known(reader.building(&id))?
                {
                    chats.extend(became.chats.iter().copied());
                    next.push(became.retired);
                }
            }
        }
        Ok((Some(house), chats))
    }

    fn bot_verdict(&self, name: &BotName, day: Day, when: When, views: &[Arc<LogView>]) -> Result<Verdict> {
        let mut bots: Vec<BotView> = Vec::new();
        for view in views {
            bots.extend(Reader::new(self, view.clone(), when).bot(name)?);
        }
        bots.sort_by_key(|b| !b.active);
        let state = match bots.first() {
            Some(b) if b.active && b.freshness.stale => VerdictState::Stale,
            Some(b) if b.active => VerdictState::BotOfficial,
            _ => VerdictState::BotUnknown,
        };
        let mut verdict = self.nothing(state, day, views);
        if let (VerdictState::BotOfficial, Some(bot)) = (state, bots.first()) {
            (verdict.text, verdict.recorded) = found::bot(bot);
        }
        verdict.bots = bots;
        Ok(verdict)
    }

    /// The answer where no chat in force or awaited is meant.
    fn without_chat(
        &self,
        question: &Question,
        day: Day,
        views: &[Arc<LogView>],
        flags: Vec<FlagView>,
        house: Option<BuildingView>,
    ) -> Verdict {
        let required = house.as_ref().map(|h| h.chat_required.required);
        let state = match (question, required) {
            _ if flags.iter().any(|f| f.certainty == Certainty::Confirmed) => VerdictState::ImitationConfirmed,
            _ if !flags.is_empty() => VerdictState::ImitationReported,
            (Question::Building(_), Some(Some(false))) => VerdictState::ChatNotRequired,
            (Question::Building(_), Some(_)) => VerdictState::HouseWithoutChat,
            (Question::Chat(n), _) if !views.iter().any(|v| v.region == n.region()) => VerdictState::RegionNotConnected,
            _ => VerdictState::NotRegistered,
        };
        // An answer about a house of a log that is late is late as well.
        let late = house.as_ref().is_some_and(|h| h.freshness.stale)
            || !flags.is_empty() && flags.iter().all(|f| f.freshness.stale);
        let mut verdict = self.nothing(if late { VerdictState::Stale } else { state }, day, views);
        match (&house, flags.first()) {
            (_, Some(flag)) if !late => (verdict.text, verdict.recorded) = found::imitation(state, flag),
            (Some(house), None) => verdict.recorded = Some(found::house(house)),
            _ => {}
        }
        (verdict.flags, verdict.house) = (flags, house);
        verdict
    }

    fn nothing(&self, state: VerdictState, day: Day, views: &[Arc<LogView>]) -> Verdict {
        let freshness: Vec<Freshness> = views.iter().map(|v| self.freshness(v)).collect();
        // "Not registered" is only said of what is current; otherwise "not known as of …".
        let absent = matches!(state, VerdictState::NotRegistered | VerdictState::BotUnknown);
        let state = if absent && freshness.iter().any(|f| f.stale) { VerdictState::Stale } else { state };
        let (mut text, advice) = words(state, None);
        if matches!(state, VerdictState::NotRegistered | VerdictState::RegionNotConnected | VerdictState::BotUnknown) {
            let connected: HashSet<_> = views.iter().map(|v| v.region).collect();
            let (n, all) = (connected.len(), regions::all().len());
            text = said(
                format!("{} Подключено регионов: {n} из {all}.", text.ru),
                format!("{} Regions connected: {n} of {all}.", text.en),
            );
        }
        Verdict::of(state, text, advice, day, freshness)
    }
}

/// Official or suspended: it holds its place.
fn in_force(c: &ChatView) -> bool {
    matches!(c.status, ChatStatus::Official | ChatStatus::Suspended)
}

/// Which of two claims on one chat was first: the node's own log's, then the one recorded earlier. Equal where nobody can
/// tell.
fn claim(c: &ChatView, own: Option<&str>) -> (bool, u64) {
    (own != Some(c.freshness.log.as_str()), if own == Some(c.freshness.log.as_str()) { 0 } else { c.claimed_at })
}

fn by_handle(view: &LogView, link: Option<LinkDigest>, max: Option<MaxChatId>) -> Vec<ChatNumber> {
    let state = view.state();
    let mut all = link.map(|d| state.chats_by_link(&d)).unwrap_or_default();
    all.extend(max.map(|m| state.chats_by_max(&m)).unwrap_or_default());
    all.into_iter().collect()
}

/// What a log does not know is no error here.
fn known<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.code() == "lookup.unknown" => Ok(None),
        Err(e) => Err(e),
    }
}
