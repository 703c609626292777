/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Each host has an engine and a thread. The thread waits without a lock, and steps the engine with step_lock held.
 * A fork takes step_lock, so it never happens during a step.
 *
 * The child of a fork inherits the sockets and the engine, but not the thread. While the parent lives, its thread
 * serves the child's handles too, because they are the same sockets. When the parent ends (a program that becomes a
 * daemon after it opened its handle), the child must continue alone. So its thread waits for the end of the lifeline, a
 * pipe whose other end is held only by the process that runs the engine, and continues from there.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <linux/netlink.h>
#include "classic/host.h"
#include "core/core.h"
#include "ipqueue/engine.h"

#define LAST_STEPS 64 /* steps before the engine ends, to serve requests that are left in the sockets */

struct host {
	struct host *next;
	char *name;
	unsigned users;
	struct engine *engine;
	pthread_mutex_t step_lock;
	pthread_t thread;
	bool threaded;	   /* the thread was started, which may have failed in a forked child */
	atomic_bool waits; /* this process is a forked child, and its parent runs the engine */
	atomic_bool stopping;
	int lifeline[2]; /* [0] is readable when no process holds [1]; [1] is -1 in a child that waits */
	int stop[2];	 /* a pipe: closing stop[1] stops this process's thread */
};

static struct {
	pthread_mutex_t lock; /* lock order: this lock comes before any step_lock */
	struct host *first;
} hosts = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- the thread ------------------------------------------------------------------------------------- */

/* Waits until fd is readable. False: the thread must stop. */
static bool wait_for(struct host *h, int fd)
{
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = h->stop[0], .events = POLLIN } };

	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	return p[1].revents == 0 && !atomic_load(&h->stopping);
}

static int step(struct host *h)
{
	int err;

	pthread_mutex_lock(&h->step_lock);
	err = engine_step(h->engine, 0);
	pthread_mutex_unlock(&h->step_lock);
	return err;
}

/* The parent has ended: this process runs the engine now, and its own children wait for it. */
static void take_over(struct host *h)
{
	int fresh[2] = { -1, -1 };

	pthread_mutex_lock(&h->step_lock);
	if (pipe2(fresh, O_CLOEXEC) == 0) {
		close(h->lifeline[0]);
		memcpy(h->lifeline, fresh, sizeof(fresh));
	}
	h->waits = false;
	engine_resume(h->engine);
	pthread_mutex_unlock(&h->step_lock);
}

static void *serve(void *arg)
{
	struct host *h = arg;
	int err = 0, i;

	if (h->waits) {
		if (!wait_for(h, h->lifeline[0]))
			return NULL;
		take_over(h);
	}
	while (wait_for(h, engine_fd(h->engine)) && err != -ENODATA)
		err = step(h);
	/* Continues after the end of a capture file: handles may still open, send requests and close. */
	while (wait_for(h, engine_fd(h->engine)))
		step(h);
	for (i = 0; i < LAST_STEPS; i++)
		step(h);
	return NULL;
}

/* The thread blocks all signals: the program's own threads handle them. */
static int start_thread(struct host *h)
{
	sigset_t all, before;
	int err;

	if (pipe2(h->stop, O_CLOEXEC) < 0)
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&h->thread, NULL, serve, h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	h->threaded = err == 0;
	if (err != 0) {
		close(h->stop[0]);
		close(h->stop[1]);
	}
	return -err;
}

static void stop_thread(struct host *h)
{
	if (!h->threaded)
		return;
	atomic_store(&h->stopping, true);
	close(h->stop[1]);
	pthread_join(h->thread, NULL);
	close(h->stop[0]);
}

/* ---- fork -------------------------------------------------------------------------------------------- */

static void before_fork(void)
{
	struct host *h;

	pthread_mutex_lock(&hosts.lock);
	for (h = hosts.first; h != NULL; h = h->next) {
		pthread_mutex_lock(&h->step_lock);
		engine_lock(h->engine);
	}
}

static void after_fork_in_parent(void)
{
	struct host *h;

	for (h = hosts.first; h != NULL; h = h->next) {
		engine_unlock(h->engine);
		pthread_mutex_unlock(&h->step_lock);
	}
	pthread_mutex_unlock(&hosts.lock);
}

