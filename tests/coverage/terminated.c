/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For builds that count the lines they run (-Db_coverage=true): the library in a program that SIGTERM ends, as many
 * tests end theirs, writes its counts first.
 */
#include <signal.h>
#include <stddef.h>

void __gcov_dump(void);

static void write_counts(int signal)
{
	__gcov_dump();
	raise(signal); /* once more, and for good: SA_RESETHAND */
}

__attribute__((constructor)) static void catch_termination(void)
{
	struct sigaction before, now = { .sa_handler = write_counts, .sa_flags = (int)SA_RESETHAND };

	if (sigaction(SIGTERM, NULL, &before) == 0 && before.sa_handler == SIG_DFL)
		sigaction(SIGTERM, &now, NULL);
}
