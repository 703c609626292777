/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A binding in the manner of CPAN's: the handle as an integer, a packet as a hash, the constants as functions. */
#include "EXTERN.h"
#include "perl.h"
#include "XSUB.h"

#include <linux/netfilter.h>
#include <libipq.h>

MODULE = IPQueue	PACKAGE = IPQueue

IV
create(protocol)
	int protocol
CODE:
	RETVAL = PTR2IV(ipq_create_handle(0, protocol));
OUTPUT:
	RETVAL

int
set_mode(handle, mode, range)
	IV handle
	int mode
	int range
CODE:
	RETVAL = ipq_set_mode(INT2PTR(struct ipq_handle *, handle), mode, range);
OUTPUT:
	RETVAL

SV *
get_message(handle, timeout)
	IV handle
	int timeout
PREINIT:
	static unsigned char buf[65536 + 128];
	ipq_packet_msg_t *m;
	HV *hash;
CODE:
	if (ipq_read(INT2PTR(struct ipq_handle *, handle), buf, sizeof(buf), timeout) <= 0 ||
	    ipq_message_type(buf) != IPQM_PACKET)
		XSRETURN_UNDEF;
	m = ipq_get_packet(buf);
	hash = newHV();
	hv_store(hash, "packet_id", 9, newSVuv(m->packet_id), 0);
	hv_store(hash, "hook", 4, newSVuv(m->hook), 0);
	hv_store(hash, "indev_name", 10, newSVpv(m->indev_name, 0), 0);
	hv_store(hash, "outdev_name", 11, newSVpv(m->outdev_name, 0), 0);
	hv_store(hash, "payload", 7, newSVpvn((char *)m->payload, m->data_len), 0);
	RETVAL = newRV_noinc((SV *)hash);
OUTPUT:
	RETVAL

int
set_verdict(handle, id, verdict, payload = &PL_sv_undef)
	IV handle
	UV id
	unsigned int verdict
	SV *payload
PREINIT:
	STRLEN len = 0;
	char *bytes = NULL;
CODE:
	if (SvOK(payload))
		bytes = SvPV(payload, len);
	RETVAL = ipq_set_verdict(INT2PTR(struct ipq_handle *, handle), id, verdict, len, (unsigned char *)bytes);
OUTPUT:
	RETVAL

int
destroy(handle)
	IV handle
CODE:
	RETVAL = ipq_destroy_handle(INT2PTR(struct ipq_handle *, handle));
OUTPUT:
	RETVAL

char *
errstr()
CODE:
	RETVAL = ipq_errstr();
OUTPUT:
	RETVAL
