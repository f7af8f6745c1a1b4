/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside the model host: the shared state and what its files ask of each other. Functions named
 * *_locked want the model's lock held; all others take it themselves or need none.
 *
 * Frames of the model ("machine") are named by mfn: the page index in one of two backing files,
 * MFN_HUGE set for the one with huge pages. An mfn is never used twice, so whoever found one under
 * the lock may work on its page afterwards without fearing that it has become another's.
 *
 * A process may be killed at any point, also with the lock held. What it could have been changing
 * is then put right from the mapping records (model_refs_rebuild_locked()): a record counts from
 * the single store that links it on, and the reference counts follow from the records.
 */
#ifndef XR_MODEL_IMPL_H
#define XR_MODEL_IMPL_H

#include "host/hvm_params.h"
#include "host/model.h"

#include <pthread.h>
#include <sys/types.h>

#define REGION_PAGES 512u
#define GIB_REGIONS 512u
#define GFN_BITS 36
#define REGIONS ((uint64_t)1 << (GFN_BITS - 9))
#define MFN_HUGE ((uint64_t)1 << 40)
#define MFN_LIMIT ((uint64_t)1 << 33) /* pages in each backing file, freed ones included */
#define NO_FRAME (~(uint64_t)0)
#define PV_FRAMES ((uint64_t)1 << 26) /* of a PV domain's, in each backing file */
#define PV_VCPUS 128u

#define MODEL_MAGIC 0x786d6f64656c3031u
#define MODEL_FAULTS 32u
#define MODEL_MAPPERS 256u
#define MODEL_NODES ((uint32_t)1 << 24)
#define MODEL_LOG 16384u
#define MODEL_DIRTY 8192u
#define MODEL_XENS 64u
#define MODEL_DOMID 1u

/* A word of refs[]: the count of mappings, and two facts about the frame. */
#define REF_COUNT 0x3fffffffu
#define REF_TOUCHED 0x40000000u	 /* was mapped or written once: it may hold data */
#define REF_RELEASED 0x80000000u /* only its mappings keep it allocated */

/* Either a mapping (base: its address, count: its pages, first: its runs, shift: pages of the
 * reservation before it) or a run of it (base: mfn, count: frames). 0 ends a list. */
struct model_node {
	uint64_t base;
	uint32_t count;
	uint32_t next;
	uint32_t first;
	uint32_t shift;
};

struct model_mapper_slot {
	pid_t owner;	  /* 0: free */
	uint64_t started; /* of the owner: tells it from a later process of the same pid */
	uint32_t mappings;
};

struct model_fault {
	uint64_t nth; /* 0: unused */
	enum xr_model_call call;
	int order;
	int arg;
};

struct model_file {
	int fd; /* of the creator, and of who inherited it */
	dev_t dev;
	ino_t ino;
};

struct model_vcpu {
	unsigned char blob[XR_VCPU_STATES][16384];
};

struct model_state {
	uint64_t magic;
	pthread_mutex_t lock; /* robust: owners die */
	struct xr_model_settings set;
	struct model_file file[2];
	bool huge; /* huge pages were seen to come */

	/* tot_pages is owned + pinned. */
	uint64_t owned;
	uint64_t pinned;  /* released, kept by mappings alone */
	uint64_t highest; /* gfn ever backed; NO_FRAME: none */
	uint64_t next_mfn[2];
	struct xr_model_stats stats; /* tot_pages and max_pages are filled on reading */
	unsigned int fail_order;
	struct model_fault fault[MODEL_FAULTS];

	uint64_t dirty[MODEL_DIRTY]; /* gfns written by the guest; some more than once */
	uint32_t ndirty;
	uint64_t xens[MODEL_XENS]; /* gfns of Xen's pages: neither owned nor RAM */
	uint32_t nxens;

	uint64_t param[XR_HVM_PARAMS];
	bool param_set[XR_HVM_PARAMS];
	struct xr_model_given given;
	unsigned int width;
	uint32_t vcpu_size[PV_VCPUS][XR_VCPU_STATES]; /* 0: never set */
	struct model_vcpu vcpu[PV_VCPUS];
	uint32_t log_len;
	char log[MODEL_LOG];

	/* p2m; free_table chains by the first word of a table, 0 ends it */
	uint32_t tables_used, free_table;
	uint32_t nr_tables;
	uint64_t gib[(REGIONS / GIB_REGIONS) / 64]; /* has any region of this GiB ever been set? */

	struct model_mapper_slot mapper[MODEL_MAPPERS];
	uint32_t nodes_used, free_node;
};

/* Of a PV domain's frame. */
enum model_type {
	TYPE_NONE,
	TYPE_L1, /* page tables: the level */
	TYPE_L2,
	TYPE_L3,
	TYPE_L4,
	TYPE_WRITABLE, /* by page tables; foreign mappings count in refs[] */
	TYPE_SEGDESC,
};

struct model_frame {
	uint64_t gfn; /* of the guest, plus one; 0: not the domain's */
	uint32_t type;
	uint32_t count : 31, pinned : 1;
};

/* One process's view. Only state_fd, file[] and addresses: all else is shared. */
struct xr_model {
	struct model_state *s;
	uint64_t *region; /* the p2m, a word for each 2M: see model_p2m.c */
	uint64_t (*table)[REGION_PAGES];
	uint32_t *refs[2];	      /* by mfn; NULL without memory */
	struct model_frame *frame[2]; /* by mfn, PV only */
	struct model_node *node;
	size_t bytes;
	int state_fd;
	int file[2];
};

