//! `-o` of a bridge network: read with the engine's words, refused by name where it has no effect.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::gateway::{Gateway, Mode};
use netswitch_common::endpoint::flags;

use crate::{
    api::{Error, ErrorKind},
    model::{endpoint::openings::Openings, parse, policy::Leash},
};

type Result<T> = std::result::Result<T, Error>;

pub const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
pub const ENABLE_ICC: &str = "com.docker.network.bridge.enable_icc";
pub const ENABLE_MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
pub const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";
pub const GATEWAY_MODE_V4: &str = "com.docker.network.bridge.gateway_mode_ipv4";
pub const GATEWAY_MODE_V6: &str = "com.docker.network.bridge.gateway_mode_ipv6";
pub const HOST_V4: &str = "com.docker.network.host_ipv4";
pub const HOST_V6: &str = "com.docker.network.host_ipv6";
pub const TRUSTED_INTERFACES: &str = "com.docker.network.bridge.trusted_host_interfaces";
pub const DEFAULT_BRIDGE: &str = "com.docker.network.bridge.default_bridge";
pub const MTU: &str = "com.docker.network.driver.mtu";
/// `network create --host-names`.
pub const HOST_NAMES: &str = "netswitch.host_names";
pub const EGRESS: &str = "netswitch.egress";

pub const DEFAULT_MTU: u32 = 1500;
/// RFC 791: every host takes 68 bytes. RFC 8200: every IPv6 link carries 1280.
const SMALLEST_MTU: u32 = 68;
const SMALLEST_MTU_V6: u32 = 1280;
const LARGEST_MTU: u32 = 65_535;
/// `netswitch.big_tcp=true`: the size from which more brings little (docs/decisions).
const BIG_TCP: u32 = 192 * 1024;
/// Below is no big TCP; above the kernel refuses (`GSO_MAX_SIZE`, 8 × 65535).
const BIG_TCP_RANGE: std::ops::RangeInclusive<u32> = 65_537..=524_280;

/// The options, read.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    pub host_end: Option<String>,
    pub mtu: u32,
    pub icc: bool,
    pub big_tcp: Option<u32>,
    pub allow: u32,
    pub closed: u32,
    pub gateway: Gateway,
    pub trusted: Vec<String>,
    pub name_servers: Vec<IpAddr>,
    pub host_names: bool,
    pub egress: Option<Leash>,
    pub openings: Openings,
}

pub fn parse(options: &BTreeMap<String, String>, ipv6: bool) -> Result<Options> {
    let mut parsed = Options {
        host_end: None,
        mtu: DEFAULT_MTU,
        icc: true,
        big_tcp: None,
        allow: 0,
        closed: 0,
        gateway: Gateway::default(),
        trusted: Vec::new(),
        name_servers: Vec::new(),
        host_names: false,
        egress: None,
        openings: Openings::default(),
    };
    for (key, value) in options {
        let allow = |flag: u32| Ok::<_, Error>(if boolean(key, value)? { flag } else { 0 });
        match key.as_str() {
            BRIDGE_NAME => parsed.host_end = Some(device_name(value)?).filter(|name| !name.is_empty()),
            MTU => parsed.mtu = mtu(value)?,
            ENABLE_ICC => parsed.icc = boolean(key, value)?,
            ENABLE_MASQUERADE => parsed.gateway.masquerade = boolean(key, value)?,
            HOST_BINDING => parsed.gateway.host_binding = Some(address(key, value, |_| true)?),
            HOST_V4 => parsed.gateway.source_v4 = Some(address(key, value, IpAddr::is_ipv4)?),
            HOST_V6 => parsed.gateway.source_v6 = Some(address(key, value, IpAddr::is_ipv6)?),
            GATEWAY_MODE_V4 => parsed.gateway.mode_v4 = gateway_mode(key, value)?,
            GATEWAY_MODE_V6 => parsed.gateway.mode_v6 = gateway_mode(key, value)?,
            TRUSTED_INTERFACES => parsed.trusted = names(value),
            HOST_NAMES => parsed.host_names = boolean(key, value)?,
            EGRESS => parsed.egress = Some(value.parse().map_err(|error: String| unreadable(key, value, &error))?),
            "netswitch.dns" => parsed.name_servers = name_servers(key, value)?,
            "netswitch.host_access" => parsed.closed |= host_access(key, value)?,
            "netswitch.metadata" => parsed.closed |= metadata(key, value)?,
            "netswitch.big_tcp" => parsed.big_tcp = big_tcp(key, value)?,
            "netswitch.allow_vlan" => parsed.allow |= allow(flags::ALLOW_VLAN)?,
            "netswitch.allow_link_control" => parsed.allow |= allow(flags::ALLOW_LINK_CONTROL)?,
            "netswitch.allow_router_advertisement" => parsed.allow |= allow(flags::ALLOW_ROUTER_ADVERTISEMENT)?,
            "netswitch.allow_dhcp_server" => parsed.allow |= allow(flags::ALLOW_DHCP_SERVER)?,
            _ if parsed.openings.read(key, value)? => {}
            _ => return Err(no_effect(key)),
        }
    }
    let smallest = if ipv6 { SMALLEST_MTU_V6 } else { SMALLEST_MTU };
    if !(smallest..=LARGEST_MTU).contains(&parsed.mtu) {
        return Err(Error::bad_request(format!("invalid MTU number: {}", parsed.mtu)));
    }
    Ok(parsed)
}

