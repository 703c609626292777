// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One epoll set holds the source's descriptor and every client's socket (events.c). A step serves requests
 * (client.c), receives packets from the source and sends them to their owners (deliver.c). Verdicts are
 * collected and sent together, before the memory of their payloads is used again.
 *
 * Invariant: a packet that the source has delivered is in exactly one place: held here (e->done[i] is false), in
 * its family's waiting set, or returned to the source with a verdict. So a packet that cannot be delivered is
 * dropped by a verdict, and so are the packets of a client that ends.
 *
 * The engine never waits for a client: sockets are read and written without blocking, and every loop over
 * one client's requests is bounded. So a client can only harm itself.
 */
#include <errno.h>
#include <stdarg.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/netfilter.h>
#include <sys/epoll.h>
#include <linux/sockios.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include "core/core.h"
#include "ipqueue/state.h"

#define QUEUE_LENGTH 1024 /* the default of ip_queue */
#define ROUNDS 4	  /* batches received per step */
#define EARLIER_ROUNDS 64 /* batches received before a request is served */

/* ---- the source ------------------------------------------------------------------------------- */

static bool refused(void *context, const struct source_refusal *refusal)
{
	struct engine *e = context;

	engine_log(e, "source: %s %" PRIu64 " refused: %s", refusal->mode ? "range" : "verdict on packet",
		   refusal->id, strerror(refusal->error));
	client_refused(e, refusal->tag, refusal->error);
	return true;
}

int engine_failure(struct engine *e)
{
	int err;

	pthread_mutex_lock(&e->lock);
	err = e->failed != 0 ? e->failed : e->broken;
	pthread_mutex_unlock(&e->lock);
	return err;
}

bool engine_lives(const struct engine *e)
{
	return e->failed == 0;
}

/* ---- the end of the packets ----------------------------------------------------------------- */

/* Returns the bytes of memory of messages that the program has not read yet. */
static int unread(const struct client *c)
{
	int bytes = 0;

	return ioctl(c->fd, SIOCOUTQ, &bytes) < 0 ? 0 : bytes;
}

/*
 * The program reads the end of the packets as the end of the socket; it can still send verdicts. While packets
 * wait, the verdict NF_REPEAT may deliver one of them again, so the end is not sent yet. But a program may never
 * decide them. So the end is sent when all clients have read everything and have sent no request for a while.
 */
static void send_eof(struct engine *e, bool silent)
{
	struct client *c;

	if (!e->ended || e->held > 0 || e->eof_sent)
		return;
	if (undecided_are_left(e)) {
		if (silent)
			engine_extend_end(e);
		return;
	}
	if (e->family[0].waiting.count + e->family[1].waiting.count > 0) {
		if (!silent)
			return;
		for (c = e->clients; c != NULL; c = c->next)
			if (unread(c) > 0) {
				engine_extend_end(e);
				return;
			}
	}
	if (e->broken != 0)
		engine_log(e, "source: failed: %s", engine_error(e));
	else
		engine_log(e, "source: end");
	for (c = e->clients; c != NULL; c = c->next)
		client_send_eof(c);
	e->eof_sent = true;
}

/* A failed source looks to programs like the end of the packets. */
static void send_eof_after_failure(struct engine *e)
{
	struct client *c;

	if (e->failed == 0 || e->eof_sent)
		return;
	engine_log(e, "source: failed: %s", engine_error(e));
	for (c = e->clients; c != NULL; c = c->next)
		client_send_eof(c);
	e->eof_sent = true;
}

/*
 * Called when the wait for an owner has timed out. From now on packets without an owner are dropped, including the
 * held ones.
 */
static void end_grace(struct engine *e)
{
	unsigned i;

	e->awaiting_owner = false;
	for (i = 0; i < 2; i++)
		e->family[i].owner_decided = true;
	if (e->keep && e->configured)
		engine_configure(e, NULL);
}

/* For the engine, a damaged file ends where the damage begins. Earlier packets can still be decided. */
static void no_more_packets(struct engine *e, int err)
{
	if (err != -ENODATA && !e->lossless) {
		e->failed = err;
		return;
	}
	e->broken = err == -ENODATA ? 0 : err;
	e->ended = true;
	engine_extend_end(e);
}

