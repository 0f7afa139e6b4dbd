//! Facts: what the register holds about one subject, with validity intervals, and how each record moves them.
//!
//! [`evolve`] is a pure fold: facts of a subject = its records applied one after another. It never looks at a clock; a
//! reader evaluates the intervals for the day he asks about. The JSON of [`Facts::encode`] is a frozen, versioned
//! encoding: its hash is the value of the subject's leaf in the state map, and the index stores the same bytes.
//! Nothing is removed: the end of something is a fact too.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::body::*;
use super::ids::{BuildingId, ChatNumber, LinkDigest, MaxChatId, Oktmo, OktmoPrefix, OrgId, RecordId};
use super::record::Record;
use super::text::{Day, Millis, Text};
use crate::error::{Error, Result};

const FACTS_TAG: &[u8] = b"domovoi facts v0\n";

/// Most intervals of one kind a subject may gather; the rules refuse more.
pub const MAX_SPANS: usize = 512;

macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident {
        $($(#[$fdoc:meta])* $field:ident : $ty:ty),* $(; $($(#[$odoc:meta])* $opt:ident : $oty:ty),+)? $(,)?
    })+) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$fdoc])* pub $field: $ty,)*
            $($($(#[$odoc])* #[serde(default, skip_serializing_if = "Option::is_none")] pub $opt: Option<$oty>,)+)?
        })+
    };
}

super::body::words!(
    /// Where a chat stands.
    ChatStatus {
        /// Known, ownership in MAX not taken yet.
        Declared,
        /// Official.
        Official,
        /// Suspended.
        Suspended,
        /// Closed.
        Closed,
        /// Replaced by a successor.
        Replaced,
        /// Entered by mistake.
        Void,
    }
);

