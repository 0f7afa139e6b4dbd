//! Cases about what an operator hands in: tables for import, and the configuration.

use std::io::Write;

use serde_json::{Value, json};

use super::{Case, bare, case};

const HOUSES: &str = "HOUSE_ID;GUID;ADDRESS;HOUSE_TYPE;YEAR;LIVING_QUARTERS_COUNT;OKTMO;OGRN;SERVICEDATE_START\n";
const CHATS: &str = "Адрес;Код дома;Ссылка на чат;ID чата;Название\n";
const MANAGEMENTS: &str = "Адрес;Код дома;ОГРН;ИНН;Дата начала;Форма управления\n";
const LINK: &str = "https://max.ru/join/AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().last_modified_time(zip::DateTime::default());
    for (name, bytes) in files {
        out.start_file(*name, options).unwrap();
        out.write_all(bytes).unwrap();
    }
    out.finish().unwrap().into_inner()
}

/// A tar of one table: a header of 512 bytes with its checksum, the content filled up to 512, two empty blocks.
fn tar(content: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    header[..5].copy_from_slice(b"a.csv");
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    header[148..156].copy_from_slice(b"        ");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = [&header[..], content].concat();
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}

/// Lists of ГАР: which houses there are, and that the first is an apartment building.
fn gar(name: &str, code: &str, change: impl Fn(&str, String) -> String) -> Case {
    let dated = r#"ISACTUAL="1" ISACTIVE="1" STARTDATE="2019-01-01" ENDDATE="2079-06-06""#;
    let house = format!(
        r#"<HOUSE OBJECTID="1" OBJECTGUID="0c5b2444-70a0-4932-980c-b4dc0d3f02b5" HOUSENUM="1" HOUSETYPE="2" {dated}/>"#
    );
    let object = |id: u32, name: &str, kind: &str, level: u32| {
        let guid = format!("1c5b2444-70a0-4932-980c-b4dc0d3f02{id}");
        format!(
            r#"<OBJECT OBJECTID="{id}" OBJECTGUID="{guid}" NAME="{name}" TYPENAME="{kind}" LEVEL="{level}" {dated}/>"#
        )
    };
    let item = |fields: &str| {
        format!(r#"<ITEMS><ITEM OBJECTID="1" PARENTOBJID="20" {fields} {dated} PATH="30.20.1"/></ITEMS>"#)
    };
    let streets = format!("{}{}", object(20, "Мира", "ул", 8), object(30, "Москва", "г", 1));
    let mark = format!(r#"<PARAM OBJECTID="1" CHANGEIDEND="0" TYPEID="19" VALUE="1" {dated}/>"#);
    let lists = [
        ("HOUSES", format!("<HOUSES>{house}</HOUSES>")),
        ("ADDR_OBJ", format!("<ADDRESSOBJECTS>{streets}</ADDRESSOBJECTS>")),
        ("MUN_HIERARCHY", item(r#"OKTMO="45383000""#)),
        ("ADM_HIERARCHY", item(r#"REGIONCODE="77""#)),
        ("HOUSES_PARAMS", format!("<PARAMS>{mark}</PARAMS>")),
    ];
    let files: Vec<Value> = lists
        .into_iter()
        .map(|(list, text)| (list, change(list, text)))
        .filter(|(_, text)| !text.is_empty())
        .map(|(list, text)| json!({ "path": format!("77/AS_{list}_20231030_x.XML"), "utf8": text }))
        .collect();
    bare(name, "gar", code).with("region", "77").with("day", "2023-10-31").with("files", files)
}

/// [`gar`] with one list changed by replacing text; an empty text leaves the list out.
fn gar_list(name: &str, code: &str, list: &str, from: &str, to: &str) -> Case {
    gar(name, code, |l, text| match (l == list, from) {
        (false, _) => text,
        (true, "") => to.to_owned(),
        (true, from) => {
            assert!(text.contains(from), "{text}");
            text.replace(from, to)
        }
    })
}

fn gar_cases() -> Vec<Case> {
    let doctype = "<!DOCTYPE a [<!ENTITY x \"xxxxxxxxxx\">]><HOUSES><HOUSE HOUSENUM=\"&x;\"";
    vec![
        gar("a good ГАР", "", |_, text| text),
        gar_list("ГАР: no list of houses", "import.gar", "HOUSES", "", ""),
        gar_list("ГАР: nothing says what is an apartment building", "import.gar", "HOUSES_PARAMS", "", ""),
        gar_list("ГАР: an element that is never closed", "import.xml", "HOUSES", "</HOUSES>", ""),
        gar_list("ГАР: an attribute without quotes", "import.xml", "HOUSES", "HOUSENUM=\"1\"", "HOUSENUM=1"),
        gar_list("ГАР: an attribute twice", "import.xml", "HOUSES", "HOUSENUM=", "HOUSENUM=\"2\" HOUSENUM="),
        gar_list("ГАР: an entity of its own", "import.xml", "HOUSES", "<HOUSES><HOUSE", doctype),
        gar_list("ГАР: no XML", "import.xml", "HOUSES", "", "HOUSE;1\n"),
        gar_list("ГАР: a house not in force", "import.gar.outdated", "HOUSES", "ISACTIVE=\"1\"", "ISACTIVE=\"0\""),
        gar_list(
            "ГАР: a house without a mark",
            "import.gar.unproven",
            "HOUSES_PARAMS",
            "OBJECTID=\"1\"",
            "OBJECTID=\"9\"",
        ),
        gar_list("ГАР: a private house", "import.house.kind", "HOUSES_PARAMS", "VALUE=\"1\"", "VALUE=\"0\""),
        gar_list("ГАР: an object that is no number", "import.house.id", "HOUSES", "OBJECTID=\"1\"", "OBJECTID=\"one\""),
        gar("ГАР: a house twice", "import.duplicate", |list, text| match list {
            "HOUSES" => {
                let house = text["<HOUSES>".len()..text.len() - "</HOUSES>".len()].to_owned();
                text.replace("</HOUSES>", &format!("{house}</HOUSES>"))
            }
            _ => text,
        }),
    ]
}

/// The register of organisations of ГИС ЖКХ.
fn organisations_cases() -> Vec<Case> {
    let header = "guid,fullName,shortName,organizationType,inn,ogrn,organizationRoleName\n";
    let row =
        "cfdb017b-f380-4adf-b5c2-53579a297d7d,ОБЩЕСТВО ДОМ,ООО ДОМ,L,7701651356,1067746424899,Управляющая организация";
    let of = |name: &str, row: &str, code: &str| case(name, "organisations", format!("{header}{row}\n"), code);
    let numbers = "7701651356,1067746424899";
    let supplier = row.replace("Управляющая", "Ресурсоснабжающая");
    vec![
        of("a good register of organisations", row, ""),
        of("organisations: a wrong ОГРН and no ИНН", &row.replace(numbers, ",1067746424890"), "import.organisation"),
        of("organisations: neither ОГРН nor ИНН", &row.replace(numbers, ","), "import.organisation"),
        of("organisations: one that manages nothing", &supplier, "import.organisation.role"),
        of("organisations: a branch", &row.replace(",L,", ",A,"), "import.organisation.branch"),
        of("organisations: a cell too many", &format!("{row},x"), "import.cells"),
        of("organisations: damaged letters", &row.replace("ООО", "ОО\u{fffd}"), "import.encoding"),
        of("organisations: an organisation twice", &format!("{row}\n{row}"), "import.duplicate"),
        of(
            "organisations: one number, two names",
            &format!("{row}\n{}", row.replace("ООО ДОМ", "ООО КРОВ")),
            "import.conflict",
        ),
        case("organisations: no numbers", "organisations", "fullName,organizationRoleName\nДОМ,УО\n", "import.header"),
    ]
}

fn of(what: &str, name: &str, input: impl AsRef<[u8]>, code: &str) -> Case {
    let c = case(name, what, input, code);
    match what {
        "houses" => c.with("region", "77").with("day", "2020-01-01"),
        "managements" => c.with("day", "2030-01-01"),
        _ => c,
    }
}

/// One row under a header; row 2 is what the code is about.
fn row(what: &str, name: &str, row: &str, code: &str) -> Case {
    let header = match what {
        "houses" => HOUSES,
        "chats" => CHATS,
        _ => MANAGEMENTS,
    };
    of(what, name, format!("{header}{row}\n"), code).with("row", 2)
}

pub fn imports() -> Vec<Case> {
    let house = "7;;г. Москва, ул. Мира, д. 5;Многоквартирный дом;1974;96;45383000;1027700132195;01.02.2012";
    let chat = format!("ул. Мира, д. 5;;{LINK};;Дом");
    let managed = "ул. Мира, д. 5;;1027700132195;;01.09.2026;";
    let good = format!("{HOUSES}{house}\n");
    let packed = gzip(good.as_bytes());
    let with = |from: &str, to: &str| {
        assert!(house.contains(from));
        house.replacen(from, to, 1)
    };
    let mut cut = packed.clone();
    cut.truncate(packed.len() - 12);
    let mut flipped = packed.clone();
    let at = flipped.len() / 2;
    flipped[at] ^= 0x55;
    let tar = tar(good.as_bytes());
    let mut flipped_tar = tar.clone();
    flipped_tar[3] ^= 1;
    let zipped = zip(&[("a.csv", good.as_bytes())]);
    let pulled_down = format!("{};дата сноса объекта\n{house};01.02.2015\n", HOUSES.trim_end());
    let bomb = gzip(&vec![b'x'; 40 << 20]);
    let long = "д".repeat(600);
    let mut cases = vec![
        of("houses", "a good table of houses", &good, ""),
        of("chats", "a good table of chats", format!("{CHATS}{chat}\n"), ""),
        of("managements", "a good table of managements", format!("{MANAGEMENTS}{managed}\n"), ""),
        of("houses", "a good packed table", &packed, ""),
        of("houses", "a good tar", &tar, ""),
        of("houses", "a good zip", &zipped, ""),
        of("houses", "houses: one that was pulled down", &pulled_down, "import.house.demolished").with("row", 2),
        // Files.
        of("houses", "file: empty", "", "import.format"),
        of("houses", "file: an old workbook", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "import.format"),
        of("houses", "file: a PDF", "%PDF-1.4\n", "import.format"),
        of("houses", "file: a web page", "<!DOCTYPE html><html></html>", "import.format"),
        of("houses", "file: XML", "<?xml version=\"1.0\"?><HOUSES/>", "import.format"),
        of("houses", "file: only white space", " \n \n", "import.header"),
        of("houses", "file: no column that is known", "a;b\n1;2\n", "import.header"),
        of("houses", "file: no column of addresses", "HOUSE_ID;YEAR\n7;1974\n", "import.header"),
        of("chats", "file: chats without a column of chats", "Адрес;Название\nул. Мира, д. 5;Дом\n", "import.header"),
        of("chats", "file: chats without a column of houses", format!("Ссылка;Название\n{LINK};Дом\n"), "import.header"),
        of("managements", "file: managements without organisations", "Адрес;Дата\nул. Мира, д. 5;01.01.2020\n", "import.header"),
        of("houses", "file: gzip cut short", &cut, "import.gzip"),
        of("houses", "file: gzip with a changed byte", &flipped, "import.gzip"),
        of("houses", "file: gzip that is none", b"\x1f\x8b\x08\0\0\0", "import.gzip"),
        of("houses", "file: forty megabytes in forty kilobytes", &bomb, "import.too-large"),
        of("houses", "file: a workbook that is none", b"PK\x03\x04nothing", "import.xlsx"),
        of("houses", "file: a zip without a table", zip(&[("readme.md", b"x")]), "import.zip"),
        of("houses", "file: a workbook without sheets", zip(&[("xl/workbook.xml", b"<workbook/>")]), "import.xlsx"),
        of("houses", "file: more rows than are read", format!("{HOUSES}{house}\n{house}\n"), "import.too-large")
            .with("limits", json!({ "rows": 1 })),
        of("houses", "file: more bytes than are read", &good, "import.too-large").with("limits", json!({ "bytes": 100 })),
        of("houses", "file: more columns than are read", &good, "import.cell").with("limits", json!({ "columns": 4 })),
        of("houses", "file: a cell longer than is read", &good, "import.cell").with("limits", json!({ "cell": 20 })),
        of("houses", "file: a quote that is never closed", format!("{HOUSES}{house}\n8;;\"г. Москва, ул. Мира, д. 6\n{house}\n"), "import.cell"),
        of("houses", "file: a tar cut short", &tar[..700], "import.tar"),
        of("houses", "file: a tar with a changed byte", &flipped_tar, "import.tar"),
        of("houses", "file: a zip cut short", &zipped[..zipped.len() - 30], "import.xlsx"),
        // Rows of houses.
        row("houses", "houses: no address", &with("г. Москва, ул. Мира, д. 5", ""), "import.house.address"),
        row("houses", "houses: an address that says nothing", &with("г. Москва, ул. Мира, д. 5", "нет данных"), "import.house.address"),
        row("houses", "houses: an address of 600 letters", &with("г. Москва, ул. Мира, д. 5", &long), "import.house.address"),
        row("houses", "houses: an address without a house", &with(", д. 5", ""), "import.house.number"),
        row("houses", "houses: a flat", &with("д. 5", "д. 5, кв. 3"), "import.house.flat"),
        row("houses", "houses: another region", &with("г. Москва", "обл. Томская, г. Томск"), "import.region"),
        row("houses", "houses: damaged letters", &with("Мира", "М\u{fffd}ра"), "import.encoding"),
        row("houses", "houses: no id", &with("7;", ";"), "import.house.id"),
        row("houses", "houses: an id that is none", &with("7;;", "семь;;"), "import.house.id"),
        row("houses", "houses: a GUID that is none", &with("7;;", "7;0c5b2444;"), "import.house.id"),
        row("houses", "houses: a private house", &with("Многоквартирный дом", "Индивидуальный жилой дом"), "import.house.kind"),
        row("houses", "houses: an unknown kind", &with("Многоквартирный дом", "Дирижабль"), "import.house.kind-unknown"),
        row("houses", "houses: a year to come", &with("1974", "2974"), "import.year"),
        row("houses", "houses: a year in letters", &with("1974", "давно"), "import.year"),
        row("houses", "houses: a million flats", &with(";96;", ";1000000;"), "import.number"),
        row("houses", "houses: flats in letters", &with(";96;", ";много;"), "import.number"),
        row("houses", "houses: a wrong ОКТМО", &with("45383000", "4538"), "import.oktmo"),
        row("houses", "houses: a wrong ОГРН", &with("1027700132195", "1027700132194"), "import.organisation"),
        row("houses", "houses: a day to come", &with("01.02.2012", "01.02.2032"), "import.date"),
        row("houses", "houses: a day that is none", &with("01.02.2012", "31.02.2012"), "import.date"),
        row("houses", "houses: a cell too many", &format!("{house};;;лишнее"), "import.cells"),
        of("houses", "houses: a row twice", format!("{HOUSES}{house}\n{house}\n"), "import.duplicate").with("row", 3),
        of("houses", "houses: an id twice", format!("{HOUSES}{house}\n{}\n", with("1974", "1975")), "import.conflict").with("row", 3),
        // Rows of chats.
        row("chats", "chats: neither link nor number", "ул. Мира, д. 5;;;;Дом", "import.chat.empty"),
        row("chats", "chats: a link that is none", "ул. Мира, д. 5;;чат дома;;Дом", "import.chat.link"),
        row("chats", "chats: a lookalike link", &chat.replace("max.ru", "m\u{430}x.ru"), "import.chat.link"),
        row("chats", "chats: a number that is none", "ул. Мира, д. 5;;;чат 5;Дом", "import.chat.id"),
        row("chats", "chats: the number zero", "ул. Мира, д. 5;;;0;Дом", "import.chat.id"),
        row("chats", "chats: a title of 600 letters", &chat.replace(";Дом", &format!(";{long}")), "import.chat.title"),
        row("chats", "chats: no house", &chat.replace("ул. Мира, д. 5", ""), "import.house.address"),
        row("chats", "chats: an address without a house", &chat.replace(", д. 5", ""), "import.house.number"),
        row("chats", "chats: a flat", &chat.replace("д. 5", "д. 5, кв. 7"), "import.house.flat"),
        row("chats", "chats: an id that is none", &chat.replace("д. 5;;", "д. 5;gar:1;"), "import.house.id"),
        row("chats", "chats: a cell too many", &format!("{chat};;лишнее"), "import.cells"),
        of("chats", "chats: a row twice", format!("{CHATS}{chat}\n{chat}\n"), "import.duplicate").with("row", 3),
        of(
            "chats",
            "chats: a choice that names no building",
            format!("Адрес;Ссылка на чат;строка;поле;причина;что сделать;варианты;выбор\nул. Мира, д. 5;{LINK};2;;;;;второй\n"),
            "import.choice",
        )
        .with("row", 2),
        // Rows of managements.
        row("managements", "managements: a wrong ОГРН", &managed.replace("1027700132195", "1027700132194"), "import.organisation"),
        row("managements", "managements: a wrong ИНН", &managed.replace("1027700132195;", ";7707083894"), "import.organisation"),
        row("managements", "managements: no organisation", &managed.replace("1027700132195", ""), "import.organisation"),
        row("managements", "managements: a day that is none", &managed.replace("01.09.2026", "32.09.2026"), "import.date"),
        row("managements", "managements: a day of the next decade", &managed.replace("01.09.2026", "01.09.2036"), "import.date"),
        row("managements", "managements: an unknown form", &format!("{managed}домовой"), "import.form"),
        row("managements", "managements: an address without a house", &managed.replace(", д. 5", ""), "import.house.number"),
    ];
    cases.extend(gar_cases());
    cases.extend(organisations_cases());
    cases
}

fn settings(name: &str, text: impl AsRef<[u8]>, code: &str) -> Case {
    case(name, "configuration", text, code)
}

fn environment(name: &str, variable: &str, value: &str, code: &str) -> Case {
    settings(name, "", code).with("environment", vec![json!([variable, value])])
}

fn set(name: &str, option: &str, code: &str) -> Case {
    settings(name, "", code).with("set", vec![Value::from(option)])
}

pub fn configuration() -> Vec<Case> {
    let sha = "ab".repeat(32);
    let follow = |name: &str, url: &str, sha: &str| {
        format!("[[follow]]\nname = \"{name}\"\nurl = \"{url}\"\ncharter_sha256 = \"{sha}\"\n")
    };
    let one = follow("karelia", "https://log.example", &sha);
    let plain = |rest: &str| format!("[http]\nplain_http = true\n{rest}\n");
    let (value, kind) = ("config.value", "config.type");
    vec![
        settings("a good configuration", format!("[limits]\nbody_bytes = 2048\n{one}"), ""),
        settings("settings: no UTF-8", b"[node]\n# \xff\n", "config.file"),
        settings("settings: a quarter of a megabyte", vec![b'#'; 256 * 1024 + 1], "config.file"),
        settings("settings: an open list", "[http]\nlisten = [\n", "config.syntax"),
        settings("settings: a key twice", "[limits]\nrequests = 1\nrequests = 2\n", "config.syntax"),
        settings("settings: a section twice", "[limits]\n[limits]\n", "config.syntax"),
        settings("settings: an unknown section", "[limit]\n", "config.key"),
        settings("settings: an unknown key", "[limits]\nbody_bites = 1\n", "config.key"),
        settings("settings: a key outside of sections", "listen = 1\n", "config.key"),
        settings("settings: an unknown key of a followed node", format!("{one}port = 1\n"), "config.key"),
        settings("settings: a number as text", "[limits]\nbody_bytes = \"64k\"\n", kind),
        settings("settings: a fraction", "[limits]\nbody_bytes = 2048.0\n", kind),
        settings("settings: a section that is a number", "limits = 3\n", kind),
        settings("settings: a repeated section given once", "[follow]\nname = \"a\"\n", kind),
        settings("settings: a single section repeated", "[[limits]]\nrequests = 1\n", kind),
        settings("settings: an address that is none", "[http]\nlisten = [\"nonsense\"]\n", kind),
        settings("settings: a list of numbers", "[http]\nlisten = [1]\n", kind),
        settings("settings: a date", "[node]\npublic_url = 2020-01-01\n", kind),
        settings("settings: a number too small", "[limits]\nbody_bytes = 1\n", value),
        settings("settings: a number too large", "[limits]\nbody_bytes = 99999999999\n", value),
        settings("settings: a negative number", "[limits]\nrequests = -1\n", value),
        settings("settings: a word that is none of the choices", "[log]\nlevel = \"loud\"\n", value),
        settings("settings: no address", "[http]\nlisten = []\n", value),
        settings("settings: idle before the request's time", "[limits]\nidle_timeout_seconds = 30\n", value),
        settings("settings: memory smaller than one body", "[limits]\nbuffered_body_bytes = 65536\n", value),
        settings("settings: a proxy without an address", plain("behind_proxy = \"nginx\""), value),
        settings(
            "settings: a public address without encryption",
            "[node]\npublic_url = \"http://chats.example\"\n",
            value,
        ),
        settings(
            "settings: a public address with a query",
            "[node]\npublic_url = \"https://chats.example/?x\"\n",
            value,
        ),
        settings("settings: a public address that is none", "[node]\npublic_url = \"chats\"\n", value),
        settings("settings: plain HTTP to everybody", plain("listen = [\"0.0.0.0:80\"]"), "config.plain_http"),
        settings(
            "settings: plain HTTP to everybody beside loopback",
            plain("listen = [\"127.0.0.1:80\", \"[::]:80\"]"),
            "config.plain_http",
        ),
        settings("settings: a certificate without a key", "[tls]\ncertificate = \"a.pem\"\n", "config.tls"),
        settings("settings: a key without a certificate", "[tls]\nprivate_key = \"a.pem\"\n", "config.tls"),
        settings("settings: a followed node over plain HTTP", follow("a", "http://log.example", &sha), value),
        settings("settings: a followed node with a user name", follow("a", "https://me@log.example", &sha), value),
        settings("settings: a followed node with upper-case letters", follow("A", "https://log.example", &sha), value),
        settings("settings: a followed node without a name", follow("", "https://log.example", &sha), value),
        settings("settings: a short digest of a charter", follow("a", "https://log.example", "ab"), value),
        settings(
            "settings: a digest of a charter in upper case",
            follow("a", "https://log.example", &sha.to_uppercase()),
            value,
        ),
        settings("settings: a node followed twice", format!("{one}{one}"), value),
        environment("environment: a number as a word", "DOMOVOI_LIMITS__BODY_BYTES", "many", kind),
        environment("environment: a number too small", "DOMOVOI_LIMITS__BODY_BYTES", "1", value),
        environment("environment: a second setting in a value", "DOMOVOI_LIMITS__BODY_BYTES", "2048\nx = 1", kind),
        environment("environment: an unknown key", "DOMOVOI_LIMITS__BODY_BITES", "1", "config.key"),
        environment("environment: an unknown section", "DOMOVOI_LIMIT__BODY_BYTES", "1", "config.key"),
        environment("environment: a repeated section", "DOMOVOI_FOLLOW__NAME", "a", "config.override"),
        environment("environment: nine kilobytes", "DOMOVOI_NODE__PUBLIC_URL", &"x".repeat(9_000), "config.override"),
        environment("environment: plain HTTP to everybody", "DOMOVOI_HTTP__LISTEN", "0.0.0.0:nonsense", kind),
        set("command line: no value", "limits.body_bytes", "config.override"),
        set("command line: no section", "body_bytes=1", "config.override"),
        set("command line: an unknown key", "limits.body_bites=1", "config.key"),
        set("command line: a number as a word", "limits.body_bytes=many", kind),
        set("command line: a word that is none of the choices", "log.level=loud", value),
    ]
}
