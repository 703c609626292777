/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <netinet/in.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netfilter.h>
#include <ipq_edit.h>
#include "output/pcapng.h"
#include "util/bytes.h"
#include "util/safe_open.h"

enum {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET = 6,
	BYTE_ORDER_MAGIC = 0x1a2b3c4d,
	LINKTYPE_LINUX_SLL = 113,
	OPTION_END = 0,
	OPTION_COMMENT = 1,
	OPTION_USER_APPLICATION = 4, /* the code of an option in a section header */
	OPTION_INTERFACE_NAME = 2,
	OPTION_INTERFACE_RESOLUTION = 9,
	OPTION_INTERFACE_OFFSET = 14,
	OPTION_PACKET_FLAGS = 2,
	OPTION_CUSTOM_TEXT = 2988,
	ENTERPRISE_NETFILTER = 21373,
	DIRECTION_IN = 1,
	DIRECTION_OUT = 2,
	MAX_NAMES = 4096,
	COOKED_HEADER = 16,
};

/* Timestamps are unsigned. Times before 1970 count from this offset in seconds. */
#define OFFSET_BEFORE_1970 (-9223372036LL)

struct pcapng {
	FILE *out;
	pthread_mutex_t lock;
	int error;
	struct {
		char *name;
		bool before_1970;
	} interface[MAX_NAMES];
	unsigned interfaces;
	uint8_t block[SOURCE_FILE_PACKET_MAX + 4096];
	size_t used;
	uint64_t size;
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

static void put_native(struct pcapng *f, uint32_t value)
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
	put_native(f, type);
	put_native(f, 0); /* the length, which end() fills in later */
}

static void end(struct pcapng *f)
{
	uint32_t total = (uint32_t)f->used + 4;

	memcpy(f->block + 4, &total, sizeof(total));
	put_native(f, total);
	if (f->error == 0 && fwrite(f->block, 1, f->used, f->out) != f->used)
		f->error = errno != 0 ? -errno : -EIO;
	f->size += f->used;
}

static void put_section(struct pcapng *f)
{
	static const char application[] = "ipq";
	const uint16_t version[2] = { 1, 0 };
	const int64_t unknown_length = -1;

	begin(f, BLOCK_SECTION);
	put_native(f, BYTE_ORDER_MAGIC);
	put(f, version, sizeof(version));
	put(f, &unknown_length, sizeof(unknown_length));
	put_option(f, OPTION_USER_APPLICATION, application, strlen(application));
	put_option(f, OPTION_END, NULL, 0);
	end(f);
}

static void put_interface(struct pcapng *f, const char *name, bool before_1970)
{
	const int64_t offset = OFFSET_BEFORE_1970;
	const uint16_t link[2] = { LINKTYPE_LINUX_SLL, 0 };
	const uint8_t nanoseconds = 9;

	begin(f, BLOCK_INTERFACE);
	put(f, link, sizeof(link));
	put_native(f, 0); /* no limit to the length of packets */
	if (*name != '\0')
		put_option(f, OPTION_INTERFACE_NAME, name, strlen(name));
	put_option(f, OPTION_INTERFACE_RESOLUTION, &nanoseconds, 1);
	if (before_1970)
		put_option(f, OPTION_INTERFACE_OFFSET, &offset, sizeof(offset));
	put_option(f, OPTION_END, NULL, 0);
	end(f);
}

/* The number of an interface in the file. The description of a new interface is written first. */
static uint32_t interface_number(struct pcapng *f, const char *name, bool before_1970)
{
	unsigned i;

	for (i = 0; i < f->interfaces; i++)
		if (f->interface[i].before_1970 == before_1970 && strcmp(f->interface[i].name, name) == 0)
			return i;
	if (i == MAX_NAMES)
		return 0;
	f->interface[i].before_1970 = before_1970;
	f->interface[i].name = strdup(name);
	if (f->interface[i].name == NULL) {
		f->error = -ENOMEM;
		return 0;
	}
	put_interface(f, name, before_1970);
	f->interfaces++;
	return i;
}

