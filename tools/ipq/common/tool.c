/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/tool.h"

#define SYSTEM "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"

static bool runnable(const char *dir, size_t len, const char *name, char *path, size_t room)
{
	/* A relative directory in $PATH is ignored, because it is not trusted. */
	if (len == 0 || dir[0] != '/' || snprintf(path, room, "%.*s/%s", (int)len, dir, name) >= (int)room)
		return false;
	return access(path, X_OK) == 0;
}

bool tool_find(const char *name, char *path, size_t room)
{
	/* A set-user-ID program ignores its caller's environment. */
	const char *lists[] = { secure_getenv("PATH"), SYSTEM };

	for (size_t i = 0; i < 2; i++)
		for (const char *dir = lists[i]; dir != NULL && *dir != '\0';) {
			size_t len = strcspn(dir, ":");

			if (runnable(dir, len, name, path, room))
				return true;
			dir += len + (dir[len] == ':');
		}
	return false;
}

const char *tool_iptables(bool six)
{
	const char *legacy = six ? "ip6tables-legacy" : "iptables-legacy";
	const char *plain = six ? "ip6tables" : "iptables";
	char path[512];
	bool is_old = !tool_find(legacy, path, sizeof(path)) &&
		      !tool_find("iptables-nft", path, sizeof(path)) && tool_find(plain, path, sizeof(path));

	return is_old ? plain : legacy;
}

char *const *tool_environment(void)
{
	static char lock[PATH_MAX + 32];
	static char path[] = "PATH=" SYSTEM;
	static char *environment[] = { path, "LC_ALL=C", "HOME=/nonexistent", NULL, NULL };
	const char *file = secure_getenv("XTABLES_LOCKFILE");
	bool fits =
		file != NULL && snprintf(lock, sizeof(lock), "XTABLES_LOCKFILE=%s", file) < (int)sizeof(lock);

	environment[3] = fits ? lock : NULL;
	return environment;
}
