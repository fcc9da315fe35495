#!/bin/bash
# Packages labs for Apple silicon on Linux, signs them ad hoc, and has other people's readers confirm what was made.
#
#   ci/bundles-for-mac.sh
#
# Clients alone, clients with helpers in their bundles, and clients as system extensions in a host app. Wants the stubs
# that ci/link-for-mac.sh makes. Ends with 77, and says so, when a tool cannot be had: the caller counts that as skipped.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."
target=aarch64-apple-darwin
made=target/mac/bundles

skip() {
  echo "SKIPPED: $1. No bundle was read back." >&2
  exit 77
}

[ -d target/mac/sdk ] || skip "the linker's stubs are not here (ci/link-for-mac.sh makes them)"
python3 -m venv target/readers && target/readers/bin/pip install --quiet lief==1.0.0 ||
  skip "lief cannot be had here to read the executables"
rm -rf "$made"
# What is run here is built as always, whatever the caller asks for of the programs that are not.
env -u CARGO_PROFILE_PACKAGED_OPT_LEVEL cargo build --quiet --profile packaged --package lab
bundle() { target/packaged/lab bundle "$1" --target "$target" --as "$2" --into "$made/$1-$2" >/dev/null; }
bundle three-clients daemon
bundle helpers daemon
bundle three-clients system-extension
bundle helpers system-extension
for folder in "$made"/*; do
  echo "$folder"
  target/readers/bin/python ci/check_bundles.py "$folder"
done
