//! The readers of tables over real files of every dialect, and over anything at all.

use std::collections::BTreeMap;

use domovoi::import::clerk;
use domovoi::import::houses::{Houses, Options};
use domovoi::import::report::{Candidate, Outcome, PLACE_AMBIGUOUS, Problem, Report};
use domovoi::import::rows::HouseRow;
use domovoi::import::table::Limits;
use domovoi::registry::ids::RegionCode;
use domovoi::registry::text::Day;
use proptest::prelude::*;

use crate::data;

fn options(region: u8, taken: &str) -> Options {
    Options {
        region: Some(RegionCode::new(region).unwrap()),
        taken: Day::parse(taken).unwrap(),
        limits: Limits::default(),
    }
}

/// Reads a snapshot whole: its houses and its report.
fn read(bytes: &[u8], options: Options) -> (Vec<HouseRow>, Report) {
    let mut reader = Houses::open(bytes, options).expect("opens");
    let (mut houses, mut report) = (Vec::new(), Report { columns: reader.columns.clone(), ..Report::default() });
    for row in &mut reader {
        let row = row.expect("a row");
        report.rows.push(row.outcome());
        houses.extend(row.value);
    }
    (houses, report)
}

fn count(report: &Report, outcome: Outcome) -> u64 {
    report.summary().outcomes.get(&outcome).copied().unwrap_or(0)
}

/// File, region, day, rows as an independent reader counts them, least share taken over, least share with a management.
type Snapshot = (&'static str, u8, &'static str, u64, f64, f64);

const SNAPSHOTS: &[Snapshot] = &[
    ("77_moscow_20140323.csv.gz", 77, "2014-03-23", 30_404, 0.98, 0.9),
    ("77_moscow_20160308.csv.gz", 77, "2016-03-08", 32_969, 0.98, 0.9),
    ("77_moscow_20170614.csv.gz", 77, "2017-06-14", 33_707, 0.98, 0.9),
    ("10_karelia_20160920.csv.gz", 10, "2016-09-20", 16_460, 0.9, 0.5),
    ("47_lenoblast_20160920.csv.gz", 47, "2016-09-20", 20_485, 0.85, 0.5),
    ("35_vologda_20161006.csv.gz", 35, "2016-10-06", 20_285, 0.85, 0.4),
    ("60_pskov_20161003.csv.gz", 60, "2016-10-03", 7_041, 0.9, 0.4),
    ("53_novgorod_20160930.csv.gz", 53, "2016-09-30", 6_090, 0.9, 0.4),
];

#[test]
fn portal_snapshots_of_every_region_and_year() {
    for &(name, region, day, rows, taken, managed) in SNAPSHOTS {
        let Some(bytes) = data::file(name) else { continue };
        let (houses, report) = read(&bytes, options(region, day));
        let summary = report.summary();
        eprintln!("{name}: {summary:?}");
        assert_eq!(summary.rows, rows, "{name}: nothing is dropped in silence");
        assert_eq!(count(&report, Outcome::Imported) + count(&report, Outcome::Warned), houses.len() as u64);
        let share = houses.len() as f64 / rows as f64;
        let with = houses.iter().filter(|h| h.tenure.is_some()).count() as f64 / houses.len() as f64;
        eprintln!("  taken over {share:.4}, with a management {with:.4}");
        assert!(share > taken && with > managed, "{name}: {share} {with}");
        assert!(
            houses.iter().all(|h| h
                .tenure
                .as_ref()
                .and_then(|t| t.since)
                .is_none_or(|d| d <= Day::parse(day).unwrap()))
        );
        // Each refusal names a reason and a remedy, in both languages.
        let silent = |r: &&domovoi::import::report::RowOutcome| r.outcome == Outcome::Refused && r.problems.is_empty();
        assert!(report.rows.iter().find(silent).is_none());
        let text = format!("{houses:?}");
        assert!(!text.contains("[ФИО"), "the name of a sole proprietor is gone even where it was blacked out");
    }
}

