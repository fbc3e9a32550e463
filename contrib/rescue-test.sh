#!/usr/bin/env bash
# make rescue-test: a virtual machine makes a small system, backs it up to a second disk and to a
# bucket, and is destroyed; another one, with a new disk, gets the system back from each and checks
# it. The machines hold nothing but busybox, btrfs-progs and our static programs, and run Debian's
# own kernel, which makes this a test on a second kernel too; a third disk, with FAT, holds a directory of
# streams. The system that came back is started. Two more machines have no btrfs-progs either: one gets
# its system from the second disk and the third, to a filesystem that this machine made, and backs itself up,
# and the other one gets that. The system is started twice: by the kernel's command line, and by its own GRUB.
#
# Needs no root. Kernel, emulator and busybox are Debian's packages, unpacked and not installed.
#
#   contrib/rescue-test.sh
#   RESCUE_ACCEL=kvm|tcg     how to run the machines; by default KVM if it works. For RESCUE_YEAR also uml: user-mode
#                            Linux, a kernel that is a program, which is several times faster than tcg
#   RESCUE_S3=no             without the bucket, whose server comes from PyPI
#   RESCUE_TORTURE=MINUTES   instead (make torture-rescue): the suite of our own receive on that kernel,
#                            months of backups by the machine's clock, which is set, and then
#                            random histories of snapshots, from BUTTERSINK_TORTURE_SEED on
#   RESCUE_DAYS=DAYS         how many days those months have (150)
#   RESCUE_YEAR=DAYS         instead (make year-test): scheduled backups of so many days by two
#                            configurations to a disk, a host, a stick and a bucket, as contrib/rescue-year.py plans
#                            and checks them
#   RESCUE_PROGRAMS=DIR      other builds of our programs, with the libraries that they need
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
programs=$target/static
dir=$target/rescue
root=$dir/root # what the packages hold
export BUTTERSINK_SERVERS=${BUTTERSINK_SERVERS:-$target/servers}
export AWS_ACCESS_KEY_ID=rescue AWS_SECRET_ACCESS_KEY=rescue-secret
limit=240  # seconds that a machine may take
memory=512 # MiB of it

say() { echo "rescue-test: $*" >&2; }
die() {
    say "$@"
    exit 1
}

needs() {
    local program
    for program in "$@"; do command -v "$program" >/dev/null || die "needs $program"; done
}

# The package that linux-image-cloud-amd64 stands for.
kernel_package() {
    apt-cache depends linux-image-cloud-amd64 | awk '$1 == "Depends:" { print $2; exit }'
}

# What installing these would fetch, on this machine as it is.
needed_by() {
    apt-get install -qq --print-uris --no-install-recommends "$@" | sed -n "s/^'[^']*' \([^_]*\)_.*/\1/p"
}

emulator_packages() { command -v qemu-system-x86_64 >/dev/null || needed_by qemu-system-x86; }

# GRUB itself is unpacked even where it is installed.
loader_packages() {
    { printf '%s\n' grub-common grub2-common grub-pc-bin && needed_by grub2-common grub-pc-bin; } | sort -u
}

unpack_packages() {
    local kernel package
    [ ! -e "$dir/complete" ] || return 0
    kernel=$(kernel_package)
    [ -n "$kernel" ] || { apt-get -q update >&2 && kernel=$(kernel_package); }
    [ -n "$kernel" ] || die 'apt knows no linux-image-cloud-amd64'
    rm -rf "$dir"
    mkdir -p "$dir/packages" "$root"
    say "fetching $kernel and what runs it"
    # shellcheck disable=SC2046 # words
    (cd "$dir/packages" && apt-get -q download "$kernel" busybox-static dosfstools $(emulator_packages) \
        $(loader_packages)) >"$dir/fetched" 2>&1 || die "apt-get cannot fetch the packages: $(tail -3 "$dir/fetched")"
    for package in "$dir"/packages/*.deb; do dpkg-deb -x "$package" "$root"; done
    rm -r "$dir/packages"
    touch "$dir/complete"
}

user_mode_linux() {
    [ ! -e "$root/uml" ] || return 0
    (cd "$dir" && apt-get -q download user-mode-linux) >"$dir/fetched" 2>&1 ||
        die "apt-get cannot fetch user-mode Linux: $(tail -3 "$dir/fetched")"
    dpkg-deb -x "$dir"/user-mode-linux_*.deb "$root"
    rm "$dir"/user-mode-linux_*.deb
    mkdir -p "$root/uml/lib"
    ln -s ../../usr/lib/uml/modules "$root/uml/lib/modules" # where depmod looks
}

# Modules that this one needs, before itself; those that were seen are in $order.
module() {
    local file deps dep
    file=$(grep -o "^kernel/[^:]*/$1\.ko" "$modules/modules.dep") || return 0 # in the kernel itself
    ! grep -qx "$file" "$order" || return 0
    deps=$(sed -n "s|^$file: *||p" "$modules/modules.dep")
    for dep in $deps; do module "$(basename "$dep" .ko)"; done
    echo "$file" >>"$order"
}

