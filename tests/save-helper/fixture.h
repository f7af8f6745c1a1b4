/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the suites of the save helper share: a folder, a model domain, a real stream and its facts.
 */
#ifndef FIXTURE_H
#define FIXTURE_H

#include "host/model.h"
#include "lib/sanitizer.h"
#include "libxl.h"

#include <jansson.h>

#define PLAIN 768u /* the callbacks of a plain restore */
#define REMUS 800u /* and of checkpointed ones */
#define COLO 888u
#define ALL SIZE_MAX

/* Init and fini of a suite. */
void setup(void);
void teardown(void);

/* A path in the test's folder; static. "s" is the stream, "stock" a stand-in for the stock helper
 * that writes down its arguments in "argv" and its standard input and output in "fds". */
const char *in_dir(const char *name);

struct facts {
	json_t *json;
	json_int_t offset, end, store_gfn, console_gfn, populated;
	const char *digest;
};
struct facts manifest(void);

/* A model domain that the helper finds. */
struct xr_model *domain(bool pv);

/* The save file, at its libxc stream. */
int stream_file(void);

/* The first n bytes of that stream through a pipe, which then ends, or stays open and silent. */
int piped_stream(pid_t *writer, size_t n, bool stays);

void start_restore(struct libxl *l, int fd, unsigned int callbacks, unsigned int type);
/* The same with a back channel. */
void start_restore_back(struct libxl *l, int fd, int back, unsigned int callbacks,
			unsigned int type);

/* Report, trace, receipt and metrics of each restore, in that folder by the ends REPORT.1 and so
 * on. */
void ask_for_files(const char *folder);

unsigned int errors(const struct libxl *l);
/* How many of all that was logged have that word, and how many of the errors. */
unsigned int logs_with(const struct libxl *l, const char *word);
unsigned int errors_with(const struct libxl *l, const char *word);
void expect_exit(struct libxl *l, int code);
/* Served to its end, the restore has made the guest, and libxl has heard of it in order. */
void expect_guest(struct libxl *l, struct xr_model *m);

#endif
