# SPDX-License-Identifier: LGPL-2.1-or-later
"""Builds the project for a target with clang, which is a compiler for every architecture, and GNU ld."""
import json
import os
import shutil
import subprocess

from packages import Missing

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Programs that the host compiles for a target, with the flags of run-lib.sh.
RAW_CLIENTS = {'raw-native': [], 'raw-32': ['-m32'], 'raw-32-socketcall': ['-m32', '-DVIA_SOCKETCALL']}


class BuildFailed(Exception):
    """A command that failed, and its output."""


def checked(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace',
                          timeout=900, **options)
    if done.returncode:
        raise BuildFailed(' '.join(command) + '\n' + done.stdout)
    return done.stdout


class Build:
    def __init__(self, name, target, sysroot, jobs):
        self.target = target
        self.sysroot = sysroot
        self.jobs = jobs
        self.directory = os.path.join(TOP, 'build-vm', name)
        self.clients = os.path.join(self.directory, 'clients')
        self.tools = os.path.join(self.directory, 'tools')
        self.binutils = self.find_binutils()
        self.environment = dict(os.environ, CC=os.path.join(self.tools, 'cc'), CXX='no-c++-for-' + name,
                                NM=self.binutils + 'nm', AR=self.binutils + 'ar', OBJCOPY=self.binutils + 'objcopy')

    def find_binutils(self):
        """Finds the GNU tools for the target. This machine's own tools support both word sizes."""
        prefix = self.target.triplet + '-'
        if shutil.which(prefix + 'ld'):
            return prefix
        if self.target.cpu_family in ('x86', 'x86_64') and os.uname().machine == 'x86_64' and shutil.which('ld'):
            return ''
        raise Missing(f'no {prefix}ld here (package binutils-{self.target.triplet.replace("_", "-")})')

    def write_tools(self):
        os.makedirs(self.tools, exist_ok=True)
        os.makedirs(self.clients, exist_ok=True)
        clang = shutil.which('clang')
        if not clang:
            raise Missing('no clang here')
        flags = ' '.join([f'--target={self.target.triplet}', f'--sysroot={self.sysroot}', *self.target.flags])
        with open(os.path.join(self.tools, 'cc'), 'w', encoding='ascii') as f:
            f.write(f'#!/bin/sh\nexec {clang} {flags} "$@"\n')
        os.chmod(f.name, 0o755)
        t = self.target
        pkgconfig = f'{self.sysroot}/usr/lib/{t.triplet}/pkgconfig:{self.sysroot}/usr/share/pkgconfig'
        with open(os.path.join(self.tools, 'cross.ini'), 'w', encoding='ascii') as f:
            f.write(f"""[binaries]
c = '{self.tools}/cc'
ar = '{self.binutils}ar'
strip = '{self.binutils}strip'
pkgconfig = 'pkg-config'
pkg-config = 'pkg-config'

[properties]
sys_root = '{self.sysroot}'
pkg_config_libdir = '{pkgconfig}'
needs_exe_wrapper = true

[host_machine]
system = 'linux'
cpu_family = '{t.cpu_family}'
cpu = '{t.cpu_family}'
endian = '{t.endian}'
""")
        return f.name

    def make(self):
        cross = self.write_tools()
        meson = os.path.join(self.directory, 'meson')
        setup = ['meson', 'setup', '--werror', '--cross-file', cross, '-Doptimization=1', '-Ddebug=false', meson, TOP]
        if os.path.exists(os.path.join(meson, 'build.ninja')):
            setup.insert(2, '--reconfigure')
        else:
            # An existing directory is left from a setup that failed.
            shutil.rmtree(meson, ignore_errors=True)
        checked(setup, env=self.environment)
        checked(['ninja', f'-j{self.jobs}', '-C', meson], env=self.environment)
        self.tests = json.loads(checked(['meson', 'introspect', '--tests', meson]))
        self.output = meson

    def client(self, command):
        """Builds a program of tests/clients from the command that would run it: [sh, run-client, BUILD, ...]."""
        checked(command, env=dict(self.environment, IPQ_CLIENTS_BUILD=self.clients))

    def raw_clients(self):
        for name, flags in RAW_CLIENTS.items():
            if flags and self.target.cpu_family != 'x86_64':
                continue
            compiler = self.environment['CC']
            if flags:
                # 32-bit programs on a 64-bit system are built with this machine's own compiler, if possible.
                compiler = 'gcc'
            try:
                checked([compiler, '-O1', '-D_GNU_SOURCE', '-static', *flags, '-I' + os.path.join(TOP, 'include'), '-o',
                         os.path.join(self.clients, name), os.path.join(TOP, 'tests/live/run-client.c'), '-lpthread'])
            except (BuildFailed, FileNotFoundError):
                if not flags:
                    raise
