/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Edit: a copy of a packet that can be changed; after each change its lengths and checksums are right. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include "binding.h"

PyTypeObject *edit_type;

static struct ipq_edit *as_edit(PyObject *obj)
{
	return &((struct edit_object *)obj)->edit;
}

/* Converts an error of <ipq_edit.h> to an exception. */
static PyObject *raise_edit(int err)
{
	switch (err) {
	case -EOPNOTSUPP:
		return raise_errno(
			err,
			"the packet is a fragment, authenticated or encrypted: this edit is not possible");
	case -EPROTONOSUPPORT:
		return raise_errno(err, "the packet's protocol has no such field");
	case -EBADMSG:
		return raise_errno(err, "the packet is malformed");
	case -ENODATA:
		return raise_errno(err, "the packet is cut: open the queue with a larger copy_range");
	case -EMSGSIZE:
		return raise_errno(err, "the packet would have more than 65535 bytes");
	case -ENOSPC:
		return raise_errno(err, "no room for the longer packet: call edit() with a larger room");
	case -EAFNOSUPPORT:
		return raise_errno(err, "the address is of another family than the packet");
	default:
		return raise_errno(err, NULL);
	}
}

static PyObject *done(int err)
{
	if (err < 0)
		return raise_edit(err);
	Py_RETURN_NONE;
}

static bool take_room(PyObject *value, unsigned long *room)
{
	return value == NULL || take_number(value, UINT32_MAX, "room", room);
}

static PyObject *edit_begin(const void *bytes, size_t len, size_t room, uint32_t flags)
{
	struct edit_object *self = PyObject_New(struct edit_object, edit_type);
	int err;

	if (self == NULL)
		return NULL;
	if (room < len)
		room = len;
	self->views = 0;
	self->memory = malloc(room > 0 ? room : 1);
	if (self->memory == NULL) {
		Py_DECREF(self);
		return PyErr_NoMemory();
	}
	memcpy(self->memory, bytes, len);
	err = ipq_edit_begin(&self->edit, self->memory, len, room, flags);
	if (err < 0) {
		Py_DECREF(self);
		return raise_edit(err);
	}
	return (PyObject *)self;
}

PyObject *packet_edit(PyObject *obj, PyObject *args, PyObject *keywords)
{
	static char *names[] = { "room", NULL };
	const struct ipq_packet *p = &((struct packet_object *)obj)->packet;
	unsigned long room = 65535;
	PyObject *value = NULL;

	if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O:edit", names, &value) ||
	    !take_room(value, &room))
		return NULL;
	if ((p->present & IPQ_HAS_PAYLOAD) == 0) {
		PyErr_SetString(PyExc_ValueError,
				"the packet has no payload: open the queue without meta_only");
		return NULL;
	}
	return edit_begin(p->payload, p->payload_len, room, p->flags);
}

static PyObject *edit_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
	static char *names[] = { "packet", "room", NULL };
	PyObject *packet, *value = NULL, *self;
	unsigned long room = 65535;
	Py_buffer b;

	(void)type;
	if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|O:Edit", names, &packet, &value) ||
	    !take_room(value, &room) || PyObject_GetBuffer(packet, &b, PyBUF_SIMPLE) < 0)
		return NULL;
	self = edit_begin(b.buf, (size_t)b.len, room, 0);
	PyBuffer_Release(&b);
	return self;
}

static void edit_dealloc(PyObject *obj)
{
	PyTypeObject *type = Py_TYPE(obj);
	freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

	free(((struct edit_object *)obj)->memory);
	release(obj);
	Py_DECREF(type);
}

static int edit_getbuffer(PyObject *obj, Py_buffer *view, int flags)
{
	if (PyBuffer_FillInfo(view, obj, as_edit(obj)->data, as_edit(obj)->len, 1, flags) < 0)
		return -1;
	((struct edit_object *)obj)->views++;
	return 0;
}

static void edit_releasebuffer(PyObject *obj, Py_buffer *view)
{
	(void)view;
	((struct edit_object *)obj)->views--;
}

static Py_ssize_t edit_length(PyObject *obj)
{
	return as_edit(obj)->len;
}

/* ---- addresses ---------------------------------------------------------------------------------- */

static PyObject *get_address(PyObject *obj, void *closure)
{
	const struct ipq_edit *e = as_edit(obj);
	bool destination = *(int *)closure;
	char text[INET6_ADDRSTRLEN];

	if (e->version == 4)
		inet_ntop(AF_INET, e->data + (destination ? 16 : 12), text, sizeof(text));
	else
		inet_ntop(AF_INET6, e->data + (destination ? 24 : 8), text, sizeof(text));
	return PyUnicode_FromString(text);
}

