//! Docker Engine 20.10 as a peer: the rules and settings it writes for docker0, and its userland proxy.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::outside::CONTAINER;
use crate::bench::traffic::listens;
use crate::setup;
use crate::world::link;
use crate::world::namespace::Namespace;
use crate::world::process::{self, Background};

pub const BRIDGE: &str = "docker0";
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// The rules that the engine writes for docker0 and for `published` ports (protocol, number) of the one container,
/// and the settings it makes for them.
pub fn write_rules(host: &Namespace, published: &[(&str, u16)]) -> Result<()> {
    link::add_address(host, BRIDGE, GATEWAY, 24)?;
    host.set("ipv4/ip_forward", "1")?;
    let written = process::output(&mut host.command("iptables-restore"), &rules(published))?;
    ensure!(
        written.status.success(),
        "iptables-restore: {}\n{}",
        written.status,
        written.stderr
    );
    Ok(())
}

fn rules(published: &[(&str, u16)]) -> String {
    let each = |rule: &dyn Fn(&str, u16) -> String| -> String {
        published
            .iter()
            .map(|(protocol, port)| rule(protocol, *port) + "\n")
            .collect()
    };
    let masquerade = each(&|protocol, port| {
        format!(
            "-A POSTROUTING -s {CONTAINER}/32 -d {CONTAINER}/32 -p {protocol} -m {protocol} --dport {port} -j MASQUERADE"
        )
    });
    let translate = each(&|protocol, port| {
        format!(
            "-A DOCKER ! -i {BRIDGE} -p {protocol} -m {protocol} --dport {port} -j DNAT --to-destination {CONTAINER}:{port}"
        )
    });
    let accept = each(&|protocol, port| {
        format!(
            "-A DOCKER -d {CONTAINER}/32 ! -i {BRIDGE} -o {BRIDGE} -p {protocol} -m {protocol} --dport {port} -j ACCEPT"
        )
    });
    format!(
        "\
*nat
:PREROUTING ACCEPT
:INPUT ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
:DOCKER -
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 10.77.0.0/24 ! -o {BRIDGE} -j MASQUERADE
{masquerade}\
-A DOCKER -i {BRIDGE} -j RETURN
{translate}\
COMMIT
*filter
:INPUT ACCEPT
:FORWARD DROP
:OUTPUT ACCEPT
:DOCKER -
:DOCKER-ISOLATION-STAGE-1 -
:DOCKER-ISOLATION-STAGE-2 -
:DOCKER-USER -
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o {BRIDGE} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o {BRIDGE} -j DOCKER
-A FORWARD -i {BRIDGE} ! -o {BRIDGE} -j ACCEPT
-A FORWARD -i {BRIDGE} -o {BRIDGE} -j ACCEPT
{accept}\
-A DOCKER-ISOLATION-STAGE-1 -i {BRIDGE} ! -o {BRIDGE} -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o {BRIDGE} -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
"
    )
}

/// The engine's own proxy for one TCP port, as the engine starts it; on no CPU of its own, as there.
pub fn start_proxy(host: &Namespace, port: u16) -> Result<Background> {
    let mut command = host.command(setup::docker_proxy()?);
    command.args(["-proto", "tcp", "-host-ip", "0.0.0.0", "-host-port", &port.to_string()]);
    command.args(["-container-ip", &CONTAINER.to_string()]);
    command.args(["-container-port", &port.to_string()]);
    // it tells its parent on descriptor 3 how it went, and closes whatever else has that number
    let parent = File::options()
        .write(true)
        .open("/dev/null")
        .context("open /dev/null")?;
    let descriptor = parent.as_raw_fd();
    // SAFETY: between fork and exec only two system calls are made, on a descriptor that is open until the start.
    unsafe {
        command.pre_exec(move || {
            // a descriptor that is 3 already needs its flag of closing at exec taken off
            let done = if descriptor == 3 {
                libc::fcntl(3, libc::F_SETFD, 0)
            } else {
                libc::dup2(descriptor, 3)
            };
            if done < 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()); // it says that it stops
    let mut proxy = Background::start(&mut command)?;
    process::poll("docker-proxy listens", Duration::from_secs(5), || {
        listens(&mut proxy, port)
    })?;
    Ok(proxy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_port_is_three_rules() {
        let with = rules(&[("tcp", 80)]);
        assert_eq!(with.lines().count(), rules(&[]).lines().count() + 3);
        assert!(with.contains(
            "-A DOCKER -i docker0 -j RETURN\n-A DOCKER ! -i docker0 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.77.0.2:80\nCOMMIT"
        ));
    }
}
