//! An action and its undo, as data. `plan` makes them, `execute` runs them and nothing else does.
//!
//! Devices are named, never numbered: an index exists only once the kernel has made the device, so
//! `execute` fills it into the [`Entry`] when it writes it.

mod entry;

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netswitch_common::address::Mac;

pub use self::entry::{Device, Entry, Place};
use crate::{
    api::UplinkMode,
    kernel::{Namespace, Veth},
    model::Id,
};

/// One step. [`Action::undo`] tells how it is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Makes a veth pair in one request, both ends configured but down.
    AddVeth(Box<Veth>),
    /// Deletes a pair by its near end; that it is gone already is no error.
    DeleteLink {
        device: String,
    },
    SetUp {
        device: String,
        up: bool,
    },
    AddAddress {
        device: String,
        address: IpNetwork,
    },
    DeleteAddress {
        device: String,
        address: IpNetwork,
    },
    /// A permanent neighbour on a host end.
    AddNeighbour {
        device: String,
        address: IpAddr,
        mac: Mac,
    },
    DeleteNeighbour {
        device: String,
        address: IpAddr,
    },
    /// `lo` of a namespace of ours: up, and without IPv6 until an interface has it.
    SetUpLoopback {
        namespace: Namespace,
    },
    /// Makes an interface inside a container's namespace ready: sysctls, addresses, up, permanent
    /// gateway neighbours. Undone by deleting the pair.
    ConfigureInterface(Box<Interface>),
    /// Lets an interface inside a namespace take frames that XDP redirects to its pair. Undone by deleting it.
    ReceiveByNapi {
        namespace: Namespace,
        interface: String,
    },
    /// Sets or moves the default route inside a namespace; `None` removes it.
    SetDefaultRoute {
        namespace: Namespace,
        from: Option<Route>,
        to: Option<Route>,
    },
    /// `from_endpoint` on a host-side device, its link pinned under the device's index.
    Attach {
        device: String,
    },
    /// The index, where it is known: the device may be gone.
    Detach {
        device: String,
        index: Option<u32>,
    },
    /// `from_uplink` on a device towards the world, and what else it needs there.
    AttachUplink(UplinkHooks),
    /// By index: the device may be gone.
    DetachUplink {
        index: u32,
    },
    /// A setting of the host's, by its path below `/proc/sys`.
    SetSysctl {
        path: String,
        before: String,
        value: String,
    },
    /// Writes one map entry; `before` is what `undo` writes back.
    Put {
        entry: Entry,
        before: Option<Entry>,
    },
    Remove {
        entry: Entry,
    },
    /// Tells the members of a network that an address now has another MAC (gratuitous ARP,
    /// unsolicited NA), sent from inside the container's namespace.
    Announce {
        namespace: Namespace,
        interface: String,
        mac: Mac,
        addresses: Vec<IpAddr>,
    },
    /// For tests of `undo`: fails.
    #[cfg(test)]
    Fail,
}

/// An interface inside a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub namespace: Namespace,
    pub name: String,
    pub addresses: Vec<IpNetwork>,
    /// Permanent neighbours: the gateway's addresses.
    pub neighbours: Vec<(IpAddr, Mac)>,
    /// Whether the network has IPv6; without it the interface gets `disable_ipv6=1`.
    pub v6: bool,
    /// A namespace of ours: its `lo` gets IPv6 along with the interface.
    pub ours: bool,
}

/// A default route inside a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub interface: String,
    pub gateway: IpAddr,
}

impl Action {
    /// What takes this step back; `None` where the undo of an earlier step does (a pair that is
    /// deleted takes its addresses, routes and neighbours along).
    pub fn undo(&self) -> Option<Self> {
        Some(match self {
            Self::AddVeth(veth) => Self::DeleteLink {
                device: veth.near.name.clone(),
            },
            Self::SetUp { device, up } => Self::SetUp {
                device: device.clone(),
                up: !up,
            },
            Self::AddAddress { device, address } => Self::DeleteAddress {
                device: device.clone(),
                address: *address,
            },
            Self::DeleteAddress { device, address } => Self::AddAddress {
                device: device.clone(),
                address: *address,
            },
            Self::AddNeighbour { device, address, .. } => Self::DeleteNeighbour {
                device: device.clone(),
                address: *address,
            },
            Self::SetDefaultRoute { namespace, from, to } => Self::SetDefaultRoute {
                namespace: namespace.clone(),
                from: to.clone(),
                to: from.clone(),
            },
            Self::Attach { device } => Self::Detach {
                device: device.clone(),
                index: None,
            },
            Self::SetSysctl { path, before, value } => Self::SetSysctl {
                path: path.clone(),
                before: value.clone(),
                value: before.clone(),
            },
            Self::Put { entry, before: None } => Self::Remove { entry: entry.clone() },
            Self::Put {
                entry,
                before: Some(before),
            } => Self::Put {
                entry: before.clone(),
                before: Some(entry.clone()),
            },
            Self::Remove { entry } => Self::Put {
                entry: entry.clone(),
                before: None,
            },
            Self::AttachUplink(UplinkHooks { index, .. }) => Self::DetachUplink { index: *index },
            Self::DetachUplink { .. }
            | Self::DeleteLink { .. }
            | Self::DeleteNeighbour { .. }
            | Self::SetUpLoopback { .. }
            | Self::ConfigureInterface(_)
            | Self::ReceiveByNapi { .. }
            | Self::Detach { .. }
            | Self::Announce { .. } => return None,
            #[cfg(test)]
            Self::Fail => return None,
        })
    }
}

/// The programs on a device towards the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkHooks {
    pub device: String,
    pub index: u32,
    pub mode: UplinkMode,
    /// Its packets have no Ethernet headers.
    pub is_bare: bool,
}

impl UplinkHooks {
    /// Whether XDP looks at its frames first. The program reads Ethernet headers.
    pub fn are_guarded(&self) -> bool {
        self.mode == UplinkMode::Xdp && !self.is_bare
    }
}

/// The owner of a device of ours, written into its `ifalias` so that `reconcile` can tell ours from others'.
pub fn alias(state_dir: &std::path::Path, id: &Id) -> String {
    format!("netswitch {} {id}", state_dir.display())
}
