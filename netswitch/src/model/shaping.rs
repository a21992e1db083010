//! Queueing disciplines on the host's ends of veth pairs: the switch hands packets to the far end, so that a discipline
//! at the near one shapes next to nothing of what a container receives.

use std::collections::HashMap;

use crate::kernel::Link;

/// What a device has by itself.
const NONE: &str = "noqueue";

/// A container's interface and the host's end of its pair.
#[derive(Clone, Copy)]
pub struct Interface<'a> {
    pub host_device: &'a str,
    pub name: &'a str,
    pub container: &'a str,
}

/// What is asked to shape, and does not: device, discipline, container and interface of each.
pub fn passed_by<'a>(interfaces: impl Iterator<Item = Interface<'a>>, links: &[Link]) -> Vec<String> {
    let shaped = links.iter().filter(|link| ![NONE, ""].contains(&link.qdisc.as_str()));
    let shaped: HashMap<&str, &str> = shaped.map(|link| (link.name.as_str(), link.qdisc.as_str())).collect();
    let mut found: Vec<String> = interfaces
        .filter_map(|interface| {
            let Interface {
                host_device,
                name,
                container,
            } = interface;
            let qdisc = shaped.get(host_device)?;
            Some(format!(
                "{host_device} has qdisc {qdisc}, which what reaches {name} of container {container} passes by"
            ))
        })
        .collect();
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
        let interface = |host_device, container| Interface {
            host_device,
            name: "eth0",
            container,
        };
        let interfaces = [interface(web.as_str(), "web"), interface(db.as_str(), "db")];
        for own in ["noqueue", ""] {
            let links = [link(&web, own), link(&db, own), link("eth0", "fq_codel")];
            assert!(passed_by(interfaces.into_iter(), &links).is_empty(), "{own:?}");
        }
        for qdisc in ["tbf", "netem", "htb", "fq", "pfifo"] {
            let links = [link(&web, qdisc), link(&db, "noqueue")];
            let expected = format!("{web} has qdisc {qdisc}, which what reaches eth0 of container web passes by");
            assert_eq!(passed_by(interfaces.into_iter(), &links), [expected]);
        }
    }
}
