/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
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

/* Prints a packet as text and as JSON, with all that an option can add. */
static void print_in_all_styles(FILE *out, const struct ipq_packet *packet)
{
	static const struct print_style styles[] = { { .verbose = true, .bytes = true, .text = true },
						     { .json = true, .bytes = true } };
	struct print_packet p = { .packet = packet,
				  .time = INT64_C(1700000000023456789),
				  .indev = "in",
				  .outdev = "out",
				  .verdict = "accept" };

	for (size_t i = 0; i < sizeof(styles) / sizeof(styles[0]); i++)
		print_packet(out, &styles[i], &p);
}

static void everything_is_printed(void **state)
{
	static uint8_t udp[] = { 0x45, 0x12, 0,	  38,	0x12, 0x34, 0x40, 0,	64,   17,   0,	0,  10,
				 0,    0,    1,	  10,	0,    0,    2,	  0x14, 0xe9, 0,    99, 0,  18,
				 0,    0,    'h', '\n', 1,    '\t', ' ',  '~',	0x7f, 0xff, 31, 'i' };
	static uint8_t tcp[] = { 0x45, 0,  0,	 45,   0,    1, 0, 0, 63, 6, 0, 0, 10, 0, 0,
				 1,    10, 0,	 0,    2,    1, 2, 3, 4,  0, 1, 2, 3,  4, 5,
				 6,    7,  0x60, 0x12, 0x80, 1, 0, 0, 0,  0, 1, 1, 1,  0, 'x' };
	static uint8_t icmp[] = { 0x45, 0,  0, 29, 0, 0, 0, 0, 1, 1, 0, 0, 10, 0,  0,
				  1,	10, 0, 0,  2, 3, 4, 0, 0, 0, 0, 0, 0,  'q' };
	static uint8_t six[] = { 0x6a, 0xb1, 0x23, 0x45, 0, 4, 132, 7, 0xfe, 0x80, 0, 0, 0, 0, 0,
				 0,    0,    0,	   0,	 0, 0, 0,   0, 1,    0x20, 1, 0, 0, 0, 0,
				 0,    0,    0,	   0,	 0, 0, 0,   0, 0,    2,	   0, 1, 0, 2 };
	static uint8_t fragment[] = {
		0x45, 0, 0, 21, 0, 0, 0, 1, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, '!'
	};
	const struct ipq_packet packets[] = {
		{ .payload = udp,
		  .payload_len = sizeof(udp),
		  .present = IPQ_HAS_PAYLOAD | IPQ_HAS_MARK,
		  .mark = 0 },
		{ .payload = tcp,
		  .payload_len = sizeof(tcp),
		  .present = IPQ_HAS_PAYLOAD | IPQ_HAS_UID,
		  .uid = 0,
		  .hook = 1 },
		{ .payload = tcp, .payload_len = 35, .present = IPQ_HAS_PAYLOAD, .hook = 2 },
		{ .payload = icmp, .payload_len = sizeof(icmp), .present = IPQ_HAS_PAYLOAD, .hook = 3 },
		{ .payload = six,
		  .payload_len = sizeof(six),
		  .present = IPQ_HAS_PAYLOAD | IPQ_HAS_HWADDR,
		  .hook = 4,
		  .hw_addr = { 2, 0, 0, 0, 0, 9 },
		  .hw_addr_len = 6 },
		{ .payload = fragment,
		  .payload_len = sizeof(fragment),
		  .present = IPQ_HAS_PAYLOAD,
		  .hook = 5 },
		{ .payload = udp, .payload_len = sizeof(udp), .full_len = 38, .mark = 5, .uid = 6 },
	};
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	assert_non_null(out);
	setenv("TZ", "UTC", 1);
	tzset();
	for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
		struct ipq_packet packet = packets[i];

		if (packet.full_len == 0)
			packet.full_len = packet.payload_len + 1000;
		print_in_all_styles(out, &packet);
	}
	fclose(out);
	assert_string_equal(
		text,
		"22:13:20.023456 pre  in>out udp 10.0.0.1:5353 > 10.0.0.2:99 len 1038 ttl 64 id 4660 tos "
		"0x12 DF accept\n"
		"\t0x0000:  4512 0026 1234 4000 4011 0000 0a00 0001  E..&.4@.@.......\n"
		"\t0x0010:  0a00 0002 14e9 0063 0012 0000 680a 0109  .......c....h...\n"
		"\t0x0020:  207e 7fff 1f69                            ~...i\n"
		"h\n"
		".\t ~...i\n"
		"{\"time\":1700000000.023456789,\"hook\":\"PREROUTING\",\"indev\":\"in\",\"outdev\":\"out\","
		"\"ip\":4,"
		"\"protocol\":17,\"protocol_name\":\"udp\",\"source\":\"10.0.0.1\",\"destination\":\"10.0.0."
		"2\","
		"\"source_port\":5353,\"destination_port\":99,\"length\":1038,\"mark\":0,\"verdict\":"
		"\"accept\","
		"\"seconds\":1700000000,\"nanoseconds\":23456789,"
		"\"bytes\":\"4512002612344000401100000a0000010a00000214e9006300120000680a0109207e7fff1f69\"}"
		"\n"
		"22:13:20.023456 in   in>out tcp 10.0.0.1:258 > 10.0.0.2:772 [S.] len 1045 ttl 63 id 1 tos "
		"0x0 seq 66051 ack 67438087 win 32769 uid 0 accept\n"
		"\t0x0000:  4500 002d 0001 0000 3f06 0000 0a00 0001  E..-....?.......\n"
		"\t0x0010:  0a00 0002 0102 0304 0001 0203 0405 0607  ................\n"
		"\t0x0020:  6012 8001 0000 0000 0101 0100 78         `...........x\n"
		"x\n"
		"{\"time\":1700000000.023456789,\"hook\":\"INPUT\",\"indev\":\"in\",\"outdev\":\"out\","
		"\"ip\":4,"
		"\"protocol\":6,\"protocol_name\":\"tcp\",\"source\":\"10.0.0.1\",\"destination\":\"10.0.0."
		"2\","
		"\"source_port\":258,\"destination_port\":772,\"tcp_flags\":\"S.\",\"sequence\":66051,"
		"\"acknowledgement\":67438087,\"length\":1045,\"uid\":0,\"verdict\":\"accept\",\"seconds\":"
		"1700000000,"
		"\"nanoseconds\":23456789,"
		"\"bytes\":"
		"\"4500002d000100003f0600000a0000010a00000201020304000102030405060760128001000000000"
		"101010078\"}\n"
		"22:13:20.023456 fwd  in>out tcp 10.0.0.1:258 > 10.0.0.2:772 [S.] len 1035 ttl 63 id 1 tos "
		"0x0 seq 66051 ack 67438087 accept\n"
		"\t0x0000:  4500 002d 0001 0000 3f06 0000 0a00 0001  E..-....?.......\n"
		"\t0x0010:  0a00 0002 0102 0304 0001 0203 0405 0607  ................\n"
		"\t0x0020:  6012 80                                  `..\n"
		"{\"time\":1700000000.023456789,\"hook\":\"FORWARD\",\"indev\":\"in\",\"outdev\":\"out\","
		"\"ip\":4,"
		"\"protocol\":6,\"protocol_name\":\"tcp\",\"source\":\"10.0.0.1\",\"destination\":\"10.0.0."
		"2\","
		"\"source_port\":258,\"destination_port\":772,\"tcp_flags\":\"S.\",\"sequence\":66051,"
		"\"acknowledgement\":67438087,\"length\":1035,\"verdict\":\"accept\",\"seconds\":1700000000,"
		"\"nanoseconds\":23456789,"
		"\"bytes\":\"4500002d000100003f0600000a0000010a000002010203040001020304050607601280\"}\n"
		"22:13:20.023456 out  in>out icmp 10.0.0.1 > 10.0.0.2 unreachable len 1029 ttl 1 id 0 tos "
		"0x0 accept\n"
		"\t0x0000:  4500 001d 0000 0000 0101 0000 0a00 0001  E...............\n"
		"\t0x0010:  0a00 0002 0304 0000 0000 0000 71         ............q\n"
		"q\n"
		"{\"time\":1700000000.023456789,\"hook\":\"OUTPUT\",\"indev\":\"in\",\"outdev\":\"out\","
		"\"ip\":4,"
		"\"protocol\":1,\"protocol_name\":\"icmp\",\"source\":\"10.0.0.1\",\"destination\":\"10.0.0."
		"2\","
		"\"icmp_type\":3,\"icmp_code\":4,\"length\":1029,\"verdict\":\"accept\",\"seconds\":"
		"1700000000,"
		"\"nanoseconds\":23456789,"
		"\"bytes\":\"4500001d00000000010100000a0000010a000002030400000000000071\"}\n"
		"22:13:20.023456 post in>out sctp [fe80::1]:1 > [2001::2]:2 len 1044 hlim 7 class 0xab flow "
		"0x12345 from 02:00:00:00:00:09 accept\n"
		"\t0x0000:  6ab1 2345 0004 8407 fe80 0000 0000 0000  j.#E............\n"
		"\t0x0010:  0000 0000 0000 0001 2001 0000 0000 0000  ........ .......\n"
		"\t0x0020:  0000 0000 0000 0002 0001 0002            ............\n"
		"{\"time\":1700000000.023456789,\"hook\":\"POSTROUTING\",\"indev\":\"in\",\"outdev\":\"out\","
		"\"ip\":6,"
		"\"protocol\":132,\"protocol_name\":\"sctp\",\"source\":\"fe80::1\",\"destination\":\"2001::"
		"2\","
		"\"source_port\":1,\"destination_port\":2,\"length\":1044,\"verdict\":\"accept\","
		"\"seconds\":1700000000,\"nanoseconds\":23456789,"
		"\"bytes\":"
		"\"6ab1234500048407fe800000000000000000000000000001200100000000000000000000000000020"
		"0010002\"}\n"
		"22:13:20.023456 -    in>out udp 10.0.0.1 > 10.0.0.2 fragment len 1021 ttl 64 id 0 tos 0x0 "
		"accept\n"
		"\t0x0000:  4500 0015 0000 0001 4011 0000 0a00 0001  E.......@.......\n"
		"\t0x0010:  0a00 0002 21                             ....!\n"
		"!\n"
		"{\"time\":1700000000.023456789,\"hook\":\"-\",\"indev\":\"in\",\"outdev\":\"out\",\"ip\":4,"
		"\"protocol\":17,"
		"\"protocol_name\":\"udp\",\"source\":\"10.0.0.1\",\"destination\":\"10.0.0.2\",\"fragment\":"
		"true,"
		"\"length\":1021,\"verdict\":\"accept\",\"seconds\":1700000000,\"nanoseconds\":23456789,"
		"\"bytes\":\"4500001500000001401100000a0000010a00000221\"}\n"
		"22:13:20.023456 pre  in>out not IP len 38 accept\n"
		"{\"time\":1700000000.023456789,\"hook\":\"PREROUTING\",\"indev\":\"in\",\"outdev\":\"out\","
		"\"length\":38,"
		"\"verdict\":\"accept\",\"seconds\":1700000000,\"nanoseconds\":23456789}\n");
	free(text);
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
	text = print_bytes_of(&(struct print_style){ .json = true }, 17, 53, answer, sizeof(answer) - 1);
	assert_non_null(strstr(text, ",\"dns_answer\":true,\"dns_code\":\"NXDOMAIN\","));
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
		cmocka_unit_test(everything_is_printed),
		cmocka_unit_test(dns_answer_shows_its_code),
		cmocka_unit_test(tls_server_name_is_shown),
		cmocka_unit_test(names_are_read_from_any_cut_and_any_change),
		cmocka_unit_test(time_before_1970_is_a_number_and_rounded_down),
		cmocka_unit_test(verbose_line_has_more_of_the_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
