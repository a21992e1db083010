//! Real name servers behind the agent and real resolvers before it: what is asked through it is as what is asked
//! directly.

use std::fs;
use std::net::UdpSocket;

use tests::question::{A, AAAA, ANY, ASKED, PTR, TXT, message};
use tests::world::{LAN, World, eventually};

use super::docker_client::docker;
use super::names_forward::{dig, resolving};
use super::names_kernel::{ask, socket};
use super::names_questions::{PROGRAM, build, compile};
use super::words;

const CNAME: u16 = 5;
const NS: u16 = 2;
const SOA: u16 = 6;
const MX: u16 = 15;
const SRV: u16 = 33;
const DNSKEY: u16 = 48;
const RRSIG: u16 = 46;
const CAA: u16 = 257;
const UNKNOWN: u16 = 65_400;

/// Of a question: AD and CD beside RD.
const FLAGS: [u16; 4] = [ASKED, ASKED | 0x20, ASKED | 0x10, 0];

/// A zone with records of many types, one of which nobody knows.
const ZONE: &str = "$TTL 300
@ IN SOA ns hostmaster 1 3600 600 86400 20
@ IN NS ns
ns IN A 192.168.56.1
one IN A 192.0.2.1
one IN AAAA 2001:db8::1
one IN TXT \"hello\" \"world\"
one IN MX 10 mail
one IN CAA 0 issue \"ca.test\"
one IN TYPE65400 \\# 4 DEADBEEF
mail IN A 192.0.2.25
_sip._udp IN SRV 0 5 5060 mail
alias IN CNAME other
other IN CNAME one
elsewhere IN CNAME one.far.test.
*.wild IN A 192.0.2.7
long IN TXT \"LONG\"
1.2.0.192 IN PTR one
";
/// As the zone spells them: servers answer with its spelling, the agent with the question's.
const NAMES: [&str; 8] = [
    "one",
    "alias",
    "elsewhere",
    "a.wild",
    "long",
    "nobody",
    "_sip._udp",
    "1.2.0.192",
];
const TYPES: [u16; 14] = [
    A, AAAA, TXT, MX, CAA, UNKNOWN, SRV, CNAME, NS, SOA, PTR, DNSKEY, RRSIG, ANY,
];

/// Extensions: none, plain, DNSSEC's records wanted, an option that servers answer (NSID), one that nobody knows.
const EXTENSIONS: [&[u8]; 5] = [
    &[],
    &[0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0],
    &[0, 0, 41, 4, 0xd0, 0, 0, 0x80, 0, 0, 0],
    &[0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 4, 0, 3, 0, 0],
    &[0, 0, 41, 2, 0, 0, 0, 0x80, 0, 0, 6, 0xfd, 0xe9, 0, 2, 7, 9],
];

/// One of Debian's name servers with that zone, as `real.test`.
#[derive(Clone, Copy, Debug)]
enum Real {
    Bind,
    Unbound,
    Dnsmasq,
}

