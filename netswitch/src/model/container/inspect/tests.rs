//! The JSON of the seed.

use super::*;
use crate::model::testing::World;

fn networks(world: &World, key: &str) -> Value {
    inspect(&world.state, key).unwrap()["NetworkSettings"]["Networks"].clone()
}

#[test]
fn two_networks_look_like_the_seeds() {
    let mut world = World::new();
    let mynet = world.network("mynet", &["192.168.0.0/16"]);
    let id = world.run("tomcat01", &["bridge"]);
    world.connect("mynet", "tomcat01", &Settings::default()).unwrap();
    let bridge = &world.state.network("bridge").unwrap().id;
    let (first, second) = (
        &world.endpoint("tomcat01", "bridge").id,
        &world.endpoint("tomcat01", "mynet").id,
    );
    assert_eq!(
        serde_json::to_string(&networks(&world, "tomcat01")).unwrap(),
        format!(
            "{{\"bridge\":{{\"IPAMConfig\":null,\"Links\":null,\"Aliases\":null,\"NetworkID\":\"{bridge}\",\
             \"EndpointID\":\"{first}\",\"Gateway\":\"172.17.0.1\",\"IPAddress\":\"172.17.0.2\",\"IPPrefixLen\":16,\
             \"IPv6Gateway\":\"\",\"GlobalIPv6Address\":\"\",\"GlobalIPv6PrefixLen\":0,\
             \"MacAddress\":\"02:42:ac:11:00:02\",\"DriverOpts\":null}},\
             \"mynet\":{{\"IPAMConfig\":{{}},\"Links\":null,\"Aliases\":[\"{}\"],\"NetworkID\":\"{mynet}\",\
             \"EndpointID\":\"{second}\",\"Gateway\":\"192.168.0.1\",\"IPAddress\":\"192.168.0.2\",\"IPPrefixLen\":16,\
             \"IPv6Gateway\":\"\",\"GlobalIPv6Address\":\"\",\"GlobalIPv6PrefixLen\":0,\
             \"MacAddress\":\"02:42:c0:a8:00:02\",\"DriverOpts\":{{}}}}}}",
            id.short()
        )
    );
}

#[test]
fn what_was_asked_for_stays_when_the_container_stops() {
    let mut world = World::new();
    world.network6("six", &["10.6.0.0/24", "fd06::/64"]);
    let mut asked = World::asked("web", &["six"]);
    asked.hostname = "www".into();
    asked.networks[0].1.ip6 = Some("fd06::9".parse().unwrap());
    asked.networks[0].1.aliases = vec!["front".into()];
    let id = world.create(&asked).unwrap();
    assert_eq!(networks(&world, "web")["six"]["Aliases"], json!(["front"]));
    world.restart(&id).unwrap();
    let running = networks(&world, "web");
    assert_eq!(running["six"]["Aliases"], json!(["front", id.short(), "www"]));
    assert_eq!(
        (&running["six"]["IPv6Gateway"], &running["six"]["GlobalIPv6Address"]),
        (&json!("fd06::1"), &json!("fd06::9"))
    );
    assert_eq!(running["six"]["GlobalIPv6PrefixLen"], 64);
    world.stop(&id);
    let stopped = networks(&world, "web");
    assert_eq!(stopped["six"]["IPAMConfig"], json!({"IPv6Address": "fd06::9"}));
    assert_eq!(
        (&stopped["six"]["EndpointID"], &stopped["six"]["IPAddress"]),
        (&json!(""), &json!(""))
    );
}

#[test]
fn keys_are_in_dockers_order() {
    let mut world = World::new();
    let db = world.run("db", &["bridge"]);
    let mut asked = World::asked("web", &["bridge"]);
    asked.links = vec!["db:store".into()];
    asked.binds = vec!["/a:/b:ro".into()];
    asked.expose = vec!["80".into()];
    let id = world.start(&asked).unwrap();
    let value = inspect(&world.state, id.short()).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(
        keys(&value),
        "Id Created Path Args State Name RestartCount Platform HostConfig Mounts Config NetworkSettings Owner Egress Limits"
    );
    assert_eq!(
        keys(&value["State"]),
        "Status Running Paused Restarting OOMKilled Dead Pid ExitCode Error StartedAt FinishedAt"
    );
    assert!(
        keys(&value["Config"])
            .starts_with("Hostname Domainname User AttachStdin AttachStdout AttachStderr ExposedPorts Tty")
    );
    assert_eq!(
        (&value["Name"], &value["Path"], &value["Args"]),
        (&json!("/web"), &json!("sleep"), &json!(["infinity"]))
    );
    assert_eq!(value["HostConfig"]["Links"], json!(["/db:/web/store"]));
    assert_eq!(value["HostConfig"]["Binds"], json!(["/a:/b:ro"]));
    assert_eq!(value["Mounts"][0]["RW"], json!(false));
    assert_eq!(value["NetworkSettings"]["Ports"], json!({"80/tcp": null}));
    assert_eq!(value["NetworkSettings"]["IPAddress"], json!("172.17.0.3"));
    assert_eq!(value["State"]["FinishedAt"], json!("0001-01-01T00:00:00Z"));
    world.stop(&db);
    let stopped = inspect(&world.state, "db").unwrap();
    assert_eq!(
        (&stopped["State"]["Status"], &stopped["NetworkSettings"]["IPAddress"]),
        (&json!("exited"), &json!(""))
    );
}

#[test]
fn modes_without_a_network_of_their_own_show_it() {
    let mut world = World::new();
    let web = world.run("web", &["bridge"]);
    world.run("hosted", &["host"]);
    world.run("joined", &["container:web"]);
    world.internal_network("quiet");
    world.run("inner", &["quiet"]);
    let host = networks(&world, "hosted");
    assert_eq!(
        (&host["host"]["IPAddress"], &host["host"]["NetworkID"]),
        (&json!(""), &json!(world.state.network("host").unwrap().id))
    );
    let joined = inspect(&world.state, "joined").unwrap();
    assert_eq!(joined["HostConfig"]["NetworkMode"], json!(format!("container:{web}")));
    assert_eq!(
        (
            &joined["NetworkSettings"]["SandboxID"],
            &joined["NetworkSettings"]["Networks"]
        ),
        (&json!(""), &json!({}))
    );
    assert_eq!(networks(&world, "inner")["quiet"]["Gateway"], json!(""));
    assert_eq!(
        inspect(&world.state, "nope").unwrap_err(),
        Error::not_found("No such container: nope")
    );
}
