/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The name of a source, after "pcap:". */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <linux/netfilter.h>
#include "capture/state.h"

/* Cuts the first field off *rest, in place, and removes its backslashes. *rest: NULL after the last one. */
static char *next_field(char **rest)
{
	char *field = *rest, *from = field, *to = field;

	while (*from != '\0' && *from != ',') {
		if (from[0] == '\\' && (from[1] == ',' || from[1] == '\\'))
			from++;
		*to++ = *from++;
	}
	*rest = *from == ',' ? from + 1 : NULL;
	*to = '\0';
	return field;
}

static int set_pace(struct source_pcap_name *name, const char *value, struct ipq_error *e)
{
	name->by_clock = strcmp(value, "file") == 0;
	if (!name->by_clock && strcmp(value, "fast") != 0)
		return ipq_fail(e, EINVAL, "pace=%s: use fast or file", value);
	return 0;
}

int source_pcap_hook_parse(const char *text, uint8_t *hook)
{
	static const char *const hooks[] = {
		[NF_INET_PRE_ROUTING] = "PREROUTING",	[NF_INET_LOCAL_IN] = "INPUT",
		[NF_INET_FORWARD] = "FORWARD",		[NF_INET_LOCAL_OUT] = "OUTPUT",
		[NF_INET_POST_ROUTING] = "POSTROUTING",
	};

	for (unsigned i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
		if (strcasecmp(text, hooks[i]) == 0) {
			*hook = (uint8_t)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int set_hook(struct source_pcap_name *name, const char *value, struct ipq_error *e)
{
	name->hook_given = true;
	if (source_pcap_hook_parse(value, &name->hook) == 0)
		return 0;
	return ipq_fail(e, EINVAL, "hook=%s: use PREROUTING, INPUT, FORWARD, OUTPUT or POSTROUTING", value);
}

static int set_device(char to[IFNAMSIZ], const char *value, struct ipq_error *e)
{
	size_t len = strlen(value);

	if (len == 0 || len >= IFNAMSIZ)
		return ipq_fail(e, EINVAL, "\"%s\" is not an interface name: use 1 to %d characters", value,
				IFNAMSIZ - 1);
	memset(to, 0, IFNAMSIZ);
	memcpy(to, value, len + 1);
	return 0;
}

static int set_indev(struct source_pcap_name *name, const char *value, struct ipq_error *e)
{
	name->indev_given = true;
	return set_device(name->indev, value, e);
}

static int set_outdev(struct source_pcap_name *name, const char *value, struct ipq_error *e)
{
	name->outdev_given = true;
	return set_device(name->outdev, value, e);
}

/* 1: the field was an option, which is now set; 0: the field is not an option. */
static int parse_option(struct source_pcap_name *name, const char *field, struct ipq_error *e)
{
	static const struct {
		const char *key;
		int (*set)(struct source_pcap_name *name, const char *value, struct ipq_error *e);
	} options[] = {
		{ "pace=", set_pace },
		{ "hook=", set_hook },
		{ "indev=", set_indev },
		{ "outdev=", set_outdev },
	};
	int err;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		size_t len = strlen(options[i].key);

		if (strncmp(field, options[i].key, len) == 0) {
			err = options[i].set(name, field + len, e);
			return err < 0 ? err : 1;
		}
	}
	return 0;
}

static int parse_fields(struct source_pcap_name *name, char *rest, struct ipq_error *e)
{
	const char *in = next_field(&rest), *out = "";
	bool second = true;
	int is_option;

	if (*in == '\0')
		return ipq_fail(e, EINVAL, "pcap: names no file: use pcap:IN or pcap:IN,OUT");
	for (; rest != NULL; second = false) {
		const char *field = next_field(&rest);

		is_option = parse_option(name, field, e);
		if (is_option < 0)
			return is_option;
		if (is_option == 0 && !second)
			return ipq_fail(
				e, EINVAL,
				"pcap: \"%s\" is no option: use pace=, hook=, indev= or outdev=, and \\, "
				"for a comma in a file's name",
				field);
		if (is_option == 0)
			out = field;
	}
	name->in = strdup(in);
	name->out = *out != '\0' ? strdup(out) : NULL;
	return name->in == NULL || (*out != '\0' && name->out == NULL) ? -ENOMEM : 0;
}

int source_pcap_name_parse(struct source_pcap_name *name, const char *arg, struct ipq_error *e)
{
	char *copy = strdup(arg);
	int err;

	*name = (struct source_pcap_name){ .hook = NF_INET_LOCAL_IN, .indev = "pcap0", .outdev = "pcap0" };
	if (copy == NULL)
		return -ENOMEM;
	err = parse_fields(name, copy, e);
	free(copy);
	if (err < 0)
		source_pcap_name_free(name);
	return err;
}

void source_pcap_name_free(struct source_pcap_name *name)
{
	free(name->in);
	free(name->out);
	name->in = name->out = NULL;
}
