# SPDX-License-Identifier: LGPL-2.1-or-later
# The program has two descriptors and changes its policy while it runs.
queue OUTPUT -p udp --dport 7000
mkfifo "$work/commands"
exec 8<>"$work/commands"
start sh -c "exec $CLIENT <'$work/commands'"
wait_for_queue
expect "datagrams are dropped" $TRAFFIC udp -n 20 -e 0 -w 300 7000
echo accept >&8
wait_for_line "policy 1"
expect "then they arrive" $TRAFFIC udp -n 100 -w 300 7000
echo drop >&8
wait_for_line "policy 0"
expect "and are dropped again" $TRAFFIC udp -n 20 -e 0 -w 300 7000
expect "without an error" test "$(grep -c error "$log")" = 0
