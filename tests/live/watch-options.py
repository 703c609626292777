#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""ipq watch: the connection that carries its output, sequences of files, interfaces, groups.

Runs in private namespaces. argv: the command.
"""
import glob
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

IPQ = os.path.abspath(sys.argv[1])
failures = 0
work = tempfile.mkdtemp()


def check(what, ok, detail=''):
    global failures
    failures += not ok
    print(('ok: ' if ok else 'FAILED: ') + what, detail if not ok else '', flush=True)


def end(process):
    process.send_signal(signal.SIGINT)
    try:
        return process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def rules():
    """Returns the chains and tables of ipq processes."""
    out = ''
    for command in (['iptables-legacy', '-w', '-t', 'mangle', '-S'], ['iptables-nft', '-t', 'mangle', '-S'],
                    ['iptables', '-w', '-t', 'mangle', '-S'], ['nft', 'list', 'ruleset']):
        try:
            out += subprocess.run(command, capture_output=True, text=True).stdout
        except FileNotFoundError:
            pass
    return set(re.findall(r'(?:-j |table inet )(ipq\w[\w-]*|ipq-[\w-]+)', out))


def wait_for_rules(n=1):
    until = time.monotonic() + 10
    while len(rules()) < n and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.3)


def connection(address='127.0.0.1'):
    """Returns both ends of a TCP connection over loopback."""
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    listener = socket.socket(family)
    listener.bind((address, 0))
    listener.listen()
    out = socket.socket(family)
    out.connect(listener.getsockname())
    return out, listener.accept()[0]


def send_udp(n, port=7001, size=100):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(n):
        s.sendto(b'x' * size, ('127.0.0.1', port))


# The standard output is a socket: each line would be a packet that causes another line.
for address in '127.0.0.1', '::1':
    for include in False, True:
        out, reader = connection(address)
        errors = open(os.path.join(work, 'errors'), 'w+')
        p = subprocess.Popen([IPQ, 'watch', '--on', 'OUTPUT,INPUT'] + ['--include-own'] * include, stdout=out,
                             stderr=errors)
        wait_for_rules()
        send_udp(1)
        time.sleep(1)
        end(p)
        out.close()
        reader.settimeout(0.5)
        lines = b''
        try:
            while data := reader.recv(1 << 20):
                lines += data
        except TimeoutError:
            pass
        own = [line for line in lines.decode().splitlines() if f':{reader.getsockname()[1]} ' in line]
        errors.seek(0)
        text = errors.read()
        if include:
            check(f'--include-own shows the connection of the output ({address})', len(own) > 2, lines[:400])
        else:
            check(f'the connection of the output is left out ({address})', own == [] and b'7001' in lines, own[:5])
            check(f'and named ({address})', f'host {address}' in text and '--include-own' in text, text)

# The same for the lines of a filter's log. These packets cannot be excluded from the rule, because the filter must
# decide them.
out, reader = connection()
errors = open(os.path.join(work, 'errors'), 'w+')
p = subprocess.Popen([IPQ, 'filter', '--on', 'OUTPUT', 'log tcp', 'log udp'], stdout=out, stderr=errors)
wait_for_rules()
send_udp(1)
time.sleep(1)
end(p)
out.close()
reader.settimeout(0.5)
lines = reader.recv(1 << 20).decode()
errors.seek(0)
text = errors.read()
check('log lines about the connection of the output are left out and named', lines.count('\n') == 1 and '7001' in lines and
      'not shown, because it carries this output' in text, lines[:300] + text)

# Another program sends the data that it reads from our pipe.
RELAY = """
import os, socket, sys
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
while data := os.read(0, 65536):
    s.sendall(data)
