//! `/etc/hosts` and `/etc/resolv.conf` of a container, as libnetwork writes them.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::{Container, Mode, parse::HOST_GATEWAY};
use crate::model::{Id, state::State};

const HOSTS: &str = "127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
";

/// Where the host has no name server that a container could reach.
const NAME_SERVERS_V4: &str = "nameserver 8.8.8.8\nnameserver 8.8.4.4";
const NAME_SERVERS_V6: &str = "nameserver 2001:4860:4860::8888\nnameserver 2001:4860:4860::8844";

/// The hosts file of a container with the endpoints that it has in `state`. `None`: the host's own
/// is used, as for `--network host` without `--add-host`.
pub fn hosts(state: &State, id: &Id) -> Option<String> {
    let container = state.containers.get(id)?;
    if let Mode::Container(target) = &container.mode {
        return hosts(state, target);
    }
    if container.mode == Mode::Host && container.process.extra_hosts.is_empty() {
        return None;
    }
    let mut text = HOSTS.to_owned();
    for (name, address) in container
        .process
        .extra_hosts
        .iter()
        .filter_map(|host| host.split_once(':'))
    {
        let address = if address == HOST_GATEWAY {
            host_gateway(state)?
        } else {
            address.trim().to_owned()
        };
        line(&mut text, &address, name);
    }
    for link in &container.links {
        let Some(child) = state.containers.get(&link.container) else {
            continue;
        };
        let mut names = format!("{} {}", link.alias, child.hostname);
        if link.alias != child.name {
            let _ = write!(names, " {}", child.name);
        }
        for address in addresses(state, child, Some("bridge")) {
            line(&mut text, &address.to_string(), &names);
        }
    }
    let own = match container.hostname.split_once('.') {
        Some((host, _)) => format!("{} {host}", container.hostname),
        None => container.hostname.clone(),
    };
    for address in addresses(state, container, None) {
        line(&mut text, &address.to_string(), &own);
    }
    Some(text)
}

fn line(text: &mut String, address: &str, names: &str) {
    let _ = writeln!(text, "{address}\t{names}");
}

/// A container's addresses in the order of its interfaces, on one network or on all.
fn addresses(state: &State, container: &Container, network: Option<&str>) -> Vec<IpAddr> {
    let wanted = network
        .and_then(|name| state.network_named(name))
        .map(|network| &network.id);
    let mut endpoints: Vec<_> = state
        .endpoints_of_container(&container.id)
        .filter(|endpoint| network.is_none() || Some(&endpoint.network) == wanted)
        .collect();
    endpoints.sort_by_key(|endpoint| (endpoint.interface.len(), &endpoint.interface));
    endpoints
        .into_iter()
        .flat_map(|endpoint| endpoint.addresses().map(|address| address.ip()))
        .collect()
}

/// `host-gateway` is the default network's gateway.
fn host_gateway(state: &State) -> Option<String> {
    Some(state.network_named("bridge")?.pool_v4()?.gateway.to_string())
}

/// The host's resolv.conf without the servers that a container cannot reach: those on the host's
/// loopback and, without IPv6, those with an IPv6 address. Google's where none is left.
pub fn resolv_conf(host: &str, ipv6: bool) -> String {
    let reachable = |address: IpAddr| !address.is_loopback() && (ipv6 || address.is_ipv4());
    let kept = |line: &&str| name_server(line).is_none_or(reachable);
    let mut text: String = host.split_inclusive('\n').filter(kept).collect();
    if !text.lines().any(|line| name_server(line).is_some()) {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(NAME_SERVERS_V4);
        text.push('\n');
        if ipv6 {
            text.push_str(NAME_SERVERS_V6);
            text.push('\n');
        }
    }
    text
}

/// The address in a line like `nameserver fe80::1%eth0`.
fn name_server(line: &str) -> Option<IpAddr> {
    let line = line.split(['#', ';']).next()?;
    let mut words = line.split_whitespace();
    if words.next() != Some("nameserver") {
        return None;
    }
    words.next()?.split('%').next()?.parse().ok()
}

/// Whether a container has an IPv6 address, and so reaches IPv6 name servers.
pub fn has_ipv6(state: &State, id: &Id) -> bool {
    let container = state.containers.get(id);
    let sandbox = container.and_then(|container| container.sandbox.as_ref());
    sandbox.is_some_and(|sandbox| {
        state
            .endpoints_of_sandbox(sandbox)
            .any(|endpoint| endpoint.v6.is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::World;

    #[test]
    fn hosts_names_links_and_the_container_itself() {
        let mut world = World::new();
        world.run("tomcat01", &["bridge"]);
        let tomcat02 = world.run("tomcat02", &["bridge"]);
        let mut asked = World::asked("tomcat03", &["bridge"]);
        asked.links = vec!["tomcat02".into(), "tomcat01:first".into()];
        asked.extra_hosts = vec!["six:fd00::9".into(), "up:host-gateway".into()];
        let tomcat03 = world.start(&asked).unwrap();
        let tomcat01 = &world.state.container("tomcat01").unwrap().id;
        let fixed = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n\
                     ff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";
        let own = format!(
            "fd00::9\tsix\n172.17.0.1\tup\n172.17.0.3\ttomcat02 {}\n172.17.0.2\tfirst {} tomcat01\n172.17.0.4\t{}\n",
            tomcat02.short(),
            tomcat01.short(),
            tomcat03.short()
        );
        assert_eq!(hosts(&world.state, &tomcat03).unwrap(), format!("{fixed}{own}"));
        assert!(!hosts(&world.state, &tomcat02).unwrap().contains("tomcat03"));
    }

    #[test]
    fn every_address_and_a_full_name_have_their_line() {
        let mut world = World::new();
        world.network6("six", &["10.6.0.0/24", "fd06::/64"]);
        let mut asked = World::asked("web", &["bridge", "six"]);
        asked.hostname = "web.example.com".into();
        let id = world.start(&asked).unwrap();
        let text = hosts(&world.state, &id).unwrap();
        assert!(text.ends_with(
            "172.17.0.2\tweb.example.com web\n10.6.0.2\tweb.example.com web\nfd06::2\tweb.example.com web\n"
        ));
        let mut asked = World::asked("joined", &[&format!("container:{id}")]);
        asked.hostname = String::new();
        let joined = world.start(&asked).unwrap();
        assert_eq!(hosts(&world.state, &joined).unwrap(), text);
        let host = world.run("hosted", &["host"]);
        assert_eq!(hosts(&world.state, &host), None);
        assert!(has_ipv6(&world.state, &id) && has_ipv6(&world.state, &joined) && !has_ipv6(&world.state, &host));
    }

    #[test]
    fn resolv_conf_is_the_hosts_without_loopback_servers() {
        let host = "# made by hand\nsearch lan\nnameserver 127.0.0.53\nnameserver 10.0.0.1\nnameserver ::1\nnameserver fe80::1%eth0\noptions ndots:1\n";
        assert_eq!(
            resolv_conf(host, true),
            "# made by hand\nsearch lan\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\noptions ndots:1\n"
        );
        assert_eq!(
            resolv_conf(host, false),
            "# made by hand\nsearch lan\nnameserver 10.0.0.1\noptions ndots:1\n"
        );
        assert_eq!(
            resolv_conf("nameserver 127.0.0.1", false),
            "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"
        );
        assert_eq!(
            resolv_conf("search lan", true),
            "search lan\nnameserver 8.8.8.8\nnameserver 8.8.4.4\nnameserver 2001:4860:4860::8888\nnameserver 2001:4860:4860::8844\n"
        );
    }
}
