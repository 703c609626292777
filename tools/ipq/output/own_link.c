/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "output/own_link.h"

#define ANCESTORS 32
#define ENVIRON_MAX (1 << 20)

struct end {
	char address[INET6_ADDRSTRLEN];
	unsigned port;
};

/* Writes an address in the form for filters: an IPv4-mapped IPv6 address becomes an IPv4 address, as in packets. */
static int read_address(struct end *end, int family, const void *address, unsigned port)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (family == AF_INET6 && memcmp(address, mapped, sizeof(mapped)) == 0) {
		family = AF_INET;
		address = (const uint8_t *)address + sizeof(mapped);
	}
	end->port = port;
	return inet_ntop(family, address, end->address, sizeof(end->address)) != NULL ? 0 : -1;
}

static int read_socket_address(struct end *end, const struct sockaddr_storage *s)
{
	const struct sockaddr_in6 *s6 = (const void *)s;
	const struct sockaddr_in *s4 = (const void *)s;

	if (s->ss_family == AF_INET)
		return read_address(end, AF_INET, &s4->sin_addr, ntohs(s4->sin_port));
	if (s->ss_family == AF_INET6)
		return read_address(end, AF_INET6, &s6->sin6_addr, ntohs(s6->sin6_port));
	return -1;
}

static void put_link(FILE *filter, const char *protocol, const struct end *a, const struct end *b)
{
	fprintf(filter, "%s(%s and host %s and port %u and host %s and port %u)",
		ftell(filter) > 0 ? " or " : "", protocol, a->address, a->port, b->address, b->port);
}

static void add_socket(FILE *filter, int fd)
{
	struct sockaddr_storage local = { .ss_family = AF_UNSPEC }, remote = local;
	socklen_t local_len = sizeof(local), remote_len = sizeof(remote), len = sizeof(int);
	struct end a, b;
	int type;

	if (getsockname(fd, (struct sockaddr *)&local, &local_len) < 0 ||
	    getpeername(fd, (struct sockaddr *)&remote, &remote_len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || read_socket_address(&a, &local) < 0 ||
	    read_socket_address(&b, &remote) < 0)
		return;
	put_link(filter, type == SOCK_STREAM ? "tcp" : "udp", &a, &b);
}

static int parse_end(struct end *end, char *address, unsigned port)
{
	uint8_t bytes[16];
	int family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET;

	address[strcspn(address, "%")] = '\0'; /* remove the scope of a link-local address */
	if (inet_pton(family, address, bytes) != 1 || port == 0 || port > 65535)
		return -1;
	return read_address(end, family, bytes, port);
}

/* Adds the connection of $SSH_CONNECTION: "CLIENT PORT SERVER PORT". */
static void add_session(FILE *filter, const char *connection)
{
	char client[64], server[64];
	unsigned client_port, server_port;
	struct end a, b;

	if (sscanf(connection, "%63s %u %63s %u", client, &client_port, server, &server_port) == 4 &&
	    parse_end(&a, client, client_port) == 0 && parse_end(&b, server, server_port) == 0)
		put_link(filter, "tcp", &a, &b);
}

/* Reads a variable from the environment with which a process was started. The caller frees it. NULL: not found. */
static char *variable_of(pid_t pid, const char *name)
{
	char path[64], *item = NULL, *value = NULL;
	size_t room = 0, read = 0, len = strlen(name);
	ssize_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	f = fopen(path, "re");
	while (f != NULL && value == NULL && read < ENVIRON_MAX &&
	       (n = getdelim(&item, &room, '\0', f)) > 0) {
		read += (size_t)n;
		if (strncmp(item, name, len) == 0 && item[len] == '=')
			value = strdup(item + len + 1);
	}
	free(item);
	if (f != NULL)
		fclose(f);
	return value;
}

/* The parent of a process. 0: it has none, or the parent is not visible. */
static pid_t parent_of(pid_t pid)
{
	char path[64], line[512];
	int parent = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "PPid: %d", &parent) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return parent;
}

static char *find_session(void)
{
	const char *own = getenv("SSH_CONNECTION");
	char *found = own != NULL ? strdup(own) : NULL;
	pid_t pid = getppid();

	for (int i = 0; i < ANCESTORS && found == NULL && pid > 1; i++) {
		found = variable_of(pid, "SSH_CONNECTION");
		pid = parent_of(pid);
	}
	return found;
}

char *own_link_filter(void)
{
	char *filter = NULL, *session = find_session();
	size_t len = 0;
	FILE *f = open_memstream(&filter, &len);

	if (f != NULL) {
		add_socket(f, STDOUT_FILENO);
		add_socket(f, STDERR_FILENO);
		if (session != NULL)
			add_session(f, session);
		fclose(f);
	}
	free(session);
	if (len > 0)
		return filter;
	free(filter);
	return NULL;
}
