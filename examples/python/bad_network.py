#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Simulates a bad network: drops 5 % of the packets and delays the others by 20 to 80 ms, so that some overtake others.

    iptables -A OUTPUT -p icmp -j NFQUEUE --queue-num 0
    python3 bad_network.py
"""
import asyncio
import random
import signal

import ipq


async def disturb(queue):
    loop = asyncio.get_running_loop()
    async for packet in queue:
        if random.random() < 0.05:
            packet.drop()
        else:
            loop.call_later(random.uniform(0.02, 0.08), packet.accept)


async def main():
    with ipq.Queue(0) as queue:
        task = asyncio.create_task(disturb(queue))
        for number in signal.SIGINT, signal.SIGTERM:
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            print(queue.stats())


asyncio.run(main())
