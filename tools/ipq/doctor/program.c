/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reports the kind of a program, the interface that it uses, and how to run it here. Does not execute it. */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/subprocess.h"
#include "doctor/doctor.h"
#include "doctor/elf_scan.h"

#define CACHED_MAX 16

/* The libipq.so.0 that the loader would use, found by the rules of ld.so(8). */
struct found {
	char path[1024 + 16]; /* path of the library: a directory and the library's name */
	bool any, ours;
};

static bool suits(const char *path, const struct elf_facts *program, struct found *found)
{
	struct elf_facts *e = malloc(sizeof(*e));
	bool fits = false;

	if (e != NULL && doctor_read_elf(path, e, NULL, 0) == 0 && e->bits == program->bits &&
	    e->machine == program->machine) {
		snprintf(found->path, sizeof(found->path), "%s", path);
		found->any = fits = true;
		found->ours = (e->apis & API_OURS) != 0;
	}
	free(e);
	return fits;
}

/* Replaces $ORIGIN by the program's directory. */
static void expand(const char *entry, size_t len, const char *program, char *to, size_t room)
{
	const char *slash = strrchr(program, '/');
	int directory = slash == NULL ? 0 : (int)(slash - program);

	if (len >= 7 && strncmp(entry, "$ORIGIN", 7) == 0)
		snprintf(to, room, "%.*s%.*s", slash == NULL ? 1 : directory, slash == NULL ? "." : program,
			 (int)len - 7, entry + 7);
	else if (len >= 9 && strncmp(entry, "${ORIGIN}", 9) == 0)
		snprintf(to, room, "%.*s%.*s", slash == NULL ? 1 : directory, slash == NULL ? "." : program,
			 (int)len - 9, entry + 9);
	else
		snprintf(to, room, "%.*s", (int)len, entry);
}

static bool search_list(const char *list, const char *program, const struct elf_facts *e, struct found *found)
{
	char directory[1024], path[1024 + 16];

	while (list != NULL && *list != '\0') {
		size_t len = strcspn(list, ":");

		expand(list, len, program, directory, sizeof(directory));
		snprintf(path, sizeof(path), "%s/libipq.so.0", directory);
		if (suits(path, e, found))
			return true;
		list += len + (list[len] == ':');
	}
	return false;
}

static void find_library(const char *program, const struct elf_facts *e, struct found *found)
{
	char path[512], *cache = NULL;
	bool done = e->is_rpath && search_list(e->runpath, program, e, found);

	*found = done ? *found : (struct found){ .any = false };
	done = done || search_list(getenv("LD_LIBRARY_PATH"), program, e, found);
	done = done || (!e->is_rpath && search_list(e->runpath, program, e, found));
	if (!done)
		subprocess_run_line("ldconfig -p", &cache);
	for (unsigned i = 0; !done && i < CACHED_MAX && doctor_cached_library(cache, i, path, sizeof(path));
	     i++)
		done = suits(path, e, found);
	free(cache);
}

static void say_shared(struct doctor *d, const char *path, const struct elf_facts *e)
{
	struct found found = { .any = false }, installed = { .any = false };
	char remedy[1400];

	find_library(path, e, &found);
	if (found.any && found.ours && (e->apis & API_OWN_READER) != 0) {
		snprintf(remedy, sizeof(remedy), "IPQ_SOURCE=engine:nfqueue:0 %s", path);
		doctor_say(d, CHECK_WARNING, "run", remedy,
			   "it does not call ipq_read, so it reads the socket itself and needs ip_queue's "
			   "messages there");
		return;
	}
	if (found.any && found.ours) {
		doctor_say(d, CHECK_OK, "run", path, "it uses this libipq: %s", found.path);
		return;
	}
	if (search_list(IPQ_LIBDIR, path, e, &installed) && installed.ours) {
		snprintf(remedy, sizeof(remedy), "LD_LIBRARY_PATH=%s %s", IPQ_LIBDIR, path);
		doctor_say(d, CHECK_WARNING, "run", remedy,
			   found.any ? "it would use the old libipq: %s" : "it would find no libipq.so.0%s",
			   found.path);
	} else if (found.any) {
		snprintf(remedy, sizeof(remedy), "ipq run -- %s", path);
		doctor_say(d, CHECK_WARNING, "run", remedy,
			   "it uses the old libipq, which needs the kernel's ip_queue: %s", found.path);
	} else {
		snprintf(remedy, sizeof(remedy), "LD_LIBRARY_PATH=DIRECTORY %s", path);
		doctor_say(d, CHECK_FAIL, "run", remedy,
			   "no libipq.so.0 of %u bits for %s is installed: build this library for it",
			   e->bits,
			   elf_machine(e->machine) != NULL ? elf_machine(e->machine) : "its machine");
	}
}

