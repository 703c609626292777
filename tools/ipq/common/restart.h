/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Decides when a program that has ended is started again. A program that worked (it decided packets, or ran for ten
 * seconds) starts again immediately. A program that did not work starts after a delay, which grows with each
 * failure: 0, 0.1, 0.2, 0.4 ... 5 seconds. When the number of failures in a row reaches the limit, it is not
 * started again.
 */
#ifndef IPQ_COMMON_RESTART_H
#define IPQ_COMMON_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#define RESTART_LIMIT 10 /* the default limit */

struct restart {
	unsigned limit;	   /* maximum number of failures in a row; 0: no limit */
	unsigned failures; /* failures in a row */
};

/* Whether the program has ended with a failure: killed by a signal (other than SIGHUP, SIGINT, SIGQUIT and SIGTERM,
 * which ask a program to end) or with a status other than 0. status comes from waitpid(). */
bool restart_is_failure(int status);

/*
 * Milliseconds until the next start; -1: the limit is reached. worked: the program has decided packets. lived_ms:
 * how long it ran.
 */
int restart_delay_ms(struct restart *r, bool worked, int64_t lived_ms);

#endif
