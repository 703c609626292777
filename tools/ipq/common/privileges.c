/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#if __has_include(<linux/landlock.h>)
#include <linux/landlock.h>
#endif
#include "common/privileges.h"

void privileges_keep(uint64_t capabilities)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	/*
	 * Clear the bounding set first, because this needs CAP_SETPCAP. The loop ends after the kernel's last
	 * capability.
	 */
	for (unsigned long c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
		if ((capabilities & PRIVILEGE(c)) == 0)
			prctl(PR_CAPBSET_DROP, c, 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(SYS_capget, &header, data) < 0)
		return;
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].permitted &= (uint32_t)(capabilities >> 32 * i);
		data[i].effective &= data[i].permitted;
		/* Without root, a firewall tool gets its capabilities from the ambient set, which is limited to
		 * the inheritable set. */
		data[i].inheritable &= data[i].permitted;
	}
	syscall(SYS_capset, &header, data);
}

#ifdef LANDLOCK_ACCESS_FS_WRITE_FILE

/* Defined since the second version of Landlock. */
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

static void allow(int ruleset, const char *file, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = rights,
						   .parent_fd = open(file, O_PATH | O_CLOEXEC) };
	struct stat st;

	if (rule.parent_fd < 0)
		return;
	if (fstat(rule.parent_fd, &st) == 0 && S_ISDIR(st.st_mode))
		rule.allowed_access |= LANDLOCK_ACCESS_FS_MAKE_REG;
	syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	close(rule.parent_fd);
}

void privileges_write_only(const char *const files[])
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	uint64_t write = LANDLOCK_ACCESS_FS_WRITE_FILE | (version >= 3 ? LANDLOCK_ACCESS_FS_TRUNCATE : 0);
	struct landlock_ruleset_attr attr = {
		.handled_access_fs = write | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
				     LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
				     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
				     LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
				     LANDLOCK_ACCESS_FS_MAKE_SYM |
				     (version >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0),
	};
	int ruleset;

	if (version < 1)
		return;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);
	if (ruleset < 0)
		return;
	for (; *files != NULL; files++)
		allow(ruleset, *files, write);
#ifdef COVERAGE_DIRECTORY /* a build for coverage writes its counters to this directory */
	allow(ruleset, COVERAGE_DIRECTORY, attr.handled_access_fs);
#endif
	syscall(SYS_landlock_restrict_self, ruleset, 0);
	close(ruleset);
}

#else

void privileges_write_only(const char *const files[])
{
	(void)files;
}

#endif

void privileges_close_inherited(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		int fd = atoi(entry->d_name), flags = fcntl(fd, F_GETFD);

		if (fd > STDERR_FILENO && flags >= 0 && (flags & FD_CLOEXEC) == 0)
			close(fd);
	}
	if (dir != NULL)
		closedir(dir);
}
