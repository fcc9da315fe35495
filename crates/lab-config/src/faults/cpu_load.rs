use std::fmt::{self, Write};

use lab_model::FaultAction;

use super::{Kind, Planned, Reader};
use crate::scalar::Bounded;

fault! {
    /// Keeps processors busy with threads of a process of the lab.
    #[schemars(rename = "CpuLoad")]
    "`cpu_load`" CpuLoad on machine {
        /// Threads that never rest.
        threads: Bounded<1, 256>,
    } for span
}

impl Kind for CpuLoad {
    fn action(&self, planned: &mut Planned, _: &mut Reader<'_, '_, '_>) -> Option<FaultAction> {
        Some(FaultAction::CpuLoad { threads: self.threads.value()?.get(), span: planned.span? })
    }

    fn write(action: &FaultAction, out: &mut String) -> fmt::Result {
        let FaultAction::CpuLoad { threads, .. } = action else { return Ok(()) };
        writeln!(out, "      threads: {threads}")
    }
}

#[cfg(test)]
mod tests {
    use lab_model::{FaultAction, PlannedFault, Span};

    use crate::faults::tests::check;

    #[test]
    fn it_is_done_to_the_machine() {
        let action = FaultAction::CpuLoad { threads: 3, span: Span::from_secs(1) };
        check("cpu_load: {threads: 3, at: 1s, for: 1s}", PlannedFault::MACHINE, &action);
    }
}
