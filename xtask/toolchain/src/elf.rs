//! The one thing asked of the object file: that no panic is reachable.

use std::fs;
use std::path::Path;

use crate::Error;

/// Part of the mangled name of everything in `core::panicking`.
const PANICKING: &str = "core9panicking";

/// Section type of a symbol table, from the ELF specification.
const SYMBOL_TABLE: u64 = 2;

/// Fails if a panic is reachable: the verifier would only say "last insn is not an exit or jmp".
pub(crate) fn refuse_panics(object: &Path) -> Result<(), Error> {
    let bytes = fs::read(object).map_err(crate::at(object))?;
    let panics: Vec<_> = symbols(&Elf { bytes: &bytes })
        .into_iter()
        .filter(|name| name.contains(PANICKING))
        .collect();
    if panics.is_empty() {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "the eBPF object can panic (an index, a slice, a division or an unwrap without proof): {}\n\
         hint: llvm-objdump -dr {} shows where",
        panics.join(", "),
        object.display()
    )))
}

/// A little-endian 64-bit ELF file; what lies outside the file reads as 0.
struct Elf<'a> {
    bytes: &'a [u8],
}

impl Elf<'_> {
    fn number(&self, offset: u64, length: usize) -> u64 {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let field = self
            .bytes
            .get(offset..offset.saturating_add(length))
            .unwrap_or_default();
        field
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// A field of the section header with this index.
    fn section(&self, index: u64, field: u64, length: usize) -> u64 {
        let (table, entry_size) = (self.number(0x28, 8), self.number(0x3a, 2));
        self.number(table + index * entry_size + field, length)
    }

    fn name(&self, offset: u64) -> String {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.bytes.get(offset..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
        String::from_utf8_lossy(&rest[..end]).into_owned()
    }
}

fn symbols(elf: &Elf) -> Vec<String> {
    let sections = elf.number(0x3c, 2);
    (0..sections)
        .filter(|index| elf.section(*index, 0x04, 4) == SYMBOL_TABLE)
        .flat_map(|index| {
            let (offset, size) = (elf.section(index, 0x18, 8), elf.section(index, 0x20, 8));
            let names = elf.section(elf.section(index, 0x28, 4), 0x18, 8);
            (offset..offset + size)
                .step_by(24)
                .map(move |symbol| elf.name(names + elf.number(symbol, 4)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with one symbol table of one symbol, at the offsets that the format prescribes.
    fn object_with(symbol: &str) -> Vec<u8> {
        let mut bytes = vec![0; 0x100];
        bytes[0x28] = 0x40; // section headers
        bytes[0x3a] = 0x40; // size of one
        bytes[0x3c] = 2;
        bytes[0x44] = 2; // the first: symbol table …
        bytes[0x58] = 0xc0; // … at
        bytes[0x60] = 24; // … of size
        bytes[0x68] = 1; // … its names in section 1
        bytes[0x98] = 0xe0;
        bytes.splice(0xe0.., symbol.bytes().chain([0]));
        bytes
    }

    #[test]
    fn reads_symbol_names() {
        let bytes = object_with("from_endpoint");
        assert_eq!(symbols(&Elf { bytes: &bytes }), ["from_endpoint"]);
    }

    #[test]
    fn a_reachable_panic_is_refused_by_name() {
        let path = std::env::temp_dir().join(format!("netswitch-elf-{}", std::process::id()));
        fs::write(&path, object_with("_ZN4core9panicking5panicE")).unwrap();
        let refusal = refuse_panics(&path).unwrap_err().to_string();
        fs::remove_file(&path).unwrap();
        assert!(refusal.contains("_ZN4core9panicking5panicE"), "{refusal}");
    }

    #[test]
    fn a_truncated_file_has_no_symbols() {
        assert!(symbols(&Elf { bytes: &[0; 20] }).is_empty());
    }
}
