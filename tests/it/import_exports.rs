//! The exports a region downloads, each whole: what is taken over, and what is refused for which reason, counted exactly.
//!
//! The samples in the repository read alone; where the full public files are beside it, they are read too.

use std::collections::BTreeMap;
use std::io::Write;

use domovoi::import::format::Format;
use domovoi::import::houses::{Houses, Options, Snapshot};
use domovoi::import::organisations::Organisations;
use domovoi::import::report::{Outcome, Read, Report};
use domovoi::import::rows::{HouseRow, OrganisationRow};
use domovoi::import::table::Limits;
use domovoi::registry::body::{BuildingKind, ManagementForm};
use domovoi::registry::ids::RegionCode;
use domovoi::registry::text::Day;

use crate::data;

/// A file of the sample that is in the repository.
pub fn sample(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sample").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

pub fn options(region: u8, taken: &str) -> Options {
    Options {
        region: Some(RegionCode::new(region).unwrap()),
        taken: Day::parse(taken).unwrap(),
        limits: Limits::default(),
    }
}

fn houses(bytes: &[u8], region: u8, taken: &str) -> Snapshot {
    Houses::open(bytes, options(region, taken)).expect("opens").snapshot().expect("is read")
}

/// Accepted, refused, unchanged; and how often each code was given.
pub fn counts(snapshot: &Snapshot) -> ((u64, u64, u64), BTreeMap<&'static str, u64>) {
    let rows = snapshot.reads.iter().map(Read::outcome).collect();
    let report = Report { columns: snapshot.columns.clone(), rows, counted: snapshot.counted.clone() };
    summary(&report)
}

fn summary(report: &Report) -> ((u64, u64, u64), BTreeMap<&'static str, u64>) {
    let summary = report.summary();
    let of = |o| summary.outcomes.get(&o).copied().unwrap_or(0);
    ((of(Outcome::Imported) + of(Outcome::Warned), of(Outcome::Refused), of(Outcome::Unchanged)), summary.problems)
}

fn values(snapshot: &Snapshot) -> Vec<&HouseRow> {
    snapshot.reads.iter().filter_map(|r| r.value.as_ref()).collect()
}

pub fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, bytes) in files {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// A tar of plain files, names as pax headers since they are not short.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let block = |name: &[u8], kind: u8, content: &[u8]| {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name);
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[156] = kind;
        header[257..263].copy_from_slice(b"ustar\0");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&b| u32::from(b)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let mut out = header.to_vec();
        out.extend_from_slice(content);
        out.resize(out.len().next_multiple_of(512), 0);
        out
    };
    let mut out = Vec::new();
    for (name, bytes) in files {
        out.extend(block(b"pax", b'x', format!("99 path={name}\n").as_bytes()));
        out.extend(block(b"file", b'0', bytes));
    }
    out.resize(out.len() + 1024, 0);
    out
}

#[test]
fn frt_houses() {
    let bytes = sample("export-reestrmkd-61-sample.csv");
    let read = houses(&bytes, 61, "2026-09-01");
    assert_eq!(read.format, Format::Frt);
    assert_eq!(counts(&read), ((2, 1, 0), BTreeMap::from([("import.house.kind", 1)])));
    let [first, second] = values(&read)[..] else { panic!("two houses") };
    assert_eq!(first.building.as_str(), "reformagkh:8926596");
    assert_eq!(first.also[0].as_str(), "gar:e8923b56-67b7-46ad-9f07-f27a96812eb5");
    assert_eq!((first.kind, first.flats, first.year), (BuildingKind::Apartment, Some(8), Some(1951)));
    let tenure = first.tenure.as_ref().unwrap();
    assert_eq!((tenure.organisation.as_ref().unwrap().as_str(), &tenure.name), ("reformagkh:7364182", &None));
    assert_eq!(second.also[0].as_str(), "gar:ea70561b-2a91-2e7b-bbe3-1fdef7a880a3", "a GUID that is no v4");
    assert_eq!(second.address.as_str(), "г Белая Калитва ул Энгельса д.40", "without the fake «д. »");
    // As it is published: a zip of one CSV.
    let zipped = zip(&[("export-reestrmkd-61-20260901.csv", &bytes)]);
    assert_eq!(counts(&houses(&zipped, 61, "2026-09-01")), counts(&read));
    assert_eq!(counts(&houses(&gzip(&bytes), 61, "2026-09-01")), counts(&read));
    // In another region every row is refused, since it is somebody else's.
    let other = houses(&bytes, 77, "2026-09-01");
    assert_eq!(counts(&other).1["import.region"], 1);
    if let Some(full) = data::file("frt_format_sample/export-reestrmkd-61-sample.csv") {
        assert!(full == bytes, "the sample is the public file");
    }
}

