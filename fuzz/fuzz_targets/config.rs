//! Hands the fuzzer's bytes to [`ropewalk_fuzz::config`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ropewalk_fuzz::config::run(data));
