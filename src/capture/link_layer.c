/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Link-layer headers. */
#include <string.h>
#include <sys/socket.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include "capture/link_layer.h"
#include "util/bytes.h"

#define TAGS_MAX 8
#define LINK_LEN_MAX 4096
#define IPV4_HEADER 20
#define IPV6_HEADER 40

/* Values of the PPP protocol field. */
enum { PPP_IP = 0x0021, PPP_IPV6 = 0x0057, PPP_MPLS = 0x0281 };

static uint16_t little16(const uint8_t *p)
{
	return (uint16_t)(p[1] << 8 | p[0]);
}

/* Moves the beginning of the packet by n bytes. False: the frame ends before. */
static bool advance(struct frame *f, size_t len, size_t n)
{
	if (n > len - f->link_len || f->link_len + n > LINK_LEN_MAX)
		return false;
	f->link_len = (uint16_t)(f->link_len + n);
	return true;
}

static bool has(const struct frame *f, size_t len, size_t n)
{
	return n <= len - f->link_len;
}

/* Raw IP: the first byte shows whether it is IPv4 or IPv6. */
static bool parse_version(const uint8_t *data, size_t len, struct frame *f)
{
	if (!has(f, len, 1))
		return false;
	f->protocol = data[f->link_len] >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP;
	return true;
}

static bool parse_mpls(const uint8_t *data, size_t len, struct frame *f)
{
	bool bottom;

	do {
		if (!has(f, len, 4))
			return false;
		bottom = data[f->link_len + 2] & 1;
		if (!advance(f, len, 4))
			return false;
	} while (!bottom);
	return parse_version(data, len, f);
}

/* The protocol field of PPP: one byte when compressed. */
static bool parse_ppp_protocol(const uint8_t *data, size_t len, struct frame *f)
{
	unsigned protocol;

	if (!has(f, len, 2))
		return false;
	protocol = data[f->link_len] & 1 ? data[f->link_len] : get16(data + f->link_len);
	advance(f, len, data[f->link_len] & 1 ? 1 : 2);
	if (protocol == PPP_MPLS)
		return parse_mpls(data, len, f);
	f->protocol = protocol == PPP_IP ? ETH_P_IP : protocol == PPP_IPV6 ? ETH_P_IPV6 : 0;
	return true;
}

static void set_length_field(struct frame *f, size_t at, size_t base, bool is_little)
{
	f->length_at = (uint16_t)at;
	f->length_base = (uint16_t)base;
	f->length_is_little = is_little;
}

/* Bytes: version and type 1, code 1 (0: a session), session 2, length 2; then PPP. */
static bool parse_pppoe(const uint8_t *data, size_t len, struct frame *f)
{
	size_t at = f->link_len;

	if (!has(f, len, 6) || data[at] != 0x11 || data[at + 1] != 0)
		return false;
	set_length_field(f, at + 4, at + 6, false);
	return advance(f, len, 6) && parse_ppp_protocol(data, len, f);
}

/* Bytes of LLC with SNAP: AA AA 03, organisation 3 (0, or F8 for a bridged frame), EtherType 2. */
static bool parse_snap(const uint8_t *data, size_t len, struct frame *f)
{
	const uint8_t *llc = data + f->link_len;

	if (!has(f, len, 8) || memcmp(llc, "\xaa\xaa\x03\0\0", 5) != 0)
		return false;
	f->protocol = get16(llc + 6);
	return advance(f, len, 8);
}

/* The EtherType field of Ethernet may hold a length instead (IEEE 802.3): then LLC follows. */
static bool parse_length(const uint8_t *data, size_t len, struct frame *f)
{
	if (f->protocol > ETH_DATA_LEN)
		return true;
	set_length_field(f, f->link_len - 2U, f->link_len, false);
	return parse_snap(data, len, f);
}

