/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libxl's part of a COLO restore, and of its two checkpoints. In the environment:
 *   XR_COLO_HELPER  the helper under test
 *   XR_COLO_FIRST, XR_COLO_NEXT  the save files
 *   XR_COLO_TICKS   the guest runs here, each time, to these ticks: "TICK TICK"
 *   XR_COLO_END     how it ends: "wait" at the second wait_checkpoint, the guest running;
 *                   "cut" in the third checkpoint, the guest suspended
 *   XR_COLO_FORGET  the primary is not told of what the guest has written here
 */
#include "../dom0/stream.h"
#include "../dom0/xr-lab.h"
#include "colo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECKPOINTS 2u
#define COLO_CALLBACKS "888"
#define COLO_TYPE "2"
#define REC_DIRTY_PFN_LIST 15u

enum {
	LOG = 1,
	PROGRESS = 2,
	SUSPEND = 3,
	POSTCOPY = 4,
	CHECKPOINT = 5,
	WAIT_CHECKPOINT = 6,
	STATIC_DATA_DONE = 8,
	RESTORE_RESULTS = 9,
	COMPLETE = 10,
};

enum { GO_ON = 1, FAIL_OVER = 2 };

struct message {
	uint16_t length; /* of what follows */
	uint16_t number;
	uint8_t rest[65535];
} __attribute__((packed));

