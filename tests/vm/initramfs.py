# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest's root: chosen files, the libraries that they need, kernel modules; written as a cpio archive.

Everything
is from an unpacked root of the guest's architecture or from a build for it. No program of the guest is run, and root is
not needed: device nodes exist only in the archive.
"""
import lzma
import os
import re
import stat
import subprocess

# /lib is /usr/lib and so on, in the guest as in the unpacked root.
MERGED = ('bin', 'sbin', 'lib', 'lib64')


class Image:
    def __init__(self, sysroot, readelf):
        self.sysroot = sysroot
        self.readelf = readelf
        self.entries = {}  # entries by path in the guest: (mode, bytes or path of the file on the host, device number)
        self.library_directories = []
        for directory in 'usr/lib', 'usr/lib64':
            base = os.path.join(sysroot, directory)
            self.library_directories.append(base)
            self.library_directories += [e.path for e in os.scandir(base) if '-linux-gnu' in e.name]
        for name in MERGED:
            self.entries[name] = (stat.S_IFLNK | 0o777, b'usr/' + name.encode(), 0)

    def add(self, path, mode, content=b'', device=0):
        path = path.strip('/')
        if path.split('/')[0] in MERGED:
            path = 'usr/' + path
        if not path or path in self.entries:
            return False
        self.add(os.path.dirname(path), stat.S_IFDIR | 0o755)
        self.entries[path] = (mode, content, device)
        return True

    def directory(self, path):
        self.add(path, stat.S_IFDIR | 0o755)

    def put(self, path, content, mode=0o644):
        self.add(path, stat.S_IFREG | mode, content.encode() if isinstance(content, str) else content)

    def device(self, path, major, minor):
        self.add(path, stat.S_IFCHR | 0o600, device=major << 8 | minor)

    def file(self, source, path, libraries=()):
        """Adds a file of the host. If it is a program, adds its libraries, which are also searched in these
        directories. None: the file is not a program, even if it looks like one."""
        source = os.path.realpath(source)
        if not self.add(path, stat.S_IFREG | stat.S_IMODE(os.stat(source).st_mode), source):
            return
        with open(source, 'rb') as f:
            if libraries is not None and f.read(4) == b'\x7fELF':
                self.needed(source, libraries)

    def tree(self, source, path):
        for directory, _, files in os.walk(source):
            for name in files:
                self.file(os.path.join(directory, name),
                          os.path.normpath(os.path.join(path, os.path.relpath(directory, source), name)))

    def find(self, name):
        """Adds a program of the guest, at its path in Debian."""
        for directory in 'usr/bin', 'usr/sbin':
            path = os.path.join(self.sysroot, directory, name)
            if os.path.exists(path):
                return path
        raise FileNotFoundError(f'no {name} in {self.sysroot}')

    def needed(self, program, libraries):
        text = subprocess.run([self.readelf, '-ld', program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True, errors='replace').stdout
        for name in re.findall(r'program interpreter: (/[^\]]*)\]', text):
            self.file(self.sysroot + name, name)
        for name in re.findall(r'\(NEEDED\).*\[(.*)\]', text):
            self.library(name, libraries, program)

    def library(self, name, libraries=(), program='a program'):
        for directory in [*libraries, *self.library_directories]:
            if os.path.exists(os.path.join(directory, name)):
                inside = directory.startswith(self.sysroot)
                where = directory[len(self.sysroot):] if inside else directory
                self.file(os.path.join(directory, name), os.path.join(where, name), libraries)
                return
        raise FileNotFoundError(f'{program} needs {name}')

    def write(self, path):
        with open(path, 'wb') as out:
            for number, (name, (mode, content, device)) in enumerate(sorted(self.entries.items()), 1):
                if isinstance(content, str):
                    with open(content, 'rb') as f:
                        content = f.read()
                record(out, number, name, mode, content, device)
            record(out, 0, 'TRAILER!!!', 0, b'', 0)


def record(out, number, name, mode, content, device):
    """Returns an entry of `newc`: 13 numbers of 8 hexadecimal digits, the name, and the content, each padded to 4
    bytes."""
    name = name.encode() + b'\0'
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, device >> 8, device & 0xff, len(name), 0)
    head = b'070701' + b''.join(b'%08x' % field for field in fields) + name
    out.write(head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4))


class Modules:
    """Adds kernel modules. Returns them in the order in which they can be loaded."""
    def __init__(self, root):
        base = os.path.join(root, 'usr/lib/modules')
        self.version = os.listdir(base)[0]
        self.files = {}
        for directory, _, files in os.walk(os.path.join(base, self.version)):
            for name in files:
                if name.endswith(('.ko', '.ko.xz')):
                    self.files[name.split('.')[0].replace('-', '_')] = os.path.join(directory, name)

    def read(self, name):
        with (lzma.open if self.files[name].endswith('.xz') else open)(self.files[name], 'rb') as f:
            return f.read()

    def depends(self, name):
        found = re.search(rb'\0depends=([^\0]*)\0', self.read(name))
        return [d.replace('-', '_') for d in found.group(1).decode().split(',') if d] if found else []

    def order(self, names):
        """Adds the dependencies, too. A module without a file is built into the kernel, or not available."""
        result = []

        def add(name):
            if name in self.files and name not in result:
                for other in self.depends(name):
                    add(other)
                result.append(name)
        for name in names:
            add(name)
        return result
