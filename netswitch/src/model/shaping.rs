//! Queueing disciplines on the host's ends of veth pairs: the switch hands packets to the far end, so that a discipline
//! at the near one shapes next to nothing of what a container receives.

use super::state::State;
use crate::kernel::Link;

/// What a device has by itself.
const NONE: &str = "noqueue";

/// What is asked to shape, and does not: device, discipline, container and interface of each.
pub fn passed_by(state: &State, links: &[Link]) -> Vec<String> {
    let mut found = Vec::new();
    for endpoint in state.endpoints.values() {
        let device = links.iter().find(|link| link.name == endpoint.host_device);
        let Some(device) = device.filter(|device| ![NONE, ""].contains(&device.qdisc.as_str())) else {
            continue;
        };
        let container = state.containers.get(&endpoint.container);
        found.push(format!(
            "{} has qdisc {}, which what reaches {} of container {} passes by",
            device.name,
            device.qdisc,
            endpoint.interface,
            container.map_or("", |container| container.name.as_str()),
        ));
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::LinkHeader;
    use crate::model::testing::World;

    #[test]
    fn a_discipline_on_an_endpoints_device_is_named() {
        let mut world = World::new();
        world.run("web", &["bridge"]);
        world.run("db", &["bridge"]);
        let device = |name: &str| world.endpoint(name, "bridge").host_device.clone();
        let link = |name: &str, qdisc: &str| Link {
            index: 7,
            name: name.into(),
            alias: None,
            mac: None,
            mtu: 1500,
            up: true,
            peer: None,
            kind: "veth".into(),
            qdisc: qdisc.into(),
            header: LinkHeader::Ethernet,
            controller: None,
        };
        let (web, db) = (device("web"), device("db"));
        for own in ["noqueue", ""] {
            let links = [link(&web, own), link(&db, own), link("eth0", "fq_codel")];
            assert!(passed_by(&world.state, &links).is_empty(), "{own:?}");
        }
        for qdisc in ["tbf", "netem", "htb", "fq", "pfifo"] {
            let links = [link(&web, qdisc), link(&db, "noqueue")];
            let expected = format!("{web} has qdisc {qdisc}, which what reaches eth0 of container web passes by");
            assert_eq!(passed_by(&world.state, &links), [expected]);
        }
    }
}
