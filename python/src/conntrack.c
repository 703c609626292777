/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The conntrack entry of a packet. */
#include <arpa/inet.h>
#include <errno.h>
#include "binding.h"

PyTypeObject *conntrack_type, *tuple_type;

static PyStructSequence_Field tuple_fields[] = {
	{ "family", "AF_INET or AF_INET6" },
	{ "protocol", "IPPROTO_ number" },
	{ "source", "address" },
	{ "destination", "address" },
	{ "source_port", "port, or the id of an ICMP query" },
	{ "destination_port", "port" },
	{ "icmp_type", "type of an ICMP query" },
	{ "icmp_code", "code of an ICMP query" },
	{ NULL, NULL },
};

static PyStructSequence_Field conntrack_fields[] = {
	{ "id", "number of the entry" },
	{ "status", "IPS_ bits" },
	{ "mark", "connection mark" },
	{ "timeout", "seconds" },
	{ "zone", "zone" },
	{ "tcp_state", "TCP state" },
	{ "original", "Tuple of the first direction" },
	{ "reply", "Tuple of the other direction" },
	{ "labels", "16 bytes" },
	{ NULL, NULL },
};

static PyObject *address(const struct ipq_tuple *t, const uint8_t *bytes)
{
	char text[INET6_ADDRSTRLEN];

	if (inet_ntop(t->family, bytes, text, sizeof(text)) == NULL)
		Py_RETURN_NONE;
	return PyUnicode_FromString(text);
}

static PyObject *tuple_new(const struct ipq_tuple *t)
{
	PyObject *result = PyStructSequence_New(tuple_type);

	if (result == NULL)
		return NULL;
	PyStructSequence_SetItem(result, 0, PyLong_FromLong(t->family));
	PyStructSequence_SetItem(result, 1, PyLong_FromLong(t->protocol));
	PyStructSequence_SetItem(result, 2, address(t, t->source));
	PyStructSequence_SetItem(result, 3, address(t, t->destination));
	PyStructSequence_SetItem(result, 4, PyLong_FromLong(t->source_port));
	PyStructSequence_SetItem(result, 5, PyLong_FromLong(t->destination_port));
	PyStructSequence_SetItem(result, 6, PyLong_FromLong(t->icmp_type));
	PyStructSequence_SetItem(result, 7, PyLong_FromLong(t->icmp_code));
	return result;
}

static PyObject *number_or_none(const struct ipq_conntrack *ct, uint32_t bit, uint32_t value)
{
	if ((ct->present & bit) == 0)
		Py_RETURN_NONE;
	return PyLong_FromUnsignedLong(value);
}

static PyObject *tuple_or_none(const struct ipq_conntrack *ct, uint32_t bit, const struct ipq_tuple *t)
{
	if ((ct->present & bit) == 0)
		Py_RETURN_NONE;
	return tuple_new(t);
}

PyObject *packet_conntrack(PyObject *self, void *closure)
{
	struct ipq_conntrack ct = { .size = sizeof(ct) };
	int err = ipq_packet_conntrack(&((struct packet_object *)self)->packet, &ct);
	PyObject *result;

	(void)closure;
	if (err == -ENODATA)
		Py_RETURN_NONE;
	if (err < 0)
		return raise_errno(err, NULL);
	result = PyStructSequence_New(conntrack_type);
	if (result == NULL)
		return NULL;
	PyStructSequence_SetItem(result, 0, number_or_none(&ct, IPQ_CT_HAS_ID, ct.id));
	PyStructSequence_SetItem(result, 1, number_or_none(&ct, IPQ_CT_HAS_STATUS, ct.status));
	PyStructSequence_SetItem(result, 2, number_or_none(&ct, IPQ_CT_HAS_MARK, ct.mark));
	PyStructSequence_SetItem(result, 3, number_or_none(&ct, IPQ_CT_HAS_TIMEOUT, ct.timeout));
	PyStructSequence_SetItem(result, 4, number_or_none(&ct, IPQ_CT_HAS_ZONE, ct.zone));
	PyStructSequence_SetItem(result, 5, number_or_none(&ct, IPQ_CT_HAS_TCP_STATE, ct.tcp_state));
	PyStructSequence_SetItem(result, 6, tuple_or_none(&ct, IPQ_CT_HAS_ORIGINAL, &ct.original));
	PyStructSequence_SetItem(result, 7, tuple_or_none(&ct, IPQ_CT_HAS_REPLY, &ct.reply));
	PyStructSequence_SetItem(
		result, 8,
		ct.present & IPQ_CT_HAS_LABELS
			? PyBytes_FromStringAndSize((const char *)ct.labels, sizeof(ct.labels))
			: Py_NewRef(Py_None));
	return result;
}

int conntrack_add_types(PyObject *module)
{
	static PyStructSequence_Desc tuple = { .name = "ipq.Tuple",
					       .doc = "Addresses and ports of one direction of a connection.",
					       .fields = tuple_fields,
					       .n_in_sequence = 8 };
	static PyStructSequence_Desc conntrack = {
		.name = "ipq.Conntrack",
		.doc = "The connection tracking entry of a packet's connection.",
		.fields = conntrack_fields,
		.n_in_sequence = 9
	};

	if (tuple_type == NULL)
		tuple_type = PyStructSequence_NewType(&tuple);
	if (conntrack_type == NULL)
		conntrack_type = PyStructSequence_NewType(&conntrack);
	if (tuple_type == NULL || conntrack_type == NULL ||
	    PyModule_AddObjectRef(module, "Tuple", (PyObject *)tuple_type) < 0)
		return -1;
	return PyModule_AddObjectRef(module, "Conntrack", (PyObject *)conntrack_type);
}
