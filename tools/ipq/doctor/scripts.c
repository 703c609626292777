/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds scripts that use ip_queue by name. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "doctor/doctor.h"

#define FILES_MAX 2000
#define LINES_MAX 20000 /* maximum number of lines per file */
#define FINDINGS_MAX 20 /* maximum number of printed lines */

struct search {
	struct doctor *d;
	unsigned files, findings;
	unsigned seen_count;
	struct {
		dev_t dev;
		ino_t ino;
	} seen[FILES_MAX]; /* files that were searched: rc2.d/S10x and init.d/x are the same file */
};

static bool in_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/*
 * Finds ip_queue or ip6_queue in a line, as a word or as the beginning of a name such as ip_queue_maxlen, but not
 * inside another name.
 */
static const char *find_name(const char *line)
{
	static const char *const names[] = { "ip_queue", "ip6_queue" };

	for (size_t i = 0; i < 2; i++)
		for (const char *at = strstr(line, names[i]); at != NULL; at = strstr(at + 1, names[i]))
			if ((at == line || !in_name(at[-1])) && !isalnum((unsigned char)at[strlen(names[i])]))
				return at;
	return NULL;
}

static const char *replacement(const char *line, const char *at)
{
	if (strstr(line, "/proc/net/") != NULL)
		return "ipq status   (instead of /proc/net/ip_queue)";
	if (strstr(at, "maxlen") != NULL)
		return "remove it: the program sets the queue's length (ipq_ctl(3))";
	return "modprobe nfnetlink_queue   (instead of ip_queue)";
}

static void search_stream(struct search *s, const char *path, FILE *f)
{
	char line[1024];
	unsigned number = 0;
	bool begins = true;

	while (number < LINES_MAX && fgets(line, sizeof(line), f) != NULL) {
		const char *at = find_name(line);

		number += begins;
		begins = strchr(line, '\n') != NULL;
		if (at == NULL || line[strspn(line, " \t")] == '#')
			continue;
		if (s->findings++ < FINDINGS_MAX)
			doctor_say(s->d, CHECK_WARNING, "script", replacement(line, at), "%s:%u: %.*s", path,
				   number, (int)strcspn(line + strspn(line, " \t"), "\n"),
				   line + strspn(line, " \t"));
	}
}

static bool is_new(struct search *s, const struct stat *st)
{
	for (unsigned i = 0; i < s->seen_count; i++)
		if (s->seen[i].dev == st->st_dev && s->seen[i].ino == st->st_ino)
			return false;
	if (s->seen_count == FILES_MAX)
		return false;
	s->seen[s->seen_count].dev = st->st_dev;
	s->seen[s->seen_count++].ino = st->st_ino;
	return true;
}

/* Searches a file. 0; 1: the path is a directory; or -errno. */
static int search_file(struct search *s, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	FILE *f;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !is_new(s, &st)) {
		close(fd);
		return S_ISDIR(st.st_mode);
	}
	f = fdopen(fd, "r");
	if (f == NULL) {
		close(fd);
		return -ENOMEM;
	}
	s->files++;
	search_stream(s, path, f);
	fclose(f);
	return 0;
}

static void search_directory(struct search *s, const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char name[4096];

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.' &&
		    snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) < (int)sizeof(name))
			search_file(s, name);
	if (dir != NULL)
		closedir(dir);
}

static void search_system(struct search *s)
{
	static const char *const places[] = {
		"/etc/rc.local",      "/etc/rc.d/*",	       "/etc/rc?.d/*",
		"/etc/init.d/*",      "/etc/modules",	       "/etc/modules-load.d/*",
		"/etc/modprobe.d/*",  "/etc/network/if-*.d/*", "/etc/network/interfaces",
		"/etc/ppp/ip-up.d/*", "/etc/sysctl.conf",      "/etc/sysctl.d/*",
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		glob_t found;

		if (glob(places[i], GLOB_NOSORT, NULL, &found) != 0)
			continue;
		for (size_t k = 0; k < found.gl_pathc; k++)
			search_file(s, found.gl_pathv[k]);
		globfree(&found);
	}
}

void doctor_scripts(struct doctor *d)
{
	struct search *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return;
	s->d = d;
	for (unsigned i = 0; d->script[i] != NULL; i++) {
		int err = search_file(s, d->script[i]);

		if (err > 0)
			search_directory(s, d->script[i]);
		else if (err < 0)
			doctor_say(d, CHECK_FAIL, "script", NULL, "%s cannot be read: %s", d->script[i],
				   strerror(-err));
	}
	search_system(s);
	if (s->findings > FINDINGS_MAX)
		doctor_say(d, CHECK_WARNING, "script", NULL, "%u more lines use ip_queue",
			   s->findings - FINDINGS_MAX);
	if (s->findings == 0)
		doctor_say(d, CHECK_OK, "script", NULL, "none of %u start scripts and settings uses ip_queue",
			   s->files);
	free(s);
}
