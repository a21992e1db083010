//! How far below the frame pointer (r10) one function goes.

use std::collections::BTreeMap;

/// Bytes of an instruction.
pub(super) const INSTRUCTION: usize = 8;

/// What an instruction does, from `linux/bpf.h`; the names of the kernel's disassembler.
mod code {
    /// Mask of the class, and the classes that do not write their destination register.
    pub(super) const CLASS: u8 = 0x07;
    pub(super) const LDX: u8 = 0x01;
    pub(super) const ST: u8 = 0x02;
    pub(super) const STX: u8 = 0x03;
    pub(super) const JMP: u8 = 0x05;
    pub(super) const JMP32: u8 = 0x06;
    /// 64 bits in two instructions.
    pub(super) const LD_IMM64: u8 = 0x18;
    pub(super) const ADD_NUMBER: u8 = 0x07;
    pub(super) const ADD_REGISTER: u8 = 0x0f;
    pub(super) const MOVE_REGISTER: u8 = 0xbf;
    pub(super) const JUMP: u8 = 0x05;
    pub(super) const JUMP_FAR: u8 = 0x06;
    pub(super) const CALL: u8 = 0x85;
    pub(super) const EXIT: u8 = 0x95;
}

/// Source register of a call of a function, not of a helper.
const PSEUDO_CALL: usize = 1;

/// The frame pointer.
const FRAME: usize = 10;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Instruction {
    code: u8,
    destination: usize,
    source: usize,
    offset: i64,
    pub(super) immediate: i64,
}

impl Instruction {
    fn new(bytes: [u8; INSTRUCTION]) -> Self {
        let [code, registers, o0, o1, i0, i1, i2, i3] = bytes;
        Self {
            code,
            destination: usize::from(registers & 15),
            source: usize::from(registers >> 4),
            offset: i16::from_le_bytes([o0, o1]).into(),
            immediate: i32::from_le_bytes([i0, i1, i2, i3]).into(),
        }
    }

    /// Whether it calls a function of the object.
    pub(super) fn is_call(self) -> bool {
        self.code == code::CALL && self.source == PSEUDO_CALL
    }
}

/// The instructions of a function; none where the code ends before it.
pub(super) fn instructions(code: &[u8], offset: u64, size: u64) -> Vec<Instruction> {
    let [start, size] = [offset, size].map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    let code = code.get(start..start.saturating_add(size)).unwrap_or_default();
    code.as_chunks().0.iter().copied().map(Instruction::new).collect()
}

/// What is known of each register: the address that it holds, from the frame pointer.
type Registers = [Option<i64>; 16];

/// Bytes of the frame: down to the lowest address that is read, written or made, to be handed on.
pub(super) fn bytes(instructions: &[Instruction]) -> u64 {
    let mut nothing: Registers = [None; 16];
    nothing[FRAME] = Some(0);
    let mut registers = nothing;
    let mut arriving: BTreeMap<i64, Registers> = BTreeMap::new();
    let mut lowest = 0;
    let mut is_second_half = false;
    for (index, instruction) in (0..).zip(instructions) {
        if is_second_half {
            is_second_half = false;
            continue;
        }
        if let Some(there) = arriving.get(&index) {
            registers = either(&registers, there);
        }
        let Instruction {
            code,
            destination,
            source,
            offset,
            immediate,
        } = *instruction;
        let mut address = None;
        match code {
            code::MOVE_REGISTER => registers[destination] = registers[source],
            code::ADD_NUMBER => {
                address = registers[destination].map(|from| from + immediate);
                registers[destination] = address;
            }
            // the other operand is an index, which only adds
            code::ADD_REGISTER => registers[destination] = registers[destination].or(registers[source]),
            code::CALL => registers[..6].fill(None),
            code::EXIT => registers = nothing,
            code::JUMP | code::JUMP_FAR => {
                let distance = if code == code::JUMP { offset } else { immediate };
                meet(&mut arriving, index + 1 + distance, &registers);
                registers = nothing;
            }
            _ => match code & code::CLASS {
                code::ST | code::STX => address = registers[destination].map(|from| from + offset),
                code::JMP | code::JMP32 => meet(&mut arriving, index + 1 + offset, &registers),
                class => {
                    if class == code::LDX {
                        address = registers[source].map(|from| from + offset);
                    }
                    registers[destination] = None;
                    is_second_half = code == code::LD_IMM64;
                }
            },
        }
        lowest = lowest.min(address.unwrap_or(0));
    }
    lowest.unsigned_abs()
}

/// A jump takes what is known to where it leads.
fn meet(arriving: &mut BTreeMap<i64, Registers>, target: i64, registers: &Registers) {
    arriving
        .entry(target)
        .and_modify(|there| *there = either(there, registers))
        .or_insert(*registers);
}

