//! The readable part of a dossier: a pure function of what was verified, so that whoever verifies writes it again and
//! compares. Russian first, then the same in English.
//!
//! It shows three answers and never mixes them: what was recorded by the end of the day about that day, what has been recorded
//! about that day up to the checkpoint, and how things stand at the checkpoint.

use std::collections::BTreeMap;

use super::verdict::{Said, said};
use super::words::{basis_words, day_words, reason_words};
use crate::federation::dossier::{ProvedDossier, ProvedRecord};
use crate::registry::body::{Certainty, ManagementForm, Outcome, ServiceKind};
use crate::registry::facts::{AuthorityFacts, BuildingFacts, ChatFacts, ChatStatus, Facts, Objection, Status, within};
use crate::registry::ids::{BuildingId, OrgId, RecordId};
use crate::registry::record::{Basis, Subject};
use crate::registry::state::MAX_SUCCESSIONS;
use crate::registry::text::Day;

/// Lines in both languages.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lines(Vec<Said>);

impl Lines {
    fn line(&mut self, ru: impl Into<String>, en: impl Into<String>) {
        self.0.push(said(ru, en));
    }
    fn both(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.line(text.clone(), text);
    }
    fn gap(&mut self) {
        self.both("");
    }
}

/// The summary of a dossier.
pub(super) fn summary(p: &ProvedDossier) -> String {
    let mut out = Lines::default();
    heading(p, &mut out);
    let until = p.then.map_or(0, |c| c.size);
    let past = View { p, until, as_of: Some(p.as_of), day: p.as_of };
    out.line(
        format!("1. Что к концу дня {} было записано об этом дне", p.as_of),
        format!("1. What had been recorded by the end of {} about that day", p.as_of),
    );
    let recorded_then = past.lines();
    let later = View { until: u64::MAX, ..past }.lines();
    let same = recorded_then == later;
    out.0.extend(recorded_then.0);
    out.gap();
    out.line(
        format!("2. Что об этом дне записано до контрольной точки ({})", moment(p.head.time)),
        format!("2. What has been recorded about that day up to the checkpoint ({})", moment(p.head.time)),
    );
    match same {
        true => out.line(
            "   То же самое: позднейшие записи этого дня не касаются.",
            "   The same: later records do not concern that day.",
        ),
        false => out.0.extend(later.0),
    }
    out.gap();
    let today = p.day_of(p.head.time);
    out.line(
        format!("3. Как записано на день контрольной точки ({today})"),
        format!("3. How it stands on the day of the checkpoint ({today})"),
    );
    out.0.extend(View { p, until: u64::MAX, as_of: None, day: today }.lines().0);
    out.gap();
    records(p, &mut out);
    documents(p, &mut out);
    limits(p, &mut out);
    let text = |pick: fn(&Said) -> &str| out.0.iter().map(|s| pick(s).trim_end()).collect::<Vec<_>>().join("\n");
    format!("{}\n\n{}\n\n{}", text(|s| &s.ru), "=".repeat(72), text(|s| &s.en))
}

