#!/usr/bin/env bash
# make reproducible: what is committed is built twice, in two directories of different names; the static
# programs, the tar file and the Debian package (where there is dpkg) must be the same, byte by byte.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
BUTTERSINK_COMMIT=$(git describe --always --abbrev=12 --exclude='*')
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export BUTTERSINK_COMMIT SOURCE_DATE_EPOCH
unset CARGO_TARGET_DIR

targets=(dist)
if command -v dpkg-deb >/dev/null; then
    targets+=(deb)
else
    echo 'reproducible: no package without dpkg-deb' >&2
fi
for place in one two/of-another-name; do
    mkdir -p "$work/$place"
    git archive HEAD | tar -x -C "$work/$place"
    make -s -C "$work/$place" "${targets[@]}" >&2
    (cd "$work/$place/target" && find static dist deb -type f -exec sha256sum {} + 2>/dev/null | LC_ALL=C sort -k 2) \
        >"$work/${place%%/*}.sums"
done
[ -s "$work/one.sums" ] || { echo 'reproducible: nothing was built' >&2 && exit 1; }
diff "$work/one.sums" "$work/two.sums" || { echo 'reproducible: they differ' >&2 && exit 1; }
echo "reproducible: $(wc -l <"$work/one.sums") files are the same"