/// Where two ways meet, the lower address of each register.
fn either(a: &Registers, b: &Registers) -> Registers {
    std::array::from_fn(|register| [a[register], b[register]].into_iter().flatten().min())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instruction(code: u8, [destination, source]: [usize; 2], offset: i64, immediate: i64) -> Instruction {
        Instruction {
            code,
            destination,
            source,
            offset,
            immediate,
        }
    }

    /// `r<destination> = r<source>`
    fn copy(destination: usize, source: usize) -> Instruction {
        instruction(code::MOVE_REGISTER, [destination, source], 0, 0)
    }

    /// `r<register> += number`
    fn add(register: usize, number: i64) -> Instruction {
        instruction(code::ADD_NUMBER, [register, 0], 0, number)
    }

    /// `*(u64 *)(r<register> + offset) = r0`
    fn store(register: usize, offset: i64) -> Instruction {
        instruction(0x7b, [register, 0], offset, 0)
    }

    /// `r0 = *(u64 *)(r<register> + offset)`
    fn load(register: usize, offset: i64) -> Instruction {
        instruction(0x79, [0, register], offset, 0)
    }

    /// `if r0 == 0 goto +distance`
    fn branch(distance: i64) -> Instruction {
        instruction(0x15, [0, 0], distance, 0)
    }

    fn jump(distance: i64) -> Instruction {
        instruction(code::JUMP, [0, 0], distance, 0)
    }

    fn exit() -> Instruction {
        instruction(code::EXIT, [0, 0], 0, 0)
    }

    fn call() -> Instruction {
        instruction(code::CALL, [0, 0], 0, 1)
    }

    #[test]
    fn an_instruction_is_read() {
        // *(u32 *)(r10 - 24) = r1
        let read = instructions(&[0x63, 0x1a, 0xe8, 0xff, 0, 0, 0, 0], 0, 8);
        assert_eq!(read, [instruction(0x63, [10, 1], -24, 0)]);
        // call -1
        let read = instructions(&[0x85, 0x10, 0, 0, 0xff, 0xff, 0xff, 0xff], 0, 8);
        assert!(read[0].is_call());
        assert_eq!(read[0].immediate, -1);
        assert!(!call().is_call());
    }

    #[test]
    fn a_frame_ends_at_its_lowest_address() {
        let table: [(&str, Vec<Instruction>, u64); 13] = [
            ("nothing", vec![exit()], 0),
            ("a store", vec![store(10, -8), store(10, -24), store(10, -16)], 24),
            ("a load", vec![load(10, -40)], 40),
            ("another's memory", vec![store(1, -64), load(2, -80), add(3, -8)], 0),
            ("handed to a helper", vec![copy(2, 10), add(2, -104), call()], 104),
            ("far apart", vec![copy(2, 10), copy(1, 3), add(2, -48)], 48),
            (
                "from a copy",
                vec![copy(6, 10), add(6, -48), copy(1, 6), add(1, -8)],
                56,
            ),
            ("upwards", vec![copy(6, 10), add(6, -48), add(6, 16), store(6, 0)], 48),
            ("below a copy", vec![copy(6, 10), add(6, -48), store(6, -24)], 72),
            ("overwritten", vec![copy(1, 10), load(2, 0), copy(1, 2), add(1, -48)], 0),
            (
                "after a call",
                vec![copy(1, 10), copy(6, 10), call(), add(1, -48), add(6, -8)],
                8,
            ),
            (
                "an index",
                vec![
                    copy(1, 10),
                    add(1, -32),
                    instruction(code::ADD_REGISTER, [2, 1], 0, 0),
                    store(2, -8),
                ],
                40,
            ),
            (
                "a number in two halves",
                vec![
                    copy(1, 10),
                    instruction(code::LD_IMM64, [2, 0], 0, 0),
                    store(1, -8),
                    store(1, -16),
                ],
                16,
            ),
        ];
        for (what, instructions, expected) in table {
            assert_eq!(bytes(&instructions), expected, "{what}");
        }
    }

    #[test]
    fn what_is_known_goes_with_jumps_alone() {
        let set = [copy(6, 10), add(6, -16)];
        let over_exit = [&set[..], &[branch(1), exit(), store(6, -8)]].concat();
        assert_eq!(bytes(&over_exit), 24);
        let not_there = [&set[..], &[exit(), store(6, -8)]].concat();
        assert_eq!(bytes(&not_there), 16);
        // one way sets r6 to -16, the other to -32
        let both = [
            &[branch(3)],
            &set[..],
            &[jump(2), copy(6, 10), add(6, -32), store(6, -8)],
        ]
        .concat();
        assert_eq!(bytes(&both), 40);
    }
}
