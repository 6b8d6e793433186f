//! The words of a line, as `iptables-restore` splits it.

use crate::error::ImportError;
use crate::model::Origin;

/// A word and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    /// In characters, from 1.
    pub(crate) column: usize,
}

/// Splits at blanks; a word in double quotes may have blanks, and `\` before what stands for itself.
pub(crate) fn words(line: &str, origin: &Origin) -> Result<Vec<Word>, ImportError> {
    let mut words: Vec<Word> = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote = None;
    let mut letters = line.chars().enumerate();
    while let Some((at, letter)) = letters.next() {
        let mut push = |letter: Option<char>| {
            let own = word.get_or_insert(Word {
                text: String::new(),
                column: at + 1,
            });
            own.text.extend(letter);
        };
        match letter {
            '\\' if quote.is_some() => push(letters.next().map(|(_, next)| next)),
            '"' if quote.is_some() => quote = None,
            '"' => {
                quote = Some(at + 1);
                push(None);
            }
            letter if letter.is_whitespace() && quote.is_none() => words.extend(word.take()),
            letter => push(Some(letter)),
        }
    }
    if let Some(column) = quote {
        return Err(ImportError::at(
            origin,
            column,
            "this quote has no end".into(),
        ));
    }
    words.extend(word);
    Ok(words)
}
