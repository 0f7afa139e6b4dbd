//! Rules of `building.linked` and `organisation.linked`: one thing known under several ids, one id of one thing only.
//!
//! A further id is an alias: records go on naming the thing by its primary id, so linking moves no history. An id that is
//! in use already (an organisation that managed houses under two numbers) may become an alias too; what was recorded
//! under it stays as it is, and readers count the two as one.

use super::body::{BuildingLinked, MAX_IDS, OrganisationLinked};
use super::facts::Facts;
use super::ids::OrgId;
use super::record::Subject;
use super::rules::{Signers, by_any_authority, known_building, refuse};
use super::state::View;
use crate::error::Result;

/// Most ids that a thing may be known not to have.
pub const MAX_DISTINCT: usize = 64;

/// What both records have in common: something is said, nothing twice, and not too much stands there afterwards.
fn said<T: PartialEq + std::fmt::Display>(primary: &T, also: &[T], distinct: &[T], before: (&[T], &[T])) -> Result<()> {
    if also.is_empty() && distinct.is_empty() {
        return refuse("rule.link.nothing", format!("{primary}: no id is named"), "name ids in also or distinct");
    }
    let all = || also.iter().chain(distinct);
    if let Some(id) = all().find(|id| *id == primary || all().filter(|other| other == id).count() > 1) {
        return refuse(
            "rule.link.twice",
            format!("{id} is named twice, or is the primary id itself"),
            "name each other id once, in also or in distinct",
        );
    }
    let new = |ids: &[T], there: &[T], gone: &[T]| {
        let stay = there.iter().filter(|t| !gone.contains(t) && !ids.contains(t)).count();
        stay + ids.len()
    };
    if new(also, before.0, distinct) > MAX_IDS || new(distinct, before.1, also) > MAX_DISTINCT {
        return refuse(
            "rule.link.many",
            format!("{primary} would have more than {MAX_IDS} further ids, or {MAX_DISTINCT} that are not its own"),
            "leave out ids that nobody uses",
        );
    }
    Ok(())
}

pub(super) fn building(view: &impl View, b: &BuildingLinked, signers: &Signers<'_>) -> Result<()> {
    let facts = known_building(view, &b.building)?;
    by_any_authority(signers, &facts.oktmo)?;
    let also = b.also.as_ref().map_or(&[][..], |l| &l.0);
    let distinct = b.distinct.as_ref().map_or(&[][..], |l| &l.0);
    said(&b.building, also, distinct, (&facts.also, facts.distinct()))?;
    match also.iter().find_map(|id| Some((id, view.primary(id).filter(|p| *p != b.building)?))) {
        None => Ok(()),
        Some((id, other)) => refuse(
            "rule.building.id",
            format!("{id} is an id of {other} already"),
            "say first that it is not that building's: building.linked with distinct",
        ),
    }
}

pub(super) fn organisation(view: &impl View, b: &OrganisationLinked, signers: &Signers<'_>) -> Result<()> {
    if signers.keys.is_empty() {
        return refuse("rule.signer.any", "not signed by a key of an authority", "sign with an authority's key");
    }
    primary(view, &b.organisation)?;
    let also = b.also.as_ref().map_or(&[][..], |l| &l.0);
    let distinct = b.distinct.as_ref().map_or(&[][..], |l| &l.0);
    let before = match view.facts(&Subject::Organisation(b.organisation.clone())) {
        Some(Facts::Organisation(o)) => (o.also(), o.distinct()),
        _ => (&[][..], &[][..]),
    };
    said(&b.organisation, also, distinct, before)?;
    for id in also {
        let of = view.organisation(id);
        let chained = matches!(view.facts(&Subject::Organisation(id.clone())), Some(Facts::Organisation(o)) if !o.also().is_empty());
        if of != *id && of != b.organisation || chained {
            return refuse(
                "rule.organisation.id",
                format!("{id} is an id of {of} already, or has further ids of its own"),
                "link the ids to one of the two, after taking them from the other with distinct",
            );
        }
    }
    Ok(())
}

/// A record names an organisation by its primary id, so that one organisation never holds a house twice.
pub(super) fn primary(view: &impl View, id: &OrgId) -> Result<()> {
    let primary = view.organisation(id);
    if primary == *id {
        return Ok(());
    }
    refuse(
        "rule.organisation.alias",
        format!("{id} is another id of {primary}"),
        "name the organisation by its primary id",
    )
}
