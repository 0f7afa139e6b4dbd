//! "Is this chat official?": the answer, from the facts of one or several logs, for one day (domain.md, "Answers").
//!
//! A verdict is computed by the reader and never stored. Every verdict names the authority, the basis, the date, how
//! fresh the register's copy is, and one line of advice; and always that nobody official asks for a code from an SMS.

use serde::Serialize;
use utoipa::ToSchema;

use super::query::ChatView;
use super::union::Claim;
use crate::registry::body::ChatKind;
use crate::registry::facts::ChatStatus;
use crate::registry::text::Day;

/// The states of domain.md that this version tells apart.
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
    PendingHandover,
    LinkRotated,
    Contested,
    NotRegistered,
    HouseWithoutChat,
    ChatNotRequired,
    RegionNotConnected,
    Stale,
    NotAChatLink,
    Disputed,
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
    /// The chats it is about; more than one is never official silently.
    pub chats: Vec<ChatView>,
    /// The logs that were looked at.
    pub freshness: Vec<Freshness>,
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
    if asked.rotated {
        return VerdictState::LinkRotated;
    }
    if let Some(asked) = asked.building
        && !chat.buildings.iter().any(|b| b.ids.iter().any(|id| id == asked))
    {
        return VerdictState::OfficialOtherHouse;
    }
    if chat.buildings.iter().any(|b| b.managements.iter().filter(|m| m.holds).count() > 1) {
        return VerdictState::Contested;
    }
    let recent = |from: Option<Day>| {
        from.is_some_and(|f| {
            f <= day && day.date().since(f.date()).is_ok_and(|s| i64::from(s.get_days()) <= RECENT_DAYS)
        })
    };
    let changed = chat.buildings.iter().any(|b| {
        let earlier = b.managements.iter().any(|m| !m.holds && m.to.is_some());
        earlier && b.managements.iter().any(|m| m.holds && recent(m.from))
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
    let sms_ru = "Никто официальный не просит код из СМС.";
    let sms_en = "Nobody official asks for a code from an SMS.";
    let owner = chat.map_or_else(String::new, |c| c.owner_name.clone());
    let managers: Vec<String> = chat.map_or_else(Vec::new, |c| {
        let holding = c.buildings.iter().flat_map(|b| b.managements.iter().filter(|m| m.holds));
        let mut names: Vec<String> = holding.filter_map(|m| m.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    });
    let managers = if managers.is_empty() { "—".to_owned() } else { managers.join(", ") };
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
            format!("Официальный чат, но управление домом оспаривается: {managers}. Владелец: {owner}."),
            format!("An official chat, but the management of the house is contested: {managers}. Owner: {owner}."),
            "Чатом пользоваться можно; кто управляет домом, спросите у инспекции.",
            "You can use the chat; ask the authority who manages the house.",
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
        VerdictState::Disputed => (
            format!(
                "На этот чат претендуют два органа; здесь показано притязание, передачу по которому не подтверждает прежний журнал: {owner}."
            ),
            format!(
                "Two authorities claim this chat; shown is a claim whose transfer the earlier log does not confirm: {owner}."
            ),
            "Полагайтесь на прежнего владельца, пока федерация не решит.",
            "Rely on the earlier owner until the federation has decided.",
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