facts! {
    /// Facts of an authority.
    AuthorityFacts {
        /// Its id.
        authority: OrgId,
        /// Full name.
        name: Text,
        /// ОКТМО prefixes.
        oktmo: List<OktmoPrefix, 64>,
        /// The record that enrolled it.
        enrolled: RecordId;
        /// Short name.
        short_name: Text,
        /// Since when it is suspended.
        suspended: Standing,
        /// Who took over.
        succeeded: Succession,
    }
    /// A standing that began.
    Standing {
        /// The record that says so.
        record: RecordId,
        /// Why.
        reason: StandingReason;
        /// First day.
        from: Day,
    }
    /// A succession.
    Succession {
        /// The authority that took over.
        successor: OrgId,
        /// The record that says so.
        record: RecordId;
        /// First day.
        from: Day,
    }
    /// Facts of a signing key.
    KeyFacts {
        /// The key.
        key: KeyBytes,
        /// Whose it is.
        authority: OrgId,
        /// Record types it may sign.
        scopes: List<Text, 64>,
        /// ОКТМО prefixes it may sign for.
        oktmo: List<OktmoPrefix, 64>,
        /// Valid from this commit time.
        not_before: Millis,
        /// Valid before this commit time.
        not_after: Millis,
        /// The record that granted it.
        granted: RecordId;
        /// Its revocation.
        revoked: Revocation,
    }
    /// A revocation. It acts from its own place in the log.
    Revocation {
        /// Why.
        reason: RevokeReason,
        /// The record that says so.
        record: RecordId;
        /// What it signed from this entry on is suspect.
        suspect_from: u64,
    }
    /// What an organisation is called.
    OrganisationFacts {
        /// Its id.
        organisation: OrgId,
        /// Names, oldest first; the last one holds.
        names: Vec<Named>,
    }
    /// One name.
    Named {
        /// The name.
        name: Text,
        /// The record that says so.
        record: RecordId;
        /// First day, where known.
        from: Day,
    }
    /// Facts of a building.
    BuildingFacts {
        /// Primary id.
        building: BuildingId,
        /// Address.
        address: Text,
        /// ОКТМО code.
        oktmo: Oktmo,
        /// Kind.
        kind: BuildingKind,
        /// Further ids.
        also: Vec<BuildingId>,
        /// The record that registered it.
        registered: RecordId,
        /// Entered by mistake.
        void: bool,
        /// Managements in the order they were recorded.
        managements: Vec<Management>,
        /// Official services.
        services: Vec<Service>;
        /// Flats.
        flats: u16,
        /// Year of commissioning.
        year: u16,
        /// Emergency building since.
        emergency: Day,
        /// Whether a chat is required.
        chat_required: bool,
        /// Its retirement.
        retired: Retirement,
    }
    /// The end of a building.
    Retirement {
        /// Why.
        reason: RetireReason,
        /// What it became.
        into: Vec<BuildingId>,
        /// The record that says so.
        record: RecordId;
        /// First day without it.
        from: Day,
    }
    /// One period of management: [from, to).
    Management {
        /// Form.
        form: ManagementForm,
        /// The record that assigned it; its name within the building.
        record: RecordId,
        /// Entered by mistake.
        void: bool;
        /// Who.
        organisation: OrgId,
        /// First day, where known.
        from: Day,
        /// The source in which it was observed is of this day.
        observed: Day,
        /// First day without it.
        to: Day,
        /// The record that ended it.
        ended: RecordId,
        /// Date of the contract.
        contract: Day,
        /// Date of the entry in the licence register.
        licence: Day,
    }
    /// Facts of a chat.
    ChatFacts {
        /// The registry's permanent number.
        chat: ChatNumber,
        /// Kind.
        kind: ChatKind,
        /// Title in MAX.
        title: Text,
        /// Buildings it covers.
        buildings: Vec<BuildingId>,
        /// Earlier link digests.
        rotated: Vec<LinkDigest>,
        /// Owners, oldest first; the last one holds.
        owners: Vec<Owner>,
        /// Standings, oldest first; the last one holds.
        statuses: Vec<Status>,
        /// Delegations to administrators.
        admins: Vec<Delegation>;
        /// Digest of the join link.
        link: LinkDigest,
        /// Chat id in MAX.
        max: MaxChatId,
        /// The service account that holds ownership in MAX.
        service_account: Text,
        /// Its successor.
        successor: ChatNumber,
        /// What was last seen in MAX.
        observed: ChatObserved,
    }
    /// One period of ownership.
    Owner {
        /// The authority.
        authority: OrgId,
        /// The record that says so.
        record: RecordId;
        /// First day, where known.
        from: Day,
    }
    /// One standing of a chat.
    Status {
        /// The standing.
        status: ChatStatus,
        /// The record that says so.
        record: RecordId;
        /// First day, where known.
        from: Day,
        /// Why.
        reason: StandingReason,
    }
    /// One delegation: [from, to). It also lapses by itself when the organisation stops managing.
    Delegation {
        /// The administrator.
        organisation: OrgId,
        /// The record that delegated.
        record: RecordId,
        /// Entered by mistake.
        void: bool;
        /// First day, where known.
        from: Day,
        /// First day without it.
        to: Day,
        /// The record that withdrew it.
        withdrawn: RecordId,
    }
    /// Facts of a bot.
    BotFacts {
        /// The bot.
        bot: BotName,
        /// What it is called.
        title: Text,
        /// Who vouches for it.
        authority: OrgId,
        /// Only for these chats; empty = for all of the authority.
        chats: Vec<ChatNumber>,
        /// The record that attested it.
        attested: RecordId;
        /// First day, where known.
        from: Day,
        /// First day without it.
        to: Day,
        /// The record that withdrew it.
        withdrawn: RecordId,
    }
}

/// What the register holds about one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Facts {
    /// See [`AuthorityFacts`].
    Authority(AuthorityFacts),
    /// See [`KeyFacts`].
    Key(Box<KeyFacts>),
    /// See [`OrganisationFacts`].
    Organisation(OrganisationFacts),
    /// See [`BuildingFacts`].
    Building(Box<BuildingFacts>),
    /// See [`ChatFacts`].
    Chat(Box<ChatFacts>),
    /// See [`BotFacts`].
    Bot(BotFacts),
}

