//! `netswitch pcap`, as tcpdump reads it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use netswitch_common::address::Mac;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::packet::{ETHERTYPE_VLAN, ip, tagged};
use tests::world::{Output, World, eventually, send, send_repeatedly};

use super::{address, dual, ping};

/// A capture that has begun.
struct Running {
    child: Child,
    said: BufReader<std::process::ChildStderr>,
}

impl Running {
    fn start(world: &World, arguments: &[&str]) -> Self {
        let mut command = world.command(&[&["pcap"], arguments].concat());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.starts_with("listening on "), "{line}");
        Self { child, said }
    }

    /// Interrupts it, as Ctrl-C does.
    fn interrupt(self) -> (u64, u64) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
        self.end()
    }

    /// Its end, and how many packets were captured and lost.
    fn end(mut self) -> (u64, u64) {
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{said}");
        let number = |line: &str| line.split_whitespace().next().unwrap().parse().unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines[0].ends_with(" packets captured"), "{said}");
        assert!(lines[1].contains(" packets dropped by kernel"), "{said}");
        (number(lines[0]), number(lines[1]))
    }
}

/// What tcpdump makes of a file.
#[track_caller]
fn read(file: &str) -> String {
    Output::of(Command::new("tcpdump").args(["-e", "-n", "-r", file])).ok()
}

/// Two containers on one network, one of them on another too.
fn world() -> World {
    let world = World::new();
    dual(&world, "front", 7, &[]);
    dual(&world, "back", 8, &[]);
    world.run("one", &["--net", "front"]);
    world.run("two", &["--net", "front"]);
    world.ok(&["network", "connect", "back", "one"]);
    world
}

#[test]
fn both_directions_of_all_interfaces_are_there() {
    let world = world();
    let one = world.inside("one");
    let path = world.directory.join("one.pcapng");
    let file = path.to_str().unwrap();
    let capture = Running::start(&world, &["one", "-w", file]);
    ping(&one, "10.7.0.3", 64);
    ping(&one, "fd8::1", 64);
    // what the switch refuses was sent
    let macs = (Mac([2, 0, 0, 0, 0, 9]), world.mac("two", "front"));
    let refused = ip(macs, address("10.7.0.77"), address("10.7.0.3")).udp(1, 9, b"hello");
    send(&one, "eth0", &refused);
    // the kernel keeps a tag beside a frame that it has received
    let outside = tagged(&refused, ETHERTYPE_VLAN);
    send(&world.host, &world.host_device("one", "eth0").name, &outside);
    let (captured, lost) = capture.interrupt();
    assert!(captured >= 13 && lost == 0, "{captured}, {lost} lost");
    let text = read(file);
    for (what, count) in [
        ("10.7.0.2 > 10.7.0.3: ICMP echo request", 3),
        ("10.7.0.3 > 10.7.0.2: ICMP echo reply", 3),
        ("fd8::2 > fd8::1: ICMP6, echo request", 3),
        ("fd8::1 > fd8::2: ICMP6, echo reply", 3),
        ("02:00:00:00:00:09 > ", 2),
        ("10.7.0.77.1 > 10.7.0.3.9: UDP, length 5", 2),
        ("ethertype 802.1Q (0x8100), length 51: vlan 7, ", 1),
    ] {
        assert_eq!(text.matches(what).count(), count, "{what}: {text}");
    }
    assert_eq!(text.lines().count(), usize::try_from(captured).unwrap());
}

#[test]
fn one_interface_a_count_and_beginnings() {
    let world = world();
    let one = world.inside("one");
    let path = world.directory.join("one.pcapng");
    let file = path.to_str().unwrap();
    let capture = Running::start(&world, &["-i", "eth1", "-c", "4", "-s", "60", "-w", file, "one"]);
    ping(&one, "10.7.0.3", 64);
    ping(&one, "10.8.0.1", 64);
    let (captured, lost) = capture.end();
    assert_eq!((captured, lost), (4, 0));
    let text = read(file);
    // the kernel may have said something of its own
    assert!(!text.contains("10.7.0.") && text.lines().count() == 4, "{text}");
    // whole lengths, of which the file has less
    assert!(
        text.contains("length 98: 10.8.0.2 > 10.8.0.1: ICMP echo request"),
        "{text}"
    );
    assert!(std::fs::metadata(&path).unwrap().len() < 4 * 120 + 200);
}

