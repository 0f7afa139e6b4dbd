#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| domovoi_fuzz::entries::dossier(data));
