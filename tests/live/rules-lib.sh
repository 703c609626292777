# SPDX-License-Identifier: LGPL-2.1-or-later
# For tests of the firewall rules of ipq. Source this after lib.sh.

# ways_to_queue: prints the values of --via that can queue packets on this machine. IPQ_WAYS: tries only these values.
# ONLY_WAY: tries only this value.
ways_to_queue() {
	for way in ${IPQ_WAYS:-iptables-legacy iptables-nft nftables}; do
		[ $way = "${ONLY_WAY:-$way}" ] || continue
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

# closed: succeeds if no packet to port 7001 arrives. until_closed: waits for this, at most 5 s.
closed() {
	$TRAFFIC udp -n 5 -e 0 -w 200 7001 >/dev/null
}

until_closed() {
	tries=25
	until closed; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
	done
}

# end NAME...: sends SIGINT to each $pid_NAME, which writes to $work/NAME, and waits for its end.
end() {
	for name; do
		eval "kill -INT \$pid_$name; wait \$pid_$name"
		log=$work/$name
		look_for_findings
	done
}

# matched NAME RULE: prints how many packets matched the rule.
matched() {
	awk -v rule="$2" '/^ *[0-9]+ +[0-9]+ +[0-9]+  / && index($0, rule) { print $2 }' $work/$1
}
