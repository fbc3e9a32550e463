# shellcheck shell=dash disable=SC2154 # the words of the command line
# Read by /init of the machines in contrib/rescue-test.sh: a year of scheduled backups by two configurations, at the
# times of /plan, by the machine's own clock. Three filesystems: the system's, a disk that is unplugged, and that of a
# host behind ssh; beside them a stick with streams, which is full for a month, and a bucket, whose server runs in
# the machine, by its clock. What comes and goes at each place is said, and contrib/rescue-year.py knows what must.

year_machine="[global]
state_path = '/tmp/machine.json'
lock_path = '/tmp/machine.lock'
[snapshots]
keep = '24h 7d 4w'
[[subvolume]]
path = '/system/root'
every = '1d'
at = '02:30'
[[subvolume]]
path = '/system/home'
every = '1h'
keep = '12h 5d'
[[destination]]
location = '/backup/machine/'
keep = '7d 4w 12m'
require_mount = true
[[destination]]
location = 'ssh://far/far/machine/'
every = '1w'
at = '12:00'
keep = '4w 12m'"

year_mail="[global]
state_path = '/tmp/mail.json'
lock_path = '/tmp/mail.lock'
[snapshots]
keep = '3d'
[[subvolume]]
path = '/system/mail'
every = '1d'
[[destination]]
location = 'raw:/raw/mail/'
keep = '5d 3w 6m'
[[destination]]
location = 'ssh://far/far/mail/'
every = '3d'
at = '04:00'
keep = '3d 3m 1y'
keep_from = 'first'
[[destination]]
location = 's3://year/mail/'
endpoint_url = 'http://127.0.0.1:8333'
every = '2d'
at = '05:00'
keep = '4d 3w 3m'"

# Whoever asks may read: what is in the bucket is listed without our programs.
identities='{"identities": [{"name": "test",
 "credentials": [{"accessKey": "rescue", "secretKey": "rescue-secret"}],
 "actions": ["Admin", "Read", "Write", "List", "Tagging"]},
 {"name": "anonymous", "actions": ["Read", "List"]}]}'

# A server that root's own key opens, for a host that is called far.
start_sshd() {
    mkdir -p /run/sshd /root/.ssh
    echo 'root:x:0:0:root:/root:/bin/sh' >/etc/passwd
    echo 'sshd:x:100:65534::/run/sshd:/bin/false' >>/etc/passwd
    echo 'root:x:0:' >/etc/group
    for key in /root/.ssh/id_ed25519 /etc/host_key; do
        [ -e $key ] || ssh-keygen -q -t ed25519 -N '' -f $key
    done
    cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys
    echo "far $(cat /etc/host_key.pub)" >/root/.ssh/known_hosts
    printf 'Host far\nHostName 127.0.0.1\nHostKeyAlias far\nUser root\n' >/root/.ssh/config
    printf 'HostKey /etc/host_key\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nListenAddress 127.0.0.1\n' >/etc/sshd_config
    echo 'SetEnv PATH=/bin' >>/etc/sshd_config
    /bin/sshd -f /etc/sshd_config -o PidFile=/run/sshd.pid
}

# By bash, since wget of a static busybox looks for libraries that are not there.
list_bucket() {
    timeout 60 bash -c 'exec 3<>/dev/tcp/127.0.0.1/8333 &&
        printf "GET /year?list-type=2&prefix=mail/ HTTP/1.0\r\nHost: 127.0.0.1:8333\r\n\r\n" >&3 && cat <&3'
}

bucket_is_there() { [ -e /run/weed.pid ]; }

# Waits until the bucket answers, which the first time is made.
start_bucket() {
    mkdir -p /tmp/bucket
    echo "$identities" >/tmp/identities.json
    WEED_S3_SSE_KEY=a-key WEED_MASTER_VOLUME_GROWTH_COPY_1=2 weed -logtostderr=true server -dir=/tmp/bucket \
        -ip=127.0.0.1 -ip.bind=127.0.0.1 -volume.max=20 -master.volumeSizeLimitMB=64 -master.electionTimeout=1s \
        -volume.preStopSeconds=0 -filer -s3 -s3.config=/tmp/identities.json >/tmp/weed.log 2>&1 </dev/null &
    echo $! >/run/weed.pid
    tries=0
    until list_bucket >/tmp/bucket.xml 2>/dev/null && grep -q ListBucketResult /tmp/bucket.xml; do
        tries=$((tries + 1))
        [ $tries -lt 120 ] || { cat /tmp/shell.log && tail -20 /tmp/weed.log && fail 'the bucket does not answer'; }
        sleep 1
        [ -n "${made_bucket-}" ] || make_year_bucket
    done
}

