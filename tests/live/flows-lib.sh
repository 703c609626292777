# SPDX-License-Identifier: LGPL-2.1-or-later
# The rules of flow verdicts; to be sourced after lib.sh.

mask=0xff000000 leave=0x41000000 drop=0x42000000
restore=$iptables-restore

# rules HOOK MATCH...: those of ipq_accept_flow(3).
rules() {
	hook=$1
	shift
	{
		echo "*mangle"
		echo ":ipq-flows - [0:0]"
		echo ":ipq-left - [0:0]"
		echo ":ipq-gone - [0:0]"
		echo "-A ipq-left -j CONNMARK --save-mark --nfmask $mask --ctmask $mask"
		echo "-A ipq-left -j MARK --set-xmark 0x0/$mask"
		echo "-A ipq-gone -j CONNMARK --save-mark --nfmask $mask --ctmask $mask"
		echo "-A ipq-gone -j DROP"
		echo "-A ipq-flows -m connmark --mark $leave/$mask -j RETURN"
		echo "-A ipq-flows -m connmark --mark $drop/$mask -j DROP"
		echo "-A ipq-flows -m mark --mark $leave/$mask -g ipq-left"
		echo "-A ipq-flows -m mark --mark $drop/$mask -g ipq-gone"
		echo "-A ipq-flows $* -j NFQUEUE --queue-num 0"
		echo "-A $hook -j ipq-flows"
		echo COMMIT
	} | $restore -n || skip "no connmark here"
}

no_rules() {
	$iptables -w -t mangle -F
	$iptables -w -t mangle -X
}

# said WORDS: the program's line has them.
said() {
	stop_with INT
	grep -q "$1" "$log" || { cat "$log"; return 1; }
}

stop_with() {
	kill -$1 $started
	wait $started
	started=
}
