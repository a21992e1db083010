//! How many flows endpoints may have, and the end of what leashes have learnt.

use netswitch_common::{capacity, flow::EXTENT, host::Config};

use super::core::Core;

impl Core {
    /// How many flows each endpoint may have whatever the others do: they share half of the table equally.
    pub fn share_flows(&mut self) {
        let flow_share = flow_share(self.state.endpoints.len());
        let tables = self.datapath.tables();
        let shared = tables.config().and_then(|config| {
            if config.flow_share == flow_share {
                return Ok(());
            }
            tables.set_config(&Config { flow_share, ..config })
        });
        if let Err(error) = shared {
            tracing::warn!(%error, "endpoints keep the shares of flows that they had");
        }
    }

    /// Frees what names have led leashes to, once that is over.
    pub fn sweep_leashes(&mut self) {
        let leashed = self.state.endpoints.values().filter(|endpoint| endpoint.is_leashed());
        let living = leashed.map(|endpoint| endpoint.generation).collect();
        if let Err(error) = self.datapath.tables().leashes().forget(&living) {
            tracing::warn!(%error, "what leashes have learnt was not forgotten");
        }
    }
}

/// The share of each of so many endpoints. In steps, so that one endpoint more seldom changes it.
pub fn flow_share(endpoints: usize) -> u32 {
    let sharers =
        u32::try_from(endpoints.max(1)).map_or(u32::MAX, |count| count.checked_next_power_of_two().unwrap_or(u32::MAX));
    ((capacity::RECORDS - capacity::COMMON_RECORDS) / sharers).max(EXTENT)
}

/// As users know it, or its number.
pub fn protocol(number: u32) -> String {
    match number {
        1 => "icmp".into(),
        6 => "tcp".into(),
        17 => "udp".into(),
        58 => "icmpv6".into(),
        132 => "sctp".into(),
        number => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_endpoints_fit_into_their_half() {
        for (endpoints, share) in [
            (0, 524_288),
            (1, 524_288),
            (3, 131_072),
            (40, 8_192),
            (8_192, 64),
            (60_000, 64),
        ] {
            assert_eq!(flow_share(endpoints), share, "{endpoints}");
        }
    }
}
