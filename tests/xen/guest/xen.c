/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What both kinds of guest ask of Xen: hypercalls, time, their console, their xenstore. */
#include "guest.h"

#include <stdarg.h>
#include <xen/memory.h>
#include <xen/sched.h>

extern char hypercall_page[];

struct xen xen;

/* What a call does not take is not looked at; Xen may do with the registers as it likes. */
long hypercall(unsigned int nr, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
	long ret = (long)(hypercall_page + nr * 32);

	asm volatile("call *%%eax"
		     : "+a"(ret), "+b"(a), "+c"(b), "+d"(c), "+S"(d)
		     :
		     : "edi", "memory", "cc");
	return ret;
}

static unsigned long address(const void *p)
{
	return (unsigned long)p;
}

static void barrier(void)
{
	asm volatile("" ::: "memory"); /* x86 keeps stores in order; the compiler might not */
}

void xen_shutdown(unsigned int reason)
{
	struct sched_shutdown s = { .reason = reason };

	for (;;)
		hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, address(&s), 0, 0);
}

unsigned int xen_reserve(unsigned int cmd, xen_pfn_t *frames, unsigned int n)
{
	struct xen_memory_reservation r = {
		.nr_extents = n,
		.domid = DOMID_SELF,
	};
	long done;

	set_xen_guest_handle(r.extent_start, frames);
	done = hypercall(__HYPERVISOR_memory_op, cmd, address(&r), 0, 0);
	return done > 0 ? (unsigned int)done : 0;
}

static uint64_t now(void)
{
	volatile struct vcpu_time_info *t = &xen.shared->vcpu_info[0].time;
	uint32_t version, lo, hi, mul;
	uint64_t base, delta;
	int shift;

	do {
		version = t->version;
		barrier();
		asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
		delta = ((uint64_t)hi << 32 | lo) - t->tsc_timestamp;
		mul = t->tsc_to_system_mul;
		shift = t->tsc_shift;
		base = t->system_time;
		barrier();
	} while ((version & 1) || version != t->version);
	delta = shift < 0 ? delta >> -shift : delta << shift;
	return base + (uint64_t)(uint32_t)(delta >> 32) * mul +
	       ((uint64_t)(uint32_t)delta * mul >> 32);
}

/* Sleep until the port is notified or ms have passed; a notice that is already there counts. */
static void wait_for(evtchn_port_t port, unsigned int ms)
{
	struct sched_poll poll = { .nr_ports = 1, .timeout = now() + (uint64_t)ms * 1000000 };

	set_xen_guest_handle(poll.ports, &port);
	hypercall(__HYPERVISOR_sched_op, SCHEDOP_poll, address(&poll), 0, 0);
	asm volatile("lock btrl %1, %0"
		     : "+m"(xen.shared->evtchn_pending[port / 32])
		     : "r"(port % 32)
		     : "memory", "cc");
}

static void notify(evtchn_port_t port)
{
	struct evtchn_send send = { .port = port };

	barrier();
	hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_send, address(&send), 0, 0);
}

void xen_sleep(unsigned int ms)
{
	wait_for(xen.console_port, ms);
}

/* ---- console ---- */

static void put_char(char c)
{
	while (xen.console->out_prod - xen.console->out_cons >= sizeof(xen.console->out)) {
		notify(xen.console_port);
		wait_for(xen.console_port, 20);
	}
	xen.console->out[MASK_XENCONS_IDX(xen.console->out_prod, xen.console->out)] = c;
	barrier();
	xen.console->out_prod++;
}

static void put_number(unsigned int v, unsigned int base)
{
	char digits[12];
	unsigned int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	while (n)
		put_char(digits[--n]);
}

void say(const char *fmt, ...)
{
	const char *s;
	va_list args;

	va_start(args, fmt);
	for (; *fmt; fmt++) {
		if (*fmt != '%') {
			put_char(*fmt);
			continue;
		}
		switch (*++fmt) {
		case 's':
			for (s = va_arg(args, const char *); *s; s++)
				put_char(*s);
			break;
		case 'u':
			put_number(va_arg(args, unsigned int), 10);
			break;
		case 'x':
			put_number(va_arg(args, unsigned int), 16);
			break;
		default:
			put_char(*fmt);
		}
	}
	va_end(args);
	put_char('\r');
	put_char('\n');
	notify(xen.console_port);
}

void say_flush(void)
{
	while (xen.console->out_prod != xen.console->out_cons) {
		notify(xen.console_port);
		wait_for(xen.console_port, 20);
	}
}

/* ---- xenstore: one request at a time, no watches, no transactions ---- */

static void store_put(const void *data, size_t n)
{
	const char *from = data;

	for (; n; n--) {
		while (xen.store->req_prod - xen.store->req_cons >= XENSTORE_RING_SIZE) {
			notify(xen.store_port);
			wait_for(xen.store_port, 20);
		}
		xen.store->req[MASK_XENSTORE_IDX(xen.store->req_prod)] = *from++;
		barrier();
		xen.store->req_prod++;
	}
}

static void store_get(void *data, size_t n)
{
	char *to = data;

	for (; n; n--) {
		while (xen.store->rsp_cons == xen.store->rsp_prod) {
			notify(xen.store_port);
			wait_for(xen.store_port, 20);
		}
		*to++ = xen.store->rsp[MASK_XENSTORE_IDX(xen.store->rsp_cons)];
		barrier();
		xen.store->rsp_cons++;
	}
}

static size_t length(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

/* The reply's body is cut to size - 1 and terminated. */
static bool store_call(uint32_t type, const char *path, const char *value, char *buf, size_t size)
{
	struct xsd_sockmsg msg = { .type = type };
	size_t extra = value ? length(value) : 0, kept;
	char skipped;

	msg.len = (uint32_t)(length(path) + 1 + extra);
	store_put(&msg, sizeof(msg));
	store_put(path, length(path) + 1);
	store_put(value, extra);
	notify(xen.store_port);

	store_get(&msg, sizeof(msg));
	kept = msg.len < size ? msg.len : size - 1;
	store_get(buf, kept);
	buf[kept] = '\0';
	for (; kept < msg.len; kept++)
		store_get(&skipped, 1);
	notify(xen.store_port);
	return msg.type == type;
}

bool store_read(const char *path, char *buf, size_t size)
{
	return store_call(XS_READ, path, NULL, buf, size);
}

void store_write(const char *path, const char *value)
{
	char reply[16];

	store_call(XS_WRITE, path, value, reply, sizeof(reply));
}