static int set_address(PyObject *obj, PyObject *value, void *closure)
{
	struct ipq_edit *e = as_edit(obj);
	bool destination = *(int *)closure;
	/* accept any object whose str() is an address, such as an ipaddress object */
	PyObject *text = value != NULL ? PyObject_Str(value) : NULL;
	PyObject *bytes = text != NULL ? PyUnicode_AsASCIIString(text) : NULL;
	const char *chars = bytes != NULL ? PyBytes_AsString(bytes) : NULL;
	unsigned char address[16];
	int family = chars != NULL && strchr(chars, ':') != NULL ? AF_INET6 : AF_INET, err;
	size_t len = family == AF_INET6 ? 16 : 4;

	if (chars == NULL) {
		if (!PyErr_Occurred())
			PyErr_SetString(PyExc_TypeError, "an address cannot be deleted");
		err = -1;
	} else if (strlen(chars) != (size_t)PyBytes_Size(bytes) || inet_pton(family, chars, address) != 1) {
		PyErr_Format(PyExc_ValueError, "not an IP address: %R", value);
		err = -1;
	} else {
		err = destination ? ipq_edit_set_destination(e, address, len)
				  : ipq_edit_set_source(e, address, len);
		if (err < 0)
			raise_edit(err);
	}
	Py_XDECREF(bytes);
	Py_XDECREF(text);
	return err < 0 ? -1 : 0;
}

/* ---- numbers ------------------------------------------------------------------------------------ */

enum field {
	SOURCE_PORT,
	DESTINATION_PORT,
	TTL,
	DSCP,
	ECN,
	TCP_SEQUENCE,
	TCP_ACKNOWLEDGEMENT,
	TCP_WINDOW,
	ICMP_ID
};

static const unsigned long max_value[] = { 65535, 65535, 255, 63, 3, UINT32_MAX, UINT32_MAX, 65535, 65535 };

static unsigned long get16(const uint8_t *at)
{
	return (unsigned long)at[0] << 8 | at[1];
}

static unsigned long traffic_class(const struct ipq_edit *e)
{
	return e->version == 4 ? e->data[1] : get16(e->data) >> 4 & 0xff;
}

static bool has_ports(const struct ipq_edit *e)
{
	return e->transport_error == 0 &&
	       (e->protocol == IPPROTO_TCP || e->protocol == IPPROTO_UDP || e->protocol == IPPROTO_UDPLITE);
}

static PyObject *get_field(PyObject *obj, void *closure)
{
	const struct ipq_edit *e = as_edit(obj);
	enum field field = *(enum field *)closure;
	const uint8_t *transport = e->data + e->transport;
	bool tcp = e->transport_error == 0 && e->protocol == IPPROTO_TCP;
	bool echo = e->transport_error == 0 &&
		    ((e->protocol == IPPROTO_ICMP && (transport[0] == 0 || transport[0] == 8)) ||
		     (e->protocol == IPPROTO_ICMPV6 && (transport[0] == 128 || transport[0] == 129)));

	if (field == TTL)
		return PyLong_FromLong(e->version == 4 ? e->data[8] : e->data[7]);
	if (field == DSCP)
		return PyLong_FromUnsignedLong(traffic_class(e) >> 2);
	if (field == ECN)
		return PyLong_FromUnsignedLong(traffic_class(e) & 3);
	if (field <= DESTINATION_PORT && has_ports(e))
		return PyLong_FromUnsignedLong(get16(transport + (field == DESTINATION_PORT ? 2 : 0)));
	if (field == TCP_SEQUENCE && tcp)
		return PyLong_FromUnsignedLong(get16(transport + 4) << 16 | get16(transport + 6));
	if (field == TCP_ACKNOWLEDGEMENT && tcp)
		return PyLong_FromUnsignedLong(get16(transport + 8) << 16 | get16(transport + 10));
	if (field == TCP_WINDOW && tcp)
		return PyLong_FromUnsignedLong(get16(transport + 14));
	if (field == ICMP_ID && echo)
		return PyLong_FromUnsignedLong(get16(transport + 4));
	Py_RETURN_NONE;
}

