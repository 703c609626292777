/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For builds that count the lines they run (-Db_coverage=true): a process writes its counts when it exits, but
 * several of the command's end by _exit or by a signal that they send to themselves (-Wl,--wrap).
 */
void __gcov_dump(void);
void __gcov_reset(void);
void __real__exit(int status) __attribute__((noreturn));
void __wrap__exit(int status) __attribute__((noreturn));
int __real_raise(int signal);
int __wrap_raise(int signal);

static void write_counts(void)
{
	__gcov_dump();
	__gcov_reset(); /* or nothing more is written when the process goes on */
}

void __wrap__exit(int status)
{
	write_counts();
	__real__exit(status);
}

int __wrap_raise(int signal)
{
	write_counts();
	return __real_raise(signal);
}
