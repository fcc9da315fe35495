//! What live runs say of their machine: figures of one run, and of several.

use lab_model::Lab;

/// What a run's traces say of its machine. Medians, in nanoseconds; `None` where there was nothing to measure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// The processors that the driver was allowed to use.
    pub cores: Option<u16>,
    /// An open of the workload without clients.
    pub baseline_open: Option<u64>,
    /// How late an opener begins that wakes at a planned time, without clients.
    pub baseline_late: Option<u64>,
    /// An exec of any program without clients.
    pub baseline_exec: Option<u64>,
    /// An exec of a static program without clients.
    pub baseline_static: Option<u64>,
    /// An exec of a dynamically linked program without clients.
    pub baseline_dynamic: Option<u64>,
    /// An open of the workload with clients that answer at once.
    pub control_open: Option<u64>,
    /// An exec of the workload with clients that answer at once.
    pub control_exec: Option<u64>,
    /// 90 % of those take at most this.
    pub control_open_p90: Option<u64>,
    /// From the call of an open to the first client's reading, in the quickest twentieth of the control phase:
    /// where the client woke on the processor that called.
    pub control_nearby: Option<u64>,
    /// From the call of an open to the first client's reading, in the control phase.
    pub control_asked: Option<u64>,
    /// 90 % of those take at most this.
    pub control_asked_p90: Option<u64>,
    /// From a client's reading to its answer, in the control phase.
    pub control_answer: Option<u64>,
    /// From the call of an open to the first client's reading, in the storm.
    pub asked: Option<u64>,
    /// From the last client's answer to the return of the open, in the storm.
    pub resumed: Option<u64>,
    /// Reading and closing a file once it is open.
    pub content: Option<u64>,
    /// The bytes of the files that were read, on average.
    pub content_bytes: Option<u64>,
    /// From the reading of an event to a worker's taking it up.
    pub hand_over: Option<u64>,
    /// An open that a client makes itself, while others are asked about it.
    pub client_open: Option<u64>,
    /// From a worker's taking an event up to its answer.
    pub work: Option<u64>,
    /// An open of the workload in the storm: what the calibrated model is to be compared with.
    pub storm_open: Option<Spread>,
    /// An exec of the workload in the storm.
    pub storm_exec: Option<Spread>,
}

/// A median and a high quantile, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The median.
    pub p50: u64,
    /// 99 % are at most this.
    pub p99: u64,
}

/// What the live runs of one lab say of their machine.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The lab as it ran.
    pub lab: Lab,
    /// What its runs say: [`Measured::median`] of several.
    pub measured: Measured,
}

/// One figure of several runs: its name, its median, the lowest and the highest, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FigureSpread {
    /// The name of the figure.
    pub name: &'static str,
    /// The median: of an even number the lower one in the middle.
    pub median: u64,
    /// The lowest.
    pub low: u64,
    /// The highest.
    pub high: u64,
}

/// The name of a figure and where it lies.
type Figure = (&'static str, fn(&mut Measured) -> &mut Option<u64>);

/// All figures that a cost is fitted to.
const FIGURES: [Figure; 18] = [
    ("open, no client", |measured| &mut measured.baseline_open),
    ("waking at a planned time", |measured| &mut measured.baseline_late),
    ("exec, no client", |measured| &mut measured.baseline_exec),
    ("static exec, no client", |measured| &mut measured.baseline_static),
    ("dynamic exec, no client", |measured| &mut measured.baseline_dynamic),
    ("open, answered at once", |measured| &mut measured.control_open),
    ("exec, answered at once", |measured| &mut measured.control_exec),
    ("open, answered at once, p90", |measured| &mut measured.control_open_p90),
    ("call to first reading, quickest", |measured| &mut measured.control_nearby),
    ("call to first reading, answered at once", |measured| &mut measured.control_asked),
    ("call to first reading, answered at once, p90", |measured| &mut measured.control_asked_p90),
    ("reading to answer, answered at once", |measured| &mut measured.control_answer),
    ("call to first reading, storm", |measured| &mut measured.asked),
    ("last answer to return", |measured| &mut measured.resumed),
    ("reading a file", |measured| &mut measured.content),
    ("handing over to a worker", |measured| &mut measured.hand_over),
    ("a client's own open", |measured| &mut measured.client_open),
    ("a worker's decision", |measured| &mut measured.work),
];

impl Measured {
    /// Each figure's median over several runs, by itself; a figure that only some of them have counts where it is.
    ///
    /// One run is too little: its machine had a minute of its own. The median of each figure, not the run in the
    /// middle, because a run may be slow in one thing and quick in another.
    #[must_use]
    pub fn median(runs: &[Measured]) -> Measured {
        let mut whole = Measured {
            cores: middle(runs.iter().filter_map(|run| run.cores)),
            content_bytes: middle(runs.iter().filter_map(|run| run.content_bytes)),
            storm_open: middle_spread(runs.iter().filter_map(|run| run.storm_open)),
            storm_exec: middle_spread(runs.iter().filter_map(|run| run.storm_exec)),
            ..Measured::default()
        };
        for (_, figure) in FIGURES {
            *figure(&mut whole) = middle(values(runs, figure));
        }
        whole
    }

    /// How far several runs are apart, figure by figure, for those that any of them has.
    #[must_use]
    pub fn spread(runs: &[Measured]) -> Vec<FigureSpread> {
        let of = |(name, figure): Figure| {
            let (low, high) = (values(runs, figure).min()?, values(runs, figure).max()?);
            Some(FigureSpread { name, median: middle(values(runs, figure))?, low, high })
        };
        FIGURES.into_iter().filter_map(of).collect()
    }
}

fn values(
    runs: &[Measured],
    figure: fn(&mut Measured) -> &mut Option<u64>,
) -> impl Iterator<Item = u64> + '_ {
    runs.iter().filter_map(move |run| *figure(&mut run.clone()))
}

/// The median; of an even number the lower one in the middle, which is a value that was measured.
fn middle<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied()
}

fn middle_spread(spreads: impl Iterator<Item = Spread> + Clone) -> Option<Spread> {
    let p50 = middle(spreads.clone().map(|spread| spread.p50))?;
    Some(Spread { p50, p99: middle(spreads.map(|spread| spread.p99))? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(open: Option<u64>, work: Option<u64>) -> Measured {
        Measured { baseline_open: open, work, ..Measured::default() }
    }

    #[test]
    fn each_figure_has_its_own_median() {
        let runs = [run(Some(30), Some(1)), run(Some(10), Some(3)), run(Some(20), Some(2))];
        assert_eq!(Measured::median(&runs), run(Some(20), Some(2)));
        let runs = [run(Some(10), None), run(None, None), run(Some(30), Some(7))];
        assert_eq!(Measured::median(&runs), run(Some(10), Some(7)), "what a run lacks does not count");
        assert_eq!(Measured::median(&[]), Measured::default());
    }

    #[test]
    fn the_spread_is_said_for_what_was_measured() {
        let runs = [run(Some(10), None), run(Some(40), None), run(Some(20), None)];
        let open = FigureSpread { name: "open, no client", median: 20, low: 10, high: 40 };
        assert_eq!(Measured::spread(&runs), [open]);
    }
}
