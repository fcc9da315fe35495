//! A lab written out as a lab file that reads back as the same lab.

use std::fmt::{self, Write};

use lab_model::{
    AskedDaemon, Behavior, Client, Daemon, DenyRule, Errand, Expectation, External, Helpers, Lab, Mute,
    NotifyEvent, PhaseKind, Reaction, Ready, When,
};

use crate::{
    faults::write_fault,
    loads::write_workload,
    scalar::{Choice, RawSpawn},
};

/// The lab as a lab file with every default written out; reads back as the same lab.
#[must_use]
pub fn to_yaml(lab: &Lab) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let written = write_lab(&mut text, lab);
    debug_assert!(written.is_ok());
    text
}

/// A behaviour as the fields of a lab file, each on a line that begins with `indent`.
pub(crate) fn behavior_to_yaml(behavior: &Behavior, indent: &str) -> String {
    let mut text = String::new();
    let written = write_behavior(&mut text, behavior, indent);
    debug_assert!(written.is_ok());
    text
}

fn write_lab(out: &mut String, lab: &Lab) -> fmt::Result {
    writeln!(out, "# The lab as it ran: every default is written out.")?;
    writeln!(out, "schema: 1")?;
    writeln!(out, "name: {}", Scalar(&lab.name))?;
    writeln!(out, "about: {}", Scalar(&lab.about))?;
    writeln!(out, "seed: {}", lab.seed)?;
    writeln!(out, "backend: {}", lab.backend.name())?;
    writeln!(out, "deadline: {}", lab.deadline)?;
    writeln!(out, "clients:")?;
    for client in &lab.clients {
        write_client(out, client)?;
    }
    if !lab.daemons.is_empty() {
        writeln!(out, "daemons:")?;
    }
    for Daemon { id, workers, errand } in &lab.daemons {
        writeln!(out, "  - {{ id: {}, workers: {workers}, {} }}", Scalar(id.as_str()), Doing(errand))?;
    }
    if !lab.external.is_empty() {
        writeln!(out, "external:")?;
    }
    for external in &lab.external {
        write_external(out, external)?;
    }
    let beside = |phase: &PhaseKind| *phase != PhaseKind::External || !lab.external.is_empty();
    let phase = |phase: PhaseKind| format!("{}: {}", phase.name(), lab.phases.span(phase));
    let phases: Vec<String> = PhaseKind::ALL.into_iter().filter(beside).map(phase).collect();
    writeln!(out, "phases: {{ {} }}", phases.join(", "))?;
    writeln!(out, "workload:")?;
    for workload in &lab.workload {
        write_workload(out, workload, &lab.hold)?;
    }
    if !lab.faults.is_empty() {
        writeln!(out, "faults:")?;
    }
    for fault in &lab.faults {
        write_fault(out, fault)?;
    }
    if lab.expect.is_empty() {
        writeln!(out, "expect: []")?;
    } else {
        writeln!(out, "expect:")?;
    }
    for expectation in &lab.expect {
        write_expectation(out, expectation)?;
    }
    writeln!(out, "safety:")?;
    writeln!(out, "  trace_bytes_max: {}", lab.safety.trace_bytes_max)?;
    writeln!(out, "  arena_bytes_max: {}", lab.safety.arena_bytes_max)?;
    writeln!(out, "  run_max: {}", lab.safety.run_max)?;
    writeln!(out, "  baseline_operations_max: {}", lab.safety.baseline_operations_max)
}

fn write_client(out: &mut String, client: &Client) -> fmt::Result {
    writeln!(out, "  - id: {}", Scalar(client.id.as_str()))?;
    writeln!(out, "    bundle_id: {}", Scalar(client.bundle_id.as_str()))?;
    if let Some(restart) = client.restart {
        writeln!(out, "    restart: {restart}")?;
    }
    writeln!(out, "    behavior:")?;
    write_behavior(out, &client.behavior, "      ")
}

