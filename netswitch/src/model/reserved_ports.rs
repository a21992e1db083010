//! Ports that the host's own connections must keep off, `net.ipv4.ip_local_reserved_ports`: which of them
//! are there for us, and where masquerading has its ports.

use netswitch_common::capacity;
use serde::{Deserialize, Serialize};

use super::port_set::PortSet;

/// Ports that masquerading takes of an ephemeral range, if it must.
const SLICE: u16 = 20_480;

/// Which of the reserved ports are there for us. A reboot forgets what was reserved: the record of another
/// boot says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    pub ports: PortSet,
}

impl Record {
    /// The record in this boot.
    #[must_use]
    pub fn at(self, boot: &str) -> Self {
        if self.boot == boot {
            return self;
        }
        Self {
            boot: boot.to_owned(),
            ports: PortSet::default(),
        }
    }
}

/// What to write, and what to record before and after: a crash in between leaves nothing that is not
/// recorded as ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub before: Record,
    /// `None`: the setting is right.
    pub value: Option<PortSet>,
    pub after: Record,
}

impl Change {
    /// From what is recorded and what is set to what we want beside the ports of others.
    pub fn of(record: &Record, current: &PortSet, wanted: &PortSet) -> Self {
        let others = current.minus(&record.ports);
        let ours = wanted.minus(&others);
        let value = others.union(&ours);
        let with = |ports| Record {
            boot: record.boot.clone(),
            ports,
        };
        Self {
            before: with(record.ports.union(&ours)),
            after: with(ours),
            value: Some(value).filter(|value| value != current),
        }
    }
}

/// First port and number of ports for masquerading: those `asked` for, or else the usual ones, or else,
/// where the host's ephemeral ports overlap these, the end of the ephemeral range, of which at least half
/// stays the host's.
pub fn masquerade(asked: Option<(u16, u16)>, ephemeral: (u16, u16)) -> (u16, u16) {
    let usual = capacity::MASQUERADE_PORTS;
    if asked.is_some() || overlap(usual, ephemeral).is_empty() {
        return asked.unwrap_or(usual);
    }
    let (low, high) = ephemeral;
    let count = SLICE.min((high - low) / 2).max(1);
    (high - count + 1, count)
}

/// What of `count` ports from `first` on lies in the ephemeral range, and is to be reserved.
pub fn overlap((first, count): (u16, u16), ephemeral: (u16, u16)) -> PortSet {
    let last = first.saturating_add(count.saturating_sub(1));
    PortSet::from_iter([(first, last)]).within(ephemeral)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> PortSet {
        PortSet::parse(text).unwrap()
    }

    fn record(boot: &str, ports: &str) -> Record {
        Record {
            boot: boot.into(),
            ports: set(ports),
        }
    }

    #[test]
    fn only_the_usual_ports_move_out_of_the_way_of_the_ephemeral_range() {
        let usual = capacity::MASQUERADE_PORTS;
        for (asked, ephemeral, ports, reserved) in [
            (None, (32_768, 60_999), usual, ""),
            (None, (1024, 65_535), (45_056, 20_480), "45056-65535"),
            (Some((40_000, 100)), (32_768, 60_999), (40_000, 100), "40000-40099"),
            (Some((32_000, 1000)), (32_768, 60_999), (32_000, 1000), "32768-32999"),
            (Some((10_000, 100)), (32_768, 60_999), (10_000, 100), ""),
            (Some((65_535, 1)), (1024, 65_535), (65_535, 1), "65535"),
        ] {
            assert_eq!(masquerade(asked, ephemeral), ports, "{asked:?} {ephemeral:?}");
            assert_eq!(overlap(ports, ephemeral), set(reserved), "{asked:?} {ephemeral:?}");
        }
    }

    #[test]
    fn ports_of_others_stay_and_a_crash_on_the_way_loses_none_of_ours() {
        let change = Change::of(&record("a", "10,20"), &set("5,10,20"), &set("5,20-21"));
        assert_eq!(change.before, record("a", "10,20-21"));
        assert_eq!(change.value, Some(set("5,20-21")));
        assert_eq!(change.after, record("a", "20-21"));
        let again = Change::of(&change.after, &set("5,20-21"), &set("5,20-21"));
        assert_eq!((again.before, again.value), (change.after.clone(), None));
        let back = Change::of(&change.after, &set("5,20-21"), &PortSet::default());
        assert_eq!((back.value, back.after), (Some(set("5")), record("a", "")));
    }

    #[test]
    fn the_record_of_another_boot_takes_no_port_from_the_administrator() {
        let stale = record("a", "20");
        assert_eq!(stale.clone().at("a"), stale);
        let change = Change::of(&stale.at("b"), &set("20"), &set("20-21"));
        assert_eq!(change.after, record("b", "21"));
        let back = Change::of(&change.after, &set("20-21"), &PortSet::default());
        assert_eq!(back.value, Some(set("20")));
    }
}
