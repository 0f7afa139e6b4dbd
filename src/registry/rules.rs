//! The rules: may this record join the log now? (domain.md, "Rules that never break")
//!
//! [`check`] looks at one verified record, the state before it and the time of the commit it would belong to, and either
//! refuses with a stable code or gives a [`Checked`], the only thing [`super::state::Overlay::apply`] takes. It is pure
//! and total; the node that writes a log and every node that follows it call it alike.

use std::collections::BTreeSet;

use super::body::*;
use super::facts::{BuildingFacts, ChatStatus, Facts, MAX_SPANS, Management};
use super::ids::{BuildingId, ChatNumber, Oktmo, OktmoPrefix, OrgId};
use super::record::{Record, Subject};
use super::state::{MAX_SUCCESSIONS, View};
use super::text::Text;
use super::transfer_rules;
use super::verify::VerifiedRecord;
use crate::error::{Error, Result};

/// A record the rules have passed against the state it is about to be applied to.
#[derive(Debug)]
pub struct Checked<'r>(&'r VerifiedRecord);

impl<'r> Checked<'r> {
    /// The record.
    pub fn record(&self) -> &'r Record {
        self.0.record()
    }
}

pub(super) fn refuse<T>(code: &'static str, detail: impl Into<String>, remedy: &'static str) -> Result<T> {
    Err(Error::refuse(code, detail, remedy))
}

/// Who signed, as far as the state knows them.
pub(super) struct Signers<'v> {
    /// Number of distinct region root keys.
    pub(super) roots: usize,
    /// Keys of authorities, valid at the commit time and in the record's scope.
    pub(super) keys: Vec<(&'v OrgId, &'v [OktmoPrefix])>,
}

impl Signers<'_> {
    /// A key of `authority` that is good for `oktmo` (any key of it where none is given).
    fn of(&self, authority: &OrgId, oktmo: &[&Oktmo]) -> bool {
        self.keys.iter().any(|(a, prefixes)| *a == authority && covers(prefixes, oktmo))
    }
    /// Any authority's key that is good for `oktmo`.
    fn any(&self, oktmo: &[&Oktmo]) -> bool {
        self.keys.iter().any(|(_, prefixes)| covers(prefixes, oktmo))
    }
}

pub(super) fn covers(prefixes: &[OktmoPrefix], codes: &[&Oktmo]) -> bool {
    codes.iter().all(|code| prefixes.iter().any(|p| code.starts_with(p)))
}

/// May `verified` join the log at commit time `time` (Unix milliseconds)?
pub fn check<'r>(view: &impl View, verified: &'r VerifiedRecord, time: u64) -> Result<Checked<'r>> {
    let record = verified.record();
    let jurisdiction = view.jurisdiction();
    if record.log != jurisdiction.origin {
        return refuse(
            "rule.log",
            format!("the record is for the log «{}», this is «{}»", record.log, jurisdiction.origin),
            "sign it for this log's origin",
        );
    }
    if !jurisdiction.record_versions.contains(&record.v) {
        return refuse(
            "rule.version",
            format!("records of version {} are not switched on by charter {}", record.v, jurisdiction.charter_version),
            "make the record in a version that the charter in force lists",
        );
    }
    if let Some(index) = view.index_of(&record.id) {
        return refuse(
            "rule.known",
            format!("the log has this record already, at index {index}"),
            "nothing needs to be done",
        );
    }
    if record.submit_before.get() < time {
        return refuse(
            "rule.deadline",
            "the record's submission deadline has passed",
            "sign it anew with a later deadline",
        );
    }
    let subject = record.subject(jurisdiction.region);
    let last = view.entry(&subject).and_then(|e| e.last_record());
    if record.prev != last {
        let now = last.map_or("no record yet".to_owned(), |id| id.to_string());
        return refuse(
            "rule.stale",
            format!("{subject}: the record was made against an older state; its last record is {now}"),
            "look at the subject's current state and sign the record again",
        );
    }
    if needs_day(&record.body) && record.effective_from.is_none() {
        return refuse(
            "rule.effective_from",
            format!("{} needs effective_from", record.body.type_name()),
            "name the day",
        );
    }
    let signers = signers(view, verified, time)?;
    match transfer_rules::concerns(&record.body) {
        true => transfer_rules::check(view, record, &signers, time)?,
        false => {
            transfer_rules::not_locked(view, record, &subject)?;
            body_rules(view, record, &subject, &signers)?;
        }
    }
    Ok(Checked(verified))
}

