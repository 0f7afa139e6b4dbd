//! Files that are damaged or made to do harm: each is refused with its code, or read without it.

use domovoi::import::houses::Houses;
use domovoi::import::input::{Input, Source, Stream};
use domovoi::import::report::Outcome;
use domovoi::import::table::Limits;

use crate::import_exports::{gzip, options, tar, workbook, zip};

const HEAD: &str = "HOUSE_ID;ADDRESS;YEAR\n";

/// The code of the file, or of the first row that has one, or «fine».
fn code(bytes: &[u8]) -> String {
    code_within(bytes, Limits::default())
}

fn code_within(bytes: &[u8], limits: Limits) -> String {
    let mut options = options(61, "2026-09-01");
    options.limits = limits;
    let opened = match Houses::open(bytes, options) {
        Ok(opened) => opened,
        Err(e) => return e.code().to_owned(),
    };
    for row in opened {
        match row {
            Err(e) => return e.code().to_owned(),
            Ok(read) if read.outcome == Outcome::Refused => return read.problems.last().unwrap().code.code.to_owned(),
            Ok(_) => {}
        }
    }
    "fine".to_owned()
}

fn good() -> Vec<u8> {
    let rows: String = (1..200).map(|i| format!("{i};обл. Ростовская, г. Азов, ул. Мира, д. {i};1990\n")).collect();
    format!("{HEAD}{rows}").into_bytes()
}

#[test]
fn packed_files_that_are_damaged() {
    let plain = good();
    let packed = gzip(&plain);
    assert_eq!(code(&packed), "fine");
    for cut in [12, packed.len() / 2, packed.len() - 9, packed.len() - 1] {
        assert_eq!(code(&packed[..cut]), "import.gzip", "cut at {cut}");
    }
    let mut wrong = packed.clone();
    let crc = packed.len() - 8;
    wrong[crc] ^= 1;
    assert_eq!(code(&wrong), "import.gzip", "its checksum is wrong");

    let archive = zip(&[("houses.csv", &plain)]);
    assert_eq!(code(&archive), "fine");
    let contents = archive.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    // In the table of contents: checksum at 16, packed size at 20, size at 24.
    for (at, name) in [(16, "checksum"), (24, "size"), (25, "size")] {
        for change in [1u8, 0x80] {
            let mut lies = archive.clone();
            lies[contents + at] ^= change;
            assert_eq!(code(&lies), "import.zip", "a false {name}");
        }
    }
    let mut short = archive.clone();
    let packed = u32::from_le_bytes(short[contents + 20..contents + 24].try_into().unwrap());
    short[contents + 20..contents + 24].copy_from_slice(&(packed - 16).to_le_bytes());
    assert_eq!(code(&short), "import.zip", "a false packed size");
    assert_eq!(code(&archive[..archive.len() - 4]), "import.xlsx", "no table of contents");

    let archive = tar(&[("houses.csv", &plain)]);
    assert_eq!(code(&archive), "fine");
    for cut in [700, 1300, 1900] {
        assert_eq!(code(&archive[..cut]), "import.tar", "cut at {cut}");
        assert_eq!(code(&gzip(&archive[..cut])), "import.tar", "cut at {cut} and packed");
    }
    assert_eq!(code(&gzip(&archive)[..200]), "import.gzip");
    assert_eq!(code(&tar(&[("photo.jpg", b"x")])), "import.tar", "no table in it");
    assert_eq!(code(&zip(&[("photo.jpg", b"x")])), "import.zip", "no table in it");
}

#[test]
fn floods() {
    let flood =
        [HEAD.as_bytes(), "1;обл. Ростовская, г. Азов, ул. Мира, д. 1;1990\n".repeat(600_000).as_bytes()].concat();
    for (packed, name) in
        [(gzip(&flood), "gzip"), (zip(&[("a.csv", &flood)]), "zip"), (gzip(&tar(&[("a.csv", &flood)])), "tar.gz")]
    {
        assert!(packed.len() < flood.len() / 40, "{name} packs well");
        let limits = Limits { ratio: 30, ..Limits::default() };
        assert_eq!(code_within(&packed, limits), "import.too-large", "{name} grows too much");
        let limits = Limits { bytes: 10 << 20, ..Limits::default() };
        assert_eq!(code_within(&packed, limits), "import.too-large", "{name} is too large");
        let limits = Limits { rows: 1000, ..Limits::default() };
        assert_eq!(code_within(&packed, limits), "import.too-large", "{name} has too many rows");
    }
    let cells = "<row r=\"1\"><c r=\"A1\" t=\"inlineStr\"><is><t>x</t></is></c></row>".repeat(10_000);
    let book = workbook(&format!(
        "<worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><sheetData>{cells}</sheetData></worksheet>"
    ));
    assert_eq!(code_within(&book, Limits { bytes: 100_000, ..Limits::default() }), "import.too-large");
}

