/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * zlib and libzstd are loaded when a compressed file is opened. So programs do not depend on them. Static programs do
 * not need them: without dlopen(), compressed files are refused.
 */
#include <errno.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef HAVE_ZLIB
#include <zlib.h>
#endif
#ifdef HAVE_ZSTD
#include <zstd.h>
#include <zstd_errors.h>
#endif
#include "capture/unpack.h"

#pragma weak dlopen
#pragma weak dlsym

#define PACKED_BUFFER (512 * 1024)

struct unpack {
	/*
	 * Unpacks in[at..filled) to to[0..room). Returns the unpacked bytes. Sets the members between, more and
	 * error.
	 */
	ssize_t (*step)(struct unpack *u, uint8_t *to, size_t room);
	bool between; /* the input is at the end of a member or frame, so the file may end here */
	bool more;    /* step() may return more bytes before more input is read */
	int error;    /* errno of a failure; the bytes before it were returned */
	void (*end)(void *stream);
	void *stream;
#ifdef HAVE_ZLIB
	z_stream zlib;
	__typeof__(&inflate) inflate;
	__typeof__(&inflateReset) reset;
#endif
#ifdef HAVE_ZSTD
	__typeof__(&ZSTD_decompressStream) decompress;
	__typeof__(&ZSTD_isError) is_error;
	__typeof__(&ZSTD_getErrorCode) error_code;
#endif
	size_t at, filled;
	uint8_t in[PACKED_BUFFER];
};

#if defined(HAVE_ZLIB) || defined(HAVE_ZSTD)
/* A function of a library; NULL when the library or the function is not there. */
static void *load(const char *library, const char *function)
{
	/* The library stays loaded until the process ends. */
	void *handle = dlopen != NULL && dlsym != NULL ? dlopen(library, RTLD_NOW) : NULL;

	return handle != NULL ? dlsym(handle, function) : NULL;
}
#endif

#ifdef HAVE_ZLIB
static ssize_t gzip_step(struct unpack *u, uint8_t *to, size_t room)
{
	z_stream *z = &u->zlib;
	int result;

	if (u->between && u->in[u->at] == 0) { /* padding after a member */
		u->at = u->filled;
		return 0;
	}
	if (u->between && u->reset(z) != Z_OK) { /* the beginning of another member */
		u->error = EBADMSG;
		return 0;
	}
	z->next_in = u->in + u->at;
	z->avail_in = (uInt)(u->filled - u->at);
	z->next_out = to;
	z->avail_out = (uInt)room;
	result = u->inflate(z, Z_NO_FLUSH);
	u->at = u->filled - z->avail_in;
	u->between = result == Z_STREAM_END;
	u->more = z->avail_out == 0 && !u->between;
	if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
		u->error = EBADMSG;
	return (ssize_t)(room - z->avail_out);
}

static int gzip_open(struct unpack *u)
{
	__typeof__(&inflateInit2_) init = (__typeof__(init))load("libz.so.1", "inflateInit2_");

	u->inflate = (__typeof__(u->inflate))load("libz.so.1", "inflate");
	u->reset = (__typeof__(u->reset))load("libz.so.1", "inflateReset");
	u->end = (void (*)(void *))load("libz.so.1", "inflateEnd");
	u->stream = &u->zlib;
	u->step = gzip_step;
	if (init == NULL || u->inflate == NULL || u->reset == NULL || u->end == NULL)
		return -EOPNOTSUPP;
	return init(&u->zlib, 15 + 16, ZLIB_VERSION, sizeof(u->zlib)) == Z_OK ? 0 : -ENOMEM;
}
#else
static int gzip_open(struct unpack *u)
{
	(void)u;
	return -EOPNOTSUPP;
}
#endif

#ifdef HAVE_ZSTD
static ssize_t zstd_step(struct unpack *u, uint8_t *to, size_t room)
{
	ZSTD_inBuffer in = { u->in, u->filled, u->at };
	ZSTD_outBuffer out = { to, room, 0 };
	size_t result = u->decompress(u->stream, &out, &in);

	u->at = in.pos;
	u->between = result == 0;
	u->more = out.pos == room && !u->between;
	if (u->is_error(result))
		u->error =
			u->error_code(result) == ZSTD_error_frameParameter_windowTooLarge ? EFBIG : EBADMSG;
	return (ssize_t)out.pos;
}

