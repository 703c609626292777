// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Theory of operation
 *
 * One epoll set holds the source's descriptor and every client's socket; see set_polling() for when there is
 * much to do. A step reads what clients ask (engine_client.c), takes a batch of packets from the source and
 * hands it to their owners (engine_deliver.c). Verdicts are collected and leave in one send before the memory that they point
 * into is used again.
 *
 * Invariant: a packet that the source handed out is in exactly one place: held here (e->done[i] is
 * false), in its family's waiting set, or back at the source with a verdict. Whatever goes wrong
 * therefore ends in a verdict (a drop), and a client's end drops what it had.
 *
 * Nothing waits for a client: every read and write of a client's socket is non-blocking and every loop
 * over one client's requests is bounded, so that a client can only harm itself.
 */
#include <errno.h>
#include <stdarg.h>
#include <inttypes.h>
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

#define SEND_TRIES 100	  /* a millisecond each */
#define QUEUE_LENGTH 1024 /* ip_queue's own */
#define ROUNDS 4	  /* batches a step */
#define HOPE_MS 200	  /* for the second family's first request */
#define RECEIVE_BUFFER_MAX (16u << 20)

void engine_log(struct engine *e, const char *format, ...)
{
	va_list args;

	if (e->log == NULL)
		return;
	va_start(args, format);
	vfprintf(e->log, format, args);
	va_end(args);
	fputc('\n', e->log);
}

struct family *engine_family(struct engine *e, uint8_t af)
{
	if (af == AF_INET)
		return &e->family[0];
	return af == AF_INET6 ? &e->family[1] : NULL;
}

/* ---- the source ------------------------------------------------------------------------------- */

/* The largest of what both families asked: each is cut to its own when it is handed out. */
static void wanted(const struct engine *e, struct source_config *config)
{
	uint64_t length = 0;
	unsigned i;

	*config = (struct source_config){ .flags = IPQ_O_SEGMENT | IPQ_O_TIMESTAMP | IPQ_O_BEST_EFFORT };
	for (i = 0; i < 2; i++) {
		const struct family *f = &e->family[i];
		bool whole = config->mode == COPY_PACKET && config->range == 0;

		length += f->queue_max;
		if (f->mode > config->mode)
			config->mode = f->mode;
		if (f->mode == COPY_PACKET && !whole && (f->range == 0 || f->range > config->range))
			config->range = f->range;
	}
	/* Room for a batch on its way here, so that it is this queue's limit that programs meet. */
	length += BATCH;
	config->queue_length = length > UINT32_MAX ? UINT32_MAX : (uint32_t)length;
	length *= 4096;
	config->receive_buffer = length > RECEIVE_BUFFER_MAX ? RECEIVE_BUFFER_MAX : (uint32_t)length;
}

/* Only while somebody can take packets: see engine.h on patience. */
static bool wants_packets(const struct engine *e)
{
	unsigned i, ready = 0;

	for (i = 0; i < 2; i++)
		ready += e->family[i].mode != COPY_NONE && e->family[i].peer_pid != 0;
	return e->configured && !e->ended && e->held == 0 && (!e->lossless || ready > 0);
}

/* What stands for the source in the epoll set. */
static int source_fd(const struct engine *e)
{
	int fd = e->source->ops->fd(e->source);

	return fd < 0 ? e->always : fd;
}

static void watch_source(struct engine *e)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
	bool want = !e->polling && wants_packets(e);

	if (want == e->watched)
		return;
	if (epoll_ctl(e->epoll, want ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, source_fd(e), &event) < 0 && want)
		e->failed = -errno;
	e->watched = want;
}

int engine_configure(struct engine *e, struct ipq_error *error)
{
	struct source_config config;
	int ret;

	wanted(e, &config);
	if (e->configured && memcmp(&config, &e->config, sizeof(config)) == 0)
		return 0;
	ret = e->source->ops->configure(e->source, &config, error);
	if (ret < 0)
		return ret;
	e->config = config;
	e->configured = true;
	engine_log(e, "source: copies %s, range %u",
		   config.mode == COPY_NONE   ? "nothing"
		   : config.mode == COPY_META ? "no payload"
					      : "payload",
		   config.range);
	return 0;
}

