//! A host with uplinks of any kind, containers behind it, and the world beyond each uplink: the scene of
//! `docs/uplinks.md`. The same scene with a plain Linux router in the switch's place says what is right.

mod cell;
mod gateway;
mod kind;
mod uplink;
mod wireguard;

use std::thread;

pub use self::cell::{CELLS, CUT_UNASKED, Cell, View, told};
pub use self::gateway::{Gate, Gateway};
pub use self::kind::Kind;
pub use self::uplink::{MTU, Uplink};

use crate::world::{Namespace, Service, Transport};

/// Options of `ip`, by family.
pub const FAMILIES: [&str; 2] = ["-4", "-6"];

/// The containers by family: `one`, which publishes its ports, and `two`.
pub const CONTAINERS: [[&str; 2]; 2] = [["10.66.0.2", "fd66::2"], ["10.66.0.3", "fd66::3"]];
/// Their network.
pub const SUBNET: [&str; 2] = ["10.66.0.0/24", "fd66::/64"];
/// The host's device on it.
pub const BRIDGE: &str = "br-dual";

pub struct Site {
    // first: an agent ends before the devices that it uses
    pub gateway: Gateway,
    pub uplinks: Vec<Uplink>,
    _services: [Service; 2],
}

impl Site {
    /// A host with an uplink `up0`, `up1`, … of each kind. `route` says, before anything starts, what leads where.
    pub fn new(gate: &Gate, kinds: &[Kind], route: impl Fn(&Namespace, &[Uplink])) -> Self {
        let mut gateway = Gateway::new(gate);
        let uplinks: Vec<_> = kinds
            .iter()
            .enumerate()
            .map(|(number, kind)| Uplink::new(*kind, number, gateway.host()))
            .collect();
        route(gateway.host(), &uplinks);
        gateway.open(gate);
        let services = Transport::BOTH.map(|transport| Service::start(gateway.one(), transport, 80, "one"));
        Self {
            gateway,
            uplinks,
            _services: services,
        }
    }

    pub fn host(&self) -> &Namespace {
        self.gateway.host()
    }

    /// A switch that follows the routes to all that lies beyond its uplinks.
    pub fn switch(arguments: &[&str], kinds: &[Kind]) -> Self {
        Self::new(&Gate::Switch(arguments), kinds, lead_all)
    }

    /// A plain router that does.
    pub fn router(kinds: &[Kind]) -> Self {
        Self::new(&Gate::Router, kinds, lead_all)
    }

    /// Every cell of an uplink, both families, all at the same time; what failed.
    pub fn failures(&self, uplink: &Uplink, cells: &[Cell]) -> Vec<String> {
        self.failures_of(&[uplink], cells)
    }

    /// The same of every uplink, so many at a time.
    pub fn all_failures(&self, cells: &[Cell], at_a_time: usize) -> Vec<String> {
        let uplinks: Vec<_> = self.uplinks.iter().collect();
        let groups = uplinks.chunks(at_a_time);
        groups.flat_map(|group| self.failures_of(group, cells)).collect()
    }

    fn failures_of(&self, uplinks: &[&Uplink], cells: &[Cell]) -> Vec<String> {
        let one = self.gateway.one();
        let views = uplinks.iter().flat_map(|uplink| {
            let families = uplink.kind.families().iter();
            families.map(move |family| View {
                one,
                uplink,
                family: *family,
            })
        });
        thread::scope(|scope| {
            let running: Vec<_> = views
                .flat_map(|view| cells.iter().map(move |cell| (*cell, view)))
                .map(|(cell, view)| scope.spawn(move || cell.run(&view).err()))
                .collect();
            running
                .into_iter()
                .filter_map(|cell| cell.join().unwrap_or_else(|_| Some("a cell panicked".to_owned())))
                .collect()
        })
    }
}

fn lead_all(host: &Namespace, uplinks: &[Uplink]) {
    for uplink in uplinks {
        uplink.lead(host);
    }
}
