//! What a packet costs inside the eBPF programs, by the kernel's own run-time statistics.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};

/// Commands of bpf(2), linux/bpf.h.
const PROG_GET_FD_BY_ID: u32 = 13;
const OBJ_GET_INFO_BY_FD: u32 = 15;
const ENABLE_STATS: u32 = 32;

/// `enum bpf_prog_type` of what runs per packet: a socket hook costs its system call, not the packets.
const PACKET_PROGRAMS: [u32; 2] = [3, 6]; // SCHED_CLS, XDP

/// Fewer runs than this in one scenario is not the packet path.
const LEAST_RUNS: u64 = 10_000;

/// One program's share of the work.
pub struct Cost {
    pub name: String,
    /// Of one run.
    pub nanoseconds: f64,
    runs: f64,
}

#[cfg(test)]
impl Cost {
    pub fn new(name: &str, nanoseconds: f64) -> Self {
        Self {
            name: name.into(),
            nanoseconds,
            runs: 1.0,
        }
    }
}

/// Of the programs of a process that `traffic` runs, per run.
pub fn average(process: u32, traffic: impl FnOnce() -> Result<()>) -> Result<f64> {
    let costs = cost(process, traffic)?;
    let runs: f64 = costs.iter().map(|cost| cost.runs).sum();
    ensure!(runs > 0.0, "no eBPF program saw the traffic");
    Ok(costs.iter().map(|cost| cost.nanoseconds * cost.runs).sum::<f64>() / runs)
}

/// Nanoseconds of all programs of a process that `traffic` runs; 0 where there are none.
pub fn total(process: u32, traffic: impl FnOnce() -> Result<()>) -> Result<f64> {
    Ok(cost(process, traffic)?
        .iter()
        .map(|cost| cost.nanoseconds * cost.runs)
        .sum())
}

/// Runs `traffic` with statistics on, which cost time themselves: no rate is measured meanwhile. Programs that other
/// processes have loaded see other traffic.
pub fn cost(process: u32, traffic: impl FnOnce() -> Result<()>) -> Result<Vec<Cost>> {
    let _statistics = bpf_descriptor(ENABLE_STATS, &mut [0; 2]).context("turn on eBPF statistics")?;
    let before = programs(process)?;
    traffic()?;
    let after = programs(process)?;
    Ok(after
        .into_iter()
        .filter_map(|(id, after)| after.since(before.get(&id)?))
        .collect())
}

struct Program {
    kind: u32,
    name: String,
    nanoseconds: u64,
    runs: u64,
}

impl Program {
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds and packets of two seconds")]
    fn since(self, before: &Self) -> Option<Cost> {
        let runs = self.runs.checked_sub(before.runs).filter(|runs| *runs >= LEAST_RUNS)?;
        let runs = runs as f64;
        Some(Cost {
            name: self.name,
            nanoseconds: self.nanoseconds.saturating_sub(before.nanoseconds) as f64 / runs,
            runs,
        })
    }
}

/// What a process has loaded and runs per packet, by id.
fn programs(process: u32) -> Result<BTreeMap<u32, Program>> {
    let mut programs = BTreeMap::new();
    for id in held(process)? {
        // one that was unloaded meanwhile sees no traffic
        if let Ok(descriptor) = bpf_descriptor(PROG_GET_FD_BY_ID, &mut [id, 0, 0]) {
            let program = information(&descriptor)?;
            if PACKET_PROGRAMS.contains(&program.kind) {
                programs.insert(id, program);
            }
        }
    }
    Ok(programs)
}

/// The programs of a process's open descriptors, from proc(5).
fn held(process: u32) -> Result<BTreeSet<u32>> {
    let folder = format!("/proc/{process}/fdinfo");
    let entries = fs::read_dir(&folder).with_context(|| folder.clone())?;
    let id = |text: String| {
        text.lines()
            .find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok())
    };
    Ok(entries
        .flatten()
        // a descriptor may be closed meanwhile
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .filter_map(id)
        .collect())
}

/// `struct bpf_prog_info`, linux/bpf.h: `type` at 0, `name` at 64, `run_time_ns` at 192, `run_cnt` at 200.
fn information(program: &OwnedFd) -> Result<Program> {
    let mut info = [0_u8; 208];
    let address = (&raw mut info).expose_provenance() as u64;
    let [low, high] = halves(address);
    let mut attributes = [
        program.as_raw_fd().cast_unsigned(),
        u32::try_from(info.len())?,
        low,
        high,
    ];
    bpf(OBJ_GET_INFO_BY_FD, &mut attributes).context("ask for an eBPF program's statistics")?;
    let name = &info[64..80];
    let number = |at: usize| -> Result<u64> { Ok(u64::from_ne_bytes(info[at..at + 8].try_into()?)) };
    Ok(Program {
        kind: u32::from_ne_bytes(info[..4].try_into()?),
        name: String::from_utf8_lossy(name).trim_end_matches('\0').into(),
        nanoseconds: number(192)?,
        runs: number(200)?,
    })
}

fn halves(value: u64) -> [u32; 2] {
    let bytes = value.to_ne_bytes();
    [
        u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
        u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
    ]
}

fn bpf_descriptor(command: u32, attributes: &mut [u32]) -> Result<OwnedFd> {
    let descriptor = i32::try_from(bpf(command, attributes)?)?;
    // SAFETY: the kernel has just made this descriptor for us, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// bpf(2) with the first words of `union bpf_attr`; the kernel takes the rest as zero.
fn bpf(command: u32, attributes: &mut [u32]) -> Result<i64> {
    // SAFETY: the kernel reads and writes no more than the size given, which is the slice's own;
    // the one address within (in `information`) points to a live buffer whose length stands beside it.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size_of_val(attributes)) };
    if result < 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(result)
}
