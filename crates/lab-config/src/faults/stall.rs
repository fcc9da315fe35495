use std::fmt;

use lab_model::FaultAction;

use super::{Kind, Planned, Reader};

fault! {
    /// Stops a process and lets it go on (`SIGSTOP`, `SIGCONT`).
    #[schemars(rename = "Stall")]
    "`stall`" Stall on processes {} for span
}

impl Kind for Stall {
    fn action(&self, planned: &mut Planned, _: &mut Reader<'_, '_, '_>) -> Option<FaultAction> {
        Some(FaultAction::Stall { span: planned.span? })
    }

    fn write(_: &FaultAction, _: &mut String) -> fmt::Result {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use lab_model::{FaultAction, Span};

    use crate::faults::tests::check;

    #[test]
    fn any_process_can_be_stalled() {
        let action = FaultAction::Stall { span: Span::from_millis(300) };
        for on in ["alpha", "indexer", "driver"] {
            check(&format!("stall: {{on: {on}, at: 1s, for: 300ms}}"), on, &action);
        }
    }
}
