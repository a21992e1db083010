//! A network as Go's template engine sees it: Docker's structures, which print otherwise than maps and whose fields are
//! there where JSON leaves them out.

use crate::cli::template::value::Shape;

const TEXTS: Shape = Shape::Map(&Shape::Text);

pub const NETWORK: Shape = Shape::Struct(&[
    ("Name", "Name", Shape::Any),
    ("ID", "Id", Shape::Any),
    ("Created", "Created", Shape::Time),
    ("Scope", "Scope", Shape::Any),
    ("Driver", "Driver", Shape::Any),
    ("EnableIPv4", "EnableIPv4", Shape::Any),
    ("EnableIPv6", "EnableIPv6", Shape::Any),
    ("IPAM", "IPAM", IPAM),
    ("Internal", "Internal", Shape::Any),
    ("Attachable", "Attachable", Shape::Any),
    ("Ingress", "Ingress", Shape::Any),
    (
        "ConfigFrom",
        "ConfigFrom",
        Shape::Struct(&[("Network", "Network", Shape::Text)]),
    ),
    ("ConfigOnly", "ConfigOnly", Shape::Any),
    ("Containers", "Containers", Shape::Map(&ENDPOINT)),
    ("Options", "Options", TEXTS),
    ("Labels", "Labels", TEXTS),
    ("Peers", "Peers", Shape::List(&Shape::Any)),
    ("Services", "Services", Shape::Map(&Shape::Any)),
]);

const IPAM: Shape = Shape::Struct(&[
    ("Driver", "Driver", Shape::Text),
    ("Options", "Options", TEXTS),
    ("Config", "Config", Shape::List(&POOL)),
]);

const POOL: Shape = Shape::Struct(&[
    ("Subnet", "Subnet", Shape::Text),
    ("IPRange", "IPRange", Shape::Text),
    ("Gateway", "Gateway", Shape::Text),
    ("AuxAddress", "AuxiliaryAddresses", TEXTS),
]);

const ENDPOINT: Shape = Shape::Struct(&[
    ("Name", "Name", Shape::Text),
    ("EndpointID", "EndpointID", Shape::Text),
    ("MacAddress", "MacAddress", Shape::Text),
    ("IPv4Address", "IPv4Address", Shape::Text),
    ("IPv6Address", "IPv6Address", Shape::Text),
]);
