//! Downloads from a small hub on this machine.

use std::{fs, path::Path};

use itera_config::DataConfig;
use itera_data::{Corpus, DataError, HubEnv, HubFault, load_corpus_from};
use parquet::basic::Compression;
use tempfile::tempdir;

use crate::{
    hub_server::{COMMIT, Fault, Hub, REPO},
    support::{all_texts, hub_fault, reading, texts, write_parquet},
};

const TRAIN: &[u8] = b"one\n<|endoftext|>\ntwo\n<|endoftext|>\nthree\n<|endoftext|>\n";
const VALID: &[u8] = b"held out\n<|endoftext|>\n";
const TEXT: &[(&str, &[u8])] = &[("README.md", b"# Tales"), ("tales-train.txt", TRAIN), ("tales-valid.txt", VALID)];

fn tales() -> DataConfig {
    reading(&[format!("hub:{REPO}")])
}

fn load(config: &DataConfig, env: &HubEnv) -> Result<Corpus, DataError> {
    load_corpus_from(config, 0, env, &mut |_| {})
}

fn assert_is_whole(corpus: &Corpus) {
    assert_eq!(texts(&corpus.train), ["one", "two", "three"]);
    assert_eq!(texts(&corpus.valid), ["held out"]);
}

/// The bytes of a parquet file of these texts.
fn parquet_of(documents: &[&str]) -> Vec<u8> {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let rows: Vec<_> = documents.iter().copied().map(Some).collect();
    write_parquet(&path, &rows, Compression::SNAPPY, 2);
    fs::read(path).unwrap()
}

/// A data set of one validation and three training shards of two configurations.
fn sharded() -> Hub {
    let shards = ["a b", "c d", "e f"].map(|texts| parquet_of(&texts.split(' ').collect::<Vec<_>>()));
    let valid = parquet_of(&["v"]);
    let other = parquet_of(&["wrong configuration"]);
    Hub::serve(&[
        ("big/train-00000-of-00003.parquet", &shards[0]),
        ("big/train-00001-of-00003.parquet", &shards[1]),
        ("big/train-00002-of-00003.parquet", &shards[2]),
        ("big/validation-00000-of-00001.parquet", &valid),
        ("big/test-00000-of-00001.parquet", &other),
        ("small/train-00000-of-00001.parquet", &other),
    ])
}

#[test]
fn text_files_are_downloaded_once() {
    let (hub, home) = (Hub::serve(TEXT), tempdir().unwrap());
    let env = hub.env(home.path());
    assert_is_whole(&load(&tales(), &env).unwrap());
    assert_eq!(hub.downloads(), ["tales-valid.txt 0-", "tales-train.txt 0-"]);
    assert_is_whole(&load(&tales(), &env).unwrap());
    assert_eq!(hub.downloads(), [""; 0], "the cache has them");
}

