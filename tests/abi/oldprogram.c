// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Linked against a libipq.so.0 without symbol versions, as the ones of 2001 to 2013 were, and run with ours. It
 * refers to all eleven calls. It makes the calls that need no kernel, and prints their results.
 */
#include <libipq.h>
#include <stdio.h>
#include <string.h>

typedef void (*any_call)(void);

int main(void)
{
	static const any_call volatile all[] = {
		(any_call)ipq_create_handle, (any_call)ipq_destroy_handle, (any_call)ipq_read,
		(any_call)ipq_set_mode,	     (any_call)ipq_get_packet,	   (any_call)ipq_message_type,
		(any_call)ipq_get_msgerr,    (any_call)ipq_set_verdict,	   (any_call)ipq_ctl,
		(any_call)ipq_errstr,	     (any_call)ipq_perror,
	};
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
	} m = { .header = { .nlmsg_type = NLMSG_ERROR }, .error = { .error = -EBUSY } };
	unsigned char *bytes = (unsigned char *)&m;
	unsigned i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!all[i])
			return 1;
	if (ipq_create_handle(0, 99) != NULL)
		return 2;
	puts(ipq_errstr());
	printf("%d %d %d\n", ipq_message_type(bytes), ipq_get_msgerr(bytes),
	       (int)((unsigned char *)ipq_get_packet(bytes) - bytes));
	return ipq_destroy_handle(NULL);
}
