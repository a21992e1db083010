//! Openings: what an endpoint may do beyond what the switch lets everybody do. Options of a network, for all of its
//! endpoints, and of one endpoint (`--driver-opt`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use netswitch_common::limit::MOST_COPIES;
use serde::{Deserialize, Serialize};

use crate::{
    api::Error,
    model::network::{
        Network,
        options::{address, boolean, no_effect, unreadable},
    },
};

type Result<T> = std::result::Result<T, Error>;

/// `--router`: it forwards for its neighbours.
pub const ROUTER: &str = "netswitch.router";
/// `--extra-address`: reserved addresses that it may have, between commas.
pub const ADDRESSES: &str = "netswitch.addresses";
/// Broadcast and multicast frames a second that are copied for it.
pub const REPLICATION_RATE: &str = "netswitch.replication_rate";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Openings {
    pub router: Option<bool>,
    pub addresses: BTreeSet<IpAddr>,
    pub replication_rate: Option<u32>,
}

impl Openings {
    /// Reads one option; `false` if it is none of these.
    pub fn read(&mut self, key: &str, value: &str) -> Result<bool> {
        match key {
            ROUTER => self.router = Some(boolean(key, value)?),
            ADDRESSES => {
                self.addresses = value
                    .split(',')
                    .map(|one| address(key, one.trim(), |_| true))
                    .collect::<Result<_>>()?;
            }
            REPLICATION_RATE => self.replication_rate = Some(rate(value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The options of one endpoint.
    pub fn of_endpoint(options: &BTreeMap<String, String>) -> Result<Self> {
        let mut openings = Self::default();
        for (key, value) in options {
            if !openings.read(key, value)? {
                return Err(no_effect(&format!("--driver-opt {key}")));
            }
        }
        Ok(openings)
    }

    /// With what the network gives everybody, where the endpoint does not say otherwise.
    #[must_use]
    pub fn within(mut self, network: &Self) -> Self {
        self.router = self.router.or(network.router);
        self.replication_rate = self.replication_rate.or(network.replication_rate);
        self.addresses.extend(&network.addresses);
        self
    }

    /// An extra address is reserved on its network, so that nobody else is given it.
    pub fn check(&self, network: &Network) -> Result<()> {
        let reserved: BTreeSet<IpAddr> = network.shared_addresses().collect();
        match self.addresses.difference(&reserved).next() {
            Some(address) => Err(Error::bad_request(format!(
                "address {address} is not reserved on network {}: reserve it with --aux-address",
                network.name
            ))),
            None => Ok(()),
        }
    }
}

fn rate(value: &str) -> Result<u32> {
    let rate = value.parse().ok().filter(|rate| (1..=MOST_COPIES).contains(rate));
    rate.ok_or_else(|| {
        unreadable(
            REPLICATION_RATE,
            value,
            &format!("must be 1 to {MOST_COPIES} frames a second"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Openings> {
        Openings::of_endpoint(
            &pairs
                .iter()
                .map(|(key, value)| ((*key).into(), (*value).into()))
                .collect(),
        )
    }

    #[test]
    fn openings_are_read() {
        let all = read(&[
            (ROUTER, "true"),
            (ADDRESSES, "10.0.0.9, fd00::9"),
            (REPLICATION_RATE, "5"),
        ])
        .unwrap();
        let addresses = ["10.0.0.9", "fd00::9"].map(|address| address.parse().unwrap());
        assert_eq!(
            all,
            Openings {
                router: Some(true),
                addresses: addresses.into(),
                replication_rate: Some(5)
            }
        );
        for (key, value, why) in [
            (ROUTER, "x", "strconv.ParseBool: parsing \"x\": invalid syntax"),
            (ADDRESSES, "x", "nil ip"),
            (ADDRESSES, "", "nil ip"),
            (REPLICATION_RATE, "0", "must be 1 to 1000000 frames a second"),
            (REPLICATION_RATE, "1000001", "must be 1 to 1000000 frames a second"),
            (REPLICATION_RATE, "-1", "must be 1 to 1000000 frames a second"),
        ] {
            let message = format!("failed to parse {key} value: {value} ({why})");
            assert_eq!(read(&[(key, value)]), Err(Error::bad_request(message)));
        }
        assert_eq!(
            read(&[("a", "b")]).unwrap_err().message,
            "option --driver-opt a has no effect yet"
        );
    }

    #[test]
    fn an_endpoint_says_otherwise_than_its_network() {
        let network = read(&[(ROUTER, "true"), (ADDRESSES, "10.0.0.9"), (REPLICATION_RATE, "5")]).unwrap();
        let own = read(&[(ROUTER, "false"), (ADDRESSES, "10.0.0.8"), (REPLICATION_RATE, "6")]).unwrap();
        let both = own.within(&network);
        assert_eq!(
            (both.router, both.replication_rate, both.addresses.len()),
            (Some(false), Some(6), 2)
        );
        assert_eq!(Openings::default().within(&network), network);
    }
}
