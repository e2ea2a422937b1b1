//! Hands the fuzzer's bytes to [`ropewalk_fuzz::exchange`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ropewalk_fuzz::exchange::run(data));
