//! How fields are combined.

/// How the class of a field is combined with what the fields before it gave. Frozen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Stage {
    /// One of the constants below.
    pub form: u32,
    /// Classes of the field.
    pub columns: u32,
    /// First entry of its dense rows in the table of halves.
    pub halves: u32,
    /// Of a sparse stage: its first entry in the table of rows.
    pub rows: u32,
    /// Of a sparse stage: the first entry of its exceptions in the table of words.
    pub words: u32,
}

impl Stage {
    /// No rule has a condition on the field.
    pub const UNUSED: u32 = 0;
    /// It is the first field that rules have conditions on.
    pub const FIRST: u32 = 1;
    /// A table with a row for each class so far.
    pub const DENSE: u32 = 2;
    /// A few dense rows, and for each class so far what differs from one of them.
    pub const SPARSE: u32 = 3;
    /// A table as with [`Stage::DENSE`], where the fields so far give the place of its row, counted from the first entry, and not the number of it; or a
    /// table by column, where they give the number of a row, and the field the place of its column.
    /// From the first entry on there are [`Stage::NEAR_HALVES`], so that nothing has to be compared.
    pub const NEAR: u32 = 4;

    /// A table by column as with [`Stage::NEAR`], the first column of which says of each row its number, and is not read.
    pub const IDENTITY: u32 = 5;

    /// Entries that can be named by the place of a row and a column.
    pub const NEAR_HALVES: usize = 2 * u16::MAX as usize + 1;
}

/// A row of a sparse [`Stage`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Row {
    /// Where the dense row lies that it differs from, counted from the stage's first half; or, with
    /// [`Row::CONSTANT`], the value of every column that it does not name.
    pub dense: u32,
    /// Where column 0 of its exceptions would lie, counted from the stage's first word.
    pub exceptions: u32,
}

const _: () = assert!(size_of::<Row>() == 8);

impl Row {
    /// Marks a value in the place of a dense row.
    pub const CONSTANT: u32 = 0x8000_0000;
}

/// Who may own an exception: `row + 1` in the upper half of the word, the value in the lower.
#[inline(always)]
pub const fn exception(row: u16, value: u16) -> u32 {
    (row as u32 + 1) << 16 | value as u32
}
