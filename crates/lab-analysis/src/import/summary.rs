//! What an imported file said, as far as it can be told without guessing.

use std::collections::BTreeMap;

use lab_model::Timebase;
use serde::{Deserialize, Serialize};

/// Everything that an import knows of a file of eslogger's lines beside the trace that it wrote: counts over all lines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Import {
    /// Where the lines came from and how they were read.
    pub source: Source,
    /// Events in the trace. `lines = events + damaged + blank`.
    pub events: u64,
    /// Lines read.
    pub lines: u64,
    /// Lines with nothing in them.
    pub blank: u64,
    /// Lines that are no event.
    pub damaged: u64,
    /// How many for each reason.
    pub damaged_by_reason: BTreeMap<String, u64>,
    /// The first 20 of them.
    pub damaged_first: Vec<DamagedLine>,
    /// Events by `version` of their message; those without one count under `none`.
    pub versions: BTreeMap<String, u64>,
    /// Events with a `schema_version` other than 1: their fields may mean something else.
    pub schema_unknown: u64,
    /// In which shape the audit tokens were.
    pub tokens: Tokens,
    /// Events by kind, the most first.
    pub types: Vec<EventType>,
    /// The numbers of all events together (`global_seq_num`).
    pub of_all: Sequence,
    /// Who made the events, the most first, at most 200.
    pub programs: Vec<Program>,
    /// Different programs seen, at most 16,384.
    pub programs_known: u64,
    /// Events whose program came after the 16,384th.
    pub programs_left_out: u64,
    /// The files the events are about and how often, the most first, at most 20.
    pub files: Vec<(String, u64)>,
    /// Events whose file came after the 16,384th.
    pub files_left_out: u64,
    /// Their extensions, at most 10.
    pub extensions: Vec<(String, u64)>,
    /// Events of processes with the entitlement of an Endpoint Security client (`is_es_client`).
    pub by_es_clients: u64,
    /// Events of other platform binaries.
    pub by_platform_binaries: u64,
    /// Events of all other processes.
    pub by_others: u64,
    /// Events whose operation was denied, by whichever client.
    pub denied: u64,
    /// What the lines did not say.
    #[serde(rename = "untold")]
    pub missing_fields: MissingFields,
    /// The earliest and the latest `mach_time`; `None` without an event.
    pub ticks: Option<(u64, u64)>,
    /// `time` of the first event that has one, and of the one with the latest `mach_time`.
    pub wall: Option<WallClock>,
    /// Events over time.
    pub course: EventRate,
    /// Records that did not fit the trace.
    pub records_lost: u64,
}

/// Where the lines came from and how they were read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The name of the file or stream.
    pub name: String,
    /// Nanoseconds for each tick of `mach_time`.
    pub timebase: Timebase,
    /// Nobody said so: it is what Apple silicon has.
    pub timebase_assumed: bool,
    /// The version of the program that read it.
    pub version: String,
}

impl Default for Source {
    fn default() -> Source {
        let timebase = super::timebase::APPLE_SILICON;
        Source { name: String::new(), timebase, timebase_assumed: true, version: String::new() }
    }
}

/// A line of the file that is no event, by its number from 1 on; the first ones only are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedLine {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
    /// What the reader of its JSON says; may be empty.
    pub detail: String,
}

/// How many audit tokens had which shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// With names (versions 9 and 11).
    pub objects: u64,
    /// Eight integers (version 10).
    pub arrays: u64,
}

/// One event type of eslogger, such as `open`, and how many lines had it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventType {
    /// Its number (`event_type`).
    pub code: u16,
    /// Its key under `event`; empty when there was none.
    pub name: String,
    /// How many there were.
    pub events: u64,
    /// Its own numbers (`seq_num`).
    pub sequence: Sequence,
}

