// SPDX-License-Identifier: LGPL-2.1-or-later
/* Part of newapi.c: connection tracking, bridged frames, and verdicts in random order against the kernel. */

/*
 * ---- connections: conntrack.sh has set a rule because of which the kernel tracks the namespace's connections ----
 */

static uint16_t bound_port(int fd)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	getsockname(fd, (struct sockaddr *)&a, &len);
	return ntohs(a.sin_port);
}

static struct ipq_conntrack entry_of(const struct ipq_packet *p, uint32_t info)
{
	struct ipq_conntrack ct = { .size = sizeof(ct) };

	want((p->present & IPQ_HAS_CONNTRACK) && (p->present & IPQ_HAS_CONNTRACK_INFO));
	want(p->conntrack_info == info);
	want(ipq_packet_conntrack(p, &ct) == 0);
	want((ct.present & IPQ_CT_HAS_ID) && (ct.present & IPQ_CT_HAS_STATUS) && ct.id != 0);
	return ct;
}

static bool is_tuple(const struct ipq_tuple *t, uint16_t from, uint16_t to)
{
	static const uint8_t here[] = { 127, 0, 0, 1 };

	return t->family == AF_INET && t->protocol == IPPROTO_UDP && t->source_port == from &&
	       t->destination_port == to && memcmp(t->source, here, 4) == 0 &&
	       memcmp(t->destination, here, 4) == 0;
}

/*
 * Sends the text, checks the packet's conntrack entry, accepts the packet with v, and waits until it has arrived.
 */
static struct ipq_conntrack pass(struct ipq_queue *q, const char *text, uint32_t info, struct ipq_verdict v)
{
	struct ipq_conntrack ct = { 0 };
	struct ipq_packet p;

	v.size = sizeof(v);
	v.code = IPQ_ACCEPT;
	say(text);
	if (!one(q, &p))
		return ct;
	ct = entry_of(&p, info);
	want(is_text(&p, text));
	want(ipq_decide(q, &p, &v) == 0 && ipq_queue_flush(q) == 0);
	want(strcmp(heard(), text) == 0);
	return ct;
}

#define STATUS_SEEN_REPLY (1 << 1) /* values of IPS_* and IP_CT_* in linux/netfilter/nf_conntrack_common.h */
enum { ESTABLISHED = 0, NEW = 2, ESTABLISHED_REPLY = 3 };

static void reply_to_it(struct ipq_queue *q, uint32_t id)
{
	struct sockaddr_in to = address(INADDR_LOOPBACK, bound_port(tx));
	struct ipq_conntrack ct;
	struct ipq_packet p;

	want(sendto(rx, "answer", 6, 0, (struct sockaddr *)&to, sizeof(to)) == 6);
	if (!one(q, &p))
		return;
	ct = entry_of(&p, ESTABLISHED_REPLY);
	want(ct.id == id && (ct.status & STATUS_SEEN_REPLY));
	/* the direction of the first packet has not changed */
	want(is_tuple(&ct.original, bound_port(tx), 7000));
	want(ipq_accept(q, &p) == 0 && ipq_queue_flush(q) == 0);
}

static void connections(void)
{
	/* send from this port, so that answers are queued, too */
	struct sockaddr_in from = address(INADDR_LOOPBACK, 7050);
	struct ipq_verdict mark = { .present = IPQ_SET_CONNTRACK_MARK }, plain = { 0 };
	struct ipq_verdict labels = { .present = IPQ_SET_CONNTRACK_LABELS, .conntrack_labels = { 0, 0x80 } };
	struct ipq_conntrack ct;
	struct ipq_options o = { .size = sizeof(o), .flags = IPQ_O_CONNTRACK };
	struct ipq_queue *q;
	char text[320];
	uint32_t id;
	int err = open_error(NULL, &o, text);

	if (err == -EOPNOTSUPP)
		skip(text);
	if (!want(err == 0))
		return;
	q = open_with(IPQ_O_CONNTRACK, 0);
	sockets(7000);
	close(tx);
	tx = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	want(bind(tx, (struct sockaddr *)&from, sizeof(from)) == 0);
	from.sin_port = htons(7000);
	want(connect(tx, (struct sockaddr *)&from, sizeof(from)) == 0);

	mark.conntrack_mark = 0x1005a; /* bits outside the mask are ignored */
	mark.conntrack_mark_mask = 0xff;
	ct = pass(q, "first", NEW, mark);
	id = ct.id;
	want((ct.present & IPQ_CT_HAS_ORIGINAL) && is_tuple(&ct.original, 7050, 7000));
	want((ct.present & IPQ_CT_HAS_REPLY) && is_tuple(&ct.reply, 7000, 7050));
	want(!(ct.status & STATUS_SEEN_REPLY) && (!(ct.present & IPQ_CT_HAS_MARK) || ct.mark == 0));
	mark.conntrack_mark = 0x300;
	mark.conntrack_mark_mask = 0xff00;
	ct = pass(q, "second", NEW, mark);
	want(ct.id == id && (ct.present & IPQ_CT_HAS_MARK) && ct.mark == 0x5a);
	want((ct.present & IPQ_CT_HAS_TIMEOUT) && ct.timeout > 0 && ct.timeout <= 300);
	reply_to_it(q, id);
	ct = pass(q, "third", ESTABLISHED, labels);
	want(ct.id == id && ct.mark == 0x35a && (ct.status & STATUS_SEEN_REPLY));
	ct = pass(q, "fourth", ESTABLISHED, plain);
	if (getenv("IPQ_LABELS") != NULL)
		want((ct.present & IPQ_CT_HAS_LABELS) && memcmp(ct.labels, labels.conntrack_labels, 16) == 0);
	want(stats_of(q).refused == 0);
	ipq_queue_close(q);
}

