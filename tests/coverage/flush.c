/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For builds that count executed lines (-Db_coverage=true). A process writes its counts when it exits, but several
 * processes of the command end by _exit or by a signal to themselves. So these calls are wrapped (-Wl,--wrap).
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
	__gcov_reset(); /* without the reset, later counts are not written if the process continues */
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