static int zstd_open(struct unpack *u)
{
	__typeof__(&ZSTD_createDStream) create =
		(__typeof__(create))load("libzstd.so.1", "ZSTD_createDStream");

	u->decompress = (__typeof__(u->decompress))load("libzstd.so.1", "ZSTD_decompressStream");
	u->is_error = (__typeof__(u->is_error))load("libzstd.so.1", "ZSTD_isError");
	u->error_code = (__typeof__(u->error_code))load("libzstd.so.1", "ZSTD_getErrorCode");
	u->end = (void (*)(void *))load("libzstd.so.1", "ZSTD_freeDStream");
	u->step = zstd_step;
	if (create == NULL || u->decompress == NULL || u->is_error == NULL || u->error_code == NULL ||
	    u->end == NULL)
		return -EOPNOTSUPP;
	u->stream = create();
	return u->stream != NULL ? 0 : -ENOMEM;
}
#else
static int zstd_open(struct unpack *u)
{
	(void)u;
	return -EOPNOTSUPP;
}
#endif

static int unsupported(struct unpack *u)
{
	(void)u;
	return -EOPNOTSUPP;
}

int unpack_open(struct unpack **unpack, const uint8_t *bytes, size_t n, const char **format)
{
	static const struct {
		const char *magic, *name;
		uint8_t len;
		int (*open)(struct unpack *u);
	} formats[] = {
		{ "\x1f\x8b", "gzip", 2, gzip_open },
		{ "\x28\xb5\x2f\xfd", "zstd", 4, zstd_open },
		{ "\xfd"
		  "7zX",
		  "xz", 4, unsupported },
		{ "BZh", "bzip2", 3, unsupported },
		{ "\x04\x22\x4d\x18", "lz4", 4, unsupported },
		{ "PK\3\4", "zip", 4, unsupported },
	};
	uint8_t magic[4] = { 0 };
	struct unpack *u;
	size_t i;
	int err;

	*unpack = NULL;
	if (n >= sizeof(magic))
		memcpy(magic, bytes, sizeof(magic));
	if ((magic[0] & 0xf0) == 0x50 && memcmp(magic + 1, "\x2a\x4d\x18", 3) == 0)
		memcpy(magic, "\x28\xb5\x2f\xfd", 4); /* a skippable frame, with which pzstd begins a file */
	for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (n >= formats[i].len && memcmp(magic, formats[i].magic, formats[i].len) == 0)
			break;
	if (i == sizeof(formats) / sizeof(formats[0]))
		return 0;
	*format = formats[i].name;
	u = malloc(sizeof(*u));
	if (u == NULL)
		return -ENOMEM;
	memset(u, 0, offsetof(struct unpack, in));
	err = formats[i].open(u);
	if (err < 0) {
		free(u);
		return err;
	}
	memcpy(u->in, bytes, n < sizeof(u->in) ? n : sizeof(u->in));
	u->filled = n;
	*unpack = u;
	return 0;
}

void unpack_close(struct unpack *u)
{
	if (u == NULL)
		return;
	u->end(u->stream);
	free(u);
}

bool unpack_ready(const struct unpack *u)
{
	return u->at < u->filled || u->more || u->error != 0;
}

ssize_t unpack_read(struct unpack *u, int fd, void *to, size_t room)
{
	ssize_t n;

	while (u->error == 0) {
		if (unpack_ready(u)) {
			n = u->step(u, to, room);
			if (n > 0)
				return n;
			continue;
		}
		n = read(fd, u->in, sizeof(u->in));
		if (n < 0)
			return n;
		if (n == 0 && u->between)
			return 0;
		if (n == 0)
			u->error = EBADMSG;
		u->at = 0;
		u->filled = (size_t)n;
	}
	errno = u->error;
	return -1;
}
