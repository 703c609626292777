/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs that send the engine anything. The input is a list of steps: a byte that says what happens and
 * to whom, a byte of length, and that many bytes as a request. After every step the engine must know
 * exactly the packets that the source has handed out: none lost, none invented. Built with libFuzzer by
 * clang; otherwise a program that runs the files it is given.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include "engine.h"
#include "fake.h"

#define CLIENTS 4
#define PACKETS 300

enum { PUSH_INET, PUSH_INET6, CLOSE, READ, SEND }; /* and all above: SEND */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int client[CLIENTS];

/* 0 and 1 have each family in 64 bits, 2 and 3 in 32 bits; 3 is of a pid nobody has told. */
static void open_client(struct engine *e, unsigned i)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
	    engine_add(e, pair[1], i % 2 == 0 ? AF_INET : AF_INET6, i < 2 ? WIRE_LP64 : WIRE_ILP32,
		       i == 3 ? 0 : 7 + i, i != 2) < 0)
		abort();
	client[i] = pair[0];
}

static void settle(struct engine *e, struct fake *f)
{
	struct pollfd p = { .fd = engine_fd(e), .events = POLLIN };
	struct engine_counts v4, v6;
	struct fake_verdict *v;
	unsigned i;

	for (i = 0; poll(&p, 1, 0) > 0; i++)
		if (i > 1000 || engine_step(e, 0) < 0)
			abort();
	engine_counts(e, AF_INET, &v4);
	engine_counts(e, AF_INET6, &v6);
	if (fake_waiting(f) != v4.queue_length + v6.queue_length)
		abort();
	while ((v = fake_verdict(f)) != NULL)
		fake_verdict_free(v);
}

static void step(struct engine *e, struct fake *f, uint8_t op, const uint8_t *request, size_t len)
{
	static uint8_t buf[70000];
	unsigned who = op >> 6;

	switch (op & 7) {
	case PUSH_INET:
	case PUSH_INET6:
		if (f->next_id < 0x20000001 + PACKETS)
			fake_push_plain(f, (op & 7) == PUSH_INET ? AF_INET : AF_INET6, len * 8);
		break;
	case CLOSE:
		close(client[who]);
		open_client(e, who);
		break;
	case READ:
		if (recv(client[who], buf, sizeof(buf), MSG_DONTWAIT) < 0 && errno != EAGAIN)
			abort();
		break;
	default:
		send(client[who], request, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (op & 8) /* the next one comes before this is looked at */
			return;
	}
	settle(e, f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct engine_options options = { .queue_length = 20 };
	struct fake *f = fake_new(true);
	struct engine *e;
	size_t i, len;

	f->closed_is_freed = true;
	if (engine_open(&e, fake_source(f), &options, NULL) < 0)
		abort();
	for (i = 0; i < CLIENTS; i++)
		open_client(e, (unsigned)i);
	for (i = 0; i + 2 <= size; i += 2 + len) {
		len = data[i + 1] < size - i - 2 ? data[i + 1] : size - i - 2;
		step(e, f, data[i], data + i + 2, len);
	}
	for (i = 0; i < CLIENTS; i++)
		close(client[i]);
	settle(e, f);
	if (fake_waiting(f) != 0) /* whoever ends leaves nothing behind */
		abort();
	engine_close(e);
	return 0;
}

#ifndef FUZZING
int main(int argc, char **argv)
{
	static uint8_t data[1 << 20];

	for (int i = 1; i < argc; i++) {
		int fd = open(argv[i], O_RDONLY | O_CLOEXEC);
		ssize_t n = fd >= 0 ? read(fd, data, sizeof(data)) : -1;

		if (n < 0) {
			fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
			return 1;
		}
		close(fd);
		LLVMFuzzerTestOneInput(data, (size_t)n);
	}
	return 0;
}
#endif