/// The one way in which something that is not built yet is refused.
pub fn no_effect(option: &str) -> Error {
    Error::new(ErrorKind::NotImplemented, format!("option {option} has no effect yet"))
}

pub fn unreadable(key: &str, value: &str, why: &str) -> Error {
    Error::bad_request(format!("failed to parse {key} value: {value} ({why})"))
}

pub fn boolean(key: &str, value: &str) -> Result<bool> {
    parse::boolean(value).map_err(|error| unreadable(key, value, &error.message))
}

pub fn address(key: &str, value: &str, fits: fn(&IpAddr) -> bool) -> Result<IpAddr> {
    let address = value.parse().ok().filter(fits);
    address.ok_or_else(|| unreadable(key, value, "nil ip"))
}

/// Addresses between commas.
fn name_servers(key: &str, value: &str) -> Result<Vec<IpAddr>> {
    value
        .split(',')
        .map(|server| address(key, server.trim(), |_| true))
        .collect()
}

/// Names of devices between colons. The engine takes any.
fn names(value: &str) -> Vec<String> {
    let names = value.split(':').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

fn gateway_mode(key: &str, value: &str) -> Result<Mode> {
    match value {
        "" | "nat" => Ok(Mode::Nat),
        "routed" => Ok(Mode::Routed),
        "isolated" => Ok(Mode::Isolated),
        "nat-unprotected" => Ok(Mode::Unprotected),
        _ => Err(unreadable(key, value, &format!("unknown gateway mode {value}"))),
    }
}

/// How much of the host is closed.
fn host_access(key: &str, value: &str) -> Result<u32> {
    match value {
        "all" => Ok(0),
        "dns" => Ok(flags::NO_HOST_V4 | flags::NO_HOST_V6 | flags::MAY_ASK),
        "none" => Ok(flags::NO_HOST_V4 | flags::NO_HOST_V6),
        _ => Err(unreadable(key, value, "must be all, dns or none")),
    }
}

fn metadata(key: &str, value: &str) -> Result<u32> {
    match value {
        "allow" => Ok(0),
        "deny" => Ok(flags::NO_METADATA),
        _ => Err(unreadable(key, value, "must be allow or deny")),
    }
}

fn mtu(value: &str) -> Result<u32> {
    let number: i64 = value
        .parse()
        .map_err(|_| unreadable(MTU, value, &format!("strconv.Atoi: parsing {value:?}: invalid syntax")))?;
    match number {
        0 => Ok(DEFAULT_MTU),
        _ => u32::try_from(number).map_err(|_| Error::bad_request(format!("invalid MTU number: {number}"))),
    }
}

/// `true`, `false` or a number of bytes.
fn big_tcp(key: &str, value: &str) -> Result<Option<u32>> {
    match value.parse() {
        Ok(bytes) if BIG_TCP_RANGE.contains(&bytes) => Ok(Some(bytes)),
        Ok(bytes) if bytes > 1 => Err(unreadable(
            key,
            value,
            &format!(
                "must be true, false or {} to {} bytes",
                BIG_TCP_RANGE.start(),
                BIG_TCP_RANGE.end()
            ),
        )),
        _ => Ok(boolean(key, value)?.then_some(BIG_TCP)),
    }
}

/// What the kernel takes as a device's name (`dev_valid_name`).
fn device_name(name: &str) -> Result<String> {
    let valid = name.len() < 16
        && !matches!(name, "." | "..")
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'%'));
    if valid {
        Ok(name.to_owned())
    } else {
        Err(Error::bad_request(format!("invalid device name {name:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)], ipv6: bool) -> Result<Options> {
        parse(
            &pairs
                .iter()
                .map(|(key, value)| ((*key).into(), (*value).into()))
                .collect(),
            ipv6,
        )
    }

    #[test]
    fn options_are_read() {
        let options = read(
            &[
                (BRIDGE_NAME, "br0"),
                (ENABLE_ICC, "false"),
                (ENABLE_MASQUERADE, "true"),
                (HOST_BINDING, "0.0.0.0"),
                (MTU, "9000"),
                ("netswitch.dns", "192.0.2.53, fd00::53"),
                (HOST_NAMES, "true"),
                (TRUSTED_INTERFACES, ":wg0::a-name-that-no-device-has:"),
                ("netswitch.big_tcp", "true"),
                ("netswitch.allow_vlan", "1"),
                ("netswitch.allow_link_control", "0"),
                ("netswitch.allow_dhcp_server", "true"),
                (EGRESS, "*.example.org:443"),
                ("netswitch.host_access", "dns"),
                ("netswitch.metadata", "deny"),
            ],
            true,
        );
        let allow = flags::ALLOW_VLAN | flags::ALLOW_DHCP_SERVER;
        let expected = Options {
            host_end: Some("br0".into()),
            mtu: 9000,
            icc: false,
            big_tcp: Some(196_608),
            allow,
            closed: flags::NO_HOST_V4 | flags::NO_HOST_V6 | flags::MAY_ASK | flags::NO_METADATA,
            gateway: Gateway {
                host_binding: Some([0, 0, 0, 0].into()),
                ..Gateway::default()
            },
            trusted: vec!["wg0".into(), "a-name-that-no-device-has".into()],
            name_servers: vec![[192, 0, 2, 53].into(), "fd00::53".parse().unwrap()],
            host_names: true,
            egress: Some("*.example.org:443".parse().unwrap()),
            openings: Openings::default(),
        };
        assert_eq!(options, Ok(expected));
        assert_eq!(
            read(&[("netswitch.big_tcp", "131072")], false).unwrap().big_tcp,
            Some(131_072)
        );
        let none = read(&[("netswitch.host_access", "none")], false).unwrap().closed;
        assert_eq!(none, flags::NO_HOST_V4 | flags::NO_HOST_V6);
        let open = [("netswitch.host_access", "all"), ("netswitch.metadata", "allow")];
        assert_eq!(read(&open, false).unwrap().closed, 0);
        assert_eq!(read(&[("netswitch.big_tcp", "0")], false).unwrap().big_tcp, None);
        assert_eq!(read(&[(MTU, "0")], false).unwrap().mtu, 1500);
        assert_eq!(read(&[(BRIDGE_NAME, "")], false).unwrap().host_end, None);
    }

    #[test]
    fn options_of_the_gateway_are_read() {
        let gateway = read(
            &[
                (ENABLE_MASQUERADE, "false"),
                (HOST_BINDING, "127.0.0.1"),
                (HOST_V4, "192.0.2.7"),
                (HOST_V6, "2001:db8::7"),
                (GATEWAY_MODE_V4, "nat-unprotected"),
                (GATEWAY_MODE_V6, "routed"),
            ],
            true,
        );
        let expected = Gateway {
            masquerade: false,
            host_binding: Some([127, 0, 0, 1].into()),
            source_v4: Some([192, 0, 2, 7].into()),
            source_v6: Some("2001:db8::7".parse().unwrap()),
            mode_v4: Mode::Unprotected,
            mode_v6: Mode::Routed,
        };
        assert_eq!(gateway.unwrap().gateway, expected);
    }

    #[test]
    fn what_cannot_be_read_is_refused_in_dockers_words() {
        for (key, value, message) in [
            (
                ENABLE_ICC,
                "maybe",
                "failed to parse com.docker.network.bridge.enable_icc value: maybe (strconv.ParseBool: parsing \"maybe\": invalid syntax)",
            ),
            (
                MTU,
                "big",
                "failed to parse com.docker.network.driver.mtu value: big (strconv.Atoi: parsing \"big\": invalid syntax)",
            ),
            (MTU, "-1", "invalid MTU number: -1"),
            (MTU, "67", "invalid MTU number: 67"),
            (MTU, "65536", "invalid MTU number: 65536"),
            (
                HOST_BINDING,
                "x",
                "failed to parse com.docker.network.bridge.host_binding_ipv4 value: x (nil ip)",
            ),
            (
                HOST_V4,
                "fd00::1",
                "failed to parse com.docker.network.host_ipv4 value: fd00::1 (nil ip)",
            ),
            (
                GATEWAY_MODE_V6,
                "bridged",
                "failed to parse com.docker.network.bridge.gateway_mode_ipv6 value: bridged (unknown gateway mode bridged)",
            ),
            (
                BRIDGE_NAME,
                "sixteen-letters-",
                "invalid device name \"sixteen-letters-\"",
            ),
            (BRIDGE_NAME, "a/b", "invalid device name \"a/b\""),
            (
                "netswitch.host_access",
                "some",
                "failed to parse netswitch.host_access value: some (must be all, dns or none)",
            ),
            (
                "netswitch.metadata",
                "",
                "failed to parse netswitch.metadata value:  (must be allow or deny)",
            ),
            (
                "netswitch.big_tcp",
                "600000",
                "failed to parse netswitch.big_tcp value: 600000 (must be true, false or 65537 to 524280 bytes)",
            ),
        ] {
            assert_eq!(read(&[(key, value)], false).unwrap_err(), Error::bad_request(message));
        }
        assert_eq!(
            read(&[(MTU, "1279")], true).unwrap_err().message,
            "invalid MTU number: 1279"
        );
        assert_eq!(read(&[(MTU, "1279")], false).unwrap().mtu, 1279);
    }

    #[test]
    fn what_has_no_effect_is_refused_by_name() {
        for (key, value, message) in [
            (
                "com.docker.network.bridge.inhibit_ipv4",
                "true",
                "option com.docker.network.bridge.inhibit_ipv4 has no effect yet",
            ),
            ("parent", "eth0", "option parent has no effect yet"),
        ] {
            assert_eq!(
                read(&[(key, value)], false),
                Err(Error::new(ErrorKind::NotImplemented, message))
            );
        }
    }
}
