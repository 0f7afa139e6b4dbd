//! A subject's records as a story: what happened on which day, in words and not in record types.

use std::collections::HashSet;

use super::lang::Page;
use super::words;
use crate::error::Result;
use crate::node::log_view::{HistoryRecord, LogView};
use crate::node::verdict::{Said, basis_words, said};
use crate::registry::body::{Body, Certainty, Finding, ManagementForm, Outcome, RetireReason, StandingReason};
use crate::registry::facts::Facts;
use crate::registry::ids::{BuildingId, OrgId, RecordId};
use crate::registry::record::{BasisKind, Subject};
use crate::registry::state::View;
use crate::registry::transfer::Ending;

/// Most records that are told on one page; earlier ones are counted.
const MAX_EVENTS: usize = 100;

/// One record in words.
pub struct Event {
    /// The day it holds from; where none is recorded, that of the source it was found in.
    pub day: String,
    /// What happened.
    pub text: String,
    /// The document, where one is recorded.
    pub basis: Option<String>,
    /// When it was recorded.
    pub recorded: String,
    /// Its place in the log.
    pub index: u64,
    /// A later record corrects it.
    pub corrected: bool,
}

/// What happened, newest first, and how many earlier records are not told.
pub struct Timeline {
    /// The newest events.
    pub events: Vec<Event>,
    /// Records before them.
    pub earlier: usize,
}

/// The story of a subject, and beside it of the managements of these buildings.
pub fn of(view: &LogView, page: &Page, subject: &Subject, managed: &[BuildingId]) -> Result<Timeline> {
    let mut earlier = 0;
    let mut last = |subject: &Subject| {
        let all = view.state().entry(subject).map_or(0, |e| e.history.len());
        let from = all.saturating_sub(MAX_EVENTS);
        earlier += from;
        view.history(subject, from, MAX_EVENTS)
    };
    let mut records = last(subject)?;
    for building in managed {
        let of_management =
            |r: &HistoryRecord| matches!(r.record.body, Body::ManagementAssigned(_) | Body::ManagementEnded(_));
        records.extend(last(&Subject::Building(building.clone()))?.into_iter().filter(of_management));
    }
    let corrected: HashSet<RecordId> = records.iter().filter_map(|r| superseded(&r.record.body)).collect();
    // What has no day was so before anybody wrote it down.
    records.sort_by_key(|r| std::cmp::Reverse((r.record.effective_from, r.index)));
    earlier += records.len().saturating_sub(MAX_EVENTS);
    records.truncate(MAX_EVENTS);
    let event = |r: HistoryRecord| Event {
        day: when(&r, page),
        text: page.say(&happened(view, &r.record.body)).to_owned(),
        basis: r.record.basis.as_ref().map(|b| page.say(&basis_words(Some(b))).to_owned()),
        recorded: words::moment(r.time, page.lang),
        index: r.index,
        corrected: corrected.contains(&r.record.id),
    };
    Ok(Timeline { events: records.into_iter().map(event).collect(), earlier })
}

fn when(r: &HistoryRecord, page: &Page) -> String {
    let source = r.record.basis.as_ref().filter(|b| b.kind == BasisKind::Dataset).and_then(|b| b.date);
    match (r.record.effective_from, source) {
        (Some(day), _) => words::day(day, page.lang),
        (None, Some(day)) => format!("{} {}", page.t("не позже", "not later than"), words::day(day, page.lang)),
        (None, None) => page.t("день не указан", "day not recorded").to_owned(),
    }
}

fn superseded(body: &Body) -> Option<RecordId> {
    match body {
        Body::RecordSuperseded(b) => Some(b.record),
        _ => None,
    }
}

/// The name of an authority or organisation; its id where the log has no name.
pub fn name(view: &LogView, id: &OrgId) -> String {
    let state = view.state();
    if let Some(authority) = state.authority(id) {
        return authority.name.to_string();
    }
    match state.facts(&Subject::Organisation(state.organisation(id))) {
        Some(Facts::Organisation(o)) => o.names.last().map_or_else(|| id.to_string(), |n| n.name.to_string()),
        _ => id.to_string(),
    }
}

/// Who manages, in words.
pub fn form(form: ManagementForm) -> Said {
    match form {
        ManagementForm::Company => said("управляющая организация", "management company"),
        ManagementForm::OwnersAssociation => said("товарищество собственников", "owners' association"),
        ManagementForm::Cooperative => said("жилищный кооператив", "housing cooperative"),
        ManagementForm::Direct => said("сами собственники", "the owners themselves"),
        ManagementForm::Temporary => said("временная управляющая организация", "temporary company"),
        ManagementForm::Developer => said("застройщик", "developer"),
        ManagementForm::None => said("никто", "nobody"),
        ManagementForm::Unknown => said("форма не указана", "form not recorded"),
    }
}

