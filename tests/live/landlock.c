// SPDX-License-Identifier: LGPL-2.1-or-later
/* Exits 0 if the kernel has Landlock. */
#include <sys/syscall.h>
#include <unistd.h>
#if __has_include(<linux/landlock.h>)
#include <linux/landlock.h>
#endif

int main(void)
{
#ifdef LANDLOCK_CREATE_RULESET_VERSION
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1;
#else
	return 1;
#endif
}
