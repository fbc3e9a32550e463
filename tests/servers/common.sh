# shellcheck shell=bash disable=SC2034 # those who source this use them
# What the server scripts share; each sources this after setting NAME, and defines
# `installed`, `install_it` and `start_it PORT`.
#
#   SCRIPT install                put the pinned server into $BUTTERSINK_SERVERS
#   SCRIPT start PORT DIRECTORY   run it in the background with its data in DIRECTORY
#   SCRIPT stop DIRECTORY         ask it to end, then make it; the data stays
#   SCRIPT kill DIRECTORY         kill -9, as a power cut would; the data stays
#
# `start` returns once the processes run; who asked waits for the first good answer.
# DIRECTORY/pids holds one process id a line, DIRECTORY/log what they said.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
servers=${BUTTERSINK_SERVERS:-$here/../../target/servers}
access_key=${AWS_ACCESS_KEY_ID:-buttersinktest}
secret_key=${AWS_SECRET_ACCESS_KEY:-buttersink-test-secret}

die() {
	echo "$NAME: $*" >&2
	exit 1
}

# The id of a child in a session of its own is written down at once, so that stop finds it.
run() {
	setsid "$@" >>"$dir/log" 2>&1 </dev/null &
	echo $! >>"$dir/pids"
}

install() {
	mkdir -p "$servers"
	(
		flock 9 # two test runs may install at once
		installed || install_it
	) 9>"$servers/$NAME.lock"
}

start() {
	mkdir -p "$2"
	dir=$(cd "$2" && pwd)
	install
	# A server that sets SO_REUSEPORT would share a taken port without a word.
	if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then die "port $1 is in use"; fi
	: >"$dir/pids"
	start_it "$1"
}

# stop_it DIRECTORY SIGNAL: children were started in order, so they end in reverse.
stop_it() {
	dir=$(cd "$1" && pwd)
	[ -s "$dir/pids" ] || return 0
	local pid tries
	for pid in $(tac "$dir/pids"); do kill "-$2" "$pid" 2>/dev/null || true; done
	for pid in $(tac "$dir/pids"); do
		for ((tries = 0; tries < 40; tries++)); do
			kill -0 "$pid" 2>/dev/null || break
			sleep 0.05
		done
		kill -KILL "$pid" 2>/dev/null || true
	done
	rm -f "$dir/pids"
	cleanup
}

cleanup() { :; }

main() {
	case "${1:-} $#" in
	"install 1") install ;;
	"start 3") start "$2" "$3" ;;
	"stop 2") stop_it "$2" TERM ;;
	"kill 2") stop_it "$2" KILL ;;
	*) die "install | start PORT DIRECTORY | stop DIRECTORY | kill DIRECTORY" ;;
	esac
}
