//! `netswitch ps`: lists containers.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::Value;

use super::failure::Failure;
use super::options;
use super::print::{self, Listing, Row};
use crate::api::{ContainerSummary, Request, Response};
use crate::client::Client;
use crate::model::time::{self, Time};

/// List containers
#[derive(Debug, Args)]
pub struct Ps {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = options::filter)]
    filter: Vec<(String, String)>,
    /// Pretty-print containers using a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only display container IDs
    #[arg(short, long)]
    quiet: bool,
}

/// Docker's columns; where it shows an image, we show who made the container.
const CONTAINERS: Listing = Listing {
    titles: &[
        ("ID", "CONTAINER ID"),
        ("Names", "NAMES"),
        ("Owner", "OWNER"),
        ("Command", "COMMAND"),
        ("CreatedAt", "CREATED AT"),
        ("RunningFor", "CREATED"),
        ("Ports", "PORTS"),
        ("State", "STATE"),
        ("Status", "STATUS"),
        ("Networks", "NETWORKS"),
        ("Labels", "LABELS"),
    ],
    columns: &["ID", "Owner", "Command", "RunningFor", "Status", "Ports", "Names"],
};

impl Ps {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let request = Request::ContainerList {
            all: self.all,
            filters: options::filters(self.filter),
        };
        let Response::Containers(containers) = client.ask(&request)? else {
            return Err(Failure::unexpected());
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let rows: Vec<Row> = containers
            .into_iter()
            .map(|container| row(container, self.no_trunc, now))
            .collect();
        print::text(&CONTAINERS.render(self.format.as_deref(), self.quiet, &rows)?);
        Ok(())
    }
}

fn row(container: ContainerSummary, no_trunc: bool, now: i64) -> Row {
    let age = Time::parse(&container.created_at).map_or(0, |created| now - created.seconds);
    let command = if no_trunc {
        container.command
    } else {
        shortened(&container.command, 20)
    };
    let fields = [
        ("Command", format!("{command:?}")),
        ("CreatedAt", time::in_go(&container.created_at)),
        ("ID", print::id(&container.id, no_trunc).to_owned()),
        ("Labels", print::pairs(&container.labels)),
        ("Names", container.name),
        ("Networks", container.networks.join(",")),
        ("Owner", container.owner),
        ("Ports", container.ports),
        ("RunningFor", format!("{} ago", time::human_duration(age))),
        ("State", container.state),
        ("Status", container.status),
    ];
    Row {
        fields: fields
            .into_iter()
            .map(|(field, value)| (field.to_owned(), Value::from(value)))
            .collect(),
        labels: container.labels,
    }
}

/// At most `length` characters, the last of them an ellipsis where some are missing.
fn shortened(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    text.chars().take(length - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_listed_as_docker_lists_them() {
        let container = ContainerSummary {
            id: "0123456789abcdef".repeat(4),
            name: "redis-1".into(),
            owner: "netswitch".into(),
            command: "redis-server /etc/redis/redis.conf".into(),
            created_at: "2026-01-02T03:04:05.6Z".into(),
            state: "running".into(),
            status: "Up 3 minutes".into(),
            ports: String::new(),
            published: Vec::new(),
            networks: vec!["redis".into(), "bridge".into()],
            labels: [("a".to_owned(), "b".to_owned())].into(),
        };
        let now = Time::parse("2026-01-02T03:07:06Z").unwrap().seconds;
        let list = |format, no_trunc| {
            CONTAINERS
                .render(format, false, &[row(container.clone(), no_trunc, now)])
                .unwrap()
        };
        assert_eq!(
            list(None, false),
            "CONTAINER ID   OWNER       COMMAND                  CREATED         STATUS         PORTS     NAMES\n\
             0123456789ab   netswitch   \"redis-server /etc/r…\"   3 minutes ago   Up 3 minutes             redis-1\n"
        );
        assert_eq!(
            list(Some("{{.Command}} {{.Networks}} {{.Label \"a\"}}"), true),
            "\"redis-server /etc/redis/redis.conf\" redis,bridge b\n"
        );
    }
}
