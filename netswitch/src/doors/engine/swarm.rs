//! The engine's paths of a swarm. No agent is ever part of one: each path answers as an engine outside a swarm does.

use crate::api::{Error, ErrorKind};
use crate::model::network::create::NO_SWARM_MANAGER;

/// The refusal, if the path is one of a swarm's.
pub fn refusal(method: &str, path: &[&str]) -> Option<Error> {
    let text = match (method, path) {
        ("POST", ["swarm", "leave"]) => "This node is not part of a swarm",
        (
            "GET",
            ["swarm" | "services" | "nodes" | "tasks" | "secrets" | "configs"]
            | ["swarm", "unlockkey"]
            | ["services" | "nodes" | "tasks" | "secrets" | "configs", _]
            | ["services" | "tasks", _, "logs"],
        )
        | (
            "POST",
            ["swarm", "init" | "join" | "update" | "unlock"]
            | ["services" | "secrets" | "configs", "create"]
            | ["services" | "nodes" | "secrets" | "configs", _, "update"],
        )
        | ("DELETE", ["services" | "nodes" | "secrets" | "configs", _]) => NO_SWARM_MANAGER,
        _ => return None,
    };
    Some(Error::new(ErrorKind::Unavailable, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_swarm_are_refused_and_no_others() {
        let said = |line: &str| {
            let mut words = line.split(['/', ' ']).filter(|word| !word.is_empty());
            let method = words.next().unwrap();
            refusal(method, &words.collect::<Vec<_>>()).map(|error| error.message)
        };
        for line in [
            "GET /swarm",
            "POST /swarm/init",
            "POST /swarm/join",
            "POST /swarm/update",
            "GET /swarm/unlockkey",
            "GET /services",
            "POST /services/create",
            "GET /services/x/logs",
            "GET /nodes/x",
            "DELETE /nodes/x",
            "GET /tasks",
            "POST /secrets/create",
            "POST /configs/x/update",
        ] {
            assert_eq!(said(line).as_deref(), Some(NO_SWARM_MANAGER), "{line}");
        }
        assert_eq!(
            said("POST /swarm/leave").as_deref(),
            Some("This node is not part of a swarm")
        );
        for line in [
            "GET /networks",
            "PUT /swarm",
            "GET /swarm/init",
            "GET /nodes/x/y",
            "GET /",
        ] {
            assert_eq!(said(line), None, "{line}");
        }
    }
}
