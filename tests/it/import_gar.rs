//! ГАР: the real schema with its few records, and a generated region in the same schema that has whole houses.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use domovoi::import::gar;
use domovoi::import::gar_files::Files;
use domovoi::import::houses::Snapshot;
use domovoi::import::input::Input;
use domovoi::import::table::Limits;
use domovoi::registry::address::AddressKey;
use domovoi::registry::body::BuildingKind;
use domovoi::registry::ids::RegionCode;

use crate::data;
use crate::import_exports::{counts, options, sample, zip};

const FLAT: &str = "2";

/// A region made up: one town, one street, `houses` houses, each with flats.
struct Region {
    files: BTreeMap<&'static str, String>,
    next: u64,
}

impl Region {
    fn new() -> Region {
        let mut region = Region { files: BTreeMap::new(), next: 1000 };
        region.object(1, "Тюменская", "обл.", 1, 0);
        region.object(2, "Тюмень", "г", 5, 1);
        region.object(3, "Вымышленная", "ул", 8, 2);
        region
    }

    fn put(&mut self, list: &'static str, element: &str) {
        let file = self.files.entry(list).or_default();
        let _ = writeln!(file, "{element}");
    }

    fn stands(&mut self, object: u64, parent: u64, oktmo: &str) {
        let dates = "STARTDATE=\"2020-01-01\" ENDDATE=\"2079-06-06\" ISACTIVE=\"1\"";
        let item = format!("<ITEM ID=\"1\" OBJECTID=\"{object}\" PARENTOBJID=\"{parent}\" {dates} />");
        self.put("AS_ADM_HIERARCHY", &item);
        let item =
            format!("<ITEM ID=\"1\" OBJECTID=\"{object}\" PARENTOBJID=\"{parent}\" OKTMO=\"{oktmo}\" {dates} />");
        self.put("AS_MUN_HIERARCHY", &item);
    }

    fn object(&mut self, object: u64, name: &str, kind: &str, level: u8, parent: u64) {
        self.put(
            "AS_ADDR_OBJ",
            &format!("<OBJECT ID=\"1\" OBJECTID=\"{object}\" OBJECTGUID=\"e1bf75f1-275e-482c-aa7b-486f39eb9e9e\" NAME=\"{name}\" TYPENAME=\"{kind}\" LEVEL=\"{level}\" STARTDATE=\"1900-01-01\" ENDDATE=\"2079-06-06\" ISACTUAL=\"1\" ISACTIVE=\"1\" />"),
        );
        self.stands(object, parent, "71701000001");
    }

    /// A house; gives its object id.
    fn house(&mut self, attributes: &str, flats: u32) -> u64 {
        self.next += 1;
        let object = self.next;
        self.put(
            "AS_HOUSES",
            &format!("<HOUSE ID=\"1\" OBJECTID=\"{object}\" OBJECTGUID=\"{object:08x}-1111-4111-8111-000000000000\" {attributes} STARTDATE=\"2013-10-21\" />"),
        );
        self.stands(object, 3, "71701000001");
        for _ in 0..flats {
            self.next += 1;
            let flat = self.next;
            self.put("AS_APARTMENTS", &format!("<APARTMENT ID=\"1\" OBJECTID=\"{flat}\" NUMBER=\"1\" APARTTYPE=\"{FLAT}\" STARTDATE=\"2018-08-31\" ENDDATE=\"2079-06-06\" ISACTUAL=\"1\" ISACTIVE=\"1\" />"));
            self.stands(flat, object, "71701000001");
        }
        object
    }