static bool has_come(const struct engine *e, uint8_t family)
{
	for (unsigned i = 0; i < e->received; i++)
		if (e->packet[i].family == family)
			return true;
	return false;
}

/*
 * A mode applies to the packets that arrive after the program's request. If the program did not wait for the result
 * of its request, the request may still be in the socket, so it is read before packets are delivered. reported:
 * epoll has reported every request that is older than the first of these packets, and these requests have been
 * served. The requests of owners that are polled are served here.
 */
static void serve_late_requests(struct engine *e, bool reported)
{
	bool unseen = !reported || e->received > 1;
	struct client *c, *next;

	if (e->lossless || e->serving)
		return;
	for (c = e->clients; c != NULL; c = next) {
		const struct family *f = client_family(e, c);

		next = c->next;
		if (c->fd >= 0 && ((c == f->owner && (e->polling || (c->async && unseen))) ||
				   (f->mode == COPY_NONE && has_come(e, f->af))))
			client_serve(e, c);
	}
}

static void start_batch(struct engine *e, unsigned n)
{
	e->received = n;
	e->work += n;
	memset(e->done, 0, sizeof(e->done));
}

static void deliver_batch(struct engine *e)
{
	if (e->received > 0)
		engine_deliver(e);
	engine_flush(e);
}

/* Receives and delivers one batch. Returns whether there may be more. */
static bool receive_batch(struct engine *e, bool reported)
{
	int n;

	if (undecided_can_offer(e)) {
		start_batch(e, undecided_take(e));
		deliver_batch(e);
		return e->failed == 0;
	}
	if (!engine_wants_packets(e))
		return false;
	n = source_recv(e->source, e->slot, e->packet, BATCH, 0, refused, e);
	if (n < 0 && n != -EINTR && n != -ECANCELED && n != -EAGAIN)
		no_more_packets(e, n);
	start_batch(e, n > 0 ? (unsigned)n : 0);
	serve_late_requests(e, reported);
	undecided_store(e);
	deliver_batch(e);
	return n == BATCH && e->held == 0 && e->failed == 0;
}

static bool receive(struct engine *e, bool reported)
{
	bool more;

	e->receiving = true; /* receive_earlier() does nothing now: requests and ending clients call it */
	more = receive_batch(e, reported);
	e->receiving = false;
	return more;
}

/*
 * Receives the packets that are already in the source before a new mode is set or a refusal is sent. ip_queue sent
 * its messages in the order of events, and each packet in the mode in which it was queued. A capture file has no
 * such order.
 */
static void receive_earlier(struct engine *e)
{
	unsigned round;

	if (e->lossless || e->receiving)
		return;
	for (round = 0; round < EARLIER_ROUNDS && engine_wants_packets(e) && receive(e, false); round++)
		;
}

/* ---- stepping --------------------------------------------------------------------------------- */

#define BUSY_PACKETS 16
#define BUSY_BYTES 16384 /* the memory of 16 small packets, or of 7 packets with 1,400 bytes */

struct seen {
	bool woken, silent, caller;
};

/* Serves the clients that receive() does not serve. */
static void serve_polled(struct engine *e)
{
	struct family *f;

	if (!e->lossless && engine_wants_packets(e) && !undecided_can_offer(e))
		return;
	for (f = e->family; f < e->family + 2; f++)
		if (f->owner != NULL && !f->owner->watched)
			client_serve(e, f->owner);
}

/*
 * Serves one client. alone: no other event has happened. Then, if only one packet waits for a verdict, one request
 * is served; epoll reports any further ones.
 */
static void serve_client(struct engine *e, struct client *c, bool alone)
{
	if (alone && !c->hung_up && client_family(e, c)->waiting.count == 1 && e->held == 0)
		client_serve_one(e, c);
	else
		client_serve(e, c);
}

