//! Linking: a house known under one scheme of ids gets those of another source; nothing is guessed, nothing is lost.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::process::Command;

use domovoi::import::plan::RowPlan;
use domovoi::import::report::{Outcome, csv_table, xlsx_table};
use domovoi::import::rows::OrganisationRow;
use domovoi::import::worklist::{self, Question};
use domovoi::registry::body::*;
use domovoi::registry::facts::{BuildingFacts, Facts};
use domovoi::registry::ids::{BuildingId, LinkDigest, OrgId};
use domovoi::registry::state::View;
use domovoi::registry::text::Text;
use proptest::prelude::*;

use crate::data;
use crate::node::sample;
use crate::register::Register;

const GAR: [&str; 4] = [
    "0c5b2444-70a0-4932-980c-b4dc0d3f02b0",
    "0c5b2444-70a0-4932-980c-b4dc0d3f02b1",
    "0c5b2444-70a0-4932-980c-b4dc0d3f02b2",
    "0c5b2444-70a0-4932-980c-b4dc0d3f02b3",
];

/// A register of Karelia with these houses of the portal: number, address, company.
fn portal(houses: &[(u32, &str, u32)]) -> Register {
    let mut register = Register::new(10);
    let rows = houses.iter().map(|(id, address, org)| {
        format!("{id};{address};01.01.2010;Многоквартирный дом;ООО \"Дом {org}\";/profile/{org}/\n")
    });
    let head = "HOUSE_ID;ADDRESS;SERVICEDATE_START;HOUSE_TYPE;MGMT_COMPANY;MGMT_COMPANY_LINK\n";
    register.import(format!("{head}{}", rows.collect::<String>()).as_bytes(), "2016-09-20");
    register
}

/// The worklist as a table, with the decision for each question by its number.
fn filled(questions: &[Question], decisions: &[&str]) -> Vec<u8> {
    let mut rows: Vec<Vec<String>> = worklist::table(questions).collect();
    for (row, decision) in rows[1..].iter_mut().zip(decisions) {
        *row.last_mut().unwrap() = (*decision).to_owned();
    }
    csv_table(rows.into_iter()).unwrap()
}

fn codes(questions: &[Question]) -> Vec<&'static str> {
    questions.iter().map(|q| q.why.code).collect()
}

