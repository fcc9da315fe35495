//! What each command does.

use std::{env, io::IsTerminal};

use clap::CommandFactory;
use lab_analysis::findings::{Findings, Outcome};
use lab_model::BackendChoice;
use lab_orchestrator::{Failure, FailureKind, Request, Review, RunFolder};

use crate::{
    Stop,
    arguments::{Arguments, Backend, Command, Format, SchemaOf},
    labs::{Places, relative},
    terminal,
};

/// Runs the command and returns the exit code.
pub(crate) fn run(arguments: &Arguments) -> Result<u8, Stop> {
    if let Command::Conduct { plan } = &arguments.command {
        lab_orchestrator::conduct(plan)?;
        return Ok(0);
    }
    let places = Places::find(arguments)?;
    match &arguments.command {
        Command::Up { name, backend, seed, json } => up(&places, name, *backend, *seed, *json),
        Command::Down => down(&places),
        Command::List => list(&places),
        Command::Validate { names } => validate(&places, names),
        Command::Explain { field } => explain(field.as_deref()),
        Command::Schema { of } => schema(*of),
        Command::Report { run, client, format, json } => {
            let format = if *json { Format::Json } else { *format };
            report(&places, run.as_deref(), client.as_deref(), format)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "lab", &mut script);
            terminal::print(&String::from_utf8_lossy(&script))?;
            Ok(0)
        }
        Command::Conduct { .. } => Ok(0),
    }
}

fn up(
    places: &Places,
    name: &str,
    backend: Option<Backend>,
    seed: Option<u64>,
    json: bool,
) -> Result<u8, Stop> {
    let mut lab = places.read(name)?;
    lab.seed = seed.unwrap_or(lab.seed);
    lab.backend = backend.map_or(lab.backend, BackendChoice::from);
    match lab.backend {
        BackendChoice::Auto | BackendChoice::Fanotify => lab.backend = BackendChoice::Fanotify,
        other => {
            let message = format!("this version has no backend \"{}\" yet", other.name());
            return Err(Failure::new(FailureKind::BackendMissing, message)
                .mend("use --backend fanotify")
                .into());
        }
    }
    let programs = lab_orchestrator::programs(&places.workspace)?;
    let program =
        env::current_exe().map_err(|error| Stop::bug(format!("this program has no path: {error}")))?;
    let request = Request {
        lab: &lab,
        runs: &places.runs,
        programs: &programs,
        program: &program,
        conductor_arguments: &["conduct"],
        terminal: std::io::stderr().is_terminal(),
    };
    let (folder, conducted) = lab_orchestrator::launch(&request)?;
    let review = lab_orchestrator::review(&folder)?;
    let written = review.write(&folder);
    if json {
        terminal::print(&lab_report::json::to_string(&review.findings))?;
    } else {
        terminal::print(&lab_report::text::summary(&review.findings, &terminal::style()))?;
        terminal::print(&pages(&folder))?;
    }
    written?;
    conducted?;
    Ok(exit_code(&review.findings))
}

/// Where to look further.
fn pages(folder: &RunFolder) -> String {
    let root = relative(folder.root());
    format!(
        "\nreport  {}\nmore    lab report · lab report --client ID · lab report --json\n",
        root.join("report.html").display()
    )
}

/// 0 when everything expected held, 1 when something did not, 2 when it cannot be told.
fn exit_code(findings: &Findings) -> u8 {
    if findings.expectations.iter().any(|expectation| expectation.held == Some(false)) {
        return 1;
    }
    let unsure = findings.expectations.iter().any(|expectation| expectation.held.is_none());
    if unsure || findings.outcome == Outcome::Unknown { 2 } else { 0 }
}

fn down(places: &Places) -> Result<u8, Stop> {
    let found = lab_orchestrator::down(&places.runs);
    if found.is_empty() {
        terminal::print("nothing was left behind\n")?;
    }
    for run in found {
        let mut text = format!("{}\n", relative(&run.run).display());
        for pid in run.ended {
            text.push_str(&format!("  ended process {pid}\n"));
        }
        for path in run.removed {
            text.push_str(&format!("  removed {}\n", relative(&path).display()));
        }
        terminal::print(&text)?;
    }
    Ok(0)
}

