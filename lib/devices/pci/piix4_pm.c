/* SPDX-License-Identifier: MIT */
/**
 * @file piix4_pm.c
 * Intel 82371AB (PIIX4) function 3: ACPI power management, APM control ports, SMBus host.
 *
 * Spec: [PIIX4] Intel 290562-001 §7; [ACPI-6.5 §4.8] for the fixed hardware registers.
 * Modelled: PM1 status, enable and control with SCI, the 24-bit PM timer, general purpose events,
 * APM ports B2h and B3h with the SMI they raise, an SMBus without devices,
 * soft off, suspend to RAM until the power button, the clock or an enabled event wakes it.
 * Not modelled: device monitors, clock control, thermal pins; power-on suspend wakes up at once.
 *
 * The ACPI enable and disable commands in port B2h are answered here, as well as by SMI: a guest
 * without firmware gets its SCI too.
 */
#include "devices/pci/piix4_pm.h"

#include "core/machine.h"
#include "devices/pci/pci.h"

#define PM_HZ    UINT64_C(3579545)
#define NS_PER_S UINT64_C(1000000000)

enum {
    PMBASE = 0x40, /* configuration */
    DEVACTB = 0x58,
    PMREGMISC = 0x80,
    SMBBASE = 0x90,
    SMBHSTCFG = 0xd2,
    PMIOSE = 0x01,
    APMC_EN = 0x02, /* of DEVACTB byte 3 */
    SMB_HST_EN = 0x01,

    PM_STS = 0x00, /* I/O space */
    PM_EN = 0x02,
    PM_CNT = 0x04,
    PM_TMR = 0x08,
    GP_STS = 0x0c,
    GP_EN = 0x0e,
    GLB_STS = 0x18,
    GLB_EN = 0x20,
    GLB_CTL = 0x28,
    DEV_CTL = 0x2c,
    GP_IN = 0x30,
    GP_OUT = 0x34,
    PM_SIZE = 0x40,

    TMR_STS = 0x0001,
    BM_STS = 0x0010,
    GBL_STS = 0x0020,
    PWRBTN_STS = 0x0100,
    RTC_STS = 0x0400,
    WAK_STS = 0x8000,
    STS_W1C = TMR_STS | BM_STS | GBL_STS | PWRBTN_STS | RTC_STS | WAK_STS,
    EN_WRITABLE = TMR_STS | GBL_STS | PWRBTN_STS | RTC_STS,

    CNT_SCI_EN = 0x0001,
    CNT_SLP_EN = 0x2000,
    CNT_WRITABLE = 0x1c03,
    TYP_SOFT_OFF = 0, /* and suspend to disk: power is off either way */
    TYP_TO_RAM = 1,
    TYP_DISK = 2, /* what firmware for this chipset uses for S4 */

    SMB_HST_STS = 0,
    SMB_HST_CNT = 2,
    SMB_START = 0x40,
    SMB_KILL = 0x02,
    SMB_DEV_ERR = 0x04,
    SMB_FAILED = 0x10,
    SMB_SIZE = 16,
    SMB_STS_W1C = 0x1e,

    WINDOW_PM = 0,
    WINDOW_SMB = 1,
    WINDOW_APM = 2,
};

struct piix4_pm {
    struct vm_pci pci;
    uint8_t acpi_enable, acpi_disable; /**< properties: commands to port B2h */
    bool acpi_only;                    /**< property: SCI_EN is set from reset on */
    bool can_suspend;                  /**< property: firmware can wake the machine from S3 */
    uint8_t asleep;                    /**< in S3 */

    uint16_t sts, en, cnt;
    uint16_t gp_sts, gp_en;
    uint32_t glb_en, glb_ctl, dev_ctl, gp_out;
    uint8_t apmc, apms;        /**< ports B2h, B3h */
    uint8_t smb[SMB_SIZE];     /**< SMBus host registers */
    uint8_t rtc;               /**< level of the RTC's interrupt */
    uint16_t gpe;              /**< levels of the event inputs */
    uint64_t half;             /**< half turns of the PM timer noted in TMR_STS */
    struct vm_timer tmr_timer; /**< the next one */
};

