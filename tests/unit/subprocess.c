// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tools that ipq starts: their environment, their output, and their end. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/subprocess.h"
#include "util/clock.h"

static char *output;
static char error[16];

static int end(void **state)
{
	(void)state;
	free(output);
	output = NULL;
	return 0;
}

/* Runs a script in a shell. */
static int run(const char *script, const char *input, int timeout_ms)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	const struct subprocess p = { .argv = argv,
				      .input = input,
				      .output = &output,
				      .error = error,
				      .error_size = sizeof(error),
				      .timeout_ms = timeout_ms };

	free(output);
	return subprocess_exec(&p);
}

static void status_and_streams_are_those_of_the_tool(void **state)
{
	const char *const missing[] = { "no-such-tool-of-ipq", NULL };

	(void)state;
	assert_int_equal(run("printf out; printf err >&2; exit 7", NULL, 5000), 7);
	assert_string_equal(output, "out");
	assert_string_equal(error, "err");
	assert_int_equal(run("kill -9 $$", NULL, 5000), 128 + 9);
	assert_int_equal(run("printf 'more than there is room for' >&2", NULL, 5000), 0);
	assert_string_equal(error, "more than there");
	assert_int_equal(run("true", NULL, 5000), 0);
	assert_string_equal(error, "");
	free(output);
	assert_int_equal(subprocess_run(missing, &output), -ENOENT);
	assert_null(output);
	assert_int_equal(subprocess_run_line("sh -c true", &output), 0);
	assert_int_equal(subprocess_run_line("", &output), -EINVAL);
}

static void input_and_output_of_any_length_are_passed(void **state)
{
	const size_t len = 700000;
	char *input = malloc(len + 1);

	(void)state;
	for (size_t i = 0; i < len; i++)
		input[i] = (char)('a' + i % 23);
	input[len] = '\0';
	assert_int_equal(run("cat", input, 20000), 0);
	assert_int_equal(strlen(output), len);
	assert_memory_equal(output, input, len);
	/* Neither a tool that reads nothing nor a tool that prints many errors must block. */
	assert_int_equal(run("exec <&-; exit 3", input, 20000), 3);
	assert_int_equal(run("head -c 300000 /dev/zero >&2 && exit 4", NULL, 20000), 4);
	assert_int_equal(run("head -c 17000000 /dev/zero", NULL, 20000), -EFBIG);
	free(input);
}

static void tool_that_takes_too_long_is_killed_with_its_children(void **state)
{
	int64_t began = now_ms();

	(void)state;
	assert_int_equal(run("echo $$ >&2; sleep 30 & sleep 30", NULL, 500), -ETIMEDOUT);
	/* The tool's pid is the number of its process group. */
	for (int i = 0; i < 2000 && kill(-atoi(error), 0) == 0; i++)
		usleep(1000);
	assert_true(atoi(error) > 1 && kill(-atoi(error), 0) < 0);
	assert_in_range(now_ms() - began, 500, 10000);
	assert_null(output);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child process is left */
}

/*
 * A tool must start with default signal handling, whatever this process has set, and without this process's
 * descriptors.
 */
static void tool_has_a_clean_start(void **state)
{
	unsigned long long blocked, ignored;
	sigset_t all;
	int fd = dup(1);

	(void)state;
	sigfillset(&all);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &all, NULL);
	assert_int_equal(run("grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -d '\\t\\n'", NULL, 5000), 0);
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	signal(SIGPIPE, SIG_DFL);
	assert_int_equal(sscanf(output, "SigBlk:%llxSigIgn:%llx", &blocked, &ignored), 2);
	assert_int_equal(blocked, 0);
	assert_int_equal(ignored & 0x7fffffff, 0); /* signals above 31 belong to the C library */
	assert_int_equal(run("read line; echo \"<$line>\"", NULL, 5000), 0); /* standard input is /dev/null */
	assert_string_equal(output, "<>\n");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(status_and_streams_are_those_of_the_tool, end),
		cmocka_unit_test_teardown(input_and_output_of_any_length_are_passed, end),
		cmocka_unit_test_teardown(tool_that_takes_too_long_is_killed_with_its_children, end),
		cmocka_unit_test_teardown(tool_has_a_clean_start, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