static void after_fork_in_child(void)
{
	struct host *h;

	for (h = hosts.first; h != NULL; h = h->next) {
		if (h->lifeline[1] >= 0)
			close(h->lifeline[1]);
		h->lifeline[1] = -1;
		h->waits = true;
		if (h->threaded) {
			close(h->stop[0]);
			close(h->stop[1]);
		}
		h->threaded = false;
		engine_unlock(h->engine);
		pthread_mutex_unlock(&h->step_lock);
		start_thread(h);
	}
	pthread_mutex_unlock(&hosts.lock);
}

__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* ---- hosts ------------------------------------------------------------------------------------------- */

/* Finds the host of this name, but not one that the parent process runs: a client of this process would enter the
 * parent's epoll set. */
static struct host *find(const char *name)
{
	struct host *h;

	for (h = hosts.first; h != NULL && (strcmp(h->name, name) != 0 || atomic_load(&h->waits));
	     h = h->next)
		;
	return h;
}

static void free_host(struct host *h)
{
	if (h->lifeline[0] >= 0)
		close(h->lifeline[0]);
	if (h->lifeline[1] >= 0)
		close(h->lifeline[1]);
	pthread_mutex_destroy(&h->step_lock);
	free(h->name);
	free(h);
}

/* Creates a host. On success the host owns the source. */
static int new_host(struct host **host, const char *name, struct source *source,
		    const struct engine_options *options, struct ipq_error *e)
{
	struct host *h = calloc(1, sizeof(*h));
	int err;

	if (h == NULL)
		return -ENOMEM;
	h->lifeline[0] = h->lifeline[1] = -1;
	pthread_mutex_init(&h->step_lock, NULL);
	h->name = strdup(name);
	if (h->name == NULL || pipe2(h->lifeline, O_CLOEXEC) < 0) {
		err = h->name == NULL ? -ENOMEM : -errno;
		goto fail;
	}
	err = engine_open(&h->engine, source, options, e);
	if (err < 0)
		goto fail;
	h->next = hosts.first;
	hosts.first = h;
	*host = h;
	return 0;
fail:
	free_host(h);
	return err;
}

/*
 * A program that calls getsockname on h->fd finds its port where a netlink address has it. The byte after the
 * family must be 0; the next one distinguishes the sockets of the two families. If another socket has this name,
 * the socket gets no name.
 */
static void name_port(int fd, uint8_t family)
{
	const struct sockaddr_nl name = { .nl_family = AF_UNIX,
					  .nl_pad = htons(family),
					  .nl_pid = (uint32_t)getpid() };
	int saved = errno;

	if (bind(fd, (const struct sockaddr *)&name, sizeof(name)) < 0)
		errno = saved;
}

/* Connects a client to the engine. Returns the program's end of the connection. */
static int connect_client(struct host *h, uint8_t family, uint32_t *client)
{
	int pair[2], err;

	err = engine_socketpair(pair, 0);
	if (err < 0)
		return err;
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): h is set when new_host() returned 0 */
	err = engine_add(h->engine, pair[0], family, WIRE_NATIVE, (uint32_t)getpid(), true);
	if (err < 0) {
		close(pair[0]);
		close(pair[1]);
		return err;
	}
	name_port(pair[1], family);
	h->users++;
	*client = (uint32_t)err;
	return pair[1];
}

static void unlink_host(struct host *host)
{
	struct host **at;

	for (at = &hosts.first; *at != host; at = &(*at)->next)
		;
	*at = host->next;
}

/*
 * Call this with hosts.lock held. A host without a user has no thread. On failure an adopted source stays open.
 */
static int use_host(struct host *h, uint8_t family, uint32_t *client, bool adopted)
{
	int err = 0, fd = connect_client(h, family, client);

	if (fd >= 0 && h->users == 1)
		err = start_thread(h);
	if (fd >= 0 && err == 0)
		return fd;
	if (fd >= 0) {
		close(fd);
		h->users--;
	}
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): h is set, see above */
	if (h->users == 0) {
		unlink_host(h);
		(adopted ? engine_detach : engine_close)(h->engine);
		free_host(h);
	}
	return fd < 0 ? fd : err;
}

