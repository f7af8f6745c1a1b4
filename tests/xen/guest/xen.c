/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the guest asks of Xen: hypercalls, time, its console, its xenstore. */
#include "guest.h"

#include <stdarg.h>
#include <xen/event_channel.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/io/console.h>
#include <xen/io/xs_wire.h>
#include <xen/memory.h>
#include <xen/sched.h>

/*
 * Never RAM, so nothing is lost by mapping over it; and in the same 2M region as Xen's special
 * pages: a small domain restored in 4K pages has hardly any memory left for another p2m table.
 */
#define SHARED_INFO_GFN 0xfef00u

extern char hypercall_page[];

static volatile struct shared_info *const shared = (void *)(SHARED_INFO_GFN * PAGE);
static volatile struct xencons_interface *console;
static volatile struct xenstore_domain_interface *store;
static evtchn_port_t console_port, store_port;

static long hypercall(unsigned int nr, unsigned long a, void *b)
{
	void *entry = hypercall_page + nr * 32;
	long ret;

	asm volatile("call *%1"
		     : "=a"(ret), "+r"(entry), "+b"(a), "+c"(b)
		     :
		     : "edx", "esi", "edi", "memory", "cc");
	return ret;
}

static void barrier(void)
{
	asm volatile("" ::: "memory"); /* x86 keeps stores in order; the compiler might not */
}

static void cpuid(uint32_t leaf, uint32_t r[4])
{
	asm volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
}

void xen_init(void)
{
	uint32_t base, r[4];

	for (base = 0x40000000; base < 0x40010000; base += 0x100) {
		cpuid(base, r);
		if (r[1] == 0x566e6558 && r[2] == 0x65584d4d && r[3] == 0x4d4d566e) /* XenVMM */
			break;
	}
	cpuid(base + 2, r);
	asm volatile("wrmsr" ::"c"(r[1]), "a"(hypercall_page), "d"(0));
	barrier();
}

static uint32_t get_param(uint32_t index)
{
	struct xen_hvm_param p = { .domid = DOMID_SELF, .index = index };

	hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, &p);
	return (uint32_t)p.value;
}

/*
 * Interrupts stay off, but Xen's toolstack takes a guest without a callback for one that can't be
 * told that its suspend was cancelled.
 */
static void set_callback(void)
{
	struct xen_hvm_param p = {
		.domid = DOMID_SELF,
		.index = HVM_PARAM_CALLBACK_IRQ,
		.value = (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | 0xf3,
	};

	hypercall(__HYPERVISOR_hvm_op, HVMOP_set_param, &p);
}

void xen_attach(void)
{
	struct xen_add_to_physmap map = {
		.domid = DOMID_SELF,
		.space = XENMAPSPACE_shared_info,
		.gpfn = SHARED_INFO_GFN,
	};

	if (hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &map))
		xen_shutdown(SHUTDOWN_crash); /* no time, no events: nothing can be said */
	console = (void *)(get_param(HVM_PARAM_CONSOLE_PFN) * PAGE);
	store = (void *)(get_param(HVM_PARAM_STORE_PFN) * PAGE);
	console_port = get_param(HVM_PARAM_CONSOLE_EVTCHN);
	store_port = get_param(HVM_PARAM_STORE_EVTCHN);
	set_callback();
}

bool xen_suspend(void)
{
	struct sched_shutdown s = { .reason = SHUTDOWN_suspend };

	if (hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, &s) == 1)
		return true;
	xen_attach();
	return false;
}

void xen_shutdown(unsigned int reason)
{
	struct sched_shutdown s = { .reason = reason };

	for (;;)
		hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, &s);
}

static unsigned int reserve(unsigned int cmd, const xen_pfn_t *gfns, unsigned int n)
{
	struct xen_memory_reservation r = {
		.nr_extents = n,
		.domid = DOMID_SELF,
	};
	long done;

	set_xen_guest_handle(r.extent_start, (xen_pfn_t *)gfns);
	done = hypercall(__HYPERVISOR_memory_op, cmd, &r);
	return done > 0 ? (unsigned int)done : 0;
}

unsigned int xen_populate(const xen_pfn_t *gfns, unsigned int n)
{
	return reserve(XENMEM_populate_physmap, gfns, n);
}

unsigned int xen_release(const xen_pfn_t *gfns, unsigned int n)
{
	return reserve(XENMEM_decrease_reservation, gfns, n);
}

static uint64_t now(void)
{
	volatile struct vcpu_time_info *t = &shared->vcpu_info[0].time;
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
	hypercall(__HYPERVISOR_sched_op, SCHEDOP_poll, &poll);
	asm volatile("lock btrl %1, %0"
		     : "+m"(shared->evtchn_pending[port / 32])
		     : "r"(port % 32)
		     : "memory", "cc");
}

static void notify(evtchn_port_t port)
{
	struct evtchn_send send = { .port = port };

	barrier();
	hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_send, &send);
}

void xen_sleep(unsigned int ms)
{
	wait_for(console_port, ms);
}

/* ---- console ---- */

static void put_char(char c)
{
	while (console->out_prod - console->out_cons >= sizeof(console->out)) {
		notify(console_port);
		wait_for(console_port, 20);
	}
	console->out[MASK_XENCONS_IDX(console->out_prod, console->out)] = c;
	barrier();
	console->out_prod++;
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
	notify(console_port);
}

void say_flush(void)
{
	while (console->out_prod != console->out_cons) {
		notify(console_port);
		wait_for(console_port, 20);
	}
}

/* ---- xenstore: one request at a time, no watches, no transactions ---- */

static void store_put(const void *data, size_t n)
{
	const char *from = data;

	for (; n; n--) {
		while (store->req_prod - store->req_cons >= XENSTORE_RING_SIZE) {
			notify(store_port);
			wait_for(store_port, 20);
		}
		store->req[MASK_XENSTORE_IDX(store->req_prod)] = *from++;
		barrier();
		store->req_prod++;
	}
}

static void store_get(void *data, size_t n)
{
	char *to = data;

	for (; n; n--) {
		while (store->rsp_cons == store->rsp_prod) {
			notify(store_port);
			wait_for(store_port, 20);
		}
		*to++ = store->rsp[MASK_XENSTORE_IDX(store->rsp_cons)];
		barrier();
		store->rsp_cons++;
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
	notify(store_port);

	store_get(&msg, sizeof(msg));
	kept = msg.len < size ? msg.len : size - 1;
	store_get(buf, kept);
	buf[kept] = '\0';
	for (; kept < msg.len; kept++)
		store_get(&skipped, 1);
	notify(store_port);
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
