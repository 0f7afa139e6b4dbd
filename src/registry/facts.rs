//! Facts: what the register holds about one subject, with validity intervals, and how each record moves them.
//!
//! [`evolve`] is a pure fold: facts of a subject = its records applied one after another. It never looks at a clock; a
//! reader evaluates the intervals for the day he asks about. The JSON of [`Facts::encode`] is a frozen, versioned
//! encoding: its hash is the value of the subject's leaf in the state map, and the index stores the same bytes.
//! Nothing is removed: the end of something is a fact too. What few subjects have is boxed: there are millions of subjects.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::body::*;
use super::ids::{BuildingId, ChatNumber, LinkDigest, MaxChatId, Oktmo, OktmoPrefix, OrgId, RecordId, RegionCode};
use super::record::{Basis, Subject};
use super::text::{Day, Millis, Text};
use super::transfer::{Arrived, Left, Offered, TransferFacts};
use crate::error::{Error, Result};

pub use super::evolve::evolve;

/// Bytes that most encodings fit in, so that writing one does not move it again and again.
const ENCODED: usize = 1024;
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

super::strict::words!(
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
        /// Moved to another region's log.
        Moved,
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
        /// The document it rests on.
        basis: Basis,
    }
    /// A succession.
    Succession {
        /// The authority that took over.
        successor: OrgId,
        /// The record that says so.
        record: RecordId;
        /// First day.
        from: Day,
        /// The document it rests on.
        basis: Box<Basis>,
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
        names: Vec<Named>;
        /// Further ids.
        also: Vec<OrgId>,
        /// Ids found to be somebody else's.
        distinct: Vec<OrgId>,
    }
    /// One name.
    Named {
        /// The name.
        name: Text,
        /// The record that says so.
        record: RecordId;
        /// First day, where known.
        from: Day,
        /// The source that calls it so is of this day.
        observed: Day,
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
        /// An exception from the region's threshold of flats.
        applicability: Applicability,
        /// Its retirement.
        retired: Box<Retirement>,
        /// Objections, oldest first; left out while there are none.
        objections: Vec<Objection>,
        /// Ids found to be another building's.
        distinct: Vec<BuildingId>,
        /// The source of its description is of this day.
        described: Day,
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
        /// True: it goes on after `to` until its successor starts ([`BuildingFacts::end_of`]).
        goes_on: bool,
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
        observed: Box<ChatObserved>,
        /// Number of the entrance, of a chat of that kind.
        entrance: u16,
        /// Objections, oldest first; left out while there are none.
        objections: Vec<Objection>,
        /// It is offered to another region, and locked.
        offered: Box<Offered>,
        /// It has left for another region's log.
        left: Box<Left>,
        /// It came from another region's log.
        arrived: Box<Arrived>,
    }
    /// One period of ownership.
    Owner {
        /// The authority.
        authority: OrgId,
        /// The record that says so.
        record: RecordId;
        /// First day, where known.
        from: Day,
        /// The document it rests on.
        basis: Box<Basis>,
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
        /// The document it rests on; where ownership begins with it, the owner has it.
        basis: Box<Basis>,
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
    /// A dispute about a fact of this subject.
    Objection {
        /// Number under which it came in.
        number: Text,
        /// Day it came in.
        date: Day,
        /// The record that noted it.
        record: RecordId;
        /// How it ended.
        outcome: Outcome,
        /// The record that settles it.
        resolved_by: RecordId,
        /// The record that ended it.
        closed: RecordId,
        /// First day without it.
        to: Day,
    }
    /// Facts of what imitates an official chat. They touch no chat.
    ImitationFacts {
        /// What imitates.
        imitation: Imitation,
        /// Flags, oldest first; the last one holds.
        flags: Vec<Flag>,
    }
    /// One flag: [from, to).
    Flag {
        /// The chat it imitates.
        imitates: ChatNumber,
        /// How sure that is.
        certainty: Certainty,
        /// The record that says so.
        record: RecordId;
        /// First day, where known.
        from: Day,
        /// The document it rests on.
        basis: Basis,
        /// First day without it.
        to: Day,
        /// The record that cleared it.
        cleared: RecordId,
    }
    /// Of which buildings of a region a chat is required.
    ApplicabilityFacts {
        /// The region.
        region: RegionCode,
        /// Thresholds in the order they were recorded.
        thresholds: Vec<Threshold>,
    }
    /// A threshold of flats.
    Threshold {
        /// A chat is required of buildings with more flats than this.
        above_flats: u16,
        /// The record that says so.
        record: RecordId;
        /// First day.
        from: Day,
        /// The document it rests on.
        basis: Basis,
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
        /// The document the attestation rests on.
        basis: Basis,
    }
}

