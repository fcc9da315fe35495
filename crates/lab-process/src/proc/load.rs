//! What keeps processors busy, and who waits for them: `/proc/stat`, `/proc/pressure/*` and `/proc/PID/task/TID/schedstat`.

/// The length of a tick of `/proc`, in nanoseconds: `USER_HZ` is 100 on every machine that Linux has fanotify on but Alpha
/// (include/asm-generic/param.h).
pub const TICK_NS: u64 = 10_000_000;

/// What all processors together have done since boot, in ticks ([`TICK_NS`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessorTimes {
    /// How many processors there are.
    pub processors: u32,
    /// Time for processes, in user mode and in the kernel. Interrupts are not in it: they are nobody's.
    pub busy_ticks: u64,
    /// Time in which the machine around this virtual one gave its processors to somebody else.
    pub stolen_ticks: u64,
}

impl ProcessorTimes {
    /// Reads the content of `/proc/stat` (proc_stat(5)); `None` when it has no line of all processors.
    #[must_use]
    pub fn parse(content: &[u8]) -> Option<ProcessorTimes> {
        let text = String::from_utf8_lossy(content);
        let all = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Option<Vec<u64>> = all.split_ascii_whitespace().map(|field| field.parse().ok()).collect();
        // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user and nice.
        let ticks = ticks?;
        let [user, nice, system, _, _, _, _, stolen_ticks] = *ticks.first_chunk()?;
        let is_one = |line: &&str| {
            line.strip_prefix("cpu")
                .is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
        };
        let processors = u32::try_from(text.lines().filter(is_one).count()).ok()?;
        let busy_ticks = user.saturating_add(nice).saturating_add(system);
        Some(ProcessorTimes { processors, busy_ticks, stolen_ticks })
    }
}

/// Reads the total of a line of `/proc/pressure/*` (Documentation/accounting/psi.rst), in nanoseconds; `None` without it.
#[must_use]
pub fn stalled_ns(content: &[u8], of: &str) -> Option<u64> {
    let text = std::str::from_utf8(content).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(of)?.strip_prefix(' '))?;
    let total = line.split(' ').find_map(|field| field.strip_prefix("total="))?;
    // Microseconds.
    total.parse::<u64>().ok()?.checked_mul(1_000)
}

/// What the scheduler has done with a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// How long it has run, in nanoseconds.
    pub ran_ns: u64,
    /// How long it was ready to run and waited for a processor, in nanoseconds.
    pub waited_ns: u64,
}

impl Schedule {
    /// Reads the content of `schedstat` of a thread (Documentation/scheduler/sched-stats.rst); `None` when it is another.
    #[must_use]
    pub fn parse(content: &[u8]) -> Option<Schedule> {
        let mut fields = std::str::from_utf8(content).ok()?.split_ascii_whitespace();
        let mut field = || fields.next()?.parse().ok();
        Some(Schedule { ran_ns: field()?, waited_ns: field()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_busy_with_processes() {
        let stat = b"cpu  7913966 398406 1083109 1321956 30166 7 5822 7927 3 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n\
            cpu1 1 2 3 4 5 6 7 8 0 0\nintr 5 0\nctxt 9\n";
        let busy_ticks = 7_913_966 + 398_406 + 1_083_109;
        let expected = ProcessorTimes { processors: 2, busy_ticks, stolen_ticks: 7_927 };
        assert_eq!(ProcessorTimes::parse(stat), Some(expected));
        for cut in
            [&b""[..], b"cpu", b"cpu  1 2 3 4 5 6 7", b"cpu  1 2 x 4 5 6 7 8\n", b"cpu0 1 2 3 4 5 6 7 8"]
        {
            assert_eq!(ProcessorTimes::parse(cut), None, "{cut:?}");
        }
    }

    #[test]
    fn stalls_are_counted_in_microseconds() {
        let pressure = b"some avg10=97.77 avg60=97.81 avg300=95.90 total=29026935287\n\
            full avg10=0.00 avg60=0.00 avg300=0.00 total=12\n";
        assert_eq!(stalled_ns(pressure, "some"), Some(29_026_935_287_000));
        assert_eq!(stalled_ns(pressure, "full"), Some(12_000));
        for cut in [
            &b""[..],
            b"some",
            b"some avg10=1.00 total=",
            b"some total=18446744073709551615",
            b"\xff total=1",
        ] {
            assert_eq!(stalled_ns(cut, "some"), None, "{cut:?}");
        }
    }

    #[test]
    fn a_thread_has_run_and_waited() {
        assert_eq!(Schedule::parse(b"91112 17 1\n"), Some(Schedule { ran_ns: 91_112, waited_ns: 17 }));
        for cut in [&b""[..], b"1", b"a b c", b"-1 2 3"] {
            assert_eq!(Schedule::parse(cut), None, "{cut:?}");
        }
    }
}
