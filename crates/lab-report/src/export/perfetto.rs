//! A run as a Perfetto trace: a process for each client with a lane for each decision that goes on at once, arrows
//! from the operation that asks to the decisions it asks for and to the notices that tell of it, counters, phases and faults, and the cause chains as
//! weighted stacks (a flame graph in the viewer).
//!
//! Instants are nanoseconds from the run's first record, as in `report.json`.

use std::{collections::BTreeMap, io, ops::Range};

use lab_analysis::findings::Findings;
use lab_model::{Bounded, EventKind, OperationKind, PhaseKind};
use lab_trace::{Decision, Entry, Notice, Operation, Record, RecordPart, Trace};

use super::{index::Index, packets::*};

/// How much of a run is exported: the viewer freezes on dense graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Decisions; of more, the first of the storm are exported.
    pub decisions: usize,
    /// Arrows of one cascade.
    pub flows_per_cascade: usize,
    /// Arrows of all cascades.
    pub flows: usize,
    /// Lanes of one client.
    pub lanes: usize,
}

impl Default for Caps {
    fn default() -> Caps {
        Caps { decisions: 200_000, flows_per_cascade: 64, flows: 50_000, lanes: 64 }
    }
}

/// What an export holds and what it does not. The same counts stand in the trace itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Decisions exported.
    pub decisions: u64,
    /// Decisions outside of the exported stretch of time.
    pub decisions_outside: u64,
    /// Decisions for which there was no lane.
    pub decisions_without_lane: u64,
    /// Operations exported.
    pub operations: u64,
    /// Operations outside of the exported stretch of time.
    pub operations_outside: u64,
    /// Arrows exported.
    pub flows: u64,
    /// Arrows left out.
    pub flows_left_out: u64,
    /// Decisions without a known cause: they have no arrow.
    pub unexplained: u64,
    /// Notices exported.
    pub notices: u64,
    /// Notices outside of the exported stretch of time.
    pub notices_outside: u64,
    /// Notices of which no operation is known to be told: they have no arrow.
    pub notices_unexplained: u64,
}

/// Writes a run as a Perfetto trace.
///
/// # Errors
/// Only those of the writer.
pub fn perfetto(
    traces: &[Trace<'_>],
    findings: &Findings,
    caps: &Caps,
    out: &mut dyn io::Write,
) -> io::Result<Exported> {
    // What analysis leaves out is left out here.
    let traces = lab_analysis::admit(traces).traces;
    let index = Index::new(&traces);
    let window = window(&index, findings, caps.decisions);
    let mut export = Export {
        index: &index,
        roots: index.roots(),
        caps,
        window,
        out: Packets {
            out,
            names: Interner::default(),
            annotations: Interner::default(),
            first: true,
            tracks: 0,
        },
        flows_of: BTreeMap::new(),
        tells_of: BTreeMap::new(),
        per_cascade: BTreeMap::new(),
        exported: Exported::default(),
    };
    let processes = export.processes()?;
    export.frame(findings)?;
    for (place, process) in processes.iter().enumerate() {
        export.decisions(place, *process)?;
        export.notices(place, *process)?;
    }
    export.operations(&processes)?;
    export.counters(findings, &processes)?;
    export.chains(findings)?;
    export.left_out()?;
    Ok(export.exported)
}

/// The stretch of time that holds at most `most` decisions: all of it, or from the storm's begin on.
fn window(index: &Index<'_>, findings: &Findings, most: usize) -> (u64, u64) {
    let reads = |from: u64| {
        index.traces.iter().enumerate().flat_map(move |(place, trace)| {
            trace.entries().filter_map(move |entry| match entry {
                Entry::Record { record: Record::Decision(decision), .. } => {
                    Some(index.nanoseconds(place, decision.begin.read.0)).filter(|read| *read >= from)
                }
                _ => None,
            })
        })
    };
    if reads(0).count() <= most {
        return (0, u64::MAX);
    }
    let storm = findings.phases.iter().find(|phase| phase.kind == PhaseKind::Storm);
    let from = index.origin.saturating_add(storm.map_or(0, |phase| phase.began_ns));
    // Counts in thousandths of the rest of the run, so that the choice takes no memory for each decision.
    let step = (index.last.saturating_sub(from) / 1000).max(1);
    let mut counts = vec![0_usize; 1002];
    for read in reads(from) {
        let place = usize::try_from(read.saturating_sub(from).checked_div(step).unwrap_or(0))
            .unwrap_or(usize::MAX)
            .min(1001);
        counts[place].raise(1);
    }
    let mut sum = 0;
    let whole = counts
        .iter()
        .take_while(|count| {
            sum.raise(**count);
            sum <= most
        })
        .count();
    (from, from.saturating_add(step.saturating_mul(u64::try_from(whole).unwrap_or(0))))
}

/// Names by number, each told once.
#[derive(Debug, Default)]
struct Interner {
    known: BTreeMap<String, u64>,
    fresh: Vec<Name>,
}

impl Interner {
    fn number(&mut self, name: &str) -> u64 {
        if let Some(iid) = self.known.get(name) {
            return *iid;
        }
        let iid = u64::try_from(self.known.len()).unwrap_or(u64::MAX).saturating_add(1);
        self.known.insert(name.to_owned(), iid);
        self.fresh.push(Name { iid, name: name.to_owned() });
        iid
    }
}

/// Writes packets, each with the names that it is the first to use.
struct Packets<'a> {
    out: &'a mut dyn io::Write,
    names: Interner,
    annotations: Interner,
    first: bool,
    tracks: u64,
}

