/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The messages of recvfrom, recvmsg, recvmmsg, sendto, sendmsg and sendmmsg, in the program's memory. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <linux/netlink.h>
#include "run/run.h"
#include "util/clock.h"

#define PIECES 16 /* calls with more pieces are left to the kernel */

/* The addresses of the parts of a message in the program's memory; 0: not wanted. */
struct target {
	uint64_t name, name_len, control_len, flags_out;
	int flags;
	unsigned pieces;
	struct {
		uint64_t at, len;
	} piece[PIECES];
	size_t room;
};

/* Reads the n-th long, pointer or size_t at an address. */
static bool peek_word(const struct call *call, uint64_t at, unsigned n, uint64_t *word)
{
	uint32_t narrow;

	if (call->arch->layout == WIRE_LP64)
		return run_peek(call, at + (uint64_t)n * 8, word, 8);
	if (!run_peek(call, at + (uint64_t)n * 4, &narrow, 4))
		return false;
	*word = narrow;
	return true;
}

static bool add_piece(struct target *t, uint64_t at, uint64_t len, size_t limit)
{
	if (t->pieces == PIECES)
		return false;
	len = len < limit - t->room ? len : limit - t->room;
	t->piece[t->pieces].at = at;
	t->piece[t->pieces++].len = len;
	t->room += (size_t)len;
	return true;
}

/*
 * The address of the n-th struct msghdr. In the array of recvmmsg and sendmmsg, each is followed by a length,
 * padded to a long.
 */
static uint64_t msghdr_at(const struct call *call, unsigned n)
{
	return call->arg[1] + n * (call->arch->layout == WIRE_LP64 ? UINT64_C(64) : 32);
}

/* Reads a struct msghdr. Each member except the last has the size of a long, or is padded to it. */
static bool read_msghdr(const struct call *call, uint64_t header, struct target *t, size_t limit)
{
	unsigned word = call->arch->layout == WIRE_LP64 ? 8 : 4;
	uint64_t iov, pieces, at, len, i;

	if (!peek_word(call, header, 0, &t->name) || !peek_word(call, header, 2, &iov) ||
	    !peek_word(call, header, 3, &pieces) || pieces > PIECES)
		return false;
	t->name_len = header + word;
	t->control_len = header + 5 * word;
	t->flags_out = header + 6 * word;
	t->flags = (int)call->arg[call->what == CALL_RECVMMSG ? 3 : 2];
	for (i = 0; i < pieces; i++)
		if (!peek_word(call, iov + i * 2 * word, 0, &at) ||
		    !peek_word(call, iov + i * 2 * word, 1, &len) || !add_piece(t, at, len, limit))
			return false;
	return true;
}

/* Reads the addresses of the parts of a message; for recvmmsg and sendmmsg, of the n-th one. */
static bool read_target(const struct call *call, unsigned n, struct target *t, size_t limit)
{
	*t = (struct target){ .name = 0 };
	if ((call->what == CALL_RECVMMSG || call->what == CALL_SENDMMSG) && (uint32_t)call->arg[2] <= n)
		return false;
	if (call->what == CALL_RECVMSG || call->what == CALL_RECVMMSG || call->what == CALL_SENDMSG ||
	    call->what == CALL_SENDMMSG)
		return read_msghdr(call, msghdr_at(call, n), t, limit);
	t->name = call->arg[4];
	t->name_len = call->arg[5];
	t->flags = (int)call->arg[3];
	return add_piece(t, call->arg[1], call->arg[2], limit);
}

/* Writes the message to the program's memory. 0 or -errno. */
static int write_message(const struct call *call, const struct target *t, const struct run_message *m)
{
	static const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	const uint64_t zero = 0;
	size_t written = 0, len = m->len < t->room ? m->len : t->room;
	uint32_t flags = m->len > t->room ? MSG_TRUNC : 0;
	unsigned i;

	for (i = 0; i < t->pieces && written < len; i++) {
		size_t n = len - written < t->piece[i].len ? len - written : (size_t)t->piece[i].len;

		if (!run_poke(call, t->piece[i].at, m->bytes + written, n))
			return -EFAULT;
		written += n;
	}
	if (t->flags_out != 0 &&
	    (!run_poke(call, t->flags_out, &flags, sizeof(flags)) ||
	     !run_poke(call, t->control_len, &zero, call->arch->layout == WIRE_LP64 ? 8 : 4)))
		return -EFAULT;
	return run_poke_value(call, t->name, t->name_len, &kernel, sizeof(kernel));
}

/* The time until which the kernel would wait for a message; 0: it would not wait. */
static int64_t wait_until(int fd, const struct target *t)
{
	struct timeval limit = { 0, 0 };
	socklen_t len = sizeof(limit);

	if ((t->flags & MSG_DONTWAIT) != 0 || (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, &len) < 0)
		return 0;
	if (limit.tv_sec == 0 && limit.tv_usec == 0)
		return INT64_MAX;
	return now_ms() + (int64_t)limit.tv_sec * 1000 + (limit.tv_usec + 999) / 1000;
}

/* Called when there is no message. */
static enum receive_result wait_for_message(struct call *call, int fd, const struct target *t, int *result)
{
	if (call->deadline == 0)
		call->deadline = wait_until(fd, t);
	if (call->deadline == 0)
		return RECEIVE_NATIVE;
	*result = -EAGAIN;
	return call->deadline > now_ms() ? RECEIVE_LATER : RECEIVE_DONE;
}

bool run_write_length(const struct call *call, unsigned n, uint32_t len)
{
	uint64_t at = msghdr_at(call, n) + (call->arch->layout == WIRE_LP64 ? 56 : 28);

	return run_poke(call, at, &len, sizeof(len));
}

/*
 * The message is removed from the socket as the last step, so that a call which cannot be answered loses no
 * message.
 */
enum receive_result run_receive(struct call *call, int fd, struct run_message *m, int *result)
{
	struct target t;
	ssize_t n;

	m->taken = false;
	if (!read_target(call, 0, &t, sizeof(m->bytes)) || t.name == 0 || (t.flags & MSG_OOB) != 0)
		return RECEIVE_NATIVE;
	n = recv(fd, m->bytes, sizeof(m->bytes), MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return wait_for_message(call, fd, &t, result);
	if (n <= 0 || (size_t)n > sizeof(m->bytes)) /* errors and the end of file are left to the kernel */
		return RECEIVE_NATIVE;
	m->len = (size_t)n;
	*result = write_message(call, &t, m);
	if (*result == 0)
		*result = (int)(m->len > t.room && (t.flags & MSG_TRUNC) == 0 ? t.room : m->len);
	if (*result >= 0 && call->what == CALL_RECVMMSG)
		*result = run_write_length(call, 0, (uint32_t)*result) ? 1 : -EFAULT;
	m->taken = *result >= 0 && (t.flags & MSG_PEEK) == 0;
	if (m->taken)
		recv(fd, NULL, 0, MSG_DONTWAIT);
	return RECEIVE_DONE;
}

bool run_read_request(const struct call *call, unsigned n, struct run_message *m)
{
	struct target t;
	unsigned i;

	m->len = 0;
	if (!read_target(call, n, &t, sizeof(m->bytes)) || t.room == 0 || t.room == sizeof(m->bytes))
		return false;
	for (i = 0; i < t.pieces; i++) {
		if (!run_peek(call, t.piece[i].at, m->bytes + m->len, (size_t)t.piece[i].len))
			return false;
		m->len += (size_t)t.piece[i].len;
	}
	return true;
}
