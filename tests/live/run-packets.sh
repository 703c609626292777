#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Static programs without libipq, of both word sizes, decide real packets under ipq run.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/run-lib.sh"
queue OUTPUT -p udp --dport 7000
queue6 OUTPUT -p udp --dport 7006

for client in $clients; do
	name=$(basename "$client")
	expect "$name: the kernel's own netlink sockets answer as the test believes" "$client" probe-kernel
	expect "$name: its ip_queue socket answers like them" $IPQ run "$client" probe
	expect "$name: other sockets are left alone" $IPQ run "$client" unrelated

	start timeout ${IPQ_PATIENCE:-30} $IPQ run -- "$client" accept 500
	wait_for_queue
	expect "$name: accepted datagrams of all sizes arrive" $TRAFFIC udp -n 500 -s 0-60000 7000
	wait $started
	expect_text "$name: ends when it likes" 0 echo $?
	expect_text "$name: has seen every packet" "500 packets" cat "$log"
	started=

	start timeout ${IPQ_PATIENCE:-30} $IPQ run -- "$client" drop 0
	wait_for_queue
	expect "$name: dropped datagrams do not arrive" $TRAFFIC udp -n 50 -e 0 -w 300 7000
	stop TERM 143 # the program dies by the signal, and ipq run exits with the program's status
	expect "$name: its end frees the queue" wait_for_no_queue

	start timeout ${IPQ_PATIENCE:-30} $IPQ run --log "$work/log" -- "$client" both 200
	wait_for_queue
	sleep 0.1 # time for the request of the second family
	expect "$name: IPv4 datagrams arrive" $TRAFFIC udp -n 200 7000
	expect "$name: IPv6 datagrams arrive" $TRAFFIC udp -a ::1 -n 200 7006
	wait $started
	expect_text "$name: two threads, two families" "200 IPv4 and 200 IPv6 packets" cat "$log"
	started=
	expect "$name: the log adds up" grep -q "IPv6: 200 packets, 200 accepted" "$work/log"
	rm -f "$work/log"

	for how in msg peek "from --exact"; do
		set -- $how
		case $how-$name in peek-*socketcall) continue ;; esac
		start timeout ${IPQ_PATIENCE:-30} $IPQ run ${2:-} -- "$client" address $1 100
		wait_for_line waits
		expect "$name: accepted datagrams arrive ($how)" $TRAFFIC udp -n 100 -s 0-60000 -w 200 7000
		wait $started
		expect_text "$name: the sender's address is netlink's ($how)" 0 echo $?
		cat "$log"
		started=
	done
done

if [ "$(uname -m)" = x86_64 ]; then
	expect "an x32 program is refused" $IPQ run --log "$work/log" "$RAW" x32
	expect "the log names the reason" grep -q "runs an x32 program" "$work/log"
	rm -f "$work/log"
fi

cat >"$work/peer.sh" <<'END'
$1 accept 1 >/dev/null &
for i in $(seq 100); do
	case $(cat /proc/net/ip_queue) in *"Copy mode         : 2"*) break ;; esac
	sleep 0.05
done
sed "s/: $!\$/: the program/" /proc/net/ip_queue
tail -n 1 /proc/net/ip6_queue
cat /proc/net/ip5_queue 2>/dev/null || echo no ip5_queue
kill $!
END
expect_text "children of the program read /proc/net/ip_queue" "Peer PID          : the program
Copy mode         : 2
Copy range        : 0
Queue length      : 0
Queue max. length : 1024
Queue dropped     : 0
Netlink dropped   : 0
Netfilter dropped : 0
no ip5_queue" $IPQ run -- sh "$work/peer.sh" "$RAW"

# The privileges of a process depend on its own namespaces.
if unshare -U -r true 2>/dev/null; then
	expect_text "a program in a user namespace of its own has no right to the queue" "refused: Operation not permitted" \
		sh -c "$IPQ run --log $work/log -- unshare -U -r $RAW accept 1 2>&1; true"
	expect "the log says so" grep -q "opened ip_queue (64-bit), without CAP_NET_ADMIN\|(32-bit), without" $work/log
	rm -f $work/log
fi
if unshare -p -f true 2>/dev/null; then
	expect "a program in a process namespace of its own gets netlink's answers" \
		$IPQ run --log $work/log -- unshare -p -f "$RAW" probe
	expect "it has its number there" grep -q "process 1 opened ip_queue" $work/log
	rm -f $work/log
fi

start timeout ${IPQ_PATIENCE:-30} $IPQ run -- sh -c "env $RAW accept 100"
wait_for_queue
expect "children of the program receive packets" $TRAFFIC udp -n 100 7000
stop
finish