#[test]
fn parquet_shards_of_a_configuration_are_read_in_order() {
    let (hub, home) = (sharded(), tempdir().unwrap());
    let config = reading(&[format!("hub:{REPO}:big")]);
    let corpus = load(&config, &hub.env(home.path())).unwrap();
    assert_eq!(texts(&corpus.train), ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(texts(&corpus.valid), ["v"]);
    let (_, fault) = hub_fault(&tales(), &hub.env(home.path()));
    assert_eq!(fault, HubFault::SeveralConfigs { configs: vec!["big".into(), "small".into()] });
}

#[test]
fn capped_training_text_leaves_further_shards_alone() {
    let (hub, home) = (sharded(), tempdir().unwrap());
    let mut config = reading(&[format!("hub:{REPO}:big")]);
    config.max_bytes = 2;
    let online = load(&config, &hub.env(home.path())).unwrap();
    assert_eq!(texts(&online.train), ["a", "b"]);
    assert!(hub.downloads().iter().all(|download| !download.contains("train-00002")));

    let offline = HubEnv { is_offline: true, ..hub.env(home.path()) };
    assert_eq!(load(&config, &offline).unwrap(), online, "what is there suffices");
    config.max_bytes = 0;
    assert_eq!(hub_fault(&config, &offline).1, HubFault::Gap { present: 2, total: 3 });
}

#[test]
fn a_data_set_without_validation_split_is_split_by_content() {
    let (hub, home) = (Hub::serve(&[("tales.txt", TRAIN)]), tempdir().unwrap());
    let corpus = load(&tales(), &hub.env(home.path())).unwrap();
    assert_eq!(all_texts(&corpus), ["one", "three", "two"]);
    assert_eq!(corpus.valid.len(), 1);
}

#[test]
fn a_validation_split_may_serve_another_source() {
    let (hub, home) = (Hub::serve(TEXT), tempdir().unwrap());
    let mut config = reading(&["builtin:stories"]);
    config.builtin_bytes = 2000;
    config.valid_source = tales().source;
    let corpus = load(&config, &hub.env(home.path())).unwrap();
    assert_eq!(texts(&corpus.valid), ["held out"]);
    assert_eq!(hub.downloads(), ["tales-valid.txt 0-"], "its training split is not needed");
}

#[test]
fn a_download_that_breaks_off_continues_where_it_was() {
    let (hub, home) = (Hub::serve(&TEXT[..2]), tempdir().unwrap());
    hub.fail(&[Fault::BreaksOff(10), Fault::BreaksOff(20)]);
    let corpus = load(&tales(), &hub.env(home.path())).unwrap();
    assert_eq!(all_texts(&corpus), ["one", "three", "two"]);
    assert_eq!(hub.downloads(), ["tales-train.txt 0-", "tales-train.txt 10-", "tales-train.txt 30-"]);
}

#[test]
fn a_part_is_never_taken_for_the_whole() {
    for fault in [Fault::BreaksOffUnannounced(21), Fault::Status(500), Fault::Status(429)] {
        let (hub, home) = (Hub::serve(TEXT), tempdir().unwrap());
        hub.fail(&[fault]);
        assert_is_whole(&load(&tales(), &hub.env(home.path())).unwrap());
    }
    let (hub, home) = (Hub::serve(TEXT), tempdir().unwrap());
    hub.fail(&[Fault::BreaksOff(5), Fault::IgnoresRange]);
    assert_is_whole(&load(&tales(), &hub.env(home.path())).unwrap());
}

#[test]
fn after_too_many_breaks_the_next_run_continues() {
    let (hub, home) = (Hub::serve(TEXT), tempdir().unwrap());
    let env = hub.env(home.path());
    hub.fail(&[Fault::BreaksOff(2); 4]);
    let (error, fault) = hub_fault(&tales(), &env);
    assert!(error.contains("tales-valid.txt"), "{error}");
    assert!(matches!(&fault, HubFault::BrokeOff { last, attempts: 4 } if last.contains("broke off")), "{fault}");
    let offline = HubEnv { is_offline: true, ..env.clone() };
    assert!(load(&tales(), &offline).is_err(), "a part must not pass for a cached file");
    hub.downloads();
    assert_is_whole(&load(&tales(), &env).unwrap());
    assert_eq!(hub.downloads()[0], "tales-valid.txt 8-");
}

#[test]
fn a_stale_part_file_does_not_block() {
    let (hub, home) = (Hub::serve(TEXT), tempdir().unwrap());
    let env = hub.env(home.path());
    let blobs = env.cache.join("datasets--someone--tales/blobs");
    let part = blobs.join(itera_files::Sha256Digest::of(VALID).to_string()).with_extension("part");
    for length in [VALID.len(), VALID.len() + 7] {
        fs::create_dir_all(&blobs).unwrap();
        fs::write(&part, vec![b'x'; length]).unwrap();
        assert_is_whole(&load(&tales(), &env).unwrap());
        fs::remove_dir_all(&env.cache).unwrap();
    }
}

#[test]
fn a_missing_file_is_named_with_where_it_was_looked_for() {
    let (hub, home) = (Hub::serve(TEXT), tempdir().unwrap());
    let env = hub.env(home.path());
    hub.fail(&[Fault::Status(404)]);
    let (error, fault) = hub_fault(&tales(), &env);
    for part in [REPO, "tales-valid.txt", "main", &env.endpoint] {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert_eq!(fault, HubFault::NotFound);
    let (error, fault) = hub_fault(&reading(&["hub:someone/else"]), &env);
    assert!(error.contains("someone/else"), "{error}");
    assert_eq!(fault, HubFault::NotFound);
}

#[test]
fn a_gated_data_set_says_that_access_is_denied() {
    let (hub, home) = (Hub::serve(TEXT), tempdir().unwrap());
    hub.fail(&[Fault::Status(401)]);
    assert_eq!(hub_fault(&tales(), &hub.env(home.path())).1, HubFault::Denied { status: 401 });
}

#[test]
fn offline_a_warm_cache_suffices_and_a_cold_one_says_so() {
    let home = tempdir().unwrap();
    let hub = Hub::serve(TEXT);
    let offline = HubEnv { is_offline: true, ..hub.env(home.path()) };
    let (error, fault) = hub_fault(&tales(), &offline);
    assert!(error.contains("offline"), "{error}");
    assert_eq!(fault, HubFault::NotCached);
    let online = load(&tales(), &hub.env(home.path())).unwrap();
    hub.downloads();
    drop(hub);
    assert_eq!(load(&tales(), &offline).unwrap(), online);
}

#[test]
fn offline_a_snapshot_of_another_tool_is_read() {
    let home = tempdir().unwrap();
    let repo = home.path().join("hub/datasets--someone--tales");
    let write = |path: &str, bytes: &[u8]| {
        let path = repo.join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).unwrap();
        fs::write(path, bytes).unwrap();
    };
    for (name, bytes) in TEXT {
        write(&format!("snapshots/{COMMIT}/{name}"), bytes);
    }
    let hub = Hub::serve(&[]);
    let offline = HubEnv { is_offline: true, ..hub.env(home.path()) };
    let pinned = DataConfig { hub_revision: COMMIT.into(), ..tales() };
    assert_is_whole(&load(&pinned, &offline).unwrap());
    assert!(load(&tales(), &offline).is_err(), "no branch is known yet");
    write("refs/main", COMMIT.as_bytes());
    assert_is_whole(&load(&tales(), &offline).unwrap());
}

#[test]
fn an_unreachable_hub_is_named() {
    let home = tempdir().unwrap();
    let env = Hub::serve(&[]).env(home.path());
    let (error, fault) = hub_fault(&tales(), &env);
    assert!(error.contains(&env.endpoint), "{error}");
    assert!(matches!(fault, HubFault::Transfer(_)), "{fault}");
}
