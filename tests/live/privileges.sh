#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Checks the capabilities that a running ipq keeps, according to /proc. As root of a user namespace, and
# (privileges-root) as root of the machine.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/run-lib.sh"

# Sets of capabilities in the format of /proc/PID/status.
none=0000000000000000
net_admin=0000000000001000
net_admin_raw=0000000000003000

# field NAME PID: a field of /proc/PID/status.
field() {
	sed -n "s/^$1:[[:space:]]*//p" "/proc/$2/status"
}

# of_all NAME PID: prints this field for all threads of the process, each value once.
of_all() {
	sed -n "s/^$1:[[:space:]]*//p" /proc/$2/task/*/status | sort -u | tr '\n' ' ' | sed 's/ $//'
}

child_of() {
	for child in $(cat "/proc/$1/task/$1/children"); do
		echo "$child"
		return
	done
}

# expect_rights WHO PID CAPABILITIES: every set of every thread must have exactly these capabilities.
expect_rights() {
	expect_text "$1: effective capabilities" "$3" of_all CapEff "$2"
	expect_text "$1: permitted capabilities" "$3" of_all CapPrm "$2"
	expect_text "$1: what a program that it starts could get" "$3" of_all CapBnd "$2"
	expect_text "$1: nothing is inherited" "$none $none" echo "$(of_all CapInh "$2") $(of_all CapAmb "$2")"
	expect_text "$1: set-user-ID programs give it nothing" 1 of_all NoNewPrivs "$2"
}

# Descriptor 9 of the shell refers to this file, and ipq must not keep it open.
: >$work/inherited
exec 9<$work/inherited
inherits() {
	ls -l "/proc/$1/fd" | grep -q "$work/inherited"
}

start $IPQ watch --on INPUT udp dst port 7001
wait_for_rule INPUT
$TRAFFIC udp -n 1 7001 >/dev/null
expect "watch has threads" [ "$(ls /proc/$started/task | wc -l)" -ge 2 ]
expect_rights watch $started $net_admin_raw
expect "watch has closed inherited descriptors" sh -c "! ls -l /proc/$started/fd | grep -q $work/inherited"
stop INT
expect_text "its rule is removed" "" rules_of_ours

start $IPQ filter --on INPUT --bypass 'drop udp dst port 7001'
wait_for_rule INPUT
expect_rights "filter --bypass" $started $net_admin_raw
guardian=$(child_of $started)
expect_rights "its guardian" "$guardian" $net_admin_raw
expect_text "its guardian has one socket and no other descriptor" "/dev/null /dev/null /dev/null socket" sh -c \
	"for fd in 0 1 2 3; do readlink /proc/$guardian/fd/\$fd; done | sed 's/:.*//' | tr '\n' ' ' | sed 's/ \$//'"
expect_text "its guardian has four descriptors" 4 sh -c "ls /proc/$guardian/fd | wc -l"
stop INT
expect_text "its rule is removed" "" rules_of_ours

start $IPQ watch --queue 0
wait_for_queue
expect_rights "watch without a rule of its own" $started $net_admin
stop INT

mkdir -m 700 $work/files
start $IPQ watch --on INPUT -w $work/files/packets -C 1 udp dst port 7001
wait_for_rule INPUT
$TRAFFIC udp -n 1 7001 >/dev/null
expect_rights "watch -C" $started 0000000000003002
stop INT

# A capture file needs no capability. The FIFO keeps ipq waiting.
mkfifo $work/packets
start $IPQ watch --source pcap:$work/packets
printf '\324\303\262\241\2\0\4\0\0\0\0\0\0\0\0\0\377\377\0\0\145\0\0\0' >$work/head
exec 8>$work/packets
cat $work/head >&8
tries=250
until [ "$(ls /proc/$started/task | wc -l)" = 2 ] || [ $tries = 0 ]; do
	tries=$((tries - 1))
	sleep 0.02
done
expect_rights "watch of a capture file" $started $none
exec 8>&-
stop INT

# A reload reads the file again, whoever owns it, and changes the rule in the firewall.
mkdir -m 700 $work/somebody
echo 'drop udp dst port 7001' >$work/somebody/rules
chmod 600 $work/somebody/rules
if [ "$(awk '{ print $3 }' /proc/self/uid_map)" != 1 ]; then
	chown -R 1000:1000 $work/somebody
fi
start $IPQ filter --on INPUT -f $work/somebody/rules
wait_for_rule INPUT
expect_text "filter with a file of rules" 0000000000003004 of_all CapEff $started
expect "a rule in the file drops packets" $TRAFFIC udp -n 5 -e 0 -w 200 7001
echo 'drop udp dst port 7002' >$work/somebody/rules
kill -HUP $started
wait_for_line '1 rule in force$'
expect "after a reload the new rule drops packets" $TRAFFIC udp -n 5 -e 0 -w 200 7002
expect "after a reload the old rule does not" $TRAFFIC udp -n 5 7001
stop INT
expect_text "the rule of filter is removed" "" rules_of_ours

# /proc does not show Landlock rules. So a tool that ipq starts tries what it is permitted to do, before and after ipq
# reads packets.
mkdir -p $work/bin
for name in iptables-legacy-save iptables-nft-save; do
	printf '#!/bin/sh\n[ -e %s/begun ] || touch %s/before\nexec %s "$@"\n' $work $work "$(command -v $name)" >$work/bin/$name
done
for name in iptables-legacy-restore iptables-nft-restore; do
	cat >$work/bin/$name <<-END
		#!/bin/sh
		{ touch $work/after; mkdir $work/after; rm $work/kept; mv $work/kept $work/after; } 2>/dev/null
		exec $(command -v $name) "\$@"
	END
done
chmod +x $work/bin/*
: >$work/kept
if $LANDLOCK; then
	PATH=$work/bin:$PATH start $IPQ watch --on INPUT udp
	wait_for_rule INPUT
	stop INT
	expect "before ipq reads packets a tool can write files" [ -e $work/before ]
	expect "afterwards a tool cannot create files" [ ! -e $work/after ]
	expect "afterwards a tool cannot remove files" [ -e $work/kept ]
	expect_text "its rule is removed despite Landlock" "" rules_of_ours
else
	echo "not tested: Landlock: this kernel has none"
fi

# ipq run: the program keeps its capabilities and descriptors, the other two processes do not.
queue OUTPUT -p udp --dport 7000
start $IPQ run -- sh -c "$RAW sleep $work/owned & wait"
until_there $work/owned
supervisor=$(child_of $started)
program=$(child_of "$supervisor")
expect_text "the program keeps its capabilities" "$(field CapEff $$) $(field CapBnd $$)" \
	echo "$(field CapEff "$program") $(field CapBnd "$program")"
expect_text "the program may run set-user-ID programs if ipq run has CAP_SYS_ADMIN" "$(field NoNewPrivs $$)" field NoNewPrivs "$program"
expect_text "the program runs under the filter" 2 field Seccomp "$program"
expect "the program keeps inherited descriptors" inherits "$program"
expect_rights "ipq run" $started 0000000000080020
expect_rights "its supervisor" "$supervisor" 0000000000081022
expect_text "the other two do not run under the filter" "0 0" echo "$(field Seccomp $started) $(field Seccomp "$supervisor")"
for process in $started $supervisor; do
	expect "the other two have closed inherited descriptors" sh -c "! ls -l /proc/$process/fd | grep -q $work/inherited"
	expect_text "the other two have closed standard input and output" "/dev/null /dev/null" sh -c \
		"echo \$(readlink /proc/$process/fd/0 /proc/$process/fd/1)"
done
stop TERM 143 # the program dies by the signal, and ipq run exits with the program's status

rm $work/owned
start $IPQ run --restart -- $RAW sleep $work/owned
until_there $work/owned
supervisor=$(child_of $started)
others=$(cat "/proc/$supervisor/task/$supervisor/children")
expect_text "with --restart there are the program and the process that starts it" 2 echo $(echo $others | wc -w)
for process in $others; do
	expect_text "both have all capabilities" "$(field CapEff $$) $(field CapBnd $$)" \
		echo "$(field CapEff "$process") $(field CapBnd "$process")"
	expect "both have inherited descriptors" inherits "$process"
done
stop TERM 143
finish
