/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "output/decode.h"
#include "output/print.h"
#include "rounds.h"

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

static void line_contains_addresses_metadata_and_verdict(void **state)
{
	char *text = print(&(struct print_style){ .colour = false }, "eth0", udp4, sizeof(udp4));

	(void)state;
	assert_non_null(strstr(text, "udp 10.0.0.1:5353 > 10.0.0.2:53 len 36 mark 0x7 uid 1000 drop\n"));
	assert_non_null(strstr(text, " in   eth0 "));
	assert_null(strchr(text, 27));
	free(text);
}

/* Decodes a TCP packet from port 4660 to 80. Only the first len bytes are given. */
static struct decoded decoded_tcp(uint8_t first, uint16_t offset, size_t len)
{
	static const uint8_t tcp[20] = { 0x12, 0x34, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x12 };
	uint8_t whole[80] = { first, 0, 0, 80, 0, 0, 0, 0, 64, 6 }, *exact = malloc(len);
	struct decoded d;

	whole[6] = (uint8_t)(offset >> 8);
	whole[7] = (uint8_t)offset;
	memcpy(whole + (first & 15) * 4, tcp, sizeof(tcp));
	memcpy(exact, whole, len);
	decode(&d, exact, (uint32_t)len);
	free(exact);
	return d;
}

static void fields_of_tcp_are_those_that_are_there(void **state)
{
	struct decoded d = decoded_tcp(0x45, 0, 34);

	(void)state;
	assert_true(d.ports && d.tcp);
	assert_int_equal(d.source_port, 0x1234);
	assert_int_equal(d.destination_port, 80);
	assert_int_equal(d.sequence, 0x01020304);
	assert_int_equal(d.acknowledgement, 0x05060708);
	assert_int_equal(d.tcp_flags, 0x12);
	d = decoded_tcp(0x45, 0, 33);
	assert_true(d.ports && !d.tcp);
	d = decoded_tcp(0x45, 0, 23);
	assert_false(d.ports || d.tcp);
	d = decoded_tcp(0x4f, 0, 30); /* the IP options are truncated */
	assert_false(d.ports || d.tcp);
	d = decoded_tcp(0x4f, 0, 74);
	assert_true(d.ports && d.tcp);
}

static void later_fragment_has_no_ports(void **state)
{
	(void)state;
	assert_true(decoded_tcp(0x45, 0x2000, 40).ports); /* the first fragment has ports */
	assert_false(decoded_tcp(0x45, 0x0001, 40).ports);
	assert_false(decoded_tcp(0x45, 0x3fff, 40).ports);
}

static void colour_option_colours_the_verdict(void **state)
{
	char *text = print(&(struct print_style){ .colour = true }, "eth0", udp4, sizeof(udp4));

	(void)state;
	assert_non_null(strstr(text, "\033[31mdrop\033[0m"));
	free(text);
}

static void control_characters_in_names_are_escaped(void **state)
{
	char *text =
		print(&(struct print_style){ .bytes = true }, "e\033[2J\"\n\x7f\xff", udp4, sizeof(udp4));

	(void)state;
	for (const char *c = text; *c != '\0'; c++)
		assert_true(*c == '\n' || *c == '\t' || (*c >= 0x20 && *c < 0x7f));
	assert_non_null(strstr(text, "e\\x1b[2J\"\\x0a\\x7f\\xff"));
	assert_non_null(strstr(text, ".[2J\n"));
	free(text);
}

static void json_is_one_line_with_everything_escaped(void **state)
{
	char *text = print(&(struct print_style){ .json = true, .bytes = true }, "e\033\"\\\n\xff\xc3\xbc",
			   udp4, sizeof(udp4));

	(void)state;
	assert_ptr_equal(strstr(text, "{\"time\":1700000000.123456789,\"hook\":\"INPUT\",\"indev\":"), text);
	/* valid UTF-8 is kept, other bytes are replaced */
	assert_non_null(strstr(text, "\"indev\":\"e\\u001b\\\"\\\\\\u000a\\ufffd\xc3\xbc\","));
	assert_non_null(strstr(text, ",\"ip\":4,\"protocol\":17,\"protocol_name\":\"udp\",\"source\":"));
	assert_non_null(strstr(text, "\"source\":\"10.0.0.1\",\"destination\":\"10.0.0.2\",\"source_port\":"
				     "5353,\"destination_port\":53,"));
	assert_non_null(strstr(text, "\"bytes\":\"4500"));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	free(text);
}

