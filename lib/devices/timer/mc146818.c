/* SPDX-License-Identifier: MIT */
/**
 * @file mc146818.c
 * Motorola MC146818A real-time clock with the 128 + 128 bytes of CMOS memory of a PIIX.
 *
 * Spec: [MC146818] Motorola ADI-856; [PIIX3 §2.5.7] for the ports and the extended bank.
 * Modelled: time in BCD or binary, 12 or 24 hours, SET, divider reset, update cycle with UIP,
 * periodic, alarm and update-ended interrupts, the century byte that ACPI names.
 * Not modelled: daylight saving (DSE), square wave pin, dividers for 4 and 1 MHz crystals.
 *
 * Nothing ticks: the time registers follow from the machine's clock when they are looked at, and a
 * timer runs only for an interrupt that is enabled and not pending yet.
 */
#include "devices/timer/mc146818.h"

#include "core/device.h"
#include "core/machine.h"

#define NEVER    UINT64_MAX
#define NS_PER_S UINT64_C(1000000000)

enum {
    SECONDS = 0x00,
    SECONDS_ALARM = 0x01,
    MINUTES = 0x02,
    MINUTES_ALARM = 0x03,
    HOURS = 0x04,
    HOURS_ALARM = 0x05,
    WEEKDAY = 0x06,
    DAY = 0x07,
    MONTH = 0x08,
    YEAR = 0x09,
    REG_A = 0x0a,
    REG_B = 0x0b,
    REG_C = 0x0c,
    REG_D = 0x0d,
    CENTURY = VM_CMOS_CENTURY,
    BANK = 128,

    A_UIP = 0x80,
    A_DV_RESET = 0x60, /* both upper divider bits: the chain is held in reset */
    B_SET = 0x80,
    B_PIE = 0x40,
    B_AIE = 0x20,
    B_UIE = 0x10,
    B_SQWE = 0x08,
    B_DM = 0x04, /* binary */
    B_24H = 0x02,
    C_IRQF = 0x80,
    C_PF = 0x40,
    C_AF = 0x20,
    C_UF = 0x10,
    D_VRT = 0x80, /* the battery is fine */
    HOUR_PM = 0x80,
    ALARM_ANY = 0xc0, /* an alarm byte from here on matches anything */

    XTAL_HZ = 32768,
    UIP_NS = 244000 + 1984000, /* lead and update cycle with a 32 kHz crystal: table 5 */
    RESTART_NS = 500000000,    /* first update after the divider was released */
    SECONDS_A_DAY = 86400,
    DAYS_TO_1970 = 719528, /* from 1 January of the year 0 */
};

struct mc146818 {
    uint8_t ram[2 * BANK];    /**< both banks; time registers as of .shown */
    uint8_t index, ext_index; /**< selected bytes */
    uint8_t nmi_masked;       /**< port 70h bit 7; kept, nothing here raises NMI */
    uint8_t weekday_shift;    /**< days the guest's WEEKDAY is ahead of the calendar's, 0…6 */
    uint64_t origin;          /**< seconds since year 0 at phase 0 of the machine's clock */
    uint64_t phase_ns;        /**< what the divider chain is ahead of the clock, below 1 s */
    uint64_t seen_s;          /**< the last second the flags were brought up to */
    uint64_t seen_period;     /**< the same for periodic ticks */
    struct vm_timer timer;    /**< the next enabled interrupt */
};

/* ---- calendar ----------------------------------------------------------------------------- */

/** Days from 1 January of the year 0 to that of year @p y, in the Gregorian calendar. */
static uint64_t days_before(uint64_t y)
{
    return 365 * y + (y + 3) / 4 - (y + 99) / 100 + (y + 399) / 400;
}

/** Days in the months before @p month (0…12) of year @p y. */
static uint32_t days_before_month(uint64_t y, uint32_t month)
{
    static const uint16_t sum[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365 };
    bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    return sum[month] + (leap && month > 1);
}

/** A byte as the DM bit says. */
static uint8_t encode(const struct mc146818 *s, uint32_t v)
{
    return (uint8_t)(s->ram[REG_B] & B_DM ? v : v / 10 << 4 | v % 10);
}