impl Real {
    /// At the LAN's address of a family; serves when this returns.
    fn start(self, world: &World, address: &str) {
        let folder = world.directory.join(format!("{self:?}"));
        fs::create_dir(&folder).unwrap();
        let path = folder.display();
        let text = format!("\"{}\"", "x".repeat(200));
        let zone = ZONE.replace("\"LONG\"", &[text.as_str(); 6].join(" "));
        let configuration = folder.join("conf");
        let command = match self {
            Self::Bind => {
                fs::write(folder.join("zone"), zone).unwrap();
                let listen = if address.contains(':') {
                    "listen-on-v6"
                } else {
                    "listen-on"
                };
                let none = if address.contains(':') {
                    "listen-on"
                } else {
                    "listen-on-v6"
                };
                let text = format!(
                    "options {{ directory \"{path}\"; {listen} {{ {address}; }}; {none} {{ none; }}; recursion no; \
                     server-id \"bind\"; rrset-order {{ order none; }}; pid-file none; session-keyfile none; \
                     allow-query {{ any; }}; }};\ncontrols {{ }};\n\
                     zone \"real.test\" {{ type primary; file \"zone\"; dnssec-policy default; inline-signing yes; }};\n"
                );
                fs::write(&configuration, text).unwrap();
                format!("exec named -f -c {} 2> {path}/log", configuration.display())
            }
            Self::Unbound => {
                let records = unbound_records(&zone);
                let text = format!(
                    "server:\n chroot: \"\"\n username: \"\"\n directory: \"{path}\"\n pidfile: \"\"\n use-syslog: no\n \
                     do-daemonize: no\n interface: {address}\n access-control: 0.0.0.0/0 allow\n \
                     access-control: ::/0 allow\n module-config: \"iterator\"\n nsid: \"ascii_unbound\"\n \
                     rrset-roundrobin: no\n local-zone: \"real.test.\" static\n{records}\nremote-control:\n \
                     control-enable: no\n"
                );
                fs::write(&configuration, text).unwrap();
                format!("exec unbound -d -c {} 2> {path}/log", configuration.display())
            }
            Self::Dnsmasq => format!(
                "exec dnsmasq --keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null --pid-file= --user=root \
                 --bind-interfaces --listen-address={address} --local-ttl=300 --local=/real.test/ \
                 --host-record=one.real.test,192.0.2.1,2001:db8::1 --txt-record=one.real.test,hello,world \
                 --mx-host=one.real.test,mail.real.test,10 --host-record=mail.real.test,192.0.2.25 \
                 --srv-host=_sip._udp.real.test,mail.real.test,5060 --cname=alias.real.test,one.real.test \
                 --address=/a.wild.real.test/192.0.2.7 --dns-rr=one.real.test,65400,DEADBEEF"
            ),
        };
        world.keep(world.lan().command("sh").args(["-c", &command]).spawn().unwrap());
        let signed = match self {
            // signs its zone after it has begun to serve it
            Self::Bind => "+dnssec",
            Self::Unbound | Self::Dnsmasq => "",
        };
        eventually("a name server serves", || {
            let said = world
                .host
                .sh(&format!(
                    "dig +short +tries=1 +time=1 {signed} @{address} one.real.test A"
                ))
                .stdout;
            let is_ready = said.starts_with("192.0.2.1") && (signed.is_empty() || said.contains("A 13 3 300"));
            let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
            if is_ready {
                Ok(())
            } else {
                Err(format!("{said} {}", log()))
            }
        });
    }
}

