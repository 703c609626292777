// SPDX-License-Identifier: LGPL-2.1-or-later
/* Replaces the old library at link time: the same names without versions, and empty functions. */
#define STUB(name)          \
	int name(void);     \
	int name(void)      \
	{                   \
		return -99; \
	}
STUB(ipq_create_handle)
STUB(ipq_destroy_handle)
STUB(ipq_read)
STUB(ipq_set_mode)
STUB(ipq_get_packet)
STUB(ipq_message_type)
STUB(ipq_get_msgerr)
STUB(ipq_set_verdict)
STUB(ipq_ctl)
STUB(ipq_errstr)
STUB(ipq_perror)
