//! an error of a library → what its user can do about it
//!
//! Libraries say what is wrong; they know no flag, no command and no key of a configuration. This file knows them.

use anyhow::Error;
use itera_checkpoint::CheckpointError;
use itera_compress::CompressError;
use itera_config::ConfigError;
use itera_formats::FormatError;
use itera_runtime::RuntimeError;
use itera_trainer::TrainError;

/// What to do about `error`, if there is something to say that its text does not.
pub fn hint(error: &Error) -> Option<String> {
    error.chain().find_map(|cause| {
        let checkpoint = || cause.downcast_ref().and_then(checkpoint);
        let train = || cause.downcast_ref().and_then(train);
        let compress = || cause.downcast_ref().and_then(compress);
        let config = || cause.downcast_ref().and_then(config);
        let format = || cause.downcast_ref().and_then(format);
        let runtime = || cause.downcast_ref().and_then(runtime);
        checkpoint().or_else(train).or_else(compress).or_else(config).or_else(format).or_else(runtime)
    })
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
        TrainError::RunDir { .. } => "choose another place with --set run.dir=…".into(),
        TrainError::Foreign { .. } => {
            "resume with what made it (config.toml of the run), or start anew in another run.dir".into()
        }
        TrainError::NonFinite { .. } => {
            "start anew with a lower train.lr, a longer train.warmup_steps or a lower train.grad_clip_norm".into()
        }
        TrainError::Sample { .. } => "change eval.prompts or eval.sample_tokens".into(),
        TrainError::Checkpoint(error) => return checkpoint(error),
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
        _ => return None,
    })
}
