//! Limits: how fast a container may send and receive, and how many flows it may have.

use std::fmt;

use netswitch_common::{
    capacity,
    endpoint::flags,
    limit::{self, MOST_PACKETS, RATES, price},
};
use serde::{Deserialize, Serialize};

use super::Mode;
use crate::{
    api::Error,
    model::{
        changes::{Changes, Draft},
        state::State,
    },
};

/// Of a container, for each of what it sends and what it receives; 0: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bits a second, of IP packets.
    pub rate: u64,
    /// Packets a second.
    pub packets: u64,
    /// Flows at once, on each of its networks.
    pub flows: u64,
}

/// What is asked for; `None` leaves a limit as it is, 0 takes it away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    pub rate: Option<u64>,
    pub packets: Option<u64>,
    pub flows: Option<u64>,
}

const BITS: u64 = 8;
/// Bits a second at least and at most.
const LEAST_RATE: u64 = RATES.0 * BITS;
const MOST_RATE: u64 = RATES.1 * BITS;
const MOST_FLOWS: u64 = capacity::RECORDS as u64;

/// Units of tc(8) that count bits, and how many of them make one; those of bytes are the same with `bps`.
const UNITS: [(&str, u64); 5] = [
    ("t", 1_000_000_000_000),
    ("g", 1_000_000_000),
    ("m", 1_000_000),
    ("k", 1_000),
    ("", 1),
];

impl Limits {
    /// With a change made.
    pub fn with(self, change: Change) -> Result<Self, Error> {
        let changed = Self {
            rate: change.rate.unwrap_or(self.rate),
            packets: change.packets.unwrap_or(self.packets),
            flows: change.flows.unwrap_or(self.flows),
        };
        check_rate(changed.rate)
            .and_then(|_| check_count(changed.packets, MOST_PACKETS))
            .and_then(|_| check_count(changed.flows, MOST_FLOWS))
            .map_err(Error::bad_request)?;
        Ok(changed)
    }

    /// Bits of the flags of the container's endpoints.
    pub const fn flags(&self) -> u32 {
        let limited = if self.rate | self.packets == 0 {
            0
        } else {
            flags::LIMITED
        };
        let counted = if self.flows == 0 { 0 } else { flags::COUNT_FLOWS };
        limited | counted
    }

    /// As the switch has them, with nothing used; `None`: it has none.
    pub fn of_switch(&self) -> Option<limit::Limits> {
        (*self != Self::default()).then(|| limit::Limits {
            byte_price: price(self.rate / BITS),
            packet_price: price(self.packets),
            flows: u32::try_from(self.flows).unwrap_or(0),
            ..limit::Limits::default()
        })
    }
}

/// As they are typed: `100mbit, 1000 packets/s, 50 flows`.
impl fmt::Display for Limits {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packets = (self.packets != 0).then(|| format!("{} packets/s", self.packets));
        let flows = (self.flows != 0).then(|| format!("{} flows", self.flows));
        let rate = (self.rate != 0).then(|| spell(self.rate));
        let parts: Vec<String> = [rate, packets, flows].into_iter().flatten().collect();
        out.write_str(&parts.join(", "))
    }
}

/// Bits a second in the largest unit of which they are a whole number.
fn spell(rate: u64) -> String {
    let unit = UNITS.iter().find(|(_, bits)| rate.is_multiple_of(*bits));
    unit.map_or_else(String::new, |(name, bits)| format!("{}{name}bit", rate / bits))
}

/// Reads a rate as tc(8) does, in bits a second: `100mbit`, `1.5gbit`, `20mbps` (bytes), `64kibit`, `9600`; or
/// `none`.
pub fn rate(text: &str) -> Result<u64, String> {
    let lower = text.to_lowercase();
    if lower == "none" {
        return Ok(0);
    }
    let wrong =
        || "a rate is a number with bit, kbit, mbit or gbit, or with bps, kbps, mbps or gbps for bytes; or none";
    let digits = lower.find(|character: char| !character.is_ascii_digit() && character != '.');
    let (number, unit) = lower.split_at(digits.unwrap_or(lower.len()));
    let (unit, bits) = match (unit.strip_suffix("bit"), unit.strip_suffix("bps")) {
        (Some(prefix), _) => (prefix, 1),
        (None, Some(prefix)) => (prefix, BITS),
        (None, None) if unit.is_empty() => ("", 1),
        (None, None) => return Err(wrong().to_owned()),
    };
    let scale = match unit.strip_suffix('i').filter(|prefix| !prefix.is_empty()) {
        None => UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale),
        Some(prefix) => UNITS.iter().position(|(name, _)| *name == prefix).map(binary),
    };
    let (Some(scale), Ok(number)) = (scale, number.parse::<f64>()) else {
        return Err(wrong().to_owned());
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a rate is no more exact; what is too large is found so"
    )]
    let rate = (number * (scale * bits) as f64).round() as u64;
    match rate {
        0 => Err("a rate of 0 would stop everything\nhint: none is no limit".to_owned()),
        rate => check_rate(rate),
    }
}

/// Of the unit at a place of [`UNITS`], by powers of 1024.
const fn binary(place: usize) -> u64 {
    1 << (10 * (UNITS.len() - 1 - place))
}

/// Reads how many packets a second, or `none`.
pub fn packets(text: &str) -> Result<u64, String> {
    count(text, MOST_PACKETS)
}

/// Reads how many flows, or `none`.
pub fn flows(text: &str) -> Result<u64, String> {
    count(text, MOST_FLOWS)
}

