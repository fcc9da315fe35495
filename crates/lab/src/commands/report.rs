//! Commands that read the traces of a run.

use std::{fs::File, io, io::Write, path::Path};

use lab_analysis::findings::{Findings, Judgement};
use lab_model::Timebase;
use lab_orchestrator::{ExportFormat, Failure, FailureKind, RunFolder, interrupts};

use super::{ExitError, advice};
use crate::{
    arguments::{Export, ExportTo, Format, Import, Report},
    labs::{Places, relative},
    output, terminal,
};

/// The run that a user means.
pub(super) fn find(places: &Places, run: Option<&str>) -> Result<RunFolder, ExitError> {
    RunFolder::find(&places.runs, run)?.ok_or_else(|| {
        let runs = relative(places.runs.path());
        let message = match run {
            Some(run) => format!("there is no run \"{run}\" in {}", runs.display()),
            None => format!("there is no run in {}", runs.display()),
        };
        ExitError::usage(message, "`lab up three-clients` makes one; `lab status` lists the last ones")
    })
}

/// How much of a report a terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// What did not hold, findings, clients and answers.
    Screen,
    /// All of it.
    Full,
}

impl Extent {
    /// That of `--full`, or of its absence.
    pub(super) const fn of(full: bool) -> Extent {
        if full { Extent::Full } else { Extent::Screen }
    }
}

/// Prints a run's report, and last where to read on.
pub(super) fn print(folder: &RunFolder, findings: &Findings, extent: Extent) -> Result<(), ExitError> {
    let style = terminal::style();
    let (text, more) = match extent {
        Extent::Screen => (lab_report::text::screen(findings, &style), "more: lab report --full"),
        Extent::Full => (lab_report::text::run(findings, &style), "one client: lab report --client ID"),
    };
    terminal::print_painted(&text)?;
    // A lab that still runs has no page yet.
    if findings.still_running {
        return Ok(());
    }
    let page = relative(folder.root()).join("report.html");
    let mended = findings.helped().is_some() && folder.root().join(RunFolder::MENDED).exists();
    let beside = format!("beside it {}, the lab with that change", RunFolder::MENDED);
    let more: Vec<&str> = [more].into_iter().chain(mended.then_some(beside.as_str())).collect();
    terminal::print_painted(&lab_report::text::whereabouts(&page.display().to_string(), &more, &style))
}

/// 0 when the run was whole and everything expected held, 1 when something did not, 2 when it cannot be told.
pub(super) fn exit_code(findings: &Findings) -> u8 {
    match findings.judgement() {
        Judgement::Good => 0,
        Judgement::Failed => 1,
        Judgement::Unknown => 2,
    }
}

pub(super) fn report(places: &Places, arguments: &Report) -> Result<u8, ExitError> {
    let client = arguments.client.as_deref();
    let format = if arguments.json { Format::Json } else { arguments.format };
    let folder = find(places, arguments.run.as_deref())?;
    lab_orchestrator::give_up_to_read(&[&folder], &[folder.root(), &folder.clients()])?;
    let mut findings = lab_orchestrator::findings_of(&folder)?;
    if folder.lab().exists() {
        advice::advise(&folder, &lab_orchestrator::lab_of(&folder)?, &mut findings);
    }
    let findings = &findings;
    // The pages are rebuilt beside the traces where that is possible; an archive may be read-only, and a lab that still
    // runs writes its own when it is over.
    if !findings.still_running
        && let Err(failure) = lab_orchestrator::write_pages(&folder, findings)
    {
        tracing::warn!("the pages stay as they are: {failure}");
    }
    if let Some(id) = client
        && !findings.clients.iter().any(|client| client.id == id)
    {
        let ids: Vec<&str> = findings.clients.iter().map(|client| client.id.as_str()).collect();
        return Err(ExitError::usage(
            format!("the run has no client \"{id}\""),
            format!("there are: {}", ids.join(", ")),
        ));
    }
    match (format, client) {
        (Format::Text, None) => print(&folder, findings, Extent::of(arguments.full))?,
        (Format::Text, Some(id)) => lab_report::text::client(findings, id, &terminal::style())
            .map_or(Ok(()), |text| terminal::print_painted(&text))?,
        (Format::Html, None) => terminal::print(&lab_report::html::run(findings))?,
        (Format::Html, Some(id)) => {
            terminal::print(&lab_report::html::client(findings, id).unwrap_or_default())?;
        }
        (Format::Json, None) => terminal::print_json_text(&lab_report::json::to_string(findings))?,
        (Format::Json, Some(id)) => terminal::print_json_text(&client_json(findings, id)?)?,
    }
    Ok(exit_code(findings))
}

