/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The connections that carry our output. Each line about a packet of such a connection would send another packet over
 * it, and so on without end.
 */
#ifndef IPQ_OUTPUT_OWN_LINK_H
#define IPQ_OUTPUT_OWN_LINK_H

/*
 * A filter that matches the packets of these connections: the standard output or error when it is a socket, and the SSH
 * session of this process or of one of its ancestors ($SSH_CONNECTION; sudo removes it from our own environment). The
 * caller frees it. NULL: there are none.
 */
char *own_link_filter(void);

#endif
