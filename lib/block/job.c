/* SPDX-License-Identifier: MIT */
/**
 * @file job.c
 * Long work: a thread, how far it is, whether it shall end, how it ended.
 */
#include "block/job.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"
#include "block/env_impl.h"
#include "core/config.h"
#include "host/thread.h"
#include "host/time.h"

struct vm_job {
    const struct vm_job_class *cls;
    struct vm_blk_env *env;
    void *state;
    _Atomic uint32_t refs;
    _Atomic uint64_t done, total;
    _Atomic bool cancelled;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool started, over;
    int status;
    char message[256];
};

struct vm_job *vm__job_new(struct vm_blk_env *env, const struct vm_job_class *cls, void **state)
{
    struct vm_job *job = calloc(1, sizeof *job);
    if (job == NULL || (job->state = calloc(1, cls->state_size + 1)) == NULL) {
        free(job);
        vm__fail_nomem(cls->state_size);
        return NULL;
    }
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&job->ended, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&job->lock, NULL);
    job->cls = cls;
    job->env = env;
    vm__ctx_ref(env->ctx);
    atomic_store(&job->refs, 1);
    *state = job->state;
    return job;
}

struct vm_job *vm__job_ref(struct vm_job *job)
{
    atomic_fetch_add(&job->refs, 1);
    return job;
}

void vm__job_unref(struct vm_job *job)
{
    if (job == NULL || atomic_fetch_sub(&job->refs, 1) != 1)
        return;
    /* One that never ran still has what its state holds. */
    if (!job->started && job->cls->clean != NULL)
        job->cls->clean(job, job->state, VM_E_CANCELED);
    struct vm_ctx *ctx = job->env->ctx;
    pthread_cond_destroy(&job->ended);
    pthread_mutex_destroy(&job->lock);
    free(job->state);
    free(job);
    vm__ctx_unref(ctx);
}

static void work(struct vm_job *job)
{
    char message[sizeof job->message] = "";
    const int st = job->cls->run(job, job->state);
    if (st < VM_OK)
        vm__error_keep(message, sizeof message);
    if (job->cls->clean != NULL)
        job->cls->clean(job, job->state, st);
    pthread_mutex_lock(&job->lock);
    job->status = st;
    for (size_t i = 0; i < sizeof message; i++)
        job->message[i] = message[i];
    job->over = true;
    pthread_cond_broadcast(&job->ended);
    pthread_mutex_unlock(&job->lock);
}

static void *job_main(void *arg)
{
    struct vm_job *job = arg;
    work(job);
    vm__job_unref(job);
    return NULL;
}

static int begin(struct vm_job *job)
{
    pthread_mutex_lock(&job->lock);
    const bool before = job->started;
    job->started = true;
    pthread_mutex_unlock(&job->lock);
    return before ? vm__fail(VM_E_STATE, "the job has been started already") : VM_OK;
}

int vm__job_start(struct vm_job *job)
{
    pthread_t thread;
    int st = begin(job);
    if (st != VM_OK)
        return st;
    vm__job_ref(job);
    st = vm__thread_start(&thread, job_main, job, "vm-job");
    if (st == VM_OK) {
        pthread_detach(thread); /* it holds the job, and with it the context */
        return VM_OK;
    }
    job->started = false;
    vm__job_unref(job);
    return st;
}

int vm__job_run(struct vm_job *job)
{
    const int st = begin(job);
    if (st != VM_OK)
        return st;
    work(job);
    return vm__job_wait(job, -1);
}

bool vm__job_cancelled(const struct vm_job *job)
{
    return atomic_load_explicit(&job->cancelled, memory_order_relaxed);
}

void vm__job_total(struct vm_job *job, uint64_t total)
{
    atomic_store(&job->total, total);
}

void vm__job_done(struct vm_job *job, uint64_t more)
{
    atomic_fetch_add(&job->done, more);
}

void vm__job_progress(const struct vm_job *job, uint64_t *done, uint64_t *total)
{
    *total = atomic_load(&job->total);
    *done = atomic_load(&job->done);
    if (*done > *total)
        *done = *total;
}

void vm__job_cancel(struct vm_job *job)
{
    pthread_mutex_lock(&job->lock);
    atomic_store(&job->cancelled, true);
    pthread_cond_broadcast(&job->ended); /* one that idles */
    pthread_mutex_unlock(&job->lock);
}

void vm__job_idle(struct vm_job *job)
{
    pthread_mutex_lock(&job->lock);
    while (!vm__job_cancelled(job))
        pthread_cond_wait(&job->ended, &job->lock);
    pthread_mutex_unlock(&job->lock);
}

int vm__job_wait(struct vm_job *job, int64_t timeout_ns)
{
    struct timespec until = { 0 };
    int st = VM_OK;
    if (timeout_ns >= 0) {
        const uint64_t end = vm__host_ns() + (uint64_t)timeout_ns;
        until.tv_sec = (time_t)(end / 1000000000u);
        until.tv_nsec = (long)(end % 1000000000u);
    }
    pthread_mutex_lock(&job->lock);
    while (!job->over && st == VM_OK) {
        if (timeout_ns < 0)
            pthread_cond_wait(&job->ended, &job->lock);
        else if (pthread_cond_timedwait(&job->ended, &job->lock, &until) != 0)
            st = VM_E_TIMEOUT;
    }
    if (job->over)
        st = job->status;
    pthread_mutex_unlock(&job->lock);
    if (st == VM_E_TIMEOUT && !job->over)
        return vm__fail(st, "the job is still at work");
    return st >= VM_OK ? st : vm__fail(st, "%s", job->message);
}
