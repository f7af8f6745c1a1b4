/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "protocol.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum message {
	MSG_LOG = 1,
	MSG_PROGRESS = 2,
	MSG_SUSPEND = 3,
	MSG_POSTCOPY = 4,
	MSG_CHECKPOINT = 5,
	MSG_WAIT_CHECKPOINT = 6,
	MSG_STATIC_DATA_DONE = 8,
	MSG_RESTORE_RESULTS = 9,
	MSG_COMPLETE = 10,
};

#define TEXT_MAX 1024u

struct frame {
	size_t used;
	unsigned char bytes[4096];
};

static void put(struct frame *f, const void *bytes, size_t n)
{
	memcpy(f->bytes + f->used, bytes, n);
	f->used += n;
}

static void put_u32(struct frame *f, uint32_t v)
{
	put(f, &v, sizeof(v));
}

static void put_u64(struct frame *f, uint64_t v)
{
	put(f, &v, sizeof(v));
}

static void put_string(struct frame *f, const char *s)
{
	size_t n = strnlen(s, TEXT_MAX - 1);

	put_u32(f, (uint32_t)n + 1);
	put(f, s, n);
	put(f, "", 1);
}

static void begin(struct frame *f, enum message number)
{
	const uint16_t v = (uint16_t)number;

	f->used = sizeof(uint16_t); /* the length, once it is known */
	put(f, &v, sizeof(v));
}

/* Without libxl there is nobody to tell, and the domain is lost: the process has no more use. */
static void gone(void)
{
	_exit(254);
}

static void send_frame(struct xr_channel *c, struct frame *f)
{
	const uint16_t length = (uint16_t)(f->used - sizeof(length));
	size_t done = 0;

	memcpy(f->bytes, &length, sizeof(length));
	pthread_mutex_lock(&c->frame);
	while (done < f->used) {
		ssize_t n = write(c->out, f->bytes + done, f->used - done);

		if (n < 0 && errno != EINTR)
			gone();
		if (n > 0)
			done += (size_t)n;
	}
	pthread_mutex_unlock(&c->frame);
}

static int read_reply(struct xr_channel *c)
{
	int32_t value;
	size_t done = 0;

	while (done < sizeof(value)) {
		ssize_t n = read(c->in, (char *)&value + done, sizeof(value) - done);

		if (!n || (n < 0 && errno != EINTR))
			gone();
		if (n > 0)
			done += (size_t)n;
	}
	return value;
}

static int call(struct xr_channel *c, struct frame *f)
{
	int reply;

	pthread_mutex_lock(&c->call);
	send_frame(c, f);
	reply = read_reply(c);
	pthread_mutex_unlock(&c->call);
	return reply;
}

static void log_message(struct xentoollog_logger *l, xentoollog_level level, int errnoval,
			const char *context, const char *format, va_list al)
{
	char text[TEXT_MAX];
	struct frame f;

	vsnprintf(text, sizeof(text), format, al);
	begin(&f, MSG_LOG);
	put_u32(&f, (uint32_t)level);
	put_u32(&f, (uint32_t)errnoval);
	put_string(&f, context ? context : "xenrestore");
	put_string(&f, text);
	send_frame((struct xr_channel *)l, &f);
}

static void log_progress(struct xentoollog_logger *l, const char *context, const char *doing,
			 int percent, unsigned long done, unsigned long total)
{
	struct frame f;

	(void)percent;
	begin(&f, MSG_PROGRESS);
	put_string(&f, context ? context : "xenrestore");
	put_string(&f, doing ? doing : "");
	put_u64(&f, done);
	put_u64(&f, total);
	send_frame((struct xr_channel *)l, &f);
}

static void log_destroy(struct xentoollog_logger *l)
{
	(void)l;
}

void xr_channel_init(struct xr_channel *c, int in, int out)
{
	c->logger = (struct xentoollog_logger){ log_message, log_progress, log_destroy };
	c->in = in;
	c->out = out;
	pthread_mutex_init(&c->frame, NULL);
	pthread_mutex_init(&c->call, NULL);
}

int xr_channel_static_data_done(struct xr_channel *c, unsigned int missing)
{
	struct frame f;

	begin(&f, MSG_STATIC_DATA_DONE);
	put_u32(&f, missing);
	return call(c, &f);
}

static int ask(struct xr_channel *c, enum message question)
{
	struct frame f;

	begin(&f, question);
	return call(c, &f);
}

int xr_channel_checkpoint(struct xr_channel *c)
{
	return ask(c, MSG_CHECKPOINT);
}

int xr_channel_postcopy(struct xr_channel *c)
{
	return ask(c, MSG_POSTCOPY);
}

int xr_channel_wait_checkpoint(struct xr_channel *c)
{
	return ask(c, MSG_WAIT_CHECKPOINT);
}

int xr_channel_suspend(struct xr_channel *c)
{
	return ask(c, MSG_SUSPEND);
}

void xr_channel_restore_results(struct xr_channel *c, uint64_t store_gfn, uint64_t console_gfn)
{
	struct frame f;

	begin(&f, MSG_RESTORE_RESULTS);
	put_u64(&f, store_gfn);
	put_u64(&f, console_gfn);
	send_frame(c, &f);
}

void xr_channel_complete(struct xr_channel *c, int retval, int errnoval)
{
	struct frame f;

	begin(&f, MSG_COMPLETE);
	put_u32(&f, (uint32_t)retval);
	put_u32(&f, (uint32_t)errnoval);
	(void)call(c, &f);
}

void xr_channel_progress(struct xr_channel *c, const char *what, uint64_t done, uint64_t total)
{
	log_progress(&c->logger, "xenrestore", what, 0, done, total);
}
