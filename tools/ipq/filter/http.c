/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A message is edited together with its first segment, while the segments with the rest of its body are held:
 * Content-Length is sent first, and must have the new value. Edits of later segments are recorded only
 * (tcp_replace_across()).
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "filter/http.h"

#define HEADER_MAX 8192
#define CHANGES_MAX 4096

/* ---- the header ---------------------------------------------------------------------------------- */

/* Whether the texts are equal up to the end of the shorter one. */
static bool agrees(const char *text, size_t len, const char *with)
{
	size_t n = strlen(with);

	return strncmp(text, with, n < len ? n : len) == 0;
}

/* Whether the text begins a message that may have a body. GET and others have none. */
static bool is_message(const char *text, size_t len)
{
	static const char *const begins[] = { "HTTP/1.", "POST ", "PUT ", "PATCH " };

	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]) && len > 0; i++)
		if (agrees(text, len, begins[i]))
			return true;
	return false;
}

/* The value of a field of this name, or NULL. */
static const char *value_of(const char *line, const char *name)
{
	size_t n = strlen(name);

	if (strncasecmp(line, name, n) != 0 || line[n] != ':')
		return NULL;
	line += n + 1;
	return line + strspn(line, " \t");
}

static enum http_result read_length(struct http_message *m, const char *header, const char *value)
{
	char *end;
	unsigned long n;

	if (!isdigit((unsigned char)*value) || m->digits != 0)
		return HTTP_REFUSED;
	n = strtoul(value, &end, 10);
	m->length_at = (uint32_t)(value - header);
	m->digits = (uint32_t)(end - value);
	m->body_len = (uint32_t)n;
	return m->digits <= 8 && strspn(end, " \t") == strcspn(end, "\r") ? HTTP_WHOLE : HTTP_REFUSED;
}

/* Parses the fields of a header that ends with the empty line. */
static enum http_result read_fields(struct http_message *m, const char *header)
{
	bool answer = strncmp(header, "HTTP/1.", 7) == 0;
	const char *code = answer ? strchr(header, ' ') : NULL;
	bool refused = false;

	if (answer && (code == NULL || code[1] == '1' || strncmp(code, " 204", 4) == 0 ||
		       strncmp(code, " 304", 4) == 0))
		return HTTP_NONE;
	for (const char *line = header; (line = strstr(line, "\r\n")) != NULL;) {
		const char *value;

		line += 2;
		value = value_of(line, "Content-Length");
		if (value != NULL && read_length(m, header, value) != HTTP_WHOLE)
			return HTTP_REFUSED;
		value = value_of(line, "Content-Encoding");
		refused |= value != NULL && strncasecmp(value, "identity", 8) != 0;
		refused |= value_of(line, "Transfer-Encoding") != NULL;
	}
	if (refused || (m->digits == 0 && answer))
		return HTTP_REFUSED;
	return m->digits > 0 && m->body_len > 0 ? HTTP_WHOLE : HTTP_NONE;
}

/* Copies text from the beginning of the payload, at most room bytes. */
static size_t copy_text(uint8_t *to, size_t room, const uint8_t *payload, size_t len,
			const struct following *next)
{
	size_t at = len < room ? len : room;

	memcpy(to, payload, at);
	for (unsigned i = 0; i < next->count && at < room; i++) {
		size_t n = next->part[i].len < room - at ? next->part[i].len : room - at;

		memcpy(to + at, next->part[i].bytes, n);
		at += n;
	}
	return at;
}

