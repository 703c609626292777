// SPDX-License-Identifier: LGPL-2.1-or-later
// A C++ program of 2005: the handle in a class, the error in an exception, the verdict from a functor.
#ifdef WRAPPED
extern "C" {
#include <libipq/libipq.h>
}
#else
#include <libipq.h>
#endif
#include <linux/netfilter.h>
#include <algorithm>
#include <iostream>
#include <stdexcept>
#include <vector>

class Queue {
public:
	explicit Queue(size_t range) : h(ipq_create_handle(0, PF_INET)), buf(range + 256)
	{
		if (!h || ipq_set_mode(h, IPQ_COPY_PACKET, range) < 0)
			throw std::runtime_error(ipq_errstr());
	}
	~Queue() { ipq_destroy_handle(h); }
	template <class Policy> void run(Policy policy)
	{
		for (;;) {
			if (ipq_read(h, &buf[0], buf.size(), 0) < 0)
				throw std::runtime_error(ipq_errstr());
			if (ipq_message_type(&buf[0]) != IPQM_PACKET)
				continue;
			const ipq_packet_msg_t *m = ipq_get_packet(&buf[0]);
			if (ipq_set_verdict(h, m->packet_id, policy(*m), 0, NULL) < 0)
				throw std::runtime_error(ipq_errstr());
		}
	}

private:
	Queue(const Queue &);
	struct ipq_handle *h;
	std::vector<unsigned char> buf;
};

struct AcceptWhole {
	unsigned operator()(const ipq_packet_msg_t &m) const
	{
		// Accepts a packet only if all its bytes are present. The largest packet lacks its last four bytes:
		// nfnetlink_queue copies at most 65531.
		const size_t length = m.data_len < 20 ? 0 : m.payload[2] << 8 | m.payload[3];
		return length && m.data_len == std::min(length, size_t(65531)) ? NF_ACCEPT : NF_DROP;
	}
};

int main()
{
	try {
		Queue(65535).run(AcceptWhole());
	} catch (const std::exception &e) {
		std::cerr << e.what() << std::endl;
	}
	return 1;
}