static void serve_events(struct engine *e, const struct epoll_event *event, int n, struct seen *seen)
{
	bool packets = e->polling, again = e->reported;
	uint64_t count;
	unsigned round;
	int i;

	e->reported = false;
	for (i = 0; i < n; i++) {
		struct client *c = event[i].data.ptr;

		if (c == NULL) {
			packets = e->reported = true;
		} else if ((void *)c == (void *)&e->always_ready) {
			serve_polled(e);
		} else if ((void *)c == (void *)&e->epoll) {
			seen->caller = true;
		} else if ((void *)c == (void *)&e->wake) {
			seen->woken =
				read(e->wake, &count, sizeof(count)) > 0 && atomic_exchange(&e->woken, false);
		} else if ((void *)c == (void *)&e->end_timer) {
			seen->silent = read(e->end_timer, &count, sizeof(count)) > 0;
		} else if ((void *)c == (void *)&e->owner_timer) {
			if (read(e->owner_timer, &count, sizeof(count)) > 0)
				end_grace(e);
		} else if (c->fd >= 0) {
			c->hung_up |= (event[i].events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) != 0;
			serve_client(e, c, n == 1);
		}
	}
	if (e->held > 0)
		engine_deliver(e);
	packets |= undecided_can_offer(e);
	for (round = 0; packets && round < ROUNDS; round++)
		/*
		 * If the last epoll_wait() returned the source, check the source again: a request may have arrived
		 * before the packets.
		 */
		if (!receive(e, !e->polling && !again && round == 0))
			break;
	engine_flush(e);
}

/*
 * Makes the engine step again for packets that are stored for an owner: no descriptor is readable because of them.
 */
static void poke_for_undecided(struct engine *e)
{
	if (undecided_can_offer(e))
		engine_poke(e);
}

/* Whether the engine may pause: there was little to do, and a program has enough unread packets to be busy for a
 * moment. */
static bool is_early(const struct engine *e)
{
	const struct family *f;

	if (e->work >= BATCH)
		return false;
	for (f = e->family; f < e->family + 2; f++)
		if (f->owner != NULL && f->waiting.count >= BUSY_PACKETS && unread(f->owner) >= BUSY_BYTES)
			return true;
	return false;
}

/*
 * A program that has packets to read sends its verdicts one by one, and waking the engine for each verdict costs
 * more than the verdict. No program waits for the engine then, so the engine pauses and collects verdicts. If
 * verdicts already come in batches, a pause would cost up to a tenth of the throughput. The kernel adds the timer
 * slack of the thread.
 */
static const struct timespec moderation = { .tv_nsec = 20000 };

int engine_step(struct engine *e, int timeout_ms)
{
	struct epoll_event event[BATCH];
	struct seen seen = { false, false, false };
	bool early;
	int n, ret;

	n = epoll_wait(e->epoll, event, BATCH, timeout_ms);
	if (n < 0 && errno != EINTR)
		return -errno;
	pthread_mutex_lock(&e->lock);
	e->work = 0;
	serve_events(e, event, n, &seen);
	engine_watch_source(e);
	poke_for_undecided(e);
	send_eof(e, seen.silent);
	send_eof_after_failure(e);
	client_free_ended(e);
	engine_save_state(e);
	ret = e->failed;
	if (ret == 0 && e->eof_sent && !undecided_are_left(e) &&
	    e->family[0].waiting.count + e->family[1].waiting.count == 0)
		ret = e->broken != 0 ? e->broken : -ENODATA;
	if (ret == 0 && seen.woken)
		ret = -ECANCELED;
	early = ret == 0 && is_early(e);
	if (e->polling ? e->work == 0 : e->work >= (early ? BUSY_PACKETS : BATCH))
		engine_set_polling(e, !e->polling);
	early = early && e->work > 0;
	pthread_mutex_unlock(&e->lock);
	if (early)
		nanosleep(&moderation, NULL);
	return ret == 0 && seen.caller ? 1 : ret;
}

/*
 * Whether the engine's thread must be woken after requests have changed the number of waiting packets, which was
 * `before`. It is woken when there is room for many held packets, or after the last verdict, but not for each
 * verdict.
 */
static bool is_step_due(const struct engine *e, const struct family *f, size_t before)
{
	size_t half = f->queue_max / 2;

	if (e->held > 0 && before > half && f->waiting.count <= half)
		return true;
	return e->ended && e->family[0].waiting.count + e->family[1].waiting.count == 0;
}

