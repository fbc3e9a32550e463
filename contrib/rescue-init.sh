#!/bin/sh
# /init of the machines in contrib/rescue-test.sh, which know nothing but busybox, btrfs-progs but for one of them, and
# our static programs. What is to be done stands on the kernel's command line: stage=…, s3=PORT, and
# for the histories minutes=…, seed=…, mending=no, and for months of backups days_of_months=…, seed=….
# Everything is said on the console; its last line is "rescue: passed", or something else.
# shellcheck shell=dash disable=SC2154 # the words of the command line
set -eu
export PATH=/bin:/usr/sbin:/usr/bin HOME=/ AWS_ACCESS_KEY_ID=rescue AWS_SECRET_ACCESS_KEY=rescue-secret
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
    # User-mode Linux has other names for its disks.
    for disk in a b c d; do [ ! -e /dev/ubd$disk ] || ln -s ubd$disk /dev/vd$disk; done
    mount -t proc proc /proc
    mount -t sysfs sys /sys
    mkdir -p /tmp /system /backup /raw
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

# What a kernel starts first from a root that was brought back: it shows that all is where it belongs.
first_program='#!/bin/sh
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount /home
if grep -q "^[^ ]* / btrfs .*subvol=/root" /proc/mounts && grep -q changed "/home/a name with spaces 8"; then
    echo "rescue: passed"
fi
poweroff -f'

# A small system in two subvolumes, with everything that a filesystem may hold.
make_system() {
    btrfs -q subvolume create /system/root
    btrfs -q subvolume create /system/home
    cp -a /bin /lib* /etc /init /system/root/
    tar -x -f /dev/vdd -C /system/root
    cd /system/root
    mkdir -p dev proc sys usr/bin srv/deep/er/still var home
    echo 'UUID=6a0ee7c5-1b3f-4b52-9d7e-0c2f5d1e8a44 / btrfs subvol=root 0 0' >etc/fstab
    echo '/dev/vda1 /home btrfs subvol=home 0 0' >>etc/fstab
    mkdir sbin
    echo "$first_program" >sbin/init
    chmod 755 sbin/init
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

write_configuration() {
    mkdir -p /system/taken /system/back
    cat >/etc/rescue.toml <<END
[global]
state_path = '/tmp/state.json'
lock_path = '/tmp/rescue.lock'
[schedule]
[snapshots]
base_dir = '/system/taken'
[subvolumes]
paths = ['/system/root', '/system/home']
[s3]
bucket = 'raw:/raw'
prefix = 'machine'
[restore]
target_base_dir = '/system/back'
END
}

# To a directory on FAT, by the kernel's own driver.
to_raw() {
    mount -t vfat /dev/vdc /raw
    write_configuration
    expect 0 'root .*raw:.* 1 sent' buttersink backup -q --config /etc/rescue.toml --once
    expect 0 '' buttersink verify --download --config /etc/rescue.toml
    grep -q max_object /raw/.buttersink-raw || fail 'nothing is said of what FAT can hold'
    umount /raw
}

# Both subvolumes as they were, at once to be written to.
from_raw() {
    mount -t vfat -o ro /dev/vdc /raw
    write_configuration
    for name in root home; do
        expect 0 '' buttersink restore -q --config /etc/rescue.toml --subvolume $name --target /system/$name
        expect 0 '' checksumdir --links --xattrs --check /backup/lists/$name-2.sha256sum /system/$name
    done
    umount /raw
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
    printf 'o\nn\np\n1\n2048\n\nw\n' | fdisk -u /dev/vda
    mkfs.btrfs -U 6a0ee7c5-1b3f-4b52-9d7e-0c2f5d1e8a44 /dev/vda1
    mount /dev/vda1 /system
    mkdir /system/snaps
    buttersink /backup/snaps/ /system/snaps/
    buttersink verify --content --against /backup/snaps/ /system/snaps/
    btrfs subvolume snapshot /system/snaps/root-2 /system/root
    btrfs subvolume snapshot /system/snaps/home-2 /system/home
    btrfs subvolume set-default /system/root
    umount /system
    mount -o subvol=root /dev/vda1 /system
    mount -o subvol=home /dev/vda1 /system/home
    for dir in dev proc sys; do mount --bind /$dir /system/$dir; done
    chroot /system grub-install /dev/vda
    chroot /system update-grub
    set +x
    for dir in dev proc sys; do umount /system/$dir; done
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
    to_raw
    write_lists
    umount /system
    umount /backup
}

after() {
    mount -o ro /dev/vdb /backup
    say 'the system from the second disk'
    new_system_disk
    bring_back /backup/snaps/
    say 'the system from a directory on FAT'
    new_system_disk
    from_raw
    umount /system
    say 'the same as the page has it'
    dd if=/dev/zero of=/dev/vda bs=1M count=2 2>/dev/null # mkfs.btrfs asks for a disk without a filesystem
    by_the_page
}

after_bucket() {
    mount -o ro /dev/vdb /backup
    say 'the system from the bucket'
    new_system_disk
    bring_back s3://rescue/machine/
}

# As an initramfs starts a system: what is mounted is what the kernel was told, and nothing else is done.
boot() {
    mount -t btrfs -o "$rootflags" "$root" /system
    trap - EXIT
    exec switch_root /system /sbin/init
}

# Nothing of btrfs-progs is here, and the snapshots come from the second disk all the same, and a running
# system from the directory on FAT. It backs itself up, to the disk, to the directory and to the bucket.
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
    from_raw
    bare_backup
    umount /system
    umount /backup
}

