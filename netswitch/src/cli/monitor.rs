//! `netswitch monitor`: packets and what becomes of them, as it happens.

use clap::Args;
use serde_json::json;

use super::failure::{Failure, named};
use super::print;
use super::template::Template;
use crate::api::{MonitorFilter, MonitorRow, Monitored, Request};
use crate::client::Client;

/// Display flows and verdicts as they happen
#[derive(Debug, Args)]
pub struct Monitor {
    /// Only what is dropped
    #[arg(long)]
    drops: bool,
    /// Format each event using a Go template, or as a line of "json"
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    /// Only what this container sends; also "(host)" and "(world)"
    #[arg(long, value_name = "container")]
    from: Option<String>,
    /// Only what is sent to this container
    #[arg(long, value_name = "container")]
    to: Option<String>,
}

/// What lines look like.
enum Format {
    Table,
    Json,
    Template(Box<Template>),
}

impl Monitor {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let format = match self.format.as_str() {
            "" | "table" => Format::Table,
            "json" => Format::Json,
            format => Format::Template(Box::new(Template::parse(format)?)),
        };
        let filter = MonitorFilter {
            drops: self.drops,
            from: self.from,
            to: self.to,
        };
        let name = filter.from.clone().or_else(|| filter.to.clone()).unwrap_or_default();
        let mut ended_here = false;
        let mut problem = None;
        let mut each = |lines: &str| {
            let text: Result<String, _> = lines.lines().map(|line| format.line(line)).collect();
            match text {
                Ok(text) => ended_here = !print::stream(&text),
                Err(error) => problem = Some(error),
            }
            !ended_here && problem.is_none()
        };
        let begin = || {
            if matches!(format, Format::Table) {
                print::text(&row(&TITLES.map(str::to_owned)));
            }
        };
        let request = Request::Monitor(filter);
        client
            .follow(&request, begin, &mut each)
            .map_err(|error| named(error, "container", &name))?;
        match problem {
            Some(problem) => Err(problem),
            None if ended_here => Ok(()),
            None => Err(Failure::new("the agent has stopped")),
        }
    }
}

impl Format {
    /// A line of the agent's, as it is printed.
    fn line(&self, line: &str) -> Result<String, Failure> {
        match self {
            Self::Json => Ok(format!("{line}\n")),
            Self::Table => Ok(event(line)?.map_or_else(String::new, |event| row(&cells(&event)))),
            Self::Template(template) => match event(line)? {
                Some(event) => Ok(template.render(&json!(event))? + "\n"),
                None => Ok(String::new()),
            },
        }
    }
}

/// `None`: events were missed, which it complains of.
fn event(line: &str) -> Result<Option<MonitorRow>, Failure> {
    // nearly all are, and to look for either takes twice the time
    if let Ok(event) = serde_json::from_str(line) {
        return Ok(Some(event));
    }
    match serde_json::from_str(line) {
        Ok(Monitored::Missed { missed }) => {
            print::complain(&format!(
                "WARNING: {missed} events missed: they come faster than they are read"
            ));
            Ok(None)
        }
        _ => Err(Failure::unexpected()),
    }
}

const TITLES: [&str; 9] = [
    "TIME", "VERDICT", "NETWORK", "FROM", "TO", "PROTOCOL", "PACKET", "LENGTH", "REASON",
];
/// Wide enough for most: what comes later is not known yet.
const WIDTHS: [usize; 9] = [16, 11, 13, 16, 16, 10, 40, 8, 0];

fn cells(event: &MonitorRow) -> [String; 9] {
    // of 2026-01-02T03:04:05.678901234Z the clock, to the millisecond
    let time = event.time.get(11..23).unwrap_or(&event.time);
    let macs = match event.reason.as_str() {
        "" => String::new(),
        reason => format!("{reason} ({} -> {})", event.source_mac, event.destination_mac),
    };
    [
        time.to_owned(),
        event.verdict.clone(),
        event.network.clone(),
        event.from.clone(),
        event.to.clone(),
        event.protocol.clone(),
        format!("{} -> {}", event.source, event.destination),
        event.length.to_string(),
        macs,
    ]
}

fn row(cells: &[String; 9]) -> String {
    let cells = cells.iter().zip(WIDTHS);
    let cells: Vec<String> = cells.map(|(cell, width)| format!("{cell:<width$}")).collect();
    cells.join(" ").trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_rows_or_json() {
        let event = MonitorRow {
            time: "2026-01-02T03:04:05.678901234Z".into(),
            verdict: "drop".into(),
            reason: "spoofed-mac".into(),
            network: "mynet".into(),
            from: "one".into(),
            to: "two".into(),
            protocol: "udp".into(),
            source: "10.0.0.2:1".into(),
            destination: "10.0.0.3:9".into(),
            source_mac: "02:00:00:00:00:09".into(),
            destination_mac: "02:42:0a:00:00:03".into(),
            length: 47,
        };
        let line = serde_json::to_string(&Monitored::Event(Box::new(event))).unwrap();
        let table = Format::Table.line(&line).unwrap();
        let words: Vec<&str> = table.split_whitespace().collect();
        assert_eq!(
            words.join(" "),
            "03:04:05.678 drop mynet one two udp 10.0.0.2:1 -> 10.0.0.3:9 47 spoofed-mac (02:00:00:00:00:09 -> 02:42:0a:00:00:03)"
        );
        assert_eq!(Format::Json.line(&line).unwrap(), line.clone() + "\n");
        let template = Format::Template(Box::new(Template::parse("{{.from}} {{.reason}}").unwrap()));
        assert_eq!(template.line(&line).unwrap(), "one spoofed-mac\n");
        assert_eq!(template.line(r#"{"missed":3}"#).unwrap(), "");
    }
}
