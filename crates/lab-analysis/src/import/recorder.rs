//! What an import writes its trace to.

use std::io;

use lab_trace::{DecisionBegin, Loss, MemoryTrace, Target, TraceWriter};

/// A trace that is being written, in memory or in a file.
pub trait Recorder {
    /// Records an event and the file it is about. It has no answer, and gets none.
    fn event(&mut self, begin: &DecisionBegin, target: Option<&Target>);
    /// Records a path and returns its number; 0 when it did not fit.
    fn path(&mut self, bytes: &[u8]) -> u32;
    /// Records a loss.
    fn loss(&mut self, loss: &Loss);
    /// Makes room for what comes next; called every few events.
    ///
    /// # Errors
    /// Those of making room.
    fn make_room(&mut self) -> io::Result<()>;
    /// Records that did not fit so far.
    fn lost(&self) -> u64;
}

impl Recorder for MemoryTrace {
    fn event(&mut self, begin: &DecisionBegin, target: Option<&Target>) {
        let id = self.begin_decision(begin);
        if let Some(target) = target {
            self.decision_target(id, target);
        }
    }

    fn path(&mut self, bytes: &[u8]) -> u32 {
        MemoryTrace::path(self, bytes)
    }

    fn loss(&mut self, loss: &Loss) {
        MemoryTrace::loss(self, loss);
    }

    fn make_room(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn lost(&self) -> u64 {
        MemoryTrace::lost(self)
    }
}

impl Recorder for TraceWriter {
    fn event(&mut self, begin: &DecisionBegin, target: Option<&Target>) {
        let id = self.begin_decision(begin);
        if let Some(target) = target {
            self.decision_target(id, target);
        }
    }

    fn path(&mut self, bytes: &[u8]) -> u32 {
        TraceWriter::path(self, bytes)
    }

    fn loss(&mut self, loss: &Loss) {
        TraceWriter::loss(self, loss);
    }

    fn make_room(&mut self) -> io::Result<()> {
        self.grow().map(drop)
    }

    fn lost(&self) -> u64 {
        TraceWriter::lost(self)
    }
}
