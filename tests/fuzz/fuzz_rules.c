/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rules as somebody might type them, a line each; what parses is run over packets, alone and as one
 * program, which must agree. Without -DFUZZING a program that runs the files it is given.
 */
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ruleset.h"

#define RULES_MAX 16
#define LINE_MAX_LEN 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Names in filters are not looked up: a fuzzer that asks the network finds nothing but slowness. */
__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
						       const struct addrinfo *hints, struct addrinfo **result)
{
	(void)node, (void)service, (void)hints, (void)result;
	return EAI_NONAME;
}

static const uint8_t packets[][60] = {
	{ 0x45, 0, 0,	 60,   0, 0,  0x40, 0, 64, 6, 0, 0, 10, 0, 0,	 1,    10, 0,
	  0,	2, 0x9c, 0x40, 0, 23, 0,    0, 0,  1, 0, 0, 0,	2, 0x50, 0x12, 1,  0 },
	{ 0x45, 0, 0, 60, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x9c, 0x40, 0, 53, 0, 40 },
	{ 0x60, 0, 0, 0, 0, 20, 6, 64, 0xfe, 0x80, [40] = 0, 80, 0, 81, 0, 0, 0, 1 },
	{ 0 },
};

static void run_on_packets(const struct ruleset *set)
{
	for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
		for (uint32_t len = 0; len <= 60; len += 20) {
			uint8_t *p = malloc(len + (len == 0));
			unsigned expected;

			memcpy(p, packets[i], len);
			for (expected = 0; expected < set->count; expected++)
				if (bpf_filter(set->rule[expected].program.bf_insns, p, 60, len) != 0)
					break;
			if (ruleset_match(set, 0, p, len, 60) != expected)
				abort();
			free(p);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ruleset set = { .rule = NULL };
	struct rule_error e;
	char line[LINE_MAX_LEN + 1];
	size_t at = 0;

	for (unsigned n = 0; n < RULES_MAX && at < size; n++) {
		const uint8_t *newline = memchr(data + at, '\n', size - at);
		size_t len = newline != NULL ? (size_t)(newline - data) - at : size - at;

		snprintf(line, sizeof(line), "%.*s", (int)(len < LINE_MAX_LEN ? len : LINE_MAX_LEN),
			 (const char *)data + at);
		at += len + 1;
		/* The caret stands under the text or just behind it. */
		if (ruleset_add(&set, line, &e) < 0 && e.offset > strlen(line))
			abort();
	}
	if (ruleset_finish(&set) == 0)
		run_on_packets(&set);
	for (unsigned i = 0; i < set.count; i++)
		for (int64_t now = 0; now < 100; now += 10)
			rule_rate_pass(&set.rule[i], now);
	ruleset_free(&set);
	return 0;
}

#ifndef FUZZING
int main(int argc, char **argv)
{
	static uint8_t bytes[65536];

	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rbe");
		size_t n;

		if (f == NULL) {
			perror(argv[i]);
			return 1;
		}
		n = fread(bytes, 1, sizeof(bytes), f);
		fclose(f);
		LLVMFuzzerTestOneInput(bytes, n);
	}
	return 0;
}
#endif
