#!/usr/bin/env bash
# make static: the programs without shared libraries, in target/static/.
#
#   contrib/static.sh [TARGET]       TARGET is x86_64-unknown-linux-musl if not given
#
# With rustup's compiler for TARGET, if it is there. Otherwise, on Debian and for x86-64 only, with
# Debian's compiler and a std for musl that is compiled from its source, once, into a directory of
# our own; STATIC_WITH=debian does so even where rustup could. Installs what it needs for that if
# it is root; SETUP=no keeps it from installing.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:-x86_64-unknown-linux-musl}
cpu=${target%%-*}
out=$(realpath -m "${CARGO_TARGET_DIR:-target}")
limit=$((8 << 20)) # bytes that a program may have
cargo=${CARGO:-cargo}
flags=() # for rustc

say() { echo "static: $*" >&2; }
die() {
    say "$@"
    exit 1
}

# All of the packages at once, so that their versions fit together, and never at the price of
# another package.
packages() {
    local package missing=()
    for package; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ] || [ "${SETUP-}" = no ]; then die "missing packages: ${missing[*]}"; fi
    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get -q update && apt-get -qy --no-remove --no-install-recommends install "$@"; } >&2
}

rustup_has_it() {
    local lib
    lib=$(rustc --print target-libdir --target "$target" 2>/dev/null) &&
        compgen -G "$lib/libstd-*.rlib" >/dev/null
}

with_rustup() {
    say "with $(rustc --version)"
    if [ "$cpu" = "$(uname -m)" ]; then
        command -v musl-gcc >/dev/null || packages musl-tools
        compile_c_with musl-gcc
    else
        # rustc brings a linker and musl's objects; only C code needs a compiler for that machine.
        local gcc=$cpu-linux-gnu-gcc name=${target//-/_}
        command -v "$gcc" >/dev/null || packages "gcc-${cpu//_/-}-linux-gnu"
        compile_c_with "$gcc"
        export "CARGO_TARGET_${name^^}_LINKER=rust-lld"
    fi
}

compile_c_with() {
    local name=CC_${target//-/_}
    export "$name=${!name:-$1}"
}

with_debian() {
    if [ "$target" != x86_64-unknown-linux-musl ] || ! command -v apt-get >/dev/null; then
        die "rustc cannot build for $target: rustup target add $target"
    fi
    packages rustc-web cargo-web rust-web-src musl-tools gcc binutils ca-certificates
    # Whatever stands in PATH, rustup's cargo would not know this compiler.
    unset RUSTUP_TOOLCHAIN
    export RUSTC=/usr/bin/rustc
    cargo=/usr/bin/cargo
    compile_c_with musl-gcc
    say "with Debian's $($RUSTC --version)"
    local made_of root
    made_of=$({
        dpkg-query -W rustc-web rust-web-src musl-dev
        gcc --version
        declare -f compile_std
        cat contrib/unwind-musl.c
    } | sha256sum | head -c 12)
    root=$out/musl/$made_of
    [ -d "$root" ] || compile_std "$root"
    flags=("--sysroot=$root")
}

# A directory that rustc takes for its own: std for musl, and what a static program begins and
# ends with, where rustup would have put them.
compile_std() {
    local root=$1 new=$1.new lib own source file
    source=$($RUSTC --print sysroot)/lib/rustlib/src/rust
    [ "$($RUSTC --version | cut -d ' ' -f 2)" = "$(cat "$source/src/version" 2>/dev/null)" ] ||
        die 'rustc-web and rust-web-src are of different versions: apt-get install both'
    say "compiling std for $target, once"
    rm -rf "$out/musl"
    lib=$new/lib/rustlib/$target/lib own=$lib/self-contained
    mkdir -p "$own"
    # From another directory, and without the caller's settings: cargo would apply them.
    (
        cd /
        unset "${!CARGO_PROFILE_@}" "${!CARGO_BUILD_@}" RUSTFLAGS CARGO_TARGET_DIR
        # std uses what is unstable for others. The metadata sets its names apart from those of
        # crates that the programs also use; the bitcode is for link-time optimisation.
        remap=--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo
        RUSTC_BOOTSTRAP=1 __CARGO_DEFAULT_LIB_METADATA=buttersink-musl \
            CARGO_ENCODED_RUSTFLAGS=$'-Zforce-unstable-if-unmarked\x1f-Cembed-bitcode=yes\x1f'"$remap" \
            "$cargo" build -q --release --locked --target "$target" --target-dir "$new/build" \
            --manifest-path "$source/library/sysroot/Cargo.toml" \
            --features backtrace,panic-unwind
    )
    cp "$new/build/$target/release/deps/"*.rlib "$lib"
    for file in crt1.o rcrt1.o Scrt1.o crti.o crtn.o libc.a; do
        cp "/usr/lib/$cpu-linux-musl/$file" "$own"
    done
    for file in crtbegin.o crtbeginS.o crtend.o crtendS.o; do
        cp "$(gcc -print-file-name=$file)" "$own"
    done
    # rustc links with -lunwind whatever else is said.
    cp "$(gcc -print-file-name=libgcc_eh.a)" "$own/libunwind.a"
    musl-gcc -O2 -fPIC -Wall -Wextra -Werror -c contrib/unwind-musl.c -o "$new/unwind.o"
    ar rs "$own/libunwind.a" "$new/unwind.o"
    rm -r "$new/build" "$new/unwind.o"
    mv "$new" "$root"
}

# What a program must be to run on any Linux, and to stay small.
prove() {
    local program=$1 parts size
    parts=$(readelf -ldW "$program")
    ! grep -E '^ +INTERP|\(NEEDED\)' <<<"$parts" || die "$program is not static"
    size=$(stat -c %s "$program")
    [ "$size" -le $limit ] || die "$program has $size bytes; at most $limit"
    say "$program: $size bytes, nothing shared"
}

if [ "${STATIC_WITH-}" != debian ] && rustup_has_it; then with_rustup; else with_debian; fi
# Wherever it is built, the same bytes: no path of this machine stands in them. Cargo makes names out of the flags
# that it knows of, so rustc gets these from us.
for place in "$PWD=." "$out=/target" "${CARGO_HOME:-$HOME/.cargo}=/cargo"; do
    flags+=("--remap-path-prefix=$place")
done
mkdir -p "$out"
wrapper=$out/rustc-for-$target
{
    echo '#!/bin/sh'
    printf 'case " $* " in *" --target "*) set --'
    printf " '%s'" "${flags[@]//\'/\'\\\'\'}"
    printf ' "$@" ;; esac\nexec "%s" "$@"\n' "${RUSTC:-rustc}"
} >"$wrapper"
chmod 755 "$wrapper"
RUSTC=$wrapper CARGO_ENCODED_RUSTFLAGS='' "$cargo" build --release --locked --bins --target "$target"

result=$out/static
[ "$target" = x86_64-unknown-linux-musl ] || result=$out/static-$cpu
mkdir -p "$result"
for source in src/bin/*.rs; do
    program=$(basename "$source" .rs)
    install -m 755 "$out/$target/release/$program" "$result/$program"
    prove "$result/$program"
done
[ "$cpu" != "$(uname -m)" ] || contrib/static-test.sh "$result"
