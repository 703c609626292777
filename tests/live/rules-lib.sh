# SPDX-License-Identifier: LGPL-2.1-or-later
# For tests of the firewall rules of ipq; to be sourced after lib.sh.

# ways_to_queue: what --via can be on this machine so that packets are queued. IPQ_WAYS: only these.
ways_to_queue() {
	for way in ${IPQ_WAYS:-iptables-legacy iptables-nft nftables}; do
		if [ $way = nftables ]; then
			nft -c 'table inet x { chain c { type filter hook input priority 0; queue num 9; }; }' 2>/dev/null || continue
		else
			command -v $way >/dev/null || continue
			$way -w -t mangle -A OUTPUT -p udp --dport 9 -j NFQUEUE --queue-num 0 2>/dev/null || continue
			$way -w -t mangle -D OUTPUT -p udp --dport 9 -j NFQUEUE --queue-num 0
		fi
		echo $way
	done
}
