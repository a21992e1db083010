//! An agent that only remembers networks and what it was asked.

pub mod door;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use netswitch::api::{Error, IpamConfig, MonitorFilter, NetworkResource, Request, Response, Version, WaitCondition};
use netswitch::doors::{Agent, Ended};
use tokio::sync::mpsc;

#[derive(Clone, Default)]
pub struct Stub {
    pub networks: Arc<Mutex<Vec<NetworkResource>>>,
    /// What was asked, in its debug form.
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl Agent for Stub {
    async fn wait(&self, container: String, _: WaitCondition) -> Result<Ended, Error> {
        Err(Error::not_found(format!("No such container: {container}")))
    }

    async fn monitor(&self, filter: MonitorFilter) -> Result<mpsc::Receiver<Bytes>, Error> {
        Err(Error::internal(format!(
            "the stub has nothing to tell about {filter:?}"
        )))
    }

    async fn ask(&self, request: Request) -> Result<Response, Error> {
        self.asked.lock().unwrap().push(format!("{request:?}"));
        let mut networks = self.networks.lock().unwrap();
        let find = |name: &str, networks: &[NetworkResource]| {
            let found = networks
                .iter()
                .position(|network| network.name == name || network.id.starts_with(name));
            found.ok_or_else(|| Error::not_found(format!("network {name} not found")))
        };
        match request {
            Request::NetworkCreate(create) => {
                if networks.iter().any(|network| network.name == create.name) {
                    let message = format!("network with name {} already exists", create.name);
                    return Err(Error::conflict(message));
                }
                let id = format!("{:064x}", 0xabc + networks.len());
                let config = create.pools.iter().map(|pool| IpamConfig {
                    subnet: pool.subnet.clone(),
                    gateway: pool.gateway.clone(),
                    ..IpamConfig::default()
                });
                let resource = serde_json::json!({
                    "Name": create.name, "Id": id, "Created": "2026-01-02T03:04:05.678901234Z", "Scope": "local",
                    "Driver": create.driver, "EnableIPv4": !create.disable_ipv4, "EnableIPv6": create.enable_ipv6,
                    "IPAM": {"Driver": "default", "Options": {}, "Config": config.collect::<Vec<_>>()},
                    "Internal": create.internal, "Attachable": create.attachable, "Ingress": false,
                    "ConfigFrom": {"Network": ""}, "ConfigOnly": false, "Containers": {},
                    "Options": create.options, "Labels": create.labels,
                });
                networks.push(serde_json::from_value(resource).unwrap());
                Ok(Response::Created {
                    id,
                    warnings: Vec::new(),
                })
            }
            Request::NetworkList { .. } => Ok(Response::Networks(networks.clone())),
            Request::NetworkInspect { network } => {
                let found = find(&network, &networks)?;
                Ok(Response::Network(Box::new(networks[found].clone())))
            }
            Request::NetworkRemove { network } => {
                let found = find(&network, &networks)?;
                networks.remove(found);
                Ok(Response::Done)
            }
            Request::NetworkConnect { network, container, .. }
            | Request::NetworkDisconnect { network, container, .. } => {
                find(&network, &networks)?;
                if container == "missing" {
                    return Err(Error::not_found("No such container: missing"));
                }
                Ok(Response::Done)
            }
            Request::NetworkPrune { .. } => {
                let names = networks.drain(..).map(|network| network.name).collect();
                Ok(Response::Pruned(names))
            }
            Request::ContainerList { .. } => Ok(Response::Containers(Vec::new())),
            Request::Version => Ok(Response::Version(Version {
                version: "0.1.0".into(),
                networks: networks.len(),
                ..Version::default()
            })),
            other => Err(Error::internal(format!("the stub does not know {other:?}"))),
        }
    }
}
