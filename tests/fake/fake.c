// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/netfilter.h>
#include <sys/eventfd.h>
#include "fake.h"
#include "source/links.h"

struct fake_packet {
	struct ipq_packet packet;
	struct fake_packet *next;
	unsigned char payload[];
};

/* ---- interfaces: replaces links_get() in tests (-Wl,--wrap=links_get) -------------------------- */

static struct {
	char name[IFNAMSIZ];
	uint16_t type;
} interfaces[32];
static uint32_t interface_count;

void __wrap_links_get(struct links *links, uint32_t index, char name[IFNAMSIZ], uint16_t *type);
void __wrap_links_get(struct links *links, uint32_t index, char name[IFNAMSIZ], uint16_t *type)
{
	(void)links;
	memset(name, 0, IFNAMSIZ);
	*type = 0;
	if (index == 0 || index > interface_count)
		return;
	memcpy(name, interfaces[index - 1].name, IFNAMSIZ);
	*type = interfaces[index - 1].type;
}

uint32_t fake_interface(const char *name, uint16_t type)
{
	uint32_t i;

	for (i = 0; i < interface_count; i++)
		if (strcmp(interfaces[i].name, name) == 0 && interfaces[i].type == type)
			return i + 1;
	if (i == sizeof(interfaces) / sizeof(interfaces[0]) || strlen(name) >= IFNAMSIZ)
		abort();
	strcpy(interfaces[i].name, name);
	interfaces[i].type = type;
	return ++interface_count;
}

void fake_rename(uint32_t interface, const char *name)
{
	strcpy(interfaces[interface - 1].name, name);
}

/* ---- packets and verdicts --------------------------------------------------------------------- */

static void ring(struct fake *f)
{
	static const uint64_t one = 1;
	uint64_t count;

	if (f->event < 0)
		return;
	if (f->packets != NULL || f->refusals > 0 || f->end) {
		if (write(f->event, &one, sizeof(one)) < 0)
			abort();
	} else if (read(f->event, &count, sizeof(count)) < 0 && errno != EAGAIN) {
		abort();
	}
}

uint32_t fake_push(struct fake *f, const struct ipq_packet *p, const void *payload, size_t len)
{
	struct fake_packet *n = malloc(sizeof(*n) + len), **end = &f->packets;

	if (n == NULL)
		abort();
	n->packet = *p;
	n->packet.id = f->next_id++;
	n->packet.payload = n->payload;
	n->packet.payload_len = (uint32_t)len;
	if (n->packet.full_len < len)
		n->packet.full_len = (uint32_t)len;
	if (payload != NULL)
		n->packet.present |= IPQ_HAS_PAYLOAD;
	n->next = NULL;
	if (len > 0)
		memcpy(n->payload, payload, len);
	while (*end != NULL)
		end = &(*end)->next;
	*end = n;
	ring(f);
	return n->packet.id;
}

uint32_t fake_push_plain(struct fake *f, uint8_t family, size_t len)
{
	struct ipq_packet p = { .family = family, .hook = 1, .hw_protocol = family == 2 ? 0x0800 : 0x86dd };
	unsigned char *payload = malloc(len + 1);
	uint32_t id;
	size_t i;

	if (payload == NULL)
		abort();
	for (i = 0; i < len; i++)
		payload[i] = (unsigned char)i;
	id = fake_push(f, &p, payload, len);
	free(payload);
	return id;
}

void fake_forget(struct fake *f, uint32_t interface)
{
	struct fake_packet **p = &f->waiting, *gone;

	while ((gone = *p) != NULL)
		if (gone->packet.indev == interface || gone->packet.outdev == interface) {
			*p = gone->next;
			free(gone);
		} else {
			p = &gone->next;
		}
}

size_t fake_waiting(const struct fake *f)
{
	const struct fake_packet *p;
	size_t n = 0;

	for (p = f->waiting; p != NULL; p = p->next)
		n++;
	return n;
}

struct fake_verdict *fake_verdict(struct fake *f)
{
	struct fake_verdict *v = f->verdicts;

	if (v != NULL)
		f->verdicts = v->next;
	return v;
}

void fake_verdict_free(struct fake_verdict *v)
{
	if (v != NULL)
		free(v->payload);
	free(v);
}

void fake_end(struct fake *f)
{
	f->end = true;
	ring(f);
}

void fake_repeats(struct fake *f)
{
	f->repeats = true;
}

static struct fake_verdict *judge(struct fake_packet *p, const struct source_verdict *s)
{
	struct fake_verdict *v = calloc(1, sizeof(*v));

	if (v == NULL)
		abort();
	v->id = p->packet.id;
	v->given = *s;
	v->given.payload = NULL;
	v->code = s->code;
	v->tag = s->tag;
	v->mark = s->mark;
	v->replaced = (s->present & IPQ_SET_PAYLOAD) != 0;
	v->payload_len = v->replaced ? s->payload_len : p->packet.payload_len;
	v->payload = malloc(v->payload_len + 1);
	if (v->payload == NULL)
		abort();
	memcpy(v->payload, v->replaced ? s->payload : p->payload, v->payload_len);
	return v;
}

/* ---- the functions of a source ---------------------------------------------------------------- */

static void op_close(struct source *s)
{
	struct fake *f = (struct fake *)s;

	f->closed = true;
	if (f->closed_is_freed)
		fake_free(f);
}

static int op_configure(struct source *s, const struct source_config *config, struct ipq_error *e)
{
	struct fake *f = (struct fake *)s;
	int err = f->configure_error;

	f->configure_error = 0;
	if (err != 0)
		return ipq_fail(e, err, "injected by the test");
	f->config = *config;
	f->configured++;
	return (int)config->flags;
}

