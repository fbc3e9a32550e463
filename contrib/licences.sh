#!/usr/bin/env bash
# The licences of the crates in the programs, in full, as they want to be given along.
set -euo pipefail
cd "$(dirname "$0")/.."
"${CARGO:-cargo}" metadata --locked --offline --format-version 1 \
    --filter-platform x86_64-unknown-linux-gnu |
    python3 -c '
import json, pathlib, sys

lines = pathlib.Path("contrib/dependencies.txt").read_text().split("# Only")[0].splitlines()
inside = {line.split("  ")[0] for line in lines if not line.startswith("#")}
texts = {}
for package in json.load(sys.stdin)["packages"]:
    if package["name"] not in inside:
        continue
    folder = pathlib.Path(package["manifest_path"]).parent
    name = "{name} {version} ({license})".format(**package)
    for file in sorted(folder.iterdir()):
        words = file.name.upper()
        if file.is_file() and words.startswith(("LICENSE", "LICENCE", "COPYING", "UNLICENSE")):
            texts.setdefault(file.read_text().strip(), []).append(name)
print("buttersink itself: GPL-3.0-or-later. The crates in it:")
for text, names in texts.items():
    print("\n" + "=" * 80, *sorted(set(names)), "-" * 80, text, sep="\n")
'
