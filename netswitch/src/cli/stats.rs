//! `netswitch stats`: what the switch did with packets, and why it dropped some.

use clap::Args;
use serde_json::{Value, json};

use super::failure::Failure;
use super::print;
use super::template::Template;
use crate::api::{self, Request, Response};
use crate::client::Client;

/// Display packets by what became of them, and drops by reason
#[derive(Debug, Args)]
pub struct Stats {
    /// Format each container using a Go template, or all of them with "json"
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
}

impl Stats {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let Response::Stats(stats) = client.ask(&Request::Stats)? else {
            return Err(Failure::unexpected());
        };
        print::text(&render(&stats, &self.format)?);
        Ok(())
    }
}

fn render(stats: &api::Stats, format: &str) -> Result<String, Failure> {
    let endpoints: Vec<Value> = stats
        .endpoints
        .iter()
        .map(|endpoint| json!({"container": endpoint.container, "network": endpoint.network, "drops": endpoint.drops}))
        .collect();
    match format {
        "" | "table" => Ok(tables(stats)),
        "json" => Ok(Value::from(endpoints).to_string() + "\n"),
        format => {
            let template = Template::parse(format)?;
            let lines: Result<Vec<String>, _> = endpoints.iter().map(|endpoint| template.render(endpoint)).collect();
            Ok(lines?.into_iter().map(|line| line + "\n").collect())
        }
    }
}

fn tables(stats: &api::Stats) -> String {
    let mut paths = vec![vec!["PATH".to_owned(), "PACKETS".to_owned()]];
    paths.extend(
        stats
            .paths
            .iter()
            .map(|(path, packets)| vec![path.clone(), packets.to_string()]),
    );
    let mut drops = vec![
        ["CONTAINER", "NETWORK", "DROPPED", "REASON"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for endpoint in &stats.endpoints {
        for (reason, packets) in &endpoint.drops {
            let container = match endpoint.container.as_str() {
                "" => "(host)",
                name => name,
            };
            drops.push(vec![
                container.to_owned(),
                endpoint.network.clone(),
                packets.to_string(),
                reason.clone(),
            ]);
        }
    }
    format!("{}\n{}", print::table(&paths), print::table(&drops))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_shown_by_container_and_reason() {
        let endpoint = |container: &str, reason: &str, packets| api::EndpointStats {
            container: container.into(),
            network: "mynet".into(),
            drops: [(reason.to_owned(), packets)].into(),
        };
        let stats = api::Stats {
            endpoints: vec![endpoint("web", "spoofed-mac", 7), endpoint("", "no-ipv6", 1)],
            paths: [("peer".to_owned(), 100), ("drop".to_owned(), 8)].into(),
        };
        assert_eq!(
            render(&stats, "").unwrap(),
            "PATH      PACKETS\ndrop      8\npeer      100\n\n\
             CONTAINER   NETWORK   DROPPED   REASON\n\
             web         mynet     7         spoofed-mac\n\
             (host)      mynet     1         no-ipv6\n"
        );
        assert_eq!(
            render(&stats, "json").unwrap(),
            "[{\"container\":\"web\",\"network\":\"mynet\",\"drops\":{\"spoofed-mac\":7}},\
             {\"container\":\"\",\"network\":\"mynet\",\"drops\":{\"no-ipv6\":1}}]\n"
        );
        assert_eq!(render(&stats, "{{index .drops \"spoofed-mac\"}}").unwrap(), "7\n\n");
    }
}
