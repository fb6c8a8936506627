//! Any text is a seccomp profile or refused; what is compiled the kernel would take, by the rules
//! of its `bpf_check_classic` and `seccomp_check_filter`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skiff_runtime::seccomp::{compile, profile_from_json};

/// Size of `struct seccomp_data`.
const DATA: u32 = 64;

fuzz_target!(|text: &str| {
    let caps = ["CAP_SYS_ADMIN".to_owned(), "CAP_CHOWN".to_owned()];
    let Ok(Some(profile)) = profile_from_json(text, &caps) else { return };
    let Ok(filter) = compile(&profile) else { return };
    let (program, odd) = filter.program.as_chunks::<8>();
    assert!(odd.is_empty() && (1..=4096).contains(&program.len()));
    for (index, instruction) in program.iter().enumerate() {
        let [code_0, code_1, if_true, if_false, operand @ ..] = *instruction;
        let operand = u32::from_ne_bytes(operand);
        let left = program.len() - index - 1;
        match u16::from_ne_bytes([code_0, code_1]) {
            // Load, and, jump, conditional jumps, return.
            0x20 => assert!(operand.is_multiple_of(4) && operand < DATA),
            0x54 => {}
            0x05 => assert!((operand as usize) < left),
            0x15 | 0x25 | 0x35 => assert!(usize::from(if_true.max(if_false)) < left),
            0x06 => continue,
            other => panic!("unknown instruction {other:#x}"),
        }
        assert!(left > 0, "the program does not end with a return");
    }
});