impl Facts {
    /// The frozen encoding.
    pub fn encode(&self) -> Vec<u8> {
        // Plain structs of strings and numbers: writing them to memory has no way to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
    /// Reads the frozen encoding back.
    pub fn decode(bytes: &[u8]) -> Result<Facts> {
        serde_json::from_slice(bytes)
            .map_err(|e| Error::stop("index.row", format!("index row: {e}"), "run «domovoi reindex»"))
    }
}

/// The value of a leaf whose encoding is `encoded`.
pub fn leaf_value(encoded: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(FACTS_TAG);
    hash.update(encoded);
    hash.finalize().into()
}

/// The chats one join link belongs or belonged to: the facts of a `link:` leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinkFacts {
    /// The digest.
    pub link: LinkDigest,
    /// Chats that have or had it, sorted.
    pub chats: Vec<ChatNumber>,
}

/// True where `day` lies in [from, to).
pub fn within(from: Option<Day>, to: Option<Day>, day: Day) -> bool {
    from.is_none_or(|f| f <= day) && to.is_none_or(|t| day < t)
}

impl BuildingFacts {
    /// Managements that hold on `day`. More than one is a contest, and is shown as one.
    pub fn managements_on(&self, day: Day) -> impl Iterator<Item = &Management> {
        self.managements.iter().filter(move |m| !m.void && within(m.from, m.to, day))
    }
    /// True while the building is in the register.
    pub fn active_on(&self, day: Day) -> bool {
        !self.void && self.retired.as_ref().is_none_or(|r| r.from.is_some_and(|f| day < f))
    }
    /// All its ids, primary first.
    pub fn ids(&self) -> impl Iterator<Item = &BuildingId> {
        std::iter::once(&self.building).chain(&self.also)
    }
}

impl ChatFacts {
    /// Where it stands last.
    pub fn status(&self) -> ChatStatus {
        self.statuses.last().map_or(ChatStatus::Void, |s| s.status)
    }
    /// The last standing that had begun on `day`.
    pub fn status_on(&self, day: Day) -> Option<&Status> {
        self.statuses.iter().rev().find(|s| s.from.is_none_or(|f| f <= day))
    }
    /// The last owner as recorded (follow successions to learn who that is today).
    pub fn owner(&self) -> Option<&Owner> {
        self.owners.last()
    }
    /// The owner as recorded on `day`.
    pub fn owner_on(&self, day: Day) -> Option<&Owner> {
        self.owners.iter().rev().find(|o| o.from.is_none_or(|f| f <= day))
    }
    fn stand(&mut self, status: ChatStatus, record: RecordId, from: Option<Day>, reason: Option<StandingReason>) {
        self.statuses.push(Status { status, record, from, reason });
    }
    /// Official or suspended: it takes up its buildings' one place.
    pub fn is_active(&self) -> bool {
        matches!(self.status(), ChatStatus::Official | ChatStatus::Suspended)
    }
    /// Delegations that were neither withdrawn nor void on `day`; whether they lapsed is a question of managements.
    pub fn delegations_on(&self, day: Day) -> impl Iterator<Item = &Delegation> {
        self.admins.iter().filter(move |a| !a.void && within(a.from, a.to, day))
    }
}

