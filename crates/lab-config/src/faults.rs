//! Planned faults: to whom, when, and whether that can be done.

use lab_model::{Behavior, Client, FaultAction, Phases, PlannedFault, Span};

use crate::{
    Diagnostic,
    nearest::nearest,
    raw::{BehaviorEntry, RawFault},
    read::{At, Field, List, Problems, listed},
    resolve::{behavior, check_path},
    tree::shortened,
};

/// The faults in the order of their times.
pub(crate) fn faults(
    field: &Field<List<RawFault>>,
    clients: &[Client],
    phases: &Phases,
    problems: &mut Problems<'_>,
) -> Vec<PlannedFault> {
    let items = field.value().into_iter().flat_map(|list| &list.items);
    let mut faults: Vec<PlannedFault> =
        items.filter_map(|item| one(item, clients, phases, problems)).collect();
    faults.sort_by_key(|fault| fault.at);
    faults
}

/// What a fault can be done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Targets {
    /// What decides: a client.
    Clients,
    /// Any process.
    Processes,
}

fn one(
    item: &At<RawFault>,
    clients: &[Client],
    phases: &Phases,
    problems: &mut Problems<'_>,
) -> Option<PlannedFault> {
    let RawFault { stall, kill, restart, slow, deny, behave, cpu_load, descriptors } = &item.value;
    let keys = [
        key(stall),
        key(kill),
        key(restart),
        key(slow),
        key(deny),
        key(behave),
        key(cpu_load),
        key(descriptors),
    ];
    if keys.contains(&Key::Bad) {
        return None;
    }
    let count = keys.iter().filter(|key| **key == Key::Given).count();
    if count != 1 {
        let message = if count == 0 { "a fault names what it does" } else { "one fault cannot be two" };
        let words = ["stall", "kill", "restart", "slow", "deny", "behave", "cpu_load", "descriptors"];
        let diagnostic = Diagnostic::new(item.place.clone(), message)
            .label(format!("expected one of {}", listed(&words)))
            .help("give each fault an item of its own: `- kill: { on: alpha, at: 1s }`");
        problems.add(diagnostic);
        return None;
    }
    let mut reader = Reader { clients, phases, problems };
    if let Some(raw) = stall.value() {
        let (on, at) = reader.target(&raw.on, &raw.at, Targets::Processes)?;
        let span = reader.lasting(&raw.r#for)?;
        return Some(PlannedFault { at, on, action: FaultAction::Stall { span } });
    }
    if let Some(raw) = kill.value() {
        let (on, at) = reader.target(&raw.on, &raw.at, Targets::Clients)?;
        return Some(PlannedFault { at, on, action: FaultAction::Kill });
    }
    if let Some(raw) = restart.value() {
        let (on, at) = reader.target(&raw.on, &raw.at, Targets::Clients)?;
        reader.comes_back_alone(&on, &item.place)?;
        let after = raw.after.value().copied().unwrap_or(Span::from_millis(500));
        return Some(PlannedFault { at, on, action: FaultAction::Restart { after } });
    }
    if let Some(raw) = slow.value() {
        let (on, at) = reader.target(&raw.on, &raw.at, Targets::Clients)?;
        let (by, span) = (*raw.by.value()?, reader.lasting(&raw.r#for)?);
        return Some(PlannedFault { at, on, action: FaultAction::Slow { by, span } });
    }
    if let Some(raw) = deny.value() {
        let (on, at) = reader.target(&raw.on, &raw.at, Targets::Clients)?;
        if let Some(path) = raw.path.given() {
            check_path(path, reader.problems);
        }
        let (path, span) = (raw.path.value().cloned(), reader.lasting(&raw.r#for)?);
        return Some(PlannedFault { at, on, action: FaultAction::Deny { path, span } });
    }
    if let Some(raw) = behave.value() {
        let (on, at) = reader.target(&raw.on, &raw.at, Targets::Clients)?;
        let behavior = Box::new(reader.behavior(&on, raw.set.given()?)?);
        let span = match &raw.r#for {
            Field::Absent => None,
            given => Some(reader.lasting(given)?),
        };
        return Some(PlannedFault { at, on, action: FaultAction::Behave { behavior, span } });
    }
    if let Some(raw) = cpu_load.value() {
        let at = reader.moment(&raw.at)?;
        let (threads, span) = (raw.threads.value()?.get(), reader.lasting(&raw.r#for)?);
        let on = PlannedFault::MACHINE.to_owned();
        return Some(PlannedFault { at, on, action: FaultAction::CpuLoad { threads, span } });
    }
    let raw = descriptors.value()?;
    let (on, at) = reader.target(&raw.on, &raw.at, Targets::Processes)?;
    let (limit, span) = (raw.limit.value()?.get(), reader.lasting(&raw.r#for)?);
    Some(PlannedFault { at, on, action: FaultAction::Descriptors { limit, span } })
}

/// Whether a key is there; what is wrong with a bad one has been said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Absent,
    Bad,
    Given,
}

fn key<T>(field: &Field<T>) -> Key {
    match field {
        Field::Absent => Key::Absent,
        Field::Bad => Key::Bad,
        Field::Given(_) => Key::Given,
    }
}

struct Reader<'a, 'b, 'c> {
    clients: &'a [Client],
    phases: &'a Phases,
    problems: &'b mut Problems<'c>,
}

impl Reader<'_, '_, '_> {
    /// Whom, by name, and when.
    fn target(&mut self, on: &Field<String>, at: &Field<Span>, targets: Targets) -> Option<(String, Span)> {
        let moment = self.moment(at);
        let on = on.given()?;
        let name = on.value.as_str();
        let clients = self.clients.iter().map(|client| client.id.as_str());
        let known: Vec<&str> = match targets {
            Targets::Clients => clients.collect(),
            Targets::Processes => clients.chain([PlannedFault::DRIVER]).collect(),
        };
        if known.contains(&name) {
            return Some((on.value.clone(), moment?));
        }
        let diagnostic = if name == PlannedFault::DRIVER {
            Diagnostic::new(on.place.clone(), "this cannot be done to the driver")
                .label("it decides nothing, and without it there is no storm")
                .help("the driver can be stalled, and its descriptors limited")
        } else {
            let message = format!("`{}` takes no part in this lab", shortened(name));
            let diagnostic = Diagnostic::new(on.place.clone(), message);
            match nearest(name, known.iter().copied()) {
                Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
                None => diagnostic.label("no such participant"),
            }
            .help(match targets {
                Targets::Clients => "write a client's ID",
                Targets::Processes => "write a client's ID, or `driver`",
            })
        };
        self.problems.add(diagnostic);
        None
    }

    fn moment(&mut self, at: &Field<Span>) -> Option<Span> {
        let at = at.given()?;
        if at.value < self.phases.storm {
            return Some(at.value);
        }
        let message = format!("at {} the storm of {} is over", at.value, self.phases.storm);
        let diagnostic = Diagnostic::new(at.place.clone(), message)
            .label("beyond the storm")
            .help("times count from the start of the storm; choose an earlier one, or a longer storm");
        self.problems.add(diagnostic);
        None
    }

    fn lasting(&mut self, span: &Field<Span>) -> Option<Span> {
        let span = span.given()?;
        if span.value.is_zero() {
            let diagnostic = Diagnostic::new(span.place.clone(), "a fault that takes no time shows nothing")
                .label("expected more than 0s")
                .help("write for example `for: 500ms`");
            self.problems.add(diagnostic);
            return None;
        }
        Some(span.value)
    }

    /// A client whose helpers would have to come back with it does not come back yet.
    fn comes_back_alone(&mut self, on: &str, place: &std::ops::Range<usize>) -> Option<()> {
        let client = self.clients.iter().find(|client| client.id.as_str() == on)?;
        if client.behavior.helpers.is_none() {
            return Some(());
        }
        self.problems.add(helpers_stay_away(on, place));
        None
    }

    /// The client's own behaviour with the written fields laid over it.
    fn behavior(&mut self, on: &str, set: &At<BehaviorEntry>) -> Option<Behavior> {
        let client = self.clients.iter().find(|client| client.id.as_str() == on)?;
        let BehaviorEntry(written) = &set.value;
        let changed = behavior(written, &client.behavior, self.problems);
        let workers = |behavior: &Behavior| (behavior.helpers, behavior.daemons.clone());
        if workers(&changed) != workers(&client.behavior) {
            let message = format!("the helpers and daemons of {on} stay what they are while the lab runs");
            let diagnostic = Diagnostic::new(set.place.clone(), message)
                .label("changes whom it asks")
                .help("leave `helpers`, `daemons` and presets that set them out of `set`");
            self.problems.add(diagnostic);
            return None;
        }
        if changed == client.behavior {
            let message = format!("this changes nothing about {on}");
            let diagnostic = Diagnostic::new(set.place.clone(), message)
                .label("it behaves so anyhow")
                .help("write for example `set: { cache: on }`");
            self.problems.add(diagnostic);
            return None;
        }
        Some(changed)
    }
}

/// What is said of a client with helpers that is to come back.
pub(crate) fn helpers_stay_away(id: &str, place: &std::ops::Range<usize>) -> Diagnostic {
    let message = format!("{id} has helpers, and a client with helpers cannot be started again");
    Diagnostic::new(place.clone(), message)
        .label("its helpers would not come back with it")
        .help("leave the restart or the `helpers` out; `daemons` stay up by themselves")
}
