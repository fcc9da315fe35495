#!/usr/bin/env bash
# How often `lab diff` marks a number of two sets of runs between which nothing has changed: runs a lab live, 5 runs for each side of
# so many pairs, and compares them once with the sides following each other and once with their runs taking turns. Not a step of
# .ci/run: 40 pairs take about half an hour, and the machine has to be left alone meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."

pairs=${1:-40}
work=target/false-alarms
rm -rf "$work"
mkdir -p "$work/labs"
cat >"$work/labs/pairs.yaml" <<'LAB'
schema: 1
name: pairs
about: Two scanners, again and again.
clients: { count: 2, behavior: { preset: scanner, react_to: workload } }
phases: { baseline: 100ms, control: 100ms, storm: 500ms, drain: 500ms }
workload:
  - open_storm: { workers: 2, files: 100, rate: max }
LAB
lab=(cargo --quiet lab --configs "$work/labs" --runs "$work/runs")
"${lab[@]}" up pairs --repeat "$((pairs * 10))" >"$work/runs.log"
mapfile -t runs < <(find "$work/runs/pairs" -mindepth 1 -maxdepth 1 -type d -name '20*' -printf 'pairs/%f\n' | sort)
[ "${#runs[@]}" = "$((pairs * 10))" ]

# Arguments: the places of one side's runs and of the other's, among ten.
compare() {
  local marked=0 unknown=0 pair place
  for ((pair = 0; pair < pairs; pair++)); do
    local sides=("" "")
    for side in 0 1; do
      for place in ${*:side + 1:1}; do
        sides[side]+=",${runs[pair * 10 + place]}"
      done
    done
    "${lab[@]}" diff "${sides[0]#,}" "${sides[1]#,}" --json >"$work/diff.json"
    if grep -qE '"change": "(higher|lower)"' "$work/diff.json"; then marked=$((marked + 1)); fi
    if python3 -c 'import json, sys; c = json.load(open(sys.argv[1]))["comparison"]; sys.exit(not (c["machine"] or c["baseline"]))' "$work/diff.json"; then
      unknown=$((unknown + 1))
    fi
  done
  echo "$marked of $pairs pairs have a number marked; of $unknown it is said that the machine was another one"
}

echo -n "one side after the other: "
compare "0 1 2 3 4" "5 6 7 8 9"
echo -n "taking turns:             "
compare "0 2 4 6 8" "1 3 5 7 9"
