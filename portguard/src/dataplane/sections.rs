//! Putting a policy into an object file before it is loaded: tables of any length, since aya makes a map of each section, as long as
//! that; and constants, which are operands of instructions.

use std::ops::Range;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use object::NativeEndian;
use object::elf::{FileHeader64, SHF_EXECINSTR, SectionHeader64};
use object::pod;
use object::read::elf::{FileHeader as _, SectionHeader as _, SectionTable};
use portguard_common::constant::{ADDRESS_MARK, LEN, MARK};

use super::generation::LoadError;

/// How what is in an object file is aligned.
const ALIGNMENT: usize = 8;

/// A copy of an object file in which these sections, by name, have other contents, each of at most so many bytes. A section for
/// which there is nothing stays as it is, since the kernel makes no empty map.
pub(super) fn replaced(
    object: &[u8],
    sections: &[(&'static str, &[u8])],
    largest: usize,
) -> Result<Vec<u8>, LoadError> {
    let (header, table) = (header(object)?, table(object)?);
    let first = header.e_shoff(NativeEndian) as usize;
    let contents = sections
        .iter()
        .map(|(_, content)| content.len() + ALIGNMENT);
    let mut copy = Vec::with_capacity(object.len() + contents.sum::<usize>());
    copy.extend_from_slice(object);
    for (name, content) in sections {
        if content.len() > largest {
            return Err(LoadError::TableTooLarge {
                needed: content.len(),
                allowed: largest,
            });
        }
        if content.is_empty() {
            continue;
        }
        let (index, _) = table
            .section_by_name(NativeEndian, name.as_bytes())
            .ok_or(LoadError::Missing(name))?;
        copy.resize(copy.len().next_multiple_of(ALIGNMENT), 0);
        let offset = copy.len();
        copy.extend_from_slice(content);
        let place = first + index.0 * size_of::<SectionHeader64<NativeEndian>>();
        let (section, _) = pod::from_bytes_mut::<SectionHeader64<NativeEndian>>(&mut copy[place..])
            .map_err(|()| LoadError::Missing(name))?;
        section.sh_offset.set(NativeEndian, offset as u64);
        section.sh_size.set(NativeEndian, content.len() as u64);
    }
    Ok(copy)
}

fn header(object: &[u8]) -> Result<&FileHeader64<NativeEndian>, LoadError> {
    FileHeader64::parse(object).map_err(LoadError::Object)
}

fn table(object: &[u8]) -> Result<SectionTable<'_, FileHeader64<NativeEndian>>, LoadError> {
    header(object)?
        .sections(NativeEndian, object)
        .map_err(LoadError::Object)
}

/// Writes the constants of a policy, by their places, into the instructions that have them as operands.
pub(super) fn set_constants(object: &mut [u8], constants: &[u32; LEN]) -> Result<(), LoadError> {
    for range in code(object)? {
        let (instructions, _) = object[range].as_chunks_mut::<INSTRUCTION>();
        for instruction in instructions {
            if let Some(place) = place_of(instruction) {
                instruction[OPERAND..].copy_from_slice(&constants[place].to_ne_bytes());
            }
        }
    }
    Ok(())
}

/// Writes the descriptors of maps into the instructions that shall have the addresses of what is in them: the kernel puts those there.
pub(super) fn set_addresses(object: &mut [u8], maps: &[BorrowedFd<'_>]) -> Result<(), LoadError> {
    /// `LDDW`: a number of 64 bits, of which the upper half is the operand of a second instruction (RFC 9669, 5.4).
    const LOAD: u8 = 0x18;
    /// The register that it writes, and in the upper half what the number is: the address of a map's value, by a descriptor and an offset.
    const DESTINATION: u8 = 0x0f;
    const MAP_VALUE: u8 = 2 << 4;
    for range in code(object)? {
        let (instructions, _) = object[range].as_chunks_mut::<INSTRUCTION>();
        for first in 1..instructions.len() {
            let [load, upper] = &mut instructions[first - 1..=first] else {
                continue;
            };
            let memory = operand(load).wrapping_sub(ADDRESS_MARK) as usize;
            if load[0] != LOAD || operand(upper) != ADDRESS_MARK || memory >= maps.len() {
                continue;
            }
            load[1] = load[1] & DESTINATION | MAP_VALUE;
            load[OPERAND..].copy_from_slice(&maps[memory].as_raw_fd().to_ne_bytes());
            upper[OPERAND..].fill(0);
        }
    }
    Ok(())
}

/// Takes out which line of the source each instruction is from. It says so of two lines at one instruction where one of them has none
/// (what is only to keep the compiler from knowing something), which the kernel refuses.
pub(super) fn forget_lines(object: &mut [u8]) -> Result<(), LoadError> {
    const NAME: &str = ".BTF.ext";
    /// Where the header says how long the lines are (`struct btf_ext_header`).
    const LENGTH: Range<usize> = 20..24;
    let (_, section) = table(object)?
        .section_by_name(NativeEndian, NAME.as_bytes())
        .ok_or(LoadError::Missing(NAME))?;
    let first = section.sh_offset(NativeEndian) as usize;
    let length = object
        .get_mut(first + LENGTH.start..first + LENGTH.end)
        .ok_or(LoadError::Missing(NAME))?;
    length.fill(0);
    Ok(())
}

/// Bytes of an instruction (RFC 9669, 3).
const INSTRUCTION: usize = 8;

/// Where its immediate operand begins.
const OPERAND: usize = 4;

/// Where there is code in an object file.
fn code(object: &[u8]) -> Result<Vec<Range<usize>>, LoadError> {
    let table = table(object)?;
    let code = table
        .iter()
        .filter(|section| section.sh_flags(NativeEndian) & u64::from(SHF_EXECINSTR) != 0);
    code.map(|section| {
        let (offset, length) = section.file_range(NativeEndian).unwrap_or_default();
        let range = offset as usize..(offset + length) as usize;
        match object.get(range.clone()) {
            Some(_) => Ok(range),
            None => Err(LoadError::Missing("code")),
        }
    })
    .collect()
}

/// The place of the constant that an instruction has as its operand, if it has one: it moves the mark and the place to a register.
fn place_of(instruction: &[u8; INSTRUCTION]) -> Option<usize> {
    /// `MOV` of an immediate operand to a register of 64 bits (RFC 9669, 4.1).
    const MOVE: u8 = 0xb7;
    let place = operand(instruction).wrapping_sub(MARK) as usize;
    (instruction[0] == MOVE && place < LEN).then_some(place)
}

/// The immediate operand of an instruction.
fn operand(instruction: &[u8; INSTRUCTION]) -> u32 {
    let [.., a, b, c, d] = *instruction;
    u32::from_ne_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd as _;

    use portguard_common::abi::{Setting, field};
    use portguard_common::constant::{self, Memory};

    use super::super::fill::SILENT_OBJECT;
    use super::*;

    const SECTION: &str = ".rodata.words";

    #[test]
    fn a_section_takes_what_it_is_given_and_no_other_changes() {
        let content = [7_u8; 1001];
        let replaced = replaced(SILENT_OBJECT, &[(SECTION, &content)], 1001).unwrap();
        let (before, after) = (table(SILENT_OBJECT).unwrap(), table(&replaced).unwrap());
        assert_eq!(before.len(), after.len());
        for (old, new) in before.iter().zip(after.iter()) {
            let name = after.section_name(NativeEndian, new).unwrap();
            let data = new.data(NativeEndian, &replaced[..]).unwrap();
            if name == SECTION.as_bytes() {
                assert_eq!(data, content);
            } else {
                let own = old.data(NativeEndian, SILENT_OBJECT).unwrap();
                assert_eq!(data, own, "{}", String::from_utf8_lossy(name));
            }
        }
    }

    #[test]
    fn what_the_kernel_does_not_take_is_said_before_it_is_asked() {
        let error = replaced(SILENT_OBJECT, &[(SECTION, &[7; 1001])], 1000).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("a table of 1001 bytes"), "{text}");
        assert!(text.contains("take 1000:"), "{text}");
    }

    #[test]
    fn each_constant_gets_its_number_and_no_other_byte_changes() {
        let constants = std::array::from_fn(|place| 0x0500_0000 + place as u32);
        let mut object = SILENT_OBJECT.to_vec();
        set_constants(&mut object, &constants).unwrap();
        let mut found = [false; LEN];
        for (before, after) in SILENT_OBJECT
            .chunks_exact(INSTRUCTION)
            .zip(object.chunks_exact(INSTRUCTION))
        {
            if before == after {
                continue;
            }
            let (head, number) = after.split_at(OPERAND);
            assert_eq!(head, &before[..OPERAND]);
            let number = u32::from_ne_bytes(number.try_into().unwrap());
            let place = (number - constants[0]) as usize;
            assert_eq!(before[OPERAND..], (MARK + place as u32).to_ne_bytes());
            found[place] = true;
        }
        // Code is aligned as instructions are, so that none was missed above.
        for range in code(&object).unwrap() {
            assert_eq!(range.start % INSTRUCTION, 0);
            assert!(
                object[range]
                    .as_chunks()
                    .0
                    .iter()
                    .all(|own| place_of(own).is_none())
            );
        }
        for needed in [
            constant::SETTING + Setting::DefaultDrop as usize,
            constant::SETTING + Setting::Enforce as usize,
            constant::STAGE + field::SERVICE * constant::STAGE_LEN,
            constant::TRIE,
            constant::HALVES,
            constant::LIMITS,
            constant::NARROWED,
        ] {
            assert!(found[needed], "{needed}");
        }
    }

    #[test]
    fn each_address_is_that_of_its_map_and_no_other_byte_changes() {
        let files: [File; Memory::COUNT] =
            std::array::from_fn(|_| File::open("/dev/null").unwrap());
        let descriptors = files.each_ref().map(|file| file.as_fd());
        let mut object = SILENT_OBJECT.to_vec();
        set_addresses(&mut object, &descriptors).unwrap();
        let (before, _) = SILENT_OBJECT.as_chunks::<INSTRUCTION>();
        let (after, _) = object.as_chunks::<INSTRUCTION>();
        let mut found = [false; Memory::COUNT];
        for number in 0..before.len() {
            let (old, new) = (before[number], after[number]);
            let is_upper = number > 0 && before[number - 1] != after[number - 1];
            if old == new || is_upper {
                continue;
            }
            // A number becomes the address of a map's value, of the same register.
            assert_eq!((old[0], old[1] & 0xf0), (0x18, 0));
            assert_eq!((new[0], new[1]), (0x18, old[1] | 0x20));
            let memory = (operand(&old) - ADDRESS_MARK) as usize;
            assert_eq!(operand(&new), files[memory].as_raw_fd().cast_unsigned());
            assert_eq!(operand(&before[number + 1]), ADDRESS_MARK);
            assert_eq!(after[number + 1], [0; INSTRUCTION]);
            found[memory] = true;
        }
        assert_eq!(found, [true; Memory::COUNT]);
    }

    #[test]
    fn the_lines_of_an_object_are_forgotten_and_nothing_else() {
        let mut object = SILENT_OBJECT.to_vec();
        forget_lines(&mut object).unwrap();
        let changed: Vec<usize> = (0..object.len())
            .filter(|place| object[*place] != SILENT_OBJECT[*place])
            .collect();
        let (first, last) = (changed[0], changed[changed.len() - 1]);
        assert!(last - first < 4, "{changed:?}");
        assert!(changed.iter().all(|place| object[*place] == 0));
    }

    #[test]
    fn an_object_without_the_section_is_broken() {
        let error = replaced(SILENT_OBJECT, &[(".rodata.none", &[7])], 1000).unwrap_err();
        assert!(matches!(error, LoadError::Missing(".rodata.none")));
    }
}
