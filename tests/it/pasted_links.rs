//! What people paste: the vectors that the Rust reader and the one in the browser share.
//!
//! `LETTERS_BLESS=1 cargo test --test it pasted_links` writes the table of letters anew, when the Unicode data have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use domovoi::registry::link::{LinkDigest, NotChat, canonical_link, read_link};
use domovoi::registry::lookalike::stands_for;
use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    pasted: String,
    canonical: Option<String>,
    reason: Option<NotChat>,
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(&std::fs::read_to_string(file("links.json")).unwrap()).unwrap()
}

#[test]
fn every_vector_is_read_as_written() {
    let vectors = vectors();
    assert!(vectors.len() >= 80);
    let mut wrong = Vec::new();
    for v in &vectors {
        assert_ne!(v.canonical.is_some(), v.reason.is_some(), "one of both: {:?}", v.pasted);
        let expected = v.canonical.clone().ok_or_else(|| v.reason.unwrap());
        let found = read_link(&v.pasted);
        if found != expected {
            wrong.push(format!("{:?}: {found:?}, not {expected:?}", v.pasted.chars().take(200).collect::<String>()));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
    let seen: BTreeSet<NotChat> = vectors.iter().filter_map(|v| v.reason).collect();
    assert_eq!(seen.len(), 11, "every reason has a vector: {seen:?}");
}

#[test]
fn each_reason_is_said_in_the_error_and_in_both_languages() {
    for v in vectors() {
        let Some(reason) = v.reason else { continue };
        let e = canonical_link(&v.pasted).unwrap_err();
        assert_eq!(e.code(), "link.not_chat");
        assert!(e.detail().ends_with(reason.en()), "{e}");
        assert!(reason.ru().chars().any(|c| ('а'..='я').contains(&c)), "{}", reason.ru());
    }
    let one = canonical_link(vectors()[0].canonical.as_ref().unwrap()).unwrap();
    assert_ne!(LinkDigest::of_link(&one), LinkDigest::of_link("https://max.ru/join/"));
}

#[test]
fn the_table_of_letters_is_that_of_the_standard() {
    // What a letter of a host can be after NFKD, lower case and without marks.
    let plain = |c: &char| {
        let s = c.to_string();
        !c.is_ascii() && s.nfkd().collect::<String>().to_lowercase() == s && !is_combining_mark(*c)
    };
    let mut table: BTreeMap<String, String> = BTreeMap::new();
    for c in ('\u{80}'..=char::MAX).filter(plain) {
        if let Some(drawn) = stands_for(c) {
            table.entry(drawn).or_default().push(c);
        }
    }
    table.insert("rn".into(), format!("m{}", table.get("rn").cloned().unwrap_or_default()));
    if std::env::var_os("LETTERS_BLESS").is_some() {
        std::fs::write(file("link_letters.json"), serde_json::to_string_pretty(&table).unwrap() + "\n").unwrap();
    }
    let written: BTreeMap<String, String> =
        serde_json::from_str(&std::fs::read_to_string(file("link_letters.json")).unwrap()).unwrap();
    assert_eq!(written, table);
}
