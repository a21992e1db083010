//! Leash (`--egress`): whom an endpoint may begin to speak with, whatever a policy says beyond that.
//!
//! What is asked of a leash falls into classes, one for each protocol and list of ports. LEASHES says which
//! classes an address is in, `LEASH_PORTS` which ones a protocol and port are in: they may be spoken to if there
//! is one that both are in. So a new flow costs two look-ups, however long the leash is.

use crate::{address::Address, map_type};

/// Classes of one leash at most: [`Classes`] has a bit for each.
pub const CLASSES: usize = 64;

/// Of the container's own leash and of its network's: where there are both, both must let it pass.
pub type Classes = [u64; 2];

/// Data of LEASHES' LPM key. Prefixes are 32 bits longer than the address's.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LeashKey {
    /// [`crate::endpoint::Endpoint::generation`] of whose leash it is: no other endpoint ever has it.
    pub leash: u32,
    pub address: Address,
}
map_type!(LeashKey, 20);

/// Value of LEASHES.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leashed {
    /// By the prefixes that the leash names.
    pub always: Classes,
    /// By names that have led to the address.
    pub learnt: Classes,
    /// Until when they do (`CLOCK_MONOTONIC`, ns): flows that begin later are not let pass by them.
    pub until: u64,
}
map_type!(Leashed, 40);

impl Leashed {
    #[inline(always)]
    pub const fn classes(&self, now: u64) -> Classes {
        let [container, network] = self.always;
        if now < self.until {
            [container | self.learnt[0], network | self.learnt[1]]
        } else {
            self.always
        }
    }
}

/// Data of `LEASH_PORTS`' LPM key; its value is [`Classes`]. Prefix lengths as for
/// [`crate::policy::RulingKey`]: 32 for all protocols, 48 for one, up to 64 for one port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeashPortsKey {
    pub leash: u32,
    /// IP protocol number.
    pub protocol: u8,
    pub _pad: u8,
    /// Network order.
    pub port: u16,
}
map_type!(LeashPortsKey, 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_have_led_to_ends() {
        let leashed = Leashed {
            always: [1, 0],
            learnt: [2, 4],
            until: 100,
        };
        assert_eq!(leashed.classes(99), [3, 4]);
        assert_eq!(leashed.classes(100), [1, 0]);
    }
}
