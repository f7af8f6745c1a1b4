/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/filter_rules.h"

#include "base/shared.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int add_rule(scmp_filter_ctx ctx, const struct xr_filter_rule *r)
{
	const struct scmp_arg_cmp self = { .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)getpid() };
	const uint32_t action = r->error ? SCMP_ACT_ERRNO((uint32_t)r->error) : SCMP_ACT_ALLOW;

	return r->self ? seccomp_rule_add_array(ctx, action, r->call, 1, &self)
		       : seccomp_rule_add_array(ctx, action, r->call, r->nargs, r->arg);
}

static int read_code(struct xr_filter *f, int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	f->len = (unsigned short)((size_t)st.st_size / sizeof(*f->code));
	f->code = malloc((size_t)st.st_size);
	if (!f->code)
		return -ENOMEM;
	if (pread(fd, f->code, (size_t)st.st_size, 0) == (ssize_t)st.st_size)
		return 0;
	xr_filter_free(f);
	return -EIO;
}

/* libseccomp gives its code only to a file. */
static int export_code(scmp_filter_ctx ctx, struct xr_filter *f)
{
	int fd = xr_shared_file("xr-filter"), rc;

	if (fd < 0)
		return -errno;
	rc = seccomp_export_bpf(ctx, fd);
	if (!rc)
		rc = read_code(f, fd);
	close(fd);
	return rc;
}

int xr_filter_make(struct xr_filter *f, enum xr_filter_role role)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int rc = 0;

	*f = (struct xr_filter){ 0 };
	if (!ctx)
		return -ENOMEM;
	rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* Look a call up by halves of the table, not row by row. */
	if (!rc)
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; !rc && i < xr_filter_nrules; i++)
		if (xr_filter_rules[i].roles & 1u << role)
			rc = add_rule(ctx, &xr_filter_rules[i]);
	if (!rc)
		rc = export_code(ctx, f);
	seccomp_release(ctx);
	return rc;
}

void xr_filter_free(struct xr_filter *f)
{
	free(f->code);
	*f = (struct xr_filter){ 0 };
}

/* With CONFIG_SECCOMP alone the call is there and refuses filters; so does it a bad program. */
static bool kernel_has_filters(void)
{
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL, 0, 0) < 0 && errno == EFAULT;
}

int xr_filter_put_on(const struct xr_filter *f)
{
	const struct sock_fprog prog = { f->len, f->code };
	long rc;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog);
	if (rc < 0 && errno == EINVAL)
		errno = kernel_has_filters() ? EINVAL : ENOSYS;
	/* Positive: a thread that has put on a filter of its own. */
	return rc < 0 ? -errno : rc ? -EBUSY : 0;
}

int xr_filter_confine(enum xr_filter_role role)
{
	struct xr_filter f;
	int rc = xr_filter_make(&f, role);

	if (rc)
		return rc;
	rc = xr_filter_put_on(&f);
	xr_filter_free(&f);
	return rc;
}
