/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The streams of a bench, in unlinked temporary files. */
#include "bench/bench.h"
#include "bench/child.h"

#include "base/pfnset.h"
#include "stream/index.h"
#include "stream/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

struct making {
	int fd;
	const struct xr_gen_options *gen;
};

static bool in_memory(int fd)
{
	struct statfs s;

	return !fstatfs(fd, &s) && (s.f_type == TMPFS_MAGIC || s.f_type == RAMFS_MAGIC);
}

/* Never has a name for longer than a moment, so that nothing is left behind, whatever ends us. */
static int temporary_in(const char *dir)
{
	char path[4096];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0) {
		snprintf(path, sizeof(path), "%s/xenrestore-bench-XXXXXX", dir);
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			unlink(path);
	}
	if (fd < 0)
		return -errno;
	if (!in_memory(fd))
		return fd;
	close(fd);
	return -EMEDIUMTYPE;
}

static int temporary(void)
{
	const char *dir = getenv("TMPDIR");
	int fd = temporary_in(dir && *dir ? dir : "/tmp");

	if (fd == -EMEDIUMTYPE && !(dir && *dir))
		fd = temporary_in(dir = "/var/tmp");
	if (fd == -EMEDIUMTYPE)
		fprintf(stderr,
			"xenrestore bench: %s lies in memory; its pages are not a disk file's page cache: "
			"set TMPDIR\n",
			dir);
	else if (fd < 0)
		fprintf(stderr, "xenrestore bench: cannot make a file in %s: %s\n",
			dir && *dir ? dir : "/tmp", strerror(-fd));
	return fd;
}

static int make_body(void *arg, FILE *out)
{
	const struct making *m = arg;
	struct xr_gen_summary s;
	int rc = xr_generate(m->fd, m->gen, &s);

	/* Else it is written back during the first rounds. */
	if (!rc && fdatasync(m->fd))
		rc = -errno;
	if (rc)
		fprintf(stderr, "%s\n", strerror(-rc));
	else
		fprintf(out, "%llu %llu %llu\n", (unsigned long long)s.bytes,
			(unsigned long long)s.libxc_offset, (unsigned long long)s.populated);
	return rc ? 1 : 0;
}

/* In a child, so that a signal can end it at once. */
static int generate(struct bench_stream *s)
{
	struct making m = { s->fd, &s->gen };
	const struct bench_job job = { .body = make_body, .arg = &m, .in = s->fd };
	unsigned long long bytes, offset, populated;
	struct bench_outcome o;
	int rc = bench_child_run(&job, &o);

	if (rc)
		return rc;
	if (o.status || sscanf(o.out, "%llu %llu %llu", &bytes, &offset, &populated) != 3) {
		fprintf(stderr, "xenrestore bench: cannot make the stream: %s\n", o.err);
		rc = -EIO;
	} else {
		s->bytes = bytes;
		s->libxc_offset = offset;
		s->populated = populated;
	}
	bench_outcome_free(&o);
	return rc;
}

/* Where the libxc stream begins, and how many frames it leaves the guest with. */
static int look_into(struct bench_stream *s)
{
	struct xr_stream_config cfg = {
		.fd = s->fd, .layer = XR_LAYER_AUTO, .io = XR_IO_PLAIN, .max_pfn = XR_PFN_LIMIT - 1
	};
	struct xr_index *index = NULL;
	struct xr_stream *x = NULL;
	struct xr_error err = { 0 };
	int rc = xr_stream_open(&x, &cfg, -1, &err);

	if (rc) {
		fprintf(stderr, "xenrestore bench: %s\n", err.text);
		return rc;
	}
	s->libxc_offset = xr_stream_info(x)->libxc_offset;
	rc = xr_stream_index(x, &index, &err);
	if (rc)
		fprintf(stderr, "xenrestore bench: %s\n", err.text);
	else if (index)
		s->populated = xr_pfnset_count(index->want);
	xr_index_free(index);
	xr_stream_close(&x);
	return rc;
}

static int open_given(struct bench_stream *s, const char *path)
{
	struct stat st;

	s->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0 || fstat(s->fd, &st)) {
		fprintf(stderr, "xenrestore bench: cannot open %s: %s\n", path, strerror(errno));
		return -errno;
	}
	if (!S_ISREG(st.st_mode) || !st.st_size) {
		fprintf(stderr, "xenrestore bench: %s is not a file with a stream\n", path);
		return -EINVAL;
	}
	if (in_memory(s->fd))
		fprintf(stderr, "xenrestore bench: note: %s lies in memory, not on a disk\n", path);
	s->bytes = (uint64_t)st.st_size;
	return look_into(s);
}

int bench_stream_prepare(struct bench_stream *s, const struct bench_options *opt)
{
	if (s->types_only)
		return 0;
	if (!s->generated)
		return open_given(s, opt->stream);
	s->fd = temporary();
	return s->fd < 0 ? s->fd : generate(s);
}

void bench_stream_release(struct bench_stream *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}
