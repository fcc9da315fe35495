//! Words of a report that other versions may have more of: known ones are values, unknown ones are kept as written.

use std::{borrow::Cow, cmp::Ordering, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Values that stand in a report as words.
pub trait Vocabulary: Clone + PartialEq {
    /// The name of the words in the schema.
    const NAME: &'static str;

    /// What the schema says of them.
    const ABOUT: &'static str;

    /// What the words with a number in them look like, as regular expressions.
    const PATTERNS: &'static [&'static str] = &[];

    /// All values whose words have no number in them.
    fn all() -> Vec<Self>;

    /// The word in reports.
    fn word(&self) -> Cow<'static, str>;

    /// The value of a word.
    #[must_use]
    fn of_word(word: &str) -> Option<Self> {
        Self::all().into_iter().find(|value| value.word() == word)
    }
}

/// A word in a report: one that this version knows, or as another version has written it.
///
/// Words are written, compared and sorted by their letters, so that what is read is written again as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String", bound = "T: Vocabulary")]
pub enum Word<T> {
    /// A known one.
    Known(T),
    /// Another. It comes from a file, and may hold anything.
    Other(String),
}

impl<T: Vocabulary> Word<T> {
    /// The word itself.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Word::Known(value) => value.word(),
            Word::Other(text) => Cow::Borrowed(text),
        }
    }

    /// The value, if it is known.
    #[must_use]
    pub const fn known(&self) -> Option<&T> {
        if let Word::Known(value) = self { Some(value) } else { None }
    }
}

impl<T: Default> Default for Word<T> {
    fn default() -> Word<T> {
        Word::Known(T::default())
    }
}

impl<T: Vocabulary> From<T> for Word<T> {
    fn from(value: T) -> Word<T> {
        Word::Known(value)
    }
}

impl<T: Vocabulary> From<&str> for Word<T> {
    fn from(text: &str) -> Word<T> {
        match T::of_word(text) {
            // `exit 03` would be written as `exit 3`.
            Some(value) if value.word() == text => Word::Known(value),
            _ => Word::Other(text.to_owned()),
        }
    }
}

impl<T: Vocabulary> From<String> for Word<T> {
    fn from(text: String) -> Word<T> {
        Word::from(text.as_str())
    }
}

impl<T: Vocabulary> From<Word<T>> for String {
    fn from(word: Word<T>) -> String {
        word.text().into_owned()
    }
}

impl<T: Vocabulary> fmt::Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text())
    }
}

impl<T: Vocabulary> PartialEq<T> for Word<T> {
    fn eq(&self, other: &T) -> bool {
        self.known() == Some(other)
    }
}

impl<T: Vocabulary + Eq> PartialOrd for Word<T> {
    fn partial_cmp(&self, other: &Word<T>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Vocabulary + Eq> Ord for Word<T> {
    fn cmp(&self, other: &Word<T>) -> Ordering {
        self.text().cmp(&other.text())
    }
}

impl<T: Vocabulary> JsonSchema for Word<T> {
    fn schema_name() -> Cow<'static, str> {
        T::NAME.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<Cow<'static, str>> = T::all().iter().map(Vocabulary::word).collect();
        let known = json_schema!({ "type": "string", "enum": words });
        let numbered =
            T::PATTERNS.iter().map(|pattern| json_schema!({ "type": "string", "pattern": pattern }));
        let other = json_schema!({ "type": "string", "description": "A word of another version." });
        let any: Vec<Schema> = [known].into_iter().chain(numbered).chain([other]).collect();
        json_schema!({ "description": T::ABOUT, "anyOf": any })
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::findings::{
        ApprovalWay, BlameKind, CascadeNodeKind, FaultMarkKind, GroupClass, LoadWord, Mitigation, ProcessEnd,
        ProductEnd, ReportBackend, WhyShown,
    };

    fn check<T: Vocabulary + Eq + Debug>(more: &[T]) {
        for value in T::all().iter().chain(more) {
            let word = Word::Known(value.clone());
            let json = serde_json::to_string(&word).unwrap();
            assert_eq!(json, format!("\"{}\"", value.word()));
            assert_eq!(serde_json::from_str::<Word<T>>(&json).unwrap(), word, "{json}");
        }
        let schema = serde_json::to_value(Word::<T>::json_schema(&mut SchemaGenerator::default())).unwrap();
        let words = schema["anyOf"][0]["enum"].as_array().unwrap().len();
        assert_eq!((words, T::all().len() > 1), (T::all().len(), true), "{}", T::NAME);
    }

    #[test]
    fn every_known_word_reads_back_as_its_value() {
        check::<ApprovalWay>(&[]);
        check::<BlameKind>(&[]);
        check::<CascadeNodeKind>(&[]);
        check::<FaultMarkKind>(&[FaultMarkKind::Numbered(9), FaultMarkKind::Numbered(u16::MAX)]);
        check::<GroupClass>(&[]);
        check::<LoadWord>(&[]);
        check::<Mitigation>(&[]);
        check::<ProcessEnd>(&[ProcessEnd::Exit(3), ProcessEnd::Exit(255), ProcessEnd::Signal(9)]);
        check::<ProductEnd>(&[ProductEnd::Exit(4), ProductEnd::Signal(15)]);
        check::<ReportBackend>(&[]);
        check::<WhyShown>(&[]);
        check::<lab_model::EventKind>(&[]);
        check::<lab_model::NotifyEvent>(&[]);
        check::<lab_model::OperationKind>(&[]);
    }

    #[test]
    fn what_no_version_of_this_program_wrote_stays_as_it_is() {
        for text in
            ["", "exit 03", "exit +3", "exit -1", "exit 70000", "killed (signal 9", "Clean", "exit 3 "]
        {
            let json = serde_json::to_string(text).unwrap();
            let word: Word<ProcessEnd> = serde_json::from_str(&json).unwrap();
            assert_eq!((word.known(), word.text()), (None, text.into()));
            assert_eq!(serde_json::to_string(&word).unwrap(), json);
        }
        assert_eq!(
            Word::from("fault 16"),
            FaultMarkKind::Numbered(16),
            "a number, whatever it stands for now"
        );
    }

    #[test]
    fn words_are_sorted_by_their_letters() {
        let mut ways = ApprovalWay::all().into_iter().map(Word::Known).collect::<Vec<_>>();
        ways.push(Word::Other("napping".into()));
        ways.sort();
        let texts: Vec<Cow<'_, str>> = ways.iter().map(Word::text).collect();
        assert!(texts.is_sorted(), "{texts:?}");
    }
}
