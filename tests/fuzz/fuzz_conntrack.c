/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as the conntrack entry of a packet. It is read into the current structure, and into the shorter one of
 * an older program, whose size is in the first byte. Nothing may be written after the end of the structure.
 */
#include <errno.h>
#include <ipq.h>
#include "main.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipq_packet p = { .present = IPQ_HAS_CONNTRACK };
	struct ipq_conntrack whole = { .size = sizeof(whole) }, *older;
	size_t room;
	void *entry;
	int err;

	if (size < 1 || size > 65536)
		return 0;
	room = sizeof(size_t) + data[0] % (sizeof(whole) - sizeof(size_t) + 1);
	entry = exact_copy(data + 1, size - 1);
	p.conntrack = entry;
	p.conntrack_len = (uint16_t)(size - 1);
	err = ipq_packet_conntrack(&p, &whole);
	require(err == 0 || err == -EBADMSG);
	older = malloc(room);
	require(older != NULL);
	older->size = room;
	if (room < offsetof(struct ipq_conntrack, id)) /* no version of the structure was so short */
		require(ipq_packet_conntrack(&p, older) == (err == 0 ? -EINVAL : err));
	else
		require(ipq_packet_conntrack(&p, older) == err && older->size == room);
	if (err == 0 && room >= offsetof(struct ipq_conntrack, id))
		require(memcmp((char *)older + sizeof(size_t), (char *)&whole + sizeof(size_t),
			       room - sizeof(size_t)) == 0);
	free(older);
	free(entry);
	return 0;
}
