/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* File names follow tcpdump: FILE, FILE1, FILE2 ...; with -W FILE00 to FILE99; with -G FILE is a template. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "output/recorder.h"

struct recorder {
	struct recorder_options options;
	struct pcapng *file;
	unsigned index; /* index of the file among those with the same base name */
	time_t began;	/* time when the first file with this base name was begun */
	char path[4096];
};

static int digits(unsigned n)
{
	int count = 1;

	while (n >= 10) {
		n /= 10;
		count++;
	}
	return count;
}

/* Makes the name of the next file. False: it is too long. */
static bool name_file(struct recorder *r)
{
	const struct recorder_options *o = &r->options;
	size_t used = strlen(o->path);
	struct tm tm;

	if (o->seconds > 0 && localtime_r(&r->began, &tm) != NULL)
		used = strftime(r->path, sizeof(r->path), o->path, &tm);
	else if (used < sizeof(r->path))
		strcpy(r->path, o->path);
	if (used == 0 || used + 12 > sizeof(r->path))
		return false;
	if (o->bytes > 0 && o->files > 0)
		sprintf(r->path + used, "%0*u", digits(o->files - 1), r->index);
	else if (r->index > 0)
		sprintf(r->path + used, "%u", r->index);
	return true;
}

static int open_file(struct recorder *r, struct ipq_error *e)
{
	if (!name_file(r))
		return ipq_fail(e, ENAMETOOLONG, "the name of the recording is too long, or empty");
	return pcapng_open(&r->file, r->path, e);
}

int recorder_open(struct recorder **recorder, const struct recorder_options *options, struct ipq_error *e)
{
	struct recorder *r = calloc(1, sizeof(*r));
	int err;

	*recorder = NULL;
	if (r == NULL)
		return ipq_fail(e, ENOMEM, "out of memory");
	r->options = *options;
	r->began = time(NULL);
	err = open_file(r, e);
	if (err < 0)
		free(r);
	else
		*recorder = r;
	return err;
}

/* Begins the next file if the current one has reached its size or time. 0 or -errno. */
static int change_file(struct recorder *r)
{
	const struct recorder_options *o = &r->options;
	time_t now = o->seconds > 0 ? time(NULL) : 0;
	struct ipq_error e;
	int err;

	if (o->seconds > 0 && (now < r->began || now - r->began >= (time_t)o->seconds)) {
		r->began = now;
		r->index = 0;
	} else if (o->bytes > 0 && pcapng_size(r->file) >= o->bytes) {
		r->index = o->files > 0 ? (r->index + 1) % o->files : r->index + 1;
	} else {
		return 0;
	}
	err = pcapng_close(r->file);
	r->file = NULL;
	return err < 0 ? err : open_file(r, &e);
}

int recorder_write(struct recorder *r, const struct pcapng_record *record)
{
	int err = change_file(r);

	return err < 0 ? err : pcapng_write(r->file, record);
}

int recorder_flush(struct recorder *r)
{
	return r->file != NULL ? pcapng_flush(r->file) : 0;
}

const char *recorder_path(const struct recorder *r)
{
	return r->path;
}

int recorder_close(struct recorder *r)
{
	int err = r != NULL ? pcapng_close(r->file) : 0;

	free(r);
	return err;
}
