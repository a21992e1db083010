//! Interfaces of a namespace, as `ip` tells them.

use serde_json::Value;

use super::Namespace;

/// One interface.
#[derive(Clone, Debug, PartialEq)]
pub struct Interface {
    pub name: String,
    pub index: u64,
    /// Of a veth's other end.
    pub peer_index: Option<u64>,
    pub flags: Vec<String>,
    pub mtu: u64,
    pub mac: String,
    pub state: String,
    /// `172.17.0.2/16`, every family.
    pub addresses: Vec<String>,
    pub everything: Value,
}

/// Every interface, by index.
pub fn interfaces(namespace: &Namespace) -> Vec<Interface> {
    let text = namespace.sh("ip -d -j addr").ok();
    let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    value.as_array().expect("a list").iter().filter_map(interface).collect()
}

fn interface(value: &Value) -> Option<Interface> {
    let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let list = |field: &str| value[field].as_array().cloned().unwrap_or_default();
    let address = |address: Value| Some(format!("{}/{}", address["local"].as_str()?, address["prefixlen"]));
    Some(Interface {
        name: value["ifname"].as_str()?.to_owned(),
        index: value["ifindex"].as_u64()?,
        peer_index: value["link_index"].as_u64(),
        flags: list("flags")
            .into_iter()
            .filter_map(|flag| Some(flag.as_str()?.to_owned()))
            .collect(),
        mtu: value["mtu"].as_u64()?,
        mac: text("address"),
        state: text("operstate"),
        addresses: list("addr_info").into_iter().filter_map(address).collect(),
        everything: value.clone(),
    })
}
