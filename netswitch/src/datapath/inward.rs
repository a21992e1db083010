//! Which ports of the host's may lead to a container. Packets to all others are the host's own, and the programs at
//! uplinks look nothing up for them.

use std::collections::BTreeMap;
use std::time::Duration;

use netswitch_common::{
    flow::{Flow, mapping::kept},
    host::Config,
    publish::{PublishedKey, PublishedPorts, inward, protocol},
};

use super::{Error, Result, Tables, array::Array, flows::Flows};

/// Bits to set, by their word in INWARD.
#[derive(Default)]
pub(super) struct Ports(BTreeMap<u32, u64>);

/// A program that has seen which half was current is at its end after this.
const GRACE: Duration = Duration::from_millis(1);

impl Ports {
    /// A port in host order.
    fn add(&mut self, protocol: u8, port: u16) {
        if let Some((word, bit)) = inward(protocol, port) {
            *self.0.entry(word).or_default() |= bit;
        }
    }

    /// The port that a flow has outside.
    pub(super) fn add_masqueraded(&mut self, flow: &Flow) {
        let [original, reply] = &flow.tuples;
        if flow.is_masqueraded()
            && let Ok(protocol) = original.protocol.try_into()
        {
            self.add(protocol, u16::from_be(reply.to_port));
        }
    }

    fn add_published(&mut self, key: &PublishedKey, ports: &PublishedPorts) {
        for (low, number) in (0..=u8::MAX).zip(ports.0) {
            if number != 0 {
                self.add(key.protocol, u16::from_be_bytes([key.port_high, low]));
            }
        }
    }

    fn add_masquerade(&mut self, config: &Config) {
        for port in (config.first_port..=u16::MAX).take(config.port_count.into()) {
            self.add(protocol::TCP, port);
            self.add(protocol::UDP, port);
        }
    }
}

/// Ports that flows have kept: programs set bits in one half while the other one is written anew.
pub(super) struct Kept(Array<u64>);

impl Kept {
    pub(super) const fn new(map: Array<u64>) -> Self {
        Self(map)
    }

    /// From now on programs set bits in the other half. Returns where the half begins that was theirs.
    pub(super) fn turn(&mut self) -> Result<u32> {
        let map = || Error::map("KEPT");
        let half = match self.0.get(kept::CURRENT).map_err(map())? {
            0 => 0,
            _ => kept::HALF,
        };
        let other = kept::HALF - half;
        self.0.set(kept::CURRENT, other.into()).map_err(map())?;
        std::thread::sleep(GRACE);
        Ok(half)
    }

    /// Writes a half anew that programs set no bits in.
    pub(super) fn rewrite(&mut self, half: u32, Ports(words): &Ports) -> Result<()> {
        let map = || Error::map("KEPT");
        let known: BTreeMap<u32, u64> = self.0.written().map_err(map())?.into_iter().collect();
        for word in 0..kept::HALF {
            let wanted = words.get(&word).copied().unwrap_or(0);
            if known.get(&(half + word)).copied().unwrap_or(0) != wanted {
                self.0.set(half + word, wanted).map_err(map())?;
            }
        }
        Ok(())
    }
}

impl Tables {
    /// The map is the object's own: it starts empty.
    pub(super) fn fill_inward(&mut self, flows: &Flows) -> Result<()> {
        let mut ports = Ports::default();
        ports.add_masquerade(&self.config()?);
        for row in &self.published {
            let (key, value) = row.map_err(Error::map("PUBLISHED"))?;
            ports.add_published(&key, &value);
        }
        // the agent before this one may have had other ports for masquerade
        flows.each_record(|_, flow| {
            for tuple in flow.tuples.iter().filter(|tuple| tuple.zone == 0) {
                if let Ok(protocol) = tuple.protocol.try_into() {
                    ports.add(protocol, u16::from_be(tuple.to_port));
                }
            }
        })?;
        self.lead_inward(ports)
    }

    pub(super) fn masquerade_leads_inward(&mut self, config: &Config) -> Result<()> {
        let mut ports = Ports::default();
        ports.add_masquerade(config);
        self.lead_inward(ports)
    }

    pub(super) fn publication_leads_inward(&mut self, key: &PublishedKey, value: &PublishedPorts) -> Result<()> {
        let mut ports = Ports::default();
        ports.add_published(key, value);
        self.lead_inward(ports)
    }

    fn lead_inward(&mut self, Ports(words): Ports) -> Result<()> {
        for (word, bits) in words {
            let known = self.inward.get(word).map_err(Error::map("INWARD"))?;
            if known & bits != bits {
                self.inward.set(word, known | bits).map_err(Error::map("INWARD"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_has_a_bit_of_its_own() {
        let mut ports = Ports::default();
        ports.add(protocol::TCP, 5_201);
        ports.add(protocol::UDP, 5_353);
        ports.add(132, 80);
        assert_eq!(
            ports.0.into_iter().collect::<Vec<_>>(),
            [(81, 1 << 17), (1_107, 1 << 41)]
        );
    }

    #[test]
    fn masquerade_and_publications_lead_inward() {
        let mut ports = Ports::default();
        let config = Config {
            first_port: 65_472,
            port_count: 64,
            ..Config::default()
        };
        ports.add_masquerade(&config);
        let mut published = PublishedPorts::NONE;
        published.0[80] = 1;
        let key = PublishedKey {
            protocol: protocol::TCP,
            ..PublishedKey::default()
        };
        ports.add_published(&key, &published);
        assert_eq!(
            ports.0.into_iter().collect::<Vec<_>>(),
            [(1, 1 << 16), (1_023, u64::MAX), (2_047, u64::MAX)]
        );
    }
}
