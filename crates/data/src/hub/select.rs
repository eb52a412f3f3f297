//! file names of a repository → the files of each split
//!
//! What a name says is read off its parts, the file name before the directories:
//!
//! ```text
//! wikitext-103-raw-v1/train-00000-of-00002.parquet      configuration / split - shard
//! data/validation-00000-of-00001-869c898b519ad725.parquet
//! TinyStoriesV2-GPT4-valid.txt                          configuration - split
//! ```
//!
//! Of the files of the wanted configuration those of one kind are taken, the first of `KINDS` that there is. `test` splits
//! are never touched. Where no file names a split, all of them are training files.

use std::path::Path;

use super::error::HubFault;
use crate::files::{Kind, kind_of};

/// Kinds of files, the best told apart from what else a repository holds first.
const KINDS: [Kind; 5] = [Kind::Parquet, Kind::JsonLines, Kind::Text, Kind::Csv, Kind::Json];

/// Files of the splits, each list sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SplitFiles {
    pub(super) train: Vec<String>,
    pub(super) valid: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Train,
    Valid,
    Test,
    Unsaid,
}

/// A data file and what its name says.
struct Named<'a> {
    name: &'a str,
    config: &'a str,
    role: Role,
}

/// Configurations that are taken without asking where there are several.
const USUAL: [&str; 3] = ["data", "default", ""];

/// Choose the files of configuration `wanted`, or of the only or usual one.
pub(super) fn select(names: &[String], wanted: Option<&str>) -> Result<SplitFiles, HubFault> {
    let of_kind = |kind: Kind| -> Vec<Named> {
        let is_kind = |name: &&String| kind_of(Path::new(name)) == Some(kind);
        let named = names.iter().filter(is_kind).filter(|name| is_relative(name)).map(|name| read_name(name));
        named.filter(|file| wanted.is_none_or(|wanted| is_in(file.config, wanted))).collect()
    };
    let kinds = KINDS.map(of_kind);
    let names_a_split = |files: &&Vec<Named>| files.iter().any(|file| file.role == Role::Train);
    let files = kinds.iter().find(names_a_split).or_else(|| kinds.iter().find(|files| !files.is_empty()));
    let mut files: Vec<&Named> = files.ok_or_else(|| nothing_found(names, wanted))?.iter().collect();

    let mut configs: Vec<&str> = files.iter().map(|file| file.config).collect();
    configs.sort_unstable();
    configs.dedup();
    if wanted.is_none() && configs.len() > 1 {
        let usual = USUAL.into_iter().find(|usual| configs.contains(usual));
        let all = || configs.iter().map(|&config| config.into()).collect();
        let usual = usual.ok_or_else(|| HubFault::SeveralConfigs { configs: all() })?;
        files.retain(|file| file.config == usual);
    }
    let of_role = |role: Role| -> Vec<String> {
        let mut names: Vec<_> = files.iter().filter(|file| file.role == role).map(|file| file.name.into()).collect();
        names.sort_unstable();
        names
    };
    let train = of_role(Role::Train);
    let train = if train.is_empty() { of_role(Role::Unsaid) } else { train };
    if train.is_empty() {
        return Err(nothing_found(names, wanted));
    }
    Ok(SplitFiles { train, valid: of_role(Role::Valid) })
}

/// First place at which the shards of a split (`…-00002-of-00005…`) are not all there, with the number there should be.
pub(super) fn first_gap(files: &[String]) -> Option<(usize, usize)> {
    let total = files.iter().find_map(|file| Some(shard_of(file)?.1))?;
    let gap = (0..total).find(|&i| files.get(i).and_then(|file| shard_of(file)).is_none_or(|(index, _)| index != i))?;
    Some((gap, total))
}

/// Index and total of a name like `train-00002-of-00005-4f1b.parquet`.
fn shard_of(name: &str) -> Option<(usize, usize)> {
    let parts: Vec<_> = name.split(['-', '.', '/']).collect();
    parts.windows(3).find_map(|window| match window {
        [index, "of", total] => Some((index.parse().ok()?, total.parse().ok()?)),
        _ => None,
    })
}

fn read_name(name: &str) -> Named<'_> {
    let mut end = name.len();
    for part in name.rsplit('/') {
        let start = end - part.len();
        let mut at = start;
        for word in part.split(|c: char| !c.is_ascii_alphanumeric()) {
            let role = match word.to_ascii_lowercase().as_str() {
                "train" | "training" => Some(Role::Train),
                "valid" | "validation" | "val" | "dev" => Some(Role::Valid),
                "test" | "testing" => Some(Role::Test),
                _ => None,
            };
            if let Some(role) = role {
                return Named { name, config: name[..at].trim_end_matches(['/', '-', '_', '.']), role };
            }
            at += word.len() + 1;
        }
        end = start.saturating_sub(1);
    }
    let config = name.rsplit_once('/').map_or("", |(directory, _)| directory);
    Named { name, config, role: Role::Unsaid }
}

/// Whether a configuration is the wanted one, or a directory within or around it of that name.
fn is_in(config: &str, wanted: &str) -> bool {
    config == wanted || config.split('/').any(|part| part == wanted)
}