make_year_bucket() {
    echo 's3.bucket.create -name year' | timeout 60 weed shell -master=127.0.0.1:9333 >/tmp/shell.log 2>&1 || true
    if ! grep -qi error /tmp/shell.log && grep -q 'create bucket' /tmp/shell.log; then made_bucket=yes; fi
}

stop_bucket() {
    kill "$(cat /run/weed.pid)"
    wait "$(cat /run/weed.pid)" || true
    rm /run/weed.pid
}

begin_year() {
    export TZ=CET-1CEST,M3.5.0,M10.5.0/3 AWS_MAX_ATTEMPTS=3
    new_system_disk
    mkdir -p /far /run
    ip link set lo up
    printf '#!/bin/sh\nexec "$@"\n' >/bin/sudo
    chmod 755 /bin/sudo
    mkfs.btrfs -q -f /dev/vdb >/dev/null
    mkfs.btrfs -q -f /dev/vdd >/dev/null
    mount /dev/vdb /backup
    mount /dev/vdd /far
    mount -t vfat /dev/vdc /raw
    mkdir /backup/machine /far/machine /far/mail /raw/mail
    for name in root home mail; do btrfs -q subvolume create /system/$name; done
    echo "$year_machine" >/etc/machine.toml
    echo "$year_mail" >/etc/mail.toml
    start_sshd
    # A server that saw a later time would wait for that.
    date -s "@$(($(head -n 1 /plan | cut -d ' ' -f 1) - 3600))" >/dev/null
    start_bucket
    : >/tmp/before
}

# Names of snapshots, and of streams below theirs, at a place.
names() {
    for path in "$2"/$3; do
        case $path in
        *.meta | *'*') ;;
        *) echo "$1 ${path#"$2"/}" ;;
        esac
    done
}

in_bucket() {
    list_bucket >/tmp/bucket.xml || fail 'the bucket cannot be listed'
    grep -q '<IsTruncated>false' /tmp/bucket.xml || fail 'the listing of the bucket has no end'
    tr '<' '\n' </tmp/bucket.xml | sed -n 's|^Key>mail/\(mail__[^/]*/[^/.]*\)$|bucket \1|p'
}

disk_is_there() { grep -q ' /backup ' /proc/mounts; }

places() {
    names here /system/.snapshots '*'
    names far /far/machine '*'
    names far-mail /far/mail '*'
    names stick /raw/mail 'mail__*/*'
    # What is at a place that is away is there all the same.
    if disk_is_there; then names disk /backup/machine '*'; else grep '^disk ' /tmp/before || true; fi
    if bucket_is_there; then in_bucket; else grep '^bucket ' /tmp/before || true; fi
}

report() {
    places | sort >/tmp/after
    diff -U 0 /tmp/before /tmp/after | sed -n 's/^\([-+]\)\([a-z]\)/year \1 \2/p' || true
    mv /tmp/after /tmp/before
}

tick() {
    for name in root home mail; do echo "$1" >/system/$name/file; done
    for config in machine mail; do
        got=0
        buttersink backup -q --config /etc/$config.toml >/tmp/said 2>&1 || got=$?
        echo "year exit $config $got"
        case $got in 0) ;; 1 | 10) tail -2 /tmp/said ;; *) cat /tmp/said && fail "status $got" ;; esac
    done
    report
    echo 'year done'
}

# What is left once the first is written out is not much, but room for a snapshot.
fill_stick() {
    for round in 1 2 3 4; do
        dd if=/dev/zero of=/raw/much$round bs=4k 2>/dev/null || true
        sync
    done
}

year_step() {
    echo "year $2 ${3:-$1}"
    case "$2" in
    tick) tick "$1" ;;
    unplug) umount /backup ;;
    plug) mount /dev/vdb /backup ;;
    down) kill "$(cat /run/sshd.pid)" ;;
    up) start_sshd ;;
    fill) fill_stick ;;
    clear) rm /raw/much* ;;
    halt) stop_bucket ;;
    start) start_bucket ;;
    esac
}

# What was written into each at its time is still there.
contents() {
    disk_is_there || mount /dev/vdb /backup
    bucket_is_there || start_bucket
    buttersink -q raw:/raw/mail/ /system/back/
    buttersink -q --endpoint-url http://127.0.0.1:8333 s3://year/mail/ /system/again/
    for at in here:/system/.snapshots disk:/backup/machine far:/far/machine far-mail:/far/mail stick:/system/back \
        bucket:/system/again; do
        for path in "${at#*:}"/*; do
            echo "year content ${at%%:*} ${path##*/} $(cat "$path/file")"
        done
    done
}

year() {
    begin_year
    while read -r at what which; do
        date -s "@$at" >/dev/null
        year_step "$at" "$what" "$which"
    done </plan
    mkdir /system/back /system/again
    contents
}
