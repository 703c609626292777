/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Signals that end the command while its main thread waits for a tool or for a lock. Signals belong to the process,
 * so the state of this file belongs to the process, too; only the main thread uses it.
 */
#ifndef IPQ_COMMON_INTERRUPT_H
#define IPQ_COMMON_INTERRUPT_H

#include <stdbool.h>

/* From now on, signals of this signalfd interrupt waits; -1: no signal does. */
void interrupt_from(int signals);
/* A descriptor for poll(), which is readable when a signal has arrived. -1: none. */
int interrupt_fd(void);
/* Whether a signal has arrived. Until it is taken, every wait ends immediately. */
bool interrupt_pending(void);
/*
 * Call it when you act upon the signal, which is then no longer pending. A second signal within the next 200 ms is
 * ignored, because timeout(1) sends each signal twice.
 */
void interrupt_take(void);

#endif
