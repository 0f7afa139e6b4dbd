//! Real public data beside the repository (`../shared/data`), for tests that say so and do nothing without it.
//! `DOMOVOI_DATA` names another place.

use std::path::PathBuf;

/// Where a data file is, or a message and nothing when it is not there.
pub fn path(name: &str) -> Option<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let places = [
        std::env::var_os("DOMOVOI_DATA").map(PathBuf::from),
        Some(here.join("../shared/data")),
        Some(here.join("../../shared/data")),
    ];
    let found = places.into_iter().flatten().map(|dir| dir.join(name)).find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: the data file {name} is not here");
    }
    found
}

/// A data file, or a message and nothing when it is not there.
pub fn file(name: &str) -> Option<Vec<u8>> {
    Some(std::fs::read(path(name)?).expect("the data file can be read"))
}

/// Rows of a gzipped or plain CSV with a comma, as the `csv` crate reads them: independent of the importer.
pub fn rows(name: &str) -> Option<Vec<std::collections::HashMap<String, String>>> {
    file(name).map(table)
}

/// Rows of a table of the sample that is part of the repository.
pub fn sample(name: &str) -> Vec<std::collections::HashMap<String, String>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/sample");
    table(std::fs::read(folder.join(name)).expect("the sample can be read"))
}

fn table(bytes: Vec<u8>) -> Vec<std::collections::HashMap<String, String>> {
    let mut plain = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&bytes[..]), &mut plain).expect("gzip");
    } else {
        plain = bytes;
    }
    csv::Reader::from_reader(plain.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&plain))
        .deserialize()
        .map(|r| r.expect("row"))
        .collect()
}
