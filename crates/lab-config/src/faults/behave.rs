use std::{
    fmt::{self, Write},
    ops::Range,
};

use lab_model::{Behavior, FaultAction, Service};

use super::{Key, Kind, Planned, Reader, key};
use crate::{
    behavior::{BehaviorEntry, behavior, write_behavior},
    diagnostic::Diagnostic,
    errand::{Doing, RawErrand, service},
    read::{At, Field},
};

fault! {
    /// Changes fields of a client's behaviour, or what a helper or a daemon does for each request.
    #[schemars(rename = "Behave")]
    "`behave`" Behave on restartable {
        /// Of a client, the fields that change: a preset, or fields that override its own.
        set [default]: BehaviorEntry,
        /// Of a helper or a daemon, the fields of its errand that change. What is under way goes on as it began.
        errand [default]: RawErrand,
    } for perhaps
}

impl Kind for Behave {
    fn action(&self, planned: &mut Planned, reader: &mut Reader<'_, '_, '_>) -> Option<FaultAction> {
        let (on, span) = (planned.on.as_str(), planned.span);
        let service = Service::of(on, reader.clients, reader.daemons);
        let (wanted, other, example) = match service {
            None => ("set", "errand", "set: { cache: on }"),
            Some(_) => ("errand", "set", "errand: { open: true, extra_opens: 3 }"),
        };
        let foreign = if service.is_some() { place_of(&self.set) } else { place_of(&self.errand) };
        if let Some(foreign) = foreign {
            let what = if service.is_some() { "decides nothing" } else { "is a client" };
            let diagnostic = Diagnostic::new(foreign, format!("`{on}` {what}: it has no `{other}`"))
                .label(format!("expected `{wanted}`"))
                .help(format!("write for example `{example}`"));
            reader.problems.add(diagnostic);
            return None;
        }
        let action = match service {
            None if matches!(self.set, Field::Given(_)) => {
                let behavior = Box::new(changed_behavior(reader, on, self.set.given()?)?);
                FaultAction::Behave { behavior, span }
            }
            Some(base) if matches!(self.errand, Field::Given(_)) => {
                FaultAction::Serve { service: changed_service(reader, on, base, self.errand.given()?)?, span }
            }
            // What is wrong with it has been said.
            _ if key(&self.set) == Key::Bad || key(&self.errand) == Key::Bad => return None,
            _ => {
                let diagnostic =
                    Diagnostic::new(planned.place.clone(), format!("`behave` of {on} needs `{wanted}`"))
                        .label("says nothing of what changes")
                        .help(format!("write for example `{example}`"));
                reader.problems.add(diagnostic);
                return None;
            }
        };
        Some(action)
    }

    fn write(action: &FaultAction, out: &mut String) -> fmt::Result {
        match action {
            FaultAction::Behave { behavior, .. } => {
                writeln!(out, "      set:")?;
                write_behavior(out, behavior, "        ")
            }
            FaultAction::Serve { service, .. } => {
                writeln!(out, "      errand: {{ workers: {}, {} }}", service.workers, Doing(&service.errand))
            }
            _ => Ok(()),
        }
    }
}

fn place_of<T>(field: &Field<T>) -> Option<Range<usize>> {
    field.given().map(|at| at.place.clone())
}

/// The worker's own errand with the written fields laid over it.
fn changed_service(
    reader: &mut Reader<'_, '_, '_>,
    on: &str,
    base: Service,
    errand: &At<RawErrand>,
) -> Option<Service> {
    let changed = service(errand, on, base, reader.problems)?;
    if changed == base {
        let message = format!("this changes nothing about {on}");
        let diagnostic = Diagnostic::new(errand.place.clone(), message)
            .label("it serves so anyhow")
            .help("write for example `errand: { extra_opens: 3 }`");
        reader.problems.add(diagnostic);
        return None;
    }
    Some(changed)
}

/// The client's own behaviour with the written fields laid over it.
fn changed_behavior(reader: &mut Reader<'_, '_, '_>, on: &str, set: &At<BehaviorEntry>) -> Option<Behavior> {
    let client = reader.clients.iter().find(|client| client.id.as_str() == on)?;
    let BehaviorEntry(written) = &set.value;
    let changed = behavior(written, &client.behavior, reader.problems);
    let workers = |behavior: &Behavior| (behavior.helpers, behavior.daemons.clone());
    if workers(&changed) != workers(&client.behavior) {
        let message = format!("the helpers and daemons of {on} stay what they are while the lab runs");
        let diagnostic = Diagnostic::new(set.place.clone(), message)
            .label("changes whom it asks")
            .help("leave `helpers`, `daemons` and presets that set them out of `set`");
        reader.problems.add(diagnostic);
        return None;
    }
    if changed == client.behavior {
        let message = format!("this changes nothing about {on}");
        let diagnostic = Diagnostic::new(set.place.clone(), message)
            .label("it behaves so anyhow")
            .help("write for example `set: { cache: on }`");
        reader.problems.add(diagnostic);
        return None;
    }
    Some(changed)
}

#[cfg(test)]
mod tests {
    use lab_model::{AskedDaemon, AuthEvents, Behavior, Cache, ClientId, Errand, FaultAction, Service, Span};

    use crate::faults::tests::{check, refused};

    #[test]
    fn a_client_gets_a_behavior_and_a_worker_an_errand() {
        let daemon: ClientId = "indexer".parse().unwrap();
        let daemons = vec![AskedDaemon { daemon, on: AuthEvents::ALL, wait: true }];
        let behavior = Box::new(Behavior { cache: Cache::On, daemons, ..Behavior::noop() });
        let behave = FaultAction::Behave { behavior, span: None };
        check("behave: {on: alpha, at: 1s, set: {cache: on}}", "alpha", &behave);
        let errand = Errand { open: true, extra_opens: 3, ..Errand::none() };
        let service = Service { errand, workers: 1 };
        let serve = FaultAction::Serve { service, span: Some(Span::from_secs(1)) };
        check("behave: {on: indexer, at: 1s, for: 1s, errand: {extra_opens: 3}}", "indexer", &serve);
        refused("behave: {on: alpha, at: 1s, set: {cache: off}}", "this changes nothing about alpha");
    }
}
