// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Serves the clients' requests, with the same answers as ip_queue: see ip_queue(7) and the recordings in
 * tests/replay/data. As in the kernel, access is decided by the port id in a request's netlink header.
 *
 * Two deviations help programs: a client may claim a port id that no client has, and the port id is released when
 * this client ends; and a peer whose socket is closed never makes another client busy.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/epoll.h>
#include "ipqueue/state.h" /* must precede <linux/netfilter.h>; otherwise <net/if.h> and <linux/if.h> clash */
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4/ip_queue.h>

#define ROUNDS 4	 /* batches of requests that one client can send per step */
#define FINISH_MAX 16384 /* maximum requests of an ended client; a socket buffer has room for fewer */
#define PACKET_MAX 65535
#define SEND_BUFFER_MAX (16 << 20)

/* ---- clients ---------------------------------------------------------------------------------- */

static struct client *find_pid(struct engine *e, uint8_t family, uint32_t pid)
{
	struct client *c;

	for (c = e->clients; c != NULL; c = c->next)
		if (c->family == family && c->pid == pid)
			return c;
	return NULL;
}

static void set_pid(struct engine *e, struct client *c, uint32_t pid)
{
	struct family *f = client_family(e, c);

	c->pid = pid;
	if (pid != 0 && f->peer_pid == pid && f->owner == NULL)
		f->owner = c;
}

/*
 * An end of file has no address, so the libipq of 2001 would report it as "Failed to receive netlink message".
 * Therefore an empty message is sent first. This message has the kernel's address, and the library reads it as an end
 * of file, too.
 */
void client_send_eof(const struct client *c)
{
	send(c->fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(c->fd, SHUT_WR);
}

int engine_add(struct engine *e, int fd, uint8_t family, enum wire_layout layout, uint32_t pid, bool capable)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP };
	struct client *c;
	int type = 0, ret;
	socklen_t len = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return -errno;
	if (type != SOCK_SEQPACKET || engine_family(e, family) == NULL)
		return -EINVAL;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	c->fd = fd;
	c->family = family;
	c->layout = layout;
	c->capable = capable;
	event.data.ptr = c;
	pthread_mutex_lock(&e->lock);
	c->serial = atomic_fetch_add(&e->shared_state->serial, 1) + 1;
	if (epoll_ctl(e->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		ret = -errno;
		free(c);
		goto out;
	}
	ret = (int)c->serial;
	c->watched = true;
	c->next = e->clients;
	if (c->next != NULL)
		c->next->prev = c;
	e->clients = c;
	set_pid(e, c, pid);
	if (e->early && capable) {
		/* if this fails, the first mode request repeats it and reports the failure */
		engine_configure(e, NULL);
		engine_watch_source(e);
	}
	if (e->eof_sent)
		client_send_eof(c);
	engine_log(e, "client %u: new, pid %u, %s, %s%s", c->serial, pid, family == AF_INET ? "IPv4" : "IPv6",
		   layout == WIRE_LP64 ? "64-bit" : "32-bit", capable ? "" : ", no CAP_NET_ADMIN");
out:
	pthread_mutex_unlock(&e->lock);
	return ret;
}

/* Lets packets wait until there is a next peer, or until the wait for one has timed out. */
static void await_next_owner(struct engine *e, struct family *f)
{
	undecided_offer_again(f);
	engine_end_await(e);
	f->owner_decided = false;
	/* a peer that has set no mode does not change the mode of its predecessor */
	if (f->last_mode != COPY_NONE)
		return;
	f->last_mode = f->mode;
	f->last_range = f->range;
}

/* The peer has ended: its packets are dropped, or stored for the next peer. The next peer starts from mode NONE. */
static void release(struct engine *e, struct family *f)
{
	size_t cursor = 0;
	uint32_t id;

	if (e->keep)
		await_next_owner(e, f);
	while (idset_take(&f->waiting, &cursor, &id)) {
		if (e->source->held || undecided_has(f, id))
			continue;
		engine_drop(e, id);
		f->counts.dropped++;
	}
	f->peer_pid = 0;
	f->owner = f->requester = NULL;
	f->mode = COPY_NONE;
	f->had_meta = false;
	f->range = 0;
}

static void end(struct engine *e, struct client *c)
{
	struct family *f = client_family(e, c);
	size_t waiting = f->waiting.count;

	if (f->owner == c || (f->owner == NULL && f->requester == c && f->peer_pid != 0)) {
		release(e, f);
		engine_log(e, "client %u: end, %zu waiting packets %s", c->serial, waiting,
			   e->keep ? "kept" : "dropped");
	} else {
		engine_log(e, "client %u: end", c->serial);
	}
	if (f->requester == c)
		f->requester = NULL;
	/* Closing the descriptor does not remove it from the set if a child process has a copy of it. */
	epoll_ctl(e->epoll, EPOLL_CTL_DEL, c->fd, NULL);
	close(c->fd);
	c->fd = -1;
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		e->clients = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	c->next = e->ended_clients;
	e->ended_clients = c;
	if (e->configured && !e->source->held)
		engine_configure(e, NULL);
}

