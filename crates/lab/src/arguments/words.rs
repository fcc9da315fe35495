//! How words of the command line are read.

use std::ops::RangeInclusive;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use lab_model::{BackendChoice, Kernel};

/// Reads `A..B`, both included, or one seed.
pub(super) fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let number =
        |part: &str| part.parse::<u64>().map_err(|_| format!("\"{part}\" is no seed: write 1..1000"));
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let range = number(first)?..=number(last.trim_start_matches('='))?;
    if range.is_empty() { Err("the first seed comes after the last".to_owned()) } else { Ok(range) }
}

/// One of the words for a kernel.
pub(super) fn kernel() -> impl TypedValueParser<Value = Kernel> {
    let words = Kernel::ALL.iter().map(|kernel| PossibleValue::new(kernel.name()).help(kernel.system()));
    PossibleValuesParser::new(words).try_map(|word| word.parse())
}

/// One of the words for a backend.
pub(super) fn backend() -> impl TypedValueParser<Value = BackendChoice> {
    let help = |choice: BackendChoice| match choice {
        BackendChoice::Live(kernel) => kernel.system(),
        other => other.about().trim_end_matches('.'),
    };
    let words = BackendChoice::ALL.map(|choice| PossibleValue::new(choice.name()).help(help(choice)));
    PossibleValuesParser::new(words).try_map(|word| word.parse())
}