static uint32_t decode(const struct mc146818 *s, uint8_t v)
{
    return s->ram[REG_B] & B_DM ? v : (v >> 4) * 10u + (v & 15);
}

static uint8_t encode_hour(const struct mc146818 *s, uint32_t hour)
{
    if (s->ram[REG_B] & B_24H)
        return encode(s, hour);
    return encode(s, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static uint32_t decode_hour(const struct mc146818 *s, uint8_t v)
{
    if (s->ram[REG_B] & B_24H)
        return decode(s, v);
    return decode(s, v & 0x7f) % 12 + (v & HOUR_PM ? 12 : 0);
}

/** Show @p t, in seconds since year 0. */
static void show(struct mc146818 *s, uint64_t t)
{
    uint32_t in_day = (uint32_t)(t % SECONDS_A_DAY);
    uint64_t days = t / SECONDS_A_DAY, year = days * 400 / 146097;
    uint32_t month = 1;

    while (days_before(year) > days)
        year--;
    while (days_before(year + 1) <= days)
        year++;
    uint32_t in_year = (uint32_t)(days - days_before(year));
    while (days_before_month(year, month) <= in_year)
        month++;

    s->ram[SECONDS] = encode(s, in_day % 60);
    s->ram[MINUTES] = encode(s, in_day / 60 % 60);
    s->ram[HOURS] = encode_hour(s, in_day / 3600);
    s->ram[WEEKDAY] = encode(s, (uint32_t)((days + 6 + s->weekday_shift) % 7 + 1));
    s->ram[DAY] = encode(s, in_year - days_before_month(year, month - 1) + 1);
    s->ram[MONTH] = encode(s, month);
    s->ram[YEAR] = encode(s, (uint32_t)(year % 100));
    s->ram[CENTURY] = encode(s, (uint32_t)(year / 100 % 100));
}

/** What the registers show, in seconds since year 0. Odd values count on, as on the chip. */
static uint64_t shown(struct mc146818 *s)
{
    uint32_t month = decode(s, s->ram[MONTH]), day = decode(s, s->ram[DAY]);
    uint64_t year = decode(s, s->ram[CENTURY]) * 100 + decode(s, s->ram[YEAR]);

    month = month ? (month - 1) % 12 : 0;
    uint64_t days = days_before(year) + days_before_month(year, month) + (day ? day - 1 : 0);
    s->weekday_shift = (uint8_t)((decode(s, s->ram[WEEKDAY]) + 7 * 40 - 1 - (days + 6) % 7) % 7);
    return days * SECONDS_A_DAY + decode_hour(s, s->ram[HOURS]) * 3600 +
           decode(s, s->ram[MINUTES]) * 60 + decode(s, s->ram[SECONDS]);
}

/* ---- time --------------------------------------------------------------------------------- */

static bool is_running(const struct mc146818 *s)
{
    return !(s->ram[REG_B] & B_SET) && (s->ram[REG_A] & A_DV_RESET) != A_DV_RESET;
}

static uint64_t chain_ns(struct vm_dev *dev)
{
    const struct mc146818 *s = vm_dev_state(dev);
    return vm__dev_now(dev) + s->phase_ns;
}

static uint64_t current(struct vm_dev *dev)
{
    const struct mc146818 *s = vm_dev_state(dev);
    return s->origin + chain_ns(dev) / NS_PER_S;
}

/** The registers were written, or time goes on after SET: count on from what they show. */
static void restart(struct vm_dev *dev)
{
    struct mc146818 *s = vm_dev_state(dev);
    s->origin = shown(s) - chain_ns(dev) / NS_PER_S;
    s->seen_s = current(dev);
}

static bool in_update(struct vm_dev *dev)
{
    return is_running(vm_dev_state(dev)) && chain_ns(dev) % NS_PER_S >= NS_PER_S - UIP_NS;
}

/* ---- interrupts --------------------------------------------------------------------------- */

/** log2 of the crystal's cycles in a period, or 0: off. Rates 1 and 2 repeat 8 and 9. */
static unsigned period_shift(const struct mc146818 *s)
{
    unsigned rate = s->ram[REG_A] & 15;
    if (rate == 0 || (s->ram[REG_A] & A_DV_RESET) == A_DV_RESET)
        return 0;
    return rate < 3 ? rate + 6 : rate - 1;
}

static uint64_t periods(struct vm_dev *dev)
{
    return vm_muldiv(chain_ns(dev), XTAL_HZ, NS_PER_S) >> period_shift(vm_dev_state(dev));
}

static bool alarm_matches(uint8_t alarm, uint32_t decoded, uint32_t value)
{
    return alarm >= ALARM_ANY || decoded == value;
}

/** The first second after @p t that the alarm matches, or NEVER. */
static uint64_t next_alarm(const struct mc146818 *s, uint64_t t)
{
    const uint8_t *r = s->ram;
    uint32_t hour = decode_hour(s, r[HOURS_ALARM]);
    uint32_t minute = decode(s, r[MINUTES_ALARM]), second = decode(s, r[SECONDS_ALARM]);

    t++;
    for (int steps = 0; steps < 24 + 60 + 60 + 3; steps++) {
        if (!alarm_matches(r[HOURS_ALARM], hour, (uint32_t)(t / 3600 % 24)))
            t += 3600 - t % 3600;
        else if (!alarm_matches(r[MINUTES_ALARM], minute, (uint32_t)(t / 60 % 60)))
            t += 60 - t % 60;
        else if (!alarm_matches(r[SECONDS_ALARM], second, (uint32_t)(t % 60)))
            t++;
        else
            return t;
    }
    return NEVER;
}

/** Set the flags for what has happened since the last look. */
static void catch_up(struct vm_dev *dev)
{
    struct mc146818 *s = vm_dev_state(dev);

    if (period_shift(s) != 0) {
        uint64_t n = periods(dev);
        if (n != s->seen_period)
            s->ram[REG_C] |= C_PF;
        s->seen_period = n;
    }
    if (is_running(s)) {
        uint64_t t = current(dev);
        if (t > s->seen_s) {
            s->ram[REG_C] |= C_UF;
            if (next_alarm(s, s->seen_s) <= t)
                s->ram[REG_C] |= C_AF;
        }
        s->seen_s = t;
    }
}

static uint64_t second_to_ns(const struct mc146818 *s, uint64_t t)
{
    return (t - s->origin) * NS_PER_S - s->phase_ns;
}

static uint64_t next_event_ns(struct vm_dev *dev)
{
    const struct mc146818 *s = vm_dev_state(dev);
    uint8_t missing = s->ram[REG_B] & (uint8_t)~s->ram[REG_C] & (B_PIE | B_AIE | B_UIE);
    unsigned shift = period_shift(s);
    uint64_t at = NEVER;

    if ((missing & B_PIE) && shift != 0) {
        unsigned __int128 cycles = (unsigned __int128)(periods(dev) + 1) << shift;
        at = (uint64_t)((cycles * NS_PER_S + XTAL_HZ - 1) / XTAL_HZ) - s->phase_ns;
    }
    if (!is_running(s))
        return at;
    if (missing & B_UIE)
        at = vm_min_u64(at, second_to_ns(s, current(dev) + 1));
    if (missing & B_AIE) {
        uint64_t alarm = next_alarm(s, current(dev));
        if (alarm != NEVER)
            at = vm_min_u64(at, second_to_ns(s, alarm));
    }
    return at;
}

/** Drive IRQ 8 and wait for the next cause. The enable and flag bits have the same places. */
static void update_irq(struct vm_dev *dev)
{
    struct mc146818 *s = vm_dev_state(dev);
    bool irq = s->ram[REG_B] & s->ram[REG_C] & (B_PIE | B_AIE | B_UIE);

    s->ram[REG_C] = (s->ram[REG_C] & (uint8_t)~C_IRQF) | (irq ? C_IRQF : 0);
    vm__dev_irq(dev, 0, irq);
    uint64_t at = next_event_ns(dev);
    if (at == NEVER)
        vm__timer_cancel(&s->timer);
    else
        vm__timer_arm(&s->timer, at);
}

static void on_timer(void *opaque)
{
    catch_up(opaque);
    update_irq(opaque);
}

/* ---- registers ---------------------------------------------------------------------------- */

static bool is_time(uint8_t i)
{
    return i == SECONDS || i == MINUTES || i == HOURS || (i >= WEEKDAY && i <= YEAR) ||
           i == CENTURY;
}

static uint8_t read_byte(struct vm_dev *dev, uint8_t i)
{
    struct mc146818 *s = vm_dev_state(dev);
    uint8_t value;

    switch (i) {
    case REG_A:
        return s->ram[REG_A] | (in_update(dev) ? A_UIP : 0);
    case REG_C:
        catch_up(dev);
        update_irq(dev);
        value = s->ram[REG_C];
        s->ram[REG_C] = 0;
        update_irq(dev);
        return value;
    case REG_D:
        return D_VRT;
    default:
        if (is_time(i) && is_running(s))
            show(s, current(dev));
        return s->ram[i];
    }
}

static void write_a(struct vm_dev *dev, uint8_t v)
{
    struct mc146818 *s = vm_dev_state(dev);
    bool ran = is_running(s), held = (s->ram[REG_A] & A_DV_RESET) == A_DV_RESET;

    catch_up(dev);
    if (ran)
        show(s, current(dev));
    s->ram[REG_A] = v & 0x7f;
    if (held && (v & A_DV_RESET) != A_DV_RESET) {
        uint64_t in_second = vm__dev_now(dev) % NS_PER_S;
        s->phase_ns = (NS_PER_S + NS_PER_S - RESTART_NS - in_second) % NS_PER_S;
    }
    if (is_running(s) && !ran)
        restart(dev);
    s->seen_period = periods(dev);
}

static void write_b(struct vm_dev *dev, uint8_t v)
{
    struct mc146818 *s = vm_dev_state(dev);
    bool ran = is_running(s);

    catch_up(dev);
    if (ran)
        show(s, current(dev));
    if (v & B_SET)
        v &= (uint8_t)~B_UIE; /* SET clears UIE */
    s->ram[REG_B] = v;
    if (is_running(s) && !ran)
        restart(dev);
}

static void write_byte(struct vm_dev *dev, uint8_t i, uint8_t v)
{
    struct mc146818 *s = vm_dev_state(dev);

    switch (i) {
    case REG_A:
        write_a(dev, v);
        break;
    case REG_B:
        write_b(dev, v);
        break;
    case REG_C:
    case REG_D:
        return;
    default:
        if (i <= YEAR || i == CENTURY)
            catch_up(dev);
        if (is_time(i) && is_running(s)) {
            show(s, current(dev));
            s->ram[i] = v;
            restart(dev);
        } else {
            s->ram[i] = v;
        }
        if (i > YEAR && i != CENTURY)
            return;
        break;
    }
    update_irq(dev);
}

static uint64_t rtc_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    struct mc146818 *s = vm_dev_state(dev);
    (void)size;
    switch (off) {
    case 1:
        return read_byte(dev, s->index);
    case 3:
        return s->ram[BANK + s->ext_index];
    default:
        return 0xff; /* index ports are write only */
    }
}

static void rtc_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct mc146818 *s = vm_dev_state(dev);
    (void)size;
    switch (off) {
    case 0:
        s->index = v & 0x7f;
        s->nmi_masked = v >> 7 & 1;
        break;
    case 1:
        write_byte(dev, s->index, (uint8_t)v);
        break;
    case 2:
        s->ext_index = v & 0x7f;
        break;
    default:
        s->ram[BANK + s->ext_index] = (uint8_t)v;
        break;
    }
}

