//! Places of which no client address takes more than its share.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::node::config::Config;

/// A number of places (or of KiB) for all, and how many of them one address may hold.
pub(super) struct Shares {
    total: usize,
    each: usize,
    /// Whose address stands for many clients, so that a share of it would be a share of all.
    proxies: bool,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by: HashMap<IpAddr, usize>,
}

/// Places that are held, given back when it is dropped.
pub(super) struct Share {
    shares: Arc<Shares>,
    address: IpAddr,
    places: usize,
}

impl Shares {
    /// `each` of `total` for one address; behind a proxy, which alone knows who asks, all of them.
    pub(super) fn new(config: &Config, total: usize, each: usize) -> Arc<Shares> {
        let proxies = config.http.behind_proxy.is_some();
        Arc::new(Shares { total, each: each.clamp(1, total.max(1)), proxies, taken: Mutex::default() })
    }

    /// Takes places; none where they are not free, or not for this address.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr, places: usize) -> Option<Share> {
        let address = network_of(address);
        let mut taken = self.taken.lock();
        let held = taken.by.get(&address).copied().unwrap_or(0);
        let own = if self.proxies { self.total } else { self.each };
        if taken.all + places > self.total || held + places > own {
            return None;
        }
        taken.all += places;
        taken.by.insert(address, held + places);
        drop(taken);
        Some(Share { shares: self.clone(), address, places })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.taken.lock();
        taken.all -= self.places;
        let left = taken.by.get(&self.address).map_or(0, |held| held - self.places);
        match left {
            0 => taken.by.remove(&self.address),
            left => taken.by.insert(self.address, left),
        };
    }
}

/// One client of IPv6 has a /64 at least.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_gives_it_back() {
        let config = Config::default();
        let shares = Shares::new(&config, 4, 2);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let held: Vec<_> = [0, 1].map(|_| shares.take(ip("1.1.1.1"), 1).unwrap()).into();
        assert!(shares.take(ip("1.1.1.1"), 1).is_none() && shares.take(ip("::ffff:1.1.1.1"), 1).is_none());
        let other = shares.take(ip("2a00::1"), 2).unwrap();
        assert!(shares.take(ip("2a00::2"), 1).is_none(), "the same /64");
        assert!(shares.take(ip("3.3.3.3"), 1).is_none(), "all are taken");
        drop((held, other));
        assert!(shares.take(ip("1.1.1.1"), 2).is_some());
        assert!(shares.taken.lock().by.is_empty());
    }
}