/* bytes: packet type 2, ARPHRD 2, address length 2, address 8, protocol 2 */
static void make_cooked_header(const struct ipq_packet *p, uint8_t header[COOKED_HEADER])
{
	unsigned address_len = (p->present & IPQ_HAS_HWADDR) != 0 ? p->hw_addr_len : 0;

	memset(header, 0, COOKED_HEADER);
	/* packet type: to this host, to another host, or from this host */
	put16(header, p->hook < NF_INET_FORWARD	   ? PACKET_HOST
		      : p->hook == NF_INET_FORWARD ? PACKET_OTHERHOST
						   : PACKET_OUTGOING);
	put16(header + 2, address_len == ETH_ALEN ? ARPHRD_ETHER : ARPHRD_NONE);
	put16(header + 4, address_len);
	memcpy(header + 6, p->hw_addr, address_len <= sizeof(p->hw_addr) ? address_len : sizeof(p->hw_addr));
	put16(header + 14,
	      (p->present & IPQ_HAS_PAYLOAD) != 0 && p->payload_len > 0 && p->payload[0] >> 4 == 6
		      ? ETH_P_IPV6
		      : ETH_P_IP);
}

/* Writes the custom option that the source of capture files reads. */
static void put_metadata(struct pcapng *f, const struct pcapng_record *r)
{
	static const char *const hooks[] = { "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING" };
	const struct ipq_packet *p = r->packet;
	const uint32_t enterprise = ENTERPRISE_NETFILTER;
	char value[160], *text = value + sizeof(enterprise);
	size_t room = sizeof(value) - sizeof(enterprise), n;

	memcpy(value, &enterprise, sizeof(enterprise));
	n = (size_t)snprintf(text, room, "ipq");
	if (p->hook < sizeof(hooks) / sizeof(hooks[0]))
		n += (size_t)snprintf(text + n, room - n, " hook=%s", hooks[p->hook]);
	if (r->indev[0] != '\0')
		n += (size_t)snprintf(text + n, room - n, " indev=%.15s", r->indev);
	if (r->outdev[0] != '\0')
		n += (size_t)snprintf(text + n, room - n, " outdev=%.15s", r->outdev);
	if ((p->present & IPQ_HAS_MARK) != 0)
		n += (size_t)snprintf(text + n, room - n, " mark=0x%x", p->mark);
	/* The comment begins with the verdict, as in "drop: drop udp". */
	if (r->comment != NULL)
		n += (size_t)snprintf(text + n, room - n, " verdict=%.*s", (int)strcspn(r->comment, ": "),
				      r->comment);
	if (n >= room)
		n = room - 1;
	put_option(f, OPTION_CUSTOM_TEXT, value, sizeof(enterprise) + n);
}

static void put_packet(struct pcapng *f, const struct pcapng_record *r)
{
	const struct ipq_packet *p = r->packet;
	uint32_t number = interface_number(f, r->indev[0] != '\0' ? r->indev : r->outdev, r->time < 0);
	uint64_t time = (uint64_t)r->time - (r->time < 0 ? (uint64_t)OFFSET_BEFORE_1970 * 1000000000 : 0);
	uint32_t len = (p->present & IPQ_HAS_PAYLOAD) != 0 ? p->payload_len : 0;
	uint32_t flags = p->hook < NF_INET_FORWARD   ? DIRECTION_IN
			 : p->hook > NF_INET_FORWARD ? DIRECTION_OUT
						     : 0;
	uint8_t header[COOKED_HEADER];
	size_t bytes;

	make_cooked_header(p, header);
	begin(f, BLOCK_PACKET);
	put_native(f, number);
	put_native(f, (uint32_t)(time >> 32));
	put_native(f, (uint32_t)time);
	put_native(f, COOKED_HEADER + len);
	put_native(f, COOKED_HEADER + p->full_len);
	put(f, header, sizeof(header));
	bytes = f->used;
	put(f, p->payload, len);
	/* A partial checksum would look like a wrong one in the file, so it is completed. */
	if (f->error == 0 && (p->flags & IPQ_PACKET_CHECKSUM_NOT_READY) != 0 && len == p->full_len)
		ipq_checksum_complete(f->block + bytes, len);
	put_option(f, OPTION_PACKET_FLAGS, &flags, sizeof(flags));
	if (r->comment != NULL)
		put_option(f, OPTION_COMMENT, r->comment, strnlen(r->comment, 1024));
	put_metadata(f, r);
	put_option(f, OPTION_END, NULL, 0);
	end(f);
}

/* Opens the file, and truncates an existing one, as shells do. */
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
	interface_number(f, "", false); /* some readers refuse files without an interface */
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

uint64_t pcapng_size(const struct pcapng *f)
{
	return f->size;
}

int pcapng_close(struct pcapng *f)
{
	int err;

	if (f == NULL)
		return 0;
	err = pcapng_flush(f);
	if (f->out != stdout && fclose(f->out) != 0 && err == 0)
		err = -errno;
	for (unsigned i = 0; i < f->interfaces; i++)
		free(f->interface[i].name);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return err;
}