pub(crate) fn write_behavior(out: &mut String, behavior: &Behavior, indent: &str) -> fmt::Result {
    writeln!(out, "{indent}subscribe: {}", word(behavior.subscribe))?;
    let told: Vec<&str> = behavior.notify.iter().map(NotifyEvent::word).collect();
    writeln!(out, "{indent}notify: [{}]", told.join(", "))?;
    writeln!(out, "{indent}concurrency: {}", behavior.concurrency.get())?;
    for (event, reaction) in behavior.reactions.iter() {
        writeln!(out, "{indent}on_{}: {}", event.word(), Flow(reaction))?;
    }
    writeln!(out, "{indent}on_notify: {{ {} }}", Deed(&behavior.on_notify))?;
    writeln!(out, "{indent}react_to: {}", word(behavior.react_to))?;
    writeln!(out, "{indent}ignore_es_clients: {}", behavior.ignore_es_clients)?;
    let Mute { helpers, paths, processes } = &behavior.mute;
    let (paths, processes) = (Names(paths), Names(processes));
    writeln!(out, "{indent}mute: {{ helpers: {helpers}, paths: {paths}, processes: {processes} }}")?;
    writeln!(out, "{indent}cache: {}", word(behavior.cache))?;
    match behavior.answer_by_percent {
        Some(percent) => writeln!(out, "{indent}answer_by_percent: {percent}")?,
        None => writeln!(out, "{indent}answer_by_percent: never")?,
    }
    writeln!(out, "{indent}delay: {}", behavior.delay)?;
    writeln!(out, "{indent}cpu: {}", behavior.cpu)?;
    write_workers(out, behavior, indent)?;
    if behavior.deny.is_empty() {
        return writeln!(out, "{indent}verdict: {{ deny: [] }}");
    }
    writeln!(out, "{indent}verdict:")?;
    writeln!(out, "{indent}  deny:")?;
    behavior.deny.iter().try_for_each(|rule| write_rule(out, rule, indent))
}

fn write_workers(out: &mut String, behavior: &Behavior, indent: &str) -> fmt::Result {
    match &behavior.helpers {
        None => writeln!(out, "{indent}helpers: {{ count: 0 }}")?,
        Some(Helpers { count, errand, on, wait }) => {
            let (doing, on) = (Doing(errand), word(*on));
            writeln!(out, "{indent}helpers: {{ count: {count}, {doing}, on: {on}, wait: {wait} }}")?;
        }
    }
    let asked = |AskedDaemon { daemon, on, wait }: &AskedDaemon| {
        format!("{{ ask: {}, on: {}, wait: {wait} }}", Scalar(daemon.as_str()), word(*on))
    };
    let asked: Vec<String> = behavior.daemons.iter().map(asked).collect();
    writeln!(out, "{indent}daemons: [{}]", asked.join(", "))
}

fn write_rule(out: &mut String, rule: &DenyRule, indent: &str) -> fmt::Result {
    write!(out, "{indent}    - {{ ")?;
    let signature = rule.signature.as_ref();
    let names = [
        ("path", rule.path.as_ref()),
        ("process", rule.process.as_ref()),
        ("signing_id", signature.and_then(|signature| signature.signing_id.as_ref())),
        ("team_id", signature.and_then(|signature| signature.team_id.as_ref())),
    ];
    for (key, name) in names {
        if let Some(name) = name {
            write!(out, "{key}: {}, ", Scalar(name))?;
        }
    }
    writeln!(out, "on: {} }}", word(rule.on))
}

fn write_external(out: &mut String, external: &External) -> fmt::Result {
    writeln!(out, "  - id: {}", Scalar(external.id.as_str()))?;
    writeln!(out, "    start: {}", Names(&external.start))?;
    write_texts(out, "    environment", &external.environment)?;
    match &external.ready {
        Ready::Mark => writeln!(out, "    ready: mark")?,
        Ready::Started => writeln!(out, "    ready: started")?,
        Ready::File(path) => writeln!(out, "    ready: {{ file: {} }}", Scalar(path))?,
        Ready::Line(text) => writeln!(out, "    ready: {{ line: {} }}", Scalar(text))?,
    }
    writeln!(out, "    ready_within: {}", external.ready_within)?;
    let process = &external.process;
    let known = [("path", &process.path), ("signing_id", &process.signing_id), ("team_id", &process.team_id)];
    let known: Vec<String> =
        known.iter().filter_map(|(key, text)| Some(format!("{key}: {}", Scalar(text.as_deref()?)))).collect();
    if !known.is_empty() {
        writeln!(out, "    process: {{ {} }}", known.join(", "))?;
    }
    if let Some(arena) = external.arena {
        writeln!(out, "    arena: {}", word(arena))?;
    }
    if !external.private.is_empty() {
        writeln!(out, "    private:")?;
    }
    for folder in &external.private {
        writeln!(out, "      - path: {}", Scalar(&folder.path))?;
        if let Some(from) = &folder.from {
            writeln!(out, "        from: {}", Scalar(from))?;
        }
        if !folder.folders.is_empty() {
            writeln!(out, "        folders: {}", Names(&folder.folders))?;
        }
        write_texts(out, "        files", &folder.files)?;
    }
    Ok(())
}

