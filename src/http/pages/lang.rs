//! The language of a page, and its place, so that every link keeps the language.

use std::convert::Infallible;
use std::fmt::Write;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::assets;
use crate::node::verdict::{Evidence, Said};
use crate::registry::ids::{BuildingId, ChatNumber};

/// Russian, or English by `lang=en` in the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lang {
    /// Russian.
    Ru,
    /// English.
    En,
}

impl Lang {
    /// The one of the two texts that is in this language.
    pub fn pick<T>(self, ru: T, en: T) -> T {
        match self {
            Lang::Ru => ru,
            Lang::En => en,
        }
    }
}

/// What every template knows: the language and where the page is.
#[derive(Debug, Clone)]
pub struct Page {
    /// Language.
    pub lang: Lang,
    /// Path and query of the page without the language; what must not be repeated in a URL is not in it.
    pub here: String,
}

impl Page {
    /// The text in the page's language.
    pub fn t<'t>(&self, ru: &'t str, en: &'t str) -> &'t str {
        self.lang.pick(ru, en)
    }
    /// The sentence in the page's language.
    pub fn say<'t>(&self, said: &'t Said) -> &'t str {
        self.lang.pick(&said.ru, &said.en)
    }
    /// Code of the language.
    pub fn code(&self) -> &'static str {
        self.lang.pick("ru", "en")
    }
    /// A path of this node that keeps the language.
    pub fn to(&self, path: &str) -> String {
        in_language(path, self.lang)
    }
    /// The page of a chat.
    pub fn chat(&self, chat: &ChatNumber) -> String {
        self.to(&format!("/chat/{chat}"))
    }
    /// The page of a building.
    pub fn building(&self, building: &BuildingId) -> String {
        self.to(&format!("/building/{}", encoded(&building.to_string())))
    }
    /// A record as it was signed. `Evidence` has where it stands.
    pub fn record(&self, e: &Evidence) -> String {
        format!("/api/v1/records/{}?log={}", e.index, encoded(&e.log))
    }
    /// This page in the other language.
    pub fn switched(&self) -> String {
        in_language(&self.here, self.lang.pick(Lang::En, Lang::Ru))
    }
    /// The URL of a file of `assets/`.
    pub fn asset(&self, name: &str) -> String {
        assets::url(name)
    }
}

fn in_language(path: &str, lang: Lang) -> String {
    match (lang, path.contains('?')) {
        (Lang::Ru, _) => path.to_owned(),
        (Lang::En, true) => format!("{path}&lang=en"),
        (Lang::En, false) => format!("{path}?lang=en"),
    }
}

/// `text` as a value in a query or a path.
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => out.push(char::from(byte)),
            // Writing to a String does not fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// The language a request asks for.
pub fn of_query(query: Option<&str>) -> Lang {
    match query.unwrap_or_default().split('&').any(|pair| pair == "lang=en") {
        true => Lang::En,
        false => Lang::Ru,
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Page, Infallible> {
        Ok(Page { lang: of_query(parts.uri.query()), here: parts.uri.path().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_keep_the_language() {
        let page = Page { lang: Lang::En, here: "/?q=%D0%9B".into() };
        assert_eq!(page.to("/check"), "/check?lang=en");
        assert_eq!(page.to("/?q=a"), "/?q=a&lang=en");
        assert_eq!(page.switched(), "/?q=%D0%9B");
        assert_eq!(Page { lang: Lang::Ru, ..page }.switched(), "/?q=%D0%9B&lang=en");
        assert_eq!(
            (of_query(Some("q=x&lang=en")), of_query(Some("lang=e")), of_query(None)),
            (Lang::En, Lang::Ru, Lang::Ru)
        );
        assert_eq!(encoded("ул. 5&к=2"), "%D1%83%D0%BB.%205%26%D0%BA%3D2");
    }
}
