//! What a container of ours may not do: past its network, to the host's files, beyond its share.

use std::fs;

use tests::world::World;

/// A system call by number, as a command that fails unless it is let through.
fn call(number: i64, arguments: [i64; 2]) -> String {
    let [first, second] = arguments;
    format!("perl -e 'exit(syscall({number}, {first}, {second}, 0, 0, 0, 0) < 0)'")
}

#[test]
fn a_container_is_closed_to_what_is_the_hosts() {
    let world = World::new();
    let name = format!("netswitch-test-{}", std::process::id());
    fs::write(format!("/root/{name}"), "secret").unwrap();
    world.run("web", &[]);
    let datagram = i64::from(libc::SOCK_DGRAM);
    let socket = |family: i32| call(libc::SYS_socket, [family.into(), datagram]);
    let rows = [
        ("an internet socket", socket(libc::AF_INET), true),
        ("AF_VSOCK", socket(libc::AF_VSOCK), false),
        ("AF_ALG", socket(libc::AF_ALG), false),
        ("io_uring_setup", call(libc::SYS_io_uring_setup, [1, 0]), false),
        ("bpf", call(libc::SYS_bpf, [0, 0]), false),
        ("mount", call(libc::SYS_mount, [0, 0]), false),
        ("reading /etc/passwd", "cat /etc/passwd".to_owned(), true),
        ("reading the host's /root", format!("cat /root/{name}"), false),
        ("writing to the host's /root", format!("echo x > /root/{name}"), false),
        ("passwords", "grep -v ':[*]:' /etc/shadow".to_owned(), false),
        ("writing to /etc/shadow", "echo x >> /etc/shadow".to_owned(), false),
        ("removing /etc/shadow", "rm -f /etc/shadow".to_owned(), false),
        ("kernel memory", "head -c 1 /proc/kcore | grep -q .".to_owned(), false),
        ("the kernel's keys", "grep -q . /proc/keys".to_owned(), false),
        ("interrupts", "grep -q . /proc/interrupts".to_owned(), false),
        ("firmware", "ls -A /sys/firmware | grep -q .".to_owned(), false),
        ("magic SysRq", "echo h > /proc/sysrq-trigger".to_owned(), false),
        (
            "settings of the kernel",
            "echo x > /proc/sys/kernel/hostname".to_owned(),
            false,
        ),
        (
            "cgroups of the host",
            "grep ^0:: /proc/self/cgroup | grep -v '^0::/$'".to_owned(),
            false,
        ),
        (
            "device nodes",
            "mknod /tmp/made c 1 5 && head -c 1 /tmp/made | grep -q .".to_owned(),
            false,
        ),
    ];
    for (what, command, expected) in rows {
        let output = world.exec("web", &["sh", "-c", &command]);
        assert_eq!(output.status == 0, expected, "{what}: {output:?}");
    }
    let text = fs::read_to_string(format!("/root/{name}")).unwrap();
    fs::remove_file(format!("/root/{name}")).unwrap();
    assert_eq!(text, "secret");
}

#[test]
fn memory_and_processes_have_limits_in_dockers_words() {
    let world = World::new();
    for (options, expected) in [
        (
            ["--memory", "much"],
            "invalid argument \"much\" for \"-m, --memory\" flag: invalid size: 'much'",
        ),
        (
            ["-m", "5mx"],
            "invalid argument \"5mx\" for \"-m, --memory\" flag: invalid suffix: 'mx'",
        ),
        (
            ["--memory", "4m"],
            "Error response from daemon: Minimum memory limit allowed is 6MB",
        ),
        (
            ["--pids-limit", "some"],
            "invalid argument \"some\" for \"--pids-limit\" flag: strconv.ParseInt: parsing \"some\": invalid syntax",
        ),
    ] {
        let refused = world.cli(&[&["run", "-d"], &options[..], &["--", "true"]].concat());
        assert!(
            refused.status == 125 && refused.stderr.contains(expected),
            "{refused:?}"
        );
    }
    world.run("small", &["--memory", "32m", "--pids-limit", "16"]);
    let limits = &world.inspect("small")["HostConfig"];
    assert_eq!(
        (&limits["Memory"], &limits["PidsLimit"]),
        (&(32 << 20).into(), &16.into())
    );
    let greedy = world.exec("small", &["perl", "-e", "my $all = 'x' x (256 << 20)"]);
    assert_eq!(greedy.status, 137, "{greedy:?}");
    let forking = "$| = 1; my $made = 0; for (1 .. 64) { my $pid = fork; last unless defined $pid; \
                   if (!$pid) { sleep 60; exit } $made++ } print $made; kill 9, -getpgrp";
    let made = world.exec("small", &["perl", "-e", forking]).stdout;
    assert!((1..16).contains(&made.parse::<u32>().unwrap()), "{made}");
    world.run("free", &["--pids-limit", "-1"]);
    assert!(world.inspect("free")["HostConfig"]["PidsLimit"].is_null());
}
