/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include "binding.h"

PyObject *raise_errno(int err, const char *text)
{
	PyObject *args;

	if (text == NULL || *text == '\0')
		text = strerror(-err);
	/* The text may contain the name of a file, so it is decoded like one. */
	args = Py_BuildValue("(iN)", -err,
			     PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "backslashreplace"));
	if (args != NULL) {
		PyErr_SetObject(PyExc_OSError, args);
		Py_DECREF(args);
	}
	return NULL;
}

bool take_number(PyObject *value, unsigned long max, const char *name, unsigned long *number)
{
	PyObject *index = PyNumber_Index(value);

	if (index == NULL)
		return false;
	*number = PyLong_AsUnsignedLong(index);
	Py_DECREF(index);
	if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError))
		return false;
	if (PyErr_Occurred() || *number > max) {
		PyErr_Format(PyExc_OverflowError, "%s must be from 0 to %lu", name, max);
		return false;
	}
	return true;
}

static PyObject *checksum_complete(PyObject *module, PyObject *arg)
{
	Py_buffer b;
	int err;

	(void)module;
	if (PyObject_GetBuffer(arg, &b, PyBUF_WRITABLE) < 0)
		return NULL;
	err = ipq_checksum_complete(b.buf, (size_t)b.len);
	PyBuffer_Release(&b);
	if (err < 0)
		return raise_errno(err, NULL);
	Py_RETURN_NONE;
}

static PyObject *checksum_verify(PyObject *module, PyObject *arg)
{
	Py_buffer b;
	int wrong;

	(void)module;
	if (PyObject_GetBuffer(arg, &b, PyBUF_SIMPLE) < 0)
		return NULL;
	wrong = ipq_checksum_verify(b.buf, (size_t)b.len);
	PyBuffer_Release(&b);
	if (wrong < 0)
		return raise_errno(wrong, NULL);
	return PyLong_FromLong(wrong);
}

static PyMethodDef methods[] = {
	{ "checksum_complete", checksum_complete, METH_O,
	  "checksum_complete(packet)\n--\n\nCompute all checksums of a packet in a writable buffer." },
	{ "checksum_verify", checksum_verify, METH_O,
	  "checksum_verify(packet)\n--\n\nReturn 0 if all checksums of a packet are right, else CHECKSUM_ "
	  "bits." },
	{ NULL }
};

static const struct {
	const char *name;
	long value;
} constants[] = {
	{ "DROP", IPQ_DROP },
	{ "ACCEPT", IPQ_ACCEPT },
	{ "QUEUE", IPQ_QUEUE },
	{ "REPEAT", IPQ_REPEAT },
	{ "STOP", IPQ_STOP },
	{ "CHECKSUM_NETWORK_WRONG", IPQ_CHECKSUM_NETWORK_WRONG },
	{ "CHECKSUM_TRANSPORT_WRONG", IPQ_CHECKSUM_TRANSPORT_WRONG },
};

/* Other interpreters are refused, because the types and the list of freed packets belong to the whole process. */
static int fill_module(PyObject *module)
{
	if (PyInterpreterState_GetID(PyInterpreterState_Get()) != 0) {
		PyErr_SetString(PyExc_ImportError, "ipq works in the main interpreter only");
		return -1;
	}
	for (size_t i = 0; i < sizeof(constants) / sizeof(constants[0]); i++)
		if (PyModule_AddIntConstant(module, constants[i].name, constants[i].value) < 0)
			return -1;
	if (conntrack_add_types(module) < 0 || queue_add_type(module) < 0 || packet_add_type(module) < 0 ||
	    edit_add_type(module) < 0)
		return -1;
	return 0;
}

static PyModuleDef_Slot slots[] = { { Py_mod_exec, fill_module }, { 0, NULL } };

static struct PyModuleDef definition = {
	PyModuleDef_HEAD_INIT,
	.m_name = "_ipq",
	.m_methods = methods,
	.m_slots = slots,
};

PyMODINIT_FUNC PyInit__ipq(void);

PyMODINIT_FUNC PyInit__ipq(void)
{
	return PyModuleDef_Init(&definition);
}