/* Parses the bytes after an EtherType at f->link_len: VLAN tags, MPLS labels, PPPoE, or the packet. */
static bool parse_tags(const uint8_t *data, size_t len, struct frame *f)
{
	for (int i = 0; i < TAGS_MAX; i++) {
		if (f->protocol == ETH_P_MPLS_UC || f->protocol == ETH_P_MPLS_MC)
			return parse_mpls(data, len, f);
		if (f->protocol == ETH_P_PPP_SES)
			return parse_pppoe(data, len, f);
		if (f->protocol != ETH_P_8021Q && f->protocol != ETH_P_8021AD && f->protocol != ETH_P_QINQ1)
			return true;
		if (!has(f, len, 4))
			return false;
		if (f->vlan_proto == 0) {
			f->vlan_proto = f->protocol;
			f->vlan_tci = get16(data + f->link_len);
		}
		f->protocol = get16(data + f->link_len + 2);
		if (!advance(f, len, 4) || !parse_length(data, len, f))
			return false;
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
	return parse_length(data, len, f) && parse_tags(data, len, f);
}

/* bytes: packet type 2, ARPHRD 2, address length 2, address 8, protocol 2 */
static bool parse_cooked1(const uint8_t *data, size_t len, struct frame *f)
{
	if (len < 16)
		return false;
	set_address(f, data + 6, get16(data + 4));
	f->protocol = get16(data + 14);
	f->link_len = 16;
	return parse_tags(data, len, f);
}

/* bytes: protocol 2, reserved 2, interface 4, ARPHRD 2, packet type 1, address length 1, address 8 */
static bool parse_cooked2(const uint8_t *data, size_t len, struct frame *f)
{
	if (len < 20)
		return false;
	set_address(f, data + 12, data[11]);
	f->protocol = get16(data);
	f->link_len = 20;
	return parse_tags(data, len, f);
}

/* Four bytes with the address family, in the byte order and with the numbers of the capturing system. */
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
	case 10: /* AF_INET6 of Linux */
	case 24: /* AF_INET6 of NetBSD and OpenBSD */
	case 28: /* AF_INET6 of FreeBSD */
	case 30: /* AF_INET6 of Darwin */
		f->protocol = ETH_P_IPV6;
		break;
	default:
		return false;
	}
	f->link_len = 4;
	return true;
}

/* PPP, with or without the HDLC address and control fields. */
static bool parse_ppp(const uint8_t *data, size_t len, struct frame *f)
{
	if (len >= 2 && data[0] == 0xff && data[1] == 3)
		f->link_len = 2;
	return parse_ppp_protocol(data, len, f);
}

/* Address and control bytes; then PPP, or an EtherType in Cisco's encapsulation. */
static bool parse_hdlc(const uint8_t *data, size_t len, struct frame *f)
{
	if (len < 4)
		return false;
	if (data[0] != 0x0f && data[0] != 0x8f)
		return parse_ppp(data, len, f);
	f->protocol = get16(data + 2);
	f->link_len = 4;
	return parse_tags(data, len, f);
}

/* A byte with the direction, which may replace the address byte of PPP. */
static bool parse_ppp_direction(const uint8_t *data, size_t len, struct frame *f)
{
	if (len < 3)
		return false;
	f->link_len = data[1] == 0xff && data[2] == 3 ? 3 : data[1] == 3 ? 2 : 1;
	return parse_ppp_protocol(data, len, f);
}

/* Parses 802.11 data frames that are complete and not encrypted. pad: the header is padded to 4 bytes. */
static bool parse_wireless(const uint8_t *data, size_t len, struct frame *f, bool pad)
{
	const uint8_t *h = data + f->link_len;
	unsigned control, header = 24;

	if (!has(f, len, header))
		return false;
	control = little16(h);
	if ((control & 0x4c) != 0x08 || (control & 0x4400) != 0 || (h[22] & 15) != 0)
		return false; /* a frame without data, an encrypted one, or a fragment */
	if ((control & 0x300) == 0x300)
		header += 6;  /* a fourth address, between access points */
	if (control & 0x80) { /* quality of service */
		if (!has(f, len, header + 2) || (h[header] & 0x80) != 0)
			return false; /* several packets in one frame */
		header += control & 0x8000 ? 6 : 2;
	}
	set_address(f, h + 10, ETH_ALEN);
	return advance(f, len, pad ? (header + 3) & ~3U : header) && parse_snap(data, len, f) &&
	       parse_tags(data, len, f);
}

