/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packet: attributes, payload as a buffer without a copy, verdicts. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "binding.h"

PyTypeObject *packet_type;

static struct packet_object *spare; /* freed objects, linked by their queue member */
static unsigned spares;
#define SPARES_MAX 256

static struct packet_object *as_packet(PyObject *obj)
{
	return (struct packet_object *)obj;
}

/* ---- life --------------------------------------------------------------------------------------- */

PyObject *packet_new(struct queue_object *queue, int index)
{
	struct packet_object *p = spare;

	if (p != NULL) {
		spare = (struct packet_object *)p->queue;
		spares--;
		PyObject_Init((PyObject *)p, packet_type);
	} else {
		p = PyObject_New(struct packet_object, packet_type);
		if (p == NULL)
			return NULL;
	}
	p->queue = (struct queue_object *)Py_NewRef((PyObject *)queue);
	p->packet = queue->packet[index];
	p->kept = NULL;
	p->region = NULL;
	p->index = index;
	p->views = 0;
	p->decided = p->left = false;
	queue->object[index] = p;
	return (PyObject *)p;
}

static void region_release(struct region *region)
{
	if (region != NULL && --region->users == 0) {
		if (region->queue != NULL)
			ipq_queue_close(region->queue);
		else
			munmap(region->memory, region->size);
		free(region);
	}
}

bool packet_outlive(struct packet_object *self, struct region *region)
{
	self->index = -1;
	if (region != NULL) {
		self->region = region;
		region->users++;
		return true;
	}
	if (self->kept != NULL)
		return true;
	self->kept = ipq_packet_keep(&self->packet);
	if (self->kept == NULL) {
		self->packet = (struct ipq_packet){ .id = self->packet.id };
		PyErr_NoMemory();
		return false;
	}
	self->packet = *self->kept;
	return true;
}

static void packet_dealloc(PyObject *obj)
{
	struct packet_object *self = as_packet(obj);
	struct queue_object *queue = self->queue;
	PyTypeObject *type = Py_TYPE(obj);

	queue_forget(queue, self);
	ipq_packet_free(self->kept);
	region_release(self->region);
	if (spares < SPARES_MAX && type == packet_type) {
		self->queue = (struct queue_object *)spare;
		spare = self;
		spares++;
	} else {
		freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

		release(obj);
	}
	Py_DECREF(queue);
	Py_DECREF(type);
}

/* ---- payload ------------------------------------------------------------------------------------ */

static int packet_getbuffer(PyObject *obj, Py_buffer *view, int flags)
{
	static uint8_t none[1];
	struct packet_object *self = as_packet(obj);
	bool has = (self->packet.present & IPQ_HAS_PAYLOAD) != 0;

	if (PyBuffer_FillInfo(view, obj, has ? self->packet.payload : none,
			      has ? self->packet.payload_len : 0, 0, flags) < 0)
		return -1;
	self->views++;
	return 0;
}

static void packet_releasebuffer(PyObject *obj, Py_buffer *view)
{
	(void)view;
	as_packet(obj)->views--;
}

static Py_ssize_t packet_length(PyObject *obj)
{
	const struct ipq_packet *p = &as_packet(obj)->packet;

	return p->present & IPQ_HAS_PAYLOAD ? p->payload_len : 0;
}

static PyObject *get_payload(PyObject *obj, void *closure)
{
	(void)closure;
	return PyMemoryView_FromObject(obj);
}

static PyObject *packet_keep(PyObject *obj, PyObject *ignored)
{
	struct packet_object *self = as_packet(obj);

	(void)ignored;
	if (self->kept == NULL && self->region == NULL && self->views == 0) {
		int index = self->index;

		if (!packet_outlive(self, NULL))
			return NULL;
		self->index = index;
	}
	return Py_NewRef(obj);
}

/* ---- attributes --------------------------------------------------------------------------------- */