fn kinds(count: &HashMap<&'static str, usize>) -> BTreeMap<&'static str, usize> {
    count.iter().map(|(k, n)| (*k, *n)).collect()
}

const SEGEZHA: &str = "Респ. Карелия, р-н. Сегежский, г. Сегежа, ул. Мира, д. 5";

#[test]
fn a_second_source_adds_ids_and_touches_nothing_else() {
    let mut register =
        portal(&[(1, SEGEZHA, 7), (2, "Респ. Карелия, р-н. Сегежский, г. Сегежа, ул. Мира, д. 7, к. 1", 7)]);
    let chat = ChatRegistered {
        kind: ChatKind::House,
        entrance: None,
        title: Text::new("Дом 5").unwrap(),
        buildings: List(vec!["reformagkh:1".parse().unwrap()]),
        owner: "ogrn:1027700132195".parse().unwrap(),
        declared: None,
        link: Some(LinkDigest([1; 32])),
        max: None,
        service_account: None,
    };
    register.say(Body::ChatRegistered(chat), Some("2020-01-01".parse().unwrap()));
    let before = register.state.building(&"reformagkh:1".parse().unwrap()).unwrap().clone();
    let chats = register.state.chats_by_building(&before.building);
    let second = format!(
        "GUID,Адрес,Кадастровый номер\n{},\"Республика Карелия, Сегежа г, Мира улица, дом 5\",10:06:0000000:55\n{},\"г Сегежа, ул. Мира, 7к1\",\n",
        GAR[0], GAR[1]
    );
    let (work, count) = register.import(second.as_bytes(), "2026-01-01");
    assert_eq!((kinds(&count), work.questions.len()), (BTreeMap::from([("building.linked", 2)]), 0));
    for id in [format!("gar:{}", GAR[0]), "kad:10:06:0000000:55".into()] {
        assert_eq!(register.primary(&id).unwrap().as_str(), "reformagkh:1");
    }
    assert_eq!(register.primary(&format!("gar:{}", GAR[1])).unwrap().as_str(), "reformagkh:2");
    let after = register.state.building(&before.building).unwrap();
    assert_eq!(
        (&after.managements, &after.address, after.registered),
        (&before.managements, &before.address, before.registered)
    );
    assert_eq!(register.state.chats_by_building(&before.building), chats);
    // Again, and the first source again: nothing.
    assert!(register.plan(second.as_bytes(), "2026-01-01").planned.is_empty());
}

#[test]
fn what_is_not_certain_is_asked_and_not_guessed() {
    let house = |rest: &str| format!("Респ. Карелия, р-н. Сегежский, {rest}");
    let cases: &[(&[&str], &[&str], &str)] = &[
        // Two houses of the register fit.
        (
            &["г. Сегежа, ул. Мира, д. 5А", "г. Сегежа, ул. Мира, д. 5, лит. А"],
            &["г. Сегежа, ул. Мира, д. 5а"],
            "import.link.several",
        ),
        // Two rows of the source fit.
        (
            &["г. Сегежа, ул. Мира, д. 5"],
            &["г. Сегежа, ул. Мира, д. 5", "г. Сегежа, Мира ул, 5"],
            "import.link.several",
        ),
        // A letter more: perhaps the same, perhaps not.
        (&["г. Сегежа, ул. Мира, д. 5"], &["г. Сегежа, ул. Мира, д. 5А"], "import.link.near"),
        (&["г. Сегежа, ул. Ленина, д. 5"], &["г. Сегежа, ул. Ленена, д. 5"], "import.link.near"),
        // The type of street is told on one side.
        (&["г. Сегежа, ул. Мира, д. 5"], &["г. Сегежа, Мира, д. 5"], "import.link.unsure"),
        (&["г. Сегежа, ул. Садовая, д. 5"], &["г. Сегежа, ул. Садовая Б., д. 5"], "import.link.unsure"),
    ];
    for (known, rows, code) in cases {
        let known: Vec<String> = known.iter().map(|a| house(a)).collect();
        let known: Vec<(u32, &str, u32)> = known.iter().zip(1..).map(|(a, i)| (i, a.as_str(), 7)).collect();
        let mut register = portal(&known);
        let rows: String = rows.iter().zip(GAR).map(|(a, g)| format!("{g},\"{}\"\n", house(a))).collect();
        let (work, count) = register.import(format!("GUID,Адрес\n{rows}").as_bytes(), "2026-01-01");
        assert!(count.is_empty(), "{known:?} {count:?}");
        assert!(
            codes(&work.questions).iter().all(|c| c == code) && !work.questions.is_empty(),
            "{code} {:?}",
            work.questions
        );
        assert!(work.report.rows.iter().all(|r| r.outcome == Outcome::Refused && r.problems[0].code.code == *code));
        assert!(!work.questions[0].choices.is_empty());
    }
    // Without a settlement, without a district for a village, of another kind: told in part.
    for (known, row) in [
        ("г. Сегежа, ул. Мира, д. 5", "Респ. Карелия, ул. Мира, д. 5"),
        ("д. Заборовье, д. 10", "Респ. Карелия, д. Заборовье, д. 10"),
    ] {
        let mut register = portal(&[(1, &house(known), 7)]);
        let (work, count) = register.import(format!("GUID,Адрес\n{},\"{row}\"\n", GAR[0]).as_bytes(), "2026-01-01");
        assert_eq!((codes(&work.questions), count.len()), (vec!["import.link.unsure"], 0), "{row}");
    }
    let mut register = portal(&[(1, SEGEZHA, 7)]);
    let other = format!("GUID,Адрес,Тип дома\n{},\"{SEGEZHA}\",Общежитие\n", GAR[0]);
    assert_eq!(codes(&register.import(other.as_bytes(), "2026-01-01").0.questions), ["import.link.unsure"]);
    // Another municipality by ОКТМО, where the register has one.
    let known = format!("GUID,Адрес,ОКТМО\n{},\"{SEGEZHA}\",86645101\n", GAR[0]);
    let mut register = Register::new(10);
    register.import(known.as_bytes(), "2026-01-01");
    let gis = format!("Код дома ГИС ЖКХ,Адрес,ОКТМО\n{}-00001,\"{SEGEZHA}\",86604101\n", "7".repeat(25));
    assert_eq!(codes(&register.import(gis.as_bytes(), "2026-01-01").0.questions), ["import.link.unsure"]);
    let same = gis.replace("86604101", "86645101");
    assert_eq!(kinds(&register.import(same.as_bytes(), "2026-01-01").1), BTreeMap::from([("building.linked", 1)]));
}

/// A decision is made once: the question does not come again, and what was decided holds.
#[test]
fn decisions_are_remembered_in_the_log() {
    let row = |gar: &str, address: &str| format!("GUID,Адрес\n{gar},\"{address}\"\n");
    let near = format!("{SEGEZHA}А");
    for (decision, primary, records) in [
        ("reformagkh:1", Some("reformagkh:1"), vec![("building.linked", 1)]),
        ("reformagkh:1 — г. Сегежа, ул. Мира, д. 5", Some("reformagkh:1"), vec![("building.linked", 1)]),
        ("Другой", None, vec![("building.linked", 1)]),
        ("новый", Some("gar"), vec![("building.linked", 1), ("building.registered", 1)]),
        ("", None, vec![]),
    ] {
        let mut register = portal(&[(1, SEGEZHA, 7)]);
        let source = row(GAR[0], &near);
        let (work, _) = register.import(source.as_bytes(), "2026-01-01");
        assert_eq!(codes(&work.questions), ["import.link.near"]);
        let (decided, count) = register.decide(&filled(&work.questions, &[decision]), "2026-01-02");
        assert_eq!(kinds(&count), records.iter().copied().collect(), "{decision}");
        assert_ne!(decided.report.rows[0].outcome, Outcome::Refused);
        let found = register.primary(&format!("gar:{}", GAR[0]));
        match primary {
            Some("gar") => assert_eq!(found.unwrap().scheme(), "gar"),
            Some(id) => assert_eq!(found.unwrap().as_str(), id),
            None => assert_eq!(found, None),
        }
        // The same decision again says nothing new.
        let (_, again) = register.decide(&filled(&work.questions, &[decision]), "2026-01-02");
        assert!(again.is_empty(), "{decision}: {again:?}");
        let (work, count) = register.import(source.as_bytes(), "2026-01-03");
        assert_eq!(work.questions.is_empty(), !decision.is_empty(), "{decision}");
        // «Другой»: the row is a house of its own at the next import.
        assert_eq!(
            kinds(&count),
            if decision == "Другой" { BTreeMap::from([("building.registered", 1)]) } else { BTreeMap::new() }
        );
    }
    let mut register = portal(&[(1, SEGEZHA, 7)]);
    let (work, _) = register.import(row(GAR[0], &near).as_bytes(), "2026-01-01");
    for wrong in ["да", "reformagkh:99", "ogrn:1027700132195", "gar:1"] {
        let (decided, count) = register.decide(&filled(&work.questions, &[wrong]), "2026-01-02");
        assert!(count.is_empty(), "{wrong}");
        assert_eq!(decided.report.rows[0].problems[0].code.code, "import.link.decision", "{wrong}");
    }
    // Through a workbook too.
    let table = xlsx_table(worklist::table(&work.questions)).unwrap();
    assert!(register.decide(&table, "2026-01-02").0.report.rows.iter().all(|r| r.outcome == Outcome::Unchanged));
}

#[test]
fn contradictions_of_ids_go_to_the_worklist() {
    // One id in two rows of the source: the houses are known, the id is nobody's until it is decided.
    let mut register = portal(&[(1, SEGEZHA, 7), (2, "Респ. Карелия, г. Сегежа, ул. Лесная, д. 9", 7)]);
    let source = format!(
        "HOUSE_ID,GUID,Адрес\n1,{0},\"{SEGEZHA}\"\n2,{0},\"Респ. Карелия, г. Сегежа, ул. Лесная, д. 9\"\n",
        GAR[0]
    );
    let (work, count) = register.import(source.as_bytes(), "2026-01-01");
    assert_eq!((codes(&work.questions), count.len()), (vec!["import.link.shared"], 0));
    assert_eq!(work.questions[0].choices.len(), 2);
    register.decide(&filled(&work.questions, &["reformagkh:2"]), "2026-01-01");
    assert_eq!(register.primary(&format!("gar:{}", GAR[0])).unwrap().as_str(), "reformagkh:2");
    let (work, count) = register.import(source.as_bytes(), "2026-01-01");
    assert_eq!((work.questions.len(), count.len()), (0, 0), "{:?}", work.questions);

    // One house with two numbers of one scheme, from two sources.
    let other = format!("HOUSE_ID,GUID,Адрес\n2,{},\"Респ. Карелия, г. Сегежа, ул. Лесная, д. 9\"\n", GAR[1]);
    let (work, count) = register.import(other.as_bytes(), "2026-01-01");
    assert_eq!((codes(&work.questions), count.len()), (vec!["import.link.other"], 0));
    register.decide(&filled(&work.questions, &["другой"]), "2026-01-01");
    assert!(register.import(other.as_bytes(), "2026-01-01").0.questions.is_empty());
    // The clerk thinks better of it.
    register.decide(&filled(&work.questions, &["reformagkh:2"]), "2026-01-01");
    assert_eq!(register.primary(&format!("gar:{}", GAR[1])).unwrap().as_str(), "reformagkh:2");

    // The ids of a row belong to two houses: its own key decides which it is, the rest is asked.
    let both = format!("HOUSE_ID,GUID,Адрес\n1,{},\"{SEGEZHA}\"\n", GAR[1]);
    let (work, count) = register.import(both.as_bytes(), "2026-01-01");
    assert_eq!((codes(&work.questions), count.len()), (vec!["import.link.ids"], 0));
    register.decide(&filled(&work.questions, &["reformagkh:1"]), "2026-01-01");
    assert_eq!(register.primary(&format!("gar:{}", GAR[1])).unwrap().as_str(), "reformagkh:1");
    assert!(register.import(both.as_bytes(), "2026-01-01").0.questions.is_empty());
}

#[test]
fn twins_are_merged_or_told_apart() {
    for decision in ["reformagkh:1", "другой"] {
        let mut register =
            portal(&[(1, SEGEZHA, 7), (2, "Респ. Карелия, р-н. Сегежский, г. Сегежа, Мира ул., дом 5", 8)]);
        let open = worklist::of_register(&register.state);
        assert_eq!(codes(&open), ["import.link.twin"]);
        register.decide(&filled(&open, &[decision]), "2026-01-01");
        assert!(worklist::of_register(&register.state).is_empty());
        let merged = register.state.building(&"reformagkh:2".parse().unwrap()).unwrap().retired.is_some();
        assert_eq!(merged, decision == "reformagkh:1");
        // The source still has both rows; a merged house is spoken for by the row of the one that stays.
        let rows = "1;{a};01.01.2010;ООО А;/profile/7/\n2;{a};01.01.2012;ООО Б;/profile/9/\n".replace("{a}", SEGEZHA);
        let source = format!("HOUSE_ID;ADDRESS;SERVICEDATE_START;MGMT_COMPANY;MGMT_COMPANY_LINK\n{rows}");
        let (work, count) = register.import(source.as_bytes(), "2017-01-01");
        let ended = count.get("management.ended").copied().unwrap_or(0);
        assert_eq!((work.questions.len(), ended), (0, usize::from(!merged)), "{count:?}");
        // The row of the house that is gone, alone, speaks for the one it became.
        let alone = source.replace("1;Респ", "3;Респ").replace("д. 5;01.01.2010", "д. 55;01.01.2010");
        let (_, count) = register.import(alone.as_bytes(), "2017-02-01");
        assert_eq!(count.get("management.ended").copied().unwrap_or(0), usize::from(merged), "{count:?}");
    }
}

fn org(id: &str) -> OrgId {
    id.parse().unwrap()
}

const OGRN: &str = "ogrn:1027700132195";
const INN: &str = "inn:7707083893";

/// One company under two numbers is no change of company.
#[test]
fn an_organisation_under_two_ids_is_one() {
    let gis = |ogrn: &str| {
        format!(
            "GUID,Адрес,ОГРН,Наименование организации,Способ управления\n{},\"{SEGEZHA}\",{ogrn},\"АО \"\"ДОМ 7\"\"\",УО\n",
            GAR[0]
        )
    };
    let managements = |r: &Register| r.state.building(&"reformagkh:1".parse().unwrap()).unwrap().managements.len();

    // Nobody knows whether they are one: the house is linked, its company stays, and it is asked.
    let mut register = portal(&[(1, SEGEZHA, 7)]);
    let (work, count) = register.import(gis("1027700132195").as_bytes(), "2026-01-01");
    assert_eq!(codes(&work.questions), ["import.link.organisation"]);
    assert!(!count.contains_key("management.ended") && managements(&register) == 1, "{count:?}");
    assert_eq!(work.report.rows[0].outcome, Outcome::Warned);

    // They are: from now on either number is the company's.
    let mut same = register.clone();
    same.decide(&filled(&work.questions, &["reformagkh:7"]), "2026-01-02");
    assert_eq!(same.state.organisation(&org(OGRN)), org("reformagkh:7"));
    let (again, count) = same.import(gis("1027700132195").as_bytes(), "2026-01-03");
    assert_eq!((again.questions.len(), count.len(), managements(&same)), (0, 0, 1));
    // A record that names the other number is told the primary one.
    let assigned = ManagementAssigned {
        building: "reformagkh:1".parse().unwrap(),
        form: ManagementForm::Temporary,
        organisation: Some(org(OGRN)),
        contract: None,
        licence: None,
    };
    assert_eq!(same.try_say(Body::ManagementAssigned(assigned), None), Some("rule.organisation.alias"));
    // Really another company: a change, by the number that can be compared.
    let (_, count) = same.import(gis("1037739010891").as_bytes(), "2026-02-01");
    assert_eq!((count["management.ended"], managements(&same)), (1, 2));

    // They are not: the house changed hands.
    register.decide(&filled(&work.questions, &["другой"]), "2026-01-02");
    let (again, count) = register.import(gis("1027700132195").as_bytes(), "2026-01-03");
    assert_eq!((again.questions.len(), count["management.ended"], managements(&register)), (0, 1, 2));
}

#[test]
fn a_register_of_organisations_links_their_numbers() {
    let mut register = portal(&[(1, SEGEZHA, 7), (2, "Респ. Карелия, г. Сегежа, ул. Лесная, д. 9", 8)]);
    let row = |row, ids: &[&str]| OrganisationRow { row, ids: ids.iter().map(|s| org(s)).collect(), name: None };
    let plans = register.organisations(&[row(2, &["reformagkh:7", OGRN, INN])], "2026-01-01");
    assert_eq!(plans, [RowPlan::Records]);
    for id in [OGRN, INN, "reformagkh:7"] {
        assert_eq!(register.state.organisation(&org(id)), org("reformagkh:7"));
    }
    assert_eq!(register.organisations(&[row(2, &[OGRN, INN, "reformagkh:7"])], "2026-01-01"), [RowPlan::Unchanged]);
    // The same ОГРН at another profile of the portal: two numbers of one kind, a person must say.
    let [RowPlan::Refused(problem)] = &register.organisations(&[row(3, &["reformagkh:8", OGRN])], "2026-01-01")[..]
    else {
        panic!("it was linked")
    };
    assert_eq!(problem.code.code, "import.link.organisation");
    // Both were in use before a source said that they are one: history stays where it was.
    let both = [row(2, &["reformagkh:8", "ogrn:1037739010891"])];
    let linked = |r: &Register| r.state.organisation(&org("ogrn:1037739010891"));
    register.organisations(&both, "2026-01-01");
    assert_eq!(linked(&register).as_str(), "reformagkh:8");
}

#[test]
fn rules_of_linking() {
    let mut r = portal(&[(1, SEGEZHA, 7), (2, "Респ. Карелия, г. Сегежа, ул. Лесная, д. 9", 8)]);
    let id = |s: &str| -> BuildingId { s.parse().unwrap() };
    let link = |b: &str, also: &[String], distinct: &[String]| {
        let list = |ids: &[String]| (!ids.is_empty()).then(|| List(ids.iter().map(|s| id(s)).collect()));
        Body::BuildingLinked(BuildingLinked { building: id(b), also: list(also), distinct: list(distinct) })
    };
    let gar = |n: usize| vec![format!("gar:{}", GAR[n])];
    let many = |n: usize| -> Vec<String> { (0..n).map(|i| format!("kad:10:06:1:{}", i + 1)).collect() };
    assert_eq!(r.try_say(link("reformagkh:1", &[], &[]), None), Some("rule.link.nothing"));
    assert_eq!(r.try_say(link("reformagkh:9", &gar(0), &[]), None), Some("rule.building.unknown"));
    assert_eq!(r.try_say(link("reformagkh:1", &["reformagkh:1".into()], &[]), None), Some("rule.link.twice"));
    assert_eq!(r.try_say(link("reformagkh:1", &gar(0), &gar(0)), None), Some("rule.link.twice"));
    assert_eq!(r.try_say(link("reformagkh:1", &["reformagkh:2".into()], &[]), None), Some("rule.building.id"));
    assert_eq!(r.try_say(link("reformagkh:1", &gar(0), &[]), None), None);
    assert_eq!(r.try_say(link("reformagkh:2", &gar(0), &[]), None), Some("rule.building.id"));
    assert_eq!(r.try_say(link("reformagkh:1", &many(16), &[]), None), Some("rule.link.many"));
    assert_eq!(r.try_say(link("reformagkh:1", &many(16), &gar(0)), None), None, "one goes, sixteen come");
    assert_eq!(r.try_say(link("reformagkh:2", &gar(0), &[]), None), None, "given back, it is free");
    let distinct = |r: &Register, b: &str| r.state.building(&id(b)).unwrap().distinct().to_vec();
    assert_eq!((distinct(&r, "reformagkh:1"), distinct(&r, "reformagkh:2")), (vec![id(&gar(0)[0])], vec![]));

    let named = |o: &str, also: &[&str], distinct: &[&str]| {
        let list = |ids: &[&str]| (!ids.is_empty()).then(|| List(ids.iter().map(|s| org(s)).collect()));
        Body::OrganisationLinked(OrganisationLinked {
            organisation: org(o),
            also: list(also),
            distinct: list(distinct),
        })
    };
    assert_eq!(r.try_say(named("reformagkh:7", &[OGRN], &[]), None), None);
    assert_eq!(r.try_say(named("reformagkh:8", &[OGRN], &[]), None), Some("rule.organisation.id"));
    assert_eq!(
        r.try_say(named("reformagkh:8", &["reformagkh:7"], &[]), None),
        Some("rule.organisation.id"),
        "no chains"
    );
    assert_eq!(r.try_say(named(OGRN, &[INN], &[]), None), Some("rule.organisation.alias"));
    assert_eq!(r.try_say(named("reformagkh:7", &[], &[OGRN]), None), None);
    assert_eq!(r.try_say(named("reformagkh:8", &[OGRN], &[]), None), None);
}

/// How a second source was linked, against the truth its maker knows.
#[derive(Debug, Default)]
struct Score {
    right: usize,
    wrong: usize,
    /// Held back for a person, though the register has the house.
    asked: usize,
    /// Registered as a new house, though the register has it.
    doubled: usize,
    /// Houses that are new, registered as such.
    new: usize,
    /// Houses that are new, held back for a person.
    new_asked: usize,
    by_case: BTreeMap<String, [usize; 3]>,
}

fn score(region: u8, first: &[u8], path: &Path, day: &str) -> Option<Score> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-second-source");
    let made = match Command::new("python3").arg(script).arg(path).output() {
        Ok(made) if made.status.success() => made.stdout,
        Ok(made) => panic!("{}", String::from_utf8_lossy(&made.stderr)),
        Err(e) => {
            eprintln!("skipped: python3: {e}");
            return None;
        }
    };
    let mut register = Register::new(region);
    register.import(first, day);
    let before = history(&register);
    register.import(&made, "2026-01-01");
    unharmed(&before, &register);
    let mut score = Score::default();
    for row in csv::Reader::from_reader(&made[..]).deserialize::<HashMap<String, String>>().map(Result::unwrap) {
        let gar = format!("gar:{}", row["GUID"]);
        let truth = (!row["TRUTH"].is_empty()).then(|| format!("reformagkh:{}", row["TRUTH"]));
        // A row that the first source's reader refused is not in the register.
        let truth = truth.filter(|id| register.primary(id).is_some());
        let found = register.primary(&gar).map(|b| b.to_string());
        let (slot, at) = match (&truth, &found) {
            (Some(t), Some(f)) if t == f => (&mut score.right, 0),
            (Some(_), Some(f)) if *f == gar => {
                eprintln!("  doubled: {} {}", row["CASE"], row["Адрес"]);
                (&mut score.doubled, 2)
            }
            (Some(_), None) => (&mut score.asked, 1),
            (None, Some(f)) if *f == gar => (&mut score.new, 0),
            (None, None) => (&mut score.new_asked, 1),
            _ => {
                eprintln!("  wrong: {row:?} {truth:?} {found:?}");
                (&mut score.wrong, 2)
            }
        };
        *slot += 1;
        score.by_case.entry(row["CASE"].clone()).or_default()[at] += 1;
    }
    Some(score)
}