/* A queue without IPQ_O_CONNTRACK rejects a conntrack mark, which the kernel would ignore. */
static void untracked(void)
{
	struct ipq_verdict v = { .size = sizeof(v), .present = IPQ_SET_CONNTRACK_MARK, .code = IPQ_ACCEPT };
	struct ipq_conntrack ct = { .size = sizeof(ct) };
	struct ipq_queue *q = open_plain();
	struct ipq_packet p;

	sockets(7000);
	say("untracked");
	want(one(q, &p) && !(p.present & IPQ_HAS_CONNTRACK) && ipq_packet_conntrack(&p, &ct) == -ENODATA);
	want(ipq_decide(q, &p, &v) == -EOPNOTSUPP && strstr(ipq_queue_error(q), "IPQ_O_CONNTRACK") != NULL);
	v.present = IPQ_SET_CONNTRACK_LABELS;
	want(ipq_decide(q, &p, &v) == -EOPNOTSUPP);
	v.present = IPQ_SET_VLAN;
	want(ipq_decide(q, &p, &v) == -EOPNOTSUPP && strstr(ipq_queue_error(q), "VLAN") != NULL);
	want(ipq_accept(q, &p) == 0 && ipq_queue_flush(q) == 0 && strcmp(heard(), "untracked") == 0);
	ipq_queue_close(q);
}

/*
 * ---- origin of packets: origin.sh has put this process into a class of net_cls, or marks packets with a context
 * ----
 */

static void class_of_sender(void)
{
	struct ipq_queue *q = open_plain();
	struct ipq_packet p;

	sockets(7000);
	say("of a class");
	want(one(q, &p) && (p.present & IPQ_HAS_CGROUP) && p.cgroup == 0x100001);
	want(ipq_accept(q, &p) == 0 && ipq_queue_flush(q) == 0 && strcmp(heard(), "of a class") == 0);
	ipq_queue_close(q);
}

static void security_context(void)
{
	static const char expected[] = "unconfined";
	struct ipq_queue *q = open_number(NULL, IPQ_O_SECURITY_CONTEXT, 0);
	struct ipq_packet p;

	sockets(7000);
	say("with a context");
	want(one(q, &p) && (p.present & IPQ_HAS_SECURITY_CONTEXT));
	want(p.security_context_len == strlen(expected) &&
	     memcmp(p.security_context, expected, strlen(expected)) == 0);
	want(ipq_accept(q, &p) == 0 && ipq_queue_flush(q) == 0 && strcmp(heard(), "with a context") == 0);
	ipq_queue_close(q);
}

/*
 * ---- a bridge: bridge.sh has set up a path for frames from "left" to "right", over the ports "in" and "out" -----
 */

static int frame_socket(const char *device)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ALL),
				  .sll_ifindex = (int)if_nametoindex(device) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)), on = 1;

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) < 0) {
		perror(device);
		exit(2);
	}
	return fd;
}

static const uint8_t left_address[6] = { 2, 0, 0, 0, 0, 0xa }, right_address[6] = { 2, 0, 0, 0, 0, 0xb };

