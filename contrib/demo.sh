#!/usr/bin/env bash
# make demo: two btrfs filesystems in files, snapshots on one, a synchronisation to the other,
# and a comparison of both sides. Everything is removed again, whatever happens.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
scratch=$target/demo
programs=$(realpath "${1:-$target/release}") # the directory of the programs to show
PATH=$PATH:/usr/sbin:/sbin

say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
run() { # shows a command, then runs it
    printf '$ %s\n' "$*"
    "$@"
}

# Unmounts and detaches; called at the start too, in case a demo was killed.
clean() {
    local side loop
    cd /
    for side in SRC DST; do
        ! mountpoint -q "$scratch/$side" || umount "$scratch/$side" || umount -l "$scratch/$side"
        loop=$(losetup -n -O NAME -j "$scratch/$side.img" 2>/dev/null) || loop=
        [ -z "$loop" ] || losetup -d "$loop"
    done
    rm -rf "$scratch"
}

filesystem() {
    truncate -s 1G "$1.img"
    mkfs.btrfs -q "$1.img" >/dev/null
    mkdir "$1"
    mount -o loop "$1.img" "$1"
}

# The same listing for equal trees: every entry's type, mode, owner, size and time, every file's
# content. A directory's size is no property of its content, and an incremental stream does not
# carry the time of the top directory.
tree() (
    cd "$1"
    find . -mindepth 1 -type d -printf '%p %M %U %G %T@\n' -o -printf '%p %M %n %U %G %s %T@ %l\n' |
        LC_ALL=C sort
    find . -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum
)

compare() {
    local name=$1 side
    if [ -x "$programs/checksumdir" ]; then
        for side in SRC DST; do
            mkdir -p "lists/$side"
            (cd "lists/$side" && "$programs/checksumdir" "$scratch/$side/$name")
        done
        run diff -r lists/SRC lists/DST
        rm -r lists
    else
        diff <(tree "SRC/$name") <(tree "DST/$name") | head -20
    fi
    echo "SRC/$name and DST/$name are equal"
}

# The source: a subvolume `home` with a few thousand files and one of 64 MiB.
write_files() {
    btrfs -q subvolume create SRC/home
    mkdir SRC/home/{letters,photos}
    for i in {1..2000}; do echo "letter $i" >"SRC/home/letters/$i"; done
    head -c 64M /dev/urandom >SRC/home/photos/big
    ln -s letters/1 SRC/home/first
}

change_files() {
    for i in {1..50}; do echo "more of letter $i" >>"SRC/home/letters/$i"; done
    rm SRC/home/letters/19*
    mv SRC/home/photos/big SRC/home/photos/bigger
    head -c 3M /dev/urandom >SRC/home/photos/new
}

if [ "$(id -u)" != 0 ]; then
    echo 'demo: mounting scratch filesystems needs root: sudo make demo' >&2
    exit 1
fi
contrib/setup.sh
PATH=$programs:$PATH

trap 'trap - EXIT; clean; exit 130' INT TERM HUP
trap clean EXIT
(clean)
mkdir -p "$scratch"
cd "$scratch"

say 'Two btrfs filesystems, each in a file of its own, mounted as SRC and DST'
filesystem SRC
filesystem DST
say 'A subvolume with files, and a read-only snapshot of it'
write_files
mkdir SRC/snaps
run btrfs -q subvolume snapshot -r SRC/home SRC/snaps/monday
say 'Some files change, and there is a second snapshot'
change_files
run btrfs -q subvolume snapshot -r SRC/home SRC/snaps/tuesday

say 'What would be done: the first in full, the second as the difference from it'
mkdir DST/snaps
run buttersink -n SRC/snaps/ DST/snaps/
say 'Do it'
run buttersink SRC/snaps/ DST/snaps/
say 'What is there now'
run buttersink SRC/snaps/
run buttersink DST/snaps/
if [ -x "$programs/btrfslist" ]; then run btrfslist DST; fi
say 'Did they arrive whole? Both sides are read and compared'
compare snaps/monday
compare snaps/tuesday

say 'A third snapshot: only what changed travels'
echo 'one more line' >>SRC/home/letters/1
run btrfs -q subvolume snapshot -r SRC/home SRC/snaps/wednesday
run buttersink SRC/snaps/ DST/snaps/
compare snaps/wednesday
say 'Once more: there is nothing to do'
run buttersink SRC/snaps/ DST/snaps/
say 'Done; the scratch filesystems are removed'
