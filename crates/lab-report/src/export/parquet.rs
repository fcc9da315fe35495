//! Decisions and notices as a Parquet file: the columns of the JSON lines, for tools that read columns.
//!
//! Row groups of a fixed size, so that memory does not grow with the run. Nothing is compressed: dictionaries do
//! most of it, and a codec would be one more dependency.

use std::{io, sync::Arc};

use lab_model::SubjectClass;
use lab_trace::{Entry, Trace};
use parquet::{
    column::writer::ColumnWriter,
    data_type::ByteArray,
    errors::{ParquetError, Result},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};

use super::{
    index::Index,
    jsonl::{Event, File, Line, lines},
};

/// The rows of one row group.
const GROUP_ROWS: usize = 65_536;

/// The columns, by the names of the JSON lines. A group is always there; what is not known is a null in it.
const SCHEMA: &str = "
message decision {
  REQUIRED INT32 schema_version (INTEGER(32, false));
  REQUIRED INT32 event_type (INTEGER(16, false));
  REQUIRED group event {
    REQUIRED BYTE_ARRAY name (STRING);
    OPTIONAL BYTE_ARRAY path (STRING);
    OPTIONAL INT32 st_dev (INTEGER(32, false));
    OPTIONAL INT64 st_ino (INTEGER(64, false));
  }
  REQUIRED INT32 action_type (INTEGER(32, false));
  REQUIRED group action {
    OPTIONAL INT32 auth (INTEGER(32, false));
  }
  REQUIRED group process {
    REQUIRED group audit_token {
      REQUIRED INT32 pid (INTEGER(32, false));
      REQUIRED INT32 pidversion (INTEGER(32, false));
    }
    REQUIRED BOOLEAN is_es_client;
  }
  REQUIRED group thread {
    REQUIRED INT64 thread_id (INTEGER(64, false));
  }
  OPTIONAL INT64 time (TIMESTAMP(NANOS, true));
  REQUIRED INT64 mach_time (INTEGER(64, false));
  REQUIRED INT64 seq_num (INTEGER(64, false));
  REQUIRED group lab {
    REQUIRED BYTE_ARRAY client (STRING);
    REQUIRED INT64 record (INTEGER(64, false));
    REQUIRED BYTE_ARRAY kind (STRING);
    REQUIRED INT32 merged (INTEGER(32, false));
    OPTIONAL BOOLEAN reacts;
    REQUIRED INT64 read_ns (INTEGER(64, false));
    OPTIONAL INT64 started_ns (INTEGER(64, false));
    OPTIONAL INT64 answered_ns (INTEGER(64, false));
    OPTIONAL INT64 open_until_ns (INTEGER(64, false));
    OPTIONAL INT64 deadline_ns (INTEGER(64, false));
    OPTIONAL BYTE_ARRAY approval (STRING);
    REQUIRED BYTE_ARRAY subject_class (STRING);
    REQUIRED group cause {
      OPTIONAL BYTE_ARRAY actor (STRING);
      OPTIONAL INT64 record (INTEGER(64, false));
      OPTIONAL INT64 parent (INTEGER(64, false));
      REQUIRED group decision {
        OPTIONAL BYTE_ARRAY client (STRING);
        OPTIONAL INT64 record (INTEGER(64, false));
      }
      REQUIRED group notice {
        OPTIONAL BYTE_ARRAY client (STRING);
        OPTIONAL INT64 record (INTEGER(64, false));
      }
    }
  }
}";

/// A value of one column; `None` is a null.
enum Cell<'a> {
    Int32(Option<u32>),
    Int64(Option<u64>),
    Instant(Option<i64>),
    Bool(Option<bool>),
    Text(Option<&'a str>),
}

/// The values of one column in a row group, and for each row whether it has one.
#[derive(Default)]
struct Column {
    int32: Vec<i32>,
    int64: Vec<i64>,
    bools: Vec<bool>,
    texts: Vec<ByteArray>,
    defined: Vec<i16>,
}

impl Column {
    fn push(&mut self, cell: Cell<'_>) {
        let (before, values) = (self.values(), self);
        match cell {
            Cell::Int32(value) => values.int32.extend(value.map(u32::cast_signed)),
            Cell::Int64(value) => values.int64.extend(value.map(u64::cast_signed)),
            Cell::Instant(value) => values.int64.extend(value),
            Cell::Bool(value) => values.bools.extend(value),
            Cell::Text(value) => values.texts.extend(value.map(ByteArray::from)),
        }
        let defined = values.values() > before;
        values.defined.push(i16::from(defined));
    }

    fn values(&self) -> usize {
        self.int32.len() + self.int64.len() + self.bools.len() + self.texts.len()
    }

    /// Writes the column. Columns without nulls pass over the levels.
    fn write(&self, writer: &mut ColumnWriter<'_>) -> Result<usize> {
        let levels = Some(self.defined.as_slice());
        match writer {
            ColumnWriter::Int32ColumnWriter(writer) => writer.write_batch(&self.int32, levels, None),
            ColumnWriter::Int64ColumnWriter(writer) => writer.write_batch(&self.int64, levels, None),
            ColumnWriter::BoolColumnWriter(writer) => writer.write_batch(&self.bools, levels, None),
            ColumnWriter::ByteArrayColumnWriter(writer) => writer.write_batch(&self.texts, levels, None),
            _ => Err(ParquetError::General("the schema has a column of another type".to_owned())),
        }
    }
}