/* Makes a frame: Ethernet header, a VLAN tag unless tci is 0, IPv4, UDP, the text "tagged". */
static size_t make_frame(uint8_t *f, uint16_t tci)
{
	static const uint8_t ip[] = { 0x45, 0, 0,  34, 0, 0, 0,	   0,	 64,   17,   0, 0,  10, 0,
				      0,    1, 10, 0,  0, 2, 0x1b, 0x58, 0x1b, 0x58, 0, 14, 0,	0 };
	size_t at = 12;

	memcpy(f, right_address, 6);
	memcpy(f + 6, left_address, 6);
	if (tci != 0) {
		memcpy(f + at, (uint8_t[]){ 0x81, 0, (uint8_t)(tci >> 8), (uint8_t)tci }, 4);
		at += 4;
	}
	memcpy(f + at, (uint8_t[]){ 8, 0 }, 2);
	at += 2;
	memcpy(f + at, ip, sizeof(ip));
	memcpy(f + at + sizeof(ip), "tagged", 6);
	want(ipq_checksum_complete(f + at, sizeof(ip) + 6) == 0);
	return at + sizeof(ip) + 6;
}

/* Receives the next frame from the left address, with its tag separately; 0: none arrived. */
static size_t frame_heard(int fd, uint8_t *f, size_t room, struct tpacket_auxdata *tag)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	_Alignas(struct cmsghdr) char control[256];

	while (poll(&wait, 1, 500) > 0) {
		struct iovec iov = { f, room };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control,
				      .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(fd, &msg, 0);

		if (n < 14 || memcmp(f + 6, left_address, 6) != 0)
			continue;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c))
			if (c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA)
				memcpy(tag, CMSG_DATA(c), sizeof(*tag));
		return (size_t)n;
	}
	return 0;
}

static bool is_interface(struct ipq_queue *q, uint32_t index, const char *name)
{
	uint16_t type = 0;

	return strcmp(ipq_queue_interface(q, index, &type), name) == 0 && type == 1;
}

static void check_ports(struct ipq_queue *q, const struct ipq_packet *p)
{
	want((p->present & IPQ_HAS_HWADDR) && p->hw_addr_len == 6 &&
	     memcmp(p->hw_addr, left_address, 6) == 0);
	want((p->present & IPQ_HAS_INDEV) && is_interface(q, p->indev, "bridge"));
	want((p->present & IPQ_HAS_OUTDEV) && is_interface(q, p->outdev, "bridge"));
	want((p->present & IPQ_HAS_PHYSINDEV) && is_interface(q, p->physindev, "in"));
	want((p->present & IPQ_HAS_PHYSOUTDEV) && is_interface(q, p->physoutdev, "out"));
}

struct bridge {
	struct ipq_queue *q;
	int left, right;
	uint8_t frame[256]; /* the frame that was sent */
	size_t len;
};

static struct bridge open_bridge(void)
{
	return (struct bridge){ .q = open_number("nfqueue:5", 0, 0),
				.left = frame_socket("left"),
				.right = frame_socket("right") };
}

static void close_bridge(struct bridge *b)
{
	ipq_queue_close(b->q);
	close(b->left);
	close(b->right);
}

/* Sends a frame. True if it was queued. */
static bool frame_said(struct bridge *b, uint16_t tci, struct ipq_packet *p)
{
	b->len = make_frame(b->frame, tci);
	want(send(b->left, b->frame, b->len, 0) == (ssize_t)b->len);
	return one(b->q, p);
}

/* A rule of iptables queues the packets of the bridge. */
static void ports(void)
{
	struct bridge b = open_bridge();
	struct tpacket_auxdata tag = { 0 };
	struct ipq_packet p;

	if (!frame_said(&b, 0, &p))
		return;
	want(p.family == AF_INET && p.hook == 2 && !(p.present & (IPQ_HAS_VLAN | IPQ_HAS_LINK_HEADER)));
	check_ports(b.q, &p);
	want(ipq_accept(b.q, &p) == 0 && ipq_queue_flush(b.q) == 0);
	want(frame_heard(b.right, b.frame, sizeof(b.frame), &tag) == b.len);
	close_bridge(&b);
}

