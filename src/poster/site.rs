//! The node's public address as a poster shows it: residents type it by hand, so it must be a name that they can reach.

use std::net::IpAddr;

use crate::error::{Error, Result};

/// Last labels that no public name has (RFC 6761, RFC 6762, RFC 7686, RFC 8375, and what routers make up).
const NOT_PUBLIC: [&str; 10] =
    ["localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "test", "invalid", "onion"];

/// A public address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    base: String,
    shown: String,
}

impl Site {
    /// Takes the setting `node.public_url`.
    ///
    /// # Errors
    /// `poster.site` when it is missing, no https, an IP address, or no name of the public internet.
    pub fn of(public_url: Option<&str>) -> Result<Site> {
        let refuse = |why: String| {
            Error::refuse(
                "poster.site",
                format!("node.public_url {why}"),
                "set it to the address residents reach the node at, https://chats.example.ru; for one run: --set node.public_url=…",
            )
        };
        let text = public_url.ok_or_else(|| refuse("is not set".into()))?;
        let url = reqwest::Url::parse(text).map_err(|e| refuse(format!("{text:?}: {e}")))?;
        let host = url.host_str().unwrap_or_default();
        let why = if url.scheme() != "https" {
            Some("is not https")
        } else if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            Some("is an IP address: nobody remembers one")
        } else if !host.contains('.') || host.rsplit('.').next().is_some_and(|last| NOT_PUBLIC.contains(&last)) {
            Some("is no name of the public internet")
        } else {
            None
        };
        match why {
            Some(why) => Err(refuse(format!("{text:?} {why}"))),
            None => Ok(Site {
                base: url.as_str().trim_end_matches('/').to_owned(),
                // As the setting spells it: a Cyrillic name is typed in Cyrillic.
                shown: text.split_once("://").map_or(text, |(_, rest)| rest).trim_end_matches('/').to_lowercase(),
            }),
        }
    }

    /// The address without a closing slash.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// What a person types.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_residents_can_type() {
        let site = Site::of(Some("https://Chats.Example.ru")).unwrap();
        assert_eq!((site.base(), site.shown()), ("https://chats.example.ru", "chats.example.ru"));
        let site = Site::of(Some("https://example.ru:8443/chats")).unwrap();
        assert_eq!((site.base(), site.shown()), ("https://example.ru:8443/chats", "example.ru:8443/chats"));
        let site = Site::of(Some("https://чаты.рф")).unwrap();
        assert_eq!((site.base(), site.shown()), ("https://xn--80a0bns.xn--p1ai", "чаты.рф"));
    }

    #[test]
    fn what_they_cannot_is_refused() {
        for url in [
            "https://localhost:8443",
            "https://127.0.0.1",
            "https://[::1]:8443",
            "https://10.0.0.7",
            "https://192.0.2.1",
            "https://chats",
            "https://chats.local",
            "http://chats.example.ru",
            "chats.example.ru",
        ] {
            assert_eq!(Site::of(Some(url)).unwrap_err().code(), "poster.site", "{url}");
        }
        assert_eq!(Site::of(None).unwrap_err().code(), "poster.site");
    }
}
