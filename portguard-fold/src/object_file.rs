//! Folding the functions of an object file where they stand in it.

use std::collections::BTreeMap;
use std::ops::Range;

use object::NativeEndian as Native;
use object::elf::{
    FileHeader64, Rel64, SHF_EXECINSTR, SHT_REL, SHT_SYMTAB, STT_FUNC, SectionHeader64, Sym64,
};
use object::pod;
use object::read::elf::{FileHeader as _, SectionHeader as _, Sym as _};

use crate::folded;
use crate::function::{CodeError, decode, encode};
use crate::instruction::SLOT;

/// Why an object file cannot be folded: it is not as the compiler and the linker of this project make it.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// It cannot be read.
    #[error("it is no object file: {0}")]
    Object(#[from] object::Error),
    /// A function's code is not what it should be.
    #[error("function `{name}`: {source}")]
    Code {
        /// The function.
        name: String,
        /// What is wrong.
        source: CodeError,
    },
    /// A section of code is not made of functions alone.
    #[error("section `{0}` has code that is no function's")]
    NoFunction(String),
    /// A table in the file is not what it should be.
    #[error("its `{0}` cannot be read")]
    Table(&'static str),
}

/// A section of code, folded.
struct Section {
    name: String,
    code: Vec<u8>,
    /// Where each instruction that is left came to stand, by slots.
    moved: BTreeMap<usize, usize>,
    /// Where each function begins and how many bytes it has, by where it began.
    functions: BTreeMap<u64, (u64, u64)>,
}

/// Folds all functions of an object file. What `.BTF.ext` says of lines of the source is of the code before: it is to be taken out.
///
/// # Errors
///
/// Fails where the file is not as this project's compiler and linker make it; it may be in pieces then.
pub fn fold(object: &mut [u8]) -> Result<(), FoldError> {
    let sections = sections(object)?;
    fold_info(object, &sections)?;
    let header = FileHeader64::<Native>::parse(&object[..])?;
    let headers = header.e_shoff(Native) as usize;
    let table: Vec<SectionHeader64<Native>> = header
        .sections(Native, &object[..])?
        .iter()
        .copied()
        .collect();
    for (index, header) in table.iter().enumerate() {
        let range = range(header);
        let mut length = None;
        if let Some(section) = sections.get(&index) {
            object[range.start..range.start + section.code.len()].copy_from_slice(&section.code);
            length = Some(section.code.len());
        } else if header.sh_type(Native) == SHT_REL
            && let Some(section) = sections.get(&(header.sh_info(Native) as usize))
        {
            let bytes = object.get_mut(range);
            let bytes = bytes.ok_or(FoldError::Table("relocations"))?;
            length = Some(move_relocations(bytes, section)?);
        } else if header.sh_type(Native) == SHT_SYMTAB {
            let bytes = object.get_mut(range);
            move_symbols(bytes.ok_or(FoldError::Table("symbols"))?, &sections)?;
        }
        if let Some(length) = length {
            let place = headers + index * size_of::<SectionHeader64<Native>>();
            let (header, _) = pod::from_bytes_mut::<SectionHeader64<Native>>(&mut object[place..])
                .map_err(|()| FoldError::Table("section headers"))?;
            header.sh_size.set(Native, length as u64);
        }
    }
    Ok(())
}

/// Where a section lies in the file, if it says so rightly.
fn range(header: &SectionHeader64<Native>) -> Range<usize> {
    let start = header.sh_offset(Native) as usize;
    start..start.saturating_add(header.sh_size(Native) as usize)
}

/// The sections of code, folded, by their numbers.
fn sections(object: &[u8]) -> Result<BTreeMap<usize, Section>, FoldError> {
    let header = FileHeader64::<Native>::parse(object)?;
    let table = header.sections(Native, object)?;
    let symbols = table.symbols(Native, object, SHT_SYMTAB)?;
    let mut sections = BTreeMap::new();
    for (index, header) in table.enumerate() {
        if header.sh_flags(Native) & u64::from(SHF_EXECINSTR) == 0 {
            continue;
        }
        let name = String::from_utf8_lossy(table.section_name(Native, header)?).into_owned();
        let code = header.data(Native, object)?;
        let mut functions: Vec<_> = symbols
            .iter()
            .filter(|symbol| {
                symbol.st_type() == STT_FUNC && usize::from(symbol.st_shndx(Native)) == index.0
            })
            .collect();
        functions.sort_by_key(|symbol| symbol.st_value(Native));
        let mut section = Section {
            name,
            code: Vec::new(),
            moved: BTreeMap::new(),
            functions: BTreeMap::new(),
        };
        let mut end = 0;
        for symbol in functions {
            let (start, size) = (symbol.st_value(Native), symbol.st_size(Native));
            let place = start as usize..start.saturating_add(size) as usize;
            let own = code.get(place).filter(|_| start == end);
            let own = own.ok_or_else(|| FoldError::NoFunction(section.name.clone()))?;
            let name = symbols.symbol_name(Native, symbol)?;
            let named = |source| FoldError::Code {
                name: String::from_utf8_lossy(name).into_owned(),
                source,
            };
            let steps = decode(own).and_then(folded).map_err(named)?;
            let (own, moved) = encode(&steps).map_err(named)?;
            let now = section.code.len();
            let (old_slot, new_slot) = (start as usize / SLOT, now / SLOT);
            let moved = moved
                .into_iter()
                .map(|(from, to)| (old_slot + from, new_slot + to));
            section.moved.extend(moved);
            section
                .functions
                .insert(start, (now as u64, own.len() as u64));
            section.code.extend(own);
            end = start + size;
        }
        if end as usize != code.len() {
            return Err(FoldError::NoFunction(section.name));
        }
        sections.insert(index.0, section);
    }
    Ok(sections)
}

/// Moves what is put into instructions when a program is loaded, and leaves out what was for one that is gone. The answer is how many
/// bytes are left.
fn move_relocations(bytes: &mut [u8], section: &Section) -> Result<usize, FoldError> {
    let count = bytes.len() / size_of::<Rel64<Native>>();
    let (relocations, _) = pod::slice_from_bytes_mut::<Rel64<Native>>(bytes, count)
        .map_err(|()| FoldError::Table("relocations"))?;
    let mut kept = 0;
    for number in 0..count {
        let mut relocation = relocations[number];
        let slot = relocation.r_offset.get(Native) as usize / SLOT;
        if let Some(slot) = section.moved.get(&slot) {
            relocation.r_offset.set(Native, (slot * SLOT) as u64);
            relocations[kept] = relocation;
            kept += 1;
        }
    }
    Ok(kept * size_of::<Rel64<Native>>())
}

/// Moves the names of functions.
fn move_symbols(bytes: &mut [u8], sections: &BTreeMap<usize, Section>) -> Result<(), FoldError> {
    let count = bytes.len() / size_of::<Sym64<Native>>();
    let (symbols, _) = pod::slice_from_bytes_mut::<Sym64<Native>>(bytes, count)
        .map_err(|()| FoldError::Table("symbols"))?;
    for symbol in symbols
        .iter_mut()
        .filter(|symbol| symbol.st_type() == STT_FUNC)
    {
        let section = sections.get(&usize::from(symbol.st_shndx(Native)));
        let place = section.and_then(|own| own.functions.get(&symbol.st_value(Native)));
        if let Some((start, size)) = place {
            symbol.st_value.set(Native, *start);
            symbol.st_size.set(Native, *size);
        }
    }
    Ok(())
}

/// Moves what `.BTF.ext` says of the types of functions (Linux, Documentation/bpf/btf.rst, 4.2).
fn fold_info(object: &mut [u8], sections: &BTreeMap<usize, Section>) -> Result<(), FoldError> {
    const INFO: &str = ".BTF.ext";
    /// Where the header of `.BTF` says how long it is, and where and how long the strings are behind it.
    const HEADER_LEN: usize = 4;
    const STRINGS: usize = 16;
    /// Where the header of `.BTF.ext` says where what is said of functions is behind it, and how long.
    const FUNCTIONS: usize = 8;

    let table = |name: &'static str| {
        let header = FileHeader64::<Native>::parse(&*object)?;
        let sections = header.sections(Native, &*object)?;
        let (_, section) = sections
            .section_by_name(Native, name.as_bytes())
            .ok_or(FoldError::Table(name))?;
        let range = range(section);
        // Whoever asks need not look whether it is there.
        match object.get(range.clone()) {
            Some(_) => Ok::<_, FoldError>(range),
            None => Err(FoldError::Table(name)),
        }
    };
    let word = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
        let word = bytes.map(|bytes| u32::from_ne_bytes(*bytes) as usize);
        word.ok_or(FoldError::Table(INFO))
    };
    let (types, info) = (table(".BTF")?, table(INFO)?);
    let (types, info) = match types.end <= info.start {
        true => {
            let (before, from) = object.split_at_mut(info.start);
            (&before[types], &mut from[..info.len()])
        }
        false => return Err(FoldError::Table(INFO)),
    };
    let strings = word(types, HEADER_LEN)? + word(types, STRINGS)?;
    let name = |at: usize| {
        let bytes = types.get(strings + at..).unwrap_or_default();
        bytes.split(|byte| *byte == 0).next().unwrap_or_default()
    };
    let mut at = word(info, HEADER_LEN)? + word(info, FUNCTIONS)?;
    let end = at + word(info, FUNCTIONS + 4)?;
    let record = word(info, at)?;
    at += 4;
    while at < end {
        let (own, count) = (name(word(info, at)?), word(info, at + 4)?);
        let section = sections
            .values()
            .find(|section| section.name.as_bytes() == own);
        at += 8;
        for _ in 0..count {
            let start = word(info, at)? as u64;
            let moved = section.and_then(|section| section.functions.get(&start));
            let (start, _) = moved.ok_or(FoldError::Table(INFO))?;
            info[at..at + 4].copy_from_slice(&(*start as u32).to_ne_bytes());
            at += record;
        }
    }
    Ok(())
}
