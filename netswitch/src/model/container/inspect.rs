//! `inspect`: a container in Docker's shape and key order (Engine API 1.41), as far as it has meaning here.

use serde_json::{Map, Value, json};

use super::{Container, Mode, Status};
use crate::{
    api::Error,
    model::{
        endpoint::{Endpoint, Settings},
        names,
        network::{Network, Pool},
        publish::list as published,
        sandbox::Origin,
        state::State,
    },
};

/// One container, by name, id or beginning of the id.
pub fn inspect(state: &State, key: &str) -> Result<Value, Error> {
    let container = state.container(key)?;
    let process = &container.process;
    let (path, arguments) = process
        .command
        .split_first()
        .map_or(("", &[][..]), |(path, rest)| (path.as_str(), rest));
    Ok(json!({
        "Id": container.id,
        "Created": container.created,
        "Path": path,
        "Args": arguments,
        "State": status(&container.status),
        "Name": format!("/{}", container.name),
        "RestartCount": 0,
        "Platform": "linux",
        "HostConfig": host_config(state, container),
        "Mounts": process.binds.iter().map(|bind| mount(bind)).collect::<Vec<_>>(),
        "Config": config(container),
        "NetworkSettings": network_settings(state, container),
        "Owner": container.owner,
        "Egress": container.egress,
        "Limits": {
            "Rate": container.limits.rate,
            "PacketRate": container.limits.packets,
            "MaxFlows": container.limits.flows,
        },
    }))
}

fn status(status: &Status) -> Value {
    let (started, finished) = status.times();
    let (pid, exit_code, error) = match status {
        Status::Created { error, exit_code } | Status::Exited { error, exit_code, .. } => {
            (0, *exit_code, error.as_str())
        }
        Status::Running { pid, .. } => (*pid, 0, ""),
    };
    json!({
        "Status": status.name(),
        "Running": matches!(status, Status::Running { .. }),
        "Paused": false,
        "Restarting": false,
        "OOMKilled": false,
        "Dead": false,
        "Pid": pid,
        "ExitCode": exit_code,
        "Error": error,
        "StartedAt": started,
        "FinishedAt": finished,
    })
}

fn host_config(state: &State, container: &Container) -> Value {
    let links: Vec<String> = container
        .links
        .iter()
        .filter_map(|link| {
            let child = state.containers.get(&link.container)?;
            Some(format!("/{}:/{}/{}", child.name, container.name, link.alias))
        })
        .collect();
    json!({
        "Binds": null_if_empty(&container.process.binds),
        "NetworkMode": container.network_mode(),
        "PortBindings": published::asked(&container.bindings),
        "AutoRemove": container.process.remove,
        "Dns": container.dns.servers,
        "DnsOptions": container.dns.options,
        "DnsSearch": container.dns.search,
        "ExtraHosts": null_if_empty(&container.process.extra_hosts),
        "Links": null_if_empty(&links),
        "PublishAllPorts": container.publish_all,
        "Memory": container.process.resources.memory.unwrap_or_default(),
        "PidsLimit": container.process.resources.pids,
    })
}

fn mount(bind: &str) -> Value {
    let mut parts = bind.split(':');
    let (source, destination, mode) = (parts.next(), parts.next(), parts.next());
    json!({
        "Type": "bind",
        "Source": source,
        "Destination": destination,
        "Mode": mode.unwrap_or_default(),
        "RW": mode.is_none(),
        "Propagation": "rprivate",
    })
}

fn config(container: &Container) -> Value {
    let process = &container.process;
    let mut config = json!({
        "Hostname": container.hostname,
        "Domainname": "",
        "User": process.user.as_deref().unwrap_or_default(),
        "AttachStdin": process.interactive,
        "AttachStdout": true,
        "AttachStderr": true,
        "Tty": process.terminal,
        "OpenStdin": process.interactive,
        "StdinOnce": process.interactive,
        "Env": process.environment,
        "Cmd": process.command,
        "Image": "",
        "Volumes": null,
        "WorkingDir": process.directory.as_deref().unwrap_or_default(),
        "Entrypoint": null,
        "OnBuild": null,
        "Labels": container.labels,
    });
    if let (false, Some(config)) = (process.exposed.is_empty(), config.as_object_mut()) {
        let ports: Map<String, Value> = process.exposed.iter().map(|port| (port.clone(), json!({}))).collect();
        // behind AttachStderr, as in Docker
        config.shift_insert(6, "ExposedPorts".into(), ports.into());
    }
    config
}

