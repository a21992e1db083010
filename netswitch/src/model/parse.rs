//! What users write for the values of options, read in one place for the command line, the HTTP door
//! and the rules.

use std::net::IpAddr;

use netswitch_common::address::Mac;

use super::endpoint::parse_mac;
use crate::api::Error;

type Result<T> = std::result::Result<T, Error>;

/// Go's spellings of a truth value (`strconv.ParseBool`).
pub fn boolean(text: &str) -> Result<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Error::bad_request(format!(
            "strconv.ParseBool: parsing {text:?}: invalid syntax"
        ))),
    }
}

/// An interface's MAC, with colons or hyphens; empty for none.
pub fn mac(text: &str) -> Result<Option<Mac>> {
    if text.is_empty() {
        return Ok(None);
    }
    match parse_mac(&text.replace('-', ":")) {
        Some(mac) => Ok(Some(mac)),
        None => Err(Error::bad_request(format!("{text} is not a valid mac address"))),
    }
}

/// An endpoint's IPv4 address; empty for none.
pub fn ipv4(text: &str) -> Result<Option<IpAddr>> {
    address(text, "IPv4", IpAddr::is_ipv4)
}

/// The same for IPv6.
pub fn ipv6(text: &str) -> Result<Option<IpAddr>> {
    address(text, "IPv6", IpAddr::is_ipv6)
}

fn address(text: &str, family: &str, fits: fn(&IpAddr) -> bool) -> Result<Option<IpAddr>> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse().ok().filter(fits) {
        Some(address) => Ok(Some(address)),
        None => Err(Error::bad_request(format!("invalid {family} address: {text}"))),
    }
}

/// `--link-local-ip`s.
pub fn link_local(texts: &[String]) -> Result<Vec<IpAddr>> {
    let parse = |text: &String| {
        text.parse()
            .map_err(|_| Error::bad_request(format!("Invalid link-local IP address: {text}")))
    };
    texts.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_has_colons_or_hyphens() {
        let expected = Some(Mac([2, 0x42, 0xac, 0x11, 0, 3]));
        for text in ["02:42:ac:11:00:03", "02-42-AC-11-00-03"] {
            assert_eq!(mac(text), Ok(expected));
        }
        assert_eq!(mac(""), Ok(None));
        assert_eq!(mac("02:42").unwrap_err().message, "02:42 is not a valid mac address");
    }

    #[test]
    fn an_address_of_the_other_family_is_refused() {
        assert_eq!(ipv4(""), Ok(None));
        assert_eq!(ipv4("10.1.0.9"), Ok(Some([10, 1, 0, 9].into())));
        assert_eq!(ipv4("fd00::9").unwrap_err().message, "invalid IPv4 address: fd00::9");
        assert_eq!(ipv6("10.1.0.9").unwrap_err().message, "invalid IPv6 address: 10.1.0.9");
        let link_locals = ["fe80::9".to_owned(), "x".to_owned()];
        assert_eq!(
            link_local(&link_locals).unwrap_err().message,
            "Invalid link-local IP address: x"
        );
    }
}
