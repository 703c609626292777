#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Each program of examples/ handles real packets as its first lines describe; many_cores: many-cores.sh.
. "$IPQ_LIVE/lib.sh"
queue OUTPUT -p udp --dport 7000:7099

# expect_end WHAT: the program ends by SIGTERM, with status 0.
expect_end() {
	stop
	expect "$1" [ "$status" -eq 0 ]
}

start $EXAMPLE_ACCEPT
wait_for_queue
expect "accept accepts every packet" $FLOW udp -n 300 7000
expect_end "accept exits with 0 on SIGTERM"
expect_text "accept counts the packets" "300 received, 300 accepted, 0 lost" tail -n 1 "$log"
expect_text "accept names the owner of a taken queue" "accept: queue 0 is taken" sh -c \
	"timeout 10 $EXAMPLE_ACCEPT >/dev/null & sleep 0.3; timeout 10 $EXAMPLE_ACCEPT 2>&1 | cut -c 1-24; kill \$!"
wait_for_no_queue

start $EXAMPLE_FILTER 7001
wait_for_queue
expect "filter accepts other ports" $FLOW udp -n 100 7000
expect "filter drops its port" $FLOW udp -n 20 -e 0 -w 300 7001
expect_end "filter exits with 0 on SIGTERM"

start $EXAMPLE_REWRITE http gopher
wait_for_queue
expect_text "rewrite makes packets longer" "gopher://gopher" $FLOW say 7000 http://http
expect_text "rewrite does not change other packets" "ftp" $FLOW say 7000 ftp
stop
start $EXAMPLE_REWRITE secret ""
wait_for_queue
expect_text "rewrite makes packets shorter" "a !" $FLOW say 7000 "a secret!"
expect_end "rewrite exits with 0 on SIGTERM"

start $EXAMPLE_HOLD_AND_RELEASE 400
wait_for_queue
expect_text "hold_and_release holds packets" "(nothing)" $FLOW say -w 200 7000 early
sleep 0.5
expect_text "hold_and_release releases packets" "late" $FLOW say -w 2000 7000 late
expect "hold_and_release loses no packet" $FLOW udp -n 200 -w 1000 7000
expect_end "hold_and_release exits with 0 on SIGTERM"

start $EXAMPLE_CLASSIC
wait_for_queue
expect_text "classic accepts packets" "hello" $FLOW say 7000 hello
expect "classic prints them" grep -q "^packet [0-9]*: 33 bytes, in -, out lo, mark 0\$" "$log"
stop
finish
