//! The command line.

mod studies;
mod words;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lab_analysis::compare::FailOn;
use lab_model::{BackendChoice, Kernel};

pub(crate) use self::studies::{Conform, Engine, EsCacheOf, Find, Ladder, Merge, Minimize, Sim, Sweep};
use self::words::{backend, kernel};

const EXIT_CODES: &str = "Exit codes: 0 all expectations hold · 1 one failed · 2 unknown (too little evidence) · 64 wrong use · \
65 bad lab file, or an import without an event · 69 backend missing · 70 bug · 72 product under test missing or unfit · 74 output cannot be written · \
75 no free client slot · 77 missing privilege · 130 interrupted";

/// Runs several copies of an Endpoint Security client together and shows what they do to each other.
#[derive(Debug, Parser)]
#[command(name = "lab", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Where lab files are looked for; by default `lab-configs` here or in a folder above.
    #[arg(long, global = true, value_name = "DIR", help_heading = "Places")]
    pub(crate) configs: Option<PathBuf>,
    /// The run store; by default `runs` beside `lab-configs`.
    #[arg(long, global = true, value_name = "DIR", help_heading = "Places")]
    pub(crate) runs: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which labs to list, and how.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Labs of `lab-configs`, or paths.
    pub(crate) names: Vec<String>,
    /// Writes the page of all labs for the reference.
    #[arg(long, conflicts_with = "names")]
    pub(crate) markdown: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Builds, installs, runs and reports a lab, and takes it down again.
    Up(Up),
    /// Ends what a killed lab may have left, and says what it found.
    Down(Down),
    /// Shows which labs are up, and how the last runs ended.
    Status(Status),
    /// Lists the labs and what they are about; with names, what each does, why, and what to expect of it.
    List(List),
    /// Says what a lab would do and what it needs. Touches nothing, works anywhere.
    Plan(Plan),
    /// Checks lab files; all of them without a name.
    Validate {
        /// Labs of `lab-configs`, or paths.
        names: Vec<String>,
    },
    /// Explains a field of the lab file, such as `phases.storm` or `behavior.scanner`.
    Explain {
        /// The field; without one, all fields are listed.
        field: Option<String>,
    },
    /// Says whether this machine can run a lab, and what mends it where it cannot.
    Doctor(Doctor),
    /// Says who waits for whom on this machine now, in which circle, and which process to end. Needs no lab.
    Why(Why),
    /// Writes a lab's clients as bundles, each with its own identity, and checks them.
    Bundle(Bundle),
    /// Signs the bundles that `lab bundle` made.
    Sign(Sign),
    /// Shows a run's report again, rebuilt from its traces.
    Report(Report),
    /// Compares two runs, or sets of runs: settings that differ, and numbers that do by more than runs of one lab do.
    Diff(Diff),
    /// Writes a run in a format that other tools read.
    Export(Export),
    /// Reads lines of Apple's eslogger into a run, for the same reports.
    Import(Import),
    /// Runs a lab in virtual time and sums it up; or looks for a seed that shows something.
    Sim(Sim),
    /// Runs a lab once for every combination of some settings; in virtual time unless told otherwise.
    Sweep(Sweep),
    /// Reads back what the jobs of `lab sweep --emit` have left, as the same table and picture.
    Merge(Merge),
    /// Tries one mitigation after another in virtual time: what each is worth.
    Ladder(Ladder),
    /// Shrinks a lab that goes wrong to the smallest one that still does, in virtual time.
    Minimize(Minimize),
    /// Runs labs on the real kernel and in virtual time, and says how far the two agree.
    Conform(Conform),
    /// Prints the JSON Schema of lab files, or of report.json.
    Schema {
        /// Which one.
        #[arg(value_enum, default_value = "lab")]
        of: SchemaOf,
    },
    /// Prints a completion script.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Runs a lab from inside its namespaces. The plan is what the launcher handed over as standard input.
    #[command(hide = true)]
    Control,
}

