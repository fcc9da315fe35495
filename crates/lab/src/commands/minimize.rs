//! `lab minimize`: the smallest lab that still goes wrong.

use lab_model::Lab;
use lab_orchestrator::{FailureKind, RunFolder};
use lab_sim::{Counting, Kernel, Options, Summary};

use super::{
    ExitError,
    sim::{in_words, lab_of, shows, simulated_rules},
    up::{refuse_what_is_not_simulated, rules_here},
};
use crate::{
    arguments::{Find, Minimize},
    labs::{Places, relative},
    output, terminal,
};

pub(super) fn minimize(places: &Places, arguments: &Minimize) -> Result<u8, ExitError> {
    let (mut lab, kernel) = given(places, arguments)?;
    refuse_what_is_not_simulated(&lab, kernel)?;
    lab.seed = arguments.seed.unwrap_or(lab.seed);
    let options = Options::new(&lab, kernel);
    let progress = terminal::Progress::new(&format!("minimizing {}", lab.name));
    let Some(find) = arguments.find.or_else(|| first_shown(&lab, &options)) else {
        progress.end();
        let message = format!("{} with seed {} and {} rules goes well", lab.name, lab.seed, kernel.name());
        return Err(ExitError {
            code: 1,
            message,
            mend: Some(format!(
                "`lab sim {} --seeds 1..1000 --find missed` looks for a seed that does not",
                lab.name
            )),
        });
    };
    let found = lab_sim::minimize(&lab, &options, |summary| shows(summary, find), arguments.runs_max);
    progress.end();
    let Some(found) = found else {
        let message = format!(
            "{} with seed {} and {} rules shows no run that {}",
            lab.name,
            lab.seed,
            kernel.name(),
            in_words(find)
        );
        return Err(ExitError { code: 1, message, mend: None });
    };
    let steps = found.steps.len();
    terminal::eprint(&format!(
        "{}: still {} after {steps} steps, in {} runs{}\n",
        lab.name,
        in_words(find),
        found.runs,
        if found.complete { "" } else { "; --runs-max ended it before it was as small as can be" }
    ));
    for step in &found.steps {
        terminal::eprint(&format!("  {step}\n"));
    }
    let yaml = written(&found.lab, find, kernel);
    match &arguments.output {
        None => terminal::print(&yaml)?,
        Some(path) => {
            let what = format!("cannot write {}", path.display());
            output::replace(places, path, &yaml).map_err(|error| ExitError::output(&what, &error))?;
            terminal::print(&format!("{}\n", relative(path).display()))?;
        }
    }
    Ok(0)
}

/// The lab that is meant: a lab file, or what ran in a run.
fn given(places: &Places, arguments: &Minimize) -> Result<(Lab, Kernel), ExitError> {
    let name = &arguments.lab;
    // A lab's name is also the name of its latest run: the lab file comes first.
    let lab_file = places.lab_file(name);
    if lab_file.is_err_and(|stop| stop.code == FailureKind::Usage.exit_code())
        && let Some(folder) = RunFolder::find(&places.runs, Some(name))?
    {
        let kernel = simulated_rules(&folder)?.filter(|_| arguments.rules.is_none());
        return Ok((lab_of(&folder)?, kernel.unwrap_or_else(|| rules_here(arguments.rules))));
    }
    Ok((places.read(name)?, rules_here(arguments.rules)))
}

/// What the lab as it is goes wrong with, the worst first.
fn first_shown(lab: &Lab, options: &Options) -> Option<Find> {
    let summary: Summary = lab_sim::simulate(lab, options, &mut Counting::default());
    [Find::Deadlocked, Find::Divergent, Find::Missed].into_iter().find(|find| shows(&summary, *find))
}

/// The lab as a file that says what it is.
fn written(lab: &Lab, find: Find, kernel: Kernel) -> String {
    let smaller = Lab {
        about: format!("The smallest part of {} that still {}.", lab.name, in_words(find)),
        name: format!("{}-minimal", lab.name),
        ..lab.clone()
    };
    format!(
        "# Made by `lab minimize` with {} rules; `lab sim FILE --rules {}` shows it.\n{}",
        kernel.name(),
        kernel.name(),
        lab_config::to_yaml(&smaller)
    )
}
