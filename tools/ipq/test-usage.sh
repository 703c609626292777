#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-usage.sh IPQ: each mistake on the command line must end ipq with exit status 2 before anything is done.
set -u
ipq=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# refused TEXT ARGUMENT...: ipq must exit with status 2 and print TEXT on standard error.
refused() {
	text=$1
	shift
	timeout 10 "$ipq" "$@" >"$work/out" 2>"$work/error"
	status=$?
	if [ $status -ne 2 ] || ! grep -qF -- "$text" "$work/error"; then
		echo "ipq $*: exit status $status, not 2, or no «$text»:"
		cat "$work/error"
		failed=1
	fi
}

refused 'options come first' filter drop --json
refused 'options come first' filter --json 'drop tcp port 23' --quiet
refused '--record selects packets for -w' filter --record drop drop
refused 'Is a directory' filter --source pcap:/dev/null -f "$work"
refused 'is not a hook' filter --on INPTU --dry-run drop
refused 'is not a hook' watch --on INPTU --dry-run
refused 'did you mean "port"?' filter 'drop tcp prot 23'
refused 'did you mean "port"?' watch tcp prot 23
refused 'unknown option "--jsno": did you mean "--json"?' filter --jsno drop
refused 'unknown option "-z"' watch -z
refused '"-f" needs a value' filter -f
refused 'did you mean "filter"?' fliter
refused 'rule 3: ' filter 'dorp' 'accept' 'drop port'
grep -q 'rule 1: ' "$work/error" || failed=1
refused '"vlan" never matches' filter 'drop vlan 5'
refused 'ifindex' filter 'drop ifindex 1'
refused 'for ever' filter --check 'repeat 0'
refused 'queued again for ever' filter --check --queue 5 'queue 5 udp'
refused 'no other queue' filter --source pcap:/dev/null 'queue 5 udp'
refused 'no owners' filter --source pcap:/dev/null 'drop uid 0'
refused 'no rules in it' filter --check -f /dev/null
refused '"log" needs every packet' filter --check 'log udp port 53' 'accept flow udp'
refused '"rewrite" needs every packet' filter --check 'drop flow udp src port 53' 'rewrite /a/b/ udp dst port 53'
refused '"mark" needs every packet' filter --check 'mark 7, accept flow'
refused 'records every packet' filter --check -w "$work/x" 'accept flow udp'

# --help and -V work at any position, except after the program of ipq run.
for place in 'filter --on INPUT drop --help' 'watch -c 5 --help' 'status --json --help' 'run --help'; do
	"$ipq" $place >"$work/help" && grep -q '^Usage: ipq ' "$work/help" || { echo "ipq $place: no help"; failed=1; }
done
for place in -V 'filter -V' 'filter drop --version'; do
	[ "$("$ipq" $place)" = "$("$ipq" --version)" ] || { echo "ipq $place: no version"; failed=1; }
done
"$ipq" filter --check 'log tcp' 'accept flow udp' >"$work/out" || failed=1
"$ipq" filter --check --on INPUT 'drop tcp dst port 23' 'mark 7, delay 5ms if in eth0' >"$work/out" || failed=1
grep -q '2 rules are correct' "$work/out" || failed=1

refused 'bits 0xff000000 of packet marks' filter --on INPUT --dry-run 'mark 0x1000001 tcp'
refused '4 to 31 adjacent bits' filter --on INPUT --mark-bits 0xff00ff --dry-run drop
refused '4 to 31 adjacent bits' filter --on INPUT --mark-bits 0x7 --dry-run drop
refused 'need --on HOOK' filter --keep-rules drop
for alone in --bypass --dry-run --via=nftables --mark-bits=0xf; do
	refused 'need --on HOOK' filter $alone drop
