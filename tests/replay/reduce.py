#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Converts recordings of the kernel's ip_queue (.jsonl) to the scripts in data/ that the replay test plays.

usage: reduce.py RECORDINGS DATA

RECORDINGS holds a directory for each kernel, with a file of events for each case. README.md
describes the recordings and the scripts.
"""
import glob
import json
import os
import re
import sys

CASES = ['b1', 'b2', 'c1', 'c2', 'c3', 'd1', 'd2', 'e', 'f', 'h1', 'i', 'j', 'k', 'm']
# The texts at which a case begins to use features that the engine lacks. The rest of the case is omitted.
STOP_AT = {'f': 'set_mode by root, privileges dropped afterwards'}

MODE, VERDICT, PACKET, ERROR = 0x11, 0x12, 0x13, 2


class Layout:
    def __init__(self, bits):
        self.word = bits // 8
        self.head = 16 + (96 if bits == 64 else 72)
        self.request = 16 + (24 if bits == 64 else 12)
        self.data_len = 88 if bits == 64 else 68
        self.offsets = ((0, 8, 16, 24, 32, 36, 52, 68, 70, 72, 73) if bits == 64 else
                        (0, 4, 8, 12, 16, 20, 36, 52, 54, 56, 57))

    def number(self, data, at, size):
        return int.from_bytes(data[at:at + size], 'little')

    def packet(self, data):
        m = data[16:]
        o = self.offsets
        text = lambda at: m[at:at + 16].split(b'\0')[0].decode()
        n = self.number(m, self.data_len, self.word)
        return {'mark': self.number(m, o[1], self.word), 'sec': self.number(m, o[2], self.word),
                'usec': self.number(m, o[3], self.word), 'hook': self.number(m, o[4], 4),
                'indev': text(o[5]), 'outdev': text(o[6]),
                'hw_protocol': int.from_bytes(m[o[7]:o[7] + 2], 'big'),
                'hw_type': self.number(m, o[8], 2), 'hw_addr': m[o[10]:o[10] + m[o[9]]],
                'payload': m[self.head - 16:self.head - 16 + n]}

    def clean(self, data):
        """Returns the message with its padding cleared, and without the type of a device that has no address."""
        data = bytearray(data)
        n = self.number(data, 16 + self.data_len, self.word)
        data[self.head + n:] = bytes(len(data) - self.head - n)
        if data[16 + self.offsets[9]] == 0:
            at = 16 + self.offsets[8]
            data[at:at + 2] = bytes(2)
        return bytes(data)


def recorded(event):
    """Returns the bytes of a message. Only both ends of a long one were recorded: zeros in between."""
    data = bytes.fromhex(event.get('hex', ''))
    if 'hex_last32' in event:
        last = bytes.fromhex(event['hex_last32'])
        length = event['len'] if event['fn'] == 'sendmsg' else event['ret']
        data = data + bytes(length - len(data) - len(last)) + last
    return data


def hexed(data):
    """Converts to hexadecimal. Runs of 16 or more zeros become *COUNT; no bytes become '-'."""
    out, i = '', 0
    for m in re.finditer(rb'\0{16,}', data):
        out += data[i:m.start()].hex() + '*%d*' % (m.end() - m.start())
        i = m.end()
    return (out + data[i:].hex()) or '-'


def udp(family, payload_len, content=None):
    """Invents a packet whose bytes were not recorded."""
    pattern = bytes(0x61 + i % 26 if i < 64 else 0 for i in range(payload_len)) if content is None else content
    return bytes(28 if family == 4 else 48) + pattern


class Case:
    def __init__(self, events):
        self.events = events
        self.bits = events[0]['bits']
        self.old = events[0]['kernel'].startswith('2.6')
        self.layout = Layout(self.bits)
        self.out = {}       # output lines by the index of their event
        self.handles = {}   # names of open handles by (pid, fd)
        self.flushed = False

    def emit(self, at, line):
        self.out.setdefault(at, []).append(line)

    def handle(self, event):
        fd = event.get('fd', event.get('nfds', 0) - 1)
        pids = [event['pid'], event.get('nlmsg', {}).get('pid')]
        for pid in pids:
            if (pid, fd) in self.handles:
                return self.handles[pid, fd]
        for (_, other), key in self.handles.items():  # handles that are inherited by a fork
            if other == fd:
                return key
        return None

    def capable(self, at, pid):
        for event in self.events[at:]:
            n = event.get('nlmsg', {})
            if event['pid'] == pid and event['ev'] == 'sys' and event['fn'] == 'recvfrom' and n.get('type') == ERROR:
                return n['error'] != -1
        return True

    # Packets: finds, for each message that was read, the earlier event that caused it.

    def causes(self):
        """Assigns every packet to the event that caused it. Each entry: (index, family, packet or None, length,
        again)."""
        rules, waiting, last_verdict = {4: False, 6: False}, [], None
        fed = []
        for at, event in enumerate(self.events):
            kind = event['ev']
            if kind == 'cmd':
                for command in event['cmd'].split(';'):
                    family = 6 if 'ip6tables' in command else 4
                    if 'iptables' not in command and 'ip6tables' not in command:
                        continue
                    if 'QUEUE' in command and ('-A' in command or '-I' in command):
                        rules[family] = True
                    elif '-F' in command and 'mangle' not in command:
                        rules[family] = False
            elif kind == 'udp_sent' and event['ret'] >= 0:
                family = 6 if ':' in event['dst'] else 4
                if rules[family]:
                    waiting.append([at, family, event['payload_len']])
            elif kind == 'inject':
                family = 6 if ':' in event['dst'] else 4
                if rules[family]:
                    waiting.append([at, family, None])
            elif kind == 'sys' and event['fn'] == 'select' and event['ret'] == 0:
                fed += [(w[0], w[1], None, w[2], None) for w in waiting]  # packets that no program read
                waiting = []
            elif kind == 'sys' and event['fn'] == 'sendmsg' or kind == 'sys' and event['fn'] == 'sendto':
                if event['ret'] > 0 and event.get('nlmsg', {}).get('type') == VERDICT:
                    last_verdict = at
            elif kind == 'sys' and event['fn'] == 'recvfrom' and event.get('nlmsg', {}).get('type') == PACKET:
                fed.append(self.cause(at, event, waiting, last_verdict))
        fed += [(w[0], w[1], None, w[2], None) for w in waiting]
        return fed

    def cause(self, at, event, waiting, last_verdict):
        key = self.handle_at.get(at)
        family = 6 if key and key.startswith('6') else 4
        packet = self.layout.packet(recorded(event))
        mine = [w for w in waiting if w[1] == family]
        p = packet['payload']
        if family == 4 and len(p) >= 8 and int.from_bytes(p[6:8], 'big') & 0x3fff:  # the packet is a fragment
            whole = [w for w in mine if w[2] is not None and w[2] > len(p)]
            for w in whole[:1]:
                waiting.remove(w)
            return (at - 1, family, packet, None, None)
        if mine and packet['payload'] and mine[0][2] is not None and len(packet['payload']) >= 8:
            length = int.from_bytes(p[2:4], 'big') if family == 4 else int.from_bytes(p[4:6], 'big') + 40
            mine = [w for w in mine if w[2] is not None and length == w[2] + (28 if family == 4 else 48)]
        if mine:
            waiting.remove(mine[0])
            return (mine[0][0], family, packet, mine[0][2], None)
        previous = max([i for i in range(at) if self.events[i]['ev'] == 'sys' and
                        self.events[i]['fn'] in ('sendto', 'sendmsg')], default=at)
        if last_verdict is not None and last_verdict == previous:
            return (last_verdict, family, packet, None, last_verdict)
        return (at - 1, family, packet, None, None)

    def feed(self, at, family, packet, length, again):
        content, verdict = None, None
        if again is not None:
            data = recorded(self.events[again])
            verdict = self.layout.number(data, 16, 4)
            if len(data) > self.layout.request + 19:
                content = data[self.layout.request:]
            self.emit(at, 'again %d' % verdict)
        if packet is None:
            packet = {'mark': 0, 'sec': 0, 'usec': 0, 'hook': 3, 'indev': '', 'outdev': 'lo', 'hw_protocol': 0,
                      'hw_type': 0, 'hw_addr': b'', 'payload': b''}
        payload = packet['payload']
        if content is not None and len(payload) < len(content):
            payload = payload + content[len(payload):]
        elif length is not None:
            whole = udp(family, length)
            payload = payload + whole[len(payload):]
        elif not payload:
            payload = udp(family, 20)
        self.emit(at, 'packet %d %d %s %s %04x %d %s %x %d %d %s' % (
            family, packet['hook'], packet['indev'] or '-', packet['outdev'] or '-', packet['hw_protocol'],
            packet['hw_type'], packet['hw_addr'].hex() or '-', packet['mark'], packet['sec'], packet['usec'],
            hexed(payload)))

    # All other events, one by one.

    def track(self):
        """Finds the handle of each event; handles open and close in between."""
        self.handle_at, self.deserted, serial, last = {}, set(), 0, {}
        for at, event in enumerate(self.events):
            last[event['pid']] = at
        protocols = {}
        for at, event in enumerate(self.events):
            before = self.events[at - 1]['pid'] if at else None
            if before is not None and before != event['pid'] and last[before] < at:
                for known in [k for k in self.handles if k[0] == before]:
                    # Close the handle of a process that has ended.
                    self.emit(at - 1, 'close %s' % self.handles.pop(known))
            if not self.handles:
                self.deserted.add(at)
            if event['ev'] != 'sys':
                continue
            fn = event['fn']
            if fn == 'socket' and event['ret'] >= 0:
                protocols[event['pid'], event['ret']] = 6 if event['protocol'] == 13 else 4
            elif fn == 'bind' and event['ret'] == 0:
                family = protocols[event['pid'], event['fd']]
                serial += 1
                key = '%d.%d' % (family, serial)
                self.handles[event['pid'], event['fd']] = key
                self.emit(at, 'open %s %d %d %d' % (key, family, event['addr']['nl_pid'] or event['pid'],
                                                   self.capable(at, event['pid'])))
            elif fn == 'close' and (event['pid'], event['fd']) in self.handles:
                self.emit(at, 'close %s' % self.handles.pop((event['pid'], event['fd'])))
            else:
                self.handle_at[at] = self.handle(event)

    def exchange(self, at, event):
        key, fn = self.handle_at.get(at), event['fn']
        if key is None:
            return
        if fn in ('sendto', 'sendmsg') and event['ret'] >= 0:
            self.emit(at, 'send %s %s' % (key, hexed(recorded(event))))
        elif fn == 'recvfrom' and event['ret'] > 0:
            data = recorded(event)
            if event['nlmsg']['type'] == PACKET:
                data = self.layout.clean(data)
            short = self.old and event['nlmsg']['type'] == ERROR
            self.emit(at, '%s %s %s' % ('header' if short else 'recv', key, hexed(data)))
        elif fn == 'select' and event['ret'] == 0:
            self.emit(at, 'quiet %s' % key)

    def fragmented(self, at):
        """Returns whether the last packet read was a fragment: then the delivered packet was assembled from
        several."""
        for event in reversed(self.events[:at]):
            if event['ev'] == 'sys' and event.get('nlmsg', {}).get('type') == PACKET:
                return bool(int(event['nlmsg']['packet'].get('ip', {}).get('frag', '0'), 16) & 0x3fff)
        return False

    def delivery(self, at, event):
        if event['len'] is not None and not self.fragmented(at):
            self.emit(at, 'delivered %d %s' % (event['len'], hexed(bytes.fromhex(event['payload_hex']))))
        if event['len'] is not None:
            return
        # No message arrived, which is only significant if no packet was accepted before.
        for before in reversed(self.events[:at]):
            if before['ev'] in ('udp_delivered', 'step'):
                break
            if before['ev'] == 'sys' and before.get('nlmsg', {}).get('type') == VERDICT:
                if self.layout.number(recorded(before), 16, 4) in (1, 3, 4, 5):
                    return
        self.emit(at, 'undelivered')

    def command(self, at, event):
        m = re.match(r'echo (-?\d+) > /proc/sys/net/ipv(\d)/ip6?_queue_maxlen', event['cmd'])
        if m:
            self.emit(at, 'maxlen %s %d' % (m.group(2), int(m.group(1)) & 0xffffffff))
        m = re.match(r'ifconfig (\S+) down', event['cmd'])
        if m:
            self.emit(at, 'down %s' % m.group(1))
            self.flushed = True

    def reduce(self, stop):
        if stop is not None:
            end = [i for i, e in enumerate(self.events) if e['ev'] == 'step' and stop in e['text']]
            self.events = self.events[:end[0]]
        self.track()
        for fed in self.causes():
            self.feed(*fed)
        for at, event in enumerate(self.events):
            kind = event['ev']
            own = self.out.pop(at, [])
            if kind == 'step':
                self.emit(at, '# ' + event['text'].replace('\n', ' '))
            elif kind == 'sys':
                self.exchange(at, event)
            elif kind == 'udp_delivered':
                self.delivery(at, event)
            elif kind == 'cmd':
                self.command(at, event)
            elif kind == 'file' and at in self.deserted and 'Peer PID          : 0' not in event.get('text', ''):
                self.emit(at, '# (the kernel kept a peer that nobody could be: the engine does not)')
            elif kind == 'file' and not self.flushed and re.search('/proc/net/ip6?_queue$', event['path']) and \
                    'text' in event:
                self.emit(at, 'proc %d %s' % (6 if 'ip6' in event['path'] else 4,
                                              event['text'].replace('\n', '\\n')))
            self.out.setdefault(at, []).extend(own)
        return [line for at in sorted(self.out) for line in self.out[at]]


def main(recordings, data):
    for directory in sorted(glob.glob(os.path.join(recordings, 'linux-*'))):
        for case in CASES:
            for path in glob.glob(os.path.join(directory, case + '-*.jsonl')):
                with open(path) as f:
                    events = [json.loads(line) for line in f]
                lines = Case(events).reduce(STOP_AT.get(case))
                kernel = os.path.basename(directory).replace('linux-', '')
                name = '%s-%s.txt' % (os.path.basename(path)[:-6], kernel)
                with open(os.path.join(data, name), 'w') as f:
                    f.write('bits %d\n' % events[0]['bits'])
                    f.writelines(line + '\n' for line in lines)


if __name__ == '__main__':
    main(*sys.argv[1:])
