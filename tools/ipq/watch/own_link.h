/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The connections that carry what `ipq watch` prints. Each line that it shows of such a connection would send another
 * packet over it, and so on without end.
 */
#ifndef IPQ_WATCH_OWN_LINK_H
#define IPQ_WATCH_OWN_LINK_H

/*
 * A filter that matches the packets of these connections: the standard output or error when it is a socket, and the SSH
 * session of this process or of one of its ancestors ($SSH_CONNECTION; sudo removes it from our own environment). The
 * caller frees it. NULL: there are none.
 */
char *own_link_filter(void);

#endif
