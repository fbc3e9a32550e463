#!/usr/bin/env bash
# make fuzz: fuzz.sh [MINUTES [TARGET…]] gives each target (src/fuzz.rs has them) new bytes for some
# minutes, or ten million times if that is sooner, beginning with its seeds and with what earlier runs
# found to lead further. What fails is kept.
#
# libFuzzer needs to see which code is reached. LLVM can tell it with any compiler; only cargo-fuzz and
# the sanitizers want a nightly one.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:-1}
shift || true
[ $# -gt 0 ] || mapfile -t all < <(sed -n 's/^    ("\([a-z]*\)", .*/\1/p' src/fuzz.rs)
[ $# -gt 0 ] || set -- "${all[@]}"
contrib/setup.sh fuzz || echo 'fuzz: going on with what is there' >&2

work=$(realpath -m "${CARGO_TARGET_DIR:-target}")/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
flags=(-Cpasses=sancov-module)
for what in level=4 inline-8bit-counters pc-table trace-compares; do
    flags+=("-Cllvm-args=-sanitizer-coverage-$what")
done
# With --target, what runs while building is not instrumented.
CARGO_TARGET_DIR=$work RUSTFLAGS="${flags[*]}" "${CARGO:-cargo}" build --release --locked \
    --manifest-path fuzz/Cargo.toml --target "$host"

failed=()
for target; do
    corpus=$work/corpus/$target findings=$work/findings/$target
    mkdir -p "$corpus" "$findings"
    echo "fuzz: $target for $minutes minutes" >&2
    BUTTERSINK_FUZZ_TARGET=$target "$work/$host/release/buttersink-fuzz" \
        -max_total_time=$((60 * minutes)) -runs=10000000 -max_len=65536 -timeout=10 -rss_limit_mb=1024 \
        -print_final_stats=1 -verbosity=0 -artifact_prefix="$findings/" \
        "$corpus" "fuzz/seeds/$target" || failed+=("$target")
done
[ ${#failed[@]} = 0 ] || {
    echo "fuzz: what failed is in $work/findings (${failed[*]}); copied to fuzz/seeds/TARGET, make check runs it" >&2
    exit 1
}
echo 'fuzz: nothing was found' >&2
