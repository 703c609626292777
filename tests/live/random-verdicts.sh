#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Kept packets, random verdicts, random order: exactly the accepted packets arrive. IPQ_SEED=N repeats one round.
. "$IPQ_LIVE/lib.sh"
queue OUTPUT -p udp --dport 7000
$iptables -w -A INPUT -m mark --mark 42 -j DROP || skip "no mark match here"
expect_test random "verdicts in random order, coalesced or not, are all applied"
finish