/* A run of frames that follow each other in one backing file. */
struct model_run {
	uint64_t mfn;
	uint64_t count;
};

/* model.c */
/* As xr_model_attach(); files: descriptors of file[] here, NULL: as in the creator. */
int model_attach(struct xr_model **out, int fd, const int *files);
void model_lock(struct xr_model *m);
void model_unlock(struct xr_model *m);
/* Count the call and find the fault it is to meet, if any. */
bool model_begin_locked(struct xr_model *m, enum xr_model_call call, unsigned int order, int *arg);
void model_log_locked(struct xr_model *m, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
uint64_t model_tot_locked(const struct xr_model *m);

/* model_guest.c: the gfns of [gfn, gfn + n) no longer hold pages of Xen's; how many did. */
uint64_t model_xens_leave_locked(struct xr_model *m, uint64_t gfn, uint64_t n);

/* model_p2m.c */
uint64_t model_p2m_get_locked(struct xr_model *m, uint64_t gfn, int *order);
/* Map 2^order frames in the largest entries that fit; what was there is leaked and counted.
 * -ENOMEM: no room for another split region, the extent is then mapped in part. */
int model_p2m_set_locked(struct xr_model *m, uint64_t gfn, uint64_t mfn, unsigned int order);
/* Take out the largest whole entry at gfn that has at most `pages` pages (a larger one is split).
 * *mfn is its first frame. Returns the number of pages, 0 if there is none. */
uint64_t model_p2m_del_locked(struct xr_model *m, uint64_t gfn, uint64_t pages, uint64_t *mfn);
uint64_t model_p2m_next_locked(struct xr_model *m, uint64_t from);
void model_p2m_clear_locked(struct xr_model *m); /* forgets all, frees no page */

/* model_memory.c: a huge file at [1], one of small pages at [0]. */
int model_files_open(struct xr_model *m);
/* Allocate, and clear or fill; costs what a populate does. On failure nothing is allocated. */
int model_pages_make(struct xr_model *m, uint64_t mfn, uint64_t count);
void model_pages_free(struct xr_model *m, uint64_t mfn, uint64_t count);
uint64_t model_pages_dirty(struct xr_model *m, uint64_t mfn, uint64_t count);
/* Page index in, and descriptor of, the file that holds mfn. */
static inline uint64_t mfn_index(uint64_t mfn)
{
	return mfn & ~MFN_HUGE;
}
static inline int mfn_file(const struct xr_model *m, uint64_t mfn)
{
	return m->file[!!(mfn & MFN_HUGE)];
}

/* model_map.c */
static inline uint32_t *model_ref(struct xr_model *m, uint64_t mfn)
{
	return &m->refs[!!(mfn & MFN_HUGE)][mfn_index(mfn)];
}
/* Drop the mappings of processes that are gone. */
void model_reap_locked(struct xr_model *m);
void model_refs_rebuild_locked(struct xr_model *m);
int model_mapper_open(struct xr_host *h, struct xr_mapper **out);
void model_mapper_close(struct xr_mapper *mapper);
void *model_map(struct xr_mapper *mapper, size_t n, const uint64_t *gfns, int *err);
int model_unmap(struct xr_mapper *mapper, void *addr, size_t n);

/* model_pv.c */
/* The mfn of the model for what the host's calls name: a gfn, or for PV an mfn as it is shown
 * outside. NO_FRAME: not the domain's. order may be NULL. */
uint64_t model_lookup_locked(struct xr_model *m, uint64_t gfn, int *order);
/* The extent is the domain's, at these pfns. */
void model_frames_enter_locked(struct xr_model *m, uint64_t gfn, uint64_t mfn, unsigned int order);
void model_frames_leave_locked(struct xr_model *m, uint64_t mfn, uint64_t count);
uint64_t model_shown(uint64_t mfn);
/* The pfn at which PV's shown mfn is. NO_FRAME: at none. */
uint64_t model_pfn_locked(struct xr_model *m, uint64_t shown);
/* May a foreign mapping be writable? */
bool model_writable_locked(struct xr_model *m, uint64_t mfn);
/* One more user of the frame (shown) as that type: validates it. */
int model_type_get_locked(struct xr_model *m, uint64_t shown, enum model_type type);
void model_pv_reset_locked(struct xr_model *m);
int model_pin(struct xr_host *h, size_t n, const struct xr_pin *pins);

/* model_vcpu.c */
int model_get_width(struct xr_host *h, unsigned int *width);
int model_set_width(struct xr_host *h, unsigned int width);
int model_set_vcpu(struct xr_host *h, uint32_t vcpu, enum xr_vcpu_state state, const void *blob,
		   uint32_t size);

/* model_extents.c */
long model_populate(struct xr_host *h, unsigned int order, size_t n, const uint64_t *gfns,
		    uint64_t *mfns);
long model_release(struct xr_host *h, unsigned int order, size_t n, const uint64_t *gfns);

/* model_guest.c: a handle, and the calls that set the state of the guest. */
struct xr_model *model_of(struct xr_host *h);
/* Lock, count the call and log it (name may be NULL). 0, or what a fault says. */
int model_enter(struct xr_model *m, enum xr_model_call call, const char *name);

#endif
