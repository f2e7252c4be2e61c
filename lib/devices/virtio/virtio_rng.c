/* SPDX-License-Identifier: MIT */
/**
 * @file virtio_rng.c
 * virtio entropy device: random bytes for the guest.
 *
 * Spec: [VIRTIO-1.2 §5.4]. The bytes are the machine's: the host's random numbers, or repeatable
 * ones where the machine is. A buffer gets at most 64 KiB; "max-bytes" in every "period" of
 * milliseconds bounds what the guest takes from the host.
 */
#include "core/machine.h"
#include "devices/virtio/virtio.h"

enum { AT_ONCE = 4096, MOST = 65536, QUEUE_SIZE = 64 };

#define NS_PER_MS UINT64_C(1000000)

struct virtio_rng {
    struct virtio v;
    uint64_t left; /**< bytes of this period; saved */
    struct vm_timer timer;
    uint64_t max_bytes; /* properties */
    uint32_t period_ms;
    struct virtq_chain chain;
};

static bool is_bounded(const struct virtio_rng *s)
{
    return s->max_bytes != 0;
}

/** Fill up to @p len bytes. @return bytes written */
static uint32_t fill(struct vm_dev *dev, struct virtq *q, uint64_t len)
{
    struct virtio_rng *s = vm_dev_state(dev);
    uint8_t bytes[AT_ONCE];
    uint64_t done = 0;
    len = vm_min_u64(len, is_bounded(s) ? vm_min_u64(s->left, MOST) : MOST);
    while (done < len) {
        const size_t n = (size_t)vm_min_u64(len - done, sizeof bytes);
        vm__machine_random(dev->m, bytes, n);
        const size_t put = vm__virtq_write(q, &s->chain, done, bytes, n);
        done += put;
        if (put < n)
            break;
    }
    if (is_bounded(s))
        s->left -= done;
    return (uint32_t)done;
}

static bool may_go_on(const struct virtio_rng *s, uint32_t served)
{
    return served < s->v.queue[0].size && !(is_bounded(s) && s->left == 0);
}

/** Serve the queue, at most once round: a driver that keeps adding must not hold us here. What is
 *  left, or beyond the bound, waits for the timer. */
static void rng_notify(struct vm_dev *dev, struct virtq *q)
{
    struct virtio_rng *s = vm_dev_state(dev);
    uint32_t n = 0;
    do {
        for (; may_go_on(s, n) && vm__virtq_pop(q, &s->chain); n++) {
            if (s->chain.in_len == 0)
                vm__virtio_fail(&s->v, "a buffer for random bytes that cannot be written");
            vm__virtq_push(q, &s->chain, fill(dev, q, s->chain.in_len));
        }
    } while (may_go_on(s, n) && vm__virtq_want_notify(q, true));
    vm__virtq_signal(q);
    if (!vm__timer_armed(&s->timer) &&
        (!may_go_on(s, n) || (is_bounded(s) && s->left < s->max_bytes)))
        vm__timer_arm(&s->timer, vm__dev_now(dev) + (is_bounded(s) ? s->period_ms * NS_PER_MS : 0));
}

static void on_period(void *opaque)
{
    struct vm_dev *dev = opaque;
    struct virtio_rng *s = vm_dev_state(dev);
    s->left = s->max_bytes;
    rng_notify(dev, &s->v.queue[0]);
}

static int rng_realize(struct vm_dev *dev)
{
    struct virtio_rng *s = vm_dev_state(dev);
    vm__dev_timer(dev, &s->timer, on_period);
    if (is_bounded(s) && s->period_ms == 0)
        return vm__fail(VM_E_INVAL, "period=0: milliseconds are needed with max-bytes");
    return vm__virtio_realize(dev, 0, 1, QUEUE_SIZE);
}

static void rng_unrealize(struct vm_dev *dev)
{
    struct virtio_rng *s = vm_dev_state(dev);
    vm__virtq_chain_free(&s->chain);
}

static void rng_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct virtio_rng *s = vm_dev_state(dev);
    vm__virtio_reset(dev, kind);
    vm__timer_cancel(&s->timer);
    s->left = s->max_bytes;
}

static int rng_post_load(struct vm_dev *dev)
{
    struct virtio_rng *s = vm_dev_state(dev);
    s->left = vm_min_u64(s->left, s->max_bytes);
    return vm__virtio_post_load(dev);
}

static const struct virtio_class rng = { .type = 4, .notify = rng_notify };

static const struct vm_pci_function function = VM_VIRTIO_FUNCTION(0x1005, 4, 0x00ff00);

static const struct vm_prop props[] = {
    VM_VIRTIO_PROPS(virtio_rng),
    { "max-bytes", VM_PROP_SIZE(virtio_rng, max_bytes), .help = "bytes in a period; 0: no bound" },
    { "period", VM_PROP_UINT(virtio_rng, period_ms), .value = "1000", .help = "milliseconds" },
    { 0 },
};

static const struct vm_field fields[] = {
    VM_VIRTIO_FIELD(virtio_rng),
    VM_FIELD(virtio_rng, left, 1),
    VM_FIELD_TIMER(virtio_rng, timer, 1),
    { 0 },
};

const struct vm_dev_class vm__virtio_rng_class = {
    .name = "virtio-rng-pci",
    .summary = "virtio entropy device",
    .spec = "OASIS virtio 1.2 §5.4",
    .bus = VM_BUS_PCI,
    .state_size = sizeof(struct virtio_rng),
    .windows = vm__virtio_windows,
    .props = props,
    .fields = fields,
    .realize = rng_realize,
    .unrealize = rng_unrealize,
    .reset = rng_reset,
    .post_load = rng_post_load,
    .pci = &function,
    .extra = &rng,
};
