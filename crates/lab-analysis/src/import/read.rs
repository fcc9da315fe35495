//! From lines to records.

use std::{
    collections::BTreeMap,
    io::{self, BufRead},
};

use lab_model::{Actor, Bounded, EventKind, Role, SubjectClass, Ticks, Timebase, units::counted};
use lab_trace::{DecisionBegin, Header, HostFacts, Identity, Loss, LossKind, Target};

use super::{
    line::{Damage, Line, TokenShape},
    lines::{Next, next_line},
    ranking::Ranking,
    recorder::Recorder,
    sequences::OfKind,
    summary::{DamagedLine, EventType, Import, Program, Source, WallClock},
    timebase::APPLE_SILICON,
};

/// What findings of an import name as their backend.
pub(super) const BACKEND: &str = "eslogger";

/// The damaged lines that are named one by one.
const DAMAGED_NAMED_MAX: usize = 20;
/// The names that are counted of each sort.
const NAMES_MAX: usize = 16_384;
/// The programs in a summary.
const PROGRAMS_SHOWN_MAX: usize = 200;
/// The files and extensions in a summary.
const FILES_SHOWN_MAX: usize = 20;
const EXTENSIONS_SHOWN_MAX: usize = 10;
/// Different `event_type`, `version` values: both are small numbers, whatever a hostile line says.
const KINDS_MAX: usize = 1024;
/// The bytes of paths that are known by their number; beyond, they are forgotten and written again.
const INTERNED_BYTES_MAX: usize = 16 << 20;
/// Events after which the recorder may make room: a path takes up to 44 places, room is kept for 16,384.
const ROOM_EVERY: u64 = 64;

/// How lines are read, and what their trace says of who read them.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The name of the file or stream, for the reports.
    pub name: String,
    /// Nanoseconds for each tick; `None` assumes [`APPLE_SILICON`] and says so.
    pub timebase: Option<Timebase>,
    /// The version of the importing program.
    pub version: String,
    /// Seeds the checks of the trace.
    pub salt: u32,
}

/// Reads lines. The header of the trace needs the first event, so reading is cut in two.
#[derive(Debug)]
pub struct Importer<R> {
    source: R,
    buffer: Vec<u8>,
    salt: u32,
    first: Option<Line>,
    kinds: BTreeMap<EventKind, (String, u64, OfKind)>,
    programs: Ranking<ProgramKey, Program>,
    files: Ranking<String, ()>,
    extensions: Ranking<String, ()>,
    paths: BTreeMap<String, u32>,
    path_bytes: usize,
    found: Import,
}

/// Tells programs apart: by path and signing ID, or where neither is told by process.
type ProgramKey = (Option<String>, Option<String>, Option<u32>);

impl<R: BufRead> Importer<R> {
    /// Reads up to the first event.
    ///
    /// # Errors
    /// Only those of the source: no line is an error.
    pub fn begin(source: R, options: &Options) -> io::Result<Importer<R>> {
        let mut importer = Importer {
            source,
            buffer: Vec::new(),
            salt: options.salt,
            first: None,
            kinds: BTreeMap::new(),
            programs: Ranking::new(NAMES_MAX),
            files: Ranking::new(NAMES_MAX),
            extensions: Ranking::new(NAMES_MAX),
            paths: BTreeMap::new(),
            path_bytes: 0,
            found: Import::default(),
        };
        importer.found.source = Source {
            name: options.name.clone(),
            timebase: options.timebase.unwrap_or(APPLE_SILICON),
            timebase_assumed: options.timebase.is_none(),
            version: options.version.clone(),
        };
        importer.first = importer.next_event()?;
        Ok(importer)
    }

    /// Why there is nothing to import: no line is an event. `None` when there is one.
    #[must_use]
    pub fn nothing(&self) -> Option<String> {
        if self.first.is_some() {
            return None;
        }
        let found = &self.found;
        let mut text = format!("{} has {}", found.source.name, counted(found.lines, "line"));
        if found.lines > 0 {
            text.push_str(", none of which is an event of eslogger");
        }
        if let Some(DamagedLine { line, reason, .. }) = found.damaged_first.first() {
            text.push_str(&format!("; line {line} is damaged: {reason}"));
        }
        Some(text)
    }

