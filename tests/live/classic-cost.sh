#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The classic loop has no hidden cost: each packet takes one receive and one send, and the library executes few
# instructions compared with those system calls. This test counts; bench/ measures time. The cost of 500 packets is that
# of 600 minus that of 100, so opening and closing are not included.
. "$IPQ_LIVE/lib.sh"

LOOP=$CLASSIC_LOOP
! grep -q __asan_init "$LOOP" || skip "a sanitizer is built in: its cost would be counted"
queue OUTPUT -p udp --dport 7000

# through PACKETS COMMAND...: runs the command and sends it this number of packets, and a last one that ends it.
through() {
	packets=$1
	shift
	start "$@"
	wait_for_queue
	$TRAFFIC udp -n "$packets" -s 64 7000 >/dev/null || fail "$packets packets did not arrive past: $*"
	[ "$($TRAFFIC say 7000 'the end')" = "the end" ] || fail "the last packet did not arrive past: $*"
	wait $started || fail "$* failed: $(cat "$log")"
	started=
}

# calls FILE COLUMN CALL...: prints how often these calls were made (COLUMN 4) or failed (5), from the output of
# strace -c. Without CALL: the total.
calls() {
	file=$1
	column=$2
	shift 2
	awk -v wanted=" $* " -v column="$column" '$1 ~ /^[0-9.]+$/ && $4 ~ /^[0-9]+$/ && $NF != "total" &&
		(wanted == "  " || index(wanted, " " $NF " ")) { sum += column == 4 || NF == 6 ? $column : 0 }
		END { print sum + 0 }' "$file"
}

# grown COLUMN CALL...: prints the difference between 600 packets and 100.
grown() {
	echo $(($(calls $work/many "$@") - $(calls $work/few "$@")))
}

# a_packet WHAT CALLS CALL...: expects this number of successful calls for each of the 500 packets.
a_packet() {
	what=$1
	expected=$2
	shift 2
	if [ $(($(grown 4 "$@") - $(grown 5 "$@"))) -eq $((500 * expected)) ]; then
		ok "$what"
	else
		fail "$what: $(grown 4 "$@") calls for 500 packets, $(grown 5 "$@") of them failed"
		cat $work/many
	fi
}

count_system_calls() {
	through 100 strace -f -c -o $work/few $LOOP $1
	through 600 strace -f -c -o $work/many $LOOP $1
	a_packet "$1: one receive a packet" 1 recvfrom recvmsg recvmmsg read readv
	a_packet "$1: one send a packet" 1 sendto sendmsg sendmmsg write writev
	a_packet "$1: no other system call" 2
	# Once per clock tick the library checks for changed interfaces. The check fails, because there is no event.
	expect "$1: hardly any failed call: $(grown 5)" [ "$(grown 5)" -le "$2" ]
}

instructions() {
	sed -n 's/^summary: *//p; s/^totals: *//p' "$1" | tail -n 1
}

# count_instructions MODE: sets $each to the instructions in user space per packet, for 500 packets.
count_instructions() {
	for packets in 100 600; do
		through $packets valgrind -q --tool=callgrind --callgrind-out-file=$work/callgrind.$packets $LOOP $1
	done
	each=$((($(instructions $work/callgrind.600) - $(instructions $work/callgrind.100)) / 500))
	ok "$1: $each instructions a packet"
}

tried=
if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
	tried=yes
	count_system_calls byhand 0 # a loop with known costs, to check the counting itself
	count_system_calls libipq 500
else
	echo "system calls not counted: no strace that works here"
fi

if command -v valgrind >/dev/null && valgrind -q true 2>/dev/null; then
	tried=yes
	count_instructions byhand
	byhand=$each
	count_instructions libipq
	# The kernel takes about 3,500 ns for a packet; the library must add much less.
	expect "libipq: fewer than 1,500 instructions more than by hand" [ $((each - byhand)) -lt 1500 ]
else
	echo "instructions not counted: no valgrind that works here"
fi
[ -n "$tried" ] || skip "neither strace nor valgrind works here"
finish