/// What the register holds about one subject. Each kind in a box of its own, so that none takes the room of the largest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Facts {
    /// See [`AuthorityFacts`].
    Authority(Box<AuthorityFacts>),
    /// See [`KeyFacts`].
    Key(Box<KeyFacts>),
    /// See [`OrganisationFacts`].
    Organisation(Box<OrganisationFacts>),
    /// See [`BuildingFacts`].
    Building(Box<BuildingFacts>),
    /// See [`ChatFacts`].
    Chat(Box<ChatFacts>),
    /// See [`BotFacts`].
    Bot(Box<BotFacts>),
    /// See [`TransferFacts`].
    Transfer(Box<TransferFacts>),
    /// See [`ImitationFacts`].
    Imitation(Box<ImitationFacts>),
    /// See [`ApplicabilityFacts`].
    Applicability(Box<ApplicabilityFacts>),
}

impl Facts {
    /// The frozen encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoded = Vec::with_capacity(ENCODED);
        self.encode_into(&mut encoded);
        encoded
    }
    /// Appends the frozen encoding.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let before = out.len();
        // Plain structs of strings and numbers: writing them to memory has no way to fail.
        if serde_json::to_writer(&mut *out, self).is_err() {
            out.truncate(before);
        }
    }
    /// Gives back the memory that lists hold for growing.
    pub(super) fn shrink(&mut self) {
        match self {
            Facts::Building(b) => {
                b.also.shrink_to_fit();
                b.managements.shrink_to_fit();
                b.services.shrink_to_fit();
            }
            Facts::Chat(c) => {
                c.buildings.shrink_to_fit();
                c.rotated.shrink_to_fit();
                c.owners.shrink_to_fit();
                c.statuses.shrink_to_fit();
                c.admins.shrink_to_fit();
            }
            Facts::Organisation(o) => o.names.shrink_to_fit(),
            // These are few.
            Facts::Authority(_)
            | Facts::Key(_)
            | Facts::Bot(_)
            | Facts::Transfer(_)
            | Facts::Imitation(_)
            | Facts::Applicability(_) => {}
        }
    }
    /// Reads the frozen encoding back.
    pub fn decode(bytes: &[u8]) -> Result<Facts> {
        serde_json::from_slice(bytes)
            .map_err(|e| Error::stop("index.row", format!("index row: {e}"), "run «domovoi reindex»"))
    }
}

