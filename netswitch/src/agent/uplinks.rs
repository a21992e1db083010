//! The host as flows need it: its uplinks, its addresses, and that a route may have changed.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use ipnetwork::IpNetwork;
use netswitch_common::{capacity, host, network::TrustedKey};

use super::core::Core;
use super::flows::flow_share;
use crate::action::{Action, Device, Entry, UplinkHooks};
use crate::api::UplinkMode;
use crate::datapath::Hook;
use crate::execute::{Executor, programs};
use crate::kernel;
use crate::model::endpoint::Endpoint;
use crate::model::network::Bridge;
use crate::model::uplink::{self, Choice, Uplink};
use crate::plan::{entries, view::View};

/// What [`Core::refresh_ipsec`] and [`Core::refresh_routing`] set.
const OF_OTHERS: u16 = host::config_flags::IPSEC
    | host::config_flags::IPSEC_HALF
    | host::config_flags::ROUTING
    | host::config_flags::ROUTING_HALF;

impl Core {
    /// At start: everything that the hooks must know of the host before the first packet.
    pub fn configure_host(&mut self) -> anyhow::Result<()> {
        let (first_port, port_count) = self.masquerade_ports()?;
        let before = self.datapath.tables().config()?;
        let flags = match self.host.mode {
            UplinkMode::Stack => host::config_flags::STACK,
            UplinkMode::Auto | UplinkMode::Tcx | UplinkMode::Xdp => 0,
        };
        let config = host::Config {
            namespace_cookie: namespace_cookie()?,
            generation: before.generation.wrapping_add(1),
            first_port,
            port_count,
            flow_quota: self.host.flow_quota.unwrap_or(capacity::FLOW_QUOTA),
            flags: before.flags & (flags | OF_OTHERS),
            names_port: before.names_port,
            // the last agent's holds until this one's is in place
            policy_epoch: before.policy_epoch,
            flow_share: flow_share(self.state.endpoints.len()),
        };
        self.datapath.tables().set_config(&config)?;
        self.refresh_ipsec();
        self.refresh_routing();
        self.refresh_host();
        // the stack gets packets once the uplinks are ready for it, and none from before they cease to be
        let config = self.datapath.tables().config()?;
        self.datapath.tables().set_config(&host::Config {
            flags: config.flags & OF_OTHERS | flags,
            ..config
        })?;
        Ok(())
    }

    /// Uplinks and addresses as they are now, and flows look up their routes again.
    pub fn refresh_host(&mut self) {
        if let Err(error) = self.try_refresh_host() {
            tracing::warn!(%error, "cannot look at the host's devices");
        }
        self.refresh_host_protocols();
        self.flows_look_again();
    }

    /// Every flow asks again for its route and its publication.
    pub fn flows_look_again(&mut self) {
        let tables = self.datapath.tables();
        let raised = tables.config().and_then(|config| {
            tables.set_config(&host::Config {
                generation: config.generation.wrapping_add(1),
                ..config
            })
        });
        if let Err(error) = raised {
            tracing::warn!(%error, "flows do not hear of a change at once");
        }
    }

    fn try_refresh_host(&mut self) -> anyhow::Result<()> {
        let addresses = self.kernel.addresses()?;
        let uplinks = self.uplinks(&addresses)?;
        let mut wanted: Vec<Entry> = uplinks.iter().map(Self::entry).collect();
        let local: BTreeSet<IpAddr> = addresses.iter().map(|(_, address)| address.ip()).collect();
        wanted.extend(local.into_iter().map(|address| Entry::Local { address }));
        wanted.extend(self.trusted(&uplinks));
        let found = self.datapath.tables().host_entries()?;
        let mut actions = entries::differences(&found, wanted);
        actions.extend(self.hooks(&uplinks)?);
        let (_, errors) = Executor::new(&mut *self.kernel, &mut self.datapath).each(actions);
        for error in errors {
            tracing::warn!(%error, "an uplink is not as it should be");
        }
        self.let_the_stack_forward(&uplinks)
    }

    /// The uplinks that networks trust.
    fn trusted(&self, uplinks: &[Uplink]) -> Vec<Entry> {
        let bridges = self
            .state
            .networks
            .values()
            .filter_map(|network| network.bridge.as_ref());
        let of_bridge = |bridge: &Bridge| {
            let trusted = uplinks
                .iter()
                .filter(|uplink| bridge.trusted.contains(&uplink.link.name));
            let key = |uplink: &Uplink| TrustedKey {
                network: bridge.number,
                ifindex: uplink.link.index,
            };
            trusted.map(|uplink| Entry::Trusted(key(uplink))).collect::<Vec<_>>()
        };
        bridges.flat_map(of_bridge).collect()
    }

