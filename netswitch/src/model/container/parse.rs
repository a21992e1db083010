//! What `run` takes as text: binds, hosts, links, ports, variables; checked in the engine's words.

use std::net::IpAddr;

use crate::{api::Error, model::network::options::no_effect};

type Result<T> = std::result::Result<T, Error>;

/// Stands for the address of the default network's gateway.
pub const HOST_GATEWAY: &str = "host-gateway";

/// `HOST:CONTAINER[:ro|rw]`, as `HOST:CONTAINER[:ro]`.
pub fn bind(text: &str) -> Result<String> {
    let invalid = |why: &str| Error::bad_request(format!("invalid volume specification: '{text}'{why}"));
    let mut parts = text.split(':');
    let (host, target, mode) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(host), Some(target), mode, None) if !host.is_empty() && !target.is_empty() => {
            (host, target, mode.unwrap_or("rw"))
        }
        _ => return Err(invalid("")),
    };
    let read_only = match mode {
        "ro" => ":ro",
        "rw" => "",
        "z" | "Z" | "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared" | "nocopy" | "consistent"
        | "cached" | "delegated" => return Err(no_effect(&format!("-v {text} ({mode})"))),
        _ => return Err(Error::bad_request(format!("invalid mode: {mode}"))),
    };
    if !host.starts_with('/') {
        return Err(no_effect(&format!("-v {text} (a named volume)")));
    }
    if target.trim_end_matches(['/', '.']).is_empty() {
        return Err(invalid(
            ": invalid mount config for type \"bind\": invalid specification: destination can't be '/'",
        ));
    }
    if !target.starts_with('/') {
        return Err(invalid(&format!(
            ": invalid mount config for type \"bind\": invalid mount path: '{target}' mount path must be absolute"
        )));
    }
    Ok(format!("{host}:{target}{read_only}"))
}

/// Refuses two binds to one place.
pub fn check_targets(binds: &[String]) -> Result<()> {
    let target = |bind: &String| {
        bind.split(':')
            .nth(1)
            .unwrap_or_default()
            .trim_end_matches('/')
            .to_owned()
    };
    let mut targets: Vec<String> = binds.iter().map(target).collect();
    targets.sort();
    match targets.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::bad_request(format!("Duplicate mount point: {}", pair[0]))),
        None => Ok(()),
    }
}

/// `name:address`, the address v4, v6 or `host-gateway`.
pub fn extra_host(text: &str) -> Result<String> {
    let Some((_, address)) = text.split_once(':').filter(|(name, _)| !name.is_empty()) else {
        return Err(Error::bad_request(format!("bad format for add-host: {text:?}")));
    };
    if address != HOST_GATEWAY && address.trim().parse::<IpAddr>().is_err() {
        return Err(Error::bad_request(format!(
            "invalid IP address in add-host: {address:?}"
        )));
    }
    Ok(text.to_owned())
}

/// `container[:alias]`.
pub fn link(text: &str) -> Result<(&str, &str)> {
    let bad = || Error::bad_request(format!("bad format for links: {text}"));
    match text.split_once(':') {
        _ if text.is_empty() => Err(Error::bad_request("empty string specified for links")),
        None => Ok((text, text)),
        Some((name, alias)) if name.is_empty() || alias.is_empty() || alias.contains(':') => Err(bad()),
        Some(parts) => Ok(parts),
    }
}

