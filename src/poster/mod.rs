//! The poster of a house's official chat: one page for the entrance hall, as a PDF.
//!
//! Data passes in this order. The node's answer about a chat and the link in full, which only the clerk has → [`facts`] (may this
//! be hung up? what is printed) → [`Poster`] → `page` (what stands where), which sets its texts with `type_setting` and its code
//! with `qr` → bytes of a PDF. The same facts give the same bytes.
//!
//! What must never happen here: a poster for a chat that is not official now, or with a link that is not its current one; the
//! token of the link outside the QR, be it as text in the file, in its name or in an error; an address that residents cannot
//! reach. Nothing here touches network or disk.

mod drawing;
pub mod facts;
mod page;
mod qr;
pub mod site;
mod type_setting;

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::Result;
use crate::poster::facts::{Facts, Kind};
use crate::poster::site::Site;
use crate::registry::check_code::CheckCode;
use crate::registry::ids::ChatNumber;
use crate::registry::link::LinkDigest;
use crate::registry::secret_link::SecretLink;
use crate::registry::text::Day;

/// Goes up when the same facts are printed differently, so that a batch makes such posters anew.
const LAYOUT: &str = "domovoi/poster@v1";
/// Stands before the fingerprint in the file.
const MARK: &str = "domovoi-poster:";

/// What is printed.
pub struct Poster {
    chat: ChatNumber,
    code: CheckCode,
    headline: String,
    addresses: Vec<String>,
    owner: String,
    managers: Vec<String>,
    as_of: Day,
    site: Site,
    link: LinkDigest,
    /// The address in the QR, with the token.
    target: Zeroizing<String>,
}

impl Poster {
    /// The poster of a chat that was found fit for one.
    pub fn new(facts: &Facts, link: &SecretLink, site: &Site) -> Poster {
        let headline = match facts.kind {
            Kind::House => "Официальный чат дома".to_owned(),
            Kind::Complex => "Официальный чат жилого комплекса".to_owned(),
            Kind::Entrance(None) => "Официальный чат подъезда".to_owned(),
            Kind::Entrance(Some(n)) => format!("Официальный чат подъезда № {n}"),
        };
        let managers: BTreeSet<&String> = facts.managers.iter().collect();
        Poster {
            chat: facts.chat,
            code: CheckCode::of(facts.chat, link.digest()),
            headline,
            addresses: facts.addresses.clone(),
            owner: facts.owner.clone(),
            managers: managers.into_iter().cloned().collect(),
            as_of: facts.as_of,
            site: site.clone(),
            link: link.digest(),
            target: link.verifier(site.base()),
        }
    }

    /// The code that page and paper are compared by.
    pub fn code(&self) -> CheckCode {
        self.code
    }

    /// The file's name in a batch: the chat number, which begins with the region.
    pub fn file_name(chat: ChatNumber) -> String {
        format!("{chat}.pdf")
    }

    /// The chat of a file that a batch may have written, by its name.
    pub fn of_file_name(name: &str) -> Option<ChatNumber> {
        name.strip_suffix(".pdf")?.parse().ok()
    }

    /// What the poster says, without the day: where it is the same, a poster that hangs need not be printed again. Made of the
    /// link's digest, not of the link.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let said = [LAYOUT, &self.headline, &self.owner, self.site.base(), self.site.shown()];
        let (chat, link) = (self.chat.to_string(), self.link.to_string());
        let said = said.into_iter().chain([chat.as_str(), &link]);
        let several = self.addresses.iter().chain(&self.managers).map(String::as_str);
        // The count tells addresses from managers.
        hash.update((self.addresses.len() as u64).to_be_bytes());
        for text in said.chain(several) {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        format!("{MARK}{}", data_encoding::HEXLOWER.encode(&hash.finalize()))
    }

    /// Whether a file is this poster, be it of another day.
    pub fn is_in(&self, file: &[u8]) -> bool {
        let print = self.fingerprint();
        file.trim_ascii_end().ends_with(b"%%EOF") && file.windows(print.len()).any(|w| w == print.as_bytes())
    }

    /// The page.
    ///
    /// # Errors
    /// `poster.text` where a text has a character that the font lacks.
    pub fn render(&self) -> Result<Vec<u8>> {
        page::render(self)
    }
}

/// A day as it is written in a sentence.
fn day_in_words(day: Day) -> String {
    const MONTHS: [&str; 12] = [
        "января",
        "февраля",
        "марта",
        "апреля",
        "мая",
        "июня",
        "июля",
        "августа",
        "сентября",
        "октября",
        "ноября",
        "декабря",
    ];
    let date = day.date();
    let month = usize::try_from(date.month() - 1).ok().and_then(|i| MONTHS.get(i)).unwrap_or(&"");
    format!("{} {month} {} года", date.day(), date.year())
}