    /// As they are now, of a host with these addresses. What a network trusts is one, too, where any is.
    pub fn uplinks(&mut self, addresses: &[(String, IpNetwork)]) -> kernel::Result<Vec<Uplink>> {
        let links = self.kernel.links()?;
        let host = self.candidates(&links, addresses);
        let choice = choice(&self.host.uplinks, self.trusted_devices(), &host);
        Ok(uplink::choose(&choice, &host))
    }

    /// Devices that networks trust.
    pub fn trusted_devices(&self) -> impl Iterator<Item = &String> {
        let networks = self.state.networks.values();
        let bridges = networks.filter_map(|network| network.bridge.as_ref());
        bridges.flat_map(|bridge| &bridge.trusted)
    }

    /// What uplinks are chosen from.
    fn candidates<'a>(&self, links: &'a [kernel::Link], addresses: &'a [(String, IpNetwork)]) -> uplink::Host<'a> {
        uplink::Host {
            links,
            addresses,
            ours: self.state.device_indexes().collect(),
            needs_ethernet: self.host.mode == UplinkMode::Stack,
        }
    }

    /// What lets endpoints take frames that XDP redirects to them, in the mode that does.
    pub fn receive_by_napi<'a>(&self, view: &View<'_>, endpoints: impl Iterator<Item = &'a Endpoint>) -> Vec<Action> {
        let endpoints = endpoints.filter(|_| self.host.mode == UplinkMode::Xdp);
        let action = |endpoint: &Endpoint| Action::ReceiveByNapi {
            namespace: view.namespace(&endpoint.sandbox),
            interface: endpoint.interface.clone(),
        };
        endpoints.map(action).collect()
    }

    fn entry(uplink: &Uplink) -> Entry {
        let address = |address: Option<IpAddr>| address.map_or_else(Default::default, Into::into);
        Entry::Uplink {
            device: Device {
                name: uplink.link.name.clone(),
                index: Some(uplink.link.index),
            },
            value: host::Uplink {
                v4: address(uplink.v4),
                v6: address(uplink.v6),
                mtu: uplink.link.mtu,
                flags: if uplink.is_bare() {
                    host::uplink_flags::NO_ETHERNET
                } else {
                    0
                },
                mac: if uplink.is_bare() {
                    host::NO_MAC
                } else {
                    uplink.link.mac.unwrap_or_default()
                },
                _pad: [0; 2],
            },
        }
    }

    /// Puts the programs on the uplinks, and takes them off what is none any more.
    fn hooks(&self, uplinks: &[Uplink]) -> anyhow::Result<Vec<Action>> {
        let mut actions = Vec::new();
        let mode = self.host.mode;
        let attached = self.datapath.attached(Hook::Uplink)?;
        let guarded = self.datapath.guarded()?;
        for uplink in uplinks {
            let hooks = UplinkHooks {
                device: uplink.link.name.clone(),
                index: uplink.link.index,
                // another driver's XDP slows down what a device is there for
                mode: if uplink.is_main || mode != UplinkMode::Xdp {
                    mode
                } else {
                    UplinkMode::Tcx
                },
                is_bare: uplink.is_bare(),
            };
            let mut is_ready = guarded.contains(&hooks.index) == hooks.are_guarded();
            for (hook, is_wanted) in programs(&hooks) {
                is_ready &= self.datapath.attached(hook)?.contains(&hooks.index) == is_wanted;
            }
            if !is_ready {
                actions.push(Action::AttachUplink(hooks));
            }
        }
        let indexes: BTreeSet<u32> = uplinks.iter().map(|uplink| uplink.link.index).collect();
        let gone = attached.iter().filter(|index| !indexes.contains(index));
        actions.extend(gone.map(|index| Action::DetachUplink { index: *index }));
        Ok(actions)
    }
}

/// The devices that `--uplink` names, and those that a network trusts.
pub fn choice<'a>(named: &[String], trusted: impl Iterator<Item = &'a String>, host: &uplink::Host) -> Choice {
    let is_beyond = |name: &&String| {
        let mut named = host
            .links
            .iter()
            .filter(|link| link.name == **name && link.name != "lo");
        named.any(|link| !host.ours.contains(&link.index))
    };
    Choice::of(named).with(trusted.filter(is_beyond).cloned())
}

/// `SO_NETNS_COOKIE` of the calling thread's namespace.
pub fn namespace_cookie() -> std::io::Result<u64> {
    const SO_NETNS_COOKIE: i32 = 71;
    let mut cookie = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).unwrap_or(0);
    // SAFETY: no pointers
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: the kernel writes at most `length` bytes, the size of the cookie
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(cookie)
    } else {
        Err(std::io::Error::last_os_error())
    }
}