#[test]
fn tcpdump_reads_along() {
    let world = world();
    let mut capture = Running::start(&world, &["two"]);
    let mut tcpdump = world.host.command("timeout");
    tcpdump
        .args([&super::patience(), "tcpdump", "-n", "-l", "-c", "1", "-r", "-", "icmp"])
        .stdin(capture.child.stdout.take().unwrap());
    let one = world.inside("one");
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| Output::from(tcpdump.output().unwrap()).ok());
        let mut pings = 0;
        while !reader.is_finished() {
            ping(&one, "10.7.0.3", 64);
            pings += 1;
            assert!(pings < 100, "tcpdump sees nothing");
        }
        let text = reader.join().unwrap();
        assert!(text.contains("IP 10.7.0."), "{text}");
    });
    drop(tcpdump); // and its end of the pipe
    // it has seen enough, so the next packet is the end
    eventually("the capture ends with its reader", || {
        one.sh("ping -n -c 1 -W 1 10.7.0.3").ok();
        capture.child.try_wait().unwrap().map(drop).ok_or_else(String::new)
    });
    capture.end();
}

#[test]
fn what_a_slow_reader_misses_is_counted() {
    let world = world();
    let one = world.inside("one");
    let mut capture = Running::start(&world, &["-s", "64", "one"]);
    let macs = (world.mac("one", "front"), world.mac("two", "front"));
    let frame = ip(macs, address("10.7.0.2"), address("10.7.0.3")).udp(1, 9, &[0; 1000]);
    let count = 40_000;
    send_repeatedly(&one, "eth0", &frame, count);
    let mut output = capture.child.stdout.take().unwrap();
    let mut written = Vec::new();
    let (captured, lost) = std::thread::scope(|scope| {
        scope.spawn(|| output.read_to_end(&mut written).unwrap());
        capture.interrupt()
    });
    assert!(lost > 0 && captured > 0, "{captured} captured, {lost} lost");
    let path = world.directory.join("slow.pcapng");
    std::fs::write(&path, &written).unwrap();
    assert_eq!(
        read(path.to_str().unwrap()).lines().count(),
        usize::try_from(captured).unwrap()
    );
}

#[test]
fn the_capture_ends_with_the_container() {
    let world = world();
    let path = world.directory.join("two.pcapng");
    let file = path.to_str().unwrap();
    let capture = Running::start(&world, &["two", "-w", file]);
    ping(&world.inside("one"), "10.7.0.3", 64);
    world.ok(&["rm", "-f", "two"]);
    let (captured, _) = capture.end();
    assert!(captured >= 6);
    assert!(read(file).contains("10.7.0.2 > 10.7.0.3: ICMP echo request"));
}

#[test]
fn what_cannot_be_captured_is_an_error() {
    let world = world();
    world.run("guest", &["--net", "host"]);
    world.ok(&["stop", "-t", "0", "two"]);
    let id = world.inspect("two")["Id"].as_str().unwrap().to_owned();
    for (arguments, text) in [
        (&["nobody"][..], "Error: No such container: nobody"),
        (
            &["two"],
            &format!("Error response from daemon: Container {id} is not running"),
        ),
        (
            &["guest"],
            "Error response from daemon: container guest is on the host's own network",
        ),
        (&["-i", "eth7", "one"], "container one has no interface eth7"),
        (
            &["-w", "/nowhere/x", "one"],
            "/nowhere/x: No such file or directory (os error 2)",
        ),
    ] {
        world.refuses(&[&["pcap"], arguments].concat(), 1, text);
    }
    // `script` gives it a terminal
    let binary = world.command(&[]).get_args().nth(3).unwrap().to_owned();
    let line = format!("{} --socket {} pcap one", binary.display(), world.socket().display());
    let mut script = world.host.command("script");
    let said = Output::of(script.args(["-q", "-e", "-c", &line, "/dev/null"]));
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.stdout.contains("a capture is no text for a terminal"), "{said:?}");
}
