//! Runs datapath tests and a ping between two containers on the oldest supported kernel, in qemu. It emulates the
//! processor (no KVM needed), which is fast enough: two seconds to the first test.

mod archive;
mod modules;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use self::archive::Archive;
use crate::progress::Step;
use crate::setup::Machine;
use crate::{command, place};

/// Starts the line of a check that is not a libtest one: `name ok` or `name failed` follows.
pub(crate) const RESULT: &str = "VM-RESULT ";

/// The line that shows that the run came to its end.
pub(crate) const END: &str = "VM-END";

/// Emulation has no upper bound on time; this is far above what the tests need.
const LIMIT_SECONDS: &str = "1800";

/// Kernel modules that a switch and a container's root need; the rest is built in.
const MODULES: [&str; 4] = ["veth", "sch_ingress", "cls_bpf", "overlay"];

/// Those of more kinds of devices, for the tests called `devices`. Some make a device in each namespace.
const DEVICES: [&str; 8] = [
    "8021q",
    "ip6_gre",
    "ip6_tunnel",
    "ip_gre",
    "ipip",
    "ipvlan",
    "sit",
    "wireguard",
];

/// The tests whose result can differ by kernel, by parts of their names: helpers that look routes, neighbours and sizes
/// up, that clone, redirect, cut and grow packets and mend checksums; how programs are attached, pinned and replaced.
const BY_KERNEL: [&str; 16] = [
    "layout::the_next_version",
    "leash::an_address",
    "limit::packets_are_counted",
    "names::names_of_the_network",
    "nat::",
    "rate::",
    "rows::every_",
    "rows::flows_by_program",
    "rows::forward_by_explanation",
    "rows::host_by_program",
    "rows::mtu_by_program",
    "rows::neighbour_by_program",
    "rows::replicate_by_program",
    "rows::s08_",
    "rows::s36_",
    "xdp::",
];

/// Which tests run in the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    ByKernel,
    All,
}

