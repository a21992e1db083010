//! What the programs take of the kernel's 512 bytes of stack, counted as the verifier of 6.1 counts
//! (`check_max_stack_depth`): along every chain of calls, the callbacks of helpers among them, each function's frame
//! rounded up to 32 bytes. Later kernels round to 16 where they compile programs, and so find less. The verifier
//! leaves out what no packet can reach (the log, where it is off); here everything counts.

mod frame;
mod name;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::Error;
use crate::elf::{Elf, Symbol};
use frame::{INSTRUCTION, Instruction};

/// Functions on the stack at once, from the kernel's `MAX_CALL_FRAMES`.
pub const FRAMES: usize = 8;

/// What the verifier of 6.1 rounds a frame up to.
const UNIT: u64 = 32;

/// Section of the functions that programs call.
const SHARED: &str = ".text";

/// What the functions of an object take.
pub struct Stack {
    /// By name.
    pub programs: Vec<Measured>,
    /// What helpers call, `bpf_loop` for one: counted in `programs` below the functions that hand them over.
    pub callbacks: Vec<Measured>,
}

/// A function and everything below it.
pub struct Measured {
    pub name: String,
    /// Of its deepest chain: what the verifier compares with 512.
    pub bytes: u64,
    /// Itself, then the functions that the deepest chain leads through, each with the bytes of its own frame.
    pub chain: Vec<(String, u64)>,
    /// Functions on its longest chain, which may be another one.
    pub frames: usize,
    /// Of itself and of each function below it once, as they are loaded.
    pub instructions: usize,
}

/// Measures every program of the object.
pub fn measure(object: &Path) -> Result<Stack, Error> {
    let bytes = fs::read(object).map_err(crate::at(object))?;
    let graph = Graph::read(&Elf { bytes: &bytes })?;
    let measured = |wanted: BTreeSet<usize>| {
        let measured = wanted.into_iter().map(|index| graph.measure(index));
        let mut measured = measured.collect::<Result<Vec<_>, _>>()?;
        measured.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(measured)
    };
    let programs = (0..).zip(&graph.functions).filter(|(_, function)| function.is_program);
    let callbacks = graph.functions.iter().flat_map(|function| &function.callbacks);
    Ok(Stack {
        programs: measured(programs.map(|(index, _)| index).collect())?,
        callbacks: measured(callbacks.copied().collect())?,
    })
}

#[derive(Default)]
struct Function {
    name: String,
    is_program: bool,
    /// Of its own frame, as the verifier prints it.
    bytes: u64,
    instructions: usize,
    /// Indices of the functions that it calls or hands over, in order.
    calls: Vec<usize>,
    /// Those among them that it hands over.
    callbacks: Vec<usize>,
}

struct Graph {
    functions: Vec<Function>,
}

/// The section and the offset of the function that the instruction at `place` calls or hands over; `reference` is
/// what its relocation names, if that is in a section with instructions.
fn target(instruction: Instruction, place: (u64, u64), reference: Option<&Symbol>) -> Option<(u64, u64)> {
    let named = reference.map(|symbol| (symbol.section, symbol.offset));
    if instruction.is_call() {
        // from the instruction behind the call, in instructions; where a symbol is named, from that one
        let (section, offset) = named.unwrap_or(place);
        return Some((section, offset.wrapping_add_signed((instruction.immediate + 1) * 8)));
    }
    named.map(|(section, offset)| (section, offset.wrapping_add_signed(instruction.immediate)))
}

/// The deepest and the longest chain of a function.
#[derive(Clone, Copy)]
struct Below {
    bytes: u64,
    frames: usize,
    next: Option<usize>,
}

impl Graph {
    fn read(elf: &Elf) -> Result<Self, Error> {
        let symbols = elf.symbols();
        let functions: Vec<_> = symbols.iter().filter(|symbol| symbol.is_function).collect();
        let places = functions.iter().map(|symbol| (symbol.section, symbol.offset));
        let places: BTreeMap<_, _> = places.zip(0..).collect();
        let references: BTreeMap<_, _> = elf
            .relocations()
            .into_iter()
            .filter_map(|reference| Some(((reference.section, reference.offset), symbols.get(reference.symbol)?)))
            .filter(|(_, symbol)| !elf.code(symbol.section).is_empty())
            .collect();
        let read = |symbol: &&Symbol| {
            let code = frame::instructions(elf.code(symbol.section), symbol.offset, symbol.size);
            let mut function = Function {
                name: name::readable(&symbol.name),
                is_program: elf.section_name(symbol.section) != SHARED,
                bytes: frame::bytes(&code),
                instructions: code.len(),
                ..Function::default()
            };
            for (offset, instruction) in (symbol.offset..).step_by(INSTRUCTION).zip(&code) {
                let place = (symbol.section, offset);
                let Some(target) = target(*instruction, place, references.get(&place).copied()) else {
                    continue;
                };
                let Some(callee) = places.get(&target) else {
                    return Err(Error::Failed(format!(
                        "{} calls what is no function, by its instruction at {offset:#x}",
                        function.name
                    )));
                };
                function.calls.push(*callee);
                if !instruction.is_call() {
                    function.callbacks.push(*callee);
                }
            }
            Ok(function)
        };
        Ok(Self {
            functions: functions.iter().map(read).collect::<Result<_, _>>()?,
        })
    }

