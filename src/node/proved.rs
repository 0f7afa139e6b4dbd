//! What a verified status proof says, in words: the same states and sentences as the node's own answers, from nothing but
//! the facts in the proof.

use serde::Serialize;

use super::verdict::{Said, VerdictState, said};
use super::words::{basis_words, day_words, words_for};
use crate::registry::facts::{ChatFacts, ChatStatus, Facts};
use crate::registry::status_proof::{Name, ProvedStatus};
use crate::registry::text::Day;

/// A proof in words.
#[derive(Debug, Clone, Serialize)]
pub struct Proved {
    /// What was asked about.
    pub about: String,
    /// Whether the log has it at all. Absence is proved for this one log only.
    pub known: bool,
    /// The state, where a chat, link or building was asked about and is known.
    pub state: Option<VerdictState>,
    /// In words.
    pub text: Said,
    /// One line of advice.
    pub advice: Said,
    /// Origin of the log.
    pub log: String,
    /// Two-digit code of its region.
    pub region: String,
    /// Size of the log.
    pub size: u64,
    /// Time of the commit, Unix milliseconds: the answer is as of then.
    pub as_of: u64,
    /// Newest time at which a cosigner that was asked for saw this as the newest head, Unix seconds.
    pub seen_at: Option<u64>,
    /// Cosigners that were asked for and signed, with their times, Unix seconds.
    pub cosigned: Vec<(String, u64)>,
    /// What is on record.
    pub recorded: Vec<Said>,
}

/// The state of a chat on a day, from its facts and its owner's.
fn state_of(proof: &ProvedStatus, chat: &ChatFacts, day: Day) -> VerdictState {
    let holder = chat.owner_on(day).and_then(|o| proof.holder(&o.authority));
    let in_good_standing =
        holder.is_some_and(|a| a.suspended.as_ref().is_none_or(|s| s.from.is_some_and(|from| from > day)));
    let rotated = match &proof.about {
        Name::Link(link) => chat.link != Some(*link),
        Name::Subject(_) => false,
    };
    match chat.status_on(day).map_or(ChatStatus::Void, |s| s.status) {
        ChatStatus::Declared => VerdictState::PendingHandover,
        ChatStatus::Suspended => VerdictState::Suspended,
        ChatStatus::Closed | ChatStatus::Void => VerdictState::Closed,
        ChatStatus::Replaced => VerdictState::Superseded,
        ChatStatus::Moved => VerdictState::Transferred,
        ChatStatus::Official if !in_good_standing => VerdictState::Suspended,
        ChatStatus::Official if rotated => VerdictState::LinkRotated,
        ChatStatus::Official if chat.buildings.len() > 1 => VerdictState::OfficialCoversSeveral,
        ChatStatus::Official => VerdictState::Official,
    }
}

/// Lower comes first: what is official before what was.
fn rank(state: VerdictState) -> u8 {
    match state {
        VerdictState::Official | VerdictState::OfficialCoversSeveral => 0,
        VerdictState::LinkRotated | VerdictState::PendingHandover | VerdictState::Suspended => 1,
        _ => 2,
    }
}

fn chat_lines(proof: &ProvedStatus, chat: &ChatFacts, day: Day, out: &mut Vec<Said>) {
    out.push(said(format!("Чат {}: «{}»", chat.chat, chat.title), format!("Chat {}: «{}»", chat.chat, chat.title)));
    if let Some(owner) = chat.owner_on(day) {
        let name = proof.holder(&owner.authority).map_or_else(|| owner.authority.to_string(), |a| a.name.to_string());
        let (since, basis) = (day_words(owner.from), basis_words(owner.basis.as_deref()));
        out.push(said(
            format!("Владелец: {name}, с: {}, основание: {}", since.ru, basis.ru),
            format!("Owner: {name}, since: {}, basis: {}", since.en, basis.en),
        ));
    }
    for id in &chat.buildings {
        out.push(match proof.buildings().find(|b| b.building == *id) {
            Some(b) => said(format!("Дом: {id} — {}", b.address), format!("Building: {id} — {}", b.address)),
            None => said(
                format!("Дом: {id} (адреса в этом доказательстве нет)"),
                format!("Building: {id} (its address is not part of this proof)"),
            ),
        });
    }
}

/// Puts a verified proof into words.
pub fn proved(proof: &ProvedStatus) -> Proved {
    let offset = proof.region.region().map_or(3, |r| r.utc_offset_hours);
    let seen_at = proof.cosigned.iter().map(|(_, time)| *time).max();
    let day = Day::of_ms(proof.time.max(seen_at.unwrap_or(0).saturating_mul(1000)), offset);
    let mut chats: Vec<(VerdictState, &ChatFacts)> = proof.chats().map(|c| (state_of(proof, c, day), c)).collect();
    chats.sort_by_key(|(state, chat)| (rank(*state), chat.chat));
    let mut recorded = Vec::new();
    for (_, chat) in &chats {
        chat_lines(proof, chat, day, &mut recorded);
    }
    let about_building = proof.buildings().next().filter(|_| chats.is_empty() && proof.is_known());
    let first = chats.first().map(|(state, _)| *state).or(about_building.map(|_| VerdictState::HouseWithoutChat));
    let owner = chats.first().and_then(|(_, c)| c.owner_on(day)).and_then(|o| proof.holder(&o.authority));
    let owner = owner.map_or_else(String::new, |a| a.name.to_string());
    let (text, advice) = match first {
        Some(state) => words_for(state, &owner, "—"),
        None if proof.is_known() => {
            standing(proof, day, &mut recorded);
            (said("На учёте в журнале.", "On record in the log."), words_for(VerdictState::NotRegistered, "", "").1)
        }
        None => (
            said(
                format!("В журнале {} этого нет. Про другие регионы это ничего не говорит.", proof.log),
                format!("The log {} has no such thing. That says nothing about other regions.", proof.log),
            ),
            words_for(VerdictState::NotRegistered, "", "").1,
        ),
    };
    Proved {
        about: proof.about.to_string(),
        known: proof.is_known(),
        state: first,
        text,
        advice,
        log: proof.log.clone(),
        region: proof.region.to_string(),
        size: proof.size,
        as_of: proof.time,
        seen_at,
        cosigned: proof.cosigned.clone(),
        recorded,
    }
}

/// Of an authority or a key: whether it is in force.
fn standing(proof: &ProvedStatus, day: Day, out: &mut Vec<Said>) {
    for facts in proof.all() {
        match facts {
            Facts::Authority(a) => {
                let begun = |from: Option<Day>| from.is_none_or(|f| f <= day);
                let (ru, en) = match (&a.succeeded, &a.suspended) {
                    (Some(s), _) if begun(s.from) => {
                        (format!("правопреемник {}", s.successor), format!("succeeded by {}", s.successor))
                    }
                    (_, Some(s)) if begun(s.from) => ("приостановлен".into(), "suspended".into()),
                    _ => ("действует".into(), "in good standing".into()),
                };
                out.push(said(format!("Орган {}: {ru}", a.name), format!("Authority {}: {en}", a.name)));
            }
            Facts::Key(k) => {
                let thumb = k.key.thumb();
                let (ru, en) = match &k.revoked {
                    Some(_) => ("отозван", "revoked"),
                    None if (k.not_before.get()..k.not_after.get()).contains(&proof.time) => ("действует", "in force"),
                    None => ("вне срока действия", "outside its window"),
                };
                out.push(said(
                    format!("Ключ {thumb} ({}): {ru}", k.authority),
                    format!("Key {thumb} ({}): {en}", k.authority),
                ));
            }
            _ => {}
        }
    }
}
