//! From file, environment and command line to one checked table. Every value goes through the same check, whatever
//! it came from, and an error names that place: file and line, variable, or option.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::Value;
use toml::de::{DeTable, DeValue};

use super::SECTIONS;
use super::schema::{Field, Kind, Section};
use crate::error::{Error, Result};

/// Largest configuration file, bytes.
pub const MAX_FILE_BYTES: u64 = 256 * 1024;
/// Longest override, bytes.
const MAX_OVERRIDE_BYTES: usize = 8 * 1024;
/// Most tables in one repeated section.
const MAX_REPEATED: usize = 200;
const ENV_PREFIX: &str = "DOMOVOI_";

/// Where a value came from.
#[derive(Clone)]
pub enum Origin {
    /// A file and its 1-based line, 0 when unknown.
    File(PathBuf, usize),
    /// An environment variable.
    Env(String),
    /// A `--set` option.
    Set(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path, 0) => write!(f, "{}", path.display()),
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Env(name) => write!(f, "environment variable {name}"),
            Origin::Set(text) => write!(f, "--set {text}"),
        }
    }
}

/// Parses and checks the text of a configuration file. Relative paths become relative to the file's directory.
pub fn from_text(text: &str, file: &Path) -> Result<toml::Table> {
    let newlines: Vec<usize> = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
    let line_of = |offset: usize| 1 + newlines.partition_point(|newline| *newline < offset);
    let place = |span: Option<std::ops::Range<usize>>| {
        Origin::File(file.to_owned(), span.map_or(0, |span| line_of(span.start)))
    };
    let syntax = |error: toml::de::Error| {
        Error::refuse("config.syntax", format!("not valid TOML: {}", error.message()), "correct the line named")
            .at(place(error.span()))
    };
    let mut lines = HashMap::new();
    let spanned = DeTable::parse(text).map_err(syntax)?;
    collect_lines(&line_of, "", spanned.get_ref(), &mut lines, 3);
    let mut table: toml::Table = toml::from_str(text).map_err(syntax)?;
    let at = |path: &str| Origin::File(file.to_owned(), lines.get(path).copied().unwrap_or(0));
    let base = file.parent().unwrap_or(Path::new(""));
    for (name, value) in &mut table {
        let section = section_named(name, &at(name))?;
        match value {
            Value::Table(table) if !section.repeated => check_table(section, name, table, &at, base)?,
            Value::Array(list) if section.repeated && list.len() <= MAX_REPEATED => {
                for (index, item) in list.iter_mut().enumerate() {
                    let path = format!("{name}[{index}]");
                    match item {
                        Value::Table(table) => check_table(section, &path, table, &at, base)?,
                        _ => return Err(wrong_shape(section, &at(name))),
                    }
                }
            }
            _ => return Err(wrong_shape(section, &at(name))),
        }
    }
    Ok(table)
}

/// Merges overrides into `table`: first the environment, then the command line.
pub fn override_with(table: &mut toml::Table, env: &[(String, String)], sets: &[String]) -> Result<()> {
    for (name, value) in env {
        // Variables without the double underscore (DOMOVOI_PASSPHRASE, DOMOVOI_CONFIG) are not settings.
        let Some((section, key)) = name.strip_prefix(ENV_PREFIX).and_then(|rest| rest.split_once("__")) else {
            continue;
        };
        let origin = Origin::Env(name.clone());
        put(table, &section.to_ascii_lowercase(), &key.to_ascii_lowercase(), value, &origin)?;
    }
    for option in sets {
        // Only the key is named: a value may be long, or not for everyone's eyes.
        let (path, value) = option.split_once('=').unwrap_or((option, ""));
        let shown: String = path.chars().take(100).collect();
        let origin = Origin::Set(shown);
        let Some((section, key)) = path.trim().split_once('.').filter(|_| option.contains('=')) else {
            return Err(Error::refuse(
                "config.override",
                format!("{origin}: not of the form section.key=value"),
                "write it as --set limits.requests=256",
            ));
        };
        put(table, section, key, value, &origin)?;
    }
    Ok(())
}

fn put(table: &mut toml::Table, section: &str, key: &str, text: &str, origin: &Origin) -> Result<()> {
    if text.len() > MAX_OVERRIDE_BYTES {
        let detail = format!("{origin}: the value has {} bytes, at most {MAX_OVERRIDE_BYTES} are allowed", text.len());
        return Err(Error::refuse("config.override", detail, "put it into the configuration file"));
    }
    let section = section_named(section, origin)?;
    if section.repeated {
        let detail = format!("{origin}: [[{}]] can be given only in the configuration file", section.key);
        return Err(Error::refuse("config.override", detail, "put it into the configuration file"));
    }
    let field = field_named(section, key, origin)?;
    let value = parse_override(field.kind, text);
    check_value(section.key, field, &value, origin)?;
    let entry = table.entry(section.key).or_insert_with(|| Value::Table(toml::Table::new()));
    if let Value::Table(values) = entry {
        values.insert(field.key.to_owned(), value);
    }
    Ok(())
}

