// SPDX-License-Identifier: LGPL-2.1-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <cmocka.h>
#if __has_include(<linux/landlock.h>)
#include <linux/landlock.h>
#endif
#include "common/privileges.h"

/*
 * A process cannot regain privileges, so each test runs in its own process. The process exits with 0, or with the
 * number of the line that failed.
 */
#define CHECK(condition)                           \
	do {                                       \
		if (!(condition))                  \
			_exit(__LINE__ % 255 + 1); \
	} while (0)

static void in_child(void (*body)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void keep_one(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct before[2] = { 0 }, after[2] = { 0 };
	uint32_t admin = 1U << CAP_NET_ADMIN;

	CHECK(syscall(SYS_capget, &header, before) == 0);
	privileges_keep(PRIVILEGE(CAP_NET_ADMIN) | PRIVILEGE(CAP_WAKE_ALARM));
	CHECK(syscall(SYS_capget, &header, after) == 0);
	CHECK(after[0].effective == (before[0].effective & admin));
	CHECK(after[0].permitted == (before[0].permitted & admin));
	CHECK(after[1].permitted == (before[1].permitted & 1U << (CAP_WAKE_ALARM - 32)));
	CHECK((after[0].inheritable & ~admin) == 0);
	CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	CHECK((before[0].effective & 1U << CAP_SETPCAP) == 0 ||
	      prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) == 0);
}

static void unnamed_capabilities_are_dropped(void **state)
{
	(void)state;
	in_child(keep_one);
}

static void close_some(void)
{
	int inherited = open("/dev/null", O_RDONLY), ours = open("/dev/null", O_RDONLY | O_CLOEXEC);

	CHECK(inherited > 2 && ours > 2);
	privileges_close_inherited();
	CHECK(fcntl(inherited, F_GETFD) < 0);
	CHECK(fcntl(ours, F_GETFD) >= 0);
	for (int fd = 0; fd < 3; fd++)
		CHECK(fcntl(fd, F_GETFD) >= 0);
}

static void only_inherited_descriptors_are_closed(void **state)
{
	(void)state;
	in_child(close_some);
}

static char directory[] = "/tmp/ipq-privileges.XXXXXX";

static void write_one(void)
{
	static const char *const files[] = { "allowed", "missing", NULL };
	int open_before;

	CHECK(chdir(directory) == 0);
	open_before = open("open", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(open_before >= 0 && close(open("allowed", O_WRONLY | O_CREAT, 0600)) == 0);
	privileges_keep(0);
	privileges_write_only(files);
	CHECK(open("allowed", O_WRONLY | O_TRUNC) >= 0);
	CHECK(write(open_before, "x", 1) == 1);
	CHECK(open("open", O_RDONLY) >= 0);
	CHECK(open("open", O_WRONLY) < 0 && errno == EACCES);
	CHECK(open("missing", O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES);
	CHECK(mkdir("directory", 0700) < 0 && errno == EACCES);
	CHECK(symlink("open", "link") < 0 && errno == EACCES);
	CHECK(unlink("open") < 0 && errno == EACCES);
	CHECK(rename("open", "allowed") < 0 && errno == EACCES);
}

static void only_the_named_files_can_be_written(void **state)
{
	char path[64];

	(void)state;
#ifdef LANDLOCK_CREATE_RULESET_VERSION
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1)
#endif
		skip();
	assert_non_null(mkdtemp(directory));
	in_child(write_one);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, i == 0 ? "open" : "allowed");
		unlink(path);
	}
	assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unnamed_capabilities_are_dropped),
		cmocka_unit_test(only_inherited_descriptors_are_closed),
		cmocka_unit_test(only_the_named_files_can_be_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
