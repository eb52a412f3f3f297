//! an error → what its user can do about it
//!
//! Libraries say what is wrong; they know no flag, no command and no key of a configuration. This file knows them. A
//! problem that a command finds itself has its hint from there: [`with_hint`].

mod device;
#[cfg(feature = "serve")]
mod serve;

use std::{fmt, io};

use anyhow::Error;
use itera_checkpoint::CheckpointError;
use itera_collective::{Launcher, MpiError};
use itera_compress::{CompressError, Misfit, RecipeProblem, StageProblem};
use itera_config::ConfigError;
use itera_data::{DataError, HubFault, RecordFault};
use itera_formats::{FormatError, printable};
use itera_metrics::MetricsError;
use itera_ptq::PtqError;
use itera_runtime::RuntimeError;
use itera_sweep::SweepError;
use itera_tokenizer::TokenizerError;
use itera_trainer::TrainError;

/// A problem that a command found, and what to do about it.
pub fn with_hint(problem: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::new(Hinted { problem: problem.into(), hint: hint.into() })
}

#[derive(Debug)]
struct Hinted {
    problem: String,
    hint: String,
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for Hinted {}

/// What to do about `error`, if there is something to say that its text does not.
pub fn hint(error: &Error) -> Option<String> {
    error.chain().find_map(|cause| {
        if let Some(Hinted { hint, .. }) = cause.downcast_ref() {
            return Some(hint.clone());
        }
        let checkpoint = || cause.downcast_ref().and_then(checkpoint);
        let train = || cause.downcast_ref().and_then(train);
        let compress = || cause.downcast_ref().and_then(compress);
        let config = || cause.downcast_ref().and_then(config);
        let format = || cause.downcast_ref().and_then(format);
        let runtime = || cause.downcast_ref().and_then(runtime);
        let data = || cause.downcast_ref().and_then(data);
        let tokenizer = || cause.downcast_ref().and_then(tokenizer);
        let metrics = || cause.downcast_ref().and_then(metrics);
        let ptq = || cause.downcast_ref().and_then(ptq);
        let mpi = || cause.downcast_ref().and_then(mpi);
        let sweep = || cause.downcast_ref().and_then(sweep);
        let device = || cause.downcast_ref().and_then(device::hint);
        #[cfg(feature = "serve")]
        let serve = || serve::hint(cause);
        #[cfg(not(feature = "serve"))]
        let serve = || None;
        let system = || cause.downcast_ref().and_then(system);
        let run = || checkpoint().or_else(train).or_else(compress).or_else(config).or_else(metrics);
        run()
            .or_else(format)
            .or_else(runtime)
            .or_else(data)
            .or_else(tokenizer)
            .or_else(mpi)
            .or_else(sweep)
            .or_else(device)
            .or_else(ptq)
            .or_else(serve)
            .or_else(system)
    })
}

fn system(error: &io::Error) -> Option<String> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some("make room there, or write elsewhere".into()),
        _ => None,
    }
}

fn ptq(error: &PtqError) -> Option<String> {
    Some(match error {
        PtqError::Format(error) => return format(error),
        PtqError::Quantized { .. } => "take the directory that it was made of, in f32, f16 or bf16".into(),
        PtqError::Stacked { tensor, .. } => format!("keep it as it is with --skip '{}'", printable(tensor)),
        PtqError::NothingToPack { .. } => "--dry-run shows why each stays; --also packs a matrix all the same".into(),
        PtqError::NoSearch => "leave --rounding out".into(),
        PtqError::NoScales => "leave --scales out, or --layout".into(),
        PtqError::Taken { .. } => "choose another name with -o, or move it away".into(),
        PtqError::NotFinite { tensor, .. } => {
            format!("restore it from its source, or keep it as it is with --skip '{}'", printable(tensor))
        }
        _ => return None,
    })
}