static void truncated_packets_are_printed_without_reading_beyond_the_end(void **state)
{
	(void)state;
	srandom(3);
	for (int n = 0; n < (int)rounds(20000); n++) {
		uint32_t len = (uint32_t)random() % 120;
		/* memory of exactly this size, so that a sanitizer finds overreads */
		uint8_t *p = malloc(len + (len == 0));

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

/* Makes a packet: headers of IPv4 and of UDP or TCP, then `bytes`. The caller frees it. */
static uint8_t *packet_of(uint8_t protocol, uint16_t port, const void *bytes, size_t len, uint32_t *total)
{
	size_t header = 20 + (protocol == 6 ? 20 : 8);
	uint8_t *p = calloc(1, header + len);

	p[0] = 0x45;
	p[8] = 64;
	p[9] = protocol;
	p[20] = 0x14; /* the port becomes 5353 + 4096 */
	p[22] = (uint8_t)(port >> 8);
	p[23] = (uint8_t)port;
	p[32] = 0x50;
	memcpy(p + header, bytes, len);
	*total = (uint32_t)(header + len);
	return p;
}

static const uint8_t dns_question[] = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
				      "\x03www\x07"
				      "ex\x1b.ple\x03org\x00\x00\x1c\x00\x01";

static const uint8_t client_hello[] = "\x16\x03\x01\x00\x4a\x01\x00\x00\x46\x03\x03"
				      "01234567890123456789012345678901"
				      "\x00\x00\x02\x13\x01\x01\x00\x00\x1b"
				      "\x00\x17\x00\x00"
				      "\x00\x00\x00\x10\x00\x0e\x00\x00\x0b"
				      "example.org"
				      "\x00\x23\x00\x00";

static char *print_bytes_of(const struct print_style *style, uint8_t protocol, uint16_t port,
			    const void *bytes, size_t len)
{
	uint32_t total;
	uint8_t *p = packet_of(protocol, port, bytes, len, &total);
	char *text = print(style, "", p, total);

	free(p);
	return text;
}

static void dns_question_is_shown_escaped(void **state)
{
	char *text = print_bytes_of(&(struct print_style){ .colour = false }, 17, 53, dns_question,
				    sizeof(dns_question) - 1);

	(void)state;
	assert_non_null(strstr(text, " query AAAA www.ex\\x1b\\x5c046ple.org"));
	free(text);
	text = print_bytes_of(&(struct print_style){ .json = true }, 17, 53, dns_question,
			      sizeof(dns_question) - 1);
	assert_non_null(strstr(text, "\"dns_name\":\"www.ex\\u001b\\\\046ple.org\",\"dns_type\":28,"
				     "\"dns_type_name\":\"AAAA\",\"dns_answer\":false"));
	free(text);
	/* Other ports are not decoded. */
	text = print_bytes_of(&(struct print_style){ .colour = false }, 17, 54, dns_question,
			      sizeof(dns_question) - 1);
	assert_null(strstr(text, "query"));
	free(text);
}

/* A message over TCP has its length before it. */
static void dns_question_over_tcp_is_shown(void **state)
{
	uint8_t message[2 + sizeof(dns_question) - 1] = { 0, sizeof(dns_question) - 1 };
	char *text;

	(void)state;
	memcpy(message + 2, dns_question, sizeof(dns_question) - 1);
	text = print_bytes_of(&(struct print_style){ .colour = false }, 6, 53, message, sizeof(message));
	assert_non_null(strstr(text, " query AAAA www.ex"));
	free(text);
}

static void incomplete_dns_question_is_not_shown(void **state)
{
	uint8_t message[12 + 1 + 64 + 5] = { 0, 0, 1, 0, 0, 1 };
	char *text;

	(void)state;
	for (size_t len = 12; len < sizeof(dns_question) - 1; len++) { /* the last field is not read */
		text = print_bytes_of(&(struct print_style){ .colour = false }, 17, 53, dns_question, len);
		assert_int_equal(strstr(text, " query ") != NULL, len >= sizeof(dns_question) - 1 - 2);
		free(text);
	}
	for (unsigned len = 63; len <= 64; len++) { /* longer labels do not exist */
		memset(message + 12, 0, sizeof(message) - 12);
		message[12] = (uint8_t)len;
		memset(message + 13, 'a', len);
		message[13 + len + 2] = 1;
		text = print_bytes_of(&(struct print_style){ .colour = false }, 17, 53, message,
				      sizeof(message));
		assert_int_equal(strstr(text, " query A aaa") != NULL, len == 63);
		free(text);
	}
}

static void dns_answer_shows_its_code(void **state)
{
	uint8_t answer[sizeof(dns_question)];
	char *text;

	(void)state;
	memcpy(answer, dns_question, sizeof(answer));
	answer[2] |= 0x80;
	answer[3] = 3;
	text = print_bytes_of(&(struct print_style){ .colour = false }, 17, 53, answer, sizeof(answer) - 1);
	assert_non_null(strstr(text, " answer NXDOMAIN AAAA www.ex"));
	free(text);
}

static void tls_server_name_is_shown(void **state)
{
	char *text = print_bytes_of(&(struct print_style){ .colour = false }, 6, 443, client_hello,
				    sizeof(client_hello) - 1);

	(void)state;
	assert_non_null(strstr(text, " tls example.org"));
	free(text);
	text = print_bytes_of(&(struct print_style){ .json = true }, 6, 443, client_hello,
			      sizeof(client_hello) - 1);
	assert_non_null(strstr(text, "\"tls_server_name\":\"example.org\""));
	free(text);
}

static void names_are_read_from_any_cut_and_any_change(void **state)
{
	(void)state;
	srandom(5);
	for (int n = 0; n < (int)rounds(40000); n++) {
		bool dns = random() % 2;
		uint32_t total, len;
		uint8_t *whole = dns ? packet_of(17, 53, dns_question, sizeof(dns_question) - 1, &total)
				     : packet_of(6, 443, client_hello, sizeof(client_hello) - 1, &total);
		uint8_t *p;

		for (int i = (int)random() % 4; i > 0; i--)
			whole[20 + random() % (total - 20)] = (uint8_t)random();
		len = (uint32_t)random() % (total + 1);
		/* memory of exactly this size, so that a sanitizer finds overreads */
		p = malloc(len + (len == 0));
		memcpy(p, whole, len);
		free(print(&(struct print_style){ .json = random() % 2, .verbose = true, .text = true }, "",
			   p, len));
		free(p);
		free(whole);
	}
}

static char *print_at(bool json, int64_t time)
{
	struct ipq_packet packet = { .hook = 1 };
	struct print_packet p = { .packet = &packet, .time = time };
	struct print_style style = { .json = json };
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	print_packet(f, &style, &p);
	fclose(f);
	return text;
}

static void time_before_1970_is_a_number_and_rounded_down(void **state)
{
	char *text = print_at(true, INT64_C(-8500000000));

	(void)state;
	assert_non_null(strstr(text, "{\"time\":-8.500000000,"));
	assert_non_null(strstr(text, ",\"seconds\":-9,\"nanoseconds\":500000000"));
	free(text);
	text = print_at(true, -1);
	assert_non_null(strstr(text, "{\"time\":-0.000000001,"));
	assert_non_null(strstr(text, ",\"seconds\":-1,\"nanoseconds\":999999999"));
	free(text);
	text = print_at(true, INT64_MIN);
	assert_non_null(strstr(text, "{\"time\":-9223372036.854775808,"));
	free(text);
	text = print_at(false, INT64_C(-8500000000));
	assert_non_null(strstr(text, ":51.500000 "));
	free(text);
}

static void verbose_line_has_more_of_the_headers(void **state)
{
	char *text = print_bytes_of(&(struct print_style){ .verbose = true }, 6, 80, "GET / \x1b\n", 8);

	(void)state;
	assert_non_null(strstr(text, " ttl 64 id 0 tos 0x0 seq 0 ack 0 win 0"));
	free(text);
	for (uint32_t len = 13; len <= 16; len++) { /* only the first bytes of the TCP header */
		uint32_t total;
		uint8_t *p = packet_of(6, 80, "", 0, &total);

		text = print(&(struct print_style){ .verbose = true }, "", p, 20 + len);
		assert_int_equal(strstr(text, " seq 0 ack 0") != NULL, len >= 14);
		assert_int_equal(strstr(text, " win 0") != NULL, len >= 16);
		free(text);
		free(p);
	}
	text = print_bytes_of(&(struct print_style){ .text = true }, 6, 80, "GET / \x1b\n", 8);
	assert_non_null(strstr(text, "\nGET / .\n"));
	assert_null(strchr(text, 27));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(line_contains_addresses_metadata_and_verdict),
		cmocka_unit_test(fields_of_tcp_are_those_that_are_there),
		cmocka_unit_test(later_fragment_has_no_ports),
		cmocka_unit_test(colour_option_colours_the_verdict),
		cmocka_unit_test(control_characters_in_names_are_escaped),
		cmocka_unit_test(json_is_one_line_with_everything_escaped),
		cmocka_unit_test(truncated_packets_are_printed_without_reading_beyond_the_end),
		cmocka_unit_test(dns_question_is_shown_escaped),
		cmocka_unit_test(dns_question_over_tcp_is_shown),
		cmocka_unit_test(incomplete_dns_question_is_not_shown),
		cmocka_unit_test(dns_answer_shows_its_code),
		cmocka_unit_test(tls_server_name_is_shown),
		cmocka_unit_test(names_are_read_from_any_cut_and_any_change),
		cmocka_unit_test(time_before_1970_is_a_number_and_rounded_down),
		cmocka_unit_test(verbose_line_has_more_of_the_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
