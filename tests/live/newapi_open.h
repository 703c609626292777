// SPDX-License-Identifier: LGPL-2.1-or-later
/* Part of newapi.c: errors of open, counters, groups. */

static int open_error(const char *name, const struct ipq_options *given, char text[320])
{
	struct ipq_options o = given != NULL ? *given : (struct ipq_options){ .size = sizeof(o) };
	struct ipq_queue *q = (struct ipq_queue *)&o;
	int err;

	strcpy(text, "untouched");
	o.error = text;
	o.error_size = 320;
	err = ipq_queue_open(&q, name, &o);
	want(err == 0 || q == NULL);
	if (err == 0)
		ipq_queue_close(q);
	return err;
}

static void opening_refused(void)
{
	static const char *const names[] = {
		"nfqueue:65536", "nfqueue:", "nfqueue:1x", "nfqueue: 1", "nfqueue:-1", "nowhere:1", ""
	};
	struct ipq_options o = { .size = sizeof(o) };
	struct ipq_queue *q = open_plain(), *none = q;
	char text[320], small[8];

	want(open_error("nfqueue:0", NULL, text) == -EBUSY && strstr(text, "queue 0 is taken") != NULL);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		want(open_error(names[i], NULL, text) == -EINVAL && strcmp(text, "untouched") != 0 &&
		     *text != '\0');
	o.flags = 1u << 31;
	want(open_error("nfqueue:1", &o, text) == -EINVAL && strstr(text, "0x80000000") != NULL);
	o = (struct ipq_options){ .size = 4 };
	want(open_error("nfqueue:1", &o, text) == -EINVAL);
	o = (struct ipq_options){ .size = sizeof(o), .error = small, .error_size = sizeof(small) };
	memset(small, 'x', sizeof(small));
	want(ipq_queue_open(&none, "nowhere:1", &o) == -EINVAL && none == NULL &&
	     memchr(small, '\0', sizeof(small)) != NULL);
	if (fork() == 0) {
		failures = 0;
		want(drop_capabilities() == 0);
		want(open_error("nfqueue:9", NULL, text) == -EPERM && strstr(text, "CAP_NET_ADMIN") != NULL);
		ipq_queue_close(q); /* this closes the child's copy: the parent's socket stays open */
		_exit(failures != 0);
	}
	int status = 1;

	wait(&status);
	want(status == 0);
	ipq_queue_close(q);
}

static void capability_lost(void)
{
	struct ipq_queue *q = open_plain();
	struct ipq_packet p;

	sockets(7000);
	say("never decided");
	want(one(q, &p));
	want(drop_capabilities() == 0);
	want(ipq_accept(q, &p) == 0); /* the kernel refuses the verdict later */
	want(ipq_queue_recv(q, &p, 1, IPQ_FOREVER) == -EPERM);
	want(strstr(ipq_queue_error(q), "CAP_NET_ADMIN") != NULL);
	want(stats_of(q).refused == 1);
	ipq_queue_close(q);
	want(*heard() == '\0');
}

static void lacking_flags(void)
{
	static const struct {
		uint32_t flag;
		const char *name;
	} flags[] = { { IPQ_O_CONNTRACK, "conntrack" }, { IPQ_O_SECURITY_CONTEXT, "security contexts" } };
	unsigned lacking = 0;
	char text[320];

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct ipq_options o = { .size = sizeof(o), .flags = flags[i].flag };
		struct ipq_queue *q;
		int err = open_error("nfqueue:0", &o, text);

		if (err == 0)
			continue;
		lacking++;
		want(err == -EOPNOTSUPP && strstr(text, flags[i].name) != NULL);
		/* the queue is free again, and the supported flags are set */
		o.flags |= IPQ_O_BEST_EFFORT | IPQ_O_OWNER;
		if (want(ipq_queue_open(&q, "nfqueue:0", &o) == 0)) {
			want(ipq_queue_flags(q) == (IPQ_O_BEST_EFFORT | IPQ_O_OWNER));
			ipq_queue_close(q);
		}
	}
	if (lacking == 0)
		skip("this kernel lacks nothing");
}

