#!/usr/bin/env bash
# The command line of AWS, no server: what people copy buckets with. From PyPI; `python3 -m awscli` with
# PYTHONPATH=$BUTTERSINK_SERVERS/awscli-VERSION.
NAME=awscli
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
VERSION=1.46.2
home=$servers/$NAME-$VERSION

installed() { [ -e "$home/awscli/__main__.py" ]; }

install_it() {
	local new
	new=$(mktemp -d "$servers/new.XXXXXX")
	python3 -m pip install --quiet --only-binary=:all: --root-user-action=ignore \
		--target "$new/home" "$NAME==$VERSION" >&2
	mv "$new/home" "$home"
	rm -r "$new"
}

main "$@"
