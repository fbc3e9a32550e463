# shellcheck shell=dash disable=SC2154 # the words of the command line
# Read by /init of the machines in contrib/rescue-test.sh: months of backups of two subvolumes into one
# directory, by the machine's own clock, which is set for each of them, since the kernel's own times
# are what counts. Days of a clock that is wrong, rollbacks, renames and strangers come in between.
# What must be there is kept in /tmp/kept-NAME: a line of seconds, name, day, week, month and text. It
# follows from what the manual says of --keep, and from nothing that the program prints.

shared=/backup/shared

# A number below $1, by $seed alone.
random() {
    state=$(((state * 1103515245 + 12345) % 2147483648))
    chosen=$((state / 65536 % $1))
}

set_clock() {
    clock=$1
    date -s "@$clock" >/dev/null
}

begin_months() {
    new_system_disk
    mkfs.btrfs -q -f /dev/vdb >/dev/null
    mount /dev/vdb /backup
    mkdir $shared
    for name in root home; do
        btrfs -q subvolume create /system/$name
        : >/tmp/kept-$name
    done
    : >/tmp/strangers
    state=${seed:-1}
    written=0
}

policy() {
    case $1 in
    root) days=7 weeks=4 months=3 ;;
    home) days=3 weeks=2 months=1 ;;
    esac
}

# Of the lines of a subvolume those that its policy keeps now. What is from the future stays, and
# holds no place.
judged() {
    sort -rn "/tmp/kept-$1" | awk -v now="$clock" -v days="$days" -v weeks="$weeks" -v months="$months" '
        $1 > now + 60 { print; next }
        {
            keep = 0
            if (!(("d" $3) in seen) && ++d <= days) keep = 1
            if (!(("w" $4) in seen) && ++w <= weeks) keep = 1
            if (!(("m" $5) in seen) && ++m <= months) keep = 1
            seen["d" $3]; seen["w" $4]; seen["m" $5]
            if (keep) print
        }' >/tmp/judged
    mv /tmp/judged "/tmp/kept-$1"
}

back_up() {
    written=$((written + 1))
    text="text-$written"
    echo "$text" >"/system/$1/file"
    policy "$1"
    buttersink backup -q --keep "${days}d ${weeks}w ${months}m" --num-snapshots 2 \
        "/system/$1" $shared/ >/tmp/said 2>&1 || {
        cat /tmp/said
        fail "the backup of $1 ended with $?"
    }
    made=$(cat /system/"$1"/snapshot/*/file | grep -c "^$text\$") || fail "no snapshot of $text"
    [ "$made" = 1 ] || fail "$made snapshots of $text"
    made=$(grep -lx "$text" /system/"$1"/snapshot/*/file)
    made=${made%/file}
    echo "$clock ${made##*/} $(date +'%Y-%m-%d %G-%V %Y-%m') $text" >>"/tmp/kept-$1"
    judged "$1"
}

# The newest snapshot here, writable, in the place of the subvolume.
roll_back() {
    newest=$(readlink "/system/$1/snapshot/.latest") || return 0
    btrfs -q subvolume snapshot "/system/$1/snapshot/$newest" /system/new
    rm -rf /system/new/snapshot
    btrfs -q subvolume delete /system/"$1"/snapshot/2* "/system/$1" >/dev/null
    mv /system/new "/system/$1"
}

# A name that no policy knows takes nobody's place, and stays.
rename_one() {
    line=$(awk -v at="$chosen" 'NR == at % 3 + 1' "/tmp/kept-$1")
    [ -n "$line" ] || return 0
    # shellcheck disable=SC2086 # words
    set -- "$1" $line
    mv "$shared/$3" "$shared/renamed-$3"
    grep -v " $3 " "/tmp/kept-$1" >/tmp/rest || true
    mv /tmp/rest "/tmp/kept-$1"
    echo "renamed-$3 $7" >>/tmp/strangers
}

# A snapshot that another program sends, with a name like ours.
stranger() {
    sent=20200101-$(printf %06d "$written")
    btrfs -q subvolume create "/system/strange$written"
    echo "strange-$written" >"/system/strange$written/file"
    btrfs -q subvolume snapshot -r "/system/strange$written" "/system/snaps/$sent"
    btrfs send -q "/system/snaps/$sent" | btrfs receive -q $shared
    echo "$sent strange-$written" >>/tmp/strangers
}

# All that must be there is, with what was written into it, and nothing else.
kept() {
    awk '{ print $2, $6 }' /tmp/kept-root /tmp/kept-home >/tmp/must
    cat /tmp/strangers >>/tmp/must
    sort /tmp/must >/tmp/sorted
    for path in "$shared"/*; do
        echo "${path##*/} $(cat "$path/file")"
    done | sort >/tmp/there
    cmp -s /tmp/sorted /tmp/there || {
        diff /tmp/sorted /tmp/there || true
        fail "after $written backups not what must be there (-) is there (+)"
    }
}

one_day() {
    random 2
    case $chosen in 0) name=root ;; *) name=home ;; esac
    random 20
    case $chosen in
    0) roll_back $name ;;
    1) rename_one $name ;;
    2) stranger ;;
    3) set_clock $((now + 400 * 86400)) ;; # a battery that is empty, and one that is wrong
    4) set_clock $((now - 40 * 86400)) ;;
    esac
    back_up $name
    set_clock "$now"
}

months() {
    begin_months
    now=1704103200 # a noon in January 2024
    say "$days_of_months days, seed ${seed:-1}"
    day=0
    while [ $day -lt "$days_of_months" ]; do
        day=$((day + 1))
        random 43200
        now=$((1704103200 + day * 86400 + chosen))
        set_clock "$now"
        one_day
        kept
    done
    echo "rescue: $written backups in $day days; $(wc -l </tmp/must) snapshots are there, as they must be"
}
