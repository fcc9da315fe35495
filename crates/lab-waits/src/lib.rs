//! Who waits for whom among the threads of a machine, whoever they belong to.
//!
//! A permission client seldom waits for another permission client only: it waits for its log's reader, a FUSE daemon, a
//! lease holder, a scanner behind a socket. A [`Snapshot`] holds what the kernel shows of every thread at one moment; the
//! [`WaitGraph`] made of it says what each waits in, who could end that, and which circles nobody in them can leave.
//!
//! Nothing here reads anything: whoever has a snapshot, of this machine or of another one, gets the same graph.

mod circle;
mod edges;
mod graph;
mod record;
mod report;
mod sentence;
mod snapshot;
mod stuck;
mod wait;

pub use circle::Circle;
pub use edges::Edge;
pub use graph::{ThreadWait, WaitGraph};
pub use record::{RecordLine, Sighting, Stretch, WaitRecord};
pub use report::{ProcessName, WaitCircle, WaitReport, Waiting};
pub use snapshot::{
    Call, Descriptor, FileLock, Group, Mark, MarkedPlace, Mount, Peer, Process, Snapshot, SnapshotError,
    Thread,
};
pub use wait::{Wait, WaitKind};