bare_backup() {
    mkdir /backup/bare
    mount -t vfat /dev/vdc /raw
    echo one >/system/root/var/bare
    expect 0 '' buttersink backup /system/root /backup/bare/
    expect 0 '' buttersink backup /system/home raw:/raw/bare/
    if [ -n "${s3-}" ]; then
        echo two >/system/root/var/bare
        expect 0 '1 snapshot sent' buttersink backup /system/root s3://rescue/bare/
    fi
    cd /backup/lists
    for name in root home; do
        mkdir $name
        for snapshot in "/system/$name/snapshot"/2*; do
            (cd $name && checksumdir -q --links --xattrs "$snapshot")
        done
    done
    cd /
    umount /raw
}

# As the list has it, but for the earlier snapshot in it: an empty directory that no stream has.
same() {
    local got=0
    echo "$2 as $1 has it"
    checksumdir --links --xattrs --check "$1" "$2" >/tmp/said 2>&1 || got=$?
    cat /tmp/said
    case $got in 0 | 4) ;; *) fail "status $got" ;; esac
    if grep -v '^removed  snapshot/2' /tmp/said; then fail 'it is another'; fi
}

# Another machine without btrfs-progs gets what that one was.
bare_again() {
    mount -o ro /dev/vdb /backup
    mount -t vfat -o ro /dev/vdc /raw
    mount /dev/vda /system
    mkdir /system/root /system/home
    expect 0 '1 snapshot sent' buttersink -q /backup/bare/ /system/root/
    expect 0 '1 snapshot sent' buttersink -q raw:/raw/bare/ /system/home/
    [ -z "${s3-}" ] || expect 0 '1 snapshot sent' buttersink -q s3://rescue/bare/ /system/root/
    for name in root home; do
        for list in "/backup/lists/$name"/*.sha256sum; do
            same "$list" "/system/$name/$(basename "$list" .sha256sum)"
        done
    done
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
# shellcheck source=contrib/rescue-year.sh
. /year
trap 'fail "a command ended with $?"' EXIT # whatever fails ends the script: set -e
begin
echo "rescue: running on Linux $(uname -r)"
# shellcheck disable=SC2013 # words
for word in $(cat /proc/cmdline); do
    case $word in stage=* | s3=* | minutes=* | seed=* | mending=* | days_of_months=* | root=* | rootflags=*) eval "$word" ;; esac
done
[ -z "${s3-}" ] || network
case ${stage-boot} in # a boot loader says none
probe) ;;
before | after | after_bucket | boot | bare | bare_again | suite | torture | months | year) ${stage-boot} ;;
*) fail "no such stage: $stage" ;;
esac
echo 'rescue: passed'
the_end