"""
for command in (['watch', '--on', 'OUTPUT'], ['watch', '--on', 'OUTPUT', '--json'],
                ['filter', '--on', 'OUTPUT', 'log tcp'], ['watch', '--on', 'OUTPUT', '--include-own']):
    listener = socket.socket()
    listener.bind(('127.0.0.1', 0))
    listener.listen()
    errors = open(os.path.join(work, 'errors'), 'w+')
    read_end, write_end = os.pipe()
    relay = subprocess.Popen([sys.executable, '-c', RELAY, str(listener.getsockname()[1])], stdin=read_end)
    reader = listener.accept()[0]
    p = subprocess.Popen([IPQ] + command, stdout=write_end, stderr=errors)
    os.close(read_end)
    os.close(write_end)
    wait_for_rules()
    other, far = connection()
    other.send(b'something else')
    time.sleep(1.5)
    end(p)
    relay.wait(10)
    reader.settimeout(1)
    lines = b''
    while data := reader.recv(1 << 20):
        lines += data
    errors.seek(0)
    text = errors.read()
    if '--include-own' in command:
        check('with --include-own it does', lines.count(b'\n') > 50, lines[:500])
        continue
    check(f'{" ".join(command)} | relay does not feed on itself', 0 < lines.count(b'\n') < 30, lines[:500])
    check('the connection of the relay is named', f'port {listener.getsockname()[1]}' in text, text)

# An SSH session: the variable SSH_CONNECTION is in our environment, or in that of an ancestor (sudo removes it).
out, reader = connection()
session = '%s %u %s %u' % (out.getsockname() + out.getpeername())
for remove in [], ['env', '-u', 'SSH_CONNECTION']:
    log = os.path.join(work, 'log')
    # The shell has the variable in its environment, but its child does not.
    p = subprocess.Popen(['sh', '-c', '"$@" & trap "kill -INT $!" TERM; wait; wait', 'sh'] + remove +
                         [IPQ, 'watch', '--on', 'OUTPUT', 'tcp'],
                         stdout=open(log, 'w'), stderr=subprocess.STDOUT, env=dict(os.environ, SSH_CONNECTION=session))
    wait_for_rules()
    out.send(b'a key')
    reader.send(b'its echo')
    other, far = connection()
    other.send(b'something else')
    time.sleep(0.5)
    p.terminate()
    p.wait(10)
    text = open(log).read()
    where = 'of an ancestor' if remove else 'of our own'
    own = [line for line in text.splitlines() if f':{out.getsockname()[1]} ' in line and 'not shown' not in line]
    check(f'the SSH session in the environment {where} is left out and named', own == [] and 'not shown' in text and
          f':{other.getsockname()[1]} ' in text, text)

# Recording to a sequence of files.
os.chdir(work)
os.makedirs('files')
p = subprocess.Popen([IPQ, 'watch', '--on', 'OUTPUT', '-w', 'files/size', '-C', '1', 'udp port 7001'],
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
ring = subprocess.Popen([IPQ, 'watch', '--on', 'OUTPUT', '-w', 'files/ring', '-C', '1', '-W', '2', 'udp port 7001'],
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
timed = subprocess.Popen([IPQ, 'watch', '--on', 'OUTPUT', '-w', 'files/at-%s', '-G', '1', 'udp port 7001'],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
wait_for_rules(3)
for _ in range(5):
    send_udp(20, size=40000)
    time.sleep(0.5)
status = [end(p), end(ring), end(timed)]
check('recordings in several files end in order', status == [0, 0, 0], status)


def packets(name):
    out = subprocess.run([IPQ, 'watch', '-r', name], capture_output=True, text=True)
    return int(re.search(r'(\d+) packets shown', out.stderr)[1])


check('-C begins a file after each megabyte', sorted(glob.glob('files/size*')) == ['files/size'] +
      [f'files/size{i}' for i in range(1, 4)], glob.glob('files/*'))
check('-C loses no packet between two files', sum(map(packets, glob.glob('files/size*'))) == 100)
check('a file of -C has its size', all(os.path.getsize(f) < 1100000 for f in glob.glob('files/size*')))
check('-W keeps as many files', sorted(glob.glob('files/ring*')) == ['files/ring0', 'files/ring1'], glob.glob('files/*'))
check('-G begins a file after each second', 2 <= len(glob.glob('files/at-*')) <= 5, glob.glob('files/*'))
check('-G loses no packet between two files', sum(map(packets, glob.glob('files/at-*'))) == 100)

# Options for an interface, and for a group to which a rule of the user logs.
for tool in 'iptables-legacy', 'iptables', 'iptables-nft':
    if subprocess.run([tool, '-w', '-A', 'OUTPUT', '-p', 'udp', '--dport', '7001', '-j', 'NFLOG', '--nflog-group', '5'],
                      stderr=subprocess.DEVNULL).returncode == 0:
        break
else:
    print('not tested here: no NFLOG')
    sys.exit(failures != 0)
subprocess.run(['ip', 'link', 'add', 'other0', 'type', 'veth', 'peer', 'name', 'far0'], check=True)
for name, expected in ('lo', 3), ('other0', 0), ('o*', 0), ('any', 3):
    p = subprocess.Popen([IPQ, 'watch', '-n', '-l', '-i', name, '-g', '5'], stdout=subprocess.PIPE, text=True,
                         stderr=subprocess.DEVNULL)
    time.sleep(0.8)
    send_udp(3)
    time.sleep(0.3)
    p.send_signal(signal.SIGINT)
    lines = p.communicate(timeout=10)[0].splitlines()
    check(f'-g and -i {name}', len(lines) == expected, lines)

sys.exit(failures != 0)
