//! Which number of a policy stands at which place among the constants of its program.

use portguard_common::abi::{Action, Lengths, SETTINGS, Setting, Stage, TRIES, Trie, field};
use portguard_common::constant::{self, CellView, Memory, StageView, TrieView};

#[test]
fn each_number_has_its_place() {
    let mut settings = [0; SETTINGS];
    settings[Setting::DefaultDrop as usize] = 1;
    settings[Setting::Generation as usize] = 99;
    let mut stages = [Stage::default(); field::COUNT];
    stages[field::SERVICE] = Stage {
        form: Stage::SPARSE,
        columns: 11,
        halves: 12,
        rows: 13,
        words: 14,
    };
    let mut tries = [Trie::default(); TRIES];
    tries[Trie::index(true, false)] = Trie {
        form: Trie::LISTS,
        root: 21,
        nodes: 22,
        lists: 23,
        lists_len: 24,
        longest: 25,
        short: 26,
        trunk: 27,
        trunk_words: 28,
    };
    let lengths = Lengths {
        halves: 31,
        words: 33,
        rows: 34,
        nodes: 35,
        limits: 36,
        counters: 67,
        slots: 38,
        memory: [41, 42, 43, 44, 45, 46, 47],
        cells: [51, 52, 53, 54, 55, 56],
    };
    let all = constant::all(&settings, &stages, &tries, &lengths);
    let at = |first: usize, count: usize| all[first..first + count].to_vec();
    assert_eq!(all[constant::SETTING + Setting::DefaultDrop as usize], 1);
    assert_eq!(all[constant::SETTING + Setting::Generation as usize], 99);
    let stage = constant::STAGE + field::SERVICE * constant::STAGE_LEN;
    assert_eq!(at(stage, 5), [Stage::SPARSE, 11, 12, 13, 14]);
    let trie = constant::TRIE + Trie::index(true, false) * constant::TRIE_LEN;
    assert_eq!(at(trie, 9), [Trie::LISTS, 21, 22, 23, 24, 25, 26, 27, 28]);
    assert_eq!(all[constant::HALVES], 31);
    assert_eq!(all[constant::WORDS], 33);
    assert_eq!(all[constant::ROWS], 34);
    assert_eq!(all[constant::NODES], 35);
    assert_eq!(all[constant::LIMITS], 36);
    assert_eq!(all[constant::COUNTERS], 67);
    assert_eq!(all[constant::SLOTS], 38);
    for (memory, bytes) in Memory::ALL.into_iter().zip(41..) {
        assert_eq!(all[constant::MEMORY + memory as usize], bytes);
    }
    for (action, cells) in Action::ALL.into_iter().zip(51..) {
        assert_eq!(all[constant::CELLS + action as usize], cells);
    }
    // 0x30100 drops of 2 and 8 bytes and 67 counters of 16, to the next 128.
    assert_eq!(all[constant::SLOT_BYTES], 1_969_792);
    // The service alone narrows nothing; each other field does.
    assert_eq!(all[constant::NARROWED], 0);
    for own in 0..field::SERVICE {
        let mut stages = stages;
        stages[own].form = Stage::FIRST;
        let all = constant::all(&settings, &stages, &tries, &lengths);
        assert_eq!(all[constant::NARROWED], 1, "{own}");
    }
}

#[test]
fn a_view_says_what_the_whole_says() {
    let stage = Stage {
        form: 1,
        columns: 2,
        halves: 3,
        rows: 4,
        words: 5,
    };
    let members = [
        stage.form(),
        stage.columns(),
        stage.halves(),
        stage.rows(),
        stage.words(),
    ];
    assert_eq!(members, [1, 2, 3, 4, 5]);
    let trie = Trie {
        form: 1,
        root: 2,
        nodes: 3,
        lists: 4,
        lists_len: 9,
        longest: 5,
        short: 6,
        trunk: 7,
        trunk_words: 8,
    };
    let members = [trie.form(), trie.root(), trie.nodes(), trie.lists()];
    assert_eq!(members, [1, 2, 3, 4]);
    assert_eq!((trie.lists_len(), trie.short()), (9, 6));
    assert!(trie.has_short() && !Trie::default().has_short());
    assert_eq!((trie.trunk(), trie.trunk_words()), (7, 8));
    assert!(trie.has_trunk() && !Trie::default().has_trunk());
    assert!(trie.is_longer(4) && !trie.is_longer(5));
    assert_eq!(trie.longest(), 5);
    let cell = portguard_common::abi::Cell {
        action: 1,
        reserved: 0,
        shadow: 2,
        limits: 3,
    };
    assert_eq!(CellView::action(&cell), Action::Pass);
    assert_eq!((cell.shadow(), cell.limits()), (2, 3));
}
