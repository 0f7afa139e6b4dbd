//! `domovoi import` over the exports: the same file twice changes nothing, and what a file is not is said.

use serde_json::{Value, json};

use crate::import_exports::zip;
use crate::node::{AUTHORITY, Node, run_in, sample};

fn region(code: &str) -> Node {
    let mut node = Node::init(Some((code, AUTHORITY, "Жилищная инспекция")));
    node.start();
    node
}

/// Rows, taken over, unchanged, refused.
fn totals(report: &Value) -> [u64; 4] {
    ["rows", "imported", "unchanged", "refused"].map(|k| report[k].as_u64().unwrap())
}

#[test]
fn exports_are_imported_twice_and_once() {
    let node = region("61");
    // The day is in the name, and the file is the zip that is published.
    let houses = std::fs::read(sample("export-reestrmkd-61-sample.csv")).unwrap();
    let path = node.dir.path().join("export-reestrmkd-61-20260901.zip");
    std::fs::write(&path, zip(&[("export-reestrmkd-61-20260901.csv", &houses)])).unwrap();
    let import = |args: &[&str]| node.run(&[&["import"], args].concat());
    let path = path.to_str().unwrap();

    let dry = import(&["buildings", path, "--dry-run"]).json();
    assert_eq!((totals(&dry), &dry["format"], &dry["dry_run"]), ([3, 2, 0, 1], &json!("frt"), &json!(true)));
    let first = import(&["buildings", path]).json();
    assert_eq!((totals(&first), &first["reasons"]), ([3, 2, 0, 1], &json!({"import.house.kind": 1})));
    assert_eq!(first["records"], json!({"building.registered": 2, "management.assigned": 2}));
    let again = import(&["buildings", path]).json();
    assert_eq!((totals(&again), &again["records"]), ([3, 0, 2, 1], &json!({})), "{again}");

    // Organisations that manage nothing here are not written, unless that is wished.
    let organisations = sample("export-reestruo-61-sample.csv");
    let some = import(&["organisations", &organisations, "--observed", "2026-09-01"]).json();
    assert_eq!(some["reasons"], json!({"import.organisation.unrelated": 2}));
    assert_eq!(some["records"], json!({}));
    let all = ["organisations", &organisations, "--observed", "2026-09-01", "--all"];
    let first = import(&all).json();
    assert_eq!((totals(&first), &first["format"]), ([2, 2, 0, 0], &json!("frt-organisations")));
    assert!(first["records"]["organisation.named"].as_u64().unwrap() >= 2, "{first}");
    let again = import(&all).json();
    assert_eq!((totals(&again), &again["records"]), ([2, 0, 2, 0], &json!({})), "{again}");
    let log = node.api("node").to_string();
    for person in ["name_employee", "phone"] {
        assert!(!log.contains(person));
    }

    // What a file is not is said, with what it was recognised as.
    assert_eq!(import(&["buildings", path, "--format", "gis"]).code(), "import.format");
    assert_eq!(import(&["buildings", &organisations, "--observed", "2026-09-01"]).code(), "import.format");
    assert_eq!(import(&["organisations", path]).code(), "import.format");
    let empty = node.dir.path().join("пусто");
    std::fs::create_dir(&empty).unwrap();
    assert_eq!(import(&["buildings", empty.to_str().unwrap()]).code(), "import.gar");
    assert_eq!(import(&["chats", empty.to_str().unwrap()]).code(), "import.format");
    assert_eq!(import(&["buildings", "/nowhere/дома.csv"]).code(), "disk.missing");
    let people = run_in(&node.data(), &["import", "buildings", path, "--dry-run"]);
    assert!(people.ok && people.out.contains("frt") && people.out.contains("import.house.kind"), "{}", people.out);
}

#[test]
fn rows_of_flats_and_lists_of_the_address_register() {
    let node = region("72");
    let gis = sample("gis_ozhf_GENERATED.csv");
    let args = ["import", "buildings", &gis, "--observed", "2026-09-01", "--generated"];
    let first = node.run(&args).json();
    assert_eq!((totals(&first), &first["format"]), ([13, 4, 4, 5], &json!("gis")));
    let again = node.run(&args).json();
    assert_eq!((totals(&again), &again["records"]), ([13, 0, 8, 5], &json!({})), "{again}");
    // A folder of ГАР; its only house is history.
    let gar = node.run(&["import", "buildings", &sample("gar_72")]).json();
    assert_eq!((totals(&gar), &gar["reasons"]), ([1, 0, 0, 1], &json!({"import.gar.outdated": 1})));
    let report = node.dir.path().join("gar_72.report.xlsx");
    assert!(!report.exists(), "there is nothing for the clerk to correct");
}

