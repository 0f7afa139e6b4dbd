//! The whole history of Moscow, 2014 → 2016 → 2017, from the real snapshots: the changes of management that the register
//! ends up with are those derived from the files, and every difference has a reason. `docs/moscow-history.md` tells the
//! numbers; this test reads them there and counts them anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use domovoi::registry::body::Body;
use domovoi::registry::facts::Facts;
use domovoi::registry::ids::{BuildingId, OrgId, RecordId};
use domovoi::registry::text::Day;

use crate::data;
use crate::register::Register;

const SNAPSHOTS: [(&str, &str); 3] = [
    ("77_moscow_20140323.csv.gz", "2014-03-23"),
    ("77_moscow_20160308.csv.gz", "2016-03-08"),
    ("77_moscow_20170614.csv.gz", "2017-06-14"),
];

/// A change of management: day of the later snapshot, house, from whom, to whom.
type Change = (String, String, String, String);

/// What the register holds: every management that ended because another began, as the log says it.
fn changes(register: &Register) -> BTreeSet<Change> {
    let mut assigned: HashMap<RecordId, (BuildingId, OrgId)> = HashMap::new();
    let mut ended: HashMap<(BuildingId, Day), OrgId> = HashMap::new();
    let mut changes = BTreeSet::new();
    for record in &register.log {
        let observed = record.basis.as_ref().and_then(|b| b.date);
        match &record.body {
            Body::ManagementEnded(b) => {
                let (house, org) = &assigned[&b.management];
                assert_eq!(house, &b.building);
                ended.insert((house.clone(), observed.unwrap()), org.clone());
            }
            Body::ManagementAssigned(b) => {
                let org = b.organisation.clone().expect("these files name no direct management");
                if let Some(old) = ended.remove(&(b.building.clone(), observed.unwrap())) {
                    let values = (b.building.value(), old.value(), org.value());
                    changes.insert((observed.unwrap().to_string(), values.0.into(), values.1.into(), values.2.into()));
                }
                assigned.insert(record.id, (b.building.clone(), org));
            }
            _ => {}
        }
    }
    assert!(ended.is_empty(), "a management ended and none began: {:?}", ended.iter().next());
    // The same from the state: the facts of each house tell the same story as its records.
    let mut told = BTreeSet::new();
    for (_, entry) in register.state.subjects() {
        let Facts::Building(b) = &entry.facts else { continue };
        for pair in b.managements.windows(2) {
            assert!(pair[0].ended.is_some() && pair[0].to.is_some(), "{}", b.building);
            let org = |i: usize| pair[i].organisation.as_ref().unwrap().value().to_owned();
            told.insert((pair[1].observed.unwrap().to_string(), b.building.value().to_owned(), org(0), org(1)));
        }
    }
    assert_eq!(told, changes);
    changes
}

/// An independent reading: house → (organisation or nothing, type of house), as the files spell them.
fn plain(name: &str) -> Option<HashMap<String, (String, String)>> {
    let of = |r: &HashMap<String, String>| {
        let link = r["MGMT_COMPANY_LINK"].trim_end_matches('/').to_owned();
        (link.rsplit('/').next().unwrap_or_default().to_owned(), r["HOUSE_TYPE"].clone())
    };
    Some(data::rows(name)?.iter().map(|r| (r["HOUSE_ID"].clone(), of(r))).collect())
}

/// The numbers that the page tells, by the name in the first column of its tables.
fn page() -> BTreeMap<String, usize> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/moscow-history.md");
    let text = std::fs::read_to_string(path).expect("docs/moscow-history.md");
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let number = cells.get(2)?.replace(' ', "").parse().ok()?;
        Some((cells.get(1)?.trim_matches('`').to_owned(), number))
    };
    text.lines().filter_map(row).collect()
}