/*
 * Converts an id to the initial user namespace, whose ids the kernel reports. map: /proc/self/uid_map or gid_map.
 */
static uint32_t id_outside(const char *map, uint32_t here)
{
	FILE *f = fopen(map, "re");
	unsigned inside = 0, outside = 0;

	if (f == NULL || fscanf(f, "%u %u", &inside, &outside) != 2)
		outside = here;
	if (f != NULL)
		fclose(f);
	return outside;
}

static void fields(void)
{
	char text[1001], name[IF_NAMESIZE];
	struct ipq_options o = { .size = sizeof(o), .flags = IPQ_O_OWNER, .copy_range = 40 };
	struct ipq_queue *q;
	struct ipq_packet p;
	uint16_t type = 0;
	int64_t now;

	memset(text, 'x', 1000);
	text[1000] = '\0';
	want(ipq_queue_open(&q, "nfqueue:0", &o) == 0);
	sockets(7000);
	say(text);
	want(one(q, &p) && p.payload_len == 40 && p.full_len == 1028 && (p.flags & IPQ_PACKET_TRUNCATED));
	want((p.present & IPQ_HAS_UID) && p.uid == id_outside("/proc/self/uid_map", getuid()));
	want((p.present & IPQ_HAS_GID) && p.gid == id_outside("/proc/self/gid_map", getgid()));
	want(!(p.present & IPQ_HAS_TIMESTAMP) && !(p.present & IPQ_HAS_INDEV) &&
	     (p.present & IPQ_HAS_OUTDEV));
	snprintf(name, sizeof(name), "%s", ipq_queue_interface(q, p.outdev, &type));
	want(strcmp(name, "lo") == 0 && type == 772 && p.outdev == if_nametoindex("lo"));
	want(*ipq_queue_interface(q, 0x7ffffff0, NULL) == '\0');
	want(ipq_accept(q, &p) == 0 && ipq_queue_flush(q) == 0);
	want(strcmp(heard(), text) == 0); /* the text arrived completely */
	ipq_queue_close(q);

	q = open_with(IPQ_O_META_ONLY, 0);
	say(text);
	want(one(q, &p) && !(p.present & IPQ_HAS_PAYLOAD) && p.payload_len == 0 &&
	     !(p.flags & IPQ_PACKET_TRUNCATED));
	ipq_queue_close(q);

	q = open_with(IPQ_O_TIMESTAMP, 0);
	sockets(7200);
	usleep(100000); /* the kernel enables timestamps in a work queue (net/core/dev.c) */
	say("stamped");
	now = (int64_t)time(NULL) * 1000000000;
	want(one(q, &p) && p.hook == 1 && (p.present & IPQ_HAS_INDEV) && (p.present & IPQ_HAS_TIMESTAMP));
	want(p.timestamp > now - 5000000000 && p.timestamp < now + 5000000000);
	ipq_queue_close(q);
}

/* ---- counters --------------------------------------------------------------------------------------------
 */

static bool kernel_table(void)
{
	char text[80];
	FILE *f = fopen("/proc/thread-self/net/netfilter/nfnetlink_queue", "re");
	bool there = f != NULL && fgets(text, sizeof(text), f) != NULL;

	if (f != NULL)
		fclose(f);
	return there;
}

static void counts_add_up(void)
{
	struct ipq_queue *q = open_with(0, 32);
	struct ipq_packet p[64];
	struct ipq_stats s;
	int n;

	sockets(7000);
	say_numbers(100);
	n = ipq_queue_recv(q, p, 64, 2000);
	want(n == 32);
	for (int i = 0; i < n; i++)
		want((i < 10 ? ipq_drop : ipq_accept)(q, &p[i]) == 0);
	want(ipq_queue_flush(q) == 0);
	want(heard_in_all() == 22);
	s = stats_of(q);
	want(s.received == 32 && s.dropped == 10 && s.accepted == 22 && s.waiting == 0 && s.refused == 0 &&
	     s.lost == 0);
	if (kernel_table())
		want(s.queue_dropped == 68);
	s = (struct ipq_stats){ .size = offsetof(struct ipq_stats, dropped), .dropped = 4711 };
	want(ipq_queue_stats(q, &s) == 0 && s.accepted == 22 &&
	     /* an older program's structure is shorter: the member after it does not change */
	     s.dropped == 4711);
	ipq_queue_close(q);
}

