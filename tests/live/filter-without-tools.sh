#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# If iptables cannot set the rule, ipq prints the message of iptables and a remedy. If only its bpf match is missing,
# all packets are queued, and ipq decides them.
. "$IPQ_LIVE/lib.sh"

# Replacements for all tools with which ipq tries to change rules.
tools=$work/tools
mkdir -p $tools
stand_in() {
	for name in iptables-legacy-restore iptables-nft-restore ip6tables-legacy-restore ip6tables-nft-restore; do
		real=$(command -v $name) || continue
		printf '#!/bin/sh\nscript=$(cat)\n%s\necho "$script" | exec %s "$@"\n' "$1" "$real" >$tools/$name
		chmod +x $tools/$name
	done
}

# refused WORDS...: ipq must end immediately and print these words.
refused() {
	PATH=$tools:$PATH timeout 10 $IPQ filter --on INPUT 'drop udp dst port 7001' >$work/said 2>&1
	[ $? -eq 1 ] || { cat $work/said; return 1; }
	for words; do
		grep -q -- "$words" $work/said || { cat $work/said; return 1; }
	done
}

stand_in 'echo "iptables: Permission denied (you must be root)" >&2; exit 4'
expect "a refusal by iptables is shown with a remedy" refused "Permission denied" "run as root"
stand_in 'echo "iptables: No chain/target/match by that name." >&2; exit 1'
expect "so is a target that it does not know" refused "No chain/target/match" "ipq doctor"
stand_in 'exit 3'
expect "a failure without a message is an error" refused "restore: failed"
stand_in 'case "$script" in *NFQUEUE*) echo "no NFQUEUE here" >&2; exit 2 ;; esac'
expect "so is a missing target" refused "no NFQUEUE here"
rm -r $tools
expect_text "no rule is left" "" rules_of_ours

mkdir -p $tools
stand_in 'case "$script" in *bytecode*) echo "no bpf match" >&2; exit 2 ;; esac'
log=$work/log
PATH=$tools:$PATH $IPQ filter --on INPUT 'drop udp dst port 7001' 'accept udp dst port 7002' >"$log" 2>&1 &
started=$!
wait_for_rule INPUT
expect_text "the rule in the kernel has no filter" 0 sh -c "$iptables -w -t mangle -S | grep -c bytecode; true"
expect "what a rule drops is dropped" $TRAFFIC udp -n 5 -e 0 -w 300 7001
expect "what a rule accepts arrives" $TRAFFIC udp -n 5 7002
expect "what no rule names arrives" $TRAFFIC udp -n 5 7003
stop INT
expect_text "nothing is left" "" rules_of_ours
finish
