//! Containers and the world outside: a published port, and a connection to another machine.

use std::time::Duration;

use anyhow::{Context, Result};

use super::stage::{HOST, LAN, Stage};
use crate::world::process;

pub fn published(stage: &mut Stage) -> Result<()> {
    stage.screen.heading("-P: the world reaches a container", "S02, S42");
    let list = stage.show("netswitch ps")?;
    let port = published_port(&list, "tomcat01").context("this does not hold: ps shows tomcat01's port 8080")?;
    stage.prove(
        true,
        "tomcat's port 8080 has a random port of the host, the same on IPv4 and IPv6",
    )?;
    let told = stage.show("netswitch port tomcat01 8080")?;
    stage.prove(
        told.lines().eq([format!("0.0.0.0:{port}"), format!(":::{port}")]),
        "port tells the same",
    )?;
    let seen = stage.show_on_lan(&format!("redis-cli -h {HOST} -p {port} client info"))?;
    stage.prove(
        client(&seen) == Some(LAN),
        "a machine on the LAN reaches it by the host's address, and tomcat01 sees who that is",
    )?;
    for address in [HOST, "127.0.0.1", "::1"] {
        let said = stage.show(&format!("redis-cli -h {address} -p {port} ping"))?;
        stage.prove(
            said.trim() == "PONG",
            &format!("the host reaches it by {address}, with no proxy between"),
        )?;
    }
    Ok(())
}

pub fn masqueraded(stage: &mut Stage) -> Result<()> {
    stage.screen.heading("A container reaches the world", "");
    let _server = stage.serve_on_lan("redis-server --protected-mode no")?;
    process::poll("the LAN's server answers", Duration::from_secs(10), || {
        Ok(stage.ask(&format!("redis-cli -h {LAN} ping")).is_ok())
    })?;
    let seen = stage.show(&format!("netswitch exec tomcat01 redis-cli -h {LAN} client info"))?;
    stage.prove(
        client(&seen) == Some(HOST),
        "the other machine, which knows no route to 172.17.0.0/16, sees the host's address",
    )
}

/// The host's port that leads to `container`'s 8080, if `netswitch ps` shows the same for both families.
fn published_port(list: &str, container: &str) -> Option<u16> {
    let line = list
        .lines()
        .find(|line| line.split_whitespace().next_back() == Some(container))?;
    let port = line.split_once("0.0.0.0:")?.1.split_once("->")?.0.parse().ok()?;
    line.contains(&format!("0.0.0.0:{port}->8080/tcp, :::{port}->8080/tcp"))
        .then_some(port)
}

/// The asker's address in Redis' words: `addr=ADDRESS:PORT`.
fn client(seen: &str) -> Option<&str> {
    let address = seen.split_whitespace().find_map(|word| word.strip_prefix("addr="))?;
    address.rsplit_once(':').map(|(address, _)| address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_the_container_s_own_and_the_same_in_both_families() {
        let list = |v6: u16| {
            format!(
                "CONTAINER ID   IMAGE   PORTS                                         NAMES\n\
                 aaaaaaaaaaaa   /       0.0.0.0:49154->8080/tcp, :::49154->8080/tcp   tomcat02\n\
                 bbbbbbbbbbbb   /       0.0.0.0:49153->8080/tcp, :::{v6}->8080/tcp   tomcat01\n"
            )
        };
        assert_eq!(published_port(&list(49153), "tomcat01"), Some(49153));
        assert_eq!(published_port(&list(49155), "tomcat01"), None);
    }

    #[test]
    fn redis_names_the_asker() {
        assert_eq!(
            client("id=3 addr=192.168.56.1:40000 laddr=172.17.0.2:8080 fd=8"),
            Some("192.168.56.1")
        );
        assert_eq!(client("ERR unknown command"), None);
    }
}
