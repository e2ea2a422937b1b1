//! Hands the fuzzer's bytes to [`ropewalk_fuzz::response`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ropewalk_fuzz::response::run(data));
