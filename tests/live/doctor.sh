#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# ipq doctor finds what is wrong, is quiet about what is right, and says so by its exit status.
. "$IPQ_LIVE/lib.sh"

# says RESULT CHECK TEXT [OPTION...]: such a line is there.
says() {
	pattern="^$1 *$2 *.*$3"
	shift 3
	$IPQ doctor "$@" | grep -q -- "$pattern"
}
status_of() {
	"$@" >/dev/null 2>&1
	echo $?
}

expect "this kernel has nfnetlink_queue" says ok kernel nfnetlink_queue
expect "root of this namespace has the capability" says ok capability CAP_NET_ADMIN
expect "the namespace is not the machine's" says warning namespace namespace
expect "a tool that queues is found" says ok tools 'takes -j'
expect "nothing is set up: a warning, and what to type" sh -c \
	"$IPQ doctor | grep -A1 '^warning *queue *nobody owns queue 0' | grep -q '> sudo .*queue'"
expect_text "a warning is no failure" 0 status_of $IPQ doctor
$iptables -w -S >$work/rules
$IPQ doctor >/dev/null
expect_text "nothing was changed" "" sh -c "$iptables -w -S | diff $work/rules -"

queue OUTPUT -p udp --dport 7000
expect "a rule without a program fails" says FAIL queue 'nobody owns queue 0'
expect_text "and the status tells" 1 status_of $IPQ doctor
remedy=$($IPQ doctor | sed -n "s/.*take the rule away: sudo \($iptables .*\)/\1/p")
start $IPQ watch --queue 0
wait_for_queue 0
owner="process $started (ipq)"
[ -n "$(cat $queue_table 2>/dev/null)" ] || owner="a process that cannot be seen"
expect "the owner is named" says ok queue "queue 0 is taken by $owner"
expect_text "all is well" 0 status_of $IPQ doctor
expect "the command to take the rule away works" $remedy
expect "a program without a rule fails" says FAIL queue 'nothing arrives'
expect_text "and the status tells" 1 status_of $IPQ doctor
stop INT

if setpriv --help >/dev/null 2>&1; then
	expect "without the capability it fails" sh -c \
		"setpriv --bounding-set -net_admin --inh-caps -net_admin $IPQ doctor | grep -q '^FAIL *capability'"
fi

printf '#!/bin/sh\n# ip_queue\nmodprobe ip_queue\nmodprobe nfnetlink_queue my_ip_queue\ncat /proc/net/ip_queue\n' >$work/script
expect "modprobe ip_queue in a script" says warning script 'script:3: modprobe ip_queue' --script $work/script
expect "/proc/net/ip_queue in a script" says warning script 'script:5:' --script $work
expect "nothing else in it" sh -c "[ \$($IPQ doctor --script $work/script | grep -c $work/script) = 2 ]"
mkfifo $work/fifo
expect "a fifo in the directory does not stop it" timeout 20 $IPQ doctor --script $work
expect_text "a script that is not there" 1 status_of $IPQ doctor --script $work/nothing

expect "a program of the classic API gets this library" says ok run 'it will get this libipq' --program $DECIDE
expect "its interface" says ok interface 'libipq, shared' --program $DECIDE
expect "a program without any" says warning interface 'no sign' --program "$(command -v true | grep / || echo /bin/true)"
expect_text "no program" 1 status_of $IPQ doctor --program /etc/passwd
expect_text "nothing there" 1 status_of $IPQ doctor --program /nonexistent
# The smallest i386 program: what doctor says of it is what happens when it is run.
if echo 'int main(void) { return 42; }' | ${CC:-cc} -m32 -static -x c -o $work/small - 2>/dev/null; then
	if [ "$(status_of $work/small)" = 42 ]; then
		expect "a program of 32 bits" says ok program '32 bits' --program $work/small
	else
		expect "one of 32 bits that this kernel refuses" says FAIL program 'runs no such' --program $work/small
	fi
else
	echo "not tested: a program of 32 bits, this compiler cannot build it"
fi
head -c 100 $DECIDE >$work/damaged
expect "a damaged one" says FAIL program damaged --program $work/damaged
for wrong in --nonsense "--queue 65536" "--queue x" extra; do
	expect_text "wrong use: $wrong" 2 status_of $IPQ doctor $wrong
done
if command -v python3 >/dev/null; then
	$IPQ doctor --json --script $work/script >$work/json
	expect_text "JSON is JSON" "True True True" python3 -c "
import json
d = json.load(open('$work/json'))
print(d['warnings'] == sum(c['result'] == 'warning' for c in d['checks']), len(d['checks']) > 5,
      any(c['type'] and 'modprobe' in c['type'] for c in d['checks']))"
fi
finish