struct attribute {
	size_t offset, size;
	uint32_t present; /* the bit of `present`; 0: the attribute is always present */
};

static PyObject *get_number(PyObject *obj, void *closure)
{
	const struct attribute *a = closure;
	const struct ipq_packet *p = &as_packet(obj)->packet;
	const unsigned char *at = (const unsigned char *)p + a->offset;
	uint16_t number16;
	uint32_t number32;

	if (a->present != 0 && (p->present & a->present) == 0)
		Py_RETURN_NONE;
	if (a->size == 1)
		return PyLong_FromUnsignedLong(*at);
	if (a->size == 2) {
		memcpy(&number16, at, 2);
		return PyLong_FromUnsignedLong(number16);
	}
	memcpy(&number32, at, 4);
	return PyLong_FromUnsignedLong(number32);
}

static PyObject *get_bool(PyObject *obj, void *closure)
{
	const uint32_t *flag = closure;

	return PyBool_FromLong((as_packet(obj)->packet.flags & *flag) != 0);
}

static PyObject *get_timestamp(PyObject *obj, void *closure)
{
	const struct ipq_packet *p = &as_packet(obj)->packet;

	(void)closure;
	if ((p->present & IPQ_HAS_TIMESTAMP) == 0)
		Py_RETURN_NONE;
	return PyFloat_FromDouble((double)p->timestamp / 1e9);
}

static PyObject *get_timestamp_ns(PyObject *obj, void *closure)
{
	const struct ipq_packet *p = &as_packet(obj)->packet;

	(void)closure;
	if ((p->present & IPQ_HAS_TIMESTAMP) == 0)
		Py_RETURN_NONE;
	return PyLong_FromLongLong(p->timestamp);
}

static PyObject *get_hw_addr(PyObject *obj, void *closure)
{
	const struct ipq_packet *p = &as_packet(obj)->packet;

	(void)closure;
	if ((p->present & IPQ_HAS_HWADDR) == 0)
		Py_RETURN_NONE;
	return PyBytes_FromStringAndSize((const char *)p->hw_addr, p->hw_addr_len);
}

static PyObject *get_link_header(PyObject *obj, void *closure)
{
	const struct ipq_packet *p = &as_packet(obj)->packet;

	(void)closure;
	if ((p->present & IPQ_HAS_LINK_HEADER) == 0)
		Py_RETURN_NONE;
	return PyBytes_FromStringAndSize((const char *)p->link_header, p->link_header_len);
}

static PyObject *get_security_context(PyObject *obj, void *closure)
{
	const struct ipq_packet *p = &as_packet(obj)->packet;
	const char *text = p->security_context;
	size_t len = p->security_context_len;

	(void)closure;
	if ((p->present & IPQ_HAS_SECURITY_CONTEXT) == 0)
		Py_RETURN_NONE;
	while (len > 0 && text[len - 1] == '\0')
		len--;
	return PyUnicode_DecodeFSDefaultAndSize(text, (Py_ssize_t)len);
}

static PyObject *get_vlan(PyObject *obj, void *closure)
{
	const struct ipq_packet *p = &as_packet(obj)->packet;

	(void)closure;
	if ((p->present & IPQ_HAS_VLAN) == 0)
		Py_RETURN_NONE;
	return Py_BuildValue("(II)", (unsigned)p->vlan_proto, (unsigned)p->vlan_tci);
}

static PyObject *get_decided(PyObject *obj, void *closure)
{
	(void)closure;
	return PyBool_FromLong(as_packet(obj)->decided);
}

static PyObject *get_queue(PyObject *obj, void *closure)
{
	(void)closure;
	return Py_NewRef((PyObject *)as_packet(obj)->queue);
}

/* ---- verdicts ----------------------------------------------------------------------------------- */

static void packet_mark_decided(struct packet_object *self)
{
	self->decided = true;
	if (self->index >= 0)
		self->queue->undecided--;
}

