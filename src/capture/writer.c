/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writing capture files. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "capture/file.h"
#include "util/safe_open.h"

#define WRITE_BUFFER (256 * 1024)

struct capture_writer {
	int fd;
	int error; /* -errno of the write that failed */
	uint64_t position;
	off_t base; /* offset of position 0 in the file; -1: nothing can be overwritten */
	size_t filled;
	unsigned char buffer[WRITE_BUFFER];
};

int capture_flush(struct capture_writer *w)
{
	size_t done = 0;
	int state;
	ssize_t n;

	if (w->error != 0 || w->filled == 0)
		return w->error;
	/* A cancelled thread would leave its lock locked. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	while (done < w->filled) {
		n = write(w->fd, w->buffer + done, w->filled - done);
		if (n >= 0) {
			done += (size_t)n;
		} else if (errno == EAGAIN) { /* another process has made the pipe non-blocking */
			poll(&(struct pollfd){ .fd = w->fd, .events = POLLOUT }, 1, -1);
		} else if (errno != EINTR) {
			w->error = -errno;
			break;
		}
	}
	w->filled = 0;
	pthread_setcancelstate(state, NULL);
	return w->error;
}

int capture_write(struct capture_writer *w, const void *bytes, size_t len)
{
	const unsigned char *from = bytes;
	size_t n;

	if (w->error != 0)
		return w->error;
	w->position += len;
	while (len > 0) {
		if (w->filled == sizeof(w->buffer) && capture_flush(w) < 0)
			return w->error;
		n = len < sizeof(w->buffer) - w->filled ? len : sizeof(w->buffer) - w->filled;
		memcpy(w->buffer + w->filled, from, n);
		w->filled += n;
		from += n;
		len -= n;
	}
	return 0;
}

bool capture_overwrite(struct capture_writer *w, uint64_t position, const void *bytes, size_t len)
{
	int state;

	if (w->base < 0)
		return false;
	if (capture_flush(w) < 0)
		return true;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	if (pwrite(w->fd, bytes, len, w->base + (off_t)position) < 0)
		w->error = -errno;
	pthread_setcancelstate(state, NULL);
	return true;
}

/* The offset at which writing begins; -1: a pipe, or a file that is only appended to. */
static off_t begin_of_output(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (fcntl(fd, F_GETFL) & O_APPEND) != 0)
		return -1;
	return lseek(fd, 0, SEEK_CUR);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return S_ISREG(a->st_mode) && a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/*
 * Truncates the file, unless it is the input file. Standard output is not truncated: the shell has done that.
 */
static int open_file(const char *path, const struct capture_reader *r, struct ipq_error *e)
{
	bool standard = strcmp(path, "-") == 0;
	struct stat in, out;
	int fd, err;

	fd = standard ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0) : safe_open(path, 0, e);
	if (fd < 0)
		return standard ? ipq_fail(e, errno, "standard output: %s", strerror(errno)) : fd;
	err = safe_open_refuse_terminal(fd, path, e);
	if (err < 0) {
		close(fd);
		return err;
	}
	if (fstat(fd, &out) < 0 || fstat(capture_reader_fd(r), &in) < 0) {
		err = ipq_fail(e, errno, "%s: cannot be examined", path);
	} else if (same_file(&out, &in)) {
		err = ipq_fail(e, EINVAL, "%s is also the input file: choose another output file", path);
	} else if (!standard && S_ISREG(out.st_mode) && ftruncate(fd, 0) < 0) {
		err = errno;
		err = ipq_fail(e, err, "%s: %s", path, strerror(err));
	} else {
		return fd;
	}
	close(fd);
	return err;
}

int capture_writer_open(struct capture_writer **writer, const char *path, const struct capture_reader *r,
			struct ipq_error *e)
{
	struct capture_writer *w = malloc(sizeof(*w));
	const void *header;
	size_t len;
	int err;

	*writer = NULL;
	if (w == NULL)
		return -ENOMEM;
	memset(w, 0, offsetof(struct capture_writer, buffer));
	w->fd = open_file(path, r, e);
	if (w->fd < 0) {
		err = w->fd;
		free(w);
		return err;
	}
	w->base = begin_of_output(w->fd);
	header = capture_reader_header(r, &len);
	capture_write(w, header, len);
	err = capture_flush(w); /* write the header now, so that a full disk is reported by open */
	if (err < 0) {
		ipq_fail(e, -err, "%s: %s", path, strerror(-err));
		capture_writer_close(w);
		return err;
	}
	*writer = w;
	return 0;
}

void capture_writer_close(struct capture_writer *w)
{
	if (w == NULL)
		return;
	capture_flush(w);
	close(w->fd);
	free(w);
}

void capture_writer_close_after_fork(struct capture_writer *w)
{
	w->filled = 0;
}

uint64_t capture_writer_position(const struct capture_writer *w)
{
	return w->position;
}
