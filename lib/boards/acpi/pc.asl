/* SPDX-License-Identifier: MIT */
/*
 * The fixed part of the pc board's ACPI namespace: i440FX host bridge, PIIX3 ISA bridge with its
 * interrupt router, and the parts behind it. What depends on the configuration (processors, PCI
 * windows and routing) is in an SSDT made by ssdt.c; the value of \DEVS is put in by tables.c.
 *
 * Spec: [ACPI-6.5 §19] ASL; [PIIX3 §2.2.10] PIRQ route control.
 * Integers are 32 bits wide (revision 1), as in the ACPI 1.0 systems that still read this.
 */
DefinitionBlock ("dsdt.aml", "DSDT", 1, "LIBVM ", "LIBVMPC ", 0x00000001)
{
    /* enum acpi_dev. A name of this table and not an External: that operation is new in ACPI 6, and
     * neither old systems nor SeaBIOS's reader of this table know it. */
    Name (\DEVS, 0x5AA5C33C)

    /* SLP_TYP 0 is soft off on a PIIX4. */
    Name (\_S5, Package () { 0, 0, 0, 0 })

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, 0)

            Device (ISA)
            {
                Name (_ADR, 0x00010000)
                OperationRegion (PIRQ, PCI_Config, 0x60, 4)
                Field (PIRQ, ByteAcc, NoLock, Preserve)
                {
                    PRQA, 8,
                    PRQB, 8,
                    PRQC, 8,
                    PRQD, 8
                }

                Device (PIC)
                {
                    Name (_HID, EisaId ("PNP0000"))
                    Name (_CRS, ResourceTemplate () {
                        IO (Decode16, 0x20, 0x20, 1, 2)
                        IO (Decode16, 0xA0, 0xA0, 1, 2)
                        IO (Decode16, 0x4D0, 0x4D0, 1, 2)
                        IRQNoFlags () { 2 }
                    })
                }

                Device (DMAC)
                {
                    Name (_HID, EisaId ("PNP0200"))
                    Name (_CRS, ResourceTemplate () {
                        IO (Decode16, 0x00, 0x00, 1, 0x10)
                        IO (Decode16, 0x81, 0x81, 1, 0x0F)
                        IO (Decode16, 0xC0, 0xC0, 1, 0x20)
                        DMA (Compatibility, NotBusMaster, Transfer8) { 4 }
                    })
                }

                Device (TIMR)
                {
                    Name (_HID, EisaId ("PNP0100"))
                    Name (_CRS, ResourceTemplate () {
                        IO (Decode16, 0x40, 0x40, 1, 4)
                        IRQNoFlags () { 0 }
                    })
                }

                Device (RTC)
                {
                    Name (_HID, EisaId ("PNP0B00"))
                    Name (_CRS, ResourceTemplate () {
                        IO (Decode16, 0x70, 0x70, 1, 8)
                        IRQNoFlags () { 8 }
                    })
                }

                Device (SPKR)
                {
                    Name (_HID, EisaId ("PNP0800"))
                    Name (_CRS, ResourceTemplate () {
                        IO (Decode16, 0x61, 0x61, 1, 1)
                    })
                }

                Device (FPU)
                {
                    Name (_HID, EisaId ("PNP0C04"))
                    Name (_CRS, ResourceTemplate () {
                        IO (Decode16, 0xF0, 0xF0, 1, 1)
                        IRQNoFlags () { 13 }
                    })
                }

                Device (KBD)
                {
                    Name (_HID, EisaId ("PNP0303"))
                    Method (_STA) { Return (DEVP (0x10)) }
                    Name (_CRS, ResourceTemplate () {
                        IO (Decode16, 0x60, 0x60, 1, 1)
                        IO (Decode16, 0x64, 0x64, 1, 1)
                        IRQNoFlags () { 1 }
                    })
                }

                Device (MOU)
                {
                    Name (_HID, EisaId ("PNP0F13"))
                    Method (_STA) { Return (DEVP (0x20)) }
                    Name (_CRS, ResourceTemplate () {
                        IRQNoFlags () { 12 }
                    })
                }

                Device (COM1)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 1)
                    Method (_STA) { Return (DEVP (0x01)) }
                    Name (_CRS, ResourceTemplate () {
                        IO (Decode16, 0x3F8, 0x3F8, 1, 8)
                        IRQNoFlags () { 4 }
                    })
                }

                Device (COM2)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 2)
                    Method (_STA) { Return (DEVP (0x02)) }
                    Name (_CRS, ResourceTemplate () {
                        IO (Decode16, 0x2F8, 0x2F8, 1, 8)
                        IRQNoFlags () { 3 }
                    })
                }

                Device (COM3)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 3)
                    Method (_STA) { Return (DEVP (0x04)) }
                    Name (_CRS, ResourceTemplate () {
                        IO (Decode16, 0x3E8, 0x3E8, 1, 8)
                        IRQNoFlags () { 4 }
                    })
                }

                Device (COM4)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 4)
                    Method (_STA) { Return (DEVP (0x08)) }
                    Name (_CRS, ResourceTemplate () {
                        IO (Decode16, 0x2E8, 0x2E8, 1, 8)
                        IRQNoFlags () { 3 }
                    })
                }

                Device (FDC0)
                {
                    Name (_HID, EisaId ("PNP0700"))
                    Method (_STA) { Return (DEVP (0x40)) }
                    Name (_CRS, ResourceTemplate () {
                        IO (Decode16, 0x3F2, 0x3F2, 1, 4)
                        IO (Decode16, 0x3F7, 0x3F7, 1, 1)
                        IRQNoFlags () { 6 }
                        DMA (Compatibility, NotBusMaster, Transfer8) { 2 }
                    })
                }

                Device (LPT)
                {
                    Name (_HID, EisaId ("PNP0401"))
                    Name (_CID, EisaId ("PNP0400"))
                    Method (_STA) { Return (DEVP (0x80)) }
                    Name (_CRS, ResourceTemplate () {
                        IO (Decode16, 0x378, 0x378, 1, 8)
                        IO (Decode16, 0x778, 0x778, 1, 3)
                        IRQNoFlags () { 7 }
                        DMA (Compatibility, NotBusMaster, Transfer8) { 3 }
                    })
                }

                Device (PEVT)
                {
                    Name (_HID, "QEMU0001")
                    Method (_STA) { Return (DEVP (0x200)) }
                    Name (_CRS, ResourceTemplate () {
                        IO (Decode16, 0x505, 0x505, 1, 1)
                    })
                }

                Device (FWCF)
                {
                    Name (_HID, "QEMU0002")
                    Method (_STA) { Return (DEVP (0x400)) }
                    Name (_CRS, ResourceTemplate () {
                        IO (Decode16, 0x510, 0x510, 1, 12)
                    })
                }
            }

            /* The hot-plug registers (lib/devices/pci/pci_hotplug.c). The slots, and the method of
             * the event, are in the SSDT. */
            OperationRegion (PHPR, SystemIO, 0xAE00, 0x10)
            Field (PHPR, DWordAcc, NoLock, WriteAsZeros)
            {
                PHUP, 32,
                PHDN, 32,
                PHEJ, 32
            }

            Method (PEJ0, 1, Serialized) { PHEJ = Arg0 }

            /* Ports of the chipset that no device above owns. */
            Device (MBRD)
            {
                Name (_HID, EisaId ("PNP0C02"))
                Name (_UID, 1)
                Name (_CRS, ResourceTemplate () {
                    IO (Decode16, 0x92, 0x92, 1, 1)
                    IO (Decode16, 0xB2, 0xB2, 1, 2)
                    IO (Decode16, 0x600, 0x600, 1, 0x40)
                    IO (Decode16, 0x700, 0x700, 1, 0x10)
                    IO (Decode16, 0xAE00, 0xAE00, 1, 0x10)
                    Memory32Fixed (ReadWrite, 0xFEC00000, 0x1000)
                    Memory32Fixed (ReadWrite, 0xFEE00000, 0x1000)
                })
            }
        }

        Device (HPET)
        {
            Name (_HID, EisaId ("PNP0103"))
            Name (_UID, 0)
            Method (_STA) { Return (DEVP (0x100)) }
            Name (_CRS, ResourceTemplate () {
                Memory32Fixed (ReadOnly, 0xFED00000, 0x400)
            })
        }

        /* _STA of a part that \DEVS may leave out. */
        Method (DEVP, 1)
        {
            If (\DEVS & Arg0) { Return (0x0F) }
            Return (0)
        }

        /*
         * The four interrupt links. A route register holds the ISA interrupt in its low bits; bit 7
         * disconnects the link. An extended interrupt descriptor has its number at byte 5. The same line reaches the 8259 and the IOAPIC pin of that number.
         */
        Name (PRSV, ResourceTemplate () {
            Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 5, 10, 11 }
        })

        Name (CRSV, ResourceTemplate () {
            Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 0 }
        })

        Method (LSTA, 1)
        {
            If (Arg0 & 0x80) { Return (0x09) }
            Return (0x0B)
        }

        Method (LCRS, 1, Serialized)
        {
            CreateDWordField (CRSV, 5, IRQN)
            If (Arg0 & 0x80) { IRQN = 0 }
            Else { IRQN = Arg0 & 0x0F }
            Return (CRSV)
        }

        Method (LSRS, 1, Serialized)
        {
            CreateDWordField (Arg0, 5, IRQN)
            Return (IRQN & 0x0F)
        }

        Device (LNKA)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 1)
            Method (_STA) { Return (LSTA (\_SB.PCI0.ISA.PRQA)) }
            Method (_DIS) { \_SB.PCI0.ISA.PRQA |= 0x80 }
            Method (_CRS) { Return (LCRS (\_SB.PCI0.ISA.PRQA)) }
            Method (_PRS) { Return (PRSV) }
            Method (_SRS, 1) { \_SB.PCI0.ISA.PRQA = LSRS (Arg0) }
        }

        Device (LNKB)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 2)
            Method (_STA) { Return (LSTA (\_SB.PCI0.ISA.PRQB)) }
            Method (_DIS) { \_SB.PCI0.ISA.PRQB |= 0x80 }
            Method (_CRS) { Return (LCRS (\_SB.PCI0.ISA.PRQB)) }
            Method (_PRS) { Return (PRSV) }
            Method (_SRS, 1) { \_SB.PCI0.ISA.PRQB = LSRS (Arg0) }
        }

        Device (LNKC)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 3)
            Method (_STA) { Return (LSTA (\_SB.PCI0.ISA.PRQC)) }
            Method (_DIS) { \_SB.PCI0.ISA.PRQC |= 0x80 }
            Method (_CRS) { Return (LCRS (\_SB.PCI0.ISA.PRQC)) }
            Method (_PRS) { Return (PRSV) }
            Method (_SRS, 1) { \_SB.PCI0.ISA.PRQC = LSRS (Arg0) }
        }

        Device (LNKD)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 4)
            Method (_STA) { Return (LSTA (\_SB.PCI0.ISA.PRQD)) }
            Method (_DIS) { \_SB.PCI0.ISA.PRQD |= 0x80 }
            Method (_CRS) { Return (LCRS (\_SB.PCI0.ISA.PRQD)) }
            Method (_PRS) { Return (PRSV) }
            Method (_SRS, 1) { \_SB.PCI0.ISA.PRQD = LSRS (Arg0) }
        }
    }
}
