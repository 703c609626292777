/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Queue. Packets are received in batches; iteration returns them one by one. Verdicts are sent together, but if the
 * program is slow they are sent immediately: see queue_send_if_due().
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "binding.h"

PyTypeObject *queue_type, *stats_type, *flow_stats_type;

/*
 * The longest wait in one piece. Python runs its signal handlers only between waits: a signal just before a wait is
 * noticed after it.
 */
#define WAIT_MS 500
#define HELD_BACK_NS 1000000 /* maximum time that a verdict waits for others while the program makes calls */

/* A verdict from another thread, given while the queue was waiting. */
struct late_verdict {
	struct late_verdict *next;
	struct ipq_packet *packet; /* a copy, because the packet's object may be deleted in the meantime */
	struct ipq_verdict verdict;
	unsigned char payload[];
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static PyObject *raise_error(struct queue_object *self, int err)
{
	return raise_errno(err, ipq_queue_error(self->queue));
}

/* Checks that no other thread uses the queue. False with an exception set. */
static bool usable(struct queue_object *self)
{
	if (self->queue == NULL || self->closing)
		PyErr_SetString(PyExc_ValueError, "the queue is closed");
	else if (self->owner != getpid())
		PyErr_SetString(PyExc_RuntimeError,
				"the queue belongs to the parent process: open one after fork");
	else if (self->receiving)
		PyErr_SetString(PyExc_RuntimeError,
				"another thread waits for packets of this queue: call wake() first");
	else
		return true;
	return false;
}

/* ---- verdicts ----------------------------------------------------------------------------------- */

static int store_late(struct queue_object *self, const struct ipq_packet *packet,
		      const struct ipq_verdict *verdict)
{
	size_t len = verdict->present & IPQ_SET_PAYLOAD ? verdict->payload_len : 0;
	struct late_verdict *l = malloc(sizeof(*l) + len);
	struct ipq_packet *copy = ipq_packet_keep(packet);

	if (l == NULL || copy == NULL) {
		free(l);
		ipq_packet_free(copy);
		PyErr_NoMemory();
		return -1;
	}
	l->next = NULL;
	l->packet = copy;
	l->verdict = *verdict;
	if (len > 0) {
		memcpy(l->payload, verdict->payload, len);
		l->verdict.payload = l->payload;
	}
	*self->late_end = l;
	self->late_end = &l->next;
	ipq_queue_wake(self->queue);
	return 0;
}

static void free_late(struct queue_object *self)
{
	while (self->late != NULL) {
		struct late_verdict *l = self->late;

		self->late = l->next;
		ipq_packet_free(l->packet);
		free(l);
	}
	self->late_end = &self->late;
}

/* Passes on the verdicts that other threads have given. 0 or -errno. */
static int pass_on_late(struct queue_object *self)
{
	int err = 0;

	for (struct late_verdict *l = self->late; l != NULL && err == 0; l = l->next) {
		err = ipq_decide(self->queue, l->packet, &l->verdict);
		/* the packet no longer waits: the kernel would ignore the verdict, too */
		if (err == -ENOENT)
			err = 0;
	}
	free_late(self);
	return err;
}

/*
 * Sends verdicts when the last packet of the batch is decided, and otherwise when the program is slow: when the oldest
 * verdict has waited for a millisecond, or when an earlier packet of the batch took that long.
 */
int queue_send_if_due(struct queue_object *self)
{
	int err;

	if (self->queue == NULL || self->receiving)
		return 0;
	if (self->undecided > 0 && !self->slow_body && now_ns() - self->flushed < HELD_BACK_NS)
		return 0;
	if (self->owner != getpid())
		return usable(self) ? 0 : -1;
	err = ipq_queue_flush(self->queue);
	self->flushed = now_ns();
	if (err < 0) {
		raise_error(self, err);
		return -1;
	}
	return 0;
}

int queue_decide(struct queue_object *self, const struct ipq_packet *packet,
		 const struct ipq_verdict *verdict)
{
	int err;

	if (self->queue == NULL || self->owner != getpid())
		return usable(self) ? 0 : -1;
	if (self->receiving)
		return store_late(self, packet, verdict);
	if (verdict->present != 0 || (verdict->code != IPQ_ACCEPT && verdict->code != IPQ_DROP))
		err = ipq_decide(self->queue, packet, verdict);
	else
		err = verdict->code == IPQ_ACCEPT ? ipq_accept(self->queue, packet)
						  : ipq_drop(self->queue, packet);
	if (err < 0) {
		raise_error(self, err);
		return -1;
	}
	return 0;
}

int queue_decide_flow(struct queue_object *self, const struct ipq_packet *packet,
		      const struct ipq_flow_verdict *verdict)
{
	int err;

	if (!usable(self))
		return -1;
	err = ipq_decide_flow(self->queue, packet, verdict);
	if (err < 0)
		raise_error(self, err);
	return err < 0 ? -1 : 0;
}

void queue_forget(struct queue_object *self, struct packet_object *packet)
{
	const struct ipq_verdict drop = { .size = sizeof(drop), .code = IPQ_DROP };
	PyObject *error_type, *error_value, *error_trace;
	int index = packet->index;

	if (!packet->decided && !packet->left && self->queue != NULL && self->owner == getpid()) {
		self->forgotten++;
		/* An exception may be set while the packet is deleted: keep it. */
		PyErr_Fetch(&error_type, &error_value, &error_trace);
		if (packet_decide(packet, &drop) < 0 || queue_send_if_due(self) < 0)
			PyErr_Clear();
		PyErr_Restore(error_type, error_value, error_trace);
	}
	if (index >= 0)
		self->object[index] = NULL;
}

/* ---- receiving ---------------------------------------------------------------------------------- */

/* Takes over the memory of packets of which the program holds views. NULL with an exception set. */
static struct region *region_new(struct queue_object *self)
{
	struct region *region = calloc(1, sizeof(*region));
	int err = region != NULL ? ipq_queue_detach_memory(self->queue, &region->memory, &region->size)
				 : -ENOMEM;