fn moment(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| ms.to_string(), |t| t.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

fn heading(p: &ProvedDossier, out: &mut Lines) {
    out.line(
        format!("ДОСЬЕ: чат {} на день {}", p.chat, p.as_of),
        format!("DOSSIER: chat {} as of {}", p.chat, p.as_of),
    );
    out.line(format!("Журнал {} (регион {})", p.log, p.region), format!("Log {} (region {})", p.log, p.region));
    let (size, at) = (p.head.size, moment(p.head.time));
    out.line(
        format!("Контрольная точка: записей {size}, последнее состояние утверждено {at}"),
        format!("Checkpoint: {size} entries, last state committed {at}"),
    );
    match p.then {
        Some(c) => out.line(
            format!("Состояние на конец дня {}: утверждено {}, записей {}", p.as_of, moment(c.time), c.size),
            format!("State at the end of {}: committed {}, {} entries", p.as_of, moment(c.time), c.size),
        ),
        None => out.line(
            format!("К концу дня {} журнал ещё не был начат", p.as_of),
            format!("At the end of {} the log had not begun", p.as_of),
        ),
    }
    match p.next {
        Some(c) => out.line(
            format!("Следующее утверждено уже позже: {}", moment(c.time)),
            format!("The next one was committed later: {}", moment(c.time)),
        ),
        None => out.line(
            "После него до контрольной точки ничего не записано; если день ещё не кончился, записи могут добавиться",
            "Nothing was recorded after it up to the checkpoint; while the day lasts, records may still come",
        ),
    }
    out.gap();
    out.line(
        "Два времени не одно и то же: «с какого дня верно» (так сказано в записи) и «когда записано» (время утверждения в журнале).",
        "Two times are not the same: from which day something is true (the record says so), and when it was recorded (the log's commit).",
    );
    out.line(
        "Запись бывает позже события: поэтому разделы 1 и 2 могут различаться. На что можно было полагаться в тот день, говорит раздел 1.",
        "Records may come after the event, so parts 1 and 2 may differ. What could be relied upon that day, part 1 says.",
    );
    out.gap();
}

/// Records below an index, effective by a day, seen on a day.
#[derive(Clone, Copy)]
struct View<'p> {
    p: &'p ProvedDossier,
    until: u64,
    as_of: Option<Day>,
    day: Day,
}

