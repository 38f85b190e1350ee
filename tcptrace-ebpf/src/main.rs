//! The kernel programs of tcptrace, one file a probe. They copy and submit; user space thinks.
#![no_std]
#![no_main]

mod accept;
mod classic;
mod deeds;
mod holders;
mod kernel;
mod python;
mod ring;
mod stacks;
mod transition;

/// The programs call GPL-only helpers.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
