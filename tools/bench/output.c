/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/output.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int cannot(const struct bench_output *o, int rc)
{
	fprintf(stderr, "xenrestore bench: cannot write %s: %s\n", o->path, strerror(-rc));
	return rc;
}

int bench_output_open(struct bench_output *o, const char *path)
{
	int fd, rc;

	*o = (struct bench_output){ .path = path };
	if (!path)
		return 0;
	if (!strcmp(path, "-")) {
		o->to = stdout;
		return 0;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	o->fresh = fd >= 0;
	if (fd < 0 && errno == EEXIST)
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (fd >= 0)
		o->to = fdopen(fd, "w");
	if (o->to)
		return 0;
	rc = -errno;
	if (fd >= 0)
		close(fd);
	return cannot(o, rc);
}

/* A pipe or a terminal has nothing that could be cut off. */
static int empty(FILE *to)
{
	struct stat st;

	if (fstat(fileno(to), &st))
		return -errno;
	return S_ISREG(st.st_mode) && ftruncate(fileno(to), 0) ? -errno : 0;
}

int bench_output_write(struct bench_output *o, int (*write_to)(FILE *to, const json_t *j),
		       const json_t *j)
{
	int rc;

	if (!o->to)
		return 0;
	rc = o->to == stdout ? 0 : empty(o->to);
	if (!rc)
		rc = write_to(o->to, j);
	if ((o->to == stdout ? fflush(o->to) : fclose(o->to)) && !rc)
		rc = -errno;
	o->to = NULL;
	return rc ? cannot(o, rc) : 0;
}

void bench_output_abandon(struct bench_output *o)
{
	if (!o->to || o->to == stdout)
		return;
	fclose(o->to);
	o->to = NULL;
	if (o->fresh)
		unlink(o->path);
}
