/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starting the system's firewall tools, for rules.c. */
#ifndef IPQ_FIREWALL_RULES_EXEC_H
#define IPQ_FIREWALL_RULES_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

/* A command, built word by word. */
struct argv_builder {
	char **word; /* ends with NULL */
	size_t count;
	int failed;   /* -ENOMEM once a word could not be added */
	int lifeline; /* a descriptor that the command holds while it runs; -1: none */
};

void argv_add(struct argv_builder *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Words that are separated by single spaces. */
void argv_add_list(struct argv_builder *w, const char *list);
void argv_free(struct argv_builder *w);
/* As it would be typed at a shell, with a newline. */
void argv_print(const struct argv_builder *w, FILE *out);

/*
 * Runs a command to its end, out of reach of the terminal's signals. What it wrote goes to out and err
 * (or NULL), terminated and cut to the room. lifeline: see struct words. Returns its exit status, or -errno when
 * it did not start.
 */
int exec_run(char *const argv[], int lifeline, const char *input, char *out, size_t out_room, char *err,
	     size_t err_room);

/* Starts a command that reads what is sent to the socket *fd. Its output goes nowhere. 0 or -errno. */
int exec_start(char *const argv[], pid_t *pid, int *fd);

/* Waits for a child for at most timeout_ms, then kills it. */
void exec_reap(pid_t pid, int timeout_ms);

#endif