static bool parse_80211(const uint8_t *data, size_t len, struct frame *f)
{
	return parse_wireless(data, len, f, false);
}

/* bytes: version 1, pad 1, length 2, presence bits 4; then the fields. The second field has the flags. */
static bool parse_radiotap(const uint8_t *data, size_t len, struct frame *f)
{
	size_t at = 4, header = len >= 8 ? little16(data + 2) : 0;
	unsigned flags = 0;

	if (header < 8 || header > len || data[0] != 0)
		return false;
	while (at + 4 <= header && data[at + 3] & 0x80) /* more words of presence bits */
		at += 4;
	at += 4;
	if (data[4] & 1) /* the first field is a timestamp of 8 bytes, aligned */
		at = ((at + 7) & ~(size_t)7) + 8;
	if (data[4] & 2 && at < header)
		flags = data[at];
	f->fcs_len = flags & 0x10 ? 4 : 0;
	f->fcs_from = (uint16_t)header;
	return advance(f, len, header) && parse_wireless(data, len, f, flags & 0x20);
}

/*
 * Reads an attribute of NFLOG. Returns its payload and sets *size; NULL: malformed. Moves *at to the next
 * attribute.
 */
static const uint8_t *next_attribute(const uint8_t *data, size_t len, bool is_little, size_t *at,
				     unsigned *type, size_t *size)
{
	const uint8_t *p = data + *at;
	size_t n;

	if (len - *at < 4)
		return NULL;
	n = is_little ? little16(p) : get16(p);
	*type = is_little ? little16(p + 2) : get16(p + 2);
	if (n < 4 || n > len - *at)
		return NULL;
	*size = n - 4;
	*at += (n + 3) & ~(size_t)3;
	if (*at > len)
		*at = len;
	return p + 4;
}

static bool parse_attributes(const uint8_t *data, size_t len, struct frame *f, bool is_little)
{
	enum { PACKET_HEADER = 1, MARK = 2, HWADDR = 8, PAYLOAD = 9 };
	size_t at = 4, size;
	const uint8_t *p;
	unsigned type;

	while (at < len) {
		p = next_attribute(data, len, is_little, &at, &type, &size);
		if (p == NULL)
			return false;
		if (type == PACKET_HEADER && size >= 3) {
			f->has_hook = true;
			f->hook = p[2];
		} else if (type == MARK && size >= 4) {
			f->has_mark = true;
			f->mark = get32(p);
		} else if (type == HWADDR && size >= 12) {
			set_address(f, p + 4, get16(p));
		} else if (type == PAYLOAD && size > 0 && p - data <= LINK_LEN_MAX) {
			f->link_len = (uint16_t)(p - data);
			f->limit = (uint32_t)size;
			set_length_field(f, f->link_len - 4U, f->link_len - 4U, is_little);
		}
	}
	return f->link_len != 0;
}

/* bytes: family 1, version 1, group 2; then attributes, in the byte order of the capturing system */
static bool parse_nflog(const uint8_t *data, size_t len, struct frame *f)
{
	if (len < 4 || data[1] != 0)
		return false;
	if (!parse_attributes(data, len, f, true)) {
		memset(f, 0, sizeof(*f));
		if (!parse_attributes(data, len, f, false))
			return false;
	}
	f->attributes = true;
	return parse_version(data, len, f);
}

