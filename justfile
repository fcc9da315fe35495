# One line a recipe; CI runs the same ones.

# Lists the recipes.
default:
    @just --list

# Runs the lab: `just lab up three-clients`.
lab *arguments:
    cargo lab {{arguments}}

# Runs every test.
test:
    cargo test --workspace

# Formats, and lints as CI does.
lint:
    cargo fmt --check && cargo clippy --workspace --all-targets -- -D warnings

# Measures the hot path against the leanest possible responder (root, Linux).
bench:
    cargo run --release --quiet --package lab-bench

# Measures the cost of committing one decision record.
bench-trace:
    cargo bench --quiet --package lab-trace --bench commit

# Type-checks, lints and links everything for Apple silicon.
mac:
    ci/link-for-mac.sh

# Compares the simulator with this machine's kernel, lab by lab, and writes docs/reference/conformance.md (root, Linux).
conform:
    cargo lab conform --output docs/reference

# Runs the fuzz targets, so many seconds each: `just fuzz 3600 lab_file` (nightly toolchain).
fuzz seconds="30" *targets:
    ci/fuzz.sh {{seconds}} {{targets}}

# All of what CI does.
ci:
    .ci/run

# Makes the picture in the README (root, Linux, chromium).
picture:
    ci/picture.sh
