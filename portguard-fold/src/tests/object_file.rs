//! What becomes of an object file around its code.

use object::elf::{EM_BPF, SectionHeader64};
use object::pod;
use object::read::elf::ElfFile64;
use object::write::{Object, Relocation, Symbol, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, NativeEndian, Object as _, ObjectSection as _,
    ObjectSymbol as _, RelocationFlags, RelocationTarget, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope,
};

use super::assembler::*;
use crate::fold;

/// Of an address in two slots, and of a call (Linux, Documentation/bpf/llvm_reloc.rst).
const R_BPF_64_64: u32 = 1;
const R_BPF_64_32: u32 = 10;

/// A call of a function of the program, which a relocation names.
fn call_function() -> Slot {
    slot(0x85, 0, 1, 0, -1)
}

struct Function {
    name: &'static str,
    code: Vec<Slot>,
    /// The slots to which relocations belong, their types and the names of what they are for.
    relocations: Vec<(u64, u32, &'static str)>,
}

/// An object file of sections of functions, and two maps.
fn object(sections: &[(&str, &[Function])], types: &[u8], infos: &[u8]) -> Vec<u8> {
    let endian = match cfg!(target_endian = "big") {
        true => Endianness::Big,
        false => Endianness::Little,
    };
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, endian);
    let symbol = |name: &str, section, value, size, kind| Symbol {
        name: name.into(),
        value,
        size,
        kind,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    };
    let maps = object.add_section(Vec::new(), b"maps".to_vec(), SectionKind::Data);
    object.append_section_data(maps, &[7; 16], 8);
    for (name, place) in [("unused", 0), ("used", 8)] {
        object.add_symbol(symbol(name, maps, place, 8, SymbolKind::Data));
    }
    let mut relocations = Vec::new();
    for (name, functions) in sections {
        let section = object.add_section(Vec::new(), name.as_bytes().to_vec(), SectionKind::Text);
        for function in *functions {
            let code = function.code.concat();
            let start = object.append_section_data(section, &code, 8);
            if !function.name.is_empty() {
                let kind = SymbolKind::Text;
                object.add_symbol(symbol(
                    function.name,
                    section,
                    start,
                    code.len() as u64,
                    kind,
                ));
            }
            for (slot, r_type, of) in &function.relocations {
                relocations.push((section, start + 8 * slot, *r_type, *of));
            }
        }
    }
    for (section, offset, r_type, of) in relocations {
        let relocation = Relocation {
            offset,
            symbol: object.symbol_id(of.as_bytes()).unwrap(),
            addend: 0,
            flags: RelocationFlags::Elf { r_type },
        };
        object.add_relocation(section, relocation).unwrap();
    }
    for (name, data) in [(".BTF", types), (".BTF.ext", infos)] {
        if !data.is_empty() {
            let section = object.add_section(Vec::new(), name.into(), SectionKind::Other);
            object.append_section_data(section, data, 8);
        }
    }
    object.write().unwrap()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Types of which there are none, with the names of two sections at 1 and 7 (Linux, Documentation/bpf/btf.rst, 2).
fn types() -> Vec<u8> {
    let strings = b"\0.text\0xdp\0";
    let magic = [&0xeb9f_u16.to_ne_bytes()[..], &[1, 0]].concat();
    [
        &magic,
        &words(&[24, 0, 0, 0, strings.len() as u32])[..],
        strings,
    ]
    .concat()
}

/// Where the functions of these sections begin, by bytes, and of which types they are (the same, 4.2).
fn infos(text: [u32; 2], xdp: u32) -> Vec<u8> {
    let magic = [&0xeb9f_u16.to_ne_bytes()[..], &[1, 0]].concat();
    let functions = words(&[8, 1, 2, text[0], 11, text[1], 12, 7, 1, xdp, 13]);
    let header = words(&[24, 0, functions.len() as u32, functions.len() as u32, 0]);
    [magic, header, functions].concat()
}

/// Two functions, of which the first loses what is for a map, and calls the second.
fn text() -> Vec<Function> {
    let first = vec![
        mov(2, 0),
        jump(JEQ, 2, 0, 2),
        wide(1, 0),
        upper(0),
        mov(1, 5),
        wide(2, 0),
        upper(0),
        call_function(),
        exit(),
    ];
    let second = vec![mov(3, 9), wide(0, 0), upper(0), exit()];
    vec![
        Function {
            name: "first",
            code: first,
            relocations: vec![
                (2, R_BPF_64_64, "unused"),
                (5, R_BPF_64_64, "used"),
                (7, R_BPF_64_32, "second"),
            ],
        },
        Function {
            name: "second",
            code: second,
            relocations: vec![(1, R_BPF_64_64, "used")],
        },
    ]
}

fn function(name: &'static str, code: Vec<Slot>) -> Function {
    Function {
        name,
        code,
        relocations: Vec::new(),
    }
}

type Elf<'a> = ElfFile64<'a, NativeEndian>;

/// The symbols of functions and maps: names, where they begin, their lengths.
fn symbols<'a>(elf: &'a Elf<'_>) -> Vec<(&'a str, u64, u64)> {
    let named = elf.symbols().filter(|symbol| symbol.size() != 0);
    named
        .map(|symbol| (symbol.name().unwrap(), symbol.address(), symbol.size()))
        .collect()
}