const struct frame_link *frame_link_find(uint32_t type)
{
	static const struct frame_link links[] = {
		{ LINKTYPE_ETHERNET, ARPHRD_ETHER, parse_ethernet },
		{ LINKTYPE_RAW, ARPHRD_NONE, parse_version },
		{ LINKTYPE_IPV4, ARPHRD_NONE, parse_version },
		{ LINKTYPE_IPV6, ARPHRD_NONE, parse_version },
		{ LINKTYPE_LINUX_SLL, ARPHRD_ETHER, parse_cooked1 },
		{ LINKTYPE_LINUX_SLL2, ARPHRD_ETHER, parse_cooked2 },
		{ LINKTYPE_NULL, ARPHRD_LOOPBACK, parse_loopback },
		{ LINKTYPE_LOOP, ARPHRD_LOOPBACK, parse_loopback },
		{ LINKTYPE_PPP, ARPHRD_PPP, parse_ppp },
		{ LINKTYPE_PPP_HDLC, ARPHRD_PPP, parse_hdlc },
		{ LINKTYPE_PPP_ETHER, ARPHRD_PPP, parse_pppoe },
		{ LINKTYPE_PPP_PPPD, ARPHRD_PPP, parse_ppp_direction },
		{ LINKTYPE_PPP_WITH_DIR, ARPHRD_PPP, parse_ppp_direction },
		{ LINKTYPE_C_HDLC, ARPHRD_CISCO, parse_hdlc },
		{ LINKTYPE_IEEE802_11, ARPHRD_IEEE80211, parse_80211 },
		{ LINKTYPE_IEEE802_11_RADIOTAP, ARPHRD_IEEE80211_RADIOTAP, parse_radiotap },
		{ LINKTYPE_MPLS, ARPHRD_NONE, parse_mpls },
		{ LINKTYPE_NFLOG, ARPHRD_NONE, parse_nflog },
	};

	/* DLT_RAW of Linux and OpenBSD, which some files have instead of LINKTYPE_RAW */
	if (type == 12 || type == 14)
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
		{ 6, "IEEE802_5" },
		{ 7, "ARCNET_BSD" },
		{ 8, "SLIP" },
		{ 10, "FDDI" },
		{ 100, "ATM_RFC1483" },
		{ 107, "FRELAY" },
		{ 109, "ENC" },
		{ 114, "LTALK" },
		{ 117, "PFLOG" },
		{ 119, "IEEE802_11_PRISM" },
		{ 122, "IP_OVER_FC" },
		{ 123, "SUNATM" },
		{ 129, "ARCNET_LINUX" },
		{ 132, "JUNIPER_ES" },
		{ 137, "JUNIPER_ATM1" },
		{ 138, "APPLE_IP_OVER_IEEE1394" },
		{ 140, "MTP2" },
		{ 147, "USER0" },
		{ 163, "IEEE802_11_AVS" },
		{ 178, "JUNIPER_ETHER" },
		{ 182, "MFR" },
		{ 187, "BLUETOOTH_HCI_H4" },
		{ 189, "USB_LINUX" },
		{ 192, "PPI" },
		{ 195, "IEEE802_15_4_WITHFCS" },
		{ 197, "ERF" },
		{ 201, "BLUETOOTH_HCI_H4_WITH_PHDR" },
		{ 220, "USB_LINUX_MMAPPED" },
		{ 224, "FC_2" },
		{ 226, "IPNET" },
		{ 227, "CAN_SOCKETCAN" },
		{ 230, "IEEE802_15_4_NOFCS" },
		{ 231, "DBUS" },
		{ 235, "DVB_CI" },
		{ 240, "NETANALYZER" },
		{ 242, "IPOIB" },
		{ 247, "INFINIBAND" },
		{ 249, "USBPCAP" },
		{ 251, "BLUETOOTH_LE_LL" },
		{ 252, "WIRESHARK_UPPER_PDU" },
		{ 253, "NETLINK" },
		{ 254, "BLUETOOTH_LINUX_MONITOR" },
		{ 258, "PKTAP" },
		{ 271, "VSOCK" },
		{ 272, "NORDIC_BLE" },
		{ 281, "DSA_TAG_BRCM" },
		{ 282, "DSA_TAG_BRCM_PREPEND" },
		{ 284, "DSA_TAG_DSA" },
		{ 285, "DSA_TAG_EDSA" },
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (others[i].type == type)
			return others[i].name;
	return "";
}

