//! What a client does not want to decide about: as written, as meant, and written out.

use std::fmt::{self, Write};

use lab_model::Mute;

use crate::{
    checks::check_path,
    read::{Field, List, Problems, records},
    write::Names,
};

records! {
    /// What a client does not want to decide about. A list that is written replaces the one it overrides.
    #[schemars(rename = "Mute")]
    "`mute`" RawMute {
        /// What its own helpers do is allowed at once.
        helpers [default]: bool,
        /// Files and folders of the arena, relative to it; a folder stands for all below it, as it is when the
        /// mute is set. The kernel hides what happens to them: the client's trace has none of it.
        paths [default]: List<String>,
        /// Clients by their ID, another client's helpers as `ID/helpers`, daemons and products of `external` by their
        /// ID, or `workload` for all that is no client's: what they do is allowed at once. A product's new thread is
        /// known within a tenth of a second.
        processes [default]: List<String>,
    }
}

/// What is muted: `base` with the written lists in place of its own.
pub(crate) fn mute(field: &Field<RawMute>, base: Mute, problems: &mut Problems<'_>) -> Mute {
    let Some(written) = field.value() else { return base };
    for path in written.paths.value().into_iter().flat_map(|list| &list.items) {
        check_path(path, problems);
    }
    let texts = |field: &Field<List<String>>, base| {
        field.value().map_or(base, |list| list.items.iter().map(|at| at.value.clone()).collect())
    };
    Mute {
        helpers: written.helpers.value().copied().unwrap_or(base.helpers),
        paths: texts(&written.paths, base.paths),
        processes: texts(&written.processes, base.processes),
    }
}

/// Writes it as the field of a behaviour.
pub(crate) fn write_mute(out: &mut String, mute: &Mute, indent: &str) -> fmt::Result {
    let Mute { helpers, paths, processes } = mute;
    let (paths, processes) = (Names(paths), Names(processes));
    writeln!(out, "{indent}mute: {{ helpers: {helpers}, paths: {paths}, processes: {processes} }}")
}
