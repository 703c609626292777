#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# ipq status --watch in a real terminal: two widths, a resize, and the terminal is restored.
. "$IPQ_LIVE/lib.sh"
command -v tmux >/dev/null || skip "no tmux"
LC_ALL=C.UTF-8
TERM=screen
TMUX_TMPDIR=$work
export LC_ALL TERM TMUX_TMPDIR
unset TMUX

name=$(printf 'ev\033[31mil')
cp "$IPQ" "$work/$name"
queue OUTPUT -p udp --dport 7000
start "$work/$name" watch --queue 0
wait_for_queue 0

screen() {
	tmux -L ipq capture-pane -p
}
# until_shown TEXT: waits until TEXT is on the screen, at most 5 s.
until_shown() {
	tries=100
	while ! screen | grep -q "$1"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.05
	done
}
until_gone() {
	tries=100
	while screen | grep -q "$1"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.05
	done
}
widest() {
	screen | awk '{ if (length($0) > n) n = length($0) } END { print n <= '$1' }'
}

tmux -L ipq -f /dev/null new-session -d -x 80 -y 24 "env PS1='prompt> ' sh" || skip "tmux does not start here"
tmux -L ipq set-option -g status off 2>/dev/null
tmux -L ipq resize-window -x 80 -y 24
until_shown '^prompt>'
tmux -L ipq send-keys 'echo before' Enter
until_shown '^before'
tmux -L ipq send-keys "$IPQ status --watch=0.2" Enter
expect "at 80 columns: the header" until_shown '^QUEUE OWNER .*WAITING COPY .*PACKETS/S Q-FULL/S S-FULL/S RULES$'
if [ -n "$(cat $queue_table 2>/dev/null)" ]; then
	expect "the queue and its owner are shown, escaped" until_shown '^    0 [0-9]* ev.x1b\[31mil .* 1$'
else
	expect "the queue and its possible owner are shown, escaped" until_shown 'may own a queue: [0-9]* ev.x1b\[31mil$'
fi
expect "the shell's screen is hidden" sh -c "! tmux -L ipq capture-pane -p | grep -q '^before'"
if [ -n "$(cat $queue_table 2>/dev/null)" ]; then
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		$TRAFFIC udp -n 5000 -w 3000 7000
	done >/dev/null 2>&1 &
	traffic=$!
	expect "the rate is above zero while packets pass" until_shown '^ *0 .* packet [0-9]* *[1-9][0-9]* '
	kill $traffic
	wait $traffic 2>/dev/null
fi
tmux -L ipq send-keys q
expect "q restores the shell's screen" until_shown '^before'

tmux -L ipq send-keys "clear; $IPQ status --watch=0.2" Enter
until_shown '^QUEUE OWNER'
tmux -L ipq resize-window -x 200 -y 30
expect "at 200 columns: totals too" until_shown 'PACKETS/S .* PACKETS  QUEUE-FULL SOCKET-FULL RULES$'
expect_text "no line is wider than 200" 1 widest 200
tmux -L ipq resize-window -x 80 -y 6
expect "a short screen shows the top of the table" until_shown '^ipq status'
tmux -L ipq resize-window -x 80 -y 24

tmux -L ipq send-keys q
until_gone '^QUEUE OWNER'
tmux -L ipq send-keys "stty -a | grep -o ' echo ' ; echo status \$?" Enter
expect "the terminal echoes as before" until_shown 'status 0$'
tmux -L ipq send-keys "clear; $IPQ status --watch" Enter
until_shown '^QUEUE OWNER'
tmux -L ipq send-keys C-c
until_gone '^QUEUE OWNER'
tmux -L ipq send-keys "echo ended with \$?" Enter
# This line appears after the prompt, or before it if the shell is slow.
expect "Ctrl-C ends the table" until_shown 'ended with 0$'
expect "without a terminal the error has a remedy" sh -c "$IPQ status --watch 2>&1 </dev/null | grep -q -- --json"
tmux -L ipq kill-server
stop INT
finish