fn network_settings(state: &State, container: &Container) -> Value {
    let sandbox = container.sandbox.as_ref().and_then(|id| state.sandboxes.get(id));
    let key = sandbox.map(|sandbox| match &sandbox.origin {
        Origin::Shim { pid, .. } | Origin::Process { pid, .. } => format!("/proc/{pid}/ns/net"),
        Origin::Path(path) => path.display().to_string(),
        Origin::Host => "/var/run/docker/netns/default".into(),
    });
    // the sandbox of a joined container is the other's: Docker shows nothing for it
    let own = !matches!(container.mode, Mode::Container(_));
    let ports = published::port_map(&published::ports(state, container));
    let bridge = attached(state, container, "bridge", &Settings::default());
    let old = |key: &str| {
        container
            .attachments
            .get("bridge")
            .and_then(|_| bridge.get(key))
            .cloned()
    };
    let text = |key: &str| old(key).unwrap_or_else(|| json!(""));
    let number = |key: &str| old(key).unwrap_or_else(|| json!(0));
    let networks: Map<String, Value> = match &container.mode {
        Mode::Networks(_) => container
            .attachments
            .iter()
            .map(|(name, settings)| (name.clone(), attached(state, container, name, settings)))
            .collect(),
        Mode::None | Mode::Host => {
            let name = container.network_mode();
            let attached = attached(state, container, &name, &Settings::default());
            [(name, attached)].into_iter().collect()
        }
        Mode::Container(_) => Map::new(),
    };
    json!({
        "Bridge": "",
        "SandboxID": sandbox.filter(|_| own).map(|sandbox| sandbox.id.0.as_str()).unwrap_or_default(),
        "HairpinMode": false,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "Ports": ports,
        "SandboxKey": key.filter(|_| own).unwrap_or_default(),
        "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
        "EndpointID": text("EndpointID"),
        "Gateway": text("Gateway"),
        "GlobalIPv6Address": text("GlobalIPv6Address"),
        "GlobalIPv6PrefixLen": number("GlobalIPv6PrefixLen"),
        "IPAddress": text("IPAddress"),
        "IPPrefixLen": number("IPPrefixLen"),
        "IPv6Gateway": text("IPv6Gateway"),
        "MacAddress": text("MacAddress"),
        "Networks": networks,
    })
}

/// One value of `Networks`: what was asked for, and what the container has while it runs.
fn attached(state: &State, container: &Container, name: &str, settings: &Settings) -> Value {
    let network = state.network_named(name);
    let endpoint = network.and_then(|network| {
        state
            .endpoints_of_container(&container.id)
            .find(|endpoint| endpoint.network == network.id)
    });
    let address = |v4: bool| endpoint.and_then(|endpoint| if v4 { endpoint.v4 } else { endpoint.v6 });
    let ip = |v4: bool| address(v4).map(|address| address.ip().to_string()).unwrap_or_default();
    let prefix = |v4: bool| address(v4).map(|address| address.prefix()).unwrap_or_default();
    // on host and none the sandbox stands for the endpoint
    let sandbox = container
        .sandbox
        .as_ref()
        .filter(|_| !matches!(container.mode, Mode::Networks(_)));
    let endpoint_id = endpoint.map(|endpoint| &endpoint.id).or(sandbox);
    json!({
        "IPAMConfig": ipam_config(settings),
        "Links": null_if_empty(&settings.links),
        "Aliases": aliases(container, name, settings),
        "NetworkID": network.map(|network| network.id.0.as_str()).unwrap_or_default(),
        "EndpointID": endpoint_id.map(|id| id.0.as_str()).unwrap_or_default(),
        "Gateway": gateway(network, endpoint, true),
        "IPAddress": ip(true),
        "IPPrefixLen": prefix(true),
        "IPv6Gateway": gateway(network, endpoint, false),
        "GlobalIPv6Address": ip(false),
        "GlobalIPv6PrefixLen": prefix(false),
        "MacAddress": endpoint.map(|endpoint| endpoint.mac.to_string()).unwrap_or_default(),
        "DriverOpts": if settings.connected || !settings.driver_options.is_empty() {
            json!(settings.driver_options)
        } else {
            Value::Null
        },
    })
}

/// `null` where nothing was asked for at `run`; `network connect` always gives an object.
fn ipam_config(settings: &Settings) -> Value {
    let mut config = Map::new();
    for (key, address) in [("IPv4Address", settings.ip), ("IPv6Address", settings.ip6)] {
        if let Some(address) = address {
            config.insert(key.into(), json!(address));
        }
    }
    if config.is_empty() && !settings.connected {
        Value::Null
    } else {
        config.into()
    }
}

/// On networks of the user's, the short id and the hostname come along once the container has been there.
fn aliases(container: &Container, network: &str, settings: &Settings) -> Value {
    let mut aliases = settings.aliases.clone();
    let was_there = settings.connected || !matches!(container.status, Status::Created { .. });
    if !names::is_predefined(network) && was_there {
        for name in [container.id.short(), &container.hostname] {
            if !aliases.iter().any(|alias| alias == name) {
                aliases.push(name.to_owned());
            }
        }
    }
    null_if_empty(&aliases)
}

/// The gateway that the container uses; it has none on an internal network.
fn gateway(network: Option<&Network>, endpoint: Option<&Endpoint>, v4: bool) -> String {
    let gateway = |network: &Network| {
        let pool: Option<&Pool> = if v4 { network.pool_v4() } else { network.pool_v6() };
        pool.filter(|_| !network.internal).map(|pool| pool.gateway.to_string())
    };
    network
        .filter(|_| endpoint.is_some())
        .and_then(gateway)
        .unwrap_or_default()
}

fn null_if_empty(list: &[String]) -> Value {
    if list.is_empty() { Value::Null } else { json!(list) }
}

#[cfg(test)]
mod tests;
