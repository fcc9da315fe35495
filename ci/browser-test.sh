#!/bin/sh
# Loads the HTML reports of the test fixtures in Chromium, light and dark, wide and narrow, and checks that
# nothing is refused or thrown, that no page is wider than its window, that the tables sort and that the colours
# follow the scheme. Skipped, loudly, where there is no Chromium.
set -eu

browser=${CHROMIUM:-}
for name in chromium chromium-browser google-chrome; do
    [ -n "$browser" ] || browser=$(command -v "$name" || true)
done
if [ -z "$browser" ]; then
    echo "SKIPPED: the browser test, no chromium here" >&2
    exit 77
fi

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root"
cargo run --quiet -p lab-report --example fixtures -- "$work/pages"

# Each page has a copy without the policy, with a probe that writes what it sees into the document. Chromium's windows are
# at least 500 pixels wide, so that the narrow view is a frame within one. All frames are one document: what takes time is
# to start the browser.
cat > "$work/probe.js" <<'PROBE'
addEventListener("load", () => {
  const seen = document.documentElement.dataset;
  const root = document.documentElement;
  seen.width = innerWidth;
  seen.overflow = root.scrollWidth - root.clientWidth;
  seen.paper = getComputedStyle(document.body).backgroundColor;
  const button = document.querySelector("thead .n button");
  if (button) {
    button.click();
    const heading = button.closest("th");
    const rows = [...heading.closest("table").tBodies[0].rows];
    const values = rows.map((row) => Number(row.cells[heading.cellIndex].dataset.v));
    seen.sorted = values.every((value, place) => place === 0 || values[place - 1] >= value);
  }
});
PROBE
chromium() {
    timeout 60 "$browser" --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking \
        --disable-component-update --disable-sync --user-data-dir="$work/profile" "$@"
}

failed=0
fail() {
    echo "FAILED $1" >&2
    failed=1
}

frame() {
    printf '<iframe src="%s" width="%s" height="2000" frameborder="0"></iframe>\n' "$1" "$2"
}

find "$work/pages" -name '*.html' | sort > "$work/list"
mkdir "$work/probed"
printf '<!doctype html><meta name="color-scheme" content="light dark">\n' > "$work/frames.html"
pages=0
while read -r page; do
    pages=$((pages + 1))
    chromium --enable-logging=stderr --dump-dom "file://$page" > "$work/dom" 2> "$work/log"
    if grep -q 'CONSOLE' "$work/log"; then
        fail "${page#"$work/pages/"}: $(grep -m 3 'CONSOLE' "$work/log")"
    fi
    probed=probed/$pages.html
    sed 's|<meta http-equiv="Content-Security-Policy"[^>]*>||' "$page" > "$work/$probed"
    { printf '<script>'; cat "$work/probe.js"; printf '</script>'; } >> "$work/$probed"
    { frame "$probed" 420; frame "$probed" 1280; } >> "$work/frames.html"
done < "$work/list"
cat >> "$work/frames.html" <<'FRAMES'
<script>addEventListener("load", () => {
  for (const frame of document.querySelectorAll("iframe")) {
    const line = document.createElement("p");
    const page = frame.getAttribute("src").replace(/[^0-9]/g, "");
    line.textContent = `seen ${page} ` + JSON.stringify(frame.contentDocument.documentElement.dataset);
    document.body.append(line);
  }
});</script>
FRAMES

count=0
for scheme in dark light; do
    case $scheme in
        dark) number=0 paper='rgb(20, 22, 26)' ;;
        light) number=1 paper='rgb(252, 252, 251)' ;;
    esac
    chromium --allow-file-access-from-files --blink-settings=preferredColorScheme=$number \
        --window-size=1800,2200 --dump-dom "file://$work/frames.html" 2> /dev/null |
        grep -o 'seen [0-9]* {[^}]*}' > "$work/seen" || true
    page=0
    while read -r path; do
        page=$((page + 1))
        name=${path#"$work/pages/"}
        grep "^seen $page " "$work/seen" > "$work/of-page" || true
        for width in 420 1280; do
            count=$((count + 1))
            if ! grep -q "\"width\":\"$width\",\"overflow\":\"0\",\"paper\":\"$paper\"" "$work/of-page"; then
                fail "$name at $width, $scheme: $(cat "$work/of-page")"
            fi
        done
        if grep -q '"sorted":"false"' "$work/of-page"; then
            fail "$name: the table does not sort"
        fi
    done < "$work/list"
done
[ "$failed" = 0 ] || exit 1
[ "$pages" -gt 0 ] || { echo "there is no page to look at" >&2; exit 1; }
echo "browser test: $count page views, nothing refused, nothing too wide"