static void refused(void *context, const struct source_refusal *refusal)
{
	struct engine *e = context;

	engine_log(e, "source: %s %" PRIu64 " refused: %s", refusal->mode ? "range" : "verdict on packet",
		   refusal->id, strerror(refusal->error));
	client_refused(e, refusal->tag, refusal->error);
}

void engine_verdict(struct engine *e, const struct source_verdict *verdict)
{
	if (e->verdicts == BATCH)
		engine_flush(e);
	e->verdict[e->verdicts++] = *verdict;
}

void engine_drop(struct engine *e, uint32_t id)
{
	engine_verdict(e, &(struct source_verdict){ .id = id, .code = NF_DROP });
}

/* What the source cannot carry is dropped, as ip_queue did with a replacement that the packet had no room
 * for. */
static void refuse_sent(struct engine *e, struct source_verdict *v, int err)
{
	if (v->code == NF_DROP) {
		e->failed = err;
		return;
	}
	engine_log(e, "source: cannot carry the verdict on packet %u: %s", v->id, strerror(-err));
	*v = (struct source_verdict){ .id = v->id, .code = NF_DROP, .tag = v->tag };
}

/* The kernel may lack memory for a moment. That must cost no verdict, but no more than a while either. */
static bool try_again(int err, unsigned *tries)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	if ((err != -ENOBUFS && err != -ENOMEM && err != -EAGAIN) || ++*tries > SEND_TRIES)
		return false;
	nanosleep(&pause, NULL);
	return true;
}

void engine_flush(struct engine *e)
{
	unsigned done = 0, tries = 0;
	int ret;

	while (done < e->verdicts && e->failed == 0) {
		ret = source_send(e->source, e->verdict + done, e->verdicts - done);
		if (ret > 0)
			done += (unsigned)ret;
		else if (ret == -EINVAL || ret == -EMSGSIZE)
			refuse_sent(e, &e->verdict[done], ret);
		else if (ret != -EINTR && !try_again(ret, &tries))
			e->failed = ret == 0 ? -EIO : ret;
	}
	e->verdicts = 0;
	if (e->failed != 0)
		engine_log(e, "source: cannot send verdicts: %s", engine_error(e));
}

