//! A set of ports as the kernel writes one (`net.ipv4.ip_local_reserved_ports`): `22,8080-8090`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Ranges `first..=last` in order; none touches the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSet(Vec<(u16, u16)>);

impl PortSet {
    /// `None` where `text` is no list of ports and ranges; an empty one is the empty set.
    pub fn parse(text: &str) -> Option<Self> {
        let parts = text.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty());
        parts
            .map(|part| {
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                let range = (first.parse().ok()?, last.parse().ok()?);
                (range.0 <= range.1).then_some(range)
            })
            .collect()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&port))
    }

    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.0.iter().chain(&other.0).copied().collect()
    }

    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut left = self.0.clone();
        for (first, last) in &other.0 {
            let cut = |(low, high): (u16, u16)| {
                let below = first.checked_sub(1).map(|end| (low, high.min(end)));
                let above = last.checked_add(1).map(|start| (low.max(start), high));
                below.into_iter().chain(above).filter(|(low, high)| low <= high)
            };
            left = left.into_iter().flat_map(cut).collect();
        }
        left.into_iter().collect()
    }

    /// What of it lies in `first..=last`.
    #[must_use]
    pub fn within(&self, (first, last): (u16, u16)) -> Self {
        let cut = self.0.iter().map(|(low, high)| (*low.max(&first), *high.min(&last)));
        cut.filter(|(low, high)| low <= high).collect()
    }
}

impl FromIterator<(u16, u16)> for PortSet {
    fn from_iter<I: IntoIterator<Item = (u16, u16)>>(ranges: I) -> Self {
        let mut ranges: Vec<(u16, u16)> = ranges.into_iter().collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::new();
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (first, last)) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            if first == last {
                write!(out, "{comma}{first}")?;
            } else {
                write!(out, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> PortSet {
        PortSet::parse(text).unwrap()
    }

    #[test]
    fn it_is_written_as_the_kernel_writes_it() {
        for (text, expected) in [
            ("", ""),
            ("\n", ""),
            ("3-5,1\n", "1,3-5"),
            ("1,2,3,2-9", "1-9"),
            ("65535,0", "0,65535"),
        ] {
            assert_eq!(set(text).to_string(), expected, "{text:?}");
        }
        for text in ["x", "5-3", "70000", "1-"] {
            assert_eq!(PortSet::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn sets_are_added_subtracted_and_cut() {
        assert_eq!(set("1,9").union(&set("2-3")).to_string(), "1-3,9");
        assert_eq!(set("1-9").minus(&set("1,4-5,9")).to_string(), "2-3,6-8");
        assert_eq!(set("0-65535").minus(&set("0,65535")).to_string(), "1-65534");
        assert_eq!(set("5").minus(&set("4-6")), PortSet::default());
        assert_eq!(set("1-9,20").within((5, 20)).to_string(), "5-9,20");
        assert!(set("1,4-6").contains(5) && !set("1,4-6").contains(3));
    }
}
