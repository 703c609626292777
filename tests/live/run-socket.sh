#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Calls on ip_queue's sockets under ipq run return the same as calls on a netlink socket of the kernel
# (netlink_socket.c).
. "$IPQ_LIVE/lib.sh"
answers() {
	name=$1
	shift
	timeout "${IPQ_PATIENCE:-30}" "$@" >"$work/$name"
}
expect "the kernel's socket answers to the end" answers kernel "$NETLINK_SOCKET" 0
expect "ip_queue's answers under ipq run" answers run $IPQ run -- "$NETLINK_SOCKET" 3
expect "and with --exact" answers exact $IPQ run --exact -- "$NETLINK_SOCKET" 3
expect "ipq run answers as the kernel" diff "$work/kernel" "$work/run"
expect "so it does with --exact" diff "$work/kernel" "$work/exact"
finish
