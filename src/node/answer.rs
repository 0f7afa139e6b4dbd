//! "Is this chat official?", asked of every log the node has: which chats are meant, whose claim was first, what is flagged.
//! The state of one chat, and the words, are [`super::verdict`]'s.
//!
//! Rules 9 and 10 live here. What is in force in one log is never downgraded by what another log says: a second claim is
//! shown beside the first, a flag from elsewhere too. A log that is late answers with what it said last and says that it
//! is late; another log's word does not take its place.

use std::sync::Arc;

use super::absence::{Absent, What};
use super::log_view::{LogView, When};
use super::notes::{BotView, FlagView};
use super::query::{BuildingView, ChatView, Reader};
use super::union::Claim;
use super::verdict::{Asked, Behind, Freshness, Resembled, Said, Verdict, VerdictState, last_known, said, state_of};
use super::words::{alone, checked, found, notes, recorded, stale, words};
use super::{Node, evidence};
use crate::error::Result;
use crate::registry::body::{BotName, Certainty, ChatKind, Imitation};
use crate::registry::facts::ChatStatus;
use crate::registry::ids::{BuildingId, ChatNumber, LinkDigest, MaxChatId};
use crate::registry::link::{HOST, NotChat, read_link};
use crate::registry::state::View;
use crate::registry::text::{Day, Text};

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
    /// What stands for a bot's name and is none, with letters of another alphabet.
    BotText(String),
}

/// Most buildings that a retired building is followed into.
const MAX_FOLLOWED: usize = 64;

impl Node {
    /// Answers `question`, optionally for somebody who asks about one building.
    pub fn verdict(&self, question: &Question, building: Option<&BuildingId>, when: When) -> Result<Verdict> {
        self.verdict_of_titled(question, None, building, when)
    }

