#!/usr/bin/env bash
# make dist: the static programs with all that is installed beside them, as a tar file that is the
# same each time it is made of the same programs, and its checksum. In target/dist/.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
name=buttersink-$version-$(uname -m)-linux
tree=$target/dist/$name

rm -rf "$target/dist"
make -s install DESTDIR="$tree" PREFIX= FROM="$target/static" >/dev/null
doc=$tree/share/doc/buttersink
mkdir -p "$doc"
cp README.md CHANGELOG.md COPYING contrib/dependencies.txt "$doc"
contrib/licences.sh >"$doc/licences.txt"
(cd "$tree" && find . -type f -printf '%P\n' | LC_ALL=C sort | xargs sha256sum) >"$tree.sums"
mv "$tree.sums" "$tree/SHA256SUMS"
find "$tree" -exec touch -h -d "@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}" {} +
cd "$target/dist"
tar --sort=name --owner=0 --group=0 --numeric-owner --format=gnu -c "$name" | gzip -9n >"$name.tar.gz"
sha256sum "$name.tar.gz" >"$name.tar.gz.sha256"
rm -r "$tree"
echo "$target/dist/$name.tar.gz: $(stat -c %s "$name.tar.gz") bytes"