fn mpi(error: &MpiError) -> Option<String> {
    Some(match error {
        MpiError::Static => "use a build for a target whose C library is not linked statically".into(),
        MpiError::NoLibrary { .. } => {
            "load the module of the MPI that starts the job, or name its library in ITERA_MPI_LIB".into()
        }
        MpiError::Strangers { launcher: Launcher::Slurm, .. } => {
            "start the job with `srun --mpi=pmix` or `srun --mpi=pmi2`, as the MPI needs, or name the library of another MPI \
             in ITERA_MPI_LIB"
                .into()
        }
        MpiError::Strangers { .. } => {
            "start the job with the launcher of this MPI, or name the library of the launcher's MPI in ITERA_MPI_LIB"
                .into()
        }
        MpiError::Threads { .. } => "name the library of another MPI in ITERA_MPI_LIB".into(),
        _ => return None,
    })
}

fn sweep(error: &SweepError) -> Option<String> {
    Some(match error {
        SweepError::Reserved { key, .. } if key == "run.seed" => {
            "write seeds = [1, 2, 3], or how many from that of the base on: seeds = 3".into()
        }
        SweepError::Reserved { key, .. } if key == "run.threads" => "say --threads N to `itera sweep run`".into(),
        SweepError::Reserved { .. } => "write dir = \"…\" at the top of the sweep for where its trials lie".into(),
        SweepError::Baseline { .. } => "name a value for each key that cells differ in".into(),
        SweepError::MedianStep { .. } => {
            "take multiples of eval.every_steps below train.steps, such as those of [set]".into()
        }
        SweepError::StandardInput { .. } => "write the text to a file, and name that in data.source".into(),
        SweepError::OtherTrial { dir } | SweepError::NoConfig { dir, .. } => {
            format!("move {} away, so that the trial begins anew", dir.display())
        }
        SweepError::Damaged { path, .. } => {
            format!("restore {}, or remove it, so that the trial goes on", path.display())
        }
        SweepError::Metrics(error) => return metrics(error),
        _ => return None,
    })
}

fn metrics(error: &MetricsError) -> Option<String> {
    match error {
        MetricsError::DamagedRow { path, line, .. } => {
            Some(format!("restore {}, or remove line {line} and all after it", path.display()))
        }
        _ => None,
    }
}

fn config(error: &ConfigError) -> Option<String> {
    match error {
        ConfigError::Override { .. } => Some("write it as table.key=value, such as --set train.lr=3e-4".into()),
        _ => None,
    }
}

fn runtime(error: &RuntimeError) -> Option<String> {
    Some(match error {
        RuntimeError::Format(error) => return format(error),
        RuntimeError::Tokenizer(error) => return tokenizer(error),
        RuntimeError::ContextFull { .. } => "shorten the prompt or text".into(),
        RuntimeError::Shape { .. } => "the weights are another model's: put them beside their own config.json".into(),
        RuntimeError::Token { .. } => "the tokenizer is another model's: put the model's own beside its weights".into(),
        _ => return None,
    })
}

fn format(error: &FormatError) -> Option<String> {
    Some(match error {
        FormatError::NotForLlamaCpp(_) => "--allow-unsupported writes a file for `itera` alone".into(),
        FormatError::LfsPointer { .. } => "fetch the file that it stands for with `git lfs pull`".into(),
        FormatError::Length { .. } => "restore it from its source".into(),
        FormatError::Unstorable { value, .. } if value.is_finite() => "choose a wider --dtype, bf16 or f32".into(),
        FormatError::Unstorable { .. } | FormatError::NotFinite { .. } => {
            "the training that made it diverged, or the file is damaged: choose an earlier checkpoint".into()
        }
        FormatError::Untied { .. } => "set tie_word_embeddings to false in config.json if both are meant".into(),
        FormatError::Names { .. } | FormatError::Shape { .. } => {
            "the weights are another model's: put them beside their own config.json".into()
        }
        FormatError::File { source, .. } => return format(source),
        _ => return None,
    })
}

