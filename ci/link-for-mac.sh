#!/bin/bash
# Lints, type-checks and links the workspace for Apple silicon, on Linux. Nothing made here is run here.
#
#   ci/link-for-mac.sh [CARGO_PROFILE=release] [PACKAGE...]
#
# Needs rustup, python3 with pip, and the network once; keeps what it fetches in $MAC_WORK (target/mac).
# Without packages it takes the whole workspace. Ends with 77, and says so, when a tool cannot be had:
# the caller counts that as skipped, never as passed.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
workspace=$(dirname "$here")
profile=${1:-release}
packages=("${@:2}")
work=${MAC_WORK:-$workspace/target/mac}
target=aarch64-apple-darwin
# zig ships Apple's list of libSystem's symbol names; only that one text file of the wheel is kept.
zig="ziglang==0.17.1"

skip() {
  echo "SKIPPED: $1. Nothing was checked for the Mac." >&2
  exit 77
}

cd "$workspace"
mkdir -p "$work"
command -v rustup >/dev/null || skip "there is no rustup here to fetch the standard library for $target"
command -v python3 >/dev/null || skip "there is no python3 here to write the linker's stubs"
rustup target list --installed | grep -qx "$target" || rustup target add "$target" ||
  skip "the standard library for $target cannot be had here"

if [ ! -s "$work/libSystem.tbd" ]; then
  python3 -m pip download --quiet --no-deps --only-binary :all: "$zig" --dest "$work/wheel" ||
    skip "the list of libSystem's symbols ($zig) cannot be had here"
  python3 - "$work" <<'PYTHON'
import pathlib, sys, zipfile
work = pathlib.Path(sys.argv[1])
with zipfile.ZipFile(next((work / "wheel").glob("*.whl"))) as wheel:
    (work / "libSystem.tbd").write_bytes(wheel.read("ziglang/lib/libc/darwin/libSystem.tbd"))
PYTHON
  rm -rf "$work/wheel"
fi

bindings=$(cargo metadata --format-version 1 --filter-platform "$target" | python3 -c '
import json, os, sys
packages = json.load(sys.stdin)["packages"]
print(*[os.path.dirname(p["manifest_path"]) for p in packages if p["name"] == "endpoint-sec-sys"])')
[ -n "$bindings" ] || { echo "no crate of the workspace uses endpoint-sec for $target" >&2; exit 1; }
rm -rf "$work/sdk"
python3 "$here/make_stub_sdk.py" "$work/sdk" "$work/libSystem.tbd" "$bindings"

selection=(--workspace)
if [ ${#packages[@]} -gt 0 ]; then
  selection=()
  for package in "${packages[@]}"; do selection+=(--package "$package"); done
fi
export MACOSX_DEPLOYMENT_TARGET=${MACOSX_DEPLOYMENT_TARGET:-13.0} SDKROOT=$work/sdk
export CARGO_TARGET_AARCH64_APPLE_DARWIN_LINKER=rust-lld
export CARGO_TARGET_AARCH64_APPLE_DARWIN_RUSTFLAGS="-Clinker-flavor=ld64.lld"
cargo clippy "${selection[@]}" --all-targets --target "$target" -- -D warnings
cargo build "${selection[@]}" --bins --examples --profile "$profile" --target "$target"

folder=$profile
[ "$profile" = dev ] && folder=debug
count=0
for made in "target/$target/$folder"/* "target/$target/$folder"/examples/*; do
  # The four bytes with which a 64-bit Mach-O file begins.
  [ -f "$made" ] && [ "$(head -c 4 "$made" | od -An -tx1 | tr -d ' \n')" = cffaedfe ] || continue
  case $made in *-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]*) continue ;; esac
  echo "linked for $target: $made ($(stat -c %s "$made") bytes)"
  count=$((count + 1))
done
[ "$count" -gt 0 ] || { echo "no executable was linked for $target" >&2; exit 1; }