#[test]
fn a_labelled_second_source_is_linked_without_a_mistake() {
    for (region, name, day) in
        [(77, "77_moscow_20170614.csv.gz", "2017-06-14"), (10, "10_karelia_20160920.csv.gz", "2016-09-20")]
    {
        let path = sample(name);
        let Some(s) = score(region, &std::fs::read(&path).unwrap(), Path::new(&path), day) else { return };
        let recall = s.right as f64 / (s.right + s.asked + s.doubled) as f64;
        eprintln!("{name}: recall {recall:.3} {s:#?}");
        assert_eq!((s.wrong, s.doubled), (0, 0), "{name}");
        assert!(recall > 0.7, "{name}: {recall}");
    }
}

/// The same over whole regions, where they are at hand.
#[test]
fn a_labelled_second_source_of_a_whole_region() {
    for (region, name, day) in
        [(10, "10_karelia_20160920.csv.gz", "2016-09-20"), (60, "60_pskov_20161003.csv.gz", "2016-10-03")]
    {
        let (Some(bytes), Some(path)) = (data::file(name), data::path(name)) else { continue };
        let Some(s) = score(region, &bytes, &path, day) else { return };
        assert!(s.right > 1_000);
        let recall = s.right as f64 / (s.right + s.asked + s.doubled) as f64;
        eprintln!("{name}: recall {recall:.3} {s:#?}");
        assert_eq!(s.wrong, 0, "{name}");
    }
}

