//! Putting all tables of a policy where the kernel side finds them.

use std::sync::Arc;

use portguard_common::abi::{self, List, Setting, Stage, Trie, VLANS, field, service, source_port};
use portguard_common::limits;

use super::by_column::ByColumn;
use super::cells::Cells;
use super::fields;
use super::pack::pack;
use super::services::Services;
use super::tabulate::Table;
use super::trie::{self, Tries};
use super::{AddressClasses, CompileError, Meaning, Tables};

/// The tables, as they grow field by field.
pub(super) struct Layout {
    tables: Tables,
    tries: Tries,
    last: Option<Last>,
    /// Dense tables, which lie behind source ports.
    halves: Vec<u16>,
    source_ports: Vec<u16>,
    /// Exceptions of sparse tables, which lie behind the words of tries.
    words: Vec<u32>,
}

/// What gives the classes of all fields so far. It is put down when it is known how the next field takes them.
enum Last {
    /// The first field, by its number.
    Field(usize, fields::Layout),
    /// The table of a field.
    Table(usize, Table),
}

impl Last {
    /// The highest class that it may give in place of one.
    const fn highest(&self, class: usize) -> usize {
        match self {
            // A leaf of two classes is worth more than a product spared.
            Self::Field(_, fields::Layout::Addresses { .. })
                if class <= abi::Trie::HIGHEST_OF_TWO =>
            {
                abi::Trie::HIGHEST_OF_TWO
            }
            Self::Field(_, fields::Layout::Addresses { .. }) => limits::ADDRESS_CLASSES - 1,
            _ => u16::MAX as usize,
        }
    }
}

impl Layout {
    pub(super) fn new(settings: abi::Settings) -> Self {
        Self {
            tables: Tables {
                settings,
                stages: [Stage::default(); field::COUNT],
                tries: [abi::Trie::default(); abi::TRIES],
                services: Vec::new(),
                vlan_classes: vec![0; VLANS],
                interface_classes: Vec::new(),
                halves: Vec::new(),
                words: Vec::new(),
                rows: Vec::new(),
                nodes: Vec::new(),
                meaning: Meaning::default(),
                addresses: [None, None],
            },
            tries: Tries::default(),
            last: None,
            halves: Vec::new(),
            source_ports: Vec::new(),
            words: Vec::new(),
        }
    }

    /// Whether no field has been added yet.
    pub(super) fn is_first(&self) -> bool {
        self.last.is_none()
    }

    /// How values of a field are reduced to classes. `number` is the field's.
    pub(super) fn field(
        &mut self,
        number: usize,
        layout: fields::Layout,
    ) -> Result<(), CompileError> {
        match layout {
            fields::Layout::Interfaces(classes) => {
                self.tables.interface_classes = classes;
            }
            fields::Layout::Vlans(intervals) => fill(&mut self.tables.vlan_classes, &intervals),
            fields::Layout::Addresses { mut v4, mut v6 } => {
                let destination = number == field::DESTINATION;
                let tries = &mut self.tables.tries;
                tries[abi::Trie::index(destination, false)] = trie::build(&v4, &mut self.tries)?;
                tries[abi::Trie::index(destination, true)] = trie::build(&v6, &mut self.tries)?;
                v4.shrink_to_fit();
                v6.shrink_to_fit();
                let classes = Arc::new(AddressClasses { v4, v6 });
                self.tables.addresses[usize::from(destination)] = Some(classes);
            }
            fields::Layout::SourcePorts(intervals) => {
                self.source_ports = vec![0; source_port::LEN as usize];
                fill(&mut self.source_ports, &intervals);
            }
        }
        Ok(())
    }

    /// The first field has no table.
    pub(super) fn first(&mut self, number: usize, layout: fields::Layout) {
        self.tables.stages[number].form = Stage::FIRST;
        self.last = Some(Last::Field(number, layout));
    }

    /// The table of a field that is not the first.
    pub(super) fn table(&mut self, number: usize, table: Table) -> Result<(), CompileError> {
        if !table.rows.is_empty() {
            return self.add(number, table, Stage::SPARSE, |class| class);
        }
        if let Some(last) = &self.last
            && let Some(before_last) = table.halves.len().checked_sub(table.columns)
            && before_last <= last.highest(before_last / table.columns)
        {
            // With more columns there is one row alone, that of the class 0.
            let times = u16::try_from(table.columns).unwrap_or(1);
            return self.add(number, table, Stage::NEAR, |class| class * times);
        }
        self.add(number, table, Stage::DENSE, |class| class)
    }