/// The initramfs is a rootfs, which no container can pivot away from: go on in a tmpfs.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox mkdir /new
/bin/busybox mount -t tmpfs -o mode=755,size=90% root /new
for entry in /*; do
    case $entry in /new | /dev | /init) ;; *) /bin/busybox cp -a $entry /new/ ;; esac
done
exec /bin/busybox switch_root /new /second
";

const SECOND: &str = "#!/bin/busybox sh
export PATH=/bin HOME=/root
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /run /tmp /var/lib /root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
for module in /modules/*; do insmod $module || echo \"$module does not load\"; done
/bin/ip link set lo up
echo \"kernel $(uname -r)\"
/bin/datapath --test-threads 2 $(cat /tests) 2>&1 || echo \"datapath: exit status $?\"
sh /containers
for module in /devices/*; do insmod $module || echo \"$module does not load\"; done
NETSWITCH_BINARY=/bin/netswitch /bin/devices --test-threads 1 2>&1 || echo \"devices: exit status $?\"
echo VM-END
poweroff -f
";

const CONTAINERS: &str = "check() {
    name=$1
    shift
    if \"$@\" >/tmp/said 2>&1; then echo \"VM-RESULT $name ok\"; else cat /tmp/said; echo \"VM-RESULT $name failed\"; fi
}
netswitch agent --uplink none >/tmp/agent.log 2>&1 &
tries=0
until netswitch network ls >/dev/null 2>&1 || [ $tries -ge 150 ]; do tries=$((tries + 1)); sleep 0.2; done
check agent_serves netswitch network ls
check first_container_runs netswitch run -d --name one -- sleep 300
check second_container_runs netswitch run -d --name two -- sleep 300
check container_pings_container netswitch exec one ping -c 3 -W 5 172.17.0.3
check container_pings_gateway netswitch exec two ping -c 3 -W 5 172.17.0.1
check host_pings_container ping -c 3 -W 5 172.17.0.2
check containers_go netswitch rm -f one two
cat /tmp/agent.log
";

/// What runs in the machine.
pub(crate) struct Programs<'a> {
    /// The test binary `datapath`.
    pub(crate) datapath: &'a Path,
    /// The test binary `devices`.
    pub(crate) devices: &'a Path,
    pub(crate) netswitch: &'a Path,
}

/// Boots the kernel with these programs in it; returns what the console said.
pub(crate) fn run(machine: &Machine, programs: &Programs, extent: Extent) -> Result<String> {
    let work = place::target().join("vm");
    fs::create_dir_all(&work).with_context(|| work.display().to_string())?;
    let initramfs = work.join("initramfs");
    let mut contents = contents(machine, programs, &work)?;
    let tests = match extent {
        Extent::ByKernel => BY_KERNEL.join(" "),
        Extent::All => String::new(),
    };
    contents.file("tests", tests.as_bytes());
    fs::write(&initramfs, contents.finish()).with_context(|| initramfs.display().to_string())?;
    let step = Step::start("running the datapath tests and two containers on kernel 6.1");
    let console = command::read(
        machine
            .emulator(LIMIT_SECONDS)
            .args(["-accel", "tcg,thread=multi", "-cpu", "Haswell"])
            .args(["-m", "2048", "-smp", "2", "-nographic", "-no-reboot", "-nic", "none"])
            .arg("-kernel")
            .arg(&machine.image)
            .arg("-initrd")
            .arg(&initramfs)
            .args(["-append", "console=ttyS0 quiet loglevel=3 panic=-1"]),
    );
    step.end(if console.is_ok() { "done" } else { "failed" });
    Ok(console?.replace('\r', ""))
}

fn contents(machine: &Machine, programs: &Programs, work: &Path) -> Result<Archive> {
    let mut archive = Archive::default();
    for (name, script) in [("init", INIT), ("second", SECOND), ("containers", CONTAINERS)] {
        archive.file(name, script.as_bytes());
    }
    archive.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n");
    archive.file("etc/group", b"root:x:0:\n");
    archive.file("etc/hosts", b"127.0.0.1 localhost\n");
    archive.file("etc/resolv.conf", b"");
    archive.file("bin/busybox", &read(&machine.busybox)?);
    let common = modules::in_load_order(&machine.modules, &MODULES)?;
    let mut more = modules::in_load_order(&machine.modules, &DEVICES)?;
    more.retain(|module| !common.contains(module));
    for (folder, modules) in [("modules", common), ("devices", more)] {
        for (index, module) in modules.iter().enumerate() {
            let name = module.file_name().unwrap_or_default().to_string_lossy();
            archive.file(&format!("{folder}/{index:02}-{name}"), &read(module)?);
        }
    }
    let mut libraries = BTreeSet::new();
    let ours = [
        ("bin/datapath", programs.datapath),
        ("bin/devices", programs.devices),
        ("bin/netswitch", programs.netswitch),
    ];
    // the shell of busybox prefers its own `ip`
    let found = ["ip", "ping", "sh", "timeout"].map(|name| (name, command::find(name)));
    let mut all: Vec<_> = ours.map(|(path, program)| (path.to_owned(), program.to_owned())).into();
    for (name, program) in found {
        let program = program.with_context(|| format!("{name} is not in PATH"))?;
        all.push((format!("bin/{name}"), program));
    }
    for (path, program) in all {
        let stripped = work.join(path.trim_start_matches("bin/"));
        command::read(Command::new("strip").arg("-o").arg(&stripped).arg(&program))?;
        archive.file(&path, &read(&stripped)?);
        libraries.extend(libraries_of(&program)?);
    }
    for library in libraries {
        archive.file(&library.to_string_lossy(), &read(&library)?);
    }
    Ok(archive)
}

fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    let list = command::read(Command::new("ldd").arg(program))?;
    let paths = list.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}
