#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bcs_tunnel::fuzz::frame(data));
