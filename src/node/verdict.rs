//! "Is this chat official?": the answer, from the facts of one or several logs, for one day (domain.md, "Answers").
//!
//! A verdict is computed by the reader and never stored. Every verdict names the authority, the basis, the date, how
//! fresh the register's copy is, and one line of advice; and always that nobody official asks for a code from an SMS.

use serde::Serialize;
use utoipa::ToSchema;

use super::notes::{BotView, FlagView};
use super::query::{BuildingView, ChatView};
use super::union::Claim;
pub use super::words::{basis_words, found};
use crate::registry::body::ChatKind;
use crate::registry::facts::ChatStatus;
use crate::registry::ids::{OrgId, RegionCode};
use crate::registry::link::NotChat;
use crate::registry::record::Basis;
use crate::registry::text::Day;

/// The states of domain.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum VerdictState {
    Official,
    OfficialOtherHouse,
    OfficialCoversSeveral,
    ManagementChanged,
    Transferred,
    Superseded,
    Suspended,
    Closed,
    Disputed,
    ImitationReported,
    ImitationConfirmed,
    Lookalike,
    PendingHandover,
    LinkRotated,
    Contested,
    NotRegistered,
    HouseWithoutChat,
    ChatNotRequired,
    RegionNotConnected,
    BotOfficial,
    BotUnknown,
    Stale,
    NotAChatLink,
}

/// A sentence in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Said {
    /// Russian.
    pub ru: String,
    /// English.
    pub en: String,
}

/// Both languages at once.
pub fn said(ru: impl Into<String>, en: impl Into<String>) -> Said {
    Said { ru: ru.into(), en: en.into() }
}

/// Where an answer comes from and how old that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Freshness {
    /// Origin of the log.
    pub log: String,
    /// Size of the log the answer was computed from.
    pub size: u64,
    /// Time of its last commit, Unix milliseconds.
    pub committed_at: u64,
    /// When this node last heard from that log's node, Unix milliseconds; its own log is always current.
    pub seen_at: u64,
    /// Seconds since then.
    pub age_seconds: u64,
    /// Older than the policy allows.
    pub stale: bool,
    /// The charter it was verified under has run out; that, too, makes it stale.
    pub expired: bool,
    /// Why nothing newer of that log is believed, by its code: the answer is from the last good state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

/// Who stands behind an answer, and on what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Behind {
    /// The authority: the chat's owner, whoever flagged an imitation or attested a bot. None where only a rule of the region
    /// speaks.
    #[schema(value_type = Option<String>)]
    pub authority: Option<OrgId>,
    /// Its name.
    pub name: Option<String>,
    /// First day of it.
    #[schema(value_type = Option<String>)]
    pub since: Option<Day>,
    /// The document it rests on.
    #[schema(value_type = Option<Object>)]
    pub basis: Option<Basis>,
}

/// A record an answer rests on. `GET /api/v1/history?subject=` has it in words, `GET /api/v1/records/<index>` as signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Evidence {
    /// Origin of the log it stands in.
    pub log: String,
    /// What it is about.
    pub subject: String,
    /// Its id.
    pub record: String,
    /// Its index in the log.
    pub index: u64,
}

/// What something that is not official resembles.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct Resembled {
    /// The official chat's number or the official bot's name.
    pub official: String,
    /// Its title.
    pub title: String,
    /// Origin of the log it stands in; none of MAX itself.
    pub log: Option<String>,
}

/// An answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Verdict {
    /// The state.
    pub state: VerdictState,
    /// In words.
    pub text: Said,
    /// One line of advice.
    pub advice: Said,
    /// The day it is about.
    #[schema(value_type = String)]
    pub as_of: Day,
    /// Who stands behind it; none where nothing is on record.
    pub behind: Option<Behind>,
    /// The records it rests on.
    pub evidence: Vec<Evidence>,
    /// What the register says: the authority, since when, on which document. Apart from `checked_in_max`.
    pub recorded: Option<Said>,
    /// What was last seen in MAX, and when.
    pub checked_in_max: Option<Said>,
    /// Whether the chat covers the building the asker named.
    pub covers_yours: Option<bool>,
    /// What else is worth knowing: a second claim, flags, objections, records of a compromised key.
    pub notes: Vec<Said>,
    /// The chats it is about, the one that `state` is of first.
    pub chats: Vec<ChatView>,
    /// What is flagged as an imitation, of what was asked about.
    pub flags: Vec<FlagView>,
    /// The bot asked about, in every log that knows it.
    pub bots: Vec<BotView>,
    /// The building asked about.
    pub house: Option<BuildingView>,
    /// Why what was pasted is no chat's link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_chat: Option<NotChat>,
    /// What it resembles; at most [`MAX_RESEMBLED`](super::resemblance::MAX_RESEMBLED).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resembles: Vec<Resembled>,
    /// Of a stale answer: what it was when last heard of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_known: Option<VerdictState>,
    /// Of an answer that nothing was found: codes of the regions that it does not cover.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub missing: Vec<RegionCode>,
    /// The logs that were looked at.
    pub freshness: Vec<Freshness>,
}

