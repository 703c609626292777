/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finds the connections that carry our output. If lines about packets of such a connection were printed, each line
 * would send another packet over the connection, without end.
 */
#ifndef IPQ_OUTPUT_OWN_LINK_H
#define IPQ_OUTPUT_OWN_LINK_H

/*
 * Returns a filter that matches the packets of these connections: the standard output or error if it is a socket,
 * and the SSH session of this process or of one of its ancestors ($SSH_CONNECTION; sudo removes the variable from
 * our own environment). The caller frees it. NULL: there are none.
 */
char *own_link_filter(void);

#endif