/// The relocations of a section: where, of which type, for what.
fn relocations<'a>(elf: &'a Elf<'_>, section: &str) -> Vec<(u64, u32, &'a str)> {
    let section = elf.section_by_name(section).unwrap();
    let relocations = section.relocations().map(|(offset, relocation)| {
        let (RelocationTarget::Symbol(symbol), RelocationFlags::Elf { r_type }) =
            (relocation.target(), relocation.flags())
        else {
            panic!("{relocation:?}");
        };
        (
            offset,
            r_type,
            elf.symbol_by_index(symbol).unwrap().name().unwrap(),
        )
    });
    relocations.collect()
}

#[test]
fn what_belongs_to_code_is_moved_with_it_and_nothing_else_changes() {
    let third = [function("third", vec![mov(6, 1), mov(0, 2), exit()])];
    let before = object(
        &[(".text", &text()), ("xdp", &third)],
        &types(),
        &infos([0, 72], 0),
    );
    let mut after = before.clone();
    fold(&mut after).unwrap();
    let (old, new) = (
        Elf::parse(&before[..]).unwrap(),
        Elf::parse(&after[..]).unwrap(),
    );
    assert_eq!(new.elf_header().e_machine.get(NativeEndian), EM_BPF);

    let left = [
        mov(1, 5),
        wide(2, 0),
        upper(0),
        call_function(),
        exit(),
        wide(0, 0),
        upper(0),
        exit(),
    ];
    let data = |elf: &Elf<'_>, name| elf.section_by_name(name).unwrap().data().unwrap().to_vec();
    assert_eq!(data(&new, ".text"), left.concat());
    assert_eq!(data(&new, "xdp"), [mov(0, 2), exit()].concat());
    for name in ["maps", ".BTF", ".strtab", ".shstrtab"] {
        assert_eq!(data(&new, name), data(&old, name), "{name}");
    }
    assert_eq!(data(&new, ".BTF.ext"), infos([0, 40], 0));

    assert_eq!(
        symbols(&old),
        [
            ("unused", 0, 8),
            ("used", 8, 8),
            ("first", 0, 72),
            ("second", 72, 32),
            ("third", 0, 24)
        ]
    );
    assert_eq!(
        symbols(&new),
        [
            ("unused", 0, 8),
            ("used", 8, 8),
            ("first", 0, 40),
            ("second", 40, 24),
            ("third", 0, 16)
        ]
    );
    assert_eq!(
        relocations(&old, ".text"),
        [
            (16, R_BPF_64_64, "unused"),
            (40, R_BPF_64_64, "used"),
            (56, R_BPF_64_32, "second"),
            (80, R_BPF_64_64, "used")
        ]
    );
    assert_eq!(
        relocations(&new, ".text"),
        [
            (8, R_BPF_64_64, "used"),
            (24, R_BPF_64_32, "second"),
            (40, R_BPF_64_64, "used")
        ]
    );
    assert_eq!(relocations(&new, "xdp"), []);

    // There is nothing more to do then.
    let mut again = after.clone();
    fold(&mut again).unwrap();
    assert!(again == after, "folding again changed something");
}

/// What folding says of an object file.
fn refused(mut object: Vec<u8>) -> String {
    fold(&mut object).unwrap_err().to_string()
}

#[test]
fn what_is_no_object_file_is_refused() {
    let text =
        refused(b"this is no object file, however long it may be, and has no header".to_vec());
    assert!(text.starts_with("it is no object file: "), "{text}");
    assert!(refused(Vec::new()).starts_with("it is no object file: "));
}