/// The zone as unbound's own words have it.
fn unbound_records(zone: &str) -> String {
    let lines = zone.lines().skip(1).filter(|line| !line.starts_with('*'));
    lines
        .map(|line| {
            let (owner, record) = line.split_once(" IN ").unwrap();
            let owner = if owner == "@" {
                String::new()
            } else {
                format!("{owner}.")
            };
            let (kind, data) = record.split_once(' ').unwrap();
            let absolute = |name: &str| {
                if name.ends_with('.') {
                    name.to_owned()
                } else {
                    format!("{name}.real.test.")
                }
            };
            let data = match kind {
                "SOA" => "ns.real.test. hostmaster.real.test. 1 3600 600 86400 20".to_owned(),
                "NS" | "CNAME" | "PTR" => absolute(data),
                "MX" | "SRV" => {
                    let (numbers, name) = data.rsplit_once(' ').unwrap();
                    format!("{numbers} {}", absolute(name))
                }
                _ => data.to_owned(),
            };
            format!(" local-data: '{owner}real.test. 300 IN {kind} {data}'")
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn world(server: Real, address: &str) -> World {
    let world = resolving(&format!("nameserver {address}\n"));
    server.start(&world, address);
    world.ok(&["network", "create", "--subnet", "10.2.0.0/24", "mynet"]);
    world.run("app", &["--net", "mynet"]);
    world
}

/// Every question of the table over UDP, once directly and once through the agent.
#[track_caller]
fn same_bytes(server: Real, address: &str) {
    let world = world(server, address);
    let direct: UdpSocket = socket(&world.host, address);
    let through = socket(&world.inside("app"), "10.2.0.1");
    let mut id = 0_u16;
    for name in NAMES {
        for kind in TYPES {
            for (flags, extension) in FLAGS
                .iter()
                .flat_map(|flags| EXTENSIONS.iter().map(move |it| (*flags, *it)))
            {
                id += 1;
                let mut asked = message(flags, 0, &format!("{name}.real.test"), kind, extension);
                asked[..2].copy_from_slice(&id.to_be_bytes());
                asked[11] = u8::from(!extension.is_empty());
                let expected = without_times(ask(&direct, &asked));
                let said = without_times(ask(&through, &asked));
                // a refusal of one's only server is its answer, too
                assert_eq!(said, expected, "{server:?}: {name} {kind} {flags:x} {extension:x?}");
            }
        }
    }
}

/// What is remembered has less time to live than what was just told.
fn without_times(mut answer: Vec<u8>) -> Vec<u8> {
    let name_end = |answer: &[u8], mut at: usize| {
        loop {
            match answer[at] {
                0 => return at + 1,
                length if length >= 0xc0 => return at + 2,
                length => at += 1 + usize::from(length),
            }
        }
    };
    let count: u16 = [6, 8, 10]
        .iter()
        .map(|at| u16::from_be_bytes([answer[*at], answer[at + 1]]))
        .sum();
    let mut at = name_end(&answer, 12) + 4;
    for _ in 0..count {
        at = name_end(&answer, at);
        let kind = u16::from_be_bytes([answer[at], answer[at + 1]]);
        if kind != 41 {
            answer[at + 4..at + 8].fill(0);
        }
        at += 10 + usize::from(u16::from_be_bytes([answer[at + 8], answer[at + 9]]));
    }
    answer
}

#[test]
fn bind_is_heard_to_the_byte() {
    for address in LAN {
        same_bytes(Real::Bind, address);
    }
}

#[test]
fn unbound_is_heard_to_the_byte() {
    for address in LAN {
        same_bytes(Real::Unbound, address);
    }
}

#[test]
fn dnsmasq_is_heard_to_the_byte() {
    for address in LAN {
        same_bytes(Real::Dnsmasq, address);
    }
}

/// Without what is different each time: numbers, times, and who was asked.
fn sections(said: &str) -> Vec<String> {
    let varies = [
        ";; Query time",
        ";; SERVER",
        ";; WHEN",
        ";; MSG SIZE",
        "; <<>>",
        "; (1 server",
        ";; COOKIE",
        "; COOKIE",
    ];
    let lines = said
        .lines()
        .filter(|line| !varies.iter().any(|begin| line.starts_with(begin)));
    lines
        .map(|line| match line.split_once(", id: ") {
            Some((before, _)) => before.to_owned(),
            None => line
                .split_whitespace()
                .filter(|word| word.parse::<u32>().is_err())
                .collect::<Vec<_>>()
                .join(" "),
        })
        .collect()
}

#[test]
fn dig_and_drill_see_what_they_would_see_directly() {
    let world = world(Real::Bind, LAN[0]);
    for arguments in [
        "one.real.test",
        "one.real.test ANY",
        "alias.real.test AAAA",
        "nobody.real.test",
        "one.real.test TYPE65400",
        "+dnssec one.real.test",
        "+dnssec +cd nobody.real.test",
        "+noedns long.real.test TXT",
        "+tcp long.real.test TXT",
        "+tcp +dnssec real.test DNSKEY",
        "+norecurse real.test SOA",
        "+nsid one.real.test MX",
        "+bufsize=512 +dnssec real.test DNSKEY",
        "+adflag one.real.test",
        "+subnet=192.0.2.0/24 one.real.test",
        "+padding=128 one.real.test",
    ] {
        let through = dig(&world, "app", arguments);
        let direct = world.host.sh(&format!("dig @{} {arguments}", LAN[0])).ok();
        assert_eq!(sections(&through), sections(&direct), "dig {arguments}");
    }
    for arguments in [
        "one.real.test",
        "-D one.real.test MX",
        "-t long.real.test TXT",
        "nobody.real.test",
        "-o CD one.real.test",
    ] {
        let through = world.exec("app", &[&["drill"], &words(arguments)[..]].concat()).ok();
        let direct = world.host.sh(&format!("drill @{} {arguments}", LAN[0])).ok();
        assert_eq!(sections(&through), sections(&direct), "drill {arguments}");
    }
}

#[test]
fn delv_validates_what_passes() {
    let world = world(Real::Bind, LAN[0]);
    let key = world.host.sh(&format!("dig +short @{} real.test DNSKEY", LAN[0])).ok();
    let key = key.lines().find(|key| key.starts_with("257 ")).unwrap().to_owned();
    let words: Vec<&str> = key.split_whitespace().collect();
    let anchor = format!(
        "trust-anchors {{ \"real.test\" static-key {} {} {} \"{}\"; }};\n",
        words[0],
        words[1],
        words[2],
        words[3..].concat()
    );
    // containers see the folder, and have a /tmp of their own
    let write = format!("printf '%s' '{anchor}' > /tmp/anchor");
    world.exec("app", &["sh", "-c", &write]).ok();
    for (question, expected) in [
        ("one.real.test A", "; fully validated"),
        ("one.real.test TYPE65400", "; fully validated"),
        ("alias.real.test AAAA", "; fully validated"),
        ("a.wild.real.test A", "; fully validated"),
        ("nobody.real.test A", "; negative response, fully validated"),
        ("one.real.test SRV", "; negative response, fully validated"),
    ] {
        let delv = format!("delv -a /tmp/anchor +root=real.test {question}");
        let said = world.exec("app", &["sh", "-c", &delv]);
        let said = format!("{}{}", said.stdout, said.stderr);
        assert!(said.contains(expected), "{question}: {said}");
    }
}

#[test]
fn programs_of_glibc_and_of_musl_find_what_servers_know() {
    for server in [Real::Bind, Real::Unbound, Real::Dnsmasq] {
        let world = world(server, LAN[0]);
        for compiler in ["cc", "musl-gcc -static"] {
            let program = build(&world, compiler);
            let bind = format!("{}:{PROGRAM}:ro", program.display());
            let find = |name: &str| {
                let run = ["run", "--rm", "--net", "mynet", "-v", &bind, "--", PROGRAM, name];
                world.cli(&run)
            };
            // unbound does not follow an alias of its own
            let names: &[&str] = match server {
                Real::Unbound => &["one.real.test"],
                Real::Bind | Real::Dnsmasq => &["one.real.test", "alias.real.test"],
            };
            for name in names {
                let said = find(name).ok();
                let mut found: Vec<&str> = said.lines().filter_map(|line| line.split(' ').next()).collect();
                found.sort_unstable();
                assert_eq!(found, ["192.0.2.1", "2001:db8::1"], "{server:?} {compiler} {name}");
            }
            assert_ne!(find("nobody.real.test").status, 0, "{server:?} {compiler}");
        }
    }
}

/// What c-ares hears: whole answers of a server, in hexadecimal.
const ARES: &str = r#"#include <ares.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>
static void hear(void *data, int status, int timeouts, unsigned char *answer, int length) {
    printf("%s %d ", (char *)data, status);
    for (int i = 0; i < length; i++) printf("%02x", answer[i]);
    puts("");
}
int main(int count, char **words) {
    ares_channel channel;
    struct ares_options options = { .flags = ARES_FLAG_NOCHECKRESP | ARES_FLAG_EDNS };
    ares_library_init(ARES_LIB_INIT_ALL);
    if (ares_init_options(&channel, &options, ARES_OPT_FLAGS)) return 1;
    if (ares_set_servers_csv(channel, words[1])) return 2;
    for (int i = 2; i + 1 < count; i += 2) {
        ares_query(channel, words[i], 1, atoi(words[i + 1]), hear, words[i]);
        for (;;) {
            fd_set in, out;
            FD_ZERO(&in);
            FD_ZERO(&out);
            int sockets = ares_fds(channel, &in, &out);
            if (!sockets) break;
            struct timeval longest = { 5, 0 }, wait;
            select(sockets, &in, &out, 0, ares_timeout(channel, &longest, &wait));
            ares_process(channel, &in, &out);
        }
    }
}
"#;

#[test]
fn c_ares_hears_what_it_would_hear_directly() {
    for server in [Real::Bind, Real::Unbound, Real::Dnsmasq] {
        let world = world(server, LAN[0]);
        let program = compile(&world, "cc", ARES, "-lcares");
        let questions = NAMES.iter().flat_map(|name| {
            let name = format!("{name}.real.test");
            TYPES.iter().flat_map(move |kind| [name.clone(), kind.to_string()])
        });
        let questions: Vec<String> = questions.collect();
        let heard = |said: String| -> Vec<(String, Vec<u8>)> {
            let lines = said.lines().map(|line| {
                let (what, answer) = line.rsplit_once(' ').unwrap();
                let mut answer = bytes(answer);
                if !answer.is_empty() {
                    answer[..2].fill(0);
                    answer = without_times(answer);
                }
                (what.to_owned(), answer)
            });
            lines.collect()
        };
        let direct = format!("{} {} {}", program.display(), LAN[0], questions.join(" "));
        let direct = heard(world.host.sh(&direct).ok());
        let bind = format!("{}:{PROGRAM}:ro", program.display());
        let mut run = vec!["run", "--rm", "--net", "mynet", "-v", &bind, "--", PROGRAM, "10.2.0.1"];
        run.extend(questions.iter().map(String::as_str));
        assert_eq!(direct.len(), NAMES.len() * TYPES.len());
        assert_eq!(heard(world.ok(&run)), direct, "{server:?}");
    }
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits = hexadecimal.as_bytes().chunks(2);
    digits
        .map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap())
        .collect()
}

/// The stock client is a Go program: its resolver is Go's, which says where it dials.
#[test]
fn gos_resolver_finds_what_servers_know() {
    for server in [Real::Bind, Real::Unbound, Real::Dnsmasq] {
        let world = world(server, LAN[0]);
        world.host.sh("ip route add unreachable 192.0.2.0/24").ok();
        let client = docker();
        let bind = format!("{}:{PROGRAM}:ro", client.display());
        let dial = |name: &str| {
            let address = format!("tcp://{name}.real.test:9");
            let said = world.cli(&[
                "run",
                "--rm",
                "--net",
                "mynet",
                "-v",
                &bind,
                "-e",
                "GODEBUG=netdns=go",
                "--",
                PROGRAM,
                "-H",
                &address,
                "version",
            ]);
            format!("{}{}", said.stdout, said.stderr)
        };
        // unbound does not follow an alias of its own
        let names: &[&str] = match server {
            Real::Unbound => &["one"],
            Real::Bind | Real::Dnsmasq => &["one", "alias"],
        };
        for name in names {
            let said = dial(name);
            assert!(
                said.contains("dial tcp 192.0.2.1:9: connect: no route to host"),
                "{server:?} {name}: {said}"
            );
        }
        let said = dial("nobody");
        let expected = "lookup nobody.real.test on 10.2.0.1:53: no such host";
        assert!(said.contains(expected), "{server:?}: {said}");
    }
}
