//! Plan, act, undo and reconcile together, on a fake kernel and a fake data plane: whatever step
//! fails, the world is as it was; wherever the agent dies, the next start puts it right.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use super::{Error, Executor, Plane};
use crate::action::{Action, Entry, Place, UplinkHooks};
use crate::agent::core::fill_indexes;
use crate::api::NetworkCreate;
use crate::datapath;
use crate::kernel::{
    Kernel as _, Namespace,
    fake::{Fake, tables::Tables},
};
use crate::model::{Id, changes::Changes, container::lifecycle, endpoint::Settings, network, sandbox::Origin, testing};
use crate::plan;
use crate::reconcile::{self, Snapshot};

mod growth;

const STATE_DIR: &str = "/var/lib/netswitch";

/// The maps and the links, as a table.
#[derive(Clone, Debug, Default, PartialEq)]
struct FakePlane {
    entries: HashMap<Place, Entry>,
    attached: BTreeSet<u32>,
}

impl Plane for FakePlane {
    fn attach(&mut self, _device: &str, index: u32) -> Result<(), datapath::Error> {
        self.attached.insert(index);
        Ok(())
    }
    fn detach(&mut self, index: u32) -> Result<(), datapath::Error> {
        self.attached.remove(&index);
        Ok(())
    }
    fn attach_uplink(&mut self, hooks: &UplinkHooks) -> Result<(), datapath::Error> {
        self.attached.insert(hooks.index);
        Ok(())
    }
    fn detach_uplink(&mut self, index: u32) -> Result<(), datapath::Error> {
        self.attached.remove(&index);
        Ok(())
    }
    fn write(&mut self, entry: &Entry) -> Result<(), datapath::Error> {
        self.entries.insert(entry.place(), entry.by_index());
        Ok(())
    }
    fn remove(&mut self, entry: &Entry) -> Result<(), datapath::Error> {
        self.entries.remove(&entry.place());
        Ok(())
    }
}

/// A model, a kernel and a data plane that belong together.
struct World {
    model: testing::World,
    kernel: Fake,
    plane: FakePlane,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            model: testing::World::empty(),
            kernel: Fake::new(),
            plane: FakePlane::default(),
        };
        let changes = network::predefined::predefined(&world.model.state, &mut world.model.facts(), None).unwrap();
        world.build(changes).unwrap();
        let dual = NetworkCreate {
            enable_ipv6: true,
            ..testing::World::asked_network("dual", &["10.9.0.0/16"])
        };
        let (changes, _, _) = network::create::create(&world.model.state, &mut world.model.facts(), &dual).unwrap();
        world.build(changes).unwrap();
        world
    }

    fn actions(&self, changes: &Changes) -> Vec<Action> {
        plan::plan(Path::new(STATE_DIR), &self.model.state, changes)
    }

    fn executor(&mut self) -> Executor<'_> {
        Executor::new(&mut self.kernel, &mut self.plane)
    }

    fn build(&mut self, mut changes: Changes) -> Result<(), Error> {
        let actions = self.actions(&changes);
        let done = self.executor().all(actions)?;
        fill_indexes(&mut changes, &done.indexes);
        self.model.apply(changes);
        Ok(())
    }

    fn tear_down(&mut self, changes: Changes) {
        let actions = self.actions(&changes);
        let (_, errors) = self.executor().each(actions);
        assert!(errors.is_empty(), "{errors:?}");
        self.model.apply(changes);
    }

    /// A container on both networks.
    fn created(&mut self, name: &str) -> Id {
        let mut asked = testing::World::asked(name, &["bridge"]);
        asked.networks.push(("dual".into(), Settings::default()));
        let (changes, id, _) =
            crate::model::container::create::create(&self.model.state, &mut self.model.facts(), &asked).unwrap();
        self.model.apply(changes);
        id
    }

    fn start(&self, id: &Id) -> Changes {
        let mut changes = lifecycle::start(&self.model.state, &mut self.model.facts(), id).unwrap();
        let pid = i32::try_from(self.model.state.sandboxes.len()).unwrap() + 100;
        lifecycle::fill_in(&mut changes, id, pid, &Origin::Shim { pid, start_time: 1 });
        changes
    }

    fn stop(&mut self, id: &Id) {
        let changes = lifecycle::stopped(&self.model.state, &self.model.facts(), id, 0, "");
        self.tear_down(changes);
    }

    /// The kernel without sandboxes' settings: their namespaces go with their process.
    fn seen(&self) -> (Tables, FakePlane) {
        let mut tables = self.kernel.snapshot();
        tables.sysctls.retain(|(namespace, _), _| *namespace == Namespace::Host);
        (tables, self.plane.clone())
    }

    /// What the next start would do.
    fn repairs(&mut self) -> Vec<Action> {
        let links = reconcile::by_name(self.kernel.links().unwrap());
        let indexes = reconcile::indexes(Path::new(STATE_DIR), &self.model.state, &links);
        self.model.apply(indexes);
        let mut neighbours = std::collections::BTreeMap::new();
        for bridge in self
            .model
            .state
            .networks
            .values()
            .filter_map(|network| network.bridge.clone())
        {
            if let Ok(found) = self.kernel.neighbours(&bridge.host_end) {
                neighbours.insert(bridge.host_end, found);
            }
        }
        let snapshot = Snapshot {
            links,
            addresses: self.kernel.addresses().unwrap().into_iter().collect(),
            neighbours,
            entries: self.plane.entries.values().cloned().collect(),
            attached: self.plane.attached.iter().copied().collect(),
        };
        reconcile::plan(Path::new(STATE_DIR), &self.model.state, &snapshot)
    }

    fn repair(&mut self) {
        let actions = self.repairs();
        let (_, errors) = self.executor().each(actions);
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(self.repairs(), [], "repaired once and for all");
    }
}