static int op_fd(const struct source *s)
{
	return ((const struct fake *)s)->event;
}

static int op_recv(struct source *s, const struct iovec *slot, struct ipq_packet *packet, unsigned max,
		   int timeout_ms, source_refused refused, void *context)
{
	struct fake *f = (struct fake *)s;
	void (*meanwhile)(void *context) = f->meanwhile;
	unsigned n, refusal_reported;

	f->timeout_ms = timeout_ms;
	f->receives++;
	f->meanwhile = NULL;
	if (meanwhile != NULL)
		meanwhile(f->context);
	for (refusal_reported = 0; refusal_reported < f->refusals; refusal_reported++)
		refused(context, &f->refusal[refusal_reported]);
	f->refusals = 0;
	for (n = 0; n < max && f->packets != NULL; n++) {
		struct fake_packet *p = f->packets;

		if (p->packet.payload_len > slot[n].iov_len)
			abort();
		f->packets = p->next;
		p->next = f->waiting;
		f->waiting = p;
		packet[n] = p->packet;
		packet[n].payload = slot[n].iov_base;
		memcpy(slot[n].iov_base, p->payload, p->packet.payload_len);
	}
	if (n == 0 && refusal_reported == 0 && f->end)
		return f->end_error != 0 ? -f->end_error : -ENODATA;
	ring(f);
	return (int)n;
}

void fake_receive(struct fake *f, struct ipq_packet *packet)
{
	static unsigned char buf[SOURCE_SLOT_SIZE];
	const struct iovec slot = { buf, sizeof(buf) };

	if (op_recv(&f->source, &slot, packet, 1, 0, NULL, NULL) != 1)
		abort();
}

static void refuse(struct fake *f, const struct source_verdict *v, int error)
{
	if (f->refusals == sizeof(f->refusal) / sizeof(f->refusal[0]))
		abort();
	f->refused++;
	f->refusal[f->refusals++] =
		(struct source_refusal){ .error = error, .id = v->id, .code = v->code, .tag = v->tag };
}

/*
 * Finds the packet of a verdict; for a batch verdict, the oldest packet that the verdict covers. Returns the link
 * that points to the packet.
 */
static struct fake_packet **find_waiting(struct fake *f, const struct source_verdict *v)
{
	struct fake_packet **p = &f->waiting, **found = NULL;

	while (!v->batch && *p != NULL && (*p)->packet.id != v->id)
		p = &(*p)->next;
	if (!v->batch)
		return *p != NULL ? p : NULL;
	for (; *p != NULL; p = &(*p)->next)
		if ((int32_t)((*p)->packet.id - v->id) <= 0 &&
		    (found == NULL || (int32_t)((*p)->packet.id - (*found)->packet.id) < 0))
			found = p;
	return found;
}

static int op_send(struct source *s, const struct source_verdict *verdict, unsigned n)
{
	struct fake *f = (struct fake *)s;
	struct fake_verdict **end = &f->verdicts;
	int err = f->send_error;
	unsigned i;

	f->send_error = 0;
	if (err != 0)
		return -err;
	f->sends++;
	if (f->send_most > 0 && n > f->send_most)
		n = f->send_most;
	while (*end != NULL)
		end = &(*end)->next;
	for (i = 0; i < n; i++) {
		struct fake_packet **p = find_waiting(f, &verdict[i]), *found;

		/* NF_STOLEN is refused, as by the current kernel */
		if (p == NULL || verdict[i].code == NF_STOLEN) {
			refuse(f, &verdict[i], p == NULL ? ENOENT : EINVAL);
			continue;
		}
		found = *p;
		*end = judge(found, &verdict[i]);
		end = &(*end)->next;
		*p = found->next;
		if (f->repeats && (verdict[i].code == NF_REPEAT || verdict[i].code == NF_QUEUE))
			fake_push(f, &found->packet, found->payload, found->packet.payload_len);
		free(found);
		if (verdict[i].batch && find_waiting(f, &verdict[i]) != NULL)
			i--;
	}
	ring(f);
	return (int)n;
}

static int op_counts(struct source *s, struct source_counts *counts)
{
	*counts = ((struct fake *)s)->counts;
	counts->waiting = fake_waiting((struct fake *)s);
	return 0;
}

static int op_wake(struct source *s)
{
	(void)s;
	return 0;
}

static const char *op_error(const struct source *s)
{
	(void)s;
	return "injected by the test";
}

#define OPS                                                                                         \
	.name = "fake", .close = op_close, .configure = op_configure, .fd = op_fd, .recv = op_recv, \
	.send = op_send, .counts = op_counts, .wake = op_wake, .error = op_error

struct source *fake_source(struct fake *f)
{
	static const struct source_ops live = { OPS }, lossless = { OPS, .lossless = true };

	f->source.ops = f->lossless ? &lossless : &live;
	return &f->source;
}

struct fake *fake_new(bool with_descriptor)
{
	struct fake *f = calloc(1, sizeof(*f));

	if (f == NULL)
		abort();
	f->source.links = (struct links *)f; /* a value that is never dereferenced: see __wrap_links_get */
	f->event = with_descriptor ? eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) : -1;
	f->next_id = 0x20000001;
	return f;
}

static void free_packets(struct fake_packet *p)
{
	struct fake_packet *next;

	for (; p != NULL; p = next) {
		next = p->next;
		free(p);
	}
}

void fake_free(struct fake *f)
{
	struct fake_verdict *v;

	free_packets(f->packets);
	free_packets(f->waiting);
	while ((v = fake_verdict(f)) != NULL)
		fake_verdict_free(v);
	if (f->event >= 0)
		close(f->event);
	free(f);
}
