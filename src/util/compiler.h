/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where code lies. After a system call the processor finds little of a program's in its caches, and has forgotten where
 * pointers lead and functions return to. So what every packet takes is one translation unit (meson.build), in which the
 * calls of its rooms become a few straight functions, and the rest lies elsewhere. Measured with the classic calls, by
 * which a packet takes two system calls: 1.09 of what the same costs by hand without any of this, 1.03 with it.
 */
#ifndef PATHS_H
#define PATHS_H

#define HOT __attribute__((hot))
#define FLAT __attribute__((hot, flatten)) /* with all that it calls in it, but for these: */
#define APART __attribute__((noinline))    /* every packet of some programs, none of others */
#define COLD __attribute__((cold, noinline))

/* Where a jump is not obvious to the compiler, which takes all that leads to what is COLD for unlikely. */
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/*
 * Calls pointer(...), which is mostly usual. Where a pointer leads the processor has forgotten after a system call;
 * it finds out in 10 ns. A comparison it gets right.
 */
#define CALL_MOSTLY(usual, pointer, ...) \
	(LIKELY((pointer) == (usual)) ? (usual)(__VA_ARGS__) : (pointer)(__VA_ARGS__))

#endif