/* ---- PM timer ----------------------------------------------------------------------------- */

static uint64_t pm_ticks(struct vm_dev *dev)
{
    return vm_muldiv(vm__dev_now(dev), PM_HZ, NS_PER_S);
}

/** TMR_STS is set whenever bit 23 changes. */
static void catch_up(struct vm_dev *dev)
{
    struct piix4_pm *s = vm_dev_state(dev);
    uint64_t half = pm_ticks(dev) >> 23;
    if (half != s->half)
        s->sts |= TMR_STS;
    s->half = half;
}

static void drive_sci(struct vm_dev *dev)
{
    const struct piix4_pm *s = vm_dev_state(dev);
    bool event = (s->sts & s->en & EN_WRITABLE) || (s->gp_sts & s->gp_en);
    vm__dev_irq(dev, 0, event && (s->cnt & CNT_SCI_EN));
}

static void update(struct vm_dev *dev)
{
    struct piix4_pm *s = vm_dev_state(dev);
    catch_up(dev);
    drive_sci(dev);
    if ((s->en & TMR_STS) && !(s->sts & TMR_STS)) {
        unsigned __int128 ticks = (unsigned __int128)(s->half + 1) << 23;
        vm__timer_arm(&s->tmr_timer, (uint64_t)(ticks * NS_PER_S / PM_HZ) + 1);
    } else {
        vm__timer_cancel(&s->tmr_timer);
    }
}

static void on_timer(void *opaque)
{
    update(opaque);
}

/** [PIIX4 §8.3.2] what ends a suspend: the button always, the others when enabled. */
static void wake_up(struct vm_dev *dev)
{
    struct piix4_pm *s = vm_dev_state(dev);
    if (!s->asleep ||
        !((s->sts & PWRBTN_STS) || (s->sts & s->en & RTC_STS) || (s->gp_sts & s->gp_en)))
        return;
    s->asleep = 0;
    s->sts |= WAK_STS;
    vm__request_reset(dev->m, VM_DEV_RESET_WAKE);
}

/* ---- PM1 ---------------------------------------------------------------------------------- */

static void sleep_now(struct vm_dev *dev, unsigned type)
{
    struct piix4_pm *s = vm_dev_state(dev);
    if (type == TYP_SOFT_OFF || type == TYP_DISK) {
        vm__request_shutdown(dev->m, 0);
        return;
    }
    if (type == TYP_TO_RAM && s->can_suspend && dev->m->irq_hub.sleep != NULL) {
        s->asleep = 1;
        dev->m->irq_hub.sleep(dev->m->irq_hub.cpus);
        wake_up(dev);
        return;
    }
    vm__dev_log(dev, VM_LOG_INFO, VM_LOG_UNIMP, "sleep type %u: awake again", type);
    s->sts |= WAK_STS;
}

static void write_cnt(struct vm_dev *dev, uint16_t v)
{
    struct piix4_pm *s = vm_dev_state(dev);
    s->cnt = (uint16_t)(v & CNT_WRITABLE) | (s->acpi_only ? CNT_SCI_EN : 0);
    if (v & CNT_SLP_EN)
        sleep_now(dev, v >> 10 & 7);
}

/** The registers as one file of bytes, so that any width works. */
static void gather(struct vm_dev *dev, uint8_t *file)
{
    const struct piix4_pm *s = vm_dev_state(dev);
    memset(file, 0, PM_SIZE);
    vm_put_le16(&file[PM_STS], s->sts);
    vm_put_le16(&file[PM_EN], s->en);
    vm_put_le16(&file[PM_CNT], s->cnt);
    vm_put_le32(&file[PM_TMR], (uint32_t)(pm_ticks(dev) & 0xffffff));
    vm_put_le16(&file[GP_STS], s->gp_sts);
    vm_put_le16(&file[GP_EN], s->gp_en);
    vm_put_le32(&file[GLB_EN], s->glb_en);
    vm_put_le32(&file[GLB_CTL], s->glb_ctl);
    vm_put_le32(&file[DEV_CTL], s->dev_ctl);
    vm_put_le32(&file[GP_OUT], s->gp_out);
}

