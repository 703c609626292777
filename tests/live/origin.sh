#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The origin of a packet: the class of its sender's control group, and a security context set by a rule.
. "$IPQ_LIVE/lib.sh"
queue OUTPUT -p udp --dport 7000:7099
group=$work/net_cls/ipq-test-$$

is_gone() {
	grep -q '^net_cls[[:space:]]*0[[:space:]]' /proc/cgroups
}

# The hierarchy belongs to the whole machine. It disappears with its last mount, but not while the kernel still has a
# group that was removed.
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
	is_gone || return 1 # another process uses the hierarchy
	mount -t cgroup -o net_cls net_cls $work/net_cls 2>/dev/null && mkdir $group || return 1
	trap leave EXIT
	echo 0x100001 >$group/net_cls.classid && echo 0 >$group/cgroup.procs
}

# at_least MAJOR MINOR: whether the kernel has at least this version.
at_least() {
	uname -r | awk -F '[.-]' -v major=$1 -v minor=$2 '{ exit !($1 > major || $1 == major && $2 >= minor) }'
}

if ! at_least 6 4; then
	echo "not tested here: classes: this kernel does not report them (Linux 6.4 does)"
elif enter; then
	expect_test class "a packet has the class of its sender's control group"
else
	echo "not tested here: classes: only root of the machine can create one, and only if net_cls is unused"
fi
if $iptables -w -t mangle -A OUTPUT -p udp --dport 7000 -j SECMARK --selctx unconfined 2>/dev/null; then
	expect_test context "a packet has its security context"
else
	echo "not tested here: security contexts: no tool here can set one"
fi
[ $checks -gt 0 ] || skip "neither net_cls nor SECMARK can be used here"
finish