/// What the format allows and the three public rows do not have.
#[test]
fn frt_houses_with_every_oddity() {
    let text = "\u{feff}id;address;houseguid;management_organization_id;exploitation_start_year;house_type;is_alarm;area_total;quarters_count;living_quarters_count\r\n\
        1;\"обл. Ростовская, г. Азов,\r\nул. \"\"Новая\"\", д. 1\";Не заполнено;;2102;Многоквартирный дом;Да;1234,56;10;-\r\n\
        2;обл. Ростовская, г. Азов, ул. Новая, д. 2;0;7364182;1990;Не заполнено;Нет;-;Не заполнено;8\r\n\
        3;-;e8923b56-67b7-46ad-9f07-f27a96812eb5;7364182;1990;Многоквартирный дом;Нет;1;1;1\r\n\
        4;обл. Ростовская, г. Азов, ул. Новая, д. 4;e8923b56-67b7-46ad-9f07-f27a96812eb5;7364182;0;Жилой дом (индивидуально-определенное здание);Нет;1;1;1\r\n\
        5;обл. Ростовская, г. Азов, ул. Новая, д. 5;нет;x1;1990;Специализированный жилищный фонд;Нет;1;1;1\r\n\
        2;обл. Ростовская, г. Азов, ул. Новая, д. 2;0;7364182;1990;Не заполнено;Нет;-;Не заполнено;8\r\n";
    let read = houses(text.as_bytes(), 61, "2026-09-01");
    assert_eq!(
        counts(&read),
        (
            (3, 2, 1),
            BTreeMap::from([
                ("import.year", 1),
                ("import.house.address", 1),
                ("import.house.kind", 1),
                ("import.duplicate", 1),
            ])
        )
    );
    let [first, second, third] = values(&read)[..] else { panic!("three houses") };
    assert_eq!(
        first.address.as_str(),
        "обл. Ростовская, г. Азов, ул. \"Новая\", д. 1",
        "a line end in quotes is a space"
    );
    assert_eq!((first.flats, first.year, first.also.len()), (Some(10), None, 0));
    assert!(first.emergency.is_some() && first.tenure.is_none());
    assert_eq!((second.kind, second.also.len()), (BuildingKind::Untyped, 0), "«0» is no GUID");
    assert_eq!(third.tenure, None, "«x1» is no profile");
}

#[expect(clippy::type_complexity, reason = "taken apart at once by every caller")]
fn organisations(bytes: &[u8]) -> (Vec<OrganisationRow>, (u64, u64, u64), BTreeMap<&'static str, u64>, String) {
    let mut opened = Organisations::open(bytes, &Limits::default(), None).expect("opens");
    let reads: Vec<_> = (&mut opened).map(|r| r.expect("a row")).collect();
    let rows = reads.iter().map(Read::outcome).collect();
    let report = Report { columns: opened.columns.clone(), rows, counted: opened.counted };
    let (totals, reasons) = summary(&report);
    let shown = format!("{reads:?}");
    (reads.into_iter().filter_map(|r| r.value).collect(), totals, reasons, shown)
}

#[test]
fn frt_organisations() {
    let bytes = sample("export-reestruo-61-sample.csv");
    let (rows, totals, reasons, _) = organisations(&bytes);
    assert_eq!((totals, reasons), ((2, 0, 0), BTreeMap::new()));
    let ids: Vec<Vec<&str>> = rows.iter().map(|r| r.ids.iter().map(|i| i.as_str()).collect()).collect();
    assert_eq!(ids[0], ["ogrn:1036102003618", "inn:6102017830", "reformagkh:8866701"]);
    assert_eq!(ids[1], ["ogrn:1146181000460", "inn:6141045453", "reformagkh:8778265"]);
    assert_eq!(rows[1].name.as_ref().unwrap().as_str(), "ООО УК \"Стадионный\"", "in Cyrillic letters");
    let zipped = zip(&[("export-reestruo-61-20260901.csv", &bytes)]);
    assert_eq!(organisations(&zipped).0, rows);
}

