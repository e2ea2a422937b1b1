//! Hands the fuzzer's bytes to [`ropewalk_fuzz::request_head`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ropewalk_fuzz::request_head::run(data));
