use std::{fmt, str::FromStr};

use lab_model::PhaseKind;

const PREFIX: &str = ".lab-fence-";

/// The name of a file whose opening marks a point in a run.
///
/// The orchestrator opens it before and after each phase. Each client has to see each one: events arrive in
/// order, so a marker that is seen proves that nothing before it was dropped unnoticed, and a marker that is
/// not seen proves that the queue's tail was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Marker {
    /// The phase it fences.
    pub phase: PhaseKind,
    /// Its place among the phase's markers, from 0.
    pub serial: u32,
}

impl fmt::Display for Marker {
    /// Writes the file name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}-{}", self.phase.name(), self.serial)
    }
}

impl FromStr for Marker {
    type Err = ();

    fn from_str(name: &str) -> Result<Marker, ()> {
        let (phase, serial) = name.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once('-')).ok_or(())?;
        let phase = PhaseKind::ALL.into_iter().find(|kind| kind.name() == phase).ok_or(())?;
        // One spelling for each marker: "+1" and "01" parse as numbers, but nobody wrote them.
        let marker = Marker { phase, serial: serial.parse().map_err(|_| ())? };
        if marker.to_string() == name { Ok(marker) } else { Err(()) }
    }
}

/// Which markers one client has seen in one phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    phase: PhaseKind,
    expected: u32,
    next: u32,
    missing: u32,
}

impl Fence {
    /// A fence of `expected` markers, none of them seen.
    #[must_use]
    pub const fn new(phase: PhaseKind, expected: u32) -> Fence {
        Fence { phase, expected, next: 0, missing: 0 }
    }

    /// Takes in the path of an opened file; true when it is the next marker of this fence or a later one.
    pub fn see(&mut self, path: &[u8]) -> bool {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let marker = std::str::from_utf8(name).ok().and_then(|name| name.parse::<Marker>().ok());
        match marker {
            Some(marker) if marker.phase == self.phase && marker.serial >= self.next => {
                self.missing += marker.serial - self.next;
                self.next = marker.serial.saturating_add(1);
                true
            }
            _ => false,
        }
    }

    /// True when the last marker has been seen: nothing of the phase is still to come.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.next >= self.expected
    }

    /// Markers that were not seen: those jumped over, and those still to come.
    #[must_use]
    pub const fn missing(&self) -> u32 {
        self.missing + self.expected.saturating_sub(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_read_back_as_written() {
        for phase in PhaseKind::ALL {
            let marker = Marker { phase, serial: 3 };
            assert_eq!(marker.to_string().parse(), Ok(marker));
        }
        for name in ["", ".lab-fence-", ".lab-fence-storm", ".lab-fence-storm-", ".lab-fence-rain-1"] {
            assert_eq!(name.parse::<Marker>(), Err(()), "{name}");
        }
        for name in
            [".lab-fence-storm-+1", ".lab-fence-storm-01", ".lab-fence-storm--1", "x.lab-fence-storm-1"]
        {
            assert_eq!(name.parse::<Marker>(), Err(()), "{name}");
        }
    }

    #[test]
    fn a_fence_closes_with_its_last_marker() {
        let mut fence = Fence::new(PhaseKind::Storm, 3);
        assert!(fence.see(b"/arena/.lab-fence-storm-0"));
        assert!(!fence.see(b"/arena/file-17"));
        assert!(!fence.see(b"/arena/.lab-fence-drain-1"));
        assert!(!fence.see(b"/arena/.lab-fence-storm-0/below"));
        assert!(!fence.is_closed());
        assert_eq!(fence.missing(), 2);
        assert!(fence.see(b"/arena/.lab-fence-storm-2"));
        assert!(fence.is_closed());
        assert_eq!(fence.missing(), 1, "number 1 was jumped over");
        assert!(!fence.see(b"/arena/.lab-fence-storm-1"), "an old marker changes nothing");
        assert_eq!(fence.missing(), 1);
    }

    #[test]
    fn a_dropped_tail_leaves_the_fence_open() {
        let mut fence = Fence::new(PhaseKind::Storm, 2);
        assert!(fence.see(b"/arena/.lab-fence-storm-0"));
        assert!(!fence.is_closed());
        assert_eq!(fence.missing(), 1);
        assert!(fence.see(b"/arena/.lab-fence-storm-4294967295"));
        assert!(fence.is_closed());
    }
}