	if (err == 0)
		return region;
	free(region);
	raise_error(self, err);
	return NULL;
}

/*
 * Called before the next receive, which overwrites the memory of the last one. Packets to which the program still
 * refers get a copy; packets of which it holds a view use `region`.
 */
static bool release_packets(struct queue_object *self, struct region *region)
{
	bool ok = true;

	for (int i = 0; i < self->count; i++)
		if (self->object[i] != NULL) {
			ok &= packet_outlive(self->object[i], self->object[i]->views > 0 ? region : NULL);
			self->object[i] = NULL;
		}
	self->count = self->next = self->undecided = 0;
	return ok;
}

static bool has_views(const struct queue_object *self)
{
	for (int i = 0; i < self->count; i++)
		if (self->object[i] != NULL && self->object[i]->views > 0)
			return true;
	return false;
}

/* The queue gets new memory if the program holds views of the old one. */
static bool release_batch(struct queue_object *self)
{
	struct region *region = NULL;

	if (has_views(self)) {
		region = region_new(self);
		if (region == NULL)
			return false;
	}
	return release_packets(self, region);
}

/* Waits once, without the GIL. */
static int wait_once(struct queue_object *self, int ms)
{
	PyThreadState *state;
	int n;

	self->receiving = true;
	atomic_store(&self->inside, true);
	state = PyEval_SaveThread();
	n = ipq_queue_recv(self->queue, self->packet, (unsigned)self->batch, ms);
	atomic_store(&self->inside, false);
	PyEval_RestoreThread(state);
	self->receiving = false;
	return n;
}

static int remaining_ms(int64_t end)
{
	int64_t left = end - now_ns();

	return end < 0			   ? WAIT_MS
	       : left <= 0		   ? 0
	       : left / 1000000 >= WAIT_MS ? WAIT_MS
					   : (int)((left + 999999) / 1000000);
}

/*
 * Receives a batch. Returns the count; 0 after the timeout, wake() or close(); -ENODATA at the end of a file; -1
 * with an exception.
 */
static int receive(struct queue_object *self, int64_t timeout_ns)
{
	int64_t end = timeout_ns < 0 ? -1 : now_ns() + timeout_ns;
	int n;

	if (!usable(self) || !release_batch(self))
		return -1;
	do {
		n = wait_once(self, remaining_ms(end));
		/* Another thread has closed the queue before this one got the GIL. */
		if (self->queue == NULL)
			return 0;
		if (self->late != NULL) {
			int err = pass_on_late(self);

			if (err < 0 && n <= 0)
				n = err;
		}
		if (n > 0 || n == -ENODATA)
			break;
		if (n < 0 && n != -EINTR && n != -ECANCELED) {
			raise_error(self, n);
			return -1;
		}
		if (PyErr_CheckSignals() < 0)
			return -1;
		n = 0;
		/* The handler of the signal may have closed or used the queue. */
		if (self->queue == NULL || self->closing)
			return 0;
		if (!usable(self) || !release_batch(self))
			return -1;
	} while (!self->woken && (end < 0 || now_ns() < end));
	/* If packets are returned before the empty list that wake() causes, a later call returns the empty list. */
	if (n <= 0)
		self->woken = false;
	self->slow_body = false;
	self->count = self->undecided = n > 0 ? n : 0;
	self->flushed = now_ns();
	return n;
}

static bool parse_timeout(PyObject *timeout, int64_t *ns)
{
	double seconds;

	*ns = -1;
	if (timeout == NULL || timeout == Py_None)
		return true;
	seconds = PyFloat_AsDouble(timeout);
	if (seconds == -1 && PyErr_Occurred())
		return false;
	if (!(seconds >= 0)) {
		PyErr_SetString(PyExc_ValueError, "timeout must not be negative; None waits without end");
		return false;
	}
	*ns = seconds > 1e9 ? -1 : (int64_t)(seconds * 1e9);
	return true;
}

static PyObject *queue_recv(PyObject *obj, PyObject *args, PyObject *keywords)
{
	static char *names[] = { "timeout", NULL };
	struct queue_object *self = (struct queue_object *)obj;
	PyObject *timeout = NULL, *list;
	int64_t ns;

	if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O:recv", names, &timeout) ||
	    !parse_timeout(timeout, &ns))
		return NULL;
	if (self->next == self->count) {
		int n = receive(self, ns);

		if (n == -ENODATA)
			PyErr_SetString(PyExc_EOFError, "the capture file has ended");
		if (n < 0)
			return NULL;
	}
	list = PyList_New(0);
	while (list != NULL && self->next < self->count) {
		PyObject *packet = packet_new(self, self->next);

		if (packet == NULL || PyList_Append(list, packet) < 0) {
			Py_XDECREF(packet);
			Py_CLEAR(list);
			break;
		}
		self->next++;
		Py_DECREF(packet);
	}
	return list;
}