impl View<'_> {
    fn facts(&self, subject: &Subject) -> Option<Facts> {
        self.p.facts(subject, self.until, self.as_of)
    }
    fn authority(&self, id: &OrgId) -> Option<AuthorityFacts> {
        match self.facts(&Subject::Authority(id.clone()))? {
            Facts::Authority(a) => Some(*a),
            _ => None,
        }
    }
    fn name_of(&self, id: &OrgId) -> String {
        self.authority(id).map_or_else(|| id.to_string(), |a| format!("{} ({id})", a.name))
    }
    fn building(&self, id: &BuildingId) -> Option<BuildingFacts> {
        match self.facts(&Subject::Building(id.clone()))? {
            Facts::Building(b) => Some(*b),
            _ => None,
        }
    }
    fn begun(&self, from: Option<Day>) -> bool {
        from.is_none_or(|f| f <= self.day)
    }
    /// Primary ids of organisations by every further id that is known.
    fn organisations(&self) -> BTreeMap<OrgId, OrgId> {
        let subjects = self.p.records.keys().filter(|s| matches!(s, Subject::Organisation(_)));
        let mut primary = BTreeMap::new();
        for facts in subjects.filter_map(|s| self.facts(s)) {
            if let Facts::Organisation(o) = facts {
                primary.extend(o.also().iter().map(|id| (id.clone(), o.organisation.clone())));
            }
        }
        primary
    }
    fn organisation_name(&self, id: &OrgId, primary: &BTreeMap<OrgId, OrgId>) -> String {
        let id_of = primary.get(id).unwrap_or(id);
        match self.facts(&Subject::Organisation(id_of.clone())) {
            Some(Facts::Organisation(o)) => {
                let on = o.names.iter().rev().find(|n| self.begun(n.from)).or(o.names.last());
                on.map_or_else(|| id.to_string(), |n| format!("{} ({id})", n.name))
            }
            _ => id.to_string(),
        }
    }

    fn lines(&self) -> Lines {
        let mut out = Lines::default();
        let chat = match self.facts(&Subject::Chat(self.p.chat)) {
            Some(Facts::Chat(c)) => c,
            _ => {
                out.line("   О чате не записано ничего.", "   Nothing is recorded about the chat.");
                return out;
            }
        };
        let (Some(status), Some(_)) = (chat.status_on(self.day), chat.owner_on(self.day)) else {
            out.line("   Чат ещё не был внесён.", "   The chat was not registered yet.");
            return out;
        };
        out.both(format!("   «{}»", chat.title));
        self.status(&chat, status, &mut out);
        self.owners(&chat, &mut out);
        self.handles(&chat, &mut out);
        let primary = self.organisations();
        let buildings: Vec<BuildingFacts> = chat.buildings.iter().filter_map(|id| self.building(id)).collect();
        for id in &chat.buildings {
            match buildings.iter().find(|b| b.building == *id) {
                Some(b) => self.house(b, &primary, &mut out),
                None => out.line(format!("   Дом: {id}"), format!("   Building: {id}")),
            }
        }
        self.administrators(&chat, &buildings, &primary, &mut out);
        self.beside(&chat, &mut out);
        out
    }

    fn status(&self, chat: &ChatFacts, status: &Status, out: &mut Lines) {
        let (ru, en) = match status.status {
            ChatStatus::Declared => {
                ("известен, владение в MAX ещё не принято", "known, ownership in MAX not taken yet")
            }
            ChatStatus::Official => ("официальный", "official"),
            ChatStatus::Suspended => ("приостановлен", "suspended"),
            ChatStatus::Closed => ("закрыт", "closed"),
            ChatStatus::Replaced => ("заменён другим", "replaced"),
            ChatStatus::Void => ("внесён по ошибке", "entered by mistake"),
            ChatStatus::Moved => ("передан в другой регион", "moved to another region"),
        };
        let since = day_words(status.from);
        let why = match status.reason {
            Some(_) => {
                let (reason, basis) = (reason_words(status.reason), basis_words(status.basis.as_deref()));
                said(format!(", {}, {}", reason.ru, basis.ru), format!(", {}, {}", reason.en, basis.en))
            }
            None => said("", ""),
        };
        out.line(
            format!("   Состояние: {ru}, с: {}{}", since.ru, why.ru),
            format!("   Standing: {en}, since: {}{}", since.en, why.en),
        );
        if let Some(successor) = chat.successor.filter(|_| status.status == ChatStatus::Replaced) {
            out.line(format!("   Преемник: чат {successor}"), format!("   Successor: chat {successor}"));
        }
        if let Some(left) = chat.left.as_ref().filter(|_| status.status == ChatStatus::Moved) {
            out.line(
                format!("   Передан в журнал {}, орган {}", left.receiving, left.to),
                format!("   Moved to the log {}, authority {}", left.receiving, left.to),
            );
        }
        if let Some(arrived) = &chat.arrived {
            out.line(
                format!(
                    "   Получен из журнала {}, от {}; что было раньше, записано там",
                    arrived.leaving, arrived.from
                ),
                format!(
                    "   Came from the log {}, from {}; what was before is recorded there",
                    arrived.leaving, arrived.from
                ),
            );
        }
        if let Some(offered) = &chat.offered {
            out.line(
                format!("   Предложен журналу {}", offered.receiving),
                format!("   Offered to the log {}", offered.receiving),
            );
        }
    }

    /// Everybody who owned it up to the day, in order, each with what made him so.
    fn owners(&self, chat: &ChatFacts, out: &mut Lines) {
        let recorded: Vec<_> = chat.owners.iter().filter(|o| self.begun(o.from)).collect();
        let mut holder = None;
        for (i, owner) in recorded.iter().enumerate() {
            self.owner(&owner.authority, owner.from, owner.basis.as_deref(), &owner.record, false, out);
            let until = recorded.get(i + 1).and_then(|next| self.index_of(&next.record)).unwrap_or(u64::MAX);
            let mut at = owner.authority.clone();
            for _ in 0..MAX_SUCCESSIONS {
                let next = self.authority(&at).and_then(|a| a.succeeded);
                let in_time = |r: &RecordId| self.index_of(r).is_some_and(|at| at < until);
                let Some(s) = next.filter(|s| self.begun(s.from) && in_time(&s.record)) else { break };
                at = s.successor;
                self.owner(&at, s.from.max(owner.from), s.basis.as_deref(), &s.record, true, out);
            }
            holder = Some(at);
        }
        let suspended = holder.and_then(|h| self.authority(&h)).and_then(|a| a.suspended);
        if let Some(s) = suspended.filter(|s| self.begun(s.from)) {
            let since = day_words(s.from);
            out.line(
                format!("   Орган-владелец приостановлен, с: {}", since.ru),
                format!("   The owning authority is suspended, since: {}", since.en),
            );
        }
    }

    fn owner(
        &self,
        id: &OrgId,
        from: Option<Day>,
        basis: Option<&Basis>,
        record: &RecordId,
        succession: bool,
        out: &mut Lines,
    ) {
        let (name, since, basis) = (self.name_of(id), day_words(from), basis_words(basis));
        let (ru, en) = if succession { (" как правопреемник", " by succession") } else { ("", "") };
        let entry = self.index_of(record).map_or_else(String::new, |i| i.to_string());
        out.line(
            format!("   Владелец{ru}: {name}, с: {}, основание: {}, запись {entry}", since.ru, basis.ru),
            format!("   Owner{en}: {name}, since: {}, basis: {}, entry {entry}", since.en, basis.en),
        );
    }

    fn index_of(&self, record: &RecordId) -> Option<u64> {
        self.p.records.values().flatten().find(|r| r.link.record.id == *record).map(|r| r.link.index)
    }

    fn handles(&self, chat: &ChatFacts, out: &mut Lines) {
        if let Some(max) = &chat.max {
            out.line(format!("   В MAX: {max}"), format!("   In MAX: {max}"));
        }
        if let Some(link) = &chat.link {
            out.line(format!("   SHA-256 ссылки: {link}"), format!("   SHA-256 of the link: {link}"));
        }
        for link in &chat.rotated {
            out.line(format!("   Прежняя ссылка: {link}"), format!("   Earlier link: {link}"));
        }
        if let Some(seen) = &chat.observed {
            out.line(
                format!("   Последняя проверка в MAX: {}", seen.on),
                format!("   Last checked in MAX: {}", seen.on),
            );
        }
    }

    fn house(&self, b: &BuildingFacts, primary: &BTreeMap<OrgId, OrgId>, out: &mut Lines) {
        out.line(
            format!("   Дом: {} ({})", b.address, b.building),
            format!("   Building: {} ({})", b.address, b.building),
        );
        if !b.active_on(self.day) {
            out.line("      снят с учёта", "      left the register");
        }
        for m in b.managements_on(self.day) {
            let form = form_words(m.form);
            let who = m
                .organisation
                .as_ref()
                .map_or_else(String::new, |o| format!(" {}", self.organisation_name(o, primary)));
            let since = day_words(m.from.or(m.observed));
            out.line(
                format!("      управление: {}{who}, с: {}", form.ru, since.ru),
                format!("      management: {}{who}, since: {}", form.en, since.en),
            );
        }
        if b.contested_on(self.day, |id| primary.get(id).unwrap_or(id).clone()) {
            out.line("      управление оспаривается", "      the management is contested");
        }
        for s in &b.services {
            let kind = service_words(s.kind);
            let where_ = [
                s.link.as_ref().map(ToString::to_string),
                s.bot.as_ref().map(|b| b.as_str().to_owned()),
                s.phone.as_ref().and_then(|p| serde_json::to_string(p).ok()).map(|p| p.trim_matches('"').to_owned()),
            ];
            let where_: String = where_.into_iter().flatten().collect();
            out.line(
                format!("      служба: {}: {} {where_}", kind.ru, s.title),
                format!("      service: {}: {} {where_}", kind.en, s.title),
            );
        }
        self.objections(b.objections.as_deref(), out);
    }

    fn administrators(
        &self,
        chat: &ChatFacts,
        buildings: &[BuildingFacts],
        primary: &BTreeMap<OrgId, OrgId>,
        out: &mut Lines,
    ) {
        for a in chat.admins.iter().filter(|a| !a.void && within(a.from, a.to, self.day)) {
            let holds =
                buildings.iter().any(|b| b.delegation_holds(a, self.day, |id| primary.get(id).unwrap_or(id).clone()));
            let (name, since) = (self.organisation_name(&a.organisation, primary), day_words(a.from));
            let (ru, en) = if holds {
                ("", "")
            } else {
                (" (прекратилось вместе с управлением)", " (lapsed with the management)")
            };
            out.line(
                format!("   Администратор: {name}, с: {}{ru}", since.ru),
                format!("   Administrator: {name}, since: {}{en}", since.en),
            );
        }
    }

    fn beside(&self, chat: &ChatFacts, out: &mut Lines) {
        for subject in self.p.records.keys() {
            match self.facts(subject) {
                Some(Facts::Bot(b)) if within(b.from, b.to, self.day) => {
                    let (ru, en) = if b.chats.contains(&chat.chat) {
                        ("этого чата", "this chat")
                    } else {
                        ("всех чатов органа", "all chats of the authority")
                    };
                    let name = self.name_of(&b.authority);
                    out.line(
                        format!("   Бот {} «{}», для {ru}, подтвердил: {name}", b.bot.as_str(), b.title),
                        format!("   Bot {} «{}», for {en}, attested by: {name}", b.bot.as_str(), b.title),
                    );
                }
                Some(Facts::Imitation(i)) => {
                    let Some(flag) = i.flag_on(self.day).filter(|f| f.imitates == chat.chat) else { continue };
                    let (ru, en) = match flag.certainty {
                        Certainty::Reported => ("сообщено", "reported"),
                        Certainty::Confirmed => ("подтверждено", "confirmed"),
                    };
                    let since = day_words(flag.from);
                    out.line(
                        format!("   Подделка ({ru}): {}, с: {}", i.imitation, since.ru),
                        format!("   Imitation ({en}): {}, since: {}", i.imitation, since.en),
                    );
                }
                _ => {}
            }
        }
        self.objections(chat.objections.as_deref(), out);
    }

    fn objections(&self, objections: Option<&[Objection]>, out: &mut Lines) {
        for o in objections.unwrap_or_default().iter().filter(|o| o.date <= self.day) {
            let (ru, en) = match o.outcome.filter(|_| !o.open_on(self.day)) {
                None => ("не рассмотрено", "open"),
                Some(Outcome::Upheld) => ("удовлетворено", "upheld"),
                Some(Outcome::Rejected) => ("отклонено", "rejected"),
            };
            out.line(
                format!("   Возражение № {} от {}: {ru}", o.number, o.date),
                format!("   Objection no. {} of {}: {en}", o.number, o.date),
            );
        }
    }
}

