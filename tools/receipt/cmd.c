/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `xenrestore verify`. */
#include "cli/command.h"
#include "cli/files.h"
#include "cli/report.h"
#include "cli/signals.h"
#include "receipt/tell.h"

#include "host/model.h"

#include <inttypes.h>
#include <sched.h>
#include <string.h>

#define WORKERS_MAX 64u

struct verify_options {
	const char *path, *stream;
	uint32_t domid;
	unsigned int workers;
	bool json, quiet;
};

static int run(int argc, char **argv);

#define AT(field) offsetof(struct verify_options, field)
static const struct xr_option options[] = {
	XR_OPTION(FILE, "stream", 0, "FILE", AT(stream), NULL,
		  "hold this stream against the receipt (- is standard input)"),
	XR_OPTION(INT, "domid", 0, "N", AT(domid), NULL,
		  "hold the memory of this domain against it; paused or not", .max = UINT32_MAX),
	XR_OPTION(INT, "workers", 0, "N", AT(workers), "one per core, at most 8",
		  "how many work at it", .max = WORKERS_MAX),
	XR_OPTION(FLAG, "json", 0, NULL, AT(json), NULL, "print the verdict as JSON"),
	XR_OPTION(FLAG, "quiet", 'q', NULL, AT(quiet), NULL, "print nothing: the exit code tells"),
	XR_OPTIONS_END,
};

const struct xr_command xr_command_verify = {
	.name = "verify",
	.run = run,
	.args = "RECEIPT",
	.what = "hold a stream or a domain against a receipt",
	.about =
		"Tell whether a stream, or the memory of a domain, is what `xenrestore restore --receipt` wrote,\n"
		"and name the regions that differ. A stream is read as a restore reads it, without a guest.\n"
		"Exit code 1: something differs.",
	.options = options,
	.operands = "file",
};

static int tell(const struct verify_options *o, const struct receipt_verdict *v)
{
	int rc;

	if (o->json)
		receipt_tell_json(stdout, v);
	else if (!o->quiet)
		receipt_tell_text(stdout, v);
	rc = xr_printed(&xr_command_verify, "the verdict", 0);
	if (rc)
		return rc;
	return receipt_is_met(v->found) ? XR_EXIT_OK : XR_EXIT_STREAM;
}

/* Contents of a PV guest are looked into when it is completed, those of others by nobody. */
static int make_model(struct xr_settings *set, const struct receipt *want)
{
	struct xr_model_settings ms;
	int rc;

	xr_model_settings_default(&ms);
	ms.without_memory = !want->stream.pv;
	ms.follow = true;
	rc = xr_model_create(&set->model, &ms);
	if (!rc)
		return XR_EXIT_OK;
	fprintf(stderr, "xenrestore verify: cannot make a model of a guest: %s\n", strerror(-rc));
	return XR_EXIT_HOST;
}

static int restore(const struct verify_options *o, const struct xr_settings *set,
		   const struct receipt *want)
{
	struct receipt_difference d = { 0 };
	const struct receipt_verdict v = { .receipt = want, .found = &d };
	struct xr_restore *r = NULL;
	struct xr_result res = { 0 };
	struct xr_error err;
	int rc = xr_open(&r, set, &err);

	if (!rc) {
		xr_signals_cancel(r);
		rc = xr_run(r, &res, &err);
	}
	xr_signals_release();
	if (!rc) {
		receipt_compare_restore(want, r, &res, &d);
		rc = tell(o, &v);
	} else if (res.stream_version && res.pv != want->stream.pv) {
		fprintf(stderr,
			"xenrestore verify: the stream holds %s guest, the receipt is of %s\n",
			res.pv ? "a PV" : "an HVM or PVH", res.pv ? "none" : "one");
		rc = XR_EXIT_STREAM;
	} else {
		xr_report_error(stderr, &err);
		rc = xr_exit_of(&err);
	}
	receipt_difference_free(&d);
	xr_close(&r);
	return rc;
}

static int verify_stream(const struct verify_options *o, const struct receipt *want)
{
	struct xr_settings set;
	int rc;

	xr_signals_catch();
	xr_settings_default(&set);
	rc = xr_source_open(&xr_command_verify, o->stream, &set.fd);
	if (rc)
		return rc;
	set.host = XR_HOST_MODEL;
	set.workers = o->workers;
	set.sandbox = true;
	set.receipt = true;
	rc = make_model(&set, want);
	if (!rc)
		rc = restore(o, &set, want);
	xr_model_destroy(&set.model);
	xr_source_close(set.fd);
	return rc;
}

static unsigned int threads_of(const struct verify_options *o)
{
	cpu_set_t set;
	int n = 1;

	if (o->workers)
		return o->workers;
	if (!sched_getaffinity(0, sizeof(set), &set))
		n = CPU_COUNT(&set);
	return n < 1 ? 1 : n > 8 ? 8 : (unsigned int)n;
}

static int host_failed(const struct verify_options *o, const char *what, int rc)
{
	fprintf(stderr, "xenrestore verify: %s domain %" PRIu32 ": %s\n", what, o->domid,
		strerror(-rc));
	return XR_EXIT_HOST;
}

static int compare(const struct verify_options *o, const struct receipt *want, struct xr_host *host)
{
	struct receipt_difference d = { 0 };
	struct receipt_verdict v = { .receipt = want, .found = &d, .domain = true };
	struct xr_dominfo dom;
	int rc = host->ops->info(host, &dom);

	if (rc)
		return host_failed(o, "cannot get the state of", rc);
	if (!dom.hvm)
		return xr_usage(&xr_command_verify,
				"domain %" PRIu32
				" is PV, its page tables hold frame numbers of this "
				"machine: hold its stream against the receipt",
				o->domid);
	v.running = !dom.paused;
	rc = receipt_compare_domain(want, host, threads_of(o), &d);
	rc = rc ? host_failed(o, "cannot map memory of", rc) : tell(o, &v);
	receipt_difference_free(&d);
	return rc;
}

static int verify_domain(const struct verify_options *o, const struct receipt *want)
{
	struct xr_host *host;
	int rc = xr_host_xen_open(&host, o->domid, NULL);

	if (rc) {
		fprintf(stderr,
			"xenrestore verify: cannot ask Xen about domain %" PRIu32
			": %s (run it as root where Xen runs, or hold a stream against the receipt "
			"by --stream)\n",
			o->domid, strerror(-rc));
		return XR_EXIT_HOST;
	}
	rc = compare(o, want, host);
	host->ops->close(host);
	return rc;
}

static int check(const struct verify_options *o)
{
	if ((o->stream != NULL) == (o->domid != UINT32_MAX))
		return xr_usage(&xr_command_verify,
				"name what is held against it: --stream FILE or "
				"--domid N");
	return 0;
}

static int run(int argc, char **argv)
{
	struct verify_options o = { .domid = UINT32_MAX };
	char why[RECEIPT_TEXT];
	struct receipt want;
	int rc;

	rc = xr_options_parse_one(&xr_command_verify, &o, argc, argv, "name one receipt", &o.path);
	if (rc)
		return rc - 1;
	rc = check(&o);
	if (rc)
		return rc;
	if (!receipt_read(&want, o.path, why)) {
		receipt_free(&want);
		return xr_usage(&xr_command_verify, "cannot use the receipt %s: %s", o.path, why);
	}
	rc = o.stream ? verify_stream(&o, &want) : verify_domain(&o, &want);
	receipt_free(&want);
	return rc;
}
