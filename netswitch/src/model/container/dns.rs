//! `--dns`, `--dns-search` and `--dns-option` of a container.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::api::Error;

type Result<T> = std::result::Result<T, Error>;

/// Of a whole name (RFC 1035, 2.3.4).
const DOMAIN_MAX: usize = 255;

/// Empty lists leave it to the host's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    pub servers: Vec<IpAddr>,
    /// `.` alone: none, whatever the host has.
    pub search: Vec<String>,
    pub options: Vec<String>,
}

impl Dns {
    pub fn parse(servers: &[String], search: &[String], options: &[String]) -> Result<Self> {
        Ok(Self {
            servers: servers.iter().map(|text| server(text)).collect::<Result<_>>()?,
            search: search.iter().map(|text| domain(text)).collect::<Result<_>>()?,
            options: options.to_vec(),
        })
    }

    pub const fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.search.is_empty() && self.options.is_empty()
    }
}

/// In the engine's words (`ValidateIPAddress`).
pub fn server(text: &str) -> Result<IpAddr> {
    let address = text.trim().parse();
    address.map_err(|_| Error::bad_request(format!("{text} is not an ip address")))
}

/// A domain to search, or `.` for none (`ValidateDNSSearch`).
pub fn domain(text: &str) -> Result<String> {
    let name = text.trim_matches(' ');
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let labels = name.strip_suffix('.').unwrap_or(name);
    let is_domain = labels.len() < DOMAIN_MAX
        && labels.bytes().any(|byte| byte.is_ascii_alphabetic())
        && labels.split('.').all(label);
    if name == "." {
        Ok(name.to_owned())
    } else if is_domain {
        Ok(labels.to_owned())
    } else {
        Err(Error::bad_request(format!("{text} is not a valid domain")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_domains_are_checked_in_dockers_words() {
        assert_eq!(server(" 10.0.0.1 "), Ok([10, 0, 0, 1].into()));
        assert_eq!(server("dns").unwrap_err().message, "dns is not an ip address");
        for (good, kept) in [("lan", "lan"), ("a.example.com.", "a.example.com"), (".", ".")] {
            assert_eq!(domain(good).as_deref(), Ok(kept));
        }
        for bad in ["", "-a", "a..b", "10.0", "a_b", &"a".repeat(255)] {
            assert_eq!(domain(bad).unwrap_err().message, format!("{bad} is not a valid domain"));
        }
    }
}
