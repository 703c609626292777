#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Times the Python module ipq against a callback on libnetfilter_queue, in turn, with packets of the kernel.

    tests/live/run-in-namespace python3 bench/python.py BUILD [--rounds N] [--packets N]

Each consumer is a process of its own that accepts every packet at once. A round gives each of them the same burst of
datagrams over loopback, which all wait in the queue before the consumer continues. The figures are medians of the
rounds, the ratios medians of the ratios within the rounds; CPU is user and system time of the consumer.
"""
import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import time

PORT = 7000


def consume_callback(number):
    import nfq_callback

    def accept(packet):
        packet.accept()
    nfq_callback.run(number, accept)


def consume_loop(number):
    import ipq

    for packet in ipq.Queue(number, queue_length=16384):
        packet.accept()


def consume_batch(number):
    import ipq

    queue = ipq.Queue(number, queue_length=16384)
    while True:
        queue.accept(queue.recv())


def consume_netfilterqueue(number):
    from ipq.netfilterqueue import NetfilterQueue

    def accept(packet):
        packet.accept()
    queue = NetfilterQueue()
    queue.bind(number, accept, max_len=16384, sock_len=32 << 20)
    queue.run()


CONSUMERS = {'callback': consume_callback, 'loop': consume_loop, 'batch': consume_batch,
             'netfilterqueue': consume_netfilterqueue}


def cpu_of(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii') as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def ready(number):
    """A program owns the queue and has asked for whole packets."""
    with open('/proc/net/netfilter/nfnetlink_queue', encoding='ascii') as f:
        return any(line.split()[0] == str(number) and line.split()[3] == '2' for line in f)


def waiting(number):
    with open('/proc/net/netfilter/nfnetlink_queue', encoding='ascii') as f:
        for line in f:
            if int(line.split()[0]) == number:
                return int(line.split()[2])
    return 0


def burst(child, number, receiver, sender, packets):
    """Stops the consumer, queues the packets, and times how long it takes to accept them."""
    os.kill(child.pid, signal.SIGSTOP)
    for _ in range(packets):
        sender.sendto(b'x' * 32, ('127.0.0.1', PORT + number))
    before, started = cpu_of(child.pid), time.monotonic()
    os.kill(child.pid, signal.SIGCONT)
    for arrived in range(packets):
        try:
            receiver.recv(64)
        except TimeoutError:
            sys.exit(f'queue {number}: {arrived} of {packets} packets arrived, {waiting(number)} wait, consumer {child.poll()}')
    return time.monotonic() - started, cpu_of(child.pid) - before


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('build')
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--packets', type=int, default=10000)
    parser.add_argument('--consume', nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.consume:
        return CONSUMERS[args.consume[0]](int(args.consume[1]))
    env = dict(os.environ, PYTHONPATH=f'{args.build}/python:{args.build}/bench')
    children, sockets = {}, {}
    for number, name in enumerate(CONSUMERS):
        subprocess.run([os.environ.get('IPTABLES', 'iptables-legacy'), '-A', 'OUTPUT', '-p', 'udp', '--dport',
                        str(PORT + number), '-j', 'NFQUEUE', '--queue-num', str(number)], check=True)
        children[name] = subprocess.Popen([sys.executable, __file__, args.build, '--consume', name, str(number)], env=env)
        while not ready(number):
            time.sleep(0.01)
        time.sleep(0.1)
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        receiver.bind(('127.0.0.1', PORT + number))
        receiver.settimeout(2)
        sockets[name] = receiver
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # The packets that wait in the queue count as unsent.
    sender.setsockopt(socket.SOL_SOCKET, 32, 64 << 20)  # SO_SNDBUFFORCE
    seconds, cpu = {name: [] for name in CONSUMERS}, {name: [] for name in CONSUMERS}
    for _ in range(args.rounds + 1):
        for number, name in enumerate(CONSUMERS):
            took, used = burst(children[name], number, sockets[name], sender, args.packets)
            seconds[name].append(took)
            cpu[name].append(used)
    for child in children.values():
        child.kill()
        child.wait()
    print(f'{args.rounds} rounds of {args.packets} packets; ratios to callback')
    for name in CONSUMERS:
        rate = [args.packets / s for s in seconds[name][1:]]
        faster = statistics.median(a / b for a, b in zip(seconds['callback'][1:], seconds[name][1:]))
        cheaper = statistics.median(b / max(a, 1e-9) for a, b in zip(cpu['callback'][1:], cpu[name][1:]))
        print(f'{name:15} {statistics.median(rate):9.0f} packets/s  {faster:5.2f}   CPU {cheaper:5.2f}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
