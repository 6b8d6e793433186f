//! Packing the exceptions of many rows into one array: each row is moved to where its exceptions fall on free places
//! (row displacement, as in the tables of parser generators). An owner stands beside each value, so one load tells
//! whether a row has an exception in a column.

use portguard_common::abi::{Row, exception};

/// How many places are tried for a row before it is put behind all others.
const TRIES: usize = 256;

/// Packs exceptions, in ascending order of their columns; sets [`Row::exceptions`]. The words end so that any column
/// of any row can be read.
pub(super) fn pack(rows: &mut [Row], exceptions: &[Vec<(u16, u16)>], columns: usize) -> Vec<u32> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    // Large ones first: small ones fill what they leave.
    order.sort_by_key(|row| std::cmp::Reverse(exceptions[*row].len()));
    let mut places = Places::default();
    for number in order {
        let own = &exceptions[number];
        let offset = own.first().map_or(0, |(first, _)| {
            let columns: Vec<usize> = own.iter().map(|(column, _)| usize::from(*column)).collect();
            places.find(usize::from(*first), &columns)
        });
        rows[number].exceptions = u32::try_from(offset).unwrap_or(u32::MAX);
        let row = u16::try_from(number).unwrap_or(u16::MAX);
        for (column, value) in own {
            places.take(offset + usize::from(*column), exception(row, *value));
        }
    }
    let last = rows.iter().map(|row| row.exceptions as usize).max();
    let end = last.unwrap_or(0) + columns;
    places.words.resize(end.max(places.words.len()), 0);
    places.words
}

#[derive(Default)]
struct Places {
    /// 0 is free: the owner of an exception is never 0.
    words: Vec<u32>,
    /// By place: one from which on to look for the next free one.
    next: Vec<usize>,
}

impl Places {
    /// Where a row could begin, so that its columns fall on free places.
    fn find(&mut self, first: usize, columns: &[usize]) -> usize {
        let mut place = first;
        for _ in 0..TRIES {
            place = self.free_from(place);
            let offset = place - first;
            let fits = columns.iter().all(|column| {
                let word = self.words.get(offset + column);
                word.is_none_or(|word| *word == 0)
            });
            if fits {
                return offset;
            }
            place += 1;
        }
        self.words.len()
    }

    fn free_from(&mut self, from: usize) -> usize {
        let mut place = from;
        while let Some(next) = self.next.get(place).filter(|next| **next != place) {
            place = *next;
        }
        // So that the next search from here is short.
        let mut at = from;
        while at < place {
            at = std::mem::replace(&mut self.next[at], place);
        }
        place
    }

    fn take(&mut self, place: usize, word: u32) {
        if place >= self.words.len() {
            let first = self.next.len();
            self.words.resize(place + 1, 0);
            self.next.extend(first..=place);
        }
        self.words[place] = word;
        self.next[place] = place + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_finds_its_exceptions_and_no_others() {
        let columns = 50;
        let exceptions: Vec<Vec<(u16, u16)>> = (0..400_u16)
            .map(|row| {
                let own = (0..columns).filter(|column| (row * 7 + column * 13) % 29 < row % 5);
                own.map(|column| (column, row * 100 + column)).collect()
            })
            .collect();
        let mut rows = vec![Row::default(); exceptions.len()];
        let words = pack(&mut rows, &exceptions, usize::from(columns));
        for (number, (row, own)) in (0..).zip(rows.iter().zip(&exceptions)) {
            for column in 0..columns {
                let word = words[row.exceptions as usize + usize::from(column)];
                let value = word as u16;
                let found = (word == exception(number, value)).then_some(value);
                let expected = own.iter().find(|(own, _)| *own == column);
                assert_eq!(
                    found,
                    expected.map(|(_, value)| *value),
                    "{number} {column}"
                );
            }
        }
        let taken: usize = exceptions.iter().map(Vec::len).sum();
        assert!(words.len() < 2 * taken, "{} words for {taken}", words.len());
    }
}
