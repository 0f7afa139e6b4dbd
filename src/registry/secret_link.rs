//! A join link in full, while it is needed: for a chat's poster, and for nothing else.
//!
//! Whoever has the link can enter the chat, so it is neither printed by `{:?}` nor written by serde, has no text of its own but
//! in the address it was asked for, and is wiped when it is dropped.

use std::fmt;

use zeroize::Zeroizing;

use super::link::{LinkDigest, NotChat, read_link};

/// The canonical join link of a chat.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretLink(Zeroizing<String>);

impl SecretLink {
    /// Reads a pasted link.
    ///
    /// # Errors
    /// The reason, which does not repeat what was pasted.
    pub fn parse(pasted: &str) -> Result<SecretLink, NotChat> {
        read_link(pasted).map(|link| SecretLink(Zeroizing::new(link)))
    }

    /// What the log holds of it.
    pub fn digest(&self) -> LinkDigest {
        LinkDigest::of_link(&self.0)
    }

    /// The address that opens the verifier at `base` for this link. The token is in the fragment, which a browser sends to nobody.
    pub fn verifier(&self, base: &str) -> Zeroizing<String> {
        let token = self.0.rsplit('/').next().unwrap_or_default();
        Zeroizing::new(format!("{base}/check#{token}"))
    }
}

impl fmt::Debug for SecretLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretLink({})", self.digest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE";

    #[test]
    fn the_token_is_seen_in_the_fragment_only() {
        let link = SecretLink::parse(&format!(" max.ru/join/{TOKEN}?utm=1 ")).unwrap();
        assert_eq!(*link.verifier("https://chats.example.ru/77"), format!("https://chats.example.ru/77/check#{TOKEN}"));
        assert_eq!(link.digest(), LinkDigest::of_link(&format!("https://max.ru/join/{TOKEN}")));
        assert!(!format!("{link:?}").contains(TOKEN));
        assert_eq!(SecretLink::parse("max.ru/join/short"), Err(NotChat::Token));
    }
}
