//! How long a tick of an imported file is where nothing says so.

use lab_model::Timebase;

/// Nanoseconds for each tick on Apple silicon.
pub const APPLE_SILICON: Timebase = Timebase { numer: 125, denom: 3 };
