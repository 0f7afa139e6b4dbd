//! The bodies of every record type (domain.md, "Records"), and the one table that names them.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use super::forms::*;
use super::ids::{
    BuildingId, ChatNumber, KeyThumb, LinkDigest, MaxChatId, Oktmo, OktmoPrefix, OrgId, RecordId, RegionCode,
};
use super::record::Subject;
pub use super::strict::List;
use super::strict::{from_object, index, objects, some_object, words};
use super::text::{Day, Millis, Text};
use super::transfer::{TransferAccepted, TransferDeclined, TransferOffered, TransferReleased};
use crate::error::{Error, Result};

/// Most buildings one chat may cover.
pub const MAX_BUILDINGS: usize = 64;
/// Most further ids of a building or organisation.
pub const MAX_IDS: usize = 16;
/// Most items of any other list in a body.
pub const MAX_LIST: usize = 64;

words!(
    /// What kind of building.
    BuildingKind {
        /// An apartment building (МКД).
        Apartment,
        /// A dormitory with the legal form of an apartment building.
        Dormitory,
        /// Not told by the source.
        Untyped,
    }
);
words!(
    /// Why a building left the register.
    RetireReason {
        /// It was demolished.
        Demolished,
        /// It became part of another.
        Merged,
        /// It became several.
        Split,
    }
);
words!(
    /// Who manages a building.
    ManagementForm {
        /// A management company (УК).
        Company,
        /// An owners' association (ТСЖ).
        OwnersAssociation,
        /// A housing cooperative (ЖСК).
        Cooperative,
        /// The owners themselves.
        Direct,
        /// A temporary company named by the municipality.
        Temporary,
        /// The developer, until a company is chosen.
        Developer,
        /// Nobody.
        None,
        /// The source names an organisation but not the form.
        Unknown,
    }
);
words!(
    /// What a chat is for.
    ChatKind {
        /// The house: at most one active per building.
        House,
        /// An entrance of it.
        Entrance,
        /// Several houses.
        Complex,
    }
);
words!(
    /// Why a chat or authority changed its standing.
    StandingReason {
        /// Taken over by somebody else.
        Compromised,
        /// There are two for one house.
        Duplicate,
        /// The building is gone.
        HouseRetired,
        /// Entered by mistake.
        Mistake,
        /// A decision named in the basis.
        Decision,
    }
);
words!(
    /// Why a key was revoked.
    RevokeReason {
        /// Replaced by another.
        Superseded,
        /// In wrong hands: what it signed since is suspect.
        Compromised,
    }
);
words!(
    /// Services of a house.
    ServiceKind {
        /// Dispatcher.
        Dispatcher,
        /// Emergency service.
        Emergency,
        /// Meter readings.
        Meters,
        /// Payments.
        Payments,
        /// Requests and complaints.
        Requests,
        /// Anything else.
        Other,
    }
);
words!(
    /// How a chat was looked at in MAX.
    ObservedBy {
        /// By a person.
        Hand,
        /// By the registry's bot.
        Bot,
    }
);
words!(
    /// What was found when a fact of the register was compared with MAX.
    Finding {
        /// The same.
        Match,
        /// Another.
        Mismatch,
        /// Could not be seen.
        Unknown,
    }
);

words!(
    /// How sure it is that something imitates an official chat.
    Certainty {
        /// Somebody reported it.
        Reported,
        /// The owner of the chat looked at it.
        Confirmed,
    }
);
words!(
    /// How an objection ended.
    Outcome {
        /// The fact was corrected by the record named.
        Upheld,
        /// The fact stands, by the document named as the basis.
        Rejected,
    }
);

