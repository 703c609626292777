/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "output/decode.h"
#include "output/print.h"

static uint8_t udp4[] = { 0x45, 0, 0,	 36,   0, 0,  0, 0,  64, 17, 0,	 0,   10,  0,	0,   1,	  10,  0,
			  0,	2, 0x14, 0xe9, 0, 53, 0, 16, 0,	 0,  27, '[', '2', 'J', 'e', 'v', 'i', 'l' };

static char *print(const struct print_style *style, const char *indev, uint8_t *payload, uint32_t len)
{
	struct ipq_packet packet = { .present = IPQ_HAS_PAYLOAD | IPQ_HAS_MARK | IPQ_HAS_UID,
				     .hook = 1,
				     .payload = payload,
				     .payload_len = len,
				     .full_len = 36,
				     .mark = 7,
				     .uid = 1000 };
	struct print_packet p = { .packet = &packet,
				  .time = INT64_C(1700000000123456789),
				  .verdict = "drop" };
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	snprintf(p.indev, sizeof(p.indev), "%s", indev);
	print_packet(f, style, &p);
	fclose(f);
	return text;
}

static void test_a_line_has_what_decides(void **state)
{
	char *text = print(&(struct print_style){ .colour = false }, "eth0", udp4, sizeof(udp4));

	(void)state;
	assert_non_null(strstr(text, "udp 10.0.0.1:5353 > 10.0.0.2:53 len 36 mark 0x7 uid 1000 drop\n"));
	assert_non_null(strstr(text, " in   eth0 "));
	assert_null(strchr(text, 27));
	free(text);
}

static void test_colour_is_only_where_it_was_asked_for(void **state)
{
	char *text = print(&(struct print_style){ .colour = true }, "eth0", udp4, sizeof(udp4));

	(void)state;
	assert_non_null(strstr(text, "\033[31mdrop\033[0m"));
	free(text);
}

static void test_nothing_from_outside_reaches_the_terminal_raw(void **state)
{
	char *text = print(&(struct print_style){ .bytes = true }, "e\033[2J\"\n\xff", udp4, sizeof(udp4));

	(void)state;
	for (const char *c = text; *c != '\0'; c++)
		assert_true(*c == '\n' || *c == '\t' || (*c >= 0x20 && *c < 0x7f));
	assert_non_null(strstr(text, "e\\x1b[2J\"\\x0a\\xff"));
	assert_non_null(strstr(text, ".[2J\n"));
	free(text);
}

static void test_json_is_one_line_with_everything_escaped(void **state)
{
	char *text = print(&(struct print_style){ .json = true, .bytes = true }, "e\033\"\\\n\xff\xc3\xbc",
			   udp4, sizeof(udp4));

	(void)state;
	assert_ptr_equal(strstr(text, "{\"time\":1700000000.123456789,\"hook\":\"INPUT\",\"indev\":"), text);
	/* what is UTF-8 stays, what is not has a character of its own */
	assert_non_null(strstr(text, "\"indev\":\"e\\u001b\\\"\\\\\\u000a\\ufffd\xc3\xbc\","));
	assert_non_null(strstr(text, "\"source\":\"10.0.0.1\",\"destination\":\"10.0.0.2\",\"source_port\":"
				     "5353,\"destination_port\":53,"));
	assert_non_null(strstr(text, "\"bytes\":\"4500"));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	free(text);
}

static void test_any_cut_of_any_bytes_is_printed_without_reading_beyond(void **state)
{
	(void)state;
	srandom(3);
	for (int n = 0; n < 20000; n++) {
		uint32_t len = (uint32_t)random() % 120;
		uint8_t *p = malloc(len + (len == 0)); /* exactly as long: a sanitizer sees a byte too far */

		for (uint32_t i = 0; i < len; i++)
			p[i] = (uint8_t)random();
		if (len > 0)
			p[0] = (uint8_t)(random() % 2 ? 0x45 : 0x60);
		if (len > 6 && random() % 2)
			p[6] = (uint8_t[]){ 0, 43, 44, 51, 60 }[random() % 5];
		free(print(&(struct print_style){ .json = random() % 2 }, "", p, len));
		free(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_line_has_what_decides),
		cmocka_unit_test(test_colour_is_only_where_it_was_asked_for),
		cmocka_unit_test(test_nothing_from_outside_reaches_the_terminal_raw),
		cmocka_unit_test(test_json_is_one_line_with_everything_escaped),
		cmocka_unit_test(test_any_cut_of_any_bytes_is_printed_without_reading_beyond),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
