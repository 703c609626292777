/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include "source/links.h"
#include "source/source.h"

void source_interface(const struct source *s, uint32_t index, char name[16], uint16_t *type)
{
	if (s->ops->interface == NULL) {
		links_get(s->links, index, name, type);
	} else if (s->ops->interface(s, index, name, type) < 0) {
		memset(name, 0, IFNAMSIZ);
		*type = 0;
	}
}
