/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xr-stock-restore: the installed libxenguest's xc_domain_restore(), timed, for comparison. Run
 * with libxr-model-preload.so preloaded it restores into the model and says, as JSON, what the
 * guest holds: a digest over pfn and contents of every backed frame in ascending order.
 */
#include "preload.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xenctrl.h>
#include <xenguest.h>

/* All different, so that a mix-up shows. */
enum { STORE_EVTCHN = 3, CONSOLE_EVTCHN = 4, STORE_DOMID = 5, CONSOLE_DOMID = 6 };

struct job {
	int fd;
	uint32_t domid;
	uint64_t skip;
	bool digest, verbose, remus;
};

struct outcome {
	int rc, error;
	unsigned int missing, checkpoints;
	unsigned long store_gfn, console_gfn;
	double seconds, apply, apply_longest;
};

/* The library reads its stream with read(), which the linker takes from here: the first one after a
 * checkpoint was found good says that it has been applied. */
static struct {
	int fd;
	uint64_t since; /* 0: no checkpoint is being applied */
	uint64_t ns, longest;
} applying = { .fd = -1 };

static void note_applied(void)
{
	const uint64_t ns = xr_now() - applying.since;

	applying.ns += ns;
	if (ns > applying.longest)
		applying.longest = ns;
	applying.since = 0;
}

__attribute__((visibility("default"))) ssize_t read(int fd, void *buf, size_t n)
{
	if (fd == applying.fd && applying.since)
		note_applied();
	return syscall(SYS_read, fd, buf, n);
}

static int usage(const char *name)
{
	fprintf(stderr,
		"usage: %s [-s BYTES] [-d DOMID] [-n] [-r] [-v] FILE\n"
		"  -s  skip this many bytes: where the libxc stream begins\n"
		"  -d  domain to restore into (1)\n"
		"  -n  no digest of the guest's memory\n"
		"  -r  a stream of Remus; nothing stands between its checkpoints\n"
		"  -v  let the library log to stderr\n"
		"FILE may be - for standard input.\n",
		name);
	return 2;
}

static int skip_bytes(int fd, uint64_t n)
{
	char buf[4096];

	if (!n || lseek(fd, (off_t)n, SEEK_CUR) >= 0)
		return 0;
	while (n) {
		ssize_t got = read(fd, buf, n < sizeof(buf) ? n : sizeof(buf));

		if (got <= 0)
			return -1;
		n -= (uint64_t)got;
	}
	return 0;
}

static int note_missing(unsigned int missing, void *data)
{
	struct outcome *o = data;

	o->missing = missing;
	return 0;
}

static void note_results(xen_pfn_t store_gfn, xen_pfn_t console_gfn, void *data)
{
	struct outcome *o = data;

	o->store_gfn = store_gfn;
	o->console_gfn = console_gfn;
}

static int take_checkpoint(void *data)
{
	struct outcome *o = data;

	/* The first image is written as it comes. */
	if (o->checkpoints++)
		applying.since = xr_now();
	return XGR_CHECKPOINT_SUCCESS;
}

static void restore(xc_interface *xch, const struct job *job, struct outcome *o)
{
	struct restore_callbacks cb = {
		.static_data_done = note_missing,
		.restore_results = note_results,
		.checkpoint = take_checkpoint,
		.data = o,
	};
	uint64_t start = xr_now();

	applying.fd = job->fd;
	o->rc = xc_domain_restore(xch, job->fd, job->domid, STORE_EVTCHN, &o->store_gfn,
				  STORE_DOMID, CONSOLE_EVTCHN, &o->console_gfn, CONSOLE_DOMID,
				  job->remus ? XC_STREAM_REMUS : XC_STREAM_PLAIN, &cb, -1);
	o->error = o->rc ? errno : 0;
	o->seconds = (double)(xr_now() - start) / 1e9;
	o->apply = (double)applying.ns / 1e9;
	o->apply_longest = (double)applying.longest / 1e9;
}

static uint64_t digest(char hex[2 * SHA256_DIGEST_SIZE + 1])
{
	uint8_t page[XR_PAGE_SIZE], sum[SHA256_DIGEST_SIZE];
	struct sha256_ctx ctx;
	uint64_t n = 0;

	sha256_init(&ctx);
	for (uint64_t gfn = xr_preload_next(0); ~gfn; gfn = xr_preload_next(gfn + 1)) {
		uint8_t le[8];

		for (int i = 0; i < 8; i++)
			le[i] = (uint8_t)(gfn >> 8 * i);
		if (xr_preload_peek(gfn, page))
			return n;
		sha256_update(&ctx, sizeof(le), le);
		sha256_update(&ctx, sizeof(page), page);
		n++;
	}
	sha256_digest(&ctx, sizeof(sum), sum);
	for (size_t i = 0; i < sizeof(sum); i++)
		sprintf(hex + 2 * i, "%02x", sum[i]);
	return n;
}

