#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bcs_common::fuzz::yaml(data));
