//! Hands a run's traces to the exporters.

use std::io;

use crate::{Recorded, RunFolder};
use lab_analysis::findings::Findings;
use lab_report::export::{Caps, Exported};
use lab_trace::Trace;

/// A format that other tools read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// Perfetto's protobuf.
    Perfetto,
    /// A decision or notice a line, as eslogger writes it where it can.
    JsonLines,
    /// The same as columns.
    #[cfg(feature = "parquet")]
    Parquet,
}

/// Writes a run in another format. Traces that cannot be read are left out; the findings list them.
///
/// # Errors
/// Those of reading the traces' folder and of the writer.
pub fn export(
    folder: &RunFolder,
    findings: &Findings,
    format: ExportFormat,
    out: &mut dyn io::Write,
) -> io::Result<Exported> {
    let recorded = Recorded::open(folder).map_err(io::Error::other)?;
    let (traces, _) = recorded.traces();
    let exported = write(&traces, findings, format, out)?;
    recorded.check().map_err(io::Error::other)?;
    Ok(exported)
}

fn write(
    traces: &[Trace<'_>],
    findings: &Findings,
    format: ExportFormat,
    out: &mut dyn io::Write,
) -> io::Result<Exported> {
    match format {
        ExportFormat::Perfetto => lab_report::export::perfetto(traces, findings, &Caps::default(), out),
        ExportFormat::JsonLines => {
            let decisions = lab_report::export::jsonl(traces, out)?;
            Ok(Exported { decisions, ..Exported::default() })
        }
        #[cfg(feature = "parquet")]
        ExportFormat::Parquet => {
            let mut bytes = Vec::new();
            let decisions = lab_report::export::parquet(traces, &mut bytes)?;
            out.write_all(&bytes)?;
            Ok(Exported { decisions, ..Exported::default() })
        }
    }
}