fn form_words(form: ManagementForm) -> Said {
    match form {
        ManagementForm::Company => said("управляющая компания", "management company"),
        ManagementForm::OwnersAssociation => said("ТСЖ", "owners' association"),
        ManagementForm::Cooperative => said("ЖСК", "cooperative"),
        ManagementForm::Direct => said("непосредственное", "by the owners themselves"),
        ManagementForm::Temporary => said("временная организация", "temporary company"),
        ManagementForm::Developer => said("застройщик", "developer"),
        ManagementForm::None => said("никто", "nobody"),
        ManagementForm::Unknown => said("форма неизвестна", "form unknown"),
    }
}

fn service_words(kind: ServiceKind) -> Said {
    match kind {
        ServiceKind::Dispatcher => said("диспетчер", "dispatcher"),
        ServiceKind::Emergency => said("аварийная", "emergency"),
        ServiceKind::Meters => said("показания счётчиков", "meter readings"),
        ServiceKind::Payments => said("платежи", "payments"),
        ServiceKind::Requests => said("заявки", "requests"),
        ServiceKind::Other => said("другая", "other"),
    }
}

fn records(p: &ProvedDossier, out: &mut Lines) {
    let all = p.in_order();
    out.line(
        format!("4. Записи, на которых это основано ({}); файл записи N: log/N.json", all.len()),
        format!("4. Records behind it ({}); the file of entry N: log/N.json", all.len()),
    );
    for (subject, r) in all {
        let record = &r.link.record;
        let (from, basis) = (day_words(record.effective_from), basis_words(record.basis.as_ref()));
        let (index, kind, at) = (r.link.index, record.body.type_name(), moment(r.recorded));
        out.line(
            format!("   {index}. {kind} — {subject}; записано {at}; верно с: {}; основание: {}", from.ru, basis.ru),
            format!("   {index}. {kind} — {subject}; recorded {at}; true from: {}; basis: {}", from.en, basis.en),
        );
        let by = signed_by(p, r);
        out.line(format!("      подписали: {}", by.ru), format!("      signed by: {}", by.en));
        if r.suspect {
            out.line(
                "      ПОД СОМНЕНИЕМ: ключ объявлен скомпрометированным с этого места или раньше",
                "      SUSPECT: a signing key was reported compromised from this place on or earlier",
            );
        }
    }
    out.gap();
}

