//! TOML → configuration → its tensors.
#![no_main]

use itera_config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|toml: &str| {
    if let Ok(config) = Config::from_toml(toml, "fuzz.toml", &[]) {
        let n_params: usize = config.model.tensors().iter().map(|tensor| tensor.n_params()).sum();
        assert_eq!(n_params, config.model.total_params());
    }
});
