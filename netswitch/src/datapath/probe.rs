//! What the helpers of this kernel accept, found out by a call of each: stable kernels have flags of later versions.

use std::{io, os::fd::AsRawFd as _};

use super::batch::{bpf, bpf_descriptor};

/// Commands of bpf(2).
const LOAD: libc::c_long = 5;
const TEST_RUN: libc::c_long = 10;

/// `BPF_PROG_TYPE_SCHED_CLS`.
const SCHED_CLS: u32 = 3;

/// Helpers, linux/bpf.h.
const L4_CSUM_REPLACE: i32 = 11;
const FIB_LOOKUP: i32 = 69;

/// `BPF_F_IPV6` of `bpf_l4_csum_replace`.
pub const CHECKSUM_IPV6: u32 = 1 << 7;
/// `BPF_FIB_LOOKUP_SRC` and `BPF_FIB_LOOKUP_MARK` of `bpf_fib_lookup`.
const ROUTE_SOURCE: u32 = 1 << 4;
const ROUTE_MARK: u32 = 1 << 5;
/// `BPF_FIB_LOOKUP_TBID`.
const ROUTE_TABLE: u32 = 1 << 3;
/// `struct bpf_fib_lookup`.
const ROUTE_SIZE: i16 = 64;

/// Whether `bpf_l4_csum_replace` knows [`CHECKSUM_IPV6`]. It looks at the flags before the offset, which is odd.
pub fn checksum_knows_ipv6() -> bool {
    let call = [
        set(2, 1),
        set(3, 0),
        set(4, 0),
        set(5, CHECKSUM_IPV6.cast_signed()),
        call(L4_CSUM_REPLACE),
        EXIT,
    ];
    accepted(&call, libc::EFAULT)
}

/// Which flags `bpf_fib_lookup` knows: that it chooses a source address, and goes by the packet's mark.
pub fn route_flags() -> u32 {
    [ROUTE_SOURCE, ROUTE_MARK]
        .into_iter()
        .filter(|flag| route_knows(*flag))
        .fold(0, |flags, flag| flags | flag)
}

/// Whether `bpf_fib_lookup` can be asked about one table.
pub fn can_ask_tables() -> bool {
    route_knows(ROUTE_TABLE)
}

/// Whether `bpf_fib_lookup` knows a flag. It looks at the flags before the address family, which is 0.
fn route_knows(flag: u32) -> bool {
    let clear = (1..=ROUTE_SIZE / 8).map(|word| clear(-8 * word));
    let call = [
        copy(2, STACK),
        add(2, -i32::from(ROUTE_SIZE)),
        set(3, ROUTE_SIZE.into()),
        set(4, flag.cast_signed()),
        call(FIB_LOOKUP),
        EXIT,
    ];
    accepted(&clear.chain(call).collect::<Vec<_>>(), libc::EAFNOSUPPORT)
}

/// What a program's call of a helper says: `fault` from one that accepts its flags, `EINVAL` from one that does not.
/// Where nothing can be said, the programs do without the flag.
fn accepted(program: &[Instruction], fault: i32) -> bool {
    match run(program) {
        Ok(result) if result == -fault => true,
        Ok(result) if result == -libc::EINVAL => false,
        unclear => {
            tracing::warn!(?unclear, "a helper of the kernel does not tell whether it knows a flag");
            false
        }
    }
}

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// The register with the end of the stack.
const STACK: u8 = 10;
const EXIT: Instruction = instruction(0x95, 0, 0, 0);

const fn instruction(code: u8, registers: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers,
        offset,
        immediate,
    }
}

const fn set(register: u8, value: i32) -> Instruction {
    instruction(0xb7, register, 0, value)
}

const fn copy(to: u8, from: u8) -> Instruction {
    instruction(0xbf, from << 4 | to, 0, 0)
}

const fn add(register: u8, value: i32) -> Instruction {
    instruction(0x07, register, 0, value)
}

/// Eight bytes of the stack.
const fn clear(offset: i16) -> Instruction {
    instruction(0x7a, STACK, offset, 0)
}

/// Takes registers 1 to 5, of which 1 has the program's context; the result is in 0.
const fn call(helper: i32) -> Instruction {
    instruction(0x85, 0, 0, helper)
}

/// The part of `union bpf_attr` that a program is loaded with.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
}

/// The part of `union bpf_attr` that a program is run with.
#[repr(C)]
struct TestRun {
    program: u32,
    result: u32,
    input_size: u32,
    output_size: u32,
    input: u64,
    output: u64,
}

/// Loads a program, runs it on an empty frame, and says what it returned.
fn run(program: &[Instruction]) -> io::Result<i32> {
    let frame = [0_u8; 64];
    let mut load = Load {
        kind: SCHED_CLS,
        count: u32::try_from(program.len()).map_err(io::Error::other)?,
        instructions: program.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
    };
    let program = bpf_descriptor(LOAD, &mut load)?;
    let mut test = TestRun {
        program: program.as_raw_fd().cast_unsigned(),
        result: 0,
        input_size: u32::try_from(frame.len()).map_err(io::Error::other)?,
        output_size: 0,
        input: frame.as_ptr() as u64,
        output: 0,
    };
    bpf(TEST_RUN, &mut test)?;
    Ok(test.result.cast_signed())
}

#[cfg(test)]
mod tests {
    use aya::util::KernelVersion;
    use nix::unistd::geteuid;

    use super::*;

    #[test]
    fn a_kernel_has_the_flags_of_its_version() {
        if !geteuid().is_root() {
            return;
        }
        let kernel = KernelVersion::current().unwrap();
        let probes = [
            (checksum_knows_ipv6(), KernelVersion::new(6, 16, 0)),
            (route_knows(ROUTE_SOURCE), KernelVersion::new(6, 7, 0)),
            (route_knows(ROUTE_MARK), KernelVersion::new(6, 10, 0)),
        ];
        for (found, since) in probes {
            assert!(found || kernel < since, "{since:?}");
        }
    }

    #[test]
    fn a_flag_that_no_kernel_has_is_not_accepted() {
        if !geteuid().is_root() {
            return;
        }
        let program = [
            set(2, 1),
            set(3, 0),
            set(4, 0),
            set(5, 1 << 30),
            call(L4_CSUM_REPLACE),
            EXIT,
        ];
        assert!(!accepted(&program, libc::EFAULT));
        assert_eq!(run(&program).unwrap(), -libc::EINVAL);
    }
}