#[test]
fn cells_that_are_no_cells() {
    let row = |address: &str| format!("{HEAD}1;{address};1990\n");
    assert_eq!(code(row(&"д. 1 ".repeat(200_000)).as_bytes()), "import.cell", "a megabyte in a cell");
    assert_eq!(code(format!("{HEAD}{}\n", ";".repeat(1_000_000)).as_bytes()), "import.cell", "a million columns");
    assert_eq!(code(format!("HOUSE_ID;ADDRESS{}\n1;2\n", ";x".repeat(1_000_000)).as_bytes()), "import.cell");
    assert_eq!(
        code(format!("{HEAD}1;\"{}", "ул. Мира, д. 1\n".repeat(400_000)).as_bytes()),
        "import.cell",
        "a quote left open"
    );
    // NUL says nothing and is passed over; a broken character refuses its row.
    assert_eq!(code(row("обл. Ростовская, г. Азов,\0 ул. Мира, д. 1").as_bytes()), "fine");
    let mut broken = good();
    let at = broken.windows(4).position(|w| w == "Ми".as_bytes()).unwrap();
    broken[at] = 0xff;
    assert_eq!(code(&broken), "import.encoding");
    assert_eq!(code(&[0; 10_000]), "import.header");
    assert_eq!(code(&[0xff; 10_000]), "import.header");
}

fn sheet(rows: &str) -> Vec<u8> {
    let header = "<row r=\"1\"><c r=\"A1\" t=\"inlineStr\"><is><t>HOUSE_ID</t></is></c><c r=\"B1\" t=\"inlineStr\"><is><t>ADDRESS</t></is></c></row>";
    workbook(&format!(
        "<?xml version=\"1.0\"?><worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><sheetData>{header}{rows}</sheetData></worksheet>"
    ))
}

#[test]
fn workbooks_made_to_do_harm() {
    let read = |book: &[u8]| -> Vec<Vec<String>> {
        Houses::open(book, options(61, "2026-09-01")).unwrap().map(|r| r.unwrap().cells).collect()
    };
    // Of a formula its last result counts; one without a result is empty. Nothing is computed.
    let formulas = sheet(
        "<row r=\"2\"><c r=\"A2\"><f>1+1</f><v>2</v></c><c r=\"B2\" t=\"str\"><f>HYPERLINK(\"http://example.org\")</f><v>г. Азов, ул. Мира, д. 1</v></c></row>\
         <row r=\"3\"><c r=\"A3\"><f>1+2</f></c><c r=\"B3\" t=\"inlineStr\"><is><t>г. Азов, ул. Мира, д. 2</t></is></c></row>",
    );
    assert_eq!(read(&formulas), [vec!["2", "г. Азов, ул. Мира, д. 1"], vec!["", "г. Азов, ул. Мира, д. 2"]]);
    // A row or column beyond every sheet.
    let cell =
        |place: &str| sheet(&format!("<row r=\"2\"><c r=\"{place}\" t=\"inlineStr\"><is><t>x</t></is></c></row>"));
    for place in ["ALL2", "XFD2", "ZZZZ2", "A99999999999"] {
        let code = code(&cell(place));
        assert!(["import.cell", "import.xlsx"].contains(&code.as_str()), "{place}: {code}");
    }
    // Entities of its own are not expanded, and nothing outside is opened.
    for document in
        ["<!DOCTYPE x [<!ENTITY e \"раскрыто\">]>", "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/hostname\">]>"]
    {
        let rows = "<row r=\"2\"><c r=\"A2\" t=\"inlineStr\"><is><t>&e;</t></is></c></row>";
        let book = workbook(&format!(
            "<?xml version=\"1.0\"?>{document}<worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><sheetData><row r=\"1\"><c r=\"A1\" t=\"inlineStr\"><is><t>HOUSE_ID</t></is></c><c r=\"B1\" t=\"inlineStr\"><is><t>ADDRESS</t></is></c></row>{rows}</sheetData></worksheet>"
        ));
        match Houses::open(&book, options(61, "2026-09-01")) {
            Err(e) => assert_eq!(e.code(), "import.xlsx"),
            Ok(rows) => {
                let rows: Vec<_> = rows.collect();
                assert!(!format!("{rows:?}").contains("раскрыто"), "{rows:?}");
            }
        }
    }
    // Parts that are missing or are no XML.
    assert_eq!(code(&zip(&[("xl/workbook.xml", b"<workbook")])), "import.xlsx");
    let cut = code(&workbook("<worksheet><sheetData><row"));
    assert!(["import.xlsx", "import.header"].contains(&cut.as_str()), "{cut}");
}

/// What the system refuses while a file is read is no damaged table, and no panic.
#[test]
fn a_disk_that_fails_is_an_error() {
    struct Failing(Vec<u8>);
    struct Half(std::io::Cursor<Vec<u8>>);
    impl std::io::Read for Half {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            if self.0.position() > 4000 {
                return Err(std::io::Error::other("the disk is gone"));
            }
            let most = out.len().min(1000);
            self.0.read(&mut out[..most])
        }
    }
    impl std::io::Seek for Half {
        fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
            self.0.seek(to)
        }
    }
    impl Source<'static> for Failing {
        fn open(&self) -> std::io::Result<Box<dyn Stream>> {
            Ok(Box::new(Half(std::io::Cursor::new(self.0.clone()))))
        }
        fn size(&self) -> u64 {
            self.0.len() as u64
        }
    }
    let refused = Houses::open(Input::new(Failing(good())), options(61, "2026-09-01")).err().unwrap();
    assert!(refused.code() == "import.gzip" && refused.detail().contains("the disk is gone"), "{refused}");
    // A file that cannot even be opened.
    struct Gone;
    impl Source<'static> for Gone {
        fn open(&self) -> std::io::Result<Box<dyn Stream>> {
            Err(std::io::ErrorKind::NotFound.into())
        }
        fn size(&self) -> u64 {
            0
        }
    }
    assert!(Houses::open(Input::new(Gone), options(61, "2026-09-01")).is_err());
}