fn reason(reason: StandingReason) -> Said {
    match reason {
        StandingReason::Compromised => said("захвачен посторонними", "taken over by somebody else"),
        StandingReason::Duplicate => said("второй чат того же дома", "a second chat of the same house"),
        StandingReason::HouseRetired => said("дом снят с учёта", "the building left the register"),
        StandingReason::Mistake => said("внесён по ошибке", "entered by mistake"),
        StandingReason::Decision => said("по решению", "by decision"),
    }
}

fn found(finding: Finding) -> Said {
    match finding {
        Finding::Match => said("как записано", "as recorded"),
        Finding::Mismatch => said("НЕ как записано", "NOT as recorded"),
        Finding::Unknown => said("не видно", "not seen"),
    }
}

/// `ru` and `en` with one word between each pair of pieces.
fn with(ru: &str, en: &str, what: &Said) -> Said {
    said(format!("{ru}: {}.", what.ru), format!("{en}: {}.", what.en))
}

fn named(ru: &str, en: &str, what: impl std::fmt::Display) -> Said {
    said(format!("{ru}: {what}."), format!("{en}: {what}."))
}

/// What a record says happened. Join links are not told: they are keys, and the log has only their digests.
fn happened(view: &LogView, body: &Body) -> Said {
    match body {
        Body::ChatDeclared(b) => with(
            "Чат стал известен инспекции; владеть им в MAX будет",
            "The chat became known; it is to be owned in MAX by",
            &said(name(view, &b.authority), name(view, &b.authority)),
        ),
        Body::ChatRegistered(b) => {
            named("Чат стал официальным. Владелец", "The chat became official. Owner", name(view, &b.owner))
        }
        Body::ChatAmended(b) => {
            let mut changed = Vec::new();
            changed.extend(b.title.as_ref().map(|t| said(format!("название «{t}»"), format!("title «{t}»"))));
            changed.extend(b.buildings.as_ref().map(|_| said("список домов", "list of buildings")));
            changed.extend(b.entrance.map(|n| said(format!("подъезд {n}"), format!("entrance {n}"))));
            changed.extend(
                b.link.map(|_| said("ссылка; прежняя больше не действует", "link; the earlier one no longer holds")),
            );
            changed.extend(b.max.map(|_| said("номер чата в MAX", "chat id in MAX")));
            changed.extend(b.service_account.as_ref().map(|_| said("служебная учётная запись", "service account")));
            let all = |pick: fn(&Said) -> &str| changed.iter().map(pick).collect::<Vec<_>>().join(", ");
            with("Изменено", "Changed", &said(all(|s| &s.ru), all(|s| &s.en)))
        }
        Body::ChatSuspended(b) => {
            with("Официальный статус приостановлен", "Official status suspended", &reason(b.reason))
        }
        Body::ChatRestored(b) => with("Официальный статус возвращён", "Official status restored", &reason(b.reason)),
        Body::ChatClosed(b) => with("Чат закрыт", "The chat was closed", &reason(b.reason)),
        Body::ChatReplaced(b) => named("Чат заменён другим", "Replaced by another chat", b.successor),
        Body::ChatObserved(b) => {
            let (owner, admin, link) = (found(b.owner), found(b.administrator), found(b.link));
            let mut seen = said(
                format!("Проверено в MAX: владелец {}, администратор {}, ссылка {}.", owner.ru, admin.ru, link.ru),
                format!("Looked at in MAX: owner {}, administrator {}, link {}.", owner.en, admin.en, link.en),
            );
            if b.former_administrator {
                seen.ru += " Администрирует ещё прежняя организация.";
                seen.en += " A former organisation still administers it.";
            }
            seen
        }
        Body::OwnershipTransferred(b) => {
            let (from, to) = (name(view, &b.from), name(view, &b.to));
            said(format!("Владелец сменился: {from} → {to}."), format!("The owner changed: {from} → {to}."))
        }
        Body::AdminDelegated(b) => {
            named("Администрировать чат поручено", "Administration was given to", name(view, &b.organisation))
        }
        Body::AdminWithdrawn(b) => {
            named("Больше не администрирует чат", "No longer administers the chat", name(view, &b.organisation))
        }
        Body::TransferOffered(b) => named(
            "Чат предложен органу другого региона",
            "Offered to an authority of another region",
            name(view, &b.to),
        ),
        Body::TransferAccepted(b) => named(
            "Чат принят из другого региона. Владелец",
            "Taken over from another region. Owner",
            name(view, &b.owner),
        ),
        Body::TransferDeclined(_) => said("Предложенный чат не принят.", "The offered chat was declined."),
        Body::TransferReleased(b) => match b.outcome {
            Ending::Accepted => {
                said("Чат ушёл в реестр другого региона.", "The chat has left for another region's register.")
            }
            Ending::Declined => {
                said("Другой регион не принял чат; он остался.", "The other region declined; the chat stays.")
            }
            Ending::Expired => said(
                "Другой регион не ответил в срок; чат остался.",
                "The other region did not answer in time; the chat stays.",
            ),
        },
        Body::BuildingRegistered(b) => named("Дом внесён в реестр", "The building was entered", &b.address),
        Body::BuildingAmended(b) => named("Описание дома изменено", "The building's description changed", &b.address),
        Body::BuildingLinked(_) => said("Уточнены идентификаторы дома.", "The building's ids were settled."),
        Body::BuildingRetired(b) => match b.reason {
            RetireReason::Demolished => said("Дом снесён.", "The building was demolished."),
            RetireReason::Merged => said("Дом объединён с другим.", "The building was merged into another."),
            RetireReason::Split => said("Дом разделён на несколько.", "The building was split into several."),
        },
        Body::ManagementAssigned(b) => {
            let form = form(b.form);
            match b.organisation.as_ref().map(|o| name(view, o)) {
                Some(who) => said(
                    format!("Домом управляет: {who} ({}).", form.ru),
                    format!("The house is managed by: {who} ({}).", form.en),
                ),
                None => with("Домом управляет", "The house is managed by", &form),
            }
        }
        Body::ManagementEnded(b) => {
            let ended = {
                let state = view.state();
                let management =
                    state.building(&b.building).and_then(|h| h.managements.iter().find(|m| m.record == b.management));
                management.and_then(|m| m.organisation.clone())
            };
            let who = ended.map_or_else(
                || said("без организации", "no organisation"),
                |o| {
                    let who = name(view, &o);
                    said(who.clone(), who)
                },
            );
            with("Больше не управляет домом", "No longer manages the house", &who)
        }
        Body::ServicesPublished(b) => {
            named("Опубликованы службы дома", "Services of the house were published", b.services.0.len())
        }
        Body::ObjectionNoted(b) => match b.outcome {
            None => said(
                format!("Поступило возражение № {} от {}.", b.number, b.date),
                format!("An objection came in: no. {} of {}.", b.number, b.date),
            ),
            Some(Outcome::Upheld) => said(
                format!("Возражение № {} от {} удовлетворено.", b.number, b.date),
                format!("The objection no. {} of {} was upheld.", b.number, b.date),
            ),
            Some(Outcome::Rejected) => said(
                format!("Возражение № {} от {} отклонено.", b.number, b.date),
                format!("The objection no. {} of {} was rejected.", b.number, b.date),
            ),
        },
        Body::RecordSuperseded(_) => said("Исправлена прежняя запись.", "An earlier record was corrected."),
        Body::BotAttested(b) => named("Подтверждён официальный бот", "An official bot was attested", &b.title),
        Body::BotWithdrawn(b) => named("Бот больше не официальный", "No longer an official bot", b.bot.as_str()),
        Body::ImpersonationFlagged(b) => match b.certainty {
            Certainty::Reported => said("Сообщено о подделке.", "An imitation was reported."),
            Certainty::Confirmed => said("Подделка подтверждена.", "An imitation was confirmed."),
        },
        Body::ImpersonationCleared(_) => said("Отметка о подделке снята.", "A flag of imitation was cleared."),
        Body::AuthorityEnrolled(b) => named("Орган внесён в реестр", "The authority was enrolled", &b.name),
        Body::AuthorityAmended(b) => {
            named("Сведения об органе изменены", "The authority's description changed", &b.name)
        }
        Body::AuthoritySuspended(b) => with("Орган приостановлен", "The authority was suspended", &reason(b.reason)),
        Body::AuthoritySucceeded(b) => {
            named("Права перешли к органу", "Its rights passed to", name(view, &b.successor))
        }
        Body::KeyGranted(b) => named("Выдан ключ органу", "A key was granted to", name(view, &b.authority)),
        Body::KeyRevoked(_) => said("Ключ отозван.", "A key was revoked."),
        Body::OrganisationNamed(b) => named("Название организации", "The organisation's name", &b.name),
        Body::OrganisationLinked(_) => {
            said("Уточнены идентификаторы организации.", "The organisation's ids were settled.")
        }
        Body::ApplicabilitySet(b) => {
            named("Чат обязателен, если квартир больше", "A chat is required above this number of flats", b.above_flats)
        }
    }
}