int engine_request(struct engine *e, uint32_t client, const struct iovec *piece, size_t pieces)
{
	struct client *c;
	struct family *f;
	size_t before;
	int ret = -ENOENT;

	pthread_mutex_lock(&e->lock);
	c = engine_find_client(e, client);
	if (c == NULL)
		goto out;
	f = client_family(e, c);
	before = f->waiting.count;
	client_serve(e, c); /* serve the requests in the client's socket first; the client may end */
	c = engine_find_client(e, client);
	if (c == NULL)
		goto out;
	e->passed_on = false;
	ret = client_request(e, c, piece, pieces);
	if (e->passed_on && engine_wants_packets(e))
		receive(e, false); /* receive the source's refusal, if there is one */
	engine_watch_source(e);
	poke_for_undecided(e);
	engine_save_state(e);
	if (is_step_due(e, f, before))
		engine_poke(e);
out:
	pthread_mutex_unlock(&e->lock);
	return ret;
}

uint32_t engine_client_pid(struct engine *e, uint32_t client)
{
	const struct client *c;
	uint32_t pid;

	pthread_mutex_lock(&e->lock);
	c = engine_find_client(e, client);
	pid = c != NULL ? c->pid : 0;
	pthread_mutex_unlock(&e->lock);
	return pid;
}

void engine_resume(struct engine *e)
{
	struct client *c;

	pthread_mutex_lock(&e->lock);
	engine_restore_state(e);
	epoll_ctl(e->epoll, EPOLL_CTL_DEL, engine_source_fd(e), NULL);
	e->watched = false;
	engine_set_polling(e, false);
	for (c = e->clients; c != NULL; c = c->next)
		client_watch(e, c);
	pthread_mutex_unlock(&e->lock);
}

void engine_lock(struct engine *e)
{
	pthread_mutex_lock(&e->lock);
}

void engine_unlock(struct engine *e)
{
	pthread_mutex_unlock(&e->lock);
}

int engine_fd(const struct engine *e)
{
	return e->epoll;
}

/* ---- counters --------------------------------------------------------------------------------- */

void engine_set_queue_max(struct engine *e, uint8_t family, uint32_t max)
{
	struct family *f = engine_family(e, family);

	pthread_mutex_lock(&e->lock);
	if (f != NULL) {
		f->queue_max = max;
		if (e->configured)
			engine_configure(e, NULL);
		engine_save_state(e);
		if (e->held > 0)
			engine_poke(e); /* packets that were held may have room now */
	}
	pthread_mutex_unlock(&e->lock);
}

void engine_counts(struct engine *e, uint8_t family, struct engine_counters *counts)
{
	struct family *f = engine_family(e, family);

	pthread_mutex_lock(&e->lock);
	if (f != NULL) {
		*counts = f->counts;
		counts->peer_pid = f->peer_pid;
		counts->mode = f->mode;
		counts->range = f->range;
		counts->queue_length = (uint32_t)f->waiting.count;
		counts->queue_max = f->queue_max;
	} else {
		*counts = (struct engine_counters){ .wrong_family = e->wrong_family };
	}
	pthread_mutex_unlock(&e->lock);
}

int engine_proc_text(struct engine *e, uint8_t family, char *buf, size_t room)
{
	struct engine_counters c;

	engine_counts(e, family, &c);
	return snprintf(buf, room,
			"Peer PID          : %u\n"
			"Copy mode         : %u\n"
			"Copy range        : %u\n"
			"Queue length      : %u\n"
			"Queue max. length : %u\n"
			"Queue dropped     : %" PRIu64 "\n"
			"%s : %" PRIu64 "\n",
			c.peer_pid, (unsigned)c.mode, c.range, c.queue_length, c.queue_max, c.queue_dropped,
			family == AF_INET6 ? "Netfilter dropped" : "Netlink dropped  ", c.netlink_dropped);
}

int engine_source_counts(struct engine *e, struct source_counts *counts)
{
	int err;

	pthread_mutex_lock(&e->lock);
	err = e->source->ops->counts(e->source, counts);
	pthread_mutex_unlock(&e->lock);
	return err;
}

/* ---- opening ---------------------------------------------------------------------------------- */

