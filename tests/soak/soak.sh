#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Both APIs and the command under load: SOAK_SECONDS (3600) of mixed traffic at full rate, with random verdicts,
# bursts that overflow, and reloads. SOAK_SEED determines the random numbers, but not how the processes interleave.
. "$IPQ_LIVE/lib.sh"

seconds=${SOAK_SECONDS:-3600}
seed=${SOAK_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
SOAK_IPTABLES=$iptables
find_iptables ip6tables || skip "no ip6tables here that can queue packets"
SOAK_IPTABLES="$SOAK_IPTABLES $command"
SOAK_RULES="sh $SOAK_DIR/rules"
# The allocator counts the memory in threads' caches as in use. Without caches, the bytes in use can be compared.
GLIBC_TUNABLES=glibc.malloc.tcache_count=0
export IPQ SOAK_IPTABLES SOAK_RULES GLIBC_TUNABLES
echo "seed $seed, $seconds s"

"$SOAK" tcp "$seconds" "$seed" "$work" >"$work/tcp" 2>&1 &
tcp=$!
"$SOAK" udp "$seconds" "$seed" "$work" >"$work/udp" 2>&1
udp_status=$?
wait $tcp
tcp_status=$?
cat "$work/tcp" "$work/udp"
if [ $tcp_status -eq 0 ] && [ $udp_status -eq 0 ]; then
	echo "soak ok: seed $seed, $seconds s"
	exit 0
fi
echo "soak FAILED: seed $seed, $seconds s: tcp status $tcp_status, udp status $udp_status"
exit 1
