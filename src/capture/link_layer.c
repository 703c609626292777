/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Link-layer headers: https://www.tcpdump.org/linktypes.html has the layouts. */
#include <string.h>
#include <sys/socket.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include "capture/link_layer.h"
#include "util/bytes.h"

#define VLAN_TAGS_MAX 4
#define IPV4_HEADER 20
#define IPV6_HEADER 40

/* Takes protocol behind the VLAN tags, if any, that begin at f->link_len. */
static bool parse_tags(const uint8_t *data, size_t len, struct frame *f)
{
	for (int i = 0; i < VLAN_TAGS_MAX; i++) {
		if (f->protocol != ETH_P_8021Q && f->protocol != ETH_P_8021AD && f->protocol != ETH_P_QINQ1)
			return true;
		if (len < f->link_len + 4U)
			return false;
		if (f->vlan_proto == 0) {
			f->vlan_proto = f->protocol;
			f->vlan_tci = get16(data + f->link_len);
		}
		f->protocol = get16(data + f->link_len + 2);
		f->link_len = (uint16_t)(f->link_len + 4);
	}
	return true;
}

static void set_address(struct frame *f, const uint8_t *address, unsigned len)
{
	f->hw_addr_len = (uint8_t)(len < sizeof(f->hw_addr) ? len : sizeof(f->hw_addr));
	memcpy(f->hw_addr, address, f->hw_addr_len);
}

static bool parse_ethernet(const uint8_t *data, size_t len, struct frame *f)
{
	if (len < ETH_HLEN)
		return false;
	set_address(f, data + ETH_ALEN, ETH_ALEN);
	f->protocol = get16(data + 2 * ETH_ALEN);
	f->link_len = ETH_HLEN;
	return parse_tags(data, len, f);
}

/* packet type 2, ARPHRD 2, address length 2, address 8, protocol 2 */
static bool parse_cooked1(const uint8_t *data, size_t len, struct frame *f)
{
	if (len < 16)
		return false;
	set_address(f, data + 6, get16(data + 4));
	f->protocol = get16(data + 14);
	f->link_len = 16;
	return parse_tags(data, len, f);
}

/* protocol 2, reserved 2, interface 4, ARPHRD 2, packet type 1, address length 1, address 8 */
static bool parse_cooked2(const uint8_t *data, size_t len, struct frame *f)
{
	if (len < 20)
		return false;
	set_address(f, data + 12, data[11]);
	f->protocol = get16(data);
	f->link_len = 20;
	return parse_tags(data, len, f);
}

static bool parse_raw(const uint8_t *data, size_t len, struct frame *f)
{
	if (len == 0)
		return false;
	f->protocol = data[0] >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP;
	f->link_len = 0;
	return true;
}

/* Four bytes of address family, in the byte order and with the numbers of whoever captured. */
static bool parse_loopback(const uint8_t *data, size_t len, struct frame *f)
{
	uint32_t af;

	if (len < 4)
		return false;
	af = get32(data);
	if (af > 0xffff)
		af = __builtin_bswap32(af);
	switch (af) {
	case 2:
		f->protocol = ETH_P_IP;
		break;
	case 10: /* Linux */
	case 24: /* NetBSD, OpenBSD */
	case 28: /* FreeBSD */
	case 30: /* Darwin */
		f->protocol = ETH_P_IPV6;
		break;
	default:
		return false;
	}
	f->link_len = 4;
	return true;
}

const struct frame_link *frame_link_find(uint32_t type)
{
	static const struct frame_link links[] = {
		{ LINKTYPE_ETHERNET, ARPHRD_ETHER, parse_ethernet },
		{ LINKTYPE_RAW, ARPHRD_NONE, parse_raw },
		{ LINKTYPE_IPV4, ARPHRD_NONE, parse_raw },
		{ LINKTYPE_IPV6, ARPHRD_NONE, parse_raw },
		{ LINKTYPE_LINUX_SLL, ARPHRD_ETHER, parse_cooked1 },
		{ LINKTYPE_LINUX_SLL2, ARPHRD_ETHER, parse_cooked2 },
		{ LINKTYPE_NULL, ARPHRD_LOOPBACK, parse_loopback },
		{ LINKTYPE_LOOP, ARPHRD_LOOPBACK, parse_loopback },
	};

	if (type == 12 ||
	    type == 14) /* DLT_RAW of Linux and OpenBSD, in files that never saw the other number */
		type = LINKTYPE_RAW;
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if (links[i].type == type)
			return &links[i];
	return NULL;
}

const char *frame_link_name(uint32_t type)
{
	static const struct {
		uint32_t type;
		const char *name;
	} others[] = {
		{ 9, " (PPP)" },
		{ 105, " (IEEE802_11)" },
		{ 127, " (IEEE802_11_RADIOTAP)" },
		{ 187, " (BLUETOOTH_HCI_H4)" },
		{ 189, " (USB_LINUX)" },
		{ 195, " (IEEE802_15_4_WITHFCS)" },
		{ 220, " (USB_LINUX_MMAPPED)" },
		{ 239, " (NFLOG)" },
		{ 249, " (USBPCAP)" },
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (others[i].type == type)
			return others[i].name;
	return "";
}

/* Length by the IP header; 0 when it has none to offer (a GSO or jumbo packet) or lies. */
static size_t ip_length(const uint8_t *ip, uint8_t family)
{
	size_t len;

	if (family == AF_INET6) {
		len = get16(ip + 4);
		return len != 0 ? len + IPV6_HEADER : 0;
	}
	len = get16(ip + 2);
	return len >= (ip[0] & 0xfU) * 4 ? len : 0;
}

bool frame_parse(const struct frame_link *link, const uint8_t *data, size_t len, size_t full_len,
		 struct frame *f)
{
	const uint8_t *ip;
	size_t here, by_header;

	memset(f, 0, sizeof(*f));
	if (!link->parse(data, len, f))
		return false;
	ip = data + f->link_len;
	here = len - f->link_len;
	if (f->protocol == ETH_P_IP && here >= IPV4_HEADER && ip[0] >> 4 == 4 && (ip[0] & 0xf) >= 5)
		f->family = AF_INET;
	else if (f->protocol == ETH_P_IPV6 && here >= IPV6_HEADER && ip[0] >> 4 == 6)
		f->family = AF_INET6;
	else
		return false;
	f->full_len = (uint32_t)((full_len > len ? full_len : len) - f->link_len);
	by_header = ip_length(ip, f->family);
	if (by_header != 0 && by_header < f->full_len)
		f->full_len = (uint32_t)by_header;
	f->payload_len = here < f->full_len ? (uint32_t)here : f->full_len;
	return true;
}