int packet_decide(struct packet_object *self, const struct ipq_verdict *verdict)
{
	if (self->decided) {
		PyErr_SetString(PyExc_RuntimeError, "the packet has a verdict already");
		return -1;
	}
	if (queue_decide(self->queue, &self->packet, verdict) < 0)
		return -1;
	packet_mark_decided(self);
	return 0;
}

/* Used by ipq.netfilterqueue, where a packet stays queued when its object is deleted. */
static PyObject *packet_leave(PyObject *obj, PyObject *ignored)
{
	(void)ignored;
	as_packet(obj)->left = true;
	Py_RETURN_NONE;
}

struct arguments {
	struct ipq_verdict verdict;
	Py_buffer payload;
	bool has_payload;
};

static bool take_labels(PyObject *value, struct ipq_verdict *v)
{
	Py_buffer b;
	bool ok;

	if (PyObject_GetBuffer(value, &b, PyBUF_SIMPLE) < 0)
		return false;
	ok = b.len == sizeof(v->conntrack_labels);
	if (ok)
		memcpy(v->conntrack_labels, b.buf, sizeof(v->conntrack_labels));
	else
		PyErr_SetString(PyExc_ValueError, "conntrack_labels must have 16 bytes");
	PyBuffer_Release(&b);
	v->present |= IPQ_SET_CONNTRACK_LABELS;
	return ok;
}

static bool take_keyword(PyObject *name, PyObject *value, struct arguments *a)
{
	struct ipq_verdict *v = &a->verdict;
	unsigned long n;

	if (value == Py_None)
		return true;
	if (PyUnicode_CompareWithASCIIString(name, "mark") == 0) {
		v->present |= IPQ_SET_MARK;
		return take_number(value, UINT32_MAX, "mark", &n) && (v->mark = (uint32_t)n, true);
	}
	if (PyUnicode_CompareWithASCIIString(name, "priority") == 0) {
		v->present |= IPQ_SET_PRIORITY;
		return take_number(value, UINT32_MAX, "priority", &n) && (v->priority = (uint32_t)n, true);
	}
	if (PyUnicode_CompareWithASCIIString(name, "conntrack_mark") == 0) {
		v->present |= IPQ_SET_CONNTRACK_MARK;
		return take_number(value, UINT32_MAX, "conntrack_mark", &n) &&
		       (v->conntrack_mark = (uint32_t)n, true);
	}
	if (PyUnicode_CompareWithASCIIString(name, "conntrack_mask") == 0)
		return take_number(value, UINT32_MAX, "conntrack_mask", &n) &&
		       (v->conntrack_mark_mask = (uint32_t)n, true);
	if (PyUnicode_CompareWithASCIIString(name, "conntrack_labels") == 0)
		return take_labels(value, v);
	if (PyUnicode_CompareWithASCIIString(name, "payload") == 0) {
		if (PyObject_GetBuffer(value, &a->payload, PyBUF_SIMPLE) < 0)
			return false;
		a->has_payload = true;
		v->present |= IPQ_SET_PAYLOAD;
		v->payload = a->payload.buf;
		v->payload_len = (size_t)a->payload.len;
		return true;
	}
	PyErr_Format(PyExc_TypeError, "unexpected keyword argument '%U'", name);
	return false;
}