/* A rule of the bridge family queues the frames. */
static void bridged(void)
{
	struct ipq_verdict v = { .present = IPQ_SET_VLAN | IPQ_SET_PAYLOAD, .code = IPQ_ACCEPT };
	struct tpacket_auxdata tag = { 0 };
	struct bridge b = open_bridge();
	uint8_t *frame = b.frame;
	struct ipq_packet p;
	struct ipq_edit e;
	size_t len;

	if (!frame_said(&b, 0x6064, &p))
		return;
	want(p.family == AF_BRIDGE && p.hook == 2 && p.hw_protocol == ETH_P_IP);
	want((p.present & IPQ_HAS_VLAN) && p.vlan_proto == 0x8100 && p.vlan_tci == 0x6064);
	want((p.present & IPQ_HAS_LINK_HEADER) && p.link_header_len == 14);
	/* the frame without its tag, whose values are in other members */
	want(memcmp(p.link_header, frame, 12) == 0);
	check_ports(b.q, &p);
	want(p.payload_len == 34 && p.full_len == 34 && memcmp(p.payload, frame + 18, 34) == 0);

	v.size = sizeof(v);
	v.vlan_proto = 0x88a8;
	v.vlan_tci = 0x20c8;
	want(ipq_edit_begin(&e, p.payload, p.payload_len, p.payload_len, p.flags) == 0);
	want(ipq_edit_replace(&e, 0, 6, "TAGGED", 6) == 0);
	v.payload = e.data;
	v.payload_len = e.len;
	want(ipq_decide(b.q, &p, &v) == 0 && ipq_queue_flush(b.q) == 0);
	len = frame_heard(b.right, frame, sizeof(b.frame), &tag);
	if (len == 52) { /* the device may have put the tag into the frame */
		tag.tp_vlan_tpid = (uint16_t)(frame[12] << 8 | frame[13]);
		tag.tp_vlan_tci = (uint16_t)(frame[14] << 8 | frame[15]);
	}
	want(len == 48 || len == 52);
	want(tag.tp_vlan_tci == 0x20c8 && tag.tp_vlan_tpid == 0x88a8);
	want(len > 34 && memcmp(frame + len - 6, "TAGGED", 6) == 0);
	want(ipq_checksum_verify(frame + len - 34, 34) == 0);
	want(stats_of(b.q).refused == 0 && stats_of(b.q).replaced == 1);
	close_bridge(&b);
}

/* ---- verdicts at random ---------------------------------------------------------------------------------
 */

#define IN_FLIGHT 200
#define ROUND 1500
#define PENDING_LIMIT 300

struct storm {
	struct ipq_queue *q;
	struct ipq_packet *kept[IN_FLIGHT]; /* packets that are not decided, the oldest first */
	unsigned number[IN_FLIGHT], waiting;
	/* texts that must arrive, in this order, when the verdicts are sent */
	char due[PENDING_LIMIT + 1][16];
	unsigned due_count, said, received, accepted, dropped, other;
};

static void storm_receive(struct storm *s)
{
	unsigned room = IN_FLIGHT - s->waiting, n = 1 + (unsigned)random() % 20;
	struct ipq_packet p[20];
	char text[16];
	int got;

	if (n > room || s->said + n > ROUND)
		return;
	for (unsigned i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "r%u", s->said++);
		say(text);
	}
	while (s->received < s->said && (got = ipq_queue_recv(s->q, p, 20, 2000)) > 0)
		for (int i = 0; i < got; i++) {
			s->number[s->waiting] = s->received++;
			s->kept[s->waiting++] = ipq_packet_keep(&p[i]);
		}
	want(s->received == s->said);
}

static void storm_due(struct storm *s, unsigned number, char letter)
{
	snprintf(s->due[s->due_count++], sizeof(s->due[0]), "%c%u", letter, number);
}

/* Gives packet `at` one kind of verdict and records the expected result. */
static void storm_decide(struct storm *s, unsigned at, unsigned kind)
{
	struct ipq_verdict v = { .size = sizeof(v), .present = IPQ_SET_MARK, .code = IPQ_ACCEPT, .mark = 42 };
	struct ipq_packet *p = s->kept[at];
	unsigned number = s->number[at];

	switch (kind) {
	case 0:
		want(ipq_drop(s->q, p) == 0);
		s->dropped++;
		break;
	case 1: /* the rule for mark 42 drops the packet */
		want(ipq_decide(s->q, p, &v) == 0);
		s->accepted++;
		break;
	case 2:
		p->payload[28] = 'X';
		want(ipq_replace(s->q, p, p->payload, p->payload_len) == 0);
		storm_due(s, number, 'X');
		s->accepted++;
		break;
	case 3:
		v.present = 0;
		v.code = IPQ_STOP;
		want(ipq_decide(s->q, p, &v) == 0);
		storm_due(s, number, 'r');
		s->other++;
		break;
	default:
		want(ipq_accept(s->q, p) == 0);
		storm_due(s, number, 'r');
		s->accepted++;
	}
	ipq_packet_free(p);
	s->waiting--;
	memmove(s->kept + at, s->kept + at + 1, (s->waiting - at) * sizeof(s->kept[0]));
	memmove(s->number + at, s->number + at + 1, (s->waiting - at) * sizeof(s->number[0]));
}