fn checkpoint(error: &CheckpointError) -> Option<String> {
    Some(match error {
        CheckpointError::Damaged { whole: Some(whole), .. } => {
            format!("another checkpoint is whole: --resume {}", whole.display())
        }
        CheckpointError::Damaged { whole: None, .. } => "restore it, choose another checkpoint, or start anew".into(),
        CheckpointError::Format(error) => return format(error),
        CheckpointError::Tokenizer(error) => return tokenizer(error),
        CheckpointError::NoDirectory { .. } | CheckpointError::Foreign { .. } => {
            "choose another name with -o, or move it away".into()
        }
        CheckpointError::WorkingDirectory { .. } => "choose another name with -o".into(),
        CheckpointError::NotFound { path } if path.join("checkpoints").is_dir() => {
            "the run has saved nothing yet: continue it with `itera train --resume`".into()
        }
        CheckpointError::Elsewhere { .. } => "set run.dir to the run it belongs to".into(),
        _ => return None,
    })
}

fn train(error: &TrainError) -> Option<String> {
    Some(match error {
        TrainError::RunExists { .. } => {
            "continue it with --resume, replace it with --overwrite, or choose another place \
            with --set run.dir=…"
                .into()
        }
        TrainError::RunBusy { .. } => "wait for it, or choose another place with --set run.dir=…".into(),
        TrainError::NotOfARun { .. } => "choose another place with --set run.dir=…, or move it away".into(),
        TrainError::PastRates { before: Some(before), .. } => {
            format!("continue from where they are the same: --resume {}", before.display())
        }
        TrainError::PastRates { before: None, .. } => {
            "no checkpoint is left from where they are the same; train.schedule = \"wsd\" keeps one, \
            from which a run can be trained longer"
                .into()
        }
        TrainError::LongPrompt { .. } => "shorten it in eval.prompts, or raise model.max_seq_len".into(),
        TrainError::RunDir { .. } => "choose another place with --set run.dir=…".into(),
        TrainError::Misfit { what, path, .. } if what == "tokenizer" => {
            format!("set tokenizer.path to {}", path.join("tokenizer.json").display())
        }
        TrainError::Misfit { .. } => "set [model] to what `itera inspect` says of it".into(),
        TrainError::Foreign { .. } => {
            "resume with what made it (config.toml of the run), or start anew in another run.dir".into()
        }
        TrainError::NonFinite { .. } => {
            "start anew with a lower train.lr, a longer train.warmup_steps or a lower train.grad_clip_norm".into()
        }
        TrainError::RankDiffers { what, .. } => match *what {
            "program" => "start the same file on all hosts",
            "tokenizer" | "corpus" => "data.source and tokenizer.path have to name the same files on all hosts",
            "first step" | "weights to begin with" => "name a directory that all hosts share with --set run.dir=…",
            _ => "start all ranks with the same arguments, on files that are the same on all hosts",
        }
        .into(),
        TrainError::Sample { .. } => "change eval.prompts or eval.sample_tokens".into(),
        TrainError::Checkpoint(error) => return checkpoint(error),
        TrainError::Metrics(error) => return metrics(error),
        _ => return None,
    })
}

fn compress(error: &CompressError) -> Option<String> {
    Some(match error {
        CompressError::NoRecipe { known, .. } => {
            format!("builtin are {known}; `itera compress --list` says what they do")
        }
        CompressError::NoRun { .. } => "compress the run that the model was trained in".into(),
        CompressError::OtherData { .. } => {
            "restore the data of the run, or say where it lies with --set data.source=…".into()
        }
        CompressError::Exists { .. } => {
            "continue it with --resume, replace it with --overwrite, or choose another place with -o".into()
        }
        CompressError::Misfit { problem: Misfit::NoTensor { .. }, .. } => "`itera model` lists names".into(),
        CompressError::Misfit { problem: Misfit::Rows { .. }, .. } => "give it another kind under kinds".into(),
        CompressError::Foreign { .. } => "move it away, or choose another place with -o".into(),
        CompressError::NotUnicode { .. } => "rename it, or choose another place with -o".into(),
        CompressError::Recipe { problem: RecipeProblem::Stage { problem: StageProblem::TrainedGptq, .. }, .. } => {
            "leave out train, or take rounding = \"mse\"".into()
        }
        CompressError::Recipe { problem: RecipeProblem::Stage { problem: StageProblem::OneRun, .. }, .. } => {
            "name the stage whose models teach, such as stage = 1".into()
        }
        CompressError::Recipe { problem: RecipeProblem::Stage { problem: StageProblem::AutoStage, .. }, .. } => {
            "leave out auto".into()
        }
        CompressError::Misfit { problem: Misfit::Folds { .. }, .. } => "take fewer folds".into(),
        CompressError::OtherRecipe { .. } => {
            "stages that are the same are kept if you move away what later ones left; \
            or replace all with --overwrite, or choose another place with -o"
                .into()
        }
        CompressError::TooLossy { .. } => {
            "raise max_loss_percent, train longer, or keep sensitive tensors in a wider kind".into()
        }
        CompressError::NoDocuments => "give some with --data FILE".into(),
        CompressError::Train(error) => return train(error),
        CompressError::Checkpoint(error) => return checkpoint(error),
        CompressError::Config(error) => return config(error),
        CompressError::Format(error) => return format(error),
        CompressError::Data(error) => return data(error),
        CompressError::Tokenizer(error) => return tokenizer(error),
        CompressError::Runtime(error) => return runtime(error),
        CompressError::Metrics(error) => return metrics(error),
        _ => return None,
    })
}

