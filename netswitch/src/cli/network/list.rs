//! `netswitch network ls`.

use clap::Args;
use serde_json::{Map, Value};

use crate::api::{NetworkResource, Request, Response};
use crate::cli::failure::Failure;
use crate::cli::options;
use crate::cli::print::{self, Listing, Row};
use crate::client::Client;
use crate::model::time;

/// List networks
#[derive(Debug, Args)]
#[command(visible_alias = "list")]
pub struct List {
    /// Provide filter values (e.g. 'driver=bridge')
    #[arg(short, long, value_name = "filter", value_parser = options::filter)]
    filter: Vec<(String, String)>,
    /// Pretty-print networks using a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Do not truncate the output
    #[arg(long)]
    no_trunc: bool,
    /// Only display network IDs
    #[arg(short, long)]
    quiet: bool,
}

const NETWORKS: Listing = Listing {
    titles: &[
        ("ID", "NETWORK ID"),
        ("Name", "NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
        ("CreatedAt", "CREATED AT"),
    ],
    columns: &["ID", "Name", "Driver", "Scope"],
};

impl List {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let request = Request::NetworkList {
            filters: options::filters(self.filter),
        };
        let Response::Networks(networks) = client.ask(&request)? else {
            return Err(Failure::unexpected());
        };
        let rows: Vec<Row> = networks
            .into_iter()
            .map(|network| row(network, self.no_trunc))
            .collect();
        print::text(&NETWORKS.render(self.format.as_deref(), self.quiet, &rows)?);
        Ok(())
    }
}

fn row(network: NetworkResource, no_trunc: bool) -> Row {
    let fields = [
        ("CreatedAt", time::in_go(&network.created)),
        ("Driver", network.driver),
        ("ID", print::id(&network.id, no_trunc).to_owned()),
        ("IPv6", network.enable_ipv6.to_string()),
        ("Internal", network.internal.to_string()),
        ("Labels", print::pairs(&network.labels)),
        ("Name", network.name),
        ("Scope", network.scope),
    ];
    Row {
        fields: fields
            .into_iter()
            .map(|(field, value)| (field.to_owned(), Value::from(value)))
            .collect::<Map<_, _>>(),
        labels: network.labels,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge() -> NetworkResource {
        serde_json::from_value(serde_json::json!({
            "Name": "bridge", "Id": "2b50586c472a".repeat(5) + "0123", "Created": "2026-01-02T03:04:05.6+00:00",
            "Scope": "local", "Driver": "bridge", "EnableIPv6": false,
            "IPAM": {"Driver": "default", "Options": null, "Config": [{"Subnet": "172.17.0.0/16"}]},
            "Internal": false, "Attachable": false, "Ingress": false, "ConfigFrom": {"Network": ""},
            "ConfigOnly": false, "Containers": {}, "Options": {}, "Labels": {"a": "b"},
        }))
        .unwrap()
    }

    #[test]
    fn networks_are_listed_as_docker_lists_them() {
        let list = |format, quiet, no_trunc| NETWORKS.render(format, quiet, &[row(bridge(), no_trunc)]).unwrap();
        assert_eq!(
            list(None, false, false),
            "NETWORK ID     NAME      DRIVER    SCOPE\n2b50586c472a   bridge    bridge    local\n"
        );
        assert_eq!(list(None, true, false), "2b50586c472a\n");
        assert_eq!(list(None, true, true).len(), 65);
        assert_eq!(
            list(Some("{{.Name}} {{.IPv6}} {{.Label \"a\"}} {{.Labels}}"), false, false),
            "bridge false b a=b\n"
        );
        assert_eq!(
            list(Some("json"), false, false),
            "{\"CreatedAt\":\"2026-01-02 03:04:05.6 +0000 UTC\",\"Driver\":\"bridge\",\"ID\":\"2b50586c472a\",\
             \"IPv6\":\"false\",\"Internal\":\"false\",\"Labels\":\"a=b\",\"Name\":\"bridge\",\"Scope\":\"local\"}\n"
        );
    }

    #[test]
    fn inspect_prints_dockers_keys_in_dockers_order() {
        let text = print::indented(&[bridge()]);
        let keys: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("        \""))
            .filter_map(|line| line.split('"').nth(1))
            .collect();
        assert_eq!(
            keys.join(" "),
            "Name Id Created Scope Driver EnableIPv6 IPAM Internal Attachable Ingress ConfigFrom ConfigOnly \
             Containers Options Labels"
        );
    }
}
