# SPDX-License-Identifier: LGPL-2.1-or-later
"""filter-actions.py COMMAND FAMILY PORT [N]: prints what the peer of a filtered port observes. FAMILY is 4 or 6.

connect: "refused", "connected" or "silence" of a TCP connection to a port with a listener.
ask: the same for a UDP datagram to a port with a receiver that answers.
hidden: as connect, with a destination options header before TCP.
count N [TO]: how many datagrams arrive at port TO when N are sent to PORT.
"""
import socket
import sys
import time

command, family, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
af, host = (socket.AF_INET, '127.0.0.1') if family == '4' else (socket.AF_INET6, '::1')


def result(action):
    try:
        action()
        return 'connected'
    except ConnectionRefusedError:
        return 'refused'
    except TimeoutError:
        return 'silence'


def connect(options=b''):
    with socket.socket(af, socket.SOCK_STREAM) as listener, socket.socket(af, socket.SOCK_STREAM) as s:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
        if options:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, options)
        s.settimeout(0.7)
        return result(lambda: s.connect((host, port)))


def hidden():
    # The kernel sets the next header and the length; the other bytes are padding.
    return connect(bytes((0, 0, 1, 4, 0, 0, 0, 0)))


def ask():
    with socket.socket(af, socket.SOCK_DGRAM) as receiver, socket.socket(af, socket.SOCK_DGRAM) as s:
        receiver.bind((host, port))
        receiver.settimeout(0.7)
        s.settimeout(0.7)
        s.connect((host, port))

        def exchange():
            s.send(b'question')
            try:
                receiver.sendto(b'answer', receiver.recvfrom(100)[1])
            except TimeoutError:
                pass
            s.recv(100)
        return result(exchange)


def count():
    n, to = int(sys.argv[4]), int(sys.argv[5]) if len(sys.argv) > 5 else port
    with socket.socket(af, socket.SOCK_DGRAM) as receiver, socket.socket(af, socket.SOCK_DGRAM) as s:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        receiver.bind((host, to))
        receiver.settimeout(0.7)
        for i in range(n):
            s.sendto(b'number %d' % i, (host, port))
            time.sleep(0.0005)
        arrived = 0
        try:
            while receiver.recv(100):
                arrived += 1
        except TimeoutError:
            return arrived


print({'connect': connect, 'hidden': hidden, 'ask': ask, 'count': count}[command]())