#[test]
fn gis_organisations() {
    let (rows, totals, reasons, shown) = organisations(&sample("gisgkh_organizations_72.csv"));
    assert_eq!((rows.len(), totals, reasons), (61, (61, 0, 0), BTreeMap::new()));
    assert!(rows.iter().all(|r| r.ids.len() == 2 && r.name.is_some()));
    assert!(!shown.contains("обл"), "addresses do not leave the reader");
    if let Some(bytes) = data::file("gisgkh_organizations_72.csv") {
        let (rows, totals, reasons, _) = organisations(&bytes);
        // One of the 547 is a branch (organizationType A).
        assert_eq!((rows.len(), totals), (546, (546, 1, 0)));
        assert_eq!(reasons, BTreeMap::from([("import.organisation.branch", 1)]));
    }
}

/// «Реестр поставщиков информации»: a title above the header, and every text in the cell itself.
#[test]
fn gis_organisations_as_a_workbook() {
    let row = |n: u32, cells: &[&str]| {
        let cells: String = cells
            .iter()
            .enumerate()
            .map(|(i, c)| {
                let column = char::from(b'A' + i as u8);
                format!("<c r=\"{column}{n}\" t=\"inlineStr\"><is><t>{c}</t></is></c>")
            })
            .collect();
        format!("<row r=\"{n}\">{cells}</row>")
    };
    let sheet = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><sheetData>{}{}{}{}{}</sheetData></worksheet>",
        row(1, &["Реестр поставщиков информации по состоянию на 01.09.2026"]),
        row(
            3,
            &[
                "№",
                "Функция",
                "Полное наименование",
                "Сокращенное наименование",
                "ОГРН",
                "ИНН",
                "Руководитель",
                "Телефон"
            ]
        ),
        row(
            4,
            &[
                "1",
                "Управляющая организация",
                "Общество &quot;Дом&quot;",
                "ООО &quot;Дом&quot;",
                "1027700132195",
                "7707083893",
                "Сидоров С.С.",
                "+7"
            ]
        ),
        row(5, &["2", "Оператор ИС", "Общество", "ООО", "1037739010891", "", "Сидоров С.С.", "+7"]),
        row(
            6,
            &["3", "Товарищество собственников жилья", "Товарищество", "", "1037739010890", "", "Сидоров С.С.", "+7"]
        ),
    );
    let book = workbook(&sheet);
    let (rows, totals, reasons, shown) = organisations(&book);
    assert_eq!(totals, (1, 2, 0));
    assert_eq!(reasons, BTreeMap::from([("import.organisation", 1), ("import.organisation.role", 1)]));
    assert_eq!((rows[0].row, rows[0].name.as_ref().unwrap().as_str()), (4, "ООО \"Дом\""));
    assert!(!shown.contains("Сидоров"), "{shown}");
}

/// A workbook of one sheet, as plain as it can be.
pub fn workbook(sheet: &str) -> Vec<u8> {
    const TYPES: &str = "<?xml version=\"1.0\"?><Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"><Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/><Override PartName=\"/xl/workbook.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml\"/><Override PartName=\"/xl/worksheets/sheet1.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml\"/></Types>";
    const RELS: &str = "<?xml version=\"1.0\"?><Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship Id=\"rId1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>";
    const BOOK: &str = "<?xml version=\"1.0\"?><workbook xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\" xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\"><sheets><sheet name=\"1\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>";
    const BOOK_RELS: &str = "<?xml version=\"1.0\"?><Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship Id=\"rId1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>";
    zip(&[
        ("[Content_Types].xml", TYPES.as_bytes()),
        ("_rels/.rels", RELS.as_bytes()),
        ("xl/workbook.xml", BOOK.as_bytes()),
        ("xl/_rels/workbook.xml.rels", BOOK_RELS.as_bytes()),
        ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
    ])
}

