//! What a row of a table says once it is read: the importers' common vocabulary.

use crate::registry::body::{BuildingKind, ManagementForm};
use crate::registry::ids::{BuildingId, MaxChatId, Oktmo, OrgId};
use crate::registry::link::LinkDigest;
use crate::registry::text::{Day, Text};

/// Who manages a building, since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenure {
    /// Form.
    pub form: ManagementForm,
    /// Who; none for direct management.
    pub organisation: Option<OrgId>,
    /// What it is called.
    pub name: Option<Text>,
    /// First day, where known.
    pub since: Option<Day>,
}

/// A house of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HouseRow {
    /// Row of the source, 1-based.
    pub row: u64,
    /// Primary id.
    pub building: BuildingId,
    /// Further ids.
    pub also: Vec<BuildingId>,
    /// Address.
    pub address: Text,
    /// ОКТМО code, where the source tells.
    pub oktmo: Option<Oktmo>,
    /// Kind.
    pub kind: BuildingKind,
    /// Flats.
    pub flats: Option<u16>,
    /// Year of commissioning.
    pub year: Option<u16>,
    /// Emergency building, declared on this day or (portals tell no date) before it.
    pub emergency: Option<Day>,
    /// Who manages it, where the source tells.
    pub tenure: Option<Tenure>,
    /// Day the source last updated the row.
    pub updated: Option<Day>,
}

/// Which building a clerk means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Building id (or the clerk's choice among candidates).
    pub building: Option<BuildingId>,
    /// Address.
    pub address: Option<String>,
}

/// A row of a clerk's list of chats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatRow {
    /// Row of the source, 1-based.
    pub row: u64,
    /// The building.
    pub place: Place,
    /// Digest of the join link.
    pub link: Option<LinkDigest>,
    /// Chat id in MAX.
    pub max: Option<MaxChatId>,
    /// Title.
    pub title: Option<Text>,
}

/// A row of a clerk's list of managements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagementRow {
    /// Row of the source, 1-based.
    pub row: u64,
    /// The building.
    pub place: Place,
    /// Who, since when.
    pub tenure: Tenure,
}

/// An organisation of a register of organisations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganisationRow {
    /// Row of the source, 1-based.
    pub row: u64,
    /// All its ids; the source says that they are one organisation's.
    pub ids: Vec<OrgId>,
    /// What it is called.
    pub name: Option<Text>,
}
