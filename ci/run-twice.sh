#!/usr/bin/env bash
# The simulator gives the same bytes on every run, and a search the same answer with any number of threads.
set -euo pipefail
cd "$(dirname "$0")/.."
out=target/run-twice
rm -rf "$out"
mkdir -p "$out"

for rules in fanotify endpoint-security; do
  for lab in three-clients mute-ladder deadlock-pair crash-and-return exec-tree; do
    for time in first second; do
      # The lab's own exit code is not the question here.
      cargo lab --runs "$out/$time-$rules" up "$lab" --backend sim --rules "$rules" >/dev/null || true
      test -s "$out/$time-$rules/$lab/latest/traces/driver.trace"
    done
    diff -r "$out/first-$rules/$lab/latest/traces" "$out/second-$rules/$lab/latest/traces"
    echo "$lab with $rules rules: the same bytes"
  done
done

# Each finds something, else the command itself ends with 1.
for jobs in 1 2 7; do
  cargo lab sim deadlock-pair --rules fanotify --seeds 1..40 --find deadlocked --jobs "$jobs" --json >"$out/found-$jobs.json"
  cargo lab sim echo-chamber --rules fanotify --seeds 1..40 --swarm --find divergent --jobs "$jobs" --json \
    --decisions-max 200000 >"$out/swarm-$jobs.json"
  cmp "$out/found-1.json" "$out/found-$jobs.json"
  cmp "$out/swarm-1.json" "$out/swarm-$jobs.json"
done
echo "a search finds the same run with 1, 2 and 7 threads"
