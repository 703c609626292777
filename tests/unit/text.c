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
	text_put_columns(f, "a\tb\033[2J\xc3\xbc\x7f\x9b\\\n");
	fclose(f);
	assert_string_equal(got, "a b?[2J????\\ ");
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
		cmocka_unit_test(json_is_well_formed_for_any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
