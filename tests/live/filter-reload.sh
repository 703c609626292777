#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# SIGHUP reads the rules again without losing a packet; a file that does not parse changes nothing.
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
expect_text "the kernel sends what the two rules may decide, and nothing for the old ones" 2 rules_that_queue
expect "the old one is not" $FLOW udp -n 5 7001
echo 'dorp udp' >>$work/rules
kill -HUP $started
sleep 0.3
expect "after a mistake the rules stay as they were" $FLOW udp -n 5 -e 0 -w 200 7003
expect "the mistake is shown with its line" grep -q 'rules, line 3: an action is wanted' "$log"
expect "and with a caret" grep -q '^  ^$' "$log"
kill -USR1 $started
sleep 0.3
expect "SIGUSR1 shows the counters" grep -q 'packets          bytes  rule' "$log"
stop
expect_text "a rule that stayed counted on" 5000 awk '/count udp dst port 7002$/ { n = $2 } END { print n }' "$log"
finish