static void say_run(struct doctor *d, const char *path, const struct elf_facts *e)
{
	char remedy[1100];

	snprintf(remedy, sizeof(remedy), "ipq run -- %s", path);
	if ((e->apis & API_LIBIPQ) != 0)
		say_shared(d, path, e);
	else if ((e->apis & API_LIBIPQ_STATIC) != 0 && (e->apis & API_OURS) == 0)
		doctor_say(d, CHECK_WARNING, "run", remedy, "it would fail: this kernel has no ip_queue");
	else if ((e->apis & (API_LIBIPQ_STATIC | API_IPQ | API_NFQUEUE | API_NFQUEUE_STATIC)) != 0)
		doctor_say(d, CHECK_OK, "run", path, "it runs unchanged, with CAP_NET_ADMIN");
	else if ((e->apis & API_IP_QUEUE_NAMED) != 0)
		doctor_say(d, CHECK_WARNING, "run", remedy,
			   "if it uses ip_queue directly, it would fail: this kernel has no ip_queue");
	else {
		snprintf(remedy, sizeof(remedy), "ipq run --log - -- %s", path);
		doctor_say(d, CHECK_WARNING, "run", remedy, "only a run shows whether it uses ip_queue");
	}
}

static void say_api(struct doctor *d, const struct elf_facts *e)
{
	const char *api = NULL;

	if ((e->apis & API_LIBIPQ) != 0)
		api = "libipq, shared: it needs libipq.so.0";
	else if ((e->apis & API_LIBIPQ_STATIC) != 0)
		api = (e->apis & API_OURS) != 0 ? "this libipq, linked statically"
						: "the old libipq, linked statically";
	else if ((e->apis & API_IPQ) != 0)
		api = "ipq.h, the new interface of this library";
	else if ((e->apis & API_NFQUEUE) != 0)
		api = "libnetfilter_queue, shared";
	else if ((e->apis & API_NFQUEUE_STATIC) != 0)
		api = "libnetfilter_queue, linked statically";
	else if ((e->apis & API_IP_QUEUE_NAMED) != 0)
		api = "it contains the name ip_queue, but no libipq: perhaps it uses netlink directly";
	if (api != NULL)
		doctor_say(d, CHECK_OK, "interface", NULL, "%s", api);
	else
		doctor_say(d, CHECK_WARNING, "interface", NULL,
			   "no sign of libipq, ipq.h or libnetfilter_queue");
}

/*
 * Whether this kernel can run 32-bit programs. Some kernels for x86-64 cannot, and only a test shows that. So this
 * runs a minimal program, which exits with 42.
 */
static bool runs_i386(void)
{
	enum { BASE = 0x10000 };
	static const struct {
		Elf32_Ehdr header;
		Elf32_Phdr segment;
		unsigned char code[12];
	} program = {
		.header = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB,
					 EV_CURRENT },
			    .e_type = ET_EXEC,
			    .e_machine = EM_386,
			    .e_version = EV_CURRENT,
			    .e_entry = BASE + sizeof(Elf32_Ehdr) + sizeof(Elf32_Phdr),
			    .e_phoff = sizeof(Elf32_Ehdr),
			    .e_ehsize = sizeof(Elf32_Ehdr),
			    .e_phentsize = sizeof(Elf32_Phdr),
			    .e_phnum = 1 },
		.segment = { .p_type = PT_LOAD,
			     .p_vaddr = BASE,
			     .p_filesz = sizeof(program),
			     .p_memsz = sizeof(program),
			     .p_flags = PF_R | PF_X,
			     .p_align = 4096 },
		.code = { 0xb8, 1, 0, 0, 0, 0xbb, 42, 0, 0, 0, 0xcd, 0x80 }, /* machine code of _exit(42) */
	};
	char *none[] = { NULL };
	int fd = memfd_create("ipq-doctor", MFD_CLOEXEC), status = 0;
	pid_t child = -1;

	if (fd >= 0 && write(fd, &program, sizeof(program)) == sizeof(program))
		child = fork();
	if (child == 0) {
		fexecve(fd, none, none);
		_exit(errno == ENOEXEC);
	}
	if (fd >= 0)
		close(fd);
	return child < 0 || waitpid(child, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 1;
}

