#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bcs_cluster_manager::fuzz::quota(data));
