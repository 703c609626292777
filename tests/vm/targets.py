# SPDX-License-Identifier: LGPL-2.1-or-later
"""The machines that qemu emulates, one entry each. A new architecture needs only another entry."""
from dataclasses import dataclass, field


@dataclass
class Target:
    arch: str             # Debian's name of the programs' architecture
    triplet: str          # GNU name of the compiler's target, and name of the library directory
    kernel: str           # Debian's package that depends on the newest kernel package
    qemu: list            # the emulator and the machine
    console: str
    cpu_family: str       # meson's name
    endian: str = 'little'
    kernel_arch: str = '' # set if the kernel has another architecture
    release: str = ''     # set if the kernel is not from the system's release: '-backports'
    setarch: str = ''     # the output of `uname -m` in this case
    flags: list = field(default_factory=list)

    def __post_init__(self):
        self.kernel_arch = self.kernel_arch or self.arch


TARGETS = {
    'amd64': Target('amd64', 'x86_64-linux-gnu', 'linux-image-cloud-amd64',
                    ['qemu-system-x86_64', '-M', 'q35', '-cpu', 'qemu64'], 'ttyS0', 'x86_64'),
    # cmpxchg16b is switched off: if it is on, qemu 7.2 fails in kmem_cache_alloc() of Linux 6.12, in six boots of
    # seven.
    'amd64-backports': Target('amd64', 'x86_64-linux-gnu', 'linux-image-cloud-amd64',
                              ['qemu-system-x86_64', '-M', 'q35', '-cpu', 'qemu64,-cx16'], 'ttyS0', 'x86_64',
                              release='-backports'),
    # 32-bit programs on a 64-bit kernel, to test its compat code.
    'i386': Target('i386', 'i386-linux-gnu', 'linux-image-cloud-amd64',
                   ['qemu-system-x86_64', '-M', 'q35', '-cpu', 'qemu64'], 'ttyS0', 'x86',
                   kernel_arch='amd64', setarch='i686'),
    'arm64': Target('arm64', 'aarch64-linux-gnu', 'linux-image-cloud-arm64',
                    ['qemu-system-aarch64', '-M', 'virt', '-cpu', 'cortex-a57'], 'ttyAMA0', 'aarch64'),
    'armhf': Target('armhf', 'arm-linux-gnueabihf', 'linux-image-armmp',
                    ['qemu-system-arm', '-M', 'virt', '-cpu', 'cortex-a15'], 'ttyAMA0', 'arm',
                    flags=['-march=armv7-a']),
    's390x': Target('s390x', 's390x-linux-gnu', 'linux-image-s390x',
                    ['qemu-system-s390x', '-M', 's390-ccw-virtio'], 'ttysclp0', 's390x', endian='big'),
    'ppc64el': Target('ppc64el', 'powerpc64le-linux-gnu', 'linux-image-powerpc64le',
                      ['qemu-system-ppc64', '-M', 'pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,'
                       'cap-ccf-assist=off', '-cpu', 'power9', '-nodefaults'], 'hvc0', 'ppc64'),
    'mips64el': Target('mips64el', 'mips64el-linux-gnuabi64', 'linux-image-5kc-malta',
                       ['qemu-system-mips64el', '-M', 'malta', '-cpu', 'MIPS64R2-generic'], 'ttyS0', 'mips64'),
}