static uint64_t pm_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    uint8_t file[PM_SIZE + 4];
    catch_up(dev);
    gather(dev, file);
    return vm_le_n(&file[off], off + size <= PM_SIZE ? size : 1);
}

static bool wrote(uint64_t off, unsigned size, uint32_t reg, uint32_t len)
{
    return off < reg + len && reg < off + size;
}

static void pm_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct piix4_pm *s = vm_dev_state(dev);
    uint8_t file[PM_SIZE + 4], ones[PM_SIZE + 4] = { 0 };

    if (off + size > PM_SIZE)
        return;
    catch_up(dev);
    gather(dev, file);
    vm_put_le_n(&file[off], size, v);
    vm_put_le_n(&ones[off], size, v);
    s->sts &= (uint16_t) ~(vm_le16(&ones[PM_STS]) & STS_W1C);
    s->gp_sts &= (uint16_t)~vm_le16(&ones[GP_STS]);
    s->en = vm_le16(&file[PM_EN]) & EN_WRITABLE;
    s->gp_en = vm_le16(&file[GP_EN]);
    s->glb_en = vm_le32(&file[GLB_EN]);
    s->glb_ctl = vm_le32(&file[GLB_CTL]);
    s->dev_ctl = vm_le32(&file[DEV_CTL]);
    s->gp_out = vm_le32(&file[GP_OUT]);
    if (wrote(off, size, PM_CNT, 2))
        write_cnt(dev, vm_le16(&file[PM_CNT]));
    update(dev);
}

/* ---- events ------------------------------------------------------------------------------- */

void vm__piix4_pm_power_button(struct vm_dev *dev)
{
    struct piix4_pm *s = vm_dev_state(dev);
    s->sts |= PWRBTN_STS;
    update(dev);
    wake_up(dev);
}

static void pm_irq_in(struct vm_dev *dev, uint32_t pin, int level)
{
    struct piix4_pm *s = vm_dev_state(dev);
    if (pin == PIIX4_PM_RTC) {
        if (level && !s->rtc)
            s->sts |= RTC_STS;
        s->rtc = level != 0;
    } else {
        uint16_t bit = (uint16_t)(1u << pin);
        if (level && !(s->gpe & bit))
            s->gp_sts |= bit;
        s->gpe = level ? s->gpe | bit : s->gpe & (uint16_t)~bit;
    }
    update(dev);
    wake_up(dev);
}

/* ---- APM ---------------------------------------------------------------------------------- */

static uint64_t apm_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    const struct piix4_pm *s = vm_dev_state(dev);
    (void)size;
    return off == 0 ? s->apmc : s->apms;
}

/** Firmware's SMI handler sees the command; SCI_EN is switched here in any case. */
static void apm_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct piix4_pm *s = vm_dev_state(dev);
    const struct vm_irq_hub *hub = &dev->m->irq_hub;
    (void)size;

    if (off != 0) {
        s->apms = (uint8_t)v;
        return;
    }
    s->apmc = (uint8_t)v;
    if (s->apmc == s->acpi_enable)
        s->cnt |= CNT_SCI_EN;
    else if (s->apmc == s->acpi_disable && !s->acpi_only)
        s->cnt &= (uint16_t)~CNT_SCI_EN;
    update(dev);
    if ((s->pci.config[DEVACTB + 3] & APMC_EN) && hub->smi != NULL)
        hub->smi(hub->cpus);
}

/* ---- SMBus: a host with nobody to talk to ------------------------------------------------- */

static uint64_t smb_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    const struct piix4_pm *s = vm_dev_state(dev);
    (void)size;
    return s->smb[off];
}

static void smb_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct piix4_pm *s = vm_dev_state(dev);
    (void)size;
    switch (off) {
    case SMB_HST_STS:
        s->smb[SMB_HST_STS] &= (uint8_t) ~(v & SMB_STS_W1C);
        break;
    case SMB_HST_CNT:
        s->smb[SMB_HST_CNT] = v & 0x1f;
        if (v & SMB_KILL)
            s->smb[SMB_HST_STS] |= SMB_FAILED;
        else if (v & SMB_START)
            s->smb[SMB_HST_STS] |= SMB_DEV_ERR;
        break;
    default:
        s->smb[off] = (uint8_t)v;
        break;
    }
}

