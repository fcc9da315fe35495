//! What else the machine did while a live lab ran.

use lab_model::{PhaseKind, units::ratio};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What else the machine did while a live lab ran, as far as its kernel tells. Times are nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MachineLoad {
    /// The phases in which the workload ran, in order.
    pub phases: Vec<PhaseLoad>,
    /// Other labs that were up when this one began or ended: the process IDs of their drivers.
    #[serde(default)]
    pub other_labs: Vec<u32>,
    /// Processes outside the lab that held a fanotify group with permission marks when it began or ended: name and process
    /// ID. The lab's own clients are not among them.
    #[serde(default)]
    pub other_clients: Vec<(String, u32)>,
}

/// What the machine did in one phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseLoad {
    /// Which.
    pub phase: PhaseKind,
    /// How long it was looked at: about the phase.
    pub lasted_ns: u64,
    /// Processors that the machine has.
    pub processors: u32,
    /// The time that processors were busy with processes, over all processors.
    pub busy_ns: u64,
    /// The part of it that was the lab's own. `/proc` counts both in ticks of 10 ms.
    pub lab_ns: u64,
    /// The time in which the machine around a virtual one gave its processors to somebody else.
    pub stolen_ns: u64,
    /// The time that the lab's threads ran, of those that were there at the phase's end; `null` where the kernel does not say
    /// it.
    pub ran_ns: Option<u64>,
    /// The time that these threads were ready to run and waited for a processor.
    pub waited_ns: Option<u64>,
    /// Pressure stalls of the whole machine; `null` where the kernel does not say it (`CONFIG_PSI`).
    pub stalled: Option<Stalled>,
}

impl PhaseLoad {
    /// The share of all processors' time that others took, 0 to 1. The lab's own time is summed and that of all is sampled, so
    /// that the difference may come out below 0, and is 0 then.
    #[must_use]
    pub fn others(&self) -> f64 {
        ratio(self.others_ns(), self.all_ns()).min(1.0)
    }

    /// The time that others kept processors busy.
    pub(crate) const fn others_ns(&self) -> u64 {
        self.busy_ns.saturating_sub(self.lab_ns)
    }

    /// All processors' time.
    pub(crate) fn all_ns(&self) -> u64 {
        self.lasted_ns.saturating_mul(u64::from(self.processors))
    }
}

/// Pressure stalls of the whole machine (`/proc/pressure`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stalled {
    /// Any process waited for a processor; the lab's own count as well.
    pub cpu_some_ns: u64,
    /// All processes that had something to do waited for a device.
    pub io_full_ns: u64,
    /// All processes that had something to do waited for memory.
    pub memory_full_ns: u64,
}
