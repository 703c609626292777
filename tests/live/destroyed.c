// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A handle of the classic API that is destroyed under threads that wait in ipq_read: each gets -1 and EBADF,
 * whether it waits for ever or with a timeout, and the queue is free for the next handle. In batches there is one
 * such thread: a handle that batches is for one at a time.
 */
#include <errno.h>
#include <libipq.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define READERS_MAX 4

static int readers;

struct reader {
	pthread_t thread;
	struct ipq_handle *handle;
	int timeout, error;
	ssize_t returned;
};

static void *wait_in_read(void *arg)
{
	struct reader *r = arg;
	unsigned char buf[2048];

	errno = 0;
	r->returned = ipq_read(r->handle, buf, sizeof(buf), r->timeout);
	r->error = errno;
	return NULL;
}

static int round_of(struct ipq_handle *h, int timeout)
{
	struct reader reader[READERS_MAX];
	int wrong = 0;

	for (int i = 0; i < readers; i++) {
		reader[i] = (struct reader){ .handle = h, .timeout = timeout };
		pthread_create(&reader[i].thread, NULL, wait_in_read, &reader[i]);
	}
	usleep(100000); /* all of them wait by now */
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