/// One client's part of report.json, with the versions of the whole.
fn client_json(findings: &Findings, id: &str) -> Result<String, ExitError> {
    let client = findings.clients.iter().find(|client| client.id == id);
    let part = serde_json::json!({ "schema": findings.schema, "lab": findings.lab, "run": findings.run, "client": client });
    serde_json::to_string_pretty(&part)
        .map(|text| text + "\n")
        .map_err(|error| ExitError::bug(error.to_string()))
}

pub(super) fn import(places: &Places, arguments: &Import) -> Result<u8, ExitError> {
    let timebase = arguments.timebase.as_deref().map(timebase).transpose()?;
    let (folder, findings) = lab_orchestrator::import(&arguments.file, &places.runs, timebase)?;
    print(&folder, &findings, Extent::Full)?;
    Ok(0)
}

/// Nanoseconds for each tick, written as a fraction such as 125/3.
fn timebase(text: &str) -> Result<Timebase, ExitError> {
    let part = |part: &str| part.parse::<u32>().ok().filter(|&part| part > 0);
    let fraction = text.split_once('/').and_then(|(numer, denom)| Some((part(numer)?, part(denom)?)));
    let (numer, denom) = fraction.ok_or_else(|| {
        ExitError::usage(
            format!("\"{text}\" is no timebase"),
            "write a fraction: 125/3 on Apple silicon, 1/1 on Intel",
        )
    })?;
    Ok(Timebase { numer, denom })
}

pub(super) fn export(places: &Places, arguments: &Export) -> Result<u8, ExitError> {
    let folder = find(places, arguments.run.as_deref())?;
    let (format, name) = match arguments.to {
        ExportTo::Perfetto => (ExportFormat::Perfetto, "trace.pftrace"),
        ExportTo::Jsonl => (ExportFormat::JsonLines, "decisions.jsonl"),
        #[cfg(feature = "parquet")]
        ExportTo::Parquet => (ExportFormat::Parquet, "decisions.parquet"),
    };
    let path = arguments.output.clone().unwrap_or_else(|| folder.root().join(name));
    let into = path.parent().filter(|into| !into.as_os_str().is_empty()).unwrap_or(Path::new("."));
    lab_orchestrator::give_up_to_read(&[&folder], &[into])?;
    let findings = lab_orchestrator::findings_of(&folder)?;
    if path == Path::new("-") {
        let mut out = io::BufWriter::new(io::stdout().lock());
        let exported = lab_orchestrator::export(&folder, &findings, format, &mut out);
        // The reader of a pipe may have seen enough.
        return match exported.and_then(|_| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(ExitError::output("cannot write the export", &error))
            }
            _ => Ok(0),
        };
    }
    let said = export_file(places, &folder, &findings, format, &path)?;
    terminal::print(&format!("{}\n{said}", relative(&path).display()))?;
    Ok(0)
}

/// A file that is written to until a signal wants the program to end.
struct Interruptible<'a>(&'a mut File);

impl Write for Interruptible<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if interrupts::wanted() { Err(io::Error::other("interrupted")) } else { self.0.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Writes an export whole or not at all, and says what it holds.
pub(super) fn export_file(
    places: &Places,
    folder: &RunFolder,
    findings: &Findings,
    format: ExportFormat,
    path: &Path,
) -> Result<String, Failure> {
    // A signal ends the writing, and the program once nothing is left of it.
    let written = output::replace_with(places, path, |file| {
        let mut out = io::BufWriter::new(Interruptible(file));
        let exported = lab_orchestrator::export(folder, findings, format, &mut out)?;
        out.flush()?;
        Ok(exported)
    });
    let exported = written.map_err(|error| {
        let failure = Failure::output(&format!("cannot write {}", path.display()), &error);
        if failure.kind == FailureKind::Privilege {
            return failure;
        }
        failure.mend("name another file with --output")
    })?;
    let left_out = exported.decisions_outside + exported.decisions_without_lane;
    let mut said = format!("  {} decisions", exported.decisions);
    if left_out > 0 {
        said.push_str(&format!(", {left_out} left out: a viewer shows no more"));
    }
    if exported.flows_left_out > 0 {
        said.push_str(&format!(
            "; {} arrows of {}",
            exported.flows,
            exported.flows + exported.flows_left_out
        ));
    }
    said.push('\n');
    Ok(said)
}
