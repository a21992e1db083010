//! A message goes in, a message goes out: what a client has asked arrives as it asked it, and it gets what was said, as
//! it spelt it; nothing of the host's own is mixed in.

use std::fs;

use tests::name_server::{Asked, NO_SUCH_NAME, NameServer, authority, record};
use tests::question::{A, wire};
use tests::world::{LAN, World};

use super::names_forward::{dig, resolving};

const CNAME: u16 = 5;

fn asking(server: &str) -> World {
    let world = resolving(&format!("nameserver {server}\n"));
    world.ok(&["network", "create", "mynet"]);
    world.run("app", &["--net", "mynet"]);
    world.run("usual", &[]);
    world
}

/// The first words of the records that `dig` shows.
fn owners(said: &str) -> Vec<&str> {
    said.lines().filter_map(|line| line.split_whitespace().next()).collect()
}

#[test]
fn names_come_back_as_they_were_asked() {
    // how a server spells the question, and the owner of its record, which it may write out
    let folds = |asked: &Asked, owner: &dyn Fn(&str) -> Vec<u8>, lowers: bool| {
        let mut asked = asked.clone();
        if lowers {
            let end = asked.bytes.len().min(12 + wire(&asked.name()).len());
            asked.bytes[12..end].make_ascii_lowercase();
        }
        let data = [192, 0, 2, 1];
        asked.answer(0, [&[record(&owner(&asked.name()), A, 60, &data)], &[], &[]])
    };
    let pointer = |_: &str| vec![0xc0, 12];
    let lower = |name: &str| wire(&name.to_lowercase());
    let upper = |name: &str| wire(&name.to_uppercase());
    for address in LAN {
        let world = asking(address);
        let behaves = move |asked: &Asked| {
            Some(
                match asked.name().to_lowercase().split('.').nth(1).unwrap_or_default() {
                    "keeps" => folds(asked, &pointer, false),
                    "lowers" => folds(asked, &pointer, true),
                    "writes" => folds(asked, &lower, true),
                    "shouts" => folds(asked, &upper, false),
                    _ => asked.answer(NO_SUCH_NAME, [&[], &[], &[]]),
                },
            )
        };
        let server = NameServer::start(world.lan(), address, behaves);
        for zone in ["keeps", "lowers", "writes", "shouts"] {
            for name in ["www", "WWW", "WwW"].map(|label| format!("{label}.{zone}.Example.test")) {
                // anew, from memory, with an option that is never remembered, as a stream
                for way in ["+nocookie", "+nocookie", "+cookie", "+tcp +cookie"] {
                    let said = dig(&world, "app", &format!("+noall +answer {way} {name}"));
                    assert_eq!(owners(&said), [format!("{name}.")], "{zone} {way}");
                }
            }
        }
        // servers are asked as clients spell, too
        assert!(server.names().contains(&"WwW.keeps.Example.test".to_owned()));
    }
}

#[test]
fn flags_types_and_options_pass_both_ways() {
    const AD: u16 = 0x20;
    const CD: u16 = 0x10;
    let world = asking(LAN[0]);
    let server = NameServer::start(world.lan(), LAN[0], |asked| {
        let alias = record(&[0xc0, 12], CNAME, 60, &wire("there.test"));
        let odd = record(&wire("There.Test"), 65_280, 60, &[0xde, 0xad]);
        let options = [0, 0, 41, 4, 0xd0, 0, 0, 0x80, 0, 0, 7, 0xfd, 0xe9, 0, 3, 1, 2, 3];
        let mut answer = asked.answer(0, [&[alias, odd], &[], &[]]);
        if asked.is_extended() {
            answer[11] = 1;
            answer.extend(options);
        }
        answer[3] |= 0x20;
        Some(answer)
    });
    let said = dig(
        &world,
        "app",
        "+cd +ad +dnssec +nocookie +ednsopt=65001:070809 one.test TYPE65280",
    );
    for part in [
        "flags: qr rd ra ad cd;",
        "there.test.",
        "\\# 2 DEAD",
        "OPT=65001: 01 02 03",
        "flags: do;",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let asked = &server.asked()[0];
    assert_eq!(asked.flags() & (AD | CD), AD | CD);
    assert!(
        asked.bytes.ends_with(&[0x80, 0, 0, 7, 0xfd, 0xe9, 0, 3, 7, 8, 9]),
        "{:x?}",
        asked.bytes
    );
    // who asks for less gets less, and nothing that another was told
    let said = dig(&world, "app", "+noad +noedns one.test TYPE65280");
    assert!(said.contains("flags: qr rd ra ad;") && !said.contains("OPT"), "{said}");
    assert_eq!(server.asked()[1].flags() & (AD | CD), 0);
}

#[test]
fn nothing_of_the_hosts_own_is_an_answer() {
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    let names = lines.flat_map(|line| line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>());
    let mut questions: Vec<String> = names.filter(|name| name.is_ascii()).collect();
    questions.extend(
        [
            "localhost",
            "a.localhost",
            "localhost.localdomain",
            "a.invalid",
            "a.onion",
            "-x 127.0.0.1",
            "-x 127.1.2.3",
            "-x ::1",
        ]
        .map(String::from),
    );
    questions.sort_unstable();
    questions.dedup();
    let world = asking(LAN[0]);
    let server = NameServer::start(world.lan(), LAN[0], |asked| {
        Some(asked.answer(NO_SUCH_NAME, [&[], &[authority("test", 60)], &[]]))
    });
    for from in ["app", "usual"] {
        for question in &questions {
            server.forget();
            let said = dig(&world, from, question);
            assert!(
                said.contains("status: NXDOMAIN") && said.contains("SOA"),
                "{question}: {said}"
            );
            assert_eq!(server.asked().len(), 1, "{question}");
        }
    }
}