void client_free_ended(struct engine *e)
{
	struct client *c;

	while ((c = e->ended_clients) != NULL) {
		e->ended_clients = c->next;
		free(c);
	}
}

/* ---- answers ---------------------------------------------------------------------------------- */

/* Sends an answer; error 0 is an acknowledgement. The answer is lost if the client does not read. */
static void answer(struct engine *e, const struct client *c, int error, const void *request, size_t quote)
{
	size_t len = wire_put_error(e->answer, error, c->pid, request, quote);
	size_t padded = (len + 3) & ~(size_t)3;

	memset(e->answer + len, 0, padded - len);
	send(c->fd, e->answer, padded, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Called when the source refuses a verdict that the engine has accepted. */
void client_refused(struct engine *e, uint32_t tag, int error)
{
	struct kept *k = &e->kept[tag % KEPT];
	struct client *c;
	struct family *f;

	if (tag == 0 || k->tag != tag)
		return;
	k->tag = 0;
	c = engine_find_client(e, k->serial);
	if (c == NULL)
		return;
	f = client_family(e, c);
	/* A packet with a refused verdict waits again, unless the source has no such packet. */
	if (error != ENOENT && k->known && f->peer_pid != 0 && idset_reserve(&f->waiting, 1) == 0)
		idset_add(&f->waiting, k->id);
	answer(e, c, error, k->request, k->len <= KEPT_ROOM ? k->len : WIRE_NLHDR);
}

static uint32_t keep(struct engine *e, const struct client *c, const struct wire_request *r,
		     const void *request, bool known)
{
	struct kept *k;

	if (++e->tag == 0)
		e->tag = 1;
	k = &e->kept[e->tag % KEPT];
	k->tag = e->tag;
	k->serial = c->serial;
	k->id = (uint32_t)r->verdict.id;
	k->len = r->len;
	k->known = known;
	memcpy(k->request, request, r->len < KEPT_ROOM ? r->len : KEPT_ROOM);
	return k->tag;
}

/* ---- requests --------------------------------------------------------------------------------- */

/* Whether the other end is closed, even if the event has not arrived yet. */
static bool peer_closed(const struct client *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLRDHUP };

	return c->hung_up || (poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP)) != 0);
}

/* Enlarges the socket's buffer, so that a program may be slow for a moment. */
static void enlarge_buffer(const struct family *f, const struct client *c)
{
	uint64_t want = (uint64_t)f->queue_max * 4096;

	engine_enlarge(c->fd, want > SEND_BUFFER_MAX ? SEND_BUFFER_MAX : (int)want);
}

/* The first valid request makes its sender the peer. 0 or a positive errno. */
static int acquire(struct engine *e, struct family *f, struct client *c, uint32_t pid)
{
	if (f->peer_pid != 0 && f->owner != NULL && f->owner != c && peer_closed(f->owner))
		client_finish(e, f->owner);
	if (f->peer_pid == pid)
		return 0;
	if (f->peer_pid != 0)
		return EBUSY;
	f->peer_pid = pid;
	f->owner_decided = true;
	f->requester = c;
	f->owner = c->pid == pid ? c : find_pid(e, f->af, pid);
	if (f->owner != NULL)
		enlarge_buffer(f, f->owner);
	engine_log(e, "client %u: pid %u is the peer now", c->serial, pid);
	return 0;
}

static int set_mode(struct engine *e, struct family *f, const struct client *c, const struct wire_request *r)
{
	enum copy_mode mode = f->mode;
	uint32_t range = f->range;
	struct ipq_error error = { "" };
	int ret;

	if (r->mode.value > IPQ_COPY_MAX)
		return EINVAL;
	f->mode = (enum copy_mode)r->mode.value;
	f->range = 0;
	if (f->mode == COPY_PACKET) {
		/* ip_queue converted the range to 32 bits before it checked the limit. */
		f->range = (uint32_t)r->mode.range;
		if (f->range > PACKET_MAX)
			f->range = PACKET_MAX;
	}
	ret = engine_configure(e, &error);
	if (ret < 0) {
		engine_log(e, "client %u: %s", c->serial, error.text);
		f->mode = mode;
		f->range = range;
		return -ret;
	}
	f->last_mode = COPY_NONE;
	f->had_meta |= f->mode == COPY_META;
	engine_log(e, "client %u: mode %u, range %u", c->serial, (unsigned)f->mode, f->range);
	return 0;
}