fn data(error: &DataError) -> Option<String> {
    let text = match error {
        DataError::Source { .. } => {
            "write builtin:stories, hub:owner/name, hub:owner/name:config, - (standard input), or a path, a directory or a \
            glob of files"
        }
        DataError::Separator { .. } => "\"\" or \"\\n\\n\" parts at blank lines, \"\\n\" at every line",
        DataError::NoMatch { .. } => "relative paths start at the working directory",
        DataError::NothingToRead { .. } | DataError::FileKind { .. } => {
            "read are .txt, .jsonl, .json and .csv, also with .gz or .zst behind it, and .parquet; a glob such as \
            texts/*.txt chooses files of a directory"
        }
        DataError::Foreign { .. } => "unpack it, or give it the ending of what it is",
        DataError::LfsPointer { .. } => "fetch the file itself, with `git lfs pull` where it came from",
        DataError::NotUtf8 { is_utf16: true, .. } => "convert it with `iconv -f UTF-16 -t UTF-8`",
        DataError::NotUtf8 { .. } => "convert it, for example with `iconv -f LATIN1 -t UTF-8`",
        DataError::Empty { .. } => "leave it out, or see how it was written",
        DataError::Record { fault: RecordFault::NoField { .. } | RecordFault::NotText { .. }, .. } => {
            "data.text_field (--text-field) names the field that holds the text, meta.text one within another; \
            data.skip_bad_records = true leaves such records out"
        }
        DataError::Record { .. } => "mend the record, or leave such records out with data.skip_bad_records = true",
        DataError::Json { .. } => "it may be incomplete; a file of one record a line is a .jsonl",
        DataError::NoColumn { .. } => "data.text_field (--text-field) names the column that holds the text",
        DataError::Parquet { .. } => "it may be incomplete: fetch or write it again",
        DataError::Codec { codec, .. } if codec == "ZSTD" => {
            "build with --features hub, or rewrite it with compression SNAPPY"
        }
        DataError::Codec { .. } => "rewrite it with compression SNAPPY or ZSTD",
        DataError::NoParquet { .. } => "build with --features parquet",
        DataError::NoHub { .. } => "build with --features hub, or name local files",
        DataError::NoTraining { copies: 0, max_bytes: 1.., .. } => "raise data.max_bytes",
        DataError::NoTraining { .. } => "see that data.valid_source is not the training text itself, or add other text",
        DataError::NothingHeldOut { holds_separator: true, .. } => {
            "put each separator on a line of its own, or name held-out text in data.valid_source"
        }
        DataError::NothingHeldOut { copies: 1.., .. } => "give documents that differ",
        DataError::NothingHeldOut { .. } => {
            "name held-out text in data.valid_source, or set data.separator to the line that ends a document (\"\" parts at \
            blank lines, \"\\n\" at every line)"
        }
        DataError::TooFew { .. } => {
            "use more text, raise data.valid_fraction, lower train.batch_size, or set data.separator to the line that ends a \
             document"
        }
        DataError::TooShort { .. } => "use more text, raise data.valid_fraction, or lower train.seq_len",
        DataError::Vocabulary { tokens, .. } => return Some(format!("set model.vocab_size to at least {tokens}")),
        DataError::Cache { .. } => "choose another place with --set data.cache_dir=…",
        DataError::Hub(error) => return Some(hub(&error.fault)),
        DataError::Tokenizer(error) => return tokenizer(error),
        _ => return None,
    };
    Some(text.into())
}

