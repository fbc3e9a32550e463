#!/usr/bin/env bash
# Ceph's radosgw: a second, independent S3 server, in C++. From Debian's packages (apt checks their
# signatures), unpacked below a directory and not installed. Takes 41 ports from the one given.
NAME=radosgw
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
VERSION=16.2
home=$servers/$NAME-$VERSION
lib=$home/usr/lib/$(uname -m)-linux-gnu

installed() { [ -x "$home/usr/bin/radosgw" ]; }

fetch() {
	apt-get install --yes --quiet --download-only --no-install-recommends \
		-o Dir::Cache::archives="$1/" \
		"radosgw=$VERSION.*" "ceph-mon=$VERSION.*" "ceph-osd=$VERSION.*" >"$1/log" 2>&1
}

install_it() {
	local new package
	new=$(mktemp -d "$servers/new.XXXXXX")
	mkdir -p "$new/packages/partial" "$new/home"
	fetch "$new/packages" || { apt-get update --quiet >&2 && fetch "$new/packages"; } ||
		{ cat "$new/packages/log" >&2; die "apt cannot fetch the packages"; }
	for package in "$new"/packages/*.deb; do dpkg -x "$package" "$new/home"; done
	mv "$new/home" "$home"
	rm -r "$new"
}

configure() {
	cat >"$dir/ceph.conf" <<-END
		[global]
		fsid = $cluster
		mon_host = [v2:127.0.0.1:$((port + 1)),v1:127.0.0.1:$((port + 2))]
		mon_initial_members = a
		auth_cluster_required = none
		auth_service_required = none
		auth_client_required = none
		ms_mon_client_mode = crc
		public_addr = 127.0.0.1
		cluster_addr = 127.0.0.1
		ms_bind_port_min = $((port + 10))
		ms_bind_port_max = $((port + 40))
		osd_pool_default_size = 1
		osd_pool_default_min_size = 1
		osd_pool_default_pg_num = 8
		osd_pool_default_pgp_num = 8
		mon_allow_pool_size_one = true
		osd_crush_chooseleaf_type = 0
		erasure_code_dir = $lib/ceph/erasure-code
		plugin_dir = $lib/ceph
		osd_class_dir = $lib/rados-classes
		admin_socket = $dir/run/\$name.asok
		run_dir = $dir/run
		pid_file = $dir/run/\$name.pid
		log_file = $dir/run/\$name.log
		crash_dir = $dir/run
		keyring = $dir/keyring
		mon_cluster_log_file = $dir/run/cluster.log
		mon_data_avail_crit = 1
		mon_data_avail_warn = 2
		[mon]
		mon_data = $dir/mon
		[osd]
		osd_data = $dir/osd
		osd_objectstore = bluestore
		bluestore_block_size = 8589934592
		osd_memory_target = 939524096
		osd_op_num_shards = 2
		[client]
		rgw_data = $dir/rgw
		rgw_frontends = beast endpoint=127.0.0.1:$port
		rgw_thread_pool_size = 64
		rgw_gc_obj_min_wait = 5
		rgw_gc_processor_period = 30
		rgw_crypt_require_ssl = false
	END
}

ceph_env() {
	env LD_LIBRARY_PATH="$lib:$lib/ceph:$home/usr/lib/ceph:$home/lib/$(uname -m)-linux-gnu" \
		PYTHONPATH="$home/usr/lib/python3/dist-packages" CEPH_CONF="$dir/ceph.conf" \
		PATH="$home/usr/bin:$PATH" "$@"
}

once() { ceph_env timeout 120 "$@" >>"$dir/log" 2>&1; }

# The tool is a script for Debian's own Python.
admin() { once /usr/bin/python3 "$home/usr/bin/ceph" "$@"; }

first_monitor() {
	once monmaptool --create --clobber --fsid "$cluster" \
		--addv a "[v2:127.0.0.1:$((port + 1)),v1:127.0.0.1:$((port + 2))]" "$dir/monmap"
	once ceph-mon -i a --mkfs --monmap "$dir/monmap"
}

first_disk() {
	admin osd new "$disk"
	once ceph-osd -i 0 --mkfs --osd-uuid "$disk"
	admin osd crush add 0 1.0 root=default host=localhost
}

first_user() {
	once radosgw-admin user create --uid=test --display-name=test \
		--access-key="$access_key" --secret-key="$secret_key"
	touch "$dir/ready"
}

# One monitor, one disk in a sparse file and one gateway, without Ceph's own authentication.
start_it() {
	port=$1 cluster=11111111-2222-3333-4444-555555555555 disk=22222222-2222-3333-4444-555555555555
	mkdir -p "$dir"/{mon,osd,run,rgw}
	touch "$dir/keyring"
	configure
	[ -e "$dir/ready" ] || first_monitor
	service ceph-mon -i a -f
	[ -e "$dir/ready" ] || first_disk
	service ceph-osd -i 0 -f
	[ -e "$dir/ready" ] || first_user
	service radosgw -n client.admin -f
}

service() {
	local program=$1
	shift
	run env LD_LIBRARY_PATH="$lib:$lib/ceph:$home/usr/lib/ceph:$home/lib/$(uname -m)-linux-gnu" \
		CEPH_CONF="$dir/ceph.conf" "$home/usr/bin/$program" "$@"
}

main "$@"