/// `lab why`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 nobody waits long · 1 somebody does · 2 a circle that nobody in it can leave · \
64 wrong use · 65 no snapshot · 69 not on Linux · 74 a file cannot be read or written"
)]
pub(crate) struct Why {
    /// Only these processes, and whoever they wait for; all processes without one.
    pub(crate) pids: Vec<u32>,
    /// How long a wait must last. The machine is looked at twice, so far apart.
    #[arg(long, value_name = "SPAN", default_value = "1s")]
    pub(crate) longer_than: lab_model::Span,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Keeps what was seen in a file, to look at it elsewhere.
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// Reads what `--save` has kept, in place of this machine.
    #[arg(long, value_name = "FILE", conflicts_with = "save")]
    pub(crate) from: Option<PathBuf>,
}

/// `lab up`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Up {
    /// A lab of `lab-configs`, or a path.
    pub(crate) name: String,
    /// Another kernel than the lab file names. `auto` takes the first that works here.
    #[arg(long, value_parser = backend())]
    pub(crate) backend: Option<BackendChoice>,
    /// Whose rules the simulator follows; by default those of this machine's kernel.
    #[arg(long, value_parser = kernel())]
    pub(crate) rules: Option<Kernel>,
    /// Where `auto` finds no kernel that works, simulates the lab also without a terminal; exit code 77 otherwise.
    #[arg(long)]
    pub(crate) allow_sim: bool,
    /// Another seed than the lab file names.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Runs the lab so often, one run after the other, and shows how far the runs differ. Live runs have one seed, so that
    /// they differ by the machine alone; simulated ones have each the next, since one seed always gives the same run. The
    /// exit code is that of the worst run.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1000), conflicts_with = "full")]
    pub(crate) repeat: Option<u32>,
    /// Prints the whole report, not only what it comes to.
    #[arg(long, conflicts_with = "json")]
    pub(crate) full: bool,
    /// Prints the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Runs a lab on a Mac that is no virtual machine: a faulty client freezes it.
    #[arg(long)]
    pub(crate) i_know: bool,
    #[command(flatten)]
    pub(crate) signing: SigningChoice,
    #[command(flatten)]
    pub(crate) daemons: DaemonChoice,
}

/// How the clients are signed.
#[derive(Debug, Args)]
pub(crate) struct SigningChoice {
    /// How the clients are signed on a Mac; by default `signing/signing.yaml` of the workspace, and ad hoc when
    /// there is none.
    #[arg(long, value_name = "FILE")]
    pub(crate) signing: Option<PathBuf>,
}

/// How the clients are started.
#[derive(Debug, Args)]
pub(crate) struct DaemonChoice {
    /// Starts the clients as launchd daemons, by a program `launchctl` in this folder that stands in for macOS's.
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) stand_in: Option<PathBuf>,
}

/// `lab down`.
#[derive(Debug, Args)]
pub(crate) struct Down {
    /// Ends labs that are up as well: interrupts each, and kills what has not ended after 30 s.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) daemons: DaemonChoice,
}

