//! `netswitch flows`: what is translated at this moment, by container.

use clap::Args;
use serde_json::{Value, json};

use super::failure::Failure;
use super::print;
use super::template::Template;
use crate::api::{FlowFilter, FlowRow, Request, Response};
use crate::client::Client;
use crate::model::publish::Protocol;

/// List the flows that are translated
#[derive(Debug, Args)]
pub struct Flows {
    /// Only flows of this container
    #[arg(long, value_name = "string")]
    container: Option<String>,
    /// Format each flow using a Go template, or all of them with "json"
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    /// At most this many; 0 for all (default 100)
    #[arg(short = 'n', long, value_name = "int", default_value = "100")]
    limit: usize,
    /// Only flows with this port at either end
    #[arg(long, value_name = "int")]
    port: Option<u16>,
    /// Only flows of tcp, udp or sctp
    #[arg(long, value_name = "string", value_parser = protocol)]
    protocol: Option<Protocol>,
}

fn protocol(text: &str) -> Result<Protocol, String> {
    Protocol::named(text).ok_or_else(|| "must be tcp, udp or sctp".to_owned())
}

impl Flows {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let filter = FlowFilter {
            container: self.container,
            protocol: self.protocol,
            port: self.port,
            limit: self.limit,
        };
        let Response::Flows(flows) = client.ask(&Request::Flows(filter))? else {
            return Err(Failure::unexpected());
        };
        print::text(&render(&flows, &self.format)?);
        Ok(())
    }
}

fn render(flows: &[FlowRow], format: &str) -> Result<String, Failure> {
    let values: Vec<Value> = flows.iter().map(|flow| json!(flow)).collect();
    match format {
        "" | "table" => Ok(table(flows)),
        "json" => Ok(Value::from(values).to_string() + "\n"),
        format => {
            let template = Template::parse(format)?;
            let lines: Result<Vec<String>, _> = values.iter().map(|flow| template.render(flow)).collect();
            Ok(lines?.into_iter().map(|line| line + "\n").collect())
        }
    }
}

fn table(flows: &[FlowRow]) -> String {
    let titles = ["CONTAINER", "PROTOCOL", "FROM", "TO", "TRANSLATED", "STATE", "EXPIRES"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    rows.extend(flows.iter().map(|flow| {
        vec![
            flow.containers.join(","),
            flow.protocol.clone(),
            flow.from.clone(),
            flow.to.clone(),
            format!("{} -> {}", flow.translated_from, flow.translated_to),
            flow.state.clone(),
            format!("{} s", flow.expires),
        ]
    }));
    print::table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_are_a_table_or_json() {
        let flow = FlowRow {
            containers: vec!["web".into()],
            protocol: "tcp".into(),
            from: "10.0.0.2:4000".into(),
            to: "192.0.2.1:80".into(),
            translated_from: "198.51.100.1:20000".into(),
            translated_to: "192.0.2.1:80".into(),
            state: "established".into(),
            expires: 7,
        };
        let list = |format| render(std::slice::from_ref(&flow), format).unwrap();
        assert_eq!(
            list(""),
            "CONTAINER   PROTOCOL   FROM            TO             TRANSLATED                           STATE         EXPIRES\n\
             web         tcp        10.0.0.2:4000   192.0.2.1:80   198.51.100.1:20000 -> 192.0.2.1:80   established   7 s\n"
        );
        assert_eq!(list("{{.Protocol}} {{.State}}"), "tcp established\n");
    }
}
