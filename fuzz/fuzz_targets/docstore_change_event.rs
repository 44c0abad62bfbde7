#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bcs_docstore::fuzz::change_event(data));
