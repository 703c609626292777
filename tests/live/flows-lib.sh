# SPDX-License-Identifier: LGPL-2.1-or-later
# The firewall rules of flow verdicts. Source this file after lib.sh.

restore=$iptables-restore

# rules HOOK MATCH...: sets the rules for packets of this hook
rules() {
	hook=$1
	shift
	$IPQ rules --flows --on $hook -- "$@" | $restore -n || skip "no connmark here"
}

no_rules() {
	$iptables -w -t mangle -F
	$iptables -w -t mangle -X
}

# said WORDS: the line that the program has printed must contain these words.
said() {
	stop_with INT
	grep -q "$1" "$log" || { cat "$log"; return 1; }
}

stop_with() {
	kill -$1 $started
	wait $started
	started=
}