static PyObject *queue_next(PyObject *obj)
{
	struct queue_object *self = (struct queue_object *)obj;
	PyObject *packet;

	if (self->name != NULL && (self->queue == NULL || self->closing))
		return NULL; /* another thread may have closed the queue: StopIteration */
	if (self->next == self->count) {
		if (receive(self, -1) <= 0)
			return NULL; /* NULL without an exception means StopIteration */
	} else if (now_ns() - self->flushed > HELD_BACK_NS) {
		if (!usable(self))
			return NULL;
		self->slow_body = true;
		if (queue_send_if_due(self) < 0)
			return NULL;
	}
	packet = packet_new(self, self->next);
	self->next += packet != NULL;
	return packet;
}

/* ---- the other methods -------------------------------------------------------------------------- */

static int decide_all(PyObject *packets, uint32_t code)
{
	const struct ipq_verdict verdict = { .size = sizeof(verdict), .code = code };
	PyObject *iterator = PyObject_GetIter(packets), *packet;
	int err = 0;

	if (iterator == NULL)
		return -1;
	while (err == 0 && (packet = PyIter_Next(iterator)) != NULL) {
		if (Py_IS_TYPE(packet, packet_type) || PyObject_TypeCheck(packet, packet_type)) {
			err = packet_decide((struct packet_object *)packet, &verdict);
		} else {
			PyErr_SetString(PyExc_TypeError, "packets must be an iterable of Packet");
			err = -1;
		}
		Py_DECREF(packet);
	}
	Py_DECREF(iterator);
	return PyErr_Occurred() ? -1 : err;
}