fn write_texts(out: &mut String, key: &str, texts: &[(String, String)]) -> fmt::Result {
    if texts.is_empty() {
        return Ok(());
    }
    let indent = key.len() - key.trim_start().len() + 2;
    writeln!(out, "{key}:")?;
    texts
        .iter()
        .try_for_each(|(name, text)| writeln!(out, "{:indent$}{}: {}", "", Scalar(name), Scalar(text)))
}

fn write_expectation(out: &mut String, expectation: &Expectation) -> fmt::Result {
    let text = Scalar(&expectation.text);
    if expectation.sometimes {
        writeln!(out, "  - sometimes: {text}")?;
    } else if expectation.abort {
        writeln!(out, "  - text: {text}")?;
    } else {
        writeln!(out, "  - {text}")?;
    }
    if expectation.abort {
        writeln!(out, "    abort: true")?;
        writeln!(out, "    after: {}", expectation.after)?;
    }
    Ok(())
}

/// The word for a value in lab files.
pub(crate) fn word<T: Choice + PartialEq>(value: T) -> &'static str {
    T::words().into_iter().find(|(_, meaning)| *meaning == value).map_or("", |(word, _)| word)
}

/// A reaction as a mapping on one line.
struct Flow<'a>(&'a Reaction);

impl fmt::Display for Flow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when: When = self.0.when;
        write!(f, "{{ {}, when: {} }}", Deed(self.0), word(when))
    }
}

/// What a reaction does, as fields of a mapping on one line.
struct Deed<'a>(&'a Reaction);

impl fmt::Display for Deed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reaction { reopen, read, hash, via, extra_opens, spawn, when: _ } = *self.0;
        let (via, spawn) = (word(via), word(RawSpawn(spawn)));
        write!(f, "reopen: {reopen}, read: {read}, hash: {hash}, via: {via}, ")?;
        write!(f, "extra_opens: {extra_opens}, spawn: {spawn}")
    }
}

/// An errand as fields of a mapping on one line.
pub(crate) struct Doing<'a>(pub(crate) &'a Errand);

impl fmt::Display for Doing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Errand { delay, cpu, open, read, hash, extra_opens, spawn } = *self.0;
        let spawn = word(RawSpawn(spawn));
        write!(f, "open: {open}, read: {read}, hash: {hash}, extra_opens: {extra_opens}, spawn: {spawn}, ")?;
        write!(f, "delay: {delay}, cpu: {cpu}")
    }
}

/// Texts as a list on one line.
pub(crate) struct Names<'a>(pub(crate) &'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('[')?;
        for (nth, name) in self.0.iter().enumerate() {
            let comma = if nth > 0 { ", " } else { "" };
            write!(f, "{comma}{}", Scalar(name))?;
        }
        f.write_char(']')
    }
}

/// A text as a YAML scalar: as it is when it can be nothing else, else in double quotes.
pub(crate) struct Scalar<'a>(pub(crate) &'a str);

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0;
        let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
            && !["true", "false", "null"].contains(&text.to_ascii_lowercase().as_str());
        if plain {
            return f.write_str(text);
        }
        f.write_char('"')?;
        for c in text.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                ' '..='~' => f.write_char(c)?,
                c if c.is_alphanumeric() => f.write_char(c)?,
                c => write!(f, "\\U{:08x}", u32::from(c))?,
            }
        }
        f.write_char('"')
    }
}
