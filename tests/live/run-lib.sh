# SPDX-License-Identifier: LGPL-2.1-or-later
# For the tests of ipq run; source it after lib.sh. Compiles the old-style programs statically, as they were in 2001.
# $clients is the list of those that could be built here, $RAW the native one. If $IPQ_CLIENTS is set (machines without
# a compiler: tests/vm), they are in that directory.

here=${IPQ_LIVE:?}
clients=
build_client() {
	name=$1
	shift
	if [ -n "${IPQ_CLIENTS:-}" ]; then
		cp "$IPQ_CLIENTS/$name" "$work/$name" 2>/dev/null || lacks "it was not prepared in $IPQ_CLIENTS" || return 0
	else
		${CC:-cc} -O1 -g -D_GNU_SOURCE -static "$@" -I"$here/../../include" -o "$work/$name" \
			"$here/run-client.c" -lpthread 2>"$work/$name.errors" || lacks "this compiler cannot build it" || return 0
	fi
	[ "$(status_of "$work/$name" runs)" = 42 ] || lacks "this kernel does not run such programs" || return 0
	clients="$clients $work/$name"
}

lacks() {
	echo "not tested: $name, $1"
	[ ! -s "$work/$name.errors" ] || cat "$work/$name.errors"
	[ "$name" != raw-native ] || skip "no program to run"
	return 1
}

# status_of COMMAND...: prints its exit status.
status_of() {
	"$@" >/dev/null 2>&1
	echo $?
}

build_client raw-native
RAW=$work/raw-native
if [ "$(uname -m)" = x86_64 ]; then
	build_client raw-32 -m32
	build_client raw-32-socketcall -m32 -DVIA_SOCKETCALL
fi

# alive NAME: prints how many processes have this name.
alive() {
	cat /proc/[0-9]*/comm 2>/dev/null | grep -cx "$1"
}

# until_gone NAME: waits until no process has this name, at most 5 s.
until_gone() {
	tries=250
	while [ "$(alive "$1")" -gt 0 ]; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.02
	done
}

# until_there FILE: waits until the file exists, at most 5 s.
until_there() {
	tries=250
	while [ ! -e "$1" ]; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.02
	done
}