/// Applies `record` to the facts of its subject. Facts that are absent stay absent unless the record begins them.
pub fn evolve(facts: Option<Facts>, subject_chat: Option<ChatNumber>, record: &Record) -> Option<Facts> {
    let (id, from) = (record.id, record.effective_from);
    let observed = record.basis.as_ref().and_then(|b| b.date);
    match (&record.body, facts) {
        (Body::AuthorityEnrolled(b), None) => Some(Facts::Authority(AuthorityFacts {
            authority: b.authority.clone(),
            name: b.name.clone(),
            oktmo: b.oktmo.clone(),
            enrolled: id,
            short_name: b.short_name.clone(),
            suspended: None,
            succeeded: None,
        })),
        (Body::KeyGranted(b), None) => Some(Facts::Key(Box::new(KeyFacts {
            key: b.key.clone(),
            authority: b.authority.clone(),
            scopes: b.scopes.clone(),
            oktmo: b.oktmo.clone(),
            not_before: b.not_before,
            not_after: b.not_after,
            granted: id,
            revoked: None,
        }))),
        (Body::OrganisationNamed(b), facts) => {
            let mut names = match facts {
                Some(Facts::Organisation(o)) => o.names,
                _ => Vec::new(),
            };
            names.push(Named { name: b.name.clone(), record: id, from });
            Some(Facts::Organisation(OrganisationFacts { organisation: b.organisation.clone(), names }))
        }
        (Body::BuildingRegistered(b), None) => Some(Facts::Building(Box::new(BuildingFacts {
            building: b.building.clone(),
            address: b.address.clone(),
            oktmo: b.oktmo.clone(),
            kind: b.kind,
            also: b.also.clone().unwrap_or_default().0,
            registered: id,
            void: false,
            managements: Vec::new(),
            services: Vec::new(),
            flats: b.flats,
            year: b.year,
            emergency: b.emergency,
            chat_required: b.chat_required,
            retired: None,
        }))),
        (Body::ChatDeclared(b), None) => Some(Facts::Chat(Box::new(ChatFacts {
            chat: subject_chat?,
            kind: b.kind,
            title: b.title.clone(),
            buildings: b.buildings.0.clone(),
            rotated: Vec::new(),
            owners: vec![Owner { authority: b.authority.clone(), record: id, from }],
            statuses: vec![Status { status: ChatStatus::Declared, record: id, from, reason: None }],
            admins: Vec::new(),
            link: b.link,
            max: b.max,
            service_account: None,
            successor: None,
            observed: None,
        }))),
        (Body::ChatRegistered(b), facts) => {
            let before = match facts {
                Some(Facts::Chat(c)) => Some(c),
                _ => None,
            };
            let mut rotated = before.as_ref().map(|c| c.rotated.clone()).unwrap_or_default();
            if let Some(old) = before.as_ref().and_then(|c| c.link).filter(|l| b.link.is_some_and(|n| n != *l)) {
                rotated.push(old);
            }
            let mut owners = before.as_ref().map(|c| c.owners.clone()).unwrap_or_default();
            owners.push(Owner { authority: b.owner.clone(), record: id, from });
            let mut statuses = before.as_ref().map(|c| c.statuses.clone()).unwrap_or_default();
            statuses.push(Status { status: ChatStatus::Official, record: id, from, reason: None });
            Some(Facts::Chat(Box::new(ChatFacts {
                chat: subject_chat?,
                kind: b.kind,
                title: b.title.clone(),
                buildings: b.buildings.0.clone(),
                rotated,
                owners,
                statuses,
                admins: Vec::new(),
                link: b.link.or_else(|| before.as_ref().and_then(|c| c.link)),
                max: b.max.or_else(|| before.as_ref().and_then(|c| c.max)),
                service_account: b.service_account.clone(),
                successor: None,
                observed: before.and_then(|c| c.observed),
            })))
        }
        (Body::BotAttested(b), _) => Some(Facts::Bot(BotFacts {
            bot: b.bot.clone(),
            title: b.title.clone(),
            authority: b.authority.clone(),
            chats: b.chats.clone().unwrap_or_default().0,
            attested: id,
            from,
            to: None,
            withdrawn: None,
        })),
        (body, Some(mut facts)) => {
            match &mut facts {
                Facts::Authority(a) => evolve_authority(a, body, id, from),
                Facts::Key(k) => evolve_key(k, body, id),
                Facts::Building(b) => evolve_building(b, body, id, from, observed),
                Facts::Chat(c) => evolve_chat(c, body, id, from),
                Facts::Bot(b) => evolve_bot(b, body, id, from),
                Facts::Organisation(_) => {}
            }
            Some(facts)
        }
        (_, None) => None,
    }
}

fn evolve_authority(a: &mut AuthorityFacts, body: &Body, record: RecordId, from: Option<Day>) {
    match body {
        Body::AuthorityAmended(b) => {
            a.name = b.name.clone();
            a.short_name = b.short_name.clone();
            a.oktmo = b.oktmo.clone();
            if b.reinstated == Some(true) {
                a.suspended = None;
            }
        }
        Body::AuthoritySuspended(b) => a.suspended = Some(Standing { record, reason: b.reason, from }),
        Body::AuthoritySucceeded(b) => {
            a.succeeded = Some(Succession { successor: b.successor.clone(), record, from });
        }
        _ => {}
    }
}