done
refused 'cannot be used with --source' filter --source pcap:/dev/null --on INPUT drop
refused 'cannot be used with --source' filter --source pcap:/dev/null --queue 5 drop
for queues in 65536 0-65536 3-2 5- -5 5x 5-6x x ''; do
	refused 'a queue number or a range is needed' filter --queue "$queues" drop
done
refused '64 queues at most' filter --queues 0-64 drop
refused 'queue 65535 is reserved' filter --on INPUT --queues 65534-65535 drop
refused '--via is nftables' filter --via iptable --on INPUT drop
refused 'an NFLOG group from 0 to 65535' watch -g 65536
refused 'a number, 1 or more' watch -c 0
refused 'a number, 1 or more' watch -c 5x
refused 'only one of' watch -s nflog:5 -g 5
refused 'only one of' watch -r file -g 5
refused 'must not have a comma' watch -r a,b
refused 'need -w FILE' watch -C 5
refused '-W needs -C' watch -W 5 -w file
refused 'only the last part' watch -G 5 -w %H/file
refused 'unknown option' clean --nonsense
for queues in 0-256 65536 3-2 5- x; do
	refused 'a number up to 65535, or a range of up to 256' keep --queue $queues -- true
done
refused 'a time such as' keep --patience 5x -- true
refused 'a number; 0 is no limit' keep --restart-limit x -- true
refused 'name the program to run' keep --queue 0-255

# If standard output is closed, ipq must not open another file as descriptor 1, and must report the failed write.
printf '\324\303\262\241\2\0\4\0\0\0\0\0\0\0\0\0\377\377\0\0\145\0\0\0' >"$work/in.pcap"
printf '\0\0\0\0\0\0\0\0\24\0\0\0\24\0\0\0' >>"$work/in.pcap"
printf 'E\0\0\24\0\0\0\0\100\1\0\0\12\0\0\1\12\0\0\2' >>"$work/in.pcap"
"$ipq" watch --quiet -s "pcap:$work/in.pcap" -w "$work/whole" >/dev/null
timeout 10 "$ipq" watch -s "pcap:$work/in.pcap" -w "$work/record" >&- 2>"$work/error"
if [ $? -ne 1 ] || ! grep -q 'not written' "$work/error" || ! cmp "$work/whole" "$work/record"; then
	echo "ipq watch with a closed standard output:"
	cat "$work/error"
	failed=1
fi
for command in "watch -s pcap:$work/in.pcap" "filter -s pcap:$work/in.pcap --json accept" 'doctor --program /bin/sh' help --help 'help filter' 'filter --help' --version; do
	timeout 60 "$ipq" $command >/dev/full 2>"$work/error"
	if [ $? -ne 1 ] || ! grep -q 'not written' "$work/error"; then
		echo "ipq $command to a full disk:"
		cat "$work/error"
		failed=1
	fi
done

# A mistake in a file of rules is reported with its line, and a file that is not text is refused.
printf 'drop udp dst port\naccept\n' >"$work/rules"
refused "rules, line 1:" filter --check -f "$work/rules"
printf 'accept\ndrop udp dst port\ndrop nonsense\naccept\n' >"$work/rules"
refused "rules, line 2:" filter --check -f "$work/rules"
refused "rules, line 3:" filter --check -f "$work/rules"
printf 'accept udp\n\0drop tcp\n' >"$work/rules"
refused 'this is not a text file' filter --check -f "$work/rules"

# Each help must fit into 80 columns and 24 lines, and have three examples. The help of clean, which has one option,
# needs none.
for command in '' watch filter run clean rules status doctor bench; do
	"$ipq" $command --help >"$work/help"
	if ! awk 'length > 80 { wide = 1 } END { exit wide || NR > 24 }' "$work/help"; then
		echo "ipq $command --help does not fit a screen"
		failed=1
	fi
	if [ "$command" != clean ] && [ "$(grep -cE '^  (sudo )?ipq ' "$work/help")" -lt 3 ]; then
		echo "ipq $command --help has not three examples"
		failed=1
	fi
done
exit $failed