static void overrun(void)
{
	struct ipq_options o = { .size = sizeof(o), .queue_length = 2000, .receive_buffer = 20000 };
	struct ipq_queue *q;
	struct ipq_packet p[64];
	struct ipq_stats s;
	int n;

	want(ipq_queue_open(&q, "nfqueue:0", &o) == 0);
	sockets(7000);
	say_numbers(500);
	while ((n = ipq_queue_recv(q, p, 64, 100)) > 0)
		for (int i = 0; i < n; i++)
			ipq_accept(q, &p[i]);
	want(n == 0);
	say("after"); /* this packet shows the gap in the ids */
	want(one(q, &p[0]) && ipq_accept(q, &p[0]) == 0 && ipq_queue_flush(q) == 0);
	s = stats_of(q);
	want(s.lost > 0 && s.received + s.lost == 501 && s.received == s.accepted);
	want(heard_in_all() == s.received);
	ipq_queue_close(q);
}

static void fail_open(void)
{
	struct ipq_queue *q = open_with(IPQ_O_FAIL_OPEN, 10);

	sockets(7000);
	say_numbers(50);
	want(heard_in_all() == 40);
	ipq_queue_close(q);
	want(*heard() == '\0');
}

static void packets_gone(void)
{
	struct ipq_queue *q = open_plain();
	struct ipq_packet p;

	sockets(7000);
	say("gone");
	want(one(q, &p));
	if (system("ip link set lo down && ip link set lo up") != 0)
		skip("lo cannot be set down here");
	want(ipq_accept(q, &p) == 0);
	want(ipq_queue_recv(q, &p, 1, 100) == 0); /* a refusal does not end the wait */
	want(stats_of(q).refused == 1);
	say("next");
	want(one(q, &p) && ipq_accept(q, &p) == 0 && ipq_queue_flush(q) == 0 && strcmp(heard(), "next") == 0);
	ipq_queue_close(q);
}

/* ---- groups ----------------------------------------------------------------------------------------------
 */

struct share {
	atomic_uint packets;
	atomic_int cpu;
	int fail_with;
};

static int accept_all(struct ipq_queue *q, struct ipq_packet *packet, unsigned n, void *context)
{
	struct share *s = context;
	int err = s->fail_with;

	for (unsigned i = 0; i < n && err == 0; i++)
		err = ipq_accept(q, &packet[i]);
	atomic_fetch_add(&s->packets, n);
	atomic_store(&s->cpu, sched_getcpu());
	return err;
}

static void group(void)
{
	struct share share[2] = { { .cpu = -1 }, { .cpu = -1 } };
	void *context[2] = { &share[0], &share[1] };
	struct ipq_group_options o = { .size = sizeof(o), .first = 2, .count = 2, .pin = 1, .batch = 16 };
	struct ipq_stats s = { .size = sizeof(s) };
	struct ipq_group *g;
	cpu_set_t allowed;

	sockets(7100);
	if (!want(ipq_group_start(&g, &o, accept_all, context) == 0))
		return;
	for (uint32_t i = 0; i < 400; i++) {
		struct sockaddr_in to = address(INADDR_LOOPBACK + i % 40, 7100);

		want(sendto(tx, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)) == 1);
		if (i % 100 == 99) /* a pause, so that the packets fit into the socket's buffer */
			want(heard_in_all() == 100);
	}
	want(share[0].packets > 0 && share[1].packets > 0 && share[0].packets + share[1].packets == 400);
	sched_getaffinity(0, sizeof(allowed), &allowed);
	want(CPU_COUNT(&allowed) < 2 || share[0].cpu != share[1].cpu);
	want(ipq_group_stats(g, &s) == 0 && s.received == 400 && s.accepted == 400 && s.waiting == 0 &&
	     s.lost == 0);
	want(ipq_group_stop(g) == 0);
	/* this shows that the queues are free again */
	want(ipq_group_start(&g, &o, accept_all, context) == 0 && ipq_group_stop(g) == 0);
}

