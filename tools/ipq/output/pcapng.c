/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <ipq_edit.h>
#include "output/pcapng.h"
#include "util/safe_open.h"

enum {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET = 6,
	BYTE_ORDER_MAGIC = 0x1a2b3c4d,
	LINKTYPE_RAW = 101,
	OPTION_END = 0,
	OPTION_COMMENT = 1,
	OPTION_USER_APPLICATION = 4, /* of a section */
	OPTION_INTERFACE_NAME = 2,
	OPTION_INTERFACE_RESOLUTION = 9,
	OPTION_PACKET_FLAGS = 2,
	DIRECTION_IN = 1,
	DIRECTION_OUT = 2,
	MAX_NAMES = 4096,
};

struct pcapng {
	FILE *out;
	pthread_mutex_t lock;
	int error;
	char *name[MAX_NAMES]; /* interface i of the file */
	unsigned names;
	uint8_t block[65536 + 4096];
	size_t used;
};

static void put(struct pcapng *f, const void *bytes, size_t len)
{
	static const uint8_t zero[4];
	size_t padded = (len + 3) & ~(size_t)3;

	if (f->used + padded + 4 > sizeof(f->block)) {
		f->error = -EMSGSIZE;
		return;
	}
	if (len > 0)
		memcpy(f->block + f->used, bytes, len);
	memcpy(f->block + f->used + len, zero, padded - len);
	f->used += padded;
}

static void put32(struct pcapng *f, uint32_t value)
{
	put(f, &value, sizeof(value));
}

static void put_option(struct pcapng *f, uint16_t code, const void *bytes, size_t len)
{
	uint16_t head[2] = { code, (uint16_t)len };

	put(f, head, sizeof(head));
	put(f, bytes, len);
}

static void begin(struct pcapng *f, uint32_t type)
{
	f->used = 0;
	put32(f, type);
	put32(f, 0); /* the length, see end() */
}

static void end(struct pcapng *f)
{
	uint32_t total = (uint32_t)f->used + 4;

	memcpy(f->block + 4, &total, sizeof(total));
	put32(f, total);
	if (f->error == 0 && fwrite(f->block, 1, f->used, f->out) != f->used)
		f->error = errno != 0 ? -errno : -EIO;
}

static void put_section(struct pcapng *f)
{
	static const char application[] = "ipq";
	const uint16_t version[2] = { 1, 0 };
	const int64_t unknown_length = -1;

	begin(f, BLOCK_SECTION);
	put32(f, BYTE_ORDER_MAGIC);
	put(f, version, sizeof(version));
	put(f, &unknown_length, sizeof(unknown_length));
	put_option(f, OPTION_USER_APPLICATION, application, strlen(application));
	put_option(f, OPTION_END, NULL, 0);
	end(f);
}

static void put_interface(struct pcapng *f, const char *name)
{
	const uint16_t link[2] = { LINKTYPE_RAW, 0 };
	const uint8_t nanoseconds = 9;

	begin(f, BLOCK_INTERFACE);
	put(f, link, sizeof(link));
	put32(f, 0); /* no limit to the length of packets */
	if (*name != '\0')
		put_option(f, OPTION_INTERFACE_NAME, name, strlen(name));
	put_option(f, OPTION_INTERFACE_RESOLUTION, &nanoseconds, 1);
	put_option(f, OPTION_END, NULL, 0);
	end(f);
}

/* The number of an interface in the file; a new one is introduced. */
static uint32_t interface_number(struct pcapng *f, const char *name)
{
	unsigned i;

	for (i = 0; i < f->names; i++)
		if (strcmp(f->name[i], name) == 0)
			return i;
	if (i == MAX_NAMES)
		return 0;
	f->name[i] = strdup(name);
	if (f->name[i] == NULL) {
		f->error = -ENOMEM;
		return 0;
	}
	put_interface(f, name);
	f->names++;
	return i;
}

static void put_packet(struct pcapng *f, const struct pcapng_record *r)
{
	const struct ipq_packet *p = r->packet;
	uint32_t number = interface_number(f, r->interface);
	uint32_t len = (p->present & IPQ_HAS_PAYLOAD) != 0 ? p->payload_len : 0;
	uint32_t flags = p->hook <= 1 ? DIRECTION_IN : p->hook >= 3 ? DIRECTION_OUT : 0;
	size_t bytes;

	begin(f, BLOCK_PACKET);
	put32(f, number);
	put32(f, (uint32_t)((uint64_t)r->time >> 32));
	put32(f, (uint32_t)r->time);
	put32(f, len);
	put32(f, p->full_len);
	bytes = f->used;
	put(f, p->payload, len);
	/* What a device was to complete would look damaged in the file. */
	if (f->error == 0 && (p->flags & IPQ_PACKET_CHECKSUM_NOT_READY) != 0 && len == p->full_len)
		ipq_checksum_complete(f->block + bytes, len);
	put_option(f, OPTION_PACKET_FLAGS, &flags, sizeof(flags));
	if (r->comment != NULL)
		put_option(f, OPTION_COMMENT, r->comment, strnlen(r->comment, 1024));
	put_option(f, OPTION_END, NULL, 0);
	end(f);
}

/* An existing file is emptied, as shells do. */
static FILE *open_file(const char *path, struct ipq_error *e)
{
	int fd = strcmp(path, "-") == 0 ? STDOUT_FILENO : safe_open(path, 0, e);
	struct stat st;
	FILE *out = NULL;

	if (fd < 0 || safe_open_refuse_terminal(fd, path, e) < 0)
		goto out;
	if (fd == STDOUT_FILENO)
		return stdout;
	if (fstat(fd, &st) == 0 && (!S_ISREG(st.st_mode) || ftruncate(fd, 0) == 0))
		out = fdopen(fd, "w");
	if (out == NULL)
		ipq_fail(e, errno, "%s: %s", path, strerror(errno));
out:
	if (out == NULL && fd > STDERR_FILENO)
		close(fd);
	return out;
}

int pcapng_open(struct pcapng **file, const char *path, struct ipq_error *e)
{
	struct pcapng *f = calloc(1, sizeof(*f));
	int err;

	*file = NULL;
	if (f == NULL)
		return ipq_fail(e, ENOMEM, "out of memory");
	f->out = open_file(path, e);
	if (f->out == NULL) {
		free(f);
		return -EIO;
	}
	setvbuf(f->out, NULL, _IOFBF, 1 << 18);
	pthread_mutex_init(&f->lock, NULL);
	put_section(f);
	interface_number(f, ""); /* a file without an interface is refused by some readers */
	err = pcapng_flush(f);
	if (err == 0) {
		*file = f;
		return 0;
	}
	pcapng_close(f);
	return ipq_fail(e, -err, "%s: %s", path, strerror(-err));
}

int pcapng_write(struct pcapng *f, const struct pcapng_record *record)
{
	int err;

	pthread_mutex_lock(&f->lock);
	if (f->error == 0)
		put_packet(f, record);
	err = f->error;
	pthread_mutex_unlock(&f->lock);
	return err;
}

int pcapng_flush(struct pcapng *f)
{
	int err;

	pthread_mutex_lock(&f->lock);
	if (fflush(f->out) != 0 && f->error == 0)
		f->error = -errno;
	err = f->error;
	pthread_mutex_unlock(&f->lock);
	return err;
}

int pcapng_close(struct pcapng *f)
{
	int err;

	if (f == NULL)
		return 0;
	err = pcapng_flush(f);
	if (f->out != stdout && fclose(f->out) != 0 && err == 0)
		err = -errno;
	for (unsigned i = 0; i < f->names; i++)
		free(f->name[i]);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return err;
}