/* ip_queue replaced a packet only if the lengths agreed and the payload was at least as long as an IP header. */
static void replacement(const struct family *f, const struct wire_request *r, struct source_verdict *v)
{
	size_t least = f->af == AF_INET ? 20 : 40;

	if (r->verdict.data_len == 0 || r->verdict.data_len != r->verdict.payload_len ||
	    r->verdict.payload_len < least)
		return;
	if (r->verdict.payload_len > PACKET_MAX) {
		v->code = NF_DROP;
		return;
	}
	v->present = IPQ_SET_PAYLOAD;
	v->payload = r->verdict.payload;
	v->payload_len = r->verdict.payload_len;
}

/*
 * Whether the packet belongs to the other family: ip_queue and ip6_queue were separate, so a program cannot decide
 * packets of the other family.
 */
static bool waits_for_other(struct engine *e, const struct family *f, uint32_t id)
{
	struct idset *other = &e->family[f == &e->family[0]].waiting;

	if (!idset_remove(other, id))
		return false;
	idset_add(other, id);
	return true;
}

/*
 * Whether the packet is still held by the engine. No client has seen it yet, so a client that names its id has
 * guessed the id.
 */
static bool is_held(const struct engine *e, uint32_t id)
{
	unsigned i;

	for (i = 0; i < e->received; i++)
		if (!e->done[i] && e->packet[i].id == id)
			return true;
	return false;
}

static int set_verdict(struct engine *e, struct family *f, const struct client *c,
		       const struct wire_request *r, const void *request)
{
	struct source_verdict v = { .id = (uint32_t)r->verdict.id, .code = r->verdict.value };
	bool known;

	if (r->verdict.value > NF_MAX_VERDICT)
		return EINVAL;
	/* another program owns the queue: then ip_queue refused all requests */
	if (!e->configured && e->refused != 0)
		return -e->refused;
	if (r->verdict.id > UINT32_MAX)
		return ENOENT;
	known = idset_remove(&f->waiting, v.id);
	if (!known && (!e->adopt || waits_for_other(e, f, v.id) || is_held(e, v.id)))
		return ENOENT;
	undecided_remove(f, v.id);
	replacement(f, r, &v);
	if (v.code == NF_STOLEN) /* nfnetlink_queue refuses NF_STOLEN */
		v.code = NF_DROP;
	/* NF_QUEUE without a queue number queued the packet to the same program again */
	if (v.code == NF_QUEUE)
		v.code = NF_QUEUE_NR((uint32_t)e->source->queue_number);
	if (v.code == NF_DROP)
		v.present = 0;
	if (r->verdict.value == NF_QUEUE || r->verdict.value == NF_REPEAT)
		e->ended = e->eof_sent; /* the packet is delivered again, even after the end of a file */
	e->passed_on |= !known;
	v.tag = keep(e, c, r, request, known);
	f->counts.dropped += v.code == NF_DROP;
	f->counts.accepted += v.code == NF_ACCEPT || v.code == NF_STOP;
	f->counts.replaced += v.present != 0;
	engine_verdict(e, &v);
	return 0;
}

/*
 * Carries out a request, with the checks in the same order as in ip_queue. 0 or a positive errno. *silent: no
 * answer must be sent.
 */
static int do_request(struct engine *e, struct client *c, const struct wire_request *r, bool too_short,
		      const void *request, bool *silent)
{
	struct family *f = client_family(e, c);
	int err;

	if ((int32_t)r->pid <= 0 || (r->flags & NLM_F_REQUEST) == 0 || (r->flags & NLM_F_MULTI) != 0)
		return EINVAL;
	/* MSG_TRUNC is a socket flag, but ip_queue checked for it among the netlink flags */
	if ((r->flags & MSG_TRUNC) != 0)
		return ECOMM;
	if (r->type < NLMSG_NOOP || r->type >= IPQM_MAX)
		return EINVAL;
	*silent = r->type <= IPQM_BASE;
	if (*silent)
		return 0;
	if (!c->capable)
		return EPERM;
	err = acquire(e, f, c, r->pid);
	if (err != 0)
		return err;
	if (too_short)
		return EINVAL;
	if (r->type == IPQM_MODE)
		return set_mode(e, f, c, r);
	return r->type == IPQM_VERDICT ? set_verdict(e, f, c, r, request) : EINVAL;
}

/*
 * Serves one datagram, of which only the first message is used. len may exceed the buffer. waits: the program waits
 * until the request is served. 0 or the positive errno of the refusal.
 */
