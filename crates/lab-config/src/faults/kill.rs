use std::fmt;

use lab_model::FaultAction;

use super::{Kind, Planned, Reader};

fault! {
    /// Kills a process (`SIGKILL`). A client with `restart` comes back, with its helpers. Who asks a helper or a daemon
    /// that is gone goes on without it: its requests fail.
    #[schemars(rename = "Kill")]
    "`kill`" Kill on restartable {} for never
}

impl Kind for Kill {
    fn action(&self, _: &mut Planned, _: &mut Reader<'_, '_, '_>) -> Option<FaultAction> {
        Some(FaultAction::Kill)
    }

    fn write(_: &FaultAction, _: &mut String) -> fmt::Result {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use lab_model::FaultAction;

    use crate::faults::tests::{check, refused};

    #[test]
    fn who_can_be_missing_can_be_killed() {
        check("kill: {on: indexer, at: 1s}", "indexer", &FaultAction::Kill);
        refused("kill: {on: driver, at: 1s}", "this cannot be done to the driver");
    }
}