static int set_field(PyObject *obj, PyObject *value, void *closure)
{
	struct ipq_edit *e = as_edit(obj);
	enum field field = *(enum field *)closure;
	unsigned long n;
	int err = 0;

	if (value == NULL) {
		PyErr_SetString(PyExc_TypeError, "a field of a packet cannot be deleted");
		return -1;
	}
	if (!take_number(value, max_value[field], "the value", &n))
		return -1;
	switch (field) {
	case SOURCE_PORT:
		err = ipq_edit_set_source_port(e, (uint16_t)n);
		break;
	case DESTINATION_PORT:
		err = ipq_edit_set_destination_port(e, (uint16_t)n);
		break;
	case TTL:
		err = ipq_edit_set_ttl(e, (uint8_t)n);
		break;
	case DSCP:
		err = ipq_edit_set_dscp(e, (unsigned)n);
		break;
	case ECN:
		err = ipq_edit_set_ecn(e, (unsigned)n);
		break;
	case TCP_SEQUENCE:
		err = ipq_edit_set_tcp_sequence(e, (uint32_t)n);
		break;
	case TCP_ACKNOWLEDGEMENT:
		err = ipq_edit_set_tcp_acknowledgement(e, (uint32_t)n);
		break;
	case TCP_WINDOW:
		err = ipq_edit_set_tcp_window(e, (uint16_t)n);
		break;
	case ICMP_ID:
		err = ipq_edit_set_icmp_id(e, (uint16_t)n);
		break;
	}
	if (err < 0)
		raise_edit(err);
	return err < 0 ? -1 : 0;
}

static PyObject *get_plain(PyObject *obj, void *closure)
{
	const struct ipq_edit *e = as_edit(obj);

	return PyLong_FromLong(*(int *)closure == 0 ? e->version : e->protocol);
}

/* ---- payload ------------------------------------------------------------------------------------ */

static PyObject *get_payload(PyObject *obj, void *closure)
{
	const struct ipq_edit *e = as_edit(obj);

	(void)closure;
	return PyBytes_FromStringAndSize((const char *)e->data + e->payload, e->payload_len);
}

/* Call it after the arguments were parsed, because they may be views of this edit. */
static bool may_change_length(PyObject *obj)
{
	if (((struct edit_object *)obj)->views == 0)
		return true;
	PyErr_SetString(PyExc_BufferError, "release the views of the edit before its length changes");
	return false;
}

static PyObject *replace(PyObject *obj, size_t offset, size_t old_len, PyObject *bytes)
{
	PyObject *result = NULL;
	Py_buffer b;
	int err;

	if (PyObject_GetBuffer(bytes, &b, PyBUF_SIMPLE) < 0)
		return NULL;
	if (may_change_length(obj)) {
		err = ipq_edit_replace(as_edit(obj), offset, old_len, b.buf, (size_t)b.len);
		if (err == -EINVAL)
			PyErr_SetString(PyExc_IndexError, "offset and length are not inside the payload");
		else
			result = done(err);
	}
	PyBuffer_Release(&b);
	return result;
}

static int set_payload(PyObject *obj, PyObject *value, void *closure)
{
	PyObject *result;

	(void)closure;
	if (value == NULL) {
		PyErr_SetString(PyExc_TypeError, "assign b\"\" to remove the payload");
		return -1;
	}
	result = replace(obj, 0, as_edit(obj)->payload_len, value);
	Py_XDECREF(result);
	return result != NULL ? 0 : -1;
}

static PyObject *edit_replace(PyObject *obj, PyObject *args)
{
	Py_ssize_t offset, old_len;
	PyObject *bytes;

	if (!PyArg_ParseTuple(args, "nnO:replace", &offset, &old_len, &bytes))
		return NULL;
	if (offset < 0 || old_len < 0) {
		PyErr_SetString(PyExc_IndexError, "offset and length must not be negative");
		return NULL;
	}
	return replace(obj, (size_t)offset, (size_t)old_len, bytes);
}

static PyObject *edit_substitute(PyObject *obj, PyObject *args)
{
	PyObject *result = NULL;
	Py_buffer from, to;
	int n;

	if (!PyArg_ParseTuple(args, "y*y*:substitute", &from, &to))
		return NULL;
	if (may_change_length(obj)) {
		n = ipq_edit_substitute(as_edit(obj), from.buf, (size_t)from.len, to.buf, (size_t)to.len);
		if (n >= 0)
			result = PyLong_FromLong(n);
		else if (n == -EINVAL)
			PyErr_SetString(PyExc_ValueError, "the text to replace is empty");
		else
			raise_edit(n);
	}
	PyBuffer_Release(&from);
	PyBuffer_Release(&to);
	return result;
}

static PyObject *edit_set_tcp_option(PyObject *obj, PyObject *args)
{
	PyObject *result = NULL;
	unsigned char kind;
	Py_buffer value;

	if (!PyArg_ParseTuple(args, "by*:set_tcp_option", &kind, &value))
		return NULL;
	if (may_change_length(obj))
		result = done(ipq_edit_set_tcp_option(as_edit(obj), kind, value.buf, (size_t)value.len));
	PyBuffer_Release(&value);
	return result;
}

static PyObject *edit_clear_tcp_option(PyObject *obj, PyObject *args)
{
	unsigned char kind;

	if (!PyArg_ParseTuple(args, "b:clear_tcp_option", &kind))
		return NULL;
	return done(ipq_edit_clear_tcp_option(as_edit(obj), kind));
}

