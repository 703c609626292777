# SPDX-License-Identifier: LGPL-2.1-or-later
# Under ipq run, a mode request that the program itself writes to the socket applies to packets that are sent after
# the call has returned.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/run-lib.sh"
queue OUTPUT -p udp --dport 7000
for client in $clients; do
	name=$(basename "$client")
	for how in sendto send sendmsg sendmmsg write; do
		for aspect in first other both change none; do
			expect "$name: $aspect, by $how" timeout 60 $IPQ run -- "$client" effect $aspect $how
		done
	done
	expect "$name: refusals" timeout 60 $IPQ run -- "$client" effect refusals
	expect "$name: changes with --exact" timeout 60 $IPQ run --exact -- "$client" effect change
	expect "$name: several messages of a call with --exact" timeout 60 $IPQ run --exact -- "$client" effect several
	expect "$name: changes with --restart" timeout 60 $IPQ run --restart -- "$client" effect change
	expect "$name: a first mode with --restart" timeout 60 $IPQ run --restart -- "$client" effect first
done
finish
