#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# SIGHUP reloads the rules without losing a packet; a file that does not parse changes nothing.
. "$IPQ_LIVE/lib.sh"

printf '# a comment\n\ndrop udp dst port 7001   # and another\ncount udp dst port 7002\n' >$work/rules
start $IPQ filter --on INPUT --queues 10-13 -f $work/rules
wait_for_rule INPUT
expect "a rule from a file works" $TRAFFIC udp -n 5 -e 0 -w 200 7001
printf 'drop udp dst port 7003\ncount udp dst port 7002\n' >$work/rules
(for i in 1 2 3 4 5 6 7 8 9 10; do kill -HUP $started; sleep 0.05; done) &
expect "no packet is lost while rules are reloaded" $TRAFFIC udp -n 5000 7002
wait $!
expect "the new rule is in force" $TRAFFIC udp -n 5 -e 0 -w 200 7003
rules_that_queue() {
	rules_of_ours | grep NFQUEUE | sort -u | wc -l
}
if rules_of_ours | grep -q NFQUEUE; then # nftables has no filters: it queues all packets
	expect_text "the firewall queues packets of the new rules only" 2 rules_that_queue
fi
expect "the old rule is not in force" $TRAFFIC udp -n 5 7001
echo 'dorp udp' >>$work/rules
kill -HUP $started
sleep 0.3
expect "after a wrong file the old rules are in force" $TRAFFIC udp -n 5 -e 0 -w 200 7003
expect "the error shows the line" grep -q 'rules, line 3: "dorp" is not an action' "$log"
expect "the error has a caret" grep -q '^  ^$' "$log"
# refused WHAT TEXT: after SIGHUP the old rules must be in force, and the reason printed.
refused() {
	kill -HUP $started
	sleep 0.3
	expect "$1: the old rules are in force" $TRAFFIC udp -n 2 -e 0 -w 200 7003
	expect "$1: the reason is printed" grep -q "$2" "$log"
}
: >$work/rules
refused "an empty file" 'there are no rules in it'
printf 'drop udp dst port 7004\ndrop udp dst port 70' >$work/rules
refused "a file that is cut in a line" 'does not end with a newline'
rm $work/rules
refused "a missing file" 'No such file'
mkfifo $work/rules
refused "a FIFO" 'not a regular file'
rm $work/rules
mkdir $work/rules
refused "a directory" 'not a regular file'
rmdir $work/rules
printf 'drop udp dst port 7003\ncount udp dst port 7002\n' >$work/rules
kill -HUP $started
tries=50
until [ "$(tail -n 1 "$log")" = 'ipq filter: 2 rules in force' ] || [ $tries = 0 ]; do
	tries=$((tries - 1))
	sleep 0.1
done
expect "the next correct file is read" [ $tries -gt 0 ]
kill -USR1 $started
sleep 0.3
expect "SIGUSR1 shows the counters" grep -q 'packets          bytes  rule' "$log"
# A signal does not wait for the rest of a long file.
cp $work/rules $work/short
yes 'drop udp dst port 7003' | head -n 300000 >$work/rules
kill -HUP $started
sleep 0.2
stop
expect "a signal ends the reading of 300,000 rules" sh -c "! grep -q '300000 rules in force' $log"
mv $work/short $work/rules
expect_text "an unchanged rule keeps its counters" 5000 awk '/count udp dst port 7002$/ { n = $2 } END { print n }' "$log"

# Counters begin again at 0, and a service manager is notified.
cat >$work/manager.py <<'END'
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
s.settimeout(20)
print('bound', flush=True)
while True:
    state = s.recv(100).decode()
    print(state, flush=True)
    if state == 'STOPPING=1':
        break
END
if command -v python3 >/dev/null; then
	python3 $work/manager.py $work/notify >$work/states &
	manager=$!
	until grep -q bound $work/states; do sleep 0.05; done
	start env NOTIFY_SOCKET=$work/notify $IPQ filter --on INPUT -f $work/rules
	wait_for_rule INPUT
	expect "datagrams arrive" $TRAFFIC udp -n 7 7002
	kill -USR2 $started
	sleep 0.3
	expect "datagrams arrive after the counters were reset" $TRAFFIC udp -n 5 7002
	kill -HUP $started
	sleep 0.3
	stop
	wait $manager
	expect_text "counters that were reset count from 0" "7 5" sh -c \
		"awk '/count udp dst port 7002\$/ { print \$2 }' $log | tr '\n' ' ' | sed 's/ \$//'"
	expect_text "the service manager is notified of start, reload and end" "bound READY=1 RELOADING=1 READY=1 STOPPING=1" sh -c \
		"tr '\n' ' ' <$work/states | sed 's/ \$//'"
fi
finish
