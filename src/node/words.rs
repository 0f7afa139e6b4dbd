//! Answers in words, Russian and English: the sentence and the advice of each state, what is on record, what stands beside.

use super::notes::{BotView, FlagView};
use super::query::{BuildingView, ChatView};
use super::verdict::{Freshness, Said, VerdictState, said};
use crate::registry::body::{ChatKind, Finding, ObservedBy, StandingReason};
use crate::registry::facts::ChatStatus;
use crate::registry::record::{Basis, BasisKind};
use crate::registry::text::Day;

/// The state of a chat in words. `covers_yours`: whether the asker's house is one of its houses, where he named one; `last`: what
/// it was when its log was last heard of.
pub fn words(state: VerdictState, chat: &ChatView, covers_yours: Option<bool>, last: VerdictState) -> (Said, Said) {
    let holding = chat.buildings.iter().flat_map(|b| b.managements.iter().filter(|m| m.holds));
    let mut managers: Vec<String> = holding.filter_map(|m| m.name.clone()).collect();
    managers.sort();
    managers.dedup();
    let managers = if managers.is_empty() { "—".to_owned() } else { managers.join(", ") };
    let owner = &chat.owner_name;
    let (mut text, mut advice) = words_for(state, owner, &managers);
    match (state, chat.kind, covers_yours) {
        (VerdictState::OfficialCoversSeveral, _, yours) => {
            let n = chat.buildings.len();
            let (ru, en) = match yours {
                Some(true) => ("ваш дом среди них", "your house is one of them"),
                _ => (
                    "назовите свой дом, чтобы узнать, есть ли он среди них",
                    "name your house to learn whether it is one",
                ),
            };
            text = said(
                format!("Официальный чат нескольких домов (всего {n}): {ru}. Владелец: {owner}."),
                format!("The official chat of several houses ({n} in all): {en}. Owner: {owner}."),
            );
            if yours == Some(true) {
                advice = words_for(VerdictState::Official, owner, &managers).1;
            }
        }
        (VerdictState::Official, ChatKind::Entrance, _) => {
            let which = chat.entrance.map(|n| format!(" {n}")).unwrap_or_default();
            text = said(
                format!("Официальный чат подъезда{which}. Владелец: {owner}."),
                format!("The official chat of entrance{which}. Owner: {owner}."),
            );
        }
        (VerdictState::Stale, ..) => {
            text = stale(&chat.freshness, &words_for(last, owner, &managers).0);
        }
        _ => {}
    }
    (text, advice)
}

/// How old what is known of a log is.
fn late(f: &Freshness) -> Said {
    let (seen, age) = (Day::of_ms(f.seen_at, 3), age(f.age_seconds));
    match f.expired {
        true => said(
            format!(
                "Данные устарели: срок действия устава федерации вышел, узел получал обновления этого региона {} назад.",
                age.ru
            ),
            format!(
                "The data are stale: the federation's charter has run out; this node heard from the region {} ago.",
                age.en
            ),
        ),
        false => said(
            format!("Данные устарели: узел не получал обновлений этого региона {}, с {seen}.", age.ru),
            format!("The data are stale: this node has not heard from the region for {}, since {seen}.", age.en),
        ),
    }
}

/// What was last known, said as such.
pub fn stale(f: &Freshness, then: &Said) -> Said {
    let late = late(f);
    said(format!("{} Последнее, что известно: {}", late.ru, then.ru), format!("{} Last known: {}", late.en, then.en))
}

/// A length of time in words, rounded down: minutes under two hours, hours under two days, then days.
pub(super) fn age(seconds: u64) -> Said {
    let (n, ru, en) = match seconds {
        0..7200 => (seconds / 60, ["минуту", "минуты", "минут"], "minutes"),
        7200..172_800 => (seconds / 3600, ["час", "часа", "часов"], "hours"),
        _ => (seconds / 86_400, ["день", "дня", "дней"], "days"),
    };
    let form = match (n % 10, n % 100) {
        (1, t) if t != 11 => ru[0],
        (2..=4, t) if !(12..=14).contains(&t) => ru[1],
        _ => ru[2],
    };
    let en = if n == 1 { en.trim_end_matches('s') } else { en };
    said(format!("{n} {form}"), format!("{n} {en}"))
}

/// A state in words, of no chat in particular: the sentence and the advice.
pub fn alone(state: VerdictState) -> (Said, Said) {
    words_for(state, "—", "—")
}

/// Said with every answer.
pub(super) const SMS: (&str, &str) =
    ("Никто официальный не просит код из СМС.", "Nobody official asks for a code from an SMS.");

/// The state in words, with the names of the owner and of those who manage the house.
pub fn words_for(state: VerdictState, owner: &str, managers: &str) -> (Said, Said) {
    let (sms_ru, sms_en) = SMS;
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
        VerdictState::Lookalike => (
            "Это не официальное, но похоже на официальное.".into(),
            "This is not official; it only looks like something official.".into(),
            "Не переходите по ссылке и ничего не сообщайте: так маскируются мошенники. Найдите чат своего дома по адресу.",
            "Do not follow it and tell it nothing: fraud hides like this. Look for your own house's chat by its address.",
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
            "Данные устарели.".into(),
            "The data are stale.".into(),
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

pub(super) fn reason_words(reason: Option<StandingReason>) -> Said {
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
    if chat.status == ChatStatus::Official && !chat.owner_in_good_standing {
        all.ru += " Полномочия владельца приостановлены.";
        all.en += " The owner is suspended.";
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
        let (text, _) = alone(state);
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
