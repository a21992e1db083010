//! `netswitch stats`: what the switch did with packets, and why it dropped some.

use std::io::IsTerminal as _;
use std::thread;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::failure::Failure;
use super::print;
use super::template::Template;
use crate::api::{self, Request, Response};
use crate::client::Client;
use crate::model::container::limits::Limits;

/// Display packets by what became of them, and drops by reason
#[derive(Debug, Args)]
pub struct Stats {
    /// Format each container using a Go template, or all of them with "json"
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    /// Display them anew each second
    #[arg(short, long)]
    watch: bool,
}

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// Clears a terminal and begins at its top (ECMA-48: ED, CUP).
const CLEAR: &str = "\x1b[2J\x1b[H";

impl Stats {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let clear = if std::io::stdout().is_terminal() { CLEAR } else { "" };
        let mut since = None;
        loop {
            let Response::Stats(stats) = client.ask(&Request::Stats { since })? else {
                return Err(Failure::unexpected());
            };
            since = Some(stats.next());
            let text = render(&stats, &self.format)?;
            if !self.watch {
                print::text(&text);
                return Ok(());
            }
            if !print::stream(&format!("{clear}{text}")) {
                return Ok(());
            }
            thread::sleep(INTERVAL);
        }
    }
}

fn render(stats: &api::Stats, format: &str) -> Result<String, Failure> {
    let endpoints: Vec<Value> = stats.endpoints.iter().map(|endpoint| json!(endpoint)).collect();
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
    let titles = [
        "CONTAINER",
        "NETWORK",
        "RECEIVED",
        "PACKETS",
        "SENT",
        "PACKETS",
        "FLOWS",
    ];
    let mut traffic = vec![titles.map(str::to_owned).to_vec()];
    let has_limits = stats
        .endpoints
        .iter()
        .any(|endpoint| endpoint.limits != Limits::default());
    if has_limits {
        traffic[0].push("LIMITS".to_owned());
    }
    for endpoint in &stats.endpoints {
        let Some(counts) = &endpoint.traffic else { continue };
        let mut row = vec![
            endpoint.container.clone(),
            endpoint.network.clone(),
            print::bytes(counts.received_bytes),
            counts.received_packets.to_string(),
            print::bytes(counts.sent_bytes),
            counts.sent_packets.to_string(),
            endpoint.flows.to_string(),
        ];
        if has_limits {
            row.push(endpoint.limits.to_string());
        }
        traffic.push(row);
    }
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
    [paths, traffic, drops].map(|table| print::table(&table)).join("\n")
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
            traffic: (!container.is_empty()).then_some(api::Traffic {
                received_packets: 3,
                received_bytes: 294,
                sent_packets: 20,
                sent_bytes: 2_000_000,
            }),
            ..api::EndpointStats::default()
        };
        let stats = api::Stats {
            endpoints: vec![endpoint("web", "spoofed-mac", 7), endpoint("", "no-ipv6", 1)],
            paths: [("peer".to_owned(), 100), ("drop".to_owned(), 8)].into(),
            missed_events: 0,
            taken: 0,
        };
        assert_eq!(
            render(&stats, "").unwrap(),
            "PATH      PACKETS\ndrop      8\npeer      100\n\n\
             CONTAINER   NETWORK   RECEIVED   PACKETS   SENT      PACKETS   FLOWS\n\
             web         mynet     294B       3         2.00MB    20        0\n\n\
             CONTAINER   NETWORK   DROPPED   REASON\n\
             web         mynet     7         spoofed-mac\n\
             (host)      mynet     1         no-ipv6\n"
        );
        assert_eq!(
            render(&stats, "json").unwrap(),
            "[{\"container\":\"web\",\"network\":\"mynet\",\"drops\":{\"spoofed-mac\":7},\
             \"received_packets\":3,\"received_bytes\":294,\"sent_packets\":20,\"sent_bytes\":2000000,\"flows\":0},\
             {\"container\":\"\",\"network\":\"mynet\",\"drops\":{\"no-ipv6\":1},\"flows\":0}]\n"
        );
        let mut stats = stats;
        stats.endpoints[0].limits.rate = 100_000_000;
        let text = render(&stats, "").unwrap();
        assert!(text.contains("FLOWS     LIMITS\n"), "{text}");
        assert!(text.contains("20        0         100mbit\n"), "{text}");
        assert_eq!(render(&stats, "{{index .drops \"spoofed-mac\"}}").unwrap(), "7\n\n");
    }
}