static PyObject *edit_clamp_mss(PyObject *obj, PyObject *arg)
{
	unsigned long mss;
	int changed;

	if (!take_number(arg, UINT16_MAX, "mss", &mss))
		return NULL;
	changed = ipq_edit_clamp_mss(as_edit(obj), (uint16_t)mss);
	return changed < 0 ? raise_edit(changed) : PyBool_FromLong(changed);
}

/* ---- the type ----------------------------------------------------------------------------------- */

#define FIELD(field) get_field, set_field
#define WHICH(name)   \
	&(enum field) \
	{             \
		name  \
	}
#define INT(number)    \
	&(int)         \
	{              \
		number \
	}

static PyGetSetDef edit_getset[] = {
	{ "source", get_address, set_address, "Source address, as text.", INT(0) },
	{ "destination", get_address, set_address, "Destination address, as text.", INT(1) },
	{ "source_port", FIELD(SOURCE_PORT), "Source port, or None.", WHICH(SOURCE_PORT) },
	{ "destination_port", FIELD(DESTINATION_PORT), "Destination port, or None.",
	  WHICH(DESTINATION_PORT) },
	{ "ttl", FIELD(TTL), "Time to live, or hop limit.", WHICH(TTL) },
	{ "dscp", FIELD(DSCP), "Differentiated services code point.", WHICH(DSCP) },
	{ "ecn", FIELD(ECN), "Explicit congestion notification.", WHICH(ECN) },
	{ "tcp_sequence", FIELD(TCP_SEQUENCE), "TCP sequence number, or None.", WHICH(TCP_SEQUENCE) },
	{ "tcp_acknowledgement", FIELD(TCP_ACKNOWLEDGEMENT), "TCP acknowledgement number, or None.",
	  WHICH(TCP_ACKNOWLEDGEMENT) },
	{ "tcp_window", FIELD(TCP_WINDOW), "TCP window, unscaled, or None.", WHICH(TCP_WINDOW) },
	{ "icmp_id", FIELD(ICMP_ID), "Identifier of an ICMP echo message, or None.", WHICH(ICMP_ID) },
	{ "version", get_plain, NULL, "4 or 6.", INT(0) },
	{ "protocol", get_plain, NULL, "IPPROTO_ number of the transport protocol.", INT(1) },
	{ "payload", get_payload, set_payload,
	  "The payload of TCP, UDP or ICMP, as bytes. Assigning changes lengths and checksums too.", NULL },
	{ NULL }
};

static PyMethodDef edit_methods[] = {
	{ "replace", edit_replace, METH_VARARGS,
	  "replace($self, offset, old_len, new, /)\n--\n\nPut new bytes in the place of old_len bytes of the "
	  "payload." },
	{ "substitute", edit_substitute, METH_VARARGS,
	  "substitute($self, old, new, /)\n--\n\nReplace every occurrence in the payload. Returns the "
	  "number of occurrences." },
	{ "set_tcp_option", edit_set_tcp_option, METH_VARARGS,
	  "set_tcp_option($self, kind, value, /)\n--\n\nGive a TCP option this value." },
	{ "clear_tcp_option", edit_clear_tcp_option, METH_VARARGS,
	  "clear_tcp_option($self, kind, /)\n--\n\nOverwrite a TCP option with NOP." },
	{ "clamp_mss", edit_clamp_mss, METH_O,
	  "clamp_mss($self, mss, /)\n--\n\nLower the maximum segment size of a SYN. Returns whether the "
	  "size was lowered." },
	{ NULL }
};

static PyType_Slot edit_slots[] = {
	{ Py_tp_doc,
	  "Edit(packet, room=65535)\n--\n\nA copy of a packet that can be changed. Pass it as payload of a "
	  "verdict; bytes(edit) are its bytes." },
	{ Py_tp_new, edit_new },
	{ Py_tp_dealloc, edit_dealloc },
	{ Py_tp_methods, edit_methods },
	{ Py_tp_getset, edit_getset },
	{ Py_bf_getbuffer, edit_getbuffer },
	{ Py_bf_releasebuffer, edit_releasebuffer },
	{ Py_sq_length, edit_length },
	{ 0, NULL }
};

static PyType_Spec edit_spec = { .name = "ipq._ipq.Edit",
				 .basicsize = sizeof(struct edit_object),
				 .flags = Py_TPFLAGS_DEFAULT,
				 .slots = edit_slots };

int edit_add_type(PyObject *module)
{
	if (edit_type == NULL)
		edit_type = (PyTypeObject *)PyType_FromSpec(&edit_spec);
	return edit_type == NULL ? -1 : PyModule_AddObjectRef(module, "Edit", (PyObject *)edit_type);
}