/* ---- configuration ------------------------------------------------------------------------ */

static void place(struct vm_dev *dev, uint32_t window, uint32_t base, uint32_t size, bool on)
{
    base &= 0xffff & ~(size - 1);
    if (on && base != 0)
        (void)vm__dev_map_at(dev, window, base, VM_PRIO_DEVICE);
    else
        vm__dev_enable(dev, window, false);
}

static void place_windows(struct vm_dev *dev)
{
    const uint8_t *c = vm__pci(dev)->config;
    place(dev, WINDOW_PM, vm_le16(&c[PMBASE]), PM_SIZE, c[PMREGMISC] & PMIOSE);
    place(dev, WINDOW_SMB, vm_le16(&c[SMBBASE]), SMB_SIZE,
          (c[SMBHSTCFG] & SMB_HST_EN) && (c[PCI_COMMAND] & PCI_COMMAND_IO));
}

static void config_written(struct vm_dev *dev, uint32_t off, uint32_t size)
{
    if (wrote(off, size, PMBASE, 4) || wrote(off, size, PMREGMISC, 1) ||
        wrote(off, size, SMBBASE, 4) || wrote(off, size, SMBHSTCFG, 1) ||
        wrote(off, size, PCI_COMMAND, 2))
        place_windows(dev);
}

void vm__piix4_pm_place(struct vm_dev *dev, uint16_t base)
{
    vm__pci_config_write(dev, PMBASE, 4, base);
    vm__pci_config_write(dev, PMREGMISC, 1, PMIOSE);
}

/* ---- life --------------------------------------------------------------------------------- */

static int pm_realize(struct vm_dev *dev)
{
    struct piix4_pm *s = vm_dev_state(dev);
    /* clang-format off */
    static const struct { uint8_t off, size; uint32_t reset, writable; } rows[] = {
        { PMBASE, 4, 0x00000001, 0x0000ffc0 },
        { 0x44, 4, 0, 0xffffffff },            /* CNTA */
        { 0x48, 4, 0, 0xffffffff },            /* CNTB */
        { 0x4c, 4, 0, 0xffffffff },            /* GPICTL */
        { 0x50, 4, 0, 0xffffffff },            /* DEVRESD */
        { 0x54, 4, 0, 0xffffffff },            /* DEVACTA */
        { DEVACTB, 4, 0, 0xffffffff },
        { 0x5c, 4, 0, 0xffffffff },            /* DEVRESA … J */
        { 0x60, 4, 0, 0xffffffff }, { 0x64, 4, 0, 0xffffffff }, { 0x68, 4, 0, 0xffffffff },
        { 0x6c, 4, 0, 0xffffffff }, { 0x70, 4, 0, 0xffffffff }, { 0x74, 4, 0, 0xffffffff },
        { 0x78, 4, 0, 0xffffffff }, { 0x7c, 4, 0, 0xffffffff },
        { PMREGMISC, 1, 0x00, 0x01 },
        { SMBBASE, 4, 0x00000001, 0x0000fff0 },
        { SMBHSTCFG, 1, 0x00, 0x0f },
        { 0xd3, 1, 0, 0xff }, { 0xd4, 1, 0, 0xff }, { 0xd5, 1, 0, 0xff }, /* SMBus slave */
    };
    /* clang-format on */
    for (unsigned i = 0; i < VM_COUNT_OF(rows); i++) {
        vm__pci_initial(dev, rows[i].off, rows[i].size, rows[i].reset);
        vm__pci_writable(dev, rows[i].off, rows[i].size, rows[i].writable);
    }
    vm__pci_initial(dev, PCI_STATUS, 2, 0x0280);
    vm__pci_writable(dev, PCI_COMMAND, 2, PCI_COMMAND_IO);
    vm__pci_initial(dev, PCI_INTERRUPT_LINE, 1, 9); /* SCI is hard-wired */
    vm__dev_timer(dev, &s->tmr_timer, on_timer);
    int st = vm__dev_line(dev, 0, 9);
    return st == VM_OK ? vm__dev_map(dev, WINDOW_APM, 0xb2) : st;
}