#[test]
fn gis_houses_of_one_row_a_flat() {
    let bytes = sample("gis_ozhf_GENERATED.csv");
    let read = houses(&bytes, 72, "2026-09-01");
    assert_eq!(read.format, Format::Gis);
    let want = BTreeMap::from([
        ("import.house.kind", 2),
        ("import.duplicate", 4),
        ("import.house.demolished", 1),
        ("import.organisation", 1),
        ("import.conflict", 1),
        ("import.region", 1),
    ]);
    assert_eq!(counts(&read), ((4, 5, 4), want), "13 rows of 8 houses");
    let found = values(&read);
    let ids: Vec<&str> = found.iter().map(|h| h.building.scheme()).collect();
    assert_eq!(ids, ["gar", "gar", "gar", "gis"]);
    assert_eq!(
        found[0].also.len(),
        2,
        "two GUIDs in one cell, and the number of ГИС ЖКХ; a flat's cadastral number is not the house's"
    );
    assert_eq!(found[0].oktmo.unwrap().to_string(), "71701000001");
    let forms: Vec<_> = found.iter().map(|h| h.tenure.as_ref().map(|t| t.form)).collect();
    let wanted = [
        Some(ManagementForm::Company),
        Some(ManagementForm::OwnersAssociation),
        Some(ManagementForm::Direct),
        // Its ОГРН is wrong, so nobody is named.
        None,
    ];
    assert_eq!(forms, wanted);
    assert!(found[2].emergency.is_some());

    // As it is published: a tar.gz of parts, of all regions; every part begins with the header.
    let text = String::from_utf8(bytes.clone()).unwrap();
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    let (one, two): (Vec<_>, Vec<_>) = lines.enumerate().partition(|(i, _)| i % 2 == 0);
    let part = |rows: &[(usize, &str)]| {
        let rows: String = rows.iter().map(|(_, r)| format!("{r}\r\n")).collect();
        format!("\u{feff}{header}\r\n{rows}").into_bytes()
    };
    let (one, two) = (part(&one), part(&two));
    let moscow = text.replace("Тюменская обл", "Московская обл").into_bytes();
    let parts: [(&str, &[u8]); 4] = [
        ("Сведения по ОЖФ Московская область на 01-09-2026_1.csv", &moscow),
        ("Сведения по ОЖФ Тюменская область на 01-09-2026_1.csv", &one),
        ("прочти.pdf", b"%PDF"),
        ("Сведения по ОЖФ Тюменская область на 01-09-2026_2.csv", &two),
    ];
    let buildings = |read: &Snapshot| {
        let mut ids: Vec<String> = values(read).iter().map(|h| format!("{} {:?}", h.building, h.tenure)).collect();
        ids.sort();
        ids
    };
    for packed in [tar(&parts), gzip(&tar(&parts)), zip(&parts)] {
        let of_parts = houses(&packed, 72, "2026-09-01");
        assert_eq!(counts(&of_parts), counts(&read));
        assert_eq!(buildings(&of_parts), buildings(&read));
    }
    // A part with other columns is not taken for rows.
    let mixed = tar(&[("1.csv", &one), ("2.csv", text.replace("Тип дома|Состояние", "Состояние|Тип дома").as_bytes())]);
    let refused = Houses::open(&mixed, options(72, "2026-09-01")).unwrap().snapshot().err().unwrap();
    assert_eq!(refused.code(), "import.header");
}

/// The organisations there have a name and no number: nothing that can be recorded, and the rows say so.
#[test]
fn mingkh_with_cadastral_numbers_and_repeated_columns() {
    let read = houses(&sample("mingkh_furmanov_37.csv"), 37, "2025-01-01");
    assert_eq!(read.format, Format::Mingkh);
    assert_eq!(counts(&read), ((38, 15, 0), BTreeMap::from([("import.house.id", 15), ("import.organisation", 25)])));
    assert!(
        values(&read).iter().all(|h| h.building.scheme() == "kad" && h.oktmo.unwrap().to_string() == "24631101001")
    );
    if let Some(bytes) = data::file("mingkh_furmanov_37.csv") {
        let read = houses(&bytes, 37, "2025-01-01");
        assert_eq!(
            counts(&read),
            ((296, 125, 0), BTreeMap::from([("import.house.id", 125), ("import.organisation", 217)]))
        );
    }
}