static int allocate(struct engine *e)
{
	unsigned i;

	/* This is mostly address space: only large packets and requests use all of its pages. */
	e->slots = malloc((size_t)BATCH * SLOT_SIZE);
	e->requests = malloc((size_t)BATCH * REQUEST_ROOM);
	e->request = malloc(REQUEST_ROOM);
	e->last = malloc(REQUEST_ROOM);
	e->answer = malloc(REQUEST_ROOM + 64);
	if (e->request == NULL || e->last == NULL || e->slots == NULL || e->requests == NULL ||
	    e->answer == NULL)
		return -ENOMEM;
	e->shared_state = mmap(NULL, sizeof(*e->shared_state), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (e->shared_state == MAP_FAILED) {
		e->shared_state = NULL;
		return -ENOMEM;
	}
	for (i = 0; i < BATCH; i++) {
		e->slot[i] =
			(struct iovec){ e->slots + (size_t)i * SLOT_SIZE + SLOT_FRONT, SOURCE_SLOT_SIZE };
		e->in_iov[i] = (struct iovec){ e->requests + (size_t)i * REQUEST_ROOM, REQUEST_ROOM };
		e->in[i].msg_hdr = (struct msghdr){ .msg_iov = &e->in_iov[i], .msg_iovlen = 1 };
	}
	return 0;
}

static void free_engine(struct engine *e)
{
	unsigned i;

	for (i = 0; i < 2; i++) {
		idset_free(&e->family[i].waiting);
		undecided_free(&e->family[i]);
	}
	if (e->epoll >= 0)
		close(e->epoll);
	if (e->wake >= 0)
		close(e->wake);
	if (e->always_ready >= 0)
		close(e->always_ready);
	if (e->end_timer >= 0)
		close(e->end_timer);
	if (e->owner_timer >= 0)
		close(e->owner_timer);
	pthread_mutex_destroy(&e->lock);
	if (e->shared_state != NULL)
		munmap(e->shared_state, sizeof(*e->shared_state));
	free(e->slots);
	free(e->requests);
	free(e->request);
	free(e->last);
	free(e->answer);
	free(e);
}

int engine_open(struct engine **engine, struct source *source, const struct engine_options *options,
		struct ipq_error *error)
{
	struct engine *e = calloc(1, sizeof(*e));
	unsigned i;
	int ret;

	*engine = NULL;
	if (e == NULL)
		return ipq_fail(error, ENOMEM, "no memory for the engine");
	pthread_mutex_init(&e->lock, NULL);
	e->epoll = e->wake = e->always_ready = e->end_timer = e->owner_timer = -1;
	e->source = source;
	e->receive_earlier = receive_earlier;
	e->lossless = source->ops->lossless;
	e->patient = e->lossless || source->held;
	for (i = 0; i < 2; i++) {
		e->family[i].af = i == 0 ? AF_INET : AF_INET6;
		e->family[i].queue_max = QUEUE_LENGTH;
		/*
		 * Packets of a live queue do not wait for the first owner. With `keep` they wait for the next one.
		 */
		e->family[i].owner_decided = !e->patient;
	}
	if (options != NULL) {
		e->log = options->log;
		e->adopt = options->adopt;
		e->keep = options->keep;
		e->patient |= options->keep;
		e->early = options->early && !e->lossless && !source->held;
	}
	ret = engine_open_events(e);
	if (ret == 0)
		ret = allocate(e);
	if (ret < 0) {
		free_engine(e);
		return ipq_fail(error, -ret, "cannot set the engine up: %s", strerror(-ret));
	}
	*engine = e;
	return 0;
}

void engine_detach(struct engine *e)
{
	struct client *c;

	for (c = e->clients; c != NULL; c = c->next)
		close(c->fd);
	while ((c = e->clients) != NULL) {
		e->clients = c->next;
		free(c);
	}
	client_free_ended(e);
	free_engine(e);
}

void engine_close_after_fork(struct engine *e)
{
	struct source *source = e->source;

	engine_detach(e);
	(source->ops->close_after_fork != NULL ? source->ops->close_after_fork : source->ops->close)(source);
}

void engine_close(struct engine *e)
{
	struct source *source;

	if (e == NULL)
		return;
	source = e->source;
	engine_detach(e);
	source->ops->close(source);
}
