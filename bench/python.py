#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares the speed of the Python module ipq with a callback on libnetfilter_queue, in turn, with real packets.

    tests/live/run-in-namespace python3 bench/python.py BUILD [--rounds N] [--packets N] [--megabytes N]

Each consumer is a process that accepts every packet at once. In a round, each of them gets the same burst of datagrams
over loopback; all of them wait in the queue before the consumer continues. Then each of them passes a TCP stream over
loopback with an MTU of 1500: ipq receives packets of the size that the sender passed to the kernel (GSO); with segments
requested, and in the other two, they are split. The figures are medians of the rounds, the ratios are medians of the
ratios within the rounds; CPU is user and system time of the consumer.
"""
import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

PORT = 7000
TCP_PORT = 7100


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
    """Whether a program owns the queue and has requested complete packets."""
    with open('/proc/net/netfilter/nfnetlink_queue', encoding='ascii') as f:
        return any(line.split()[0] == str(number) and line.split()[3] == '2' for line in f)


def waiting(number):
    with open('/proc/net/netfilter/nfnetlink_queue', encoding='ascii') as f:
        for line in f:
            if int(line.split()[0]) == number:
                return int(line.split()[2])
    return 0


def burst(child, number, receiver, sender, packets):
    """Stops the consumer, queues the packets, continues it, and measures the time that it takes to accept them."""
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


def stream(child, number, size):
    """Sends this number of bytes through the queue, and measures the time until all have arrived."""
    with socket.create_server(('127.0.0.1', TCP_PORT + number)) as server:
        sender = socket.create_connection(('127.0.0.1', TCP_PORT + number))
        receiver = server.accept()[0]
    receiver.settimeout(20)
    before, started = cpu_of(child.pid), time.monotonic()
    thread = threading.Thread(target=lambda: sender.sendall(bytes(size)))
    thread.start()
    left, buffer = size, bytearray(1 << 20)
    while left > 0:
        left -= receiver.recv_into(buffer)
    took, used = time.monotonic() - started, cpu_of(child.pid) - before
    thread.join()
    sender.close()
    receiver.close()
    return took, used


def report(what, seconds, cpu, amount, unit):
    print(what)
    for name in CONSUMERS:
        rate = [amount / s for s in seconds[name][1:]]
        faster = statistics.median(a / b for a, b in zip(seconds['callback'][1:], seconds[name][1:]))
        cheaper = statistics.median(b / max(a, 1e-9) for a, b in zip(cpu['callback'][1:], cpu[name][1:]))
        print(f'{name:15} {statistics.median(rate):9.0f} {unit}  {faster:5.2f}   CPU {cheaper:5.2f}')


def measure(rounds, once):
    seconds, cpu = {name: [] for name in CONSUMERS}, {name: [] for name in CONSUMERS}
    for _ in range(rounds + 1):
        for number, name in enumerate(CONSUMERS):
            took, used = once(number, name)
            seconds[name].append(took)
            cpu[name].append(used)
    return seconds, cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('build')
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--packets', type=int, default=10000)
    parser.add_argument('--megabytes', type=int, default=50)
    parser.add_argument('--consume', nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.consume:
        return CONSUMERS[args.consume[0]](int(args.consume[1]))
    env = dict(os.environ, PYTHONPATH=f'{args.build}/python:{args.build}/bench')
    children, sockets = {}, {}
    for number, name in enumerate(CONSUMERS):
        for protocol, port in ('udp', PORT), ('tcp', TCP_PORT):
            subprocess.run([os.environ.get('IPTABLES', 'iptables-legacy'), '-A', 'OUTPUT', '-p', protocol, '--dport',
                            str(port + number), '-j', 'NFQUEUE', '--queue-num', str(number)], check=True)
        children[name] = subprocess.Popen([sys.executable, __file__, args.build, '--consume', name, str(number)], env=env)
        while not ready(number):
            time.sleep(0.01)
        time.sleep(0.1)
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # 33: SO_RCVBUFFORCE
        receiver.bind(('127.0.0.1', PORT + number))
        receiver.settimeout(2)
        sockets[name] = receiver
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # Packets that wait in the queue count as unsent, so the buffer must be large.
    sender.setsockopt(socket.SOL_SOCKET, 32, 64 << 20)  # 32: SO_SNDBUFFORCE
    bursts = measure(args.rounds, lambda number, name: burst(children[name], number, sockets[name], sender, args.packets))
    size = args.megabytes << 20
    subprocess.run(['ip', 'link', 'set', 'lo', 'mtu', '1500'], check=True)
    streams = measure(args.rounds, lambda number, name: stream(children[name], number, size))
    for child in children.values():
        child.kill()
        child.wait()
    report(f'{args.rounds} bursts of {args.packets} packets; ratios to callback', *bursts, args.packets, 'packets/s')
    report(f'{args.rounds} TCP streams of {args.megabytes} MB; ratios to callback', *streams, args.megabytes, 'MB/s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