/* Whether this kernel can run programs for the machine. True if unknown. */
static bool machine_fits(uint16_t machine)
{
	static const struct {
		const char *kernel;
		uint16_t machine;
	} pairs[] = {
		{ "x86_64", EM_X86_64 }, { "x86_64", EM_386 },	    { "i686", EM_386 },
		{ "i586", EM_386 },	 { "aarch64", EM_AARCH64 }, { "aarch64", EM_ARM },
		{ "armv7l", EM_ARM },	 { "ppc64le", EM_PPC64 },   { "ppc64", EM_PPC64 },
		{ "ppc64", EM_PPC },	 { "s390x", EM_S390 },	    { "riscv64", EM_RISCV },
		{ "mips", EM_MIPS },	 { "mips64", EM_MIPS },
	};
	struct utsname u;
	bool known = false;

	if (uname(&u) < 0)
		return true;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		if (strcmp(pairs[i].kernel, u.machine) != 0)
			continue;
		if (pairs[i].machine == machine)
			return true;
		known = true;
	}
	return !known;
}

/* Prints the kind of the program. False: it cannot run on this machine. */
static bool say_kind(struct doctor *d, const struct elf_facts *e)
{
	const char *machine = elf_machine(e->machine);
	char kind[160];

	snprintf(kind, sizeof(kind), "%s, %u bits, %s-endian, %s",
		 machine != NULL ? machine : "an unknown machine", e->bits, e->little ? "little" : "big",
		 e->dynamic ? "dynamic" : "static");
	if (e->type != ET_EXEC && e->type != ET_DYN) {
		doctor_say(d, CHECK_FAIL, "program", NULL,
			   "%s, but not a program: an object file or a core file", kind);
		return false;
	}
	if (!machine_fits(e->machine)) {
		doctor_say(d, CHECK_FAIL, "program", NULL, "%s: for another machine", kind);
		return false;
	}
	if (e->machine == EM_386 && !runs_i386()) {
		doctor_say(
			d, CHECK_FAIL, "program", NULL,
			"%s: this kernel cannot run 32-bit programs; use a kernel with CONFIG_IA32_EMULATION "
			"and without ia32_emulation=off",
			kind);
		return false;
	}
	if (e->interpreter[0] != '\0' && access(e->interpreter, F_OK) < 0) {
		doctor_say(d, CHECK_FAIL, "program",
			   e->machine == EM_386 ? "sudo dpkg --add-architecture i386; sudo apt-get update; "
						  "sudo apt-get install libc6:i386"
						: NULL,
			   "%s; its loader %s is missing", kind, e->interpreter);
		return false;
	}
	doctor_say(d, CHECK_OK, "program", NULL, "%s", kind);
	return true;
}

void doctor_program(struct doctor *d, const char *name)
{
	struct elf_facts *e = malloc(sizeof(*e));
	char script[128] = "", remedy[1100], path[1024];
	int err;

	/* Print a path with a directory, because a shell would search $PATH for a bare name. */
	snprintf(path, sizeof(path), "%s%s", strchr(name, '/') == NULL ? "./" : "", name);
	err = e == NULL ? -ENOMEM : doctor_read_elf(path, e, script, sizeof(script));

	snprintf(remedy, sizeof(remedy), "ipq run -- %s", path);
	if (err == -ENOEXEC && script[0] != '\0')
		doctor_say(d, CHECK_WARNING, "program", remedy,
			   "%s is a script for %s: check the programs that it starts", path, script);
	else if (err == -ENOEXEC)
		doctor_say(d, CHECK_FAIL, "program", NULL, "%s is not a program", path);
	else if (err == -EBADMSG)
		doctor_say(d, CHECK_FAIL, "program", NULL,
			   "%s is damaged: its ELF headers contradict its size", path);
	else if (err < 0)
		doctor_say(d, CHECK_FAIL, "program", NULL, "%s cannot be read: %s", path, strerror(-err));
	else if (say_kind(d, e)) {
		say_api(d, e);
		say_run(d, path, e);
	}
	free(e);
}
