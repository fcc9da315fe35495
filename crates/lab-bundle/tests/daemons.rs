//! Installing, starting and taking away, against a launchd in memory that can refuse any command, and with
//! installers that end in the middle: whatever happens, taking away leaves nothing, once and twice.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use lab_bundle::{Bundle, Daemons, Death, Places, StepError, ToolCall, Tools, installed_jobs, package};
use lab_model::{Behavior, Client};

/// What launchd and the test know of it. Clones are the same launchd.
#[derive(Clone, Default)]
struct Launchd(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// Loaded jobs, and the process of those that run.
    jobs: BTreeMap<String, Option<u32>>,
    calls: Vec<String>,
    /// Refuses the call of this number, counted from 0.
    refuses: Option<usize>,
}

impl Launchd {
    fn loaded(&self) -> Vec<String> {
        self.0.lock().unwrap().jobs.keys().cloned().collect()
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().calls)
    }

    fn refuse(&self, call: Option<usize>) {
        self.0.lock().unwrap().refuses = call;
    }
}

impl Tools for Launchd {
    fn run(&self, call: &ToolCall) -> Result<String, StepError> {
        assert_eq!(call.program, "/bin/launchctl", "installing needs no other tool");
        let mut known = self.0.lock().unwrap();
        let failed = |status: i32, said: &str| {
            if call.also_fine.contains(&status) {
                return Ok(said.to_owned());
            }
            let status = format!("exit status: {status}");
            Err(StepError::Failed { call: call.to_string(), status, said: said.to_owned() })
        };
        let number = known.calls.len();
        known.calls.push(call.arguments.join(" "));
        if known.refuses == Some(number) {
            return failed(5, "Input/output error");
        }
        let words: Vec<&str> = call.arguments.iter().map(String::as_str).collect();
        let label = |target: &str| target.strip_prefix("system/").unwrap().to_owned();
        match words[..] {
            ["bootstrap", "system", plist] => {
                let job = plist::Value::from_file(plist).unwrap();
                let job = job.as_dictionary().unwrap();
                let label = job.get("Label").unwrap().as_string().unwrap().to_owned();
                if known.jobs.contains_key(&label) {
                    return failed(37, "Operation already in progress");
                }
                known.jobs.insert(label, None);
                Ok(String::new())
            }
            ["bootout", target] => match known.jobs.remove(&label(target)) {
                Some(_) => Ok(String::new()),
                None => failed(3, "No such process"),
            },
            ["kickstart", target] => match known.jobs.get_mut(&label(target)) {
                Some(process) => {
                    *process = Some(4711);
                    Ok(String::new())
                }
                None => failed(113, "Could not find service"),
            },
            ["print", target] => match known.jobs.get(&label(target)) {
                Some(process) => {
                    let pid = process.map(|pid| format!("\tpid = {pid}\n")).unwrap_or_default();
                    Ok(format!("{target} = {{\n\truns = {}\n{pid}}}\n", u32::from(process.is_some())))
                }
                None => failed(113, "Could not find service"),
            },
            _ => panic!("launchctl knows no {words:?}"),
        }
    }
}

fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lab-bundle-daemons").join(test);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn bundles(folder: &Path) -> Vec<Bundle> {
    let clients = ["alpha", "bravo", "charlie"].map(|id| Client {
        id: id.parse().unwrap(),
        bundle_id: format!("com.example.lab.{id}").parse().unwrap(),
        behavior: Behavior::noop(),
        restart: None,
    });
    let program = folder.join("program");
    fs::write(&program, b"\x7fELF\x02\x01\x01").unwrap();
    package(&program, None, &clients, &folder.join("made")).unwrap()
}

fn daemons(folder: &Path, launchd: &Launchd) -> Daemons {
    Daemons::new(Places::below(folder), Box::new(launchd.clone()))
}

/// Nothing of the lab is left: no job in launchd, no property list, no bundle, no socket, nothing half-made.
fn assert_clean(folder: &Path, launchd: &Launchd, when: &str) {
    let places = Places::below(folder);
    assert_eq!(launchd.loaded(), Vec::<String>::new(), "{when}");
    assert_eq!(installed_jobs(&places).unwrap(), [], "{when}");
    assert!(!places.bundles.exists() && !places.sockets.exists(), "{when}");
    let left = fs::read_dir(&places.daemons).map(|entries| entries.count()).unwrap_or(0);
    assert_eq!(left, 0, "{when}");
}

#[test]
fn clients_are_installed_started_and_taken_away() {
    let (folder, launchd) = (folder("round"), Launchd::default());
    let daemons = daemons(&folder, &launchd);
    daemons.install(&bundles(&folder)).unwrap();
    let labels = ["com.example.lab.alpha", "com.example.lab.bravo", "com.example.lab.charlie"];
    assert_eq!(launchd.loaded(), labels);
    for label in labels {
        assert_eq!(daemons.state(label).unwrap().pid, None, "loaded is not started");
        daemons.start(label).unwrap();
        assert_eq!(daemons.state(label).unwrap().pid, Some(4711));
    }
    // Each client is told its own socket, which a folder that only root can enter will hold.
    let job = plist::Value::from_file(folder.join("daemons/com.example.lab.bravo.plist")).unwrap();
    let words = job.as_dictionary().unwrap().get("ProgramArguments").unwrap().as_array().unwrap();
    let words: Vec<&str> = words.iter().map(|word| word.as_string().unwrap()).collect();
    assert_eq!(words[1..], ["--control", folder.join("sockets/bravo.sock").to_str().unwrap()]);
    let gone = daemons.uninstall().unwrap();
    assert_eq!(gone.iter().map(|job| job.label.as_str()).collect::<Vec<_>>(), labels);
    assert_clean(&folder, &launchd, "after the end");
    assert!(daemons.start(labels[0]).is_err() && daemons.state(labels[0]).is_err());
    launchd.calls();
    assert_eq!(daemons.uninstall().unwrap(), []);
    assert_eq!(launchd.calls(), Vec::<String>::new(), "the second time there is nothing to say to launchd");
}

