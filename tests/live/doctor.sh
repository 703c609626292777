#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# ipq doctor must report all faults, and only faults, and return the right exit status.
. "$IPQ_LIVE/lib.sh"

# says RESULT CHECK TEXT [OPTION...]: doctor must print a line with these words.
says() {
	pattern="^$1 *$2 *.*$3"
	shift 3
	$IPQ doctor "$@" | grep -q -- "$pattern"
}
status_of() {
	"$@" >/dev/null 2>&1
	echo $?
}

nothing_waits() {
	[ "$(queue_column 3)" = 0 ]
}

expect "the kernel has nfnetlink_queue" says ok kernel nfnetlink_queue
expect "root of this namespace has the capability" says ok capability CAP_NET_ADMIN
expect "the namespace is not the machine's" says warning namespace namespace
expect "a tool that supports queues is found" says ok tools 'supports -j'
expect "without rules and programs it warns and shows a command" sh -c \
	"$IPQ doctor | grep -A1 '^warning *queue *no process owns queue 0' | grep -q '> sudo .*queue'"
expect_text "a warning alone exits with 0" 0 status_of $IPQ doctor
$iptables -w -S >$work/rules
$IPQ doctor >/dev/null
expect_text "the rules are unchanged" "" sh -c "$iptables -w -S | diff $work/rules -"

queue OUTPUT -p udp --dport 7000
expect "a rule without a program is a failure" says FAIL queue 'queue 0: no process owns it'
expect_text "a failure exits with 1" 1 status_of $IPQ doctor
remedy=$($IPQ doctor | grep -A1 'queue 0: no process' | sed -n 's/.*> \(.*iptables.* -D .*\)/\1/p')
start $IPQ watch --queue 0
wait_for_queue 0
owner="process $started (ipq)"
[ -n "$(cat $queue_table 2>/dev/null)" ] || owner="a process that is not visible"
expect "the owner of the queue is named" says ok queue "queue 0 is owned by $owner"
expect_text "a queue with rule and owner exits with 0" 0 status_of $IPQ doctor
expect "the command that removes the rule works" $remedy
expect "a program without a rule is a failure" says FAIL queue 'receives no packets'
expect_text "a failure exits with 1" 1 status_of $IPQ doctor
stop INT

# If packets cannot arrive or are not decided, the result is not "ok".
start $IPQ watch --queue 0
wait_for_queue 0
$iptables -w -I OUTPUT -p udp -m comment --comment "-j ACCEPT" -j ACCEPT
queue OUTPUT -p udp --dport 7000
expect "an earlier ACCEPT of all packets is a failure" says FAIL queue 'an earlier rule decides.*-A OUTPUT -p udp.*-j ACCEPT'
$iptables -w -D OUTPUT -p udp -m comment --comment "-j ACCEPT" -j ACCEPT
expect "without that rule the queue is ok" says ok queue 'queue 0 is owned by .*no packet has matched it so far'
expect "an IPv4 rule is for IPv4 only" says ok queue 'IPv4 only'
$TRAFFIC udp -n 3 7000 >/dev/null
expect "the rule's counter is shown" says ok queue '3 packets have matched it'
$iptables -w -I OUTPUT -p udp --dport 7001 -j ACCEPT
expect "an ACCEPT of other packets does not matter" says ok queue 'queue 0 is owned by'
$iptables -w -D OUTPUT -p udp --dport 7001 -j ACCEPT
queue OUTPUT -p tcp --dport 7000
$iptables -w -I OUTPUT -p tcp -j ACCEPT
expect "an ACCEPT before one of two rules is a warning" says warning queue "an earlier rule decides one rule's packets.*-A OUTPUT -p tcp -j ACCEPT"
$iptables -w -D OUTPUT -p tcp -j ACCEPT
queue OUTPUT -p tcp --dport 7000
expect "a rule after one that queues the same does not matter" says ok queue 'fed by 3 rules'
$iptables -w -I OUTPUT -j NFQUEUE --queue-num 3
expect "an earlier rule for another queue is a failure" says FAIL queue 'queue 0, owned by .*an earlier rule decides'
$iptables -w -D OUTPUT -j NFQUEUE --queue-num 3
$iptables -w -N mine
$iptables -w -F OUTPUT
$iptables -w -A mine -p udp --dport 7000 -j $queue_target
expect "a rule in a chain that no hook calls is a failure" says FAIL queue 'no hook calls the chain mine'
$iptables -w -A OUTPUT -j mine
expect "with a jump to it the queue is ok" says ok queue 'queue 0 is owned by'
if [ -n "$(cat $queue_table 2>/dev/null)" ]; then
	kill -STOP $started
	wait_until grep -q '^State:.*T' /proc/$started/status
	$TRAFFIC udp -n 3 -e 0 -w 100 7000 >/dev/null
	expect "an owner that does not read is a failure" says FAIL queue 'packets wait and none was decided'
	kill -CONT $started
	wait_until nothing_waits
	expect "after it has read the queue is ok" says ok queue 'queue 0 is owned by'
	$IPQ filter --queue 11 'accept' >$work/eleven 2>&1 &
	eleven=$!
	wait_for_queue 11
	$IPQ filter --on OUTPUT --quiet 'queue 11 udp dst port 7002' >$work/ten 2>&1 &
	ten=$!
	wait_for_rule OUTPUT
	$TRAFFIC udp -n 3 7002 >/dev/null
	expect "the target of another queue's verdict is no failure" says warning queue 'queue 11.*verdicts of another queue'
	kill -INT $ten $eleven
	wait $ten $eleven