#[test]
fn code_of_no_function_is_refused() {
    let expected = "section `xdp` has code that is no function's";
    let code = || vec![mov(0, 2), exit()];
    for functions in [
        vec![function("", code())],
        vec![function("", code()), function("last", code())],
        vec![function("first", code()), function("", code())],
        vec![
            function("first", code()),
            function("", code()),
            function("last", code()),
        ],
    ] {
        let object = object(&[("xdp", &functions)], &types(), &infos([0, 0], 0));
        assert_eq!(refused(object), expected);
    }
}

#[test]
fn a_function_whose_code_is_not_whole_is_refused_by_its_name() {
    for (code, expected) in [
        (
            vec![mov(0, 2), jump(JEQ, 1, 0, 7), exit()],
            "function `wrong`: the jump in its slot 1 leads nowhere",
        ),
        (
            // Into the next function.
            vec![jump(JEQ, 1, 0, 1), exit()],
            "function `wrong`: the jump in its slot 0 leads nowhere",
        ),
        (
            // Between the halves of an instruction.
            vec![jump(JEQ, 1, 0, 1), wide(0, 1), upper(0), exit()],
            "function `wrong`: the jump in its slot 0 leads nowhere",
        ),
        (
            // Before its first instruction.
            vec![mov(0, 0), goto(-3), exit()],
            "function `wrong`: the jump in its slot 1 leads nowhere",
        ),
        (
            vec![mov(0, 2)],
            "function `wrong`: it goes on behind its end",
        ),
        (
            vec![exit(), wide(0, 2)],
            "function `wrong`: it goes on behind its end",
        ),
        (
            vec![mov(1, 2), slot(0x85, 0, 1, 0, 1), exit()],
            "function `wrong`: the call or jump in its slot 1 does not say by name where it leads",
        ),
    ] {
        let functions = [
            function("wrong", code),
            function("right", vec![mov(0, 1), exit()]),
        ];
        let object = object(&[(".text", &functions)], &types(), &infos([0, 0], 0));
        assert_eq!(refused(object), expected);
    }
}

#[test]
fn a_table_that_is_not_there_or_says_something_else_is_refused() {
    let object = |types: &[u8], infos: &[u8]| {
        let third = [function("third", vec![mov(0, 2), exit()])];
        object(&[(".text", &text()), ("xdp", &third)], types, infos)
    };
    assert_eq!(
        refused(object(&[], &infos([0, 72], 0))),
        "its `.BTF` cannot be read"
    );
    let unreadable = "its `.BTF.ext` cannot be read";
    assert_eq!(refused(object(&types(), &[])), unreadable);
    // No function begins there.
    assert_eq!(refused(object(&types(), &infos([0, 64], 0))), unreadable);
    // It ends before it should.
    assert_eq!(
        refused(object(&types(), &infos([0, 72], 0)[..60])),
        unreadable
    );
}

#[test]
fn what_lies_outside_the_file_is_refused() {
    let changed = |name: &str, change: fn(&mut SectionHeader64<NativeEndian>)| {
        let third = [function("third", vec![mov(0, 2), exit()])];
        let sections: [(_, &[_]); 2] = [(".text", &text()), ("xdp", &third)];
        let mut object = object(&sections, &types(), &infos([0, 72], 0));
        let elf = Elf::parse(&object[..]).unwrap();
        let index = elf.section_by_name(name).unwrap().index().0;
        let table = elf.elf_header().e_shoff.get(NativeEndian) as usize;
        let place = table + index * size_of::<SectionHeader64<NativeEndian>>();
        change(pod::from_bytes_mut(&mut object[place..]).unwrap().0);
        refused(object)
    };
    let away = |header: &mut SectionHeader64<_>| header.sh_offset.set(NativeEndian, u64::MAX - 7);
    let long = |header: &mut SectionHeader64<_>| header.sh_size.set(NativeEndian, u64::MAX);
    for (name, expected) in [
        (".text", "it is no object file: "),
        (".symtab", "it is no object file: "),
        (".rel.text", "its `relocations` cannot be read"),
        (".BTF", "its `.BTF` cannot be read"),
        (".BTF.ext", "its `.BTF.ext` cannot be read"),
    ] {
        for text in [changed(name, away), changed(name, long)] {
            assert!(text.starts_with(expected), "{name}: {text}");
        }
    }
}