/// Writes a row for each JSON line, in their order, and returns how many were written.
///
/// # Errors
/// Those of the writer.
pub fn parquet(traces: &[Trace<'_>], out: impl io::Write + Send) -> io::Result<u64> {
    write(traces, out).map_err(io::Error::other)
}

fn write(traces: &[Trace<'_>], out: impl io::Write + Send) -> Result<u64> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let properties = Arc::new(WriterProperties::builder().set_created_by("lab-report".to_owned()).build());
    let mut file = SerializedFileWriter::new(out, schema, properties)?;
    // What analysis leaves out is left out here.
    let traces = lab_analysis::admit(traces).traces;
    let index = Index::new(&traces);
    let mut columns: Vec<Column> = Vec::new();
    let (mut rows, mut written) = (0, 0);
    for (place, trace) in traces.iter().enumerate() {
        for entry in trace.entries() {
            let Entry::Record { index: record, record: content } = entry else { continue };
            for line in lines(&index, place, record, &content) {
                let cells = cells(&line);
                columns.resize_with(cells.len(), Column::default);
                columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
                rows += 1;
                written += 1;
                if rows == GROUP_ROWS {
                    group(&mut file, &columns)?;
                    (columns, rows) = (Vec::new(), 0);
                }
            }
        }
    }
    if rows > 0 {
        group(&mut file, &columns)?;
    }
    file.close()?;
    Ok(written)
}

fn group<W: io::Write + Send>(file: &mut SerializedFileWriter<W>, columns: &[Column]) -> Result<()> {
    let mut group = file.next_row_group()?;
    for column in columns {
        let Some(mut writer) = group.next_column()? else {
            return Err(ParquetError::General("the schema has fewer columns than a row".to_owned()));
        };
        column.write(writer.untyped())?;
        writer.close()?;
    }
    group.close()?;
    Ok(())
}

/// The values of one row, in the order of the schema's columns.
fn cells<'a>(line: &'a Line<'a>) -> [Cell<'a>; 34] {
    let (name, file) = named(&line.event);
    let stat = file.stat.as_ref();
    let token = &line.process.audit_token;
    let lab = &line.lab;
    let cause = lab.cause.as_ref();
    let decision = cause.and_then(|cause| cause.decision.as_ref());
    let notice = cause.and_then(|cause| cause.notice.as_ref());
    [
        Cell::Int32(Some(line.schema_version)),
        Cell::Int32(Some(line.event_type.into())),
        Cell::Text(Some(name)),
        Cell::Text(file.path.as_deref()),
        Cell::Int32(stat.map(|stat| stat.st_dev)),
        Cell::Int64(stat.map(|stat| stat.st_ino)),
        Cell::Int32(Some(line.action_type)),
        Cell::Int32(line.action.as_ref().map(|action| action.result.result.auth)),
        Cell::Int32(Some(token.pid)),
        Cell::Int32(Some(token.pidversion)),
        Cell::Bool(Some(line.process.is_es_client)),
        Cell::Int64(Some(line.thread.thread_id)),
        Cell::Instant(i64::try_from(line.time).ok()),
        Cell::Int64(Some(line.mach_time)),
        Cell::Int64(Some(line.seq_num)),
        Cell::Text(Some(lab.client)),
        Cell::Int64(Some(lab.record)),
        Cell::Text(Some(lab.kind)),
        Cell::Int32(Some(lab.merged)),
        Cell::Bool(lab.reacts),
        Cell::Int64(Some(lab.read_ns)),
        Cell::Int64(lab.started_ns),
        Cell::Int64(lab.answered_ns),
        Cell::Int64(lab.open_until_ns),
        Cell::Int64(lab.deadline_ns),
        Cell::Text(lab.approval),
        Cell::Text(Some(class(lab.subject_class))),
        Cell::Text(cause.map(|cause| cause.actor)),
        Cell::Int64(cause.map(|cause| cause.record)),
        Cell::Int64(cause.and_then(|cause| cause.parent)),
        Cell::Text(decision.map(|decision| decision.client)),
        Cell::Int64(decision.map(|decision| decision.record)),
        Cell::Text(notice.map(|notice| notice.client)),
        Cell::Int64(notice.map(|notice| notice.record)),
    ]
}

fn named(event: &Event) -> (&'static str, &File) {
    match event {
        Event::Open { file } => ("open", file),
        Event::Exec { target } => ("exec", &target.executable),
        Event::Close { target, .. } => ("close", target),
        Event::Write { target } => ("write", target),
        Event::Create { destination } => ("create", &destination.existing_file),
        Event::Unlink { target } => ("unlink", target),
        Event::Other { file } => ("other", file),
    }
}

/// The names that the JSON lines have.
const fn class(class: SubjectClass) -> &'static str {
    match class {
        SubjectClass::Own => "own",
        SubjectClass::OwnHelper => "ownhelper",
        SubjectClass::Peer => "peer",
        SubjectClass::Workload => "workload",
    }
}
