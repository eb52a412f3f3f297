//! Bytes → a model that runs, and its tokenizer.
#![no_main]

use itera_formats::ModelFile;
use itera_runtime::Model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = ModelFile::from_gguf(bytes.to_vec()) else { return };
    let embed = file.matrix("embed").expect("every model has an embedding");
    assert_eq!((embed.rows(), embed.cols()), (file.config().vocab_size, file.config().d_model));
    assert_eq!(file.vector("norm").map(<[f32]>::len).ok(), Some(file.config().d_model));
    itera_fuzz::run(Model::new(file).expect("an opened file has all of its model"));
});