# Btrfs needs some that it does not name: its checksums, and what the kernel compares them with.
kernel_modules() {
    local name base=$root
    [ "${RESCUE_ACCEL-}" != uml ] || base=$root/uml
    modules=$(echo "$base"/lib/modules/*) order=$dir/order
    : >"$order"
    "$root/bin/busybox" depmod -b "$base" "$(basename "$modules")"
    for name in crc32c_generic crc32c-intel xxhash_generic sha256_generic blake2b_generic \
        btrfs vfat nls_cp437 nls_iso8859-1 nls_ascii nls_utf8 virtio_pci virtio_blk virtio_net ${torture:+loop}; do
        module "$name"
    done
    mkdir -p "$1"
    while read -r name; do
        cp "$modules/$name" "$1"
        basename "$name"
    done <"$order" >"$1/order"
}

# A program that is not static, with the libraries that it needs.
with_libraries() {
    local program
    program=$(command -v "$1")
    cp --remove-destination "$program" "$2/bin"
    libraries "$program" "$2"
}

libraries() {
    local library
    ldd "$1" | sed -n 's|^[^/]*\(/[^ ]*\).*|\1|p' | while read -r library; do
        mkdir -p "$2$(dirname "${library#"$root"}")"
        cp -L "$library" "$2${library#"$root"}"
    done
}

# The tests' program, and what its histories need. It looks for its scratch directory where it was
# built.
torture_programs() {
    local it program scratch
    it=$("${CARGO:-cargo}" test --locked --no-run --test it --message-format=json |
        sed -n 's/.*"executable":"\([^"]*\/it-[^"]*\)".*/\1/p')
    [ -x "$it" ] || die 'cargo built no test program'
    with_libraries "$it" "$1"
    mv "$1/bin/$(basename "$it")" "$1/bin/it"
    for program in mount umount losetup bash cp dd touch head truncate fallocate mknod mkfifo stat chmod \
        chown ln setfattr getfattr setfacl getfacl setcap getcap chattr lsattr filefrag; do
        with_libraries "$program" "$1"
    done
    python "$1"
    scratch=$(realpath -ms "${CARGO_TARGET_DIR:-target}")/tmp
    mkdir -p "$1$scratch"
    echo "$scratch" >"$1/etc/scratch"
}

# A server of ssh and one of S3, and what happens when.
year_programs() {
    local program
    tests/servers/seaweedfs.sh install
    cp "$BUTTERSINK_SERVERS"/seaweedfs-*/bin/weed "$1/bin"
    for program in bash sshd ssh ssh-keygen; do with_libraries "$program" "$1"; done
    program=/usr/lib/openssh/sshd-session # of newer releases
    [ ! -x $program ] || { cp --parents $program "$1" && libraries $program "$1"; }
    python3 contrib/rescue-year.py plan "$year" >"$dir/plan"
    cp "$dir/plan" "$1/plan"
}

# This machine's Python, with no other modules than those that the tests' helper has loaded.
python() {
    local file
    {
        cat tests/it/histories/hands.py
        echo 'import fcntl, socket, struct'
        echo 'print(os.path.realpath(sys.executable))'
        echo 'for module in [os, *sys.modules.values()]:'
        echo '    print(getattr(module, "__file__", None) or "")'
    } >"$dir/modules.py"
    python3 -c "$(cat "$dir/modules.py")" </dev/null | grep '^/' | sort -u >"$dir/modules"
    while read -r file; do
        cp --parents -L "$file" "$1"
        case $file in *.py) ;; *) libraries "$file" "$1" ;; esac
    done <"$dir/modules"
    ln -s "$(grep -m1 '/bin/python[^/]*$' "$dir/modules")" "$1/bin/python3"
}

