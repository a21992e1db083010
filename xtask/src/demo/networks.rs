//! The tutorial's second half: a network of one's own, and a container on two.

use anyhow::Result;

use super::containers::{answered, device, start};
use super::stage::{Stage, first};

pub fn create(stage: &mut Stage) -> Result<()> {
    stage.screen.heading("A network of one's own", "S30 – S33");
    stage
        .screen
        .note("Its subnet holds the host's own 192.168.56.0/24, as in the tutorial: the more specific route wins.");
    stage.show("netswitch network create --driver bridge --subnet 192.168.0.0/16 --gateway 192.168.0.1 mynet")?;
    let list = stage.show("netswitch network ls")?;
    stage.prove(list.contains(" mynet "), "mynet is one of the networks")?;
    start(stage, "tomcat-net-01", "--net mynet ")?;
    start(stage, "tomcat-net-02", "--net mynet ")?;
    let pinged = stage.show("netswitch exec tomcat-net-01 ping -c 3 -i 0.2 192.168.0.3")?;
    stage.prove(answered(&pinged, 3), "its containers reach each other")?;
    let lan = stage.ask("ping -c 1 -W 2 192.168.56.1")?;
    stage.prove(answered(&lan, 1), "and the host still reaches its LAN")
}

pub fn names(stage: &mut Stage) -> Result<()> {
    stage.screen.heading("Containers find each other by name", "S34 – S36");
    for (from, to, address) in [
        ("tomcat-net-01", "tomcat-net-02", "192.168.0.3"),
        ("tomcat-net-02", "tomcat-net-01", "192.168.0.2"),
    ] {
        let pinged = stage.show(&format!("netswitch exec {from} ping -c 3 -i 0.2 {to}"))?;
        let named = pinged.contains(&format!("64 bytes from {to}.mynet ({address})"));
        stage.prove(
            answered(&pinged, 3) && named,
            &format!("{to} is {address}, and {address} is {to}.mynet"),
        )?;
    }
    Ok(())
}

pub fn isolation(stage: &mut Stage) -> Result<()> {
    stage.screen.heading("Networks are kept apart", "S39");
    let pinged = stage.show_failing("netswitch exec tomcat01 ping -c 2 -i 0.2 -W 1 192.168.0.2")?;
    stage.prove(
        pinged.contains("100% packet loss"),
        "a container on docker0 does not reach one on mynet",
    )?;
    let stats = stage.show("netswitch stats")?;
    stage.prove(
        stats
            .lines()
            .any(|line| line.contains("tomcat01") && line.contains("other-network")),
        "and the switch says who lost packets, and why",
    )
}

pub fn connect(stage: &mut Stage) -> Result<()> {
    stage.screen.heading("One container on two networks", "S40 – S46");
    let said = stage.show("netswitch network connect mynet tomcat01")?;
    stage.prove(said.is_empty(), "nothing to say, and tomcat01 keeps running")?;
    let network = first(&stage.show_lines("netswitch network inspect mynet", 60)?)?;
    let address = network["Containers"].as_object().and_then(|members| {
        let tomcat01 = members.values().find(|member| member["Name"] == "tomcat01")?;
        tomcat01["IPv4Address"].as_str().map(str::to_owned)
    });
    stage.prove(
        address.as_deref() == Some("192.168.0.4/16"),
        "tomcat01 is the third member, 192.168.0.4/16",
    )?;
    let inside = stage.show_lines("netswitch exec tomcat01 ip addr", 24)?;
    stage.prove(
        device(&inside, "eth0").contains("inet 172.17.0.2/16")
            && device(&inside, "eth1").contains("inet 192.168.0.4/16"),
        "one container, two addresses",
    )?;
    let pinged = stage.show("netswitch exec tomcat01 ping -c 3 -i 0.2 192.168.0.2")?;
    stage.prove(answered(&pinged, 3), "now it reaches tomcat-net-01")?;
    let pinged = stage.show("netswitch exec tomcat01 ping -c 3 -i 0.2 tomcat-net-01")?;
    stage.prove(
        answered(&pinged, 3) && pinged.contains("from tomcat-net-01.mynet (192.168.0.2)"),
        "by name, too: names switched on while it ran",
    )
}