static PyObject *queue_accept(PyObject *self, PyObject *packets)
{
	if (decide_all(packets, IPQ_ACCEPT) < 0 || queue_send_if_due((struct queue_object *)self) < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *queue_drop(PyObject *self, PyObject *packets)
{
	if (decide_all(packets, IPQ_DROP) < 0 || queue_send_if_due((struct queue_object *)self) < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *queue_flush(PyObject *obj, PyObject *ignored)
{
	struct queue_object *self = (struct queue_object *)obj;
	int err;

	(void)ignored;
	/*
	 * If a thread is waiting, nothing is pending: it sent all verdicts before it waited, and later verdicts
	 * wake it.
	 */
	if (self->receiving && self->owner == getpid())
		Py_RETURN_NONE;
	if (!usable(self))
		return NULL;
	err = ipq_queue_flush(self->queue);
	self->flushed = now_ns();
	if (err < 0)
		return raise_error(self, err);
	Py_RETURN_NONE;
}

static PyObject *queue_wake(PyObject *obj, PyObject *ignored)
{
	struct queue_object *self = (struct queue_object *)obj;

	(void)ignored;
	if (self->queue != NULL && self->owner == getpid()) {
		self->woken = true;
		ipq_queue_wake(self->queue);
	}
	Py_RETURN_NONE;
}

static PyObject *queue_fileno(PyObject *obj, PyObject *ignored)
{
	struct queue_object *self = (struct queue_object *)obj;

	(void)ignored;
	if (self->queue == NULL) {
		PyErr_SetString(PyExc_ValueError, "the queue is closed");
		return NULL;
	}
	return PyLong_FromLong(ipq_queue_fd(self->queue));
}

static PyObject *queue_interface(PyObject *obj, PyObject *arg)
{
	struct queue_object *self = (struct queue_object *)obj;
	unsigned long index;

	if (!take_number(arg, UINT32_MAX, "index", &index) || !usable(self))
		return NULL;
	return PyUnicode_DecodeFSDefault(ipq_queue_interface(self->queue, (uint32_t)index, NULL));
}

static PyStructSequence_Field stats_fields[] = {
	{ "received", "packets received, including those of decided flows" },
	{ "accepted", "verdicts sent: accept" },
	{ "dropped", "verdicts sent: drop" },
	{ "other", "verdicts sent: queue, repeat, stop" },
	{ "replaced", "verdicts sent with a new payload" },
	{ "refused", "verdicts that the kernel refused" },
	{ "lost", "dropped by the kernel because the socket's buffer was full" },
	{ "queue_dropped", "dropped by the kernel because the queue was full" },
	{ "malformed", "messages that could not be parsed" },
	{ "waiting", "packets received and not decided yet" },
	{ "receives", "attempts to receive packets" },
	{ "sends", "attempts to send verdicts" },
	{ "forgotten", "packets deleted without a verdict, which were dropped" },
	{ NULL, NULL },
};

static PyObject *queue_stats(PyObject *obj, PyObject *ignored)
{
	struct queue_object *self = (struct queue_object *)obj;
	struct ipq_stats s = { .size = sizeof(s) };
	PyObject *result;
	int err;

	(void)ignored;
	if (!usable(self))
		return NULL;
	err = ipq_queue_stats(self->queue, &s);
	if (err < 0)
		return raise_error(self, err);
	const uint64_t value[] = { s.received, s.accepted, s.dropped,	    s.other,	 s.replaced,
				   s.refused,  s.lost,	   s.queue_dropped, s.malformed, s.waiting,
				   s.receives, s.sends,	   self->forgotten };

	result = PyStructSequence_New(stats_type);
	for (size_t i = 0; result != NULL && i < sizeof(value) / sizeof(value[0]); i++)
		PyStructSequence_SetItem(result, (Py_ssize_t)i, PyLong_FromUnsignedLongLong(value[i]));
	return result;
}

static PyStructSequence_Field flow_stats_fields[] = {
	{ "keeper", "who keeps decided flows: 'library', 'mark' or 'conntrack'" },
	{ "why", "the reason why the keeper keeps the flows" },
	{ "flows", "flows in the library's table" },
	{ "decided", "flows decided" },
	{ "packets", "packets of decided flows that the library decided" },
	{ "bytes", "bytes of these packets" },
	{ "evicted", "flows forgotten because the table was full" },
	{ "no_key", "flow verdicts for packets that belong to no flow" },
	{ "came_back", "packets that came back because firewall rules are missing" },
	{ NULL, NULL },
};

static PyObject *queue_flow_stats(PyObject *obj, PyObject *ignored)
{
	static const char *const keeper[] = { "library", "mark", "conntrack" };
	struct queue_object *self = (struct queue_object *)obj;
	struct ipq_flow_stats s = { .size = sizeof(s) };
	PyObject *result;
	int err;

	(void)ignored;
	if (!usable(self))
		return NULL;
	err = ipq_flow_stats(self->queue, &s);
	if (err < 0)
		return raise_error(self, err);
	const uint64_t value[] = { s.flows, s.decided, s.packets, s.bytes, s.evicted, s.no_key, s.came_back };

	result = PyStructSequence_New(flow_stats_type);
	if (result == NULL)
		return NULL;
	PyStructSequence_SetItem(result, 0, PyUnicode_FromString(keeper[s.keeper]));
	PyStructSequence_SetItem(result, 1, PyUnicode_FromString(s.why));
	for (size_t i = 0; i < sizeof(value) / sizeof(value[0]); i++)
		PyStructSequence_SetItem(result, (Py_ssize_t)i + 2, PyLong_FromUnsignedLongLong(value[i]));
	return result;
}

static PyObject *queue_forget_flows(PyObject *obj, PyObject *ignored)
{
	struct queue_object *self = (struct queue_object *)obj;
	int err;

	(void)ignored;
	if (!usable(self))
		return NULL;
	err = ipq_forget_flows(self->queue);
	if (err < 0)
		return raise_error(self, err);
	Py_RETURN_NONE;
}

/* Sends pending verdicts. False with an exception set. */
static bool send_last(struct queue_object *self)
{
	int err = pass_on_late(self), flushed = ipq_queue_flush(self->queue);

	err = err < 0 ? err : flushed;
	if (err < 0)
		raise_error(self, err);
	return err >= 0;
}

/*
 * Closes the queue. The kernel drops all packets that wait, including those that were received and not returned to
 * the program. False with an exception set: either verdicts are lost, but the queue is closed; or there is no
 * memory, and the queue is still open.
 */
static bool close_queue(struct queue_object *self)
{
	struct ipq_queue *queue = self->queue;
	struct region *region = NULL;
	bool ok = true;

	if (queue == NULL)
		return true;
	/* In a forked child, the queue and its pending verdicts belong to the parent. */
	if (self->owner == getpid()) {
		region = has_views(self) ? calloc(1, sizeof(*region)) : NULL;
		if (has_views(self) && region == NULL) {
			self->closing = false;
			PyErr_NoMemory();
			return false;
		}
		ok = send_last(self);
		/* If verdicts cannot be sent, the queue still owns its memory. */
		if (region != NULL && ipq_queue_detach_memory(queue, &region->memory, &region->size) < 0)
			region->queue = queue;
		ok &= release_packets(self, region);
	}
	self->queue = NULL;
	self->count = self->next = 0;
	free_late(self);
	if (self->owner == getpid() && (region == NULL || region->queue == NULL))
		ipq_queue_close(queue);
	return ok;
}

/* Ends the wait of another thread. From then on, calls of that thread fail. */
static void end_wait(struct queue_object *self)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	self->closing = true;
	/*
	 * When the interpreter exits, that thread may never get the GIL again, so only wait until it has left the
	 * library.
	 */
	while (atomic_load(&self->inside)) {
		self->woken = true;
		ipq_queue_wake(self->queue);
		/* clang-format off */
		Py_BEGIN_ALLOW_THREADS
		nanosleep(&pause, NULL);
		Py_END_ALLOW_THREADS
		/* clang-format on */
	}
}

static PyObject *queue_close(PyObject *obj, PyObject *ignored)
{
	struct queue_object *self = (struct queue_object *)obj;

	(void)ignored;
	if (self->owner == getpid())
		end_wait(self);
	if (!close_queue(self))
		return NULL;
	Py_RETURN_NONE;
}

/* Used by ipq.netfilterqueue, where a forked child may continue to use the queue, because the socket is shared. */
static PyObject *queue_inherit(PyObject *obj, PyObject *ignored)
{
	struct queue_object *self = (struct queue_object *)obj;

	(void)ignored;
	if (self->owner != getpid()) {
		self->owner = getpid();
		self->receiving = false; /* a thread of the parent was receiving */
		atomic_store(&self->inside, false);
	}
	Py_RETURN_NONE;
}

static PyObject *queue_enter(PyObject *self, PyObject *ignored)
{
	(void)ignored;
	return usable((struct queue_object *)self) ? Py_NewRef(self) : NULL;
}

static PyObject *queue_exit(PyObject *self, PyObject *args)
{
	(void)args;
	return PyObject_CallMethod(self, "close", NULL);
}

/* ---- opening ------------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	uint32_t flag;
} flags[] = {
	{ "meta_only", IPQ_O_META_ONLY }, { "fail_open", IPQ_O_FAIL_OPEN },
	{ "segment", IPQ_O_SEGMENT },	  { "conntrack", IPQ_O_CONNTRACK },
	{ "owner", IPQ_O_OWNER },	  { "security_context", IPQ_O_SECURITY_CONTEXT },
	{ "timestamp", IPQ_O_TIMESTAMP }, { "best_effort", IPQ_O_BEST_EFFORT },
	{ "flows", IPQ_O_FLOWS },
};
#define FLAGS (sizeof(flags) / sizeof(flags[0]))

static PyObject *source_name(PyObject *source)
{
	if (PyLong_Check(source))
		return PyUnicode_FromFormat("nfqueue:%S", source);
	if (PyUnicode_Check(source))
		return Py_NewRef(source);
	PyErr_SetString(PyExc_TypeError,
			"source must be a queue number or a name such as \"pcap:in.pcap,out.pcap\"");
	return NULL;
}

static int open_queue(struct queue_object *self, struct ipq_options *options)
{
	char error[320] = "";
	const char *text;
	PyObject *name;
	int err;

	if (!PyUnicode_FSConverter(self->name, &name))
		return -1;
	text = PyBytes_AsString(name);
	options->error = error;
	options->error_size = sizeof(error);
	do {
		/* clang-format off */
		Py_BEGIN_ALLOW_THREADS
		err = ipq_queue_open(&self->queue, text, options);
		Py_END_ALLOW_THREADS
		/* clang-format on */
	} while (err == -EINTR && PyErr_CheckSignals() == 0);
	Py_DECREF(name);
	if (err < 0) {
		if (!PyErr_Occurred())
			raise_errno(err, error);
		return -1;
	}
	self->owner = getpid();
	return 0;
}

static const struct {
	const char *name;
	size_t offset;
} numbers[] = {
	{ "copy_range", offsetof(struct ipq_options, copy_range) },
	{ "queue_length", offsetof(struct ipq_options, queue_length) },
	{ "receive_buffer", offsetof(struct ipq_options, receive_buffer) },
	{ "spin_usec", offsetof(struct ipq_options, spin_usec) },
	{ "flow_mask", offsetof(struct ipq_options, flow_mask) },
	{ "flow_mark", offsetof(struct ipq_options, flow_mark) },
	{ "flow_max", offsetof(struct ipq_options, flow_max) },
};
#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static bool take_numbers(struct ipq_options *options, PyObject *const *value)
{
	for (size_t i = 0; i < NUMBERS; i++) {
		unsigned long n;
		uint32_t number;

		if (value[i] == NULL)
			continue;
		if (!take_number(value[i], UINT32_MAX, numbers[i].name, &n))
			return false;
		number = (uint32_t)n;
		memcpy((unsigned char *)options + numbers[i].offset, &number, sizeof(number));
	}
	return true;
}

static int queue_init(PyObject *obj, PyObject *args, PyObject *keywords)
{
	static char *names[] = { "source",	 "meta_only",	     "fail_open", "segment",	 "conntrack",
				 "owner",	 "security_context", "timestamp", "best_effort", "copy_range",
				 "queue_length", "receive_buffer",   "spin_usec", "batch",	 "flows",
				 "flow_mask",	 "flow_mark",	     "flow_max",  NULL };
	struct queue_object *self = (struct queue_object *)obj;
	struct ipq_options options = { .size = sizeof(options) };
	PyObject *source = NULL, *number[NUMBERS] = { NULL };
	int set[FLAGS] = { 0 }, batch = BATCH_MAX;

	/*
	 * Refuse to open a queue a second time: packets of the first queue must not be decided in the second one.
	 */
	if (self->name != NULL) {
		PyErr_SetString(PyExc_ValueError, "a queue is opened only once");
		return -1;
	}
	if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O$ppppppppOOOOipOOO:Queue", names, &source,
					 &set[0], &set[1], &set[2], &set[3], &set[4], &set[5], &set[6],
					 &set[7], &number[0], &number[1], &number[2], &number[3], &batch,
					 &set[8], &number[4], &number[5], &number[6]) ||
	    !take_numbers(&options, number))
		return -1;
	if (batch < 1 || batch > BATCH_MAX) {
		PyErr_Format(PyExc_ValueError, "batch must be from 1 to %d", BATCH_MAX);
		return -1;
	}
	for (size_t i = 0; i < FLAGS; i++)
		options.flags |= set[i] ? flags[i].flag : 0;
	self->batch = batch;
	self->late_end = &self->late;
	self->name = source != NULL ? source_name(source) : PyUnicode_FromString("nfqueue:0");
	if (self->name != NULL && open_queue(self, &options) == 0)
		return 0;
	Py_CLEAR(self->name);
	return -1;
}