# What the machines have; with btrfs-progs, or bare of them.
initramfs() {
    local tree=$dir/initramfs applet program
    rm -rf "$tree"
    mkdir -p "$tree"/{bin,dev,proc,sys,etc}
    cp "$root/bin/busybox" "$tree/bin"
    for applet in $("$root/bin/busybox" --list); do
        [ "$applet" = busybox ] || ln -s busybox "$tree/bin/$applet"
    done
    [ "$1" = bare ] || for program in btrfs mkfs.btrfs; do with_libraries "$program" "$tree"; done
    for program in buttersink btrfslist checksumdir; do
        if [ -n "${RESCUE_PROGRAMS-}" ]; then
            with_libraries "$RESCUE_PROGRAMS/$program" "$tree"
        else
            cp "$programs/$program" "$tree/bin"
        fi
    done
    [ "${torture:-0}" = 0 ] || torture_programs "$tree"
    kernel_modules "$tree/modules"
    cp contrib/rescue-init.sh "$tree/init"
    cp contrib/rescue-months.sh "$tree/months"
    cp contrib/rescue-year.sh "$tree/year"
    [ -z "$year" ] || year_programs "$tree"
    chmod 755 "$tree/init"
    (cd "$tree" && find . | "$root/bin/busybox" cpio -o -H newc 2>/dev/null | gzip -1) \
        >"$dir/initramfs.gz"
}

# A kernel with its initramfs, and the boot loader, for the small system to have.
loader() {
    local tree=$dir/loader program version
    rm -rf "$tree"
    mkdir -p "$tree"/{boot,etc/default,etc/grub.d,usr/bin,usr/sbin,usr/lib/grub,usr/share}
    cp -a "$root/usr/lib/grub/i386-pc" "$tree/usr/lib/grub"
    cp -a "$root/usr/share/grub" "$tree/usr/share"
    cp -a "$root"/etc/grub.d/{00_header,10_linux} "$tree/etc/grub.d"
    cp "$root"/usr/sbin/{grub-mkconfig,update-grub} "$tree/usr/sbin"
    for program in sbin/{grub-install,grub-probe} \
        bin/{grub-mkimage,grub-mkrelpath,grub-script-check,grub-editenv}; do
        cp "$root/usr/$program" "$tree/usr/$program"
        LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu \
            libraries "$root/usr/$program" "$tree"
    done
    printf 'GRUB_TIMEOUT=0\nGRUB_TERMINAL=serial\nGRUB_DISABLE_RECOVERY=true\n' >"$tree/etc/default/grub"
    echo 'GRUB_CMDLINE_LINUX="console=ttyS0 panic=-1 no_timer_check"' >>"$tree/etc/default/grub"
    version=$(basename "$modules")
    cp "$root/boot/vmlinuz-$version" "$tree/boot"
    cp "$dir/initramfs.gz" "$tree/boot/initrd.img-$version"
    tar -C "$tree" -cf "$dir/loader.tar" .
}

emulator() {
    local lib=$root/usr/lib/x86_64-linux-gnu
    if command -v qemu-system-x86_64 >/dev/null; then
        emulator=(qemu-system-x86_64)
    else
        emulator=(env LD_LIBRARY_PATH="$lib:$root/lib/x86_64-linux-gnu"
            "$root/usr/bin/qemu-system-x86_64" -L "$root/usr/share/qemu"
            -L "$root/usr/share/seabios" -L "$root/usr/lib/ipxe/qemu")
    fi
}

