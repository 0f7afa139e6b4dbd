//! How an answer looks: a headline, a shape and a colour for each state. The shape and the word say it without the colour.

use super::lang::Page;
use crate::node::verdict::VerdictState;

/// Colour and shape: what somebody who reads nothing else takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// It can be trusted: a circle with a tick.
    Good,
    /// It can be trusted, and there is something to know: a square with an i.
    Note,
    /// Care: a triangle with an exclamation mark.
    Warn,
    /// Keep away: an octagon with a cross.
    Bad,
    /// Nobody knows: a diamond with a question mark.
    Unknown,
}

impl Tone {
    /// Its class in the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Note => "note",
            Tone::Warn => "warn",
            Tone::Bad => "bad",
            Tone::Unknown => "unknown",
        }
    }
    /// The shape as a path in a box of 24 × 24.
    pub fn shape(self) -> &'static str {
        match self {
            Tone::Good => "M12 1a11 11 0 1 0 0 22 11 11 0 0 0 0-22z",
            Tone::Note => "M4 2h16a2 2 0 0 1 2 2v16a2 2 0 0 1-2 2H4a2 2 0 0 1-2-2V4a2 2 0 0 1 2-2z",
            Tone::Warn => "M12 1.5 23.5 22H.5z",
            Tone::Bad => "M7.4 1h9.2L23 7.4v9.2L16.6 23H7.4L1 16.6V7.4z",
            Tone::Unknown => "M12 .5 23.5 12 12 23.5.5 12z",
        }
    }
    /// The mark on it.
    pub fn mark(self) -> &'static str {
        match self {
            Tone::Good => "m7 12.5 3.5 3.5L17 8.5",
            Tone::Note => "M12 11v6M12 7v.1",
            Tone::Warn => "M12 9v6M12 18.4v.1",
            Tone::Bad => "m8 8 8 8m0-8-8 8",
            Tone::Unknown => "M9.6 9.3a2.4 2.4 0 1 1 3.4 2.3c-.7.4-1 .9-1 1.9M12 16.9v.1",
        }
    }
}

/// Headline and tone of a state.
pub fn look(state: VerdictState) -> (Tone, &'static str, &'static str) {
    use Tone::{Bad, Good, Note, Unknown, Warn};
    match state {
        VerdictState::Official => (Good, "Официальный чат", "Official chat"),
        VerdictState::OfficialOtherHouse => (Warn, "Официальный чат другого дома", "Official chat of another house"),
        VerdictState::OfficialCoversSeveral => {
            (Good, "Официальный чат нескольких домов", "Official chat of several houses")
        }
        VerdictState::ManagementChanged => {
            (Good, "Официальный чат, сменилась УК", "Official chat; its management changed")
        }
        VerdictState::Transferred => (Note, "Официальный чат, сменился владелец", "Official chat; its owner changed"),
        VerdictState::Superseded => (Warn, "Чат заменён другим", "Replaced by another chat"),
        VerdictState::Suspended => (Warn, "Официальный статус приостановлен", "Official status suspended"),
        VerdictState::Closed => (Warn, "Чат закрыт", "Chat closed"),
        VerdictState::Disputed => (Warn, "Чей чат — спорно", "Ownership disputed"),
        VerdictState::ImitationReported => (Bad, "Возможно, подделка", "Reported as an imitation"),
        VerdictState::ImitationConfirmed => (Bad, "Подделка", "An imitation"),
        VerdictState::PendingHandover => (Warn, "Ещё не официальный", "Not official yet"),
        VerdictState::LinkRotated => (Note, "Старая ссылка официального чата", "An old link of an official chat"),
        VerdictState::Contested => {
            (Note, "Официальный чат, сведения оспариваются", "Official chat; some facts are contested")
        }
        VerdictState::NotRegistered => (Unknown, "В реестре нет", "Not in the register"),
        VerdictState::HouseWithoutChat => (Unknown, "Официального чата у дома нет", "The house has no official chat"),
        VerdictState::ChatNotRequired => (Unknown, "Официальный чат не обязателен", "No official chat is required"),
        VerdictState::RegionNotConnected => {
            (Unknown, "Неизвестно: регион не подключён", "Unknown: region not connected")
        }
        VerdictState::BotOfficial => (Good, "Официальный бот", "Official bot"),
        VerdictState::BotUnknown => (Unknown, "Бот неизвестен", "Unknown bot"),
        VerdictState::Stale => (Unknown, "Данные устарели", "The data are stale"),
        VerdictState::NotAChatLink => (Warn, "Это не ссылка на чат MAX", "Not a link to a MAX chat"),
    }
}

/// A state's look for a template.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Colour and shape.
    pub tone: Tone,
    /// The headline in the page's language.
    pub head: &'static str,
}

impl Look {
    /// Of a state, in the page's language.
    pub fn of(state: VerdictState, page: &Page) -> Look {
        let (tone, ru, en) = look(state);
        Look { tone, head: page.t(ru, en) }
    }
}
