//! The trace of the calling process: made as the welcome says, and grown ahead of its records.

use std::{io, path::Path, sync::Arc, time::Duration};

use lab_model::{Actor, Role};
use lab_protocol::{Assignment, TraceAssignment, Welcome};
use lab_trace::{Header, Identity, TraceWriter, WriterOptions};

use crate::{clock, host_facts, process_id};

/// How often a process that records looks whether its trace must grow.
pub const GROW_EVERY: Duration = Duration::from_millis(1);

/// Creates the trace that a welcome asks for, with everything a reader wants to know of its process.
///
/// # Errors
/// Those of creating the file: a full disk, a read-only folder, a file that is already there.
pub fn create_trace(welcome: &Welcome, role: Role, version: &str) -> io::Result<TraceWriter> {
    // Handled, so that a file that may not grow is an error (EFBIG), which the trace counts as a full disk, and no death
    // that is blamed on this process. Programs that it starts do not inherit a handler.
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default())?;
    let bundle_id = match &welcome.assignment {
        Assignment::Client(client) => Some(client.bundle_id.clone()),
        Assignment::Driver(_) | Assignment::Worker(_) => None,
    };
    let identity = Identity {
        name: welcome.name.clone(),
        bundle_id,
        version: version.to_owned(),
        arena: welcome.arena.clone(),
        settings: serde_json::to_value(&welcome.assignment).unwrap_or_default(),
        host: host_facts(),
    };
    create(&welcome.trace, welcome.actor, role, identity)
}

fn create(place: &TraceAssignment, actor: Actor, role: Role, identity: Identity) -> io::Result<TraceWriter> {
    let header = Header {
        created: clock::now(),
        created_unix_ns: clock::unix_nanoseconds(),
        timebase: clock::timebase(),
        actor,
        role,
        pid: process_id(),
        salt: place.salt,
        identity,
    };
    TraceWriter::create(Path::new(&place.path), &header, WriterOptions { bytes_max: place.bytes_max })
}
