//! Docker Engine's bodies: what its clients send, as requests of ours. `go_json` reads them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::version::ApiVersion;
use crate::api::{self, Error, Filters, PoolRequest, Request};
use crate::model::{endpoint::Settings, network::options, parse};

/// Body of `POST /networks/create`. `CheckDuplicate` is left out: names are always unique here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename = "CreateRequest", rename_all = "PascalCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "the engine's body")]
pub struct NetworkCreate {
    name: String,
    driver: String,
    scope: String,
    internal: bool,
    attachable: bool,
    ingress: bool,
    config_only: bool,
    config_from: ConfigFrom,
    #[serde(rename = "EnableIPv4")]
    enable_ipv4: Option<bool>,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    ipam: Ipam,
    options: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename = "ConfigReference", rename_all = "PascalCase", default)]
struct ConfigFrom {
    network: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename = "IPAM", rename_all = "PascalCase", default)]
struct Ipam {
    driver: String,
    /// `network inspect` shows `null` for none and `{}` for an empty map.
    options: Option<BTreeMap<String, String>>,
    config: Vec<Pool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename = "IPAMConfig", rename_all = "PascalCase", default)]
struct Pool {
    subnet: String,
    #[serde(rename = "IPRange")]
    ip_range: String,
    gateway: String,
    auxiliary_addresses: BTreeMap<String, String>,
}

impl NetworkCreate {
    pub fn request(self, version: ApiVersion) -> Request {
        let pools = self.ipam.config.into_iter().map(|pool| PoolRequest {
            subnet: pool.subnet,
            ip_range: pool.ip_range,
            gateway: pool.gateway,
            auxiliary: pool.auxiliary_addresses,
        });
        Request::NetworkCreate(api::NetworkCreate {
            name: self.name,
            driver: self.driver,
            scope: self.scope,
            internal: self.internal,
            attachable: self.attachable,
            ingress: self.ingress,
            config_only: self.config_only,
            config_from: self.config_from.network,
            // older clients send the field, too, and older engines ignore it
            disable_ipv4: version >= ApiVersion::WITH_IPV4 && self.enable_ipv4 == Some(false),
            enable_ipv6: self.enable_ipv6,
            ipam_driver: self.ipam.driver,
            ipam_options: self.ipam.options,
            pools: pools.collect(),
            options: self.options,
            labels: self.labels,
        })
    }
}

/// Body of `POST /networks/{id}/connect`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename = "ConnectOptions", rename_all = "PascalCase", default)]
pub struct NetworkConnect {
    container: String,
    endpoint_config: EndpointConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename = "EndpointSettings", rename_all = "PascalCase", default)]
struct EndpointConfig {
    #[serde(rename = "IPAMConfig")]
    ipam_config: EndpointIpam,
    aliases: Vec<String>,
    links: Vec<String>,
    mac_address: String,
    driver_opts: BTreeMap<String, String>,
    gw_priority: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename = "EndpointIPAMConfig", default)]
struct EndpointIpam {
    #[serde(rename = "IPv4Address")]
    ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    ipv6_address: String,
    #[serde(rename = "LinkLocalIPs")]
    link_local_ips: Vec<String>,
}

impl NetworkConnect {
    pub fn request(self, network: &str) -> Result<Request, Error> {
        let endpoint = self.endpoint_config;
        let ipam = endpoint.ipam_config;
        if endpoint.gw_priority != 0 {
            return Err(options::no_effect("--gw-priority"));
        }
        Ok(Request::NetworkConnect {
            network: network.to_owned(),
            container: self.container,
            settings: Settings {
                ip: parse::ipv4(&ipam.ipv4_address)?,
                ip6: parse::ipv6(&ipam.ipv6_address)?,
                mac: parse::mac(&endpoint.mac_address)?,
                aliases: endpoint.aliases,
                links: endpoint.links,
                link_local_ips: parse::link_local(&ipam.link_local_ips)?,
                driver_options: endpoint.driver_opts,
                connected: true,
            },
        })
    }
}

/// Body of `POST /networks/{id}/disconnect`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename = "DisconnectOptions", rename_all = "PascalCase", default)]
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
        Set(BTreeMap<String, Option<bool>>),
        None(()),
    }
    if text.is_empty() {
        return Ok(Filters::new());
    }
    let parsed: Option<BTreeMap<String, Values>> =
        serde_json::from_str(text).map_err(|error| Error::bad_request(format!("invalid filters: {error}")))?;
    let values = |values| match values {
        Values::List(list) => list,
        Values::Set(set) => set
            .into_iter()
            .filter(|(_, on)| *on == Some(true))
            .map(|(value, _)| value)
            .collect(),
        Values::None(()) => Vec::new(),
    };
    let parsed = parsed.unwrap_or_default().into_iter();
    Ok(parsed.map(|(key, found)| (key, values(found))).collect())
}

#[cfg(test)]
mod tests {
    use super::super::go_json;
    use super::*;

    #[test]
    fn filters_come_in_two_shapes() {
        let list = filters(r#"{"driver":["bridge","host"],"name":["a"]}"#).unwrap();
        let set = filters(r#"{"driver":{"bridge":true,"host":true,"x":false},"name":{"a":true}}"#).unwrap();
        assert_eq!(list, set);
        assert_eq!(list["driver"], ["bridge", "host"]);
        for nothing in ["", "null", "{}"] {
            assert_eq!(filters(nothing).unwrap(), Filters::new());
        }
        assert_eq!(filters(r#"{"driver":null}"#).unwrap()["driver"].len(), 0);
        assert!(filters("[1]").unwrap_err().message.starts_with("invalid filters: "));
    }

    fn create(body: &str, version: ApiVersion) -> api::NetworkCreate {
        let body: NetworkCreate = go_json::read(body.as_bytes()).unwrap();
        match body.request(version) {
            Request::NetworkCreate(create) => create,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn clients_send_null_for_what_is_empty() {
        let body = r#"{"CheckDuplicate":null,"Name":"n","Driver":null,"Scope":null,"EnableIPv4":null,"EnableIPv6":null,
            "IPAM":{"Driver":null,"Options":null,"Config":[
                {"Subnet":"10.1.0.0/16","IPRange":null,"Gateway":null,"AuxiliaryAddresses":null}]},
            "Internal":null,"Attachable":null,"Ingress":null,"ConfigOnly":null,"ConfigFrom":null,
            "Options":null,"Labels":{"a":"b"}}"#;
        let create = create(body, ApiVersion::NEWEST);
        assert_eq!((create.name.as_str(), create.ipam_driver.as_str()), ("n", ""));
        assert_eq!(create.pools[0].subnet, "10.1.0.0/16");
        assert_eq!(create.labels["a"], "b");
        assert!(create.options.is_empty() && !create.disable_ipv4);
    }

    #[test]
    fn options_of_ipam_are_null_or_a_map() {
        let options = |ipam: &str| create(&format!(r#"{{"Name":"n","IPAM":{ipam}}}"#), ApiVersion::NEWEST).ipam_options;
        for none in ["null", "{}", r#"{"Options":null}"#] {
            assert_eq!(options(none), None, "{none}");
        }
        assert_eq!(options(r#"{"Options":{}}"#), Some(BTreeMap::new()));
    }

    #[test]
    fn ipv4_is_switched_off_by_newer_clients_alone() {
        let body = r#"{"Name":"n","EnableIPv4":false,"EnableIPv6":true}"#;
        for (minor, off) in [(41, false), (47, false), (48, true), (51, true)] {
            assert_eq!(create(body, ApiVersion::new(1, minor)).disable_ipv4, off, "1.{minor}");
        }
    }
}
