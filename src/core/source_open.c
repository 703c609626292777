/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The registry of all kinds of sources. Add a new kind to all[]. */
#include <errno.h>
#include <string.h>
#include "capture/capture.h"
#include "core/core.h"
#include "nflog/nflog.h"

static const struct source_ops *const all[] = { &source_nfqueue, &source_nflog, &source_pcap };

const struct source_ops *source_kind(const char *name)
{
	size_t i, len = strcspn(name, ":");

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (strlen(all[i]->name) == len && memcmp(all[i]->name, name, len) == 0)
			return all[i];
	return NULL;
}

bool source_is_file(const char *name)
{
	return source_kind(name) == &source_pcap;
}

const char *source_skip_engine(const char *name)
{
	static const char prefix[] = "engine:";

	return strncmp(name, prefix, strlen(prefix)) == 0 ? name + strlen(prefix) : name;
}

int source_open(struct source **s, const char *name, struct ipq_error *e)
{
	const struct source_ops *ops;
	const char *colon;

	*s = NULL;
	if (name == NULL)
		name = SOURCE_DEFAULT;
	ops = source_kind(name);
	if (ops == NULL)
		return ipq_fail(e, EINVAL,
				"no source is called \"%.*s\": use nfqueue:NUMBER, nflog:GROUP or pcap:FILE",
				(int)strcspn(name, ":"), name);
	colon = strchr(name, ':');
	return ops->open(s, colon != NULL ? colon + 1 : "", e);
}