/// `lab sign`.
#[derive(Debug, Args)]
pub(crate) struct Sign {
    /// A lab of `lab-configs`, or a path.
    pub(crate) name: String,
    /// The folder of the bundles; by default `target/bundles/LAB` of the workspace.
    #[arg(long, value_name = "DIR")]
    pub(crate) into: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) signing: SigningChoice,
    /// Prints every command and changes nothing. Works anywhere.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `lab status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// How many of the last runs are shown.
    #[arg(long, default_value_t = 10, value_name = "COUNT")]
    pub(crate) last: usize,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `lab plan`.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// A lab of `lab-configs`, or a path.
    pub(crate) name: String,
    /// Whose rules; by default those of this machine's kernel.
    #[arg(long, value_parser = kernel())]
    pub(crate) rules: Option<Kernel>,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `lab doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 nothing blocks · 69 the kernel lacks something · 75 too few client slots · \
77 a privilege is missing"
)]
pub(crate) struct Doctor {
    /// The lab that is to run; without one, a lab of three clients.
    pub(crate) name: Option<String>,
    /// Also connects clients, to see whether that works and how many slots are free. On a Mac only: it builds, signs and
    /// starts a client, and connecting empties the result caches of all others.
    #[arg(long)]
    pub(crate) probe: bool,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `lab bundle`.
#[derive(Debug, Args)]
pub(crate) struct Bundle {
    /// A lab of `lab-configs`, or a path.
    pub(crate) name: String,
    /// The folder for the bundles; by default `target/bundles/LAB` of the workspace.
    #[arg(long, value_name = "DIR")]
    pub(crate) into: Option<PathBuf>,
    /// Builds for another machine, such as aarch64-apple-darwin.
    #[arg(long, value_name = "TRIPLE")]
    pub(crate) target: Option<String>,
    /// What the clients become. `lab up` runs daemons only.
    #[arg(long = "as", value_enum, value_name = "FORM", default_value = "daemon")]
    pub(crate) form: BundleForm,
    /// Signs as `signing.yaml` says. Without it, bundles for Apple silicon are signed ad hoc.
    #[arg(long)]
    pub(crate) sign: bool,
    #[command(flatten)]
    pub(crate) signing: SigningChoice,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What clients are packaged as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BundleForm {
    /// An app-like bundle for each, started as a launchd daemon.
    Daemon,
    /// One host app with a system extension for each, which macOS starts once a user has approved it.
    SystemExtension,
}

/// `lab report`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Report {
    /// A run: LAB, LAB/TIME or a path; the newest without one.
    pub(crate) run: Option<String>,
    /// One client's trace report.
    #[arg(long, value_name = "ID")]
    pub(crate) client: Option<String>,
    /// Prints the whole report, not only what it comes to. That of one client always is whole.
    #[arg(long, conflicts_with = "json")]
    pub(crate) full: bool,
    /// The form.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
    /// The same as `--format json`.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a set of runs is written, and what the exit codes are.
const DIFF_HELP: &str = "\
A side is one run, several with commas between them, or the last runs of a lab: three-clients@5 are its last five, \
three-clients@6..10 the five before these. From 4 runs a side on, a number is higher or lower when the sides lie apart by \
more than runs of one lab do; one run a side tells nothing.

Exit codes: 0 compared, or nothing that --fail-on names has changed · 1 something has · 2 it cannot be told: too few runs, \
a number that not all runs know, or a run that was not whole · 64 wrong use";

/// `lab diff`.
#[derive(Debug, Args)]
#[command(after_help = DIFF_HELP)]
pub(crate) struct Diff {
    /// The runs to compare with: each LAB, LAB/TIME or a path; LAB@N for the last N of a lab.
    pub(crate) before: String,
    /// The runs that are compared.
    pub(crate) after: String,
    /// Ends with 1 if this has changed: `worse`, any number for the worse; `any`, any number at all; or a number by its
    /// name in the table, for the worse. May be given several times.
    #[arg(long, value_name = "WHAT")]
    pub(crate) fail_on: Vec<FailOn>,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `lab export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// A run: LAB, LAB/TIME or a path; the newest without one.
    pub(crate) run: Option<String>,
    /// The format.
    #[arg(long, value_enum)]
    pub(crate) to: ExportTo,
    /// The file; `-` is standard output. By default trace.pftrace or decisions.jsonl in the run's folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// `lab import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// A file of eslogger's JSON lines.
    pub(crate) file: PathBuf,
    /// Nanoseconds for each tick of the machine the lines come from, as a fraction; 125/3 on Apple silicon.
    #[arg(long, value_name = "N/D")]
    pub(crate) timebase: Option<String>,
}

/// The format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportTo {
    /// For ui.perfetto.dev.
    Perfetto,
    /// A decision or notice a line, as eslogger writes it where it can.
    Jsonl,
    /// The same as columns.
    #[cfg(feature = "parquet")]
    Parquet,
}

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For a terminal.
    Text,
    /// One self-contained page.
    Html,
    /// For machines.
    Json,
}

/// What a schema is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// Lab files.
    Lab,
    /// report.json.
    Report,
}
