use super::*;

fn leash(text: &str) -> Leash {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Whether the entries let a protocol and port of an address pass that is in these classes.
fn passes(leashes: &Leashes, classes: Classes, protocol: u8, port: u16) -> bool {
    let matches = |entry: &&PortsEntry| {
        let (of, from, length, _) = **entry;
        match length {
            SET_BITS => true,
            length => of == protocol && (from ^ port).leading_zeros() + PROTOCOL_BITS >= length,
        }
    };
    let entries = leashes.ports();
    let found = entries.iter().filter(matches).max_by_key(|(_, _, length, _)| *length);
    let ports = found.unwrap().3;
    let kinds = [&leashes.container, &leashes.network];
    kinds
        .into_iter()
        .zip(0..)
        .all(|(leash, which): (_, usize)| leash.is_none() || classes[which] & ports[which] != 0)
}

#[test]
fn a_leash_is_written_as_it_is_read() {
    for text in [
        "none",
        "*",
        "api.example.com:443/tcp,*.example.org:443/udp,10.0.0.0/8",
        "[2001:db8::/32]:1000-2000/sctp,192.0.2.1/32/icmp",
        "db",
    ] {
        assert_eq!(leash(text).to_string(), text);
    }
    assert_eq!(leash("API.Example.com.:443").to_string(), "api.example.com:443/tcp");
    assert_eq!(leash("a:1, b:2").to_string(), "a:1/tcp,b:2/tcp");
    assert_eq!(Leash::given(&[]), Ok(None));
    let given = Leash::given(&["a:1".to_owned(), "b:2".to_owned()]).unwrap().unwrap();
    assert_eq!(given.to_string(), "a:1/tcp,b:2/tcp");
}

#[test]
fn what_makes_no_leash_is_refused() {
    for (text, part) in [
        ("", "is no name and no prefix"),
        ("a,,b", "is no name and no prefix"),
        ("a.*.example.org", "is no name and no prefix"),
        ("*example.org", "is no name and no prefix"),
        ("a..b", "is no name and no prefix"),
        ("a:0", "is no port"),
        ("a:80/icmp", "protocol icmp has no ports"),
        ("10.0.0.1/8", "bits beyond its prefix\nhint: 10.0.0.0/8"),
        ("bücher.example", "is no name and no prefix"),
    ] {
        let error = text.parse::<Leash>().unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
    let many: Vec<String> = (1..=65).map(|port| format!("a:{port}")).collect();
    assert!(many.join(",").parse::<Leash>().unwrap_err().contains("more than 64"));
    let names: Vec<String> = (1..=1000).map(|name| format!("n{name}:443")).collect();
    assert!(
        names.join(",").parse::<Leash>().is_ok(),
        "of one class are as many as there are"
    );
}

#[test]
fn names_are_meant_whole_or_from_below() {
    let given = leash("api.example.com:443,*.example.org:443,*.sub.example.org:80,10.0.0.0/8");
    assert_eq!(given.of_name("api.example.com"), 1);
    assert_eq!(given.of_name("a.example.org"), 1);
    assert_eq!(given.of_name("b.a.example.org"), 1);
    assert_eq!(given.of_name("x.sub.example.org"), 3);
    for stranger in ["example.org", "example.com", "x.api.example.com", "badexample.org", ""] {
        assert_eq!(given.of_name(stranger), 0, "{stranger}");
    }
    assert_eq!(leash("*:443").of_name("anything.at.all"), 1);
}

#[test]
fn narrow_prefixes_have_the_classes_of_the_wide_ones_around_them() {
    let leashes = Leashes {
        container: Some(leash("10.0.0.0/8:80,10.1.0.0/16:443,fd00::/8")),
        network: Some(leash("10.1.0.0/16:443,10.1.1.1/32")),
    };
    let prefixes = leashes.prefixes();
    let of = |text: &str| prefixes[&text.parse().unwrap()];
    assert_eq!(of("10.0.0.0/8"), [1, 0]);
    assert_eq!(of("10.1.0.0/16"), [3, 1]);
    assert_eq!(of("10.1.1.1/32"), [3, 3]);
    assert_eq!(of("fd00::/8"), [4, 0]);
    assert_eq!(leashes.of_address("10.1.1.1".parse().unwrap()), [3, 3]);
    assert_eq!(leashes.of_address("192.0.2.1".parse().unwrap()), [0, 0]);
}

#[test]
fn a_port_passes_where_a_class_says_so() {
    let leashes = Leashes {
        container: Some(leash("a:443,b:1000-2000/udp,c,d/icmp,e:80/any")),
        network: None,
    };
    let class = |number: u32| [1 << number, 0];
    let rows = [
        (0, 6, 443, true),
        (0, 6, 80, false),
        (0, 17, 443, false),
        (0, 1, 0, false),
        (1, 17, 1000, true),
        (1, 17, 2000, true),
        (1, 17, 999, false),
        (1, 17, 2001, false),
        (1, 6, 1000, false),
        (2, 6, 1, true),
        (2, 47, 0, true),
        (2, 17, 1500, true),
        (3, 1, 0, true),
        (3, 58, 0, true),
        (3, 6, 443, false),
        (4, 6, 80, true),
        (4, 17, 80, true),
        (4, 132, 80, true),
        (4, 17, 81, false),
    ];
    for (number, protocol, port, passing) in rows {
        assert_eq!(
            passes(&leashes, class(number), protocol, port),
            passing,
            "class {number}, {protocol} {port}"
        );
    }
    assert!(!passes(&leashes, [0, 0], 6, 443), "of no class");
}

#[test]
fn both_leashes_must_let_it_pass() {
    let leashes = Leashes {
        container: Some(leash("a:443,a:80")),
        network: Some(leash("a:443")),
    };
    assert!(passes(&leashes, [3, 1], 6, 443));
    assert!(!passes(&leashes, [3, 1], 6, 80));
    assert!(!passes(&leashes, [3, 0], 6, 443));
    assert!(leashes.permits_name("a") && !leashes.permits_name("b"));
    let closed = Leashes {
        container: Some(leash("none")),
        network: None,
    };
    assert!(!closed.permits_name("a") && !passes(&closed, [0, 0], 6, 443));
    assert_eq!(closed.flags(), flags::LEASHED);
}
