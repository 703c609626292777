/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parsing the text after "pcap:". */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>
#include <cmocka.h>
#include "capture/capture.h"
#include "capture/state.h"
#include "core/core.h"

static struct source_pcap_name parsed(const char *arg)
{
	struct source_pcap_name name;
	struct ipq_error e;

	assert_int_equal(source_pcap_name_parse(&name, arg, &e), 0);
	return name;
}

static void files_and_options_are_parsed(void **state)
{
	struct source_pcap_name n = parsed("in.pcap");

	(void)state;
	assert_string_equal(n.in, "in.pcap");
	assert_null(n.out);
	assert_false(n.by_clock);
	assert_int_equal(n.hook, 1);
	assert_string_equal(n.indev, "pcap0");
	source_pcap_name_free(&n);

	n = parsed("-,out.pcap,pace=file,hook=forward,indev=eth0,outdev=eth1");
	assert_string_equal(n.in, "-");
	assert_string_equal(n.out, "out.pcap");
	assert_true(n.by_clock);
	assert_int_equal(n.hook, 2);
	assert_string_equal(n.indev, "eth0");
	assert_string_equal(n.outdev, "eth1");
	source_pcap_name_free(&n);

	n = parsed("in.pcap,pace=fast");
	assert_null(n.out);
	source_pcap_name_free(&n);
	n = parsed("in.pcap,,hook=OUTPUT");
	assert_null(n.out);
	assert_int_equal(n.hook, 3);
	source_pcap_name_free(&n);
}

static void kinds_have_their_whole_names(void **state)
{
	(void)state;
	assert_ptr_equal(source_kind("pcap:x"), &source_pcap);
	assert_ptr_equal(source_kind("pcap"), &source_pcap);
	assert_null(source_kind("pca:x"));
	assert_null(source_kind("pcapng:x"));
	assert_null(source_kind(":x"));
	assert_string_equal(source_skip_engine("engine:pcap:x"), "pcap:x");
	assert_string_equal(source_skip_engine("pcap:x"), "pcap:x");
}

static void escaped_commas_and_backslashes_are_part_of_names(void **state)
{
	struct source_pcap_name n = parsed("a\\,b\\\\c\\d,x\\,y");

	(void)state;
	assert_string_equal(n.in, "a,b\\c\\d");
	assert_string_equal(n.out, "x,y");
	source_pcap_name_free(&n);
}

static void refused(const char *arg, const char *word)
{
	struct source_pcap_name n;
	struct ipq_error e = { "" };

	assert_int_equal(source_pcap_name_parse(&n, arg, &e), -EINVAL);
	assert_non_null(strstr(e.text, word));
}

static void wrong_names_are_rejected_with_reason(void **state)
{
	(void)state;
	refused("", "names no file");
	refused(",out", "names no file");
	refused("in,pace=slow", "pace=slow");
	refused("in,hook=FOO", "hook=FOO");
	refused("in,out,third", "\"third\"");
	refused("in,pace=file,third", "\"third\"");
	refused("in,indev=", "interface name");
	refused("in,indev=sixteen-letters!", "interface name");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_and_options_are_parsed),
		cmocka_unit_test(kinds_have_their_whole_names),
		cmocka_unit_test(escaped_commas_and_backslashes_are_part_of_names),
		cmocka_unit_test(wrong_names_are_rejected_with_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