fn count(text: &str, most: u64) -> Result<u64, String> {
    match text {
        "none" => Ok(0),
        _ => text
            .parse()
            .ok()
            .filter(|number| *number != 0)
            .ok_or_else(|| out_of_range(most))
            .and_then(|number| check_count(number, most)),
    }
}

fn check_rate(rate: u64) -> Result<u64, String> {
    match rate {
        0 | LEAST_RATE..=MOST_RATE => Ok(rate),
        _ => Err(format!("a rate is from {} to {}", spell(LEAST_RATE), spell(MOST_RATE))),
    }
}

fn check_count(number: u64, most: u64) -> Result<u64, String> {
    if number > most {
        return Err(out_of_range(most));
    }
    Ok(number)
}

fn out_of_range(most: u64) -> String {
    format!("a number from 1 to {most}, or none")
}

/// `update`: other limits for a container, at once where it runs.
pub fn update(state: &State, key: &str, change: Change) -> Result<Changes, Error> {
    let mut container = state.container(key)?.clone();
    let limits = container.limits.with(change)?;
    check_mode(&container.mode, &limits)?;
    if limits == container.limits {
        return Ok(Changes::default());
    }
    let mut draft = Draft::new(state);
    // their flags say that there are limits
    for endpoint in state.endpoints_of_container(&container.id) {
        draft.put_endpoint(endpoint.clone());
    }
    container.limits = limits;
    draft.put_container(container);
    Ok(draft.finish())
}

/// Without a network of its own a container has nothing to limit.
pub fn check_mode(mode: &Mode, limits: &Limits) -> Result<(), Error> {
    let kind = match mode {
        Mode::Container(_) => "container",
        Mode::Host => "host",
        Mode::Networks(_) | Mode::None => return Ok(()),
    };
    if *limits == Limits::default() {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "conflicting options: traffic limits and the {kind} type network mode"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::World;

    #[test]
    fn rates_are_read_as_tc_reads_them() {
        for (text, bits) in [
            ("none", 0),
            ("100mbit", 100_000_000),
            ("1.5Gbit", 1_500_000_000),
            ("20mbps", 160_000_000),
            ("20MBps", 160_000_000),
            ("64kibit", 65_536),
            ("1mibps", 8 << 20),
            ("8kbit", 8_000),
            ("9600", 9_600),
            ("9600bit", 9_600),
            ("1tbit", 1_000_000_000_000),
        ] {
            assert_eq!(rate(text), Ok(bits), "{text}");
        }
        for text in [
            "", "fast", "mbit", "-1mbit", "10mb", "10ibit", "1e9", "1..2mbit", "nan", "10 mbit",
        ] {
            assert!(
                rate(text).unwrap_err().starts_with("a rate is a number with bit"),
                "{text}"
            );
        }
        for text in ["1kbit", "7999", "2tbit", "9999999999999999999999gbit"] {
            assert_eq!(rate(text).unwrap_err(), "a rate is from 8kbit to 1tbit", "{text}");
        }
        assert!(rate("0").unwrap_err().contains("hint: none is no limit"));
    }

    #[test]
    fn what_is_spelled_is_read_again() {
        for bits in [8_000, 9_601, 100_000_000, 1_500_000_000, 1_000_000_000_000] {
            assert_eq!(rate(&spell(bits)), Ok(bits));
        }
        let limits = Limits {
            rate: 100_000_000,
            packets: 1_000,
            flows: 50,
        };
        assert_eq!(limits.to_string(), "100mbit, 1000 packets/s, 50 flows");
    }

    #[test]
    fn counts_have_bounds() {
        assert_eq!((packets("10000"), flows("none")), (Ok(10_000), Ok(0)));
        for text in ["0", "-1", "x", "1.5", "1048577"] {
            assert_eq!(flows(text).unwrap_err(), "a number from 1 to 1048576, or none");
        }
    }

    #[test]
    fn an_update_changes_what_it_names_and_nothing_else() {
        let mut world = World::new();
        world.run("web", &["bridge"]);
        let update = |world: &World, change| update(&world.state, "web", change);
        let asked = Change {
            rate: Some(8_000_000),
            flows: Some(10),
            ..Change::default()
        };
        let changes = update(&world, asked).unwrap();
        assert_eq!(changes.endpoints.len(), 1);
        world.apply(changes);
        assert!(update(&world, asked).unwrap().is_empty());
        let more = Change {
            packets: Some(5),
            flows: Some(0),
            ..Change::default()
        };
        let changes = update(&world, more).unwrap();
        world.apply(changes);
        let limits = world.state.container("web").unwrap().limits;
        assert_eq!((limits.rate, limits.packets, limits.flows), (8_000_000, 5, 0));
        assert_eq!(limits.flags(), flags::LIMITED);
        let bad = Change {
            rate: Some(1),
            ..Change::default()
        };
        assert_eq!(
            update(&world, bad).unwrap_err().message,
            "a rate is from 8kbit to 1tbit"
        );
    }

    #[test]
    fn a_container_without_a_network_of_its_own_has_no_limits() {
        let mut world = World::new();
        world.run("web", &["bridge"]);
        world.run("hosted", &["host"]);
        world.run("joined", &["container:web"]);
        let asked = Change {
            packets: Some(5),
            ..Change::default()
        };
        for (name, kind) in [("hosted", "host"), ("joined", "container")] {
            assert_eq!(
                update(&world.state, name, asked).unwrap_err().message,
                format!("conflicting options: traffic limits and the {kind} type network mode")
            );
        }
    }
}