/// Facts that begin or end on a day must name it.
fn needs_day(body: &Body) -> bool {
    matches!(
        body,
        Body::ManagementEnded(_)
            | Body::BuildingRetired(_)
            | Body::AuthoritySucceeded(_)
            | Body::OwnershipTransferred(_)
            | Body::AdminDelegated(_)
            | Body::AdminWithdrawn(_)
            | Body::BotWithdrawn(_)
            | Body::ChatSuspended(_)
            | Body::ChatRestored(_)
            | Body::ChatClosed(_)
            | Body::ChatReplaced(_)
            | Body::ChatRegistered(_)
            | Body::TransferAccepted(_)
            | Body::TransferReleased(_)
            | Body::ApplicabilitySet(_)
            | Body::ImpersonationCleared(_)
            | Body::ObjectionNoted(ObjectionNoted { outcome: Some(_), .. })
    )
}

/// Rule 5: every signature must be by a root key of the region or by a key that is valid now, for this type. One
/// signature that is neither spoils the record: nobody's name stands under what he could not sign.
fn signers<'v>(view: &'v impl View, verified: &VerifiedRecord, time: u64) -> Result<Signers<'v>> {
    let jurisdiction = view.jurisdiction();
    let type_name = verified.record().body.type_name();
    let mut signers = Signers { roots: 0, keys: Vec::new() };
    for kid in verified.signers() {
        if jurisdiction.root_keys.iter().any(|k| k.thumb() == *kid) {
            signers.roots += 1;
            continue;
        }
        let Some(key) = view.key(kid) else {
            return refuse(
                "rule.key.unknown",
                format!("no key {kid} was granted in this log"),
                "sign with a granted key",
            );
        };
        if key.revoked.is_some() {
            return refuse("rule.key.revoked", format!("the key {kid} is revoked"), "sign with a key that is in force");
        }
        if time < key.not_before.get() || time >= key.not_after.get() {
            return refuse(
                "rule.key.time",
                format!("the key {kid} is not valid at this time"),
                "have the key granted anew",
            );
        }
        if !key.scopes.0.iter().any(|s| scope_covers(s.as_str(), type_name)) {
            return refuse(
                "rule.key.scope",
                format!("the key {kid} may not sign {type_name}"),
                "sign with a key of that scope",
            );
        }
        in_good_standing(view, &key.authority)?;
        signers.keys.push((&key.authority, &key.oktmo.0));
    }
    Ok(signers)
}

/// Rule 5 alone: might all who signed sign a record of this type, at that time? Whether it may join the log says [`check`].
///
/// # Errors
/// `rule.key.*`, `rule.authority.*`.
pub fn check_signers(view: &impl View, verified: &VerifiedRecord, time: u64) -> Result<()> {
    signers(view, verified, time).map(|_| ())
}

fn scope_covers(scope: &str, type_name: &str) -> bool {
    scope == "*"
        || scope == type_name
        || scope.strip_suffix('*').is_some_and(|g| g.ends_with('.') && type_name.starts_with(g))
}

pub(super) fn in_good_standing(view: &impl View, authority: &OrgId) -> Result<()> {
    match view.authority(authority) {
        None => {
            refuse("rule.authority.unknown", format!("{authority} is not enrolled in this region"), "enrol it first")
        }
        Some(a) if a.suspended.is_some() => {
            refuse("rule.authority.suspended", format!("{authority} is suspended"), "have it reinstated first")
        }
        Some(a) if a.succeeded.is_some() => {
            refuse("rule.authority.succeeded", format!("{authority} was succeeded"), "act as its successor")
        }
        Some(_) => Ok(()),
    }
}

pub(super) fn by_root(view: &impl View, signers: &Signers<'_>) -> Result<()> {
    if signers.roots >= view.jurisdiction().root_threshold && signers.roots > 0 {
        return Ok(());
    }
    refuse("rule.signer.root", "only the region's root keys may say this", "sign with the region's root key")
}

pub(super) fn by_authority(signers: &Signers<'_>, authority: &OrgId, oktmo: &[&Oktmo]) -> Result<()> {
    if signers.of(authority, oktmo) {
        return Ok(());
    }
    refuse(
        "rule.signer.authority",
        format!("not signed by a key of {authority} that is good for these ОКТМО codes"),
        "sign with a key of that authority and territory",
    )
}

pub(super) fn by_any_authority(signers: &Signers<'_>, oktmo: &Oktmo) -> Result<()> {
    if signers.any(&[oktmo]) {
        return Ok(());
    }
    refuse(
        "rule.signer.oktmo",
        format!("not signed by a key that is good for ОКТМО {oktmo}"),
        "sign with a key of that territory",
    )
}