fn hub(fault: &HubFault) -> String {
    match fault {
        HubFault::NotFound => "check the name and data.hub_revision, and HF_ENDPOINT if it names a mirror",
        HubFault::Denied { .. } => {
            "check the spelling; for a private or gated data set accept its terms on its page and set HF_TOKEN"
        }
        HubFault::Status { .. } => "try again later",
        HubFault::Transfer(_) => {
            "without a network, fetch the data set on a connected machine, copy its HF_HOME, and set HF_HUB_OFFLINE=1; \
            HF_ENDPOINT names a mirror; data.source takes local files too"
        }
        HubFault::BrokeOff { .. } => "run the command again to continue where the download broke off",
        HubFault::NotCached | HubFault::Gap { .. } => {
            "run once without HF_HUB_OFFLINE on a connected machine, with HF_HOME on storage that this machine sees"
        }
        HubFault::SeveralConfigs { configs } => {
            let first = configs.first().map_or("", String::as_str);
            return format!("choose one, for example hub:owner/name:{first}");
        }
        HubFault::NoConfig { .. } => "choose one of those",
        HubFault::NoDataFiles { .. } => {
            "look at its page; for data kept in another form try data.hub_revision = \"refs/convert/parquet\""
        }
    }
    .into()
}

fn tokenizer(error: &TokenizerError) -> Option<String> {
    let text = match error {
        TokenizerError::File { source, .. } => return tokenizer(source),
        TokenizerError::LfsPointer => "fetch the file itself, with `git lfs pull` where it came from",
        TokenizerError::NoEndOfText => "add it as a special token, or train a tokenizer: tokenizer.path = \"\"",
        TokenizerError::NoByte { .. } => {
            "train a tokenizer: tokenizer.path = \"\"; tokenizer.alphabet = \"text\" leaves bytes out"
        }
        TokenizerError::VocabSize { min, .. } => return Some(format!("set model.vocab_size to at least {min}")),
        TokenizerError::UnsupportedWordPiece { .. } | TokenizerError::WordPieceJson(_) => {
            "an encoder needs the tokenizer.json of BERT beside its weights"
        }
        TokenizerError::NoToken { .. } => "fetch the tokenizer.json again that came with the weights",
        TokenizerError::NotSpecial { .. } => "the tokenizer or the configuration of the model is another model's",
        _ => return None,
    };
    Some(text.into())
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use itera_formats::LlamaCppLimit;

    use super::*;

    fn limit() -> FormatError {
        FormatError::NotForLlamaCpp(LlamaCppLimit::NoAttention)
    }

    #[test]
    fn a_hint_is_found_however_deep_its_error_lies() {
        let file = FormatError::File { path: "model".into(), source: limit().into() };
        let nested = CompressError::Train(TrainError::Checkpoint(CheckpointError::Format(limit())));
        let context = Err::<(), _>(limit()).context("cannot export").expect_err("an error");
        for error in [Error::new(limit()), Error::new(file), Error::new(nested), context] {
            assert!(hint(&error).is_some_and(|hint| hint.contains("--allow-unsupported")), "{error:#}");
        }
        let own = Err::<(), _>(with_hint("no such room", "build one")).context("cannot enter").expect_err("an error");
        assert_eq!(hint(&own).as_deref(), Some("build one"));
        assert_eq!(format!("{own:#}"), "cannot enter: no such room");
        assert_eq!(hint(&Error::msg("hint: this is text")), None);
    }

    #[test]
    fn a_full_disk_is_recognised_below_the_error_of_any_crate() {
        let full = itera_files::failed_to("write", "model.gguf")(io::ErrorKind::StorageFull.into());
        let error = Error::new(TrainError::Checkpoint(CheckpointError::Format(full.into())));
        assert_eq!(hint(&error).as_deref(), Some("make room there, or write elsewhere"));
    }
}
