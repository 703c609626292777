/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where code lies. After a system call the processor finds little in its caches and predicts wrongly each return to a
 * function that was entered before the call. So what every packet takes lies together in few functions, and the rest
 * elsewhere. Measured with the classic calls, by which a packet takes two system calls: 3 % of all that it costs.
 */
#ifndef PATHS_H
#define PATHS_H

#define HOT __attribute__((hot))
#define FLAT __attribute__((hot, flatten)) /* with all that it calls in it, but for these: */
#define APART __attribute__((noinline))    /* every packet of some programs, none of others */
#define COLD __attribute__((cold, noinline))

#endif
