//! Values of options, read and refused as Docker's client does.

use std::collections::BTreeMap;

use super::failure::Failure;
use crate::api::Filters;
use crate::model::{
    container,
    endpoint::openings::{ADDRESSES, ROUTER},
    parse,
    policy::Leash,
};

/// What an endpoint may do beyond the usual: short forms of `--driver-opt`.
#[derive(Debug, Default, clap::Args)]
pub struct Openings {
    /// Addresses of the network, reserved with --aux-address, that the container may have, separated by commas
    #[arg(long, value_name = "list", value_delimiter = ',')]
    extra_address: Vec<String>,
    /// Let the container forward packets to its neighbours
    #[arg(long)]
    router: bool,
}

impl Openings {
    pub fn options(&self) -> BTreeMap<String, String> {
        let mut options = BTreeMap::new();
        if self.router {
            options.insert(ROUTER.to_owned(), "true".to_owned());
        }
        if !self.extra_address.is_empty() {
            options.insert(ADDRESSES.to_owned(), self.extra_address.join(","));
        }
        options
    }
}

/// Go's spellings of a truth value.
pub fn boolean(text: &str) -> Result<bool, String> {
    parse::boolean(text).map_err(|error| error.message)
}

pub fn integer(text: &str) -> Result<i64, String> {
    text.parse()
        .map_err(|_| format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
}

/// `name=value` of `--filter`; an empty one counts for nothing.
pub fn filter(text: &str) -> Result<(String, String), String> {
    if text.is_empty() {
        return Ok((String::new(), String::new()));
    }
    let (name, value) = text
        .split_once('=')
        .ok_or("bad format of filter (expected name=value)")?;
    Ok((name.trim().to_lowercase(), value.trim().to_owned()))
}

pub fn filters(filters: Vec<(String, String)>) -> Filters {
    let mut gathered = Filters::new();
    for (name, value) in filters.into_iter().filter(|(name, _)| !name.is_empty()) {
        gathered.entry(name).or_default().push(value);
    }
    gathered
}

/// `--label name[=value]`.
pub fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = pair(text);
    let name = name.trim_start_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    if name.is_empty() {
        return Err(format!("invalid label '{text}': empty name"));
    }
    if name.contains(char::is_whitespace) {
        return Err(format!("label '{name}' contains whitespaces"));
    }
    Ok((name.to_owned(), value))
}

/// `key[=value]` of a map option such as `--opt`.
pub fn entry(text: &str) -> Result<(String, String), String> {
    Ok(pair(text))
}

fn pair(text: &str) -> (String, String) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    (key.to_owned(), value.to_owned())
}

/// The last value of a key wins.
pub fn map(pairs: Vec<(String, String)>) -> BTreeMap<String, String> {
    pairs.into_iter().collect()
}

/// `-e NAME=value`; a `NAME` alone is taken from the caller's environment, or left out.
pub fn variable(text: &str) -> Result<String, String> {
    let text = container::parse::variable(text).map_err(|error| error.message)?;
    Ok(match text.split_once('=') {
        Some(_) => text,
        None => std::env::var(&text).map_or_else(|_| String::new(), |value| format!("{text}={value}")),
    })
}

/// Drops what [`variable`] found nothing for.
pub fn variables(variables: Vec<String>) -> Vec<String> {
    variables.into_iter().filter(|variable| !variable.is_empty()).collect()
}

/// `--add-host name:address`, or `name:host-gateway`.
pub fn extra_host(text: &str) -> Result<String, String> {
    container::parse::extra_host(text).map_err(|error| error.message)
}

/// `--dns`.
pub fn name_server(text: &str) -> Result<String, String> {
    let server = container::dns::server(text).map_err(|error| error.message)?;
    Ok(server.to_string())
}

/// `--egress`.
pub fn egress(text: &str) -> Result<String, String> {
    text.parse().map(|leash: Leash| leash.to_string())
}

/// `--dns-search`.
pub fn search_domain(text: &str) -> Result<String, String> {
    container::dns::domain(text).map_err(|error| error.message)
}

/// A terminal is asked for, and standard input is none.
pub fn check_terminal(interactive: bool, terminal: bool) -> Result<(), Failure> {
    use std::io::IsTerminal as _;
    if interactive && terminal && !std::io::stdin().is_terminal() {
        return Err(Failure::new("the input device is not a TTY"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_refused_in_dockers_words() {
        assert_eq!(filter("driver=bridge"), Ok(("driver".into(), "bridge".into())));
        assert_eq!(
            filter("driver").unwrap_err(),
            "bad format of filter (expected name=value)"
        );
        assert_eq!(label("a"), Ok(("a".into(), String::new())));
        assert_eq!(label("=").unwrap_err(), "invalid label '=': empty name");
        assert_eq!(label("a b=c").unwrap_err(), "label 'a b' contains whitespaces");
        assert_eq!(variable("=x").unwrap_err(), "invalid environment variable: =x");
        assert_eq!(extra_host("db:10.0.0.1"), Ok("db:10.0.0.1".into()));
        assert_eq!(extra_host("db:fd00::1"), Ok("db:fd00::1".into()));
        assert_eq!(extra_host("up:host-gateway"), Ok("up:host-gateway".into()));
        assert_eq!(
            extra_host("foo:bar").unwrap_err(),
            "invalid IP address in add-host: \"bar\""
        );
    }

    #[test]
    fn filters_of_one_key_are_alternatives() {
        let given = ["driver=bridge", "name=a", "driver=host", ""].map(|text| filter(text).unwrap());
        let filters = filters(given.into());
        assert_eq!(filters["driver"], ["bridge", "host"]);
        assert_eq!(filters.len(), 2);
    }
}