static void queue_dealloc(PyObject *obj)
{
	struct queue_object *self = (struct queue_object *)obj;
	PyTypeObject *type = Py_TYPE(obj);
	PyObject *error_type, *error_value, *error_trace;
	freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

	PyErr_Fetch(&error_type, &error_value, &error_trace);
	/* Each packet holds a reference to its queue, so no packet object exists now. */
	if (!close_queue(self))
		PyErr_Clear();
	PyErr_Restore(error_type, error_value, error_trace);
	Py_XDECREF(self->name);
	release(obj);
	Py_DECREF(type);
}

static PyObject *get_flags(PyObject *obj, void *closure)
{
	struct queue_object *self = (struct queue_object *)obj;
	PyObject *set = PyFrozenSet_New(NULL);
	uint32_t in_force;

	(void)closure;
	if (self->queue == NULL) {
		Py_XDECREF(set);
		PyErr_SetString(PyExc_ValueError, "the queue is closed");
		return NULL;
	}
	in_force = ipq_queue_flags(self->queue);
	for (size_t i = 0; set != NULL && i < FLAGS; i++) {
		PyObject *name = in_force & flags[i].flag ? PyUnicode_FromString(flags[i].name) : NULL;

		if (name != NULL && PySet_Add(set, name) < 0)
			Py_CLEAR(set);
		Py_XDECREF(name);
	}
	return set;
}

