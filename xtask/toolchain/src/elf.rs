//! What is asked of the object file: that no panic is reachable; its functions and their calls for [`crate::stack`].

use std::fs;
use std::path::Path;

use crate::Error;

/// Part of the mangled name of everything in `core::panicking`.
const PANICKING: &str = "core9panicking";

/// Section types, from the ELF specification.
const SYMBOL_TABLE: u64 = 2;
const RELOCATIONS: u64 = 9;

/// Flag of a section with instructions.
const EXECUTABLE: u64 = 4;

/// Symbol type of a function.
const FUNCTION: u64 = 2;

/// Fails if a panic is reachable: the verifier would only say "last insn is not an exit or jmp".
pub(crate) fn refuse_panics(object: &Path) -> Result<(), Error> {
    let bytes = fs::read(object).map_err(crate::at(object))?;
    let panics: Vec<_> = Elf { bytes: &bytes }
        .symbols()
        .into_iter()
        .map(|symbol| symbol.name)
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
pub(crate) struct Elf<'a> {
    pub(crate) bytes: &'a [u8],
}

/// An entry of the symbol table: `offset` counts from the start of `section`.
pub(crate) struct Symbol {
    pub(crate) name: String,
    pub(crate) is_function: bool,
    pub(crate) section: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// The instruction at `offset` of `section` refers to the symbol with this index.
pub(crate) struct Relocation {
    pub(crate) section: u64,
    pub(crate) offset: u64,
    pub(crate) symbol: usize,
}

impl Elf<'_> {
    fn number(&self, offset: u64, length: usize) -> u64 {
        self.part(offset, length as u64)
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Bytes of the file; none where they are not all there.
    fn part(&self, offset: u64, length: u64) -> &[u8] {
        let [start, length] = [offset, length].map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        self.bytes.get(start..start.saturating_add(length)).unwrap_or_default()
    }

    /// A field of the section header with this index.
    fn section(&self, index: u64, field: u64, length: usize) -> u64 {
        let (table, entry_size) = (self.number(0x28, 8), self.number(0x3a, 2));
        self.number(table + index * entry_size + field, length)
    }

    /// The sections of this type.
    fn sections(&self, kind: u64) -> impl Iterator<Item = u64> {
        (0..self.number(0x3c, 2)).filter(move |index| self.section(*index, 0x04, 4) == kind)
    }

    fn name(&self, offset: u64) -> String {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.bytes.get(offset..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
        String::from_utf8_lossy(&rest[..end]).into_owned()
    }

    /// Where the entries of a table of `size` bytes each start in the file.
    fn entries(&self, table: u64, size: usize) -> impl Iterator<Item = u64> + use<> {
        let (offset, length) = (self.section(table, 0x18, 8), self.section(table, 0x20, 8));
        (offset..offset + length).step_by(size)
    }

    pub(crate) fn symbols(&self) -> Vec<Symbol> {
        let symbols = self.sections(SYMBOL_TABLE).flat_map(|table| {
            let names = self.section(self.section(table, 0x28, 4), 0x18, 8);
            self.entries(table, 24).map(move |symbol| Symbol {
                name: self.name(names + self.number(symbol, 4)),
                is_function: self.number(symbol + 4, 1) & 15 == FUNCTION,
                section: self.number(symbol + 6, 2),
                offset: self.number(symbol + 8, 8),
                size: self.number(symbol + 16, 8),
            })
        });
        symbols.collect()
    }

    pub(crate) fn relocations(&self) -> Vec<Relocation> {
        let relocations = self.sections(RELOCATIONS).flat_map(|table| {
            let section = self.section(table, 0x2c, 4);
            self.entries(table, 16).map(move |relocation| Relocation {
                section,
                offset: self.number(relocation, 8),
                symbol: usize::try_from(self.number(relocation + 12, 4)).unwrap_or(usize::MAX),
            })
        });
        relocations.collect()
    }

    /// The bytes of a section with instructions; none of any other.
    pub(crate) fn code(&self, section: u64) -> &[u8] {
        match self.section(section, 0x08, 8) & EXECUTABLE {
            0 => &[],
            _ => self.part(self.section(section, 0x18, 8), self.section(section, 0x20, 8)),
        }
    }

    pub(crate) fn section_name(&self, section: u64) -> String {
        let names = self.number(0x3e, 2);
        self.name(self.section(names, 0x18, 8) + self.section(section, 0, 4))
    }
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
        let symbols = Elf { bytes: &bytes }.symbols();
        let names: Vec<_> = symbols.into_iter().map(|symbol| symbol.name).collect();
        assert_eq!(names, ["from_endpoint"]);
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
        assert!(Elf { bytes: &[0; 20] }.symbols().is_empty());
    }
}
