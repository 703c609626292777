// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A handle of the classic API that is destroyed under threads that wait in ipq_read: each read must return -1 with
 * EBADF, whether it waits for ever or with a timeout, and the queue must be free for the next handle. With batches
 * there is one such thread: only one thread at a time may use a handle that batches.
 */
#include <errno.h>
#include <libipq.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define READERS_MAX 4

static int readers;

struct reader {
	pthread_t thread;
	atomic_int id; /* id of the thread, which is set just before ipq_read */
	struct ipq_handle *handle;
	int timeout, error;
	ssize_t returned;
};

static void *wait_in_read(void *arg)
{
	struct reader *r = arg;
	unsigned char buf[2048];

	errno = 0;
	atomic_store(&r->id, gettid());
	r->returned = ipq_read(r->handle, buf, sizeof(buf), r->timeout);
	r->error = errno;
	return NULL;
}

static char state_of(pid_t thread)
{
	char path[64], state = '?';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread);
	f = fopen(path, "re");
	if (f == NULL || fscanf(f, "%*d (%*[^)]) %c", &state) != 1) {
		perror(path);
		exit(1);
	}
	fclose(f);
	return state;
}

/*
 * Waits until the thread sleeps in ipq_read. A thread that calls ipq_read after the handle has been destroyed would
 * use freed memory. On a busy machine a new thread may start late, so no fixed time is enough.
 */
static void await_sleep_in_read(struct reader *r)
{
	int id;

	while ((id = atomic_load(&r->id)) == 0 || state_of(id) != 'S')
		usleep(1000);
}

static int round_of(struct ipq_handle *h, int timeout)
{
	struct reader reader[READERS_MAX];
	int wrong = 0;

	for (int i = 0; i < readers; i++) {
		reader[i] = (struct reader){ .handle = h, .timeout = timeout };
		pthread_create(&reader[i].thread, NULL, wait_in_read, &reader[i]);
	}
	for (int i = 0; i < readers; i++)
		await_sleep_in_read(&reader[i]);
	ipq_destroy_handle(h);
	for (int i = 0; i < readers; i++) {
		pthread_join(reader[i].thread, NULL);
		if (reader[i].returned == -1 && reader[i].error == EBADF)
			continue;
		printf("timeout %d: a reader got %zd, errno %d\n", timeout, reader[i].returned,
		       reader[i].error);
		wrong++;
	}
	return wrong;
}

int main(void)
{
	const int timeouts[] = { 0, 20000000 };
	int wrong = 0;

	readers = getenv("IPQ_BATCH") != NULL && atoi(getenv("IPQ_BATCH")) > 1 ? 1 : READERS_MAX;
	alarm(15);
	for (int i = 0; i < 6; i++) {
		struct ipq_handle *h = ipq_create_handle(0, i < 4 ? PF_INET : PF_INET6);

		if (h == NULL || ipq_set_mode(h, IPQ_COPY_META, 0) < 0) {
			ipq_perror("destroyed");
			return 1;
		}
		wrong += round_of(h, timeouts[i % 2]);
	}
	return wrong != 0;
}