static void pm_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct piix4_pm *s = vm_dev_state(dev);
    if (kind != VM_DEV_RESET_WAKE) /* the resume well kept its power */
        s->sts = s->en = s->gp_sts = s->gp_en = 0;
    s->asleep = 0;
    s->cnt = s->acpi_only ? CNT_SCI_EN : 0;
    s->glb_en = s->glb_ctl = s->dev_ctl = s->gp_out = 0;
    s->apmc = s->apms = 0;
    memset(s->smb, 0, sizeof s->smb);
    s->half = pm_ticks(dev) >> 23;
    place_windows(dev);
    update(dev);
}

static int pm_post_load(struct vm_dev *dev)
{
    int st = vm__pci_post_load(dev);
    place_windows(dev);
    drive_sci(dev);
    return st;
}

static const struct vm_pci_function function = {
    .vendor = 0x8086,
    .device = 0x7113,
    .revision = 3,
    .class_code = 0x068000,
    .pin = 1,
    .config_written = config_written,
};

static const struct vm_window windows[] = {
    { "pm", VM_SPACE_PORT, PM_SIZE, 1, 4, .read = pm_read, .write = pm_write },
    { "smbus", VM_SPACE_PORT, SMB_SIZE, 1, 1, .read = smb_read, .write = smb_write },
    { "apm", VM_SPACE_PORT, 2, 1, 1, .read = apm_read, .write = apm_write },
    { 0 },
};

/* clang-format off */
static const struct vm_prop props[] = {
    { "acpi-enable", "command to port 0xb2 that switches SCI on", VM_PROP_UINT(piix4_pm, acpi_enable), .value = "0xf1" },
    { "acpi-disable", "command that switches it off", VM_PROP_UINT(piix4_pm, acpi_disable), .value = "0xf0" },
    { "s3", "suspend to RAM can be entered", VM_PROP_BOOL(piix4_pm, can_suspend) },
    { "acpi-only", "SCI is on from reset on", VM_PROP_BOOL(piix4_pm, acpi_only) },
    { 0 },
};
/* clang-format on */

static const struct vm_field fields[] = {
    VM_PCI_FIELD(piix4_pm),
    VM_FIELD(piix4_pm, sts, 1),
    VM_FIELD(piix4_pm, en, 1),
    VM_FIELD(piix4_pm, cnt, 1),
    VM_FIELD(piix4_pm, gp_sts, 1),
    VM_FIELD(piix4_pm, gp_en, 1),
    VM_FIELD(piix4_pm, glb_en, 1),
    VM_FIELD(piix4_pm, glb_ctl, 1),
    VM_FIELD(piix4_pm, dev_ctl, 1),
    VM_FIELD(piix4_pm, gp_out, 1),
    VM_FIELD(piix4_pm, apmc, 1),
    VM_FIELD(piix4_pm, apms, 1),
    VM_FIELD_BYTES(piix4_pm, smb, 1),
    VM_FIELD(piix4_pm, rtc, 1),
    VM_FIELD(piix4_pm, gpe, 1),
    VM_FIELD(piix4_pm, half, 1),
    VM_FIELD(piix4_pm, asleep, 1),
    VM_FIELD_TIMER(piix4_pm, tmr_timer, 1),
    { 0 },
};

const struct vm_dev_class vm__piix4_pm_class = {
    .name = "piix4_pm",
    .summary = "82371AB power management",
    .spec = "Intel 290562-001",
    .state_size = sizeof(struct piix4_pm),
    .windows = windows,
    .props = props,
    .fields = fields,
    .n_irq_in = PIIX4_PM_INPUTS,
    .realize = pm_realize,
    .reset = pm_reset,
    .irq_in = pm_irq_in,
    .post_load = pm_post_load,
    .pci = &function,
};
