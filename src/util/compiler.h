/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Compiler attributes for the packet path.
 *
 * After a system call, the processor's caches and branch predictors have lost most of the program's state. So the
 * packet path is compiled as one translation unit (path_sources in meson.build, figures in doc/DESIGN.md), its
 * functions are inlined into a few large ones, and other code is placed elsewhere.
 */
#ifndef UTIL_COMPILER_H
#define UTIL_COMPILER_H

#define __hot __attribute__((__hot__))
#define __flatten \
	__attribute__((__hot__, __flatten__)) /* inline all callees that are not __noinline or __cold */
#define __noinline __attribute__((__noinline__))
#define __cold __attribute__((__cold__, __noinline__))

/*
 * Marks functions that a cancelled thread leaves near the beginning of its stack. Without this attribute,
 * AddressSanitizer would report stack marks that are left when the thread ends.
 */
#define __cancelled_frame __attribute__((__no_sanitize_address__))

/* Branch hints where the compiler would guess wrong. It regards each path to a __cold function as unlikely. */
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/*
 * Calls pointer(...), which nearly always equals `expected`. After a system call an indirect branch is
 * mispredicted, which costs 10 ns, but the comparison is predicted correctly.
 */
#define DIRECT_CALL(expected, pointer, ...) \
	(likely((pointer) == (expected)) ? (expected)(__VA_ARGS__) : (pointer)(__VA_ARGS__))

#endif
