#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Checks a frame that passes a bridge: its fields, and a VLAN tag set by the verdict.
#
#	left -- in [bridge] out -- right	frames from left: queue 5
. "$IPQ_LIVE/lib.sh"
ip link add bridge type bridge || skip "no bridges here"
ip link add left address 02:00:00:00:00:0a type veth peer name in || skip "no veth devices here"
ip link add right address 02:00:00:00:00:0b type veth peer name out
ip link set in master bridge
ip link set out master bridge
for device in left right in out bridge; do
	ip link set $device up
done
# A port begins to forward a moment after it is up.
tries=100
until [ "$(ip -d link show master bridge | grep -c "state forwarding")" = 2 ] || [ $tries -eq 0 ]; do
	tries=$((tries - 1))
	sleep 0.05
done

if echo 1 2>/dev/null >/proc/sys/net/bridge/bridge-nf-call-iptables; then
	$iptables -w -A FORWARD -d 10.0.0.2 -j NFQUEUE --queue-num 5
	expect_test ports "packets have the ports of the bridge"
	$iptables -w -F FORWARD
	echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables
else
	echo "not tested here: ports of a bridge: no br_netfilter"
fi
if nft 'add table bridge t; add chain bridge t f { type filter hook forward priority 0; };
	add rule bridge t f ether saddr 02:00:00:00:00:0a queue num 5'; then
	expect_test bridged "packets have VLAN and link-layer header, and a verdict sets the tag"
else
	echo "not tested here: VLAN and link-layer header: nft cannot queue frames"
fi
[ $checks -gt 0 ] || skip "neither br_netfilter nor nftables for bridges here"
finish