fn evolve_key(k: &mut KeyFacts, body: &Body, record: RecordId) {
    if let Body::KeyRevoked(b) = body {
        k.revoked = Some(Revocation { reason: b.reason, record, suspect_from: b.suspect_from });
    }
}

fn evolve_building(f: &mut BuildingFacts, body: &Body, record: RecordId, from: Option<Day>, observed: Option<Day>) {
    match body {
        Body::BuildingAmended(b) => {
            f.address = b.address.clone();
            f.oktmo = b.oktmo.clone();
            f.kind = b.kind;
            f.also = b.also.clone().unwrap_or_default().0;
            f.flats = b.flats;
            f.year = b.year;
            f.emergency = b.emergency;
            f.chat_required = b.chat_required;
        }
        Body::BuildingRetired(b) => {
            let into = b.into.clone().unwrap_or_default().0;
            f.retired = Some(Retirement { reason: b.reason, into, record, from });
        }
        Body::ManagementAssigned(b) => f.managements.push(Management {
            form: b.form,
            record,
            void: false,
            organisation: b.organisation.clone(),
            from,
            observed,
            to: None,
            ended: None,
            contract: b.contract,
            licence: b.licence,
        }),
        Body::ManagementEnded(b) => {
            if let Some(m) = f.managements.iter_mut().find(|m| m.record == b.management) {
                m.to = from;
                m.ended = Some(record);
            }
        }
        Body::ServicesPublished(b) => f.services = b.services.0.clone(),
        Body::RecordSuperseded(b) => {
            f.void |= f.registered == b.record;
            for m in &mut f.managements {
                m.void |= m.record == b.record;
                if m.ended == Some(b.record) {
                    (m.ended, m.to) = (None, None);
                }
            }
            if f.retired.as_ref().is_some_and(|r| r.record == b.record) {
                f.retired = None;
            }
        }
        _ => {}
    }
}

fn evolve_chat(c: &mut ChatFacts, body: &Body, record: RecordId, from: Option<Day>) {
    match body {
        Body::ChatAmended(b) => {
            if let Some(title) = &b.title {
                c.title = title.clone();
            }
            if let Some(buildings) = &b.buildings {
                c.buildings = buildings.0.clone();
            }
            if b.link.is_some() && b.link != c.link {
                c.rotated.extend(c.link);
                c.rotated.retain(|l| Some(*l) != b.link);
                c.link = b.link;
            }
            c.max = b.max.or(c.max);
            c.service_account = b.service_account.clone().or(c.service_account.take());
        }
        Body::ChatSuspended(b) => c.stand(ChatStatus::Suspended, record, from, Some(b.reason)),
        Body::ChatRestored(b) => c.stand(ChatStatus::Official, record, from, Some(b.reason)),
        Body::ChatClosed(b) => c.stand(ChatStatus::Closed, record, from, Some(b.reason)),
        Body::ChatReplaced(b) => {
            c.stand(ChatStatus::Replaced, record, from, None);
            c.successor = Some(b.successor);
        }
        Body::ChatObserved(b) => c.observed = Some(b.clone()),
        Body::OwnershipTransferred(b) => c.owners.push(Owner { authority: b.to.clone(), record, from }),
        Body::AdminDelegated(b) => c.admins.push(Delegation {
            organisation: b.organisation.clone(),
            record,
            void: false,
            from,
            to: None,
            withdrawn: None,
        }),
        Body::AdminWithdrawn(b) => {
            for a in c.admins.iter_mut().filter(|a| a.organisation == b.organisation && a.withdrawn.is_none()) {
                a.to = from;
                a.withdrawn = Some(record);
            }
        }
        Body::RecordSuperseded(b) => {
            for a in &mut c.admins {
                a.void |= a.record == b.record;
                if a.withdrawn == Some(b.record) {
                    (a.withdrawn, a.to) = (None, None);
                }
            }
            if c.statuses.iter().any(|s| s.record == b.record) {
                c.stand(ChatStatus::Void, record, from, Some(StandingReason::Mistake));
            }
        }
        _ => {}
    }
}

fn evolve_bot(f: &mut BotFacts, body: &Body, record: RecordId, from: Option<Day>) {
    if let Body::BotWithdrawn(_) = body {
        (f.to, f.withdrawn) = (from, Some(record));
    }
}