/// The sequence numbers of one client of the kernel, as they came: gaps are events that are not in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// How many events had a number.
    pub seen: u64,
    /// The first number. A first number above 0 may mean that the beginning is not in the file.
    pub first: Option<u64>,
    /// The last number.
    pub last: Option<u64>,
    /// Jumps.
    pub gaps: u64,
    /// Numbers jumped over.
    pub missing: u64,
    /// Numbers that did not rise: another recording begins there, or the lines are not in order.
    pub went_back: u64,
}

/// A program that made events, as these told of it, and how many they were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its executable's path; `None` when not told.
    pub path: Option<String>,
    /// Its signing ID.
    pub signing_id: Option<String>,
    /// Its team ID.
    pub team_id: Option<String>,
    /// It has the entitlement of an Endpoint Security client.
    pub is_es_client: Option<bool>,
    /// It is part of the system.
    pub is_platform_binary: Option<bool>,
    /// A process ID it had: the first seen.
    pub pid: u32,
    /// Its events.
    pub events: u64,
}

/// For how many events something is missing that a whole line has: each counts in each field that it lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingFields {
    /// `thread` is null or missing: not joinable with the trace of a client.
    pub thread: u64,
    /// No file was found in the event.
    pub file: u64,
    /// The file's path is cut.
    pub path_truncated: u64,
    /// `is_es_client` is missing.
    pub is_es_client: u64,
    /// Lines of the lab's own export, whose sequence numbers are those of several clients and are not checked.
    pub own_lines: u64,
}

/// The wall clock and `mach_time` of the first and the last event, by which the timebase is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WallClock {
    /// `mach_time` and nanoseconds since 1970 of the first.
    pub first: (u64, i64),
    /// The same of the last.
    pub last: (u64, i64),
}

/// Events over time, in at most 240 stretches of equal length.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRate {
    /// The tick at which the first stretch begins.
    pub origin: Option<u64>,
    /// How long one is, in ticks; 0 without an event.
    pub bucket_ticks: u64,
    /// Events of ES clients, of other platform binaries and of others, for each stretch.
    pub events: Vec<[u64; 3]>,
}

/// The shortest time by the wall clock from which nanoseconds for each tick can be told, in nanoseconds.
const WALL_SPAN_MIN: i64 = 1_000_000_000;
/// How far the measured tick may lie from a known one, as a share.
const TIMEBASE_TOLERANCE: f64 = 0.01;

impl Import {
    /// From the first event to the last, in nanoseconds.
    #[must_use]
    pub fn span_ns(&self) -> u64 {
        self.ticks.map_or(0, |(first, last)| self.source.timebase.nanoseconds(last.saturating_sub(first)))
    }

    /// Events that are known to be missing: the larger of the two counts, because either may be the only one.
    #[must_use]
    pub fn missing(&self) -> u64 {
        let by_kind = self.types.iter().fold(0, |sum: u64, kind| sum.saturating_add(kind.sequence.missing));
        by_kind.max(self.of_all.missing)
    }

    /// Nanoseconds for each tick, as the lines' own wall clock has it; `None` when they span less than a second.
    #[must_use]
    pub fn measured_tick_ns(&self) -> Option<f64> {
        let WallClock { first, last } = self.wall?;
        let wall = last.1.checked_sub(first.1).filter(|&wall| wall >= WALL_SPAN_MIN)?;
        let ticks = last.0.checked_sub(first.0).filter(|&ticks| ticks > 0)?;
        Some(wall as f64 / ticks as f64)
    }

    /// The timebase that the lines' own wall clock speaks for: that of Apple silicon or of Intel, if it is near one.
    #[must_use]
    pub fn measured_timebase(&self) -> Option<Timebase> {
        let measured = self.measured_tick_ns()?;
        [super::timebase::APPLE_SILICON, Timebase::NANOSECONDS].into_iter().find(|timebase| {
            let tick = f64::from(timebase.numer) / f64::from(timebase.denom.max(1));
            (measured / tick - 1.0).abs() <= TIMEBASE_TOLERANCE
        })
    }
}