/// Moscow alone takes about half a minute in a debug build.
#[test]
fn a_labelled_second_source_of_moscow() {
    let name = "77_moscow_20170614.csv.gz";
    let (Some(bytes), Some(path)) = (data::file(name), data::path(name)) else { return };
    let Some(s) = score(77, &bytes, &path, "2017-06-14") else { return };
    let recall = s.right as f64 / (s.right + s.asked + s.doubled) as f64;
    eprintln!("{name}: recall {recall:.3} {s:#?}");
    assert_eq!(s.wrong, 0, "{name}");
}

/// Facts of every house and who has a chat, to compare with later.
fn history(register: &Register) -> BTreeMap<BuildingId, BuildingFacts> {
    let houses = register.state.subjects().filter_map(|(_, e)| match &e.facts {
        Facts::Building(b) => Some((b.building.clone(), (**b).clone())),
        _ => None,
    });
    houses.collect()
}

/// Nothing that was there is gone, and no id is two houses'.
fn unharmed(before: &BTreeMap<BuildingId, BuildingFacts>, register: &Register) {
    let after = history(register);
    for (id, old) in before {
        let new = &after[id];
        assert_eq!((new.registered, new.void), (old.registered, old.void));
        assert!(new.managements.len() >= old.managements.len());
        for (m, n) in old.managements.iter().zip(&new.managements) {
            assert_eq!((m.record, &m.organisation, m.from), (n.record, &n.organisation, n.from));
        }
        for own in old.ids() {
            let holder = register.state.primary(own).unwrap_or_else(|| panic!("{own} of {id} is lost"));
            assert_eq!(&holder, id, "{own} wandered");
        }
    }
    let mut seen: BTreeSet<&BuildingId> = BTreeSet::new();
    for house in after.values().filter(|b| !b.void) {
        house.ids().for_each(|id| assert!(seen.insert(id), "{id} is two houses'"));
    }
}

