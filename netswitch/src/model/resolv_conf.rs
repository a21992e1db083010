//! `resolv.conf(5)`: read as glibc reads it, written as libnetwork writes it.

use std::fmt;
use std::net::IpAddr;

/// Name servers beyond this many are not asked (`MAXNS`).
const SERVERS_MAX: usize = 3;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// Without those that need a zone (`fe80::1%eth0`).
    pub servers: Vec<IpAddr>,
    pub search: Vec<String>,
    pub options: Vec<String>,
}

impl ResolvConf {
    /// What cannot be understood is passed over.
    pub fn parse(text: &str) -> Self {
        let mut parsed = Self::default();
        for line in text.lines() {
            let mut words = line.split(['#', ';']).next().unwrap_or_default().split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server: Option<IpAddr> = words.next().and_then(|word| word.parse().ok());
                    parsed.servers.extend(server);
                }
                // the last line counts
                Some("search" | "domain") => parsed.search = words.map(str::to_owned).collect(),
                Some("options") => parsed.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        parsed.servers.truncate(SERVERS_MAX);
        parsed
    }
}

impl fmt::Display for ResolvConf {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.search.is_empty() {
            writeln!(out, "search {}", self.search.join(" "))?;
        }
        for server in &self.servers {
            writeln!(out, "nameserver {server}")?;
        }
        if !self.options.is_empty() {
            writeln!(out, "options {}", self.options.join(" "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_glibc_takes_is_taken() {
        let text = "# made by hand\ndomain old\nsearch lan example.com # two\nnameserver 127.0.0.53\nnameserver ::1\n\
                    nameserver fe80::1%eth0\nnameserver nonsense\nnameserver 10.0.0.1\nnameserver 10.0.0.2\n\
                    options ndots:1\n options timeout:2 ; more\nsortlist 10.0.0.0";
        let parsed = ResolvConf::parse(text);
        assert_eq!(
            parsed.servers,
            ["127.0.0.53", "::1", "10.0.0.1"].map(|server| server.parse::<IpAddr>().unwrap())
        );
        assert_eq!(parsed.search, ["lan", "example.com"]);
        assert_eq!(parsed.options, ["ndots:1", "timeout:2"]);
        let written = "search lan example.com\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 10.0.0.1\n\
                       options ndots:1 timeout:2\n";
        assert_eq!(parsed.to_string(), written);
        assert_eq!(ResolvConf::parse(written), parsed);
        assert_eq!(ResolvConf::parse("").to_string(), "");
    }
}
