#!/usr/bin/env bash
# Runs the fuzz targets: fuzz.sh [SECONDS of each, 30] [TARGET...]. Exits 77 where they cannot be built.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

seconds=${1:-30}
shift || true
host=x86_64-unknown-linux-gnu

if [ "$(uname -sm)" != "Linux x86_64" ]; then
  echo "SKIPPED: the fuzz targets are built for Linux on x86_64 only"
  exit 77
fi
if ! cargo +nightly --version >/dev/null 2>&1; then
  echo "SKIPPED: the fuzz targets need a nightly toolchain: rustup toolchain install nightly"
  exit 77
fi
if ! command -v c++ >/dev/null; then
  echo "SKIPPED: the fuzz targets need a C++ compiler, libFuzzer is built from source"
  exit 77
fi

# What cargo-fuzz does, without it. Dead code is not linked: libFuzzer looks at every counter after every input.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Cdebug-assertions"
# The same versions as the lab's own; libFuzzer comes on top.
cp ../Cargo.lock Cargo.lock
# Named targets are built alone; without a name all of them.
bins=()
for name in "$@"; do bins+=(--bin "$name"); done
cargo +nightly build --quiet --release --target "$host" ${bins[@]+"${bins[@]}"}
echo "built in $SECONDS s"

if [ $# = 0 ]; then
  for program in fuzz_targets/*.rs; do set -- "$@" "$(basename "$program" .rs)"; done
fi

# Whether the inputs that were slow by the clock on the wall are slow by their own 5 seconds of processor as well: a
# machine that does something else at the same time breaks no target. Those that are not go away.
hangs() {
  local name=$1 input hung=1
  for input in "artifacts/$name"/slow-unit-* "artifacts/$name"/timeout-*; do
    [ -e "$input" ] || continue
    if (ulimit -t 5 && exec "target/$host/release/$name" -timeout=600 "$input") >>"target/$name.log" 2>&1; then
      rm "$input"
      echo "$input took its time because the machine was busy: it ends within 5 seconds of processor"
    else
      echo "$input takes more than 5 seconds of processor, or breaks"
      hung=0
    fi
  done
  return "$hung"
}

# One target: a line of what it did, and its name among the broken ones if it was.
fuzz() {
  local name=$1 code=0
  mkdir -p "target/corpus/$name" "artifacts/$name" "regressions/$name"
  # libFuzzer's clock is the one on the wall: what it calls slow or hung is measured again. The grace is for the last
  # input and for reading the corpus.
  timeout --kill-after=10 "$((seconds + 180))" "target/$host/release/$name" \
    -max_total_time="$seconds" -timeout=60 -timeout_exitcode=70 -report_slow_units=5 \
    -rss_limit_mb=200 -malloc_limit_mb=200 -print_final_stats=1 -error_exitcode=1 \
    -artifact_prefix="artifacts/$name/" \
    "target/corpus/$name" "corpus/$name" "regressions/$name" >"target/$name.log" 2>&1 || code=$?
  if hangs "$name"; then code=1; elif [ "$code" = 70 ]; then code=0; fi
  printf '%-18s %s, %s, exit %s\n' "$name" \
    "$(awk '/number_of_executed_units/ { print $2 }' "target/$name.log") inputs" \
    "$(grep -oE 'cov: [0-9]+' "target/$name.log" | tail -1)" "$code"
  if [ "$code" != 0 ]; then
    echo "$name" >>target/broken
    tail -40 "target/$name.log"
  fi
}
export -f fuzz hangs
export seconds host

rm -f target/broken
# As many at once as there are processors: none of them waits for anything.
printf '%s\0' "$@" | xargs -0 -P "$(nproc)" -I '{}' bash -c 'fuzz {}'
# Git keeps no empty folders, and nobody wants to see ours.
find regressions artifacts -mindepth 1 -type d -empty -delete

if [ -s target/broken ]; then
  echo "BROKEN: $(tr '\n' ' ' <target/broken); what broke them is in fuzz/artifacts" >&2
  exit 1
fi