fn in_region(view: &impl View, codes: &[OktmoPrefix]) -> Result<()> {
    let own = &view.jurisdiction().oktmo;
    match codes.iter().find(|c| !own.iter().any(|p| c.starts_with(p))) {
        None => Ok(()),
        Some(c) => {
            refuse("rule.oktmo.region", format!("ОКТМО {c} lies outside this region"), "register it in its own region")
        }
    }
}

/// Rule 5: a key's territory lies in that of its authority.
fn within_authority(view: &impl View, authority: &OrgId, codes: &[OktmoPrefix]) -> Result<()> {
    let own = |c: &&OktmoPrefix| view.authority(authority).is_some_and(|a| a.oktmo.0.iter().any(|p| c.starts_with(p)));
    match codes.iter().find(|c| !own(c)) {
        None => Ok(()),
        Some(c) => refuse(
            "rule.key.oktmo",
            format!("ОКТМО {c} lies outside the territory of {authority}"),
            "grant the key for the authority's own prefixes, or amend the authority first",
        ),
    }
}

pub(super) fn known_building<'v>(view: &'v impl View, id: &BuildingId) -> Result<&'v super::facts::BuildingFacts> {
    match view.building(id) {
        Some(b) if b.void => {
            refuse("rule.building.void", format!("{id} was entered by mistake"), "register it again under another id")
        }
        Some(b) if b.retired.is_some() => {
            refuse("rule.building.retired", format!("{id} is retired"), "use the building it became")
        }
        Some(b) => Ok(b),
        None => refuse(
            "rule.building.unknown",
            format!("no building {id} in this log"),
            "register the building first, by its primary id",
        ),
    }
}

pub(super) fn known_chat(view: &impl View, id: ChatNumber) -> Result<&super::facts::ChatFacts> {
    view.chat(id)
        .map_or_else(|| refuse("rule.chat.unknown", format!("no chat {id} in this log"), "check the number"), Ok)
}

pub(super) fn active_chat(view: &impl View, id: ChatNumber) -> Result<&super::facts::ChatFacts> {
    let chat = known_chat(view, id)?;
    if chat.is_active() || chat.status() == ChatStatus::Declared {
        return Ok(chat);
    }
    refuse("rule.chat.ended", format!("the chat {id} is closed, replaced or void"), "use the chat that is in force")
}

