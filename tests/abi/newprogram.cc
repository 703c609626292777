// SPDX-License-Identifier: LGPL-2.1-or-later
// newprogram IN OUT: a C++98 program with <ipq.h> and <ipq_edit.h>: the queue in a class,
// errors in exceptions. The first packet's payload becomes longer, the second is dropped, the rest pass with
// a mark.
#include <ipq.h>
#include <ipq_edit.h>
#include <cstring>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

class Queue
{
      public:
	explicit Queue(const std::string &source)
	{
		char words[320] = "";
		ipq_options options = ipq_options();

		options.size = sizeof(options);
		options.flags = IPQ_O_SEGMENT | IPQ_O_BEST_EFFORT;
		options.error = words;
		options.error_size = sizeof(words);
		if (ipq_queue_open(&q, source.c_str(), &options) < 0)
			throw std::runtime_error(words);
	}
	~Queue()
	{
		ipq_queue_close(q);
	}
	void want(int result) const
	{
		if (result < 0)
			throw std::runtime_error(ipq_queue_error(q));
	}
	operator ipq_queue *() const
	{
		return q;
	}

      private:
	Queue(const Queue &);
	ipq_queue *q;
};

static void lengthen(const Queue &q, const ipq_packet &packet)
{
	std::vector<uint8_t> bytes(packet.payload, packet.payload + packet.payload_len);
	ipq_edit edit;

	bytes.resize(bytes.size() + 100);
	q.want(ipq_edit_begin(&edit, &bytes[0], packet.payload_len, bytes.size(), packet.flags));
	q.want(ipq_edit_replace(&edit, 0, 0, "longer", 6));
	q.want(ipq_replace(q, &packet, edit.data, edit.len));
}

int main(int, char **argv)
try {
	Queue q(std::string("pcap:") + argv[1] + "," + argv[2]);
	ipq_verdict verdict = ipq_verdict();
	ipq_stats stats = ipq_stats();
	ipq_packet packet[64];
	int n;

	verdict.size = sizeof(verdict);
	verdict.present = IPQ_SET_MARK;
	verdict.code = IPQ_ACCEPT;
	verdict.mark = 7;
	while ((n = ipq_queue_recv(q, packet, 64, IPQ_FOREVER)) > 0)
		for (int i = 0; i < n; i++)
			if (packet[i].id == 1)
				lengthen(q, packet[i]);
			else
				q.want(packet[i].id == 2 ? ipq_drop(q, &packet[i])
							 : ipq_decide(q, &packet[i], &verdict));
	stats.size = sizeof(stats);
	q.want(ipq_queue_stats(q, &stats));
	std::cout << stats.received << " received, " << stats.accepted << " accepted, " << stats.dropped
		  << " dropped\n";
	return 0;
} catch (const std::exception &e) {
	std::cerr << "newprogram: " << e.what() << "\n";
	return 1;
}
