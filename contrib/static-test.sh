#!/usr/bin/env bash
# Runs static programs where there is nothing else: no library, no /proc, no /dev, no /etc.
#
#   contrib/static-test.sh DIR       DIR has the programs
set -euo pipefail
programs=$(realpath "$1")
empty=$(mktemp -d "$programs/empty.XXXXXX")
trap 'rm -rf "$empty"' EXIT

die() {
    echo "static-test: $*" >&2
    exit 1
}

alone() { # a program of ours and its arguments
    if [ "$(id -u)" = 0 ]; then chroot "$empty" "$@"; else unshare -r chroot "$empty" "$@"; fi
}

# It must exit so, and say so: what it says may be more.
says() {
    local status=0 wanted=$1 words=$2 said
    shift 2
    said=$(alone "$@" 2>&1) || status=$?
    [ "$status" = "$wanted" ] || die "'$*' exited with $status, not $wanted: $said"
    [[ $said = *"$words"* ]] || die "'$*' did not say '$words': $said"
}

version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")
for program in "$programs"/*; do
    [ -f "$program" ] || continue
    cp "$program" "$empty"
    name=$(basename "$program")
    says 0 "$name $version" "/$name" --version
    says 0 "$name" "/$name" --help
    says 2 "--nonsense" "/$name" --nonsense
done
mkdir -p "$empty/tree/sub"
echo content >"$empty/tree/sub/file"
says 0 '' /checksumdir -q /tree # with threads
(cd "$empty/tree" && sha256sum --quiet --check ../tree.files)
says 1 'No such file' /buttersink /nothing/
says 1 'btrfs' /btrfslist /tree
echo 'static-test: passed' >&2