#[test]
fn a_gateway_that_an_operator_moved_is_not_given_again() {
    let mut world = World::new();
    let id = world.model.state.network("bridge").unwrap().id.clone();
    let gateway = "192.168.10.1/24".parse().unwrap();
    let mut changes = network::renumber::renumber(&world.model.state, &id, gateway).unwrap();
    let gives = |actions: &[Action]| {
        let of_gateway = |action: &&Action| matches!(action, Action::AddAddress { address, .. } if *address == gateway);
        actions.iter().filter(of_gateway).count()
    };
    assert_eq!(gives(&world.actions(&changes)), 1);
    changes.found.insert(gateway);
    assert_eq!(gives(&world.actions(&changes)), 0);
    // the operator has taken it away again: nothing brings it back
    world.build(changes).unwrap();
    let addresses = world.kernel.addresses().unwrap();
    assert!(
        addresses.iter().all(|(_, address)| *address != gateway),
        "{addresses:?}"
    );
}

#[test]
fn whatever_step_of_a_start_fails_nothing_is_left() {
    let mut world = World::new();
    let first = world.created("first");
    let changes = world.start(&first);
    world.build(changes).unwrap();
    let id = world.created("second");
    let changes = world.start(&id);
    let before = world.seen();
    let calls_before = world.kernel.calls().len();
    world.build(changes.clone()).unwrap();
    let steps = world.kernel.calls().len() - calls_before;
    world.stop(&id);
    assert_eq!(world.seen(), before, "a stop takes back what a start made");
    for step in 1..=steps {
        world.kernel.fail_at(step);
        assert!(
            world.build(changes.clone()).is_err(),
            "step {step} of {steps} was to fail"
        );
        assert_eq!(world.seen(), before, "after step {step} of {steps}");
    }
}

#[test]
fn whatever_step_of_a_network_fails_nothing_is_left() {
    let mut world = World::new();
    let asked = NetworkCreate {
        enable_ipv6: true,
        ..testing::World::asked_network("late", &["10.8.0.0/16"])
    };
    let (changes, _, _) = network::create::create(&world.model.state, &mut world.model.facts(), &asked).unwrap();
    let before = world.seen();
    let actions = world.actions(&changes);
    for step in 0..actions.len() {
        let mut actions = actions.clone();
        actions.insert(step, Action::Fail);
        assert!(world.executor().all(actions).is_err());
        assert_eq!(world.seen(), before, "failed before step {step}");
    }
}

#[test]
fn wherever_a_start_dies_the_next_agent_cleans_up() {
    let mut world = World::new();
    let id = world.created("late");
    let changes = world.start(&id);
    let before = world.seen();
    let actions = world.actions(&changes);
    for step in 0..=actions.len() {
        let (_, errors) = world.executor().each(actions[..step].to_vec());
        assert!(errors.is_empty(), "{errors:?}");
        // the store knows nothing of it: the agent died before it answered
        world.repair();
        assert_eq!(world.seen(), before, "died after step {step}");
    }
}

