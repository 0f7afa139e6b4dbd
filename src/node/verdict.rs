//! "Is this chat official?": the answer, from the facts of one or several logs, for one day (domain.md, "Answers").
//!
//! A verdict is computed by the reader and never stored. Every verdict names the authority, the basis, the date, how
//! fresh the register's copy is, and one line of advice; and always that nobody official asks for a code from an SMS.

use serde::Serialize;
use utoipa::ToSchema;

use super::notes::{BotView, FlagView};
use super::query::{BuildingView, ChatView};
use super::union::Claim;
use crate::registry::body::{ChatKind, Finding, ObservedBy, StandingReason};
use crate::registry::facts::ChatStatus;
use crate::registry::ids::OrgId;
use crate::registry::record::{Basis, BasisKind};
use crate::registry::text::Day;

/// The states of domain.md. A lookalike is told by its title or link alone, by no record, and is not among them yet.
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
    /// Why nothing newer of that log is believed, by its code: the answer is from the last good state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
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
            recorded: None,
            checked_in_max: None,
            covers_yours: None,
            notes: Vec::new(),
            chats: Vec::new(),
            flags: Vec::new(),
            bots: Vec::new(),
            house: None,
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
    if chat.freshness.stale {
        return VerdictState::Stale;
    }
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

/// The state in words.
pub fn words(state: VerdictState, chat: Option<&ChatView>) -> (Said, Said) {
    let owner = chat.map_or_else(String::new, |c| c.owner_name.clone());
    let managers: Vec<String> = chat.map_or_else(Vec::new, |c| {
        let holding = c.buildings.iter().flat_map(|b| b.managements.iter().filter(|m| m.holds));
        let mut names: Vec<String> = holding.filter_map(|m| m.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    });
    let managers = if managers.is_empty() { "—".to_owned() } else { managers.join(", ") };
    words_for(state, &owner, &managers)
}

/// The state in words, with the names of the owner and of those who manage the house.
pub fn words_for(state: VerdictState, owner: &str, managers: &str) -> (Said, Said) {
    let sms_ru = "Никто официальный не просит код из СМС.";
    let sms_en = "Nobody official asks for a code from an SMS.";
    let (ru, en, do_ru, do_en) = match state {
        VerdictState::Official => (
            format!("Официальный чат дома. Владелец: {owner}."),
            format!("The official house chat. Owner: {owner}."),
            "Можно пользоваться.",
            "You can use it.",
        ),
        VerdictState::OfficialOtherHouse => (
            format!("Официальный чат, но другого дома. Владелец: {owner}."),
            format!("An official chat, but of another house. Owner: {owner}."),
            "Найдите чат своего дома по адресу.",
            "Look for your own house's chat by its address.",
        ),
        VerdictState::OfficialCoversSeveral => (
            format!("Официальный чат нескольких домов. Владелец: {owner}."),
            format!("The official chat of several houses. Owner: {owner}."),
            "Проверьте, есть ли в списке ваш дом.",
            "Check that your house is on the list.",
        ),
        VerdictState::ManagementChanged => (
            format!(
                "Официальный чат. Управляющая организация недавно сменилась ({managers}), владелец прежний: {owner}."
            ),
            format!(
                "An official chat. The management company changed recently ({managers}), the owner did not: {owner}."
            ),
            "Можно пользоваться: чат и ссылка остались прежними.",
            "You can use it: the chat and its link stayed the same.",
        ),
        VerdictState::Transferred => (
            format!("Официальный чат. Недавно передан другому органу: {owner}."),
            format!("An official chat. It was handed to another authority recently: {owner}."),
            "Можно пользоваться; передача подписана и записана.",
            "You can use it; the transfer is signed and on record.",
        ),
        VerdictState::Superseded => (
            "Этот чат был официальным, его заменил другой.".into(),
            "This chat was official; another one replaced it.".into(),
            "Перейдите в чат-преемник.",
            "Go to its successor.",
        ),
        VerdictState::Suspended => (
            "Официальный статус этого чата приостановлен.".into(),
            "The official status of this chat is suspended.".into(),
            "Подождите решения владельца.",
            "Wait for the owner's decision.",
        ),
        VerdictState::Closed => (
            "Этот чат закрыт и больше не официальный.".into(),
            "This chat is closed and no longer official.".into(),
            "Найдите чат своего дома по адресу.",
            "Look for your house's chat by its address.",
        ),
        VerdictState::Disputed => (
            format!("На этот чат раньше заявил права другой орган, чем {owner}. Решения федерации ещё нет."),
            format!("Another authority claimed this chat before {owner} did. The federation has not decided yet."),
            "Не полагайтесь на этот чат, пока спор не решён; обе заявки показаны ниже.",
            "Do not rely on this chat until it is decided; both claims are shown below.",
        ),
        VerdictState::ImitationReported => (
            "Сообщалось, что это подделка официального чата.".into(),
            "This was reported as an imitation of an official chat.".into(),
            "Не переходите по ссылке; официальный чат назван ниже.",
            "Do not follow it; the official chat is named below.",
        ),
        VerdictState::ImitationConfirmed => (
            "Это подделка официального чата.".into(),
            "This is an imitation of an official chat.".into(),
            "Не переходите по ссылке и предупредите соседей; официальный чат назван ниже.",
            "Do not follow it, and warn your neighbours; the official chat is named below.",
        ),
        VerdictState::BotOfficial => {
            ("Официальный бот.".into(), "An official bot.".into(), "Можно пользоваться.", "You can use it.")
        }
        VerdictState::BotUnknown => (
            "Ни один орган этого бота не подтверждал. Это значит «неизвестно», а не «мошенники».".into(),
            "No authority attests this bot. That means «unknown», not «fraud».".into(),
            "Ничего ему не сообщайте, пока не спросите инспекцию.",
            "Tell it nothing until you have asked the authority.",
        ),
        VerdictState::PendingHandover => (
            "Чат известен инспекции, но ещё не передан ей в MAX.".into(),
            "The authority knows this chat but does not own it in MAX yet.".into(),
            "Считайте его неофициальным, пока передача не завершена.",
            "Treat it as unofficial until the hand-over is complete.",
        ),
        VerdictState::LinkRotated => (
            format!("Прежняя ссылка официального чата; её заменили. Владелец: {owner}."),
            format!("An earlier link of an official chat; it was replaced. Owner: {owner}."),
            "Возьмите новую ссылку на плакате в подъезде или в «Госуслуги Дом».",
            "Take the new link from the poster in the entrance hall or from «Госуслуги Дом».",
        ),
        VerdictState::Contested => (
            format!("Официальный чат, но сведения оспариваются. Управляют домом: {managers}. Владелец: {owner}."),
            format!("An official chat, but facts are contested. The house is managed by: {managers}. Owner: {owner}."),
            "Чатом пользоваться можно; что оспаривается, спросите у инспекции.",
            "You can use the chat; ask the authority what is contested.",
        ),
        VerdictState::NotRegistered => (
            "В реестре такого чата нет. Это значит «неизвестно», а не «мошенники».".into(),
            "The register has no such chat. That means «unknown», not «fraud».".into(),
            "Не переходите по ссылке, пока не узнаете у управляющей организации или инспекции.",
            "Do not follow the link until you have asked the management company or the authority.",
        ),
        VerdictState::HouseWithoutChat => (
            "Дом известен, официального чата у него пока нет.".into(),
            "The building is known; it has no official chat yet.".into(),
            "Любой чат этого дома сейчас неофициальный.",
            "Any chat of this house is unofficial for now.",
        ),
        VerdictState::ChatNotRequired => (
            "Для этого дома официальный чат не обязателен.".into(),
            "No official chat is required of this house.".into(),
            "Чат жильцов может существовать, но он не официальный.",
            "Residents may have a chat of their own; it is not official.",
        ),
        VerdictState::RegionNotConnected => (
            "Этот регион пока не подключён: отсутствие записи ничего не доказывает.".into(),
            "This region does not take part yet: absence proves nothing.".into(),
            "Спросите жилищную инспекцию региона.",
            "Ask the region's housing inspectorate.",
        ),
        VerdictState::Stale => (
            "Данные устарели: узел давно не получал обновлений этого региона.".into(),
            "The data are stale: this node has not heard from the region for too long.".into(),
            "Повторите проверку позже или на узле региона.",
            "Check again later, or at the region's own node.",
        ),
        VerdictState::NotAChatLink => (
            "Это не ссылка на чат MAX.".into(),
            "This is not a link to a MAX chat.".into(),
            "Настоящая ссылка начинается с https://max.ru/join/.",
            "A real link begins with https://max.ru/join/.",
        ),
    };
    (said(ru, en), said(format!("{do_ru} {sms_ru}"), format!("{do_en} {sms_en}")))
}

pub(super) fn day_words(day: Option<Day>) -> Said {
    day.map_or_else(|| said("день не указан", "day not recorded"), |d| said(d.to_string(), d.to_string()))
}

/// A document in words.
pub fn basis_words(basis: Option<&Basis>) -> Said {
    let Some(b) = basis else { return said("документ не указан", "no document recorded") };
    let (ru, en) = match b.kind {
        BasisKind::Order => ("приказ", "order"),
        BasisKind::Decision => ("решение", "decision"),
        BasisKind::Contract => ("договор", "contract"),
        BasisKind::Regulation => ("нормативный акт", "regulation"),
        BasisKind::LicenceRegister => ("реестр лицензий", "register of licences"),
        BasisKind::Dataset => ("набор данных", "data set"),
        BasisKind::Notice => ("обращение", "notice"),
        BasisKind::Generated => ("выдуманные данные", "made-up data"),
    };
    let number = |sign: &str| b.number.as_ref().map(|n| format!(" {sign} {n}")).unwrap_or_default();
    let of = |word: &str| b.date.map(|d| format!(" {word} {d}")).unwrap_or_default();
    let issuer = b.issuer.as_ref().map(|i| format!(" ({i})")).unwrap_or_default();
    said(format!("{ru}{}{}{issuer}", number("№"), of("от")), format!("{en}{}{}{issuer}", number("no."), of("of")))
}

fn reason_words(reason: Option<StandingReason>) -> Said {
    match reason {
        None => said("причина не указана", "no reason recorded"),
        Some(StandingReason::Compromised) => said("захвачен", "taken over by somebody else"),
        Some(StandingReason::Duplicate) => said("второй чат того же дома", "a second chat of the same house"),
        Some(StandingReason::HouseRetired) => said("дом снят с учёта", "the building left the register"),
        Some(StandingReason::Mistake) => said("внесён по ошибке", "entered by mistake"),
        Some(StandingReason::Decision) => said("по решению", "by decision"),
    }
}

/// What the register says of a chat: owner, since when, on which document; of one that is not official also why.
pub fn recorded(chat: &ChatView) -> Said {
    let (since, basis) = (day_words(chat.owner_since), basis_words(chat.basis.as_deref()));
    let mut all = said(
        format!("Записано в реестре: владелец {}, с: {}, основание: {}.", chat.owner_name, since.ru, basis.ru),
        format!("On record: owner {}, since: {}, basis: {}.", chat.owner_name, since.en, basis.en),
    );
    if matches!(chat.status, ChatStatus::Suspended | ChatStatus::Closed | ChatStatus::Replaced | ChatStatus::Void) {
        let (since, why) = (day_words(chat.status_since), reason_words(chat.status_reason));
        let basis = basis_words(chat.status_basis.as_deref());
        all.ru += &format!(" Нынешнее состояние с: {}, причина: {}, основание: {}.", since.ru, why.ru, basis.ru);
        all.en += &format!(" Present standing since: {}, reason: {}, basis: {}.", since.en, why.en, basis.en);
    }
    if let Some(latest) = chat.latest {
        all.ru += &format!(" Преемник: {latest}.");
        all.en += &format!(" Successor: {latest}.");
    }
    if chat.owners.len() > 1 {
        let chain: Vec<&str> = chat.owners.iter().map(|o| o.name.as_str()).collect();
        all.ru += &format!(" Владельцы по порядку: {}.", chain.join(" → "));
        all.en += &format!(" Owners in order: {}.", chain.join(" → "));
    }
    all
}

/// What was last seen in MAX. It says nothing about who owns the chat by right.
pub fn checked(chat: &ChatView) -> Said {
    let Some(seen) = &chat.last_checked_in_max else {
        return said("В MAX не проверялось.", "Not checked in MAX.");
    };
    let by = match seen.by {
        ObservedBy::Hand => said("вручную", "by hand"),
        ObservedBy::Bot => said("ботом", "by bot"),
    };
    let found = |f: Finding| match f {
        Finding::Match => said("совпадает", "as recorded"),
        Finding::Mismatch => said("НЕ совпадает", "NOT as recorded"),
        Finding::Unknown => said("не видно", "not seen"),
    };
    let (owner, admin, link) = (found(seen.owner), found(seen.administrator), found(seen.link));
    let mut all = said(
        format!(
            "Проверено в MAX {} {}: владелец {}, администратор {}, ссылка {}.",
            seen.on, by.ru, owner.ru, admin.ru, link.ru
        ),
        format!(
            "Checked in MAX on {} {}: owner {}, administrator {}, link {}.",
            seen.on, by.en, owner.en, admin.en, link.en
        ),
    );
    if seen.former_administrator {
        all.ru += " Чат всё ещё администрирует прежняя организация.";
        all.en += " A former management company still administers it.";
    }
    all
}

/// What stands beside the answer about a chat and does not change it.
pub fn notes(chat: &ChatView, rivals: &[ChatView], flags: &[FlagView], asked: Option<&str>) -> Vec<Said> {
    let mut out = Vec::new();
    for r in rivals {
        let basis = basis_words(r.basis.as_deref());
        out.push(said(
            format!("На этот же чат заявил права {} (журнал {}, {}).", r.owner_name, r.freshness.log, basis.ru),
            format!("{} claims the same chat (log {}, {}).", r.owner_name, r.freshness.log, basis.en),
        ));
    }
    for f in flags {
        out.push(said(
            format!("{} (журнал {}) называет его подделкой чата {}.", f.authority_name, f.freshness.log, f.imitates),
            format!("{} (log {}) calls it an imitation of the chat {}.", f.authority_name, f.freshness.log, f.imitates),
        ));
    }
    let concerned = |b: &&BuildingView| asked.is_none_or(|own| b.ids.iter().any(|id| id == own));
    let houses = chat.buildings.iter().filter(concerned);
    for o in chat.objections.iter().chain(houses.flat_map(|b| &b.objections)).filter(|o| o.open) {
        out.push(said(
            format!("Не рассмотрено возражение № {} от {}.", o.number, o.date),
            format!("The objection no. {} of {} is open.", o.number, o.date),
        ));
    }
    if !chat.suspect.is_empty() || chat.buildings.iter().any(|b| !b.suspect.is_empty()) {
        out.push(said(
            "Часть записей подписана ключом, который объявлен скомпрометированным; они под сомнением.",
            "Some of the records were signed by a key that was reported compromised; they are suspect.",
        ));
    }
    out
}

/// Words about what is no chat of the register: a bot, an imitation, a house.
pub mod found {
    use super::*;

    /// An attested bot: who vouches for it, and what is on record.
    pub fn bot(b: &BotView) -> (Said, Option<Said>) {
        let (since, basis) = (day_words(b.from), basis_words(b.basis.as_ref()));
        let only: Vec<String> = b.chats.iter().map(ToString::to_string).collect();
        let (mut ru, mut en) = (
            format!("Официальный бот «{}». Подтвердил: {}.", b.title, b.authority_name),
            format!("The official bot «{}». Attested by: {}.", b.title, b.authority_name),
        );
        if !only.is_empty() {
            ru += &format!(" Только для чатов: {}.", only.join(", "));
            en += &format!(" Only for the chats: {}.", only.join(", "));
        }
        let on_record = said(
            format!("Записано в реестре: подтверждён с: {}, основание: {}.", since.ru, basis.ru),
            format!("On record: attested since: {}, basis: {}.", since.en, basis.en),
        );
        (said(ru, en), Some(on_record))
    }

    /// A flagged link or chat id: what it imitates, who says so.
    pub fn imitation(state: VerdictState, f: &FlagView) -> (Said, Option<Said>) {
        let (text, _) = words(state, None);
        let text = said(
            format!("{} Официальный чат: {} «{}», владелец: {}.", text.ru, f.imitates, f.title, f.authority_name),
            format!("{} The official chat: {} «{}», owner: {}.", text.en, f.imitates, f.title, f.authority_name),
        );
        let (since, basis) = (day_words(f.from), basis_words(f.basis.as_ref()));
        let on_record = said(
            format!("Отмечено: {}, с: {}, основание: {}.", f.authority_name, since.ru, basis.ru),
            format!("Flagged by {}, since: {}, basis: {}.", f.authority_name, since.en, basis.en),
        );
        (text, Some(on_record))
    }

    /// A house without a chat: whether one is required of it, and on which document.
    pub fn house(h: &BuildingView) -> Said {
        let r = &h.chat_required;
        let (since, basis) = (day_words(r.since), basis_words(r.basis.as_ref()));
        match (r.exception, r.above_flats) {
            (Some(_), _) => {
                said("Для этого дома записано особое решение.", "An exception is on record for this building.")
            }
            (None, Some(above)) => {
                let flats = h.flats.map_or_else(|| "?".to_owned(), |f| f.to_string());
                said(
                    format!(
                        "Чат обязателен в домах, где квартир больше {above}; с: {}, основание: {}. Здесь квартир: {flats}.",
                        since.ru, basis.ru
                    ),
                    format!(
                        "A chat is required of buildings with more than {above} flats; since: {}, basis: {}. Flats here: {flats}.",
                        since.en, basis.en
                    ),
                )
            }
            (None, None) => said("Порог для региона не записан.", "No threshold is on record for the region."),
        }
    }
}
