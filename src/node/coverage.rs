//! Coverage: how many buildings have an official chat, by region and municipality. A region without data is "no data",
//! never 0 %.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::Node;
use super::log_view::LogView;
use super::verdict::Freshness;
use crate::registry::body::ChatKind;
use crate::registry::facts::Facts;
use crate::registry::state::View;
use crate::registry::{regions, text::Day};

/// Counts of one territory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counts {
    /// Active buildings.
    pub buildings: u64,
    /// Of these, covered by an active official chat.
    pub with_chat: u64,
    /// Of these, no chat is required.
    pub not_required: u64,
    /// Covered, but nobody who manages the building administers the chat.
    pub without_administrator: u64,
    /// Managed by more than one organisation at once.
    pub contested: u64,
}

/// A municipality.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MunicipalityCoverage {
    /// ОКТМО code, or the region's prefix where the source does not tell.
    pub oktmo: String,
    /// Counts.
    pub counts: Counts,
}

/// A region.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RegionCoverage {
    /// Two-digit code.
    pub region: String,
    /// Name.
    pub name: String,
    /// Counts; absent = no data.
    pub counts: Option<Counts>,
    /// By municipality.
    pub municipalities: Vec<MunicipalityCoverage>,
    /// Where the counts come from.
    pub freshness: Option<Freshness>,
}

/// Coverage of every region of the federation that this node knows or does not know.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Coverage {
    /// The day it is about.
    #[schema(value_type = String)]
    pub as_of: Day,
    /// Regions with data.
    pub connected: usize,
    /// All regions.
    pub regions_total: usize,
    /// One line per region.
    pub regions: Vec<RegionCoverage>,
}

impl Node {
    /// Counts coverage for `day`.
    pub fn coverage(&self, day: Day) -> Coverage {
        let views = self.views();
        let one = |region: &regions::Region| {
            let view = views.iter().find(|v| v.region == region.code && v.head().is_some());
            let by_municipality = view.map(|v| count(v, day));
            RegionCoverage {
                region: region.code.to_string(),
                name: region.name_ru.to_owned(),
                counts: by_municipality.as_ref().map(|m| m.values().fold(Counts::default(), add)),
                municipalities: by_municipality
                    .into_iter()
                    .flatten()
                    .map(|(oktmo, counts)| MunicipalityCoverage { oktmo, counts })
                    .collect(),
                freshness: view.map(|v| self.freshness(v)),
            }
        };
        let regions: Vec<RegionCoverage> = regions::all().iter().map(one).collect();
        Coverage {
            as_of: day,
            connected: regions.iter().filter(|r| r.counts.is_some()).count(),
            regions_total: regions.len(),
            regions,
        }
    }
}

fn add(a: Counts, b: &Counts) -> Counts {
    Counts {
        buildings: a.buildings + b.buildings,
        with_chat: a.with_chat + b.with_chat,
        not_required: a.not_required + b.not_required,
        without_administrator: a.without_administrator + b.without_administrator,
        contested: a.contested + b.contested,
    }
}

fn count(view: &LogView, day: Day) -> BTreeMap<String, Counts> {
    let state = view.state();
    let mut out: BTreeMap<String, Counts> = BTreeMap::new();
    let threshold = state.threshold(day);
    for (_, entry) in state.subjects() {
        let Facts::Building(b) = &entry.facts else { continue };
        if !b.active_on(day) {
            continue;
        }
        let counts = out.entry(b.oktmo.to_string()).or_default();
        counts.buildings += 1;
        counts.not_required += u64::from(b.chat_required(threshold) == Some(false));
        counts.contested += u64::from(b.contested_on(day, |id| state.organisation(id)));
        let chats = state.chats_by_building(&b.building);
        let official = chats.iter().filter_map(|n| state.chat(*n)).find(|c| {
            state.is_official(c)
                && c.kind != ChatKind::Entrance
                && c.buildings.contains(&b.building)
                && c.status_on(day).is_some()
        });
        if let Some(chat) = official {
            counts.with_chat += 1;
            let run = chat.admins.iter().any(|a| b.delegation_holds(a, day, |id| state.organisation(id)));
            counts.without_administrator += u64::from(!run);
        }
    }
    out
}
