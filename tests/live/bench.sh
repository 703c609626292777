#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# ipq bench must measure, end, and change nothing outside its own namespace.
. "$IPQ_LIVE/lib.sh"
command -v python3 >/dev/null || skip "no python3"

before=$($iptables -w -S; ip -s link show lo)
for i in 1 2 3; do
	$IPQ bench --seconds 0.1 --json >$work/json
	expect_text "ipq bench exits with 0" 0 echo $?
	expect_text "every measurement has a value and no loss" "6 True True True" python3 -c "
import json
m = json.load(open('$work/json'))['measurements']
l = [x for x in m if 'p50_us' in x]
print(len(m), all(x['packets_per_second'] > 0 for x in m), all(0 < x['p50_us'] <= x['p99_us'] for x in l),
      all(x['lost'] == 0 for x in m if x['queued']))"
done
expect "text output has the latency row" sh -c "$IPQ bench --seconds 0.1 | grep -q '^queue, one at a time .* us .* us'"
expect_text "rules and counters of this namespace are unchanged" "$before" sh -c "$iptables -w -S; ip -s link show lo"
expect_text "no process is left" "" pgrep -x ipq
for wrong in --nonsense "--seconds 0" "--seconds nan" "--seconds 11" extra; do
	$IPQ bench $wrong >/dev/null 2>&1
	expect_text "wrong option exits with 2: $wrong" 2 echo $?
done
finish
