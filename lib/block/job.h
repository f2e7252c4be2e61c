/* SPDX-License-Identifier: MIT */
/**
 * @file job.h
 * Long work on nodes: convert, commit, mirror, stream, backup; with progress and cancel.
 *
 * A job runs on a thread of its own and spreads its I/O over the worker pool; it takes part in
 * drains, so a running machine's disk can be worked on.
 */
#ifndef LIBVM_BLOCK_JOB_H
#define LIBVM_BLOCK_JOB_H

#include "block/node.h"

struct vm_job;

struct vm_job_class {
    const char *name; /**< "convert" */
    size_t state_size;
    /** The work. Looks at vm__job_cancelled() at least every few MiB. */
    int (*run)(struct vm_job *job, void *state);
    /** Afterwards, on the same thread: undo what a failed or cancelled run() left. */
    void (*clean)(struct vm_job *job, void *state, int status);
};

/** Make a job; its state is zeroed, for the caller to fill in before vm__job_start(). */
struct vm_job *vm__job_new(struct vm_blk_env *env, const struct vm_job_class *cls, void **state);
int vm__job_start(struct vm_job *job);
/** Run it here instead. */
int vm__job_run(struct vm_job *job);
struct vm_job *vm__job_ref(struct vm_job *job);
void vm__job_unref(struct vm_job *job);

/* For run(). */
bool vm__job_cancelled(const struct vm_job *job);
/** Nothing more to do than be there: returns when the job is called off. */
void vm__job_idle(struct vm_job *job);
void vm__job_total(struct vm_job *job, uint64_t total);
void vm__job_done(struct vm_job *job, uint64_t more);

/* For onlookers; any thread. */
void vm__job_progress(const struct vm_job *job, uint64_t *done, uint64_t *total);
void vm__job_cancel(struct vm_job *job);
/** @param timeout_ns negative: for ever. @return its status, which may be positive; the error is
 * this thread's then.
 *  @retval VM_E_TIMEOUT still running */
int vm__job_wait(struct vm_job *job, int64_t timeout_ns);

#endif