int host_attach(struct host **host, uint32_t *client, const char *name, uint8_t family, struct ipq_error *e)
{
	/* A program that reads h->fd itself may also send its mode request there. */
	const struct engine_options options = { .early = true };
	struct source *source;
	struct host *h;
	int ret = 0;

	pthread_mutex_lock(&hosts.lock);
	h = find(name);
	if (h == NULL) {
		ret = source_open(&source, name, e);
		if (ret == 0) {
			ret = new_host(&h, name, source, &options, e);
			if (ret < 0)
				source->ops->close(source);
		}
	}
	if (ret == 0)
		ret = use_host(h, family, client, false);
	pthread_mutex_unlock(&hosts.lock);
	*host = ret >= 0 ? h : NULL;
	return ret;
}

int host_adopt(struct host **host, uint32_t *client, const char *name, struct source *source, uint8_t family,
	       struct ipq_error *e)
{
	struct engine_options options = { .adopt = true };
	struct host *h = NULL;
	int ret;

	pthread_mutex_lock(&hosts.lock);
	ret = new_host(&h, name, source, &options, e);
	if (ret == 0)
		ret = use_host(h, family, client, true);
	pthread_mutex_unlock(&hosts.lock);
	*host = ret >= 0 ? h : NULL;
	return ret;
}

bool host_is_remote(struct host *h)
{
	return atomic_load(&h->waits);
}

struct calling_thread {
	sigset_t signals;
	int cancel, saved_errno;
};

/*
 * A thread that is cancelled, or a signal handler that calls the library, must not wait for a lock that its own
 * thread holds.
 */
static void enter(struct calling_thread *t)
{
	sigset_t all;

	t->saved_errno = errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &t->signals);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &t->cancel);
}

static void leave(const struct calling_thread *t)
{
	pthread_setcancelstate(t->cancel, NULL);
	pthread_sigmask(SIG_SETMASK, &t->signals, NULL);
	errno = t->saved_errno;
}

int host_request(struct host *h, uint32_t client, const struct iovec *piece, size_t pieces)
{
	struct calling_thread t;
	int ret;

	if (atomic_load(&h->waits))
		return -EAGAIN;
	enter(&t);
	ret = engine_request(h->engine, client, piece, pieces);
	leave(&t);
	return ret;
}

void host_step(struct host *h)
{
	struct calling_thread t;

	if (atomic_load(&h->waits))
		return;
	enter(&t);
	step(h);
	leave(&t);
}

static void detach(struct host *h, void (*end)(struct engine *e))
{
	bool last;

	pthread_mutex_lock(&hosts.lock);
	last = --h->users == 0;
	if (last)
		unlink_host(h);
	pthread_mutex_unlock(&hosts.lock);
	if (!last)
		return;
	stop_thread(h);
	(h->waits ? engine_close_after_fork : end)(h->engine);
	free_host(h);
}

void host_detach(struct host *h)
{
	detach(h, engine_close);
}

void host_release_source(struct host *h)
{
	detach(h, engine_detach);
}

/*
 * A program may exit without destroying its handles. This writes accepted packets that are not yet in the output
 * file.
 */
__attribute__((destructor)) static void end_hosts(void)
{
	struct host *h;

	pthread_mutex_lock(&hosts.lock);
	while ((h = hosts.first) != NULL) {
		hosts.first = h->next;
		stop_thread(h);
		(h->waits ? engine_close_after_fork : engine_close)(h->engine);
		free_host(h);
	}
	pthread_mutex_unlock(&hosts.lock);
}

void host_stats(struct host *h, uint8_t family, struct ipq_ctl_stats *stats)
{
	struct engine_counters n, other, neither;
	struct source_counts unseen;

	engine_counts(h->engine, family, &n);
	engine_counts(h->engine, family == AF_INET ? AF_INET6 : AF_INET, &other);
	engine_counts(h->engine, AF_UNSPEC, &neither);
	stats->foreign = other.wrong_family + neither.wrong_family;
	stats->lost = n.netlink_dropped;
	stats->queue_dropped = n.queue_dropped;
	stats->waiting = n.queue_length;
	/* Adds the packets that the engine never received. Their family is unknown. */
	if (engine_source_counts(h->engine, &unseen) == 0) {
		stats->lost += unseen.lost;
		stats->queue_dropped += unseen.queue_dropped;
	}
}

int host_failure(struct host *h, struct ipq_error *e)
{
	int err = engine_failure(h->engine);

	return err == 0 ? 0 : ipq_fail(e, -err, "%s", engine_error(h->engine));
}

void host_set_queue_length(struct host *h, uint8_t family, uint32_t length)
{
	engine_set_queue_max(h->engine, family, length);
}
