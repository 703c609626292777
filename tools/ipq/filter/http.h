/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rewrites text in the body of an HTTP/1 message, and adjusts Content-Length. */
#ifndef IPQ_FILTER_HTTP_H
#define IPQ_FILTER_HTTP_H

#include "filter/across.h"

enum http_result {
	HTTP_NONE,    /* no message begins here, or the message has no body */
	HTTP_OPEN,    /* the next segment is needed */
	HTTP_WHOLE,   /* header and body are complete */
	HTTP_REFUSED, /* chunked, compressed, or too long */
};

struct http_message {
	uint32_t body, body_len;    /* offset of the body, from the beginning of the payload */
	uint32_t length_at, digits; /* offset and digits of the value of Content-Length */
	uint8_t *text;		    /* a copy of header and body */
	struct http_change {
		uint32_t offset, old_len, new_len;
	} * change; /* the changes made so far */
	unsigned changes;
	int64_t grown;
};

/* Whether this payload begins a message that has a body. next: the segments after it. */
enum http_result http_look(struct http_message *m, const uint8_t *payload, size_t len,
			   const struct following *next);

/* Prepares a message for edits by copying it. It must be HTTP_WHOLE. 0 or -ENOMEM. Free the message in any case. */
int http_begin(struct http_message *m, const uint8_t *payload, size_t len, const struct following *next);
/* Replaces text in the body. Returns the number of places; or -errno: no more text can be replaced. */
int http_rewrite(struct http_message *m, struct ipq_tcp_segment *s, size_t len, const struct following *next,
		 const struct rewrite *r);
/* Sets Content-Length. -errno: not possible, and all changes were taken back. */
int http_end(struct http_message *m, struct ipq_tcp_segment *s, size_t len, const struct following *next);
void http_take_back(struct http_message *m, struct ipq_tcp_segment *s, size_t len,
		    const struct following *next);
void http_free(struct http_message *m);

#endif
