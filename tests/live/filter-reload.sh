#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# SIGHUP reloads the rules without losing a packet; a file that does not parse changes nothing.
. "$IPQ_LIVE/lib.sh"

printf '# a comment\n\ndrop udp dst port 7001   # and another\ncount udp dst port 7002\n' >$work/rules
start $IPQ filter --on INPUT --queues 10-13 -f $work/rules
wait_for_rule INPUT
expect "a rule from a file works" $FLOW udp -n 5 -e 0 -w 200 7001
printf 'drop udp dst port 7003\ncount udp dst port 7002\n' >$work/rules
(for i in 1 2 3 4 5 6 7 8 9 10; do kill -HUP $started; sleep 0.05; done) &
expect "no packet is lost while rules are reloaded" $FLOW udp -n 5000 7002
wait $!
expect "the new rule is in force" $FLOW udp -n 5 -e 0 -w 200 7003
rules_that_queue() {
	rules_of_ours | grep NFQUEUE | sort -u | wc -l
}
expect_text "the firewall queues packets of the new rules only" 2 rules_that_queue
expect "the old rule is not in force" $FLOW udp -n 5 7001
echo 'dorp udp' >>$work/rules
kill -HUP $started
sleep 0.3
expect "after a wrong file the old rules are in force" $FLOW udp -n 5 -e 0 -w 200 7003
expect "the error shows the line" grep -q 'rules, line 3: "dorp" is not an action' "$log"
expect "the error has a caret" grep -q '^  ^$' "$log"
kill -USR1 $started
sleep 0.3
expect "SIGUSR1 shows the counters" grep -q 'packets          bytes  rule' "$log"
stop
expect_text "an unchanged rule keeps its counters" 5000 awk '/count udp dst port 7002$/ { n = $2 } END { print n }' "$log"
finish
