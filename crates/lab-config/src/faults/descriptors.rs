use std::fmt::{self, Write};

use lab_model::FaultAction;

use super::{Kind, Planned, Reader};
use crate::scalar::Bounded;

fault! {
    /// Lowers the number of files that a process may have open (`RLIMIT_NOFILE`). A client that has no descriptor left
    /// for an event cannot read it, and the kernel denies the open.
    #[schemars(rename = "Descriptors")]
    "`descriptors`" Descriptors on processes {
        /// The new limit. Files that are already open stay open.
        limit: Bounded<0, 1_000_000>,
    } for span
}

impl Kind for Descriptors {
    fn action(&self, planned: &mut Planned, _: &mut Reader<'_, '_, '_>) -> Option<FaultAction> {
        Some(FaultAction::Descriptors { limit: self.limit.value()?.get(), span: planned.span? })
    }

    fn write(action: &FaultAction, out: &mut String) -> fmt::Result {
        let FaultAction::Descriptors { limit, .. } = action else { return Ok(()) };
        writeln!(out, "      limit: {limit}")
    }
}

#[cfg(test)]
mod tests {
    use lab_model::{FaultAction, Span};

    use crate::faults::tests::check;

    #[test]
    fn none_at_all_is_a_limit_too() {
        let action = FaultAction::Descriptors { limit: 0, span: Span::from_secs(1) };
        check("descriptors: {on: driver, at: 1s, for: 1s, limit: 0}", "driver", &action);
    }
}
