//! What a setting is: one declarative table from which the structs, their defaults, the checks, the overrides and the
//! annotated example file are all made, so that none of them can drift from the others.

use std::fmt::Write as _;

/// What values a setting may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A file or directory. Relative to the configuration file's directory (in an override: to the working directory).
    Path,
    /// A whole number, both bounds allowed.
    Int(i64, i64),
    /// `true` or `false`.
    Bool,
    /// A list of texts; in an override also `a,b,c`.
    Texts,
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// The allowed values in words, for error messages and the example.
    pub fn allowed(&self) -> String {
        match self {
            Kind::Text => "text in quotes".into(),
            Kind::Path => "a path in quotes".into(),
            Kind::Int(low, high) => format!("a whole number {low}..={high}"),
            Kind::Bool => "true or false".into(),
            Kind::Texts => "a list of texts, [\"a\", \"b\"]".into(),
            Kind::Choice(words) => format!("one of \"{}\"", words.join("\", \"")),
        }
    }

    /// Whether `value` is of this kind and within its bounds.
    pub fn admits(&self, value: &toml::Value) -> bool {
        match self {
            Kind::Text | Kind::Path => value.is_str(),
            Kind::Int(low, high) => value.as_integer().is_some_and(|n| (*low..=*high).contains(&n)),
            Kind::Bool => value.is_bool(),
            Kind::Texts => {
                value.as_array().is_some_and(|list| list.len() <= 256 && list.iter().all(toml::Value::is_str))
            }
            Kind::Choice(words) => value.as_str().is_some_and(|word| words.contains(&word)),
        }
    }
}

/// When a changed setting takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apply {
    /// On SIGHUP.
    Live,
    /// At the next start.
    Restart,
}

/// One setting.
#[derive(Debug)]
pub struct Field {
    /// Key inside its section.
    pub key: &'static str,
    /// Allowed values.
    pub kind: Kind,
    /// When a change takes effect.
    pub apply: Apply,
    /// TOML shown in the example where there is no default.
    pub sample: &'static str,
    /// What it is, in Russian.
    pub ru: &'static str,
    /// What it is, in English.
    pub en: &'static str,
}

/// One section: a `[table]`, or a repeated `[[table]]`.
#[derive(Debug)]
pub struct Section {
    /// Table name.
    pub key: &'static str,
    /// True for `[[table]]`.
    pub repeated: bool,
    /// What it is, in Russian.
    pub ru: &'static str,
    /// What it is, in English.
    pub en: &'static str,
    /// Its settings.
    pub fields: &'static [Field],
}

impl Section {
    /// The setting with that key.
    pub fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.key == key)
    }
}

/// Declares one section: the struct, its defaults and its [`Section`] description.
macro_rules! section {
    ($name:ident $table:literal $repeated:literal, $ru_section:literal, $en_section:literal;
     $( $field:ident: $ty:ty = $default:expr, $kind:expr, $apply:ident, $sample:literal, $ru:literal, $en:literal; )*) => {
        #[doc = $en_section]
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name { $( #[doc = $en] pub $field: $ty, )* }

        impl Default for $name {
            fn default() -> Self { $name { $( $field: $default, )* } }
        }

        impl $name {
            const SECTION: Section = Section {
                key: $table, repeated: $repeated, ru: $ru_section, en: $en_section,
                fields: &[ $( Field {
                    key: stringify!($field), kind: $kind, apply: Apply::$apply, sample: $sample, ru: $ru, en: $en,
                }, )* ],
            };
        }
    };
}
pub(super) use section;

/// The annotated example: every setting with both explanations, its allowed values and its default, commented out.
pub fn example(sections: &[&Section], defaults: &toml::Table) -> String {
    let mut out = String::from(
        "# Настройки узла domovoi. Файл создан из исходного кода (`domovoi config example`), не правьте его здесь.\n\
         # Settings of a domovoi node. Generated from the source (`domovoi config example`); do not edit it in place.\n#\n\
         # Показаны значения по умолчанию; уберите «#» перед строкой, чтобы изменить. Любое значение можно задать и\n\
         # переменной среды DOMOVOI_РАЗДЕЛ__КЛЮЧ, и в командной строке: --set раздел.ключ=значение (важнее всего).\n\
         # Defaults are shown; remove the leading # to change one. Each can also be given as the environment variable\n\
         # DOMOVOI_SECTION__KEY or on the command line as --set section.key=value (which wins).\n\
         # Пути считаются от каталога этого файла. Paths are relative to this file's directory.\n",
    );
    for section in sections {
        let (open, close) = if section.repeated { ("#[[", "]]") } else { ("[", "]") };
        let _ = write!(out, "\n# {}\n# {}\n{open}{}{close}\n", section.ru, section.en, section.key);
        let table = defaults.get(section.key).and_then(toml::Value::as_table);
        for field in section.fields {
            let when = match field.apply {
                Apply::Live => "SIGHUP",
                Apply::Restart => "restart",
            };
            let value = match table.and_then(|table| table.get(field.key)) {
                Some(value) if field.sample.is_empty() => value.to_string(),
                _ => field.sample.to_owned(),
            };
            let allowed = field.kind.allowed();
            let _ = write!(out, "\n# {}\n# {}\n# ({allowed}; {when})\n#{} = {value}\n", field.ru, field.en, field.key);
        }
    }
    out
}
