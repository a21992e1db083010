//! Halves: maps that are written under one half of their keys while the programs read the other.

use netswitch_common::host::{Config, config_flags};

use super::{Result, Tables};

/// What says so in [`Config::flags`].
#[derive(Clone, Copy)]
pub(super) struct Halves {
    /// Set where the maps are read at all.
    is_read: u16,
    /// Set where the second half is.
    second: u16,
}

pub(super) const IPSEC: Halves = Halves {
    is_read: config_flags::IPSEC,
    second: config_flags::IPSEC_HALF,
};

pub(super) const ROUTING: Halves = Halves {
    is_read: config_flags::ROUTING,
    second: config_flags::ROUTING_HALF,
};

impl Tables {
    /// The half, 0 or 1, that no program reads.
    pub(super) fn free_half(&self, halves: Halves) -> Result<u32> {
        Ok(u32::from(self.config()?.flags & halves.second == 0))
    }

    /// The programs read this half from now on, or none. What they have read stays: one may be reading it.
    pub(super) fn turn_to(&mut self, halves: Halves, half: u32, is_read: bool) -> Result<()> {
        let config = self.config()?;
        let mut flags = config.flags & !(halves.is_read | halves.second);
        if is_read {
            flags |= halves.is_read;
        }
        if half == 1 {
            flags |= halves.second;
        }
        self.set_config(&Config { flags, ..config })
    }
}
