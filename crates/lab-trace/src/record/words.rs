//! How small values lie in a record's words.

use lab_model::{SubjectClass, Ticks};

pub(crate) const fn optional(ticks: Option<Ticks>) -> u64 {
    match ticks {
        Some(ticks) => ticks.0,
        None => 0,
    }
}

pub(crate) const fn ticks(word: u64) -> Option<Ticks> {
    if word == 0 { None } else { Some(Ticks(word)) }
}

/// Bits `from` up to `from + 16` of a word.
#[expect(clippy::cast_possible_truncation, reason = "takes 16 bits out of 64")]
pub(crate) const fn u16_at(word: u64, from: u32) -> u16 {
    (word >> from) as u16
}

#[expect(clippy::cast_possible_truncation, reason = "takes the low half")]
pub(crate) const fn low(word: u64) -> u32 {
    word as u32
}

pub(crate) const fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

pub(crate) const fn both(low: u32, high: u32) -> u64 {
    low as u64 | ((high as u64) << 32)
}

pub(crate) const fn class_code(class: SubjectClass) -> u64 {
    match class {
        SubjectClass::Workload => 0,
        SubjectClass::Own => 1,
        SubjectClass::OwnHelper => 2,
        SubjectClass::Peer => 3,
    }
}

pub(crate) const fn class_from(code: u16) -> Option<SubjectClass> {
    match code {
        0 => Some(SubjectClass::Workload),
        1 => Some(SubjectClass::Own),
        2 => Some(SubjectClass::OwnHelper),
        3 => Some(SubjectClass::Peer),
        _ => None,
    }
}
