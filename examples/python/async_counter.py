#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Accepts packets in an asyncio program and prints every second how many came.

    iptables -A INPUT -p icmp -j NFQUEUE --queue-num 0
    python3 async_counter.py
"""
import asyncio

import ipq

count = 0


async def report():
    while True:
        await asyncio.sleep(1)
        print(count, 'packets', flush=True)


async def main():
    global count
    reporter = asyncio.create_task(report())
    with ipq.Queue(0) as queue:
        async for packet in queue:
            count += 1
            packet.accept()
    reporter.cancel()


try:
    asyncio.run(main())
except KeyboardInterrupt:
    pass