static PyObject *get_closed(PyObject *obj, void *closure)
{
	struct queue_object *self = (struct queue_object *)obj;

	(void)closure;
	return PyBool_FromLong(self->queue == NULL || self->closing);
}

static PyObject *get_source(PyObject *obj, void *closure)
{
	PyObject *name = ((struct queue_object *)obj)->name;

	(void)closure;
	return Py_NewRef(name != NULL ? name : Py_None);
}

static PyObject *get_woken(PyObject *obj, void *closure)
{
	(void)closure;
	return PyBool_FromLong(((struct queue_object *)obj)->woken);
}

static PyMethodDef queue_methods[] = {
	{ "recv", (PyCFunction)(void (*)(void))queue_recv, METH_VARARGS | METH_KEYWORDS,
	  "recv($self, /, timeout=None)\n--\n\nWait for packets and return them as a list.\n\n"
	  "timeout is in seconds; None waits without end, 0 does not wait. The list is empty after the "
	  "timeout\n"
	  "and after wake(). Raises EOFError at the end of a capture file, OSError when the source failed." },
	{ "accept", queue_accept, METH_O,
	  "accept($self, packets, /)\n--\n\nAccept all packets of an iterable." },
	{ "drop", queue_drop, METH_O, "drop($self, packets, /)\n--\n\nDrop all packets of an iterable." },
	{ "flush", queue_flush, METH_NOARGS, "flush($self, /)\n--\n\nSend pending verdicts now." },
	{ "wake", queue_wake, METH_NOARGS,
	  "wake($self, /)\n--\n\nMake the blocked recv(), or the next one, return an empty list, and "
	  "end an iteration.\n\n"
	  "Any thread may call it." },
	{ "fileno", queue_fileno, METH_NOARGS,
	  "fileno($self, /)\n--\n\nReturn a descriptor that is readable when recv(0) would return "
	  "packets.\n\n"
	  "Call flush() before you wait for the descriptor." },
	{ "interface", queue_interface, METH_O,
	  "interface($self, index, /)\n--\n\nReturn the name of an interface, '' when it is unknown." },
	{ "stats", queue_stats, METH_NOARGS,
	  "stats($self, /)\n--\n\nReturn the counters since the queue was opened." },
	{ "flow_stats", queue_flow_stats, METH_NOARGS,
	  "flow_stats($self, /)\n--\n\nReturn the counters of flow verdicts: see Packet.accept_flow()." },
	{ "forget_flows", queue_forget_flows, METH_NOARGS,
	  "forget_flows($self, /)\n--\n\nForget all decided flows: their next packets are returned." },
	{ "close", queue_close, METH_NOARGS,
	  "close($self, /)\n--\n\nSend pending verdicts and close the queue. The kernel drops the packets "
	  "that still wait.\n\nAnother thread and a signal handler may call it, too: then a blocked recv()\n"
	  "returns an empty list, and an iteration ends." },
	{ "_inherit", queue_inherit, METH_NOARGS, NULL },
	{ "__enter__", queue_enter, METH_NOARGS, NULL },
	{ "__exit__", queue_exit, METH_VARARGS, NULL },
	{ NULL }
};