    fn param(&mut self, object: u64, kind: u8, value: &str, start: &str, end: &str) {
        self.put("AS_HOUSES_PARAMS", &format!("<PARAM ID=\"1\" OBJECTID=\"{object}\" CHANGEID=\"1\" CHANGEIDEND=\"0\" TYPEID=\"{kind}\" VALUE=\"{value}\" STARTDATE=\"{start}\" ENDDATE=\"{end}\" />"));
    }

    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let roots = [
            ("AS_ADDR_OBJ", "ADDRESSOBJECTS"),
            ("AS_HOUSES", "HOUSES"),
            ("AS_HOUSES_PARAMS", "PARAMS"),
            ("AS_ADM_HIERARCHY", "ITEMS"),
            ("AS_MUN_HIERARCHY", "ITEMS"),
            ("AS_APARTMENTS", "APARTMENTS"),
        ];
        let file = |(list, root): (&str, &str)| {
            let body = self.files.get(list).map_or("", String::as_str);
            let text = format!("\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><{root}>{body}</{root}>");
            (format!("72/{list}_20260901_8843bf87-c334-4411-ae45-81b575e2fa6f.XML"), text.into_bytes())
        };
        roots.map(file).to_vec()
    }
}

const NOW: &str = "ENDDATE=\"2079-06-06\" ISACTUAL=\"1\" ISACTIVE=\"1\"";

fn read(files: &[(String, Vec<u8>)]) -> domovoi::error::Result<Snapshot> {
    let inputs = files.iter().map(|(name, bytes)| (name.clone(), Input::from(bytes))).collect();
    let files = Files::of_folder(inputs, RegionCode::new(72).ok(), &Limits::default())?;
    gar::read(&files, &options(72, "2026-09-01"))
}