/// Bodies: mandatory fields, then after `;` optional ones (`Option`, left out when empty).
macro_rules! bodies {
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

bodies! {
    /// authority.enrolled
    AuthorityEnrolled {
        /// Its id.
        authority: OrgId,
        /// Full name.
        name: Text,
        /// ОКТМО prefixes it is responsible for.
        oktmo: List<OktmoPrefix, 64>;
        /// Short name.
        short_name: Text,
    }
    /// authority.amended: the whole new description; also lifts a suspension.
    AuthorityAmended {
        /// Its id.
        authority: OrgId,
        /// Full name.
        name: Text,
        /// ОКТМО prefixes it is responsible for.
        oktmo: List<OktmoPrefix, 64>;
        /// Short name.
        short_name: Text,
        /// True lifts a suspension.
        reinstated: bool,
    }
    /// authority.suspended
    AuthoritySuspended {
        /// Its id.
        authority: OrgId,
        /// Why.
        reason: StandingReason,
    }
    /// authority.succeeded: everything it owns moves to its successor.
    AuthoritySucceeded {
        /// The authority that ends.
        authority: OrgId,
        /// The one that takes over.
        successor: OrgId,
    }
    /// key.granted
    KeyGranted {
        /// Ed25519 public key, 32 bytes in base64url.
        key: KeyBytes,
        /// Whose key it is.
        authority: OrgId,
        /// Record types it may sign: a type, or `group.*`, or `*`.
        scopes: List<Text, 64>,
        /// ОКТМО prefixes it may sign for.
        oktmo: List<OktmoPrefix, 64>,
        /// Valid from this commit time, Unix milliseconds.
        not_before: Millis,
        /// Valid before this commit time, Unix milliseconds.
        not_after: Millis,
    }
    /// key.revoked
    KeyRevoked {
        /// Thumbprint of the key.
        key: KeyThumb,
        /// Why.
        reason: RevokeReason;
        /// What it signed from this entry on is suspect.
        #[serde(deserialize_with = "index")]
        suspect_from: u64,
    }
    /// organisation.named: what an organisation is called. A rename changes no management.
    OrganisationNamed {
        /// Its id.
        organisation: OrgId,
        /// Its name; a sole proprietor's own name is never stored.
        name: Text,
    }
    /// applicability.set: of which buildings of the region a chat is required, from a day on.
    ApplicabilitySet {
        /// The region.
        region: RegionCode,
        /// Required of buildings with more flats than this.
        above_flats: u16,
    }
    /// organisation.linked: which other ids are the same organisation's, and which were found not to be.
    OrganisationLinked {
        /// Its primary id.
        organisation: OrgId;
        /// Ids found to be its own.
        also: List<OrgId, MAX_IDS>,
        /// Ids found to be somebody else's.
        distinct: List<OrgId, MAX_IDS>,
    }
    /// building.registered and building.amended (the whole new description).
    Building {
        /// Its primary id.
        building: BuildingId,
        /// Address.
        address: Text,
        /// ОКТМО code; unknown = the region's prefix only.
        oktmo: Oktmo,
        /// Kind.
        kind: BuildingKind;
        /// Further ids.
        also: List<BuildingId, MAX_IDS>,
        /// Flats.
        flats: u16,
        /// Year of commissioning.
        year: u16,
        /// Declared an emergency building on this day.
        emergency: Day,
        /// An exception from the region's threshold of flats; otherwise the threshold decides.
        #[serde(deserialize_with = "some_object")]
        applicability: Applicability,
    }
    /// building.linked: which other ids are the same building's, and which were found not to be.
    BuildingLinked {
        /// Its primary id.
        building: BuildingId;
        /// Ids found to be its own.
        also: List<BuildingId, MAX_IDS>,
        /// Ids found to be another building's.
        distinct: List<BuildingId, MAX_IDS>,
    }
    /// building.retired
    BuildingRetired {
        /// Its primary id.
        building: BuildingId,
        /// Why.
        reason: RetireReason;
        /// What it became: nothing (demolished), one building (merged), several (split).
        into: List<BuildingId, 16>,
    }
    /// management.assigned
    ManagementAssigned {
        /// The building.
        building: BuildingId,
        /// Form.
        form: ManagementForm;
        /// Who manages; none for direct management.
        organisation: OrgId,
        /// Date of the contract.
        contract: Day,
        /// Date of the entry in the licence register.
        licence: Day,
    }
    /// management.ended; effective_from is the first day without it.
    ManagementEnded {
        /// The building.
        building: BuildingId,
        /// The management.assigned record that ends.
        management: RecordId;
        /// True: struck off the licence register, it has to go on until its successor starts.
        goes_on: bool,
    }
    /// chat.declared: known, but ownership in MAX is not taken yet.
    ChatDeclared {
        /// Kind.
        kind: ChatKind,
        /// Title in MAX.
        title: Text,
        /// Buildings it covers.
        buildings: List<BuildingId, MAX_BUILDINGS>,
        /// The authority that is to take it.
        authority: OrgId;
        /// Number of the entrance, of a chat of that kind.
        entrance: u16,
        /// Digest of the join link.
        link: LinkDigest,
        /// Chat id in MAX.
        max: MaxChatId,
    }
    /// chat.registered
    ChatRegistered {
        /// Kind.
        kind: ChatKind,
        /// Title in MAX.
        title: Text,
        /// Buildings it covers.
        buildings: List<BuildingId, MAX_BUILDINGS>,
        /// The authority that owns it.
        owner: OrgId;
        /// The declared chat this takes over.
        declared: ChatNumber,
        /// Number of the entrance, of a chat of that kind.
        entrance: u16,
        /// Digest of the join link.
        link: LinkDigest,
        /// Chat id in MAX.
        max: MaxChatId,
        /// The service account that holds ownership in MAX.
        service_account: Text,
    }
    /// chat.amended: what is present replaces what was.
    ChatAmended {
        /// The chat.
        chat: ChatNumber;
        /// New title.
        title: Text,
        /// New list of buildings.
        buildings: List<BuildingId, MAX_BUILDINGS>,
        /// Number of the entrance, of a chat of that kind.
        entrance: u16,
        /// New join link; the earlier one stays known as rotated.
        link: LinkDigest,
        /// Chat id in MAX.
        max: MaxChatId,
        /// The service account that holds ownership in MAX.
        service_account: Text,
    }
    /// chat.suspended, chat.restored and chat.closed
    ChatStanding {
        /// The chat.
        chat: ChatNumber,
        /// Why.
        reason: StandingReason,
    }
    /// chat.replaced
    ChatReplaced {
        /// The chat that ends.
        chat: ChatNumber,
        /// Its successor.
        successor: ChatNumber,
    }
    /// chat.observed: what was last seen in MAX; says nothing about who owns it by right.
    ChatObserved {
        /// The chat.
        chat: ChatNumber,
        /// When it was looked at.
        on: Day,
        /// How.
        by: ObservedBy,
        /// Owner in MAX compared with the register.
        owner: Finding,
        /// Administrator in MAX compared with the register.
        administrator: Finding,
        /// Join link compared with the register.
        link: Finding,
        /// A former management company still administers it.
        former_administrator: bool,
    }
    /// ownership.transferred: signed by both authorities, or by the region's root with a basis.
    OwnershipTransferred {
        /// The chat.
        chat: ChatNumber,
        /// The owner that gives it up.
        from: OrgId,
        /// The owner that takes it.
        to: OrgId,
    }
    /// admin.delegated and admin.withdrawn
    Admin {
        /// The chat.
        chat: ChatNumber,
        /// The organisation.
        organisation: OrgId,
    }
    /// bot.attested
    BotAttested {
        /// The bot.
        bot: BotName,
        /// What it is called.
        title: Text,
        /// The authority that vouches for it.
        authority: OrgId;
        /// Only for these chats; otherwise for all of the authority.
        chats: List<ChatNumber, MAX_LIST>,
    }
    /// bot.withdrawn
    BotWithdrawn {
        /// The bot.
        bot: BotName,
    }
    /// One official service: a link, a bot or a service number of an organisation.
    Service {
        /// Kind.
        kind: ServiceKind,
        /// What it is called.
        title: Text;
        /// Link.
        link: Text,
        /// Bot.
        bot: BotName,
        /// Service number of an organisation, the only phone numbers allowed.
        phone: Phone,
    }
    /// services.published: the whole list, replacing what was.
    ServicesPublished {
        /// The building.
        building: BuildingId,
        /// Its services.
        #[serde(deserialize_with = "objects")]
        services: List<Service, MAX_LIST>,
    }
    /// impersonation.flagged
    ImpersonationFlagged {
        /// What imitates.
        imitation: Imitation,
        /// The official chat it imitates.
        imitates: ChatNumber,
        /// How sure that is.
        certainty: Certainty,
    }
    /// impersonation.cleared: it was none, or is none any more.
    ImpersonationCleared {
        /// What was flagged.
        imitation: Imitation,
    }
    /// objection.noted: somebody disputes a fact. The same number and date again, with an outcome, ends it. Who objects is
    /// not said.
    ObjectionNoted {
        /// The chat or building whose fact is disputed.
        subject: Subject,
        /// Number under which the objection came in.
        number: Text,
        /// Day it came in.
        date: Day;
        /// How it ended.
        outcome: Outcome,
        /// The later record that settles it.
        resolved_by: RecordId,
    }
    /// record.superseded: a correction, acting forward.
    RecordSuperseded {
        /// The subject whose record it is.
        subject: Subject,
        /// The record that was wrong.
        record: RecordId,
    }
}

/// Names every type once: its variant, its body, its subject.
macro_rules! types {
    ($($word:literal $variant:ident($body:ty) |$b:ident| $subject:expr;)+) => {
        /// The body of a record, by type.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum Body { $($variant($body)),+ }

        /// Every record type, in the order of domain.md.
        pub const TYPES: &[&str] = &[$($word),+];

        impl Body {
            /// The type as a record says it.
            pub fn type_name(&self) -> &'static str {
                match self { $(Body::$variant(_) => $word),+ }
            }
            /// Reads the body of a record of this type.
            pub fn decode(name: &str, json: &str) -> Result<Body> {
                match name {
                    $($word => from_object(json.as_bytes()).map(Body::$variant).map_err(|e| {
                        Error::refuse("record.body", format!(concat!($word, ": {}"), e), "see the field list in docs/protocol.md")
                    }),)+
                    _ => Err(Error::refuse(
                        "record.type",
                        format!("record type «{}» is not known", name.chars().take(60).collect::<String>()),
                        "see the list of types in docs/protocol.md",
                    )),
                }
            }
            /// Writes the body.
            pub fn encode(&self) -> Result<Box<RawValue>> {
                match self { $(Body::$variant(b) => serde_json::value::to_raw_value(b)),+ }
                    .map_err(|e| Error::refuse("record.body", e.to_string(), "see the field list in docs/protocol.md"))
            }
            pub(super) fn declared_subject(&self) -> Option<Subject> {
                match self { $(Body::$variant($b) => $subject),+ }
            }
        }
    };
}