static PyGetSetDef queue_getset[] = {
	{ "flags", get_flags, NULL,
	  "The names of the options in force, without those that best_effort omitted.", NULL },
	{ "closed", get_closed, NULL, "Whether the queue is closed.", NULL },
	{ "source", get_source, NULL, "The name of the source.", NULL },
	{ "_woken", get_woken, NULL, "Whether the next recv() without packets ends because of wake().",
	  NULL },
	{ NULL }
};

static PyType_Slot queue_slots[] = { { Py_tp_doc, "Queue(source=\"nfqueue:0\", **options)\n--\n\nA queue of "
						  "packets. Iterate over it, or call recv()." },
				     { Py_tp_init, queue_init },
				     { Py_tp_dealloc, queue_dealloc },
				     { Py_tp_iter, PyObject_SelfIter },
				     { Py_tp_iternext, queue_next },
				     { Py_tp_methods, queue_methods },
				     { Py_tp_getset, queue_getset },
				     { 0, NULL } };

static PyType_Spec queue_spec = { .name = "ipq._ipq.Queue",
				  .basicsize = sizeof(struct queue_object),
				  .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
				  .slots = queue_slots };

int queue_add_type(PyObject *module)
{
	static PyStructSequence_Desc stats = { .name = "ipq.Stats",
					       .doc = "Counters of a queue.",
					       .fields = stats_fields,
					       .n_in_sequence = 13 };

	static PyStructSequence_Desc flow_stats = { .name = "ipq.FlowStats",
						    .doc = "Counters of flow verdicts.",
						    .fields = flow_stats_fields,
						    .n_in_sequence = 9 };

	if (queue_type == NULL)
		queue_type = (PyTypeObject *)PyType_FromSpec(&queue_spec);
	if (stats_type == NULL)
		stats_type = PyStructSequence_NewType(&stats);
	if (flow_stats_type == NULL)
		flow_stats_type = PyStructSequence_NewType(&flow_stats);
	if (queue_type == NULL || stats_type == NULL || flow_stats_type == NULL ||
	    PyModule_AddObjectRef(module, "FlowStats", (PyObject *)flow_stats_type) < 0 ||
	    PyModule_AddObjectRef(module, "Queue", (PyObject *)queue_type) < 0)
		return -1;
	return PyModule_AddObjectRef(module, "Stats", (PyObject *)stats_type);
}
