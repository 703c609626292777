#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# iptables before version 1.8 has one flavour, and its tools have no suffix: ipq must find and use them.
. "$IPQ_LIVE/lib.sh"

multi=$(readlink -f "$(command -v iptables-legacy)")
[ -x "$multi" ] || skip "no iptables-legacy"
iptables-legacy -w -t mangle -S >/dev/null 2>&1 || skip "this kernel has no legacy tables"
mkdir $work/real
directory=$(dirname "$multi")
mount --bind "$directory" $work/real && mount -t tmpfs none "$directory" || skip "no mounts here"
for file in $work/real/*; do
	case ${file##*/} in
	iptables* | ip6tables* | nft) ;;
	*) ln -s $file "$directory/" ;;
	esac
done
for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
	ln -s $work/real/${multi##*/} "$directory/$name"
done
hash -r
command -v iptables-legacy iptables-nft nft && skip "the tools are also in another directory"

expect "ipq doctor finds iptables" sh -c "$IPQ doctor | grep -q '^[a-z]* *tools *iptables supports -j'"
iptables -w -A OUTPUT -p udp --dport 7009 -j NFQUEUE --queue-num 9
expect "ipq status reads its rules" sh -c "$IPQ status | grep -q '^ *9 '"
iptables -w -F OUTPUT
start $IPQ filter --on INPUT 'drop udp dst port 7001'
wait_until sh -c "iptables -w -t mangle -S INPUT | grep -q ipq"
expect "ipq filter --on uses it: other datagrams arrive" $TRAFFIC udp -n 5 7000
expect "and these do not" $TRAFFIC udp -n 5 -e 0 -w 200 7001
stop KILL
expect "ipq clean removes what a killed filter leaves" $IPQ clean
expect_text "no rule is left" "-P INPUT ACCEPT" iptables -w -t mangle -S INPUT
expect "datagrams arrive again" $TRAFFIC udp -n 5 7001
finish