    /// Adds a table, which takes other numbers for the classes of all fields so far.
    fn add(
        &mut self,
        number: usize,
        table: Table,
        form: u32,
        renumber: impl Fn(u16) -> u16,
    ) -> Result<(), CompileError> {
        let stage = &mut self.tables.stages[number];
        stage.columns = place(table.columns);
        stage.form = form;
        self.put_down(renumber)?;
        self.last = Some(Last::Table(number, table));
        self.check()
    }

    /// Puts down what gives the classes of all fields so far, with other numbers for them.
    fn put_down(&mut self, renumber: impl Fn(u16) -> u16) -> Result<(), CompileError> {
        match self.last.take() {
            None => {}
            Some(Last::Field(number, mut layout)) => {
                layout.renumber(renumber);
                self.field(number, layout)?;
            }
            Some(Last::Table(number, mut table)) => {
                table.renumber(renumber);
                let stage = &mut self.tables.stages[number];
                stage.halves = place(self.halves.len());
                if !table.rows.is_empty() {
                    stage.rows = place(self.tables.rows.len());
                    stage.words = place(self.words.len());
                    let words = pack(&mut table.rows, &table.exceptions, table.columns);
                    self.words.extend(words);
                    self.tables.rows.append(&mut table.rows);
                }
                self.halves.append(&mut table.halves);
            }
        }
        self.check()
    }

    /// The services, and the table that combines them with the fields before.
    pub(super) fn services(
        &mut self,
        services: &Services,
        table: Table,
    ) -> Result<(), CompileError> {
        let named = |name: &dyn Fn(u16) -> u16| {
            let intervals = services.intervals.iter();
            let named: Vec<_> = intervals
                .map(|(start, class)| (*start, name(*class)))
                .collect();
            let mut filled = vec![0; service::LEN as usize];
            fill(&mut filled, &named);
            filled
        };
        if self.is_first() {
            // There is one row, which tells the cell of each class.
            let cell = |class: u16| table.halves.get(usize::from(class)).copied().unwrap_or(0);
            self.tables.services = named(&cell);
            self.tables.stages[field::SERVICE].form = Stage::FIRST;
            return Ok(());
        }
        let identity = || {
            let highest = self.highest_row(table.dense_rows()?)?;
            ByColumn::with_identity(&table, services, highest)
        };
        let Some(by_column) = identity().or_else(|| ByColumn::with_rows(&table)) else {
            self.tables.services = named(&|class| class);
            return self.table(field::SERVICE, table);
        };
        let ByColumn { rows, columns, .. } = by_column;
        self.tables.services = named(&|class| columns[usize::from(class)]);
        let row = |class| rows[usize::from(class)];
        self.add(field::SERVICE, by_column.table, by_column.form, row)
    }

    /// The highest number that a row of the next table may have, of so many; `None` where they have the numbers that they have: the class of interfaces
    /// that the policy was not compiled for is 0.
    fn highest_row(&self, rows: usize) -> Option<usize> {
        match &self.last {
            None | Some(Last::Field(_, fields::Layout::Interfaces(_))) => None,
            Some(last) => Some(last.highest(rows - 1)),
        }
    }

    /// Most limits that a packet has to ask, and all of them.
    pub(super) fn limits(&mut self, most: usize, all: &[abi::Limit]) {
        let settings = &mut self.tables.settings;
        settings[Setting::Limits as usize] = u32::try_from(most).unwrap_or(u32::MAX);
        let suits = |limit: &abi::Limit| limit.tolerance_ns >= limits::COARSE_TOLERANCE_NS;
        settings[Setting::CoarseClock as usize] = (most != 0 && all.iter().all(suits)).into();
    }