const char *engine_error(const struct engine *e)
{
	int err = e->failed != 0 ? e->failed : e->broken;

	return e->source->ops->error != NULL ? e->source->ops->error(e->source) : strerror(-err);
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

/* ---- the end ---------------------------------------------------------------------------------- */

/* Memory taken by what the program was sent and has not read yet. */
static int unread(const struct client *c)
{
	int bytes = 0;

	return ioctl(c->fd, SIOCOUTQ, &bytes) < 0 ? 0 : bytes;
}

void engine_active(struct engine *e)
{
	static const struct itimerspec grace = { .it_value.tv_sec = 1 };

	if (e->ended && !e->said_end)
		timerfd_settime(e->grace, 0, &grace, NULL);
}

/*
 * The end of the packets reads as the end of the socket; verdicts still come the other way. While packets
 * wait, a verdict may bring one back (NF_REPEAT), so the end is not told yet; but a program may also never
 * give them, so it is told when all clients have read everything and been silent for a while.
 */
static void send_eof(struct engine *e, bool silent)
{
	struct client *c;

	if (!e->ended || e->held > 0 || e->said_end)
		return;
	if (e->family[0].waiting.count + e->family[1].waiting.count > 0) {
		if (!silent)
			return;
		for (c = e->clients; c != NULL; c = c->next)
			if (unread(c) > 0) {
				engine_active(e);
				return;
			}
	}
	if (e->broken != 0)
		engine_log(e, "source: failed: %s", engine_error(e));
	else
		engine_log(e, "source: end");
	for (c = e->clients; c != NULL; c = c->next)
		client_send_eof(c);
	e->said_end = true;
}

/* A source that failed brings no more packets: for the programs that is the end, and no silence for ever. */
static void say_failed(struct engine *e)
{
	struct client *c;

	if (e->failed == 0 || e->said_end)
		return;
	engine_log(e, "source: failed: %s", engine_error(e));
	for (c = e->clients; c != NULL; c = c->next)
		client_send_eof(c);
	e->said_end = true;
}

bool engine_hopes(struct engine *e, const struct family *f)
{
	static const struct itimerspec soon = { .it_value.tv_nsec = HOPE_MS * 1000000L };

	if (!e->lossless || f->owner_decided)
		return false;
	if (!e->hoping)
		timerfd_settime(e->hope, 0, &soon, NULL);
	e->hoping = true;
	return true;
}

/* Nobody has come: what was held is dropped, and so is all that follows until somebody does. */
static void end_grace(struct engine *e)
{
	unsigned i;

	e->hoping = false;
	for (i = 0; i < 2; i++)
		e->family[i].owner_decided = true;
}

/* A file that is damaged ends there. What it had before can still be decided. */
static void no_more_packets(struct engine *e, int err)
{
	if (err != -ENODATA && !e->lossless) {
		e->failed = err;
		return;
	}
	e->broken = err == -ENODATA ? 0 : err;
	e->ended = true;
	engine_active(e);
}

/* One batch. Returns whether there may be more at once. */
static bool receive(struct engine *e)
{
	int n = source_recv(e->source, e->slot, e->packet, BATCH, 0, refused, e);

	e->received = n > 0 ? (unsigned)n : 0;
	e->work += e->received;
	memset(e->done, 0, sizeof(e->done));
	if (n < 0 && n != -EINTR && n != -ECANCELED && n != -EAGAIN)
		no_more_packets(e, n);
	if (n > 0)
		engine_deliver(e);
	engine_flush(e);
	return n == BATCH && e->held == 0 && e->failed == 0;
}

/* ---- a child that steps after its parent --------------------------------------------------------- */

static uint32_t serial_of(const struct client *c)
{
	return c != NULL ? c->serial : 0;
}

static struct client *find_serial(const struct engine *e, uint32_t serial)
{
	struct client *c;

	for (c = e->clients; c != NULL && c->serial != serial; c = c->next)
		;
	return c;
}

static bool same_traffic(const struct engine_counts *a, const struct engine_counts *b)
{
	return a->packets == b->packets && a->accepted == b->accepted && a->dropped == b->dropped;
}

static void save_state(struct engine *e)
{
	struct shared_state *l = e->shared_state;
	unsigned i;

	l->configured = e->configured;
	l->config = e->config;
	for (i = 0; i < 2; i++) {
		const struct family *f = &e->family[i];

		l->family[i].peer_pid = f->peer_pid;
		l->family[i].owner = serial_of(f->owner);
		l->family[i].requester = serial_of(f->requester);
		l->family[i].mode = f->mode;
		l->family[i].range = f->range;
		l->family[i].had_meta = f->had_meta;
		l->family[i].owner_decided = f->owner_decided;
		l->family[i].counts = f->counts;
	}
}

/*
 * A peer that only the parent had has ended with it. When packets have come and gone meanwhile nobody knows which ones
 * wait: the source says so when a verdict comes.
 */
static void restore_state(struct engine *e)
{
	const struct shared_state *l = e->shared_state;
	unsigned i;

	for (i = 0; i < 2; i++) {
		struct family *f = &e->family[i];
		bool lives;

		f->owner = find_serial(e, l->family[i].owner);
		f->requester = find_serial(e, l->family[i].requester);
		lives = f->owner != NULL || f->requester != NULL;
		f->peer_pid = lives ? l->family[i].peer_pid : 0;
		f->mode = lives ? l->family[i].mode : COPY_NONE;
		f->range = lives ? l->family[i].range : 0;
		f->had_meta = lives && l->family[i].had_meta;
		f->owner_decided = l->family[i].owner_decided;
		if (!same_traffic(&f->counts, &l->family[i].counts))
			idset_free(&f->waiting);
		f->counts = l->family[i].counts;
	}
	e->adopt = true;
	/* What the source has in this process knows nothing of what the parent's was told. */
	if (l->configured && !(e->configured && memcmp(&l->config, &e->config, sizeof(e->config)) == 0))
		e->source->ops->configure(e->source, &l->config, NULL);
	e->config = l->config;
	e->configured = l->configured;
	if (e->configured)
		engine_configure(e, NULL);
}

/* ---- stepping --------------------------------------------------------------------------------- */

#define BUSY_PACKETS 16
#define BUSY_BYTES 16384 /* 16 small packets, or 7 of 1,400 bytes */

struct seen {
	bool woken, silent;
};

/*
 * A socket that is in an epoll set costs whoever sends to it or reads from its other end a wakeup each time, though
 * nobody sleeps: the program twice a packet, and the sender of the packet once. So while there is much to do the
 * source and the owners are out of the set and looked at in every step, and something that is always readable stands
 * in it for them.
 */
static void set_polling(struct engine *e, bool on)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = &e->always };
	struct family *f;

	e->polling = on;
	if (!on)
		epoll_ctl(e->epoll, EPOLL_CTL_DEL, e->always, NULL);
	watch_source(e);
	for (f = e->family; f < e->family + 2; f++)
		if (f->owner != NULL)
			client_watch(e, f->owner);
	if (on && epoll_ctl(e->epoll, EPOLL_CTL_ADD, e->always, &event) < 0)
		set_polling(e, false);
}

