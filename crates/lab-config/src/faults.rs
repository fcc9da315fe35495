//! Planned faults: to whom, when, and whether that can be done.

use lab_model::{Behavior, Client, Daemon, FaultAction, Phases, PlannedFault, Service, Span};

use crate::{
    Diagnostic,
    nearest::nearest,
    raw::{BehaviorEntry, RawBehave, RawErrand, RawFault},
    read::{At, Field, List, Problems, listed},
    resolve::{behavior, check_path},
    tree::shortened,
    workers,
};

/// The faults in the order of their times.
pub(crate) fn faults(
    field: &Field<List<RawFault>>,
    lab: (&[Client], &[Daemon]),
    phases: &Phases,
    problems: &mut Problems<'_>,
) -> Vec<PlannedFault> {
    let items = field.value().into_iter().flat_map(|list| &list.items);
    let mut faults: Vec<PlannedFault> = items.filter_map(|item| one(item, lab, phases, problems)).collect();
    faults.sort_by_key(|fault| fault.at);
    faults
}

/// What a fault can be done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Targets {
    /// What decides: a client.
    Clients,
    /// What can be missing, and started again: a client, a helper or a daemon.
    Mortals,
    /// Any process.
    Processes,
}

impl Targets {
    const fn help(self) -> &'static str {
        match self {
            Targets::Clients => "write a client's ID",
            Targets::Mortals => "write the ID of a client or a daemon, or a helper as in `alpha.helper-1`",
            Targets::Processes => {
                "write the ID of a client or a daemon, a helper as in `alpha.helper-1`, or `driver`"
            }
        }
    }
}

