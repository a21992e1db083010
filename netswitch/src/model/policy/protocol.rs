//! Which protocols a rule speaks of.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Protocol {
    #[default]
    Any,
    /// Of both families.
    Icmp,
    /// By its number (IANA).
    Number(u8),
}

impl Protocol {
    pub const TCP: Self = Self::Number(TCP);

    pub const fn is_any(&self) -> bool {
        matches!(self, Self::Any)
    }

    pub fn has_ports(self) -> bool {
        match self {
            Self::Any => true,
            Self::Icmp => false,
            Self::Number(number) => Self::WITH_PORTS.contains(&number),
        }
    }

    const WITH_PORTS: [u8; 4] = [TCP, UDP, SCTP, UDP_LITE];

    /// The numbers that a rule with ports, or one without that is not about any protocol, speaks of.
    pub fn numbers(self) -> Vec<u8> {
        match self {
            Self::Any => Self::WITH_PORTS.to_vec(),
            Self::Icmp => vec![ICMP, ICMPV6],
            Self::Number(number) => vec![number],
        }
    }

    /// Its name, or a number that is no address's prefix.
    pub fn named(text: &str) -> Option<Self> {
        match text {
            "any" => Some(Self::Any),
            "icmp" => Some(Self::Icmp),
            "tcp" => Some(Self::Number(TCP)),
            "udp" => Some(Self::Number(UDP)),
            "sctp" => Some(Self::Number(SCTP)),
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Any => out.write_str("any"),
            Self::Icmp => out.write_str("icmp"),
            Self::Number(TCP) => out.write_str("tcp"),
            Self::Number(UDP) => out.write_str("udp"),
            Self::Number(SCTP) => out.write_str("sctp"),
            Self::Number(number) => number.fmt(out),
        }
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = || text.parse().ok().map(Self::Number);
        Self::named(text).or_else(number).ok_or_else(|| {
            format!("{text:?} is no protocol\nhint: any, tcp, udp, sctp, icmp or a number from 0 to 255")
        })
    }
}

stored_as_text!(Protocol);
