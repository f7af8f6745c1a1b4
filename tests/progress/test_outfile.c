/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that are written as a whole, and what is no file to be replaced. */
#include "outfile/outfile.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static const char *in_folder(const char *name)
{
	static char path[4][160];
	static unsigned int next;
	char *p = path[next++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", folder, name);
	return p;
}

static void set_up(void)
{
	strcpy(folder, "/tmp/xr-outfile-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
}

static void tear_down(void)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -r %s", folder);
	cr_expect_eq(system(command), 0);
}

TestSuite(outfile, .init = set_up, .fini = tear_down);

static void write_out(const char *path, const char *text)
{
	struct xr_outfile o;

	cr_assert_eq(xr_outfile_open(&o, path), 0, "%s", path);
	cr_assert(fputs(text, o.f) >= 0);
	cr_assert_eq(xr_outfile_keep(&o), 0);
	xr_outfile_close(&o);
}

static const char *contents(const char *path)
{
	static char text[64];
	const int fd = open(path, O_RDONLY);
	const ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	text[n < 0 ? 0 : n] = '\0';
	close(fd);
	return text;
}

static mode_t kind_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) ? 0 : st.st_mode & S_IFMT;
}

static void make_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
}

Test(outfile, takes_the_place_of_a_file_once_it_is_kept)
{
	struct xr_outfile o;

	make_file(in_folder("a"), "before");
	cr_assert_eq(xr_outfile_open(&o, in_folder("a")), 0);
	fputs("half", o.f);
	fflush(o.f);
	cr_expect_str_eq(contents(in_folder("a")), "before");
	xr_outfile_close(&o);
	cr_expect_str_eq(contents(in_folder("a")), "before");
	write_out(in_folder("a"), "after");
	cr_expect_str_eq(contents(in_folder("a")), "after");
}

/* Else root would put a file in the place of /dev/null. */
Test(outfile, a_device_a_pipe_and_a_link_stay_what_they_are)
{
	char text[16] = "";
	int fd;

	cr_assert_eq(mkfifo(in_folder("pipe"), 0600), 0);
	fd = open(in_folder("pipe"), O_RDWR);
	write_out(in_folder("pipe"), "through");
	cr_expect_eq(read(fd, text, sizeof(text) - 1), 7);
	cr_expect_str_eq(text, "through");
	cr_expect_eq(kind_of(in_folder("pipe")), S_IFIFO);
	close(fd);

	make_file(in_folder("target"), "before");
	cr_assert_eq(symlink("target", in_folder("link")), 0);
	write_out(in_folder("link"), "after");
	cr_expect_str_eq(contents(in_folder("target")), "after");
	cr_expect_eq(kind_of(in_folder("link")), S_IFLNK);

	cr_assert_eq(symlink("/dev/null", in_folder("null")), 0);
	write_out(in_folder("null"), "away");
	cr_expect_eq(kind_of("/dev/null"), S_IFCHR);
	cr_expect_eq(kind_of(in_folder("null")), S_IFLNK);
}

Test(outfile, a_trap_by_the_temporary_s_name_is_not_followed)
{
	char name[64];

	make_file(in_folder("victim"), "untouched");
	snprintf(name, sizeof(name), ".a.%d.new", getpid());
	cr_assert_eq(symlink("victim", in_folder(name)), 0);
	write_out(in_folder("a"), "mine");
	cr_expect_str_eq(contents(in_folder("victim")), "untouched");
	cr_expect_str_eq(contents(in_folder("a")), "mine");
	cr_expect_eq(kind_of(in_folder("a")), S_IFREG);
}
