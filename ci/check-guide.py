#!/usr/bin/env python3
"""The screens in docs/guides/reading-a-report.md are what the program prints: runs each of their labs on the simulator and
compares; --write writes what it prints. Where a report lies is not compared."""

import os
import re
import subprocess
import sys

GUIDE = "docs/guides/reading-a-report.md"
RUNS = "target/guide-runs"
COLUMNS = "120"


def printed(lab):
    """The answers that a run of the lab ends with, with the time of the run taken out."""
    command = ["cargo", "--quiet", "lab", "--runs", RUNS, "up", lab, "--backend", "sim", "--rules", "fanotify"]
    done = subprocess.run(command, env={**os.environ, "COLUMNS": COLUMNS}, capture_output=True, text=True)
    if done.returncode not in (0, 1, 2):
        sys.exit(f"{lab}: exit code {done.returncode}\n{done.stderr}")
    lines = done.stdout.splitlines()
    first = max(place for place, line in enumerate(lines) if re.match(r"\S+ +Verdict ", line))
    text = "\n".join(line.rstrip() for line in lines[first:]) + "\n"
    # Paths may be absolute, and long lines wrapped for it.
    text = re.sub(r" --runs \S*" + RUNS, "", text)
    return re.sub(r"\S*" + RUNS, "runs", text)


def main():
    write = "--write" in sys.argv[1:]
    with open(GUIDE, encoding="utf-8") as file:
        guide = file.read()
    blocks = re.findall(r"```text\n((?:(?!```).)*?Replay +lab up ([a-z0-9-]+) .*?)```", guide, flags=re.DOTALL)
    if len(blocks) < 6:
        sys.exit(f"{GUIDE} shows {len(blocks)} labs, not six")
    differing = []
    for block, lab in blocks:
        now = printed(lab)
        time = re.compile(r"/20\d\d-\d\d-\d\dT[\d-]+Z/")
        if time.sub("/", block) != time.sub("/", now):
            differing.append(lab)
            guide = guide.replace(block, now)
            print(f"{lab}: the guide has\n{block}\nand the program prints\n{now}")
    if write:
        with open(GUIDE, "w", encoding="utf-8") as file:
            file.write(guide)
    elif differing:
        sys.exit(f"{GUIDE} shows other screens than the program: {', '.join(differing)}; ci/check-guide.py --write mends it")
    print(f"{len(blocks)} screens of the guide compared")


if __name__ == "__main__":
    main()
