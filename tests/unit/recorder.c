/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files of a recording: their names and sizes, with a simulated clock; and packets that do not fit into a
 * block.
 */
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "output/pcapng.h"
#include "output/recorder.h"

static time_t now;
static char directory[] = "/tmp/recorder.XXXXXX";
static struct recorder *r;
static uint8_t payload[300000] = { 0x45 };

time_t __wrap_time(time_t *t);
time_t __wrap_time(time_t *t)
{
	if (t != NULL)
		*t = now;
	return now;
}

static int begin(void **state)
{
	(void)state;
	now = 1700000000;
	return setenv("TZ", "UTC", 1) == 0 && mkdtemp(directory) != NULL && chdir(directory) == 0 ? 0 : -1;
}

static int end(void **state)
{
	char command[64];

	(void)state;
	if (chdir("/") < 0)
		return -1;
	snprintf(command, sizeof(command), "rm -r %s", directory);
	return system(command);
}

static void open_recorder(const char *path, uint64_t bytes, unsigned seconds, unsigned files)
{
	const struct recorder_options o = { path, bytes, seconds, files };
	struct ipq_error e;

	assert_int_equal(recorder_open(&r, &o, &e), 0);
}

static int write_packet(uint32_t len)
{
	const struct ipq_packet p = {
		.present = IPQ_HAS_PAYLOAD, .payload = payload, .payload_len = len, .full_len = len
	};

	return recorder_write(r, &(struct pcapng_record){ .packet = &p });
}

/* Records a packet of 1,000 bytes. Returns the name of the file that has it. */
static const char *written_to(void)
{
	assert_int_equal(write_packet(1000), 0);
	return recorder_path(r);
}

static void file_of_its_size_is_followed_by_the_next(void **state)
{
	struct stat st;

	(void)state;
	open_recorder("sized", 3000, 0, 0);
	for (unsigned i = 0; i < 8; i++) {
		char name[16] = "sized";

		if (i > 2)
			sprintf(name, "sized%u", i / 3);
		assert_string_equal(written_to(), name);
	}
	assert_int_equal(recorder_close(r), 0);
	assert_int_equal(stat("sized", &st), 0);
	assert_in_range(st.st_size, 3000, 4400);
	assert_int_equal(access("sized3", F_OK), -1);
}

static void files_are_written_again(void **state)
{
	(void)state;
	open_recorder("ring", 1000, 0, 11);
	for (unsigned i = 0; i < 13; i++) {
		char name[16];

		sprintf(name, "ring%02u", i % 11);
		assert_string_equal(written_to(), name);
	}
	assert_int_equal(recorder_close(r), 0);
	assert_int_equal(access("ring11", F_OK), -1);
	open_recorder("ten", 1000, 0, 10);
	assert_string_equal(written_to(), "ten0");
	assert_int_equal(recorder_close(r), 0);
}

static void file_of_its_time_is_followed_by_the_next(void **state)
{
	(void)state;
	open_recorder("at-%H%M%S", 0, 60, 0);
	assert_string_equal(written_to(), "at-221320");
	now += 59;
	assert_string_equal(written_to(), "at-221320");
	now += 1;
	assert_string_equal(written_to(), "at-221420");
	now -= 3600; /* the clock is set back by an hour */
	assert_string_equal(written_to(), "at-211420");
	now += 60;
	assert_string_equal(written_to(), "at-211520");
	assert_int_equal(recorder_close(r), 0);
}

/* Writing the first file has failed. No further file may be written, because that would hide the failure. */
static void no_file_follows_one_that_failed(void **state)
{
	struct rlimit before, small;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	open_recorder("failed", 1000, 0, 0);
	written_to();
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = (struct rlimit){ .rlim_cur = 100, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(write_packet(1000), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(access("failed1", F_OK), -1);
	recorder_close(r);
}

static void name_that_is_too_long_is_an_error(void **state)
{
	const struct recorder_options o = { .path = memset(payload + 1, 'x', 4090) };
	struct ipq_error e;

	(void)state;
	payload[4091] = '\0';
	assert_int_equal(recorder_open(&r, &o, &e), -ENAMETOOLONG);
	assert_null(r);
}

static void packet_beyond_a_block_is_an_error(void **state)
{
	(void)state;
	open_recorder("large", 0, 0, 0);
	assert_int_equal(write_packet(262144), 0);
	assert_int_equal(write_packet(sizeof(payload)), -EMSGSIZE);
	assert_int_equal(recorder_close(r), -EMSGSIZE);
}

/* A capture file may contain an address of any length. */
static void long_hardware_address_is_cut(void **state)
{
	struct ipq_packet p[2] = { { .present = IPQ_HAS_PAYLOAD | IPQ_HAS_HWADDR,
				     .payload = payload,
				     .payload_len = 20,
				     .full_len = 20,
				     .hw_addr = { 1, 2, 3, 4, 5, 6, 7, 8 },
				     .hw_addr_len = 255 } };
	uint8_t bytes[1024];
	size_t n, found = 0;
	FILE *f;

	(void)state;
	memset(&p[1], 0xee, sizeof(p[1]));
	open_recorder("address", 0, 0, 0);
	assert_int_equal(recorder_write(r, &(struct pcapng_record){ .packet = &p[0] }), 0);
	assert_int_equal(recorder_close(r), 0);
	f = fopen("address", "r");
	n = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	for (size_t i = 0; i + 32 <= n; i++)
		if (memcmp(bytes + i, "\xff\xfe\0\xff\1\2\3\4\5\6\7\x08\x08\0\x45", 15) == 0)
			found++;
	assert_int_equal(found, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(file_of_its_size_is_followed_by_the_next),
		cmocka_unit_test(files_are_written_again),
		cmocka_unit_test(file_of_its_time_is_followed_by_the_next),
		cmocka_unit_test(no_file_follows_one_that_failed),
		cmocka_unit_test(name_that_is_too_long_is_an_error),
		cmocka_unit_test(packet_beyond_a_block_is_an_error),
		cmocka_unit_test(long_hardware_address_is_cut),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
