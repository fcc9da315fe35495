//! `lab sign` as a user sees it: what it would do, and what it says when that cannot be done.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read and write the files of the command that they run"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A folder with a lab of two clients, and a place for signing files and profiles.
fn signing_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sign-{name}"));
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    let lab = "schema: 1\nname: signed\nclients:\n  - { id: alpha, bundle_id: com.example.alpha }\n  \
               - { id: bravo, bundle_id: com.example.bravo }\nworkload:\n  - open_storm: {}\n";
    fs::write(folder.join("signed.yaml"), lab).unwrap();
    let yaml = "schema: 1\nmode: developer-id\ndeveloper_id:\n  \
                identity: \"Developer ID Application: Example Corp (ABCDE12345)\"\n  team: ABCDE12345\n  profiles:\n    \
                com.example.alpha: alpha.provisionprofile\n    com.example.bravo: bravo.provisionprofile\n";
    fs::write(folder.join("signing.yaml"), yaml).unwrap();
    folder
}

/// A made-up profile: a property list between bytes like those of a signed message.
fn profile(folder: &Path, file: &str, bundle_id: &str, expires: &str) {
    let text = format!(
        "\u{30}\u{2}<?xml version=\"1.0\"?><plist version=\"1.0\"><dict><key>Name</key><string>{file}</string>\
         <key>TeamIdentifier</key><array><string>ABCDE12345</string></array>\
         <key>ExpirationDate</key><date>{expires}</date><key>Entitlements</key><dict>\
         <key>com.apple.application-identifier</key><string>ABCDE12345.{bundle_id}</string>\
         <key>com.apple.developer.endpoint-security.client</key><true/></dict></dict></plist>\u{1}"
    );
    fs::write(folder.join(format!("{file}.provisionprofile")), text).unwrap();
}

fn sign(folder: &Path, more: &[&str]) -> Output {
    let (lab, signing) = (folder.join("signed.yaml"), folder.join("signing.yaml"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.arg("sign").arg(&lab).arg("--signing").arg(&signing).arg("--into").arg(folder.join("bundles"));
    command.args(more).env("NO_COLOR", "1").output().unwrap()
}

#[test]
fn sign_prints_every_command_and_touches_nothing() {
    let folder = signing_folder("dry");
    profile(&folder, "alpha", "com.example.alpha", "2099-01-01T00:00:00Z");
    profile(&folder, "bravo", "com.example.*", "2099-01-01T00:00:00Z");
    let output = sign(&folder, &["--dry-run"]);
    let text = String::from_utf8(output.stdout).unwrap();
    if cfg!(target_os = "macos") {
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines.len(),
        9,
        "a folder; for each a profile, entitlements, a signature and its check: {text}"
    );
    let root = folder.join("bundles/alpha.app").display().to_string();
    assert!(
        lines[1].starts_with("/bin/rm -rf ")
            && lines[1].ends_with("alpha.app/Contents/embedded.provisionprofile")
    );
    assert_eq!(
        lines[3],
        format!(
            "/usr/bin/codesign --force --options runtime --timestamp --sign \
             'Developer ID Application: Example Corp (ABCDE12345)' --identifier com.example.alpha --entitlements {} {root}",
            folder.join("bundles/entitlements/alpha.entitlements").display()
        )
    );
    assert_eq!(lines[4], format!("/usr/bin/codesign --verify --strict --verbose=2 {root}"));
    assert!(!folder.join("bundles").exists(), "a dry run touches nothing");
    // Without --dry-run it says what is missing before it looks at any bundle.
    let output = sign(&folder, &[]);
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no bundle at"));
}

#[test]
fn sign_says_what_is_wrong_before_anything_is_done() {
    let future = "2099-01-01T00:00:00Z";
    type Arrange = fn(&Path);
    let cases: [(&str, Arrange, &str); 5] = [
        ("absent", |_| {}, "there is no provisioning profile for com.example.alpha"),
        (
            "other",
            |folder| profile(folder, "alpha", "com.example.other", "2099-01-01T00:00:00Z"),
            "the provisioning profile \"alpha\" listed for com.example.alpha is for com.example.other",
        ),
        (
            "expired",
            |folder| profile(folder, "alpha", "com.example.alpha", "2020-01-01T00:00:00Z"),
            "the provisioning profile \"alpha\" for com.example.alpha expired",
        ),
        (
            "garbage",
            |folder| fs::write(folder.join("alpha.provisionprofile"), "nothing").unwrap(),
            "the provisioning profile for com.example.alpha cannot be read",
        ),
        (
            "form",
            |folder| fs::write(folder.join("signing.yaml"), "schema: 1\nmode: developer-di\n").unwrap(),
            "signing.yaml",
        ),
    ];
    for (name, arrange, words) in cases {
        let folder = signing_folder(name);
        profile(&folder, "bravo", "com.example.bravo", future);
        arrange(&folder);
        let output = sign(&folder, &["--dry-run"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{name}: {said}");
        assert!(said.contains(words), "{name}: {said}");
        assert!(!folder.join("bundles").exists(), "{name}");
    }
}

#[test]
fn a_bundle_id_used_twice_is_refused_with_the_lab_file() {
    let folder = signing_folder("twice");
    let lab = fs::read_to_string(folder.join("signed.yaml")).unwrap();
    fs::write(folder.join("signed.yaml"), lab.replace("com.example.bravo", "com.Example.alpha")).unwrap();
    let output = sign(&folder, &["--dry-run"]);
    assert_eq!(output.status.code(), Some(65));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("com.Example.alpha"), "{said}");
}

#[test]
fn system_extensions_need_a_host_that_can_be_named_and_an_ad_hoc_signature() {
    let folder = signing_folder("extension");
    let bundle = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
        command.arg("bundle").arg(folder.join("signed.yaml")).args(["--as", "system-extension"]);
        command.arg("--into").arg(folder.join("bundles")).args(more).env("NO_COLOR", "1");
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = bundle(&["--sign", "--signing", folder.join("signing.yaml").to_str().unwrap()]);
    assert_eq!(code, Some(64), "{text}");
    assert!(text.contains("the lab signs system extensions ad hoc only"), "{text}");
    let lab = fs::read_to_string(folder.join("signed.yaml")).unwrap();
    fs::write(folder.join("signed.yaml"), lab.replace("com.example.bravo", "org.example.bravo")).unwrap();
    let (code, text) = bundle(&[]);
    assert_eq!(code, Some(64), "{text}");
    assert!(text.contains("share no beginning of two parts"), "{text}");
    assert!(!folder.join("bundles").exists(), "nothing is made before the names are known to do");
}
