/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plays inputs back into a fuzz target, without a fuzzer: files, or all files of a folder. */
#include "fuzz/fuzz.h"

#include <ftw.h>
#include <sys/stat.h>

static unsigned int played;

static int play(const char *name, const struct stat *st, int type)
{
	const size_t size = (size_t)st->st_size;
	uint8_t *data = NULL;
	FILE *f = NULL;
	int rc = 0;

	if (type == FTW_D)
		return 0;
	rc = 1;
	f = fopen(name, "rb");
	data = malloc(size + 1);
	if (f && data && fread(data, 1, size, f) == size) {
		fprintf(stderr, "%s\n", name);
		rc = LLVMFuzzerTestOneInput(data, size);
		played++;
	}
	if (rc)
		perror(name);
	free(data);
	if (f)
		fclose(f);
	return rc;
}

int main(int argc, char **argv)
{
	int rc = 0;

	for (int i = 1; i < argc && !rc; i++)
		rc = ftw(argv[i], play, 8);
	printf("%u inputs played back\n", played);
	return rc || !played;
}
