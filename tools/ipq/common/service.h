/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The protocol of sd_notify(3), for service managers. */
#ifndef IPQ_COMMON_SERVICE_H
#define IPQ_COMMON_SERVICE_H

/*
 * Sends a state, such as "READY=1", to the service manager that started this process. Does nothing if there is no
 * manager.
 */
void service_notify(const char *state);

/*
 * Gives the service manager a duplicate of this descriptor. When the manager starts the service again, it passes
 * the descriptor under this name.
 */
void service_keep_descriptor(int kept, const char *name);

#endif