#[test]
fn apartment_buildings_of_a_region() {
    let mut region = Region::new();
    let marked = region.house(&format!("HOUSENUM=\"1\" HOUSETYPE=\"2\" {NOW}"), 3);
    region.param(marked, 19, "1", "2023-06-10", "2079-06-06");
    region.param(marked, 5, "625000", "2020-01-01", "2021-01-01");
    region.param(marked, 5, "625001", "2021-01-01", "2079-06-06");
    region.param(marked, 7, "71701000001", "2020-01-01", "2079-06-06");
    region.param(marked, 8, "72:23:0000001:1532", "2020-01-01", "2079-06-06");
    // Two flats and no mark: likely one.
    region.house(&format!("HOUSENUM=\"2А\" ADDNUM1=\"3\" ADDTYPE1=\"1\" HOUSETYPE=\"5\" {NOW}"), 2);
    // One flat, none, and a mark that says no.
    region.house(&format!("HOUSENUM=\"3\" HOUSETYPE=\"2\" {NOW}"), 1);
    region.house(&format!("HOUSENUM=\"4\" HOUSETYPE=\"2\" {NOW}"), 0);
    let block = region.house(&format!("HOUSENUM=\"5\" HOUSETYPE=\"2\" {NOW}"), 8);
    region.param(block, 19, "0", "2023-06-10", "2079-06-06");
    // A garage, a garage marked as an apartment building, history.
    region.house(&format!("HOUSENUM=\"6\" HOUSETYPE=\"4\" {NOW}"), 0);
    let garage = region.house(&format!("HOUSENUM=\"7\" HOUSETYPE=\"4\" {NOW}"), 0);
    region.param(garage, 19, "1", "2023-06-10", "2079-06-06");
    region.house("HOUSENUM=\"8\" HOUSETYPE=\"2\" ENDDATE=\"2014-01-04\" ISACTUAL=\"0\" ISACTIVE=\"0\"", 5);
    region.house("HOUSENUM=\"9\" HOUSETYPE=\"2\" ENDDATE=\"2026-08-31\" ISACTUAL=\"1\" ISACTIVE=\"1\"", 5);
    // Nothing but a mark: no number; and a wrong cadastral number.
    let bare = region.house(&format!("HOUSETYPE=\"2\" {NOW}"), 0);
    region.param(bare, 19, "1", "2023-06-10", "2079-06-06");
    let wrong = region.house(&format!("HOUSENUM=\"11\" HOUSETYPE=\"10\" {NOW}"), 0);
    region.param(wrong, 19, "1", "2023-06-10", "2079-06-06");
    region.param(wrong, 8, "без номера", "2020-01-01", "2079-06-06");
    // Its mark is of the past, and it has no flats.
    let past = region.house(&format!("HOUSENUM=\"12\" HOUSETYPE=\"2\" {NOW}"), 0);
    region.param(past, 19, "1", "2023-06-10", "2025-01-01");

    let files = region.files();
    let found = read(&files).unwrap();
    let want = BTreeMap::from([
        ("import.gar.unproven", 3),
        ("import.house.kind", 3),
        ("import.gar.outdated", 2),
        ("import.house.number", 1),
        ("import.house.id", 1),
    ]);
    assert_eq!(counts(&found), ((3, 9, 0), want));
    let houses: Vec<_> = found.reads.iter().filter_map(|r| r.value.as_ref()).collect();
    assert_eq!(houses[0].address.as_str(), "625001, обл. Тюменская, г. Тюмень, ул. Вымышленная, д. 1");
    assert_eq!((houses[0].kind, houses[0].flats), (BuildingKind::Apartment, Some(3)));
    assert_eq!(houses[0].building.as_str(), format!("gar:{marked:08x}-1111-4111-8111-000000000000"));
    assert_eq!(houses[0].also[0].as_str(), "kad:72:23:0000001:1532");
    assert_eq!(houses[0].oktmo.unwrap().to_string(), "71701000001");
    assert_eq!((houses[1].kind, houses[1].flats), (BuildingKind::Untyped, Some(2)));
    assert_eq!(houses[1].address.as_str(), "обл. Тюменская, г. Тюмень, ул. Вымышленная, зд. 2А, к. 3");
    assert_eq!(houses[1].oktmo.unwrap().to_string(), "71701000001", "of the municipal hierarchy");
    // Written otherwise it is the same address.
    let same = |a: &str, b: &str| assert_eq!(AddressKey::parse(a), AddressKey::parse(b));
    same(houses[0].address.as_str(), "обл. Тюменская, г. Тюмень, ул. Вымышленная, д. 1");
    same(houses[1].address.as_str(), "Тюменская область, г Тюмень, ул Вымышленная, д. 2а корп. 3");

    // The zip as it is published, other regions and all.
    let mut zipped: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
    zipped.push(("77/AS_HOUSES_20260901_1.XML", b"<HOUSES/>"));
    let zipped = zip(&zipped);
    let input = Input::from(&zipped);
    let of_zip = Files::of_zip(&input, RegionCode::new(72).ok(), &Limits::default()).unwrap().expect("is ГАР");
    assert_eq!(of_zip.day().unwrap().to_string(), "2026-09-01");
    let again = gar::read(&of_zip, &options(72, "2026-09-01")).unwrap();
    assert_eq!(counts(&again), counts(&found));
    assert_eq!(again.reads, found.reads);
    assert!(
        Files::of_zip(&input, RegionCode::new(77).ok(), &Limits::default()).is_err(),
        "of 77 only one list is there"
    );
}

#[test]
fn an_export_that_does_not_say_which_houses_count_is_refused() {
    let mut region = Region::new();
    region.house(&format!("HOUSENUM=\"1\" HOUSETYPE=\"2\" {NOW}"), 2);
    let mut files = region.files();
    files.retain(|(name, _)| !name.contains("AS_APARTMENTS"));
    assert_eq!(read(&files).err().unwrap().code(), "import.gar");
    files.retain(|(name, _)| !name.contains("AS_HOUSES_PARAMS"));
    let missing = read(&files).err().unwrap();
    assert!(missing.code() == "import.gar" && missing.detail().contains("AS_HOUSES_PARAMS"), "{missing}");
}

