//! Commands that only read lab files.

use clap::CommandFactory;
use lab_config::Heading;

use super::ExitError;
use crate::{
    arguments::{Arguments, List, SchemaOf},
    labs::Places,
    terminal,
};

pub(super) fn list(places: &Places, list: &List) -> Result<u8, ExitError> {
    if !list.names.is_empty() {
        return describe(places, &list.names);
    }
    let labs = places.labs()?;
    if labs.is_empty() {
        let message = format!("{} holds no lab files", places.configs.display());
        return Err(ExitError::usage(message, "name the folder with --configs"));
    }
    let width = labs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut code = 0;
    if list.markdown {
        terminal::print(GALLERY)?;
    }
    for (name, _) in labs {
        match places.read(&name) {
            Ok(lab) if list.markdown => {
                terminal::print(&chapter(&name, &lab.about, &heading_of(places, &name)?))?
            }
            Ok(lab) => terminal::print(&format!("{name:width$}  {}\n", lab.about))?,
            Err(stop) => {
                stop.say();
                code = stop.code;
            }
        }
    }
    Ok(code)
}

/// How the page of all labs begins.
const GALLERY: &str = "\
# The labs that ship

Made by `lab list --markdown`; a test holds it to the files. `lab list NAME` says the same of one lab, `lab up NAME`
runs it, `lab plan NAME` predicts it.
";

/// One lab of that page.
fn chapter(name: &str, about: &str, Heading { what, why, expect }: &Heading) -> String {
    format!(
        "\n## [{name}](../../lab-configs/{name}.yaml)\n\n{about}\n\n- **What**: {what}\n- **Why**: {why}\n\
         - **Expect**: {expect}\n"
    )
}

fn heading_of(places: &Places, name: &str) -> Result<Heading, ExitError> {
    Ok(lab_config::heading(&String::from_utf8_lossy(&places.source(name)?)))
}

/// Says what each lab does, why, and what to expect of it.
fn describe(places: &Places, names: &[String]) -> Result<u8, ExitError> {
    for (place, name) in names.iter().enumerate() {
        let lab = places.read(name)?;
        let Heading { what, why, expect } = heading_of(places, name)?;
        let gap = if place > 0 { "\n" } else { "" };
        terminal::print(&format!("{gap}{}\n", lab.name))?;
        for (word, text) in [("About", &lab.about), ("What", &what), ("Why", &why), ("Expect", &expect)] {
            if !text.is_empty() {
                let paragraph = lab_report::text::paragraph(&format!("  {word:8}"), text, &terminal::style());
                terminal::print(&paragraph)?;
            }
        }
    }
    Ok(0)
}

pub(super) fn validate(places: &Places, names: &[String]) -> Result<u8, ExitError> {
    let all: Vec<String>;
    let names = if names.is_empty() {
        all = places.labs()?.into_iter().map(|(name, _)| name).collect();
        &all
    } else {
        names
    };
    let mut code = 0;
    for name in names {
        match places.read(name) {
            Ok(_) => terminal::print(&format!("{name}: good\n"))?,
            Err(stop) if stop.code == 65 => {
                stop.say();
                code = 65;
            }
            Err(stop) => return Err(stop),
        }
    }
    Ok(code)
}

pub(super) fn explain(field: Option<&str>) -> Result<u8, ExitError> {
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
        return Err(ExitError::usage(format!("a lab file has no field \"{field}\""), mend));
    };
    terminal::print(&text)?;
    Ok(0)
}

pub(super) fn schema(of: SchemaOf) -> Result<u8, ExitError> {
    match of {
        SchemaOf::Lab => terminal::print(&lab_config::schema_text())?,
        SchemaOf::Report => terminal::print(&lab_report::json::schema())?,
    }
    Ok(0)
}

pub(super) fn completions(shell: clap_complete::Shell) -> Result<u8, ExitError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "lab", &mut script);
    terminal::print_script(&String::from_utf8_lossy(&script))?;
    Ok(0)
}