# machine ACCELERATOR LIMIT WORD…: boots, and shows what its console says. What it reports as its
# result, in its last line, is ours. Without words it boots from its first disk.
machine() {
    local console=$dir/console
    : >"$console"
    if [ "$1" = uml ]; then user_mode "${@:2}"; else emulated "$@"; fi
    tr -d '\r' <"$console" | grep -qx 'rescue: passed'
}

user_mode() {
    local limit=$1
    shift
    timeout -k 5 "$limit" "$root/usr/bin/linux.uml" "mem=${memory}M" "initrd=$dir/initramfs.gz" \
        "ubda=$dir/system.img" "ubdb=$dir/backup.img" "ubdc=$dir/raw.img" "ubdd=$dir/far.img" \
        con0=null,fd:1 con1=null con=null quiet panic=-1 "$@" </dev/null >"$console" 2>"$dir/qemu.log" || true
}

# The kernel does not try its timer: a busy machine emulates one that is too late for that.
emulated() {
    local accel=$1 cpu=max started=() limit=$2
    local fourth=loader.tar,if=virtio,format=raw,readonly=on
    [ -z "$year" ] || fourth=far.img,if=virtio,format=raw,cache=unsafe
    shift 2
    [ "$accel" = tcg ] || cpu=host
    [ $# = 0 ] || started=(-kernel "$root"/boot/vmlinuz-* -initrd "$dir/initramfs.gz"
        -append "console=ttyS0 quiet panic=-1 no_timer_check $*")
    timeout -k 5 "$limit" "${emulator[@]}" -accel "$accel" -cpu $cpu -m $memory -smp 2 \
        -nodefaults -no-reboot -display none -monitor none -serial "file:$console" \
        "${started[@]}" \
        -drive "file=$dir/system.img,if=virtio,format=raw,cache=unsafe" \
        -drive "file=$dir/backup.img,if=virtio,format=raw,cache=unsafe" \
        -drive "file=$dir/raw.img,if=virtio,format=raw,cache=unsafe" \
        -drive "file=$dir/$fourth" \
        -nic user,model=virtio-net-pci </dev/null 2>"$dir/qemu.log" || true
}

new_disk() {
    rm -f "$1"
    truncate -s 1G "$1"
}

# KVM may be there and yet not run a machine.
accelerator() {
    if [ -n "${RESCUE_ACCEL-}" ]; then
        echo "$RESCUE_ACCEL"
    elif [ -w /dev/kvm ] && machine kvm 20 stage=probe; then
        echo kvm
    else
        echo tcg
    fi
}

start_server() {
    local port=$((20000 + RANDOM % 10000))
    server=$dir/server
    rm -rf "$server" # what a run that failed left is in the way
    tests/servers/seaweedfs.sh start "$port" "$server"
    trap 'tests/servers/seaweedfs.sh stop "$server"' EXIT
    local tries
    for ((tries = 0; tries < 60; tries++)); do
        if make_bucket "$((port + 1))"; then
            s3=s3=$port
            return
        fi
        sleep 0.5
    done
    die "the S3 server is not ready: $(tail -3 "$server/log")"
}

make_bucket() {
    echo 's3.bucket.create -name rescue' |
        timeout 20 "$BUTTERSINK_SERVERS"/seaweedfs-*/bin/weed shell -master="127.0.0.1:$1.$(($1 + 1))" \
            >"$dir/bucket.log" 2>&1 && ! grep -qi error "$dir/bucket.log"
}

# Streams that are received by ourselves and by btrfs-progs, and compared.
suite() {
    say "the suite of our own receive (with $accel)"
    machine "$accel" 1800 stage=suite || {
        tr -d '\r' <"$dir/console" | tail -60 >&2
        die "the suite did not pass; the console: $dir/console"
    }
    tr -d '\r' <"$dir/console" | grep '^test ' >&2
}

# As fast as it goes; a day is one backup.
months() {
    local days=${RESCUE_DAYS:-150} words
    words=("days_of_months=$days" "seed=${BUTTERSINK_TORTURE_SEED-}")
    say "backups of $days days (with $accel)"
    machine "$accel" $((60 + 20 * days)) stage=months "${words[@]}" || {
        tail -60 "$dir/console" >&2
        tail -3 "$dir/qemu.log" >&2
        die "what must be there is not; the console: $dir/console"
    }
    tr -d '\r' <"$dir/console" | sed -n '/^rescue: [0-9]* backups/p' >&2
}