/// A name that stays within the repository: names come from the network.
fn is_relative(name: &str) -> bool {
    !name.is_empty() && !name.contains('\\') && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn nothing_found(names: &[String], wanted: Option<&str>) -> HubFault {
    let is_data = |name: &&String| kind_of(Path::new(name)).is_some_and(|kind| kind != Kind::Json);
    let mut configs: Vec<String> = names.iter().filter(is_data).map(|name| read_name(name).config.into()).collect();
    configs.sort_unstable();
    configs.dedup();
    configs.retain(|config| !config.is_empty());
    match wanted {
        Some(wanted) if !configs.is_empty() => HubFault::NoConfig { wanted: wanted.into(), configs },
        _ => HubFault::NoDataFiles { files: names.len() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.into()).collect()
    }

    fn tiny_stories() -> Vec<String> {
        names(&[
            ".gitattributes",
            "Evaluation prompts.yaml",
            "README.md",
            "TinyStories-train.txt",
            "TinyStories-valid.txt",
            "TinyStoriesV2-GPT4-train.txt",
            "TinyStoriesV2-GPT4-valid.txt",
            "TinyStories_all_data.tar.gz",
            "data/train-00001-of-00002-bb.parquet",
            "data/train-00000-of-00002-aa.parquet",
            "data/validation-00000-of-00001-cc.parquet",
        ])
    }

    fn wikitext() -> Vec<String> {
        names(&[
            "README.md",
            "wikitext-103-raw-v1/test-00000-of-00001.parquet",
            "wikitext-103-raw-v1/train-00000-of-00002.parquet",
            "wikitext-103-raw-v1/train-00001-of-00002.parquet",
            "wikitext-103-raw-v1/validation-00000-of-00001.parquet",
            "wikitext-2-raw-v1/test-00000-of-00001.parquet",
            "wikitext-2-raw-v1/train-00000-of-00001.parquet",
            "wikitext-2-raw-v1/validation-00000-of-00001.parquet",
        ])
    }

    #[test]
    fn tiny_stories_is_read_from_parquet() {
        let files = select(&tiny_stories(), None).expect("a choice");
        assert_eq!(files.train, ["data/train-00000-of-00002-aa.parquet", "data/train-00001-of-00002-bb.parquet"]);
        assert_eq!(files.valid, ["data/validation-00000-of-00001-cc.parquet"]);
    }

    #[test]
    fn the_second_tiny_stories_is_a_configuration_of_text_files() {
        let files = select(&tiny_stories(), Some("TinyStoriesV2-GPT4")).expect("a choice");
        assert_eq!(files.train, ["TinyStoriesV2-GPT4-train.txt"]);
        assert_eq!(files.valid, ["TinyStoriesV2-GPT4-valid.txt"]);
    }

    #[test]
    fn wikitext_asks_for_a_configuration() {
        let error = select(&wikitext(), None).expect_err("several");
        assert!(error.to_string().contains("wikitext-103-raw-v1, wikitext-2-raw-v1"), "{error:?}");
        let files = select(&wikitext(), Some("wikitext-2-raw-v1")).expect("a choice");
        assert_eq!(files.train, ["wikitext-2-raw-v1/train-00000-of-00001.parquet"]);
        assert_eq!(files.valid, ["wikitext-2-raw-v1/validation-00000-of-00001.parquet"]);
    }

    #[test]
    fn an_unknown_configuration_is_answered_with_those_there_are() {
        let error = select(&wikitext(), Some("wikitext-3")).expect_err("none");
        assert!(error.to_string().contains("wikitext-2-raw-v1"), "{error:?}");
    }

    #[test]
    fn files_that_name_no_split_are_for_training() {
        let files = select(&names(&["b.jsonl", "a.jsonl", "README.md"]), None).expect("a choice");
        assert_eq!(files, SplitFiles { train: names(&["a.jsonl", "b.jsonl"]), valid: vec![] });
    }

    #[test]
    fn compressed_files_and_tables_are_data_too() {
        let files = select(&names(&["c4-train.00001.json.gz", "c4-train.00000.json.gz", "README.md"]), None);
        assert_eq!(files.expect("a choice").train, ["c4-train.00000.json.gz", "c4-train.00001.json.gz"]);
        let files = select(&names(&["dataset_infos.json", "data.csv"]), None).expect("a choice");
        assert_eq!(files.train, ["data.csv"]);
    }

    #[test]
    fn splits_may_be_directories() {
        let listing = names(&["default/train/0000.parquet", "default/validation/0000.parquet"]);
        let files = select(&listing, None).expect("a choice");
        assert_eq!(files.train, ["default/train/0000.parquet"]);
        assert_eq!(files.valid, ["default/validation/0000.parquet"]);
    }

    #[test]
    fn names_that_leave_the_repository_are_ignored() {
        for bad in ["../train.txt", "/etc/train.txt", "a/../../train.txt", "a\\..\\train.txt"] {
            assert!(select(&names(&[bad]), None).is_err(), "{bad}");
        }
    }

    #[test]
    fn missing_shards_are_noticed() {
        let shards = |present: &[usize]| -> Vec<String> {
            present.iter().map(|i| format!("data/train-{i:05}-of-00003-{i}f.parquet")).collect()
        };
        assert_eq!(first_gap(&shards(&[0, 1, 2])), None);
        assert_eq!(first_gap(&shards(&[0, 1])), Some((2, 3)));
        assert_eq!(first_gap(&shards(&[0, 2])), Some((1, 3)));
        assert_eq!(first_gap(&shards(&[1, 2])), Some((0, 3)));
        assert_eq!(first_gap(&names(&["train.txt"])), None);
    }
}
