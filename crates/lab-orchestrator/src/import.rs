//! Lines of `eslogger` become a run of the store, so that the same reports show them.

use std::{
    fmt,
    io::{self, BufReader},
    path::Path,
};

use lab_analysis::{
    findings::Findings,
    import::{Importer, Options, findings},
};
use lab_files::open_regular;
use lab_model::{Ticks, Timebase};
use lab_trace::{TraceWriter, WriterOptions};

use crate::{
    Failure, FailureKind, RunFolder, Runs,
    review::{IMPORT, write_pages},
};

/// Reads a file of `eslogger` lines into a new run below `runs`. `timebase` is that of the machine the lines come from;
/// without it, Apple silicon's is assumed, and the report says so.
///
/// # Errors
/// [`FailureKind::Output`] when the file cannot be read or the run's folder not be written, [`FailureKind::Data`] when no
/// line of it is an event; nothing is stored then. A damaged line among events is no error.
pub fn import(
    file: &Path,
    runs: &Runs,
    timebase: Option<Timebase>,
) -> Result<(RunFolder, Findings), Failure> {
    let unread = |error: &dyn fmt::Display| {
        Failure::new(FailureKind::Output, format!("cannot read {}: {error}", file.display()))
            .mend("`sudo eslogger exec open > events.jsonl` on a Mac makes such a file")
    };
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let options =
        Options { name: name.clone(), timebase, version: env!("CARGO_PKG_VERSION").to_owned(), salt: 1 };
    let importer =
        Importer::begin(BufReader::new(open_regular(file).map_err(|error| unread(&error))?), &options)
            .map_err(|error| unread(&error))?;
    if let Some(nothing) = importer.nothing() {
        let mend =
            "`sudo eslogger exec open > events.jsonl` on a Mac makes such a file, one JSON object a line";
        return Err(Failure::new(FailureKind::Data, nothing).mend(mend));
    }
    let folder = RunFolder::create(runs, &format!("import-{}", plain(&name)))?;
    let path = folder.trace("eslogger");
    let failed = |error: io::Error| Failure::output(&format!("cannot write {}", path.display()), &error);
    let mut trace =
        TraceWriter::create(&path, &importer.header(), WriterOptions::default()).map_err(failed)?;
    let found = importer.finish(&mut trace).map_err(|error| unread(&error))?;
    trace.close(Ticks(found.ticks.map_or(1, |(_, last)| last))).map_err(failed)?;
    let findings = findings(&found, &folder.name(), &format!("{IMPORT}{}", file.display()));
    folder.uninstall();
    write_pages(&folder, &findings)?;
    Ok((folder, findings))
}

/// A file's name as a folder's: letters, digits and hyphens.
fn plain(name: &str) -> String {
    let stem = name.split('.').next().unwrap_or_default();
    let kept: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    if kept.is_empty() { "lines".to_owned() } else { kept }
}
