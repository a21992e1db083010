//! `run`, first half: everything about a container that can be judged before it starts.

use std::collections::BTreeMap;

use super::{
    Container, Link, Mode, Owner, Process, Status,
    dns::Dns,
    limits::{self, Limits},
    parse,
    resources::Resources,
};
use crate::{
    api::{ContainerCreate, Error},
    model::{
        Facts, Id,
        changes::{Changes, Draft},
        endpoint::{Settings, add},
        names,
        network::options::no_effect,
        policy::Leash,
        publish::change,
        state::State,
    },
};

type Result<T> = std::result::Result<T, Error>;

const HOST_LINKS: &str =
    "conflicting options: host type networking can't be used with links. This would result in undefined behavior";

/// Judges a new container; answers with its id and with warnings. Networks need not exist before it
/// starts, as in the engine.
pub fn create(state: &State, facts: &mut Facts, asked: &ContainerCreate) -> Result<(Changes, Id, Vec<String>)> {
    let (mode, mut attachments) = networks(state, asked)?;
    check_conflicts(&mode, asked)?;
    let bindings = change::bindings(&asked.publish)?;
    let process = process(asked)?;
    let limits = Limits::default().with(asked.limits)?;
    limits::check_mode(&mode, &limits)?;
    let dns = Dns::parse(&asked.dns, &asked.dns_search, &asked.dns_options)?;
    let egress = Leash::given(&asked.egress).map_err(Error::bad_request)?;
    let id = facts.id()?;
    let name = if asked.name.is_empty() {
        names::generate(state, facts, &id)?
    } else {
        names::check_container(state, &asked.name)?;
        asked.name.clone()
    };
    let hostname = match &mode {
        _ if !asked.hostname.is_empty() => {
            names::check_hostname(&asked.hostname)?;
            asked.hostname.clone()
        }
        Mode::Host => String::new(),
        Mode::Container(target) => state
            .containers
            .get(target)
            .map(|target| target.hostname.clone())
            .unwrap_or_default(),
        Mode::Networks(_) | Mode::None => id.short().to_owned(),
    };
    let links = links(state, &mode, &mut attachments, asked)?;
    for (network, settings) in &attachments {
        add::check_form(settings)?;
        if let Ok(network) = state.network(network) {
            add::check(state, network, &id, settings)?;
        }
    }
    let container = Container {
        id: id.clone(),
        name,
        created: facts.now.clone(),
        owner: Owner::Netswitch,
        labels: asked.labels.clone(),
        hostname,
        mode,
        attachments,
        links,
        dns,
        egress,
        process,
        bindings,
        publish_all: asked.publish_all,
        limits,
        status: Status::Created {
            error: String::new(),
            exit_code: 0,
        },
        sandbox: None,
    };
    let mut warnings = Vec::new();
    if container.mode == Mode::Host && !container.bindings.is_empty() {
        warnings.push("Published ports are discarded when using host network mode".to_owned());
    }
    let mut draft = Draft::new(state);
    draft.put_container(container);
    Ok((draft.finish(), id, warnings))
}

/// Reads `--network`: the mode, and the attachments by network name.
fn networks(state: &State, asked: &ContainerCreate) -> Result<(Mode, BTreeMap<String, Settings>)> {
    let default = [(String::new(), Settings::default())];
    let networks = if asked.networks.is_empty() {
        &default[..]
    } else {
        &asked.networks[..]
    };
    let mut attachments = BTreeMap::new();
    let mut first = None;
    for (typed, settings) in networks {
        let special = match typed.as_str() {
            "none" => Some(Mode::None),
            "host" => Some(Mode::Host),
            typed => match typed.strip_prefix("container:") {
                Some("") => {
                    let message = "Invalid network mode: invalid container format container:<name|id>";
                    return Err(Error::bad_request(message));
                }
                Some(target) => Some(Mode::Container(state.container(target)?.id.clone())),
                None if typed == "container" => {
                    let message = "Invalid network mode: invalid container format container:<name|id>";
                    return Err(Error::bad_request(message));
                }
                None => None,
            },
        };
        if let Some(mode) = special {
            if networks.len() > 1 {
                return Err(Error::bad_request(
                    "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
                ));
            }
            check_unattached(settings)?;
            return Ok((mode, attachments));
        }
        let name = match typed.as_str() {
            "" | "default" => "bridge".to_owned(),
            typed => state
                .network(typed)
                .map_or(typed.to_owned(), |network| network.name.clone()),
        };
        if attachments.insert(name.clone(), settings.clone()).is_some() {
            return Err(Error::bad_request(format!(
                "network {name:?} is specified multiple times"
            )));
        }
        first.get_or_insert(name);
    }
    Ok((Mode::Networks(first.unwrap_or_default()), attachments))
}

