#!/usr/bin/env bash
# Advisories, licences, duplicates and sources of everything that the lab depends on, by cargo-deny and deny.toml.
# Exit code 77: the advisories cannot be had here; all else was checked.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2
tools=$PWD/target/tools
deny=$(command -v cargo-deny || true)
if [ -z "$deny" ]; then
  deny=$tools/bin/cargo-deny
  # Without optimisation: it is built once on a machine, and runs for seconds.
  [ -x "$deny" ] || cargo install --quiet --locked --debug --root "$tools" "cargo-deny@$version"
fi

for manifest in Cargo.toml fuzz/Cargo.toml; do
  "$deny" --manifest-path "$manifest" --config deny.toml --log-level error check licenses bans sources
done

# The database of advisories is a repository: where it cannot be fetched, that is said.
if "$deny" --log-level error fetch db >/dev/null 2>&1; then
  for manifest in Cargo.toml fuzz/Cargo.toml; do
    "$deny" --manifest-path "$manifest" --config deny.toml --log-level error check --disable-fetch advisories
  done
else
  echo "SKIPPED: the database of advisories cannot be had here; licences, bans and sources were checked"
  exit 77
fi
