#!/bin/sh
# /init of the machines in contrib/rescue-test.sh, which know nothing but busybox, btrfs-progs but for one of them, and
# our static programs. What is to be done stands on the kernel's command line: stage=…, s3=PORT, and
# for the histories minutes=…, seed=…, mending=no, and for months of backups days_of_months=…, seed=….
# Everything is said on the console; its last line is "rescue: passed", or something else.
# shellcheck shell=dash disable=SC2154 # the words of the command line
set -eu
export PATH=/bin HOME=/ AWS_ACCESS_KEY_ID=rescue AWS_SECRET_ACCESS_KEY=rescue-secret
export AWS_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true

the_end() {
    sync
    poweroff -f
}

fail() {
    echo "rescue: FAILED: $*"
    the_end
}

say() { echo "# $*"; }

# A command that must end with this status, and say these words.
expect() {
    local status=$1 words=$2 got=0
    shift 2
    echo "\$ $*"
    "$@" >/tmp/said 2>&1 || got=$?
    cat /tmp/said
    [ $got = "$status" ] || fail "status $got, not $status"
    [ -z "$words" ] || grep -q -e "$words" /tmp/said || fail "it did not say: $words"
}

begin() {
    mount -t devtmpfs dev /dev
    mount -t proc proc /proc
    mount -t sysfs sys /sys
    mkdir -p /tmp /system /backup
    mount -t tmpfs tmp /tmp
    while read -r module; do insmod "/modules/$module"; done </modules/order
}

# Names come from /etc/hosts: musl has to read it.
network() {
    ip link set lo up
    ip link set eth0 up
    ip address add 10.0.2.15/24 dev eth0
    echo '10.0.2.2 bucket.example' >/etc/hosts
    export AWS_ENDPOINT_URL="http://bucket.example:$s3"
}

new_system_disk() {
    mkfs.btrfs -q -f /dev/vda >/dev/null
    mount /dev/vda /system
    mkdir -p /system/snaps
}

# A small system in two subvolumes, with everything that a filesystem may hold.
make_system() {
    btrfs -q subvolume create /system/root
    btrfs -q subvolume create /system/home
    cp -a /bin /lib* /etc /init /system/root/
    cd /system/root
    mkdir -p dev usr/bin srv/deep/er/still var home
    echo 'UUID=6a0ee7c5-1b3f-4b52-9d7e-0c2f5d1e8a44 / btrfs subvol=root 0 0' >etc/fstab
    mknod dev/null c 1 3
    mknod dev/pipe p
    ln -s ../../bin/busybox usr/bin/env
    ln bin/busybox usr/bin/link
    chmod 4755 usr/bin/link
    chown 1000:100 srv/deep
    chmod 1777 var
    touch -d '2001-02-03 04:05:06' srv/deep/er
    : >var/empty
    head -c 5000000 /dev/urandom >var/data
    truncate -s 50000000 var/sparse
    echo end >>var/sparse
    btrfs property set var/data compression zstd # an extended attribute
    i=0
    while [ $i -lt 500 ]; do
        echo "file $i" >"/system/home/a name with spaces $i"
        i=$((i + 1))
    done
    cd /
}

snapshot() {
    for name in root home; do
        btrfs -q subvolume snapshot -r /system/$name /system/snaps/$name-"$1"
    done
}

change_system() {
    rm -r /system/root/srv/deep
    mv /system/root/var/data /system/root/var/moved
    echo more >>/system/root/var/moved
    cp --reflink=auto /system/root/var/moved /system/root/var/copy 2>/dev/null ||
        cp /system/root/var/moved /system/root/var/copy
    rm "/system/home/a name with spaces 7"
    echo changed >"/system/home/a name with spaces 8"
}

# The core of the local tests, on this kernel: full, nothing to do, incremental, list, refusal.
core() {
    mkdir /backup/snaps
    snapshot 1
    expect 0 '2 to send' buttersink -n /system/snaps/ /backup/snaps/
    [ -z "$(ls -A /backup/snaps)" ] || fail 'a dry run wrote something'
    expect 0 '2 snapshots sent' buttersink -q /system/snaps/ /backup/snaps/
    expect 0 'nothing sent; 2 already there' buttersink /system/snaps/ /backup/snaps/
    change_system
    snapshot 2
    expect 0 'from root-1' buttersink /system/snaps/ /backup/snaps/
    expect 0 '4 snapshots' buttersink /backup/snaps/
    expect 0 'snaps/root-2' btrfslist /backup
    altered
    for name in root-1 root-2 home-1 home-2; do
        expect 0 '' checksumdir --xattrs --compare /system/snaps/$name /backup/snaps/$name
    done
}

# A snapshot that was written to after it was made is no parent for anything.
altered() {
    mkdir /system/other
    btrfs -q subvolume snapshot -r /system/home /system/other/early
    expect 0 'early .* ok' buttersink /system/other/
    btrfs property set /system/other/early ro false
    echo spoilt >/system/other/early/spoilt
    sync
    btrfs property set /system/other/early ro true
    expect 0 'early .* altered' buttersink /system/other/
    btrfs -q subvolume delete -c /system/other/early
}

to_bucket() {
    expect 0 '4 snapshots sent' buttersink -q /system/snaps/ s3://rescue/machine/
    expect 0 'nothing sent; 4 already there' buttersink /system/snaps/ s3://rescue/machine/
    expect 1 'bucket' buttersink s3://no-such-bucket/machine/
}

write_lists() {
    mkdir /backup/lists
    cd /backup/lists
    checksumdir -q --links --xattrs /system/snaps/root-2 /system/snaps/home-2
    cd /
}