fn one(
    item: &At<RawFault>,
    (clients, daemons): (&[Client], &[Daemon]),
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
    let mut reader = Reader { clients, daemons, phases, problems };
    if let Some(raw) = stall.value() {
        let (on, at) = reader.target(&raw.on, &raw.at, Targets::Processes)?;
        let span = reader.lasting(&raw.r#for)?;
        return Some(PlannedFault { at, on, action: FaultAction::Stall { span } });
    }
    if let Some(raw) = kill.value() {
        let (on, at) = reader.target(&raw.on, &raw.at, Targets::Mortals)?;
        return Some(PlannedFault { at, on, action: FaultAction::Kill });
    }
    if let Some(raw) = restart.value() {
        let (on, at) = reader.target(&raw.on, &raw.at, Targets::Mortals)?;
        let after = raw.after.value().copied().unwrap_or(Span::from_millis(500));
        return Some(PlannedFault { at, on, action: FaultAction::Restart { after } });
    }
    if let Some(raw) = slow.value() {
        let (on, at) = reader.target(&raw.on, &raw.at, Targets::Mortals)?;
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
        return reader.behave(raw, item.place.clone());
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

fn place_of<T>(field: &Field<T>) -> Option<std::ops::Range<usize>> {
    field.given().map(|at| at.place.clone())
}

/// What is said of a fault that cannot be done to a helper or a daemon.
fn of_a_worker(name: &str, place: std::ops::Range<usize>) -> Diagnostic {
    Diagnostic::new(place, format!("this cannot be done to `{name}`"))
        .label("clients ask it, and no kernel does: it has no answer to deny with")
        .help(format!(
            "to let those who ask go without it, `kill: {{ on: {name}, at: … }}`; to let an open be denied, \
             `deny` on a client"
        ))
}

struct Reader<'a, 'b, 'c> {
    clients: &'a [Client],
    daemons: &'a [Daemon],
    phases: &'a Phases,
    problems: &'b mut Problems<'c>,
}

impl Reader<'_, '_, '_> {
    /// Whom, by name, and when.
    fn target(&mut self, on: &Field<String>, at: &Field<Span>, targets: Targets) -> Option<(String, Span)> {
        let moment = self.moment(at);
        let on = on.given()?;
        let name = on.value.as_str();
        let known = self.names(targets);
        if known.iter().any(|known| known == name) {
            return Some((on.value.clone(), moment?));
        }
        let place = on.place.clone();
        let diagnostic = if name == PlannedFault::DRIVER {
            Diagnostic::new(place, "this cannot be done to the driver")
                .label("it decides nothing, and without it there is no storm")
                .help("the driver can be stalled, and its descriptors limited")
        } else if self.names(Targets::Mortals).iter().any(|known| known == name) {
            of_a_worker(name, place)
        } else {
            let message = format!("`{}` takes no part in this lab", shortened(name));
            let diagnostic = Diagnostic::new(place, message);
            match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
                None => diagnostic.label("no such participant"),
            }
            .help(targets.help())
        };
        self.problems.add(diagnostic);
        None
    }

    /// Who can be named.
    fn names(&self, targets: Targets) -> Vec<String> {
        let mut names: Vec<String> = self.clients.iter().map(|client| client.id.to_string()).collect();
        if targets != Targets::Clients {
            names.extend(self.daemons.iter().map(|daemon| daemon.id.to_string()));
        }
        if matches!(targets, Targets::Mortals | Targets::Processes) {
            for client in self.clients {
                let count = client.behavior.helpers.map_or(0, |helpers| helpers.count);
                names.extend((1..=count).map(|number| PlannedFault::helper(client.id.as_str(), number)));
            }
        }
        if targets == Targets::Processes {
            names.push(PlannedFault::DRIVER.to_owned());
        }
        names
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

    /// A change of a client's behaviour, or of a worker's errand.
    fn behave(&mut self, raw: &RawBehave, place: std::ops::Range<usize>) -> Option<PlannedFault> {
        let (on, at) = self.target(&raw.on, &raw.at, Targets::Mortals)?;
        let span = match &raw.r#for {
            Field::Absent => None,
            given => Some(self.lasting(given)?),
        };
        let service = Service::of(&on, self.clients, self.daemons);
        let (wanted, other, example) = match service {
            None => ("set", "errand", "set: { cache: on }"),
            Some(_) => ("errand", "set", "errand: { open: true, extra_opens: 3 }"),
        };
        let foreign = if service.is_some() { place_of(&raw.set) } else { place_of(&raw.errand) };
        if let Some(foreign) = foreign {
            let what = if service.is_some() { "decides nothing" } else { "is a client" };
            let diagnostic = Diagnostic::new(foreign, format!("`{on}` {what}: it has no `{other}`"))
                .label(format!("expected `{wanted}`"))
                .help(format!("write for example `{example}`"));
            self.problems.add(diagnostic);
            return None;
        }
        let action = match service {
            None if matches!(raw.set, Field::Given(_)) => {
                let behavior = Box::new(self.behavior(&on, raw.set.given()?)?);
                FaultAction::Behave { behavior, span }
            }
            Some(base) if matches!(raw.errand, Field::Given(_)) => {
                FaultAction::Serve { service: self.service(&on, base, raw.errand.given()?)?, span }
            }
            // What is wrong with it has been said.
            _ if key(&raw.set) == Key::Bad || key(&raw.errand) == Key::Bad => return None,
            _ => {
                let diagnostic = Diagnostic::new(place, format!("`behave` of {on} needs `{wanted}`"))
                    .label("says nothing of what changes")
                    .help(format!("write for example `{example}`"));
                self.problems.add(diagnostic);
                return None;
            }
        };
        Some(PlannedFault { at, on, action })
    }

    /// The worker's own errand with the written fields laid over it.
    fn service(&mut self, on: &str, base: Service, errand: &At<RawErrand>) -> Option<Service> {
        let changed = workers::service(errand, on, base, self.problems)?;
        if changed == base {
            let message = format!("this changes nothing about {on}");
            let diagnostic = Diagnostic::new(errand.place.clone(), message)
                .label("it serves so anyhow")
                .help("write for example `errand: { extra_opens: 3 }`");
            self.problems.add(diagnostic);
            return None;
        }
        Some(changed)
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
