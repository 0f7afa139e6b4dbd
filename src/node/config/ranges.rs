//! A range of addresses, `10.0.0.0/8` or `fd00::/8`; a bare address is a range of one.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRange {
    first: IpAddr,
    prefix: u8,
}

impl AddressRange {
    /// The addresses that share the first `prefix` bits of `address`.
    ///
    /// # Errors
    /// `config.value` where the prefix is longer than the address.
    pub fn new(address: IpAddr, prefix: u8) -> Result<AddressRange> {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        match prefix <= bits {
            true => Ok(AddressRange { first: address, prefix }),
            false => Err(refused(&format!("{address}/{prefix}"))),
        }
    }

    /// The range of this address alone.
    pub fn of_one(address: IpAddr) -> AddressRange {
        AddressRange { first: address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// True where the address is in the range. An address of the other family never is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |differing: u32| differing >= u32::from(self.prefix);
        match (self.first, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same((a.to_bits() ^ b.to_bits()).leading_zeros()),
            (IpAddr::V6(a), IpAddr::V6(b)) => same((a.to_bits() ^ b.to_bits()).leading_zeros()),
            _ => false,
        }
    }
}

fn refused(text: &str) -> Error {
    let shown: String = text.chars().take(60).collect();
    Error::refuse("config.value", format!("«{shown}» is no range of addresses"), "write it as 10.0.0.0/8 or fd00::/8")
}

impl FromStr for AddressRange {
    type Err = Error;
    fn from_str(text: &str) -> Result<AddressRange> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address = address.parse::<IpAddr>().map_err(|_| refused(text))?;
        match prefix {
            None => Ok(AddressRange::of_one(address)),
            Some(prefix) => {
                let prefix = prefix.parse().map_err(|_| refused(text))?;
                AddressRange::new(address, prefix).map_err(|_| refused(text))
            }
        }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl TryFrom<String> for AddressRange {
    type Error = Error;
    fn try_from(text: String) -> Result<AddressRange> {
        text.parse()
    }
}

impl From<AddressRange> for String {
    fn from(range: AddressRange) -> String {
        range.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_what_shares_its_prefix() {
        let within =
            |range: &str, address: &str| range.parse::<AddressRange>().unwrap().contains(address.parse().unwrap());
        assert!(within("10.0.0.0/8", "10.255.255.255") && !within("10.0.0.0/8", "11.0.0.0"));
        assert!(within("10.1.2.3", "10.1.2.3") && !within("10.1.2.3", "10.1.2.2"));
        assert!(within("0.0.0.0/0", "255.1.1.1") && !within("0.0.0.0/0", "::1"));
        assert!(within("fd00::/8", "fdff::1") && !within("fd00::/8", "fe00::1"));
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "host/8", "10.0.0.0/8/8"] {
            assert_eq!(bad.parse::<AddressRange>().unwrap_err().code(), "config.value", "{bad}");
        }
    }
}
