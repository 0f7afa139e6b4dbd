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
use super::record::Basis;
use super::text::{Day, Millis, Text};
use super::transfer::{Arrived, Left, Offered, TransferFacts};
use crate::error::{Error, Result};

pub use super::evolve::evolve;

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
        /// It is offered to another region, and locked.
        offered: Offered,
        /// It has left for another region's log.
        left: Left,
        /// It came from another region's log.
        arrived: Arrived,
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
        basis: Basis,
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
    /// See [`TransferFacts`].
    Transfer(Box<TransferFacts>),
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
    /// True where `organisation` manages the building on every day from `from` to `to`; a renewal on the very day the
    /// earlier management ends leaves no gap.
    pub fn managed_throughout(&self, organisation: &OrgId, from: Day, to: Day) -> bool {
        let mut at = from;
        // Each step ends one period at least.
        for _ in 0..=self.managements.len() {
            let ends = self.managements_on(at).filter(|m| m.organisation.as_ref() == Some(organisation)).map(|m| m.to);
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
    pub fn delegation_holds(&self, delegation: &Delegation, day: Day) -> bool {
        !delegation.void
            && within(delegation.from, delegation.to, day)
            && self.active_on(day)
            && self.managed_throughout(&delegation.organisation, delegation.from.unwrap_or(day), day)
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
    pub(super) fn stand(
        &mut self,
        status: ChatStatus,
        record: RecordId,
        from: Option<Day>,
        reason: Option<StandingReason>,
    ) {
        self.statuses.push(Status { status, record, from, reason });
    }
    /// Official or suspended: it takes up its buildings' one place.
    pub fn is_active(&self) -> bool {
        matches!(self.status(), ChatStatus::Official | ChatStatus::Suspended)
    }
}
