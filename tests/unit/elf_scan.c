// SPDX-License-Identifier: LGPL-2.1-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <elf.h>
#include <errno.h>
#include <cmocka.h>
#include "doctor/elf_scan.h"

#define SIZE 4096
#define STRINGS 2048
#define ADDRESS 0x400000

static uint8_t file[SIZE];
static bool big, wide;

/* Writes a number in the file's byte order. */
static void put(size_t at, unsigned size, uint64_t value)
{
	for (unsigned i = 0; i < size; i++)
		file[at + i] = (uint8_t)(value >> 8 * (big ? size - 1 - i : i));
}

#define PUT(at, type, field, value)                                                                  \
	(wide ? put((at) + offsetof(Elf64_##type, field), sizeof(((Elf64_##type *)0)->field), value) \
	      : put((at) + offsetof(Elf32_##type, field), sizeof(((Elf32_##type *)0)->field), value))

static size_t put_segment(size_t at, uint32_t type, uint64_t offset, uint64_t size)
{
	PUT(at, Phdr, p_type, type);
	PUT(at, Phdr, p_offset, offset);
	PUT(at, Phdr, p_vaddr, ADDRESS + offset);
	PUT(at, Phdr, p_filesz, size);
	return at + (wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr));
}

static size_t put_dynamic(size_t at, uint64_t tag, uint64_t value)
{
	PUT(at, Dyn, d_tag, tag);
	PUT(at, Dyn, d_un, value);
	return at + (wide ? sizeof(Elf64_Dyn) : sizeof(Elf32_Dyn));
}

/* Builds a program that needs libipq.so.0, with the layout that a linker gives it. */
static void build(bool is_wide, bool is_big)
{
	static const char strings[] = "\0libipq.so.0\0libc.so.6\0$ORIGIN/lib\0me.so";
	size_t at;

	wide = is_wide;
	big = is_big;
	memset(file, 0, sizeof(file));
	memcpy(file, ELFMAG, SELFMAG);
	file[EI_CLASS] = wide ? ELFCLASS64 : ELFCLASS32;
	file[EI_DATA] = big ? ELFDATA2MSB : ELFDATA2LSB;
	PUT(0, Ehdr, e_type, ET_DYN);
	PUT(0, Ehdr, e_machine, EM_MIPS);
	PUT(0, Ehdr, e_phoff, 64);
	PUT(0, Ehdr, e_phnum, 3);
	PUT(0, Ehdr, e_phentsize, wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr));
	at = put_segment(64, PT_LOAD, 0, SIZE);
	at = put_segment(at, PT_INTERP, 512, 14);
	put_segment(at, PT_DYNAMIC, 1024, 512);
	memcpy(file + 512, "/lib/ld.so.1\0", 14);
	memcpy(file + STRINGS, strings, sizeof(strings));
	at = put_dynamic(1024, DT_NEEDED, 1);
	at = put_dynamic(at, DT_NEEDED, 13);
	at = put_dynamic(at, DT_RUNPATH, 23);
	at = put_dynamic(at, DT_SONAME, 35);
	at = put_dynamic(at, DT_STRTAB, ADDRESS + STRINGS);
	at = put_dynamic(at, DT_STRSZ, sizeof(strings));
	put_dynamic(at, DT_NULL, 0);
}

static void both_sizes_and_byte_orders_are_read(void **state)
{
	struct elf_facts e;

	(void)state;
	for (int i = 0; i < 4; i++) {
		build((i & 1) != 0, (i & 2) != 0);
		assert_int_equal(elf_read(&e, file, SIZE), 0);
		assert_int_equal(e.bits, (i & 1) != 0 ? 64 : 32);
		assert_int_equal(e.little, (i & 2) == 0);
		assert_int_equal(e.type, ET_DYN);
		assert_int_equal(e.machine, EM_MIPS);
		assert_true(e.dynamic);
		assert_string_equal(e.interpreter, "/lib/ld.so.1");
		assert_int_equal(e.needed_count, 2);
		assert_string_equal(e.needed[0], "libipq.so.0");
		assert_string_equal(e.needed[1], "libc.so.6");
		assert_string_equal(e.runpath, "$ORIGIN/lib");
		assert_string_equal(e.soname, "me.so");
		assert_int_equal(e.apis, API_LIBIPQ);
	}
}

static void runpath_counts_and_rpath_only_without_it(void **state)
{
	struct elf_facts e;
	size_t at;

	(void)state;
	build(true, false);
	at = put_dynamic(1024, DT_RUNPATH, 23);
	at = put_dynamic(at, DT_RPATH, 13);
	assert_int_equal(elf_read(&e, file, SIZE), 0);
	assert_string_equal(e.runpath, "$ORIGIN/lib");
	assert_false(e.is_rpath);
	at = put_dynamic(1024, DT_RPATH, 13);
	put_dynamic(at, DT_RUNPATH, 23);
	assert_int_equal(elf_read(&e, file, SIZE), 0);
	assert_string_equal(e.runpath, "$ORIGIN/lib");
	assert_false(e.is_rpath);
	at = put_dynamic(at, DT_RPATH, 23);
	put_dynamic(at, DT_SONAME, 35); /* this entry replaces DT_RUNPATH */
	assert_int_equal(elf_read(&e, file, SIZE), 0);
	assert_string_equal(e.runpath, "libc.so.6");
	assert_true(e.is_rpath);
}

static void libraries_beyond_the_room_are_left_out(void **state)
{
	struct {
		struct elf_facts e;
		uint8_t after[4096];
	} both;
	size_t at = 2400; /* after all other parts of the file */

	(void)state;
	build(true, false);
	for (unsigned i = 0; i < ELF_NEEDED + 7; i++)
		at = put_dynamic(at, DT_NEEDED, 13);
	at = put_dynamic(at, DT_STRTAB, ADDRESS + STRINGS);
	put_dynamic(at, DT_NULL, 0);
	put_segment(64 + 2 * sizeof(Elf64_Phdr), PT_DYNAMIC, 2400, at + 16 - 2400);
	memset(both.after, 0xee, sizeof(both.after));
	assert_int_equal(elf_read(&both.e, file, SIZE), 0);
	assert_int_equal(both.e.needed_count, ELF_NEEDED);
	for (size_t i = 0; i < sizeof(both.after); i++)
		assert_int_equal(both.after[i], 0xee);
}

static void static_libipq_is_recognised_by_its_messages(void **state)
{
	static const char messages[] = "Unable to create netlink handle\0Unable to create netlink "
				       "socket\0Unable to bind netlink socket\0"
				       "Failed to receive netlink message\0Received EOF on netlink "
				       "socket\0Invalid peer address length\0"
				       "Failed to send netlink message\0Receive buffer size invalid";
	struct elf_facts e;

	(void)state;
	build(false, false);
	PUT(0, Ehdr, e_phnum, 0); /* a static program has no program headers */
	memcpy(file + 3000, messages, sizeof(messages));
	assert_int_equal(elf_read(&e, file, SIZE), 0);
	assert_false(e.dynamic);
	assert_int_equal(e.apis, API_LIBIPQ_STATIC);
	memcpy(file + 3500, "\0IPQ_SOURCE", 12);
	assert_int_equal(elf_read(&e, file, SIZE), 0);
	assert_int_equal(e.apis, API_LIBIPQ_STATIC | API_OURS);
	/* a single message may come from another library */
	memset(file + 3000, 0, 1000);
	memcpy(file + 3000, "Unable to bind netlink socket", 30);
	assert_int_equal(elf_read(&e, file, SIZE), 0);
	assert_int_equal(e.apis, 0);
}

static unsigned apis(const char *needed, const char *text, size_t len)
{
	struct elf_facts e;

	build(true, false);
	memset(file + STRINGS + 1, 0, 12);
	strcpy((char *)file + STRINGS + 1, needed); /* instead of libipq.so.0 */
	memcpy(file + 3000, text, len);
	assert_int_equal(elf_read(&e, file, SIZE), 0);
	return e.apis;
}
#define APIS(needed, text) apis(needed, text, sizeof(text))

static void apis_are_recognised_by_libraries_and_strings(void **state)
{
	(void)state;
	assert_int_equal(APIS("libipq.so.0", ""), API_LIBIPQ);
	assert_int_equal(APIS("libipq.sq.0", ""), 0);
	assert_int_equal(APIS("libipq.so.0", "\0ipq_create_handle"), API_LIBIPQ | API_OWN_READER);
	assert_int_equal(APIS("libipq.so.0", "\0ipq_create_handle\0ipq_read"), API_LIBIPQ);
	assert_int_equal(APIS("other", "\0ipq_create_handle"), 0);
	assert_int_equal(APIS("other", "\0nfq_create_queue\0nfq_open_nfnl"), API_NFQUEUE_STATIC);
	assert_int_equal(APIS("other", "\0nfq_create_queue"), 0);
	assert_int_equal(APIS("other", "\0nfq_open_nfnl"), 0);
	assert_int_equal(APIS("other", "\0ipq_queue_open"), API_IPQ);
	assert_int_equal(APIS("other", "\0ipq_queue_opened"), 0);
	assert_int_equal(APIS("other", "x/proc/net/ip_queues"), API_IP_QUEUE_NAMED);
	assert_int_equal(APIS("other", "\0ip_queue"), API_IP_QUEUE_NAMED);
	assert_int_equal(APIS("other", "nfip_queue"), 0);
	assert_int_equal(APIS("other", "sudo modprobe ip_queue"), API_IP_QUEUE_NAMED);
	/* six of libipq's messages are enough, if the program does not need the library */
	assert_int_equal(APIS("other", "Unable to create netlink handle\0Unable to create netlink socket\0"
				       "Unable to bind netlink socket\0Received error from netlink\0"
				       "Received EOF on netlink socket\0Receive buffer size invalid"),
			 API_LIBIPQ_STATIC);
	assert_int_equal(APIS("libipq.so.0",
			      "Unable to create netlink handle\0Unable to create netlink socket\0"
			      "Unable to bind netlink socket\0Received error from netlink\0"
			      "Received EOF on netlink socket\0Receive buffer size invalid"),
			 API_LIBIPQ);
	assert_int_equal(APIS("other", "Unable to create netlink handle\0Unable to create netlink socket\0"
				       "Unable to bind netlink socket\0Received error from netlink\0"
				       "Received EOF on netlink socket"),
			 0);
}

static void library_for_nfqueue_is_recognised(void **state)
{
	struct elf_facts e;

	(void)state;
	build(true, false);
	strcpy((char *)file + STRINGS + 100, "libnetfilter_queue.so.1");
	put_dynamic(1024, DT_NEEDED, 100);
	put_dynamic(1024 + 5 * sizeof(Elf64_Dyn), DT_STRSZ, 200);
	assert_int_equal(elf_read(&e, file, SIZE), 0);
	assert_int_equal(e.needed_count, 2);
	assert_int_equal(e.apis, API_NFQUEUE);
	memcpy(file + 3000, "\0nfq_create_queue\0nfq_open_nfnl", 32);
	assert_int_equal(elf_read(&e, file, SIZE), 0);
	assert_int_equal(e.apis, API_NFQUEUE); /* the strings are names of symbols */
}

static void names_beyond_their_table_are_left_out(void **state)
{
	struct elf_facts e;
	size_t at, entry = sizeof(Elf64_Dyn);

	(void)state;
	build(true, false);
	put_dynamic(1024 + 5 * entry, DT_STRSZ, 35); /* "me.so" begins there */
	assert_int_equal(elf_read(&e, file, SIZE), 0);
	assert_string_equal(e.runpath, "$ORIGIN/lib");
	assert_string_equal(e.soname, "");
	put_dynamic(1024 + 5 * entry, DT_STRSZ, 34); /* the runpath has no end */
	assert_int_equal(elf_read(&e, file, SIZE), 0);
	assert_string_equal(e.runpath, "");
	assert_string_equal(e.needed[1], "libc.so.6");
	/* what follows DT_NULL is ignored */
	build(true, false);
	at = put_dynamic(1024 + entry, DT_STRTAB, ADDRESS + STRINGS);
	at = put_dynamic(at, DT_NULL, 0);
	at = put_dynamic(at, DT_NEEDED, 13);
	put_dynamic(at, DT_STRSZ, 1);
	assert_int_equal(elf_read(&e, file, SIZE), 0);
	assert_int_equal(e.needed_count, 1);
	assert_string_equal(e.needed[0], "libipq.so.0");
}

/* The address of the strings is looked up in the segments that are loaded. */
static void strings_are_found_in_their_segment(void **state)
{
	struct elf_facts e;
	size_t at, size = sizeof(Elf64_Phdr);

	(void)state;
	build(true, false);
	PUT(0, Ehdr, e_phnum, 5);
	at = put_segment(64, PT_NOTE, 0, SIZE); /* not loaded */
	PUT(64, Phdr, p_vaddr, ADDRESS + 1);
	at = put_segment(at, PT_LOAD, 0, STRINGS); /* ends where the strings begin */
	at = put_segment(at, PT_LOAD, STRINGS + 1, 99);
	PUT(at - size, Phdr, p_vaddr, ADDRESS + STRINGS + 1); /* begins after it */
	at = put_segment(at, PT_LOAD, STRINGS - 8, 99);
	put_segment(at, PT_DYNAMIC, 1024, 512);
	assert_int_equal(elf_read(&e, file, SIZE), 0);
	assert_string_equal(e.needed[0], "libipq.so.0");
	assert_true(e.dynamic);
	assert_string_equal(e.interpreter, "");
	PUT(at - size, Phdr, p_filesz, SIZE); /* this segment ends beyond the file */
	assert_int_equal(elf_read(&e, file, SIZE), 0);
	assert_int_equal(e.needed_count, 0);
	assert_false(e.dynamic);
	/* a program may need an interpreter and no library */
	put_segment(64, PT_INTERP, 512, 14);
	assert_int_equal(elf_read(&e, file, SIZE), 0);
	assert_int_equal(e.needed_count, 0);
	assert_true(e.dynamic);
	put_segment(64, PT_INTERP, SIZE - 4, 5);
	assert_int_equal(elf_read(&e, file, SIZE), 0);
	assert_string_equal(e.interpreter, "");
}

static void names_are_cut_to_their_room(void **state)
{
	struct elf_facts e;

	(void)state;
	build(true, false);
	memset(file + STRINGS + 100, 'x', 600);
	put_dynamic(1024 + 3 * sizeof(Elf64_Dyn), DT_SONAME, 100);
	put_dynamic(1024 + 5 * sizeof(Elf64_Dyn), DT_STRSZ, 800);
	assert_int_equal(elf_read(&e, file, SIZE), 0);
	assert_int_equal(strlen(e.soname), sizeof(e.soname) - 1);
	file[STRINGS + 100 + sizeof(e.soname) - 1] = '\0'; /* this name just fits */
	assert_int_equal(elf_read(&e, file, SIZE), 0);
	assert_int_equal(strlen(e.soname), sizeof(e.soname) - 1);
}

static void non_elf_is_distinguished_from_damaged_elf(void **state)
{
	struct elf_facts e;

	(void)state;
	build(true, false);
	assert_int_equal(elf_read(&e, file, 0), -ENOEXEC);
	assert_int_equal(elf_read(&e, (const uint8_t *)"#!/bin/sh\necho hello\n", 21), -ENOEXEC);
	assert_int_equal(elf_read(&e, file, 20), -EBADMSG);
	file[EI_CLASS] = 3;
	assert_int_equal(elf_read(&e, file, SIZE), -EBADMSG);
	build(true, false);
	PUT(0, Ehdr, e_phoff, UINT64_MAX - 8); /* an offset that would wrap if it were added to */
	assert_int_equal(elf_read(&e, file, SIZE), -EBADMSG);
	build(true, false);
	PUT(0, Ehdr, e_phentsize, 1);
	assert_int_equal(elf_read(&e, file, SIZE), -EBADMSG);
}

static void unterminated_names_are_ignored(void **state)
{
	struct elf_facts e;

	(void)state;
	build(true, false);
	memset(file + STRINGS, 'x', SIZE - STRINGS);
	put_dynamic(1024 + 5 * sizeof(Elf64_Dyn), DT_STRSZ, UINT64_MAX);
	assert_int_equal(elf_read(&e, file, SIZE), 0);
	assert_int_equal(e.needed_count, 0);
	memset(file + 512, 'x', 14);
	assert_int_equal(elf_read(&e, file, SIZE), 0);
	assert_string_equal(e.interpreter, "");
}

/*
 * Sets each byte to extreme values, and truncates the file at every length. The copy has exactly the file's size,
 * so that sanitizers find overreads.
 */
static void hostile_files_are_read_within_bounds(void **state)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	struct elf_facts *e = malloc(sizeof(*e));

	(void)state;
	assert_non_null(e);
	for (int i = 0; i < 4; i++) {
		build((i & 1) != 0, (i & 2) != 0);
		for (size_t at = 4; at < 1200; at++)
			for (size_t k = 0; k < sizeof(values); k++) {
				uint8_t before = file[at];

				file[at] = values[k];
				elf_read(e, file, SIZE);
				assert_true(e->needed_count <= ELF_NEEDED);
				file[at] = before;
			}
		for (size_t len = 0; len < SIZE; len += len < 1200 ? 1 : 97) {
			uint8_t *copy = malloc(len + 1);

			assert_non_null(copy);
			memcpy(copy + 1, file, len);
			elf_read(e, copy + 1, len);
			free(copy);
		}
	}
	free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_sizes_and_byte_orders_are_read),
		cmocka_unit_test(runpath_counts_and_rpath_only_without_it),
		cmocka_unit_test(libraries_beyond_the_room_are_left_out),
		cmocka_unit_test(static_libipq_is_recognised_by_its_messages),
		cmocka_unit_test(apis_are_recognised_by_libraries_and_strings),
		cmocka_unit_test(library_for_nfqueue_is_recognised),
		cmocka_unit_test(names_beyond_their_table_are_left_out),
		cmocka_unit_test(strings_are_found_in_their_segment),
		cmocka_unit_test(names_are_cut_to_their_room),
		cmocka_unit_test(non_elf_is_distinguished_from_damaged_elf),
		cmocka_unit_test(unterminated_names_are_ignored),
		cmocka_unit_test(hostile_files_are_read_within_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
