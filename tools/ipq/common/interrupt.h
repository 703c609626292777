/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Signals that end the command while its main thread waits for a tool or for a lock. They belong to the process, and so
 * does this state; only the main thread uses it.
 */
#ifndef IPQ_COMMON_INTERRUPT_H
#define IPQ_COMMON_INTERRUPT_H

#include <stdbool.h>

/* Signals of this signalfd interrupt from now on; -1: none do. */
void interrupt_from(int signals);
/* For poll(): readable when a signal has come. -1: none. */
int interrupt_fd(void);
/* Has a signal come? Until it is taken, every wait ends at once. */
bool interrupt_pending(void);
/*
 * Call it to act upon the signal, which is then no longer pending. A second one within the next 200 ms is ignored,
 * because timeout(1) sends each signal twice.
 */
void interrupt_take(void);

#endif