static void serve_polled(struct engine *e)
{
	struct family *f;

	for (f = e->family; f < e->family + 2; f++)
		if (f->owner != NULL && !f->owner->watched)
			client_serve(e, f->owner);
}

static void serve_events(struct engine *e, const struct epoll_event *event, int n, struct seen *seen)
{
	bool packets = e->polling;
	uint64_t count;
	unsigned round;
	int i;

	for (i = 0; i < n; i++) {
		struct client *c = event[i].data.ptr;

		if (c == NULL) {
			packets = true;
		} else if ((void *)c == (void *)&e->always) {
			serve_polled(e);
		} else if ((void *)c == (void *)&e->wake) {
			seen->woken = read(e->wake, &count, sizeof(count)) > 0;
		} else if ((void *)c == (void *)&e->grace) {
			seen->silent = read(e->grace, &count, sizeof(count)) > 0;
		} else if ((void *)c == (void *)&e->hope) {
			if (read(e->hope, &count, sizeof(count)) > 0)
				end_grace(e);
		} else if (c->fd >= 0) {
			c->hung_up |= (event[i].events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) != 0;
			client_serve(e, c);
		}
	}
	if (e->held > 0)
		engine_deliver(e);
	for (round = 0; packets && wants_packets(e) && round < ROUNDS; round++)
		if (!receive(e))
			break;
	engine_flush(e);
}

/* Whether there was little to do while a program has enough unread packets to be busy for a moment. */
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
 * A program that has packets to read sends its verdicts one by one, and to wake somebody for each costs it more than
 * the verdict. While it has packets nobody waits for the engine: so it collects them, unless it finds them in
 * batches already: then to pause costs packets, up to a tenth of them. To this the kernel adds the slack of the
 * thread's timers.
 */
static const struct timespec moderation = { .tv_nsec = 20000 };

int engine_step(struct engine *e, int timeout_ms)
{
	struct epoll_event event[BATCH];
	struct seen seen = { false, false };
	bool early;
	int n, ret;

	n = epoll_wait(e->epoll, event, BATCH, timeout_ms);
	if (n < 0 && errno != EINTR)
		return -errno;
	pthread_mutex_lock(&e->lock);
	e->work = 0;
	serve_events(e, event, n, &seen);
	watch_source(e);
	send_eof(e, seen.silent);
	say_failed(e);
	client_free_ended(e);
	save_state(e);
	ret = e->failed;
	if (ret == 0 && e->said_end && e->family[0].waiting.count + e->family[1].waiting.count == 0)
		ret = e->broken != 0 ? e->broken : -ENODATA;
	if (ret == 0 && seen.woken)
		ret = -ECANCELED;
	early = ret == 0 && is_early(e);
	if (e->polling ? e->work == 0 : e->work >= (early ? BUSY_PACKETS : BATCH))
		set_polling(e, !e->polling);
	early = early && e->work > 0;
	pthread_mutex_unlock(&e->lock);
	if (early)
		nanosleep(&moderation, NULL);
	return ret;
}