# What was there after each run is held against what must have been.
a_year() {
    say "scheduled backups of $year days (with $accel)"
    machine "$accel" $((60 + 20 * year)) stage=year || {
        tail -60 "$dir/console" >&2
        tail -3 "$dir/qemu.log" >&2
        die "the machine did not come to the end; its console: $dir/console"
    }
    python3 contrib/rescue-year.py check "$dir/plan" "$dir/console" >&2 ||
        die "not what must be there is; the console: $dir/console"
}

# Histories end after their time, and those that fail are made small.
torture() {
    local words=("minutes=$torture" "seed=${BUTTERSINK_TORTURE_SEED-}")
    [ -z "${BUTTERSINK_TEST_NO_MENDING-}" ] || words+=(mending=no)
    say "histories for $torture minutes (with $accel)"
    machine "$accel" $((60 * torture + 2400)) stage=torture "${words[@]}" || {
        tr -d '\r' <"$dir/console" >&2
        tail -3 "$dir/qemu.log" >&2
        die "the histories did not pass; the console: $dir/console"
    }
    tr -d '\r' <"$dir/console" | sed -n '/^rescue: running/p; /^histories from/,/ histories, /p' >&2
}

stage() { must_pass "$1" "stage=$1" "$s3" "${@:2}"; }

# must_pass NAME WORD…: of a machine.
must_pass() {
    say "$1 (with $accel)"
    if ! machine "$accel" $limit "${@:2}"; then
        tail -60 "$dir/console" >&2
        tail -3 "$dir/qemu.log" >&2
        die "the machine '$1' did not say that it passed; its console: $dir/console"
    fi
    mv "$dir/console" "$dir/console-$1"
}

[ "$(uname -m)" = x86_64 ] || die 'the machines are x86-64'
needs btrfs mkfs.btrfs apt-get dpkg-deb ldd gzip
torture=${RESCUE_TORTURE-} year=${RESCUE_YEAR-}
if [ -n "$year" ]; then
    needs python3 sshd ssh ssh-keygen
    memory=2048
fi
if [ -n "$torture" ]; then
    needs "${CARGO:-cargo}" python3 losetup
    memory=2048
fi
if [ "${RESCUE_ACCEL-}" = uml ] && [ -z "$year" ]; then die 'user-mode Linux is for RESCUE_YEAR'; fi
unpack_packages
[ "${RESCUE_ACCEL-}" != uml ] || user_mode_linux
initramfs whole
[ -n "$year" ] || loader
emulator
s3=
[ "${RESCUE_S3-}" = no ] || [ -n "$torture$year" ] || start_server
for disk in system backup raw; do new_disk "$dir/$disk.img"; done
if [ -n "$year" ]; then
    new_disk "$dir/far.img"
    truncate -s 64M "$dir/raw.img" # which is soon full
fi
"$(find "$root" -name mkfs.fat)" "$dir/raw.img" >"$dir/mkfs.log"
accel=$(accelerator)
if [ -n "$year" ]; then
    a_year
    rm -f "$dir"/{system,backup,raw,far}.img
    say passed
    exit
fi
if [ -n "$torture" ]; then
    suite
    months
    [ "$torture" = 0 ] || torture
    rm -f "$dir"/{system,backup,raw}.img
    say passed
    exit
fi
stage before
new_disk "$dir/system.img" # the loss
stage after
stage boot root=/dev/vda1 rootflags=subvol=root
must_pass loader # by GRUB, which the page's commands have installed
if [ -n "$s3" ]; then
    new_disk "$dir/system.img"
    stage after_bucket
fi
initramfs bare
for machine in bare bare_again; do
    new_disk "$dir/system.img"
    mkfs.btrfs -q "$dir/system.img" # by another machine than the one that needs it
    stage $machine
done
rm -f "$dir"/{system,backup,raw}.img
grep -h '^rescue: running' "$dir/console-after" "$dir/console-bare" >&2
say passed
