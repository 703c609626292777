#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""run-terminal IPQ: under ipq run, the program controls its terminal as it would without ipq run."""
import atexit
import os
import pty
import select
import signal
import struct
import sys
import tempfile
import time

ipq = sys.argv[1]
failures = 0


def expect(what, good):
    global failures
    print('ok:' if good else 'FAILED:', what)
    failures += not good


class Session:
    """A program as the foreground job of a terminal."""

    def __init__(self, *command):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execvp(ipq, [ipq, 'run', *command])

    def read_until(self, text, seconds=5):
        said, end = b'', time.monotonic() + seconds
        while text not in said and time.monotonic() < end:
            if select.select([self.terminal], [], [], 0.1)[0]:
                try:
                    said += os.read(self.terminal, 4096)
                except OSError:
                    break
        return text in said

    def wait_until_it_runs(self, name):
        """Returns the pid of the program: the child of the supervisor, which is the child of ipq run."""
        end = time.monotonic() + 5
        while time.monotonic() < end:
            try:
                child = self.pid
                for _ in range(2):
                    with open(f'/proc/{child}/task/{child}/children') as f:
                        child = f.read().split()[0]
                with open(f'/proc/{child}/comm') as f:
                    if f.read().strip() == name:
                        return
            except (OSError, IndexError):
                pass
            time.sleep(0.01)

    def type(self, keys):
        os.write(self.terminal, keys)

    def wait(self, seconds=5, options=0):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG | options)
            if pid:
                return status
            time.sleep(0.02)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return None

    def close(self):
        os.close(self.terminal)


# A capture file without packets, which needs no privileges.
with tempfile.NamedTemporaryFile(suffix='.pcap', delete=False) as f:
    f.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
atexit.register(os.unlink, f.name)
os.environ['IPQ_SOURCE'] = f'pcap:{f.name}'

s = Session('sh', '-c', 'test -t 0 && test -t 1 && test -t 2 && echo terminal; read word; echo "<$word>"; exit 3')
expect('the program has the terminal', s.read_until(b'terminal'))
s.type(b'hello\n')
expect('it reads what is typed', s.read_until(b'<hello>'))
expect('it ends as it likes', os.waitstatus_to_exitcode(s.wait() or 0) == 3)
s.close()

s = Session('sleep', '20')  # not a shell, because a shell may ignore a ^C between two commands
s.wait_until_it_runs('sleep')
s.type(b'\x03')
status = s.wait()
expect('^C ends program and ipq run, by the same signal',
       status is not None and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT)
s.close()

s = Session('sh', '-c', 'trap "echo once" INT; echo ready; sleep 1; sleep 1; exit 5')
s.read_until(b'ready')
s.type(b'\x03')
expect('a program may catch ^C', s.read_until(b'once'))
expect('and sees it once', not s.read_until(b'once', 0.5))
expect('and go on', os.waitstatus_to_exitcode(s.wait() or 0) == 5)
s.close()

s = Session('sh', '-c', 'echo ready; read word; echo "<$word>"')
s.read_until(b'ready')
s.type(b'\x1a')
status = s.wait(options=os.WUNTRACED)
expect('^Z stops it', status is not None and os.WIFSTOPPED(status))
os.killpg(s.pid, signal.SIGCONT)
s.type(b'again\n')
expect('it goes on where it was', s.read_until(b'<again>'))
expect('to its end', s.wait() == 0)
s.close()

s = Session('sh', '-c', 'trap "" HUP; echo ready; sleep 20')
s.read_until(b'ready')
s.close()
status = s.wait(seconds=1)
expect('a program that ignores the hangup of its terminal lives on', status is None)
sys.exit(failures > 0)
