//! Values that stand in bodies and have a form of their own: each is checked when it is read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ids::{KeyThumb, LinkDigest, MaxChatId};
use super::strict::words;
use super::text::Text;
use crate::error::{Error, Result};

/// A MAX bot's name: `@` and 3–64 letters, digits, `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct BotName(Box<str>);

impl BotName {
    /// Checks the form.
    pub fn new(s: &str) -> Result<BotName> {
        let ok = s.strip_prefix('@').is_some_and(|n| {
            (3..=64).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        });
        if ok {
            Ok(BotName(s.into()))
        } else {
            Err(Error::refuse(
                "bot.name",
                format!("«{s}» is no bot name"),
                "write @ and 3 to 64 lower-case letters, digits or _",
            ))
        }
    }
    /// The name with its `@`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for BotName {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        BotName::new(&<std::borrow::Cow<'de, str>>::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// An Ed25519 public key as it stands in a record: checked (canonical, torsion-free) when it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyBytes(pub super::signature::PublicKey);

impl KeyBytes {
    /// Its thumbprint.
    pub fn thumb(&self) -> KeyThumb {
        self.0.thumb()
    }
}

impl Serialize for KeyBytes {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.serialize_str(&data_encoding::BASE64URL_NOPAD.encode(&self.0.to_bytes()))
    }
}

impl<'de> Deserialize<'de> for KeyBytes {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        let bytes = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).map_err(serde::de::Error::custom)?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| serde::de::Error::custom("a public key is 32 bytes"))?;
        super::signature::PublicKey::from_bytes(&bytes).map(KeyBytes).map_err(serde::de::Error::custom)
    }
}

/// A service number: `+7` and ten digits, or three to six digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Phone(Box<str>);

impl Phone {
    /// Checks the form.
    pub fn new(s: &str) -> Result<Phone> {
        let digits = |d: &str| d.bytes().all(|b| b.is_ascii_digit());
        let ok = s.strip_prefix("+7").is_some_and(|d| d.len() == 10 && digits(d))
            || ((3..=6).contains(&s.len()) && digits(s));
        if ok {
            Ok(Phone(s.into()))
        } else {
            Err(Error::refuse(
                "service.phone",
                format!("«{s}» is no service number"),
                "write +7 and ten digits, or 3 to 6 digits",
            ))
        }
    }
    /// The number as it is dialled.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Phone {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        Phone::new(&<std::borrow::Cow<'de, str>>::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// What imitates an official chat: a join link by its digest, a chat id in MAX, or a title.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Imitation {
    /// `link:` and the digest.
    Link(LinkDigest),
    /// The id as it is written everywhere, `max:-1`.
    Max(MaxChatId),
    /// `title:` and the title. A title with a person's name in it does not belong in a log.
    Title(Text),
}

impl fmt::Display for Imitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Imitation::Link(digest) => write!(f, "link:{digest}"),
            Imitation::Max(id) => write!(f, "{id}"),
            Imitation::Title(title) => write!(f, "title:{title}"),
        }
    }
}

impl FromStr for Imitation {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        match s.split_once(':') {
            Some(("link", digest)) => Ok(Imitation::Link(digest.parse()?)),
            Some(("max", _)) => Ok(Imitation::Max(s.parse()?)),
            Some(("title", title)) => Ok(Imitation::Title(Text::new(title)?)),
            _ => Err(Error::refuse(
                "imitation.form",
                format!("«{}» names no imitation", s.chars().take(60).collect::<String>()),
                "write link:<digest>, max:<chat id> or title:<title>",
            )),
        }
    }
}

impl Serialize for Imitation {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Imitation {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        <std::borrow::Cow<'de, str>>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

words!(
    /// Whether an official chat is required of a building.
    Applies {
        /// It is.
        Required,
        /// It is not.
        Exempt,
    }
);
words!(
    /// Why a building is an exception from the region's threshold.
    ApplicabilityReason {
        /// By its number of flats as the authority counts them.
        Flats,
        /// Declared an emergency building.
        Emergency,
        /// Nobody lives there: being resettled, or not inhabited yet.
        Uninhabited,
        /// A decision named in the basis.
        Decision,
    }
);

/// An exception of one building from the region's threshold of flats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applicability {
    /// What holds for it.
    pub state: Applies,
    /// Why.
    pub reason: ApplicabilityReason,
}
