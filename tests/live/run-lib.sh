# SPDX-License-Identifier: LGPL-2.1-or-later
# For the tests of ipq run, after lib.sh: the old-style programs, compiled as theirs were, statically.
# $clients is the list of those that could be built here, $RAW the native one. They are taken from the directory
# $IPQ_CLIENTS where there is one (machines without a compiler: tests/vm).

here=${IPQ_LIVE:?}
clients=
build_client() {
	name=$1
	shift
	if [ -n "${IPQ_CLIENTS:-}" ]; then
		cp "$IPQ_CLIENTS/$name" "$work/$name" 2>/dev/null && clients="$clients $work/$name" && return
		[ "$name" != raw-native ] || skip "no raw-native in $IPQ_CLIENTS"
		echo "not tested: $name, not prepared"
	elif ${CC:-cc} -O1 -g -D_GNU_SOURCE -static "$@" -I"$here/../../include" -o "$work/$name" \
		"$here/run-client.c" -lpthread 2>"$work/$name.errors"; then
		clients="$clients $work/$name"
	elif [ "$name" = raw-native ]; then
		cat "$work/$name.errors"
		skip "no static C library"
	else
		echo "not tested: $name, this compiler cannot build it"
	fi
}

build_client raw-native
RAW=$work/raw-native
if [ "$(uname -m)" = x86_64 ]; then
	build_client raw-32 -m32
	build_client raw-32-socketcall -m32 -DVIA_SOCKETCALL
fi

# alive NAME: how many processes are called so.
alive() {
	cat /proc/[0-9]*/comm 2>/dev/null | grep -cx "$1"
}

# until_gone NAME: 5 s at most.
until_gone() {
	tries=250
	while [ "$(alive "$1")" -gt 0 ]; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.02
	done
}

# until_there FILE: 5 s at most.
until_there() {
	tries=250
	while [ ! -e "$1" ]; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.02
	done
}

# status_of COMMAND...: prints its exit status.
status_of() {
	"$@" >/dev/null 2>&1
	echo $?
}
