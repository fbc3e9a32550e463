#!/usr/bin/env bash
# make deb: a Debian package of the static programs, for any release, in target/deb/.
# DEBFULLNAME and DEBEMAIL, as for Debian's own tools, say who makes it.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
description=$(sed -n 's/^description = "\(.*\)"/\1/p' Cargo.toml)
who="${DEBFULLNAME:-The buttersink authors} <${DEBEMAIL:-buttersink@localhost.localdomain}>"
short=${description%%:*} # without the list of places
arch=$(dpkg --print-architecture)
tree=$target/deb/tree
doc=$tree/usr/share/doc/buttersink
time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

rm -rf "$target/deb"
make -s install DESTDIR="$tree" PREFIX=/usr FROM="$target/static" \
    ZSHDIR=/usr/share/zsh/vendor-completions SYSTEMDUNITDIR=/lib/systemd/system >/dev/null
mkdir -p "$doc" "$tree/DEBIAN" "$tree/usr/share/lintian/overrides"
find "$tree/usr/share/man" -type f -exec gzip -9n {} +
cp README.md COPYING "$doc"
gzip -9nc CHANGELOG.md >"$doc/CHANGELOG.md.gz"
{
    printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n'
    printf 'Files: *\nCopyright: %s, the buttersink authors\n' "$(date -ud "@$time" +%Y)"
    printf 'License: GPL-3+\n\n'
    printf 'License: GPL-3+\n The whole text is in /usr/share/common-licenses/GPL-3. The crates\n'
    printf ' that are linked into the programs have licences of their own, which are in\n'
    printf ' /usr/share/doc/buttersink/licences.gz; Apache-2.0 is also in\n'
    printf ' /usr/share/common-licenses/Apache-2.0.\n'
} >"$doc/copyright"
contrib/licences.sh | gzip -9n >"$doc/licences.gz"
{
    printf 'buttersink (%s) unstable; urgency=medium\n\n  * See README.md.\n\n' "$version"
    printf ' -- %s  %s\n' "$who" "$(LC_ALL=C date -uRd "@$time")"
} | gzip -9n >"$doc/changelog.gz"
{
    for program in "$tree"/usr/bin/*; do
        echo "# ${program##*/} is static, to run in any rescue system, and can be loaded anywhere, as a library can."
        echo "buttersink: shared-library-lacks-prerequisites [usr/bin/${program##*/}]"
    done
    echo '# The whole text goes along wherever the programs go.'
    echo 'buttersink: extra-license-file [usr/share/doc/buttersink/COPYING]'
    if [ -z "${DEBEMAIL-}" ]; then
        echo '# Nobody said who makes this package.'
        echo 'buttersink: bogus-mail-host *'
        echo 'buttersink: bogus-mail-host-in-debian-changelog *'
    fi
} >"$tree/usr/share/lintian/overrides/buttersink"
find "$tree/etc" -type f -printf '/etc/%P\n' | LC_ALL=C sort >"$tree/DEBIAN/conffiles"
cat >"$tree/DEBIAN/control" <<END
Package: buttersink
Version: $version
Architecture: $arch
Maintainer: $who
Installed-Size: $(du -k -s --apparent-size "$tree/usr" | cut -f 1)
Depends: btrfs-progs
Recommends: openssh-client
Suggests: sudo
Section: admin
Priority: optional
Description: ${short,}
 It brings sets of read-only snapshots from one btrfs filesystem to another,
 through ssh, or to a bucket of S3, with as few bytes as possible, and says
 that it is done when they are whole and on the disk. The package also holds
 btrfslist, which shows subvolumes in detail, and checksumdir, which shows
 whether two directory trees are the same.
END
(cd "$tree" && find . -path ./DEBIAN -prune -o -type f -printf '%P\n' | LC_ALL=C sort | xargs md5sum) \
    >"$tree.sums"
mv "$tree.sums" "$tree/DEBIAN/md5sums"
chmod -R u=rwX,go=rX "$tree"
SOURCE_DATE_EPOCH=$time dpkg-deb --root-owner-group -b "$tree" "$target/deb" >/dev/null
rm -r "$tree"
package=$target/deb/buttersink_${version}_$arch.deb
echo "$package: $(stat -c %s "$package") bytes"
if command -v lintian >/dev/null; then
    lintian --allow-root --fail-on error,warning "$package"
else
    echo 'deb: not checked: needs lintian' >&2
fi
