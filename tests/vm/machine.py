# SPDX-License-Identifier: LGPL-2.1-or-later
"""Code of the guests of run and systemd: the kernel, its modules and its command line."""
import os
import re

from packages import Missing

# Modules to load before the first test: all except those that queue packets.
FIRST = """crc32c_generic ipv6 af_packet unix veth tun dummy x_tables ip_tables ip6_tables iptable_filter
iptable_mangle iptable_raw ip6table_filter ip6table_mangle xt_NFQUEUE xt_NFLOG xt_bpf nfnetlink_log xt_mark
xt_connmark xt_limit xt_tcpudp xt_comment xt_conntrack xt_SECMARK ipt_REJECT nf_conntrack nf_conntrack_netlink bridge
br_netfilter nf_tables nft_compat nft_queue nft_log nft_ct nft_limit virtio_rng""".split()
QUEUE = 'nfnetlink_queue'

# Switch off features that are slow in an emulator, and the watchdog: it would report that a processor hangs when the
# emulator waits for CPU time.
FASTER = ('nowatchdog random.trust_cpu=on mitigations=off init_on_alloc=0 hardened_usercopy=off '
          'randomize_kstack_offset=off audit=0 transparent_hugepage=never')


def kernel_file(root):
    names = sorted(n for n in os.listdir(os.path.join(root, 'boot')) if re.match(r'vmlinu[xz]-', n))
    if not names:
        raise Missing(f'no kernel in {root}')
    return os.path.join(root, 'boot', names[-1])
