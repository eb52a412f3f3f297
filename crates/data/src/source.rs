//! an entry of `data.source` → [`Source`] → documents of a split

use std::path::PathBuf;

use itera_config::DataConfig;

#[cfg(feature = "hub")]
use crate::hub::HubDataset;
use crate::{
    document::Document,
    error::{DataError, SourceProblem},
    files,
    hub::HubEnv,
    stories::StoryAuthor,
};

/// First story of the held-out range; no corpus has as many stories to train on.
const FIRST_VALID_STORY: u64 = 1 << 40;

/// The two sides of the wall between what is learnt from and what is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Split {
    Train,
    Valid,
}

/// A stream of documents that may break off with an error.
pub(crate) type Documents<'a> = Box<dyn Iterator<Item = Result<Document, DataError>> + 'a>;

/// Where documents come from, found but not yet read.
pub(crate) enum Source {
    /// Stories written by the builtin author.
    Stories,
    /// A data set of the hub.
    #[cfg(feature = "hub")]
    Hub(Box<HubDataset>),
    /// Local files.
    Files(Vec<PathBuf>),
}

impl Source {
    /// Find what an entry of `data.source` names.
    pub(crate) fn find(item: &str, config: &DataConfig, hub: &HubEnv) -> Result<Self, DataError> {
        match item.split_once(':') {
            Some(("builtin", "stories")) => Ok(Self::Stories),
            Some(("builtin", name)) => {
                Err(DataError::Source { item: item.into(), problem: SourceProblem::Builtin(name.into()) })
            }
            #[cfg(feature = "hub")]
            Some(("hub", name)) => Ok(Self::Hub(HubDataset::open(name, &config.hub_revision, hub)?.into())),
            #[cfg(not(feature = "hub"))]
            Some(("hub", _)) => {
                let _ = (config, hub);
                Err(DataError::NoHub { item: item.into() })
            }
            _ => Ok(Self::Files(files::find(item)?)),
        }
    }

    /// Whether the source itself says what is held out.
    pub(crate) fn has_validation_split(&self) -> bool {
        match self {
            Self::Stories => true,
            #[cfg(feature = "hub")]
            Self::Hub(dataset) => dataset.has_validation_split(),
            Self::Files(_) => false,
        }
    }

    /// Documents of one split, or all documents of a source that is not split.
    pub(crate) fn documents<'a>(&'a self, split: Split, config: &'a DataConfig, seed: u64) -> Documents<'a> {
        match self {
            Self::Stories => Box::new(stories(split, config, seed).map(Ok)),
            #[cfg(feature = "hub")]
            Self::Hub(dataset) => read_all(dataset.files(split), config),
            Self::Files(paths) => read_all(paths.iter().cloned().map(Ok), config),
        }
    }
}

/// `builtin_bytes` of training stories, or `valid_fraction` as many held-out ones of a distant range, so that the
/// held-out stories stay the same ones when the training text grows.
fn stories(split: Split, config: &DataConfig, seed: u64) -> impl Iterator<Item = Document> + use<> {
    let (first, size_bytes) = match split {
        Split::Train => (0, config.builtin_bytes),
        Split::Valid => (FIRST_VALID_STORY, (config.builtin_bytes as f64 * config.valid_fraction).ceil() as u64),
    };
    let author = StoryAuthor::new(seed);
    (first..)
        .map(move |index| author.story(index))
        .scan(0, move |written_bytes, story| {
            let is_wanted = *written_bytes < size_bytes;
            *written_bytes += story.text.len() as u64;
            is_wanted.then_some(story)
        })
        .map(|story| Document::with_nats(story.text, story.nats))
}

/// The documents of the files, each opened when its turn comes.
fn read_all<'a>(paths: impl Iterator<Item = Result<PathBuf, DataError>> + 'a, config: &'a DataConfig) -> Documents<'a> {
    Box::new(
        paths
            .flat_map(move |path| -> files::Texts<'a> {
                path.and_then(|path| files::read(&path, config))
                    .unwrap_or_else(|error| Box::new(std::iter::once(Err(error))))
            })
            .map(|text| text.map(Document::new)),
    )
}