fn body_rules(view: &impl View, record: &Record, subject: &Subject, signers: &Signers<'_>) -> Result<()> {
    match &record.body {
        Body::AuthorityEnrolled(b) => {
            by_root(view, signers)?;
            in_region(view, &b.oktmo.0)?;
            new_subject(view, subject)
        }
        Body::AuthorityAmended(b) => {
            by_root(view, signers)?;
            in_region(view, &b.oktmo.0)?;
            match view.authority(&b.authority) {
                // Its suspension is lifted by this very record; its succession by none.
                Some(a) if a.succeeded.is_none() => Ok(()),
                _ => in_good_standing(view, &b.authority),
            }
        }
        Body::AuthoritySuspended(b) => {
            by_root(view, signers)?;
            in_good_standing(view, &b.authority)
        }
        Body::AuthoritySucceeded(b) => {
            by_root(view, signers)?;
            needs_basis(record)?;
            in_good_standing(view, &b.successor)?;
            match view.authority(&b.authority) {
                Some(a) if a.succeeded.is_none() && b.authority != b.successor => {
                    match predecessors(view, &b.authority) < MAX_SUCCESSIONS {
                        true => Ok(()),
                        false => refuse(
                            "rule.authority.chain",
                            format!("{} is the end of {MAX_SUCCESSIONS} successions already", b.authority),
                            "let another authority succeed it by transfers, or correct the successor",
                        ),
                    }
                }
                _ => refuse(
                    "rule.authority.succession",
                    format!("{} cannot be succeeded by {}", b.authority, b.successor),
                    "name an enrolled authority without a successor, and another one as its successor",
                ),
            }
        }
        Body::KeyGranted(b) => {
            by_root(view, signers)?;
            in_good_standing(view, &b.authority)?;
            in_region(view, &b.oktmo.0)?;
            within_authority(view, &b.authority, &b.oktmo.0)?;
            let known = |s: &Text| TYPES.iter().any(|t| scope_covers(s.as_str(), t));
            if b.scopes.0.is_empty() || !b.scopes.0.iter().all(known) {
                return refuse(
                    "rule.key.scopes",
                    "a scope is *, a record type, or group.*",
                    "name scopes that cover a type",
                );
            }
            if b.oktmo.0.is_empty() || b.not_before >= b.not_after {
                return refuse(
                    "rule.key.window",
                    "a key needs ОКТМО prefixes and a window that is not empty",
                    "name them",
                );
            }
            let j = view.jurisdiction();
            if j.root_keys.iter().chain([&j.commit_key]).any(|k| k.thumb() == b.key.thumb()) {
                return refuse(
                    "rule.key.role",
                    "a root or commit key cannot be an authority's key",
                    "make another key",
                );
            }
            new_subject(view, subject)
        }
        Body::KeyRevoked(b) => {
            let Some(key) = view.key(&b.key) else {
                return refuse(
                    "rule.key.unknown",
                    format!("no key {} was granted in this log", b.key),
                    "check the thumbprint",
                );
            };
            if key.revoked.is_some() {
                return refuse(
                    "rule.key.revoked",
                    format!("the key {} is revoked already", b.key),
                    "nothing needs to be done",
                );
            }
            if b.suspect_from.is_some() && b.reason != RevokeReason::Compromised {
                return refuse(
                    "rule.key.suspect",
                    "only what a compromised key signed is suspect",
                    "leave suspect_from out, or name the reason «compromised»",
                );
            }
            by_root(view, signers).or_else(|_| by_authority(signers, &key.authority, &[]))
        }
        Body::OrganisationNamed(_) => {
            let full = matches!(view.facts(subject), Some(Facts::Organisation(o)) if o.names.len() >= MAX_SPANS);
            if full {
                return too_many(subject);
            }
            if signers.keys.is_empty() {
                return refuse(
                    "rule.signer.any",
                    "not signed by a key of an authority",
                    "sign with an authority's key",
                );
            }
            Ok(())
        }
        Body::OrganisationLinked(b) => super::identity_rules::organisation(view, b, signers),
        Body::BuildingRegistered(b) => building_rules(view, b, subject, signers, true),
        Body::BuildingAmended(b) => building_rules(view, b, subject, signers, false),
        Body::BuildingLinked(b) => super::identity_rules::building(view, b, signers),
        Body::BuildingRetired(b) => {
            let building = known_building(view, &b.building)?;
            by_any_authority(signers, &building.oktmo)?;
            became(view, b)?;
            if view.chats_by_building(&b.building).iter().any(|c| only_active_over(view, *c, &b.building)) {
                return refuse(
                    "rule.building.has_chat",
                    format!("{} still has an active chat of its own", b.building),
                    "let the chat cover what the building became (chat.amended), or close or replace it first",
                );
            }
            Ok(())
        }
        Body::ManagementAssigned(b) => {
            let building = known_building(view, &b.building)?;
            by_any_authority(signers, &building.oktmo)?;
            if building.managements.len() >= MAX_SPANS {
                return too_many(subject);
            }
            let wants_none = matches!(b.form, ManagementForm::Direct | ManagementForm::None);
            if wants_none != b.organisation.is_none() {
                return refuse(
                    "rule.management.organisation",
                    "direct management and «none» have no organisation, every other form has one",
                    "correct the form or name the organisation",
                );
            }
            if let Some(organisation) = &b.organisation {
                super::identity_rules::primary(view, organisation)?;
            }
            if let Some(open) = open_management(view, building, b.organisation.as_ref(), b.form) {
                return refuse(
                    "rule.management.open",
                    format!("{} is managed by the same organisation already (record {})", b.building, open.record),
                    "nothing needs to be done, or end the earlier management first",
                );
            }
            Ok(())
        }
        Body::ManagementEnded(b) => {
            let building = known_building(view, &b.building)?;
            by_any_authority(signers, &building.oktmo)?;
            match building.managements.iter().find(|m| m.record == b.management && !m.void) {
                None => refuse(
                    "rule.management.unknown",
                    format!("{} has no such management", b.building),
                    "name the record that assigned it",
                ),
                Some(m) if m.ended.is_some() => {
                    refuse("rule.management.ended", "that management has ended already", "nothing needs to be done")
                }
                Some(m) if m.from > record.effective_from => {
                    refuse("rule.management.order", "the management would end before it began", "correct the day")
                }
                Some(m) if b.goes_on == Some(true) && m.organisation.is_none() => refuse(
                    "rule.management.goes_on",
                    "only an organisation can have to go on until its successor starts",
                    "leave goes_on out",
                ),
                Some(_) => Ok(()),
            }
        }
        Body::ApplicabilitySet(b) => super::note_rules::applicability(view, b, record, signers),
        Body::ImpersonationFlagged(b) => super::note_rules::flagged(view, b, signers),
        Body::ImpersonationCleared(b) => super::note_rules::cleared(view, b, signers),
        Body::ObjectionNoted(b) => super::note_rules::objection(view, b, record, signers),
        Body::RecordSuperseded(b) => super::corrections::superseded(view, b, signers),
        _ => super::chat_rules::check(view, record, subject, signers),
    }
}

