# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian packages of other architectures, fetched by apt into a cache of ours and unpacked there.

The system is not changed: apt uses the system's sources and keys, but a private state and cache, and another
architecture. Unpacked packages are not fetched again until the list of packages changes; remove the cache directory to
get newer kernels.
"""
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess

# Packages with the programs of the guest. The libraries that they depend on are added.
PROGRAMS = ['busybox-static', 'coreutils', 'dash', 'iptables', 'iproute2', 'nftables', 'util-linux', 'libcmocka0',
            'libmnl0', 'libpcap0.8']
# Headers and link libraries to build this project.
DEVELOPMENT = ['libc6-dev', 'linux-libc-dev', 'libmnl-dev', 'libcmocka-dev', 'libpcap0.8-dev', 'libdbus-1-dev',
               'libcrypt-dev']


class Missing(Exception):
    """This machine lacks a requirement, which the text names."""


def cache_directory():
    base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return os.path.join(base, 'libipq-vm')


class Apt:
    def __init__(self, arch, suffix=''):
        for tool in 'apt-get', 'apt-cache', 'dpkg-deb', 'tar':
            if not shutil.which(tool):
                raise Missing(f'no {tool} here')
        self.arch = arch
        self.state = os.path.join(cache_directory(), 'apt', arch + suffix)
        for directory in 'lists/partial', 'archives/partial':
            os.makedirs(os.path.join(self.state, directory), exist_ok=True)
        open(os.path.join(self.state, 'status'), 'a').close()
        self.options = []
        for name, value in (('Dir::State', self.state), ('Dir::State::lists', self.state + '/lists'),
                            ('Dir::State::status', self.state + '/status'), ('Dir::Cache', self.state),
                            ('APT::Architecture', arch), ('APT::Architectures', arch),
                            ('APT::Sandbox::User', ''), ('Acquire::Languages', 'none')):
            self.options += ['-o', f'{name}={value}']
        if suffix:
            self.only_release(suffix)
        self.updated = False
        self.incomplete = ''

    def only_release(self, suffix):
        """Replaces the system's package sources by another release on the same server."""
        targets = self.call('apt-get', 'indextargets', '--no-release-info', '--format',
                            '$(REPO_URI) $(RELEASE) $(COMPONENT)', 'Created-By: Packages')
        with open('/etc/os-release', encoding='utf-8') as f:
            codename = re.search(r'^VERSION_CODENAME=(\w+)$', f.read(), re.M)
        uris = [uri for uri, release, component in re.findall(r'^(\S+) (\S+) (\S+)$', targets, re.M)
                if codename and release == codename[1] and component == 'main']
        if not uris:
            raise Missing(f'no sources of apt for this system, and so no {suffix[1:]} beside them')
        with open(os.path.join(self.state, 'sources.list'), 'w', encoding='utf-8') as f:
            f.write(f'deb {uris[0]} {codename[1]}{suffix} main\n')
        self.options += ['-o', f'Dir::Etc::sourcelist={f.name}', '-o', 'Dir::Etc::sourceparts=/dev/null']

    def call(self, *command, directory=None):
        tool, *rest = command
        try:
            done = subprocess.run([tool, *self.options, *rest], cwd=directory or self.state, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
        except subprocess.TimeoutExpired:
            raise Missing(f'{tool} {rest[0]} for {self.arch} took longer than 300 s') from None
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ['no reason given'])[-1]
            raise Missing(f'{tool} {rest[0]} for {self.arch}: {last}')
        return done.stdout

    def update(self):
        if not self.updated:
            try:
                self.call('apt-get', 'update', '-q')
            except Missing as e:
                # A mirror may lack one of several indexes, which only matters if a package is missing.
                self.incomplete = f' ({e})'
            self.updated = True

    def depends(self, package, recurse=False):
        """Returns the names of the packages on which a package depends, without virtual ones; with recurse, also
        their dependencies and the package itself."""
        relations = 'recommends suggests conflicts breaks replaces enhances'.split()
        text = self.call('apt-cache', 'depends', *['--no-' + r for r in relations],
                         *(['--recurse'] if recurse else []), package)
        names = re.findall(r'^(\w\S*)$' if recurse else r'^ +Depends: (\w\S*)$', text, re.M)
        if not names:
            raise Missing(f'no package {package} for {self.arch} in the sources of apt{self.incomplete}')
        return names

    def newest(self, pattern):
        """Returns, of the packages that match the pattern, the one with the highest number in its name."""
        names = [n for n in self.call('apt-cache', 'pkgnames', pattern.split('(')[0]).split()
                 if re.fullmatch(pattern, n)]
        if not names:
            raise Missing(f'no package like {pattern} for {self.arch} in the sources of apt{self.incomplete}')
        return max(names, key=lambda n: int(re.search(r'\d+', n).group()))

    def unpack(self, packages, root):
        """Fetches the packages and unpacks them into one root, in which /lib is /usr/lib as on any Debian."""
        self.call('apt-get', 'download', '-q', *sorted(packages), directory=self.state + '/archives')
        for name in 'bin', 'sbin', 'lib', 'lib64', 'lib32':
            os.makedirs(os.path.join(root, 'usr', name), exist_ok=True)
            if not os.path.lexists(os.path.join(root, name)):
                os.symlink('usr/' + name, os.path.join(root, name))
        for name in sorted(os.listdir(self.state + '/archives')):
            if not name.endswith('.deb'):
                continue
            archive = os.path.join(self.state, 'archives', name)
            data = subprocess.Popen(['dpkg-deb', '--fsys-tarfile', archive], stdout=subprocess.PIPE)
            subprocess.run(['tar', '-x', '--keep-directory-symlink', '--no-same-owner', '--exclude=./usr/share/*',
                            '-C', root], stdin=data.stdout, check=True)
            if data.wait():
                raise Missing(f'{name} cannot be unpacked')
            os.unlink(archive)
        relative_links(root)