static PyObject *decide(PyObject *obj, struct arguments *a, PyObject *const *values, PyObject *names)
{
	Py_ssize_t n = names != NULL ? PyTuple_Size(names) : 0;
	bool ok = true;
	int err = -1;

	for (Py_ssize_t i = 0; i < n && ok; i++)
		ok = take_keyword(PyTuple_GetItem(names, i), values[i], a);
	if (ok)
		err = packet_decide(as_packet(obj), &a->verdict);
	if (a->has_payload)
		PyBuffer_Release(&a->payload);
	if (err < 0 || queue_send_if_due(as_packet(obj)->queue) < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *decide_code(PyObject *obj, uint32_t code, PyObject *const *args, Py_ssize_t n,
			     PyObject *names)
{
	struct arguments a = { .verdict = { .size = sizeof(a.verdict), .code = code } };

	if (n != 0) {
		PyErr_SetString(PyExc_TypeError, "this verdict takes keyword arguments only");
		return NULL;
	}
	return decide(obj, &a, args, names);
}

static PyObject *packet_accept(PyObject *obj, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
	return decide_code(obj, IPQ_ACCEPT, args, n, names);
}

static PyObject *packet_drop(PyObject *obj, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
	return decide_code(obj, IPQ_DROP, args, n, names);
}

static PyObject *packet_repeat(PyObject *obj, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
	return decide_code(obj, IPQ_REPEAT, args, n, names);
}

static PyObject *packet_stop(PyObject *obj, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
	return decide_code(obj, IPQ_STOP, args, n, names);
}

static PyObject *packet_to_queue(PyObject *obj, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
	struct arguments a = { .verdict = { .size = sizeof(a.verdict), .code = IPQ_QUEUE } };
	unsigned long number;

	if (n != 1) {
		PyErr_SetString(PyExc_TypeError, "to_queue() takes the number of a queue");
		return NULL;
	}
	if (!take_number(args[0], UINT16_MAX, "the queue number", &number))
		return NULL;
	a.verdict.queue = (uint16_t)number;
	return decide(obj, &a, args + 1, names);
}

/* accept_flow(after=0, timeout=0, mark=None) and drop_flow(after=0, timeout=0). */
static PyObject *decide_flow(PyObject *obj, PyObject *args, PyObject *keywords, uint32_t code)
{
	static char *accept_names[] = { "after", "timeout", "mark", NULL },
		    *drop_names[] = { "after", "timeout", NULL };
	struct ipq_flow_verdict v = { .size = sizeof(v), .code = code };
	struct packet_object *self = as_packet(obj);
	PyObject *after = NULL, *timeout = NULL, *mark = Py_None;
	unsigned long n;
	bool ok = code == IPQ_ACCEPT ? PyArg_ParseTupleAndKeywords(args, keywords, "|$OOO:accept_flow",
								   accept_names, &after, &timeout, &mark)
				     : PyArg_ParseTupleAndKeywords(args, keywords, "|$OO:drop_flow",
								   drop_names, &after, &timeout);

	if (!ok)
		return NULL;
	if (after != NULL) {
		if (!take_number(after, UINT32_MAX, "after", &n))
			return NULL;
		v.after = (uint32_t)n;
	}
	if (timeout != NULL) {
		if (!take_number(timeout, UINT32_MAX, "timeout", &n))
			return NULL;
		v.timeout = (uint32_t)n;
	}
	if (mark != Py_None) {
		if (!take_number(mark, UINT32_MAX, "mark", &n))
			return NULL;
		v.present = IPQ_SET_MARK;
		v.mark = (uint32_t)n;
	}
	if (self->decided) {
		PyErr_SetString(PyExc_RuntimeError, "the packet has a verdict already");
		return NULL;
	}
	if (queue_decide_flow(self->queue, &self->packet, &v) < 0)
		return NULL;
	packet_mark_decided(self);
	if (queue_send_if_due(self->queue) < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *packet_accept_flow(PyObject *obj, PyObject *args, PyObject *keywords)
{
	return decide_flow(obj, args, keywords, IPQ_ACCEPT);
}

static PyObject *packet_drop_flow(PyObject *obj, PyObject *args, PyObject *keywords)
{
	return decide_flow(obj, args, keywords, IPQ_DROP);
}

static PyObject *packet_repr(PyObject *obj)
{
	const struct ipq_packet *p = &as_packet(obj)->packet;

	return PyUnicode_FromFormat("<ipq.Packet id=%u hook=%d %u bytes%s>", p->id, (int)p->hook, p->full_len,
				    as_packet(obj)->decided ? ", decided" : "");
}

/* ---- the type ----------------------------------------------------------------------------------- */

#define NUMBER(field, bit)                                                                       \
	&(struct attribute)                                                                      \
	{                                                                                        \
		offsetof(struct ipq_packet, field), sizeof(((struct ipq_packet *)0)->field), bit \
	}
#define FLAG(bit)   \
	&(uint32_t) \
	{           \
		bit \
	}

static PyGetSetDef packet_getset[] = {
	{ "payload", get_payload, NULL,
	  "The bytes from the network header on: a writable memoryview, not a copy. It stays valid.", NULL },
	{ "id", get_number, NULL, "The number of the packet in its queue.", NUMBER(id, 0) },
	{ "family", get_number, NULL, "AF_INET, AF_INET6 or AF_BRIDGE: the protocol family of the hook.",
	  NUMBER(family, 0) },
	{ "hook", get_number, NULL, "0 PREROUTING, 1 INPUT, 2 FORWARD, 3 OUTPUT, 4 POSTROUTING.",
	  NUMBER(hook, 0) },
	{ "hw_protocol", get_number, NULL, "EtherType; 0 in OUTPUT.", NUMBER(hw_protocol, 0) },
	{ "full_len", get_number, NULL, "Bytes of the packet; payload may hold fewer.", NUMBER(full_len, 0) },
	{ "mark", get_number, NULL, "The packet's mark, or None.", NUMBER(mark, IPQ_HAS_MARK) },
	{ "indev", get_number, NULL, "Index of the input interface, or None.", NUMBER(indev, IPQ_HAS_INDEV) },
	{ "outdev", get_number, NULL, "Index of the output interface, or None.",
	  NUMBER(outdev, IPQ_HAS_OUTDEV) },
	{ "physindev", get_number, NULL, "Index of the input bridge port, or None.",
	  NUMBER(physindev, IPQ_HAS_PHYSINDEV) },
	{ "physoutdev", get_number, NULL, "Index of the output bridge port, or None.",
	  NUMBER(physoutdev, IPQ_HAS_PHYSOUTDEV) },
	{ "uid", get_number, NULL, "User of the sending socket, or None.", NUMBER(uid, IPQ_HAS_UID) },
	{ "gid", get_number, NULL, "Group of the sending socket, or None.", NUMBER(gid, IPQ_HAS_GID) },
	{ "priority", get_number, NULL, "The packet's priority, or None.",
	  NUMBER(priority, IPQ_HAS_PRIORITY) },
	{ "cgroup", get_number, NULL, "Class id of net_cls, or None.", NUMBER(cgroup, IPQ_HAS_CGROUP) },
	{ "conntrack_info", get_number, NULL, "IP_CT_ number of the connection's state, or None.",
	  NUMBER(conntrack_info, IPQ_HAS_CONNTRACK_INFO) },
	{ "conntrack", packet_conntrack, NULL, "The conntrack entry (Conntrack), or None.", NULL },
	{ "checksum_not_ready", get_bool, NULL, "Whether a device will complete the checksum.",
	  FLAG(IPQ_PACKET_CHECKSUM_NOT_READY) },
	{ "gso", get_bool, NULL, "Whether the packet is larger than the MTU and will be split.",
	  FLAG(IPQ_PACKET_GSO) },
	{ "truncated", get_bool, NULL, "Whether payload holds only the beginning of the packet.",
	  FLAG(IPQ_PACKET_TRUNCATED) },
	{ "timestamp", get_timestamp, NULL, "Arrival in seconds since 1970, or None.", NULL },
	{ "timestamp_ns", get_timestamp_ns, NULL, "Arrival in nanoseconds since 1970, or None.", NULL },
	{ "hw_addr", get_hw_addr, NULL, "Link-layer source address, or None.", NULL },
	{ "link_header", get_link_header, NULL, "Link-layer header (bridge family), or None.", NULL },
	{ "security_context", get_security_context, NULL, "Security context of the sending socket, or None.",
	  NULL },
	{ "vlan", get_vlan, NULL, "(protocol, tci) of the VLAN tag (bridge family), or None.", NULL },
	{ "decided", get_decided, NULL, "Whether the packet has a verdict.", NULL },
	{ "queue", get_queue, NULL, "The Queue from which the packet came.", NULL },
	{ NULL }
};

#define VERDICT(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS
#define SETTINGS "Keywords: mark, priority, conntrack_mark, conntrack_mask, conntrack_labels, payload."

static PyMethodDef packet_methods[] = {
	{ "accept", VERDICT(packet_accept), "accept(**settings)\n\nAccept the packet.\n\n" SETTINGS },
	{ "drop", VERDICT(packet_drop), "drop()\n\nDrop the packet." },
	{ "repeat", VERDICT(packet_repeat),
	  "repeat(**settings)\n\nSend the packet through the same hook again; set a mark to "
	  "end the loop.\n\n" SETTINGS },
	{ "stop", VERDICT(packet_stop),
	  "stop(**settings)\n\nAccept the packet; later functions at this hook do not see it.\n\n" SETTINGS },
	{ "to_queue", VERDICT(packet_to_queue),
	  "to_queue(number, **settings)\n\nSend the packet to another queue.\n\n" SETTINGS },
	{ "accept_flow", (PyCFunction)(void (*)(void))packet_accept_flow, METH_VARARGS | METH_KEYWORDS,
	  "accept_flow($self, /, *, after=0, timeout=0, mark=None)\n--\n\nAccept the packet and the rest of "
	  "its flow. Later packets of the flow are not returned.\n\n"
	  "after: first accept this number of packets of the flow; timeout: seconds until the flow is "
	  "forgotten;\n"
	  "mark: the mark of every packet of the flow. See ipq_accept_flow(3)." },
	{ "drop_flow", (PyCFunction)(void (*)(void))packet_drop_flow, METH_VARARGS | METH_KEYWORDS,
	  "drop_flow($self, /, *, after=0, timeout=0)\n--\n\nDrop the packet and the rest of its flow." },
	{ "edit", (PyCFunction)(void (*)(void))packet_edit, METH_VARARGS | METH_KEYWORDS,
	  "edit($self, /, room=65535)\n--\n\nReturn an Edit: a copy to change, with lengths and checksums "
	  "kept right." },
	{ "_leave", packet_leave, METH_NOARGS,
	  "Leave the packet without a verdict, also when this object is deleted." },
	{ "keep", packet_keep, METH_NOARGS,
	  "keep($self, /)\n--\n\nCopy the packet's bytes out of the queue's memory now. Returns the "
	  "packet.\n\n"
	  "If the program still has a packet at the next receive, the packet is kept without this call." },
	{ NULL }
};

static PyType_Slot packet_slots[] = {
	{ Py_tp_doc,
	  "A packet. Give it one verdict. A packet that is deleted without a verdict is dropped." },
	{ Py_tp_dealloc, packet_dealloc },
	{ Py_tp_repr, packet_repr },
	{ Py_tp_methods, packet_methods },
	{ Py_tp_getset, packet_getset },
	{ Py_bf_getbuffer, packet_getbuffer },
	{ Py_bf_releasebuffer, packet_releasebuffer },
	{ Py_sq_length, packet_length },
	{ 0, NULL }
};

static PyType_Spec packet_spec = { .name = "ipq._ipq.Packet",
				   .basicsize = sizeof(struct packet_object),
				   .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
				   .slots = packet_slots };

int packet_add_type(PyObject *module)
{
	if (packet_type == NULL)
		packet_type = (PyTypeObject *)PyType_FromSpec(&packet_spec);
	return packet_type == NULL ? -1 : PyModule_AddObjectRef(module, "Packet", (PyObject *)packet_type);
}
