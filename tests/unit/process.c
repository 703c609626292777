/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/process.h"

static void name_with_parentheses_does_not_hide_the_parent(void **state)
{
	struct process p = { .parent = 0 };
	char byte;
	int ready[2];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NAME, "a) R 1 (b) 2 3");
		if (write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_true(process_read(pid, &p));
	assert_int_equal(p.parent, getpid());
	assert_false(p.ending);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ready[0]);
	close(ready[1]);
}

static void process_that_has_exited_is_ending_until_it_is_reaped(void **state)
{
	struct process p = { .ending = false };
	siginfo_t info;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_true(process_read(pid, &p));
	assert_true(p.ending);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(process_read(pid, &p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(name_with_parentheses_does_not_hide_the_parent),
		cmocka_unit_test(process_that_has_exited_is_ending_until_it_is_reaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