const STREETS: [&str; 5] = ["ул. Мира", "ул. Мирая", "пер. Мира", "ул. Садовая", "ул. Садовая Б."];
const TOWNS: [&str; 3] = ["р-н. Сегежский, г. Сегежа", "г. Сегежа", "р-н. Кемский, п. Рабочеостровск"];
const HOUSES: [&str; 5] = ["д. 5", "д. 5, к. 1", "д. 5, стр. 1", "д. 5А", "д. 5, лит. А"];

fn address() -> impl Strategy<Value = String> {
    (0..TOWNS.len(), 0..STREETS.len(), 0..HOUSES.len())
        .prop_map(|(t, s, h)| format!("Респ. Карелия, {}, {}, {}", TOWNS[t], STREETS[s], HOUSES[h]))
}

/// A row of some source: a number or none in each of three schemes, an address, a company.
fn row() -> impl Strategy<Value = (Option<u8>, Option<u8>, Option<u8>, String, u8)> {
    (
        prop::option::weighted(0.6, 0u8..8),
        prop::option::weighted(0.6, 0u8..8),
        prop::option::weighted(0.3, 0u8..8),
        address(),
        0u8..4,
    )
}

type SourceRow = (Option<u8>, Option<u8>, Option<u8>, String, u8);

fn source(rows: &[SourceRow]) -> String {
    let line = |(portal, gar, kad, address, org): &(Option<u8>, Option<u8>, Option<u8>, String, u8)| {
        let portal = portal.map(|n| (n + 1).to_string()).unwrap_or_default();
        let gar = gar.map(|n| format!("0c5b2444-70a0-4932-980c-b4dc0d3f02b{n}")).unwrap_or_default();
        let kad = kad.map(|n| format!("10:06:0000000:{}", n + 1)).unwrap_or_default();
        let org = ["1027700132195", "1037739010891", "", ""][usize::from(*org)];
        format!("{portal};{gar};{kad};{address};{org}\n")
    };
    format!("HOUSE_ID;GUID;Кадастровый номер;Адрес;ОГРН\n{}", rows.iter().map(line).collect::<String>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever sources say, in whatever order: each import plans only what the rules accept, loses no history, gives no
    /// id to two houses, and says nothing when it comes again.
    #[test]
    fn linking_loses_nothing(sources in prop::collection::vec(prop::collection::vec(row(), 0..8), 1..4)) {
        let mut register = Register::new(10);
        for (i, rows) in sources.iter().enumerate() {
            let (text, day) = (source(rows), format!("2026-0{}-01", i + 1));
            let before = history(&register);
            register.import(text.as_bytes(), &day);
            unharmed(&before, &register);
            let again = register.plan(text.as_bytes(), &day);
            prop_assert!(again.planned.is_empty(), "{:?}", again.planned.iter().map(|p| (p.row, p.type_name)).collect::<Vec<_>>());
        }
    }

    /// Whatever is decided, one question after the other: no history is lost, no id is two houses', and what was decided
    /// is not asked again.
    #[test]
    fn decisions_lose_nothing(rows in prop::collection::vec(row(), 1..8), more in prop::collection::vec(row(), 1..8), choice in prop::collection::vec(0usize..4, 8)) {
        let mut register = Register::new(10);
        register.import(source(&rows).as_bytes(), "2026-01-01");
        let text = source(&more);
        for choice in choice {
            let (work, _) = register.import(text.as_bytes(), "2026-02-01");
            let Some(question) = work.questions.get(choice % work.questions.len().max(1)).cloned() else { break };
            let ids: Vec<&str> = question.choices.iter().map(|c| c.id.as_str()).collect();
            let decision = if choice == 0 { "другой" } else { ids[choice % ids.len()] };
            let table = filled(std::slice::from_ref(&question), &[decision]);
            let before: BTreeSet<BuildingId> = history(&register).into_keys().collect();
            let managed = history(&register);
            let (decided, _) = register.decide(&table, "2026-02-02");
            let after = history(&register);
            prop_assert!(before.iter().all(|id| after.contains_key(id)));
            for (id, old) in &managed {
                prop_assert_eq!(&after[id].managements, &old.managements);
            }
            let mut seen = BTreeSet::new();
            for house in after.values().filter(|b| !b.void) {
                for id in house.ids() {
                    prop_assert!(seen.insert(id.clone()), "{} is two houses'", id);
                }
            }
            if decided.report.rows[0].outcome == Outcome::Refused {
                // None of the candidates is in the register yet: another question is in front of this one.
                continue;
            }
            let again = register.plan(text.as_bytes(), "2026-02-01");
            prop_assert!(!again.questions.contains(&question), "{:?} {}", question, decision);
        }
    }
}
