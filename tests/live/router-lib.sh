# SPDX-License-Identifier: LGPL-2.1-or-later
# Two hosts, and this one, which routes between them. Source this after lib.sh.
#
#	        a                       here                        b
#	 +--------------+      +-------------------+      +---------------+
#	 | a0  .1.2 ::2 |------| to-a     to-b     |------| b0  .2.2 ::2  |
#	 +--------------+ veth | .1.1 ::1 .2.1 ::1 | veth +---------------+
#	     10.9.1.0/24       +-------------------+        10.9.2.0/24
#	     fd09:1::/64                                    fd09:2::/64

for host in a b; do
	ip netns add $host || skip "no network namespaces within this one"
	ip link add to-$host type veth peer name ${host}0 netns $host || skip "no veth here"
	ip link set to-$host up
	ip -n $host link set ${host}0 up
	ip -n $host link set lo up
done

# number_hosts: sets IPv4 addresses and routes. number_hosts_6: sets those of IPv6, too.
number_hosts() {
	n=1
	for host in a b; do
		ip addr add 10.9.$n.1/24 dev to-$host
		ip -n $host addr add 10.9.$n.2/24 dev ${host}0
		ip -n $host route add default via 10.9.$n.1
		n=$((n + 1))
	done
	echo 1 >/proc/sys/net/ipv4/ip_forward || skip "cannot forward here"
}

number_hosts_6() {
	n=1
	for host in a b; do
		ip addr add fd09:$n::1/64 dev to-$host nodad
		ip -n $host addr add fd09:$n::2/64 dev ${host}0 nodad
		ip -n $host route add default via fd09:$n::1
		n=$((n + 1))
	done
	echo 1 >/proc/sys/net/ipv6/conf/all/forwarding || skip "cannot forward here"
}
