//! Which publication has which port: the same chunks of 256 that the PUBLISHED map holds.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Protocol, Publication};
use crate::model::port_set::PortSet;

/// Where a chunk stands: protocol, upper eight bits of the port, address of the host. In this order
/// all addresses of some ports are neighbours.
pub type Key = (Protocol, u8, IpAddr);

/// By the lower eight bits of the port, the publication's number; 0 for none.
pub type Chunk = Box<[u16; 256]>;

/// No chunk in it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    chunks: BTreeMap<Key, Chunk>,
}

impl Table {
    pub fn add(&mut self, publication: &Publication) {
        for (key, low) in publication.chunks() {
            let chunk = self.chunks.entry(key).or_insert_with(|| Box::new([0; 256]));
            chunk[low].fill(publication.number);
        }
    }

    /// Ports that have been given to another meanwhile stay that one's.
    pub fn remove(&mut self, publication: &Publication) {
        for (key, low) in publication.chunks() {
            let Some(chunk) = self.chunks.get_mut(&key) else {
                continue;
            };
            for port in &mut chunk[low] {
                if *port == publication.number {
                    *port = 0;
                }
            }
            if chunk.iter().all(|number| *number == 0) {
                self.chunks.remove(&key);
            }
        }
    }

    pub fn chunk(&self, key: &Key) -> Option<&Chunk> {
        self.chunks.get(key)
    }

    pub fn chunks(&self) -> impl Iterator<Item = (&Key, &Chunk)> {
        self.chunks.iter()
    }

    /// The chunks of some ports, at whatever address.
    pub fn of_ports(&self, protocol: Protocol, high: u8) -> impl Iterator<Item = (&Key, &Chunk)> {
        let first = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let last = highest(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        self.chunks.range((protocol, high, first)..=(protocol, high, last))
    }

    /// Ports that are published, whatever their protocol and address.
    pub fn ports(&self) -> PortSet {
        let ports = self.chunks.iter().flat_map(|((_, high, _), chunk)| {
            let taken = chunk.iter().zip(0..=u8::MAX).filter(|(number, _)| **number != 0);
            taken.map(|(_, low)| u16::from_be_bytes([*high, low]))
        });
        ports.map(|port| (port, port)).collect()
    }

    /// Puts a chunk in, or takes it out.
    pub fn set(&mut self, key: Key, chunk: Option<Chunk>) {
        match chunk {
            Some(chunk) => self.chunks.insert(key, chunk),
            None => self.chunks.remove(&key),
        };
    }

    /// The first of some ports of an address that a publication has whose number `counts`. The address
    /// of every interface meets each single one.
    pub fn taken(
        &self,
        protocol: Protocol,
        host: IpAddr,
        (first, last): (u16, u16),
        counts: impl Fn(u16) -> bool,
    ) -> Option<u16> {
        chunks(first, last).find_map(|(high, low)| {
            let of_family = (protocol, high, lowest(host))..=(protocol, high, highest(host));
            let met = self
                .chunks
                .range(of_family)
                .filter(|((_, _, address), _)| meet(*address, host));
            let taken = met.filter_map(|(_, chunk)| {
                let low = low.clone();
                let at = chunk[low.clone()]
                    .iter()
                    .position(|number| *number != 0 && counts(*number))?;
                u16::try_from(usize::from(high) << 8 | (low.start() + at)).ok()
            });
            taken.min()
        })
    }
}

/// Whether what is sent to one address may reach a socket or a publication at the other.
pub fn meet(one: IpAddr, other: IpAddr) -> bool {
    one.is_ipv4() == other.is_ipv4() && (one == other || one.is_unspecified() || other.is_unspecified())
}

const fn lowest(family: IpAddr) -> IpAddr {
    match family {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

const fn highest(family: IpAddr) -> IpAddr {
    match family {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::BROADCAST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)),
    }
}

/// Upper bits, and the lower bits that belong to the range.
fn chunks(first: u16, last: u16) -> impl Iterator<Item = (u8, std::ops::RangeInclusive<usize>)> {
    let [first_high, first_low] = first.to_be_bytes();
    let [last_high, last_low] = last.to_be_bytes();
    (first_high..=last_high).map(move |high| {
        let from = if high == first_high { first_low } else { 0 };
        let to = if high == last_high { last_low } else { u8::MAX };
        (high, usize::from(from)..=usize::from(to))
    })
}

impl Publication {
    /// Where its ports stand in the table.
    pub fn chunks(&self) -> impl Iterator<Item = (Key, std::ops::RangeInclusive<usize>)> + use<> {
        let (protocol, host) = (self.protocol, self.host);
        chunks(self.first, self.last).map(move |(high, low)| ((protocol, high, host), low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(number: u16, host: &str, first: u16, last: u16) -> Publication {
        Publication {
            number,
            protocol: Protocol::Tcp,
            host: host.parse().unwrap(),
            first,
            last,
            container_first: 80,
            sources: Vec::new(),
        }
    }

    #[test]
    fn ten_thousand_ports_are_a_few_chunks() {
        let mut table = Table::default();
        let range = publication(7, "0.0.0.0", 10_000, 19_999);
        table.add(&range);
        assert_eq!(table.chunks().count(), 40);
        assert_eq!(
            table
                .chunks()
                .flat_map(|(_, chunk)| chunk.iter())
                .filter(|number| **number == 7)
                .count(),
            10_000
        );
        table.remove(&range);
        assert_eq!(table, Table::default());
    }

    #[test]
    fn every_address_meets_each() {
        let mut table = Table::default();
        table.add(&publication(1, "127.0.0.1", 8000, 8010));
        table.add(&publication(2, "::", 9000, 9000));
        let taken =
            |host: &str, first, last| table.taken(Protocol::Tcp, host.parse().unwrap(), (first, last), |_| true);
        assert_eq!(taken("0.0.0.0", 7000, 9000), Some(8000));
        assert_eq!(taken("127.0.0.1", 8005, 9000), Some(8005));
        assert_eq!(taken("127.0.0.2", 1, 65_535), None);
        assert_eq!(taken("0.0.0.0", 8011, 9000), None);
        assert_eq!(taken("fd00::1", 1, 65_535), Some(9000));
        assert_eq!(
            table.taken(Protocol::Udp, "0.0.0.0".parse().unwrap(), (1, 65_535), |_| true),
            None
        );
        assert_eq!(
            table.taken(Protocol::Tcp, "::".parse().unwrap(), (9000, 9000), |number| number != 2),
            None
        );
    }
}
