#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Readers of a queue whose socket this process holds are killed at random moments.

Every datagram must arrive once, in the order of its flow. The successor of a killed reader receives the undecided
packets before newer ones. IPQ_KILLS: how many readers are killed (10). IPQ_INTERVAL: mean time between two kills
(0.05 s). IPQ_RATE: datagrams per second (8000).
"""
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import time

KILLS = int(os.environ.get('IPQ_KILLS', 10))
RATE = os.environ.get('IPQ_RATE', '8000')
SECONDS = max(1.0, KILLS * float(os.environ.get('IPQ_INTERVAL', 0.05)))
FD = 9  # one digit, because a shell can redirect only such descriptors


def attribute(kind, value):
    return struct.pack('=HH', 4 + len(value), kind) + value + bytes(-len(value) % 4)


# The message of ipq_queue_wake(), which the kernel answers. A reader that was woken to end may leave the answer in
# the socket.
WAKE = struct.pack('=IHHII', 16, 1, 5, 0x77616b65, 0)


def hold_queue(number):
    """Opens a socket that owns this queue, with the mode for whole packets."""
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
    s.bind((0, 0))
    s.connect((0, 0))
    s.setsockopt(270, 5, 1)  # 270, 5: SOL_NETLINK, NETLINK_NO_ENOBUFS
    s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # 33: SO_RCVBUFFORCE
    for a in (attribute(1, struct.pack('>BBH', 1, 0, 0)), attribute(3, struct.pack('>I', 16384)),
              attribute(2, struct.pack('>IB', 0, 2))):
        body = struct.pack('>BBH', 0, 0, number) + a
        s.send(struct.pack('=IHHII', 16 + len(body), 3 << 8 | 2, 1, 0, 0) + body)
    return s


def kill_readers(traffic, name, program, **variables):
    held = hold_queue(0)
    os.dup2(held.fileno(), FD)
    # The program is started through a shell, which moves the descriptor to number 3, as LISTEN_FDS requires.
    env = dict(os.environ, LISTEN_FDS='1', LISTEN_FDNAMES='ipq-queue-0', IPQ_KEEP='16384', **variables)

    def start():
        return subprocess.Popen(['sh', '-c', f'exec "$@" 3<&{FD}', 'sh'] + program, env=env, pass_fds=(FD,),
                                stdout=subprocess.DEVNULL)

    reader = start()
    sender = subprocess.Popen([traffic, RATE, str(SECONDS), '4', '7000'], stdout=subprocess.PIPE, text=True)
    ended = 0
    for _ in range(KILLS):
        time.sleep(random.random() * 2 * SECONDS / KILLS)
        ended += reader.poll() is not None
        reader.kill()
        reader.wait()
        held.send(WAKE)
        reader = start()
    output = sender.communicate()[0]
    reader.kill()
    reader.wait()
    os.close(FD)
    held.close()
    good = sender.returncode == 0 and ended == 0 and ' order 0 ' in output
    print(f'{"ok" if good else "FAILED"}: {name}, {KILLS} kills: {output.strip()}, {ended} ended by themselves')
    return good


def main():
    traffic, classic, modern = (os.environ[name] for name in ('KEEP_TRAFFIC', 'DECIDE', 'EXAMPLE_ACCEPT'))
    rule = 'OUTPUT -p udp --dport 7000 -j NFQUEUE --queue-num 0'.split()
    for tool in 'iptables-legacy', 'iptables':
        if shutil.which(tool) and subprocess.run([tool, '-w', '-A'] + rule, stderr=subprocess.DEVNULL,
                                                 check=False).returncode == 0:
            break
    else:
        print('skipped: no iptables here that can queue packets')
        return 77
    results = [kill_readers(traffic, 'classic', [classic, 'accept']),
               kill_readers(traffic, 'classic, engine', [classic, 'accept'], IPQ_SOURCE='engine:nfqueue:0'),
               kill_readers(traffic, 'classic, batch', [classic, 'accept'], IPQ_BATCH='32'),
               kill_readers(traffic, 'modern', [modern])]
    return 0 if all(results) else 1


if __name__ == '__main__':
    sys.exit(main())