#[test]
fn the_changes_of_management_are_those_of_the_files() {
    let files: Option<Vec<Vec<u8>>> = SNAPSHOTS.iter().map(|(name, _)| data::file(name)).collect();
    let (Some(files), Some(derived)) = (files, data::rows("moscow_mgmt_changes_derived.csv.gz")) else { return };
    let plain: Vec<_> = SNAPSHOTS.iter().map(|(name, _)| plain(name).unwrap()).collect();
    let clock = Instant::now();
    let mut register = Register::new(77);
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut refused: Vec<BTreeMap<String, &'static str>> = Vec::new();
    for ((file, (_, day)), houses) in files.iter().zip(&SNAPSHOTS).zip(&plain) {
        let (work, count) = register.import(file, day);
        assert!(
            work.questions.iter().all(|q| q.why.code == "import.link.organisation"),
            "{:?}",
            work.questions.first()
        );
        let year = &day[..4];
        for (kind, n) in count {
            numbers.insert(format!("{year} {kind}"), n);
        }
        numbers.insert(format!("{year} rows"), work.report.rows.len());
        let at = work.report.columns.iter().position(|c| c == "HOUSE_ID").unwrap();
        let lost = work.report.rows.iter().filter(|r| r.outcome == domovoi::import::report::Outcome::Refused);
        let lost: BTreeMap<String, &'static str> =
            lost.map(|r| (r.cells[at].clone(), r.problems.last().unwrap().code.code)).collect();
        for code in lost.values() {
            *numbers.entry(format!("{year} refused {code}")).or_default() += 1;
        }
        assert!(lost.keys().all(|id| houses.contains_key(id)));
        refused.push(lost);
        eprintln!("{day}: {} records so far, {:?}", register.log.len(), clock.elapsed());
    }

    // By ids: what the files say, and what the register says.
    let mut by_kind: BTreeMap<&str, usize> = BTreeMap::new();
    let mut expected: BTreeSet<Change> = BTreeSet::new();
    for r in &derived {
        *by_kind.entry(&r["kind"]).or_default() += 1;
        let (old, new) = (r["old_profile_id"].clone(), r["new_profile_id"].clone());
        if !old.is_empty() && !new.is_empty() && old != new {
            expected.insert((r["snapshot_to"].clone(), r["HOUSE_ID"].clone(), old, new));
        }
    }
    for (kind, n) in by_kind {
        numbers.insert(format!("derived {kind}"), n);
    }
    let got = changes(&register);
    numbers.insert("derived changes of id".into(), expected.len());
    numbers.insert("register changes of id".into(), got.len());
    numbers.insert("in both".into(), expected.intersection(&got).count());

    // Only in the files: one of the two rows is no apartment building by its own word, or was refused for another reason.
    for (day, house, old, new) in expected.difference(&got) {
        let later = SNAPSHOTS.iter().position(|(_, d)| d == day).unwrap();
        let why = refused[later].get(house).or(refused[later - 1].get(house));
        let class = match why {
            Some(code) => format!("only files: {code}"),
            None => panic!("{day} {house} {old} → {new}: in the files only, and no row of it was refused"),
        };
        *numbers.entry(class).or_default() += 1;
    }
    // Only in the register: the files lose sight of the house, or of its company, at one date and find it again later.
    for (day, house, old, new) in got.difference(&expected) {
        let later = SNAPSHOTS.iter().position(|(_, d)| d == day).unwrap();
        let org = |i: usize| plain[i].get(house).map(|(org, _)| org.as_str());
        assert_eq!((later, org(2), org(0)), (2, Some(new.as_str()), Some(old.as_str())), "{house}");
        let class = match org(1) {
            None => "only register: house missing in 2016",
            Some("") => "only register: company missing in 2016",
            Some(_) if refused[1].contains_key(house) => "only register: row of 2016 refused",
            Some(other) => panic!("{house}: {old} → {new}, and {other} between"),
        };
        *numbers.entry(class.to_owned()).or_default() += 1;
    }

    // A company that was renamed, lost or found is not a change of company.
    let changed: BTreeSet<(&str, &str)> = got.iter().map(|(day, house, ..)| (day.as_str(), house.as_str())).collect();
    for r in &derived {
        if ["same_org_renamed", "lost", "house_removed"].contains(&r["kind"].as_str()) {
            assert!(!changed.contains(&(r["snapshot_to"].as_str(), r["HOUSE_ID"].as_str())), "{r:?}");
        }
    }

    // Questions that this history leaves: companies of one name under two numbers.
    let open = domovoi::import::worklist::of_register(&register.state);
    let of = |code: &str| open.iter().filter(|q| q.why.code == code).count();
    numbers.insert("questions import.link.organisation".into(), of("import.link.organisation"));
    numbers.insert("questions import.link.twin".into(), of("import.link.twin"));

    // Again, the newest and then the oldest: nothing is to be recorded.
    for i in [2, 0] {
        let again = register.plan(&files[i], SNAPSHOTS[i].1);
        let kinds: BTreeSet<_> = again.planned.iter().map(|p| p.type_name).collect();
        assert!(again.planned.is_empty(), "{}: {} records, {kinds:?}", SNAPSHOTS[i].1, again.planned.len());
    }
    eprintln!("{:?} in all, {numbers:#?}", clock.elapsed());
    assert_eq!(numbers, page(), "docs/moscow-history.md");
}

/// A source that is older than what the register knows adds houses, and changes nobody's company, name or address.
#[test]
fn an_older_snapshot_changes_nothing_that_is_known() {
    let (Some(old), Some(new)) = (data::file(SNAPSHOTS[0].0), data::file(SNAPSHOTS[2].0)) else { return };
    let mut register = Register::new(77);
    register.import(&new, SNAPSHOTS[2].1);
    let known = register.state.len();
    let (work, count) = register.import(&old, SNAPSHOTS[0].1);
    eprintln!("{count:?}, {:?}", work.report.summary());
    assert!(changes(&register).is_empty());
    assert!(!count.contains_key("management.ended"));
    assert!(register.state.len() > known);
    assert!(work.report.summary().problems["import.older"] > 8_000);
}
