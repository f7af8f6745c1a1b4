/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "inspect/verifier.h"

#include <criterion/criterion.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

static bool find(const char *pattern, char *path, size_t room)
{
	bool found = false;
	glob_t g;

	if (!glob(pattern, 0, NULL, &g)) {
		snprintf(path, room, "%s", g.gl_pathv[0]);
		found = true;
	}
	globfree(&g);
	return found;
}

static bool find_library(char *path, size_t room)
{
	static const char library[] = "usr/lib/xen-*/lib/python";
	const char *given = getenv("XR_XEN_PYTHON"), *cache = getenv("XDG_CACHE_HOME");
	char pattern[512];

	if (given)
		return find(given, path, room);
	if (find("/usr/lib/xen-*/lib/python", path, room))
		return true;
	for (unsigned int i = 0; i < 2; i++) {
		snprintf(pattern, sizeof(pattern), "%s%s/%s/%s", cache ?: getenv("HOME") ?: "",
			 cache ? "" : "/.cache",
			 i ? "xenrestore-lab/sysroot" : "xenrestore-verifier", library);
		if (find(pattern, path, room))
			return true;
	}
	return false;
}

bool verifier_open(struct verifier *v)
{
	char path[64];

	*v = (struct verifier){ .dir = "/tmp/xr-verify-XXXXXX" };
	if (!find_library(v->python, sizeof(v->python)) || system("python3 -c 1 >/dev/null 2>&1"))
		return false;
	cr_assert_not_null(mkdtemp(v->dir));
	snprintf(path, sizeof(path), "%s/list", v->dir);
	v->list = fopen(path, "we");
	cr_assert_not_null(v->list);
	return true;
}

unsigned int verifier_put(struct verifier *v, const void *bytes, size_t n)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%u", v->dir, v->streams);
	f = fopen(path, "we");
	cr_assert(f && fwrite(bytes, 1, n, f) == n && !fclose(f));
	return v->streams++;
}

void verifier_ask(struct verifier *v, const char *form, size_t start, const struct variant *what)
{
	fprintf(v->list, "%s %zu %zu %zu ", form, start, what->size, what->at);
	for (unsigned int i = 0; i < what->n; i++)
		fprintf(v->list, "%02x", what->bytes[i]);
	fprintf(v->list, "%s %s/%u\n", what->n ? "" : "-", v->dir, what->stream);
}

static void run(struct verifier *v)
{
	char line[1200];

	cr_assert_eq(fclose(v->list), 0);
	v->list = NULL;
	snprintf(line, sizeof(line), "python3 %s %s <%s/list", VERIFY_MANY, v->python, v->dir);
	v->answers = popen(line, "re");
	cr_assert_not_null(v->answers);
}

bool verifier_answer(struct verifier *v, char *why, size_t room)
{
	char line[1024];

	if (!v->answers)
		run(v);
	cr_assert_not_null(fgets(line, sizeof(line), v->answers), "Xen's verifier died");
	line[strcspn(line, "\n")] = '\0';
	if (!strcmp(line, "good"))
		return true;
	cr_assert_eq(strncmp(line, "bad ", 4), 0, "%s", line);
	snprintf(why, room, "%s", line + 4);
	return false;
}

void verifier_close(struct verifier *v)
{
	char line[64];

	cr_expect_null(fgets(line, sizeof(line), v->answers), "an answer too many");
	cr_expect_eq(pclose(v->answers), 0);
	snprintf(line, sizeof(line), "rm -rf %s", v->dir);
	cr_expect_eq(system(line), 0);
}