/// Text settings are taken as they are; the others are read as TOML, and what is not TOML fails the check as text.
fn parse_override(kind: Kind, text: &str) -> Value {
    let as_toml = || {
        let table: toml::Table = toml::from_str(&format!("value = {text}")).ok()?;
        (table.len() == 1).then(|| table.get("value").cloned()).flatten()
    };
    match kind {
        Kind::Text | Kind::Path | Kind::Choice(_) => Value::String(text.to_owned()),
        Kind::Int(..) | Kind::Bool => as_toml().unwrap_or_else(|| Value::String(text.to_owned())),
        Kind::Texts => as_toml().filter(Value::is_array).unwrap_or_else(|| {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
        }),
    }
}

fn check_table(
    section: &Section,
    path: &str,
    table: &mut toml::Table,
    at: &dyn Fn(&str) -> Origin,
    base: &Path,
) -> Result<()> {
    for (key, value) in table.iter_mut() {
        let origin = at(&format!("{path}.{key}"));
        let field = field_named(section, key, &origin)?;
        check_value(path, field, value, &origin)?;
        if let (Kind::Path, Value::String(text)) = (field.kind, &mut *value) {
            *text = base.join(&*text).to_string_lossy().into_owned();
        }
    }
    Ok(())
}

fn check_value(path: &str, field: &Field, value: &Value, origin: &Origin) -> Result<()> {
    if field.kind.admits(value) {
        return Ok(());
    }
    let shown: String = value.to_string().chars().take(60).collect();
    let code =
        if matches!((field.kind, value), (Kind::Int(..), Value::Integer(_)) | (Kind::Choice(_), Value::String(_))) {
            "config.value"
        } else {
            "config.type"
        };
    let detail = format!("{origin}: {path}.{} = {shown}: allowed is {}", field.key, field.kind.allowed());
    Err(Error::refuse(code, detail, "correct the value; config/domovoi.example.toml explains each setting"))
}

fn section_named(name: &str, origin: &Origin) -> Result<&'static Section> {
    match SECTIONS.iter().find(|section| section.key == name) {
        Some(section) => Ok(section),
        None => {
            let known: Vec<&str> = SECTIONS.iter().map(|section| section.key).collect();
            Err(unknown(format!("{origin}: unknown section \"{}\"", short(name)), &known))
        }
    }
}

fn field_named(section: &Section, key: &str, origin: &Origin) -> Result<&'static Field> {
    section.field(key).ok_or_else(|| {
        let known: Vec<&str> = section.fields.iter().map(|field| field.key).collect();
        unknown(format!("{origin}: unknown key \"{}\" in section {}", short(key), section.key), &known)
    })
}

fn unknown(what: String, known: &[&str]) -> Error {
    let remedy = "correct or remove the key; config/domovoi.example.toml explains each setting";
    Error::refuse("config.key", format!("{what}; allowed are {}", known.join(", ")), remedy)
}

fn wrong_shape(section: &Section, origin: &Origin) -> Error {
    let shape = if section.repeated { format!("[[{}]]", section.key) } else { format!("[{}]", section.key) };
    let most = if section.repeated { format!(", at most {MAX_REPEATED} times") } else { String::new() };
    let detail = format!("{origin}: \"{}\" must be written as {shape}{most}", section.key);
    Error::refuse("config.type", detail, "see config/domovoi.example.toml")
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Remembers the line of every key, as `section.key` or `section[0].key`.
fn collect_lines(
    line_of: &dyn Fn(usize) -> usize,
    path: &str,
    table: &DeTable<'_>,
    lines: &mut HashMap<String, usize>,
    depth: usize,
) {
    for (key, value) in table {
        let name = if path.is_empty() { key.get_ref().to_string() } else { format!("{path}.{}", key.get_ref()) };
        lines.insert(name.clone(), line_of(key.span().start));
        if depth == 0 {
            continue;
        }
        match value.get_ref() {
            DeValue::Table(inner) => collect_lines(line_of, &name, inner, lines, depth - 1),
            DeValue::Array(list) => {
                for (index, item) in list.iter().enumerate().take(MAX_REPEATED) {
                    if let DeValue::Table(inner) = item.get_ref() {
                        collect_lines(line_of, &format!("{name}[{index}]"), inner, lines, depth - 1);
                    }
                }
            }
            _ => {}
        }
    }
}