/// The same numbers as an independent reading of the file gives.
#[test]
fn a_snapshot_agrees_with_a_plain_reader() {
    let name = "10_karelia_20160920.csv.gz";
    let (Some(bytes), Some(rows)) = (data::file(name), data::rows(name)) else { return };
    let (houses, report) = read(&bytes, options(10, "2016-09-20"));
    let plain: BTreeMap<String, _> = rows.iter().map(|r| (format!("reformagkh:{}", r["HOUSE_ID"]), r)).collect();
    for house in &houses {
        let row = plain[house.building.as_str()];
        let written = row["ADDRESS"].split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(written == house.address.as_str() || written == format!("д. {}", house.address), "{house:?}");
        let link = &row["MGMT_COMPANY_LINK"];
        let organisation = house.tenure.as_ref().and_then(|t| t.organisation.as_ref());
        let same = organisation.map_or(link.is_empty(), |o| link.ends_with(&format!("/profile/{}/", o.value())));
        assert!(same, "{house:?}");
        if let Some(since) = house.tenure.as_ref().and_then(|t| t.since) {
            let (y, m, d) = (since.date().year(), since.date().month(), since.date().day());
            assert_eq!(row["SERVICEDATE_START"], format!("{d:02}.{m:02}.{y}"));
        }
    }
    let kinds = rows
        .iter()
        .filter(|r| r["HOUSE_TYPE"].contains("блокированной") || r["HOUSE_TYPE"].contains("индивидуального"));
    assert_eq!(report.summary().problems["import.house.kind"], kinds.count() as u64);
}

#[test]
fn other_dialects() {
    if let Some(bytes) = data::file("frt_format_sample/export-reestrmkd-61-sample.csv") {
        let (houses, report) = read(&bytes, options(61, "2026-09-01"));
        eprintln!("frt: {:?}", report.summary());
        assert_eq!(houses.len(), 2);
        assert_eq!(houses[0].also[0].to_string(), "gar:e8923b56-67b7-46ad-9f07-f27a96812eb5");
        assert_eq!(houses[0].tenure.as_ref().unwrap().organisation.as_ref().unwrap().as_str(), "reformagkh:7364182");
        assert_eq!(houses[1].address.as_str(), "г Белая Калитва ул Энгельса д.40", "without the fake «д. »");
        assert_eq!(report.summary().problems["import.house.kind"], 1);
    }
    if let Some(bytes) = data::file("mingkh_furmanov_37.csv") {
        let (houses, report) = read(&bytes, options(37, "2025-01-01"));
        eprintln!("mingkh: {:?}", report.summary());
        assert_eq!(report.rows.len(), 421);
        assert_eq!(houses.len(), 296, "those with a cadastral number");
        assert_eq!(houses[0].address.as_str(), "Ивановская область, г. Фурманов, ул. 1-я Волгоградская, д. 2Б");
        assert!(houses.iter().all(|h| h.oktmo.is_some_and(|o| o.to_string() == "24631101001")));
    }
    if let Some(bytes) = data::file("saratov_2015_dirty.csv") {
        let (houses, report) = read(&bytes, options(64, "2015-12-31"));
        eprintln!("saratov: {:?}", report.summary());
        assert_eq!((report.rows.len(), houses.len()), (6_560, 0), "no row has an id, and every row says so");
        let problems = report.summary().problems;
        assert_eq!(problems["import.house.address"], 3, "the three totals of the page");
        assert!(problems["import.house.id"] > 6_500);
    }
}

#[test]
fn importing_under_another_region_is_refused_by_row() {
    let Some(bytes) = data::file("60_pskov_20161003.csv.gz") else { return };
    let (houses, report) = read(&bytes, options(10, "2016-10-03"));
    assert!(report.summary().problems["import.region"] > 6_500 && houses.len() < 20, "{:?}", report.summary());
}

const TOKEN: &str = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE";

