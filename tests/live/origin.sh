#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Whose a packet is: the class of its sender's control group, and the security context that a rule has given it.
. "$IPQ_LIVE/lib.sh"
queue OUTPUT -p udp --dport 7000:7099
group=$work/net_cls/ipq-test-$$

is_gone() {
	grep -q '^net_cls[[:space:]]*0[[:space:]]' /proc/cgroups
}

# The hierarchy is the machine's: there for a moment, it goes with its last mount, but not as long as a group that has
# been removed is still remembered.
leave() {
	echo 0 >$work/net_cls/cgroup.procs
	rmdir $group
	tries=50
	until umount $work/net_cls && sleep 0.02 && is_gone || [ $tries = 0 ]; do
		tries=$((tries - 1))
		sleep 0.1
		mount -t cgroup -o net_cls net_cls $work/net_cls
	done
}

enter() {
	mkdir -p $work/net_cls
	is_gone || return 1 # somebody uses it
	mount -t cgroup -o net_cls net_cls $work/net_cls 2>/dev/null && mkdir $group || return 1
	trap leave EXIT
	echo 0x100001 >$group/net_cls.classid && echo 0 >$group/cgroup.procs
}

# at_least MAJOR MINOR
at_least() {
	uname -r | awk -F '[.-]' -v major=$1 -v minor=$2 '{ exit !($1 > major || $1 == major && $2 >= minor) }'
}

if ! at_least 6 4; then
	echo "not tested here: classes, this kernel does not tell them, Linux 6.4 does"
elif enter; then
	expect_test class "the class of the sender's control group is told"
else
	echo "not tested here: classes, only the machine's root can make one, and only where net_cls is there and unused"
fi
if $iptables -w -t mangle -A OUTPUT -p udp --dport 7000 -j SECMARK --selctx unconfined 2>/dev/null; then
	expect_test context "the security context of a packet is told"
else
	echo "not tested here: security contexts, nothing here gives packets one"
fi
[ $checks -gt 0 ] || skip "neither net_cls nor SECMARK can be used here"
finish