fn list(places: &Places) -> Result<u8, Stop> {
    let labs = places.labs();
    if labs.is_empty() {
        let message = format!("{} holds no lab files", places.configs.display());
        return Err(Stop::usage(message, "name the folder with --configs"));
    }
    let width = labs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut code = 0;
    for (name, _) in labs {
        match places.read(&name) {
            Ok(lab) => terminal::print(&format!("{name:width$}  {}\n", lab.about))?,
            Err(stop) => code = stop.code,
        }
    }
    Ok(code)
}

fn validate(places: &Places, names: &[String]) -> Result<u8, Stop> {
    let all: Vec<String>;
    let names = if names.is_empty() {
        all = places.labs().into_iter().map(|(name, _)| name).collect();
        &all
    } else {
        names
    };
    let mut code = 0;
    for name in names {
        match places.read(name) {
            Ok(_) => terminal::print(&format!("{name}: good\n"))?,
            Err(stop) if stop.code == 65 => code = 65,
            Err(stop) => return Err(stop),
        }
    }
    Ok(code)
}

fn explain(field: Option<&str>) -> Result<u8, Stop> {
    let Some(field) = field else {
        let mut fields = lab_config::field_paths().join("\n");
        fields.push('\n');
        terminal::print(&fields)?;
        return Ok(0);
    };
    let Some(text) = lab_config::explain(field) else {
        let mend = match lab_config::nearest_field(field) {
            Some(nearest) => format!("did you mean {nearest}? `lab explain` lists all fields"),
            None => "`lab explain` lists all fields".to_owned(),
        };
        return Err(Stop::usage(format!("a lab file has no field \"{field}\""), mend));
    };
    terminal::print(&text)?;
    Ok(0)
}

fn schema(of: SchemaOf) -> Result<u8, Stop> {
    match of {
        SchemaOf::Lab => terminal::print(&lab_config::schema_text())?,
        SchemaOf::Report => terminal::print(&lab_report::json::schema())?,
    }
    Ok(0)
}

fn report(places: &Places, run: Option<&str>, client: Option<&str>, format: Format) -> Result<u8, Stop> {
    let Some(folder) = RunFolder::find(&places.runs, run) else {
        let message = match run {
            Some(run) => format!("there is no run \"{run}\" in {}", places.runs.display()),
            None => format!("there is no run in {}", places.runs.display()),
        };
        return Err(Stop::usage(message, "`lab up three-clients` makes one"));
    };
    let review = lab_orchestrator::review(&folder)?;
    // The pages are rebuilt beside the traces where that is possible; an archive may be read-only.
    if let Err(failure) = review.write(&folder) {
        tracing::warn!("the pages stay as they are: {failure}");
    }
    let Review { findings, .. } = &review;
    if let Some(id) = client
        && !findings.clients.iter().any(|client| client.id == id)
    {
        let ids: Vec<&str> = findings.clients.iter().map(|client| client.id.as_str()).collect();
        return Err(Stop::usage(
            format!("the run has no client \"{id}\""),
            format!("there are: {}", ids.join(", ")),
        ));
    }
    let text = match (format, client) {
        (Format::Text, None) => lab_report::text::run(findings, &terminal::style()) + &pages(&folder),
        (Format::Text, Some(id)) => {
            lab_report::text::client(findings, id, &terminal::style()).unwrap_or_default()
        }
        (Format::Html, None) => lab_report::html::run(findings),
        (Format::Html, Some(id)) => lab_report::html::client(findings, id).unwrap_or_default(),
        (Format::Json, None) => lab_report::json::to_string(findings),
        (Format::Json, Some(id)) => client_json(findings, id)?,
    };
    terminal::print(&text)?;
    Ok(exit_code(findings))
}

/// One client's part of report.json, with the versions of the whole.
fn client_json(findings: &Findings, id: &str) -> Result<String, Stop> {
    let client = findings.clients.iter().find(|client| client.id == id);
    let part = serde_json::json!({ "schema": findings.schema, "lab": findings.lab, "run": findings.run, "client": client });
    serde_json::to_string_pretty(&part).map(|text| text + "\n").map_err(|error| Stop::bug(error.to_string()))
}
