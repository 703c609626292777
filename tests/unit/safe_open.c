// SPDX-License-Identifier: LGPL-2.1-or-later
/* Paths of output files: their limits, and links in directories of the user. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "util/safe_open.h"

#define OTHER_USER 12345

static char directory[] = "/tmp/safe_open-XXXXXX";
static char path[2 * PATH_MAX];
static struct ipq_error e;

/* The tests run in an empty directory of the user, who is not root if that is possible. */
static int begin(void **state)
{
	(void)state;
	if (mkdtemp(directory) == NULL || chdir(directory) < 0)
		return -1;
	if (geteuid() == 0 && chown(directory, OTHER_USER, (gid_t)-1) == 0 && seteuid(OTHER_USER) < 0)
		return -1;
	return 0;
}

static int end(void **state)
{
	(void)state;
	if (geteuid() == OTHER_USER && seteuid(0) < 0)
		return -1;
	return chdir("/") < 0 ? -1 : rmdir(directory);
}

/* Opens the path. Returns 0 or the error, and closes the descriptor. */
static int try_open(const char *name)
{
	int fd = safe_open(name, 0, &e);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

/* Writes `times` times "./", and then the name. */
static void lengthen(char *to, unsigned times, const char *name)
{
	while (times-- > 0)
		to = stpcpy(to, "./");
	strcpy(to, name);
}

static void path_has_at_most_4095_characters(void **state)
{
	(void)state;
	lengthen(path, 2047, "a");
	assert_int_equal(strlen(path), PATH_MAX - 1);
	assert_int_equal(try_open(path), 0);
	assert_int_equal(unlink("a"), 0);
	strcat(path, "a"); /* it must not open the file "a" */
	assert_int_equal(try_open(path), -ENAMETOOLONG);
	assert_int_equal(access("a", F_OK), -1);
}

static void name_has_at_most_255_characters(void **state)
{
	char name[NAME_MAX + 2];

	(void)state;
	memset(name, 'n', sizeof(name));
	name[NAME_MAX] = '\0';
	assert_int_equal(try_open(name), 0);
	assert_int_equal(unlink(name), 0);
	assert_int_equal(mkdir(name, 0700), 0);
	name[NAME_MAX] = 'n';
	name[NAME_MAX + 1] = '\0';
	assert_int_equal(try_open(name), -ENAMETOOLONG);
	strcat(strcpy(path, name),
	       "/file"); /* it must not open the file in the directory with the shorter name */
	assert_int_equal(try_open(path), -ENAMETOOLONG);
	name[NAME_MAX] = '\0';
	assert_int_equal(rmdir(name), 0);
}

static void path_through_a_link_has_at_most_4095_characters(void **state)
{
	(void)state;
	lengthen(path, 1000, "."); /* 2,001 characters */
	assert_int_equal(symlink(path, "link"), 0);
	lengthen(stpcpy(path, "link/"), 1046, "a");
	assert_int_equal(try_open(path), 0); /* 2001 + 1 + 2093 characters */
	assert_int_equal(unlink("a"), 0);
	strcat(path, "b");
	assert_int_equal(try_open(path), -ENAMETOOLONG);
	assert_int_equal(access("a", F_OK), -1);
	assert_int_equal(unlink("link"), 0);
}

static void at_most_40_links_are_followed(void **state)
{
	char name[8], target[8];

	(void)state;
	for (unsigned i = 1; i <= 41; i++) {
		snprintf(name, sizeof(name), "%u", i);
		snprintf(target, sizeof(target), "%u", i - 1);
		assert_int_equal(symlink(target, name), 0);
	}
	assert_int_equal(try_open("40"), 0);
	assert_int_equal(access("0", F_OK), 0);
	assert_int_equal(try_open("41"), -ELOOP);
	for (unsigned i = 0; i <= 41; i++) {
		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(unlink(name), 0);
	}
}

static void link_is_followed_unless_others_may_write_to_its_directory(void **state)
{
	static const struct {
		mode_t mode;
		int result;
	} all[] = { { 0700, 0 }, { 0755, 0 }, { 0775, 0 }, { 0702, -ELOOP }, { 01777, -ELOOP } };

	(void)state;
	assert_int_equal(symlink("target", "link"), 0);
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_int_equal(chmod(".", all[i].mode), 0);
		assert_int_equal(try_open("link"), all[i].result);
		assert_int_equal(access("target", F_OK), all[i].result == 0 ? 0 : -1);
		unlink("target");
	}
	assert_int_equal(chmod(".", 0700), 0);
	assert_int_equal(unlink("link"), 0);
}

static void path_without_a_file_name_is_refused(void **state)
{
	(void)state;
	assert_int_equal(try_open(""), -ENOENT);
	assert_int_equal(try_open("/"), -EISDIR);
	assert_int_equal(try_open("."), -EISDIR);
	assert_int_equal(try_open("none/file"), -ENOENT);
	assert_int_equal(try_open("none/"), -ENOENT);
	assert_int_equal(access("none", F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(path_has_at_most_4095_characters),
		cmocka_unit_test(name_has_at_most_255_characters),
		cmocka_unit_test(path_through_a_link_has_at_most_4095_characters),
		cmocka_unit_test(at_most_40_links_are_followed),
		cmocka_unit_test(link_is_followed_unless_others_may_write_to_its_directory),
		cmocka_unit_test(path_without_a_file_name_is_refused),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