    /// The header for the trace of these lines: one client that the lab did not build.
    #[must_use]
    pub fn header(&self) -> Header {
        let source = &self.found.source;
        let first = self.first.as_ref();
        Header {
            created: Ticks(first.map_or(0, |line| line.mach_time)),
            created_unix_ns: first.and_then(|line| line.unix_ns).unwrap_or(0),
            timebase: source.timebase,
            actor: Actor(1),
            role: Role::External,
            pid: 0,
            salt: self.salt,
            identity: Identity {
                name: BACKEND.into(),
                bundle_id: Some("com.apple.eslogger".into()),
                version: source.version.clone(),
                arena: String::new(),
                settings: serde_json::json!({
                    "imported_from": source.name.chars().take(1024).collect::<String>(),
                    "timebase_assumed": source.timebase_assumed,
                }),
                host: HostFacts::default(),
            },
        }
    }

    /// Reads the rest, writes every event to the trace and says what was found. The recorder is left open: close it
    /// at the second of [`Import::ticks`].
    ///
    /// # Errors
    /// Those of the source and of making room in the trace.
    pub fn finish(mut self, recorder: &mut impl Recorder) -> io::Result<Import> {
        let mut next = self.first.take();
        while let Some(line) = next {
            if self.found.events.is_multiple_of(ROOM_EVERY) {
                recorder.make_room()?;
            }
            self.take(&line, recorder);
            next = self.next_event()?;
        }
        self.found.records_lost = recorder.lost();
        Ok(self.summary())
    }

    /// The next line that is an event; what lies before it is counted.
    fn next_event(&mut self) -> io::Result<Option<Line>> {
        loop {
            let (damage, detail) = match next_line(&mut self.source, &mut self.buffer)? {
                Next::End => return Ok(None),
                Next::TooLong => (Damage::TooLong, String::new()),
                Next::Line { .. } if self.buffer.trim_ascii().is_empty() => {
                    self.found.lines.raise(1);
                    self.found.blank.raise(1);
                    continue;
                }
                Next::Line { unended } => match Line::parse(&self.buffer) {
                    Ok(line) => {
                        self.found.lines.raise(1);
                        return Ok(Some(line));
                    }
                    // Whoever reads a file that is still being written finds half a line at its end.
                    Err((_, detail)) if unended => (Damage::CutOff, detail),
                    Err(damage) => damage,
                },
            };
            self.found.lines.raise(1);
            self.damaged(damage, detail);
        }
    }

    fn damaged(&mut self, damage: Damage, detail: String) {
        let found = &mut self.found;
        found.damaged.raise(1);
        let reason = damage.to_string();
        if found.damaged_first.len() < DAMAGED_NAMED_MAX {
            found.damaged_first.push(DamagedLine { line: found.lines, reason: reason.clone(), detail });
        }
        found.damaged_by_reason.entry(reason).or_default().raise(1);
    }

    /// Records one event and counts it.
    fn take(&mut self, line: &Line, recorder: &mut impl Recorder) {
        let at = Ticks(line.mach_time);
        let missing = self.sequences(line);
        if missing > 0 {
            recorder.loss(&Loss { at, kind: LossKind::Events, count: missing });
        }
        let target = line.file.as_ref().map(|file| Target {
            inode: file.inode,
            device: file.device,
            path: file.path.as_deref().map_or(0, |path| self.path(path, recorder)),
        });
        let peer = line.is_es_client == Some(true);
        let begin = DecisionBegin {
            // When it was read nobody wrote down; this is when it happened.
            read: at,
            subject: line.subject,
            kernel: Some(at),
            deadline: None,
            sequence: line.sequence.unwrap_or(0),
            event: line.event,
            class: if peer { SubjectClass::Peer } else { SubjectClass::Workload },
            actor: Actor::UNKNOWN,
        };
        recorder.event(&begin, target.as_ref());
        self.count(line);
    }

    /// How many events are missing before this one, each counted once: by the numbers of all events where there
    /// are any, else by those of its kind.
    fn sequences(&mut self, line: &Line) -> u64 {
        if line.is_own {
            return 0;
        }
        // Beyond the limit of kinds only hostile lines lie.
        let known = self.kinds.len() < KINDS_MAX || self.kinds.contains_key(&line.event);
        let of_all = line.sequence_of_all.map(|number| self.found.of_all.observe(number, u64::MAX));
        let missing_of_all = of_all.map(|_| self.found.of_all.missing);
        let of_kind = line.sequence.filter(|_| known).map_or(0, |number| {
            let (.., of_kind) = self.kinds.entry(line.event).or_default();
            of_kind.observe(number, missing_of_all)
        });
        of_all.unwrap_or(of_kind)
    }