static void print_calls(const struct xr_preload_stats *st)
{
	static const char *const names[XR_CALL_COUNT] = {
		[XR_CALL_INFO] = "info",
		[XR_CALL_POPULATE] = "populate",
		[XR_CALL_RELEASE] = "release",
		[XR_CALL_CPU_POLICY] = "cpu_policy",
		[XR_CALL_TSC] = "tsc",
		[XR_CALL_PARAM] = "param",
		[XR_CALL_CONTEXT] = "context",
		[XR_CALL_GRANTS] = "grants",
		[XR_CALL_MAPPER] = "mapper_open",
		[XR_CALL_MAP] = "map",
		[XR_CALL_UNMAP] = "unmap",
		[XR_CALL_WIDTH] = "width",
		[XR_CALL_VCPU] = "vcpu",
		[XR_CALL_PIN] = "pin",
		[XR_CALL_DIRTY] = "dirty",
		[XR_CALL_RAM] = "has_ram",
	};

	_Static_assert(XR_CALL_RAM + 1 == XR_CALL_COUNT, "all have names");

	printf(",\n \"calls\": {\"hypercalls\": %" PRIu64 ", \"refused\": %" PRIu64
	       ", \"buffer_maps\": %" PRIu64,
	       st->hypercalls, st->refused, st->buffer_maps);
	for (int i = 0; i < XR_CALL_COUNT; i++)
		printf(", \"%s\": %" PRIu64, names[i], st->model.calls[i]);
	printf("}");
}

static void print_guest(const struct job *job)
{
	char hex[2 * SHA256_DIGEST_SIZE + 1] = "";
	struct xr_preload_stats st;

	if (!xr_preload_stats || xr_preload_stats(&st))
		return;
	printf(",\n \"tot_pages\": %" PRIu64 ", \"whole_1g\": %" PRIu64 ", \"whole_2m\": %" PRIu64
	       ", \"pages_4k\": %" PRIu64 ", \"pages_mapped\": %" PRIu64 ", \"leaked\": %" PRIu64,
	       st.model.tot_pages, st.model.whole_1g, st.model.whole_2m, st.model.pages_4k,
	       st.model.pages_mapped, st.model.leaked);
	print_calls(&st);
	if (!job->digest)
		return;
	printf(",\n \"populated\": %" PRIu64, digest(hex));
	printf(", \"sha256\": \"%s\"", hex);
}

static int run(const struct job *job)
{
	struct outcome o = { .rc = -1 };
	xentoollog_logger_stdiostream *log;
	xc_interface *xch;

	log = xtl_createlogger_stdiostream(stderr, job->verbose ? XTL_DEBUG : XTL_ERROR, 0);
	xch = xc_interface_open((xentoollog_logger *)log, NULL, 0);
	if (!xch) {
		perror("xc_interface_open");
		return 1;
	}
	restore(xch, job, &o);
	printf("{\"last_error\": %d, \"restorer\": \"libxenguest\", \"rc\": %d, \"errno\": %d, \"seconds\": %.6f,\n"
	       " \"store_gfn\": %lu, \"console_gfn\": %lu, \"missing\": %u, "
	       "\"checkpoints\": %u, \"apply_seconds\": %.9f, \"apply_seconds_longest\": %.9f",
	       (int)xc_get_last_error(xch)->code, o.rc, o.error, o.seconds, o.store_gfn,
	       o.console_gfn, o.missing, o.checkpoints, o.apply, o.apply_longest);
	print_guest(job);
	printf("}\n");
	xc_interface_close(xch);
	xtl_logger_destroy((xentoollog_logger *)log);
	return o.rc ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct job job = { .domid = 1, .digest = true };
	int c;

	while ((c = getopt(argc, argv, "s:d:nrv")) != -1) {
		switch (c) {
		case 's':
			job.skip = strtoull(optarg, NULL, 0);
			break;
		case 'd':
			job.domid = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'n':
			job.digest = false;
			break;
		case 'r':
			job.remus = true;
			break;
		case 'v':
			job.verbose = true;
			break;
		default:
			return usage(argv[0]);
		}
	}
	if (optind != argc - 1)
		return usage(argv[0]);
	job.fd = strcmp(argv[optind], "-") ? open(argv[optind], O_RDONLY | O_CLOEXEC) : 0;
	if (job.fd < 0 || skip_bytes(job.fd, job.skip)) {
		perror(argv[optind]);
		return 1;
	}
	return run(&job);
}
