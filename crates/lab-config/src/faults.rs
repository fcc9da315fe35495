//! Planned faults as they are written: the list of kinds, a file each, and what all of them have in common: whom, when,
//! for how long, and whether that can be done.
//!
//! A kind is a file below this folder, a line in the list here, and its rows in `lab_model::FaultAction`.

use std::{fmt, ops::Range};

use lab_model::{Client, Daemon, FaultAction, Phases, PlannedFault, PlannedKind, Span};

use crate::{
    behavior::{BehaviorEntry, RawBehavior},
    diagnostic::Diagnostic,
    nearest::nearest,
    read::{At, Field, List, Problems, listed, records},
    tree::shortened,
    write::Scalar,
};

/// The common fields of a fault, as they are written.
struct Common<'a> {
    /// Whom; `None` for a fault of the whole machine, or one that says so in a field of its own.
    on: Option<&'a Field<String>>,
    targets: Targets,
    at: &'a Field<Span>,
    lasts: Lasts<'a>,
}

/// How a fault says how long it lasts.
enum Lasts<'a> {
    /// It does not: it is over at once.
    Never,
    /// It has to.
    For(&'a Field<Span>),
    /// Left out, it lasts for the rest of the run.
    Perhaps(&'a Field<Span>),
}

/// The common fields of a fault, as they are meant.
#[derive(Debug)]
struct Planned {
    place: Range<usize>,
    on: String,
    at: Span,
    span: Option<Span>,
}

/// What every kind of fault has; [`fault!`] writes it.
trait Fields {
    fn common(&self) -> Common<'_>;
}

/// One kind of fault.
trait Kind: Fields {
    /// What it does, from its own fields; `None` when they are wrong, which is then in the reader's problems.
    fn action(&self, planned: &mut Planned, reader: &mut Reader<'_, '_, '_>) -> Option<FaultAction>;

    /// Writes its own fields, each on a line, so that they read back as the same action.
    fn write(action: &FaultAction, out: &mut String) -> fmt::Result;
}

/// Declares the mapping of one kind of fault: `on` whom it can be done, its own fields, and `for` how long.
macro_rules! fault {
    ($(#[$meta:meta])* $what:literal $name:ident on $targets:ident $own:tt for $lasts:ident) => {
        fault! { @on $targets { $(#[$meta])* $what $name } $own $lasts }

        impl $crate::faults::Fields for $name {
            fn common(&self) -> $crate::faults::Common<'_> {
                $crate::faults::Common {
                    on: fault!(@whom $targets self),
                    targets: fault!(@targets $targets),
                    at: &self.at,
                    lasts: fault!(@lasts $lasts self),
                }
            }
        }
    };
    (@on clients $head:tt { $($own:tt)* } $lasts:ident) => {
        fault! { @for $lasts $head {
            /// Whom: a client by its ID.
            on: String,
            /// When, counted from the start of the storm.
            at: lab_model::Span,
            $($own)*
        } }
    };
    (@on restartable $head:tt { $($own:tt)* } $lasts:ident) => {
        fault! { @for $lasts $head {
            /// Whom: a client or a daemon by its ID, or a client's helper (`alpha.helper-1`).
            on: String,
            /// When, counted from the start of the storm.
            at: lab_model::Span,
            $($own)*
        } }
    };
    (@on processes $head:tt { $($own:tt)* } $lasts:ident) => {
        fault! { @for $lasts $head {
            /// Whom: a client or a daemon by its ID, a client's helper (`alpha.helper-1`), or `driver`.
            on: String,
            /// When, counted from the start of the storm.
            at: lab_model::Span,
            $($own)*
        } }
    };
    (@on machine $head:tt { $($own:tt)* } $lasts:ident) => {
        fault! { @for $lasts $head {
            $($own)*
            /// When, counted from the start of the storm.
            at: lab_model::Span,
        } }
    };
    (@for never { $($head:tt)* } $fields:tt) => { $crate::read::records! { $($head)* $fields } };
    (@for span { $($head:tt)* } { $($fields:tt)* }) => {
        $crate::read::records! { $($head)* {
            $($fields)*
            /// For how long.
            r#for: lab_model::Span,
        } }
    };
    (@for perhaps { $($head:tt)* } { $($fields:tt)* }) => {
        $crate::read::records! { $($head)* {
            $($fields)*
            /// For how long. Left out, for the rest of the run.
            r#for [default]: lab_model::Span,
        } }
    };
    (@whom machine $self:ident) => { None };
    (@whom $targets:ident $self:ident) => { Some(&$self.on) };
    (@targets clients) => { $crate::faults::Targets::Clients };
    (@targets restartable) => { $crate::faults::Targets::Restartable };
    (@targets processes) => { $crate::faults::Targets::Processes };
    (@targets machine) => { $crate::faults::Targets::Processes };
    (@lasts never $self:ident) => { $crate::faults::Lasts::Never };
    (@lasts span $self:ident) => { $crate::faults::Lasts::For(&$self.r#for) };
    (@lasts perhaps $self:ident) => { $crate::faults::Lasts::Perhaps(&$self.r#for) };
}

/// Declares the list of the kinds: the mapping that has exactly one of them, and how each is read and written.
macro_rules! kinds {
    ($( $(#[$meta:meta])* $word:ident $kind:ident, )*) => {
        records! {
            /// One disturbance; exactly one of its keys. Times count from the start of the storm.
            #[schemars(rename = "Fault", extend("minProperties" = 1, "maxProperties" = 1))]
            "a fault" RawFault {
                $( $(#[$meta])* $word [default]: $word::$kind, )*
            }
        }

        /// The words of the kinds, in the order of the documentation.
        const WORDS: &[&str] = &[$(stringify!($word)),*];

        impl RawFault {
            /// Whether each kind is there.
            fn keys(&self) -> Vec<Key> {
                vec![$(key(&self.$word)),*]
            }

            fn plan(&self, place: Range<usize>, reader: &mut Reader<'_, '_, '_>) -> Option<PlannedFault> {
                $( if let Some(raw) = self.$word.value() {
                    return reader.plan(raw, place);
                } )*
                None
            }
        }

        fn write_own(action: &FaultAction, out: &mut String) -> fmt::Result {
            match action.kind() {
                $( PlannedKind::$kind => <$word::$kind as Kind>::write(action, out), )*
            }
        }
    };
}

mod behave;
mod cpu_load;
mod deny;
mod descriptors;
mod freeze;
mod kill;
mod restart;
mod slow;
mod stall;

kinds! {
    /// Stops a process and lets it go on. The warden kills a client that is stopped past a deadline.
    stall Stall,
    /// Kills a process.
    kill Kill,
    /// Kills a client or a daemon and starts it again.
    restart Restart,
    /// Makes a client work longer.
    slow Slow,
    /// Makes a client deny.
    deny Deny,
    /// Changes fields of a client's behaviour.
    behave Behave,
    /// Keeps processors busy.
    cpu_load CpuLoad,
    /// Lowers the number of files that a process may have open.
    descriptors Descriptors,
    /// Makes the whole lab, or some of its participants, stand still at once.
    freeze Freeze,
}

/// The faults in the order of their times.
pub(crate) fn faults(
    field: &Field<List<RawFault>>,
    clients: &[Client],
    daemons: &[Daemon],
    phases: &Phases,
    problems: &mut Problems<'_>,
) -> Vec<PlannedFault> {
    let items = field.value().into_iter().flat_map(|list| &list.items);
    let mut reader = Reader { clients, daemons, phases, problems };
    let placed: Vec<(PlannedFault, Range<usize>)> =
        items.filter_map(|item| Some((one(item, &mut reader)?, item.place.clone()))).collect();
    freeze::check_overlaps(&placed, problems);
    let mut faults: Vec<PlannedFault> = placed.into_iter().map(|(fault, _)| fault).collect();
    faults.sort_by_key(|fault| fault.at);
    faults
}

impl RawFault {
    /// The behaviour that a client takes on for it, as it is written.
    pub(crate) fn behavior(&self) -> Option<&RawBehavior> {
        let BehaviorEntry(written) = self.behave.value()?.set.value()?;
        Some(written)
    }
}

/// Writes a fault as an item of the list.
pub(crate) fn write_fault(out: &mut String, fault: &PlannedFault) -> fmt::Result {
    use fmt::Write;
    writeln!(out, "  - {}:", fault.action.name())?;
    let says_on_itself = matches!(fault.action, FaultAction::Freeze { .. });
    if fault.on != PlannedFault::MACHINE && !says_on_itself {
        writeln!(out, "      on: {}", Scalar(&fault.on))?;
    }
    writeln!(out, "      at: {}", fault.at)?;
    if let Some(span) = fault.action.span() {
        writeln!(out, "      for: {span}")?;
    }
    write_own(&fault.action, out)
}

/// What a fault can be done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Targets {
    /// What decides: a client.
    Clients,
    /// What can be missing, and started again: a client, a helper or a daemon.
    Restartable,
    /// Any process.
    Processes,
}

impl Targets {
    const fn help(self) -> &'static str {
        match self {
            Targets::Clients => "write a client's ID",
            Targets::Restartable => {
                "write the ID of a client or a daemon, or a helper as in `alpha.helper-1`"
            }
            Targets::Processes => {
                "write the ID of a client or a daemon, a helper as in `alpha.helper-1`, or `driver`"
            }
        }
    }
}

fn one(item: &At<RawFault>, reader: &mut Reader<'_, '_, '_>) -> Option<PlannedFault> {
    let keys = item.value.keys();
    if keys.contains(&Key::Bad) {
        return None;
    }
    let count = keys.iter().filter(|key| **key == Key::Given).count();
    if count != 1 {
        let message = if count == 0 { "a fault names what it does" } else { "one fault cannot be two" };
        let diagnostic = Diagnostic::new(item.place.clone(), message)
            .label(format!("expected one of {}", listed(WORDS)))
            .help("give each fault an item of its own: `- kill: { on: alpha, at: 1s }`");
        reader.problems.add(diagnostic);
        return None;
    }
    item.value.plan(item.place.clone(), reader)
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
    /// A fault of this kind: first what all have in common, then its own.
    fn plan<K: Kind>(&mut self, raw: &K, place: Range<usize>) -> Option<PlannedFault> {
        let Common { on, targets, at, lasts } = raw.common();
        let (on, at) = match on {
            Some(on) => self.target(on, at, targets)?,
            None => (PlannedFault::MACHINE.to_owned(), self.moment(at)?),
        };
        let span = match lasts {
            Lasts::Never | Lasts::Perhaps(Field::Absent) => None,
            Lasts::For(span) | Lasts::Perhaps(span) => Some(self.lasting(span)?),
        };
        let mut planned = Planned { place, on, at, span };
        let action = raw.action(&mut planned, self)?;
        Some(PlannedFault { at: planned.at, on: planned.on, action })
    }

    /// Whom, by name, and when.
    fn target(&mut self, on: &Field<String>, at: &Field<Span>, targets: Targets) -> Option<(String, Span)> {
        let moment = self.moment(at);
        let on = on.given()?;
        self.knows(on, targets).then_some(())?;
        Some((on.value.clone(), moment?))
    }

    /// True when it can be done to the one of this name; says what is wrong when it cannot.
    fn knows(&mut self, on: &At<String>, targets: Targets) -> bool {
        let name = on.value.as_str();
        let known = self.names(targets);
        if known.iter().any(|known| known == name) {
            return true;
        }
        let place = on.place.clone();
        let diagnostic = if name == PlannedFault::DRIVER {
            Diagnostic::new(place, "this cannot be done to the driver")
                .label("it decides nothing, and without it there is no storm")
                .help("the driver can be stalled, and its descriptors limited")
        } else if self.names(Targets::Restartable).iter().any(|known| known == name) {
            of_a_worker(name, place)
        } else {
            let message = format!("`{}` is no client, helper or daemon of this lab", shortened(name));
            let diagnostic = Diagnostic::new(place, message);
            match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
                None => diagnostic.label("no such participant"),
            }
            .help(targets.help())
        };
        self.problems.add(diagnostic);
        false
    }

    /// Who can be named.
    fn names(&self, targets: Targets) -> Vec<String> {
        let mut names: Vec<String> = self.clients.iter().map(|client| client.id.to_string()).collect();
        if targets != Targets::Clients {
            names.extend(self.daemons.iter().map(|daemon| daemon.id.to_string()));
        }
        if matches!(targets, Targets::Restartable | Targets::Processes) {
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
            let diagnostic = Diagnostic::new(span.place.clone(), "a fault must last longer than 0")
                .label("expected more than 0s")
                .help("write for example `for: 500ms`");
            self.problems.add(diagnostic);
            return None;
        }
        Some(span.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, parse, to_yaml};

    /// A lab with one fault, as it is written.
    fn lab(fault: &str) -> String {
        format!(
            "{{schema: 1, name: l, clients: [{{id: alpha, behavior: {{daemons: [{{ask: indexer}}]}}}}], \
             daemons: [{{id: indexer}}], workload: [open_storm: {{}}], faults: [{{{fault}}}]}}"
        )
    }

    /// Checks what a fault means, and that it means the same when it is written out.
    pub(super) fn check(written: &str, on: &str, action: &FaultAction) {
        let read = parse("l.yaml", lab(written), &Limits::default()).unwrap();
        let [fault] = read.faults.as_slice() else { panic!("{:?}", read.faults) };
        assert_eq!((fault.on.as_str(), &fault.action), (on, action), "{written}");
        let again = parse("l.yaml", to_yaml(&read), &Limits::default()).unwrap();
        assert_eq!(again.faults, read.faults, "{written}");
    }

    /// Checks that a fault is refused for this reason, and for no other.
    pub(super) fn refused(written: &str, why: &str) {
        let report = parse("l.yaml", lab(written), &Limits::default()).unwrap_err();
        let found: Vec<&str> = report.diagnostics.iter().map(|found| found.message.as_str()).collect();
        assert_eq!(found, [why], "{written}");
    }

    #[test]
    fn every_kind_is_written_by_its_word() {
        let words: Vec<&str> = PlannedKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(WORDS, words);
    }
}