void engine_resume(struct engine *e)
{
	struct client *c;

	pthread_mutex_lock(&e->lock);
	restore_state(e);
	epoll_ctl(e->epoll, EPOLL_CTL_DEL, source_fd(e), NULL);
	e->watched = false;
	set_polling(e, false);
	for (c = e->clients; c != NULL; c = c->next)
		client_watch(e, c);
	pthread_mutex_unlock(&e->lock);
}

void engine_wake(struct engine *e)
{
	static const uint64_t one = 1;

	if (write(e->wake, &one, sizeof(one)) < 0)
		return; /* only when it is set already */
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
		save_state(e);
	}
	pthread_mutex_unlock(&e->lock);
}

void engine_counts(struct engine *e, uint8_t family, struct engine_counts *counts)
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
		*counts = (struct engine_counts){ .wrong_family = e->wrong_family };
	}
	pthread_mutex_unlock(&e->lock);
}

int engine_source_counts(struct engine *e, struct source_counts *counts)
{
	int err;

	pthread_mutex_lock(&e->lock);
	err = e->source->ops->counts(e->source, counts);
	pthread_mutex_unlock(&e->lock);
	return err;
}

int engine_proc(struct engine *e, uint8_t family, char *buf, size_t room)
{
	struct engine_counts c;

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

/* ---- opening ---------------------------------------------------------------------------------- */

static int allocate(struct engine *e)
{
	unsigned i;

	/* Address space only: a page is used when a packet or a request has reached that far. */
	e->slots = malloc((size_t)BATCH * SLOT_SIZE);
	e->requests = malloc((size_t)BATCH * REQUEST_ROOM);
	e->last = malloc(REQUEST_ROOM);
	e->answer = malloc(REQUEST_ROOM + 64);
	if (e->last == NULL || e->slots == NULL || e->requests == NULL || e->answer == NULL)
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

static int open_descriptors(struct engine *e)
{
	struct epoll_event wake = { .events = EPOLLIN, .data.ptr = &e->wake };
	struct epoll_event grace = { .events = EPOLLIN, .data.ptr = &e->grace };
	struct epoll_event hope = { .events = EPOLLIN, .data.ptr = &e->hope };

	e->epoll = epoll_create1(EPOLL_CLOEXEC);
	e->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	e->always = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	e->grace = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	e->hope = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (e->epoll < 0 || e->wake < 0 || e->always < 0 || e->grace < 0 || e->hope < 0 ||
	    epoll_ctl(e->epoll, EPOLL_CTL_ADD, e->wake, &wake) < 0 ||
	    epoll_ctl(e->epoll, EPOLL_CTL_ADD, e->grace, &grace) < 0 ||
	    epoll_ctl(e->epoll, EPOLL_CTL_ADD, e->hope, &hope) < 0)
		return -errno;
	return 0;
}

static void free_engine(struct engine *e)
{
	unsigned i;

	for (i = 0; i < 2; i++)
		idset_free(&e->family[i].waiting);
	if (e->epoll >= 0)
		close(e->epoll);
	if (e->wake >= 0)
		close(e->wake);
	if (e->always >= 0)
		close(e->always);
	if (e->grace >= 0)
		close(e->grace);
	if (e->hope >= 0)
		close(e->hope);
	pthread_mutex_destroy(&e->lock);
	if (e->shared_state != NULL)
		munmap(e->shared_state, sizeof(*e->shared_state));
	free(e->slots);
	free(e->requests);
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
	e->epoll = e->wake = e->always = e->grace = e->hope = -1;
	e->source = source;
	e->lossless = source->ops->lossless;
	for (i = 0; i < 2; i++) {
		e->family[i].af = i == 0 ? AF_INET : AF_INET6;
		e->family[i].queue_max =
			options != NULL && options->queue_length > 0 ? options->queue_length : QUEUE_LENGTH;
	}
	if (options != NULL) {
		e->log = options->log;
		e->adopt = options->adopt;
	}
	ret = open_descriptors(e);
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