impl Packets<'_> {
    fn write(&mut self, mut packet: TracePacket) -> io::Result<()> {
        let mut interned = packet.interned_data.take().unwrap_or_default();
        interned.event_names.append(&mut self.names.fresh);
        interned.debug_annotation_names.append(&mut self.annotations.fresh);
        packet.interned_data = (interned != InternedData::default()).then_some(interned);
        packet.trusted_packet_sequence_id = 1;
        packet.sequence_flags = if self.first { STATE_CLEARED | STATE_NEEDED } else { STATE_NEEDED };
        self.first = false;
        let mut bytes = Vec::with_capacity(128);
        // A trace is a message whose first field repeats the packet.
        prost::encoding::message::encode(1, &packet, &mut bytes);
        self.out.write_all(&bytes)
    }

    fn track(&mut self, mut track: TrackDescriptor) -> io::Result<u64> {
        self.tracks.raise(1);
        track.uuid = self.tracks;
        self.write(TracePacket { track_descriptor: Some(track), ..TracePacket::default() })?;
        Ok(self.tracks)
    }

    fn event(&mut self, timestamp: u64, event: TrackEvent) -> io::Result<()> {
        self.write(TracePacket {
            timestamp: Some(timestamp),
            track_event: Some(event),
            ..TracePacket::default()
        })
    }

    fn end(&mut self, timestamp: u64, track_uuid: u64) -> io::Result<()> {
        self.event(timestamp, TrackEvent { r#type: SLICE_END, track_uuid, ..TrackEvent::default() })
    }

    fn uint(&mut self, name: &str, value: u64) -> DebugAnnotation {
        let name_iid = self.annotations.number(name);
        DebugAnnotation { name_iid, uint_value: Some(value), ..DebugAnnotation::default() }
    }

    fn text(&mut self, name: &str, value: &str) -> DebugAnnotation {
        let name_iid = self.annotations.number(name);
        DebugAnnotation { name_iid, string_value: Some(value.to_owned()), ..DebugAnnotation::default() }
    }

    fn double(&mut self, name: &str, value: f64) -> DebugAnnotation {
        let name_iid = self.annotations.number(name);
        DebugAnnotation { name_iid, double_value: Some(value), ..DebugAnnotation::default() }
    }
}

/// Tracks side by side: until when each is taken, and its number.
#[derive(Debug, Default)]
struct Lanes(Vec<(u64, u64)>);

impl Lanes {
    fn all_taken(&self, at: u64, most: usize) -> bool {
        self.0.len() >= most && self.0.iter().all(|(end, _)| *end > at)
    }
}

struct Export<'a> {
    index: &'a Index<'a>,
    /// The root of each operation's cascade.
    roots: Vec<usize>,
    caps: &'a Caps,
    window: (u64, u64),
    out: Packets<'a>,
    flows_of: BTreeMap<usize, Vec<u64>>,
    /// Arrows to those who are told of an operation, by its place.
    tells_of: BTreeMap<usize, Vec<u64>>,
    per_cascade: BTreeMap<usize, usize>,
    exported: Exported,
}

