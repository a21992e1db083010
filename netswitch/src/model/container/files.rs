//! `/etc/hosts` and `/etc/resolv.conf` of a container, as libnetwork writes them.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use super::{Container, Mode, parse::HOST_GATEWAY};
use crate::model::{
    Id, endpoint::Endpoint, name_server::NameServer, names, network::Network, resolv_conf::ResolvConf, state::State,
};

const HOSTS: &str = "127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
";

/// Without a network nobody listens there, and so questions fail at once.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

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
        if address == HOST_GATEWAY {
            for gateway in host_gateways(state, container) {
                line(&mut text, &gateway.to_string(), name);
            }
        } else {
            line(&mut text, address.trim(), name);
        }
    }
    for (names, addresses) in linked(state, container) {
        for address in addresses {
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

/// The names and the addresses of each container that is linked.
fn linked<'a>(state: &'a State, container: &'a Container) -> impl Iterator<Item = (String, Vec<IpAddr>)> + 'a {
    container.links.iter().filter_map(|link| {
        let child = state.containers.get(&link.container)?;
        let mut names = format!("{} {}", link.alias, child.hostname);
        if link.alias != child.name {
            let _ = write!(names, " {}", child.name);
        }
        Some((names, addresses(state, child, Some("bridge"))))
    })
}

/// A hosts file in which the lines of linked containers have their present addresses, and all others are as they were.
/// A container without an address keeps its line, as in Docker.
pub fn relinked(state: &State, id: &Id, text: &str) -> Option<String> {
    let container = state.containers.get(id)?;
    if let Mode::Container(target) = &container.mode {
        return relinked(state, target, text);
    }
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    for (names, addresses) in linked(state, container) {
        if addresses.is_empty() {
            continue;
        }
        let is_its = |line: &String| {
            line.trim_end()
                .split_once('\t')
                .is_some_and(|(_, found)| found == names)
        };
        let first = lines.iter().position(is_its).unwrap_or(lines.len());
        lines.retain(|line| !is_its(line));
        let new = addresses.iter().map(|address| format!("{address}\t{names}\n"));
        lines.splice(first..first, new);
    }
    let made = lines.concat();
    (made != text).then_some(made)
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

/// `host-gateway` is the host at the container's own gateways, one of each family. Docker writes the default network's
/// gateway, which is written here where the container has none.
fn host_gateways(state: &State, container: &Container) -> Vec<IpAddr> {
    let of_family = |v6: bool| {
        let with_gateway = state.endpoints_of_container(&container.id).filter_map(|endpoint| {
            let mut gateways = state.networks.get(&endpoint.network)?.resolvers();
            Some((endpoint, gateways.find(|gateway| gateway.is_ipv6() == v6)?))
        });
        let first = with_gateway.min_by_key(|(endpoint, _)| {
            let interface = endpoint.interface.as_str();
            (!endpoint.has_default_route(v6), interface.len(), interface)
        });
        first.map(|(_, gateway)| gateway)
    };
    let default = || Some(state.network_named("bridge")?.pool_v4()?.gateway);
    let v4 = of_family(false).or_else(default);
    v4.into_iter().chain(of_family(true)).collect()
}

/// The resolver's settings: on networks of ours the gateway answers, what it does not know it asks the
/// host's servers or those of `--dns`. `None`: the host's own file is used. `host` is what that says.
pub fn resolv_conf(state: &State, id: &Id, host: &ResolvConf) -> Option<ResolvConf> {
    let container = state.containers.get(id)?;
    let asked = match &container.mode {
        Mode::Container(target) => return resolv_conf(state, target, host),
        Mode::Host if container.dns.is_empty() => return None,
        Mode::Host | Mode::None | Mode::Networks(_) => &container.dns,
    };
    let choose = |asked: &[String], host: &[String]| {
        if asked.is_empty() {
            host.to_vec()
        } else {
            asked.to_vec()
        }
    };
    let mut made = ResolvConf {
        servers: servers(state, container).unwrap_or_else(|| host.servers.clone()),
        search: choose(&asked.search, &host.search),
        options: choose(&asked.options, &host.options),
    };
    made.add_servers(behind(state, container, host));
    made.search.retain(|domain| domain != ".");
    // a name without a dot is a container's before it is one of a domain to search
    if container
        .attachments
        .keys()
        .any(|network| !names::is_predefined(network))
        && !made.options.iter().any(|option| option.starts_with("ndots:"))
    {
        made.options.push("ndots:0".into());
    }
    Some(made)
}

/// Whom a container asks; `None`: the host's.
fn servers(state: &State, container: &Container) -> Option<Vec<NameServer>> {
    match container.mode {
        Mode::Networks(_) => {
            let gateways = gateways(state, state.endpoints_of_container(&container.id));
            Some(vec![gateways.first().copied().unwrap_or(NOBODY).into()])
        }
        Mode::None | Mode::Host | Mode::Container(_) if container.dns.servers.is_empty() => None,
        Mode::None | Mode::Host | Mode::Container(_) => {
            Some(container.dns.servers.iter().copied().map(NameServer::from).collect())
        }
    }
}

/// Whom it asks when its gateway is silent, as without an agent: those whom the agent would ask. Not where they
/// would see names of containers, nor where the agent's answers decide what a leash permits.
fn behind(state: &State, container: &Container, host: &ResolvConf) -> Vec<NameServer> {
    let has_names = |endpoint: &Endpoint| {
        let network = state.networks.get(&endpoint.network);
        network.is_none_or(|network| !names::is_predefined(&network.name) || network.internal)
    };
    let mut endpoints = state.endpoints_of_container(&container.id).peekable();
    let is_free =
        endpoints.peek().is_some() && endpoints.all(|endpoint| !has_names(endpoint) && !endpoint.is_leashed());
    if !matches!(container.mode, Mode::Networks(_)) || !is_free {
        return Vec::new();
    }
    let known = if container.dns.servers.is_empty() {
        host.servers.clone()
    } else {
        container.dns.servers.iter().copied().map(NameServer::from).collect()
    };
    let has_way = |server: &NameServer| {
        let mut endpoints = state.endpoints_of_container(&container.id);
        endpoints.any(|endpoint| endpoint.has_default_route(server.address.is_ipv6()))
    };
    let routable = known.into_iter().filter(NameServer::is_routable);
    routable.filter(has_way).collect()
}

/// Where 127.0.0.11 leads in a sandbox.
pub fn resolver_v4(state: &State, sandbox: &Id) -> Option<Ipv4Addr> {
    let gateways = gateways(state, state.endpoints_of_sandbox(sandbox));
    gateways.into_iter().find_map(|gateway| match gateway {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    })
}

/// All of them give the same answers: that of the default route, which stays longest, comes first. The switch
/// alone is the last to be asked.
fn gateways<'a>(state: &State, endpoints: impl Iterator<Item = &'a Endpoint>) -> Vec<IpAddr> {
    let mut gateways: Vec<(bool, bool, usize, &str, IpAddr)> = endpoints
        .flat_map(|endpoint| {
            let network = || state.networks.get(&endpoint.network).into_iter();
            let agents = network().flat_map(Network::resolvers).map(|address| (false, address));
            let switches = network()
                .flat_map(Network::switch_resolvers)
                .map(|address| (true, address));
            agents.chain(switches).map(|(is_switch, address)| {
                let is_default = endpoint.has_default_route(address.is_ipv6());
                (
                    is_switch,
                    !is_default,
                    endpoint.interface.len(),
                    endpoint.interface.as_str(),
                    address,
                )
            })
        })
        .collect();
    gateways.sort();
    gateways.into_iter().map(|(.., address)| address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{endpoint::Settings, testing::World};

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
    fn host_gateway_is_the_containers_own_gateway() {
        let mut world = World::new();
        world.network("plain", &["10.5.0.0/24"]);
        world.network6("six", &["10.6.0.0/24", "fd06::/64"]);
        world.internal_network("inner");
        let inner = world.state.network("inner").unwrap().pools[0].gateway.to_string();
        let lines = |world: &World, name: &str| -> Vec<String> {
            let id = &world.state.container(name).unwrap().id;
            let text = hosts(&world.state, id).unwrap();
            let lines = text.lines().filter_map(|line| line.strip_suffix("\tup"));
            lines.map(str::to_owned).collect()
        };
        let rows: [(&str, &[&str], &[&str]); 6] = [
            ("a", &["bridge"], &["172.17.0.1"]),
            ("b", &["plain"], &["10.5.0.1"]),
            ("c", &["six"], &["10.6.0.1", "fd06::1"]),
            ("d", &["none"], &["172.17.0.1"]),
            ("e", &["host"], &["172.17.0.1"]),
            ("f", &["inner"], &[&inner]),
        ];
        for (name, networks, expected) in rows {
            let mut asked = World::asked(&format!("c-{name}"), networks);
            asked.extra_hosts = vec!["up:host-gateway".into()];
            world.start(&asked).unwrap();
            assert_eq!(lines(&world, &format!("c-{name}")), expected, "{networks:?}");
        }
        world.connect("bridge", "c-b", &Settings::default()).unwrap();
        world.disconnect("plain", "c-b").unwrap();
        assert_eq!(lines(&world, "c-b"), ["172.17.0.1"]);
    }

    #[test]
    fn lines_of_links_follow_the_address_and_no_others_change() {
        let mut world = World::new();
        let db = world.run("db", &["bridge"]);
        let other = world.run("other", &["bridge"]);
        let mut asked = World::asked("web", &["bridge"]);
        asked.links = vec!["db:store".into(), "other".into()];
        asked.extra_hosts = vec!["dbx:192.0.2.7".into()];
        let web = world.start(&asked).unwrap();
        let edited = hosts(&world.state, &web)
            .unwrap()
            .replacen("localhost", "localhost  edited", 1)
            + "no line break";
        assert_eq!(relinked(&world.state, &web, &edited), None);
        world.stop(&db);
        assert_eq!(relinked(&world.state, &web, &edited), None);
        // somebody else has the address now
        world.run("thief", &["bridge"]);
        world.restart(&db).unwrap();
        let address = world.endpoint("db", "bridge").v4.unwrap().ip();
        let (db, other) = (db.short(), other.short());
        let expected = edited.replace(
            &format!("172.17.0.2\tstore {db} db\n"),
            &format!("{address}\tstore {db} db\n"),
        );
        assert_ne!(expected, edited);
        assert_eq!(relinked(&world.state, &web, &edited), Some(expected));
        // lines that are gone come back at the end, those of another name stay
        let gone = format!("127.0.0.1\tlocalhost\n192.0.2.9\tstore\n172.17.0.3\tother {other}\n");
        let expected =
            format!("127.0.0.1\tlocalhost\n192.0.2.9\tstore\n172.17.0.3\tother {other}\n{address}\tstore {db} db\n");
        assert_eq!(relinked(&world.state, &web, &gone), Some(expected));
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
    }

    #[test]
    fn the_switch_is_asked_where_there_is_no_gateway() {
        let mut world = World::new();
        let mut asked = World::asked_network("alone", &["10.6.0.0/24"]);
        asked.internal = true;
        asked
            .options
            .insert("com.docker.network.bridge.gateway_mode_ipv4".into(), "isolated".into());
        world.make(&asked).unwrap();
        let id = world.run("app", &["alone"]);
        let servers = |world: &World| {
            let conf = resolv_conf(&world.state, &id, &ResolvConf::default()).unwrap();
            let sandbox = world.endpoint("app", "alone").sandbox.clone();
            (
                conf.servers[0].to_string(),
                resolver_v4(&world.state, &sandbox).unwrap().to_string(),
            )
        };
        assert_eq!(servers(&world), ("10.6.0.1".into(), "10.6.0.1".into()));
        world.connect("bridge", "app", &Settings::default()).unwrap();
        assert_eq!(servers(&world), ("172.17.0.1".into(), "172.17.0.1".into()));
    }

    #[test]
    fn a_container_asks_the_gateway_of_its_default_route() {
        let mut world = World::new();
        world.network6("six", &["10.6.0.0/24", "fd06::/64"]);
        let host = ResolvConf::parse("search lan\nnameserver 127.0.0.53\noptions timeout:1");
        let text = |world: &World, name: &str| {
            let id = &world.state.container(name).unwrap().id;
            resolv_conf(&world.state, id, &host).map(|conf| conf.to_string())
        };
        let given = |text: &str| Some(text.to_owned());
        world.run("plain", &["bridge"]);
        assert_eq!(
            text(&world, "plain"),
            given("search lan\nnameserver 172.17.0.1\noptions timeout:1\n")
        );
        world.connect("six", "plain", &Settings::default()).unwrap();
        assert_eq!(
            text(&world, "plain"),
            given("search lan\nnameserver 172.17.0.1\noptions timeout:1 ndots:0\n")
        );
        world.disconnect("bridge", "plain").unwrap();
        assert_eq!(
            text(&world, "plain"),
            given("search lan\nnameserver 10.6.0.1\noptions timeout:1 ndots:0\n")
        );
        let mut asked = World::asked("asked", &["six"]);
        asked.dns = vec!["192.0.2.1".into()];
        asked.dns_search = vec![".".into()];
        asked.dns_options = vec!["ndots:2".into()];
        world.start(&asked).unwrap();
        assert_eq!(text(&world, "asked"), given("nameserver 10.6.0.1\noptions ndots:2\n"));
        world.run("joined", &["container:asked"]);
        assert_eq!(text(&world, "joined"), text(&world, "asked"));
        world.run("lone", &["none"]);
        assert_eq!(
            text(&world, "lone"),
            given("search lan\nnameserver 127.0.0.53\noptions timeout:1\n")
        );
        world.run("hosted", &["host"]);
        assert_eq!(text(&world, "hosted"), None);
    }
    #[test]
    fn routable_servers_stand_behind_the_gateway_where_there_are_no_names() {
        let mut world = World::new();
        world.network6("six", &["10.6.0.0/24", "fd06::/64"]);
        world.internal_network("inner");
        let host = "nameserver 127.0.0.53\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\n";
        let servers = |world: &World, name: &str, host: &str| {
            let id = &world.state.container(name).unwrap().id;
            let conf = resolv_conf(&world.state, id, &ResolvConf::parse(host)).unwrap();
            conf.servers.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        world.run("plain", &["bridge"]);
        assert_eq!(servers(&world, "plain", host), ["172.17.0.1", "192.0.2.1"]);
        // there is no way to an IPv6 one, and no room for more than glibc asks
        let many = "nameserver 2001:db8::1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n";
        assert_eq!(servers(&world, "plain", many), ["172.17.0.1", "192.0.2.2", "192.0.2.3"]);
        assert_eq!(servers(&world, "plain", "nameserver 172.17.0.1"), ["172.17.0.1"]);
        let mut asked = World::asked("asked", &["bridge"]);
        asked.dns = vec!["192.0.2.9".into(), "127.0.0.1".into()];
        world.start(&asked).unwrap();
        assert_eq!(servers(&world, "asked", host), ["172.17.0.1", "192.0.2.9"]);
        for (name, network, gateway) in [("named", "six", "10.6.0.1"), ("inside", "inner", "172.")] {
            world.run(name, &[network]);
            let servers = servers(&world, name, host);
            assert!(servers.len() == 1 && servers[0].starts_with(gateway), "{servers:?}");
        }
        world.connect("six", "plain", &Settings::default()).unwrap();
        assert_eq!(servers(&world, "plain", host), ["172.17.0.1"]);
    }
}
