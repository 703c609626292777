/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads files of both sizes and both byte orders. Every offset that the file contains is compared with the file's
 * length before it is used. The comparison subtracts, so no sum can wrap. The number of headers has 16 bits, and
 * the number of dynamic entries is limited here, so the time is bounded by the file's length.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include "doctor/elf_scan.h"

#define DYNAMIC_MAX 4096 /* maximum number of entries */

struct file {
	const uint8_t *bytes;
	size_t len;
	bool wide, little;
};

/* A part of the file. len 0: none. */
struct piece {
	size_t at, len;
};

static bool inside(const struct file *f, uint64_t at, uint64_t len)
{
	return at <= f->len && len <= f->len - at;
}

/* The caller has checked that the bytes exist. */
static uint64_t number(const struct file *f, size_t at, unsigned size)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < size; i++)
		n |= (uint64_t)f->bytes[at + i] << 8 * (f->little ? i : size - 1 - i);
	return n;
}

/* A field of a structure whose layout differs between 32 and 64 bits. */
#define FIELD(f, at, type, field)                                                                        \
	((f)->wide ? number(f, (at) + offsetof(Elf64_##type, field), sizeof(((Elf64_##type *)0)->field)) \
		   : number(f, (at) + offsetof(Elf32_##type, field), sizeof(((Elf32_##type *)0)->field)))
#define SIZE(f, type) ((f)->wide ? sizeof(Elf64_##type) : sizeof(Elf32_##type))

/* Copies a NUL-terminated string, truncated to the room; "" if the string does not end inside the part. */
static void copy_string(const struct file *f, struct piece p, uint64_t offset, char *to, size_t room)
{
	const char *s;
	size_t n;

	to[0] = '\0';
	if (offset >= p.len)
		return;
	s = (const char *)f->bytes + p.at + offset;
	n = strnlen(s, p.len - (size_t)offset);
	if (n == p.len - (size_t)offset)
		return; /* the string is not terminated */
	if (n >= room)
		n = room - 1;
	memcpy(to, s, n);
	to[n] = '\0';
}

struct program_headers {
	uint64_t at;
	unsigned count, size;
};

static int find_headers(const struct file *f, struct program_headers *h)
{
	h->at = FIELD(f, 0, Ehdr, e_phoff);
	h->count = (unsigned)FIELD(f, 0, Ehdr, e_phnum);
	h->size = (unsigned)FIELD(f, 0, Ehdr, e_phentsize);
	if (h->count == 0)
		return 0;
	if (h->size < SIZE(f, Phdr) || !inside(f, h->at, (uint64_t)h->count * h->size))
		return -EBADMSG;
	return 0;
}

/* The bytes of the file that are loaded at an address and after it, up to the end of the segment. */
static struct piece at_address(const struct file *f, const struct program_headers *h, uint64_t address)
{
	for (unsigned i = 0; i < h->count; i++) {
		size_t p = (size_t)h->at + (size_t)i * h->size;
		uint64_t start = FIELD(f, p, Phdr, p_vaddr), size = FIELD(f, p, Phdr, p_filesz);
		uint64_t offset = FIELD(f, p, Phdr, p_offset);

		if (FIELD(f, p, Phdr, p_type) != PT_LOAD || address < start || address - start >= size)
			continue;
		if (!inside(f, offset, size))
			continue;
		return (struct piece){ (size_t)(offset + (address - start)),
				       (size_t)(size - (address - start)) };
	}
	return (struct piece){ 0, 0 };
}

static struct piece segment(const struct file *f, const struct program_headers *h, uint32_t type)
{
	for (unsigned i = 0; i < h->count; i++) {
		size_t p = (size_t)h->at + (size_t)i * h->size;
		uint64_t offset = FIELD(f, p, Phdr, p_offset), size = FIELD(f, p, Phdr, p_filesz);

		if (FIELD(f, p, Phdr, p_type) == type && inside(f, offset, size))
			return (struct piece){ (size_t)offset, (size_t)size };
	}
	return (struct piece){ 0, 0 };
}

static size_t dynamic_count(const struct file *f, struct piece p)
{
	size_t n = p.len / SIZE(f, Dyn);

	return n < DYNAMIC_MAX ? n : DYNAMIC_MAX;
}

static struct piece strings_of(const struct file *f, const struct program_headers *h, struct piece dynamic)
{
	struct piece strings = { 0, 0 };
	uint64_t size = UINT64_MAX;

	for (size_t i = 0; i < dynamic_count(f, dynamic); i++) {
		size_t d = dynamic.at + i * SIZE(f, Dyn);
		uint64_t tag = FIELD(f, d, Dyn, d_tag), value = FIELD(f, d, Dyn, d_un);

		if (tag == DT_NULL)
			break;
		if (tag == DT_STRTAB)
			strings = at_address(f, h, value);
		else if (tag == DT_STRSZ)
			size = value;
	}
	if (strings.len > size)
		strings.len = (size_t)size;
	return strings;
}

static void read_dynamic(const struct file *f, const struct program_headers *h, struct elf_facts *e)
{
	struct piece dynamic = segment(f, h, PT_DYNAMIC), strings = strings_of(f, h, dynamic);

	for (size_t i = 0; i < dynamic_count(f, dynamic); i++) {
		size_t d = dynamic.at + i * SIZE(f, Dyn);
		uint64_t tag = FIELD(f, d, Dyn, d_tag), value = FIELD(f, d, Dyn, d_un);

		if (tag == DT_NULL)
			break;
		if (tag == DT_NEEDED && e->needed_count < ELF_NEEDED) {
			char *name = e->needed[e->needed_count];

			copy_string(f, strings, value, name, sizeof(e->needed[0]));
			e->needed_count += name[0] != '\0';
		} else if (tag == DT_SONAME) {
			copy_string(f, strings, value, e->soname, sizeof(e->soname));
		} else if (tag == DT_RUNPATH || (tag == DT_RPATH && e->runpath[0] == '\0')) {
			copy_string(f, strings, value, e->runpath, sizeof(e->runpath));
			e->is_rpath = tag == DT_RPATH;
		}
	}
}

static bool contains(const struct file *f, const char *text)
{
	return memmem(f->bytes, f->len, text, strlen(text)) != NULL;
}

/* Whether the file contains the text as a complete string. */
static bool contains_whole(const struct file *f, const char *text, size_t len)
{
	return memmem(f->bytes, f->len, text, len) != NULL;
}
#define HAS_WHOLE(f, text) contains_whole(f, "\0" text, sizeof("\0" text))

/*
 * Counts libipq's messages: a single one can come from another library. Compilers let strings share their ends, so
 * the search does not require the beginning of a string.
 */
static unsigned libipq_messages(const struct file *f)
{
	static const char *const messages[] = {
		"Unable to create netlink handle", "Unable to create netlink socket",
		"Unable to bind netlink socket",   "Failed to receive netlink message",
		"Received EOF on netlink socket",  "Invalid peer address length",
		"Received error from netlink",	   "Failed to send netlink message",
		"Receive buffer size invalid",
	};
	unsigned n = 0;

	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
		n += contains(f, messages[i]);
	return n;
}

static void find_apis(const struct file *f, struct elf_facts *e)
{
	for (unsigned i = 0; i < e->needed_count; i++) {
		if (strncmp(e->needed[i], "libipq.so", 9) == 0)
			e->apis |= API_LIBIPQ;
		else if (strncmp(e->needed[i], "libnetfilter_queue.so", 21) == 0)
			e->apis |= API_NFQUEUE;
	}
	if ((e->apis & API_LIBIPQ) != 0 && HAS_WHOLE(f, "ipq_create_handle") && !HAS_WHOLE(f, "ipq_read"))
		e->apis |= API_OWN_READER;
	if ((e->apis & API_LIBIPQ) == 0 && libipq_messages(f) >= 6)
		e->apis |= API_LIBIPQ_STATIC;
	if ((e->apis & API_NFQUEUE) == 0 && HAS_WHOLE(f, "nfq_create_queue") && HAS_WHOLE(f, "nfq_open_nfnl"))
		e->apis |= API_NFQUEUE_STATIC;
	if (HAS_WHOLE(f, "ipq_queue_open"))
		e->apis |= API_IPQ;
	if (HAS_WHOLE(f, "IPQ_SOURCE"))
		e->apis |= API_OURS;
	if (contains(f, "/proc/net/ip_queue") || HAS_WHOLE(f, "ip_queue") || contains(f, "modprobe ip_queue"))
		e->apis |= API_IP_QUEUE_NAMED;
}

int elf_read(struct elf_facts *e, const uint8_t *bytes, size_t len)
{
	struct file f = { .bytes = bytes, .len = len };
	struct program_headers h;
	struct piece name;

	*e = (struct elf_facts){ .bits = 0 };
	if (len < EI_NIDENT || memcmp(bytes, ELFMAG, SELFMAG) != 0)
		return -ENOEXEC;
	f.wide = bytes[EI_CLASS] == ELFCLASS64;
	f.little = bytes[EI_DATA] == ELFDATA2LSB;
	if ((!f.wide && bytes[EI_CLASS] != ELFCLASS32) || (!f.little && bytes[EI_DATA] != ELFDATA2MSB) ||
	    len < SIZE(&f, Ehdr))
		return -EBADMSG;
	e->bits = f.wide ? 64 : 32;
	e->little = f.little;
	e->type = (uint16_t)FIELD(&f, 0, Ehdr, e_type);
	e->machine = (uint16_t)FIELD(&f, 0, Ehdr, e_machine);
	if (find_headers(&f, &h) < 0)
		return -EBADMSG;
	name = segment(&f, &h, PT_INTERP);
	copy_string(&f, name, 0, e->interpreter, sizeof(e->interpreter));
	read_dynamic(&f, &h, e);
	e->dynamic = e->interpreter[0] != '\0' || e->needed_count > 0;
	find_apis(&f, e);
	return 0;
}

const char *elf_machine(uint16_t machine)
{
	static const struct {
		uint16_t machine;
		const char *name;
	} names[] = {
		{ EM_386, "i386" },	    { EM_X86_64, "x86-64" },  { EM_ARM, "ARM" },
		{ EM_AARCH64, "AArch64" },  { EM_MIPS, "MIPS" },      { EM_PPC, "PowerPC" },
		{ EM_PPC64, "PowerPC 64" }, { EM_S390, "S/390" },     { EM_SPARC, "SPARC" },
		{ EM_SPARCV9, "SPARC V9" }, { EM_RISCV, "RISC-V" },   { EM_ALPHA, "Alpha" },
		{ EM_IA_64, "IA-64" },	    { EM_PARISC, "PA-RISC" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].machine == machine)
			return names[i].name;
	return NULL;
}
