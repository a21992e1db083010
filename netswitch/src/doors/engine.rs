//! Docker Engine's bodies (API 1.41): what its clients send and expect, as requests of ours.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::http::{API_VERSION, MINIMUM_API_VERSION};
use crate::api::{self, ContainerSummary, Error, Filters, PoolRequest, PublishedPorts, Request, Version};
use crate::model::{endpoint::Settings, parse, time::Time};

/// Body of `POST /networks/create`. `CheckDuplicate` is left out: names are always unique here.
/// A field may also be `null`, as Go's clients send nil maps and slices.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "the engine's body")]
pub struct NetworkCreate {
    name: String,
    driver: String,
    scope: String,
    internal: bool,
    attachable: bool,
    ingress: bool,
    config_only: bool,
    config_from: Option<ConfigFrom>,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: Option<bool>,
    #[serde(rename = "IPAM")]
    ipam: Option<Ipam>,
    options: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ConfigFrom {
    network: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Ipam {
    driver: String,
    options: Option<BTreeMap<String, String>>,
    config: Option<Vec<Pool>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Pool {
    subnet: String,
    #[serde(rename = "IPRange")]
    ip_range: String,
    gateway: String,
    auxiliary_addresses: Option<BTreeMap<String, String>>,
}

impl From<NetworkCreate> for api::NetworkCreate {
    fn from(body: NetworkCreate) -> Self {
        let ipam = body.ipam.unwrap_or_default();
        let pools = ipam.config.unwrap_or_default().into_iter().map(|pool| PoolRequest {
            subnet: pool.subnet,
            ip_range: pool.ip_range,
            gateway: pool.gateway,
            auxiliary: pool.auxiliary_addresses.unwrap_or_default(),
        });
        Self {
            name: body.name,
            driver: body.driver,
            scope: body.scope,
            internal: body.internal,
            attachable: body.attachable,
            ingress: body.ingress,
            config_only: body.config_only,
            config_from: body.config_from.unwrap_or_default().network,
            enable_ipv6: body.enable_ipv6.unwrap_or_default(),
            ipam_driver: ipam.driver,
            ipam_options: ipam.options.unwrap_or_default(),
            pools: pools.collect(),
            options: body.options.unwrap_or_default(),
            labels: body.labels.unwrap_or_default(),
        }
    }
}

/// Body of `POST /networks/{id}/connect`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkConnect {
    container: String,
    endpoint_config: Option<EndpointConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct EndpointConfig {
    #[serde(rename = "IPAMConfig")]
    ipam_config: Option<EndpointIpam>,
    aliases: Option<Vec<String>>,
    links: Option<Vec<String>>,
    mac_address: String,
    driver_opts: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EndpointIpam {
    #[serde(rename = "IPv4Address")]
    ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    ipv6_address: String,
    #[serde(rename = "LinkLocalIPs")]
    link_local_ips: Option<Vec<String>>,
}

impl NetworkConnect {
    pub fn request(self, network: &str) -> Result<Request, Error> {
        let endpoint = self.endpoint_config.unwrap_or_default();
        let ipam = endpoint.ipam_config.unwrap_or_default();
        Ok(Request::NetworkConnect {
            network: network.to_owned(),
            container: self.container,
            settings: Settings {
                ip: parse::ipv4(&ipam.ipv4_address)?,
                ip6: parse::ipv6(&ipam.ipv6_address)?,
                mac: parse::mac(&endpoint.mac_address)?,
                aliases: endpoint.aliases.unwrap_or_default(),
                links: endpoint.links.unwrap_or_default(),
                link_local_ips: parse::link_local(&ipam.link_local_ips.unwrap_or_default())?,
                driver_options: endpoint.driver_opts.unwrap_or_default(),
                connected: true,
            },
        })
    }
}

/// Body of `POST /networks/{id}/disconnect`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkDisconnect {
    container: String,
    force: bool,
}

impl NetworkDisconnect {
    pub fn request(self, network: &str) -> Request {
        Request::NetworkDisconnect {
            network: network.to_owned(),
            container: self.container,
            force: self.force,
        }
    }
}

/// `{"driver": ["bridge"]}` or, from older clients, `{"driver": {"bridge": true}}`.
pub fn filters(text: &str) -> Result<Filters, Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Values {
        List(Vec<String>),
        Set(BTreeMap<String, bool>),
    }
    if text.is_empty() {
        return Ok(Filters::new());
    }
    let parsed: BTreeMap<String, Values> =
        serde_json::from_str(text).map_err(|error| Error::bad_request(format!("invalid filters: {error}")))?;
    let values = |values| match values {
        Values::List(list) => list,
        Values::Set(set) => set.into_iter().filter(|(_, on)| *on).map(|(value, _)| value).collect(),
    };
    Ok(parsed.into_iter().map(|(key, found)| (key, values(found))).collect())
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
                "ApiVersion": API_VERSION,
                "Arch": architecture(),
                "Experimental": "false",
                "KernelVersion": version.kernel,
                "MinAPIVersion": MINIMUM_API_VERSION,
                "Os": "linux",
            },
        }],
        "Version": version.version,
        "ApiVersion": API_VERSION,
        "MinAPIVersion": MINIMUM_API_VERSION,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_come_in_two_shapes() {
        let list = filters(r#"{"driver":["bridge","host"],"name":["a"]}"#).unwrap();
        let set = filters(r#"{"driver":{"bridge":true,"host":true,"x":false},"name":{"a":true}}"#).unwrap();
        assert_eq!(list, set);
        assert_eq!(list["driver"], ["bridge", "host"]);
        assert!(filters("[1]").unwrap_err().message.starts_with("invalid filters: "));
    }

    #[test]
    fn go_clients_send_null_for_what_is_empty() {
        let body = r#"{"CheckDuplicate":true,"Name":"n","Driver":"bridge","Scope":"","EnableIPv6":false,
            "IPAM":{"Driver":"default","Options":null,"Config":[{"Subnet":"10.1.0.0/16","AuxiliaryAddresses":null}]},
            "Internal":false,"Attachable":false,"Ingress":false,"ConfigOnly":false,"ConfigFrom":null,
            "Options":null,"Labels":{"a":"b"}}"#;
        let create: api::NetworkCreate = serde_json::from_str::<NetworkCreate>(body).unwrap().into();
        assert_eq!((create.name.as_str(), create.ipam_driver.as_str()), ("n", "default"));
        assert_eq!(create.pools[0].subnet, "10.1.0.0/16");
        assert_eq!(create.labels["a"], "b");
        assert!(create.options.is_empty());
    }
}