impl Export<'_> {
    fn since(&self, at: u64) -> u64 {
        at.saturating_sub(self.index.origin)
    }

    fn inside(&self, at: u64) -> bool {
        at >= self.window.0 && at < self.window.1
    }

    fn processes(&mut self) -> io::Result<Vec<u64>> {
        let mut processes = Vec::new();
        for (place, trace) in self.index.traces.iter().enumerate() {
            let process = ProcessDescriptor {
                pid: i32::try_from(trace.header.pid).unwrap_or(i32::MAX),
                process_name: self.index.name(place).to_owned(),
            };
            let rank = i32::from(trace.header.actor.0);
            processes.push(self.out.track(TrackDescriptor {
                process: Some(process),
                sibling_order_rank: Some(rank),
                ..TrackDescriptor::default()
            })?);
        }
        Ok(processes)
    }

    fn named(&mut self, parent: Option<u64>, name: &str) -> io::Result<u64> {
        self.out.track(TrackDescriptor {
            name: name.to_owned(),
            parent_uuid: parent,
            ..TrackDescriptor::default()
        })
    }

    /// Phases as slices; faults as instants, or as slices on tracks of their own, because they may overlap.
    fn frame(&mut self, findings: &Findings) -> io::Result<()> {
        let phases = self.named(None, "phases")?;
        for phase in &findings.phases {
            let name_iid = Some(self.out.names.number(phase.kind.name()));
            let begin =
                TrackEvent { r#type: SLICE_BEGIN, name_iid, track_uuid: phases, ..TrackEvent::default() };
            self.out.event(phase.began_ns, begin)?;
            self.out.end(phase.began_ns.saturating_add(nanoseconds(phase.seconds)), phases)?;
        }
        let faults = self.named(None, "faults")?;
        for fault in &findings.faults {
            let name_iid = Some(self.out.names.number(&format!("{}: {}", fault.kind, fault.actor)));
            let Some(until) = fault.until_ns else {
                let event =
                    TrackEvent { r#type: INSTANT, name_iid, track_uuid: faults, ..TrackEvent::default() };
                self.out.event(fault.at_ns, event)?;
                continue;
            };
            let track_uuid = self.named(Some(faults), &format!("{} of {}", fault.kind, fault.actor))?;
            let begin = TrackEvent { r#type: SLICE_BEGIN, name_iid, track_uuid, ..TrackEvent::default() };
            self.out.event(fault.at_ns, begin)?;
            self.out.end(until, track_uuid)?;
        }
        Ok(())
    }

    fn decisions(&mut self, trace: usize, process: u64) -> io::Result<()> {
        // A reader records what it reads in that order, but a damaged or foreign trace may not be in order.
        let mut inside: Vec<(u64, u64)> = Vec::new();
        for entry in self.index.traces[trace].entries() {
            let Entry::Record { index, record: Record::Decision(decision) } = entry else { continue };
            let read = self.index.nanoseconds(trace, decision.begin.read.0);
            if self.inside(read) {
                inside.push((read, index));
            } else {
                self.exported.decisions_outside.raise(1);
            }
        }
        inside.sort_unstable();
        let mut lanes = Lanes::default();
        for (read, record) in inside {
            let Some(Entry::Record { record: Record::Decision(decision), .. }) =
                self.index.traces[trace].entry(record)
            else {
                continue;
            };
            let answered =
                decision.end.present().map(|end| self.index.nanoseconds(trace, end.answered.0).max(read));
            // Who is told has nothing to answer; who is asked and never answers is busy until its end.
            let open_until =
                if decision.begin.event.is_auth() { self.index.until(trace).max(read) } else { read };
            let until = answered.unwrap_or(open_until);
            if lanes.all_taken(read, self.caps.lanes) {
                self.exported.decisions_without_lane.raise(1);
                continue;
            }
            let name = format!("decisions {}", lanes.0.len().saturating_add(1));
            let track_uuid = self.lane(&mut lanes, read..until, process, &name)?;
            let flow = self.flow(read, &decision);
            let event = self.decision(trace, record, &decision, read, until);
            let event = TrackEvent { track_uuid, terminating_flow_ids: flow.into_iter().collect(), ..event };
            self.out.event(self.since(read), event)?;
            self.out.end(self.since(until), track_uuid)?;
            self.exported.decisions.raise(1);
        }
        Ok(())
    }

    /// The first lane that is free when `times` begin, taken until they end; a new one when none is.
    fn lane(&mut self, lanes: &mut Lanes, times: Range<u64>, process: u64, name: &str) -> io::Result<u64> {
        let lane = match lanes.0.iter().position(|(end, _)| *end <= times.start) {
            Some(lane) => lane,
            None => {
                let track = self.named(Some(process), name)?;
                lanes.0.push((0, track));
                lanes.0.len().saturating_sub(1)
            }
        };
        lanes.0[lane].0 = times.end;
        Ok(lanes.0[lane].1)
    }

    fn decision(
        &mut self,
        trace: usize,
        record: u64,
        decision: &Decision,
        read: u64,
        until: u64,
    ) -> TrackEvent {
        let kind = decision.begin.event;
        let name = match (decision.end.present(), kind) {
            (Some(end), _) => format!("{}: {}", kind.name(), end.approval.name()),
            (None, EventKind::Other(code)) => format!("event {code}"),
            (None, _) if !kind.is_auth() => kind.name().to_owned(),
            (None, _) => format!("{}: unanswered", kind.name()),
        };
        let name_iid = Some(self.out.names.number(&name));
        let mut notes = vec![
            self.out.uint("record", record),
            self.out.uint("subject thread", decision.begin.subject.tid),
        ];
        if let Some(path) = self.index.path(trace, decision.target.present()) {
            notes.push(self.out.text("target", &path));
        }
        let deadline = decision.begin.deadline.map(|deadline| self.index.nanoseconds(trace, deadline.0));
        if let Some(deadline) = deadline.filter(|deadline| *deadline > read && kind.is_auth()) {
            let used = lab_model::units::ratio(until.saturating_sub(read), deadline.saturating_sub(read));
            let name = match decision.end {
                RecordPart::Present(_) => Some("headroom"),
                // It was never answered: this much was left at its client's end, or less.
                RecordPart::Absent => Some("headroom at most"),
                RecordPart::Damaged => None,
            };
            notes.extend(name.map(|name| self.out.double(name, 1.0 - used)));
        }
        TrackEvent { r#type: SLICE_BEGIN, name_iid, debug_annotations: notes, ..TrackEvent::default() }
    }

    /// What a client was told, as moments on a track of its own: nobody waited for it.
    fn notices(&mut self, trace: usize, process: u64) -> io::Result<()> {
        let mut inside: Vec<(u64, u64)> = Vec::new();
        for entry in self.index.traces[trace].entries() {
            let Entry::Record { index, record: Record::Notice(notice) } = entry else { continue };
            let read = self.index.nanoseconds(trace, notice.read.0);
            if self.inside(read) {
                inside.push((read, index));
            } else {
                self.exported.notices_outside.raise(1);
            }
        }
        if inside.is_empty() {
            return Ok(());
        }
        inside.sort_unstable();
        let track_uuid = self.named(Some(process), "notices")?;
        for (read, record) in inside {
            let Some(Entry::Record { record: Record::Notice(notice), .. }) =
                self.index.traces[trace].entry(record)
            else {
                continue;
            };
            let flow = match self.index.operation_of(read, &notice) {
                Some(op) => {
                    let flow = self.arrow(op);
                    self.tells_of.entry(op).or_default().extend(flow);
                    flow
                }
                None => {
                    self.exported.notices_unexplained.raise(1);
                    None
                }
            };
            let event = self.notice(trace, record, &notice);
            let event = TrackEvent { track_uuid, terminating_flow_ids: flow.into_iter().collect(), ..event };
            self.out.event(self.since(read), event)?;
            self.exported.notices.raise(1);
        }
        Ok(())
    }

    fn notice(&mut self, trace: usize, record: u64, notice: &Notice) -> TrackEvent {
        let kinds: Vec<&str> = notice.events.iter().map(|event| EventKind::Notify(event).name()).collect();
        let name_iid = Some(self.out.names.number(&kinds.join(", ")));
        let mut notes = vec![
            self.out.uint("record", record),
            self.out.uint("subject thread", notice.subject.tid),
            self.out.uint("reacts", notice.reacts.into()),
        ];
        if let Some(path) = self.index.path(trace, notice.target.as_ref()) {
            notes.push(self.out.text("target", &path));
        }
        TrackEvent { r#type: INSTANT, name_iid, debug_annotations: notes, ..TrackEvent::default() }
    }

    /// The number of a new arrow to this decision, unless its cascade or the export has enough of them.
    fn flow(&mut self, read: u64, decision: &Decision) -> Option<u64> {
        let Some(op) = self.index.cause_of(read, decision) else {
            self.exported.unexplained.raise(1);
            return None;
        };
        let flow = self.arrow(op)?;
        self.flows_of.entry(op).or_default().push(flow);
        Some(flow)
    }

    /// The number of a new arrow from this operation, unless its cascade or the export has enough of them.
    fn arrow(&mut self, op: usize) -> Option<u64> {
        if !self.inside(self.index.ops[op].started) {
            self.exported.flows_left_out.raise(1);
            return None;
        }
        let in_cascade = self.per_cascade.entry(self.roots[op]).or_default();
        let all = usize::try_from(self.exported.flows).unwrap_or(usize::MAX);
        if *in_cascade >= self.caps.flows_per_cascade || all >= self.caps.flows {
            self.exported.flows_left_out.raise(1);
            return None;
        }
        in_cascade.raise(1);
        self.exported.flows.raise(1);
        Some(self.exported.flows)
    }

    fn operations(&mut self, processes: &[u64]) -> io::Result<()> {
        let mut inside: Vec<(u64, usize)> = Vec::new();
        for (place, op) in self.index.ops.iter().enumerate() {
            if self.inside(op.started) {
                inside.push((op.started, place));
            } else {
                self.exported.operations_outside.raise(1);
            }
        }
        inside.sort_unstable();
        // A worker does one thing at a time, so that it has one lane; only damage can show it in two places.
        let mut workers: BTreeMap<(usize, u16), Lanes> = BTreeMap::new();
        for (started, place) in inside {
            let op = &self.index.ops[place];
            let Some(operation) = self.index.operation(op) else { continue };
            let worker = operation.begin.worker;
            let mut lanes = workers.remove(&(op.trace, worker)).unwrap_or_default();
            let ended = if op.ended == u64::MAX { self.index.last } else { op.ended }.max(started);
            let name = format!("operations of worker {worker}");
            let track = self.lane(&mut lanes, started..ended, processes[op.trace], &name)?;
            workers.insert((op.trace, worker), lanes);
            self.operation(place, &operation, track, started..ended)?;
        }
        Ok(())
    }

    fn operation(
        &mut self,
        place: usize,
        operation: &Operation,
        track_uuid: u64,
        times: Range<u64>,
    ) -> io::Result<()> {
        let op = &self.index.ops[place];
        let kind = match op.kind {
            OperationKind::Open => "open",
            OperationKind::Exec => "exec",
            OperationKind::Process => "process",
        };
        let name_iid = Some(self.out.names.number(kind));
        let mut notes = vec![self.out.uint("record", op.record)];
        if let Some(by) = self.index.parent_of(place) {
            let kind = if by.notified { "notice" } else { "decision" };
            let cause = format!("{kind} {} of {}", by.record, self.index.name(by.trace));
            notes.push(self.out.text("caused by", &cause));
        }
        if let Some(record) = op.made_by {
            notes.push(self.out.uint("made by the process of record", record));
        }
        if let Some(path) = self.index.path(op.trace, operation.target.present()) {
            notes.push(self.out.text("target", &path));
        }
        let begin = TrackEvent {
            r#type: SLICE_BEGIN,
            name_iid,
            track_uuid,
            debug_annotations: notes,
            ..TrackEvent::default()
        };
        self.out.event(self.since(times.start), begin)?;
        // The arrows need a moment to start from.
        let arrows = [("asks", self.flows_of.remove(&place)), ("is told of", self.tells_of.remove(&place))];
        for (name, flow_ids) in arrows {
            let Some(flow_ids) = flow_ids.filter(|flow_ids| !flow_ids.is_empty()) else { continue };
            let name_iid = Some(self.out.names.number(name));
            let from =
                TrackEvent { r#type: INSTANT, name_iid, track_uuid, flow_ids, ..TrackEvent::default() };
            self.out.event(self.since(times.start), from)?;
        }
        self.exported.operations.raise(1);
        self.out.end(self.since(times.end), track_uuid)
    }

    /// Pending decisions of each client and decisions by cause, a value a bucket.
    fn counters(&mut self, findings: &Findings, processes: &[u64]) -> io::Result<()> {
        let series = &findings.series;
        for (client, values) in findings.clients.iter().zip(&series.pending_max) {
            let place = (0..self.index.traces.len()).find(|place| self.index.name(*place) == client.id);
            let parent = place.map(|place| processes[place]);
            self.counter(parent, "pending, largest", "decisions", series.bucket_ns, values)?;
        }
        for (column, values) in findings.causes.columns.iter().zip(&series.decisions_by_cause) {
            let name = format!("decisions about {}", column.name);
            self.counter(None, &name, "decisions", series.bucket_ns, values)?;
        }
        Ok(())
    }

    fn counter(
        &mut self,
        parent_uuid: Option<u64>,
        name: &str,
        unit: &str,
        bucket_ns: u64,
        values: &[u64],
    ) -> io::Result<()> {
        let track_uuid = self.out.track(TrackDescriptor {
            name: name.to_owned(),
            parent_uuid,
            counter: Some(CounterDescriptor { unit_name: unit.to_owned() }),
            ..TrackDescriptor::default()
        })?;
        let mut last = None;
        for (value, place) in values.iter().zip(0_u64..) {
            if last != Some(value) {
                let counter_value = Some(i64::try_from(*value).unwrap_or(i64::MAX));
                let event =
                    TrackEvent { r#type: COUNTER, track_uuid, counter_value, ..TrackEvent::default() };
                self.out.event(bucket_ns.saturating_mul(place), event)?;
                last = Some(value);
            }
        }
        Ok(())
    }

    /// Cause chains as stacks, each weighted with the decisions at its end.
    fn chains(&mut self, findings: &Findings) -> io::Result<()> {
        let track_uuid = self.named(None, "cause chains")?;
        let storm = findings
            .phases
            .iter()
            .find(|phase| phase.kind == PhaseKind::Storm)
            .map_or(0, |phase| phase.began_ns);
        let mut frames: BTreeMap<&str, u64> = BTreeMap::new();
        for (frame, iid) in findings.cascades.flame.iter().filter(|frame| frame.own > 0).zip(1_u64..) {
            let mut interned = InternedData::default();
            let mut frame_ids = Vec::new();
            for name in &frame.stack {
                let next = u64::try_from(frames.len()).unwrap_or(u64::MAX).saturating_add(1);
                let id = *frames.entry(name).or_insert_with(|| {
                    interned.function_names.push(Bytes { iid: next, str: name.clone().into_bytes() });
                    interned.frames.push(Frame { iid: next, function_name_id: next });
                    next
                });
                frame_ids.push(id);
            }
            interned.callstacks.push(Callstack { iid, frame_ids });
            let event = TrackEvent {
                r#type: INSTANT,
                name_iid: Some(self.out.names.number("cause chain")),
                track_uuid,
                callstack_iid: Some(iid),
                callstack_weight: Some(lab_model::units::float(frame.own)),
                ..TrackEvent::default()
            };
            self.out.write(TracePacket {
                timestamp: Some(storm),
                track_event: Some(event),
                interned_data: Some(interned),
                ..TracePacket::default()
            })?;
        }
        Ok(())
    }

    /// Says in the trace itself what it holds and what it does not.
    fn left_out(&mut self) -> io::Result<()> {
        let track_uuid = self.named(None, "what this trace holds")?;
        let exported = self.exported;
        let counts = [
            ("decisions", exported.decisions),
            ("decisions left out: outside of this stretch of time", exported.decisions_outside),
            ("decisions left out: no lane", exported.decisions_without_lane),
            ("operations", exported.operations),
            ("operations left out: outside of this stretch of time", exported.operations_outside),
            ("arrows", exported.flows),
            ("arrows left out", exported.flows_left_out),
            ("decisions without a known cause", exported.unexplained),
            ("notices", exported.notices),
            ("notices left out: outside of this stretch of time", exported.notices_outside),
            ("notices of no known operation", exported.notices_unexplained),
        ];
        let whole = exported
            .decisions_outside
            .saturating_add(exported.decisions_without_lane)
            .saturating_add(exported.flows_left_out)
            == 0
            && exported.notices_outside == 0;
        let name = if whole { "everything" } else { "not everything: see the counts" };
        let event = TrackEvent {
            r#type: INSTANT,
            name_iid: Some(self.out.names.number(name)),
            track_uuid,
            debug_annotations: counts.into_iter().map(|(name, count)| self.out.uint(name, count)).collect(),
            ..TrackEvent::default()
        };
        self.out.event(0, event)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates; a phase is never negative"
)]
fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}