/// `8080`, `8080/udp` or `8000-8010/tcp`, as `8080/tcp` each.
pub fn expose(text: &str) -> Result<Vec<String>> {
    if text.contains(':') {
        return Err(Error::bad_request(format!("invalid port format for --expose: {text}")));
    }
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = if protocol.is_empty() { "tcp" } else { protocol };
    let bad = |why: String| Error::bad_request(format!("invalid range format for --expose: {text}, error: {why}"));
    if ports.is_empty() {
        return Err(bad("Empty string specified for ports.".into()));
    }
    let port = |port: &str| {
        port.parse::<u16>().map_err(|_| {
            let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            let why = if digits { "value out of range" } else { "invalid syntax" };
            bad(format!("strconv.ParseUint: parsing {port:?}: {why}"))
        })
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last) = (port(first)?, port(last)?);
    if last < first {
        return Err(bad(format!("Invalid range specified for the Port: {ports}")));
    }
    if !matches!(protocol, "tcp" | "udp" | "sctp") {
        return Err(Error::bad_request(format!("Invalid proto: {protocol}")));
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

/// `K=V` or `K`; the client has filled in the value of the latter if it has one.
pub fn variable(text: &str) -> Result<String> {
    if text.is_empty() || text.starts_with('=') {
        return Err(Error::bad_request(format!("invalid environment variable: {text}")));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_are_checked() {
        assert_eq!(bind("/a:/b").unwrap(), "/a:/b");
        assert_eq!(bind("/a:/b:rw").unwrap(), "/a:/b");
        assert_eq!(bind("/a:/b:ro").unwrap(), "/a:/b:ro");
        for (text, message) in [
            ("", "invalid volume specification: ''"),
            ("/a", "invalid volume specification: '/a'"),
            (":/b", "invalid volume specification: ':/b'"),
            ("/a:/b:ro:x", "invalid volume specification: '/a:/b:ro:x'"),
            ("/a:/b:rx", "invalid mode: rx"),
            ("/a:/b:z", "option -v /a:/b:z (z) has no effect yet"),
            ("data:/b", "option -v data:/b (a named volume) has no effect yet"),
            (
                "/a:/",
                "invalid volume specification: '/a:/': invalid mount config for type \"bind\": invalid specification: destination can't be '/'",
            ),
            (
                "/a:b",
                "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount path: 'b' mount path must be absolute",
            ),
        ] {
            assert_eq!(bind(text).unwrap_err().message, message);
        }
        let twice = ["/a:/b".to_owned(), "/c:/b/:ro".to_owned()];
        assert_eq!(check_targets(&twice).unwrap_err().message, "Duplicate mount point: /b");
    }

    #[test]
    fn hosts_are_checked() {
        for good in ["db:10.0.0.1", "db:::1", "up:host-gateway"] {
            assert_eq!(extra_host(good).unwrap(), good);
        }
        assert_eq!(extra_host("db").unwrap_err().message, "bad format for add-host: \"db\"");
        assert_eq!(
            extra_host(":1.2.3.4").unwrap_err().message,
            "bad format for add-host: \":1.2.3.4\""
        );
        assert_eq!(
            extra_host("db:1.2.3").unwrap_err().message,
            "invalid IP address in add-host: \"1.2.3\""
        );
    }

    #[test]
    fn links_are_checked() {
        assert_eq!(link("db"), Ok(("db", "db")));
        assert_eq!(link("db:store"), Ok(("db", "store")));
        assert_eq!(link("").unwrap_err().message, "empty string specified for links");
        for bad in ["a:b:c", ":b", "a:"] {
            assert_eq!(link(bad).unwrap_err().message, format!("bad format for links: {bad}"));
        }
    }

    #[test]
    fn ports_are_expanded() {
        assert_eq!(expose("8080").unwrap(), ["8080/tcp"]);
        assert_eq!(expose("53-55/udp").unwrap(), ["53/udp", "54/udp", "55/udp"]);
        for (text, message) in [
            ("80:80", "invalid port format for --expose: 80:80"),
            (
                "",
                "invalid range format for --expose: , error: Empty string specified for ports.",
            ),
            (
                "x",
                "invalid range format for --expose: x, error: strconv.ParseUint: parsing \"x\": invalid syntax",
            ),
            (
                "70000",
                "invalid range format for --expose: 70000, error: strconv.ParseUint: parsing \"70000\": value out of range",
            ),
            (
                "9-8",
                "invalid range format for --expose: 9-8, error: Invalid range specified for the Port: 9-8",
            ),
            ("80/icmp", "Invalid proto: icmp"),
        ] {
            assert_eq!(expose(text).unwrap_err().message, message);
        }
        assert_eq!(variable("=x").unwrap_err().message, "invalid environment variable: =x");
        assert_eq!(variable("A=b=c").unwrap(), "A=b=c");
    }
}
