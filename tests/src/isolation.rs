//! The table of `docs/isolation.md`, and the scene in which it is put to the proof: for the switch by
//! `tests/network/isolation_table.rs`, for Docker Engine by `examples/isolation`.

pub mod scene;
pub mod table;

/// Whose containers ask: how their network was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    SameNetwork,
    /// The container that is asked for is on another one.
    OtherNetwork,
    Internal,
    WithoutIcc,
    Isolated,
}

/// What they ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    Container,
    OwnGateway,
    OtherGateway,
    /// On the host's uplink.
    Host,
    /// There, of a container on a network that nobody who asks is on.
    Published,
    Lan,
    Metadata,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
    /// An echo request, of either family.
    Icmp,
}

impl From {
    pub const ALL: [Self; 5] = [
        Self::SameNetwork,
        Self::OtherNetwork,
        Self::Internal,
        Self::WithoutIcc,
        Self::Isolated,
    ];

    /// As the table has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SameNetwork => "same network",
            Self::OtherNetwork => "other network",
            Self::Internal => "internal",
            Self::WithoutIcc => "icc=false",
            Self::Isolated => "isolated",
        }
    }
}

impl To {
    pub const ALL: [Self; 7] = [
        Self::Container,
        Self::OwnGateway,
        Self::OtherGateway,
        Self::Host,
        Self::Published,
        Self::Lan,
        Self::Metadata,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::OwnGateway => "own gateway",
            Self::OtherGateway => "other gateway",
            Self::Host => "host address",
            Self::Published => "published port",
            Self::Lan => "LAN",
            Self::Metadata => "metadata address",
        }
    }
}

impl Protocol {
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Icmp];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }
}