/// Subjects that these facts name and that must therefore not be taken back: what a building became, a chat's successor, the
/// chats of a bot, the chat that something imitates, an authority's successor. A chat's buildings are apart: there are
/// many, and [`super::state::View::chats_by_building`] finds them.
pub fn names(facts: &Facts) -> Vec<Subject> {
    match facts {
        Facts::Building(b) if !b.void => {
            b.retired.iter().flat_map(|r| &r.into).cloned().map(Subject::Building).collect()
        }
        Facts::Chat(c) => c.successor.map(Subject::Chat).into_iter().collect(),
        Facts::Bot(b) => b.chats.iter().copied().map(Subject::Chat).collect(),
        Facts::Imitation(i) => i.flags.iter().map(|f| Subject::Chat(f.imitates)).collect(),
        Facts::Authority(a) => a.succeeded.iter().map(|s| Subject::Authority(s.successor.clone())).collect(),
        _ => Vec::new(),
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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

impl OrganisationFacts {
    /// Its further ids.
    pub fn also(&self) -> &[OrgId] {
        self.also.as_deref().unwrap_or_default()
    }
    /// Ids found to be somebody else's.
    pub fn distinct(&self) -> &[OrgId] {
        self.distinct.as_deref().unwrap_or_default()
    }
}

impl BuildingFacts {
    /// Ids found to be another building's.
    pub fn distinct(&self) -> &[BuildingId] {
        self.distinct.as_deref().unwrap_or_default()
    }
    /// Managements that hold on `day`. Whether they contest each other says [`Self::contested_on`].
    pub fn managements_on(&self, day: Day) -> impl Iterator<Item = &Management> {
        self.managements.iter().filter(move |m| !m.void && within(m.from, self.end_of(m), day))
    }
    /// First day without this management. One that has to go on until its successor starts ends when another begins; if
    /// another is there already, it ends on the day recorded.
    pub fn end_of(&self, m: &Management) -> Option<Day> {
        let (true, Some(to)) = (m.goes_on == Some(true), m.to) else { return m.to };
        let others =
            || self.managements.iter().filter(|o| !o.void && o.record != m.record && o.form != ManagementForm::None);
        match others().any(|o| within(o.from, o.to, to)) {
            true => Some(to),
            false => others().filter_map(|o| o.from).filter(|from| *from > to).min(),
        }
    }
    /// True where managements of different organisations or forms hold on `day`; `primary` tells which ids are one
    /// organisation's ([`super::state::View::organisation`]).
    pub fn contested_on(&self, day: Day, primary: impl Fn(&OrgId) -> OrgId) -> bool {
        let who = |m: &Management| (m.organisation.as_ref().map(&primary), m.organisation.is_none().then_some(m.form));
        let mut held = self.managements_on(day).map(who);
        held.next().is_some_and(|first| held.any(|other| other != first))
    }
    /// True where `organisation` manages the building on every day from `from` to `to`; a renewal on the very day the
    /// earlier management ends leaves no gap. `primary` as in [`Self::contested_on`].
    pub fn managed_throughout(
        &self,
        organisation: &OrgId,
        from: Day,
        to: Day,
        primary: impl Fn(&OrgId) -> OrgId,
    ) -> bool {
        // Whose each management is, is found out once: a hostile log may have hundreds on every day.
        let organisation = primary(organisation);
        let is_own = |m: &&Management| !m.void && m.organisation.as_ref().is_some_and(|o| primary(o) == organisation);
        let own: Vec<_> = self.managements.iter().filter(is_own).map(|m| (m.from, self.end_of(m))).collect();
        let mut at = from;
        // Each step ends one period at least.
        for _ in 0..=own.len() {
            let ends = own.iter().filter(|(from, end)| within(*from, *end, at)).map(|(_, end)| *end);
            match ends.max_by_key(|end| end.unwrap_or(Day::MAX)) {
                None => return false,
                Some(Some(end)) if end <= to => at = end,
                Some(_) => return true,
            }
        }
        false
    }
    /// True where `delegation` reaches this building on `day`: it holds, and its organisation has managed the building
    /// without a gap since it began. It lapses by itself and does not revive when the organisation comes back.
    pub fn delegation_holds(&self, delegation: &Delegation, day: Day, primary: impl Fn(&OrgId) -> OrgId) -> bool {
        !delegation.void
            && within(delegation.from, delegation.to, day)
            && self.active_on(day)
            && self.managed_throughout(&delegation.organisation, delegation.from.unwrap_or(day), day, primary)
    }
    /// Whether an official chat is required of it under the region's `threshold`; none where flats or threshold are not
    /// known. An exception of its own decides before the threshold.
    pub fn chat_required(&self, threshold: Option<&Threshold>) -> Option<bool> {
        match self.applicability {
            Some(own) => Some(own.state == Applies::Required),
            None => Some(self.flats? > threshold?.above_flats),
        }
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

impl Objection {
    /// True while nobody has decided about it.
    pub fn open_on(&self, day: Day) -> bool {
        within(Some(self.date), self.to, day) && (self.closed.is_none() || self.to.is_some())
    }
}

impl ImitationFacts {
    /// The flag that holds on `day`.
    pub fn flag_on(&self, day: Day) -> Option<&Flag> {
        let last = self.flags.iter().rev().find(|f| f.from.is_none_or(|from| from <= day));
        last.filter(|f| f.to.is_none_or(|to| day < to))
    }
    /// The last flag, if it was not cleared.
    pub fn open(&self) -> Option<&Flag> {
        self.flags.last().filter(|f| f.cleared.is_none())
    }
}

impl ApplicabilityFacts {
    /// The threshold in force on `day`: the one that began last, of two of one day the one recorded later.
    pub fn on(&self, day: Day) -> Option<&Threshold> {
        self.thresholds.iter().filter(|t| t.from.is_none_or(|from| from <= day)).max_by_key(|t| t.from)
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
    pub(super) fn stand(
        &mut self,
        status: ChatStatus,
        record: RecordId,
        from: Option<Day>,
        reason: Option<StandingReason>,
    ) {
        self.statuses.push(Status { status, record, from, reason, basis: None });
    }
    /// True where `status`, one of this chat's, is the one its registration or declaration began.
    pub(super) fn begins_with(&self, status: &Status) -> bool {
        matches!(status.status, ChatStatus::Declared | ChatStatus::Official) && status.reason.is_none()
    }
    /// Official or suspended: it takes up its buildings' one place.
    pub fn is_active(&self) -> bool {
        matches!(self.status(), ChatStatus::Official | ChatStatus::Suspended)
    }
}
