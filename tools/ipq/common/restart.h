/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Decides when a program that has ended is started again. A program that worked (it decided packets, or lived for ten
 * seconds) starts again at once. One that did not starts later each time: after 0, 0.1, 0.2, 0.4 ... 5 seconds, and
 * not at all after as many failures in a row as the limit allows.
 */
#ifndef IPQ_COMMON_RESTART_H
#define IPQ_COMMON_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#define RESTART_LIMIT 10 /* the default */

struct restart {
	unsigned limit;	   /* 0: none */
	unsigned failures; /* failures in a row */
};

/* Whether the program has ended with a failure: killed by a signal (other than SIGHUP, SIGINT, SIGQUIT and SIGTERM,
 * which ask a program to end) or with a status other than 0. status is waitpid's. */
bool restart_is_failure(int status);

/* Milliseconds until the next start; -1: the limit is reached. worked: it has decided packets. lived_ms: its age. */
int restart_delay_ms(struct restart *r, bool worked, int64_t lived_ms);

#endif
