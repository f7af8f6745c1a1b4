/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "colo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/io/console.h>
#include <xenguest.h>

#define PATIENCE 6000u /* times 20 ms */

void guest_open(struct guest *g, uint32_t domid, uint32_t store_port)
{
	*g = (struct guest){ .domid = domid, .store_port = store_port };
	g->xch = xc_interface_open(NULL, NULL, 0);
	g->fmem = xenforeignmemory_open(NULL, 0);
	g->xs = xs_open(0);
	if (!g->xch || !g->fmem || !g->xs)
		die("no access to Xen");
}

void guest_start(struct guest *g, uint64_t store_gfn, uint64_t console_gfn)
{
	const xen_pfn_t gfn = console_gfn;
	int err;

	g->console = xenforeignmemory_map(g->fmem, g->domid, PROT_READ | PROT_WRITE, 1, &gfn, &err);
	if (!g->console || err)
		die("no console at gfn %#lx", (unsigned long)console_gfn);
	if (!xs_introduce_domain(g->xs, g->domid, store_gfn, g->store_port))
		die("xenstore does not take the domain");
	if (xc_shadow_control(g->xch, g->domid, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, NULL, 0))
		die("cannot log what the guest writes");
	if (xc_domain_unpause(g->xch, g->domid))
		die("cannot start the guest");
}

void guest_resume(struct guest *g, bool cancelled)
{
	g->words = 0;
	if (xc_domain_resume(g->xch, g->domid, cancelled))
		die("cannot resume the guest");
}

void guest_pause(struct guest *g)
{
	if (xc_domain_pause(g->xch, g->domid))
		die("cannot pause the guest");
}

/* Its console has no daemon yet. */
static void listen(struct guest *g)
{
	volatile struct xencons_interface *c = g->console;

	while (c->out_cons != c->out_prod) {
		const char byte = c->out[MASK_XENCONS_IDX(c->out_cons, c->out)];

		c->out_cons++;
		if (g->words + 1 == sizeof(g->word))
			die("the guest says too much");
		g->word[g->words++] = byte;
		fputc(byte, stderr);
	}
	g->word[g->words] = '\0';
}

static bool is_suspended(struct guest *g)
{
	xc_domaininfo_t d;

	if (xc_domain_getinfolist(g->xch, g->domid, 1, &d) != 1 || d.domain != g->domid)
		die("the domain is gone");
	if (!(d.flags & XEN_DOMINF_shutdown))
		return false;
	if (((d.flags >> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask) != SHUTDOWN_suspend)
		die("the guest has crashed");
	return true;
}

void guest_suspend(struct guest *g)
{
	char path[64];

	snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", g->domid);
	if (!xs_write(g->xs, XBT_NULL, path, "suspend", 7))
		die("cannot ask the guest to suspend");
	for (unsigned int i = 0; !is_suspended(g); i++) {
		listen(g);
		if (i == PATIENCE)
			die("the guest does not suspend");
		usleep(20000);
	}
}

const char *guest_said(const struct guest *g, const char *beginning)
{
	const char *found = NULL, *at = g->word;

	while ((at = strstr(at, beginning))) {
		at += strlen(beginning);
		if (strchr(at, '\n'))
			found = at;
	}
	return found;
}

bool guest_has_something(const struct guest *g, uint64_t pfn)
{
	const xen_pfn_t gfn = pfn;
	const unsigned char *page;
	bool something = false;
	int err;

	page = xenforeignmemory_map(g->fmem, g->domid, PROT_READ, 1, &gfn, &err);
	for (unsigned int i = 0; page && !err && i < XC_PAGE_SIZE; i++)
		something = something || page[i];
	if (page)
		xenforeignmemory_unmap(g->fmem, (void *)page, 1);
	return something;
}

static void fine_or_die(const struct guest *g)
{
	const char *verified = guest_said(g, "verified");

	if (strstr(g->word, "BAD"))
		die("the guest says %.60s", strstr(g->word, "BAD"));
	if (!verified || !strstr(verified, " bad=0 "))
		die("the guest has not verified itself");
}

void guest_wait_tick(struct guest *g, unsigned long tick)
{
	const char *line = NULL;

	for (unsigned int i = 0; !line || strtoul(line, NULL, 10) < tick; i++) {
		listen(g);
		line = guest_said(g, "\ntick ");
		if (i == PATIENCE || is_suspended(g))
			die("the guest does not run");
		usleep(20000);
	}
	fine_or_die(g);
}