static void group_ends(void)
{
	struct share share[2] = { { .fail_with = -EIO }, { .fail_with = -EIO } };
	void *context[2] = { &share[0], &share[1] };
	char text[320] = "";
	struct ipq_group_options o = {
		.size = sizeof(o), .first = 2, .count = 2, .error = text, .error_size = sizeof(text)
	};
	struct ipq_group *g = NULL;
	struct ipq_queue *q;

	sockets(7100);
	if (!want(ipq_group_start(&g, &o, accept_all, context) == 0))
		return;
	say("x");
	want(ipq_group_wait(g) == -EIO);
	want(ipq_group_stop(g) == -EIO);
	want(ipq_group_start(&g, &o, NULL, context) == -EINVAL && g == NULL);
	o.first = 65535;
	want(ipq_group_start(&g, &o, accept_all, context) == -EINVAL && g == NULL && *text != '\0');
	o.first = 2;
	want(ipq_queue_open(&q, "nfqueue:3", NULL) == 0);
	want(ipq_group_start(&g, &o, accept_all, context) == -EBUSY && g == NULL &&
	     strstr(text, "queue 3") != NULL);
	ipq_queue_close(q);
	want(ipq_queue_open(&q, "nfqueue:2", NULL) == 0); /* nothing was left behind */
	ipq_queue_close(q);
}

struct unsteady {
	atomic_uint calls, accepted, repeated;
	uint32_t last;
	bool fails; /* the handler fails in each call with more than one packet, in three ways */
	atomic_bool always;
};

/* A handler that fails after half of the packets. Only the other packets must be passed to it again, in order. */
static int accept_half(struct ipq_queue *q, struct ipq_packet *packet, unsigned n, void *context)
{
	struct unsteady *u = context;
	unsigned calls = atomic_fetch_add(&u->calls, 1), half = u->fails && n > 1 ? n / 2 : n;

	if (u->always)
		return -EIO;
	for (unsigned i = 0; i < half; i++) {
		atomic_fetch_add(&u->repeated, packet[i].id != ++u->last);
		atomic_fetch_add(&u->accepted, ipq_accept(q, &packet[i]) == 0);
	}
	if (half == n)
		return 0;
	if (calls % 3 == 0)
		return -EIO;
	if (calls % 3 == 1)
		pthread_exit(NULL);
	pthread_cancel(pthread_self());
	pthread_testcancel();
	return 0;
}

static void group_restarts(void)
{
	struct unsteady share[2] = { { .fails = true }, { .fails = false } };
	void *context[2] = { &share[0], &share[1] };
	struct ipq_group_options o = { .size = sizeof(o), .first = 2, .count = 2, .restarts = 10 };
	struct ipq_stats s = { .size = sizeof(s) };
	struct ipq_group *g;

	sockets(7100);
	if (!want(ipq_group_start(&g, &o, accept_half, context) == 0))
		return;
	for (uint32_t i = 0; i < 2000; i++) {
		struct sockaddr_in to = address(INADDR_LOOPBACK + i % 40, 7100);

		want(sendto(tx, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)) == 1);
		if (i % 100 == 99)
			want(heard_in_all() == 100);
	}
	want(share[0].accepted + share[1].accepted == 2000 && share[0].repeated == 0 &&
	     share[1].repeated == 0);
	want(share[0].calls > 1 && share[1].accepted > 0);
	want(ipq_group_stats(g, &s) == 0 && s.received == 2000 && s.accepted == 2000 && s.waiting == 0);
	share[0].always = share[1].always = true;
	say("x"); /* 11 failures in a row are too many */
	want(ipq_group_wait(g) == -EIO);
	want(ipq_group_stop(g) == -EIO);
}
