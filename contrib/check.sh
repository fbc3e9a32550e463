#!/usr/bin/env bash
# make check: format, lints, documentation, tests and man pages. What cannot run here is skipped and named at
# the end; with BUTTERSINK_TEST_STRICT=1 a skip is a failure, unless it is the processor that lacks something.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
skipped=${CARGO_TARGET_DIR:-target}/skipped.txt # the test runner writes it, we add to it
ours=()

step() {
    echo "check: $*" >&2
    "$@"
}

contrib/setup.sh || echo 'check: going on with what is there' >&2

if "$cargo" fmt --version >/dev/null 2>&1; then
    step "$cargo" fmt --check
    step "$cargo" fmt --check --manifest-path fuzz/Cargo.toml
else
    ours+=('cargo fmt: not installed (rustup component add rustfmt)')
fi
if "$cargo" clippy --version >/dev/null 2>&1; then
    step "$cargo" clippy --locked --all-targets --all-features -- -D warnings
else
    ours+=('cargo clippy: not installed (rustup component add clippy)')
fi
RUSTDOCFLAGS='-D warnings' step "$cargo" doc --locked --quiet --no-deps --document-private-items
if command -v mandoc >/dev/null; then
    step mandoc -Tlint -W warning man/*.[1-8]
else
    ours+=('man pages: needs mandoc')
fi
rm -f "$skipped"
failed=0
step "$cargo" test --locked --no-fail-fast || failed=1

for line in "${ours[@]}"; do echo "$line" >>"$skipped"; done
if [ -s "$skipped" ]; then
    echo "check: skipped:" >&2
    sed 's/^/  /' "$skipped" >&2
    if [ "${BUTTERSINK_TEST_STRICT-}" = 1 ] && grep -qv ': this processor has no ' "$skipped"; then failed=1; fi
else
    echo 'check: nothing was skipped' >&2
fi
[ $failed = 0 ] && echo 'check: passed' >&2 || echo 'check: FAILED' >&2
exit $failed
