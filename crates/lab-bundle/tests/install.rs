//! Plans an installation below a folder of the test's own, carries its file steps out and finds it again.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use lab_bundle::{
    Places, Step, SystemTools, carry_out, installed_jobs, package, plan_install, plan_uninstall, print_job,
    restart_job, start_job, verify,
};
use lab_model::{Behavior, Client};

fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lab-bundle-install").join(test);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn clients() -> Vec<Client> {
    ["alpha", "bravo"]
        .map(|id| Client {
            id: id.parse().unwrap(),
            bundle_id: format!("com.example.lab.{id}").parse().unwrap(),
            behavior: Behavior::noop(),
            restart: None,
        })
        .to_vec()
}

fn places(folder: &Path) -> Places {
    Places {
        bundles: folder.join("Application Support").join("bundles"),
        daemons: folder.join("LaunchDaemons"),
        ..Places::below(folder)
    }
}

/// The steps without the tools, which exist on a Mac only.
fn file_steps(steps: Vec<Step>) -> Vec<Step> {
    steps.into_iter().filter(|step| !matches!(step, Step::Run(_))).collect()
}

#[test]
fn what_is_installed_is_found_and_removed_without_a_record() {
    let folder = folder("round-trip");
    let places = places(&folder);
    let bundles = package(&std::env::current_exe().unwrap(), None, &clients(), &folder.join("made")).unwrap();
    let plan =
        plan_install(&bundles, &places, |bundle| vec!["--id".into(), bundle.client.to_string()]).unwrap();
    carry_out(&file_steps(plan.clone()), &SystemTools).unwrap();
    carry_out(&file_steps(plan), &SystemTools).unwrap();

    let installed: Vec<_> = bundles.iter().map(|bundle| places.installed(bundle)).collect();
    let failed: Vec<_> = verify(&installed).unwrap().into_iter().filter(|check| !check.passed).collect();
    assert_eq!(failed, []);
    let jobs = installed_jobs(&places).unwrap();
    let labels: Vec<_> = jobs.iter().map(|job| job.label.as_str()).collect();
    assert_eq!(labels, ["com.example.lab.alpha", "com.example.lab.bravo"]);
    assert_eq!(jobs[0].executable, installed[0].executable);
    assert_eq!(fs::metadata(&jobs[0].plist).unwrap().permissions().mode() & 0o7777, 0o644);
    assert_eq!(fs::metadata(&installed[0].executable).unwrap().permissions().mode() & 0o7777, 0o755);
    let hidden: Vec<_> = fs::read_dir(&places.daemons)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert_eq!(hidden, Vec::<String>::new(), "nothing half-made is left");

    let removal = plan_uninstall(&jobs, &places);
    carry_out(&file_steps(removal.clone()), &SystemTools).unwrap();
    carry_out(&file_steps(removal), &SystemTools).unwrap();
    assert_eq!(installed_jobs(&places).unwrap(), []);
    assert!(!places.bundles.exists());
}

#[test]
fn jobs_of_others_are_left_alone() {
    let folder = folder("others");
    let places = places(&folder);
    assert_eq!(installed_jobs(&places).unwrap(), [], "an absent folder has no jobs");
    fs::create_dir_all(&places.daemons).unwrap();
    let job = |program: &str| {
        format!(
            "<plist version=\"1.0\"><dict><key>Label</key><string>com.other</string><key>ProgramArguments</key><array><string>{program}</string></array></dict></plist>"
        )
    };
    let beside = format!("{}-of-others/x", places.bundles.display());
    fs::write(places.daemons.join("com.other.plist"), job("/usr/libexec/other")).unwrap();
    fs::write(places.daemons.join("com.beside.plist"), job(&beside)).unwrap();
    fs::write(places.daemons.join("broken.plist"), "<plist").unwrap();
    fs::write(places.daemons.join("list.plist"), "<plist version=\"1.0\"><array/></plist>").unwrap();
    fs::create_dir(places.daemons.join("folder.plist")).unwrap();
    let ours = format!("{}/alpha.app/Contents/MacOS/alpha", places.bundles.display());
    fs::write(places.daemons.join("notes.txt"), job(&ours)).unwrap();
    assert_eq!(installed_jobs(&places).unwrap(), []);
    fs::write(places.daemons.join("ours.plist"), job(&ours)).unwrap();
    assert_eq!(installed_jobs(&places).unwrap().len(), 1);
}

#[test]
fn the_dry_run_shows_bootout_before_bootstrap_and_no_shell_is_fooled() {
    let bundles = [lab_bundle::Bundle::at(&clients()[0], Path::new("/made"))];
    let places = Places::of_the_system();
    let plan = plan_install(&bundles, &places, |_| vec![]).unwrap();
    let lines: Vec<String> = plan.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "/bin/mkdir -p '/Library/Application Support/chaos-lab/bundles'",
            "/bin/mkdir -p /Library/LaunchDaemons",
            "/bin/mkdir -p /Library/Logs/chaos-lab",
            "/bin/mkdir -p /private/var/run/chaos-lab",
            "/bin/launchctl bootout system/com.example.lab.alpha  # 3 or 113 is fine too",
            "/bin/rm -rf '/Library/Application Support/chaos-lab/bundles/alpha.app' && /bin/cp -R /made/alpha.app '/Library/Application Support/chaos-lab/bundles/alpha.app'",
            &lines[6],
            "/bin/launchctl bootstrap system /Library/LaunchDaemons/com.example.lab.alpha.plist",
        ]
    );
    assert!(lines[6].starts_with(
        "/usr/bin/install -m 0644 /dev/stdin /Library/LaunchDaemons/com.example.lab.alpha.plist"
    ));
    assert_eq!(start_job("a.b").to_string(), "/bin/launchctl kickstart system/a.b");
    assert_eq!(restart_job("a.b").to_string(), "/bin/launchctl kickstart -k system/a.b");
    assert_eq!(print_job("a.b").to_string(), "/bin/launchctl print system/a.b");
}

#[cfg(not(target_os = "macos"))]
#[test]
fn the_tools_are_refused_where_there_are_none() {
    let refusal = lab_bundle::Tools::run(&SystemTools, &start_job("a.b")).unwrap_err();
    assert!(
        matches!(&refusal, lab_bundle::StepError::NotAMac(call) if call == "/bin/launchctl kickstart system/a.b")
    );
}
