/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The path is followed one name at a time, each relative to a descriptor of the directory before it. Symbolic links
 * are read and followed here, and only in directories where no other user can have created them. Such a directory
 * belongs to the current user or to root, and no other user may write to it. So another user who changes a
 * directory at the same time cannot make the path leave the checked directories.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "util/safe_open.h"

#define LINKS_MAX 40
#define PROC_MAGIC 0x9fa0 /* value of PROC_SUPER_MAGIC in <linux/magic.h> */

/* The directory that was reached, and the names that are still to be followed. */
struct walk {
	int directory;
	char rest[PATH_MAX];
	unsigned links;
};

/*
 * Whether another user may have created files in this directory. In a user namespace, root may see the real root as
 * another number.
 */
static bool is_shared(int directory)
{
	struct stat st, root;

	if (fstat(directory, &st) < 0 || stat("/", &root) < 0)
		return true;
	return (st.st_mode & S_IWOTH) != 0 ||
	       ((st.st_mode & S_IWGRP) != 0 && st.st_gid != getegid() && st.st_gid != 0) ||
	       (st.st_uid != geteuid() && st.st_uid != 0 && st.st_uid != root.st_uid);
}

/* The links in /proc lead to files that have no path. The kernel checks who may follow them. */
static bool is_proc(int directory)
{
	struct statfs fs;

	return fstatfs(directory, &fs) == 0 && fs.f_type == PROC_MAGIC;
}

static void move_to(struct walk *w, int directory)
{
	if (w->directory >= 0)
		close(w->directory);
	w->directory = directory;
}

/* Enters "/" if the rest is absolute, or "." at the beginning. */
static int enter_start(struct walk *w)
{
	if (w->directory < 0 || w->rest[0] == '/')
		move_to(w, open(w->rest[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
	return w->directory < 0 ? -errno : 0;
}

/* Puts the target of the link `name` before the rest. -ENOENT: it is not a link. */
static int follow_link(struct walk *w, const char *name, const char *rest, const char *path,
		       struct ipq_error *e)
{
	char target[PATH_MAX], all[PATH_MAX];
	ssize_t n = readlinkat(w->directory, name, target, sizeof(target) - 1);

	if (n < 0)
		return -ENOENT;
	target[n] = '\0';
	if (is_shared(w->directory))
		return ipq_fail(
			e, ELOOP,
			"%s: \"%s\" is a symbolic link in a directory where another user may write: name "
			"the file itself",
			path, name);
	if (++w->links > LINKS_MAX)
		return ipq_fail(e, ELOOP, "%s: %s", path, strerror(ELOOP));
	if (snprintf(all, sizeof(all), "%s%s%s", target, *rest != '\0' ? "/" : "", rest) >= (int)sizeof(all))
		return ipq_fail(e, ENAMETOOLONG, "%s: %s", path, strerror(ENAMETOOLONG));
	memcpy(w->rest, all, sizeof(all));
	return enter_start(w);
}

/* Enters all directories before the file; w->rest is then its name. */
static int enter_directories(struct walk *w, const char *path, struct ipq_error *e)
{
	for (;;) {
		char name[NAME_MAX + 1];
		const char *at = w->rest + strspn(w->rest, "/");
		size_t len = strcspn(at, "/");
		bool last = at[len] == '\0';
		int err, fd;

		if (len >= sizeof(name))
			return ipq_fail(e, ENAMETOOLONG, "%s: %s", path, strerror(ENAMETOOLONG));
		snprintf(name, sizeof(name), "%.*s", (int)len, at);
		if (is_proc(w->directory) && last)
			break;
		err = len > 0 ? follow_link(w, name, at + len + strspn(at + len, "/"), path, e) : -ENOENT;
		if (err == 0)
			continue;
		if (err != -ENOENT)
			return err;
		if (last || len == 0)
			break;
		fd = openat(w->directory, name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			return ipq_fail(e, errno, "%s: %s", path, strerror(errno));
		move_to(w, fd);
		memmove(w->rest, at + len, strlen(at + len) + 1);
	}
	return 0;
}

/* Refuses files that another user may have placed in a directory where that user may write. */
static int check_owner(int fd, const char *path, struct ipq_error *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return ipq_fail(e, errno, "%s cannot be examined", path);
	if (st.st_uid != geteuid())
		return ipq_fail(
			e, EPERM,
			"%s belongs to another user, in a directory where another user may write: choose "
			"another path",
			path);
	if (S_ISREG(st.st_mode) && st.st_nlink > 1)
		return ipq_fail(
			e, EPERM,
			"%s has another name too (a hard link), in a directory where another user may write: "
			"choose another path",
			path);
	return 0;
}

static int open_last(const struct walk *w, const char *path, int flags, struct ipq_error *e)
{
	const char *name = w->rest + strspn(w->rest, "/");
	bool proc = is_proc(w->directory), shared = !proc && is_shared(w->directory);
	int fd, err;

	flags |= O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | (proc ? 0 : O_NOFOLLOW);
	/* Without a name, the path is a directory, or empty: then open it to get the kernel's error. */
	fd = openat(w->directory, *name != '\0' ? name : *path != '\0' ? "." : "", flags, 0600);
	if (fd < 0)
		return ipq_fail(e, errno, "%s: %s", path, strerror(errno));
	err = shared ? check_owner(fd, path, e) : 0;
	if (err < 0)
		close(fd);
	return err < 0 ? err : fd;
}

int safe_open(const char *path, int flags, struct ipq_error *e)
{
	struct walk w = { .directory = -1 };
	int err;

	if (snprintf(w.rest, sizeof(w.rest), "%s", path) >= (int)sizeof(w.rest))
		return ipq_fail(e, ENAMETOOLONG, "%s", strerror(ENAMETOOLONG));
	err = enter_start(&w);
	if (err < 0)
		ipq_fail(e, -err, "%s: %s", path, strerror(-err));
	if (err == 0)
		err = enter_directories(&w, path, e);
	if (err == 0)
		err = open_last(&w, path, flags, e);
	move_to(&w, -1);
	return err;
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