types! {
    "authority.enrolled" AuthorityEnrolled(AuthorityEnrolled) |b| Some(Subject::Authority(b.authority.clone()));
    "authority.amended" AuthorityAmended(AuthorityAmended) |b| Some(Subject::Authority(b.authority.clone()));
    "authority.suspended" AuthoritySuspended(AuthoritySuspended) |b| Some(Subject::Authority(b.authority.clone()));
    "authority.succeeded" AuthoritySucceeded(AuthoritySucceeded) |b| Some(Subject::Authority(b.authority.clone()));
    "key.granted" KeyGranted(KeyGranted) |b| Some(Subject::Key(b.key.thumb()));
    "key.revoked" KeyRevoked(KeyRevoked) |b| Some(Subject::Key(b.key));
    "organisation.named" OrganisationNamed(OrganisationNamed) |b| Some(Subject::Organisation(b.organisation.clone()));
    "applicability.set" ApplicabilitySet(ApplicabilitySet) |b| Some(Subject::Applicability(b.region));
    "organisation.linked" OrganisationLinked(OrganisationLinked) |b| Some(Subject::Organisation(b.organisation.clone()));
    "building.registered" BuildingRegistered(Building) |b| Some(Subject::Building(b.building.clone()));
    "building.amended" BuildingAmended(Building) |b| Some(Subject::Building(b.building.clone()));
    "building.linked" BuildingLinked(BuildingLinked) |b| Some(Subject::Building(b.building.clone()));
    "building.retired" BuildingRetired(BuildingRetired) |b| Some(Subject::Building(b.building.clone()));
    "management.assigned" ManagementAssigned(ManagementAssigned) |b| Some(Subject::Building(b.building.clone()));
    "management.ended" ManagementEnded(ManagementEnded) |b| Some(Subject::Building(b.building.clone()));
    "chat.declared" ChatDeclared(ChatDeclared) |_b| None;
    "chat.registered" ChatRegistered(ChatRegistered) |b| b.declared.map(Subject::Chat);
    "chat.amended" ChatAmended(ChatAmended) |b| Some(Subject::Chat(b.chat));
    "chat.suspended" ChatSuspended(ChatStanding) |b| Some(Subject::Chat(b.chat));
    "chat.restored" ChatRestored(ChatStanding) |b| Some(Subject::Chat(b.chat));
    "chat.closed" ChatClosed(ChatStanding) |b| Some(Subject::Chat(b.chat));
    "chat.replaced" ChatReplaced(ChatReplaced) |b| Some(Subject::Chat(b.chat));
    "chat.observed" ChatObserved(ChatObserved) |b| Some(Subject::Chat(b.chat));
    "ownership.transferred" OwnershipTransferred(OwnershipTransferred) |b| Some(Subject::Chat(b.chat));
    "admin.delegated" AdminDelegated(Admin) |b| Some(Subject::Chat(b.chat));
    "admin.withdrawn" AdminWithdrawn(Admin) |b| Some(Subject::Chat(b.chat));
    "bot.attested" BotAttested(BotAttested) |b| Some(Subject::Bot(b.bot.clone()));
    "bot.withdrawn" BotWithdrawn(BotWithdrawn) |b| Some(Subject::Bot(b.bot.clone()));
    "services.published" ServicesPublished(ServicesPublished) |b| Some(Subject::Building(b.building.clone()));
    "transfer.offered" TransferOffered(TransferOffered) |b| Some(Subject::Chat(b.chat));
    "transfer.accepted" TransferAccepted(TransferAccepted) |b| Some(Subject::Chat(b.chat));
    "transfer.declined" TransferDeclined(TransferDeclined) |b| Some(Subject::Transfer(b.offer));
    "transfer.released" TransferReleased(TransferReleased) |b| Some(Subject::Chat(b.chat));
    "impersonation.flagged" ImpersonationFlagged(ImpersonationFlagged) |b| Some(Subject::Imitation(b.imitation.clone()));
    "impersonation.cleared" ImpersonationCleared(ImpersonationCleared) |b| Some(Subject::Imitation(b.imitation.clone()));
    "objection.noted" ObjectionNoted(ObjectionNoted) |b| Some(b.subject.clone());
    "record.superseded" RecordSuperseded(RecordSuperseded) |b| Some(b.subject.clone());
}

impl Body {
    /// True where the body embeds entries and proofs of another log, and may be long for it.
    pub fn carries_proof(&self) -> bool {
        matches!(self, Body::TransferAccepted(_) | Body::TransferDeclined(_) | Body::TransferReleased(_))
    }
    /// The subject a record with this body and id changes.
    pub fn subject(&self, id: &RecordId, region: RegionCode) -> Subject {
        self.declared_subject().unwrap_or_else(|| Subject::Chat(ChatNumber::derive(region, &id.0)))
    }
}
