//! Ranges of ports.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Ports `first..=last` of who is spoken to; a container's own, not those that it is published at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ports {
    pub first: u16,
    pub last: u16,
}

impl Ports {
    /// Reads `80,443,8000-8100`.
    pub fn list(text: &str) -> Result<Vec<Self>, String> {
        text.split(',').map(str::parse).collect()
    }

    /// The same ports in order and as few ranges as can be.
    pub fn normal(mut ranges: Vec<Self>) -> Vec<Self> {
        ranges.sort_unstable();
        let mut normal: Vec<Self> = Vec::new();
        for range in ranges {
            match normal.last_mut() {
                Some(last) if u32::from(range.first) <= u32::from(last.last) + 1 => {
                    last.last = last.last.max(range.last);
                }
                _ => normal.push(range),
            }
        }
        normal
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            self.first.fmt(out)
        } else {
            write!(out, "{}-{}", self.first, self.last)
        }
    }
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
        match (port(first), port(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last }),
            _ => Err(format!(
                "{text:?} is no port and no range of ports\nhint: 80, 8000-8100 or a list of them, from 1 to 65535"
            )),
        }
    }
}

/// The fewest prefixes of 16 bits for `first..=last`: where each begins, and its length.
pub fn blocks(first: u32, last: u32) -> impl Iterator<Item = (u16, u32)> {
    let mut next = first;
    std::iter::from_fn(move || {
        let port = u16::try_from(next).ok().filter(|_| next <= last)?;
        let room = (last - next + 1).ilog2();
        let bits = next.trailing_zeros().min(room).min(16);
        next += 1 << bits;
        Some((port, 16 - bits))
    })
}

stored_as_text!(Ports);