pub(super) fn needs_basis(record: &Record) -> Result<()> {
    if record.basis.is_some() {
        return Ok(());
    }
    refuse("rule.basis", format!("{} by the root key needs a basis", record.body.type_name()), "name the document")
}

pub(super) fn too_many(subject: &Subject) -> Result<()> {
    refuse("rule.spans", format!("{subject} has {MAX_SPANS} periods already"), "supersede what was entered by mistake")
}

pub(super) fn new_subject(view: &impl View, subject: &Subject) -> Result<()> {
    match view.entry(subject) {
        None => Ok(()),
        Some(_) => refuse("rule.exists", format!("{subject} is in the log already"), "amend it instead"),
    }
}

fn building_rules(view: &impl View, b: &Building, subject: &Subject, signers: &Signers<'_>, new: bool) -> Result<()> {
    if !view.jurisdiction().oktmo.iter().any(|p| b.oktmo.starts_with(p)) {
        return refuse(
            "rule.oktmo.region",
            format!("ОКТМО {} lies outside this region", b.oktmo),
            "register it in its own region",
        );
    }
    by_any_authority(signers, &b.oktmo)?;
    if new {
        new_subject(view, subject)?;
    } else {
        by_any_authority(signers, &known_building(view, &b.building)?.oktmo)?;
    }
    for id in std::iter::once(&b.building).chain(b.also.iter().flat_map(|a| &a.0)) {
        if let Some(other) = view.primary(id).filter(|p| *p != b.building) {
            return refuse(
                "rule.building.id",
                format!("{id} is an id of {other} already"),
                "amend that building instead",
            );
        }
    }
    Ok(())
}

/// What a building became stands, is another building, and fits the reason. A retired building takes no further records, so
/// no chain of these ever comes back to its beginning.
fn became(view: &impl View, b: &BuildingRetired) -> Result<()> {
    let into = b.into.as_ref().map(|l| l.0.as_slice()).unwrap_or_default();
    let fits = match b.reason {
        RetireReason::Demolished => into.is_empty(),
        RetireReason::Merged => into.len() == 1,
        RetireReason::Split => into.len() >= 2,
    };
    let distinct: BTreeSet<&BuildingId> = into.iter().chain([&b.building]).collect();
    if !fits || distinct.len() != into.len() + 1 {
        return refuse(
            "rule.building.into",
            format!("{}: this is not what such a building becomes", b.building),
            "a demolished building becomes nothing, a merged one one other building, a split one several others",
        );
    }
    into.iter().try_for_each(|id| known_building(view, id).map(drop))
}

/// Length of the longest chain of successions that ends at `authority`. The rules keep it within [`MAX_SUCCESSIONS`].
fn predecessors(view: &impl View, authority: &OrgId) -> usize {
    let before = view.named_by(&Subject::Authority(authority.clone())).into_iter();
    let longest = before.map(|s| if let Subject::Authority(a) = s { 1 + predecessors(view, &a) } else { 0 });
    longest.max().unwrap_or(0)
}

/// The management by `organisation`, under whichever of its ids, in this form that has no end yet.
pub(super) fn open_management<'f>(
    view: &impl View,
    building: &'f BuildingFacts,
    organisation: Option<&OrgId>,
    form: ManagementForm,
) -> Option<&'f Management> {
    let who = |o: Option<&OrgId>| o.map(|o| view.organisation(o));
    let organisation = who(organisation);
    let same =
        |m: &&Management| !m.void && m.to.is_none() && m.form == form && who(m.organisation.as_ref()) == organisation;
    building.managements.iter().find(same)
}

/// True where `chat` is active and covers no building that stands but this one.
fn only_active_over(view: &impl View, chat: ChatNumber, building: &BuildingId) -> bool {
    view.chat(chat).is_some_and(|c| {
        c.is_active() && c.buildings.contains(building) && c.buildings.iter().all(|b| b == building || !stands(view, b))
    })
}

pub(super) fn stands(view: &impl View, building: &BuildingId) -> bool {
    view.building(building).is_some_and(|b| !b.void && b.retired.is_none())
}
