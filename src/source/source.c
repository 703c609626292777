/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sources by name. */
#include <errno.h>
#include <string.h>
#include "source/links.h"
#include "source/source.h"

int source_open(struct source **s, const char *name, struct ipq_error *e)
{
	static const struct source_ops *const all[] = { &source_nfqueue, &source_pcap };
	const char *colon;
	size_t i, len;

	*s = NULL;
	if (name == NULL)
		name = "nfqueue:0";
	colon = strchr(name, ':');
	len = colon != NULL ? (size_t)(colon - name) : strlen(name);
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (strlen(all[i]->name) == len && memcmp(all[i]->name, name, len) == 0)
			return all[i]->open(s, colon != NULL ? colon + 1 : "", e);
	return ipq_fail(e, EINVAL, "no source is called \"%.*s\": use nfqueue:NUMBER or pcap:FILE", (int)len,
			name);
}

void source_interface(const struct source *s, uint32_t index, char name[16], uint16_t *type)
{
	if (s->ops->interface == NULL) {
		links_get(s->links, index, name, type);
	} else if (s->ops->interface(s, index, name, type) < 0) {
		memset(name, 0, IFNAMSIZ);
		*type = 0;
	}
}