impl Verdict {
    /// An answer about no chat.
    pub(super) fn of(state: VerdictState, text: Said, advice: Said, as_of: Day, freshness: Vec<Freshness>) -> Verdict {
        Verdict {
            state,
            text,
            advice,
            as_of,
            behind: None,
            evidence: Vec::new(),
            recorded: None,
            checked_in_max: None,
            covers_yours: None,
            notes: Vec::new(),
            chats: Vec::new(),
            flags: Vec::new(),
            bots: Vec::new(),
            house: None,
            not_chat: None,
            resembles: Vec::new(),
            last_known: None,
            missing: Vec::new(),
            freshness,
        }
    }
}

/// A change of management within this many days is worth saying.
pub const RECENT_DAYS: i64 = 90;

/// What was asked, as far as it changes the answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'q> {
    /// The building the asker says it is for.
    pub building: Option<&'q str>,
    /// The link asked about is an earlier one of the chat.
    pub rotated: bool,
    /// Another authority's claim on the same chat was first, or as early.
    pub disputed: bool,
}

/// The state of one chat that was found.
pub fn state_of(chat: &ChatView, asked: Asked<'_>, day: Day) -> VerdictState {
    match chat.freshness.stale {
        true => VerdictState::Stale,
        false => last_known(chat, asked, day),
    }
}

/// The same, however old what is known is.
pub fn last_known(chat: &ChatView, asked: Asked<'_>, day: Day) -> VerdictState {
    if chat.claim == Claim::Disputed {
        return VerdictState::Disputed;
    }
    match chat.status {
        ChatStatus::Declared => return VerdictState::PendingHandover,
        ChatStatus::Suspended => return VerdictState::Suspended,
        ChatStatus::Closed | ChatStatus::Void => return VerdictState::Closed,
        ChatStatus::Replaced => return VerdictState::Superseded,
        ChatStatus::Moved => return VerdictState::Transferred,
        ChatStatus::Official if !chat.owner_in_good_standing => return VerdictState::Suspended,
        ChatStatus::Official => {}
    }
    if asked.disputed {
        return VerdictState::Disputed;
    }
    if asked.rotated {
        return VerdictState::LinkRotated;
    }
    if let Some(asked) = asked.building
        && !chat.buildings.iter().any(|b| b.ids.iter().any(|id| id == asked))
    {
        return VerdictState::OfficialOtherHouse;
    }
    // What is contested about another house of the chat does not concern who asks about his own.
    let concerned = |ids: &[String]| asked.building.is_none_or(|own| ids.iter().any(|id| id == own));
    let open = |b: &&BuildingView| b.contested || b.objections.iter().any(|o| o.open);
    if chat.objections.iter().any(|o| o.open) || chat.buildings.iter().filter(open).any(|b| concerned(&b.ids)) {
        return VerdictState::Contested;
    }
    let recent = |from: Option<Day>| {
        from.is_some_and(|f| {
            f <= day && day.date().since(f.date()).is_ok_and(|s| i64::from(s.get_days()) <= RECENT_DAYS)
        })
    };
    let changed = chat.buildings.iter().any(|b| {
        // One organisation that goes on under another of its ids is no change.
        let other =
            |o: &Option<OrgId>| b.managements.iter().any(|m| !m.holds && m.to.is_some() && m.organisation != *o);
        b.managements.iter().any(|m| m.holds && recent(m.from) && other(&m.organisation))
    });
    if (chat.owners.len() > 1 || chat.arrived.is_some()) && recent(chat.owner_since) {
        return VerdictState::Transferred;
    }
    if changed {
        return VerdictState::ManagementChanged;
    }
    if chat.buildings.len() > 1 && chat.kind != ChatKind::Entrance {
        return VerdictState::OfficialCoversSeveral;
    }
    VerdictState::Official
}
