//! Headers of traces.

use lab_model::{Actor, Role, Ticks, Timebase};
use lab_trace::{Header, Identity};

/// The header of a process of this number, role and name, created at tick 1 of a clock of nanoseconds, on the arena
/// `/arena`. Its process ID is 1000 and its salt 77 more than its number.
pub fn header(actor: u16, role: Role, name: &str) -> Header {
    Header {
        created: Ticks(1),
        created_unix_ns: 0,
        timebase: Timebase::NANOSECONDS,
        actor: Actor(actor),
        role,
        pid: 1000 + u32::from(actor),
        salt: 77 + u32::from(actor),
        identity: Identity { name: name.into(), arena: "/arena".into(), ..Identity::default() },
    }
}
