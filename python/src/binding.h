/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Python module ipq._ipq: the calls of <ipq.h> and <ipq_edit.h> as the types Queue, Packet and Edit.
 *
 * All state belongs to a Queue object and is protected by the GIL. Queue.recv() releases the GIL while it waits; a
 * verdict that another thread gives in the meantime is stored and the waiting thread, which is woken up, passes it on.
 * May use: the public headers of the library and Python's stable ABI (3.11), nothing else.
 */
#ifndef PYTHON_BINDING_H
#define PYTHON_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>
#include <ipq.h>
#include <ipq_edit.h>

#define BATCH_MAX 64 /* maximum number of packets per system call */

/* Memory that a queue has received packets into and that views still refer to. */
struct region {
	void *memory;
	size_t size;
	struct ipq_queue *queue; /* the queue, if it is closed and still owns the memory; else NULL */
	unsigned users;
};

struct packet_object;
struct late_verdict;

struct queue_object {
	PyObject_HEAD struct ipq_queue *queue; /* NULL: the queue is closed */
	PyObject *name;
	struct ipq_packet packet[BATCH_MAX]; /* packets of the last receive */
	/* borrowed references to the objects of these packets that still exist */
	struct packet_object *object[BATCH_MAX];
	int count, next; /* number of packets of the last receive; index of the first one not returned yet */
	int undecided;	 /* packets of the last receive without a verdict */
	int batch;	 /* maximum number of packets per receive */
	pid_t owner;
	bool receiving;	    /* a thread is in ipq_queue_recv(), or waits for the GIL afterwards */
	atomic_bool inside; /* the thread is still in ipq_queue_recv() */
	/* Queue.wake() was called, and no receive has returned an empty list because of it yet */
	bool woken;
	bool closing;	 /* another thread is in Queue.close() */
	bool slow_body;	 /* the program takes long to decide a packet, so each verdict is sent immediately */
	int64_t flushed; /* time in ns when verdicts were last sent */
	struct late_verdict *late, **late_end;
	unsigned long long forgotten;
};

struct packet_object {
	PyObject_HEAD struct queue_object *queue;
	struct ipq_packet packet;
	/* a copy, which owns the packet's memory; NULL: the queue or a region owns it */
	struct ipq_packet *kept;
	struct region *region;
	int index;	/* index in queue->object; -1: the packet is not from the last receive */
	unsigned views; /* number of exported buffers */
	bool decided;
	bool left; /* the packet must not be dropped when this object is deleted */
};

struct edit_object {
	PyObject_HEAD struct ipq_edit edit;
	unsigned char *memory;
	unsigned views;
};

extern PyTypeObject *queue_type, *packet_type, *edit_type, *stats_type, *flow_stats_type, *conntrack_type,
	*tuple_type;

int queue_add_type(PyObject *module);
int packet_add_type(PyObject *module);
int edit_add_type(PyObject *module);
int conntrack_add_types(PyObject *module);

/* Sets OSError (or its subclass for err) with this text, and returns NULL. err is negative. */
PyObject *raise_errno(int err, const char *text);

/* Creates a Packet object for queue->packet[index]. */
PyObject *packet_new(struct queue_object *queue, int index);
/* Reads an integer from 0 to max. name: its name for the error message. False with an exception set. */
bool take_number(PyObject *value, unsigned long max, const char *name, unsigned long *number);

/* Saves the packet's bytes before the next receive overwrites the queue's memory. False with an exception set. */
bool packet_outlive(struct packet_object *packet, struct region *region);
/* Decides a packet whose object is still referenced: 0, or -1 with an exception set. */
int packet_decide(struct packet_object *packet, const struct ipq_verdict *verdict);
/* Drops a packet that can no longer be decided because its object is deleted. */
void queue_forget(struct queue_object *queue, struct packet_object *packet);
/* Passes a verdict to the library, or stores it for the thread that waits. 0, or -1 with an exception set. */
int queue_decide(struct queue_object *queue, const struct ipq_packet *packet,
		 const struct ipq_verdict *verdict);

/* Decides a packet with its flow. 0, or -1 with an exception set. */
int queue_decide_flow(struct queue_object *queue, const struct ipq_packet *packet,
		      const struct ipq_flow_verdict *verdict);

/* Sends pending verdicts, unless more verdicts are about to follow. 0, or -1 with an exception set. */
int queue_send_if_due(struct queue_object *queue);

PyObject *packet_edit(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *packet_conntrack(PyObject *self, void *closure);

#endif
