#!/bin/sh
# Makes the README's picture: runs a lab for real and photographs the top of its report. Root, Linux, chromium.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cargo lab --runs "$work/runs" up three-clients
chromium --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking \
    --disable-component-update --disable-sync --hide-scrollbars --user-data-dir="$work/profile" \
    --window-size=1280,1500 --screenshot=docs/images/report.png \
    "file://$work/runs/three-clients/latest/report.html"