/// Without a network of its own a container cannot have an address or an alias there.
fn check_unattached(settings: &Settings) -> Result<()> {
    if settings.ip.or(settings.ip6).is_some() {
        return Err(Error::bad_request(
            "user specified IP address is supported on user defined networks only",
        ));
    }
    if !settings.aliases.is_empty() {
        return Err(Error::bad_request(
            "network-scoped alias is supported only for containers in user defined networks",
        ));
    }
    Ok(())
}

/// What does not go with `--network host` and `--network container:X`, in the engine's order
/// (`validateNetMode`).
fn check_conflicts(mode: &Mode, asked: &ContainerCreate) -> Result<()> {
    let mac = asked.networks.iter().any(|(_, settings)| settings.mac.is_some());
    let message = match mode {
        Mode::Container(_) => [
            (!asked.hostname.is_empty(), "conflicting options: hostname and the network mode"),
            (
                !asked.links.is_empty(),
                "conflicting options: container type network can't be used with links. This would result in undefined behavior",
            ),
            (
                !(asked.dns.is_empty() && asked.dns_search.is_empty() && asked.dns_options.is_empty()),
                "conflicting options: dns and the network mode",
            ),
            (
                !asked.extra_hosts.is_empty(),
                "conflicting options: custom host-to-IP mapping and the network mode",
            ),
            (mac, "conflicting options: mac-address and the network mode"),
            (!asked.egress.is_empty(), "conflicting options: egress and the network mode"),
            (
                !asked.publish.is_empty() || asked.publish_all,
                "conflicting options: port publishing and the container type network mode",
            ),
            (
                !asked.expose.is_empty(),
                "conflicting options: port exposing and the container type network mode",
            ),
        ]
        .into_iter()
        .find_map(|(conflict, message)| conflict.then_some(message)),
        Mode::Host if mac => Some("conflicting options: mac-address and the network mode"),
        Mode::Host if !asked.egress.is_empty() => Some("conflicting options: egress and the network mode"),
        Mode::Host if !asked.links.is_empty() => Some(HOST_LINKS),
        Mode::None if mac => return Err(no_effect("--mac-address with --network none")),
        Mode::Host | Mode::None | Mode::Networks(_) => None,
    };
    message.map_or(Ok(()), |message| Err(Error::bad_request(message)))
}

fn process(asked: &ContainerCreate) -> Result<Process> {
    if asked.command.is_empty() {
        return Err(Error::bad_request("No command specified"));
    }
    let each = |list: &[String], check: fn(&str) -> Result<String>| {
        list.iter().map(|text| check(text)).collect::<Result<Vec<String>>>()
    };
    let mut exposed = Vec::new();
    for text in &asked.expose {
        exposed.extend(parse::expose(text)?);
    }
    exposed.sort();
    exposed.dedup();
    let process = Process {
        command: asked.command.clone(),
        environment: each(&asked.environment, parse::variable)?,
        directory: Some(asked.directory.clone()).filter(|directory| !directory.is_empty()),
        user: Some(asked.user.clone()).filter(|user| !user.is_empty()),
        terminal: asked.terminal,
        interactive: asked.interactive,
        binds: each(&asked.binds, parse::bind)?,
        extra_hosts: each(&asked.extra_hosts, parse::extra_host)?,
        exposed,
        remove: asked.remove,
        resources: Resources::new(asked.memory, asked.pids_limit)?,
    };
    parse::check_targets(&process.binds)?;
    Ok(process)
}

/// `--link`: on the default network a line in the hosts file, on the first of others a private alias.
fn links(
    state: &State,
    mode: &Mode,
    attachments: &mut BTreeMap<String, Settings>,
    asked: &ContainerCreate,
) -> Result<Vec<Link>> {
    let mut links = Vec::new();
    for text in &asked.links {
        let (name, alias) = parse::link(text)?;
        let not_found = |name: &str, error: Error| {
            // 404 would make the client look for an image
            Error::bad_request(format!("could not get container for {name}: {error}"))
        };
        let mut child = state.container(name).map_err(|error| not_found(name, error))?;
        while let Mode::Container(target) = &child.mode {
            child = state
                .container(&target.0)
                .map_err(|error| not_found(&target.0, error))?;
        }
        if child.mode == Mode::Host {
            return Err(Error::bad_request(HOST_LINKS));
        }
        links.push(Link {
            container: child.id.clone(),
            alias: alias.to_owned(),
        });
    }
    if links.is_empty() || attachments.contains_key("bridge") {
        return Ok(links);
    }
    let Mode::Networks(first) = mode else {
        return Err(no_effect("--link with --network none"));
    };
    if let Some(settings) = attachments.get_mut(first) {
        settings.links.extend(asked.links.iter().cloned());
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests;
