#!/usr/bin/env bash
# The crates that the programs consist of, and those that only building them takes, each with its
# licence, as contrib/dependencies.txt has them. A test compares the two, so that a new one is a
# decision.
#
#   contrib/dependencies.sh > contrib/dependencies.txt
set -euo pipefail
cd "$(dirname "$0")/.."

crates() { # of these kinds
    "${CARGO:-cargo}" tree --locked --offline -e "$1" --target x86_64-unknown-linux-musl \
        --prefix none --format '{p}  {l}' |
        sed -E '/^buttersink /d; s/ \(\*\)$//; s/^([^ ]+) v[^ ]+( \(proc-macro\))?  /\1  /' |
        LC_ALL=C sort -u
}

inside=$(crates normal,no-proc-macro)
all=$(crates normal,build)
only=$(LC_ALL=C comm -13 <(echo "$inside") <(echo "$all"))
echo "# In the programs: $(wc -l <<<"$inside") crates"
echo "$inside"
echo "# Only for building: $(wc -l <<<"$only") crates"
echo "$only"