def relative_links(root):
    """Changes links to /lib/..., so that they refer to the same root, also for the linker."""
    for directory, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.join(directory, name)
            if os.path.islink(path) and os.readlink(path).startswith('/'):
                there = os.path.relpath(root + os.readlink(path), os.path.realpath(directory))
                os.unlink(path)
                os.symlink(there, path)


@contextlib.contextmanager
def alone():
    """Allows one download at a time: targets share packages, and two runs may overlap."""
    os.makedirs(cache_directory(), exist_ok=True)
    with open(os.path.join(cache_directory(), 'lock'), 'w', encoding='ascii') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def once(path, key, make):
    """Creates the directory unless it exists with the same key. Never leaves an incomplete directory."""
    with alone():
        return make_once(path, key, make)


def make_once(path, key, make):
    stamp = hashlib.sha256(repr(key).encode()).hexdigest()
    try:
        with open(path + '.stamp', encoding='ascii') as f:
            if f.read() == stamp:
                return path
    except FileNotFoundError:
        pass
    fresh = path + '.new'
    shutil.rmtree(fresh, ignore_errors=True)
    os.makedirs(fresh)
    make(fresh)
    shutil.rmtree(path, ignore_errors=True)
    os.rename(fresh, path)
    with open(path + '.stamp', 'w', encoding='ascii') as f:
        f.write(stamp)
    return path


def sysroot(arch):
    """Returns a root with the guest's programs, and with everything that is needed to build ours."""
    def make(root):
        apt = Apt(arch)
        apt.update()
        wanted = set(PROGRAMS + DEVELOPMENT)
        for package in PROGRAMS:
            wanted |= {name for name in apt.depends(package, recurse=True) if re.match(r'z?lib', name)}
        wanted |= {apt.newest(r'libgcc-(\d+)-dev'), 'libgcc-s1'}
        apt.unpack(wanted, root)
    return once(os.path.join(cache_directory(), 'sysroot-' + arch), (PROGRAMS, DEVELOPMENT), make)


def python(arch):
    """Returns a root with Python and its modules, for tests in Python."""
    def make(root):
        apt = Apt(arch)
        apt.update()
        apt.unpack({name for name in apt.depends('python3', recurse=True)
                    if re.match(r'(lib)?python3\.\d+-(minimal|stdlib)|libexpat1|zlib1g', name)}, root)
    return once(os.path.join(cache_directory(), 'python-' + arch), 'python3', make)


def kernel(arch, package, release=''):
    """Unpacks the kernel that a package depends on: boot/ and lib/modules/VERSION/. release: '' for the system's
    release, '-backports' for its backports."""
    def make(root):
        apt = Apt(arch, release)
        apt.update()
        images = [name for name in apt.depends(package) if name.startswith('linux-image-')]
        if not images:
            raise Missing(f'{package} depends on no kernel')
        apt.unpack(images[:1], root)
    return once(os.path.join(cache_directory(), f'kernel-{arch}-{package}{release}'), package, make)
