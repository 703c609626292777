/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The protocol of sd_notify(3), for service managers. */
#ifndef IPQ_COMMON_SERVICE_H
#define IPQ_COMMON_SERVICE_H

/* Sends a state, such as "READY=1", to the manager that started this process. Without a manager, does nothing. */
void service_notify(const char *state);

/* The manager keeps a duplicate of this descriptor, and passes it under this name when it starts the service again. */
void service_keep_descriptor(int kept, const char *name);

#endif