    fn path(&mut self, path: &str, recorder: &mut impl Recorder) -> u32 {
        if let Some(&number) = self.paths.get(path) {
            return number;
        }
        if self.path_bytes >= INTERNED_BYTES_MAX {
            self.paths.clear();
            self.path_bytes = 0;
        }
        let number = recorder.path(path.as_bytes());
        if number > 0 {
            self.path_bytes.raise(path.len().saturating_add(size_of::<(String, u32)>()));
            self.paths.insert(path.to_owned(), number);
        }
        number
    }

    fn count(&mut self, line: &Line) {
        let found = &mut self.found;
        found.events.raise(1);
        let version = line.version.map_or_else(|| "none".to_owned(), |version| version.to_string());
        if found.versions.len() < KINDS_MAX || found.versions.contains_key(&version) {
            found.versions.entry(version).or_default().raise(1);
        }
        found.schema_unknown.raise(u64::from(line.schema_version != Some(1)));
        match line.shape {
            TokenShape::Object => found.tokens.objects.raise(1),
            TokenShape::Array => found.tokens.arrays.raise(1),
        }
        let class = match (line.is_es_client, line.is_platform_binary) {
            (Some(true), _) => 0,
            (_, Some(true)) => 1,
            _ => 2,
        };
        [&mut found.by_es_clients, &mut found.by_platform_binaries, &mut found.by_others][class].raise(1);
        found.denied.raise(u64::from(line.denied));
        let missing_fields = &mut found.missing_fields;
        missing_fields.thread.raise(u64::from(!line.thread_known));
        missing_fields.file.raise(u64::from(line.file.is_none()));
        missing_fields.path_truncated.raise(u64::from(line.file.as_ref().is_some_and(|file| file.truncated)));
        missing_fields.is_es_client.raise(u64::from(line.is_es_client.is_none()));
        missing_fields.own_lines.raise(u64::from(line.is_own));
        let (first, last) = found.ticks.get_or_insert((line.mach_time, line.mach_time));
        (*first, *last) = ((*first).min(line.mach_time), (*last).max(line.mach_time));
        if let Some(unix_ns) = line.unix_ns {
            let now = (line.mach_time, unix_ns);
            let wall = found.wall.get_or_insert(WallClock { first: now, last: now });
            wall.last = wall.last.max(now);
        }
        found.course.count(line.mach_time, class);
        self.names(line);
    }

    fn names(&mut self, line: &Line) {
        if self.kinds.len() < KINDS_MAX || self.kinds.contains_key(&line.event) {
            let (name, events, _) = self.kinds.entry(line.event).or_default();
            events.raise(1);
            if name.is_empty() {
                line.name.as_deref().unwrap_or_default().clone_into(name);
            }
        }
        let unnamed = line.path.is_none() && line.signing_id.is_none();
        let key = (line.path.clone(), line.signing_id.clone(), unnamed.then_some(line.subject.pid));
        self.programs.count(key, || Program {
            path: line.path.clone(),
            signing_id: line.signing_id.clone(),
            team_id: line.team_id.clone(),
            is_es_client: line.is_es_client,
            is_platform_binary: line.is_platform_binary,
            pid: line.subject.pid,
            events: 0,
        });
        if let Some(path) = line.file.as_ref().and_then(|file| file.path.as_deref()) {
            self.files.count(path.to_owned(), || ());
            let name = path.rsplit('/').next().unwrap_or(path);
            let extension = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty());
            self.extensions.count(extension.map_or("(none)", |(_, extension)| extension).to_owned(), || ());
        }
    }

    fn summary(self) -> Import {
        let mut found = self.found;
        let kinds = self.kinds.into_iter();
        found.types = kinds
            .map(|(kind, (name, events, OfKind { sequence, .. }))| EventType {
                code: kind.code(),
                name,
                events,
                sequence,
            })
            .collect();
        found.types.sort_by_key(|kind| (std::cmp::Reverse(kind.events), kind.code));
        found.programs_known = self.programs.len() as u64;
        found.programs_left_out = self.programs.left_out();
        let programs = self.programs.largest(PROGRAMS_SHOWN_MAX).into_iter();
        found.programs = programs.map(|(_, events, program)| Program { events, ..program }).collect();
        found.files_left_out = self.files.left_out();
        let names = |ranking: &Ranking<String, ()>, most| {
            ranking.largest(most).into_iter().map(|(name, count, ())| (name, count)).collect()
        };
        found.files = names(&self.files, FILES_SHOWN_MAX);
        found.extensions = names(&self.extensions, EXTENSIONS_SHOWN_MAX);
        found
    }
}