fn signed_by(p: &ProvedDossier, r: &ProvedRecord) -> Said {
    let name = |id: &OrgId| match p.facts(&Subject::Authority(id.clone()), r.link.index, None) {
        Some(Facts::Authority(a)) => format!("{} ({id})", a.name),
        _ => id.to_string(),
    };
    let each = r.signers.iter().map(|(kid, authority)| match authority {
        Some(id) => said(format!("{}, ключ {kid}", name(id)), format!("{}, key {kid}", name(id))),
        None => said(format!("корневой ключ региона {kid}"), format!("root key of the region {kid}")),
    });
    let each: Vec<Said> = each.collect();
    let join = |pick: fn(&Said) -> &str| each.iter().map(pick).collect::<Vec<_>>().join("; ");
    said(join(|s| &s.ru), join(|s| &s.en))
}

/// A document, and the entries that name it.
type Named<'p> = (&'p Basis, Vec<String>);

fn documents(p: &ProvedDossier, out: &mut Lines) {
    out.line(
        "5. Документы-основания: SHA-256 файла, с которым сверять подлинник",
        "5. Documents: SHA-256 of the file to compare an original with",
    );
    let mut found: BTreeMap<(RecordId, Option<RecordId>), Named<'_>> = BTreeMap::new();
    for (_, r) in p.in_order() {
        if let Some(basis) = &r.link.record.basis
            && let Some(document) = basis.document_sha256
        {
            let place = found.entry((document, basis.signature_sha256)).or_insert((basis, Vec::new()));
            place.1.push(r.link.index.to_string());
        }
    }
    if found.is_empty() {
        out.line("   Записи не называют хешей документов.", "   The records name no hashes of documents.");
    }
    for ((document, signature), (basis, entries)) in found {
        let (words, entries) = (basis_words(Some(basis)), entries.join(", "));
        out.line(
            format!("   {document}  {}; записи: {entries}", words.ru),
            format!("   {document}  {}; entries: {entries}", words.en),
        );
        if let Some(signature) = signature {
            out.line(format!("   {signature}  подпись к нему"), format!("   {signature}  its detached signature"));
        }
    }
    out.gap();
}