fi
stop INT
$iptables -w -F
$iptables -w -X mine
start $IPQ filter --on INPUT 'drop udp dst port 7001'
wait_for_rule INPUT
expect "a queue of ipq filter is ok" says ok queue 'queue 61000 is owned by'
for tool in iptables-legacy iptables-nft; do
	$tool -w -t mangle -S ipq-61000 >/dev/null 2>&1 || continue
	$tool -w -t mangle -I INPUT -p udp -j ACCEPT
	expect "a rule that accepts packets before ipq filter is a warning" says warning queue \
		'packets that an earlier rule accepts bypass ipq: -A INPUT -p udp -j ACCEPT'
	$tool -w -t mangle -D INPUT -p udp -j ACCEPT
	expect "without that rule it is ok" says ok queue 'queue 61000 is owned by'
	$tool -w -t mangle -F ipq-61000
	[ ! -e /proc/net/if_inet6 ] ||
		expect "rules of ipq filter for one family only are a failure" says FAIL queue 'the rules of ipq for IPv4 are missing'
done
stop INT
start $IPQ filter --on INPUT 'drop udp dst port 7001'
wait_for_rule INPUT
stop KILL
expect "rules of a killed ipq filter are a failure" says FAIL queue 'queue 61000: blocked'
expect "the remedy is ipq clean" sh -c "$IPQ doctor | grep -A1 'blocked' | grep -q 'ipq clean'"
expect "status names it too" sh -c "$IPQ status | grep -q '^! queue 61000: blocked' && $IPQ status | grep -q 'ipq clean'"
$IPQ clean >/dev/null

if setpriv --help >/dev/null 2>&1; then
	expect "a missing capability is a failure" sh -c \
		"setpriv --bounding-set -net_admin --inh-caps -net_admin $IPQ doctor | grep -q '^FAIL *capability'"
fi

printf '#!/bin/sh\n# ip_queue\nmodprobe ip_queue\nmodprobe nfnetlink_queue my_ip_queue\ncat /proc/net/ip_queue\n' >$work/script
expect "modprobe ip_queue in a script is found" says warning script 'script:3: modprobe ip_queue' --script $work/script
expect "/proc/net/ip_queue in a script is found" says warning script 'script:5:' --script $work
expect "other lines of the script are not reported" sh -c "[ \$($IPQ doctor --script $work/script | grep -c $work/script) = 2 ]"
mkfifo $work/fifo
expect "a FIFO in the directory of scripts does not block" timeout 20 $IPQ doctor --script $work
expect_text "a missing script exits with 1" 1 status_of $IPQ doctor --script $work/nothing

expect "a program linked with libipq.so.0 gets this library" says ok run 'it uses this libipq' --program $DECIDE
expect "a program that reads the socket itself is recognised" says warning run 'does not call ipq_read' --program $OWN_READER
expect "its interface is recognised" says ok interface 'libipq, shared' --program $DECIDE
expect "a program without a queue interface is reported" says warning interface 'no sign' --program "$(command -v true | grep / || echo /bin/true)"
expect_text "a file that is no program exits with 1" 1 status_of $IPQ doctor --program /etc/passwd
expect_text "a missing program exits with 1" 1 status_of $IPQ doctor --program /nonexistent
# The smallest i386 program: doctor reports whether the kernel runs it.
if echo 'int main(void) { return 42; }' | ${CC:-cc} -m32 -static -x c -o $work/small - 2>/dev/null; then
	if [ "$(status_of $work/small)" = 42 ]; then
		expect "a 32-bit program that runs is ok" says ok program '32 bits' --program $work/small
	else
		expect "a 32-bit program that this kernel cannot run is a failure" says FAIL program 'cannot run 32-bit' --program $work/small
	fi
else
	echo "not tested: a 32-bit program: this compiler cannot build it"
fi
head -c 100 $DECIDE >$work/damaged
expect "a damaged program is a failure" says FAIL program damaged --program $work/damaged
for wrong in --nonsense "--queue 65536" "--queue x" extra; do
	expect_text "wrong option exits with 2: $wrong" 2 status_of $IPQ doctor $wrong
done
if command -v python3 >/dev/null; then
	$IPQ doctor --json --script $work/script >$work/json
	expect_text "the JSON output is valid and complete" "True True True" python3 -c "
import json
d = json.load(open('$work/json'))
print(d['warnings'] == sum(c['result'] == 'warning' for c in d['checks']), len(d['checks']) > 5,
      any(c['type'] and 'modprobe' in c['type'] for c in d['checks']))"
fi
finish
