//! Dependencies between the workspace's crates point down only.

use std::collections::BTreeMap;

/// The layer of every crate; a crate may use lower layers, and its own where that is listed in [`BESIDE`].
const LAYERS: [(&str, u8); 26] = [
    ("lab-model", 0),
    ("lab-files", 0),
    ("lab-trace", 1),
    ("lab-client-core", 1),
    ("lab-workload", 1),
    ("lab-protocol", 1),
    ("lab-config", 1),
    ("lab-waits", 1),
    ("lab-sim", 2),
    ("lab-analysis", 2),
    ("lab-report", 2),
    ("lab-testing", 3),
    ("lab-process", 3),
    ("lab-backend-fanotify", 3),
    ("lab-backend-es", 3),
    ("lab-bundle", 3),
    ("lab-observer", 4),
    ("lab-doctor", 5),
    ("lab-orchestrator", 5),
    ("lab-client", 6),
    ("lab-driver", 6),
    ("lab-worker", 6),
    ("lab-host", 6),
    ("lab-bench", 6),
    ("lab-fuzz", 6),
    ("lab", 6),
];

/// Uses within one layer: reports render findings.
const BESIDE: [(&str, &str); 1] = [("lab-report", "lab-analysis")];

/// What only tests use, and who else may: the bodies of the fuzz targets, which tests replay.
const ONLY_IN_TESTS: (&str, &str) = ("lab-testing", "lab-fuzz");

#[test]
fn dependencies_point_down() {
    let cargo = env!("CARGO");
    let metadata = std::process::Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let layers: BTreeMap<&str, u8> = LAYERS.into_iter().collect();
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let Some(&own) = layers.get(name) else {
            wrong.push(format!("{name} has no layer"));
            continue;
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            let Some(&layer) = layers.get(used) else { continue };
            let only_in_tests = dependency["kind"] == "dev";
            if !only_in_tests && used == ONLY_IN_TESTS.0 && name != ONLY_IN_TESTS.1 {
                wrong.push(format!("{name} uses {used} outside its tests"));
            }
            if !only_in_tests && layer >= own && !BESIDE.contains(&(name, used)) {
                wrong.push(format!("{name} (layer {own}) uses {used} (layer {layer})"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