/* Gives runs of equal verdicts, from the oldest packet on, which may be coalesced; and then other verdicts. */
static void storm_verdicts(struct storm *s)
{
	unsigned n = 1 + (unsigned)random() % 40, kind = (unsigned)random() % 8;
	bool in_order = random() % 2 == 0;

	while (n-- > 0 && s->waiting > 0 && s->due_count < PENDING_LIMIT) {
		storm_decide(s, in_order ? 0 : (unsigned)random() % s->waiting, kind);
		if (random() % 6 == 0)
			kind = (unsigned)random() % 8;
	}
}

/* Checks that exactly the expected texts arrived, in order. */
static void storm_settle(struct storm *s)
{
	struct ipq_stats now;

	want(ipq_queue_flush(s->q) == 0);
	for (unsigned i = 0; i < s->due_count; i++) {
		const char *text = heard();

		if (strcmp(text, s->due[i]) != 0) {
			printf("expected %s, heard %s\n", s->due[i], text);
			failures++;
			break;
		}
	}
	s->due_count = 0;
	want(recv(rx, (char[1]){ 0 }, 1, 0) < 0 && errno == EAGAIN);
	now = stats_of(s->q);
	want(now.accepted == s->accepted && now.dropped == s->dropped && now.other == s->other);
	want(now.waiting == s->waiting && now.refused == 0 && now.lost == 0 && now.malformed == 0);
}

static void storm_of(unsigned seed)
{
	struct storm s = { .q = open_plain() };

	printf("seed %u\n", seed);
	srandom(seed);
	sockets(7000);
	while (failures == 0 && (s.said + 20 < ROUND || s.waiting > 0)) {
		if (s.said + 20 < ROUND)
			storm_receive(&s);
		storm_verdicts(&s);
		if (random() % 3 == 0 || s.due_count >= PENDING_LIMIT)
			storm_settle(&s);
	}
	storm_settle(&s);
	want(s.received > ROUND / 2 && s.accepted > 0 && s.dropped > 0 && s.other > 0);
	while (s.waiting > 0)
		ipq_packet_free(s.kept[--s.waiting]);
	ipq_queue_close(s.q);
}

/* IPQ_SEED repeats one round of an earlier run. */
static void random_verdicts(void)
{
	const char *given = getenv("IPQ_SEED");

	if (given != NULL)
		storm_of((unsigned)strtoul(given, NULL, 10));
	for (unsigned i = 0; given == NULL && failures == 0 && i < 5; i++)
		storm_of(i < 3 ? i : (unsigned)time(NULL) * 2 + i);
}

/* ---- spinning -------------------------------------------------------------------------------------------
 */

static int64_t cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A reader that spins must stop spinning if no packets arrive, or if they arrive too rarely. */
static void spinning(void)
{
	struct ipq_options o = { .size = sizeof(o), .spin_usec = 5000 };
	struct ipq_queue *q;
	struct ipq_packet p;
	pthread_t t;
	uint64_t before = 0;
	int64_t cpu;

	want(ipq_queue_open(&q, "nfqueue:0", &o) == 0);
	sockets(7000);
	cpu = cpu_ms();
	want(ipq_queue_recv(q, &p, 1, 1000) == 0);
	want(cpu_ms() - cpu < 200);
	for (int i = 0; i < 30; i++) { /* the packets are 50 ms apart */
		if (i == 20)
			before = stats_of(q).receives;
		pthread_create(&t, NULL, say_later, (void *)"rare");
		want(ipq_queue_recv(q, &p, 1, IPQ_FOREVER) == 1 && ipq_accept(q, &p) == 0);
		pthread_join(t, NULL);
	}
	/*
	 * The reader has stopped spinning: each of the last ten packets takes one receive, or two if an
	 * acknowledgement came first.
	 */
	want(stats_of(q).receives - before <= 20);
	for (int i = 0; i < 3; i++) { /* the reader spins again after the first packet that arrives soon */
		say("soon");
		want(ipq_queue_recv(q, &p, 1, IPQ_FOREVER) == 1 && ipq_accept(q, &p) == 0);
	}
	before = stats_of(q).receives;
	want(ipq_queue_recv(q, &p, 1, 20) == 0);
	want(stats_of(q).receives - before > 2);
	ipq_queue_close(q);
}
