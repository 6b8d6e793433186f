//! Putting tables of any length into an object file before it is loaded: aya makes a map of each section, as long as that.

use object::NativeEndian;
use object::elf::{FileHeader64, SectionHeader64};
use object::pod;
use object::read::elf::FileHeader as _;

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
    let header = FileHeader64::<NativeEndian>::parse(object).map_err(LoadError::Object)?;
    let table = header
        .sections(NativeEndian, object)
        .map_err(LoadError::Object)?;
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

#[cfg(test)]
mod tests {
    use object::read::elf::SectionHeader as _;

    use super::super::fill::SILENT_OBJECT;
    use super::*;

    const SECTION: &str = ".rodata.words";

    #[test]
    fn a_section_takes_what_it_is_given_and_no_other_changes() {
        let content = [7_u8; 1001];
        let replaced = replaced(SILENT_OBJECT, &[(SECTION, &content)], 1001).unwrap();
        let before = FileHeader64::<NativeEndian>::parse(SILENT_OBJECT).unwrap();
        let before = before.sections(NativeEndian, SILENT_OBJECT).unwrap();
        let after = FileHeader64::<NativeEndian>::parse(&replaced[..]).unwrap();
        let after = after.sections(NativeEndian, &replaced[..]).unwrap();
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
    fn an_object_without_the_section_is_broken() {
        let error = replaced(SILENT_OBJECT, &[(".rodata.none", &[7])], 1000).unwrap_err();
        assert!(matches!(error, LoadError::Missing(".rodata.none")));
    }
}