/* ---- for boards --------------------------------------------------------------------------- */

uint8_t vm__mc146818_cmos(struct vm_dev *dev, uint8_t index)
{
    const struct mc146818 *s = vm_dev_state(dev);
    return s->ram[index];
}

void vm__mc146818_set_cmos(struct vm_dev *dev, uint8_t index, uint8_t value)
{
    struct mc146818 *s = vm_dev_state(dev);
    if (index > REG_D)
        s->ram[index] = value;
}

void vm__mc146818_set_memory(struct vm_dev *dev, uint64_t below_4g, uint64_t above_4g)
{
    struct mc146818 *s = vm_dev_state(dev);
    uint64_t ext = below_4g > 1 << 20 ? (below_4g - (1 << 20)) >> 10 : 0;
    uint64_t above_16m = below_4g > 16 << 20 ? (below_4g - (16 << 20)) >> 16 : 0;
    uint64_t above = vm_min_u64(above_4g >> 16, 0xffffff);

    vm_put_le16(&s->ram[VM_CMOS_BASE_KB], (uint16_t)vm_min_u64(below_4g >> 10, 640));
    vm_put_le16(&s->ram[VM_CMOS_EXT_KB], (uint16_t)vm_min_u64(ext, 0xffff));
    vm_put_le16(&s->ram[VM_CMOS_EXT_KB_2], (uint16_t)vm_min_u64(ext, 0xffff));
    vm_put_le16(&s->ram[VM_CMOS_ABOVE_16M], (uint16_t)vm_min_u64(above_16m, 0xffff));
    vm_put_le_n(&s->ram[VM_CMOS_ABOVE_4G], 3, above);
}