/// What comes back in the report is corrected by the clerk and imported again, twice.
#[test]
fn a_report_is_corrected_and_imported_again() {
    let text =
        format!("Адрес;Ссылка на чат;Название\nленина 5;max.ru/join/{TOKEN};=Дом 5\nленина;max.ru/join/{TOKEN};Дом\n");
    let limits = Limits::default();
    let mut rows = clerk::chats(text.as_bytes(), &limits).unwrap();
    let mut report = Report { columns: rows.columns.clone(), ..Report::default() };
    for (i, row) in (&mut rows).enumerate() {
        let mut row = row.unwrap();
        if i == 0 {
            // What the plan does when an address fits several buildings.
            let mut problem = Problem::new(&PLACE_AMBIGUOUS, "Адрес", "подходят два дома", "two buildings fit");
            let candidate = |n: &str| Candidate {
                id: n.parse().unwrap(),
                address: format!("пр-кт. Ленина, д. 5, {n}").into(),
            };
            problem.candidates = vec![candidate("reformagkh:1"), candidate("reformagkh:2")];
            row.refuse(problem);
        }
        report.rows.push(row.outcome());
    }
    let csv = String::from_utf8(report.to_csv().unwrap()).unwrap();
    assert!(
        csv.starts_with("\u{feff}Адрес;Ссылка на чат;Название;строка;поле;причина;что сделать;варианты;выбор\n"),
        "{csv}"
    );
    assert!(csv.contains("'=Дом 5"), "a formula is shown as text");
    assert!(csv.contains("reformagkh:2 — пр-кт. Ленина"));

    // Untouched, the second row is refused again; the report of the report has the same columns.
    let again = |bytes: &[u8]| {
        let mut rows = clerk::chats(bytes, &Limits::default()).unwrap();
        let columns = rows.columns.clone();
        let rows: Vec<_> = (&mut rows).map(Result::unwrap).collect();
        (Report { columns, rows: rows.iter().map(|r| r.outcome()).collect(), ..Report::default() }, rows)
    };
    let (second, rows) = again(csv.as_bytes());
    assert_eq!(rows.iter().map(|r| r.outcome).collect::<Vec<_>>(), [Outcome::Imported, Outcome::Refused]);
    assert_eq!(rows[0].value.as_ref().unwrap().title.as_ref().unwrap().as_str(), "=Дом 5");
    let header = |r: &Report| String::from_utf8(r.to_csv().unwrap()).unwrap().lines().next().unwrap().to_owned();
    assert_eq!(header(&second), header(&report));

    // The clerk chooses; the same through a workbook.
    let chosen = {
        let mut reader = csv::ReaderBuilder::new().delimiter(b';').has_headers(false).from_reader(csv.as_bytes());
        let mut writer = csv::WriterBuilder::new().delimiter(b';').from_writer(Vec::new());
        for (i, record) in reader.records().enumerate() {
            let mut cells: Vec<String> = record.unwrap().iter().map(str::to_owned).collect();
            if i > 0 {
                *cells.last_mut().unwrap() = "reformagkh:2 — пр-кт. Ленина, д. 5".into();
            }
            writer.write_record(&cells).unwrap();
        }
        writer.into_inner().unwrap()
    };
    let (_, rows) = again(&chosen);
    assert!(rows.iter().all(|r| r.value.as_ref().unwrap().place.building.as_ref().unwrap().value() == "2"), "{rows:?}");
    let (_, rows) = again(&report.to_xlsx().unwrap());
    assert_eq!(rows.iter().map(|r| r.outcome).collect::<Vec<_>>(), [Outcome::Imported, Outcome::Refused]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever a table holds, every row has one outcome and nothing panics.
    #[test]
    fn every_row_has_one_outcome(
        rows in proptest::collection::vec(proptest::collection::vec("[^\\n\\r\";|\u{0}\u{feff}]{0,12}|-|нет данных|01\\.01\\.2016|1027700132195|ул\\. Мира, д\\. 5", 4), 0..20),
    ) {
        let body: String = rows.iter().map(|r| format!("\"{}\"\n", r.join("\";\""))).collect();
        let filled = rows.iter().filter(|r| r.iter().any(|c| !c.trim().is_empty())).count();
        for header in ["HOUSE_ID;ADDRESS;YEAR;SERVICEDATE_START\n", "Адрес;ОГРН;Дата;Форма\n", "Адрес;Ссылка;ID чата;Название\n"] {
            let text = format!("{header}{body}");
            let limits = Limits::default();
            let read = match header.chars().next() {
                Some('H') => Houses::open(text.as_bytes(), options(77, "2020-01-01")).unwrap().map(|r| r.map(|r| r.outcome())).collect::<Result<Vec<_>, _>>(),
                _ if header.contains("ОГРН") => clerk::managements(text.as_bytes(), Day::MAX, &limits).unwrap().map(|r| r.map(|r| r.outcome())).collect(),
                _ => clerk::chats(text.as_bytes(), &limits).unwrap().map(|r| r.map(|r| r.outcome())).collect(),
            };
            prop_assert_eq!(read.unwrap().len(), filled);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for header in ["", "HOUSE_ID,ADDRESS\n", "Адрес;Ссылка\n", "Адрес|ОГРН\n"] {
            let text = [header.as_bytes(), &bytes].concat();
            if let Ok(houses) = Houses::open(&text, options(77, "2020-01-01")) {
                houses.for_each(drop);
            }
            if let Ok(chats) = clerk::chats(&text, &Limits::default()) {
                chats.for_each(drop);
            }
            if let Ok(managements) = clerk::managements(&text, Day::MAX, &Limits::default()) {
                managements.for_each(drop);
            }
        }
    }
}
