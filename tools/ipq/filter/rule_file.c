/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/interrupt.h"
#include "common/text.h"
#include "filter/rule_file.h"

#define FILE_MAX (16u << 20)

/* Adds a rule. 0; -EINVAL: it has a mistake, which was printed; -ENOMEM. */
static int add(struct ruleset *set, const char *where, const char *text)
{
	struct rule_error e;
	int err = ruleset_add(set, text, &e);

	if (err == -EINVAL) {
		text_complain("ipq filter", "%s: %s", where, e.text);
		text_point(text, e.offset);
	}
	return err;
}

/* ---- files --------------------------------------------------------------------------------------- */

static int fail(const char *path, const char *why)
{
	text_complain("ipq filter", "%s: %s", path, why);
	return -EINVAL;
}

static int read_all(int fd, char **text, size_t *len)
{
	size_t room = 0;

	*text = NULL;
	*len = 0;
	for (;;) {
		char *grown;
		ssize_t n;

		if (*len + 1 >= room) {
			room = room > 0 ? room * 2 : 4096;
			grown = room <= 2 * FILE_MAX ? realloc(*text, room) : NULL;
			if (grown == NULL)
				return room <= 2 * FILE_MAX ? -ENOMEM : -EFBIG;
			*text = grown;
		}
		n = read(fd, *text + *len, room - *len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		*len += (size_t)n;
	}
	(*text)[*len] = '\0';
	return 0;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Whether a file that is read again is complete: an editor may be saving it. */
static int check_complete(const char *path, int fd, const struct stat *before, const char *text, size_t len)
{
	struct stat after;

	if (fstat(fd, &after) < 0 || !same_file(before, &after) || (off_t)len != after.st_size)
		return fail(path, "another program is writing to it: reload again when it is complete");
	if (len > 0 && text[len - 1] != '\n')
		return fail(path, "the last line does not end with a newline: is the file complete?");
	return 0;
}

static int read_open_file(const char *path, int fd, bool again, char **text)
{
	struct stat st;
	size_t len;
	int err;

	if (fstat(fd, &st) < 0)
		return fail(path, strerror(errno));
	if (again && !S_ISREG(st.st_mode))
		return fail(path, "it is not a regular file and cannot be read again");
	err = read_all(fd, text, &len);
	if (err < 0) {
		fail(path, strerror(-err));
		return err;
	}
	if (memchr(*text, '\0', len) != NULL)
		return fail(path, "this is not a text file");
	return again ? check_complete(path, fd, &st, *text, len) : 0;
}

static int read_file(const char *path, bool again, char **text)
{
	int fd, err;

	*text = NULL;
	if (strcmp(path, "-") == 0)
		return again ? fail("the standard input", "it was read at the start and cannot be read again")
			     : read_open_file("the standard input", STDIN_FILENO, false, text);
	/* Opening a FIFO must not block while signals are blocked. */
	fd = open(path, O_RDONLY | O_CLOEXEC | (again ? O_NONBLOCK : 0));
	if (fd < 0) {
		err = -errno;
		fail(path, strerror(-err));
		return err;
	}
	err = read_open_file(path, fd, again, text);
	close(fd);
	return err;
}

/* A line has one rule. A # at the beginning of a word begins a comment, up to the end of the line. */
static char *strip(char *line)
{
	char *end;

	for (char *at = line; *at != '\0'; at++) {
		if (*at == '#' && (at == line || isspace((unsigned char)at[-1]))) {
			*at = '\0';
			break;
		}
	}
	while (isspace((unsigned char)*line))
		line++;
	end = line + strlen(line);
	while (end > line && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return line;
}

static int add_lines(struct ruleset *set, const char *path, char *text)
{
	char where[320], *next = text, *line;
	unsigned number = 0;
	int err = 0, one;

	while ((line = strsep(&next, "\n")) != NULL) {
		if (interrupt_pending()) /* 100,000 rules take ten seconds */
			return -EINTR;
		snprintf(where, sizeof(where), "%s, line %u", path, ++number);
		line = strip(line);
		one = *line != '\0' ? add(set, where, line) : 0;
		if (one == -ENOMEM)
			return one;
		err = one < 0 ? one : err;
	}
	return err;
}

/* ---- all rules ------------------------------------------------------------------------------------ */

int rules_read(struct ruleset *set, const struct active_rules_source *from)
{
	char where[32], *text = NULL;
	int err = 0, one;

	if (from->file != NULL) {
		err = read_file(from->file, from->again, &text);
		if (err == 0)
			err = add_lines(set, from->file, text);
		free(text);
		if (err < 0 && err != -EINVAL)
			return err;
	}
	for (unsigned i = 0; i < from->count; i++) {
		snprintf(where, sizeof(where), "rule %u", i + 1);
		one = add(set, where, from->text[i]);
		if (one == -ENOMEM)
			return one;
		err = one < 0 ? one : err;
	}
	if (err == 0 && set->count == 0)
		return fail(from->file,
			    "there are no rules in it; to let everything pass, use the rule: accept");
	return err;
}