enum http_result http_look(struct http_message *m, const uint8_t *payload, size_t len,
			   const struct following *next)
{
	enum http_result missing =
		next->ended || next->count == TCP_ACROSS_MAX - 1 ? HTTP_REFUSED : HTTP_OPEN;
	char header[HEADER_MAX + 1], *end;
	enum http_result result;
	size_t n, all = len;

	*m = (struct http_message){ .body = 0 };
	if (!is_message((const char *)payload, len))
		return HTTP_NONE;
	n = copy_text((uint8_t *)header, HEADER_MAX, payload, len, next);
	header[n] = '\0';
	end = strstr(header, "\r\n\r\n");
	if (end == NULL)
		return n == HEADER_MAX || strlen(header) < n ? HTTP_REFUSED : missing;
	m->body = (uint32_t)(end - header) + 4;
	end[2] = '\0';
	result = read_fields(m, header);
	for (unsigned i = 0; i < next->count; i++)
		all += next->part[i].len;
	return result == HTTP_WHOLE && all < (size_t)m->body + m->body_len ? missing : result;
}

/* ---- the body ------------------------------------------------------------------------------------ */

int http_begin(struct http_message *m, const uint8_t *payload, size_t len, const struct following *next)
{
	size_t all = (size_t)m->body + m->body_len;

	m->text = malloc(all);
	m->change = calloc(CHANGES_MAX, sizeof(*m->change));
	if (m->text == NULL || m->change == NULL)
		return -ENOMEM;
	copy_text(m->text, all, payload, len, next);
	return 0;
}

/* Divides a change between segments. */
static void divide(struct tcp_across *text, const struct http_change *c, size_t len,
		   const struct following *next)
{
	uint32_t begin = 0, end = (uint32_t)len, at = c->offset, last = c->offset + c->old_len;

	*text = (struct tcp_across){ .offset = c->offset };
	for (unsigned i = 0; at < last; i++) {
		if (at < end && at >= begin) {
			text->part[text->parts] = (last < end ? last : end) - at;
			at += text->part[text->parts++];
		}
		begin = end;
		end = i < next->count ? end + next->part[i].len : last;
	}
}

static int change(struct http_message *m, struct ipq_tcp_segment *s, size_t len, const struct following *next,
		  const struct http_change *c, const void *bytes)
{
	struct tcp_across text;
	int result;

	if (m->changes == CHANGES_MAX)
		return -ENOBUFS;
	divide(&text, c, len, next);
	result = tcp_replace_across(s, &text, bytes, c->new_len);
	if (result == 1)
		m->change[m->changes++] = *c;
	return result;
}

int http_rewrite(struct http_message *m, struct ipq_tcp_segment *s, size_t len, const struct following *next,
		 const struct rewrite *r)
{
	const uint8_t *end = m->text + m->body + m->body_len, *at = m->text + m->body;
	int places = 0;

	while ((at = memmem(at, (size_t)(end - at), r->from, r->from_len)) != NULL) {
		struct http_change c = { (uint32_t)(at - m->text), (uint32_t)r->from_len,
					 (uint32_t)r->to_len };
		int result = change(m, s, len, next, &c, r->to);

		if (result < 0 && result != -EEXIST)
			return result;
		at += result == 1 ? r->from_len : 1;
		places += result == 1;
		m->grown += result == 1 ? (int64_t)c.new_len - c.old_len : 0;
		if (result == 1 && !r->all)
			break;
	}
	return places;
}

void http_take_back(struct http_message *m, struct ipq_tcp_segment *s, size_t len,
		    const struct following *next)
{
	while (m->changes > 0) {
		const struct http_change *c = &m->change[--m->changes];
		struct tcp_across text;

		divide(&text, c, len, next);
		tcp_take_back_across(s, &text, c->new_len);
	}
}

int http_end(struct http_message *m, struct ipq_tcp_segment *s, size_t len, const struct following *next)
{
	char digits[24];
	struct http_change c = { m->length_at, m->digits, 0 };
	int result = 1;

	if (m->grown != 0) {
		c.new_len =
			(uint32_t)snprintf(digits, sizeof(digits), "%lld", (long long)m->body_len + m->grown);
		result = change(m, s, len, next, &c, digits);
	}
	if (result == 1)
		return 0;
	http_take_back(m, s, len, next);
	return result < 0 ? result : -ESTALE;
}

void http_free(struct http_message *m)
{
	free(m->text);
	free(m->change);
}