    fn measure(&self, index: usize) -> Result<Measured, Error> {
        let mut known = BTreeMap::new();
        let below = self.below(index, &mut known, &mut Vec::new())?;
        let chain = std::iter::successors(Some(index), |index| known[index].next);
        Ok(Measured {
            name: self.functions[index].name.clone(),
            bytes: below.bytes,
            chain: chain
                .map(|index| (self.functions[index].name.clone(), self.functions[index].bytes))
                .collect(),
            frames: below.frames,
            instructions: known.keys().map(|index| self.functions[*index].instructions).sum(),
        })
    }

    /// `path` leads here; what is `known` at the end is everything that can be reached.
    fn below(&self, index: usize, known: &mut BTreeMap<usize, Below>, path: &mut Vec<usize>) -> Result<Below, Error> {
        let function = &self.functions[index];
        if let Some(below) = known.get(&index) {
            return Ok(*below);
        }
        if path.contains(&index) {
            return Err(Error::Failed(format!("{} calls itself", function.name)));
        }
        path.push(index);
        let (mut bytes, mut frames, mut next) = (0, 0, None);
        for callee in &function.calls {
            let below = self.below(*callee, known, path)?;
            frames = frames.max(below.frames);
            if below.bytes > bytes {
                (bytes, next) = (below.bytes, Some(*callee));
            }
        }
        path.pop();
        let below = Below {
            bytes: bytes + function.bytes.max(1).next_multiple_of(UNIT),
            frames: frames + 1,
            next,
        };
        known.insert(index, below);
        Ok(below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section of the test's programs, and of what they share.
    const PROGRAMS: u8 = 2;
    const TEXT: u8 = 3;

    /// `*(u64 *)(r10 - bytes) = r1`
    fn store(bytes: i16) -> [u8; INSTRUCTION] {
        let [low, high] = (-bytes).to_le_bytes();
        [0x7b, 0x1a, low, high, 0, 0, 0, 0]
    }

    fn call(immediate: i32) -> [u8; INSTRUCTION] {
        let [a, b, c, d] = immediate.to_le_bytes();
        [0x85, 0x10, 0, 0, a, b, c, d]
    }

    /// A call whose target only the relocation knows.
    const CALL: [u8; INSTRUCTION] = [0x85, 0x10, 0, 0, 0xff, 0xff, 0xff, 0xff];
    const EXIT: [u8; INSTRUCTION] = [0x95, 0, 0, 0, 0, 0, 0, 0];
    const SECOND_HALF: [u8; INSTRUCTION] = [0; 8];

    /// `r2 = address`
    fn address(address: u8) -> [u8; INSTRUCTION] {
        [0x18, 2, 0, 0, address, 0, 0, 0]
    }

    /// An ELF file of six sections: symbols, programs, what they share, relocations of each, names.
    struct Object {
        programs: Vec<[u8; INSTRUCTION]>,
        shared: Vec<[u8; INSTRUCTION]>,
        /// Name, type, section, first instruction, instructions.
        symbols: Vec<(&'static str, u8, u8, u8, u8)>,
        /// Instruction of the programs, symbol.
        relocations: Vec<(u8, u8)>,
    }

    impl Object {
        fn bytes(&self) -> Vec<u8> {
            let mut names = b"\0classifier\0.text\0".to_vec();
            let mut symbols = Vec::new();
            for (name, kind, section, first, count) in &self.symbols {
                let at = u8::try_from(names.len()).unwrap();
                names.extend(name.bytes().chain([0]));
                symbols.extend([at, 0, 0, 0, *kind, 0, *section, 0, first * 8, 0, 0, 0, 0, 0, 0, 0]);
                symbols.extend([count * 8, 0, 0, 0, 0, 0, 0, 0]);
            }
            let relocation = |(instruction, symbol): &(u8, u8)| {
                [instruction * 8, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, *symbol, 0, 0, 0]
            };
            let relocations = self.relocations.iter().flat_map(relocation).collect();
            // name, type, flags, linked section, what it is about, contents
            let sections: [(u8, u8, u8, u8, u8, Vec<u8>); 6] = [
                (0, 0, 0, 0, 0, Vec::new()),
                (0, 2, 0, 5, 0, symbols),
                (1, 1, 4, 0, 0, self.programs.concat()),
                (12, 1, 4, 0, 0, self.shared.concat()),
                (0, 9, 0, 1, PROGRAMS, relocations),
                (0, 3, 0, 0, 0, names),
            ];
            let mut bytes = vec![0; 0x40 * (1 + sections.len())];
            bytes[0x28] = 0x40; // section headers
            bytes[0x3a] = 0x40; // size of one
            bytes[0x3c] = 6;
            bytes[0x3e] = 5; // their names
            for (index, (name, kind, flags, link, about, contents)) in sections.into_iter().enumerate() {
                let header = 0x40 * (1 + index);
                let [place, size] = [bytes.len(), contents.len()].map(|number| u16::try_from(number).unwrap());
                bytes[header] = name;
                bytes[header + 0x04] = kind;
                bytes[header + 0x08] = flags;
                bytes[header + 0x18..header + 0x1a].copy_from_slice(&place.to_le_bytes());
                bytes[header + 0x20..header + 0x22].copy_from_slice(&size.to_le_bytes());
                bytes[header + 0x28] = link;
                bytes[header + 0x2c] = about;
                bytes.extend(contents);
            }
            bytes
        }

        fn graph(&self) -> Result<Graph, Error> {
            Graph::read(&Elf { bytes: &self.bytes() })
        }
    }

    /// The program calls `wide` by its symbol, `narrow` by its section, hands over `callback`; `wide` calls `deep`
    /// without a relocation.
    fn object() -> Object {
        Object {
            programs: vec![store(40), CALL, call(2), address(7 * 8), SECOND_HALF, EXIT],
            shared: vec![
                store(33),
                call(3), // wide
                EXIT,
                store(32), // narrow
                EXIT,
                store(1), // deep
                EXIT,
                EXIT, // callback
            ],
            symbols: vec![
                ("program", 2, PROGRAMS, 0, 6),
                ("wide", 2, TEXT, 0, 3),
                ("", 3, TEXT, 0, 0),
                ("narrow", 2, TEXT, 3, 2),
                ("deep", 2, TEXT, 5, 2),
                ("callback", 2, TEXT, 7, 1),
            ],
            relocations: vec![(1, 1), (2, 2), (3, 2)],
        }
    }

    fn measured(object: &Object, name: &str) -> Measured {
        let graph = object.graph().unwrap();
        let index = graph.functions.iter().position(|function| function.name == name);
        graph.measure(index.unwrap()).unwrap()
    }

    #[test]
    fn calls_are_found_however_they_are_written() {
        let graph = object().graph().unwrap();
        let calls: Vec<_> = graph
            .functions
            .iter()
            .map(|function| function.calls.as_slice())
            .collect();
        assert_eq!(calls, [&[1, 2, 4][..], &[3], &[], &[], &[]]);
        assert_eq!(graph.functions[0].callbacks, [4]);
        let programs: Vec<_> = graph.functions.iter().map(|function| function.is_program).collect();
        assert_eq!(programs, [true, false, false, false, false]);
    }

    #[test]
    fn the_deepest_chain_is_summed_by_frames_of_32() {
        let program = measured(&object(), "program");
        let chain = ["program", "wide", "deep"]
            .map(str::to_owned)
            .into_iter()
            .zip([40, 33, 1]);
        assert_eq!(program.chain, chain.collect::<Vec<_>>());
        assert_eq!(program.bytes, 64 + 64 + 32);
        assert_eq!(program.frames, 3);
        assert_eq!(program.instructions, 14);
    }

    #[test]
    fn a_callback_is_called_from_where_it_is_handed_over() {
        let mut object = object();
        object.shared[7] = store(200);
        assert_eq!(measured(&object, "program").bytes, 64 + 224);
    }

    #[test]
    fn a_function_without_a_frame_takes_one_unit() {
        assert_eq!(measured(&object(), "callback").bytes, 32);
    }

    #[test]
    fn a_function_that_calls_itself_is_refused() {
        let mut object = object();
        object.shared[5] = call(-6); // deep calls wide
        let refusal = object.graph().unwrap().measure(0).err().unwrap().to_string();
        assert_eq!(refusal, "wide calls itself");
    }

    #[test]
    fn a_call_of_no_function_is_refused() {
        let mut object = object();
        object.shared[1] = call(4);
        let refusal = object.graph().err().unwrap().to_string();
        assert_eq!(refusal, "wide calls what is no function, by its instruction at 0x8");
    }
}
