//! Hands the fuzzer's bytes to [`ropewalk_fuzz::chunks`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ropewalk_fuzz::chunks::run(data));