#[test]
fn lists_that_contradict_each_other_do_no_harm() {
    // A street that lies in itself, a house on nothing, the same house twice, bombs.
    let mut region = Region::new();
    region.object(4, "Кольцо", "ул", 8, 4);
    let ring = region.house(&format!("HOUSENUM=\"1\" HOUSETYPE=\"2\" {NOW}"), 2);
    region.stands(ring, 4, "");
    let lost = region.house(&format!("HOUSENUM=\"2\" HOUSETYPE=\"2\" {NOW}"), 2);
    region.stands(lost, 99, "");
    let twice = format!("<HOUSE OBJECTID=\"{lost}\" OBJECTGUID=\"x\" HOUSENUM=\"2\" HOUSETYPE=\"2\" {NOW} />");
    region.put("AS_HOUSES", &twice);
    let found = read(&region.files()).unwrap();
    let want = BTreeMap::from([("import.house.address", 2), ("import.duplicate", 1)]);
    assert_eq!(counts(&found), ((0, 2, 1), want));

    let broken = |list: &str, text: &[u8]| {
        let mut files = region.files();
        for (name, bytes) in &mut files {
            if name.contains(list) {
                *bytes = text.to_vec();
            }
        }
        read(&files).err().map(|e| e.code())
    };
    let bomb = b"<!DOCTYPE b [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><HOUSES><HOUSE OBJECTID=\"&b;\"/></HOUSES>";
    assert_eq!(broken("AS_HOUSES_2", bomb), Some("import.xml"));
    assert_eq!(broken("AS_ADM_HIERARCHY", b"<ITEMS><ITEM OBJECTID=\"1\"/>"), Some("import.xml"));
    assert_eq!(
        broken("AS_ADDR_OBJ", b"<!DOCTYPE x SYSTEM \"http://example.org/x\"><ADDRESSOBJECTS/>"),
        Some("import.xml")
    );
    assert_eq!(
        broken("AS_HOUSES_2", "<HOUSES><HOUSE OBJECTID=\"1\"/></HOUSES>".repeat(2).as_bytes()),
        Some("import.xml")
    );
}

#[test]
fn the_published_schema() {
    let lists = |folder: &dyn Fn(&str) -> Option<Vec<u8>>, names: &[&str]| -> Option<Vec<(String, Vec<u8>)>> {
        names.iter().map(|n| folder(n).map(|bytes| ((*n).to_owned(), bytes))).collect()
    };
    const NAMES: [&str; 8] = [
        "72/AS_HOUSES_20231030_8843bf87-c334-4411-ae45-81b575e2fa6f.XML",
        "72/AS_HOUSES_PARAMS_20231030_42e305b4-a6d4-4867-9805-8cd5af8fc424.XML",
        "72/AS_ADDR_OBJ_20230710_70c6049e-98c4-4a95-8003-da5e882f4c98.XML",
        "72/AS_ADM_HIERARCHY_20231030_043a961f-04ca-4092-ad91-be73eaf82398.XML",
        "72/AS_MUN_HIERARCHY_20231030_e0c95900-897a-40de-8410-b4a48f01c427.XML",
        "72/AS_APARTMENTS_20231030_2ed472aa-ebf4-450d-bb0d-446b40fbbdae.XML",
        "AS_HOUSE_TYPES_20230706_8f22a317-dbec-44e4-9db7-a686a372c1c0.XML",
        "AS_PARAM_TYPES_20230706_5c240782-bd40-44dd-a3fd-2c84c42c6c22.XML",
    ];
    let here = lists(&|n| Some(sample(&format!("gar_72/{n}"))), &NAMES).unwrap();
    let found = read(&here).unwrap();
    assert_eq!(counts(&found), ((0, 1, 0), BTreeMap::from([("import.gar.outdated", 1)])), "its one house is history");
    // The same house, made actual: its number is put together with the dictionary, and nobody says that it has flats.
    let mut living = here.clone();
    let text = String::from_utf8(living[0].1.clone()).unwrap();
    living[0].1 = text
        .replace("2014-01-04", "2079-06-06")
        .replace("ISACTUAL=\"0\"", "ISACTUAL=\"1\"")
        .replace("ISACTIVE=\"0\"", "ISACTIVE=\"1\"")
        .into_bytes();
    let found = read(&living).unwrap();
    assert_eq!(counts(&found), ((0, 1, 0), BTreeMap::from([("import.gar.unproven", 1)])));
    if let Some(full) = lists(&|n| data::file(&format!("gar_sample_72/{n}")), &NAMES) {
        assert!(full == here, "the sample is the public files");
    }
}
