//! The helpers of a client: as written, as meant, and written out.

use std::fmt::{self, Write};

use lab_model::{AuthEvents, Helpers};

use crate::{
    checks::auth_events,
    errand::{Doing, ERRAND, with_errand, written},
    read::{Field, Problems},
    scalar::Bounded,
    write::word,
};

with_errand! {
    /// A client's direct workers: processes that it starts from inside its bundle and asks about every event that
    /// sets it off. They are not the client's process: it is asked about what they do, and to other clients they
    /// look like anybody.
    #[schemars(rename = "Helpers")]
    "`helpers`" RawHelpers {
        /// How many; each does one request at a time, and a request goes to one of them. None with 0.
        count [default]: Bounded<0, { Helpers::COUNT_MAX as u64 }>,
    } then {
        /// Which events they are asked about.
        on [default]: AuthEvents,
        /// The client's worker waits for the reply. With `when: before` the subject then waits for it, too.
        wait [default]: bool,
    }
}

/// The helpers of a behaviour: `base` with the written fields laid over it; `None` for none.
pub(crate) fn helpers(
    field: &Field<RawHelpers>,
    base: Option<Helpers>,
    problems: &mut Problems<'_>,
) -> Option<Helpers> {
    let Some(at) = field.given() else { return base };
    let raw = &at.value;
    let base = base.unwrap_or(Helpers { count: 1, errand: ERRAND, on: AuthEvents::ALL, wait: true });
    let count = raw.count.value().map_or(base.count, |count| count.get());
    if count == 0 {
        return None;
    }
    let errand = written!(at).resolve("a helper", base.errand, problems);
    Some(Helpers {
        count,
        errand,
        on: auth_events(&raw.on, base.on, problems),
        wait: raw.wait.value().copied().unwrap_or(base.wait),
    })
}

/// Writes them as the field of a behaviour.
pub(crate) fn write_helpers(out: &mut String, helpers: Option<&Helpers>, indent: &str) -> fmt::Result {
    let Some(Helpers { count, errand, on, wait }) = helpers else {
        return writeln!(out, "{indent}helpers: {{ count: 0 }}");
    };
    let (doing, on) = (Doing(errand), word(*on));
    writeln!(out, "{indent}helpers: {{ count: {count}, {doing}, on: {on}, wait: {wait} }}")
}
