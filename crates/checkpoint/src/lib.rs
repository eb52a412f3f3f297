//! Checkpoints: a Hugging Face directory and the training state beside it
