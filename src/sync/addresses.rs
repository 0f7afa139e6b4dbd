//! Which addresses the client may connect to.
//!
//! A charter or a peer may name any URL. Were the node to follow each, whoever writes one could make it speak to what only the
//! node can reach: its own machine, its network, a cloud's metadata service. So what was not typed by this node's operator
//! leads to public addresses only. The address that is connected to is the one that is checked, whatever a name resolved to
//! before: names are resolved by [`Checked`], and addresses written out are checked when the URL is read.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::node::config::ranges::AddressRange;

/// Which addresses may be connected to.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    anywhere: bool,
    allowed: Vec<AddressRange>,
}

impl Reach {
    /// Any address: for a person who typed the URL and sees the answer.
    pub fn anywhere() -> Reach {
        Reach { anywhere: true, allowed: Vec::new() }
    }

    /// Public addresses and those the configuration allows: for a URL out of a charter or from a peer.
    pub fn public(allowed: &[AddressRange]) -> Reach {
        Reach { anywhere: false, allowed: allowed.to_vec() }
    }

    /// For a URL that the operator wrote into the configuration: as [`Reach::public`], and the very address that is written
    /// there. A name still has to lead to what is public or allowed, since who answers for a name may change it.
    pub fn configured(url: &str, allowed: &[AddressRange]) -> Reach {
        let mut reach = Reach::public(allowed);
        let parsed = reqwest::Url::parse(url).ok();
        match parsed.as_ref().and_then(reqwest::Url::host_str) {
            Some("localhost") => reach.allowed.extend(loopback()),
            Some(host) => reach.allowed.extend(literal(host).map(|ip| AddressRange::of_one(plain(ip)))),
            None => {}
        }
        reach
    }

    /// Whether this address may be connected to.
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = plain(address);
        self.anywhere || self.allowed.iter().any(|range| range.contains(address)) || is_public(address)
    }
}

fn loopback() -> [AddressRange; 2] {
    [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].map(AddressRange::of_one)
}

/// The address a URL's host is, if it is one. Other spellings (`0x7f.1`, `2130706433`) are addresses by then.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

/// The address that is meant: an IPv4 address wrapped into an IPv6 one (mapped, NAT64 of RFC 6052, 6to4) is itself.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

/// Whether the address is one of the public internet (IANA special-purpose registries, RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !matches!(
                (a, b, c),
                (0 | 10 | 127 | 224..=255, _, _)      // this network, private, loopback, multicast, reserved
                    | (100, 64..=127, _)              // carrier-grade NAT
                    | (169, 254, _)                   // link-local, cloud metadata
                    | (172, 16..=31, _)
                    | (192, 168, _)
                    | (192, 0, 0 | 2)                 // protocol assignments, documentation
                    | (192, 88, 99)                   // 6to4 relays
                    | (198, 18 | 19, _)               // benchmarks
                    | (198, 51, 100)
                    | (203, 0, 113)
            )
        }
        // Only global unicast, 2000::/3, less what is set apart in it: protocols (Teredo among them), documentation.
        // Loopback, unspecified, unique local, link-local, multicast, local NAT64 and IPv4-compatible ones are outside.
        IpAddr::V6(v6) => match v6.segments() {
            [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
            [first, ..] => first >> 13 == 1,
        },
    }
}

/// A name or address that may not be connected to.
#[derive(Debug)]
pub(super) struct Forbidden(pub(super) String);

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not an address of the public internet, nor allowed by sync.allow_addresses", self.0)
    }
}

impl std::error::Error for Forbidden {}

/// Resolves names, and gives to the connector what may be connected to and nothing else.
pub(super) struct Checked {
    pub(super) reach: Reach,
    pub(super) names: Arc<dyn Resolve>,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, host, found) = (self.reach.clone(), name.as_str().to_owned(), self.names.resolve(name));
        Box::pin(async move {
            let (good, bad): (Vec<_>, Vec<_>) = found.await?.partition(|address| reach.permits(address.ip()));
            match (good.is_empty(), bad.first()) {
                (true, Some(first)) => Err(Forbidden(format!("{host} ({})", first.ip())).into()),
                _ => Ok(Box::new(good.into_iter()) as Addrs),
            }
        })
    }
}

/// The system's resolver.
pub struct SystemNames;

impl Resolve for SystemNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_internet_cannot_reach_is_not_reached_in_any_spelling() {
        let public = Reach::public(&[]);
        let inside = [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.1",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::",
            "2002:c0a8:101::5",
            "2001::1",
            "2001:db8::1",
            "100::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ];
        for address in inside {
            let ip: IpAddr = address.parse().unwrap();
            assert!(!public.permits(ip), "{address}");
            assert!(Reach::anywhere().permits(ip));
        }
        for address in [
            "1.1.1.1",
            "77.88.8.8",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.167.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2a02:6b8::1",
            "2001:4860::1",
            "2001:200::1",
            "2620::1",
            "::ffff:77.88.8.8",
            "64:ff9b::4d58:808",
            "2002:4d58:808::1",
        ] {
            assert!(public.permits(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn the_operator_may_allow_a_range_and_writes_an_address_of_his_own() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let reach = Reach::public(&["10.0.0.0/8".parse().unwrap()]);
        assert!(
            reach.permits(ip("10.9.8.7")) && reach.permits(ip("::ffff:10.9.8.7")) && !reach.permits(ip("127.0.0.1"))
        );
        let typed = Reach::configured("https://127.0.0.1:8443", &[]);
        assert!(typed.permits(ip("127.0.0.1")) && !typed.permits(ip("127.0.0.2")) && !typed.permits(ip("10.0.0.1")));
        let name = Reach::configured("https://chats.example:8443", &[]);
        assert!(!name.permits(ip("127.0.0.1")) && name.permits(ip("77.88.8.8")));
        assert!(Reach::configured("http://localhost:1", &[]).permits(ip("::1")));
        assert!(Reach::configured("http://[::1]:1", &[]).permits(ip("::1")));
    }
}
