//! A charter in words: what it says, and what a version changes against the one before it. What key holders read before they
//! sign must leave nothing out: whatever differs and is not told by itself is named as different.

use super::output::moment;
use crate::error::Result;
use crate::federation::charter::{CharterBody, Region};
use crate::federation::keys::{Placed, placed};
use crate::federation::roles::{KeyRole, Quorums, RetireReason, Standing, StandingStatus};
use crate::registry::ids::RegionCode;

/// A sentence in Russian and in English.
pub type Said = (String, String);

fn said(ru: impl Into<String>, en: impl Into<String>) -> Said {
    (ru.into(), en.into())
}

/// What a key is for.
pub fn role(role: KeyRole) -> (&'static str, &'static str) {
    match role {
        KeyRole::FederationRoot => ("корневой ключ федерации", "root key of the federation"),
        KeyRole::RegionRoot => ("корневой ключ региона", "root key of the region"),
        KeyRole::Log => ("ключ журнала", "log key"),
        KeyRole::Commit => ("ключ итогов", "commit key"),
        KeyRole::Witness => ("ключ свидетеля", "witness key"),
        KeyRole::Mirror => ("ключ зеркала", "mirror key"),
        KeyRole::Verifier => ("ключ проверяющего", "verifier key"),
    }
}

/// Why a key left.
pub fn reason(reason: RetireReason) -> (&'static str, &'static str) {
    match reason {
        RetireReason::Replaced => ("заменён", "replaced"),
        RetireReason::Lost => ("утрачен", "lost"),
        RetireReason::Compromised => ("скомпрометирован", "compromised"),
    }
}

fn of_region(region: Option<RegionCode>) -> Said {
    match region {
        Some(code) => said(format!("регион {code}"), format!("region {code}")),
        None => said("федерация", "the federation"),
    }
}

/// The key as `domovoi key show` prints it, with its place.
pub fn key(p: &Placed) -> Said {
    let (ru, en) = role(p.role);
    let of = of_region(p.region);
    let key = data_encoding::BASE64URL_NOPAD.encode(&p.public);
    let name = p.name.as_ref().map_or(String::new(), |n| format!(" «{n}»"));
    said(format!("{} ({}){name} {key}", ru, of.0), format!("{} ({}){name} {key}", en, of.1))
}

fn standing(s: &Standing) -> Said {
    let (ru, en) = match s.status {
        StandingStatus::Suspended => ("участие приостановлено", "suspended"),
        StandingStatus::Withdrawn => ("вышел", "has left"),
    };
    said(
        format!("{ru} с {}: {}", moment(s.since.get()), s.reason),
        format!("{en} since {}: {}", moment(s.since.get()), s.reason),
    )
}

/// The quorums.
pub fn quorums(q: Option<Quorums>) -> Said {
    match q {
        None => said("совместных подписей не требуется", "no cosignatures are asked for"),
        Some(q) => said(
            format!("совместных подписей: свидетелей {}, зеркал {}, проверяющих {}", q.witness, q.mirror, q.verifier),
            format!("cosignatures: {} witnesses, {} mirrors, {} verifiers", q.witness, q.mirror, q.verifier),
        ),
    }
}

