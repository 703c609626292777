/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Capture files that cannot be opened, read or written, and non-blocking pipes of other processes. */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <cmocka.h>
#include "capture/file.h"
#include "capture_file.h"

#define MANY 4000

static struct capture_file in;
static struct ipq_error error;
static uint8_t frame[100];

static struct capture_reader *reader_of_one_packet(void)
{
	struct capture_reader *r;

	make_frame(frame, sizeof(frame), 0, 1);
	put_header(&in, false, false, 1);
	put_record(&in, 7, 8, frame, sizeof(frame), sizeof(frame));
	assert_int_equal(capture_reader_open(&r, place(&in), &error), 0);
	return r;
}

static void expect_unreadable(const char *path, int err, const char *words)
{
	struct capture_reader *r;

	assert_int_equal(capture_reader_open(&r, path, &error), -err);
	assert_non_null(strstr(error.text, path));
	assert_non_null(strstr(error.text, words));
}

static void unreadable_files_are_refused_with_the_reason(void **state)
{
	(void)state;
	expect_unreadable("/nonexistent/file", ENOENT, strerror(ENOENT));
	expect_unreadable("/proc/self", EISDIR, "is a directory");
	/* reading fails, because nothing is mapped at address 0 */
	expect_unreadable("/proc/self/mem", EIO, strerror(EIO));
	put_header(&in, false, false, 1);
	in.bytes[4] = 3;
	in.bytes[5] = 3; /* version 3, in both byte orders */
	expect_unreadable(place(&in), EINVAL, "version");
}

static void unwritable_files_are_refused_with_the_reason(void **state)
{
	struct capture_reader *r = reader_of_one_packet();
	struct capture_writer *w;

	(void)state;
	assert_int_equal(capture_writer_open(&w, "/proc/self", r, &error), -EISDIR);
	assert_non_null(strstr(error.text, strerror(EISDIR)));
	/* The header is written immediately. */
	assert_int_equal(capture_writer_open(&w, "/dev/full", r, &error), -ENOSPC);
	assert_non_null(strstr(error.text, strerror(ENOSPC)));
	capture_reader_close(r);
}

/* A disk that becomes full later: the flush fails first, and then every call. */
static void a_failed_write_fails_all_later_ones(void **state)
{
	const struct rlimit little = { 1000, RLIM_INFINITY }, all = { RLIM_INFINITY, RLIM_INFINITY };
	struct capture_reader *r = reader_of_one_packet();
	struct capture_file out = { .fd = 0 };
	struct capture_writer *w;
	int i;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	for (int by_itself = 0; by_itself < 2; by_itself++) {
		assert_int_equal(capture_writer_open(&w, place(&out), r, &error), 0);
		setrlimit(RLIMIT_FSIZE, &little);
		for (i = 0; i < (by_itself ? MANY : 10); i++)
			if (capture_write(w, frame, sizeof(frame)) < 0)
				break;
		/* the write that does not fit into the buffer reports the error */
		assert_int_equal(i, by_itself ? 256 * 1024 / sizeof(frame) : 10);
		if (!by_itself)
			assert_int_equal(capture_flush(w), -EFBIG);
		assert_int_equal(capture_write(w, frame, sizeof(frame)), -EFBIG);
		assert_int_equal(capture_flush(w), -EFBIG);
		setrlimit(RLIMIT_FSIZE, &all);
		capture_writer_close(w);
	}
	capture_reader_close(r);
}

/*
 * Forks a child at the other end of a non-blocking pipe. This process's end becomes descriptor fd. Returns the
 * child's pid; 0 in the child.
 */
static pid_t across_a_pipe(int fd, int *other)
{
	int pair[2], ours = fd == STDIN_FILENO ? 0 : 1;
	pid_t child;

	assert_int_equal(pipe2(pair, O_CLOEXEC | O_NONBLOCK), 0);
	child = fork();
	assert_true(child >= 0);
	if (child != 0) {
		assert_int_equal(dup2(pair[ours], fd), fd);
		close(pair[0]);
		close(pair[1]);
	} else {
		close(pair[ours]);
		*other = pair[1 - ours];
		fcntl(*other, F_SETFL, 0);
		usleep(50000); /* during this time the parent has to wait */
	}
	return child;
}

/* Executes another program in the child, so that memory of the parent is not reported as leaked. */
static _Noreturn void leave(bool good)
{
	const char *program = good ? "true" : "false";

	execlp(program, program, NULL);
	_exit(2);
}

static void expect_success(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void empty_nonblocking_pipe_is_waited_for(void **state)
{
	int saved = dup(STDIN_FILENO), other, n;
	struct capture_record record;
	struct capture_reader *r;
	const uint8_t *data;
	pid_t child;

	(void)state;
	capture_reader_close(reader_of_one_packet());
	child = across_a_pipe(STDIN_FILENO, &other);
	if (child == 0) {
		/* If a part of the packet has arrived, the reader must wait again. */
		n = (int)write(other, in.bytes, 60);
		usleep(50000);
		n += (int)write(other, in.bytes + 60, in.len - 60);
		leave(n == (int)in.len);
	}
	assert_int_equal(capture_reader_open(&r, "-", &error), 0);
	while ((n = capture_read(r, &record, &data, &error)) == 0)
		usleep(1000);
	assert_int_equal(n, 1);
	assert_memory_equal(data, frame, sizeof(frame));
	while ((n = capture_read(r, &record, &data, &error)) == 0)
		usleep(1000); /* until the child has ended */
	assert_int_equal(n, -ENODATA);
	capture_reader_close(r);
	dup2(saved, STDIN_FILENO);
	close(saved);
	expect_success(child);
}

static void full_nonblocking_pipe_is_waited_for(void **state)
{
	struct capture_reader *r = reader_of_one_packet();
	int saved = dup(STDOUT_FILENO), other;
	struct capture_writer *w;
	char bytes[4096];
	size_t all = 0;
	ssize_t n;
	pid_t child = across_a_pipe(STDOUT_FILENO, &other);

	(void)state;
	if (child == 0) {
		while ((n = read(other, bytes, sizeof(bytes))) > 0)
			all += (size_t)n;
		leave(all == 24 + MANY * sizeof(frame));
	}
	assert_int_equal(capture_writer_open(&w, "-", r, &error), 0);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(capture_write(w, frame, sizeof(frame)), 0);
	capture_writer_close(w);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	expect_success(child);
	capture_reader_close(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unreadable_files_are_refused_with_the_reason),
		cmocka_unit_test(unwritable_files_are_refused_with_the_reason),
		cmocka_unit_test(a_failed_write_fails_all_later_ones),
		cmocka_unit_test(empty_nonblocking_pipe_is_waited_for),
		cmocka_unit_test(full_nonblocking_pipe_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
