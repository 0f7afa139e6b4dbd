//! What the node answers about a chat, and whether a poster may be hung up for it.
//!
//! The answer is `GET /api/v1/verify` for the digest of the clerk's link. A poster hangs for years: it is made only of an answer that
//! is fresh, about a chat that is official today, with the very link that is its current one.

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::registry::ids::{BuildingId, ChatNumber};
use crate::registry::link::LinkDigest;
use crate::registry::text::Day;

/// The answer, as far as it is looked at.
#[derive(Debug, Clone, Deserialize)]
pub struct Answer {
    /// State of the verdict.
    pub state: String,
    /// The day it is about.
    pub as_of: Day,
    /// The chat it is of stands first.
    #[serde(default)]
    pub chats: Vec<ChatAnswer>,
}

/// A chat in the answer.
#[derive(Debug, Clone, Deserialize)]
pub struct ChatAnswer {
    chat: ChatNumber,
    kind: String,
    status: String,
    entrance: Option<u16>,
    owner_name: String,
    owner_in_good_standing: bool,
    link_digest: Option<LinkDigest>,
    buildings: Vec<BuildingAnswer>,
    freshness: FreshnessAnswer,
}

#[derive(Debug, Clone, Deserialize)]
struct BuildingAnswer {
    ids: Vec<String>,
    address: String,
    active: bool,
    managements: Vec<ManagementAnswer>,
}

#[derive(Debug, Clone, Deserialize)]
struct ManagementAnswer {
    form: String,
    organisation: Option<String>,
    name: Option<String>,
    holds: bool,
}

#[derive(Debug, Clone, Deserialize)]
struct FreshnessAnswer {
    stale: bool,
}

/// What a chat is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One house or several.
    House,
    /// An entrance, by its number.
    Entrance(Option<u16>),
    /// A complex of houses.
    Complex,
}

/// What is printed of a chat that is fit for a poster; only [`check`] makes it.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The registry's number.
    pub chat: ChatNumber,
    /// Kind.
    pub(super) kind: Kind,
    /// Addresses of the buildings it covers that stand today.
    pub(super) addresses: Vec<String>,
    /// The authority's name.
    pub(super) owner: String,
    /// Who manages the buildings.
    pub(super) managers: Vec<String>,
    /// The day all this is true of.
    pub(super) as_of: Day,
    /// An objection is open, or managements overlap: it is official all the same, and worth a second look.
    pub contested: bool,
}

impl Facts {
    /// The first address.
    pub fn address(&self) -> &str {
        self.addresses.first().map_or("", String::as_str)
    }
}

/// States in which a chat is official; which of them, is for the page to say, not for paper.
const OFFICIAL: [&str; 5] = ["official", "official_covers_several", "management_changed", "transferred", "contested"];

/// Decides whether a poster may be made: of the chat `chat` and for the building `house` where the clerk names them.
///
/// # Errors
/// `poster.stale`, `poster.unknown`, `poster.other-chat`, `poster.rotated`, `poster.not-official`, `poster.house`.
pub fn check(answer: &Answer, link: LinkDigest, chat: Option<ChatNumber>, house: Option<&BuildingId>) -> Result<Facts> {
    let found = answer.chats.first();
    if answer.state == "stale" || found.is_some_and(|c| c.freshness.stale) {
        return Err(Error::retry(
            "poster.stale",
            "what the node knows of this chat is older than its region allows",
            "wait until the node follows again, or ask the region's own node",
        ));
    }
    let Some(found) = found else {
        let detail = format!("no chat of the register has this link (the node says: {})", answer.state);
        return Err(Error::refuse("poster.unknown", detail, "register the chat first, or correct the link"));
    };
    if let Some(wanted) = chat.filter(|wanted| *wanted != found.chat) {
        let detail = format!("the link is of the chat {}, not of {wanted}", found.chat);
        return Err(Error::refuse("poster.other-chat", detail, "give the link of this very chat"));
    }
    if found.link_digest != Some(link) {
        let detail = format!("the link is an earlier one of {}, replaced by another", found.chat);
        return Err(Error::refuse("poster.rotated", detail, "take the chat's present link"));
    }
    if !OFFICIAL.contains(&answer.state.as_str()) || found.status != "official" || !found.owner_in_good_standing {
        let detail = format!("{} is not official today: {} ({})", found.chat, answer.state, found.status);
        return Err(Error::refuse(
            "poster.not-official",
            detail,
            "see «domovoi show chat»; a poster is for official chats only",
        ));
    }
    let standing = || found.buildings.iter().filter(|b| b.active);
    let other = house.map(ToString::to_string).filter(|id| !standing().any(|b| b.ids.contains(id)));
    if other.is_some() || standing().next().is_none() {
        let which = other.unwrap_or_else(|| "any building that stands".into());
        let detail = format!("{} does not cover {which}", found.chat);
        return Err(Error::refuse("poster.house", detail, "compare the row with «domovoi show chat»"));
    }
    let held = standing().flat_map(|b| b.managements.iter().filter(|m| m.holds));
    Ok(Facts {
        chat: found.chat,
        kind: match found.kind.as_str() {
            "entrance" => Kind::Entrance(found.entrance),
            "complex" => Kind::Complex,
            _ => Kind::House,
        },
        addresses: standing().map(|b| b.address.clone()).collect(),
        owner: found.owner_name.clone(),
        managers: held.filter_map(manager).collect(),
        as_of: answer.as_of,
        contested: answer.state == "contested",
    })
}

fn manager(m: &ManagementAnswer) -> Option<String> {
    let named = m.name.clone().or_else(|| m.organisation.clone());
    let form = match m.form.as_str() {
        "direct" => "собственники непосредственно",
        "developer" => "застройщик",
        _ => return named,
    };
    named.or_else(|| Some(form.to_owned()))
}
