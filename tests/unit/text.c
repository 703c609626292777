// SPDX-License-Identifier: LGPL-2.1-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "common/text.h"

static void everything_but_printable_ascii_is_escaped(void **state)
{
	char in[257], out[4 * 256 + 1];

	(void)state;
	for (unsigned i = 0; i < 255; i++)
		in[i] = (char)(i + 1);
	in[255] = '\0';
	text_safe(out, sizeof(out), in);
	assert_true(strlen(out) > 255);
	for (const char *s = out; *s != '\0'; s++)
		assert_in_range(*s, 0x20, 0x7e);
	assert_string_equal(text_safe(out, sizeof(out), "\x1f ~\x7f"), "\\x1f ~\\x7f");
	assert_string_equal(text_safe(out, sizeof(out), "a\033[31m\\x\n"), "a\\x1b[31m\\\\x\\x0a");
}

static void truncated_text_ends_with_a_whole_escape(void **state)
{
	char out[8];

	(void)state;
	assert_string_equal(text_safe(out, sizeof(out), "abcdefghij"), "abcdefg");
	assert_string_equal(text_safe(out, sizeof(out), "abcde\033f"), "abcde");
	assert_string_equal(text_safe(out, 1, "abc"), "");
}

static void line_for_caret_has_one_column_per_byte(void **state)
{
	char *got = NULL;
	size_t len;
	FILE *f = open_memstream(&got, &len);

	(void)state;
	assert_non_null(f);
	text_put_columns(f, "\x08\r\x0e\x1f ~");
	text_put_columns(f, "a\tb\033[2J\xc3\xbc\x7f\x9b\\\n");
	fclose(f);
	assert_string_equal(got, "? ?? ~a b?[2J????\\ ");
	free(got);
}

static void json_is(const char *in, const char *expected)
{
	char *got = NULL;
	size_t len;
	FILE *f = open_memstream(&got, &len);

	assert_non_null(f);
	text_put_json(f, in);
	fclose(f);
	assert_string_equal(got, expected);
	free(got);
}

/* Writes the character as UTF-8, even if it must not be. */
static const char *utf8(unsigned c)
{
	static char to[5];

	memset(to, 0, sizeof(to));
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 0x3f));
		to[2] = (char)(0x80 | (c & 0x3f));
	} else {
		to[0] = (char)(0xf0 | c >> 18);
		to[1] = (char)(0x80 | (c >> 12 & 0x3f));
		to[2] = (char)(0x80 | (c >> 6 & 0x3f));
		to[3] = (char)(0x80 | (c & 0x3f));
	}
	return to;
}

/* Characters beside each limit. */
static void json_has_every_character_that_deceives_nobody(void **state)
{
	static const unsigned kept[] = { 0xa0,	  0xff,	   0x61b,    0x61d,   0x7ff,  0x800,
					 0x200d,  0x2010,  0x2027,   0x202f,  0x2065, 0x206a,
					 0xd7ff,  0xe000,  0xffff,   0x10000, 0x61c0, 0x3ffff,
					 0x40000, 0xfffff, 0x100000, 0x10ffff };
	static const unsigned escaped[] = {
		0x80, 0x9f, 0x61c, 0x200e, 0x200f, 0x2028, 0x202e, 0x2066, 0x2069
	};
	static const unsigned invalid[] = { 0xd800, 0xdfff, 0x110000, 0x13ffff, 0x140000, 0x1fffff };

	(void)state;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		char expected[8];

		snprintf(expected, sizeof(expected), "\"%s\"", utf8(kept[i]));
		json_is(utf8(kept[i]), expected);
	}
	for (size_t i = 0; i < sizeof(escaped) / sizeof(escaped[0]); i++) {
		char expected[16];

		snprintf(expected, sizeof(expected), "\"\\u%04x\"", escaped[i]);
		json_is(utf8(escaped[i]), expected);
	}
	for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
		char expected[32] = "\"";

		for (size_t n = strlen(utf8(invalid[i])); n > 0; n--)
			strcat(expected, "\\ufffd");
		strcat(expected, "\"");
		json_is(utf8(invalid[i]), expected);
	}
	/* shorter forms exist; a continuation byte is missing, or is not one */
	json_is("\xc1\xbf", "\"\\ufffd\\ufffd\"");
	json_is("\xc2\xc0", "\"\\ufffd\\ufffd\"");
	json_is("\xc2\x7f", "\"\\ufffd\\u007f\"");
	json_is("\xe0\x9f\xbf", "\"\\ufffd\\ufffd\\ufffd\"");
	json_is("\xe1\x80\xc0", "\"\\ufffd\\ufffd\\ufffd\"");
	json_is("\xe1\x80\x7f", "\"\\ufffd\\ufffd\\u007f\"");
	json_is("\xf0\x8f\xbf\xbf", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
	json_is("\xf1\x80\x80\xc0", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
	json_is("\x1f \x7f~", "\"\\u001f \\u007f~\"");
}

static void json_is_well_formed_for_any_bytes(void **state)
{
	(void)state;
	json_is("a\"b\\c\n\x7f", "\"a\\\"b\\\\c\\u000a\\u007f\"");
	json_is("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xa7",
		"\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xa7\"");
	json_is("\xff\xc3", "\"\\ufffd\\ufffd\"");
	json_is("\xc0\xaf", "\"\\ufffd\\ufffd\""); /* a form that is longer than necessary */
	json_is("\xe0\x80\xaf", "\"\\ufffd\\ufffd\\ufffd\"");
	json_is("\xf0\x80\x80\xaf", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
	json_is("\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""); /* a surrogate */
	/* a control character: some terminals accept it as CSI */
	json_is("\xc2\x9b", "\"\\u009b\"");
	json_is("a\xe2\x80\xae"
		"b\xe2\x81\xa6\xd8\x9c\xe2\x80\xa8",
		"\"a\\u202eb\\u2066\\u061c\\u2028\"");
	/* the characters before and after them are not escaped */
	json_is("\xe2\x80\xa7\xe2\x80\xaf", "\"\xe2\x80\xa7\xe2\x80\xaf\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_but_printable_ascii_is_escaped),
		cmocka_unit_test(line_for_caret_has_one_column_per_byte),
		cmocka_unit_test(truncated_text_ends_with_a_whole_escape),
		cmocka_unit_test(json_has_every_character_that_deceives_nobody),
		cmocka_unit_test(json_is_well_formed_for_any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
