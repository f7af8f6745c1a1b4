/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The machine that is measured on: what it is, and putting it into the same state before runs. */
#ifndef XR_BENCH_MACHINE_H
#define XR_BENCH_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

struct bench_machine {
	char cpu[96];
	char kernel[96];
	char thp[16], shmem_thp[16]; /* the chosen word of the kernel's setting; "" if unknown */
	char hypervisor[32];	     /* "yes" or "no": the CPU says that it is a virtual machine */
	unsigned int cores;	     /* online and ours to use */
	uint64_t memory, available;  /* bytes, at the start */
	double load;		     /* one-minute load average, at the start */
	bool model_huge;	     /* the model host got huge pages */
};

void bench_machine_read(struct bench_machine *m);
uint64_t bench_memory_available(void); /* bytes, now; 0: unknown */

/*
 * Touch so much memory and give it back, so that the next to allocate it does not pay a hypervisor
 * for its first touch; never more than what is available less an eighth. Returns the bytes touched.
 */
uint64_t bench_touch_memory(uint64_t bytes);

/* Read the file once, so that it is page-cached. 0 or a negative errno. */
int bench_touch_file(int fd);

#endif