static int serve(struct engine *e, struct client *c, const void *request, size_t len, bool waits)
{
	struct wire_request r;
	bool silent = false;
	int err = wire_get_request(c->layout, request, len, &r);

	if (err == -EBADMSG)
		return 0;
	if (c->pid == 0 && (int32_t)r.pid > 0)
		set_pid(e, c, r.pid);
	/*
	 * Do this only if the program waits for the result of its request. Otherwise packets in the source may be
	 * newer than the request: then the new mode applies to them, and they follow the refusal.
	 */
	if (r.type == IPQM_MODE && waits)
		e->receive_earlier(e);
	if (c->fd < 0) /* the client has ended in the meantime */
		return 0;
	c->async |= r.type == IPQM_MODE && !waits;
	err = do_request(e, c, &r, err != 0, request, &silent);
	if (err != 0) {
		if (waits || (!c->async && client_family(e, c)->mode != COPY_NONE))
			e->receive_earlier(e);
		engine_log(e, "client %u: request of type 0x%x refused: %s", c->serial, r.type,
			   strerror(err));
		answer(e, c, err, request, r.len <= REQUEST_ROOM ? r.len : WIRE_NLHDR);
	} else if ((r.flags & NLM_F_ACK) != 0 && !silent) {
		answer(e, c, 0, request, WIRE_NLHDR);
	}
	return err;
}

/* Receives up to max datagrams, as recvmmsg does. If max is 1 it uses recv, which costs half as much. */
static int receive(struct engine *e, const struct client *c, unsigned max)
{
	const int flags = MSG_DONTWAIT | MSG_TRUNC; /* msg_len is the length before truncation */
	ssize_t n;

	if (max > 1)
		return recvmmsg(c->fd, e->in, max, flags, NULL);
	n = recv(c->fd, e->in_iov[0].iov_base, e->in_iov[0].iov_len, flags);
	e->in[0].msg_len = (unsigned)n;
	return n < 0 ? -1 : 1;
}

/*
 * Serves up to max datagrams. Returns their number, less than max when there are no more; -1: the other end is closed.
 */
static int serve_batch(struct engine *e, struct client *c, unsigned max)
{
	int i, n = receive(e, c, max);

	if (n < 0) {
		/*
		 * If a peer closes its socket with unread packets, one receive returns ECONNRESET; later ones
		 * return its requests.
		 */
		if (errno == EINTR || errno == ECONNRESET)
			return (int)max;
		return errno == EAGAIN || errno == ECONNREFUSED ? 0 : -1;
	}
	e->work += (unsigned)n;
	for (i = 0; i < n && c->fd >= 0; i++)
		serve(e, c, e->in_iov[i].iov_base, e->in[i].msg_len, false);
	engine_flush(e);
	engine_extend_end(e);
	/* When its other end is closed, a socket returns empty datagrams for ever. */
	if (n > 0 && e->in[n - 1].msg_len == 0 && peer_closed(c))
		return -1;
	return n;
}

static void serve_up_to(struct engine *e, struct client *c, unsigned batch, unsigned rounds)
{
	unsigned round;
	int n = (int)batch;

	e->serving = true;
	for (round = 0; n == (int)batch && round < rounds; round++)
		n = serve_batch(e, c, batch);
	e->serving = false;
	if (n < 0)
		end(e, c);
	else if (c->blocked) {
		c->blocked = false; /* engine_deliver() tries again */
		client_watch(e, c);
	}
}

void client_serve(struct engine *e, struct client *c)
{
	serve_up_to(e, c, BATCH, ROUNDS);
}

void client_serve_one(struct engine *e, struct client *c)
{
	serve_up_to(e, c, 1, 1);
}

void client_finish(struct engine *e, struct client *c)
{
	unsigned i;
	ssize_t n;

	c->hung_up = true;
	for (i = 0; i < FINISH_MAX; i++) {
		n = recv(c->fd, e->last, REQUEST_ROOM, MSG_DONTWAIT | MSG_TRUNC);
		if (n < 0 && (errno == EINTR || errno == ECONNRESET))
			continue;
		if (n <= 0)
			break;
		serve(e, c, e->last, (size_t)n, false);
		engine_flush(e);
	}
	if (c->fd >= 0)
		end(e, c);
}

/*
 * Joins the pieces of a request. Omits bytes beyond REQUEST_ROOM; a length greater than that shows that bytes are
 * missing.
 */
static const void *gather(struct engine *e, const struct iovec *piece, size_t pieces, size_t *len)
{
	size_t i, room;

	*len = piece[0].iov_len;
	if (pieces == 1)
		return piece[0].iov_base;
	for (i = *len = 0; i < pieces; *len += piece[i++].iov_len) {
		room = *len < REQUEST_ROOM ? REQUEST_ROOM - *len : 0;
		memcpy(e->request + *len, piece[i].iov_base,
		       piece[i].iov_len < room ? piece[i].iov_len : room);
	}
	return e->request;
}

int client_request(struct engine *e, struct client *c, const struct iovec *piece, size_t pieces)
{
	const void *request;
	size_t len;
	int err;

	request = gather(e, piece, pieces, &len);
	err = serve(e, c, request, len, true);
	engine_flush(e);
	engine_extend_end(e);
	return err;
}
