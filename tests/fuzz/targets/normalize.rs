#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| runnel_rpc::fuzzing::normalize_head(input));
