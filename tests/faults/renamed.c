/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * renamed API: an interface is renamed, and then removed, while packets for it wait. Packets must have the current
 * name of the interface, verdicts on removed packets must be refused, and packets of other interfaces must be
 * decided normally.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "packets.h"

static void run(const char *command)
{
	if (system(command) != 0) {
		printf("skipped: cannot do here: %s\n", command);
		exit(failures ? 1 : 77);
	}
}

/* Sends a packet through the first device. It is queued in OUTPUT, and has no receiver. */
static void send_out(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(7000) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, "10.7.7.2", &to.sin_addr);
	want(sendto(fd, "0", 1, 0, (struct sockaddr *)&to, sizeof(to)) == 1);
	close(fd);
}

/* The number of packets that the device has sent; -1: there is no such device. */
static int sent_by(const char *device)
{
	FILE *f = fopen("/proc/net/dev", "re");
	int n = -1;

	while (f != NULL && n < 0) {
		char line[256], *colon;
		unsigned long packets;

		if (fgets(line, sizeof(line), f) == NULL)
			break;
		colon = strchr(line, ':');
		if (colon == NULL)
			continue;
		*colon = '\0';
		if (strcmp(line + strspn(line, " "), device) == 0 &&
		    sscanf(colon + 1, "%*u %*u %*u %*u %*u %*u %*u %*u %*u %lu", &packets) == 1)
			n = (int)packets;
	}
	if (f != NULL)
		fclose(f);
	return n;
}

/* Waits a moment for this count, because an engine sends verdicts later. */
static bool comes_to(const char *device, int n)
{
	int tries;

	for (tries = 0; tries < 50 && sent_by(device) < n; tries++)
		usleep(10000);
	return sent_by(device) == n;
}

static bool leaves_by(struct reader *r, const struct seen *s, const char *name)
{
	const ipq_packet_msg_t *m = ipq_get_packet(r->buf);
	const char *told = "";

	if (api == NEW)
		told = ipq_queue_interface(r->q, s->packet.outdev, NULL);
	else if (m != NULL)
		told = m->outdev_name;
	if (strcmp(told, name) != 0)
		printf("its name is not «%s»\n", name);
	return strcmp(told, name) == 0;
}

static void next_leaves_by(struct reader *r, const char *name)
{
	struct seen s;

	if (!want(reader_next(r, &s, 1000) == 1))
		return;
	want(leaves_by(r, &s, name));
	want(reader_decide(r, &s, true) == 0);
	reader_flush(r);
}

static unsigned refused(struct reader *r)
{
	struct ipq_stats n = { .size = sizeof(n) };
	struct seen s;

	want(reader_next(r, &s, 100) == 0);
	return api == NEW && want(ipq_queue_stats(r->q, &n) == 0) ? (unsigned)n.refused : r->refusals;
}

int main(int argc, char **argv)
{
	struct reader r = { .q = NULL };
	const char *why;
	int before;

	(void)argc;
	choose_api(argv);
	open_sockets();
	run("ip link add first type veth peer name other && ip link set first addrgenmode none && ip addr "
	    "add 10.7.7.1/24 dev first && ip link set "
	    "other up && "
	    "ip link set first up && ip neigh add 10.7.7.2 lladdr 02:00:00:00:00:02 dev first");
	want(reader_open(&r, &why) == 0);
	before = sent_by("first");
	send_out();
	next_leaves_by(&r, "first");
	want(comes_to("first", before + 1));
	puts("packet has the name of its interface");

	send_out();
	run("ip link set first name second"); /* since Linux 6.2 a device can be renamed while it is up */
	usleep(20000);
	/* an engine has received the packet before the change */
	next_leaves_by(&r, api == ENGINE ? "first" : "second");
	want(comes_to("second", before + 2));
	send_out();
	next_leaves_by(&r, "second");
	want(comes_to("second", before + 3));
	want(refused(&r) == 0);
	puts("packet has the new name after a rename");

	send_out();
	usleep(20000);
	run("ip link del second");
	puts("verdicts on packets of a removed interface are refused");
	usleep(20000);
	next_leaves_by(&r, api == ENGINE ? "second" : "");
	want(refused(&r) == 1); /* the kernel has removed the packet together with its interface */
	say(0, 10);
	want(reader_work(&r, 100) == 10);
	reader_flush(&r);
	want(heard(100) == 5);
	reader_close(&r);
	return failures != 0;
}
