//! Names: which are allowed, which are taken, and made-up ones.

use super::{Facts, Id, state::State};
use crate::api::Error;

type Result<T> = std::result::Result<T, Error>;

/// Networks that exist from the start and cannot be removed; `default` stands for `bridge`.
pub const PREDEFINED: [&str; 4] = ["bridge", "host", "none", "default"];

const ALLOWED: &str = "[a-zA-Z0-9][a-zA-Z0-9_.-]";

pub fn is_predefined(network: &str) -> bool {
    PREDEFINED.contains(&network)
}

/// Checks the form of a container's name and that it is free.
pub fn check_container(state: &State, name: &str) -> Result<()> {
    if name.len() < 2 || !is_restricted(name) {
        return Err(Error::bad_request(format!(
            "Invalid container name ({name}), only {ALLOWED} are allowed"
        )));
    }
    match state.container_named(name) {
        Some(container) => Err(Error::conflict(format!(
            "Conflict. The container name \"/{name}\" is already in use by container \"{}\". \
             You have to remove (or rename) that container to be able to reuse that name.",
            container.id
        ))),
        None => Ok(()),
    }
}

/// Checks that a network's name is free. As in the engine, any name will do that is not blank.
pub fn check_network(state: &State, name: &str) -> Result<()> {
    if is_predefined(name) {
        // the engine's text has the blank at its end
        return Err(Error::forbidden(format!(
            "operation is not permitted on predefined {name} network "
        )));
    }
    if name.trim().is_empty() {
        return Err(Error::bad_request(format!("invalid name: {name}")));
    }
    if state.network_named(name).is_some() {
        return Err(Error::conflict(format!("network with name {name} already exists")));
    }
    Ok(())
}

/// Checks what `--hostname` gives: labels of letters, digits and hyphens (RFC 1123), 64 bytes in all
/// (`HOST_NAME_MAX`).
pub fn check_hostname(hostname: &str) -> Result<()> {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if hostname.len() <= 64 && hostname.split('.').all(label) {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "invalid hostname format for --hostname: {hostname}"
    )))
}

/// A name that no container has, like `brave_kalman`; the short id where all attempts are taken.
pub fn generate(state: &State, facts: &mut Facts, id: &Id) -> Result<String> {
    for attempt in 0..6 {
        let random = facts.id()?;
        let pick = |from: usize, list: &[&'static str]| {
            let digits = random.0.get(from..from + 4).unwrap_or("0");
            list[usize::from_str_radix(digits, 16).unwrap_or(0) % list.len()]
        };
        let mut name = format!("{}_{}", pick(0, &LEFT), pick(4, &RIGHT));
        if attempt > 0 {
            name.push(char::from(b'0' + random.0.as_bytes().get(8).unwrap_or(&b'0') % 10));
        }
        if state.container_named(&name).is_none() {
            return Ok(name);
        }
    }
    Ok(id.short().to_owned())
}

fn is_restricted(name: &str) -> bool {
    name.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

const LEFT: [&str; 32] = [
    "amber", "bold", "brave", "bright", "calm", "clever", "cosy", "daring", "eager", "fair", "fond", "gentle", "glad",
    "happy", "jolly", "keen", "kind", "lively", "loyal", "merry", "modest", "noble", "patient", "polite", "proud",
    "quick", "quiet", "sharp", "swift", "tender", "vivid", "wise",
];

const RIGHT: [&str; 32] = [
    "baran",
    "bellovin",
    "boggs",
    "cerf",
    "clark",
    "cohen",
    "davies",
    "deering",
    "dijkstra",
    "engelbart",
    "floyd",
    "hamilton",
    "hopper",
    "jacobson",
    "kahn",
    "karn",
    "kleinrock",
    "lamarr",
    "licklider",
    "lovelace",
    "metcalfe",
    "mockapetris",
    "nagle",
    "perlman",
    "postel",
    "pouzin",
    "roberts",
    "saltzer",
    "shannon",
    "turing",
    "zimmermann",
    "zuse",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::World;

    #[test]
    fn container_names_have_dockers_form_and_are_unique() {
        let mut world = World::new();
        let id = world.run("web", &["bridge"]);
        for bad in ["", "a", "-web", "_web", "we b", "web/1", "wéb", ":web"] {
            assert_eq!(
                check_container(&world.state, bad).unwrap_err().message,
                format!("Invalid container name ({bad}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
            );
        }
        let error = check_container(&world.state, "web").unwrap_err();
        assert_eq!(
            error,
            Error::conflict(format!(
                "Conflict. The container name \"/web\" is already in use by container \"{id}\". You have to remove \
                 (or rename) that container to be able to reuse that name."
            ))
        );
        assert_eq!(check_container(&world.state, "web.2_x-3"), Ok(()));
    }

    #[test]
    fn network_names_are_checked() {
        let world = World::new();
        for (name, error) in [
            (
                "bridge",
                Error::forbidden("operation is not permitted on predefined bridge network "),
            ),
            (
                "default",
                Error::forbidden("operation is not permitted on predefined default network "),
            ),
            ("", Error::bad_request("invalid name: ")),
            (" \t", Error::bad_request("invalid name:  \t")),
        ] {
            assert_eq!(check_network(&world.state, name), Err(error));
        }
        for good in [
            "n",
            "a b",
            " a",
            "a/b",
            "/",
            "-a",
            "é",
            "網",
            "a:b",
            "host network",
            "%2f",
        ] {
            assert_eq!(check_network(&world.state, good), Ok(()), "{good}");
        }
    }

    #[test]
    fn hostnames_are_checked() {
        for good in ["web", "web.example.com", "5589f8722cc6", "a-b"] {
            assert_eq!(check_hostname(good), Ok(()));
        }
        for bad in ["", "-a", "a-", "a..b", "a b", &"x".repeat(65)] {
            assert_eq!(
                check_hostname(bad).unwrap_err().message,
                format!("invalid hostname format for --hostname: {bad}")
            );
        }
    }

    #[test]
    fn made_up_names_are_free() {
        let mut world = World::new();
        for _ in 0..200 {
            let mut facts = world.facts();
            let id = facts.id().unwrap();
            let name = generate(&world.state, &mut facts, &id).unwrap();
            assert_eq!(check_container(&world.state, &name), Ok(()), "{name}");
            world.run(&name, &["none"]);
        }
    }
}