/* ---- life --------------------------------------------------------------------------------- */

static int rtc_realize(struct vm_dev *dev)
{
    struct mc146818 *s = vm_dev_state(dev);
    s->ram[REG_A] = 0x26; /* 32 kHz crystal, 1024 Hz: what every BIOS leaves */
    s->ram[REG_B] = B_24H;
    s->origin = vm__machine_epoch(dev->m) + (uint64_t)DAYS_TO_1970 * SECONDS_A_DAY;
    s->seen_s = s->origin;
    show(s, s->origin);
    vm__dev_timer(dev, &s->timer, on_timer);
    int st = vm__dev_line(dev, 0, 8); /* unless the board leads it through the HPET */
    return st == VM_OK ? vm__dev_map(dev, 0, 0x70) : st;
}

/** The battery keeps time and memory; RESET# clears enables and flags. */
static void rtc_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct mc146818 *s = vm_dev_state(dev);
    (void)kind;
    s->ram[REG_B] &= (uint8_t) ~(B_PIE | B_AIE | B_UIE | B_SQWE);
    s->ram[REG_C] = 0;
    s->index = 0;
    s->ext_index = 0;
    s->nmi_masked = 0;
    update_irq(dev);
}

static int rtc_post_load(struct vm_dev *dev)
{
    const struct mc146818 *s = vm_dev_state(dev);
    if (s->phase_ns >= NS_PER_S || s->index >= BANK || s->ext_index >= BANK || s->weekday_shift > 6)
        return vm__fail(VM_E_CORRUPT, "real-time clock state out of range");
    return VM_OK;
}

static const struct vm_window windows[] = {
    { "rtc", VM_SPACE_PORT, 4, 1, 1, .read = rtc_read, .write = rtc_write },
    { 0 },
};

static const struct vm_field fields[] = {
    VM_FIELD_BYTES(mc146818, ram, 1),
    VM_FIELD(mc146818, index, 1),
    VM_FIELD(mc146818, ext_index, 1),
    VM_FIELD(mc146818, nmi_masked, 1),
    VM_FIELD(mc146818, weekday_shift, 1),
    VM_FIELD(mc146818, origin, 1),
    VM_FIELD(mc146818, phase_ns, 1),
    VM_FIELD(mc146818, seen_s, 1),
    VM_FIELD(mc146818, seen_period, 1),
    VM_FIELD_TIMER(mc146818, timer, 1),
    { 0 },
};

const struct vm_dev_class vm__mc146818_class = {
    .name = "mc146818",
    .summary = "real-time clock with CMOS memory",
    .spec = "Motorola ADI-856",
    .state_size = sizeof(struct mc146818),
    .windows = windows,
    .fields = fields,
    .realize = rtc_realize,
    .reset = rtc_reset,
    .post_load = rtc_post_load,
};