fn limits(p: &ProvedDossier, out: &mut Lines) {
    out.line(
        "6. Уставы федерации, по которым это проверено",
        "6. Charters of the federation by which this was verified",
    );
    for (version, digest) in &p.charters {
        out.line(format!("   версия {version}: {digest}"), format!("   version {version}: {digest}"));
    }
    out.line(
        format!("   На контрольной точке в журнале действовала версия {}.", p.charter),
        format!("   At the checkpoint the log had adopted version {}.", p.charter),
    );
    out.gap();
    out.line("7. Что доказано, а что только показано", "7. What is proved, and what is only shown");
    for (ru, en) in [
        (
            "Доказано: каждая запись стоит в журнале; состояние на конец дня и на контрольной точке утверждено ключом региона; о чате, его владельцах, домах, организациях и ключах ни одна запись, от которой зависят эти сведения, не пропущена; подписи сделаны ключами, которые тогда могли их ставить.",
            "Proved: every record stands in the log; the states of the end of that day and of the checkpoint were committed by the region's key; of the chat, its owners, buildings, organisations and keys no record that these facts depend on is left out; the signatures are by keys that might make them then.",
        ),
        (
            "Только показано: что других ботов, отметок о подделке и других идентификаторов организаций нет. Прочие правила журнала проверяют узлы, которые за ним следят; их слово — заверяющие подписи контрольной точки (domovoi verify --cosigner).",
            "Only shown: that there are no other bots, flags of imitation or further ids of organisations. The log's other rules are checked by the nodes that follow it; their word is the checkpoint's cosignatures (domovoi verify --cosigner).",
        ),
        (
            "Не говорит: что записано после контрольной точки; что было в других журналах; верно ли то, что подписано.",
            "Not said: what was recorded after the checkpoint; what was in other logs; whether what was signed is true.",
        ),
    ] {
        out.line(format!("   {ru}"), format!("   {en}"));
    }
    out.gap();
}