fn prefixes(r: &Region) -> String {
    r.oktmo.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn region(r: &Region) -> Said {
    let (p, o, u) = (prefixes(r), &r.origin, &r.url);
    let mut all = said(
        format!(
            "регион {} «{}»: ОКТМО {p}; орган {}; журнал {o}; узел {u}; подписывают {} из {}",
            r.code,
            r.name,
            r.authority,
            r.root_threshold,
            r.root_keys.0.len()
        ),
        format!(
            "region {} «{}»: ОКТМО {p}; authority {}; log {o}; node {u}; {} of {} sign",
            r.code,
            r.name,
            r.authority,
            r.root_threshold,
            r.root_keys.0.len()
        ),
    );
    if let Some(s) = &r.standing {
        let (ru, en) = standing(s);
        all.0 += &format!("; {ru}");
        all.1 += &format!("; {en}");
    }
    all
}

/// All that a charter says.
///
/// # Errors
/// Those of its key lines.
pub fn whole(b: &CharterBody) -> Result<Vec<Said>> {
    let (from, to) = (moment(b.issued.get()), moment(b.expires.get()));
    let mut out = vec![
        said(
            format!("Устав «{}», версия {}", b.name, b.version),
            format!("Charter «{}», version {}", b.name, b.version),
        ),
        said(format!("действует с {from} до {to}"), format!("from {from} to {to}")),
        said(
            format!("подписывают {} из {} держателей корневых ключей", b.threshold, b.root_keys.0.len()),
            format!("{} of {} holders of root keys sign", b.threshold, b.root_keys.0.len()),
        ),
        said(
            format!("сведения устаревают через {} ч", b.staleness_hours),
            format!("data are stale after {} h", b.staleness_hours),
        ),
        said(
            format!("версии записей: {:?}", b.record_versions.0),
            format!("record versions: {:?}", b.record_versions.0),
        ),
        quorums(b.quorums),
    ];
    out.extend(b.regions.0.iter().map(region));
    if let Some(f) = &b.federation {
        out.push(said(
            format!("журнал федерации {}; узел {}", f.origin, f.url),
            format!("log of the federation {}; node {}", f.origin, f.url),
        ));
    }
    out.extend(b.witnesses.iter().flat_map(|w| &w.0).map(|w| {
        said(
            format!("свидетель «{}»: {} ({})", w.name, w.vkey, w.url),
            format!("witness «{}»: {} ({})", w.name, w.vkey, w.url),
        )
    }));
    out.extend(placed(b)?.iter().map(key));
    out.extend(lists(None, b));
    Ok(out)
}

/// Exceptions, announced and retired keys, cuts: those of `after` that `before` does not list.
fn lists(before: Option<&CharterBody>, after: &CharterBody) -> Vec<Said> {
    let mut out = Vec::new();
    let announced = |b: &CharterBody| b.announced.clone().unwrap_or_default().0;
    let (was, is) = (before.map(announced).unwrap_or_default(), announced(after));
    let line = |a: &crate::federation::roles::AnnouncedKey| {
        let ((ru, en), of, from) = (role(a.role), of_region(a.region), moment(a.from.get()));
        let key = data_encoding::BASE64URL_NOPAD.encode(&a.key.0.to_bytes());
        said(format!("{ru} ({}) {key}, не раньше {from}", of.0), format!("{en} ({}) {key}, not before {from}", of.1))
    };
    for (list, other, ru, en) in
        [(&is, &was, "объявлен", "announced"), (&was, &is, "больше не объявлен", "announced no longer")]
    {
        out.extend(
            list.iter()
                .filter(|a| !other.contains(a))
                .map(line)
                .map(|s| said(format!("{ru}: {}", s.0), format!("{en}: {}", s.1))),
        );
    }
    let known: Vec<_> = before.iter().flat_map(|b| &b.retired).flat_map(|r| &r.0).collect();
    for r in after.retired.iter().flat_map(|r| &r.0).filter(|r| !known.contains(r)) {
        let ((ru, en), of, why) = (role(r.role), of_region(r.region), reason(r.reason));
        let key = data_encoding::BASE64URL_NOPAD.encode(&r.key.0.to_bytes());
        out.push(said(
            format!("отозван: {ru} ({}) {key}, {}, с версии {}", of.0, why.0, r.version),
            format!("retired: {en} ({}) {key}, {}, from version {}", of.1, why.1, r.version),
        ));
    }
    for c in after.cuts.iter().flat_map(|c| &c.0) {
        out.push(said(
            format!("ЖУРНАЛ {} ОБРЕЗАН на {} записях (корень {}): {}; всё, что прежние ключи подписали дальше, недействительно", c.origin, c.size, c.root, c.reason),
            format!("LOG {} IS CUT at {} entries (root {}): {}; whatever earlier keys signed beyond is void", c.origin, c.size, c.root, c.reason),
        ));
    }
    for e in after.exceptions.iter().flat_map(|e| &e.0) {
        out.push(said(
            format!("запись {} журнала {} ({}) не действует", e.index, e.origin, e.leaf),
            format!("entry {} of the log {} ({}) is a no-op", e.index, e.origin, e.leaf),
        ));
    }
    out
}

/// What `after` changes against `before`.
///
/// # Errors
/// Those of the key lines.
pub fn changes(before: &CharterBody, after: &CharterBody) -> Result<Vec<Said>> {
    let mut out = Vec::new();
    let mut differs = |ru: &str, en: &str, was: String, is: String| {
        if was != is {
            out.push(said(format!("{ru}: {was} → {is}"), format!("{en}: {was} → {is}")));
        }
    };
    differs("название", "name", before.name.to_string(), after.name.to_string());
    differs("действует до", "expires", moment(before.expires.get()), moment(after.expires.get()));
    differs("подписей нужно", "signatures needed", before.threshold.to_string(), after.threshold.to_string());
    differs("устаревание, ч", "stale after, h", before.staleness_hours.to_string(), after.staleness_hours.to_string());
    differs(
        "версии записей",
        "record versions",
        format!("{:?}", before.record_versions.0),
        format!("{:?}", after.record_versions.0),
    );
    for r in &after.regions.0 {
        let Some(was) = before.regions.0.iter().find(|b| b.code == r.code) else { continue };
        let c = r.code;
        let label = |ru: &str, en: &str| (format!("регион {c}, {ru}"), format!("region {c}, {en}"));
        for ((ru, en), was, is) in [
            (label("название", "name"), was.name.to_string(), r.name.to_string()),
            (label("ОКТМО", "ОКТМО"), prefixes(was), prefixes(r)),
            (label("орган", "authority"), was.authority.to_string(), r.authority.to_string()),
            (label("журнал", "log"), was.origin.to_string(), r.origin.to_string()),
            (label("узел", "node"), was.url.to_string(), r.url.to_string()),
            (
                label("подписей нужно", "signatures needed"),
                was.root_threshold.to_string(),
                r.root_threshold.to_string(),
            ),
        ] {
            differs(&ru, &en, was, is);
        }
    }
    let log = |b: &CharterBody| b.federation.as_ref().map_or("—".into(), |f| format!("{} ({})", f.origin, f.url));
    differs("журнал федерации", "log of the federation", log(before), log(after));
    let all = |b: &CharterBody, code: RegionCode| b.regions.0.iter().find(|r| r.code == code).cloned();
    for r in after.regions.0.iter().filter(|r| all(before, r.code).is_none()) {
        let (ru, en) = region(r);
        out.push(said(format!("ПРИНЯТ {ru}"), format!("ADMITTED: {en}")));
    }
    for r in before.regions.0.iter().filter(|r| all(after, r.code).is_none()) {
        let (ru, en) = region(r);
        out.push(said(format!("ИСКЛЮЧЁН {ru}"), format!("REMOVED: {en}")));
    }
    for r in &after.regions.0 {
        let was = all(before, r.code).and_then(|b| b.standing);
        match (&was, &r.standing) {
            (was, is) if was == is => {}
            (_, Some(s)) => {
                let (ru, en) = standing(s);
                out.push(said(format!("РЕГИОН {}: {ru}", r.code), format!("REGION {}: {en}", r.code)));
            }
            (_, None) if all(before, r.code).is_some() => {
                out.push(said(
                    format!("РЕГИОН {}: снова участвует", r.code),
                    format!("REGION {}: takes part again", r.code),
                ));
            }
            _ => {}
        }
    }
    if before.quorums != after.quorums {
        out.push(quorums(after.quorums));
    }
    let witnesses = |b: &CharterBody| b.witnesses.clone().unwrap_or_default().0;
    let (was, is) = (witnesses(before), witnesses(after));
    for (list, other, ru, en) in [
        (&is, &was, "свидетель назван", "witness named"),
        (&was, &is, "свидетель больше не назван", "witness named no longer"),
    ] {
        out.extend(list.iter().filter(|w| !other.contains(w)).map(|w| {
            said(
                format!("{ru}: «{}» {} ({})", w.name, w.vkey, w.url),
                format!("{en}: «{}» {} ({})", w.name, w.vkey, w.url),
            )
        }));
    }
    let (was, is) = (placed(before)?, placed(after)?);
    for (list, other, ru, en) in [(&is, &was, "новый ключ", "new key"), (&was, &is, "ключ уходит", "key leaves")]
    {
        out.extend(
            list.iter()
                .filter(|p| !other.contains(p))
                .map(key)
                .map(|s| said(format!("{ru}: {}", s.0), format!("{en}: {}", s.1))),
        );
    }
    out.extend(lists(Some(before), after));
    Ok(out)
}
