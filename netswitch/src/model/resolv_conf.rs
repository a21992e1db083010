//! `resolv.conf(5)`: read as glibc reads it, written as libnetwork writes it.

use std::fmt;
use std::time::Duration;

use super::name_server::NameServer;

/// Name servers beyond this many are not asked (`MAXNS`).
const SERVERS_MAX: usize = 3;
/// Options are cut to these (`RES_MAXRETRANS`, `RES_MAXRETRY`).
const TIMEOUT_MAX: u64 = 30;
const ATTEMPTS_MAX: u32 = 5;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResolvConf {
    pub servers: Vec<NameServer>,
    pub search: Vec<String>,
    pub options: Vec<String>,
}

/// How servers are asked, as `options` say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asking {
    /// For one server, until the next is asked.
    pub timeout: Option<Duration>,
    /// How often each is asked.
    pub attempts: Option<u32>,
    /// Each question begins with another server.
    pub rotates: bool,
    pub by_tcp_alone: bool,
    /// With room for longer answers.
    pub with_edns: bool,
    /// What they say of an answer's authenticity may be believed, and so is asked for.
    pub trusts: bool,
}

impl ResolvConf {
    /// What cannot be understood is passed over.
    pub fn parse(text: &str) -> Self {
        let mut parsed = Self::default();
        for line in text.lines() {
            let mut words = line.split(['#', ';']).next().unwrap_or_default().split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server: Option<NameServer> = words.next().and_then(|word| word.parse().ok());
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

    /// What the options say about asking; the last one of a kind counts.
    pub fn asking(&self) -> Asking {
        let mut asking = Asking::default();
        for option in &self.options {
            match option.split_once(':').unwrap_or((option, "")) {
                ("timeout", seconds) => {
                    let seconds: Option<u64> = seconds.parse().ok();
                    asking.timeout = seconds.map(|seconds| Duration::from_secs(seconds.clamp(1, TIMEOUT_MAX)));
                }
                ("attempts", times) => {
                    let times: Option<u32> = times.parse().ok();
                    asking.attempts = times.map(|times| times.clamp(1, ATTEMPTS_MAX));
                }
                ("rotate", _) => asking.rotates = true,
                ("use-vc", _) => asking.by_tcp_alone = true,
                ("edns0", _) => asking.with_edns = true,
                ("trust-ad", _) => asking.trusts = true,
                _ => {}
            }
        }
        asking
    }

    /// Servers behind those that it has, as many as are asked at all.
    pub fn add_servers(&mut self, others: impl IntoIterator<Item = NameServer>) {
        for other in others {
            if self.servers.len() < SERVERS_MAX && !self.servers.contains(&other) {
                self.servers.push(other);
            }
        }
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
            ["127.0.0.53", "::1", "fe80::1%eth0"].map(|server| server.parse().unwrap())
        );
        assert_eq!(parsed.search, ["lan", "example.com"]);
        assert_eq!(parsed.options, ["ndots:1", "timeout:2"]);
        let written = "search lan example.com\nnameserver 127.0.0.53\nnameserver ::1\nnameserver fe80::1%eth0\n\
                       options ndots:1 timeout:2\n";
        assert_eq!(parsed.to_string(), written);
        assert_eq!(ResolvConf::parse(written), parsed);
        assert_eq!(ResolvConf::parse("").to_string(), "");
    }
    #[test]
    fn options_say_how_servers_are_asked() {
        let asking = |options: &str| ResolvConf::parse(&format!("options {options}")).asking();
        let usual = Asking::default();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(asking("ndots:2 debug timeout attempts:x timeout:-1"), usual);
        for (options, timeout, attempts) in [
            ("timeout:3", seconds(3), None),
            ("timeout:99 attempts:99", seconds(30), Some(5)),
            ("timeout:0 attempts:0", seconds(1), Some(1)),
            ("timeout:9 attempts:2 timeout:4", seconds(4), Some(2)),
        ] {
            let asking = asking(options);
            assert_eq!((asking.timeout, asking.attempts), (timeout, attempts), "{options}");
        }
        let flags = |options: &str| {
            let asking = asking(options);
            [asking.rotates, asking.by_tcp_alone, asking.with_edns, asking.trusts]
        };
        for (options, expected) in [
            ("rotate", [true, false, false, false]),
            ("use-vc", [false, true, false, false]),
            ("edns0", [false, false, true, false]),
            ("trust-ad", [false, false, false, true]),
            ("edns0 rotate trust-ad use-vc", [true; 4]),
            ("no-aaaa single-request", [false; 4]),
        ] {
            assert_eq!(flags(options), expected, "{options}");
        }
    }

    #[test]
    fn further_servers_stand_behind_and_none_twice() {
        let mut conf = ResolvConf::parse("nameserver 10.0.0.1");
        conf.add_servers(["10.0.0.2", "10.0.0.1", "10.0.0.3", "10.0.0.4"].map(|server| server.parse().unwrap()));
        let servers: Vec<String> = conf.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    }
}
