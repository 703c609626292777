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
#define SNAPLEN 262144 /* more than any record has, changed or not; what tcpdump writes */

struct file_header {
	uint32_t magic;
	uint16_t major, minor;
	int32_t zone;
	uint32_t accuracy, snaplen, link_type;
};

struct record_header {
	uint32_t sec, fraction, caplen, len;
};

struct capture_writer {
	int fd;
	int error; /* -errno of the write that failed */
	bool nanoseconds;
	uint64_t position;
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
	/* A thread that is cancelled here would leave its lock locked. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	while (done < w->filled) {
		n = write(w->fd, w->buffer + done, w->filled - done);
		if (n >= 0) {
			done += (size_t)n;
		} else if (errno == EAGAIN) { /* somebody else's pipe, made non-blocking */
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

static int append(struct capture_writer *w, const void *bytes, size_t len)
{
	const unsigned char *from = bytes;
	size_t n;

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

int capture_write(struct capture_writer *w, const struct capture_record *record, const void *head,
		  size_t head_len, const void *body, size_t body_len)
{
	struct record_header header = {
		.sec = (uint32_t)record->sec,
		.fraction = (uint32_t)(w->nanoseconds ? record->nsec : record->nsec / 1000),
		.caplen = (uint32_t)(head_len + body_len),
		.len = record->len,
	};
	size_t len = sizeof(header) + head_len + body_len;

	if (w->error != 0)
		return w->error;
	append(w, &header, sizeof(header));
	append(w, head, head_len);
	append(w, body, body_len);
	if (w->error == 0)
		w->position += len;
	return w->error;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return S_ISREG(a->st_mode) && a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Emptied only when it is known not to be what we read; standard output is appended to, as shells have it. */
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
		err = ipq_fail(e, EINVAL, "%s is the file that is read: write to another", path);
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
	struct file_header header = {
		.magic = capture_reader_nanoseconds(r) ? 0xa1b23c4dU : 0xa1b2c3d4U,
		.major = 2,
		.minor = 4,
		.snaplen = SNAPLEN,
		.link_type = capture_reader_link(r)->type,
	};
	struct capture_writer *w = malloc(sizeof(*w));
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
	w->nanoseconds = capture_reader_nanoseconds(r);
	append(w, &header, sizeof(header));
	w->position = sizeof(header);
	err = capture_flush(w); /* a disk that is full now is said now */
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
