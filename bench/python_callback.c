/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The module nfq_callback for python.py: it works like the usual bindings of libnetfilter_queue. A message is
 * received, libnetfilter_queue parses it, a packet object is created, a Python callback is called, and its accept()
 * sends a verdict.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <libnetfilter_queue/libnetfilter_queue.h>

struct packet {
	PyObject_HEAD struct nfq_q_handle *queue;
	uint32_t id, mark;
	uint8_t *payload;
	int len;
	struct timeval time;
	bool decided;
};

static PyTypeObject *packet_type;

static PyObject *packet_accept(PyObject *obj, PyObject *ignored)
{
	struct packet *p = (struct packet *)obj;

	(void)ignored;
	nfq_set_verdict(p->queue, p->id, NF_ACCEPT, 0, NULL);
	p->decided = true;
	Py_RETURN_NONE;
}

static int on_packet(struct nfq_q_handle *queue, struct nfgenmsg *message, struct nfq_data *data,
		     void *callback)
{
	struct packet *p = PyObject_New(struct packet, packet_type);
	PyObject *result;

	(void)message;
	if (p == NULL)
		return -1;
	p->queue = queue;
	p->id = ntohl(nfq_get_msg_packet_hdr(data)->packet_id);
	p->mark = nfq_get_nfmark(data);
	p->len = nfq_get_payload(data, &p->payload);
	nfq_get_timestamp(data, &p->time);
	p->decided = false;
	result = PyObject_CallFunctionObjArgs(callback, (PyObject *)p, NULL);
	Py_XDECREF(result);
	Py_DECREF(p);
	return result != NULL ? 0 : -1;
}

/* run(number, callback): receives packets until a callback raises an exception. */
static PyObject *run(PyObject *module, PyObject *args)
{
	char buffer[65536];
	struct nfq_handle *h;
	struct nfq_q_handle *queue;
	PyObject *callback;
	int number;
	ssize_t n;

	(void)module;
	if (!PyArg_ParseTuple(args, "iO", &number, &callback))
		return NULL;
	h = nfq_open();
	queue = h != NULL ? nfq_create_queue(h, (uint16_t)number, on_packet, callback) : NULL;
	if (queue == NULL)
		return PyErr_SetFromErrno(PyExc_OSError);
	nfq_set_mode(queue, NFQNL_COPY_PACKET, 65535);
	nfq_set_queue_maxlen(queue, 16384);
	nfnl_rcvbufsiz(nfq_nfnlh(h), 32 << 20);
	do {
		Py_BEGIN_ALLOW_THREADS n = recv(nfq_fd(h), buffer, sizeof(buffer), 0);
		Py_END_ALLOW_THREADS if (n > 0) nfq_handle_packet(h, buffer, (int)n);
		else PyErr_CheckSignals();
	} while (!PyErr_Occurred());
	nfq_destroy_queue(queue);
	nfq_close(h);
	return NULL;
}

static PyMethodDef packet_methods[] = { { "accept", packet_accept, METH_NOARGS, NULL },
					{ NULL, NULL, 0, NULL } };
static PyType_Slot packet_slots[] = { { Py_tp_methods, packet_methods }, { 0, NULL } };
static PyType_Spec packet_spec = { .name = "nfq_callback.Packet",
				   .basicsize = sizeof(struct packet),
				   .flags = Py_TPFLAGS_DEFAULT,
				   .slots = packet_slots };
static PyMethodDef methods[] = { { "run", run, METH_VARARGS, NULL }, { NULL, NULL, 0, NULL } };
static struct PyModuleDef definition = { PyModuleDef_HEAD_INIT, .m_name = "nfq_callback", .m_size = -1,
					 .m_methods = methods };

PyMODINIT_FUNC PyInit_nfq_callback(void);

PyMODINIT_FUNC PyInit_nfq_callback(void)
{
	packet_type = (PyTypeObject *)PyType_FromSpec(&packet_spec);
	return packet_type != NULL ? PyModule_Create(&definition) : NULL;
}
