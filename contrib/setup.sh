#!/usr/bin/env bash
# Installs what `make demo` and `make check` run and this machine lacks, and with the word fuzz or bench what
# `make fuzz` needs beside that, or `make bench` compares with. Only root on a system with apt-get installs
# anything; everybody else is told what is missing.
# SETUP=no keeps it from installing. Exit 0: all there. Exit 1: something is still missing.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

# A program, and the Debian package that has it.
needs='
btrfs btrfs-progs
mkfs.btrfs btrfs-progs
mkfs.ext4 e2fsprogs
mkfs.exfat exfatprogs
mount.exfat-fuse exfat-fuse
losetup mount
mount mount
setfattr attr
getfattr attr
setfacl acl
setcap libcap2-bin
strace strace
mandoc mandoc
make make
python3 python3
jq jq
pip3 python3-pip
openssl openssl
ssh openssh-client
ssh-keygen openssh-client
'
case ${1-} in
fuzz) needs+='
c++ g++
' ;;
bench) needs+='
btrbk btrbk
restic restic
rsync rsync
sshd openssh-server
' ;;
esac

missing() { # programs, or with "packages" what to install for them
    local program package
    while read -r program package; do
        [ -z "$program" ] || command -v "$program" >/dev/null ||
            if [ "${1-}" = packages ]; then echo "$package"; else echo "$program"; fi
    done <<<"$needs" | sort -u | tr '\n' ' '
}

install_packages() {
    local packages
    packages=$(missing packages)
    echo "setup: installing ${packages% }" >&2
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # a list of words
    { apt-get -q update && apt-get -q install -y --no-install-recommends $packages; } >&2
}

[ -n "$(missing)" ] || exit 0
if [ "$(id -u)" = 0 ] && [ "${SETUP-}" != no ] && command -v apt-get >/dev/null; then
    install_packages || echo 'setup: apt-get failed' >&2
fi
left=$(missing)
[ -n "$left" ] || exit 0
echo "setup: missing: ${left% } (Debian's packages: $(missing packages | sed 's/ $//'))" >&2
[ "$(id -u)" = 0 ] || echo 'setup: as root, make setup installs them' >&2
exit 1
