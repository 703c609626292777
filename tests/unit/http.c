// SPDX-License-Identifier: LGPL-2.1-or-later
/* Which HTTP messages have a body that ipq filter may change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "filter/http.h"

#define OK "HTTP/1.1 200 OK\r\n"

static enum http_result look(const char *text, bool ended)
{
	const struct following nothing = { .ended = ended };
	struct http_message m;

	return http_look(&m, (const uint8_t *)text, strlen(text), &nothing);
}

static void messages_are_told_apart(void **state)
{
	static const struct {
		const char *text;
		enum http_result result;
	} all[] = {
		{ OK "Content-Length: 4\r\n\r\nbody", HTTP_WHOLE },
		{ OK "content-length:\t4 \r\n\r\nbody", HTTP_WHOLE },
		{ OK "Content-Encoding: identity\r\nContent-Length: 4\r\n\r\nbody", HTTP_WHOLE },
		{ "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", HTTP_WHOLE },
		{ "PATCH / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", HTTP_WHOLE },
		{ OK "Content-Length: 5\r\n\r\nbody", HTTP_OPEN },
		{ OK "Content-Length: 4\r\n", HTTP_OPEN },
		{ "HTT", HTTP_OPEN },
		{ OK "Content-Length: 0\r\n\r\n", HTTP_NONE },
		{ "GET / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", HTTP_NONE },
		{ "POST / HTTP/1.1\r\n\r\n", HTTP_NONE },
		{ "HTTP/1.1 100 Continue\r\nContent-Length: 4\r\n\r\nbody", HTTP_NONE },
		{ "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nbody", HTTP_NONE },
		{ "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nbody", HTTP_NONE },
		{ "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nbody", HTTP_WHOLE },
		{ OK "Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody", HTTP_REFUSED },
		{ OK "Content-Length: 4\r\nContent-Length: 9\r\n\r\nbody", HTTP_REFUSED },
		{ OK "Content-Length: 4, 4\r\n\r\nbody", HTTP_REFUSED },
		{ OK "Content-Length: -4\r\n\r\nbody", HTTP_REFUSED },
		{ OK "Content-Length: 100000000\r\n\r\nbody", HTTP_REFUSED },
		{ OK "Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nbody", HTTP_REFUSED },
		{ OK "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\nbody", HTTP_REFUSED },
		{ OK "\r\nbody", HTTP_REFUSED }, /* the body ends with the connection */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (look(all[i].text, false) != all[i].result)
			fail_msg("%s", all[i].text);
		if (all[i].result == HTTP_OPEN) /* no further segment can follow */
			assert_int_equal(look(all[i].text, true), HTTP_REFUSED);
	}
}

static void header_beyond_8_kilobytes_is_not_waited_for(void **state)
{
	char text[9000] = OK "X: ";

	(void)state;
	memset(text + strlen(text), 'x', 8191 - strlen(text));
	assert_int_equal(strlen(text), 8191);
	assert_int_equal(look(text, false), HTTP_OPEN);
	strcat(text, "x");
	assert_int_equal(look(text, false), HTTP_REFUSED);
}

static void length_is_found_in_the_text(void **state)
{
	static const char text[] = OK "Content-Length:  1234\r\n\r\n";
	const struct following nothing = { .ended = false };
	struct http_message m;

	(void)state;
	assert_int_equal(http_look(&m, (const uint8_t *)text, strlen(text), &nothing), HTTP_OPEN);
	assert_int_equal(m.body, strlen(text));
	assert_int_equal(m.body_len, 1234);
	assert_int_equal(m.digits, 4);
	assert_memory_equal(text + m.length_at, "1234\r", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_told_apart),
		cmocka_unit_test(header_beyond_8_kilobytes_is_not_waited_for),
		cmocka_unit_test(length_is_found_in_the_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
