/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "util/safe_open.h"

/* The directory that path is in: a descriptor that leads there and to nowhere else from now on. */
static int open_directory(const char *path, const char *base)
{
	char *directory = base == path ? strdup(".") : strndup(path, (size_t)(base - path));
	int fd, err;

	if (directory == NULL)
		return -ENOMEM;
	fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	err = errno;
	free(directory);
	return fd >= 0 ? fd : -err;
}

/* What may be in a directory where everybody may write. */
static int check_owner(int fd, const char *path, struct ipq_error *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return ipq_fail(e, errno, "%s cannot be examined", path);
	if (st.st_uid != geteuid())
		return ipq_fail(e, EPERM,
				"%s belongs to somebody else, in a directory that everybody may write to: "
				"take another name",
				path);
	if (S_ISREG(st.st_mode) && st.st_nlink > 1)
		return ipq_fail(e, EPERM,
				"%s has another name, too, and is in a directory that everybody may write "
				"to: take another name",
				path);
	return 0;
}

static int open_in(int directory, const char *base, const char *path, int flags, struct ipq_error *e)
{
	struct stat st;
	int fd, err;
	bool shared = fstat(directory, &st) < 0 || (st.st_mode & S_IWOTH) != 0;

	flags |= O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | (shared ? O_NOFOLLOW : 0);
	fd = openat(directory, base, flags, 0600);
	err = errno;
	if (fd < 0 && err == ELOOP && shared)
		return ipq_fail(e, err,
				"%s is a symbolic link in a directory that everybody may write to: name the "
				"file itself",
				path);
	if (fd < 0)
		return ipq_fail(e, err, "%s: %s", path, strerror(err));
	err = shared ? check_owner(fd, path, e) : 0;
	if (err < 0)
		close(fd);
	return err < 0 ? err : fd;
}

int safe_open(const char *path, int flags, struct ipq_error *e)
{
	const char *slash = strrchr(path, '/'), *base = slash != NULL ? slash + 1 : path;
	int directory = open_directory(path, base), fd;

	if (directory < 0)
		return ipq_fail(e, -directory, "%s: %s", path, strerror(-directory));
	/* A name that ends with a slash, or none: what the kernel says about it */
	fd = open_in(directory, *base != '\0' ? base : path, path, flags, e);
	close(directory);
	return fd;
}

int safe_open_refuse_terminal(int fd, const char *path, struct ipq_error *e)
{
	if (!isatty(fd))
		return 0;
	return ipq_fail(e, EINVAL,
			"%s is a terminal, and packets would be commands to it: redirect the output to a "
			"file or a pipe",
			strcmp(path, "-") == 0 ? "standard output" : path);
}
