// SPDX-License-Identifier: LGPL-2.1-or-later
/* Prints which source the library uses if IPQ_SOURCE is nonsense:1. */
#include <stdio.h>
#include <libipq.h>

int main(void)
{
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	int set = h != NULL ? ipq_set_mode(h, IPQ_COPY_META, 0) : -1;

	puts(set > 0 ? "the kernel's queue" : "no such source");
	ipq_destroy_handle(h);
	return 0;
}
