//! What it means that nothing was found: provably nowhere, not known as of some moment, or not covered at all.
//!
//! "Registered nowhere" is said only where every region is covered and none too long ago: by this node's own copies of all
//! of them, or by the log of the federation that it writes. Anything less proves nothing, and says which regions are missing.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Node;
use super::log_view::LogView;
use super::verdict::{Said, VerdictState, said};
use super::words::{age, alone};
use crate::registry::ids::RegionCode;
use crate::registry::node_record::{DecodedNodeRecord, NodeRecord};
use crate::registry::regions;
use crate::registry::text::Day;

/// Most regions that a sentence names.
const MAX_NAMED: usize = 8;

/// What was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Chat,
    House,
    Bot,
}

/// Which regions an answer covers, and how far.
pub(super) struct Reach {
    connected: BTreeSet<RegionCode>,
    /// Covered, but longer ago than the policy allows.
    late: BTreeSet<RegionCode>,
    /// Everything recorded up to this moment is covered, Unix milliseconds.
    covered: u64,
    /// When the node was asked, Unix milliseconds.
    now: u64,
    /// The federation's log covers all regions of the federation.
    whole: bool,
}

/// What may be said of something that was not found.
pub(super) struct Absent {
    pub state: VerdictState,
    pub text: Said,
    pub advice: Said,
    /// Regions whose word would be needed.
    pub missing: Vec<RegionCode>,
}

impl Node {
    /// Which regions this node's answers cover.
    pub(super) fn reach(&self, views: &[Arc<LogView>]) -> Reach {
        let now = self.clock.now_ms();
        let mut reach = Reach { connected: BTreeSet::new(), late: BTreeSet::new(), covered: now, now, whole: false };
        for view in views.iter().filter(|v| v.head().is_some()) {
            let freshness = self.freshness(view);
            reach.connected.insert(view.region);
            reach.covered = reach.covered.min(freshness.seen_at);
            if freshness.stale {
                reach.late.insert(view.region);
            }
        }
        reach.whole = self.federation_covers_all();
        reach
    }

    /// True where the federation's log, written here, says that no region is missing in it and none is late.
    fn federation_covers_all(&self) -> bool {
        let Some(head) = self.federation().and_then(|f| f.head()) else { return false };
        match DecodedNodeRecord::decode(head.commit.as_bytes()).as_ref().map(DecodedNodeRecord::record) {
            Ok(NodeRecord::Federation(c)) => {
                let oldest = c.oldest.map_or(0, |o| o.get());
                c.missing.0.is_empty()
                    && self.clock.now_ms().saturating_sub(oldest) <= self.stale_after_hours * 3_600_000
            }
            _ => false,
        }
    }
}

impl Reach {
    /// What it means that `what` was not found; `region`: the only one that could have it.
    pub fn absent(&self, what: What, region: Option<RegionCode>) -> Absent {
        let (state, missing) = match region {
            Some(one) if !self.connected.contains(&one) => (VerdictState::RegionNotConnected, vec![one]),
            Some(one) if self.late.contains(&one) => (VerdictState::Stale, vec![one]),
            Some(_) => (VerdictState::NotRegistered, Vec::new()),
            None => {
                let missing: Vec<RegionCode> =
                    regions::all().iter().map(|r| r.code).filter(|c| !self.connected.contains(c)).collect();
                match (missing.is_empty() || self.whole, self.late.is_empty()) {
                    (false, _) => (VerdictState::RegionNotConnected, missing),
                    (true, false) => (VerdictState::Stale, self.late.iter().copied().collect()),
                    (true, true) => (VerdictState::NotRegistered, Vec::new()),
                }
            }
        };
        // Of a bot "unknown" is all that is ever said; only what is late says so.
        let state = match what {
            What::Bot if state != VerdictState::Stale => VerdictState::BotUnknown,
            _ => state,
        };
        let (_, advice) = alone(state);
        let mut absent = Absent { state, text: self.text(state, what, region, &missing), advice, missing };
        if what == What::House {
            absent.advice = house_advice(absent.advice, state);
        }
        absent
    }

    fn text(&self, state: VerdictState, what: What, region: Option<RegionCode>, missing: &[RegionCode]) -> Said {
        let (n, all) = (self.connected.len(), regions::all().len());
        let (ru, en) = match what {
            What::Chat => ("такого чата", "no such chat"),
            What::House => ("такого дома", "no such building"),
            What::Bot => ("такого бота", "no such bot"),
        };
        let codes = list(missing);
        let mut text = match (state, region) {
            (VerdictState::RegionNotConnected, Some(one)) => {
                let name = one.region().map_or("", |r| r.name_ru);
                said(
                    format!("Регион {one} ({name}) пока не подключён: отсутствие записи ничего не доказывает."),
                    format!("The region {one} ({name}) does not take part yet: absence proves nothing."),
                )
            }
            (VerdictState::RegionNotConnected, None) => said(
                format!(
                    "В подключённых регионах {ru} нет, но подключены не все: отсутствие записи ничего не доказывает."
                ),
                format!("The connected regions have {en}, but not every region takes part: absence proves nothing."),
            ),
            (VerdictState::Stale, _) => {
                let (day, ago) = (Day::of_ms(self.covered, 3), age(self.now.saturating_sub(self.covered) / 1000));
                said(
                    format!(
                        "Неизвестно: данные устарели. На {day} ({} назад) {ru} в реестре не было; давно не отвечали регионы: {}.",
                        ago.ru, codes.ru
                    ),
                    format!(
                        "Not known: the data are stale. As of {day} ({} ago) the register had {en}; regions not heard from: {}.",
                        ago.en, codes.en
                    ),
                )
            }
            (VerdictState::BotUnknown, _) => said(
                "Ни один орган подключённых регионов этого бота не подтверждал. Это значит «неизвестно», а не «мошенники».",
                "No authority of the connected regions attests this bot. That means «unknown», not «fraud».",
            ),
            _ => said(
                format!("В реестре {ru} нет. Это значит «неизвестно», а не «мошенники»."),
                format!("The register has {en}. That means «unknown», not «fraud»."),
            ),
        };
        text.ru += &format!(" Подключено регионов: {n} из {all}");
        text.en += &format!(" Regions connected: {n} of {all}");
        if state == VerdictState::RegionNotConnected && region.is_none() {
            text.ru += &format!("; нет данных регионов: {}", codes.ru);
            text.en += &format!("; not covered: {}", codes.en);
        }
        text.ru.push('.');
        text.en.push('.');
        text
    }
}

/// Codes of regions, not too many.
fn list(regions: &[RegionCode]) -> Said {
    let named: Vec<String> = regions.iter().take(MAX_NAMED).map(ToString::to_string).collect();
    let (named, more) = (named.join(", "), regions.len().saturating_sub(MAX_NAMED));
    match more {
        0 => said(named.clone(), named),
        _ => said(format!("{named} и ещё {more}"), format!("{named} and {more} more")),
    }
}

fn house_advice(other: Said, state: VerdictState) -> Said {
    let (ru, en) = match state {
        VerdictState::NotRegistered => (
            "Проверьте адрес или номер дома; чат, который за него выдают, пока не официальный.",
            "Check the building's address or id; whatever chat is shown for it is not official so far.",
        ),
        _ => return other,
    };
    let (sms_ru, sms_en) = super::words::SMS;
    said(format!("{ru} {sms_ru}"), format!("{en} {sms_en}"))
}