/// What a clerk does with what could not be linked: the table is written, filled in, imported, and nobody is asked again.
#[test]
fn a_worklist_is_written_filled_in_and_imported() {
    let node = region("10");
    let file = |name: &str, text: &str| {
        let path = node.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let import = |args: &[&str]| node.run(&[&["import"], args].concat()).json();
    let place = "Респ. Карелия, р-н. Сегежский, г. Сегежа";
    let first = file(
        "portal.csv",
        &format!(
            "HOUSE_ID;ADDRESS;SERVICEDATE_START;HOUSE_TYPE;MGMT_COMPANY;MGMT_COMPANY_LINK\n\
             1;{place}, ул. Мира, д. 5;01.01.2010;Многоквартирный дом;ООО А;/profile/7/\n\
             2;{place}, Мира ул., дом 5;01.01.2010;Многоквартирный дом;ООО А;/profile/7/\n\
             3;{place}, ул. Лесная, д. 9;01.01.2010;Многоквартирный дом;ООО А;/profile/7/\n"
        ),
    );
    assert_eq!(import(&["buildings", &first, "--observed", "2016-09-20"])["imported"], 3);

    // Twins are a question of the register itself.
    let list = node.dir.path().join("список.csv");
    let list = list.to_str().unwrap();
    let open = node.run(&["report", "worklist", "--out", list]).json();
    assert_eq!(open.as_array().unwrap().len(), 1, "{open}");
    let decide = |path: &str, decision: &str| {
        let mut rows: Vec<csv::StringRecord> = {
            let bytes = std::fs::read(path).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            let text = text.trim_start_matches('\u{feff}');
            let separator = if text.lines().next().unwrap().contains(';') { b';' } else { b',' };
            let reader = csv::ReaderBuilder::new().delimiter(separator).has_headers(false).from_reader(text.as_bytes());
            reader.into_records().map(Result::unwrap).collect()
        };
        let last = rows[0].len() - 1;
        assert_eq!(&rows[0][last], "решение");
        for row in &mut rows[1..] {
            *row = row.iter().take(last).chain([decision]).collect();
        }
        let mut out = csv::Writer::from_path(path).unwrap();
        rows.iter().for_each(|r| out.write_record(r).unwrap());
        out.flush().unwrap();
        import(&["links", path])
    };
    let merged = decide(list, "reformagkh:1");
    assert_eq!(merged["records"]["building.retired"], 1, "{merged}");
    assert_eq!(node.run(&["report", "worklist"]).json(), json!([]));

    // A question that a second source raises comes in a table beside its report.
    let gar = "0c5b2444-70a0-4932-980c-b4dc0d3f02b5";
    let second = file("вторая.csv", &format!("GUID,Адрес\n{gar},\"{place}, ул. Лестная, д. 9\"\n"));
    let table = node.dir.path().join("вопросы.csv");
    let table = table.to_str().unwrap();
    let asked = import(&["buildings", &second, "--observed", "2026-01-01", "--worklist", table]);
    assert_eq!((&asked["records"], &asked["reasons"]), (&json!({}), &json!({"import.link.near": 1})), "{asked}");
    let linked = decide(table, "reformagkh:3");
    assert_eq!(linked["records"]["building.linked"], 1, "{linked}");
    let building = node.api(&format!("buildings/gar:{gar}"));
    assert_eq!(building["building"], "reformagkh:3", "{building}");
    assert_eq!(building["managements"].as_array().unwrap().len(), 1, "its history is the one it had");
    let again = import(&["buildings", &second, "--observed", "2026-01-01", "--worklist", table]);
    assert_eq!((&again["records"], &again["questions"]), (&json!({}), &json!([])), "{again}");
}

/// After a municipal reform the same source has new ОКТМО codes: its import recodes the houses, and nothing else.
#[test]
fn a_source_with_new_municipal_codes_recodes_its_houses() {
    let node = region("10");
    let import = |day: &str, codes: [&str; 2]| {
        let path = node.dir.path().join(format!("дома-{day}.csv"));
        let address = "Респ. Карелия, г. Сегежа, ул. Мира, д.";
        let rows = format!("HOUSE_ID;ADDRESS;ОКТМО\n1;{address} 5;{}\n2;{address} 7;{}\n", codes[0], codes[1]);
        std::fs::write(&path, rows).unwrap();
        node.run(&["import", "buildings", path.to_str().unwrap(), "--observed", day]).json()
    };
    let code = |id: &str| node.api(&format!("buildings/{id}"))["oktmo"].as_str().unwrap().to_owned();
    assert_eq!(import("2024-01-01", ["86645101", "86645101"])["records"], json!({"building.registered": 2}));
    let recoded = import("2025-01-01", ["86545000", "86645101"]);
    assert_eq!(recoded["records"], json!({"building.amended": 1}), "{recoded}");
    assert_eq!((code("reformagkh:1"), code("reformagkh:2")), ("86545000".into(), "86645101".into()));
    // A code that says less, or none, leaves what is known.
    let again = import("2026-01-01", ["", "86"]);
    assert_eq!((&again["records"], code("reformagkh:2")), (&json!({}), "86645101".into()), "{again}");
}