struct colo {
	const char *file[CHECKPOINTS];
	unsigned long tick[CHECKPOINTS];
	bool cut, forget;
	struct guest guest;
	int stream, taken;   /* our end, and the helper's: what it leaves is libxl's */
	int back;	     /* our end */
	int replies, out;    /* to the helper, from it */
	int libxl;	     /* its end of our messages */
	unsigned int n;	     /* of the checkpoint, from 1 */
	uint64_t result[2];  /* gfns of xenstore's ring and of the console */
	struct message last; /* with results */
	uint8_t *dirty;	     /* by pfn */
	unsigned long listed;
};

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("xr-colo: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static void take(int fd, void *to, size_t n, const char *what)
{
	char *p = to;

	while (n) {
		const ssize_t got = read(fd, p, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			die("no %s", what);
		p += got;
		n -= (size_t)got;
	}
}

static void put(int fd, const void *from, size_t n)
{
	if (write(fd, from, n) != (ssize_t)n)
		die("cannot write: %s", strerror(errno));
}

static void reply(struct colo *c, int32_t value)
{
	put(c->replies, &value, sizeof(value));
}

static void hand_on(const struct colo *c, const struct message *m)
{
	put(c->libxl, m, sizeof(m->length) + m->length);
}

static void hand_on_reply(struct colo *c)
{
	int32_t value;

	take(STDIN_FILENO, &value, sizeof(value), "answer of libxl's");
	reply(c, value);
}

/* ---- what libxl does when it is asked ----------- */

/* What stands behind the record is libxl's, and must still be there. */
static void checkpoint(struct colo *c)
{
	uint32_t record[2];

	c->n++;
	take(c->taken, record, sizeof(record), "record of libxl's behind the checkpoint");
	if (record[0] != LIBXL_CHECKPOINT_END || record[1])
		die("the helper has taken bytes of libxl's");
	reply(c, GO_ON);
}

/* The guest is the primary's, to the byte. */
static void compare(struct colo *c)
{
	if (memory_print(c->guest.domid, c->file[c->n - 1]))
		die("memory is not the primary's at checkpoint %u", c->n);
}

/* Where the guest that ran here shares a page with Xen, and the primary's, too, it is still there.
 */
static void check_shared(const struct colo *c)
{
	const char *at = guest_said(&c->guest, "shares page 0x");
	const uint64_t pfn = at ? strtoull(at, NULL, 16) : 0;

	if (!at)
		return;
	if (!guest_has_something(&c->guest, pfn))
		die("the page that the guest shares with Xen, %#lx, is lost", (unsigned long)pfn);
	fprintf(stderr, "xr-colo: the guest shares page %#lx with Xen\n", (unsigned long)pfn);
}

static void postcopy(struct colo *c)
{
	compare(c);
	check_shared(c);
	if (c->n == 1)
		guest_start(&c->guest, c->result[0], c->result[1]);
	else
		guest_resume(&c->guest, false);
	reply(c, GO_ON);
}

static void wait_checkpoint(struct colo *c)
{
	guest_wait_tick(&c->guest, c->tick[c->n - 1]);
	if (c->n == CHECKPOINTS && !c->cut)
		guest_pause(&c->guest);
	reply(c, c->n == CHECKPOINTS && !c->cut ? FAIL_OVER : GO_ON);
}

static void take_list(struct colo *c)
{
	uint32_t head[2];
	uint64_t pfn;

	memset(c->dirty, 0, PARTS_MAX_PFN);
	take(c->back, head, sizeof(head), "list of dirty pages");
	if (head[0] != REC_DIRTY_PFN_LIST || head[1] % sizeof(pfn))
		die("record %#x of %u bytes is no list of dirty pages", head[0], head[1]);
	c->listed = head[1] / sizeof(pfn);
	for (unsigned long i = 0; i < c->listed; i++) {
		take(c->back, &pfn, sizeof(pfn), "rest of the list");
		if (pfn >= PARTS_MAX_PFN || c->dirty[pfn]++)
			die("pfn %#lx in the list of dirty pages", (unsigned long)pfn);
	}
	fprintf(stderr, "xr-colo: dirty=%lu at checkpoint %u\n", c->listed, c->n);
	if (!c->listed)
		die("the guest has run and written nothing");
}

/* The answer is what makes the helper list what the guest has written. */
static void suspend(struct colo *c)
{
	guest_suspend(&c->guest);
	reply(c, GO_ON);
	take_list(c);
	if (c->n < CHECKPOINTS) {
		part_next(c->stream, c->file[c->n - 1], c->file[c->n], c->forget ? NULL : c->dirty);
		return;
	}
	put(c->stream, "half a record", 6);
	close(c->stream);
	c->stream = -1;
}

/* The guest goes on where libxl finds it, in a domain that xl has restored paused. */
static void complete(struct colo *c, const struct message *m)
{
	int32_t rc;

	memcpy(&rc, m->rest, sizeof(rc));
	if (rc)
		die("the helper failed: %d", rc);
	if (c->n != CHECKPOINTS)
		die("it is done at checkpoint %u", c->n);
	if (c->cut) {
		guest_pause(&c->guest);
		guest_resume(&c->guest, true);
	}
	hand_on(c, &c->last);
	hand_on(c, m);
	hand_on_reply(c);
}

static void results(struct colo *c, const struct message *m)
{
	memcpy(c->result, m->rest, sizeof(c->result));
	c->last = *m;
}

static void dispatch(struct colo *c, const struct message *m)
{
	switch (m->number) {
	case LOG:
	case PROGRESS:
		hand_on(c, m);
		break;
	case STATIC_DATA_DONE:
		hand_on(c, m);
		hand_on_reply(c);
		break;
	case CHECKPOINT:
		checkpoint(c);
		break;
	case RESTORE_RESULTS:
		results(c, m);
		break;
	case POSTCOPY:
		postcopy(c);
		break;
	case WAIT_CHECKPOINT:
		wait_checkpoint(c);
		break;
	case SUSPEND:
		suspend(c);
		break;
	case COMPLETE:
		complete(c, m);
		break;
	default:
		die("message %u", m->number);
	}
}

/* ---- the helper ----------- */

__attribute__((noreturn)) static void helper(char **argv, int stream, int back, int in, int out)
{
	char fds[2][16];

	snprintf(fds[0], sizeof(fds[0]), "%d", stream);
	snprintf(fds[1], sizeof(fds[1]), "%d", back);
	argv[0] = getenv("XR_COLO_HELPER");
	argv[2] = fds[0];
	argv[3] = fds[1];
	argv[9] = (char *)COLO_CALLBACKS;
	argv[10] = (char *)COLO_TYPE;
	fcntl(stream, F_SETFD, 0);
	fcntl(back, F_SETFD, 0);
	if (dup2(in, STDIN_FILENO) == STDIN_FILENO && dup2(out, STDOUT_FILENO) == STDOUT_FILENO)
		execv(argv[0], argv);
	_exit(127);
}

static pid_t start_helper(struct colo *c, char **argv)
{
	int stream[2], back[2], in[2], out[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, back) || pipe2(in, O_CLOEXEC) ||
	    pipe2(out, O_CLOEXEC))
		die("no pipes");
	pid = fork();
	if (!pid)
		helper(argv, stream[1], back[1], in[0], out[1]);
	c->stream = stream[0];
	c->taken = stream[1];
	c->back = back[0];
	c->replies = in[1];
	c->out = out[0];
	close(back[1]);
	close(in[0]);
	close(out[1]);
	return pid;
}

static bool next_message(struct colo *c, struct message *m)
{
	if (read(c->out, &m->length, 1) != 1)
		return false;
	take(c->out, (char *)&m->length + 1, 1, "rest of a length");
	take(c->out, &m->number, m->length, "rest of a message");
	return true;
}

static const char *setting(const char *name)
{
	const char *value = getenv(name);

	if (!value)
		die("no %s", name);
	return value;
}

static void configure(struct colo *c, char **argv)
{
	char *end;

	c->file[0] = setting("XR_COLO_FIRST");
	c->file[1] = setting("XR_COLO_NEXT");
	c->tick[0] = strtoul(setting("XR_COLO_TICKS"), &end, 10);
	c->tick[1] = strtoul(end, NULL, 10);
	c->cut = !strcmp(setting("XR_COLO_END"), "cut");
	c->forget = getenv("XR_COLO_FORGET");
	c->dirty = malloc(PARTS_MAX_PFN);
	if (!c->dirty)
		die("no memory");
	setting("XR_COLO_HELPER");
	/* what is printed must not get there */
	c->libxl = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 100);
	if (c->libxl < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		die("no channel to libxl");
	setvbuf(stdout, NULL, _IOLBF, 0);
	guest_open(&c->guest, (uint32_t)strtoul(argv[4], NULL, 10),
		   (uint32_t)strtoul(argv[5], NULL, 10));
}

int main(int argc, char **argv)
{
	static struct message m;
	static struct colo c;
	int fd, status;
	pid_t pid;

	if (argc != 11 || strcmp(argv[1], "--restore-domain"))
		die("this is run by libxl, to restore");
	fd = atoi(argv[2]);
	configure(&c, argv);
	pid = start_helper(&c, argv);
	part_first(c.stream, c.file[0]);
	while (next_message(&c, &m))
		dispatch(&c, &m);
	if (waitpid(pid, &status, 0) != pid || status)
		die("the helper ends with status %#x", status);
	/* xl goes on behind the memory part */
	return lseek(fd, (off_t)part_end(c.file[0]), SEEK_SET) < 0;
}