#[test]
fn saratov_without_any_id() {
    let read = houses(&sample("saratov_2015_dirty.csv"), 64, "2015-12-31");
    let (totals, reasons) = counts(&read);
    assert_eq!((totals, reasons["import.house.address"]), ((0, 96, 0), 3), "{reasons:?}");
    if let Some(bytes) = data::file("saratov_2015_dirty.csv") {
        let (totals, reasons) = counts(&houses(&bytes, 64, "2015-12-31"));
        eprintln!("{reasons:?}");
        assert_eq!(totals, (0, 6_560, 0));
        assert_eq!(reasons.values().sum::<u64>(), 6_560, "one reason for each: {reasons:?}");
        assert_eq!(reasons["import.house.address"], 3, "the three totals of the page");
    }
}

/// What an old spreadsheet program writes: windows-1251, a header of two rows, one name twice.
#[test]
fn windows_1251_and_two_header_rows() {
    let text = "Дома области;;;;;\n\
        ;;Дом;;Управление;\n\
        Код ФИАС;Адрес;Тип дома;Квартир;ОГРН;ОГРН\n\
        1;2;3;4;5;6\n\
        e8923b56-67b7-46ad-9f07-f27a96812eb5;обл. Ростовская, г. Азов, ул. Ёлочная, д. 1;Многоквартирный дом;8;н.д.;1027700132195\n";
    let (bytes, ..) = encoding_rs::WINDOWS_1251.encode(text);
    let read = houses(&bytes, 61, "2026-09-01");
    assert_eq!(counts(&read).0, (1, 0, 0));
    let house = values(&read)[0];
    assert_eq!((house.address.as_str(), house.flats), ("обл. Ростовская, г. Азов, ул. Ёлочная, д. 1", Some(8)));
    let organisation = house.tenure.as_ref().unwrap().organisation.as_ref().unwrap();
    assert_eq!(
        organisation.as_str(),
        "ogrn:1027700132195",
        "of a name that stands twice, the first cell that says something"
    );
    // The same as a workbook.
    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet();
    for (r, line) in text.lines().enumerate() {
        for (c, cell) in line.split(';').enumerate() {
            sheet.write_string(r as u32, c as u16, cell).unwrap();
        }
    }
    let again = houses(&book.save_to_buffer().unwrap(), 61, "2026-09-01");
    assert_eq!(values(&again), values(&read));
}

#[test]
fn a_format_is_recognised_or_held_to() {
    let code = |bytes: &[u8], forced: &str| {
        let forced = (!forced.is_empty()).then(|| forced.parse::<Format>().unwrap());
        match Houses::open_as(bytes, options(61, "2026-09-01"), forced) {
            Ok(read) => read.format.name().to_owned(),
            Err(e) => format!("{}: {}", e.code(), e.detail()),
        }
    };
    let (frt, uo) = (sample("export-reestrmkd-61-sample.csv"), sample("export-reestruo-61-sample.csv"));
    assert_eq!(code(&frt, ""), "frt");
    assert_eq!(code(&frt, "table"), "table");
    assert!(code(&frt, "gis").starts_with("import.format: the file was recognised as frt"));
    assert!(code(&uo, "").contains("recognised as frt-organisations"));
    let gis = code(&sample("gisgkh_organizations_72.csv"), "");
    assert!(gis.contains("recognised as gis-organisations"), "{gis}");
    let gar = "gar_72/72/AS_HOUSES_20231030_8843bf87-c334-4411-ae45-81b575e2fa6f.XML";
    assert!(
        code(&sample(gar), "").starts_with("import.format: the file is a list of ГАР"),
        "{}",
        code(&sample(gar), "")
    );
    assert_eq!(code(&sample("gis_ozhf_GENERATED.csv"), ""), "gis");
    assert_eq!(code(&sample("mingkh_furmanov_37.csv"), ""), "mingkh");
    assert_eq!(code(&sample("10_karelia_20160920.csv.gz"), ""), "reformagkh");
    assert_eq!(code(&sample("saratov_2015_dirty.csv"), ""), "table");
}
