//! Docker Engine's answers: what its clients expect, from answers of ours.

use serde_json::{Map, Value, json};

use super::version::ApiVersion;
use crate::api::{ContainerSummary, Error, NetworkResource, PublishedPorts, Version};
use crate::model::time::Time;

/// A network as a client of this version knows it.
pub fn network(network: NetworkResource, version: ApiVersion) -> NetworkResource {
    NetworkResource {
        enable_ipv4: network.enable_ipv4.filter(|_| version >= ApiVersion::WITH_IPV4),
        ..network
    }
}

/// `GET /version`.
pub fn version(version: &Version) -> Value {
    json!({
        "Platform": {"Name": "netswitch"},
        "Components": [{
            "Name": "Engine",
            "Version": version.version,
            "Details": {
                "AbiVersion": version.abi_version.to_string(),
                "ApiVersion": ApiVersion::NEWEST.to_string(),
                "Arch": architecture(),
                "Experimental": "false",
                "KernelVersion": version.kernel,
                "MinAPIVersion": ApiVersion::OLDEST.to_string(),
                "Os": "linux",
            },
        }],
        "Version": version.version,
        "ApiVersion": ApiVersion::NEWEST.to_string(),
        "MinAPIVersion": ApiVersion::OLDEST.to_string(),
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": architecture(),
        "KernelVersion": version.kernel,
    })
}

/// `GET /info`: the fields that have a meaning here.
pub fn info(version: &Version) -> Value {
    json!({
        "ID": "",
        "Containers": version.containers,
        "ContainersRunning": version.running,
        "ContainersPaused": 0,
        "ContainersStopped": version.containers.saturating_sub(version.running),
        "Images": 0,
        "Driver": "overlay",
        "Plugins": {"Volume": [], "Network": ["bridge", "host", "null"], "Authorization": [], "Log": ["json-file"]},
        "LoggingDriver": "json-file",
        // Docker's clients warn of these where they are false; here they have no meaning.
        "MemoryLimit": true, "SwapLimit": true, "OomKillDisable": true,
        "CpuCfsPeriod": true, "CpuCfsQuota": true, "CPUShares": true, "CPUSet": true,
        "IPv4Forwarding": true, "BridgeNfIptables": true, "BridgeNfIp6tables": true,
        "KernelVersion": version.kernel,
        "OperatingSystem": "netswitch",
        "OSType": "linux",
        "Architecture": std::env::consts::ARCH,
        "ServerVersion": version.version,
        "Swarm": {"LocalNodeState": "inactive"},
        "SecurityOptions": [],
        "Warnings": [],
    })
}

/// `POST /containers/{id}/wait`.
pub fn ended(exit_code: Result<i32, Error>) -> Value {
    match exit_code {
        Ok(exit_code) => json!({"StatusCode": exit_code}),
        Err(error) => json!({"StatusCode": 0, "Error": {"Message": error.message}}),
    }
}

/// One entry of `GET /containers/json`.
pub fn container(summary: &ContainerSummary) -> Value {
    let networks: Map<String, Value> = summary.networks.iter().map(|name| (name.clone(), json!({}))).collect();
    json!({
        "Id": summary.id,
        "Names": [format!("/{}", summary.name)],
        "Image": summary.owner,
        "ImageID": "",
        "Command": summary.command,
        "Created": Time::parse(&summary.created_at).map_or(0, |created| created.seconds),
        "Ports": summary.published.iter().flat_map(ports).collect::<Vec<_>>(),
        "Labels": summary.labels,
        "State": summary.state,
        "Status": summary.status,
        "HostConfig": {"NetworkMode": summary.networks.first()},
        "NetworkSettings": {"Networks": networks},
        "Mounts": [],
    })
}

/// One entry for each port, as there.
fn ports(published: &PublishedPorts) -> impl Iterator<Item = Value> + '_ {
    (published.first..=published.last).map(|port| {
        let mut entry = json!({"PrivatePort": port, "Type": published.protocol.name()});
        if let (Some(host), Some(first)) = (published.host, published.host_first) {
            entry["IP"] = host.to_string().into();
            entry["PublicPort"] = (first + (port - published.first)).into();
        }
        entry
    })
}

/// As Go names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
