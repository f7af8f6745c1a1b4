/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* xr-lab: what the checks ask of Xen, of a stream and of Xen's trace. */
#include "xr-lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenctrl.h>

static int usage(void)
{
	fputs("xr-lab free                       pages that no domain has, scrubbed or not\n"
	      "xr-lab dom DOMID                  what Xen knows of a domain\n"
	      "xr-lab create MIB                 an empty PVH domain; prints its number\n"
	      "xr-lab destroy DOMID\n"
	      "xr-lab spoil DOMID PFN BYTE       one bit of that byte turns\n"
	      "xr-lab stream FILE                what a stream says of memory\n"
	      "xr-lab memory DOMID FILE          whether its memory is what the stream said last\n"
	      "xr-lab p2m TRACE DOMID            how Xen mapped the domain's memory\n"
	      "xr-lab tee FILE                   stdin to stdout, with a copy, in large pieces\n"
	      "xr-lab tee FILE N BYTES           up to so many bytes behind the Nth checkpoint\n"
	      "xr-lab damage FILE zero PFN       last contents of the page become zeros\n"
	      "xr-lab damage FILE flip PFN       one bit of them turns\n"
	      "xr-lab damage FILE copy PFN FROM  they become those of another page\n"
	      "xr-lab damage FILE stale PFN      they become those of an earlier pass\n"
	      "xr-lab damage FILE type N         record N gets an unknown, mandatory type\n"
	      "xr-lab damage FILE length N       record N gets a length beyond the limit\n"
	      "xr-lab damage FILE pfn N          record N's first pfn gets a reserved page type\n",
	      stderr);
	return 2;
}

static int print_free(xc_interface *xch)
{
	xc_physinfo_t info = { 0 };

	if (xc_physinfo(xch, &info))
		return 1;
	printf("%lu\n", (unsigned long)(info.free_pages + info.scrub_pages));
	return 0;
}

static int print_domain(xc_interface *xch, uint32_t domid)
{
	xc_domaininfo_t d;

	if (xc_domain_getinfolist(xch, domid, 1, &d) != 1 || d.domain != domid)
		return 1;
	printf("tot=%lu max=%lu paused=%d dying=%d\n", (unsigned long)d.tot_pages,
	       (unsigned long)d.max_pages, !!(d.flags & XEN_DOMINF_paused),
	       !!(d.flags & XEN_DOMINF_dying));
	return 0;
}

static int ask_xen(int argc, char **argv)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	int ret;

	if (!xch)
		return 1;
	ret = argc == 2 ? print_free(xch) : print_domain(xch, (uint32_t)atoi(argv[2]));
	xc_interface_close(xch);
	return ret;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if ((!strcmp(what, "free") && argc == 2) || (!strcmp(what, "dom") && argc == 3))
		return ask_xen(argc, argv);
	if (!strcmp(what, "create") && argc == 3)
		return domain_create(strtoul(argv[2], NULL, 0));
	if (!strcmp(what, "destroy") && argc == 3)
		return domain_destroy((uint32_t)atoi(argv[2]));
	if (!strcmp(what, "spoil") && argc == 5)
		return domain_spoil((uint32_t)atoi(argv[2]), strtoul(argv[3], NULL, 0),
				    strtoul(argv[4], NULL, 0));
	if (!strcmp(what, "tee") && argc == 3)
		return stream_tee(argv[2]);
	if (!strcmp(what, "tee") && argc == 5)
		return stream_tee_cut(argv[2], strtoul(argv[3], NULL, 0),
				      strtoul(argv[4], NULL, 0));
	if (!strcmp(what, "stream") && argc == 3)
		return stream_print(argv[2]);
	if (!strcmp(what, "memory") && argc == 4)
		return memory_print((uint32_t)atoi(argv[2]), argv[3]);
	if (!strcmp(what, "p2m") && argc == 4)
		return p2m_print(argv[2], (unsigned int)atoi(argv[3]));
	if (!strcmp(what, "damage") && (argc == 5 || argc == 6))
		return stream_damage(argv[2], argv[3], strtoul(argv[4], NULL, 0),
				     argc == 6 ? strtoul(argv[5], NULL, 0) : 0);
	return usage();
}
