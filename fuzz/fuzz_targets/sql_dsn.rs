#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bcs_sql::fuzz::dsn(data));