#[test]
fn whichever_command_is_refused_nothing_stays() {
    let (folder, launchd) = (folder("refused"), Launchd::default());
    let (daemons, bundles) = (daemons(&folder, &launchd), bundles(&folder));
    daemons.install(&bundles).unwrap();
    let count = launchd.calls().len();
    daemons.uninstall().unwrap();
    assert_eq!(count, 6, "a bootout and a bootstrap for each client");
    for nth in 0..count {
        launchd.calls();
        launchd.refuse(Some(nth));
        let refusal = daemons.install(&bundles).unwrap_err().to_string();
        assert!(refusal.contains("Input/output error"), "{refusal}");
        launchd.refuse(None);
        assert_clean(&folder, &launchd, &format!("call {nth} was refused"));
    }
}

#[test]
fn one_that_resists_does_not_save_the_others() {
    let (folder, launchd) = (folder("resists"), Launchd::default());
    let daemons = daemons(&folder, &launchd);
    daemons.install(&bundles(&folder)).unwrap();
    launchd.calls();
    launchd.refuse(Some(0));
    let refusal = daemons.uninstall().unwrap_err().to_string();
    assert!(refusal.contains("bootout system/com.example.lab.alpha"), "{refusal}");
    assert_eq!(launchd.loaded(), ["com.example.lab.alpha"], "all but the one that resisted are gone");
    launchd.refuse(None);
}

#[test]
fn whoever_comes_after_a_crash_takes_everything_away() {
    let (folder, launchd) = (folder("crash"), Launchd::default());
    let bundles = bundles(&folder);
    let places = Places::below(&folder);
    let arguments = |_: &Bundle| vec!["--control".to_owned(), "/nowhere".to_owned()];
    let plan = lab_bundle::plan_install(&bundles, &places, arguments).unwrap();
    for done in 0..=plan.len() {
        // Somebody began to install and was killed after this many steps.
        lab_bundle::carry_out(&plan[..done], &launchd).unwrap();
        if done == plan.len() {
            daemons(&folder, &launchd).start("com.example.lab.bravo").unwrap();
        }
        let heir = daemons(&folder, &launchd);
        heir.uninstall().unwrap();
        assert_clean(&folder, &launchd, &format!("killed after {done} steps"));
        assert_eq!(heir.uninstall().unwrap(), []);
    }
}

#[test]
fn an_installation_replaces_what_an_earlier_lab_left() {
    let (folder, launchd) = (folder("replaced"), Launchd::default());
    let bundles = bundles(&folder);
    daemons(&folder, &launchd).install(&bundles).unwrap();
    daemons(&folder, &launchd).start("com.example.lab.charlie").unwrap();
    daemons(&folder, &launchd).install(&bundles[..1]).unwrap();
    assert_eq!(launchd.loaded(), ["com.example.lab.alpha"]);
    assert_eq!(installed_jobs(&Places::below(&folder)).unwrap().len(), 1);
}

#[test]
fn the_reason_of_a_death_is_found_by_its_process_among_recent_reports() {
    let (folder, launchd) = (folder("death"), Launchd::default());
    let daemons = daemons(&folder, &launchd);
    let start = SystemTime::UNIX_EPOCH;
    assert_eq!(daemons.death(7, start), None, "there is no folder of reports yet");
    let reports = folder.join("crash-reports");
    fs::create_dir(&reports).unwrap();
    let write = |name: &str, pid: u32, namespace: &str, code: u32| {
        let text = format!(
            "{{\"bug_type\":\"309\"}}\n{{\"pid\":{pid},\"procName\":\"alpha\",\"termination\":{{\"namespace\":\"{namespace}\",\"code\":{code}}}}}"
        );
        fs::write(reports.join(name), text).unwrap();
    };
    write("alpha-1.ips", 7, "ENDPOINTSECURITY", 2);
    write("alpha-2.ips", 8, "CODESIGNING", 1);
    write("alpha-3.txt", 9, "ENDPOINTSECURITY", 2);
    fs::write(reports.join("torn.ips"), "{\"pid\":9").unwrap();
    assert_eq!(daemons.death(7, start), Some(Death::DeadlineMissed));
    let other = Death::Other { namespace: "CODESIGNING".to_owned(), code: 1 };
    assert_eq!(daemons.death(8, start), Some(other));
    assert_eq!(daemons.death(9, start), None, "neither a torn report nor another kind of file counts");
    let written = fs::metadata(reports.join("alpha-1.ips")).unwrap().modified().unwrap();
    assert_eq!(daemons.death(7, written), Some(Death::DeadlineMissed));
    let later = written + Duration::from_secs(1);
    assert_eq!(daemons.death(7, later), None, "an old report may be another process's of the same number");
}