    /// The same for a link or chat id of a chat that calls itself `title`. A title proves nothing; but an unknown chat whose
    /// title looks like an official one's is a lookalike. May read the disk, and take seconds.
    pub fn verdict_of_titled(
        &self,
        question: &Question,
        title: Option<&str>,
        building: Option<&BuildingId>,
        when: When,
    ) -> Result<Verdict> {
        let views = self.views();
        let now = self.clock.now_ms();
        let today = || views.first().map_or_else(|| Day::of_ms(now, 3), |v| v.day_of(now));
        let day = when.as_of.unwrap_or_else(today);
        let (digest, max) = match question {
            Question::Link(pasted) => match read_link(pasted) {
                Ok(link) => (Some(LinkDigest::of_link(&link)), None),
                Err(why) => return Ok(self.no_link(why, day, &views)),
            },
            Question::Digest(d) => (Some(*d), None),
            Question::Max(m) => (None, Some(*m)),
            Question::Bot(name) => return self.bot_verdict(name, day, when, &views),
            Question::BotText(name) => return Ok(self.unknown_bot(name, day, &views)),
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
        let gone = |c: &ChatView| matches!(c.status, ChatStatus::Closed | ChatStatus::Void);
        // Whoever asks for a house's chat has no use for one that is gone.
        if matches!(question, Question::Building(_)) && chats.iter().all(gone) {
            let mut verdict = self.without_chat(question, day, &views, flags, house);
            verdict.chats = chats;
            return Ok(verdict);
        }
        let Some(chat) = chats.first() else {
            if let Some(title) = title.and_then(|t| Text::new(t).ok()).map(Imitation::Title) {
                for view in &views {
                    flags.extend(Reader::new(self, view.clone(), when).flag(&title)?);
                }
            }
            let verdict = self.without_chat(question, day, &views, flags, house);
            return Ok(match title.filter(|_| verdict.flags.is_empty()) {
                Some(title) => self.unknown_title(title, verdict),
                None => verdict,
            });
        };
        // Flags decide only where nothing leads to a chat that is in force or awaited, and the log that flags is its own.
        let ended = chats.iter().all(|c| !in_force(c) && c.status != ChatStatus::Declared);
        let own_flag = flags.iter().any(|f| chats.iter().all(|c| c.freshness.log == f.freshness.log));
        if ended && own_flag {
            return Ok(self.without_chat(question, day, &views, flags, house));
        }
        let rivals = self.rivals(chat, when)?;
        // A claim that is itself disputed beats nobody.
        let first = |r: &ChatView| r.claim == Claim::Holds && claim(r, own.as_deref()) <= claim(chat, own.as_deref());
        let beaten = in_force(chat) && rivals.iter().any(first);
        let rotated = digest.is_some_and(|d| chat.link_digest != Some(d));
        let covers = |b: &str| chat.buildings.iter().any(|x| x.ids.iter().any(|id| id == b));
        // A house's chat is found by the house, or by what it became.
        let by_house = match question {
            Question::Building(id) => Some(id.to_string()),
            _ => None,
        };
        let named = building.map(ToString::to_string);
        let covers_yours = named.as_deref().map(covers).or(by_house.as_ref().map(|_| true));
        let house_asked = named.or(by_house.filter(|id| covers(id)));
        let asked = Asked { building: house_asked.as_deref(), rotated, disputed: beaten };
        let (state, last) = (state_of(chat, asked, day), last_known(chat, asked, day));
        let (text, advice) = words(state, chat, covers_yours, last);
        let mut said_beside = notes(chat, &rivals, &flags, house_asked.as_deref());
        said_beside.extend(house.as_ref().and_then(became));
        if let Some(asked) = building
            && covers_yours == Some(false)
            && !self.knows_building(&views, asked)
        {
            said_beside.push(said(
                format!("Дома {asked} в реестре нет: о нём узел ничего не знает."),
                format!("The register has no building {asked}: this node knows nothing about it."),
            ));
        }
        let view = views.iter().find(|v| v.origin == chat.freshness.log);
        Ok(Verdict {
            behind: Some(Behind::from(chat)),
            evidence: view.map_or_else(Vec::new, |v| evidence::chat(v, chat, day)),
            recorded: Some(recorded(chat)),
            checked_in_max: Some(checked(chat)),
            covers_yours,
            notes: said_beside,
            flags,
            house,
            last_known: (state == VerdictState::Stale).then_some(last),
            chats: {
                let others = rivals.iter().filter(|r| !chats.iter().any(|c| c.chat == r.chat)).cloned();
                chats.iter().cloned().chain(others).collect()
            },
            ..Verdict::of(state, text, advice, day, freshness_of(chats.iter().chain(&rivals)))
        })
    }

    fn knows_building(&self, views: &[Arc<LogView>], id: &BuildingId) -> bool {
        views.iter().any(|v| v.state().primary(id).is_some())
    }

    /// The answer about a text that leads to no chat.
    fn no_link(&self, why: NotChat, day: Day, views: &[Arc<LogView>]) -> Verdict {
        let state = match why {
            NotChat::Lookalike => VerdictState::Lookalike,
            _ => VerdictState::NotAChatLink,
        };
        let (text, advice) = alone(state);
        let text = match why {
            NotChat::Lookalike => {
                said(format!("Поддельная ссылка: {}.", why.ru()), format!("A forged link: {}.", why.en()))
            }
            _ => said(
                format!("{}: {}.", text.ru.trim_end_matches('.'), why.ru()),
                format!("{}: {}.", text.en.trim_end_matches('.'), why.en()),
            ),
        };
        let mut verdict = Verdict::of(state, text, advice, day, self.looked_at(views));
        verdict.not_chat = Some(why);
        if state == VerdictState::Lookalike {
            verdict.resembles = vec![Resembled { official: HOST.into(), title: "MAX".into(), log: None }];
        }
        verdict
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
        let Some(bot) = bots.first().filter(|b| b.active) else {
            return Ok(Verdict { bots, ..self.unknown_bot(name.as_str(), day, views) });
        };
        let state = if bot.freshness.stale { VerdictState::Stale } else { VerdictState::BotOfficial };
        let (text, recorded) = found::bot(bot);
        let text = if bot.freshness.stale { stale(&bot.freshness, &text) } else { text };
        let mut verdict = Verdict::of(state, text, alone(state).1, day, self.looked_at(views));
        verdict.last_known = bot.freshness.stale.then_some(VerdictState::BotOfficial);
        verdict.recorded = recorded;
        verdict.behind = Some(Behind::from(bot));
        let view = views.iter().find(|v| v.origin == bot.freshness.log);
        verdict.evidence = view.map_or_else(Vec::new, |v| evidence::bot(v, bot));
        verdict.bots = bots;
        Ok(verdict)
    }

    /// The answer about a bot that nobody attests.
    fn unknown_bot(&self, name: &str, day: Day, views: &[Arc<LogView>]) -> Verdict {
        let mut like = self.like_bot(name, day);
        like.retain(|r| r.official != name);
        match like.first() {
            None => self.absent(self.reach(views).absent(What::Bot, None), day, views),
            Some(first) => {
                let text = said(
                    format!("Имя похоже на имя официального бота {}, но это другой бот.", first.official),
                    format!("Its name looks like that of the official bot {}, and it is another bot.", first.official),
                );
                self.lookalike(text, like, day, views)
            }
        }
    }

    /// The answer about an unknown chat, where its title looks like an official one's.
    fn unknown_title(&self, title: &str, unknown: Verdict) -> Verdict {
        let (like, count) = self.like_title(title);
        let Some(first) = like.first() else { return unknown };
        let text = said(
            format!(
                "Название как у официального чата {} «{}» (таких чатов: {count}), но это другой чат, и он не официальный.",
                first.official, first.title
            ),
            format!(
                "Its title looks like that of the official chat {} «{}» ({count} such chats), but it is another chat and not official.",
                first.official, first.title
            ),
        );
        let (_, advice) = alone(VerdictState::Lookalike);
        let Verdict { as_of, freshness, missing, .. } = unknown;
        Verdict { resembles: like, missing, ..Verdict::of(VerdictState::Lookalike, text, advice, as_of, freshness) }
    }

    fn lookalike(&self, text: Said, resembles: Vec<Resembled>, day: Day, views: &[Arc<LogView>]) -> Verdict {
        let (_, advice) = alone(VerdictState::Lookalike);
        Verdict { resembles, ..Verdict::of(VerdictState::Lookalike, text, advice, day, self.looked_at(views)) }
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
        let view = |log: &str| views.iter().find(|v| v.origin == log);
        if let Some(flag) = flags.iter().min_by_key(|f| (f.freshness.stale, f.certainty != Certainty::Confirmed)) {
            let last = match flag.certainty {
                Certainty::Confirmed => VerdictState::ImitationConfirmed,
                Certainty::Reported => VerdictState::ImitationReported,
            };
            let (text, recorded) = found::imitation(last, flag);
            let mut verdict = self.on_record(last, text, &flag.freshness, day, views);
            (verdict.recorded, verdict.behind) = (recorded, Some(Behind::from(flag)));
            verdict.evidence = view(&flag.freshness.log).map_or_else(Vec::new, |v| evidence::flag(v, flag));
            (verdict.flags, verdict.house) = (flags, house);
            return verdict;
        }
        if let (Question::Building(_), Some(house)) = (question, house) {
            let last = match house.chat_required.required {
                Some(false) => VerdictState::ChatNotRequired,
                _ => VerdictState::HouseWithoutChat,
            };
            let mut verdict = self.on_record(last, alone(last).0, &house.freshness, day, views);
            (verdict.recorded, verdict.behind) = (Some(found::house(&house)), Some(Behind::from(&house)));
            verdict.evidence = view(&house.freshness.log).map_or_else(Vec::new, |v| evidence::house(v, &house));
            verdict.notes.extend(became(&house));
            verdict.house = Some(house);
            return verdict;
        }
        let (what, region) = match question {
            Question::Chat(n) => (What::Chat, Some(n.region())),
            Question::Building(_) => (What::House, None),
            _ => (What::Chat, None),
        };
        self.absent(self.reach(views).absent(what, region), day, views)
    }

    /// An answer about something that a log has, which may be late.
    fn on_record(&self, last: VerdictState, text: Said, f: &Freshness, day: Day, views: &[Arc<LogView>]) -> Verdict {
        let state = if f.stale { VerdictState::Stale } else { last };
        let text = if f.stale { stale(f, &text) } else { text };
        let mut verdict = Verdict::of(state, text, alone(state).1, day, self.looked_at(views));
        verdict.last_known = f.stale.then_some(last);
        verdict
    }

    fn absent(&self, absent: Absent, day: Day, views: &[Arc<LogView>]) -> Verdict {
        let Absent { state, text, advice, missing } = absent;
        Verdict { missing, ..Verdict::of(state, text, advice, day, self.looked_at(views)) }
    }

    fn looked_at(&self, views: &[Arc<LogView>]) -> Vec<Freshness> {
        views.iter().map(|v| self.freshness(v)).collect()
    }
}

fn freshness_of<'c>(chats: impl Iterator<Item = &'c ChatView>) -> Vec<Freshness> {
    chats.map(|c| c.freshness.clone()).collect()
}

/// What a building became, if it left the register.
fn became(house: &BuildingView) -> Option<Said> {
    let retired = house.retired.as_ref()?;
    let into = retired.into.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Some(match into.is_empty() {
        true => said("Этот дом снят с учёта.", "This building left the register."),
        false => said(
            format!("Этот дом снят с учёта; им стал: {into}."),
            format!("This building left the register; it became: {into}."),
        ),
    })
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