#[test]
fn what_is_right_is_adopted_untouched() {
    let mut world = World::new();
    let ids: Vec<Id> = ["one", "two", "three"]
        .into_iter()
        .map(|name| world.created(name))
        .collect();
    for id in &ids {
        let changes = world.start(id);
        world.build(changes).unwrap();
    }
    assert_eq!(world.repairs(), []);
    // members are dense: the last one moves into the hole, and every entry says so
    world.stop(&ids[0]);
    assert_eq!(world.repairs(), []);
    world.stop(&ids[2]);
    assert_eq!(world.repairs(), []);
}

#[test]
fn what_others_broke_is_mended() {
    let mut world = World::new();
    let id = world.created("one");
    let changes = world.start(&id);
    world.build(changes).unwrap();
    let whole = world.seen();
    let bridge = world.model.state.network("bridge").unwrap().bridge.clone().unwrap();
    // an admin down flushes even permanent neighbours
    world.kernel.set_up(&bridge.host_end, false).unwrap();
    let lost = world.plane.entries.keys().next().cloned().unwrap();
    world.plane.entries.remove(&lost);
    world.plane.attached.pop_first();
    world.repair();
    assert_eq!(world.seen(), whole);
}

#[test]
fn a_lost_device_comes_back_with_all_that_went_with_it() {
    let mut world = World::new();
    let id = world.created("one");
    let changes = world.start(&id);
    world.build(changes).unwrap();
    let (whole, _) = world.seen();
    let endpoints: Vec<String> = world
        .model
        .state
        .endpoints
        .values()
        .map(|endpoint| endpoint.host_device.clone())
        .collect();
    for device in endpoints.iter().map(String::as_str).chain(["docker0"]) {
        world.kernel.delete_link(device).unwrap();
        world.repair();
        assert_eq!(
            without_indexes(&world.seen().0),
            without_indexes(&whole),
            "after the loss of {device}"
        );
    }
}

/// A rebuilt device has another index, and its far end a made-up MAC may differ.
fn without_indexes(tables: &Tables) -> Tables {
    let mut tables = tables.clone();
    for device in tables.devices.values_mut() {
        (device.link.index, device.link.peer) = (0, None);
        if !device.link.name.starts_with("eth") && !device.link.name.starts_with("docker") {
            device.link.mac = None;
        }
    }
    tables
}

#[test]
fn a_device_of_somebody_else_is_not_adopted() {
    let mut world = World::new();
    world.kernel = Fake::new();
    world.plane = FakePlane::default();
    world
        .kernel
        .add_device("docker0", "bridge", &["172.17.0.1/16".parse().unwrap()]);
    let theirs = world.kernel.snapshot().devices.into_iter().next().unwrap();
    world.repair();
    let devices = world.kernel.snapshot().devices;
    assert_eq!(devices.get(&theirs.0), Some(&theirs.1), "docker0 is another's");
    assert_eq!(devices.len(), 1 + 2, "the other network is there: {devices:?}");
}

#[test]
fn a_reboot_leaves_the_networks() {
    let mut world = World::new();
    world.kernel = Fake::new();
    world.plane = FakePlane::default();
    world.repair();
    let names: Vec<String> = world
        .kernel
        .links()
        .unwrap()
        .into_iter()
        .map(|link| link.name)
        .collect();
    assert!(names.contains(&"docker0".to_owned()), "{names:?}");
    assert_eq!(names.len(), 1 + 2 * 2, "{names:?}");
}

#[test]
fn a_moved_gateway_takes_its_entries_along() {
    let mut world = World::new();
    let id = world.model.state.network("bridge").unwrap().id.clone();
    let gateway = "192.168.10.1/24".parse().unwrap();
    world
        .kernel
        .delete_address("docker0", "172.17.0.1/16".parse().unwrap())
        .unwrap();
    world.kernel.add_address(&Namespace::Host, "docker0", gateway).unwrap();
    let changes = network::renumber::renumber(&world.model.state, &id, gateway).unwrap();
    world.build(changes).unwrap();
    assert_eq!(world.repairs(), []);
}

#[test]
fn a_setting_is_as_it_was_after_a_later_step_failed() {
    let mut world = World::new();
    let path = "net/ipv4/ip_local_reserved_ports";
    let setting = |before: &str, value: &str| Action::SetSysctl {
        path: path.into(),
        before: before.into(),
        value: value.into(),
    };
    world.executor().all(vec![setting("", "22")]).unwrap();
    let failed = world.executor().all(vec![setting("22", "23"), Action::Fail]);
    assert!(matches!(failed, Err(Error::Asked)), "{failed:?}");
    assert_eq!(world.kernel.sysctl(&Namespace::Host, path).unwrap(), "22");
}
