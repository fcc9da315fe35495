//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use lab_model::BackendChoice;

const EXIT_CODES: &str = "Exit codes: 0 all expectations hold · 1 one failed · 2 unknown (too little evidence) · 64 wrong use · \
65 bad lab file · 69 backend missing · 70 bug · 74 output cannot be written · 75 no free client slot · \
77 missing privilege · 130 interrupted";

/// Runs several copies of an Endpoint Security client together and shows what they do to each other.
#[derive(Debug, Parser)]
#[command(name = "lab", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Where lab files are looked for; by default `lab-configs` here or in a folder above.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) configs: Option<PathBuf>,
    /// The run store; by default `runs` beside `lab-configs`.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) runs: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Builds, installs, runs and reports a lab, and takes it down again.
    Up {
        /// A lab of `lab-configs`, or a path.
        name: String,
        /// Another kernel than the lab file names.
        #[arg(long)]
        backend: Option<Backend>,
        /// Another seed than the lab file names.
        #[arg(long)]
        seed: Option<u64>,
        /// Prints the report as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Ends what a killed lab may have left, and says what it found.
    Down,
    /// Lists the labs and what they are about.
    List,
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
    /// Prints the JSON Schema of lab files, or of report.json.
    Schema {
        /// Which one.
        #[arg(value_enum, default_value = "lab")]
        of: SchemaOf,
    },
    /// Shows a run's report again, rebuilt from its traces.
    Report {
        /// A run: LAB, LAB/TIME or a path; the newest without one.
        run: Option<String>,
        /// One client's trace report.
        #[arg(long, value_name = "ID")]
        client: Option<String>,
        /// The form.
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
        /// The same as `--format json`.
        #[arg(long)]
        json: bool,
    },
    /// Prints a completion script.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Conducts a lab from inside its namespaces.
    #[command(hide = true)]
    Conduct {
        /// The plan.
        plan: PathBuf,
    },
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

/// A kernel, as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// The first that works here.
    Auto,
    /// macOS.
    EndpointSecurity,
    /// Linux.
    Fanotify,
    /// The simulator.
    Sim,
}

impl From<Backend> for BackendChoice {
    fn from(backend: Backend) -> BackendChoice {
        match backend {
            Backend::Auto => BackendChoice::Auto,
            Backend::EndpointSecurity => BackendChoice::EndpointSecurity,
            Backend::Fanotify => BackendChoice::Fanotify,
            Backend::Sim => BackendChoice::Sim,
        }
    }
}