    fn check(&self) -> Result<(), CompileError> {
        let halves = self.halves.len() + self.source_ports.len() + self.tries.lists.len();
        let words = self.words.len() + self.tries.words.len();
        for (what, needed, allowed) in [
            ("table entries", halves, limits::HALVES),
            ("table exceptions", words, limits::WORDS),
            ("nodes for addresses", self.tries.nodes.len(), limits::NODES),
        ] {
            if needed > allowed {
                return Err(CompileError::Memory {
                    what,
                    needed,
                    allowed,
                });
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self, cells: Cells<'_, '_>) -> Result<Tables, CompileError> {
        self.put_down(|class| class)?;
        let lists = &mut self.tries.lists;
        if !lists.is_empty() {
            // So that as much may be read from the beginning of the last one on.
            lists.resize(lists.len() + List::WINDOW as usize, 0);
        }
        self.check()?;
        let mut tables = self.tables;
        tables.halves = self.source_ports;
        tables.words = self.tries.words;
        tables.nodes = self.tries.nodes;
        let (halves, words) = (place(tables.halves.len()), place(tables.words.len()));
        for stage in &mut tables.stages {
            match stage.form {
                Stage::DENSE | Stage::NEAR | Stage::IDENTITY => stage.halves += halves,
                Stage::SPARSE => {
                    stage.halves += halves;
                    stage.words += words;
                }
                _ => {}
            }
        }
        tables.halves.append(&mut self.halves);
        let lists = place(trie::begin_line(&mut tables.halves));
        for trie in &mut tables.tries {
            if trie.form != Trie::CONSTANT {
                trie.lists += lists;
            }
            if trie.form == Trie::NARROW_LISTS {
                trie.root += lists;
            }
        }
        tables.halves.append(&mut self.tries.lists);
        let near = tables
            .stages
            .iter()
            .filter(|stage| matches!(stage.form, Stage::NEAR | Stage::IDENTITY));
        let near_end = near
            .map(|stage| stage.halves as usize + Stage::NEAR_HALVES)
            .max();
        if let Some(missing) = near_end.and_then(|end| end.checked_sub(tables.halves.len())) {
            tables.halves.resize(tables.halves.len() + missing, 0);
        }
        tables.words.append(&mut self.words);
        tables.meaning = cells.meaning;
        Ok(tables)
    }
}

/// A place in a table, as the kernel side has it.
fn place(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Fills a table by intervals; what lies behind its end is left out.
fn fill(table: &mut [u16], intervals: &[(u32, u16)]) {
    let ends = intervals.iter().skip(1).map(|(start, _)| *start as usize);
    for ((start, class), end) in intervals.iter().zip(ends.chain([table.len()])) {
        let end = end.min(table.len());
        if let Some(part) = table.get_mut(*start as usize..end) {
            part.fill(*class);
        }
    }
}

#[cfg(test)]
mod tests {
    use portguard_common::abi::PackedNode;

    use super::*;

    fn empty() -> Layout {
        Layout::new(abi::Settings::default())
    }

    fn refusal(layout: &Layout) -> Option<(&'static str, usize, usize)> {
        match layout.check() {
            Ok(()) => None,
            Err(CompileError::Memory {
                what,
                needed,
                allowed,
            }) => Some((what, needed, allowed)),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn tables_of_all_kinds_share_the_room() {
        let mut layout = empty();
        assert_eq!(refusal(&layout), None);
        layout.source_ports = vec![0; source_port::LEN as usize];
        layout.tries.lists = vec![0; 100];
        let rest = limits::HALVES - layout.source_ports.len() - 100;
        layout.halves = vec![0; rest];
        assert_eq!(refusal(&layout), None, "as much as is allowed");
        layout.halves.push(0);
        let error = ("table entries", limits::HALVES + 1, limits::HALVES);
        assert_eq!(refusal(&layout), Some(error));

        let mut layout = empty();
        layout.tries.words = vec![0; 5];
        layout.words = vec![0; limits::WORDS - 5];
        assert_eq!(refusal(&layout), None, "as much as is allowed");
        layout.tries.words.push(0);
        let error = ("table exceptions", limits::WORDS + 1, limits::WORDS);
        assert_eq!(refusal(&layout), Some(error));

        let mut layout = empty();
        layout.tries.nodes = vec![PackedNode::default(); limits::NODES];
        assert_eq!(refusal(&layout), None, "as many as are allowed");
        layout.tries.nodes.push(PackedNode::default());
        let error = ("nodes for addresses", limits::NODES + 1, limits::NODES);
        assert_eq!(refusal(&layout), Some(error));
        assert!(layout.table(field::VLAN, Table::default()).is_err());
    }

    #[test]
    fn classes_name_rows_by_their_place_where_that_fits() {
        let interfaces = || fields::Layout::Interfaces(vec![("a".into(), 1), ("b".into(), 2)]);
        let addresses = || fields::Layout::Addresses {
            v4: vec![(0, 0), (9, 2)],
            v6: vec![(0, 1)],
        };
        let table = |rows: usize, columns: usize| Table {
            columns,
            halves: vec![1; rows * columns],
            ..Table::default()
        };
        for (first, rows, columns, form) in [
            (interfaces(), 3, 5, Stage::NEAR),
            // A class has 16 bits.
            (interfaces(), 4370, 15, Stage::NEAR),
            (interfaces(), 4097, 16, Stage::DENSE),
            // 9 of them are enough for a leaf of two classes, if there are no more without this.
            (addresses(), 8, 73, Stage::NEAR),
            (addresses(), 9, 64, Stage::DENSE),
            (addresses(), 513, 63, Stage::NEAR),
            (addresses(), 513, 64, Stage::DENSE),
        ] {
            let mut layout = empty();
            layout.first(field::INTERFACE, first);
            assert!(layout.table(field::VLAN, table(rows, columns)).is_ok());
            let stage = &layout.tables.stages[field::VLAN];
            assert_eq!(stage.form, form, "{rows} times {columns}");
            assert_eq!(stage.columns, place(columns));
            let times = if form == Stage::NEAR { columns } else { 1 };
            let classes = layout.tables.interface_classes.iter().map(|own| own.1);
            let v4 = layout.tables.addresses[0].iter().flat_map(|own| &own.v4);
            let found: Vec<u16> = classes.chain(v4.map(|own| own.1)).collect();
            let highest = u16::try_from(2 * times).unwrap_or(0);
            assert_eq!(found.last(), Some(&highest), "{rows} times {columns}");
        }
        // Likewise what a table gives.
        let mut layout = empty();
        layout.first(field::INTERFACE, interfaces());
        assert!(layout.table(field::VLAN, table(3, 5)).is_ok());
        assert!(layout.table(field::SOURCE_PORT, table(2, 7)).is_ok());
        assert_eq!(layout.halves, [7; 15]);
        // Those of a sparse one have numbers.
        let mut sparse = table(1, 7);
        sparse.rows = vec![Default::default(); 8];
        sparse.exceptions = vec![vec![]; 8];
        assert!(layout.table(field::SERVICE, sparse).is_ok());
        assert_eq!(layout.halves[15..], [1; 14]);
        assert_eq!(layout.tables.stages[field::SERVICE].form, Stage::SPARSE);
    }

    #[test]
    fn services_of_many_rows_are_laid_out_by_column() {
        let services = |columns: u16| {
            let intervals = vec![(0, 0), (7, columns - 1), (8, 0)];
            Services::undecided(intervals, columns.into())
        };
        let laid_out = |rows: u16, columns: u16| {
            let mut layout = empty();
            let interfaces = vec![("a".into(), rows - 1)];
            layout.first(field::INTERFACE, fields::Layout::Interfaces(interfaces));
            let entries = u32::from(rows) * u32::from(columns);
            let table = Table {
                columns: columns.into(),
                halves: (0..entries).map(|entry| entry as u16).collect(),
                ..Table::default()
            };
            assert!(layout.services(&services(columns), table).is_ok());
            assert!(layout.put_down(|class| class).is_ok());
            layout
        };
        for (rows, columns, form, row, column) in [
            (3, 2, Stage::NEAR, 2, 3),
            // As many or more columns: by row.
            (2, 2, Stage::NEAR, 2, 1),
            (2, 3, Stage::NEAR, 3, 2),
            // The last column is named by 16 bits.
            (32_767, 3, Stage::NEAR, 32_766, 65_534),
            (32_768, 3, Stage::DENSE, 32_767, 2),
        ] {
            let layout = laid_out(rows, columns);
            let at = format!("{rows} times {columns}");
            assert_eq!(layout.tables.stages[field::SERVICE].form, form, "{at}");
            assert_eq!(layout.tables.interface_classes[0].1, row, "{at}");
            assert_eq!(layout.tables.services[6..9], [0, column, 0], "{at}");
        }
        // A sparse one stays by row, whatever dense rows it has.
        let mut layout = empty();
        layout.first(field::INTERFACE, fields::Layout::Interfaces(Vec::new()));
        let sparse = Table {
            columns: 2,
            halves: vec![1; 6],
            rows: vec![Default::default(); 9],
            exceptions: vec![vec![]; 9],
        };
        assert!(layout.services(&services(2), sparse).is_ok());
        assert_eq!(layout.tables.stages[field::SERVICE].form, Stage::SPARSE);
        assert_eq!(layout.tables.services[6..9], [0, 1, 0]);
        assert_eq!(laid_out(3, 2).halves, [0, 2, 4, 1, 3, 5]);
        assert_eq!(laid_out(2, 3).halves, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn classes_of_addresses_are_the_cells_of_one_column() {
        let services = || Services::undecided(vec![(0, 0), (7, 1), (8, 0)], 2);
        let table = || Table {
            columns: 2,
            halves: vec![0, 0, 0, 1, 0, 1, 0, 2],
            ..Table::default()
        };
        let mut layout = empty();
        let addresses = fields::Layout::Addresses {
            v4: vec![(0, 0), (9, 1), (10, 2), (11, 3), (12, 0)],
            v6: vec![(0, 2), (1, 1)],
        };
        layout.first(field::SOURCE, addresses);
        assert!(layout.services(&services(), table()).is_ok());
        assert!(layout.put_down(|cell| cell).is_ok());
        let stage = layout.tables.stages[field::SERVICE];
        assert_eq!((stage.form, stage.columns), (Stage::IDENTITY, 2));
        assert_eq!(layout.tables.services[6..9], [3, 0, 3]);
        assert_eq!(layout.halves, [0, 1, 2, 0, 0, 0]);
        // What lies side by side and has become the same is one.
        let classes = layout.tables.addresses[0].as_deref();
        let v4 = classes.map(|classes| &classes.v4[..]);
        assert_eq!(v4, Some(&[(0, 0), (9, 1), (11, 2), (12, 0)][..]));
        assert_eq!(classes.map(|classes| &classes.v6[..]), Some(&[(0, 1)][..]));

        // Likewise the values of a table before it. But an interface that the policy was not compiled for is of class 0.
        for with_table in [true, false] {
            let mut layout = empty();
            let classes = (0..4).map(|class| (format!("eth{class}"), class));
            layout.first(
                field::INTERFACE,
                fields::Layout::Interfaces(classes.collect()),
            );
            if with_table {
                let joined = Table {
                    columns: 1,
                    halves: vec![0, 3, 2, 1],
                    ..Table::default()
                };
                assert!(layout.table(field::VLAN, joined).is_ok());
            }
            let mut table = table();
            table.halves[1] = 3;
            assert!(layout.services(&services(), table).is_ok());
            let stage = layout.tables.stages[field::SERVICE];
            assert_eq!(stage.form == Stage::IDENTITY, with_table);
            if with_table {
                assert_eq!(layout.halves, [3, 2, 1, 1]);
            } else {
                assert_eq!(layout.tables.interface_classes[3].1, 3);
            }
        }
    }

    #[test]
    fn classes_of_addresses_stay_as_small_as_a_leaf_of_two_takes() {
        let last = |cell: u16| {
            let rows = 300;
            let cells = (0..rows - 1).chain([cell]);
            let table = Table {
                columns: 2,
                halves: cells.flat_map(|cell| [cell, 0]).collect(),
                ..Table::default()
            };
            let services = Services::undecided(vec![(0, 0), (7, 1), (8, 0)], 2);
            let mut layout = empty();
            let addresses = fields::Layout::Addresses {
                v4: vec![(0, 0), (9, rows - 1)],
                v6: vec![(0, 0)],
            };
            layout.first(field::SOURCE, addresses);
            assert!(layout.services(&services, table).is_ok());
            layout.tables.stages[field::SERVICE].form
        };
        assert_eq!(last(511), Stage::IDENTITY);
        assert_eq!(last(512), Stage::NEAR);
    }

    #[test]
    fn intervals_fill_up_to_the_next_one() {
        let mut table = [9; 6];
        fill(&mut table, &[(0, 1), (2, 5), (3, 0)]);
        assert_eq!(table, [1, 1, 5, 0, 0, 0]);
        // What lies behind the end is left out.
        fill(&mut table, &[(4, 7), (6, 8), (9, 8)]);
        assert_eq!(table, [1, 1, 5, 0, 7, 7]);
    }
}