# From a source of snapshots: bring all, make the newest the running system, and check it.
bring_back() {
    expect 0 '4 snapshots sent' buttersink -q "$1" /system/snaps/
    for name in root home; do
        btrfs -q subvolume snapshot /system/snaps/$name-2 /system/$name
        expect 0 '' checksumdir --links --xattrs --check /backup/lists/$name-2.sha256sum \
            /system/$name
        (cd /system/$name && sha256sum -c /backup/lists/$name-2.files >/dev/null) ||
            fail "sha256sum finds other content in $name"
    done
    btrfs -q subvolume set-default /system/root
    proof_can_fail
    umount /system
    mount /dev/vda /system # as a machine would that boots from it
    expect 0 '/bin/busybox' ls -l /system/bin/busybox
    umount /system
}

# The commands of buttersink-rescue(7), as they stand there.
by_the_page() {
    set -x
    grep btrfs /backup/snaps/root-2/etc/fstab
    mkfs.btrfs -U 6a0ee7c5-1b3f-4b52-9d7e-0c2f5d1e8a44 /dev/vda
    mount /dev/vda /system
    mkdir /system/snaps
    buttersink /backup/snaps/ /system/snaps/
    buttersink verify --content --against /backup/snaps/ /system/snaps/
    btrfs subvolume snapshot /system/snaps/root-2 /system/root
    btrfs subvolume snapshot /system/snaps/home-2 /system/home
    btrfs subvolume set-default /system/root
    umount /system
    mount -o subvol=root /dev/vda /system
    mount -o subvol=home /dev/vda /system/home
    set +x
    expect 0 '/bin/busybox' ls -l /system/bin/busybox
    expect 0 'changed' cat '/system/home/a name with spaces 8'
    umount /system/home
    umount /system
}

proof_can_fail() {
    echo x >>/system/root/var/copy
    expect 4 'changed  var/copy: content' checksumdir --check /backup/lists/root-2.sha256sum \
        /system/root
}

before() {
    new_system_disk
    mkfs.btrfs -q -f /dev/vdb >/dev/null
    mount /dev/vdb /backup
    say 'a small system, and its backup on another disk'
    make_system
    core
    [ -z "${s3-}" ] || to_bucket
    write_lists
    umount /system
    umount /backup
}

after() {
    mount -o ro /dev/vdb /backup
    say 'the system from the second disk'
    new_system_disk
    bring_back /backup/snaps/
    say 'the same as the page has it'
    dd if=/dev/zero of=/dev/vda bs=1M count=2 2>/dev/null # mkfs.btrfs asks for a disk without a filesystem
    by_the_page
    [ -n "${s3-}" ] || return 0
    say 'the system from the bucket'
    new_system_disk
    bring_back s3://rescue/machine/
}

# Nothing of btrfs-progs is here, and the snapshots come from the second disk all the same.
bare() {
    [ ! -e /bin/btrfs ] || fail 'btrfs-progs are here'
    mount /dev/vdb /backup
    mount /dev/vda /system
    mkdir /system/snaps
    expect 0 '4 snapshots sent' buttersink -q /backup/snaps/ /system/snaps/
    for name in root-2 home-2; do
        expect 0 '' checksumdir --links --xattrs --check /backup/lists/$name.sha256sum /system/snaps/$name
        expect 0 '' checksumdir --xattrs --compare /backup/snaps/$name /system/snaps/$name
    done
    expect 0 'snaps/root-2' btrfslist /system
    umount /system
    umount /backup
}

# The tests that compare our own receive with that of btrfs-progs, without the limit of time that their
# runner has: an emulated processor is slow. Their scratch files are in memory.
suite() {
    scratch=$(cat /etc/scratch)
    mount -t tmpfs -o size=75% scratch "$scratch"
    for name in receive::an_awkward_tree_arrives_in_pieces_of_any_length \
        receive::compressed_streams_arrive_as_they_are receive::nothing_is_inherited \
        receive::what_btrfs_receive_loses_arrives receive::writes_go_on_behind_other_commands \
        interleaved::any_order_makes_the_tree_of_btrfs_receive \
        interleaved::special_bits_and_capabilities_outlast_every_owner; do
        one_test "$name"
    done
}

one_test() {
    export BUTTERSINK_TEST_SCRATCH="$scratch/test"
    mkdir "$BUTTERSINK_TEST_SCRATCH"
    it --only "$1" >/tmp/said 2>&1 || {
        tail -40 /tmp/said
        fail "$1"
    }
    echo "test $1 ... ok"
    awk -v below="$scratch/" 'index($2, below) == 1 { print $2 }' /proc/mounts | while read -r at; do umount "$at"; done
    rm -r "$BUTTERSINK_TEST_SCRATCH"
}

# Random histories, by the tests' program: its scratch files are in memory.
torture() {
    mount -t tmpfs -o size=75% scratch "$(cat /etc/scratch)"
    export BUTTERSINK_TORTURE_MINUTES="$minutes" BUTTERSINK_TORTURE_SEED="$seed"
    [ -z "${mending-}" ] || export BUTTERSINK_TEST_NO_MENDING=1
    it --torture-histories || fail 'the histories show faults'
}

# shellcheck source=contrib/rescue-months.sh
. /months
trap 'fail "a command ended with $?"' EXIT # whatever fails ends the script: set -e
begin
echo "rescue: running on Linux $(uname -r)"
# shellcheck disable=SC2013 # words
for word in $(cat /proc/cmdline); do
    case $word in stage=* | s3=* | minutes=* | seed=* | mending=* | days_of_months=*) eval "$word" ;; esac
done
[ -z "${s3-}" ] || network
case $stage in
probe) ;;
before | after | bare | suite | torture | months) $stage ;;
*) fail "no such stage: $stage" ;;
esac
echo 'rescue: passed'
the_end