/* The length in the IP header; 0 if there is none (segmentation offload, a jumbogram) or it is impossible. */
static size_t ip_length(const uint8_t *ip, uint8_t family)
{
	size_t len;

	if (family == AF_INET6) {
		len = get16(ip + 4);
		return len != 0 || ip[6] == 59 /* no next header */ ? len + IPV6_HEADER : 0;
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
	if (link == NULL || !link->parse(data, len, f))
		return false;
	ip = data + f->link_len;
	here = len - f->link_len;
	if (f->limit != 0 && f->limit < here)
		here = f->limit;
	if (f->protocol == ETH_P_IP && here >= IPV4_HEADER && ip[0] >> 4 == 4 && (ip[0] & 0xf) >= 5)
		f->family = AF_INET;
	else if (f->protocol == ETH_P_IPV6 && here >= IPV6_HEADER && ip[0] >> 4 == 6)
		f->family = AF_INET6;
	else
		return false;
	f->full_len = f->limit != 0 ? f->limit : (uint32_t)((full_len > len ? full_len : len) - f->link_len);
	by_header = ip_length(ip, f->family);
	if (by_header != 0 && (by_header < f->full_len || f->limit != 0))
		f->full_len = (uint32_t)by_header;
	else if (by_header == 0 && f->fcs_len < f->full_len)
		f->full_len -= f->fcs_len;
	f->payload_len = here < f->full_len ? (uint32_t)here : f->full_len;
	return true;
}

/* ---- frames whose packet changes ---- */

bool frame_is_cut(const struct frame *f, const uint8_t *payload, size_t len)
{
	return f->payload_len < f->full_len && len == f->payload_len &&
	       len >= (f->family == AF_INET ? IPV4_HEADER : IPV6_HEADER) &&
	       ip_length(payload, f->family) > len;
}

static uint16_t get_length(const struct frame *f, const uint8_t *link)
{
	const uint8_t *p = link + f->length_at;

	return f->length_is_little ? little16(p) : get16(p);
}

/* A length field that was right before stays right. A wrong one is not changed, except for a cut packet. */
static void adjust_length(const struct frame *f, uint8_t *link, size_t payload_len)
{
	size_t before = f->link_len - f->length_base + (size_t)f->full_len;
	size_t after = f->link_len - f->length_base + payload_len;

	if (f->length_base == 0 || after > UINT16_MAX || (get_length(f, link) != before && f->limit == 0))
		return;
	put16(link + f->length_at,
	      f->length_is_little ? __builtin_bswap16((uint16_t)after) : (unsigned)after);
}

/* The CRC of Ethernet and 802.11. crc: 0, or the CRC of the preceding bytes. */
static uint32_t check_sequence(uint32_t crc, const uint8_t *bytes, size_t len)
{
	crc = ~crc;
	while (len-- > 0) {
		crc ^= *bytes++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

/* Attributes after the packet are aligned to 4 bytes. */
static size_t copy_attributes(const struct frame *f, const uint8_t *data, size_t at, size_t len,
			      size_t payload_len, uint8_t *end)
{
	size_t padding = at < len ? -(f->link_len + payload_len) & 3 : 0;

	memset(end, 0, padding);
	at = (at + 3) & ~(size_t)3;
	if (at >= len)
		return padding;
	memcpy(end + padding, data + at, len - at);
	return padding + (len - at);
}

size_t frame_change(const struct frame *f, uint8_t *link, const uint8_t *data, size_t len,
		    const uint8_t *payload, size_t payload_len, uint8_t *end)
{
	size_t at = f->link_len + (size_t)f->payload_len, n = 0;
	uint32_t crc;

	if (!frame_is_cut(f, payload, payload_len))
		adjust_length(f, link, payload_len);
	if (f->attributes)
		return copy_attributes(f, data, at, len, payload_len, end);
	if (f->payload_len < f->full_len || at + f->fcs_len > len)
		return 0; /* the frame was cut */
	/* Padding to the minimum of Ethernet is not needed in a file. */
	if (payload_len == f->full_len)
		n = len - f->fcs_len - at;
	if (n > 0)
		memcpy(end, data + at, n);
	if (f->fcs_len == 4) {
		crc = check_sequence(0, link + f->fcs_from, (size_t)f->link_len - f->fcs_from);
		crc = check_sequence(check_sequence(crc, payload, payload_len), end, n);
		for (int i = 0; i < 4; i++)
			end[n++] = (uint8_t)(crc >> 8 * i);
	}
	return n;
}
