#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# ipq status: two queues, one of them without a rule, and a rule without an owner, in every output format.
. "$IPQ_LIVE/lib.sh"
command -v python3 >/dev/null || skip "no python3"

expect "no queues exits with 0" $IPQ status
start $IPQ watch --queue 3
three=$started
$IPQ watch --queue 4 >/dev/null 2>&1 &
four=$!
wait_for_queue 3
wait_for_queue 4
nfqueue() {
	number=$1
	shift
	$iptables -w -A OUTPUT "$@" -j NFQUEUE --queue-num $number
}
nfqueue 3 -p udp --dport 7003
nfqueue 5 -p udp --dport 7005 -m comment --comment "$(printf 'red \033[31m -j NFQUEUE --queue-num 9')"
$iptables -w -A OUTPUT -p udp --dport 7006 -j NFQUEUE --queue-num 6 --queue-bypass
nfqueue 2 -p udp --dport 7002
expect "packets pass through queue 3" $TRAFFIC udp -n 20 7003
expect "a rule without an owner drops packets" $TRAFFIC udp -n 5 -e 0 -w 200 7005

says() {
	$IPQ status | grep -q "$1"
}
if [ -n "$(cat $queue_table 2>/dev/null)" ]; then
	expect "queue 3's owner is named" says "^ *3 $three "
	expect "queue 4's owner is named" says "^ *4 $four "
else
	expect "the owner of queue 3 is hidden" says "^ *3 hidden "
	expect "unreadable counters are reported" says 'Only root of the machine can read the kernel.s counters'
	expect "possible owners are named" says "may own a queue: $three ipq"
fi
expect "a queue that no rule feeds is flagged" says '^! queue 4: no rule feeds it'
expect "a rule whose queue has no owner is flagged" says '^! queue 5: no process owns it, .* dropped'
expect "a rule with bypass and without owner is flagged" says '^! queue 6: no process owns it; its rules have bypass'
expect "a queue with rule and owner is not flagged" sh -c "! $IPQ status | grep '^! queue 3'"
expect "a queue number in a comment is not a rule" sh -c "! $IPQ status | grep '^ *9 '"
expect "a comment's escape sequence does not reach the terminal" sh -c \
	"$IPQ status | grep -q 'red.*31m' && ! $IPQ status | LC_ALL=C grep -q '[^ -~]'"

$IPQ status --json >$work/json
expect_text "the JSON output is valid and has the same values" "2:False:no 3:True:None 4:True:no 5:False:no 6:False:no 20" python3 -c "
import json
s = json.load(open('$work/json'))
print(*('%d:%s:%s' % (q['queue'], q['owned'], q['problem'] and q['problem'].split()[0]) for q in s['queues']),
      s['queues'][1].get('packets', 20))"

for python in python3 /usr/bin/python3; do
	$python -c 'import prometheus_client.openmetrics.parser' 2>/dev/null && parser=$python
done
umask 027
echo old >$work/ipq.prom
expect "the output file is replaced" $IPQ status --openmetrics --output $work/ipq.prom
expect_text "the output file has the mode of the umask" "640" stat -c %a $work/ipq.prom
expect_text "no temporary file is left" "ipq.prom" sh -c "ls $work | grep prom"
expect_text "OpenMetrics ends with # EOF" "# EOF" tail -n 1 $work/ipq.prom
if [ -n "${parser:-}" ]; then
	expect_text "a parser reads OpenMetrics and the older text format" "20 0 1 1" $parser -c "
from prometheus_client.openmetrics import parser as new
from prometheus_client import parser as old
text = open('$work/ipq.prom').read()
both = [{(s.name, s.labels.get('queue')): s.value for f in p.text_string_to_metric_families(text) for s in f.samples}
        for p in (new, old)]
assert both[0] == both[1]
m = both[0]
print(m.get(('ipq_queue_handed_packets_total', '3'), 20), m[('ipq_queue_orphaned', '3')],
      m[('ipq_queue_orphaned', '5')], m[('ipq_queue_idle', '4')])"
else
	echo "not tested: OpenMetrics (no python3-prometheus-client)"
fi

# full_disk COMMAND...: prints its exit status when writes to files fail. SIGXFSZ would kill it.
full_disk() {
	(trap '' XFSZ; ulimit -f 0; exec "$@" 2>/dev/null)
	echo $?
}
echo old >$work/full
for format in "" --json --openmetrics; do
	expect_text "a full disk is an error: $format" 1 full_disk $IPQ status $format -o $work/full
	expect_text "the file keeps its content then: $format" old cat $work/full
	expect_text "an output that is full is an error: $format" 1 sh -c "$IPQ status $format >/dev/full 2>&1; echo \$?"
done
expect_text "no temporary file is left of them" "full" sh -c "ls $work | grep full"
$IPQ status >/dev/full 2>$work/said
expect "the error is named" grep -q 'cannot write: No space left' $work/said
expect "a missing directory is an error" sh -c "! $IPQ status -o /nonexistent/x 2>/dev/null"
for wrong in --nonsense extra --watch=0 "--json --openmetrics" "--watch --json"; do
	$IPQ status $wrong >/dev/null 2>&1
	expect_text "wrong option exits with 2: $wrong" 2 echo $?
done
kill $four
wait $four 2>/dev/null
stop INT
finish
