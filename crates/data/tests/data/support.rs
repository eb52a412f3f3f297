//! Small corpora and files to test with.

use std::{fs, path::Path, sync::Arc, time::Duration};

use itera_config::DataConfig;
use itera_data::{Corpus, DataError, Document, HubEnv, HubFault, load_corpus_from};
use parquet::{
    basic::Compression,
    data_type::{ByteArray, ByteArrayType},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};

/// Data settings that read the given sources.
pub fn reading(sources: &[impl ToString]) -> DataConfig {
    DataConfig { source: sources.iter().map(ToString::to_string).collect(), ..DataConfig::default() }
}

/// A file in `dir` as an entry of `data.source`.
pub fn source(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().into()
}

/// A hub that nothing may ask.
pub fn no_hub() -> HubEnv {
    HubEnv {
        endpoint: "http://127.0.0.1:9".into(),
        cache: "no-cache".into(),
        is_offline: true,
        token: None,
        retry_pause: Duration::ZERO,
    }
}

/// Load without a hub.
pub fn load(config: &DataConfig) -> Result<Corpus, DataError> {
    load_corpus_from(config, 0, &no_hub(), &mut |_| {})
}

/// The error that loading leads to, and what the hub said if it is one of the hub.
#[cfg(feature = "hub")]
pub fn hub_fault(config: &DataConfig, hub: &HubEnv) -> (String, HubFault) {
    match load_corpus_from(config, 0, hub, &mut |_| {}).unwrap_err() {
        DataError::Hub(error) => (error.to_string(), error.fault),
        other => panic!("{other}"),
    }
}

/// Texts of documents.
pub fn texts(documents: &[Document]) -> Vec<&str> {
    documents.iter().map(Document::text).collect()
}

/// Texts of both splits, sorted.
pub fn all_texts(corpus: &Corpus) -> Vec<&str> {
    let mut all = [texts(&corpus.train), texts(&corpus.valid)].concat();
    all.sort_unstable();
    all
}

/// A text file with a separator after each document.
pub fn write_documents(path: &Path, documents: &[impl AsRef<str>]) {
    let text: String = documents.iter().map(|text| format!("{}\n<|endoftext|>\n", text.as_ref())).collect();
    fs::write(path, text).unwrap();
}

/// A parquet file with an `id` and a nullable `text` column, `group_rows` rows a row group.
pub fn write_parquet(path: &Path, rows: &[Option<impl AsRef<[u8]>>], codec: Compression, group_rows: usize) {
    let schema = "message rows { required binary id (UTF8); optional binary text (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(codec).build());
    let mut writer = SerializedFileWriter::new(fs::File::create(path).unwrap(), schema, properties).unwrap();
    for rows in rows.chunks(group_rows) {
        let mut group = writer.next_row_group().unwrap();
        let ids: Vec<ByteArray> = (0..rows.len()).map(|i| i.to_string().as_str().into()).collect();
        let texts: Vec<ByteArray> = rows.iter().flatten().map(|text| text.as_ref().to_vec().into()).collect();
        let levels: Vec<i16> = rows.iter().map(|text| i16::from(text.is_some())).collect();
        for (values, levels) in [(ids, None), (texts, Some(&levels[..]))] {
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<ByteArrayType>().write_batch(&values, levels, None).unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
}
